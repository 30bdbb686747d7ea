"""Crossovers: found where they are, all of them, and nowhere else; limits in whole sequences."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roofline as rl
from roofline.estimate.resolved import Point
from roofline.estimate.timing import step_seconds
from roofline.explore.crossovers import crossover, largest_batch_within
from roofline.explore.search import Unsettled, crossings, last_within
from roofline.explore.sides import TRAFFIC, sides
from roofline.numeric import ceil, maximum, minimum
from tests.explore.cases import Case, cases, deployment

RESOURCES = ("compute", "memory", "feed", "network", "overhead")


def both_sides(case: Case, a: str, b: str, of: str, value: float) -> tuple[float, float]:
    """Seconds of both quantities at a value, by the numeric path alone."""
    resolved = case.deployment.settled()
    point = {"cached_tokens": 0.0, **case.point, of: value}
    if case.phase == "decode":
        step = resolved.plan.decode(batch=point["batch"], context=point["context"])
    else:
        step = resolved.step(Point("prefill", point["batch"], point["prompt"], point["cached_tokens"]))
    first, second = (sides(resolved, step, name)(resolved, step) for name in (a, b))
    return float(first), float(second)


@given(cases(), st.data())
@settings(max_examples=100)
def test_a_crossing_crosses_and_nothing_else_does(case: Case, data: st.DataObject) -> None:
    estimate = case.method(**case.point)
    names = [*RESOURCES, *TRAFFIC, *estimate.terms]
    a, b = data.draw(st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True))
    of = data.draw(st.sampled_from([name for name in case.point if name != "cached_tokens"]))
    fixed = {name: value for name, value in case.point.items() if name != of}
    found = crossover(case.method, a, b, of=of, **fixed)
    whole = of == "batch" and max(estimate.layout.pp, estimate.layout.dp) > 1

    assert not whole or all(at == round(at) for at in found.crossings)
    if "equal" in found.holds_when:
        return
    # The sign at any point is the one that the crossings below it leave.
    exponents = data.draw(st.lists(st.floats(0, 1), min_size=20, max_size=20))
    points = [found.low * (found.high / found.low) ** exponent for exponent in exponents if found.low > 0]
    points += [at * factor for at in found.crossings for factor in (1 - 1e-9, 1 + 1e-9)]
    signs = set()
    for exact in points:
        at = float(round(exact)) if whole else exact
        if not found.low <= at <= found.high:
            continue
        first, second = both_sides(case, a, b, of, at)
        if math.isclose(first, second, rel_tol=1e-12) or (not whole and near(at, found.crossings)):
            continue
        passed = sum(crossing <= at for crossing in found.crossings)
        signs.add((first > second) == (passed % 2 == 1))
    assert len(signs) <= 1


def near(at: float, crossings: tuple[float, ...]) -> bool:
    return any(math.isclose(at, crossing, rel_tol=1e-10) for crossing in crossings)


def test_batch_at_which_decode_turns_compute_bound() -> None:
    gpu = deployment("dense on GPUs")
    found = crossover(gpu.decode, "compute", "memory", of="batch", context=128)
    assert found.value is not None
    for factor, larger in ((0.99, "memory"), (1.01, "compute")):
        step = gpu.decode(batch=found.value * factor, context=128)
        seconds = {name: sum(getattr(times, name) for times in step.terms.values()) for name in ("compute", "memory")}
        assert max(seconds, key=seconds.get) == larger
    assert found.ratios is not None
    assert found.ratios[0] < 1 < found.ratios[1]
    assert "compute takes longer from batch" in found.holds_when


def test_closed_form_of_the_crossing_at_peak_rates() -> None:
    gpu = deployment("one GPU", "ideal")
    found = crossover(gpu.decode, "compute", "memory", of="batch", context=64)
    one, two = (crossover_seconds(gpu, batch) for batch in (1.0, 2.0))
    slopes = two - one  # both are straight lines in the batch
    exact = (one[1] - slopes[1] - (one[0] - slopes[0])) / (slopes[0] - slopes[1])
    assert found.value == pytest.approx(exact, rel=1e-9)


def crossover_seconds(gpu: rl.Deployment, batch: float) -> np.ndarray:
    terms = gpu.decode(batch, 64).terms.values()
    return np.array([sum(times.compute for times in terms), sum(times.memory for times in terms)])


def test_never_is_an_answer_with_its_reason() -> None:
    gpu = deployment("dense on GPUs")
    found = crossover(gpu.decode, "compute", "memory", of="batch", context=8192)
    assert found.value is None
    assert found.crossings == ()
    assert "memory takes longer than compute at every batch from 1 to 1,000,000,000" in found.holds_when
    # The reason names the contexts at which it would happen, and there it does.
    limit = float(found.holds_when.rsplit("contexts below ", 1)[1].split(";")[0].replace(",", ""))
    assert crossover(gpu.decode, "compute", "memory", of="batch", context=limit * 0.99).value is not None
    assert crossover(gpu.decode, "compute", "memory", of="batch", context=limit * 1.01).value is None
    assert "takes no time here" in crossover(gpu.decode, "feed", "memory", of="batch", context=8).holds_when


def test_over_a_hardware_number() -> None:
    gpu = deployment("dense on GPUs")
    found = crossover(gpu.decode, "compute", "memory", of="memory.bandwidth", batch=256, context=1024)
    assert found.value is not None
    for factor, larger in ((0.99, "memory"), (1.01, "compute")):
        chip = rl.accelerator("h100-sxm").with_(**{"memory.bandwidth": found.value * factor})
        step = rl.Deployment("llama-3.1-70b", chip, devices=8, tp=8).decode(256, 1024)
        seconds = {name: sum(getattr(times, name) for times in step.terms.values()) for name in ("compute", "memory")}
        assert max(seconds, key=seconds.get) == larger
    assert "TB/s" in found.holds_when


def test_context_at_which_the_cache_outweighs_the_weights() -> None:
    gpu = deployment("one GPU", "ideal")
    found = crossover(gpu.decode, "cache", "weights", of="context", batch=16)
    model, bytes_of = gpu.model, gpu.model.kv_bytes
    weights = sum(matrix * 2 for matrix in [model.parameters().total - model.parameters().embedding])
    per_token = bytes_of(2, kv_cache="bf16") - bytes_of(1, kv_cache="bf16")
    assert found.value == pytest.approx(weights / (16 * per_token), rel=1e-3)


@pytest.mark.parametrize("name", ["dense on GPUs", "one GPU", "mesh", "mixture", "dense on LPUs"])
@pytest.mark.parametrize(("a", "b"), [("compute", "memory"), ("overhead", "memory"), ("cache", "weights")])
def test_the_contexts_named_are_those_where_it_happens(name: str, a: str, b: str) -> None:
    decode = deployment(name).decode
    words = crossover(decode, a, b, of="batch", context=700).holds_when
    if "happens at contexts" not in words:
        return
    limits = dict(re.findall(r"(above|below) ([\d,.]+\d)", words.split("happens at contexts")[1].split(";")[0]))
    low, high = (float(limits.get(side, end).replace(",", "")) for side, end in (("above", "1"), ("below", "1e9")))
    for context in np.geomspace(1, 1e8, 25):
        if min(abs(context / low - 1), abs(context / high - 1)) > 0.01:
            value = crossover(decode, a, b, of="batch", context=context).value
            assert (value is not None) == (low < context < high)


@pytest.mark.parametrize(
    ("name", "a", "b", "context"),
    [
        ("dense on LPUs", "pipeline", "dense_ffn", 128.0),
        ("latent attention, expert groups", "attention", "attention_projections", 1024.0),
        ("latent attention, expert groups", "cache", "weights", 464_158.0),
    ],
)
def test_shared_batches_are_whole_and_may_cross_often(name: str, a: str, b: str, context: float) -> None:
    deployed = deployment(name)
    found = crossover(deployed.decode, a, b, of="batch", context=context)
    signs = []
    resolved = deployed.settled()
    for batch in range(1, 2000):
        step = resolved.plan.decode(batch=float(batch), context=context)
        first, second = (sides(resolved, step, side)(resolved, step) for side in (a, b))
        signs.append(first > second)
    flips = [batch for batch in range(2, 2000) if signs[batch - 1] != signs[batch - 2]]
    assert [at for at in found.crossings if at < 2000] == flips
    assert flips


@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5), st.integers(1, 9)), min_size=1, max_size=4),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5), st.integers(1, 9)), min_size=1, max_size=4),
)
def test_search_over_whole_numbers_agrees_with_trying_them_all(one: list, other: list) -> None:
    def pair(x: object) -> tuple:
        first = sum((maximum(a, b * ceil(x / c)) for a, b, c in one), start=0.0)  # type: ignore[operator]
        second = sum((minimum(a * x, a + b * ceil(x / c)) for a, b, c in other), start=0.0)  # type: ignore[operator]
        return first, second

    try:
        found = crossings(pair, 1, 300, whole=True)
    except Unsettled:
        return
    expected, before = [], 0.0
    for x in range(1, 301):
        first, second = pair(float(x))
        now = math.copysign(1, first - second) if first != second else 0
        if now and before and now != before:
            expected.append(x)
        before = now or before
    assert [each.at for each in found] == expected


@given(cases(), st.floats(0.2, 5))
@settings(max_examples=60)
def test_largest_batch_is_the_largest(case: Case, factor: float) -> None:
    resolved = case.deployment.settled()
    limit = float(case.method(**case.point).seconds) * factor
    fixed = {name: value for name, value in case.point.items() if name != "batch"}
    found = largest_batch_within(case.method, limit, **fixed)
    most = int(resolved.memory.largest_batch(fixed.get("context", fixed.get("prompt"))))
    batches = np.arange(1.0, min(most, 20_000) + 1)
    if case.phase == "decode":
        step = resolved.plan.decode(batch=batches, context=fixed["context"])
    else:
        step = resolved.step(Point("prefill", batches, fixed["prompt"], fixed["cached_tokens"]))
    seconds = np.broadcast_to(step_seconds(step, resolved.machine, resolved.rates), batches.shape)
    # Powers of floats and of arrays may differ in the last digit.
    surely, perhaps = (batches[seconds <= limit * (1 + slack)] for slack in (-1e-12, 1e-12))
    if found.value is None:
        assert surely.size == 0
    elif found.value <= batches[-1]:
        assert surely.max(initial=0) <= found.value <= perhaps[-1]
        assert found.seconds == pytest.approx(seconds[found.value - 1], rel=1e-12)


def test_the_largest_batch_need_not_be_the_last_before_a_failure() -> None:
    def sawtooth(batch: object) -> object:
        return ceil(batch / ceil(batch / 72)) + 0 * batch  # type: ignore[operator]

    assert last_within(sawtooth, 40, 1, 73) == 73
    assert last_within(sawtooth, 40, 1, 72) == 40
    assert last_within(sawtooth, 0.5, 1, 72) is None


def test_largest_batch_says_what_limits_it() -> None:
    gpu = deployment("dense on GPUs")
    assert largest_batch_within(gpu.decode, 1e-4, context=4096).value is None
    assert "batch 1 takes" in largest_batch_within(gpu.decode, 1e-4, context=4096).holds_when
    assert largest_batch_within(gpu.decode, 10, context=4096).limited_by == "memory"
    assert largest_batch_within(gpu.decode, 0.02, context=4096).limited_by == "tpot"
    assert largest_batch_within(gpu.decode, 10, context=1e8).value is None


def test_bad_questions_are_refused_in_one_line() -> None:
    gpu = deployment("dense on GPUs")
    with pytest.raises(rl.UnknownName, match="nearest: memory"):
        crossover(gpu.decode, "compute", "memry", of="batch", context=128)
    with pytest.raises(rl.UnknownName, match=r"of: got 'memory\.bandwith'.*nearest: memory\.bandwidth"):
        crossover(gpu.decode, "compute", "memory", of="memory.bandwith", batch=1, context=128)
    with pytest.raises(rl.InvalidInput, match="context: got 'nothing'"):
        crossover(gpu.decode, "compute", "memory", of="batch")
    with pytest.raises(rl.InvalidInput, match="batch: got 3, expected no value"):
        crossover(gpu.decode, "compute", "memory", of="batch", batch=3, context=128)
    with pytest.raises(rl.InvalidInput, match="two different"):
        crossover(gpu.decode, "compute", "compute", of="batch", context=128)
    with pytest.raises(rl.LayoutError, match=r"expected tp, pp, dp and ep, or \.laid_out"):
        crossover(
            rl.Deployment("llama-3.1-8b", "h100-sxm", devices=4).decode, "compute", "memory", of="batch", context=1
        )
    with pytest.raises(rl.InvalidInput, match="tpot"):
        largest_batch_within(gpu.decode, -1, context=128)
    with pytest.raises(rl.InvalidInput, match="cached_tokens"):
        crossover(gpu.prefill, "compute", "memory", of="batch", prompt=10, cached_tokens=10)


@given(cases())
def test_quantities_are_those_of_the_estimate(case: Case) -> None:
    estimate = case.method(**case.point)
    resolved, step = estimate.resolved, estimate.resolved.step(estimate.point)
    for name, times in estimate.terms.items():
        side = float(sides(resolved, step, name)(resolved, step))
        assert side == pytest.approx(float(times.total), rel=1e-9, abs=1e-9 * float(estimate.seconds))
    for name in RESOURCES:
        passed = [float(getattr(times, name)) for term, times in estimate.terms.items() if term != "pipeline"]
        assert float(sides(resolved, step, name)(resolved, step)) == pytest.approx(sum(passed), rel=1e-9)
    memory, *parts = (float(sides(resolved, step, name)(resolved, step)) for name in ("memory", *TRAFFIC))
    assert 0 < sum(parts) <= memory
