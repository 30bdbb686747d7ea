"""Constants of serving stacks fitted to measured service: few numbers, robust, and judged on models left out.

A row's time per token, less what the library estimates for its devices, is what the stack adds:

    tpot = slower · step(batch) + step + sequence · batch + others · (slower · prefill + prompt - spared) / generated

where `others` are the prompts computed meanwhile (`Mix.entering`), those that are due in one step share a pass
(`Passes.occupied`) and `spared` is what a prompt need not read because the step that it rides in does
(`Whole.spared`), with the batch from the row itself (`predictions.batch_of_a_step`). What a
stack adds is shared by all models and parts. Shared by all stacks too are how much longer or shorter than measured
kernels its experts in 4 bits and its products in block-wise fp8 take, how unevenly experts are chosen, and how long a
host takes to launch a kernel of a pass of prompts, for which devices wait where they are faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from roofline.equations.rooflines import launched_time
from roofline.equations.serving import passes_per_prompt
from roofline.estimate.colocated import SELDOM
from roofline.estimate.passes import shared_seconds
from roofline.trust.evidence import Evidence, Uneven, columns
from roofline.trust.stations import Array

HUBER = 0.1
"""Deviation of the logarithm from which on the loss grows linearly [1]."""
ROW = 0.1**2 / (2 * HUBER)
"""Loss of one row that is off by a tenth [1]."""
HELD = 400
"""Rows that what all stacks have in common weighs as much as, in the fit of one of them [1]."""
APART = np.array([5e-4, 4e-3, 0.1])
"""How far stacks are thought to lie apart: step and prompt [s], slower [1]."""
DOUBTED = 5
"""Rows that products as measured weigh as much as [1]."""
FACTOR = 0.2
"""How far products in service are thought to lie from those measured, as a logarithm [1]."""
START = np.array([1e-3, 5e-3, 1.2, 1.0, 1.0, 0.0, 0.5, 5e-5])
"""Where the search begins: step and prompt [s], slower, scaled_experts and unscaled [1], sequence [s], skew [1], launch
[s]."""
SCALES = (1e-3, 5e-3, 0.25, 0.25, 0.25, 0.0, 0.25, 2.5e-5)
"""Its first steps, in the units of the numbers; what has none stays."""
GATHERED = 20.0
"""Decode steps for which attention-data ranks gather prompts, where times per token are fitted [1].

About as long as their first tokens then turn out to wait (`Runtime.aligned`); times per token hardly depend on it.
"""
TOGETHER = 2
"""Numbers that one step of a search changes at most [1]."""
DECODING = np.array([1e-3, 5e-6])
"""Where the search for the numbers of a pool that only decodes begins, and its first steps: step and sequence [s]."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """Seconds of the devices under a stack's numbers, row by row, of one part of `Evidence`; and of them those in which
    experts are read, and work [s].
    """

    seconds: Array
    reading: Array
    working: Array

    @classmethod
    def of(cls, known: Mapping[str, Array], numbers: Array, part: str, uneven: Uneven | None = None) -> Kernels:
        """Experts never read faster than memory delivers."""
        slower, scaled, unscaled = numbers[2:5]
        times = np.where(known["borrowed"] > 0, slower, 1.0)
        whole = np.where(known["unscaled"] > 0, unscaled, 1.0)
        factor = whole * np.where(known["scaled"] > 0, scaled, 1.0)
        overhead, memory, compute, weights, reached, routing, crossing = (
            known[f"{part}.experts.{name}"]
            for name in ("overhead", "memory", "compute", "weights", "reached", "routing", "crossing")
        )
        found = (uneven or Uneven(known)).of(part, float(numbers[6]))
        more, sent, fewer = (times - 1 for times in found)
        spared = weights * fewer
        skewed = memory + spared + (memory - weights) * more
        reading = times * skewed * np.maximum(factor, reached / times)
        working = np.maximum(times * whole * compute * (1 + more), reading)
        measured = overhead + np.maximum(compute, memory)
        products = (unscaled - 1) * known[f"{part}.products"] + routing * more
        wires = known[f"{part}.wires"]
        others = known[f"{part}.seconds"] - wires - measured + overhead * factor + products
        return cls(np.asarray(times * others + working + wires + crossing * sent), reading, working)


def prompts(
    known: Mapping[str, Array], numbers: Array, prompt: Kernels, uneven: Uneven | None = None
) -> tuple[Array, Array]:
    """A replica's seconds for a prompt in a pass of its own, and those of them that a full pass would share [s]."""
    host, most = numbers[1], known["most"]
    both = prompt.seconds, most * Kernels.of(known, numbers, "full", uneven).seconds
    one, full = (np.asarray(launched_time(each + host, host, known["launches"], numbers[7])) for each in both)
    return one, shared_seconds(one, full, most)


