"""Fits recover what made the data, refuse what the data do not say, and never promise more than the peak."""

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roofline.describe.catalog import part_class, read_efficiency
from roofline.errors import InvalidInput, RooflineError
from roofline.estimate.deployment import Deployment
from roofline.estimate.work import Operation
from roofline.trust.calibration import calibrate, calibrate_file, catalogue_name, to_toml
from roofline.trust.kernels import COLUMNS, measured_of
from roofline.trust.part_fits import rows_of
from tests.support.measured_kernels import GEMMS, PART, all_reduces, gemms, row, timed

MANY = [{"m": 2**p, "n": n, "k": n} for p, n in product(range(15), (512, 1024, 2048, 4096, 8192, 16384))]
DECODES = [
    {"batch": b, "kv_len": s, "num_heads": 32, "num_kv_heads": 8, "head_dim": 128}
    for b, s in product((1, 8, 64), (128, 1024, 8192, 65536))
]
overheads = st.floats(0, 3e-5)
efficiencies = st.floats(0.2, 1)
quick = st.integers(0, 2**32 - 1)
some = settings(max_examples=max(12, settings.default.max_examples // 4))
"""Every example is a whole fit that a wrong formula misses; the ends of the scales are given beside them."""


@given(overhead=overheads, compute=efficiencies, memory=efficiencies)
def test_known_numbers_of_kernels_are_recovered(overhead: float, compute: float, memory: float) -> None:
    fit = calibrate(gemms(overhead, compute, memory)).efficiency.kernels["matmul"]["bf16"]
    assert fit.overhead == pytest.approx(overhead, rel=2e-3, abs=2e-9)
    assert fit.compute == pytest.approx(compute, rel=2e-3)
    assert fit.memory == pytest.approx(memory, rel=2e-3)
    assert fit.error < 1e-3
    assert fit.points == len(GEMMS)


@some
@given(compute=efficiencies, cores=st.floats(30, 300))
@example(compute=0.2, cores=300)
@example(compute=1, cores=30)
def test_cores_of_prefill_attention_are_recovered_where_rows_tell_them(compute: float, cores: float) -> None:
    """Few heads and short prompts do; blocks enough for every core do not, nor does what has no blocks."""

    def made(lengths: tuple[int, ...], heads: tuple[int, ...]) -> list[dict[str, str]]:
        fixed = {"num_kv_heads": 4, "head_dim": 128}
        shapes = [{"batch": b, "seq_len": s, "num_heads": h, **fixed} for b, s, h in product((1, 8), lengths, heads)]
        rows = [row("attention_prefill", shape) for shape in shapes]
        return timed(rows, lambda kernels: rows_of(PART, kernels).predicted(5e-6, compute, 0.3, cores))

    fit = calibrate(made((16, 256, 1024, 4096, 16384), (4, 32))).efficiency.kernels["attention_prefill"]["bf16"]
    assert fit.cores == pytest.approx(cores, rel=0.02)
    assert fit.compute == pytest.approx(compute, rel=0.01)
    matrices = calibrate(gemms(5e-6, compute, 0.5)).efficiency.kernels["matmul"]["bf16"]
    assert matrices.cores is None


@some
@given(overhead=st.floats(1e-6, 2e-5), compute=efficiencies, memory=efficiencies, seed=quick)
@example(overhead=1e-6, compute=1, memory=0.2, seed=0)
@example(overhead=2e-5, compute=0.2, memory=1, seed=1)
def test_scatter_and_odd_rows_do_not_decide(overhead: float, compute: float, memory: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    rows = gemms(overhead, compute, memory, MANY)
    for measured, factor in zip(rows, np.exp(chance.normal(0, 0.02, len(rows))), strict=True):
        measured["latency_us"] = repr(float(measured["latency_us"]) * float(factor))
    for index in chance.choice(len(rows), 2, replace=False):
        rows[index]["latency_us"] = repr(float(rows[index]["latency_us"]) * 5)
    fit = calibrate(rows).efficiency.kernels["matmul"]["bf16"]
    assert fit.compute == pytest.approx(compute, rel=0.1)
    assert fit.memory == pytest.approx(memory, rel=0.1)
    assert fit.overhead == pytest.approx(overhead, rel=0.25, abs=1e-6)


@some
@given(overhead=st.floats(1e-6, 2e-5), staged=st.floats(1.5, 4), bandwidth=efficiencies)
@example(overhead=1e-6, staged=4, bandwidth=0.2)
@example(overhead=2e-5, staged=1.5, bandwidth=1)
def test_known_numbers_of_collectives_are_recovered(overhead: float, staged: float, bandwidth: float) -> None:
    numbers = (overhead, overhead * staged, bandwidth)
    found = calibrate(all_reduces(numbers)).efficiency.collectives["all_reduce"]
    assert (found.overhead, found.staged_overhead) == pytest.approx(numbers[:2], rel=5e-3)
    assert found.bandwidth == pytest.approx(bandwidth, rel=5e-3)


@pytest.mark.parametrize("part", ["h100-sxm", "a100-sxm-80gb"])
def test_sums_in_a_switch_are_told_where_rows_depend_on_them(part: str) -> None:
    """And not where the switch does not sum, or no buffer is large enough."""
    numbers = (3e-6, 1e-5, 0.6, 6e-5)
    made = all_reduces(numbers, part)
    found = calibrate(made).efficiency.collectives["all_reduce"]
    assert found.summed_overhead == (pytest.approx(6e-5, rel=0.01) if part == "h100-sxm" else None)
    assert (found.overhead, found.staged_overhead, found.bandwidth) == pytest.approx(numbers[:3], rel=5e-3)
    small = [each for each in made if json.loads(each["shape"])["bytes"] < 2**22]
    assert calibrate(small).efficiency.collectives["all_reduce"].summed_overhead is None


def test_unidentified_numbers_of_collectives_are_refused_by_name() -> None:
    def measured(ranks: tuple[int, ...], powers: range) -> list[dict[str, str]]:
        return all_reduces((3e-6, 1e-5, 0.6), powers=powers, ranks=ranks)

    assert "staged_overhead: fewer than 2" in refusal(measured((2,), range(9, 30)))
    assert "bandwidth: fewer than 2" in refusal(measured((2, 4, 8), range(3, 9)))
    assert "overhead: fewer than 2" in refusal(measured((2, 4, 8), range(28, 34)))
    assert "3 rows, and its numbers need 6" in refusal(measured((2, 4, 8), range(9, 10)))


def refusal(rows: list[dict[str, str]]) -> str:
    with pytest.raises(InvalidInput) as error:
        calibrate(rows)
    return str(error.value.given)


def test_unidentified_numbers_are_refused_by_name() -> None:
    thin = [shape for shape in GEMMS if shape["m"] <= 32]
    assert "compute: none of the 12 rows" in refusal(gemms(3e-6, 0.7, 0.8, thin))
    fat = [shape for shape in GEMMS if shape["m"] >= 2048 and shape["n"] >= 4096]
    assert "memory: none of the 6 rows" in refusal(gemms(3e-6, 0.7, 0.8, fat))
    long = [{"m": m, "n": n, "k": n} for m in (64, 512, 8192, 65536) for n in (65536, 131072)]
    assert "overhead:" in refusal(gemms(3e-6, 0.7, 0.8, long))
    assert "5 rows, and three numbers need 6" in refusal(gemms(3e-6, 0.7, 0.8, GEMMS[:5]))
    assert "not identified" in refusal(gemms(3e-6, 0.7, 0.8, [{"m": 256, "n": 4096, "k": 4096}] * 20))


def test_what_is_refused_is_left_to_the_class_and_reported() -> None:
    calibration = calibrate(gemms(3e-6, 0.7, 0.8) + [row("layernorm", {"m": 8, "n": 4096})] * 3)
    assert list(calibration.efficiency.kernels) == ["matmul"]
    assert calibration.fitted == len(GEMMS)
    assert calibration.rows == len(GEMMS) + 3
    assert "left out: 3 rows, elementwise bf16 not identified: 3 rows" in calibration.report


def test_grouped_decode_borrows_its_compute_and_says_so() -> None:
    rows = [row("attention_decode", shape) for shape in DECODES]
    rows = timed(rows, lambda kernels: rows_of(PART, kernels).predicted(1e-5, 0.5, 0.8))
    fit = calibrate(rows).efficiency.kernels["attention_decode"]["bf16"]
    assert fit.compute == 0.7
    assert "compute not identified: 0.7 assumed" in fit.source
    assert (fit.overhead, fit.memory) == pytest.approx((1e-5, 0.8), rel=2e-3)
    latent = [
        row("attention_decode", {"batch": b, "kv_len": s, "num_heads": h, "mla": True})
        for b, s, h in product((1, 16, 64), (1024, 8192), (16, 128))
    ]
    rows += timed(latent, lambda kernels: rows_of(PART, kernels).predicted(1e-5, 0.6, 0.9))
    fits = calibrate(rows).efficiency.kernels
    assert fits["latent_decode"]["bf16"].compute == pytest.approx(0.6, rel=2e-3)
    assert fits["attention_decode"]["bf16"].compute == fits["latent_decode"]["bf16"].compute


def test_a_quantisation_kernel_is_taken_out_of_the_fit() -> None:
    """Its bytes are not in the efficiencies, and what launching it takes not in the overhead."""
    fp8 = [row("gemm", shape, dtype="fp8", notes="with activation quantisation") for shape in GEMMS]
    fp8 = timed(fp8, lambda kernels: rows_of(PART, kernels).predicted(1.3e-5, 0.6, 0.8))
    calibration = calibrate(gemms(3e-6, 0.7, 0.8) + fp8)
    fit = calibration.efficiency.kernels["matmul"]["fp8"]
    assert fit.overhead == calibration.efficiency.kernels["matmul"]["bf16"].overhead
    assert (fit.compute, fit.memory) == pytest.approx((0.6, 0.8), rel=2e-3)
    assert "overhead that of bf16" in fit.source
    assert "fuse" in calibration.efficiency.note
    assert calibration.as_measured["matmul"]["fp8"].overhead == pytest.approx(1.3e-5, rel=2e-3)
    plain = [quantised | {"notes": ""} for quantised in fp8]
    taken_whole = calibrate(gemms(3e-6, 0.7, 0.8) + plain).efficiency.kernels["matmul"]["fp8"]
    assert taken_whole.overhead > 1.2e-5
    assert taken_whole.compute < 0.57


@pytest.mark.parametrize("reached", [None, 0.9])
def test_what_runs_beside_experts_runs_as_elementwise_kernels_do(reached: float | None) -> None:
    """As those measured on the part, else as those of its class, whatever the experts themselves reach."""
    shapes = [
        {"hidden": 4096, "inter": 1536, "topk": 8, "num_experts": 128, "moe_tp": tp, "moe_ep": ep, "num_tokens": tokens}
        for tokens in (1, 16, 128, 1024, 8192, 65536)
        for tp, ep in ((1, 1), (8, 1), (1, 8))
    ]
    moe = [row("moe", shape) for shape in shapes]
    moe = timed(moe, lambda kernels: rows_of(PART, kernels, reached).predicted(3e-5, 0.6, 0.8))
    norms = [row("layernorm", {"m": m, "n": n}) for m, n in product((1, 64, 1024, 16384), (1024, 4096, 16384))]
    norms = timed(norms, lambda kernels: rows_of(PART, kernels).predicted(3e-6, 1, reached or 1))
    fit = calibrate(moe + (norms if reached else [])).efficiency.kernels["experts"]["bf16"]
    assert (fit.overhead, fit.compute, fit.memory) == pytest.approx((3e-5, 0.6, 0.8), rel=3e-3)
    kernels = measured_of((r["id"], r) for r in moe).kernels
    default = part_class("hbm").efficiency.kernels["elementwise"]["any"].memory
    moved = sum(kernel.beside for kernel in kernels)
    assert moved > 0
    seconds = moved / PART.memory["hbm"].bandwidth.value / (reached or default)
    assert rows_of(PART, kernels, reached).beside.sum() == pytest.approx(seconds)


def test_the_file_is_what_the_fit_is(tmp_path: Path) -> None:
    source, output = tmp_path / "rows.csv", tmp_path / "part.toml"
    rows = [{**each, "shape": each["shape"].replace('"', '""')} for each in gemms(3e-6, 0.7, 0.8)]
    text = ",".join(COLUMNS) + "\n"
    text += "\n".join(",".join(f'"{each[name]}"' for name in COLUMNS) for each in rows)
    source.write_text(text, encoding="utf-8")
    said: list[str] = []
    calibration = calibrate_file(source, output, progress=said.append)
    assert read_efficiency(output) == calibration.efficiency
    assert output.read_text(encoding="utf-8").startswith(f"# Fitted by `roofline calibrate {source} -o {output}`\n")
    assert len(said) == 2
    gpu = Deployment("llama-3.1-8b", "h100-sxm", quantization="bf16", efficiency=output)
    assert gpu.decode(batch=1, context=1024).seconds > 0
    with pytest.raises(InvalidInput, match="a file to write"):
        calibrate_file(source, tmp_path / "nowhere" / "part.toml")


def test_text_with_quotes_survives_the_file(tmp_path: Path) -> None:
    rows = [{**each, "source": 'the "best" kernels, µs\\\n2'} for each in gemms(3e-6, 0.7, 0.8)]
    efficiency = calibrate(rows).efficiency
    (tmp_path / "part.toml").write_text(to_toml(efficiency), encoding="utf-8")
    assert read_efficiency(tmp_path / "part.toml") == efficiency


def test_rows_say_whose_they_are() -> None:
    rows = gemms(3e-6, 0.7, 0.8)
    elsewhere = [each | {"hardware": "A100-SXM-80GB"} for each in rows]
    assert calibrate([each | {"hardware": "H100-SXM-80GB"} for each in rows]).efficiency.name == "h100-sxm"
    with pytest.raises(InvalidInput, match="one of those measured: a100-sxm-80gb, h100-sxm"):
        calibrate(rows + elsewhere)
    both = calibrate(rows + elsewhere, "h100-sxm")
    assert both.rows == len(GEMMS)
    assert calibrate(rows + elsewhere, PART).efficiency == both.efficiency
    with pytest.raises(InvalidInput, match="one that was measured: h100-sxm"):
        calibrate(rows, "b200-sxm")
    with pytest.raises(RooflineError, match="no such chip"):
        calibrate([each | {"hardware": "no such chip"} for each in rows])
    with pytest.raises(InvalidInput, match="one of those measured: none"):
        calibrate([])
    assert catalogue_name("B200-SXM-180GB") == "b200-sxm"


@pytest.mark.parametrize("part", ["a100-sxm-80gb", "h100-sxm", "h200-sxm", "b200-sxm", "mi300x", "tpu-v5p"])
@given(data=st.data())
def test_calibrated_is_never_faster_than_ideal_and_grows_with_the_load(part: str, data: st.DataObject) -> None:
    gpu = Deployment("llama-3.1-8b", part, quantization="bf16")
    batch, context = data.draw(st.integers(1, 64)), data.draw(st.integers(1, 2048))
    step = gpu.decode(batch=batch, context=context)
    slack = 1 + 1e-9
    assert step.floor <= step.ideal * slack
    assert step.ideal <= step.low * slack
    assert step.low <= step.seconds * slack
    assert step.seconds <= step.high * slack
    assert gpu.decode(batch=batch + 1, context=context).seconds * slack >= step.seconds
    assert gpu.decode(batch=batch, context=context + 1).seconds * slack >= step.seconds


@given(
    flops=st.floats(0, 1e18), moved=st.floats(1, 1e13), overhead=overheads, compute=efficiencies, memory=efficiencies
)
def test_the_form_is_bounded_below_by_the_roofs(
    flops: float, moved: float, overhead: float, compute: float, memory: float
) -> None:
    work = Operation("any", "matmul", "bf16", "bf16", flops, moved, 0, 0, flops, moved, 0)
    kernel = measured_of([("row", row("gemm", GEMMS[0]))]).kernels[0]
    rows = rows_of(PART, [type(kernel)(kernel.id, kernel.accelerator, work, 1.0, "", "")])
    seconds = rows.predicted(overhead, compute, memory)[0]
    assert seconds >= max(flops / PART.cite("peak.bf16").value, moved / PART.cite("memory.bandwidth").value)
    assert math.isfinite(seconds)
