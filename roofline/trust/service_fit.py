"""What measured service identifies of a part and its serving stack: five numbers, by least squares of logarithms.

    tpot = step + sequence · batch + decode + share · (prefill - shared + passes · prompt - spared)
    ttft = prefill + prompt                                                 of one request in flight
    a whole batch = prefill of all + prompt + generated · (step + sequence · batch + decode)

with share = prompts computed meanwhile (`Mix.entering`) / generated tokens. `decode`, `prefill`, what prompts that are
due together `shared` in their `passes` (`Passes.occupied`) and what they are `spared` (`Whole.spared`) are the
library's own estimates, with all measured fractions of bandwidth times `memory` and all fractions of peak times
`compute`. Directions in which the rows say nothing are left out of the solution, and whatever has a part in them is not
identified. What is not identified keeps the part's own figure, and a host's cost does not fall below zero: the others
are then solved for once more beside it, so that what is predicted lies about what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.describe.efficiency import Efficiency
from roofline.equations.serving import passes_per_prompt
from roofline.errors import InvalidInput
from roofline.estimate.passes import shared_seconds
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.servers import read_once
from roofline.estimate.timing import step_seconds
from roofline.trust.measured_rows import Load, Row, load, number, pool, served
from roofline.trust.predictions import measured_batch, mixed
from roofline.trust.stations import Station, mean_context, station

Array = NDArray[np.float64]
FIGURES = ("step", "sequence", "prompt", "memory", "compute")
"""In the order of the solution; the last two as slowness, the inverse of the factor on the fractions reached [1]."""
ADVICE = {
    "step": "time per token at several numbers of requests in flight, from one to many",
    "sequence": "time per token at more than a hundred requests in flight as well as at few",
    "prompt": "time to the first token of prompts of two lengths, one long, with one request in flight",
    "memory": "time per token at several contexts or several numbers of requests in flight",
    "compute": "time to the first token of prompts of two lengths, one long, with one request in flight",
}
"""What to measure for a figure that is not identified."""
CONFIDENCE = 0.90
"""Share of intervals that hold the true number where rows scatter independently [1]."""
QUANTILE = 1.6448536269514722
"""Of the normal distribution for that share, both sides [1]."""
CLOSEST = 1e-4
"""Singular value of the columns at unit length, over the largest, below which a direction says nothing [1]."""
PART = 0.05
"""Share in such a direction from which on a figure is not identified [1]."""
WIDEST_SCALE = 0.5
"""Half of an interval over its factor above which the factor is not identified [1]."""
WIDEST_HOST = 0.1
"""Half of an interval of a host's cost, as a share of the rows' times, above which it is not identified [1]."""
FURTHEST = 0.5
"""Median error above which the rows are of something else than they are said to be [1]."""
LEAST_SCATTER = 1e-3
"""Scatter that is assumed where rows agree better than that [1]."""
_ROUNDS, _NUDGE = 30, 1e-3


@dataclass(frozen=True, slots=True)
class Observation:
    """One measured time [s], and what it is made of: shares of a decode step, a batch and a prompt [1].

    `together` prompts come at once; others wait for a `part` of their way, in a pipeline the slowest stage's [1].
    `riding`: the share of its prompts that ride in a decode step, and `passes` that each costs, `most` in one [1].
    """

    settled: Resolved
    batch: float
    context: float
    isl: float
    decodes: float
    prompts: float
    riding: float
    passes: float
    most: float
    seconds: float
    together: float = 1.0
    part: float = 1.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its interval; where it is not identified, all three are what keeps the part's own.

    The interval is that of the solution for all five figures, and holds the number also where others were kept.
    """

    name: str
    value: float
    low: float
    high: float
    identified: bool


@dataclass(frozen=True, slots=True)
class Fitted:
    """Five figures, the times that they predict and the measured ones behind them [s]."""

    figures: dict[str, Figure]
    predicted: Array
    measured: Array


def observations(rows: Iterable[Row]) -> tuple[list[Observation], dict[str, int]]:
    """What rows say, and the times left out by reason."""
    found: list[Observation] = []
    left_out: dict[str, int] = {}
    for row in rows:
        said, reasons = _said(row)
        found += said
        for reason in reasons:
            left_out[reason] = left_out.get(reason, 0) + 1
    return found, left_out


def _said(row: Row) -> tuple[list[Observation], list[str]]:
    """The times of one row that depend on its devices and not on how requests arrive."""
    asked = load(row)
    place = station(served(row), pool(row), None)
    settled = place.settled
    crowd = asked.concurrency / settled.replicas
    alone = crowd <= 1
    tpot, ttft = (number(row, name, 0) / 1e3 for name in ("tpot_ms", "ttft_ms"))
    batch = 1.0 if alone else (measured_batch(row, asked) or 0.0) / settled.replicas
    found, reasons = [], []
    if asked.draft_length:
        return [], ["tokens are drafted"]
    whole = number(row, "e2e_latency_ms", 0) / 1e3
    if whole:
        generated = max(0.0, asked.osl - 1)
        found.append(
            Observation(settled, crowd, mean_context(asked), asked.isl, generated, 1.0, 0.0, 1.0, 1.0, whole, crowd)
        )
    if tpot and batch >= 1:
        found.append(_between_tokens(place, asked, batch, tpot))
    elif tpot:
        reasons.append("time per token without a time to the first token: the batch is not known")
    if ttft and alone:
        found.append(Observation(settled, 1.0, asked.isl, asked.isl, 0.0, 1.0, 0.0, 1.0, 1.0, ttft))
    elif ttft:
        reasons.append("time to the first token among several requests: it depends on how they arrive")
    return found, reasons


