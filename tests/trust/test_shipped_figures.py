"""The figures of the catalogue are what the command gives for the rows that ship with it, and true of them."""

from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measured import refit
from benchmarks.measured.refit_runtimes import FOUR_BITS, STACKS, bare
from roofline.describe.catalog import accelerator, accelerators, calibration, part_class, read_efficiency
from roofline.describe.efficiency import COLLECTIVE_CLASSES, KERNEL_CLASSES, CollectiveFit, Efficiency, KernelFit
from roofline.describe.formats import FORMATS
from roofline.describe.runtimes import runtime
from roofline.trust.calibration import Calibration, calibrate, calibrate_file, catalogue_name
from roofline.trust.fitting import evidence
from roofline.trust.kernels import Measured, by_format, read_kernels
from roofline.trust.part_fits import predicted, streaming_of
from roofline.trust.published_rates import Rate

ROOT = Path(__file__).resolve().parents[2]
fitted_part = pytest.mark.parametrize("part", refit.FITTED)


@cache
def measured() -> Measured:
    return read_kernels(ROOT / refit.KERNELS)


@cache
def refitted(part: str) -> Calibration:
    return calibrate(measured(), part)


def shipped(part: str) -> Efficiency:
    found = calibration(part)
    assert found is not None
    return found


def same(left: Efficiency, right: Efficiency, tolerance: float) -> None:
    """Equal in every text, and in every number to the tolerance."""
    assert left.model_dump(include={"name", "source", "note"}) == right.model_dump(include={"name", "source", "note"})
    pairs: list[tuple[KernelFit | CollectiveFit, KernelFit | CollectiveFit]] = []
    assert {key: set(formats) for key, formats in left.kernels.items()} == {
        key: set(formats) for key, formats in right.kernels.items()
    }
    for kernel_class, formats in left.kernels.items():
        pairs += [(figures, right.kernels[kernel_class][key]) for key, figures in formats.items()]
    assert left.collectives.keys() == right.collectives.keys()
    pairs += [(figures, right.collectives[key]) for key, figures in left.collectives.items()]
    assert {key: set(fits) for key, fits in left.stacks.items()} == {
        key: set(fits) for key, fits in right.stacks.items()
    }
    for stack, fits in left.stacks.items():
        pairs += [(figures, right.stacks[stack][key]) for key, figures in fits.items()]
    for one, other in pairs:
        numbers, others = one.model_dump(exclude_none=True), other.model_dump(exclude_none=True)
        assert numbers.pop("source") == others.pop("source")
        assert numbers.pop("crossing", None) == others.pop("crossing", None)
        assert numbers == pytest.approx(others, rel=tolerance)


