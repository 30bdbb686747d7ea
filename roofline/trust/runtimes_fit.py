"""Constants of serving stacks fitted to measured service: few numbers, robust, and judged on models left out.

A row's time per token, less what the library estimates for its devices, is what the stack adds:

    tpot = slower · step(batch) + step + sequence · batch + batch · (slower · prefill + prompt) / generated

with the batch by Little's law from the row itself. One stack's four numbers are shared by all models and parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from roofline.describe.catalog import accelerator
from roofline.describe.runtimes import Runtime
from roofline.errors import RooflineError
from roofline.estimate.colocated import Mix
from roofline.estimate.servers import Prompt
from roofline.trust.measured_rows import Row, load, number, pool, served
from roofline.trust.predictions import measured_batch
from roofline.trust.stations import Station, mean_context, station

Array = NDArray[np.float64]
HUBER = 0.1
"""Deviation of the logarithm from which on the loss grows linearly [1]."""
WAIT_HUBER = 0.3
"""The same for times to the first token [1]."""
WAITS = (0.02, 2.0, 10.0, 0.2, 0.5)
"""Where the search for waits begins, and its first steps: request [s], first, aligned, bunch and in_step [1]."""
HELD = 100
"""Rows that what all stacks have in common weighs as much as, in the fit of one of them [1]."""
APART = np.array([5e-4, 1e-5, 4e-3, 0.1])
"""How far stacks are thought to lie apart: step, sequence and prompt [s], slower [1]."""
SCALES = (1e-3, 2e-5, 5e-3, 0.25)
"""First steps of the search, in the units of the numbers: step, sequence and prompt [s], slower [1]."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one row says: seconds per step and per prompt without a stack, its batch, and what was measured."""

    row: Row
    decode: float
    prefill: float
    batch: float
    generated: float
    disturbed: float
    tpot: float
    ttft: float
    borrowed: bool
    place: Station
    crowd: float


def evidence(rows: Iterable[Row], bare: Mapping[str, Runtime]) -> list[Evidence]:
    """What colocated rows say, each estimated under a stack without costs; rows with a draft say nothing of it."""
    found = []
    for row in rows:
        what, asked = served(row), load(row)
        if asked.drafted or what.runtime not in bare:
            continue
        try:
            place = station(what, pool(row), bare[what.runtime])
            held = measured_batch(row, asked)
            if held is None:
                continue
            batch = max(1.0, held / place.replicas)
            decode = float(place.seconds(np.array([batch]), mean_context(asked), False)[0])
            prefill = place.prompt(asked).occupancy
        except RooflineError:
            continue
        crowd = asked.concurrency / place.replicas
        part = accelerator(what.accelerator)
        own = len(place.deployment.rates.own) > 1
        found.append(
            Evidence(
                row,
                decode,
                prefill,
                batch,
                max(asked.osl - 1, 1e-9),
                min(1.0, max(0.0, crowd - 1)),
                number(row, "tpot_ms") / 1e3,
                number(row, "ttft_ms") / 1e3,
                part.vendor != "NVIDIA" and not own,
                place,
                crowd,
            )
        )
    return found


def columns(rows: Sequence[Evidence]) -> dict[str, Array]:
    """The rows as arrays by name."""
    names = ("decode", "prefill", "batch", "generated", "disturbed", "tpot", "borrowed")
    return {name: np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in names}


def predicted(known: Mapping[str, Array], numbers: Array) -> Array:
    """Time per token of all rows under a stack's four numbers [s]."""
    step, sequence, prompt, slower = numbers
    times = np.where(known["borrowed"] > 0, slower, 1.0)
    due = known["disturbed"] * known["batch"] * (times * known["prefill"] + prompt) / known["generated"]
    return np.asarray(times * known["decode"] + step + sequence * known["batch"] + due)


def loss(known: Mapping[str, Array], numbers: Array) -> float:
    """Huber's loss of the logarithm of predicted over measured."""
    off = np.abs(np.log(predicted(known, numbers) / known["tpot"]))
    return float(np.where(off < HUBER, off**2 / (2 * HUBER), off - HUBER / 2).mean())


