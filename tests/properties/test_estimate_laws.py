"""What holds for every estimate, whatever the part, the model, the layout and the load.

Parts of both kinds of silicon, models and layouts are drawn at random. A law that does not hold everywhere says in its
docstring where it holds and why not elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from roofline.describe.efficiency import Efficiency
from roofline.describe.model import ModelShape
from roofline.estimate import door
from roofline.estimate.estimate import Estimate
from roofline.estimate.layout import Layout
from roofline.estimate.resolved import Point
from roofline.estimate.times import RESOURCES
from roofline.estimate.timing import passage, step_interval, step_terms
from roofline.trust.law_cases import changed, scaled
from roofline.trust.strategies import accelerators, all_mixers, attentions, common_mixers, model_shapes
from roofline.trust.testing import layouts, phases
from tests.support import counting
from tests.support.strategies import Case, cases, efficiencies

ROUNDING = 1e-12
ALMOST = 1 + ROUNDING
RARELY = settings(max_examples=max(1, settings.default.max_examples // 8))
"""For laws whose single example is slow."""

roomy = accelerators(capacity=st.just(1e15))
"""Parts on which every model of these tests fits."""


def close(value: Any) -> Any:
    return pytest.approx(value, rel=ROUNDING, abs=0)


def alone(_model: Any, _most: int) -> st.SearchStrategy[Layout]:
    return st.just(Layout())


def unpipelined(model: Any, most: int) -> st.SearchStrategy[Layout]:
    return layouts(model, most).map(lambda layout: replace(layout, pp=1, vocab=1))


def pipelined(model: Any, most: int) -> st.SearchStrategy[Layout]:
    return layouts(model, most).map(lambda layout: replace(layout, vocab=1))


# -- time against the machine -----------------------------------------------------------------------------------------


@given(
    case=cases(),
    rate=st.sampled_from(["peak", "bandwidth", "feed", "wires"]),
    factor=st.floats(1, 1e3),
)
def test_time_never_rises_with_a_rate(case: Case, rate: str, factor: float) -> None:
    """More of anything per second never hurts, at a fixed layout: terms divide by rates and subtract none."""
    faster = case.on(scaled(case.resolved.machine, **{rate: factor}))
    for before, after in zip(case.three, faster.three, strict=True):
        assert after <= before


@given(case=cases(), factor=st.floats(1e-3, 1))
def test_time_never_rises_when_latency_falls(case: Case, factor: float) -> None:
    """A shorter latency never hurts, at a fixed layout; one of nothing would count as not published."""
    nearer = case.on(scaled(case.resolved.machine, latency=factor))
    for before, after in zip(case.three, nearer.three, strict=True):
        assert after <= before


@given(
    case=cases(),
    efficiency=efficiencies(),
    figure=st.sampled_from(["overhead", "compute", "memory", "bandwidth"]),
    factor=st.floats(0.1, 1),
)
def test_time_never_rises_with_an_efficiency(case: Case, efficiency: Efficiency, figure: str, factor: float) -> None:
    """Reaching more of a peak never hurts, and neither does less overhead; floor and ideal know nothing of either."""
    worse = {} if figure == "overhead" else {figure: factor}
    better = {"overhead": factor} if figure == "overhead" else {}
    before, after = case.rated(changed(efficiency, **worse)), case.rated(changed(efficiency, **better))
    assert after.seconds <= before.seconds
    assert after.ideal == before.ideal
    assert after.floor == before.floor


@given(case=cases())
def test_floor_ideal_and_calibrated_are_in_order(case: Case) -> None:
    """The floor is a bound on any implementation; the ideal sum derates nothing; the estimate derates and adds."""
    floor, ideal, seconds = case.three
    assert 0 < floor <= ideal * ALMOST
    assert ideal <= seconds * ALMOST


@given(case=cases(phase="decode", layout=pipelined))
def test_no_grouping_of_a_batch_beats_the_floor(case: Case) -> None:
    """Engines may let sequences pass a pipeline in fewer and larger micro-batches than there are stages."""
    settled, point, layout = case.resolved.ideal, case.point, case.resolved.layout
    each = math.ceil(point.batch / layout.dp)
    for groups in range(1, layout.pp + 1):
        size = math.ceil(each / groups)
        step = settled.plan.decode(batch=size * layout.pp * layout.dp, context=point.context)
        way, hops, slowest = (float(time) for time in passage(step, settled.machine, settled.rates))  # type: ignore[arg-type]
        assert case.floor <= max(way + hops, math.ceil(each / size) * slowest) * ALMOST


@given(case=cases(phase="prefill"), times=st.integers(2, 9))
def test_the_floor_of_several_prompts_is_no_more_than_that_of_one_as_often(case: Case, times: int) -> None:
    """They may be computed one after the other; on a part without a cache, where each reads what the last one left."""
    one = case.on(replace(case.resolved.machine, cache=0.0)).at(batch=1.0)
    assert one.at(batch=float(times)).floor <= times * one.floor * ALMOST


@given(case=cases(parts=roomy))
def test_the_interval_encloses_the_estimate_and_keeps_above_the_ideal(case: Case) -> None:
    """Measured kernels scatter around the fit on both sides, and none is faster than the machine's peak."""
    estimate = Estimate(case.resolved, case.point)
    assert estimate.ideal <= estimate.low <= estimate.seconds * ALMOST
    assert estimate.seconds <= estimate.high