@fitted_part
def test_the_command_gives_the_shipped_file(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    calibrate_file(refit.KERNELS, tmp_path / "part.toml", accelerator=part)
    same(read_efficiency(tmp_path / "part.toml"), shipped(part), 1e-6)
    lines = (ROOT / refit.SPECS / f"{part}.toml").read_text(encoding="utf-8").splitlines()
    again = (tmp_path / "part.toml").read_text(encoding="utf-8").splitlines()
    assert lines[1:] == again[1:]


def test_one_die_has_one_set_of_figures_but_for_its_memory() -> None:
    one, other = shipped("h100-sxm"), shipped("h200-sxm")
    shared = [(one.kernels[name][key], fit) for name, fits in other.kernels.items() for key, fit in fits.items()]
    assert len(shared) == 16
    for left, right in shared:
        assert (left.overhead, left.compute, left.cores) == (right.overhead, right.compute, right.cores)
    evidence = {"points", "error", "low", "high", "source"}
    for left, right in zip(
        (one.collectives, *one.stacks.values()), (other.collectives, *other.stacks.values()), strict=True
    ):
        for name, fit in left.items():
            assert fit.model_dump(exclude=evidence) == right[name].model_dump(exclude=evidence)


def test_every_measured_part_has_the_all_reduces_of_both_stacks() -> None:
    """TensorRT-LLM's start sooner, and vLLM's are closer to the rows of vLLM than the line through both is."""
    for part in refit.FITTED:
        stacks = shipped(part).stacks
        assert set(stacks) == {"tensorrt-llm", "vllm"}
        own, other = (stacks[name]["all_reduce"] for name in ("tensorrt-llm", "vllm"))
        assert own.overhead < shipped(part).collectives["all_reduce"].overhead < other.overhead
        assert max(own.error, other.error) < shipped(part).collectives["all_reduce"].error


@fitted_part
def test_the_part_names_its_calibration(part: str) -> None:
    assert accelerator(part).calibration == part


@fitted_part
def test_every_row_of_a_fitted_part_is_in_a_fit(part: str) -> None:
    rows = sum(catalogue_name(kernel.accelerator) == part for kernel in measured().kernels)
    efficiency = shipped(part)
    points = sum(figures.points for formats in efficiency.kernels.values() for figures in formats.values())
    points += sum(figures.points for figures in efficiency.collectives.values())
    assert points == rows == refitted(part).rows
    assert not measured().left_out
    assert not refitted(part).left_out


@fitted_part
def test_the_errors_of_a_part_are_true_of_its_rows(part: str) -> None:
    own = [kernel for kernel in measured().kernels if kernel.accelerator == part]
    raw = refitted(part).as_measured
    for kernel_class, formats in shipped(part).kernels.items():
        groups = by_format(own, kernel_class)
        for key, figures in formats.items():
            if figures.points == 0:
                assert key not in groups
                continue
            as_measured = raw[kernel_class][key]
            assert (as_measured.compute, as_measured.memory) == (figures.compute, figures.memory)
            check(part, groups[key], as_measured, figures, streaming_of(raw))
    for collective, wires in shipped(part).collectives.items():
        check(part, by_format(own, collective)["any"], wires, wires)


def check(
    part: str,
    group: list,  # type: ignore[type-arg]
    used: KernelFit | CollectiveFit,
    stated: KernelFit | CollectiveFit,
    streaming: float | None = None,
) -> None:
    times = predicted(accelerator(part), group, used, streaming)
    shown = evidence(times, np.array([kernel.seconds for kernel in group]))
    assert (shown.points, shown.error) == pytest.approx((stated.points, stated.error), rel=1e-6)
    assert (shown.low, shown.high) == pytest.approx((stated.low, stated.high), rel=1e-6)


def test_the_defaults_are_what_the_fits_give() -> None:
    default = refit.hbm_default(measured(), [refitted(part) for part in refit.FITTED])
    same(default, part_class("hbm").efficiency, 1e-6)


def test_what_the_class_sustains_is_the_median_of_the_fitted_parts() -> None:
    """81 % and 80 % of the peak are of H100 and H200, which are one chip: the mean would be another."""
    shares = [accelerator(part).sustained("bf16", refit.BENCHMARK) for part in refit.FITTED]
    found = part_class("hbm").sustained["bf16"]
    assert found.value == pytest.approx(float(np.median([share for share in shares if share])), rel=1e-3)
    assert found.source == refit.BENCHMARK
    assert refit.sustained() in (ROOT / "hardware_specs/calibration/class-hbm.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", STACKS)
def test_stacks_run_experts_in_four_bits_as_the_fit_took_them(name: str) -> None:
    """They compute as was measured of their own format, and are read as experts of any."""
    shipped_experts, measured_experts = runtime(name).kernels, part_class("hbm").efficiency.kernels["experts"]
    assert shipped_experts == bare(name).kernels
    assert shipped_experts is not None
    for stored, own in FOUR_BITS.items():
        fit = shipped_experts.kernels["experts"][stored]
        assert fit.compute == measured_experts[own].compute
        assert (fit.memory, fit.overhead) == (measured_experts["any"].memory, measured_experts["any"].overhead)


def test_the_defaults_judge_every_row_of_a_part_that_was_not_fitted() -> None:
    default = part_class("hbm").efficiency
    others = [kernel for kernel in measured().kernels if kernel.accelerator not in refit.FITTED]
    assert len(others) == 3113
    for kernel_class in KERNEL_CLASSES:
        for key, group in by_format(others, kernel_class).items():
            assert default.kernels[kernel_class].get(key, default.kernels[kernel_class]["any"]).points >= len(group)


def test_the_memory_a_runtime_keeps_is_cited() -> None:
    reserve = part_class("hbm").reserve
    assert reserve is not None
    assert (reserve.value, reserve.source) == (0.1, "vllm-engine-arguments")
    assert part_class("sram").reserve is None


@pytest.mark.parametrize("kind", ["hbm", "sram"])
def test_every_class_and_format_has_a_default(kind: str) -> None:
    default = part_class(kind).efficiency
    for kernel_class, stored, computed in product(KERNEL_CLASSES, FORMATS, FORMATS):
        assert default.kernel(kernel_class, stored, computed) is not None
    assert set(default.collectives) == set(COLLECTIVE_CLASSES)


def test_named_calibrations_exist() -> None:
    named = {name: accelerator(name).calibration for name in accelerators() if accelerator(name).calibration}
    assert {calibration(str(name)) is not None for name in named.values()} == {True}
    assert set(refit.FITTED) | set(refit.RATED) <= set(named)


@pytest.mark.parametrize("rate", refit.published(), ids=lambda rate: rate.id)
def test_published_rates_lie_in_the_spread_of_their_part(rate: Rate) -> None:
    figures = shipped(rate.accelerator).kernels["matmul"]["any"]
    assert (figures.compute, figures.memory) == (1, 1)
    ratio = rate.seconds / rate.estimated(figures.overhead)
    assert figures.low * 0.9 <= ratio <= figures.high * 1.1


@pytest.mark.parametrize("part", refit.RATED)
def test_the_overhead_of_a_rated_part_is_the_median_of_its_rates(part: str) -> None:
    own = [rate for rate in refit.published() if rate.accelerator == part]
    figures = shipped(part).kernels["matmul"]["any"]
    assert figures.points == len(own)
    assert figures.overhead == pytest.approx(np.median([rate.overhead() for rate in own]), rel=0.02)


def test_the_page_is_up_to_date() -> None:
    text = (ROOT / refit.PAGE).read_text(encoding="utf-8")
    for name, table in refit.tables().items():
        assert f"<!-- {name} -->\n{table}\n<!-- /{name} -->" in text, f"run python -m benchmarks.measured.refit: {name}"
