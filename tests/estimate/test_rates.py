"""What a part reaches, and in which formats it runs: its own figures, its class's, and what is said of substitutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import roofline as rl
from roofline.describe.catalog import accelerator, calibration, part_class
from roofline.describe.efficiency import KERNEL_CLASSES, CollectiveFit, Efficiency, KernelFit
from roofline.describe.formats import PRESETS, Quantization
from roofline.describe.runtimes import runtime, slower_in_service
from roofline.errors import SpecError, UnsupportedFormat
from roofline.estimate.quantize import native_quantization, runnable
from roofline.estimate.rates import Rates
from roofline.estimate.sustained import as_sustained, sustains
from roofline.estimate.work import Operation, Transfer

EVIDENCE: dict[str, Any] = {"points": 1, "error": 0, "low": 1, "high": 1, "source": "a test"}


def matmul(stored: str, computed: str, kernel_class: Any = "matmul") -> Operation:
    return Operation("a term", kernel_class, stored, computed, 1, 1, 0, 0, 1, 1, 0)


def kernel(overhead: float) -> KernelFit:
    return KernelFit(overhead=overhead, compute=1, memory=1, **EVIDENCE)


def partial() -> Efficiency:
    """Figures for products alone: in fp8, of 4-bit weights in bf16, and in any other format."""
    fits = {"fp8": kernel(1e-6), "int4-bf16": kernel(2e-6), "any": kernel(3e-6)}
    return Efficiency(name="mine", source="a test", kernels={"matmul": fits})


@pytest.mark.parametrize(
    ("stored", "computed", "overhead"),
    [("fp8", "fp8", 1e-6), ("int4", "bf16", 2e-6), ("fp8", "bf16", 1e-6), ("bf16", "bf16", 3e-6)],
)
def test_the_nearest_format_is_taken(stored: str, computed: str, overhead: float) -> None:
    """Both formats, the stored one, the computed one, any: in that order."""
    rates = Rates.of(accelerator("h100-sxm"), partial(), {"bf16": "bf16", "fp8": "fp8"})
    assert rates.of_operation(matmul(stored, computed)) == (computed, kernel(overhead))


def test_what_the_callers_figures_leave_out_is_the_classs() -> None:
    rates = Rates.of(accelerator("l40s"), partial(), {"bf16": "bf16"})
    default = part_class("hbm").efficiency
    found = rates.of_operation(matmul("bf16", "bf16", "experts"))[1]
    assert found == default.kernel("experts", "bf16", "bf16")
    assert rates.of_transfer(Transfer("t", "all_gather", 1, 1, 2)) == default.collectives["all_reduce"]
    assert rates.of_transfer(Transfer("t", "all_to_all", 1, 1, 2)) == default.collectives["all_to_all"]
    (sentence,) = rates.assumptions()
    assert "are fitted for" in sentence
    assert "experts bf16" in sentence


def test_a_part_with_measured_kernels_takes_its_own() -> None:
    own = calibration("h100-sxm")
    rates = Rates.of(accelerator("h100-sxm"), "calibrated", {"bf16": "bf16"})
    assert rates.sources == (own, as_sustained(part_class("hbm").efficiency, accelerator("h100-sxm")))
    assert own is not None
    assert rates.of_operation(matmul("bf16", "bf16"))[1] == own.kernel("matmul", "bf16", "bf16")
    assert rates.assumptions() == []


def test_a_part_without_measured_kernels_takes_its_classs_and_says_so() -> None:
    deployment = rl.Deployment("llama-3.1-8b", "mi300x")
    assert deployment.rates.sources == (as_sustained(part_class("hbm").efficiency, accelerator("mi300x")),)
    assert "no kernels of AMD Instinct MI300X are fitted: efficiencies of class-hbm" in " ".join(
        deployment.decode().assumptions
    )


def test_the_classs_arithmetic_is_taken_as_far_as_a_part_sustains_its_peak() -> None:
    """By one benchmark for all: what a part's products reach of their peak over what those of its class reach."""
    part, default = accelerator("mi300x"), part_class("hbm")
    rates = Rates.of(part, "calibrated", {"bf16": "bf16", "fp8": "fp8"})
    times = 668.4e12 / part.peak["bf16"].value / default.sustained["bf16"].value
    assert 0.6 < times < 0.7
    kinds: tuple[tuple[str, Any], ...] = (("bf16", "matmul"), ("fp8", "experts"))  # none measured in fp8: that of bf16
    for computed, kernel_class in kinds:
        found = rates.of_operation(matmul(computed, computed, kernel_class))[1]
        usual = default.efficiency.kernel(kernel_class, computed, computed)
        assert usual is not None
        slower = slower_in_service("AMD")  # as service tells, kernels or not
        assert found.compute == pytest.approx(usual.compute * times / slower)
        assert (found.memory, found.overhead) == (usual.memory / slower, usual.overhead * slower)
    sentences = rates.assumptions()
    assert sentences[1].endswith("its class, whose arithmetic is taken × 0.637 as in bf16 (mle-accelerators)")
    streaming = Rates.of(part, "calibrated", {"bf16": "bf16"})
    streaming.of_operation(matmul("bf16", "bf16", "elementwise"))
    assert len(streaming.assumptions()) == 1
    fitted = Rates.of(accelerator("a100-sxm-80gb"), "calibrated", {"bf16": "bf16"})
    fitted.of_operation(matmul("bf16", "bf16"))
    assert fitted.assumptions() == []
    fitted.of_operation(matmul("bf16", "bf16", "experts"))  # borrowed
    assert "taken × 1.08 as in bf16" in fitted.assumptions()[1]