def predicted(known: Mapping[str, Array], numbers: Array, uneven: Uneven | None = None) -> Array:
    """Time per token of all rows under a stack's numbers [s]; attention-data ranks gather prompts for `GATHERED`."""
    step, prompt = (Kernels.of(known, numbers, part, uneven) for part in ("step", "prompt"))
    occupancy, shared = prompts(known, numbers, prompt, uneven)
    per_step = known["others"] / known["generated"]
    due = np.maximum(per_step, SELDOM) * (1 + GATHERED * known["ranked"])
    added = occupancy - shared * (1 - np.asarray(passes_per_prompt(due, known["most"])))
    riding = known["riding"] * np.minimum(known["others"], 1) * np.asarray(passes_per_prompt(due, np.inf))
    spared = riding * np.minimum(step.reading, prompt.working)
    return np.asarray(step.seconds + numbers[0] + numbers[5] * known["batch"] + per_step * (added - spared))


def loss(known: Mapping[str, Array], numbers: Array, uneven: Uneven | None = None) -> float:
    """How far a stack's numbers leave times per token from those measured."""
    return robust(predicted(known, numbers, uneven) / known["tpot"])


def robust(ratios: Array) -> float:
    """Huber's loss of the logarithm of predicted over measured."""
    off = np.abs(np.log(ratios))
    return float(np.where(off < HUBER, off**2 / (2 * HUBER), off - HUBER / 2).mean())


def fitted(rows: Sequence[Evidence], shared: Array | None = None, sequence: float = 0.0) -> Array:
    """The numbers of one stack: step and prompt [s], slower, scaled_experts and unscaled [1], sequence [s], skew [1],
    launch [s].

    `sequence` is given, from `fitted_alone`. `shared` are those of all stacks together, to which one with few rows is
    held: a number that is off them by its `APART` counts as `HELD` rows that are off by a tenth. The factors of
    products, the skew and a launch are never a single stack's own; that a factor is off one by `FACTOR` counts as
    `DOUBTED` rows.
    """
    known = columns(rows)
    row, uneven = ROW / len(rows), Uneven(known)

    def common(numbers: Array) -> float:
        factors = np.log(np.maximum(numbers[3:5], 1e-3)) / FACTOR
        return loss(known, numbers, uneven) + DOUBTED * row * float((factors**2).sum())

    if shared is None:
        start = START.copy()
        start[5] = sequence
        return search(common, start, SCALES)
    held = shared[:3]

    def own(numbers: Array) -> float:
        return loss(known, numbers, uneven) + HELD * row * float((((numbers[:3] - held) / APART) ** 2).sum())

    return search(own, shared, (*SCALES[:3], *np.zeros(5)))


def fitted_alone(two_pools: Sequence[Evidence], one_pool: Sequence[Evidence], numbers: Array) -> tuple[float, float]:
    """Step of a pool that only decodes, and sequence, with what all stacks have in common beside them [s].

    Batches of one pool are too small to tell a sequence's cost, but they limit it.
    """
    apart, together = columns(two_pools), columns(one_pool)
    uneven = [Uneven(known) for known in (apart, together)]
    shares = np.array([len(two_pools), len(one_pool)]) / (len(two_pools) + len(one_pool))

    def cost(own: Array) -> float:
        step, sequence = own
        losses = (
            loss(apart, np.array([step, *numbers[1:5], sequence, *numbers[6:]]), uneven[0]),
            loss(together, np.array([*numbers[:5], sequence, *numbers[6:]]), uneven[1]),
        )
        return float(shares @ losses)

    step, sequence = search(cost, DECODING, tuple(DECODING))
    return float(step), float(sequence)


def search(cost: Callable[[Array], float], start: Array, scales: Sequence[float]) -> Array:
    """The point of least cost by steps to the best neighbour, halved where none is better; nothing goes below zero.

    Neighbours differ in one number or in `TOGETHER`. What has no scale stays.
    """
    steps = [(-1, 0, 1) if scale else (0,) for scale in scales]
    few = [move for move in product(*steps) if 0 < np.count_nonzero(move) <= TOGETHER]
    moves = [np.array(move) * np.array(scales) for move in few]
    best, lowest, size = start, cost(start), 1.0
    while size > 2e-3:
        near = [np.maximum(best + size * move, 0.0) for move in moves]
        costs = [cost(point) for point in near]
        index = int(np.argmin(costs))
        if costs[index] < lowest - 1e-12:
            best, lowest = near[index], costs[index]
        else:
            size /= 2
    return best
