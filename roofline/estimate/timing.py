"""Work meets machine: seconds of every operation, and of a step.

A step is the sum over operations of the largest of compute, memory and feed, plus what each launches and sends. The
label of an operation is the argmax of the very numbers whose maximum is its time.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from roofline.describe.efficiency import HOST_CLASSES
from roofline.describe.machine import Machine, Wire
from roofline.equations.pipelines import pipeline_makespan, token_interval
from roofline.equations.rooflines import (
    compute_time,
    dealt_flops,
    launched_time,
    memory_time,
    operation_time,
    streaming_time,
    unfed_operation_time,
)
from roofline.estimate.network import hop_seconds, transfer_time
from roofline.estimate.rates import Rates
from roofline.estimate.times import NOTHING, RESOURCES, Resource, Times, below, winners
from roofline.estimate.work import HAND_OVER, LAUNCH, Item, Operation, Phase, exchanges
from roofline.numeric import SCALAR, Num, kind, maximum, minimum, sqrt


@dataclass(frozen=True, slots=True)
class Turns:
    """Two halves of a batch that take turns: while one is computed, rows of the other cross to experts and back.

    `inside` says how often each of the `items` occurs in layers, over both halves, and `outside` how often before and
    after all layers, where the batch is whole.
    """

    items: tuple[Item, ...]
    inside: tuple[Num, ...]
    outside: tuple[Num, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One pass of a micro-batch through all stages.

    `items` are the distinct things that devices do; `path` says how often each lies on the way of a token, `stages` how
    often it occurs in each distinct stage of the `depth` there are; `hops` carry `hop_size` bytes from stage to stage.
    Where prompts are cut into slices, each slice passes a pipeline as a micro-batch does; what is done once for all
    slices occurs a part of a time in each. `turns` are the same work where halves of the batch take turns.
    """

    phase: Phase
    items: tuple[Item, ...]
    path: tuple[Num, ...]
    stages: tuple[tuple[Num, ...], ...]
    micro_batches: Num
    depth: int
    hops: tuple[tuple[Wire, int], ...]
    hop_size: Num
    turns: Turns | None = None

    @property
    def pipelined(self) -> bool:
        """Whether there is more than one stage."""
        return bool(self.hops)


def step_seconds(step: Step, machine: Machine, rates: Rates) -> Num:
    """Seconds of a step: between two tokens of a sequence in decode, from first token in to last out in prefill."""
    seconds = [item_seconds(item, machine, rates) for item in step.items]
    whole = _compose(step, seconds, _hops(step, machine, rates), rates)
    return whole if step.turns is None else minimum(whole, overlapped_seconds(step, step.turns, machine, rates))


def overlapped_seconds(step: Step, turns: Turns, machine: Machine, rates: Rates) -> Num:
    """Seconds of two halves that take turns: of layers all that is computed, or all that is sent, if that is longer.

    Sums of tensor ranks are waited for like what is computed, and keep the wires busy like what crosses to experts. As
    if every layer had experts, and nothing of a core or of the memory went into sending.
    """
    seconds = [item_seconds(item, machine, rates) for item in turns.items]
    counted = list(zip(turns.items, turns.inside, strict=True))
    waited = weighted([0 if exchanges(item) else count for item, count in counted], seconds)
    sent = weighted([0 if isinstance(item, Operation) else count for item, count in counted], seconds)
    whole = maximum(waited, sent) + weighted(turns.outside, seconds)
    return _launched(step.phase, _counted_turns(turns), whole, rates)


def _counted_turns(turns: Turns) -> list[tuple[Item, Num]]:
    """Items of halves that take turns, and how often each occurs."""
    often = map(operator.add, turns.inside, turns.outside)
    return list(zip(turns.items, often, strict=True))


def passage(step: Step, machine: Machine, rates: Rates) -> tuple[Num, Num, Num]:
    """Seconds of all stages for one micro-batch, of the hand-overs between them, and of the slowest stage [s]."""
    if not step.pipelined:
        total = step_seconds(step, machine, rates)
        return total, 0, total
    seconds = [item_seconds(item, machine, rates) for item in step.items]
    return _way(step, seconds, rates), _hops(step, machine, rates), _slowest_stage(step, seconds, rates)


def _way(step: Step, seconds: Sequence[Num], rates: Rates) -> Num:
    """Seconds of one micro-batch in all stages, of items that take so long each [s]."""
    return _launched(step.phase, zip(step.items, step.path, strict=True), weighted(step.path, seconds), rates)


def _slowest_stage(step: Step, seconds: Sequence[Num], rates: Rates) -> Num:
    """Seconds of one micro-batch in the stage that takes longest [s]."""
    stages = [
        _launched(step.phase, zip(step.items, counts, strict=True), weighted(counts, seconds), rates)
        for counts in step.stages
    ]
    return maximum(*stages)


def _launched(phase: Phase, counted: Iterable[tuple[Item, Num]], passing: Num, rates: Rates) -> Num:
    """Seconds of items that take so long in turn, or of a host to launch their kernels, if that is longer [s]."""
    if not launches(phase, rates):
        return passing
    host, kernels = hosted(counted, rates)
    return launched_time(passing, host, kernels, rates.of_operation(LAUNCH)[1].overhead)


def launches(phase: Phase, rates: Rates) -> bool:
    """Whether a host launches the kernels of a pass one by one: those of a decode step are launched as one graph."""
    return phase == "prefill" and not _absent(rates.of_operation(LAUNCH)[1].overhead)


