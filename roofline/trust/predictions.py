"""What the library predicts for a measured row of service: one prediction for every row, never an exception."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roofline.describe.link import Link
from roofline.describe.runtimes import Runtime
from roofline.errors import DoesNotFit, MissingNumber, RooflineError
from roofline.estimate.colocated import Mix
from roofline.estimate.disaggregation import Crossing, PrefillDecode, Split
from roofline.estimate.queues import NEARLY
from roofline.trust.measured_rows import (
    Load,
    PoolRow,
    Row,
    Served,
    has_two_pools,
    load,
    message,
    number,
    pool,
    served,
    stack_of,
)
from roofline.trust.row_remarks import remarks
from roofline.trust.static_rows import static_floor, static_value
from roofline.trust.stations import BATCHES, Array, Station, station

_ROUNDS, _TRIED = 8, 65
CROSSING_LATENCY = 1e-5
"""Seconds that a message between two pools takes beside its bytes: a network card and a switch each way [s]."""


@dataclass(frozen=True)
class Prediction:
    """A row and what is predicted of it; times in seconds, None where there is no prediction.

    `value` is in the row's own `metric`, `batch` the sequences in decode over all devices and all time. `status` is
    `ok`, `does_not_fit` or `unsupported`, with a `message` that says why, or of an `ok` row what was taken otherwise
    than it is written. Service that does not fit by its row is predicted as if memory held it, since it was measured.
    """

    row: Row
    status: str
    message: str = ""
    ttft: float | None = None
    tpot: float | None = None
    tokens_per_second: float | None = None
    value: float | None = None
    floor: float | None = None
    batch: float | None = None
    stack: Runtime | None = None


def predict(row: Row, stacks: Mapping[str, Runtime | None] | None = None) -> Prediction:
    """The prediction for one row; `stacks` replaces the shipped constants by name, None for no host costs."""
    try:
        what, said = served(row), "; ".join(remarks(row))
        stack = stack_of(what) if stacks is None else stacks.get(what.stack)
        if _single_phase(row):
            return Prediction(row, "ok", said, value=static_value(row, what, stack), stack=stack)
        answer = _split if has_two_pools(row) else _together
        try:
            return replace(answer(row, what, stack), message=said)
        except DoesNotFit as error:  # it was measured, so that something is smaller than the row has it
            held = answer(row, replace(what, holds_all=True), stack)
            return replace(held, status="does_not_fit", message=f"{message(error)}; predicted as if memory held it")
    except DoesNotFit as error:
        return Prediction(row, "does_not_fit", message(error))
    except RooflineError as error:
        return Prediction(row, "unsupported", message(error))
    except (ArithmeticError, ValueError, TypeError, KeyError, AttributeError) as error:
        return Prediction(row, "unsupported", f"{type(error).__name__}: {error}"[:240])


def floor_of(each: Prediction, quantity: str) -> float | None:
    """What no implementation betters of a quantity of a row that was predicted, in the row's unit; None if unknown.

    A time to the first token is at least that of the shortest prompt by itself.
    """
    if quantity == "tpot":
        return None if each.floor is None else each.floor * 1e3
    if quantity not in ("ttft", "value"):
        return None
    what = served(each.row)
    if quantity == "value":
        return static_floor(each.row, what)
    asked, two = load(each.row), has_two_pools(each.row)
    place = holding(what, pool(each.row, "prefill_"), None, asked) if two else decode_pool(each.row, what, None, asked)
    return place.prompt_floor(asked) * 1e3


def _single_phase(row: Row) -> bool:
    return bool(str(row.get("metric") or "").strip())


def _together(row: Row, what: Served, stack: Runtime | None) -> Prediction:
    """Prompts and decode on the same devices."""
    asked = load(row)
    place = decode_pool(row, what, stack, asked)
    limit, steps = place.limit(asked), place.steps(asked)
    mix = mixed(place, asked)
    batch = _batch(mix, steps, limit)
    step = float(np.interp(batch, BATCHES, steps))
    tpot = float(mix.interval(batch, step))
    rate = float(mix.rate(batch, step))
    ttft = float(mix.crowd or 0) / rate - mix.generated * tpot
    whole = rate * place.replicas * asked.osl
    held = float(mix.decoding(rate, batch, step)) * place.replicas
    return _answer(row, place, asked, stack, ttft, tpot, whole, held)


def mixed(place: Station, asked: Load) -> Mix:
    """A replica of one pool under its share of a load."""
    stack = place.deployment.runtime
    bunch = 0.0 if stack is None else stack.bunching(asked.lengths)
    generated, crowd = max(asked.osl - 1, 1e-9), asked.concurrency / place.replicas

    def spared(batch: Any) -> Any:
        return np.interp(batch, BATCHES, place.spared(asked))

    before, tokens = place.steps_before(asked), place.tokens_per_step(asked)
    aligned, most = place.whole.aligned, place.limit(asked)
    return Mix(place.prompt(asked), generated, crowd, before, tokens, bunch, spared, aligned, most)


def _batch(mix: Mix, steps: Array, limit: float) -> float:
    """The batch at which requests in decode, in prefill and waiting are those in flight, within ever smaller spans."""
    low, high = 0.0, min(limit, float(mix.crowd or 1))
    if float(mix.reached(high, np.interp(high, BATCHES, steps))) <= 1:
        return high
    for _ in range(_ROUNDS):
        tried = np.linspace(low, high, _TRIED)[1:]
        enough = mix.reached(tried, np.interp(tried, BATCHES, steps)) >= 1
        first = int(np.argmax(enough))
        low, high = tried[first - 1] if first else low, tried[first]
    return float(high)


def _split(row: Row, what: Served, stack: Runtime | None) -> Prediction:
    """Prompts on one pool, decode on another; the cache crosses the scale-out link of the part."""
    asked = load(row)
    second, pools = two_pools(row, what, stack, asked)
    limit, steps, generated = second.limit(asked), second.steps(asked), pools.generated

    def step(batch: Any) -> Any:
        return np.interp(batch, BATCHES, steps)

    batch, seconds, rate = pools.settled(step, limit, None)
    gap = float(pools.gap(min(rate, pools.most * NEARLY)))
    tpot = seconds + gap / generated
    ttft = asked.concurrency / rate - gap - generated * seconds
    whole = rate * asked.osl
    return _answer(row, second, asked, stack, ttft, tpot, whole, batch * second.replicas)


def two_pools(row: Row, what: Served, stack: Runtime | None, asked: Load) -> tuple[Station, Split]:
    """The decode pool of a row, and both pools under its load."""
    first = holding(what, pool(row, "prefill_"), stack, asked)
    second = decode_pool(row, what, stack, asked)
    system = PrefillDecode(first.deployment, second.deployment, _wire(first))
    prompt = first.prompt(asked)
    crossing = Crossing.of(system, first.whole, second.whole, prompt.computed, asked.isl)
    generated, late = max(asked.osl - 1, 1e-9), second.late(asked)
    apart = 0.0 if stack is None else stack.apart
    workers, decoders = first.replicas, second.replicas
    return second, Split(prompt, workers, decoders, generated, crossing, asked.concurrency, late, apart)


def decode_pool(row: Row, what: Served, stack: Runtime | None, asked: Load) -> Station:
    """The devices that decode: all of one pool, or the second of two."""
    if not has_two_pools(row):
        return station(what, pool(row), stack)
    return holding(what, pool(row, "decode_"), None if stack is None else stack.decoding_alone(), asked)


def holding(what: Served, where: PoolRow, stack: Runtime | None, asked: Load) -> Station:
    """A pool as its row lays it out; on tensor ranks where copies of the attention leave no room on data ranks."""
    place = station(what, where, stack)
    try:
        place.held(asked)
    except DoesNotFit:
        ranks = where.tp * where.dp
        return station(what, PoolRow(where.devices, ranks, where.pp, 1, where.ep), stack)
    return place


def _wire(sender: Station) -> Link:
    """The scale-out link of a pool's part, else its widest one; its latency is hardly ever published."""
    part = sender.deployment.accelerator
    if not part.link:
        raise MissingNumber(f"{part.name}: no link is published, and two pools need one")
    tier = part.link.get("scale_out") or list(part.link.values())[-1]
    return Link(bandwidth=f"{tier.bandwidth.value} B/s", latency=f"{CROSSING_LATENCY} s")


