"""Work meets machine without loss: seconds of a step that no implementation can beat."""

from __future__ import annotations

from collections.abc import Sequence

from roofline.describe.machine import Machine
from roofline.equations.rooflines import compute_time, memory_time
from roofline.estimate.network import least_transfer
from roofline.estimate.rates import Rates
from roofline.estimate.timing import Step, sum_of, weighted
from roofline.estimate.work import Item, Operation
from roofline.numeric import Num, maximum


def step_floor(step: Step, machine: Machine, rates: Rates) -> Num:
    """Seconds that no implementation of the layout can beat.

    The largest, over resources, of everything the step demands of it at peak: all operations overlapped, no overhead,
    activations and as much else as its cache holds kept on the chip, all tokens routed to the same experts, each
    collective moving the fewest bytes. In a pipeline the slowest stage sees every micro-batch; a token of decode passes
    every stage, while a prompt may be cut into slices that follow each other, whatever slices it is cut into here.
    """
    if step.uncut is not None:
        return step_floor(step.uncut, machine, rates)
    least = list(zip(*(_least(item, machine, rates) for item in step.items), strict=True))
    latency = sum_of(weighted(step.path, least[5]), *(count * wire.latency * wire.hops for wire, count in step.hops))
    floor = maximum(latency, 0)
    if step.phase == "decode" or not step.pipelined:
        floor = maximum(floor, _demand(step.path, least, machine, step.depth))
    if step.pipelined:
        stages = [_demand(counts, least, machine, 1) for counts in step.stages]
        floor = maximum(floor, step.micro_batches * maximum(*stages))
    return floor


def _demand(counts: Sequence[Num], least: Sequence[Sequence[Num]], machine: Machine, devices: int) -> Num:
    """The largest demand on one resource of what occurs `counts` times, passing `devices` devices in turn [s]."""
    compute, moved, weights, feed, wires = (weighted(counts, each) for each in least[:5])
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
    compute = compute_time(item.fewest_flops, machine.peak[rates.of_operation(item)[0]] * rates.faster(item))
    return compute, moved, item.fewest_weights, feed, 0, 0