def test_each_format_is_scaled_as_the_benchmark_has_it_and_to_the_peak_at_most() -> None:
    default = part_class("hbm")
    part = accelerator("gaudi3")
    times = sustains(part)
    assert times["fp8"] == pytest.approx(1289.5e12 / part.peak["fp8"].value / default.sustained["fp8"].value)
    assert times["fp8"] != times["bf16"]
    rates = Rates.of(part, "calibrated", {"bf16": "bf16", "fp8": "fp8"})
    for stored, computed in (("bf16", "bf16"), ("fp8", "fp8"), ("int4", "bf16")):
        for kernel_class in ("matmul", "attention_decode"):  # the latter measured in any format alone
            usual = default.efficiency.kernel(kernel_class, stored, computed)  # type: ignore[arg-type]
            found = rates.of_operation(matmul(stored, computed, kernel_class))[1]
            assert usual is not None
            assert found.compute == pytest.approx(usual.compute * times[computed])
    more = Rates.of(accelerator("gaudi2"), "calibrated", {"bf16": "bf16", "fp8": "fp8"})
    usual = default.efficiency.kernel("experts", "bf16", "bf16")
    assert usual is not None
    assert usual.compute * sustains(accelerator("gaudi2"))["bf16"] > 1
    assert more.of_operation(matmul("bf16", "bf16", "experts"))[1].compute == 1
    assert "taken × 1.21 as in bf16 (mle-accelerators), to its peak at most" in more.assumptions()[1]


def test_figures_that_a_stack_takes_from_the_class_are_scaled_as_the_class_s() -> None:
    """Experts in 4 bits, which stacks run otherwise than they were measured: scaled with and without a stack."""
    stack = runtime("vllm").model_copy(update={"slower": {}})
    for part in ("mi355x", "b200-sxm"):
        rates = Rates.of(accelerator(part), "calibrated", {"mxfp4": "mxfp4"}).under(stack)
        fit = rates.of_operation(matmul("mxfp4", "mxfp4", "experts"))[1]
        assert stack.kernels is not None
        taken = stack.kernels.kernel("experts", "mxfp4", "mxfp4")
        assert taken is not None
        assert fit.compute == pytest.approx(taken.compute * sustains(accelerator(part))["bf16"])
        assert any("as in bf16" in said for said in rates.assumptions())