@given(case=cases(parts=roomy))
def test_twice_as_fast_in_everything_takes_half_the_time(case: Case) -> None:
    """Time is homogeneous in rates and latencies: with every rate doubled, and every latency and overhead halved, all
    halve. Exactly, since a factor of two loses no bit.
    """
    resolved = case.resolved
    halved = tuple(changed(source, overhead=0.5) for source in resolved.rates.sources)
    machine = scaled(resolved.machine, peak=2, bandwidth=2, feed=2, wires=2, latency=0.5)
    twice = Case(replace(resolved, machine=machine, rates=replace(resolved.rates, sources=halved)), case.point)
    assert [2 * each for each in twice.three] == list(case.three)
    slow, fast = Estimate(resolved, case.point), Estimate(twice.resolved, case.point)
    assert (2 * fast.low, 2 * fast.high) == (slow.low, slow.high)
    assert {name: 2 * each for name, each in fast.attributed.items()} == slow.attributed
    assert (fast.bound, fast.mfu / 2, fast.mbu / 2) == (slow.bound, slow.mfu / 2, slow.mbu / 2)


@given(case=cases(layout=alone))
def test_one_device_needs_no_network(case: Case) -> None:
    """Nothing crosses a wire that has nobody at the other end: without links the answer is the same."""
    bare = case.on(replace(case.resolved.machine, wires=()))
    assert bare.three == case.three
    for times in step_terms(case.step, case.resolved.machine, case.resolved.rates).values():
        assert times.network == 0
        assert times.attributed["network"] == 0


@given(case=cases(parts=accelerators(least_links=1)))
def test_a_pipeline_never_shortens_a_token(case: Case) -> None:
    """At batch 1 a token visits the stages in turn, so more stages only add hand-overs (theory's fourteenth trap).

    Where the vocabulary's tables stay on one stage at each end: cutting them over stages makes tensor-parallel ranks of
    those stages, which do shorten it. Prompts are whole.
    """
    case = case.laid(vocab=1).at(batch=1.0).with_(slice="whole")
    straight = case.laid(pp=1)
    floors_too = case.point.phase == "decode"  # a prompt cut into slices may fill a pipeline, and the floor allows it
    for piped, whole in list(zip(case.three, straight.three, strict=True))[0 if floors_too else 1 :]:
        assert piped * ALMOST >= whole
    if case.resolved.layout.pp > 1:
        least = sum(count * wire.latency * wire.hops for wire, count in case.step.hops)
        assert case.ideal * ALMOST >= straight.ideal + least