def _between_tokens(place: Station, asked: Load, batch: float, seconds: float) -> Observation:
    """The time between two tokens of a sequence, with the prompts of others in it."""
    mix, prompt = mixed(place, asked), place.prompt(asked)
    others, due = float(mix.entering(batch)), mix.due(batch)
    passes: Any = passes_per_prompt(due, prompt.passes.most)
    riding: Any = min(others, 1.0) * passes_per_prompt(due, math.inf)
    return Observation(
        place.settled,
        batch,
        mean_context(asked),
        asked.isl,
        1.0,
        others / mix.generated,
        float(riding),
        float(passes),
        prompt.passes.most,
        seconds,
        part=prompt.passes.one / prompt.computed,
    )


def scaled(known: Efficiency, memory: float, compute: float) -> Efficiency:
    """With fractions of bandwidth and of peak times a factor, none above one."""
    kernels = {
        name: {
            key: fit.model_copy(
                update={"memory": min(1.0, fit.memory * memory), "compute": min(1.0, fit.compute * compute)}
            )
            for key, fit in formats.items()
        }
        for name, formats in known.kernels.items()
    }
    return known.model_copy(update={"kernels": kernels})


@dataclass(frozen=True)
class Form:
    """The times of all observations as a function of the five numbers."""

    seen: Sequence[Observation]

    def predicted(self, numbers: Array) -> Array:
        """Seconds under step, sequence and prompt [s], and slowness of memory and compute [1]."""
        step, sequence, prompt, memory, compute = numbers
        decode, prefill, shared, spared = self._devices(float(memory), float(compute))
        once, passes = self._column("decodes"), self._column("passes")
        host = once * (step + sequence * self._column("batch"))
        each = prefill - shared * (1 - passes) + passes * prompt - self._column("riding") * spared
        return np.asarray(host + once * decode + self._column("prompts") * each)

    def _column(self, name: str) -> Array:
        return np.array([getattr(each, name) for each in self.seen], dtype=np.float64)

    def _devices(self, memory: float, compute: float) -> tuple[Array, Array, Array, Array]:
        """Seconds of decode steps and of prompts on the devices; of these, what prompts of one pass share, and what
        those are spared that ride in steps [s].
        """
        decode, prefill, shared, spared = np.zeros((4, len(self.seen)))
        for key in dict.fromkeys(id(each.settled) for each in self.seen):
            chosen = [index for index, each in enumerate(self.seen) if id(each.settled) == key]
            rates = self.seen[chosen[0]].settled.rates
            sources = tuple(scaled(source, 1 / memory, 1 / compute) for source in rates.sources)
            settled = replace(self.seen[chosen[0]].settled, rates=replace(rates, sources=sources))
            batch, context, isl, most = (self._column(name)[chosen] for name in ("batch", "context", "isl", "most"))
            together, part = self._column("together")[chosen], self._column("part")[chosen]
            step, prompt = Point("decode", batch, context, 0), Point("prefill", together, isl, 0)
            decode[chosen] = settled.evaluate(step, step_seconds)
            prefill[chosen] = part * settled.evaluate(prompt, step_seconds)
            count = most if settled.layout.pp == 1 else together
            full = part * settled.evaluate(Point("prefill", count, isl, 0), step_seconds)
            shared[chosen] = shared_seconds(prefill[chosen], full, most)
            spared[chosen] = read_once(settled, step, prompt)
        return decode, prefill, shared, spared

    def slopes(self, numbers: Array) -> Array:
        """Change of the logarithm of every time with every number."""
        times = self.predicted(numbers)
        columns = []
        for index, at in enumerate(numbers):
            nudge = _NUDGE * (at if index >= _HOSTS else float(np.median(times)))
            moved = numbers.copy()
            moved[index] += nudge
            columns.append((self.predicted(moved) - times) / (nudge * times))
        return np.array(columns).T


_HOSTS = 3
_OWN = (0.0, 0.0, 0.0, 1.0, 1.0)
"""The numbers that leave a part as it is."""