def test_figures_of_the_part_or_the_caller_are_taken_as_they_are() -> None:
    """So are the class's where no figure of the same benchmark says what the part sustains."""
    plain = {"bf16": "bf16", "fp8": "fp8"}
    default = part_class("hbm").efficiency
    for part, efficiency in (("mi300x", partial()), ("b200-sxm", "calibrated"), ("mi300x", "ideal")):
        rates = Rates.of(accelerator(part), efficiency, plain)
        known = (source.kernel("matmul", "fp8", "fp8") for source in rates.sources)
        assert rates.of_operation(matmul("fp8", "fp8"))[1] == next(fit for fit in known if fit)
    given = Rates.of(accelerator("mi300x"), default, plain)  # the class's own, but the caller's
    assert given.of_operation(matmul("fp8", "fp8"))[1] == default.kernel("matmul", "fp8", "fp8")
    rates = Rates.of(accelerator("l40s"), "calibrated", plain)  # measured, but by another benchmark
    assert rates.of_operation(matmul("bf16", "bf16"))[1] == default.kernel("matmul", "bf16", "bf16")
    assert len(rates.assumptions()) == 1


SUM = Transfer("t", "all_reduce", 1, 1, 2)


@pytest.mark.parametrize(
    ("part", "stack", "whose", "small"),
    [
        ("h100-sxm", None, "", ""),
        ("h100-sxm", "tensorrt-llm", "tensorrt-llm", ""),
        ("h100-sxm", "tensorrt-llm-2024", "tensorrt-llm", ""),
        ("h100-sxm", "vllm", "vllm", "tensorrt-llm"),  # which it takes from FlashInfer on Hopper and Blackwell
        ("b200-sxm", "vllm", "vllm", "tensorrt-llm"),
        ("h100-sxm", "vllm-2025", "vllm", ""),
        ("h100-sxm", "vllm-0.16", "vllm", ""),
        ("b200-sxm", "vllm-0.16", "vllm", "tensorrt-llm"),  # where recipes asked for them
        ("a100-sxm-80gb", "vllm", "vllm", ""),
        ("h100-sxm", "sglang", "", ""),  # none of its own are measured
    ],
)
def test_a_stack_launches_its_own_all_reduces(part: str, stack: str | None, whose: str, small: str) -> None:
    """And the small ones of another where it says so, with the norms behind them."""
    rates = Rates.of(accelerator(part), "calibrated", {"bf16": "bf16"}).under(stack and runtime(stack))
    own = calibration(part)
    assert own is not None
    fit = own.stacks[whose]["all_reduce"] if whose else own.collectives["all_reduce"]
    crossing = part_class("hbm").efficiency.collectives["all_reduce"].crossing
    assert crossing is not None
    assert not [line for line in rates.assumptions() if "all-reduces" in line]
    found = rates.of_transfer(SUM)
    if small:
        lent = own.stacks[small]["all_reduce"]
        assert found.overhead == lent.overhead < fit.overhead
        assert (found.low, found.high, found.source) == (lent.low, lent.high, lent.source)
        others = ("staged_overhead", "bandwidth", "summed_overhead")
        assert [getattr(found, name) for name in others] == [getattr(fit, name) for name in others]
    else:
        assert found == fit.model_copy(update={"crossing": crossing})
    assert found.crossing == crossing
    assert rates.fused == (("norms", "narrow_norms") if small else runtime(stack).fuses if stack else ())
    said = [line for line in rates.assumptions() if "all-reduces" in line]
    assert said == (
        [f"{stack} launches the small all-reduces of {small} on this part, norms with them"] if small else []
    )
    assert rates.ideal.of_transfer(SUM).overhead == 0


def test_a_hand_over_is_no_sum_to_launch_otherwise() -> None:
    rates = Rates.of(accelerator("h100-sxm"), "calibrated", {"bf16": "bf16"}).under(runtime("vllm"))
    rates.of_transfer(Transfer("t", "point_to_point", 1, 1, 2))
    assert not [line for line in rates.assumptions() if "all-reduces" in line]


