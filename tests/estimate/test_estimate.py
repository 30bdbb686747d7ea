"""What a deployment takes and an estimate answers, from the outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import roofline as rl
from roofline.describe.hardware import parse_accelerator
from roofline.describe.runtimes import runtime
from roofline.estimate.estimate import Estimate
from roofline.estimate.resolved import Point
from roofline.estimate.timing import step_interval
from roofline.trust.strategies import accelerators, attentions, cited, model_shapes, specs
from tests.support import counting
from tests.support.strategies import Case, cases

RARELY = settings(max_examples=max(1, settings.default.max_examples // 2))
HOUR = 3600


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12, abs=0)


@pytest.fixture(scope="module")
def step() -> rl.Estimate:
    return rl.Deployment("llama-3.1-8b", "h100-sxm", 4, tp=2, pp=1, price=3.0, power=500).decode(16, 2048)


# -- what goes in -----------------------------------------------------------------------------------------------------


def test_models_and_parts_come_as_names_or_as_themselves() -> None:
    model, part = rl.model("llama-3.1-8b"), rl.accelerator("h100-sxm")
    named, own = rl.Deployment("llama-3.1-8b", "h100-sxm"), rl.Deployment(model, part)
    assert own.model is model
    assert own.accelerator is part
    assert named.decode(4, 100).seconds == own.decode(4, 100).seconds


def test_without_a_quantization_it_is_the_checkpoints() -> None:
    assert rl.Deployment("llama-3.1-8b", "h100-sxm").quantization == rl.model("llama-3.1-8b").checkpoint
    own = rl.Deployment("deepseek-v3", "h200-sxm", 8).quantization
    assert (own.weights, own.activations, own.lm_head) == ("fp8_block", "fp8", "bf16")
    given_one = rl.Quantization(weights="fp8", activations="fp8")
    assert rl.Deployment("llama-3.1-8b", "h100-sxm", quantization=given_one).quantization is given_one


@RARELY
@given(spec=specs(capacity=st.just(1e15)), own=st.booleans())
def test_money_and_power_are_the_specs_unless_given(spec: dict[str, Any], own: bool) -> None:
    """USD per device-hour and watts per device."""
    spec.pop("power", None)
    spec |= {"price": cited(2.5, "USD/h"), "power": cited(400.0, "W")}
    spec["peak"] = {"bf16": cited(1e12, "FLOP/s")}
    part = parse_accelerator(spec, where="a test")
    arguments = {} if own else {"price": 7.0, "power": 90.0}
    estimate = rl.Deployment("llama-3.1-8b", part, **arguments).decode(2, 100)
    price, power = (2.5, 400.0) if own else (7.0, 90.0)
    assert estimate.usd_per_million_tokens == close(price / HOUR / estimate.tokens_per_second * 1e6)
    assert estimate.joules == close(power * estimate.seconds)
    assert estimate.joules_per_token == close(power / estimate.tokens_per_second)


def test_nothing_costs_nothing_rather_than_none() -> None:
    free = rl.Deployment("llama-3.1-8b", "h100-sxm", price=0, power=0).decode()
    assert (free.usd_per_million_tokens, free.joules, free.joules_per_token) == (0, 0, 0)


def test_what_is_missing_is_said_in_words() -> None:
    part = rl.accelerator("h100-sxm").with_(price=None, power=None)
    bare = rl.Deployment("llama-3.1-8b", part).decode()
    assert (bare.usd_per_million_tokens, bare.joules, bare.joules_per_token) == (None, None, None)
    text = bare.explain()
    assert "money: no price of NVIDIA H100 SXM5 80GB is published; give price=" in text
    assert "energy: no power of NVIDIA H100 SXM5 80GB is published; give power=" in text


# -- what comes out ---------------------------------------------------------------------------------------------------


def test_an_estimate_says_what_was_asked(step: rl.Estimate) -> None:
    assert (step.phase, step.batch, step.context, step.quantization) == ("decode", 16, 2048, "bf16")
    assert (step.devices, step.replicas, step.idle_devices, str(step.layout)) == (4, 2, 0, "tp2")
    assert step.fits is True
    prefill = rl.Deployment("llama-3.1-8b", "h100-sxm").prefill(100, cached_tokens=40)
    assert (prefill.phase, prefill.batch, prefill.context, prefill.point.new) == ("prefill", 1, 100, 60)


def test_rates_follow_from_seconds(step: rl.Estimate) -> None:
    """Two replicas of sixteen sequences, one token each; four devices pay."""
    assert step.tokens_per_second == close(2 * 16 / step.seconds)
    assert step.tokens_per_second_per_user == close(1 / step.seconds)
    assert step.tokens_per_second_per_device == close(2 * 16 / step.seconds / 4)
    assert step.joules == close(500 * 4 * step.seconds)
    assert step.joules_per_token == close(500 * 4 / step.tokens_per_second)
    assert step.usd_per_million_tokens == close(4 * 3.0 / HOUR * 1e6 / step.tokens_per_second)


def test_utilisation_is_of_one_replica(step: rl.Estimate) -> None:
    """Two devices of 989.5 TFLOP/s and 3.35 TB/s; the model's own work, once."""
    model = rl.model("llama-3.1-8b")
    flops = 16 * float(counting.matmul_flops(model) + counting.mixing_flops(model, 2048))
    moved = float(counting.every_weight(model, step.resolved.quantization))
    moved += 16 * float(counting.cache_traffic(model, 2048, "bf16"))
    assert step.mfu == close(flops / (2 * 989.5e12 * step.seconds))
    assert step.mbu == close(moved / (2 * 3.35e12 * step.seconds))


