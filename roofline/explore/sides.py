"""What may be weighed against what: the seconds of a resource, of a kind of traffic or of a term, over a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from roofline.errors import InvalidInput, UnknownName
from roofline.estimate.network import hop_seconds
from roofline.estimate.resolved import Resolved
from roofline.estimate.times import RESOURCES
from roofline.estimate.timing import (
    Step,
    hosted,
    item_seconds,
    launch_seconds,
    launches,
    overlapped_seconds,
    resource_seconds,
    spill_seconds,
    step_seconds,
)
from roofline.estimate.work import HAND_OVER, LAUNCH, Item, Operation
from roofline.numeric import maximum, minimum

Side = Callable[[Resolved, Step], Any]
"""Seconds of one quantity over a step [s]."""
TRAFFIC = ("weights", "cache")
"""Parts of the memory time: reading weights, and reading and writing caches."""


def sides(resolved: Resolved, step: Step, name: str) -> Side:
    """The quantity of that name; `UnknownName` where the phase has none, `InvalidInput` for traffic of several tiers.

    Resources and traffic count what a token passes; the wait for other micro-batches of a pipeline is its own term,
    and so is that for a host's launches.
    """
    terms = list(dict.fromkeys(item.term for item in step.items))
    if launches(step.phase, resolved.rates):
        terms.append(LAUNCH.term)
    if step.pipelined:
        terms.append("pipeline")
    if step.turns is not None:
        terms.append("overlap")
    if name in RESOURCES:
        place = RESOURCES.index(name)
        return lambda deployed, taken: _over(taken, lambda item: _resource(deployed, item, place))
    if name in TRAFFIC and len(resolved.machine.tiers) > 1:
        expected = "memory or spill: weights and caches lie in several memories"
        raise InvalidInput("side", given=name, expected=expected)
    if name in TRAFFIC:
        return lambda deployed, taken: _over(taken, lambda item: _traffic(deployed, item, name))
    if name == LAUNCH.term and name in terms:
        return lambda deployed, taken: launch_seconds(taken, deployed.machine, deployed.rates)
    if name == "pipeline" and step.pipelined:
        return pipeline_seconds
    if name == "overlap" and step.turns is not None:
        return overlap_seconds
    if name in terms:
        return lambda deployed, taken: _over(taken, lambda item: _term(deployed, item, name))
    known = (*RESOURCES, *TRAFFIC, *terms)
    phase = f"{step.phase} of {resolved.model.name} on {resolved.layout}"
    raise UnknownName(f"resource or term of {phase}", given=name, known=known, expected=f"one of {', '.join(known)}")


def _over(step: Step, seconds: Callable[[Item], Any]) -> Any:
    total: Any = 0.0
    for item, count in zip(step.items, step.path, strict=True):
        total = total + seconds(item) * count
    return total


def _resource(resolved: Resolved, item: Item, place: int) -> Any:
    if not isinstance(item, Operation):
        network = RESOURCES[place] == "network"
        return item_seconds(item, resolved.machine, resolved.rates) if network else 0.0
    compute, memory, feed, overhead = resource_seconds(item, resolved.machine, resolved.rates)
    spill = spill_seconds(item, resolved.machine, resolved.rates)
    return (compute, memory - spill if item.far else memory, feed, 0.0, overhead, spill)[place]


def _traffic(resolved: Resolved, item: Item, name: str) -> Any:
    if not isinstance(item, Operation):
        return 0.0
    fit = resolved.rates.of_operation(item)[1]
    return getattr(item, name) / (resolved.machine.memory.bandwidth * fit.memory)


def _term(resolved: Resolved, item: Item, name: str) -> Any:
    return item_seconds(item, resolved.machine, resolved.rates) if item.term == name else 0.0


def overlap_seconds(resolved: Resolved, step: Step) -> Any:
    """What turns of two halves save of a step, below zero; nothing where there are none."""
    if step.turns is None:
        return 0.0
    at_once: Any = step_seconds(replace(step, turns=None), resolved.machine, resolved.rates)
    return minimum(overlapped_seconds(step, step.turns, resolved.machine, resolved.rates) - at_once, 0.0)


def pipeline_seconds(resolved: Resolved, step: Step) -> Any:
    """Hand-overs, and the wait for the stage that every micro-batch must pass.

    The wait is written as one sum over operations, not as a difference of two: intervals then stay narrow.
    """
    seconds = [item_seconds(item, resolved.machine, resolved.rates) for item in step.items]
    between = resolved.rates.of_transfer(HAND_OVER)
    hops = hop_seconds(step.hops, step.hop_size, between, resolved.machine.wires[0].name) if step.hops else 0.0
    behind = step.micro_batches - 1 if step.phase == "prefill" else step.micro_batches
    passed: Any = 0.0 if step.phase == "prefill" else 1.0
    waits = []
    for stage in step.stages:
        wait: Any = hops * -passed
        for each, here, on_path in zip(seconds, stage, step.path, strict=True):
            wait = wait + each * (behind * here - passed * on_path)
        waits.append(wait)
        if launches(step.phase, resolved.rates):
            host, kernels = hosted(zip(step.items, stage, strict=True), resolved.rates)
            waits.append(behind * (host + kernels * resolved.rates.of_operation(LAUNCH)[1].overhead))
    return hops + maximum(0.0, *waits)