@pytest.mark.parametrize("stack", ["tensorrt-llm", "vllm"])
def test_collectives_of_the_caller_go_before_those_of_a_stack_in_the_class(stack: str) -> None:
    """Whole: nothing is launched in their place. So do the caller's own of a stack."""
    mine = CollectiveFit(overhead=1e-3, staged_overhead=1e-3, bandwidth=1, **EVIDENCE)
    for tables in ({"collectives": {"all_reduce": mine}}, {"stacks": {stack: {"all_reduce": mine}}}):
        given = Efficiency(name="mine", source="a test", **tables)  # type: ignore[arg-type]
        rates = Rates.of(accelerator("h100-sxm"), given, {}).under(runtime(stack))
        assert rates.of_transfer(SUM).overhead == 1e-3
        assert not [line for line in rates.assumptions() if "all-reduces" in line]


def test_ideal_loses_nothing_and_assumes_nothing() -> None:
    rates = Rates.of(accelerator("mi300x"), "ideal", {"bf16": "bf16"})
    for kernel_class in KERNEL_CLASSES:
        fit = rates.of_operation(matmul("int4", "bf16", kernel_class))[1]
        assert (fit.overhead, fit.compute, fit.memory, fit.low, fit.high) == (0, 1, 1, 1, 1)
    wires = rates.of_transfer(Transfer("t", "all_reduce", 1, 1, 2))
    assert (wires.overhead, wires.staged_overhead, wires.bandwidth) == (0, 0, 1)
    assert rates.assumptions() == []


@pytest.mark.parametrize("make", [str, Path])
def test_figures_from_a_file(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nsource = "a test"\n[kernels.matmul.any]\noverhead = 0.5\ncompute = 1\nmemory = 1\n'
        'points = 1\nerror = 0\nlow = 1\nhigh = 1\nsource = "a test"\n',
        encoding="utf-8",
    )
    step = rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=make(path)).decode()
    assert step.terms["lm_head"].overhead == 0.5
    assert "a test" in step.sources


def test_figures_that_nobody_has_are_named() -> None:
    bare = Efficiency(name="bare", source="a test")
    rates = Rates(accelerator("h100-sxm"), (bare,), {"bf16": "bf16"})
    with pytest.raises(SpecError, match=r"no table kernels\.matmul"):
        rates.of_operation(matmul("bf16", "bf16"))
    with pytest.raises(SpecError, match=r"no table collectives\.all_reduce"):
        rates.of_transfer(Transfer("t", "all_reduce", 1, 1, 2))


def test_a_changed_copy_forgets_what_it_looked_up() -> None:
    from dataclasses import replace

    rates = Rates.of(accelerator("h100-sxm"), "ideal", {"bf16": "bf16"})
    assert rates.of_operation(matmul("bf16", "bf16"))[1].overhead == 0
    changed = replace(rates, sources=(partial(),))
    assert changed.of_operation(matmul("bf16", "bf16"))[1].overhead == 3e-6


@pytest.mark.parametrize(
    ("part", "times"), [("rtx-4090", 330.3 / 165.2), ("rtx-3090", 2.0), ("l40s", 1.0), ("apple-m2-ultra", 1.0)]
)
def test_a_stack_that_sums_in_16_bits_multiplies_faster_where_the_part_does(part: str, times: float) -> None:
    """GeForce prints 165 TFLOP/s with sums in 32 bits and 330 in 16, of which ideal and floor are then, too."""
    stack = runtime("llama.cpp")
    wide = stack.model_copy(update={"sums": "fp32"})
    plain, fast = (Rates.of(accelerator(part), "calibrated", {"bf16": "bf16"}).under(each) for each in (wide, stack))
    assert (plain.faster_sums, fast.faster_sums) == (1.0, pytest.approx(times))
    product, scores = matmul("bf16", "bf16"), matmul("bf16", "bf16", "attention_prefill")
    before, after = (rates.of_operation(product)[1] for rates in (plain, fast))
    assert after.compute == pytest.approx(times * before.compute)
    assert (after.memory, after.overhead) == (before.memory, before.overhead)
    assert fast.of_operation(scores)[1] == plain.of_operation(scores)[1]
    assert fast.ideal.of_operation(product)[1].compute == pytest.approx(times)
    assert (fast.ideal.faster(product), fast.ideal.faster(scores)) == (pytest.approx(times), 1.0)
    assert fast.under(None).faster_sums == 1
    assert any("in 16 bits: 2 × the printed peak" in said for said in fast.assumptions()) == (times > 1)