LAYOUTS = [(1, 1, 8, 8), (1, 1, 8, 4), (2, 1, 4, 4), (2, 2, 2, 4), (4, 2, 1, 4), (8, 1, 1, 1)]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_over_an_array_every_number_is_an_array_of_floats(layout: tuple[int, ...]) -> None:
    """Also where experts are cut over some of the ranks, so that widths are no whole numbers of bytes."""
    tp, pp, dp, ep = layout
    quantization = rl.model("mixtral-8x7b").checkpoint.with_(all_reduce="int4")
    server = rl.Deployment("mixtral-8x7b", "h200-sxm", 8, tp=tp, pp=pp, dp=dp, ep=ep, quantization=quantization)
    for step in (server.decode([8, 16], 1000), server.prefill([8, 16], 1000)):
        for name in ("seconds", "ideal", "floor", "low", "high", "mfu", "mbu"):
            assert getattr(step, name).dtype == np.float64, name


def test_the_explanation_has_every_number(step: rl.Estimate) -> None:
    text = step.explain()
    assert str(step) == text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert text.startswith("llama-3.1-8b on 4 × NVIDIA H100 SXM5 80GB\n")
    for word in (*step.terms, step.bound, "calibrated", "ideal", "floor", "MFU", "MBU", "Assumed", "Sources"):
        assert word in text, word
    assert "\x1b" not in text


def test_arrays_and_symbols_are_explained_shortly() -> None:
    deployment = rl.Deployment("llama-3.1-8b", "h100-sxm", tp=1, pp=1)
    batch = sympy.Symbol("batch", positive=True)
    for value in (np.array([1, 2]), batch):
        assert "decode at" in deployment.decode(value).explain()
    closed = deployment.decode(batch, 4096)
    assert closed.fits is None
    for size in (1, 3, 50):
        assert float(closed.seconds.subs(batch, size)) == close(deployment.decode(size, 4096).seconds)


