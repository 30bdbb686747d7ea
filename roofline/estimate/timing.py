"""Work meets machine: seconds of every operation, of a step, and of what no implementation can beat.

A step is the sum over operations of the largest of compute, memory and feed, plus what each launches and sends. The
label of an operation is the argmax of the very numbers whose maximum is its time.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np

from roofline.describe.machine import Machine, Wire
from roofline.equations.pipelines import pipeline_makespan, token_interval
from roofline.equations.rooflines import (
    compute_time,
    dealt_flops,
    memory_time,
    operation_time,
    streaming_time,
    unfed_operation_time,
)
from roofline.errors import InvalidInput
from roofline.estimate.network import hop_seconds, least_transfer, transfer_time
from roofline.estimate.rates import Rates
from roofline.estimate.work import HAND_OVER, Item, Operation, Phase
from roofline.numeric import ARRAY, SCALAR, SYMBOL, Num, kind, maximum, sqrt

Resource = Literal["compute", "memory", "feed", "network", "overhead", "spill"]
RESOURCES: tuple[Resource, ...] = ("compute", "memory", "feed", "network", "overhead", "spill")


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of an operation or of a sum of them, by resource [s].

    `compute`, `memory` with `spill`, and `feed` overlap within an operation; `memory` is the nearest tier, `spill` the
    further ones, read in turn. `total` is what passes; `attributed` says which resource the seconds of `total` are owed
    to, and sums to it.
    """

    compute: Num
    memory: Num
    feed: Num
    network: Num
    overhead: Num
    total: Num
    attributed: Mapping[Resource, Num]
    spill: Num = 0

    @property
    def bound(self) -> Any:
        """The resource with the most attributed seconds; an array of names where the seconds are arrays."""
        return largest(self.attributed)

    def plus(self, other: Times) -> Times:
        """Both in turn."""
        return Times(
            self.compute + other.compute,
            self.memory + other.memory,
            self.feed + other.feed,
            self.network + other.network,
            self.overhead + other.overhead,
            self.total + other.total,
            {name: self.attributed[name] + other.attributed[name] for name in RESOURCES},
            self.spill + other.spill,
        )

    def times(self, count: Num) -> Times:
        """The same `count` times in turn."""
        return Times(
            self.compute * count,
            self.memory * count,
            self.feed * count,
            self.network * count,
            self.overhead * count,
            self.total * count,
            {name: seconds * count for name, seconds in self.attributed.items()},
            self.spill * count,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One pass of a micro-batch through all stages.

    `items` are the distinct things that devices do; `path` says how often each lies on the way of a token, `stages` how
    often it occurs in each distinct stage of the `depth` there are; `hops` carry `hop_size` bytes from stage to stage.
    """

    phase: Phase
    items: tuple[Item, ...]
    path: tuple[int, ...]
    stages: tuple[tuple[int, ...], ...]
    micro_batches: Num
    depth: int
    hops: tuple[tuple[Wire, int], ...]
    hop_size: Num

    @property
    def pipelined(self) -> bool:
        """Whether there is more than one stage."""
        return bool(self.hops)


def step_seconds(step: Step, machine: Machine, rates: Rates) -> Num:
    """Seconds of a step: between two tokens of a sequence in decode, from first token in to last out in prefill."""
    seconds = [item_seconds(item, machine, rates) for item in step.items]
    return _compose(step, seconds, _hops(step, rates))


def passage(step: Step, machine: Machine, rates: Rates) -> tuple[Num, Num, Num]:
    """Seconds of all stages for one micro-batch, of the hand-overs between them, and of the slowest stage [s]."""
    seconds = [item_seconds(item, machine, rates) for item in step.items]
    total = _weighted(step.path, seconds)
    if not step.pipelined:
        return total, 0, total
    return total, _hops(step, rates), maximum(*(_weighted(counts, seconds) for counts in step.stages))


def _hops(step: Step, rates: Rates) -> Num:
    if not step.hops:
        return 0
    return hop_seconds(step.hops, step.hop_size, rates.of_transfer(HAND_OVER))


def _compose(step: Step, seconds: Sequence[Num], hops: Num) -> Num:
    total = _weighted(step.path, seconds)
    if not step.pipelined:
        return total
    slowest = maximum(*(_weighted(counts, seconds) for counts in step.stages))
    if step.phase == "prefill":
        return pipeline_makespan(total, hops, step.micro_batches, slowest)
    return token_interval(total, hops, step.micro_batches, slowest)


def step_interval(step: Step, machine: Machine, rates: Rates) -> tuple[Num, Num]:
    """The 80 % interval of a step's seconds that the spread of the measured kernels leaves [s].

    Kernels of one class err together, classes independently: their deviations add in quadrature. The pipeline's waiting
    scales with the rest. Decode under a serving stack has the spread of the stack's measured service instead.
    """
    stack = rates.runtime
    if stack is not None and stack.tpot.points and step.phase == "decode":
        seconds = step_seconds(step, machine, rates)
        return seconds * stack.tpot.low, seconds * stack.tpot.high
    below: Num = 0
    above: Num = 0
    by_class: dict[str, tuple[Num, float, float]] = {}
    total: Num = 0
    for item, count in zip(step.items, step.path, strict=True):
        if isinstance(item, Operation):
            name, fit = str(item.kernel_class), rates.of_operation(item)[1]
            low, high = fit.low, fit.high
        else:
            name, wires = item.collective, rates.of_transfer(item)
            low, high = wires.low, wires.high
        seconds = item_seconds(item, machine, rates) * count
        total = total + seconds
        key = f"{name} {low} {high}"
        before = by_class.get(key)
        by_class[key] = (seconds + before[0] if before else seconds, low, high)
    for seconds, low, high in by_class.values():
        below = below + (seconds * (1 - low)) ** 2
        above = above + (seconds * (high - 1)) ** 2
    whole = step_seconds(step, machine, rates)
    return whole * (1 - sqrt(below) / total), whole * (1 + sqrt(above) / total)


def _weighted(counts: Sequence[int], seconds: Sequence[Num]) -> Num:
    pairs = [(count, each) for count, each in zip(counts, seconds, strict=True) if count]
    return _sum(*(each if count == 1 else each * count for count, each in pairs))


def item_seconds(item: Item, machine: Machine, rates: Rates) -> Num:
    """Seconds of one operation or collective [s]."""
    if isinstance(item, Operation):
        compute, memory, feed, overhead = resource_seconds(item, machine, rates)
        return _operation_time(compute, memory, feed, overhead)
    return transfer_time(item, machine.wires, rates.of_transfer(item), machine.name)


def _operation_time(compute: Num, memory: Num, feed: Num, overhead: Num) -> Num:
    """The equation for the resources that an operation needs: what is not there costs no pass over an array."""
    if not _absent(feed):
        return operation_time(compute, memory, feed, 0, overhead)
    if not _absent(compute):
        return unfed_operation_time(compute, memory, overhead)
    return streaming_time(memory, overhead)


def _absent(seconds: Num) -> bool:
    return isinstance(seconds, int | float) and seconds == 0


def resource_seconds(operation: Operation, machine: Machine, rates: Rates) -> tuple[Num, Num, Num, Num]:
    """Seconds of compute, all memory tiers and feed, which overlap, and of overhead, which does not [s]."""
    peak, fit = rates.of_operation(operation)
    stationary = _sum(operation.weights, operation.cache)
    flops = operation.flops
    if fit.cores is not None and not _absent(operation.longest):
        flops = dealt_flops(flops, operation.longest, fit.cores)
    compute = compute_time(flops, machine.peak[peak] * fit.compute)
    near = _sum(stationary, operation.activations)
    if operation.far:
        near = near - _sum(*operation.far)
    memory = memory_time(near, machine.memory.bandwidth * fit.memory)
    if operation.far:
        memory = memory + spill_seconds(operation, machine, rates)
    feed: Num = 0 if machine.feed is None else memory_time(stationary, machine.feed * fit.memory)
    return compute, memory, feed, operation.kernels * fit.overhead


def spill_seconds(operation: Operation, machine: Machine, rates: Rates) -> Num:
    """Seconds of reading what lies in further memory tiers, a part of the memory's [s]; tiers are read in turn."""
    if not operation.far:
        return 0
    fit = rates.of_operation(operation)[1]
    pairs = zip(operation.far, machine.tiers[1:], strict=True)
    return _sum(*(memory_time(moved, tier.bandwidth * fit.memory) for moved, tier in pairs))


def experts_reading(step: Step, machine: Machine, rates: Rates) -> Num:
    """Seconds of a step in which experts are read [s]."""
    return _experts(step, machine, rates, reading=True)


def experts_working(step: Step, machine: Machine, rates: Rates) -> Num:
    """Seconds of a step that experts take, overheads apart [s]."""
    return _experts(step, machine, rates, reading=False)


def _experts(step: Step, machine: Machine, rates: Rates, *, reading: bool) -> Num:
    counts, seconds = [], []
    for item, count in zip(step.items, step.path, strict=True):
        if isinstance(item, Operation) and item.kernel_class == "experts":
            compute, memory, feed, _ = resource_seconds(item, machine, rates)
            counts.append(count)
            seconds.append(memory if reading else maximum(compute, memory, feed))
    return _weighted(counts, seconds)


def step_terms(step: Step, machine: Machine, rates: Rates) -> dict[str, Times]:
    """Seconds of a step term by term; the totals sum to `step_seconds` of the same arguments."""
    terms: dict[str, Times] = {}
    for item, count in zip(step.items, step.path, strict=True):
        times = _item_times(item, machine, rates).times(count)
        terms[item.term] = terms[item.term].plus(times) if item.term in terms else times
    if step.pipelined:
        terms["pipeline"] = _pipeline_times(terms, _hops(step, rates), step_seconds(step, machine, rates))
    return terms


def _item_times(item: Item, machine: Machine, rates: Rates) -> Times:
    if isinstance(item, Operation):
        compute, memory, feed, overhead = resource_seconds(item, machine, rates)
        total = _operation_time(compute, memory, feed, overhead)
        winners = _winners(compute, memory, feed)
        attributed: dict[Resource, Num] = {**winners, "network": 0, "overhead": overhead, "spill": 0}
        spill = spill_seconds(item, machine, rates)
        if not _absent(spill):
            attributed["spill"] = attributed["memory"] * (spill / memory)
            attributed["memory"] = attributed["memory"] - attributed["spill"]
        return Times(compute, memory - spill, feed, 0, overhead, total, attributed, spill)
    seconds = transfer_time(item, machine.wires, rates.of_transfer(item), machine.name)
    return Times(0, 0, 0, seconds, 0, seconds, {**dict.fromkeys(RESOURCES, 0), "network": seconds})


def _pipeline_times(terms: Mapping[str, Times], hops: Num, seconds: Num) -> Times:
    """What a pipeline adds: hand-overs, and the wait for other micro-batches in the slowest stage.

    The wait is owed to whatever the stages are busy with, so it is shared out as their own seconds are.
    """
    path = {name: _sum(*(times.attributed[name] for times in terms.values())) for name in RESOURCES}
    work = _sum(*path.values())
    wait = seconds - work - hops
    shares: dict[Resource, Num] = {name: wait * path[name] / work for name in RESOURCES}
    shares["network"] = shares["network"] + hops
    return Times(
        shares["compute"],
        shares["memory"],
        shares["feed"],
        shares["network"],
        shares["overhead"],
        wait + hops,
        shares,
        shares["spill"],
    )


def _sum(*values: Num) -> Num:
    """The sum of what is there: a plain zero costs no pass over an array."""
    present = [value for value in values if not _absent(value)]
    return reduce(operator.add, present) if present else 0


def _winners(compute: Any, memory: Any, feed: Any) -> dict[Resource, Num]:
    """The largest of three overlapping times, under the name of the resource that needs it; ties go to the first."""
    kinds = {kind(value) for value in (compute, memory, feed)}
    if kinds == {SCALAR}:
        longest = max(compute, memory, feed)
        by_compute = compute == longest
        by_memory = not by_compute and memory == longest
        return {
            "compute": longest if by_compute else 0,
            "memory": longest if by_memory else 0,
            "feed": longest if not by_compute and not by_memory else 0,
        }
    if SYMBOL in kinds:
        sympy = sys.modules["sympy"]
        first = sympy.And(compute >= memory, compute >= feed)
        second = sympy.And(memory > compute, memory >= feed)
        return {
            "compute": sympy.Piecewise((compute, first), (0, True)),
            "memory": sympy.Piecewise((memory, second), (0, True)),
            "feed": sympy.Piecewise((feed, sympy.Not(sympy.Or(first, second))), (0, True)),
        }
    first = (compute >= memory) & (compute >= feed)
    second = ~first & (memory >= feed)
    return {"compute": compute * first, "memory": memory * second, "feed": feed * (~first & ~second)}


def largest(seconds: Mapping[Resource, Any]) -> Any:
    """The name with the most seconds; an array of names for arrays; ties go to the first."""
    kinds = {kind(value) for value in seconds.values()}
    names = list(seconds)
    if SYMBOL in kinds:
        expected = "numbers: which resource binds depends on the symbols; substitute them, or ask for a crossover"
        raise InvalidInput("bound", given="symbols", expected=expected)
    if ARRAY in kinds:
        stacked = np.stack(np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in seconds.values())))
        return np.array(names)[np.argmax(stacked, axis=0)]
    return max(names, key=lambda name: seconds[name])