def test_the_peak_of_either_16_bit_format_is_what_sums_are_faster_than() -> None:
    part = accelerator("rtx-4090")
    only = part.model_copy(update={"peak": {name: rate for name, rate in part.peak.items() if name != "fp16"}})
    for each in (part, only):
        assert Rates.of(each, "calibrated", {}).under(runtime("llama.cpp")).faster_sums == pytest.approx(330.3 / 165.2)
    neither = part.model_copy(update={"peak": {"fp8": part.peak["fp8"]}})
    assert Rates.of(neither, "calibrated", {}).under(runtime("llama.cpp")).faster_sums == 1


def test_the_floor_is_that_of_the_fastest_sums_whatever_the_stack() -> None:
    """Of a prompt that computes for longer than it reads: an engine may sum in 16 bits where the part is faster so."""
    alone, served = (
        rl.Deployment("llama-3.1-8b", "rtx-4090", runtime=name, slice="whole").prefill(4096)
        for name in (None, "llama.cpp")
    )
    faster = accelerator("rtx-4090").facts["fp16_accumulate_fp16"].value / accelerator("rtx-4090").peak["fp16"].value
    assert alone.floor == served.floor < served.ideal < served.seconds
    assert 1 + 0.7 * (faster - 1) < alone.ideal / served.ideal < faster  # attention and norms are as fast as they were


def test_kernels_that_a_caller_measured_go_before_those_of_the_stack() -> None:
    """Hosts of the stack stay, and so do its kernels of other classes; what was measured contains how it was summed."""
    stack, part, mine = runtime("llama.cpp"), accelerator("rtx-4090"), partial()
    rates = Rates.of(part, mine, {"bf16": "bf16"}).under(stack)
    assert rates.of_operation(matmul("bf16", "bf16"))[1] == mine.kernel("matmul", "bf16", "bf16")
    assert stack.kernels is not None
    other = Efficiency(name="other", source="a test", kernels={"elementwise": mine.kernels["matmul"]})
    own = Rates.of(part, other, {"bf16": "bf16"}).under(stack)
    taken = as_sustained(stack.kernels, part).kernel("matmul", "bf16", "bf16")
    assert taken is not None
    assert own.of_operation(matmul("bf16", "bf16"))[1].compute == pytest.approx(taken.compute * own.faster_sums)
    served = Rates.of(part, mine, {"bf16": "bf16"}).under(runtime("vllm"))
    host = served.of_operation(matmul("host", "host", "host_step"))[1]
    assert host.overhead == runtime("vllm").step


def test_fits_of_collectives_and_kernels_are_bounded() -> None:
    with pytest.raises(ValueError, match="less than or equal to 1"):
        KernelFit(overhead=0, compute=1.01, memory=1, **EVIDENCE)
    with pytest.raises(ValueError, match="greater than 0"):
        CollectiveFit(overhead=0, staged_overhead=0, bandwidth=0, **EVIDENCE)


# -- formats ----------------------------------------------------------------------------------------------------------


def test_a_format_that_is_native_runs_as_it_is() -> None:
    found = runnable(PRESETS["fp8"], accelerator("h100-sxm"))
    assert (found.quantization, found.peaks, found.notes) == (PRESETS["fp8"], {"fp8": "fp8", "bf16": "bf16"}, ())