def _answer(
    row: Row,
    place: Station,
    asked: Load,
    stack: Runtime | None,
    ttft: float,
    tpot: float,
    tokens_per_second: float,
    held: float,
) -> Prediction:
    within, told = measured_batch(row, asked), tpot if asked.osl > 1 else None
    each = (held if within is None else within) / place.replicas
    floor = place.floor(asked, each if each <= place.held(asked) else 1.0)
    return Prediction(row, "ok", "", ttft, told, tokens_per_second, None, floor, held, stack)


def measured_batch(row: Row, asked: Load) -> float | None:
    """Sequences in decode over all devices by Little's law from what was measured; None where it was not [1]."""
    ttft, tpot = (number(row, name, 0) / 1e3 for name in ("ttft_ms", "tpot_ms"))
    if not (ttft and tpot):
        return None
    decoding = (asked.osl - 1) * tpot
    return measured_rate(asked, ttft, decoding) * decoding


def batch_of_a_step(row: Row, asked: Load, place: Station) -> float | None:
    """Sequences in a decode step of one replica, from those in decode by Little's law; None where it was not measured.

    Where prompts have devices of their own both are the same. At least one [1].
    """
    held = measured_batch(row, asked)
    if held is None:
        return None
    decoding = held / place.replicas
    if decoding and not has_two_pools(row):
        rate = decoding / ((asked.osl - 1) * number(row, "tpot_ms") / 1e3)
        decoding = float(mixed(place, asked).in_a_step(decoding, rate))
    return max(1.0, decoding)


def measured_rate(asked: Load, ttft: float, decoding: float) -> float:
    """Requests per second by Little's law, from their time to the first token and that of all others [1/s]."""
    return asked.concurrency / (ttft + decoding)