def fitted(seen: Sequence[Observation]) -> Fitted:
    """The five figures with their intervals.

    `InvalidInput` where nothing can be told, and where no figures bring the times near what was measured.
    """
    if len(seen) < 2:
        raise InvalidInput("measured service", given=f"{len(seen)} usable times", expected="at least two")
    form = Form(seen)
    measured = np.array([each.seconds for each in seen])
    numbers = _solved(form, measured, np.full(len(FIGURES), True))
    _near(form.predicted(numbers), measured)
    widths, told = _doubts(form, measured, numbers)
    hosts = np.full(_HOSTS, WIDEST_HOST * np.median(measured))
    told &= widths <= np.concatenate([hosts, WIDEST_SCALE * numbers[_HOSTS:]])
    if not told.any():
        wanted = "; ".join(f"for {name}: {ADVICE[name]}" for name in FIGURES)
        raise InvalidInput("measured service", given="times that identify no figure", expected=wanted)
    beside = _beside(form, measured, numbers, told)
    figures = {
        name: _figure(name, float(beside[at]), float(numbers[at]), float(widths[at]), bool(told[at]))
        for at, name in enumerate(FIGURES)
    }
    times = form.predicted(beside)
    _near(times, measured)
    return Fitted(figures, times, measured)


def _near(times: Array, measured: Array) -> None:
    off = float(np.median(np.abs(times / measured - 1)))
    if off > FURTHEST:
        given = f"times that the best fit misses by {off:.0%} in the median"
        expected = f"within {FURTHEST:.0%}: times of the model, part, formats and ranks that are said, in milliseconds"
        raise InvalidInput("measured service", given=given, expected=expected)


def _doubts(form: Form, measured: Array, numbers: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Half of the interval of every number, and whether the times tell it from the others."""
    times, slopes = form.predicted(numbers), form.slopes(numbers)
    lengths = np.linalg.norm(slopes, axis=0)
    some = np.where(lengths > 0, lengths, 1.0)
    _, singular, directions = np.linalg.svd(slopes / some, full_matrices=True)
    singular = np.concatenate([singular, np.zeros(len(numbers) - len(singular))])
    seen = singular > CLOSEST * singular[0]
    spare = len(measured) - int(seen.sum())
    off = np.log(times / measured)
    scatter = max(LEAST_SCATTER, float(np.sqrt(off @ off / max(spare, 1))))
    variance = ((directions[seen].T / singular[seen]) ** 2).sum(axis=1)
    blind = (directions[~seen] ** 2).sum(axis=0)
    widths = student(max(spare, 1)) * scatter * np.sqrt(variance) / some
    return widths, (spare > 0) & (lengths > 0) & (blind < PART**2)


def _beside(form: Form, measured: Array, numbers: Array, told: NDArray[np.bool_]) -> Array:
    """The numbers that are told, solved for beside the others as the part has them; no cost of a host below zero."""
    free = told.copy()
    if not told.all():
        numbers = _solved(form, measured, free)
    while (numbers[:_HOSTS] < 0).any():
        free[:_HOSTS] &= numbers[:_HOSTS] > 0
        numbers = _solved(form, measured, free)
    return numbers


def _figure(name: str, number: float, alone: float, width: float, told: bool) -> Figure:
    """A figure of the solution, `alone` where none is kept; slowness is turned into the factor it is the inverse of."""
    if not told:
        kept = _OWN[FIGURES.index(name)]
        return Figure(name, kept, kept, kept, False)
    low, high = min(number, alone - width), max(number, alone + width)
    if name in ("memory", "compute"):
        return Figure(name, 1 / number, 1 / high, 1 / low, True)
    return Figure(name, number, max(0.0, low), max(0.0, high), True)


def _solved(form: Form, measured: Array, free: NDArray[np.bool_]) -> Array:
    """Least squares by steps within the directions that the rows tell, halved where they overshoot.

    Numbers that are not `free` stay as the part has them.
    """
    numbers = np.array(_OWN)
    cost = _cost(form, measured, numbers)
    for _ in range(_ROUNDS):
        slopes = np.where(free, form.slopes(numbers), 0.0)
        lengths = np.linalg.norm(slopes, axis=0)
        lengths = np.where(lengths > 0, lengths, 1.0)
        off = np.log(measured / form.predicted(numbers))
        move = np.where(free, np.linalg.lstsq(slopes / lengths, off, rcond=CLOSEST)[0] / lengths, 0.0)
        for size in (1.0, 0.5, 0.25, 0.1, 0.02):
            near = numbers + size * move
            near[_HOSTS:] = np.clip(near[_HOSTS:], 0.05, 20.0)
            reached = _cost(form, measured, near)
            if reached < cost:
                break
        else:
            return numbers
        done = cost - reached < 1e-10 * max(cost, 1e-12)
        numbers, cost = near, reached
        if done:
            break
    return numbers


def _cost(form: Form, measured: Array, numbers: Array) -> float:
    times = form.predicted(numbers)
    if (times <= 0).any():
        return float("inf")
    off = np.log(times / measured)
    return float(off @ off)


def student(spare: int) -> float:
    """Quantile of Student's distribution for `CONFIDENCE`, both sides, with so many degrees of freedom [1].

    The expansion about the normal one for three and more (Abramowitz and Stegun 26.7.5), exact values below.

    >>> round(student(5), 2), round(student(30), 3)
    (2.01, 1.697)
    """
    if spare < 3:
        return {1: 6.3138, 2: 2.9200}[spare]
    z, n = QUANTILE, spare
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3