@given(case=cases(parts=accelerators(least_links=1)))
def test_a_pipeline_is_bound_by_its_way_round_and_by_its_slowest_stage(case: Case) -> None:
    """A decode step is the longer of one token's way through all stages and of all micro-batches in the slowest; a
    prefill of whole prompts pays both, less one stage. Each micro-batch is the batch over the stages, rounded up.
    """
    case = case.with_(slice="whole")
    layout, point = case.resolved.layout, case.point
    share = -(-point.batch // layout.pp)
    one = case.at(batch=share)
    path = sum(times.total for name, times in terms_of(one.laid(vocab=1, pp=1)).items() if name != "pipeline")
    several = -(-point.batch // share)
    assume(layout.vocab == 1)
    assert case.seconds * ALMOST >= path
    assert case.seconds * ALMOST >= several * path / layout.pp
    if point.phase == "prefill":
        assert case.seconds * ALMOST >= path + (several - 1) * path / layout.pp


def terms_of(case: Case) -> dict[str, Any]:
    return step_terms(case.step, case.resolved.machine, case.resolved.rates)


# -- parts and wholes -------------------------------------------------------------------------------------------------


@given(case=cases(parts=roomy))
def test_the_parts_sum_to_the_whole(case: Case) -> None:
    """Terms sum to the seconds, and so do the seconds that each resource is owed, in each term and over all.

    What halves that take turns save is below zero.
    """
    estimate = Estimate(case.resolved, case.point)
    assert sum(times.total for times in estimate.terms.values()) == close(estimate.seconds)
    assert sum(estimate.attributed.values()) == close(estimate.seconds)
    negligible = 1e-13 * estimate.seconds  # a wait is a difference of nearly equal numbers where there is none
    assert all(share >= -negligible for share in estimate.attributed.values())
    for name, times in estimate.terms.items():
        assert set(times.attributed) == set(RESOURCES)
        assert abs(sum(times.attributed.values()) - times.total) <= ROUNDING * estimate.seconds
        assert name == "overlap" or all(share >= -negligible for share in times.attributed.values())


@given(case=cases(parts=roomy))
def test_the_bound_is_the_largest_of_the_very_numbers_it_labels(case: Case) -> None:
    """A label is the argmax of what is attributed; ties go to the first in the order of resources."""
    estimate = Estimate(case.resolved, case.point)
    for owed, bound in (
        (estimate.attributed, estimate.bound),
        *((times.attributed, times.bound) for times in estimate.terms.values()),
    ):
        assert bound == next(name for name in RESOURCES if owed[name] == max(owed.values()))


@given(case=cases())
def test_an_operation_is_owed_to_what_takes_longest(case: Case) -> None:
    """Outside the terms of a pipeline and an overlap, what a resource is owed never exceeds what it takes by itself,
    overhead and network are owed whole, and at least the longest of compute, memory and feed is owed.
    """
    for name, times in terms_of(case).items():
        if name in ("pipeline", "overlap"):
            continue
        owed = times.attributed
        assert (owed["network"], owed["overhead"]) == (times.network, times.overhead)
        overlapping = {each: getattr(times, each) for each in ("compute", "memory", "feed")}
        assert all(owed[each] <= seconds * ALMOST for each, seconds in overlapping.items())
        assert sum(owed[each] for each in overlapping) * ALMOST >= max(overlapping.values())


# -- one equation, three evaluators -----------------------------------------------------------------------------------


def grid_of(case: Case, draw_batches: list[int], draw_contexts: list[int]) -> tuple[Point, list[list[Point]]]:
    """An open grid around a case and its points one by one."""
    cached = case.point.cached
    contexts = [float(context + cached) for context in draw_contexts]
    batches = [float(batch) for batch in draw_batches]
    phase = case.point.phase
    grid = Point(phase, np.array(batches)[:, None], np.array(contexts)[None, :], cached)
    return grid, [[Point(phase, batch, context, cached) for context in contexts] for batch in batches]


sides = st.lists(st.integers(1, 300), min_size=1, max_size=4)


@given(case=cases(parts=accelerators(capacity=st.sampled_from([1e6, 1e15]))), batches=sides, contexts=sides)
def test_an_array_is_a_loop_over_numbers(case: Case, batches: list[int], contexts: list[int]) -> None:
    """Every number of an estimate on an open grid has the grid's shape and is what the scalars give one by one; what
    does not fit is nan in its place.
    """
    grid, rows = grid_of(case, batches, contexts)
    whole = Estimate(case.resolved, grid)
    ones = [[Estimate(case.resolved, point) for point in row] for row in rows]
    fits = np.array([[one.fits for one in row] for row in ones])
    assert whole.fits.dtype == bool
    np.testing.assert_array_equal(whole.fits, fits)
    for name in ("seconds", "ideal", "floor", "low", "high", "tokens_per_second", "mfu", "mbu"):
        expected = np.where(fits, [[getattr(one, name) for one in row] for row in ones], np.nan)
        np.testing.assert_allclose(getattr(whole, name), expected, rtol=ROUNDING, err_msg=name)
    assert whole.bound.shape == fits.shape
    owed = {name: [[one.attributed[name] for one in row] for row in ones] for name in RESOURCES}
    for name in RESOURCES:
        got = np.broadcast_to(whole.attributed[name], fits.shape)
        np.testing.assert_allclose(got[fits], np.array(owed[name])[fits], rtol=1e-9, atol=1e-24, err_msg=name)


@given(case=cases(), batches=sides, contexts=sides, block=st.integers(1, 5))
def test_blocks_do_not_show(case: Case, batches: list[int], contexts: list[int], block: int) -> None:
    """Arrays are evaluated in pieces to save memory; the pieces meet without a seam, whichever way the grid lies."""
    grid, _ = grid_of(case, batches, contexts)
    turned = Point(grid.phase, grid.batch.T, grid.context.T, grid.cached)
    for point in (grid, turned):
        one = Case(case.resolved, point)
        expected = (*one.three, case.resolved.fits(point))
        with patch.object(door, "BLOCK", block):
            pieces = (*one.three, case.resolved.fits(point))
        for whole, pieced in zip(expected, pieces, strict=True):
            np.testing.assert_array_equal(whole, pieced)


BATCH, CONTEXT = sympy.symbols("batch context", positive=True)


@RARELY
@given(
    case=cases(models=model_shapes(most_layers=3), parts=roomy),
    symbolic=st.sampled_from([(True, False), (False, True), (True, True)]),
)
def test_a_symbol_with_a_number_put_in_is_the_number(case: Case, symbolic: tuple[bool, bool]) -> None:
    """The closed form is the same function: seconds, ideal, floor and interval with numbers in place of symbols.

    Without overlap, whose minimum of two long sums sympy is slow to write: a test of its own has some. Which slices are
    the fastest cannot be said of symbols.
    """
    case = case.with_(overlap=False, slice="whole" if case.resolved.slice == "fastest" else case.resolved.slice)
    point = case.point
    in_symbols = case.at(batch=BATCH if symbolic[0] else point.batch, context=CONTEXT if symbolic[1] else point.context)
    numbers = {BATCH: int(point.batch), CONTEXT: int(point.context)}
    expressions, scalars = (Estimate(each.resolved, each.point) for each in (in_symbols, case))
    assert expressions.fits is None
    for name in ("seconds", "ideal", "floor", "low", "high", "tokens_per_second", "mfu", "mbu"):
        closed = getattr(expressions, name)
        put_in = sympy.N(sympy.sympify(closed).subs(numbers), 30)  # at 15 digits its sums lose two or three of them
        assert float(put_in) == close(getattr(scalars, name)), name


# -- time against the load --------------------------------------------------------------------------------------------


@given(case=cases(), more=st.integers(1, 50))
def test_time_never_falls_with_the_batch(case: Case, more: int) -> None:
    """More sequences never take less time.

    In a pipeline, between multiples of the number of stages: there every micro-batch is full. Elsewhere ⌈batch/pp⌉
    makes fewer, larger micro-batches of one more sequence, and fewer passes of the slowest stage may take less.
    """
    stages = case.resolved.layout.pp
    few, many = case.at(batch=case.point.batch * stages), case.at(batch=(case.point.batch + more) * stages)
    for before, after in zip(few.three, many.three, strict=True):
        assert after * ALMOST >= before


@given(case=cases(), more=st.integers(1, 3000))
def test_time_never_falls_with_context_or_prompt(case: Case, more: int) -> None:
    """A longer context, or a longer prompt behind the same cached tokens, never takes less time."""
    longer = case.at(context=case.point.context + more)
    for before, after in zip(case.three, longer.three, strict=True):
        assert after * ALMOST >= before


@given(case=cases(phase="prefill", models=model_shapes(st.one_of(attentions(), all_mixers))), share=st.floats(0, 1))
def test_a_cached_prompt_never_takes_longer(case: Case, share: float) -> None:
    """Tokens in the cache are tokens not computed.

    Not for latent attention alone: keys and values of cached tokens are rebuilt from the latent inside the attention
    kernel, while a new token's are made by a matrix product, which may be free beside the reading of its weights. A
    recurrent state is read where tokens are cached, so there is one more thing to read from the first of them on. Nor
    in slices for attention to one key for several tokens: the mean slice that stands for all may lie between two. Nor
    where more tokens are new than a window spans: the key of one that leaves it is read if it was cached, and else is
    neither read nor kept.
    """
    mixers = [mixer for mixer, _ in counting.mixers(case.resolved.model)]
    assume(not any(hasattr(mixer, "rebuild_flops") for mixer in mixers))
    assume(
        isinstance(case.resolved.slice, str) or not any((getattr(mixer, "ratio", None) or 1) > 1 for mixer in mixers)
    )
    least = min(case.point.cached, 1.0) if case.resolved.model.state_bytes() else 0.0
    fewer = case.at(cached=max(least, float(int(case.point.cached * share))))
    windows = [window for mixer in mixers if (window := getattr(mixer, "window", None)) is not None]
    assume(fewer.point.context - fewer.point.cached <= min(windows, default=math.inf))
    for cached, uncached in zip(case.three, fewer.three, strict=True):
        assert cached <= uncached * ALMOST


@given(case=cases(phase="decode", layout=unpipelined))
def test_prefill_of_one_token_is_a_decode_step(case: Case) -> None:
    """With all but the last token cached, a prefill multiplies, reads and writes what a decode step does: the phases
    are two views of one pass. Latent attention may rebuild its keys where that is less work; compressed attention
    counts a block that is not full yet by its share, where a decode step counts whole summaries.
    """
    context = case.point.context
    one = case.with_(slice="whole").at(phase="prefill", cached=context - 1)
    assert counting.worked(one.step, "cache") == close(counting.worked(case.step, "cache"))
    assert counting.worked(one.step, "weights") == close(counting.worked(case.step, "weights"))
    mixers = [mixer for mixer, _ in counting.mixers(case.resolved.model)]
    decoded, prefilled = counting.worked(case.step, "flops"), counting.worked(one.step, "flops")
    if any(getattr(mixer, "ratio", None) for mixer in mixers):
        assert prefilled * ALMOST >= decoded
    elif any(hasattr(mixer, "rebuild_flops") for mixer in mixers):
        assert prefilled <= decoded * ALMOST
    else:
        assert prefilled == close(decoded)


# -- two names for one thing ------------------------------------------------------------------------------------------


@given(case=cases(models=model_shapes(attentions(st.none()))), beyond=st.integers(0, 100))
def test_a_window_that_reaches_past_the_context_is_none(case: Case, beyond: int) -> None:
    """A window limits what is seen and kept; where it covers everything it limits nothing."""
    model = case.resolved.model
    window = int(case.point.context) + beyond
    windowed = changed_mixers(model, window=window)
    assert case.of(windowed).three == case.three
    assert case.of(windowed).resolved.fits(case.point) == case.resolved.fits(case.point)
    narrower = case.of(changed_mixers(model, window=max(window // 2, 1)))
    assert all(less <= whole * ALMOST for less, whole in zip(narrower.three, case.three, strict=True))


@given(case=cases(models=model_shapes(attentions(), most_layers=2)))
def test_grouped_heads_of_one_are_heads_of_their_own(case: Case) -> None:
    """Grouping saves bytes and weights, never arithmetic on pairs; without groups it is multi-head attention: as many
    weights for keys as for queries, and a key and a value of every head in the cache.
    """
    model = changed_mixers(case.resolved.model, all_heads=True)
    own = case.of(model).laid(tp=1, ep=1).at(phase="decode", cached=0)
    grouped = case.laid(tp=1, ep=1).at(phase="decode", cached=0)
    for mixer, _ in counting.mixers(model):
        query, key = (next(each for each in mixer.matrices(model.hidden) if each.name == name) for name in ("q", "k"))
        assert (query.inner, query.columns) == (key.inner, key.columns)
        assert mixer.key_elements * 2 == mixer.pair_flops
    assert counting.worked(own.step, "flops", terms=("attention",)) == close(
        counting.worked(grouped.step, "flops", terms=("attention",))
    )
    for field in ("weights", "cache"):
        assert counting.worked(own.step, field) * ALMOST >= counting.worked(grouped.step, field)
    for saved, spent in zip(grouped.three, own.three, strict=True):
        assert saved <= spent * ALMOST


def changed_mixers(model: ModelShape, *, window: int | None = None, all_heads: bool = False) -> ModelShape:
    """A model whose attention has another window, or a key-value head for every head."""

    def changed_mixer(mixer: Any) -> Any:
        return mixer.model_copy(update={"kv_heads": mixer.heads} if all_heads else {"window": window})

    layers = tuple(layer.model_copy(update={"mixer": changed_mixer(layer.mixer)}) for layer in model.layers)
    return ModelShape(**{**{name: getattr(model, name) for name in ModelShape.model_fields}, "layers": layers})


# -- rates that users see ---------------------------------------------------------------------------------------------


@given(case=cases(parts=roomy, models=model_shapes(common_mixers)))
def test_no_more_than_the_peak_is_used(case: Case) -> None:
    """MFU and MBU are shares of what the devices could have done in the time: at most 1, at the estimate and the more
    so at the ideal.

    MFU divides by the peak of the weights' format, so where no other format has a higher one.
    """
    estimate = Estimate(case.resolved, case.point)
    peaks = case.resolved.machine.peak
    used = {case.resolved.rates.of_operation(item)[0] for item in case.step.items if hasattr(item, "flops")}
    quantization = case.resolved.quantization
    part = "experts" if case.resolved.model.parameters().experts else "linear"
    own = peaks[case.resolved.rates.peaks[quantization.computation(part)]]
    shrink = estimate.seconds / estimate.ideal
    if all(peaks[name] <= own for name in used):
        assert 0 < estimate.mfu * shrink <= ALMOST
    assert 0 < estimate.mbu * shrink <= ALMOST


@given(case=cases(parts=roomy), replicas=st.integers(1, 5), idle=st.integers(0, 3))
def test_replicas_multiply_throughput_and_never_latency(case: Case, replicas: int, idle: int) -> None:
    """Copies serve other users; devices that make no copy serve none."""
    size = case.resolved.layout.devices
    devices = replicas * size + idle % size
    one, many = (Estimate(replace(case.resolved, devices=count), case.point) for count in (size, devices))
    assert many.seconds == one.seconds
    assert many.tokens_per_second_per_user == one.tokens_per_second_per_user
    assert many.tokens_per_second == close(replicas * one.tokens_per_second)
    assert many.tokens_per_second_per_device * devices == close(many.tokens_per_second)


@given(case=cases(parts=roomy), price=st.none() | st.floats(0.01, 100), power=st.none() | st.floats(1, 2000))
def test_money_and_energy_are_linear_in_price_and_power(case: Case, price: float | None, power: float | None) -> None:
    """Device time has a price and draws a power; where nobody says which, there is no number rather than a zero."""
    one = Estimate(replace(case.resolved, price=price, power=power), case.point)
    tokens = one.tokens_per_second * one.seconds
    if power is None:
        assert (one.joules, one.joules_per_token) == (None, None)
    else:
        assert one.joules == close(power * case.resolved.devices * one.seconds)
        assert one.joules_per_token * tokens == close(one.joules)
    if price is None:
        assert one.usd_per_million_tokens is None
    else:
        assert one.usd_per_million_tokens * tokens / 1e6 == close(price / 3600 * case.resolved.devices * one.seconds)


@given(case=cases(parts=roomy), phase=phases)
def test_throughput_counts_the_tokens_computed(case: Case, phase: Any) -> None:
    """One token of each sequence in decode; in prefill those of the prompt that were not cached."""
    cached = case.point.cached if phase == "prefill" else 0
    estimate = Estimate(case.resolved, Point(phase, case.point.batch, case.point.context, cached))
    new = 1 if phase == "decode" else case.point.context - cached
    assert estimate.tokens_per_second * estimate.seconds == close(case.point.batch * new)


@given(case=cases(parts=roomy))
def test_the_interval_at_a_point_is_the_steps(case: Case) -> None:
    """The interval scales a whole step: its ends over the seconds depend on the mix of kernels, never on the pipeline's
    waiting.
    """
    low, high = step_interval(case.step, case.resolved.machine, case.resolved.rates)
    fits = [fit for source in case.resolved.rates.sources for fits in source.kernels.values() for fit in fits.values()]
    wires = [fit for source in case.resolved.rates.sources for fit in source.collectives.values()]
    widest = [min(fit.low for fit in [*fits, *wires]), max(fit.high for fit in [*fits, *wires])]
    assert widest[0] / ALMOST <= low / case.seconds <= ALMOST
    assert 1 / ALMOST <= high / case.seconds <= widest[1] * ALMOST