def fitted(rows: Sequence[Evidence], shared: Array | None = None) -> Array:
    """Step, sequence and prompt [s] and slower [1] of one stack, none below nothing.

    `shared` are those of all stacks together, to which one with few rows is held: a number that is off them by its
    `APART` counts as `HELD` rows that are off by a tenth.
    """
    known = columns(rows)
    if shared is None:
        return search(lambda numbers: loss(known, numbers), np.array([1e-3, 0.0, 5e-3, 1.2]), SCALES)
    weight = HELD / len(rows) * 0.1**2 / (2 * HUBER)

    def cost(numbers: Array) -> float:
        return loss(known, numbers) + weight * float((((numbers - shared) / APART) ** 2).sum())

    return search(cost, shared, SCALES)


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """Times to the first token of all rows without a stack's waits, and what its waits are made of [s].

    `base`: all that is known; of it `queued` waits for other prompts. `step`: a decode step. `prompt`: one prompt.
    `others`: requests in flight beside one's own; `ranked`: whether attention ranks may wait for each other; `equal`:
    whether all requests are equally long [1].
    """

    base: Array
    queued: Array
    step: Array
    prompt: Array
    others: Array
    ranked: Array
    equal: Array

    @classmethod
    def of(cls, rows: Sequence[Evidence], numbers: Array) -> FirstTokens:
        """With a stack's step, sequence and prompt [s], and slower [1]."""
        step, sequence, prompt, slower = numbers
        found = []
        for row in rows:
            times = slower if row.borrowed else 1.0
            seconds = times * row.decode + step + sequence * row.batch
            asked = load(row.row)
            alone = row.place.prompt(asked)
            due = Prompt(times * alone.latency + prompt, times * alone.occupancy + prompt)
            mix = Mix(due, row.generated, row.crowd, 0.0)
            rate = row.batch / (row.generated * row.tpot)
            base, queued = float(mix.first_token(rate, row.batch, seconds)), float(mix.wait(rate))
            ranked = row.place.settled.layout.dp > 1
            found.append((base, queued, seconds, due.occupancy, max(0.0, row.crowd - 1), ranked, asked.equal))
        return cls(*np.array(found, dtype=np.float64).T)

    def predicted(self, waits: Array) -> Array:
        """With a stack's request [s], first, aligned, bunch and in_step [1]."""
        request, first, aligned, bunch, in_step = waits
        before = np.where(self.equal > 0, in_step, bunch) * np.sqrt(self.others)
        queued = np.minimum(self.queued + before * self.prompt, self.others * self.prompt)
        seconds = self.base - self.queued + queued + request + (first + aligned * self.ranked) * self.step
        return np.asarray(seconds)


def fitted_waits(rows: Sequence[Evidence], numbers: Array, shared: Array | None = None) -> Array:
    """A stack's `request` [s], `first`, `aligned`, `bunch` and `in_step` [1]."""
    return fitted_to(FirstTokens.of(rows, numbers), np.array([row.ttft for row in rows]), shared)


def fitted_to(known: FirstTokens, measured: Array, shared: Array | None = None) -> Array:
    """The waits with which what is known comes closest to what was measured [s].

    A wait that no row tells of is that of all stacks together, `shared`, or none.
    """

    def cost(waits: Array) -> float:
        off = np.abs(np.log(known.predicted(waits) / measured))
        return float(np.where(off < WAIT_HUBER, off**2 / (2 * WAIT_HUBER), off - WAIT_HUBER / 2).mean())

    told = [True, True, bool(known.ranked.any()), bool((known.equal == 0).any()), bool(known.equal.any())]
    start = np.where(told, WAITS, 0.0 if shared is None else shared)
    return search(cost, start, list(np.where(told, WAITS, 0.0)))


def search(cost: Callable[[Array], float], start: Array, scales: Sequence[float]) -> Array:
    """The point of least cost by steps to the best neighbour, halved where none is better; nothing goes below zero."""
    moves = [np.array(move) * np.array(scales) for move in product((-1, 0, 1), repeat=len(scales)) if any(move)]
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