def test_skew_is_the_caller_s_else_the_serving_stack_s() -> None:
    """On two devices of a pipeline as on one; floor and arithmetic stay, and `ideal` has the same experts to read."""

    def asked(**more: Any) -> rl.Estimate:
        return rl.Deployment("mixtral-8x7b", "h200-sxm", 2, tp=2, pp=1, quantization="fp8", **more).decode(4, 1024)

    even, some, much = asked(), asked(skew=0.5), asked(skew=5.0)
    measured = runtime("vllm").skew
    assert even.seconds == asked(skew=0).seconds
    assert even.seconds > some.seconds > much.seconds
    assert even.ideal > some.ideal > much.ideal
    assert even.floor == much.floor
    assert even.terms["routed_experts"].compute == much.terms["routed_experts"].compute
    assert asked(runtime="vllm").ideal == asked(skew=measured).ideal
    assert asked(runtime="vllm", skew=0.0).ideal == even.ideal
    for wrong in (-1, float("nan"), "much", [0.5, 1.0]):
        with pytest.raises(rl.InvalidInput, match="skew: got"):
            asked(skew=wrong)


@pytest.mark.parametrize("efficiency", ["ideal", "calibrated", rl.Efficiency.ideal()])
def test_other_figures_are_as_if_they_had_been_given(efficiency: str | rl.Efficiency) -> None:
    """Under a stack, whose host the ideal does without."""
    asked = {"devices": 2, "tp": 2, "quantization": "fp8", "runtime": "vllm"}
    first, given = (
        rl.Deployment("llama-3.1-8b", "mi300x", efficiency=each, **asked) for each in ("calibrated", efficiency)
    )  # type: ignore[arg-type]
    changed = first.with_efficiency(efficiency)
    assert changed.decode(8).seconds == given.decode(8).seconds
    assert changed.prefill(512).seconds == given.prefill(512).seconds


def test_assumptions_say_what_was_assumed() -> None:
    """The reserve of serving stacks, even routing, a missing feed rate, a vocabulary cut over stages.

    One of eight ranks of an LPU stage holds 107 MB of a layer of Llama-3.1-70B and a share of the 263 MB of its part of
    a table: 230 MB take a third of it, not half.
    """
    assert any(
        "10% of usable memory" in each for each in rl.Deployment("llama-3.1-8b", "h100-sxm").decode().assumptions
    )
    even = "tokens are routed to experts evenly and independently"
    assert even in rl.Deployment("mixtral-8x7b", "h200-sxm").decode().assumptions
    skewed = rl.Deployment("mixtral-8x7b", "h200-sxm", skew=0.5).decode().assumptions
    assert "tokens are routed to experts independently, and to some more often than to others (skew 0.5)" in skewed
    assert even not in skewed
    waiting = "ranks wait for the one of whose experts the most are touched"
    for ep in (1, 8):
        spread = rl.Deployment("mixtral-8x7b", "h200-sxm", 8, tp=8, ep=ep).decode()
        assert (waiting in spread.assumptions) == (ep > 1)
        skewed = rl.Deployment("mixtral-8x7b", "h200-sxm", 8, tp=8, ep=ep, skew=0.5).decode().assumptions
        assert (f"{waiting}, and for the one with the most rows" in skewed) == (ep > 1)
    assert even not in rl.Deployment("llama-3.1-8b", "h200-sxm").decode().assumptions
    lpu = rl.Deployment("llama-3.1-70b", "groq-lpu-v1", 576, tp=8, pp=72, quantization="int8").decode()
    assert any(each.startswith("embedding and head are cut over 3 stages each") for each in lpu.assumptions)
    assert not any("of usable memory" in each or "operand feed" in each for each in lpu.assumptions)
    unfed = rl.accelerator("groq-lpu-v1").with_(feed=None)
    assert any(
        "no operand feed rate is published; the SRAM's bandwidth is the roof" in each
        for each in rl.Deployment("llama-3.1-8b", unfed, 64, quantization="int8").decode().assumptions
    )


def test_sources_are_documents(step: rl.Estimate) -> None:
    assert any("NVIDIA" in source for source in step.sources)
    assert len(set(step.sources)) == len(step.sources)


