"""What is said to input that cannot be meant: the right class, one line, what was given, what was expected.

And what is not refused: a context beyond the model's, a point of an array that does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy

import roofline as rl
from roofline.errors import RooflineError

X = sympy.Symbol("x", positive=True)


@pytest.fixture(scope="module")
def gpu() -> rl.Deployment:
    return rl.Deployment("llama-3.1-8b", "h100-sxm", tp=1, pp=1)


def refused(call: Callable[[], Any], error: type[RooflineError], *words: str) -> RooflineError:
    """The error of a call, which is of exactly this class and whose one line contains the words."""
    with pytest.raises(RooflineError) as caught:
        call()
    assert type(caught.value) is error, f"{type(caught.value).__name__}: {caught.value}"
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    for word in words:
        assert word in message, message
    return caught.value


# -- numbers at a point -----------------------------------------------------------------------------------------------

NO_NUMBERS = {
    "text": "32",
    "bytes": b"3",
    "none": None,
    "true": True,
    "numpy true": np.bool_(True),
    "complex": 1 + 2j,
    "decimal": Decimal(3),
    "dict": {},
    "set": {1},
    "range": range(1, 3),
    "date": np.datetime64("2026-01-01"),
    "object": object(),
    "matrix": sympy.Matrix([1, 2]),
    "frozen matrix": sympy.ImmutableMatrix([1, 2]),
    "truth": sympy.true,
    "relation": X < 3,
    "imaginary": sympy.I,
    "complex infinity": sympy.zoo,
    "imaginary symbol": sympy.Symbol("y", imaginary=True),
}
OUT_OF_RANGE = {
    "negative": (-1, "-1"),
    "zero": (0, "0"),
    "minus zero": (-0.0, "-0.0"),
    "a half": (0.5, "0.5"),
    "nan": (float("nan"), "nan"),
    "inf": (float("inf"), "inf"),
    "minus inf": (-float("inf"), "-inf"),
    "huge": (1e99, "1e+99"),
    "beyond any float": (10**400, "1000"),
    "symbolic infinity": (sympy.oo, "oo"),
    "symbolic nan": (sympy.nan, "nan"),
    "symbolic zero": (sympy.Integer(0), "0"),
}
NO_ARRAYS = {
    "empty list": ([], "array([]"),
    "empty array": (np.array([]), "array([]"),
    "one nan": ([1.0, float("nan"), 2.0], "got nan"),
    "one infinite": (np.array([1, np.inf]), "got inf"),
    "one negative": (np.array([[1, 2], [3, -4]]), "got -4"),
    "one zero": ((1, 0), "got 0"),
    "texts": (["a", "b"], "array(['a', 'b']"),
    "truths": ([True, False], "array([ True, False])"),
    "none within": ([1, None], "None"),
    "symbol within": ([1, X], "x"),
    "objects": (np.array([1, 2], dtype=object), "object"),
    "complex": (np.array([1j]), "1.j"),
    "ragged": ([[1], [1, 2]], "[[1], [1, 2]]"),
    "beyond any float": ([10**400], "1000"),
}


@pytest.mark.parametrize("value", NO_NUMBERS.values(), ids=NO_NUMBERS)
@pytest.mark.parametrize("what", ["batch", "context"])
def test_what_is_no_number_is_refused(gpu: rl.Deployment, what: str, value: Any) -> None:
    error = refused(lambda: gpu.decode(**{what: value}), rl.InvalidInput, f"{what}: got ", "a number from 1 to 1e+09")
    assert isinstance(error, ValueError)
    refused(lambda: gpu.capacity(**{what: value}), rl.InvalidInput, f"{what}: got ")


@pytest.mark.parametrize(("value", "shown"), OUT_OF_RANGE.values(), ids=OUT_OF_RANGE)
@pytest.mark.parametrize("what", ["batch", "context", "prompt"])
def test_numbers_out_of_range_are_refused(gpu: rl.Deployment, what: str, value: Any, shown: str) -> None:
    ask = (lambda: gpu.prefill(prompt=value)) if what == "prompt" else (lambda: gpu.decode(**{what: value}))
    refused(ask, rl.InvalidInput, f"{what}: got {shown}", "expected a number from 1 to 1e+09")


@pytest.mark.parametrize(("value", "shown"), NO_ARRAYS.values(), ids=NO_ARRAYS)
def test_arrays_with_one_wrong_place_are_refused(gpu: rl.Deployment, value: Any, shown: str) -> None:
    for ask in (lambda: gpu.decode(batch=value), lambda: gpu.decode(4, context=value), lambda: gpu.capacity(value)):
        refused(ask, rl.InvalidInput, shown, "in every place")


def test_arrays_and_symbols_do_not_mix(gpu: rl.Deployment) -> None:
    refused(lambda: gpu.decode(np.array([1, 2]), X), rl.InvalidInput, "an array and a symbol", "not both")
    refused(lambda: gpu.prefill(X, np.array([1, 2])), rl.InvalidInput, "not both")
    refused(lambda: gpu.prefill(np.array([9.0]), 1, X), rl.InvalidInput, "not both")


def test_shapes_must_meet(gpu: rl.Deployment) -> None:
    refused(lambda: gpu.decode(np.ones(2), np.ones(3)), rl.InvalidInput, "batch (2,), context (3,)", "broadcast")
    refused(lambda: gpu.prefill(np.ones(2) * 9, 1, np.ones(3)), rl.InvalidInput, "broadcast")


@pytest.mark.parametrize(("prompt", "cached"), [(100, 100), (100, 200), (100, -1), (np.array([50, 100]), 60)])
def test_some_of_the_prompt_must_be_new(gpu: rl.Deployment, prompt: Any, cached: Any) -> None:
    refused(lambda: gpu.prefill(prompt, cached_tokens=cached), rl.InvalidInput, "cached_tokens: got")


def test_capacity_is_counted_and_not_solved(gpu: rl.Deployment) -> None:
    refused(lambda: gpu.capacity(X), rl.InvalidInput, "numbers or arrays")


def test_symbols_have_no_bound_before_they_have_values(gpu: rl.Deployment) -> None:
    refused(lambda: gpu.decode(X).bound, rl.InvalidInput, "substitute")


def test_symbols_need_one_layout() -> None:
    error = refused(lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", 8).decode(X), rl.LayoutError, "open ranks")
    assert "tp, pp, dp and ep" in str(error)


@pytest.mark.parametrize("value", [3, 3.0, np.int32(3), np.float32(3), np.array(3), sympy.Integer(3), True + 2])
def test_numbers_of_every_make_are_taken(gpu: rl.Deployment, value: Any) -> None:
    assert float(gpu.decode(batch=value).seconds) == gpu.decode(3.0).seconds


# -- names, ranks and counts ------------------------------------------------------------------------------------------


def test_an_unknown_part_names_its_neighbours() -> None:
    error = refused(lambda: rl.Deployment("llama-3.1-8b", "h100"), rl.UnknownName, "accelerator: got 'h100'")
    assert "h100-sxm" in str(error.nearest)  # type: ignore[attr-defined]
    assert isinstance(error, LookupError)


def test_an_unknown_model_names_its_neighbours() -> None:
    refused(lambda: rl.Deployment("llama-3.1-80b", "h100-sxm"), rl.UnknownName, "'llama-3.1-80b'", "llama-3.1-8b")
    refused(lambda: rl.Deployment(None, "h100-sxm"), rl.ConfigError, "NoneType")
    refused(lambda: rl.Deployment("llama-3.1-8b", "no/such.toml"), rl.SpecError, "no such file")


@pytest.mark.parametrize("count", [0, -1, 1.0, 2.5, "8", None, True, float("nan"), 10**8, [8], X])
def test_devices_are_counted(count: Any) -> None:
    refused(
        lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", count),
        rl.InvalidInput,
        "devices: got",
        "a whole number from 1",
    )


@pytest.mark.parametrize("name", ["tp", "pp", "dp", "ep"])
@pytest.mark.parametrize("ranks", [0, -2, 1.5, "2", True, float("nan")])
def test_ranks_are_counted(name: str, ranks: Any) -> None:
    ask = lambda: rl.Deployment("mixtral-8x7b", "h100-sxm", 8, **{name: ranks})  # noqa: E731
    refused(ask, rl.InvalidInput, f"{name}: got", "a whole number from 1")


@pytest.mark.parametrize(
    ("ranks", "words"),
    [
        ({"tp": 3}, ("tp: got 3", "32 over 8 key-value heads", "nearest: 2")),
        ({"tp": 5}, ("tp: got 5", "nearest: 4")),
        ({"tp": 64, "pp": 1}, ("tp: got 64", "nearest: 32")),
        ({"pp": 33}, ("pp: got 33", "at most one stage for each of the 32 layers", "nearest: 32")),
        ({"ep": 2}, ("ep: got 2", "llama-3.1-8b has no experts", "nearest: 1")),
        ({"tp": 2, "dp": 1, "ep": 2}, ("ep: got 2", "no experts")),
        ({"tp": 8, "pp": 16}, ("8 · 16 · 1 = 128", "at most the 64 devices")),
        ({"tp": 8, "pp": 4, "dp": 3}, ("8 · 4 · 3 = 96",)),
    ],
)
def test_layouts_that_cannot_be(ranks: dict[str, int], words: tuple[str, ...]) -> None:
    refused(lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", 64, **ranks), rl.LayoutError, *words)


@pytest.mark.parametrize(
    ("ranks", "words"),
    [
        ({"tp": 4, "dp": 2, "ep": 3}, ("ep: got 3", "a divisor of tp · dp = 8", "nearest: 2")),
        ({"tp": 4, "dp": 4, "ep": 16}, ("ep: got 16", "with at most 8 experts", "nearest: 8")),
        ({"ep": 16}, ("ep=16",)),
        ({"ep": 3, "tp": 1}, ("tp=1, ep=3",)),
    ],
)
def test_expert_ranks_that_cannot_be(ranks: dict[str, int], words: tuple[str, ...]) -> None:
    devices = 16 if "dp" in ranks or ranks["ep"] == 16 else 2
    refused(lambda: rl.Deployment("mixtral-8x7b", "h100-sxm", devices, **ranks), rl.LayoutError, *words)


def test_resizing_checks_the_ranks() -> None:
    deployment = rl.Deployment("llama-3.1-8b", "h100-sxm", 8, tp=8)
    refused(lambda: deployment.resized(4), rl.LayoutError, "8 · 1 · 1 = 8", "at most the 4 devices")
    refused(lambda: deployment.resized(0), rl.InvalidInput, "devices: got 0")


# -- formats, efficiencies, money -------------------------------------------------------------------------------------


def test_a_format_without_a_peak_names_those_there_are() -> None:
    refused(
        lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", quantization="nvfp4"),
        rl.UnsupportedFormat,
        "format on NVIDIA H100 SXM5 80GB: got 'nvfp4'",
        "fp8, ",
        "bf16",
        "nearest: fp8",
    )
    refused(lambda: rl.Deployment("llama-3.1-70b", "groq-lpu-v1", quantization="fp8"), rl.UnsupportedFormat, "int8")


@pytest.mark.parametrize(
    ("quantization", "error"),
    [*((name, rl.UnknownName) for name in ("fp9", "FP8", "")), *((other, rl.InvalidInput) for other in (8, 1.5, {}))],
)
def test_an_unknown_quantization_names_the_presets(quantization: Any, error: type[RooflineError]) -> None:
    ask = lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", quantization=quantization)  # noqa: E731
    refused(ask, error, "quantization: got", "one of bf16, fp8, int8, w8a16, w4a16, nvfp4, mxfp4")


@pytest.mark.parametrize("efficiency", ["calibrate", "", None, 0.8, 5, []])
def test_an_unknown_efficiency_says_what_is_meant(efficiency: Any) -> None:
    ask = lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=efficiency)  # noqa: E731
    refused(ask, rl.InvalidInput, "efficiency: got", '"calibrated", "ideal", a path')


@pytest.mark.parametrize("make", [str, Path])
def test_a_calibration_that_is_not_there(make: Any, tmp_path: Path) -> None:
    ask = lambda path: rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=make(path))  # noqa: E731
    refused(lambda: ask(tmp_path / "missing.toml"), rl.SpecError, "missing.toml", "no such file")
    (tmp_path / "broken.toml").write_text("name = ", encoding="utf-8")
    refused(lambda: ask(tmp_path / "broken.toml"), rl.SpecError, "broken.toml", "valid TOML")


@pytest.mark.parametrize("name", ["price", "power"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 1e13, True, [1.0, 2.0], np.ones(2), X, []])
def test_money_and_power_are_numbers(name: str, value: Any) -> None:
    ask = lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", **{name: value})  # noqa: E731
    refused(ask, rl.InvalidInput, f"{name}: got", "a number from 0 to 1e+12")


@pytest.mark.parametrize(("name", "unit"), [("price", "USD/h"), ("power", "W")])
@pytest.mark.parametrize("value", ["2", "2 GB", "dear", "2 USD"])
def test_text_of_money_and_power_has_its_unit(name: str, unit: str, value: str) -> None:
    ask = lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", **{name: value})  # noqa: E731
    refused(ask, rl.InvalidInput, f"{name}: got '{value}'", f"expected a quantity in {unit}, with its unit, such as")


def test_money_and_power_may_be_text() -> None:
    said = rl.Deployment("llama-3.1-8b", "h100-sxm", price="2.5 USD/h", power="0.7 kW")
    assert (said.price, said.power) == (2.5, 700.0)
    meant = rl.Deployment("llama-3.1-8b", "h100-sxm", price=2.5, power=700)
    assert said.decode().usd_per_million_tokens == meant.decode().usd_per_million_tokens
    refused(lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", skew="0.5"), rl.InvalidInput, "skew: got '0.5'")


def test_a_runtime_nobody_described() -> None:
    ask = lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", runtime="nonsense")  # noqa: E731
    refused(ask, rl.UnknownName, "runtime: got 'nonsense'")


def test_a_part_without_links_names_what_is_missing() -> None:
    unlinked = next(name for name in rl.accelerators() if not rl.accelerator(name).link)
    refused(lambda: rl.Deployment("llama-3.1-8b", unlinked, 2, tp=2), rl.MissingNumber, "no link")


# -- what does not fit ------------------------------------------------------------------------------------------------


def test_what_does_not_fit_says_by_how_much_and_what_would_do() -> None:
    deployment = rl.Deployment("llama-3.1-70b", "h100-sxm", quantization="bf16")
    error = refused(deployment.decode, rl.DoesNotFit, "llama-3.1-70b in bf16 with 1 × 4,096 tokens does not fit on")
    assert isinstance(error, rl.DoesNotFit)
    short, count = error.shortfall_bytes, error.min_devices
    room = deployment.capacity()
    assert short == room.shortfall_bytes == room.device_weights_bytes + room.kv_bytes_per_sequence - room.usable_bytes
    assert count == room.min_devices == 2
    assert re.search(rf"{short:,.0f} bytes short; {count} devices would do$", str(error))
    refused(lambda: deployment.prefill(4096), rl.DoesNotFit, "devices would do")
    assert rl.Deployment("llama-3.1-70b", "h100-sxm", count, quantization="bf16").decode().fits


def test_what_fits_nowhere_says_so() -> None:
    deployment = rl.Deployment("mistral-7b", "groq-lpu-v1", quantization="int8")
    error = refused(lambda: deployment.decode(1e9, 1e9), rl.DoesNotFit, "no replica of any size would do")
    assert isinstance(error, rl.DoesNotFit)
    assert error.min_devices is None


def test_points_that_do_not_fit_keep_their_place(gpu: rl.Deployment) -> None:
    batches = np.array([1, 64, 10**6, 8])
    step = gpu.decode(batches, 8192)
    assert step.fits.tolist() == [True, False, False, True]
    for name in ("seconds", "ideal", "floor", "low", "high", "tokens_per_second", "mfu", "mbu"):
        value = getattr(step, name)
        assert np.isnan(value).tolist() == [False, True, True, False], name
        assert value[3] == pytest.approx(getattr(gpu.decode(8, 8192), name), rel=1e-12)
    assert np.isnan(gpu.decode([10**6, 10**7]).seconds).all()
    assert np.isnan(gpu.prefill([1000, 10**6], 1000).seconds).all()


# -- what is assumed and said -----------------------------------------------------------------------------------------


def test_a_context_beyond_the_models_is_said_and_not_refused(gpu: rl.Deployment) -> None:
    beyond = "context beyond the 131,072 tokens that llama-3.1-8b declares"
    assert beyond in gpu.decode(1, 200_000).assumptions
    assert beyond in gpu.prefill(200_000).assumptions
    assert beyond in gpu.decode(1, np.array([1000, 200_000])).assumptions
    assert beyond not in gpu.decode(1, 131_072).assumptions
    assert beyond not in gpu.decode(1, X).assumptions


def test_ranks_that_are_given_and_do_not_fit_say_that_others_would() -> None:
    whole = rl.Deployment("llama-3.1-70b", "h100-sxm", 4, tp=1, pp=1, quantization="bf16")
    refused(whole.decode, rl.DoesNotFit, "4 × NVIDIA H100 SXM5 80GB (tp1)", "2 devices would do in another layout")


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: rl.model("llama-3.1-8b").kv_bytes(-1), "context: got -1"),
        (lambda: rl.model("llama-3.1-8b").kv_bytes("many"), "tokens"),
        (lambda: rl.model("llama-3.1-8b").cache_bytes(float("nan")), "context"),
        (lambda: rl.model("llama-3.1-8b").index_bytes(np.array([1.0, -2.0])), "context"),
        (lambda: rl.model("llama-3.1-8b").kv_bytes(True), "context"),
        (lambda: rl.accelerator("h100-sxm").cite(3), "a dotted path"),
        (lambda: rl.accelerator("h100-sxm").cite(None), "a dotted path"),
        (lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", quantization={"weights": "fp8"}), "Quantization"),
        (lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", quantization=["fp8"]), "Quantization"),
        (lambda: bandwidths(-1.0), "above 0"),
        (lambda: bandwidths(0.0), "above 0"),
        (lambda: rl.sweep(GPU.decode, batch=[1], context=64, **{"link.scale_up.latency": [-1e-6]}), "from 0"),
        (lambda: planned("fp9"), "fp9"),
        (lambda: planned(3), "Quantization"),
    ],
)
def test_numbers_that_nothing_can_have_are_one_clear_error(attempt: Callable[[], object], words: str) -> None:
    with pytest.raises(rl.RooflineError) as caught:
        attempt()
    assert words in str(caught.value)


GPU = rl.Deployment("llama-3.1-8b", "h100-sxm", tp=1, pp=1)


def bandwidths(lowest: float) -> object:
    """A sweep that begins at a bandwidth."""
    return rl.sweep(GPU.decode, batch=[1], context=64, **{"memory.bandwidth": [lowest, 1e12]})


def planned(quantization: object) -> object:
    """A plan in some formats."""
    slo, traffic = rl.Slo(tpot=0.05), rl.Traffic(isl=64, osl=8, rate=1.0)
    return rl.plan("llama-3.1-8b", traffic, accelerators=["h100-sxm"], slo=slo, quantization=quantization)  # type: ignore[arg-type]