def hosted(counted: Iterable[tuple[Item, Num]], rates: Rates) -> tuple[Num, Num]:
    """Seconds of a pass that a host takes beside its kernels [s], and how many of these it launches [1].

    What collectives cost it counts as a part of the kernels.
    """
    host: Num = 0
    kernels: Num = 0
    for item, count in counted:
        if isinstance(item, Operation) and item.kernel_class in HOST_CLASSES:
            host = host + count * (item.kernels * rates.of_operation(item)[1].overhead)
        elif isinstance(item, Operation):
            kernels = kernels + count * item.kernels
    return host, kernels


def _hops(step: Step, machine: Machine, rates: Rates) -> Num:
    if not step.hops:
        return 0
    return hop_seconds(step.hops, step.hop_size, rates.of_transfer(HAND_OVER), machine.wires[0].name)


def _compose(step: Step, seconds: Sequence[Num], hops: Num, rates: Rates) -> Num:
    total = _way(step, seconds, rates)
    if not step.pipelined:
        return total
    slowest = _slowest_stage(step, seconds, rates)
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


def weighted(counts: Sequence[Num], seconds: Sequence[Num]) -> Num:
    """The sum of all, each as often as it is counted."""
    pairs = [(count, each) for count, each in zip(counts, seconds, strict=True) if not _absent(count)]
    return sum_of(*(each if kind(count) == SCALAR and count == 1 else each * count for count, each in pairs))


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
    stationary = sum_of(operation.weights, operation.cache)
    flops = operation.flops
    if fit.cores is not None and not _absent(operation.longest):
        flops = dealt_flops(flops, operation.longest, fit.cores)
    compute = compute_time(flops, machine.peak[peak] * fit.compute)
    near = sum_of(stationary, operation.activations)
    if operation.far:
        near = near - sum_of(*operation.far)
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
    return sum_of(*(memory_time(moved, tier.bandwidth * fit.memory) for moved, tier in pairs))


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
    return weighted(counts, seconds)


def step_terms(step: Step, machine: Machine, rates: Rates) -> dict[str, Times]:
    """Seconds of a step term by term; the totals sum to `step_seconds` of the same arguments."""
    terms: dict[str, Times] = {}
    for item, count in zip(step.items, step.path, strict=True):
        times = _item_times(item, machine, rates).times(count)
        terms[item.term] = terms[item.term].plus(times) if item.term in terms else times
    if launches(step.phase, rates):
        terms[LAUNCH.term] = _launch_times(launch_seconds(step, machine, rates))
    if step.pipelined:
        terms["pipeline"] = _pipeline_times(terms, _hops(step, machine, rates), step_seconds(step, machine, rates))
    if step.turns is not None:
        terms["overlap"] = _overlap_times(terms.values(), step, step.turns, machine, rates)
    return terms


def launch_seconds(step: Step, machine: Machine, rates: Rates) -> Num:
    """Seconds in which devices wait for a host that launches the kernels of a pass, on the way of a micro-batch [s].

    Devices' own seconds occur once in it, not in a maximum and behind a minus too: intervals then stay narrow.
    """
    if not launches(step.phase, rates):
        return 0
    host, kernels = hosted(zip(step.items, step.path, strict=True), rates)
    passing = weighted(step.path, [item_seconds(item, machine, rates) for item in step.items])
    return maximum(0, host + kernels * rates.of_operation(LAUNCH)[1].overhead - passing)


def _launch_times(seconds: Num) -> Times:
    return Times(0, 0, 0, 0, seconds, seconds, {**dict.fromkeys(RESOURCES, 0), "overhead": seconds})


def _overlap_times(whole: Iterable[Times], step: Step, turns: Turns, machine: Machine, rates: Rates) -> Times:
    """What turns of two halves save, below zero: nothing where they take longer than the batch at once.

    Seconds are owed to whatever the longer of computing and sending is owed to.
    """
    alone = reduce(Times.plus, whole)
    computed, summed, crossed, outside = NOTHING, NOTHING, NOTHING, NOTHING
    for item, inside, once in zip(turns.items, turns.inside, turns.outside, strict=True):
        times = _item_times(item, machine, rates)
        outside = outside.plus(times.times(once))
        times = times.times(inside)
        if isinstance(item, Operation):
            computed = computed.plus(times)
        elif exchanges(item):
            crossed = crossed.plus(times)
        else:
            summed = summed.plus(times)
    waited, sent = computed.plus(summed), summed.plus(crossed)
    hidden = below(sent.total, waited.total)
    longer = waited.times(hidden).plus(sent.times(1 - hidden)).plus(outside)
    both = waited.plus(crossed).plus(outside)
    if launches(step.phase, rates):
        behind = _launch_times(_launched(step.phase, _counted_turns(turns), longer.total, rates) - longer.total)
        longer, both = longer.plus(behind), both.plus(behind)
    taken = below(longer.total, alone.total)
    demanded, passing = (each.plus(alone.times(-1)).times(taken) for each in (both, longer))
    return replace(demanded, total=passing.total, attributed=passing.attributed)


def _item_times(item: Item, machine: Machine, rates: Rates) -> Times:
    if isinstance(item, Operation):
        compute, memory, feed, overhead = resource_seconds(item, machine, rates)
        total = _operation_time(compute, memory, feed, overhead)
        longest = winners(compute, memory, feed)
        attributed: dict[Resource, Num] = {**longest, "network": 0, "overhead": overhead, "spill": 0}
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
    path = {name: sum_of(*(times.attributed[name] for times in terms.values())) for name in RESOURCES}
    work = sum_of(*path.values())
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


def sum_of(*values: Num) -> Num:
    """The sum of what is there: a plain zero costs no pass over an array."""
    present = [value for value in values if not _absent(value)]
    return reduce(operator.add, present) if present else 0