def test_no_interval_reaches_below_the_ideal() -> None:
    """Kernels that reach the peak but scatter to half the time: the lower end stays where the machine's limit is."""
    ideal = rl.Efficiency.ideal()
    scattered = ideal.model_copy(
        update={
            "kernels": {
                name: {"any": fits["any"].model_copy(update={"low": 0.5, "high": 2.0})}
                for name, fits in ideal.kernels.items()
            }
        }
    )
    deployment = rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=scattered)
    one, several = deployment.decode(), deployment.decode([1, 2])
    assert one.low == one.ideal == one.seconds < one.high
    assert several.low.tolist() == several.ideal.tolist()


def test_an_ideal_says_that_a_stack_costs_nothing() -> None:
    plain, under = (
        rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency="ideal", runtime=name) for name in (None, "vllm")
    )
    said = "efficiency is ideal: times are at peak rates, none is fitted"
    assert plain.decode().seconds == under.decode().seconds
    assert said in plain.decode().assumptions
    words = f"{said}, and no cost of vllm's host and kernels is counted"
    assert words in under.decode().assumptions
    assert words in under.prefill(1024).assumptions
    assert words in rl.serve(under, rl.Traffic(1024, 64, concurrency=4)).assumptions
    for other in ({}, {"runtime": "vllm"}, {"efficiency": rl.Efficiency.ideal(), "runtime": "vllm"}):
        fitted = rl.Deployment("llama-3.1-8b", "h100-sxm", **other).decode()  # type: ignore[arg-type]
        assert not [sentence for sentence in fitted.assumptions if "ideal" in sentence]


def test_both_ends_of_an_interval_come_of_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return step_interval(*arguments)

    monkeypatch.setattr("roofline.estimate.estimate.step_interval", counted)
    gpu = rl.Deployment("llama-3.1-8b", "h100-sxm")
    for batch in (8, np.array([[8, 16]])):
        step = gpu.decode(batch, 1024)
        assert np.all(step.low < step.seconds)
        assert np.all(step.seconds < step.high)
        assert len(calls) == 1
        calls.clear()


# -- several new tokens at once ---------------------------------------------------------------------------------------


@RARELY
@given(
    case=cases(parts=accelerators(capacity=st.just(1e15)), models=model_shapes(attentions(st.none())), phase="decode"),
    tokens=st.integers(1, 8),
)
def test_verifying_reads_each_cache_once(case: Case, tokens: int) -> None:
    """Several new tokens of a sequence pass the linear layers, each sees the keys before it, and all share one reading
    of weights and cache.
    """
    context = case.point.context + tokens

    def step(until: float, new: int) -> Case:
        return Case(case.resolved, Point("decode", case.point.batch, until, 0, new))

    one, several = step(context, 1), step(context, tokens)
    each = [counting.worked(step(context - later, 1).step, "flops") for later in range(tokens)]
    assert counting.worked(several.step, "flops") == close(sum(each))
    written = [counting.worked(each.step, "cache") for each in (one, several)]
    keys = sum(mixer.key_elements * count for mixer, count in counting.mixers(case.resolved.model))
    assert written[0] <= written[1]
    if case.resolved.layout.devices == 1:
        width = float(counting.width(case.resolved.quantization.kv_cache))
        assert written[1] - written[0] == pytest.approx((tokens - 1) * case.point.batch * keys * width)
    for single, whole in zip(one.three, several.three, strict=True):
        assert single <= whole * (1 + 1e-12)
        assert whole <= tokens * single * (1 + 1e-12)
    estimate = Estimate(case.resolved, several.point)
    assert estimate.tokens_per_second == close(tokens * case.point.batch / estimate.seconds)


def test_verifying_one_token_is_decoding() -> None:
    deployment = rl.Deployment("llama-3.1-8b", "h100-sxm")
    assert deployment.verify(8, 1000, 1).seconds == deployment.decode(8, 1000).seconds
    for tokens in (0, -1, 1001, float("nan"), "2", None):
        with pytest.raises(rl.InvalidInput, match="tokens: got"):
            deployment.verify(8, 1000, tokens)  # type: ignore[arg-type]
