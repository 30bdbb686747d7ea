"""Work meets machine without loss: seconds of a step that no implementation can beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roofline.describe.machine import Machine, Wire
from roofline.equations.rooflines import compute_time, memory_time
from roofline.estimate.network import least_transfer
from roofline.estimate.rates import Rates
from roofline.estimate.timing import sum_of, weighted
from roofline.estimate.work import Item, Operation
from roofline.numeric import Num, maximum


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of the devices of a layout: `items`, how often on the `path` and in each distinct stage.

    `path` and `stages` count as those of a `Step` do.
    """

    items: tuple[Item, ...]
    path: tuple[Num, ...]
    stages: tuple[tuple[Num, ...], ...]


@dataclass(frozen=True, slots=True)
class Least:
    """The least that a step asks of a layout, however an engine groups it.

    Every stage must at some time do its part for all sequences, which is the least where it does so `together`: weights
    are read once. In decode each token passes all of the `depth` stages, which is the least where its sequence does so
    `alone`. A prompt is not bound to do so, for it may be cut into slices that follow each other. Each of the `hops`
    takes its latency.
    """

    together: Demand
    alone: Demand
    decoding: bool
    depth: int
    hops: tuple[tuple[Wire, int], ...]


def floor_seconds(least: Least, machine: Machine, rates: Rates) -> Num:
    """Seconds that no implementation of the layout can beat.

    The largest, over resources, of everything that must be asked of it at peak: all operations overlapped, no overhead,
    activations and as much else as its cache holds kept on the chip, all tokens routed to the same experts, each
    collective moving the fewest bytes, and one that is waited for taking its latency.
    """
    way = [_least(item, machine, rates) for item in least.alone.items]
    latencies = weighted(least.alone.path, [each[5] for each in way])
    floor = maximum(sum_of(latencies, *(count * wire.latency * wire.hops for wire, count in least.hops)), 0)
    if least.decoding or least.depth == 1:
        floor = maximum(floor, _demand(least.alone.path, way, machine, least.depth))
    if least.depth > 1:
        every = [_least(item, machine, rates) for item in least.together.items]
        floor = maximum(floor, *(_demand(counts, every, machine, 1) for counts in least.together.stages))
    return floor


def _demand(counts: Sequence[Num], items: Sequence[Sequence[Num]], machine: Machine, devices: int) -> Num:
    """The largest demand on one resource of what occurs `counts` times, passing `devices` devices in turn [s]."""
    compute, moved, weights, feed, wires = (weighted(counts, [each[place] for each in items]) for place in range(5))
    read = memory_time(maximum(moved - devices * machine.cache, 0), machine.streaming)
    # Weights are read once each, so those that do not fit nearer come from further away; caches may be read again.
    far = (memory_time(maximum(weights - devices * held, 0), rate) for held, rate in machine.beyond)
    return maximum(compute, read, feed, wires, *far)


def _least(item: Item, machine: Machine, rates: Rates) -> tuple[Num, Num, Num, Num, Num, Num]:
    """Least of an item: seconds of compute, bytes moved, weights among them, seconds of feed and of wires, latency."""
    if not isinstance(item, Operation):
        crossing, latency = least_transfer(item, machine.wires, machine.name)
        return 0, 0, 0, 0, crossing, latency
    moved = sum_of(item.fewest_weights, item.fewest_cache)
    feed: Num = 0 if machine.feed is None else memory_time(moved, machine.feed)
    compute = compute_time(item.fewest_flops, machine.peak[rates.of_operation(item)[0]] * rates.at_best(item))
    return compute, moved, item.fewest_weights, feed, 0, 0