def step_floor(step: Step, machine: Machine, rates: Rates) -> Num:
    """Seconds that no implementation of the layout can beat.

    The largest, over resources, of everything the step demands of it at peak: all operations overlapped, no overhead,
    activations and as much else as its cache holds kept on the chip, all tokens routed to the same experts, each
    collective moving the fewest bytes. In a pipeline the slowest stage sees every micro-batch; a token of decode passes
    every stage, while a prompt may be cut into chunks that follow each other.
    """
    least = list(zip(*(_least(item, machine, rates) for item in step.items), strict=True))
    latency = _sum(_weighted(step.path, least[5]), *(count * wire.latency * wire.hops for wire, count in step.hops))
    floor = maximum(latency, 0)
    if step.phase == "decode" or not step.pipelined:
        floor = maximum(floor, _demand(step.path, least, machine, step.depth))
    if step.pipelined:
        stages = [_demand(counts, least, machine, 1) for counts in step.stages]
        floor = maximum(floor, step.micro_batches * maximum(*stages))
    return floor


def _demand(counts: Sequence[int], least: Sequence[Sequence[Num]], machine: Machine, devices: int) -> Num:
    """The largest demand on one resource of what occurs `counts` times, passing `devices` devices in turn [s]."""
    compute, moved, weights, feed, wires = (_weighted(counts, each) for each in least[:5])
    read = memory_time(maximum(moved - devices * machine.cache, 0), machine.streaming)
    # Weights are read once each, so those that do not fit nearer come from further away; caches may be read again.
    far = (memory_time(maximum(weights - devices * held, 0), rate) for held, rate in machine.beyond)
    return maximum(compute, read, feed, wires, *far)


def _least(item: Item, machine: Machine, rates: Rates) -> tuple[Num, Num, Num, Num, Num, Num]:
    """Least of an item: seconds of compute, bytes moved, weights among them, seconds of feed and of wires, latency."""
    if not isinstance(item, Operation):
        crossing, latency = least_transfer(item, machine.wires, machine.name)
        return 0, 0, 0, 0, crossing, latency
    moved = _sum(item.fewest_weights, item.cache)
    feed: Num = 0 if machine.feed is None else memory_time(moved, machine.feed)
    compute = compute_time(item.fewest_flops, machine.peak[rates.of_operation(item)[0]] * rates.faster(item))
    return compute, moved, item.fewest_weights, feed, 0, 0
