"""What parts share of their fits, what serving stacks have of their own, and what a class takes from both."""

import json
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.describe.catalog import accelerator, accelerators, read_efficiency
from roofline.describe.efficiency import CollectiveFit, KernelFit
from roofline.errors import InvalidInput
from roofline.trust.calibration import Calibration, calibrate, to_toml
from roofline.trust.class_default import class_default
from roofline.trust.kernel_work import QUANTISATION
from roofline.trust.kernels import measured_of
from tests.support.measured_kernels import GEMMS, all_reduces, gemms, row

some = settings(max_examples=max(8, settings.default.max_examples // 8))
"""Every example is a whole fit that a wrong formula misses."""
LONG = [{"m": m, "n": n, "k": n} for m, n in product((1, 16, 256, 4096), (4096, 8192))]
"""Products that hardly tell a launch of a few us."""


def matmul(rows: list[dict[str, str]], part: str) -> KernelFit:
    return calibrate(rows, part).efficiency.kernels["matmul"]["bf16"]


def test_parts_compute_alike_by_their_peaks() -> None:
    """H100 and H200 are one die beside another memory; nothing else in the catalogue is their like."""
    one = accelerator("h100-sxm")
    assert one.computes_like(accelerator("h200-sxm"))
    assert not one.computes_like(accelerator("a100-sxm-80gb"))
    assert not one.computes_like(accelerator("groq-lpu-v1").model_copy(update={"peak": one.peak}))
    faster = {**one.peak, "fp8": one.peak["fp8"].model_copy(update={"value": 2e15})}
    assert not one.computes_like(one.model_copy(update={"peak": faster}))
    assert not one.computes_like(one.model_copy(update={"peak": {"bf16": one.peak["bf16"]}}))
    for name in accelerators():
        part = accelerator(name)
        assert part.computes_like(part)


@some
@given(overhead=st.floats(2e-6, 2e-5), compute=st.floats(0.3, 1), memories=st.tuples(*[st.floats(0.3, 1)] * 2))
def test_parts_alike_tell_each_other_of_all_but_their_memory(
    overhead: float, compute: float, memories: tuple[float, float]
) -> None:
    rows = gemms(overhead, compute, memories[0]) + gemms(overhead, compute, memories[1], LONG, part="h200-sxm")
    for part, memory, own in (("h100-sxm", memories[0], GEMMS), ("h200-sxm", memories[1], LONG)):
        fit = matmul(rows, part)
        assert (fit.overhead, fit.compute, fit.memory) == pytest.approx((overhead, compute, memory), rel=5e-3)
        assert fit.points == len(own)
        assert fit.error < 5e-3


def test_short_kernels_of_a_part_alike_tell_a_launch_that_long_ones_do_not() -> None:
    """By themselves the long ones, off by 3 % this way and that, mistake it."""
    long = gemms(3e-6, 0.8, 0.8, LONG, part="h200-sxm")
    for index, each in enumerate(long):
        each["latency_us"] = repr(float(each["latency_us"]) * (1.03 if index % 2 else 0.97))
    alone, together = matmul(long, "h200-sxm"), matmul(long + gemms(3e-6, 0.8, 0.8), "h200-sxm")
    assert abs(together.overhead - 3e-6) < 0.3e-6 < abs(alone.overhead - 3e-6)
    assert "shared with 28 rows of h100-sxm" in together.source
    assert "shared" not in alone.source


@pytest.mark.parametrize(
    ("change", "part"),
    [({"source": "another collection/x"}, "h100-sxm"), ({}, "b200-sxm"), ({"op": "attention_decode"}, "h100-sxm")],
)
def test_other_collections_parts_and_kernels_tell_nothing(change: dict[str, str], part: str) -> None:
    own = gemms(3e-6, 0.8, 0.8, part="h200-sxm")
    others = gemms(9e-6, 0.4, 0.5, part=part)
    if "op" in change:
        shape = {"batch": 8, "kv_len": 4096, "num_heads": 32, "num_kv_heads": 8, "head_dim": 128}
        others = [row("attention_decode", shape, hardware=part) for _ in range(8)]
    others = [each | change for each in others]
    assert matmul(own + others, "h200-sxm") == matmul(own, "h200-sxm")


def test_collectives_are_shared_where_the_links_are_the_same_too() -> None:
    """Those of H100 and H200 are; A100 has one die for a board and a card, whose bridge joins two."""
    numbers, others = (3e-6, 1e-5, 0.6, 6e-5), (6e-6, 2e-5, 0.4, 9e-5)
    own = all_reduces(numbers, "h200-sxm", powers=range(10, 31, 2))
    shared = calibrate(own + all_reduces(numbers), "h200-sxm").efficiency.collectives["all_reduce"]
    assert shared.points == len(own)
    assert "shared with 33 rows of parts alike" in shared.source
    assert (shared.overhead, shared.bandwidth) == pytest.approx((3e-6, 0.6), rel=5e-3)
    between = calibrate(own + all_reduces(others), "h200-sxm").efficiency.collectives["all_reduce"]
    assert 3.5e-6 < between.overhead < 6e-6
    elsewhere = calibrate(own + all_reduces(others, "b200-sxm"), "h200-sxm").efficiency
    assert elsewhere == calibrate(own, "h200-sxm").efficiency
    wired, bridged = "a100-sxm-80gb", "a100-pcie-80gb"
    assert accelerator(wired).computes_like(accelerator(bridged))
    assert accelerator(wired).numbers().wires != accelerator(bridged).numbers().wires
    alone = all_reduces(numbers[:3], wired)
    assert calibrate(alone + all_reduces(others[:3], bridged), wired).efficiency == calibrate(alone, wired).efficiency


def test_collectives_of_others_do_not_identify_what_a_part_s_own_do_not() -> None:
    small = all_reduces((3e-6, 1e-5, 0.6, 6e-5), "h200-sxm", powers=range(9, 13, 2))
    for rows in (small, small + all_reduces((3e-6, 1e-5, 0.6, 6e-5))):
        with pytest.raises(InvalidInput, match="bandwidth: fewer than 2 of 6 ro"):
            calibrate(rows, "h200-sxm")


@pytest.mark.parametrize(
    ("source", "other", "together"),
    [
        ("mine/h200", "mine/h100", True),
        ("https://a.example/x", "https://a.example/y", True),
        ("https://a.example/x", "https://b.example/x", False),
        ("mine", "yours", False),
        ("", "", False),
    ],
)
def test_a_collection_is_what_its_source_says(source: str, other: str, together: bool) -> None:
    own = [each | {"source": source} for each in gemms(3e-6, 0.8, 0.8, part="h200-sxm")]
    others = [each | {"source": other} for each in gemms(9e-6, 0.4, 0.5)]
    assert (matmul(own + others, "h200-sxm") != matmul(own, "h200-sxm")) == together


TRT, VLLM, NCCL = "tools/h100_sxm/trtllm-1.3.0", "tools/h100_sxm/vllm-0.24.0", "tools/h100_sxm/nccl-2.29.2"


def of_stacks() -> list[dict[str, str]]:
    """All-reduces of two stacks, the second slower to start, and large ones of the library that both call."""
    large = range(25, 31, 2)
    return [
        *all_reduces((3e-6, 1.6e-5, 0.6, 6e-5), source=TRT),
        *all_reduces((5e-6, 0.9e-5, 0.6, 6e-5), source=VLLM),
        *all_reduces((4e-6, 1e-5, 0.6, 6e-5), source=NCCL, powers=large),
    ]


def test_all_reduces_of_stacks_are_told_apart() -> None:
    efficiency = calibrate(of_stacks()).efficiency
    assert set(efficiency.stacks) == {"tensorrt-llm", "vllm"}
    for stack, overhead, staged in (("tensorrt-llm", 3e-6, 1.6e-5), ("vllm", 5e-6, 0.9e-5)):
        own = efficiency.collective("all_reduce", stack)
        assert own == efficiency.stacks[stack]["all_reduce"]
        assert (own.overhead, own.staged_overhead, own.bandwidth) == pytest.approx((overhead, staged, 0.6), rel=0.03)
        assert own.points == 33 + 9
    for stack in ("", "sglang"):
        found = efficiency.collective("all_reduce", stack)
        assert isinstance(found, CollectiveFit)
        assert found == efficiency.collectives["all_reduce"]
        assert 3e-6 < found.overhead < 5e-6
    assert efficiency.collective("all_to_all", "vllm") is None
    report = calibrate(of_stacks()).report
    assert "all_reduce tensorrt-llm" in report
    assert "[stacks.tensorrt-llm.all_reduce]" in to_toml(efficiency)


def test_a_stack_whose_rows_do_not_tell_has_none_of_its_own() -> None:
    """However many the library has, whose rows say nothing of what the stack brings."""
    slow = all_reduces((5e-5, 9e-5, 0.6), source=VLLM)
    library = all_reduces((4e-6, 1e-5, 0.6, 6e-5), source=NCCL)
    for few in (slow[:5], [each for each in slow if json.loads(each["shape"])["bytes"] < 2**13]):
        rows = [*all_reduces((3e-6, 1.6e-5, 0.6, 6e-5), source=TRT), *library, *few]
        assert set(calibrate(rows).efficiency.stacks) == {"tensorrt-llm", *(("vllm",) if len(few) >= 6 else ())}
    unnamed = all_reduces((3e-6, 1.6e-5, 0.6, 6e-5))
    assert not calibrate(unnamed).efficiency.stacks


def test_rows_that_name_no_stack_tell_nothing_of_one() -> None:
    own = calibrate(of_stacks()).efficiency.stacks
    strange = all_reduces((9e-6, 3e-5, 0.3, 9e-5), source="tools/mine")
    assert calibrate(of_stacks() + strange).efficiency.stacks == own


def test_a_stack_with_a_dot_in_its_name_survives_the_file(tmp_path: Path) -> None:
    efficiency = calibrate(of_stacks()).efficiency
    named = efficiency.model_copy(update={"stacks": {"llama.cpp": efficiency.stacks["vllm"]}})
    (tmp_path / "part.toml").write_text(to_toml(named), encoding="utf-8")
    assert read_efficiency(tmp_path / "part.toml") == named


def fitted(*rows: list[dict[str, str]]) -> list[Calibration]:
    every = [each for group in rows for each in group]
    return [calibrate(every, part) for part in dict.fromkeys(group[0]["hardware"] for group in rows)]


def test_a_die_counts_once_in_its_class() -> None:
    """However many parts of the catalogue have it; a part is predicted without the figures that it shares."""
    groups = (
        gemms(2e-6, 0.5, 0.5, part="a100-sxm-80gb"),
        gemms(4e-6, 0.7, 0.7),
        gemms(4e-6, 0.7, 0.7, part="h200-sxm"),
        gemms(9e-6, 0.9, 0.9, part="b200-sxm"),
    )
    measured = measured_of((each["id"], each) for group in groups for each in group)
    default = class_default("class-hbm", fitted(*groups), measured).kernels["matmul"]["bf16"]
    assert (default.overhead, default.compute, default.memory) == pytest.approx((4e-6, 0.7, 0.7), rel=5e-3)
    two = class_default("class-hbm", fitted(*groups[1:]), measured_of(("", each) for g in groups[1:] for each in g))
    assert two.kernels["matmul"]["bf16"].overhead == pytest.approx(6.5e-6, rel=5e-3)
    hoppers = class_default(
        "class-hbm", fitted(*groups[1:3]), measured_of(("", each) for g in groups[1:3] for each in g)
    )
    assert hoppers.kernels["matmul"]["bf16"].points == 0, "nobody else predicts them"


def test_a_class_has_the_stacks_of_its_parts() -> None:
    every = [[{**each, "hardware": part} for each in of_stacks()] for part in ("a100-sxm-80gb", "h100-sxm", "b200-sxm")]
    default = class_default("class-hbm", fitted(*every), measured_of(("", each) for g in every for each in g))
    assert set(default.stacks) == {"tensorrt-llm", "vllm"}
    for stack, fits in default.stacks.items():
        assert fits["all_reduce"].points == 3 * 33, stack


def test_products_in_mxfp4_run_as_those_in_nvfp4() -> None:
    """With the launch that stacks fuse taken out, as it is of those, judged by what was measured in mxfp4."""
    rows = [
        *gemms(3e-6, 0.7, 0.8, part="b200-sxm"),
        *gemms(12e-6, 0.5, 0.6, part="b200-sxm", dtype="nvfp4", notes=QUANTISATION),
    ]
    products = calibrate(rows).efficiency.kernels["matmul"]
    lent = products["mxfp4"]
    assert lent.model_copy(update={"points": len(GEMMS), "source": products["nvfp4"].source}) == products["nvfp4"]
    assert lent.points == 0
    assert lent.overhead == products["bf16"].overhead
    assert "mxfp4" not in calibrate(gemms(3e-6, 0.7, 0.8)).efficiency.kernels["matmul"]