def test_the_other_16_bit_format_stands_in_and_is_said() -> None:
    found = runnable(PRESETS["int8"], accelerator("groq-lpu-v1"))
    assert found.peaks == {"int8": "int8", "bf16": "fp16", "fp8": "fp16"}  # index scores run as attention does
    assert found.notes == ("Groq LPU v1 (GroqChip 1) has no bf16 peak: fp16, of the same width, is taken",)
    step = rl.Deployment("llama-3.1-8b", "groq-lpu-v1", 64, quantization="int8").decode()
    assert found.notes[0] in step.assumptions


def test_weights_narrower_than_any_peak_of_mxfp4_are_multiplied_in_16_bits() -> None:
    found = runnable(PRESETS["mxfp4"], accelerator("h100-sxm"))
    assert found.quantization.activations == "bf16"
    assert found.quantization.weights == "mxfp4"
    assert found.peaks == {"bf16": "bf16", "fp8": "fp8"}
    assert found.notes == ("NVIDIA H100 SXM5 80GB has no MXFP4 peak: such weights are multiplied in bf16",)


def test_attention_runs_at_the_widest_rate_there_is() -> None:
    part = accelerator("groq-3-lpu")
    found = runnable(PRESETS["fp8"], part)
    assert set(part.peak) == {"fp8"}
    assert found.peaks == {"fp8": "fp8", "bf16": "fp8"}
    assert len(found.notes) == 1
    assert "attention and head are taken to run at its fp8 rate" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "wanted", "got"),
    [
        ("h100-sxm", "fp8", "fp8"),
        ("h100-sxm", "nvfp4", "mxfp4"),
        ("groq-lpu-v1", "bf16", "bf16"),
        ("groq-lpu-v1", "fp8", "int8"),
        ("groq-3-lpu", "bf16", "fp8"),
        ("a100-sxm-80gb", "fp8", "int8"),
    ],
)
def test_the_nearest_native_format_is_by_width(name: str, wanted: str, got: str) -> None:
    assert native_quantization(PRESETS[wanted], accelerator(name)) == PRESETS[got]


def test_what_cannot_run_is_refused_with_what_can() -> None:
    with pytest.raises(UnsupportedFormat, match="expected a format it computes in: fp8"):
        runnable(Quantization(weights="bf16"), accelerator("groq-3-lpu"))
    own = Quantization(weights="fp8", activations="fp8", kv_cache="fp8", experts="mxint4")
    assert runnable(own, accelerator("h100-sxm")).quantization.experts == "mxint4"


def test_figures_of_another_part_are_said_to_be() -> None:
    """And costs of a host that a calibration has not are not missed."""
    other = Efficiency.ideal().model_copy(update={"name": "NVIDIA H100 SXM5 80GB"})
    said = rl.Deployment("llama-3.1-8b", "b200-sxm", efficiency=other, runtime="vllm").decode(1, 100).assumptions
    assert "efficiencies of NVIDIA H100 SXM5 80GB are taken for NVIDIA B200 SXM 180GB" in said
    own = rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=other).decode(1, 100).assumptions
    mine = other.model_copy(update={"name": "mine", "kernels": {"host_step": other.kernels["host_step"]}})
    named = rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=mine).decode(1, 100).assumptions
    assert not any("efficiencies of" in sentence or "host" in sentence for sentence in (*own, *named))


def test_a_request_waits_as_long_as_the_first_source_says() -> None:
    plain = rl.Deployment("llama-3.1-8b", "h100-sxm")
    fit = Efficiency.ideal().kernels["host_step"]["any"].model_copy(update={"overhead": 0.02})
    mine = Efficiency.ideal().model_copy(update={"name": "mine", "kernels": {"host_request": {"any": fit}}})
    hosted = rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=mine)
    assert (plain.rates.request, hosted.rates.request) == (0.0, 0.02)
    named = rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=mine, runtime="vllm")
    assert named.rates.request == runtime("vllm").request
    assert named.rates.under(None).request == 0.02
    traffic = rl.Traffic(1024, 2, concurrency=1)
    assert rl.serve(hosted, traffic).ttft == pytest.approx(hosted.prefill(1024).seconds + 0.02)
