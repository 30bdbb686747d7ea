"""What measured service identifies of a part and its serving stack: six numbers, the likeliest ones.

    tpot = step + sequence · batch + decode + share · (prefill - shared + passes · prompt - spared)
    ttft = request + prefill + prompt                                       of one request in flight
    a whole batch = request + prefill of all + prompt + generated · (step + sequence · batch + decode)

with share = prompts computed meanwhile (`Mix.entering`) / generated tokens. `decode`, `prefill`, what prompts that are
due together `shared` in their `passes` (`Passes.occupied`) and what they are `spared` (`Whole.spared`) are the
library's own estimates, with all measured fractions of bandwidth times `memory` and all fractions of peak times
`compute`. Each has a usual value, from which it is known to lie about so far, and counts as identified where the times
leave less than half of that doubt. What the times do not tell stays near the usual, so that whatever is predicted lies
about what was measured, and no figure makes up for another beyond reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
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
from roofline.trust.measured_rows import Load, Row, has_two_pools, load, number, pool, served
from roofline.trust.predictions import batch_of_a_step, mixed
from roofline.trust.results.reading import named
from roofline.trust.stations import Station, mean_context, station

Array = NDArray[np.float64]
FIGURES = ("step", "sequence", "prompt", "request", "memory", "compute")
"""In the order of the solution: the costs of a host [s], then the factors on the fractions reached [1]."""
USUAL = {
    "step": (1e-3, 1.0),
    "sequence": (3e-6, 1.5),
    "prompt": (1e-2, 0.7),
    "request": (8e-3, 1.2),
    "memory": (1.0, 0.25),
    "compute": (1.0, 0.25),
}
"""The usual value [s, 1], and the standard deviation of the logarithm about it [1]: of the host what the stacks in
`hardware_specs/runtimes` cost, from less to more; of the devices about as much as the times per token of the widest of
them lie apart from what is predicted, 0.76 to 1.36 times as long for the middle 80 %."""
MEAN = np.log([USUAL[name][0] for name in FIGURES])
"""Logarithms of the usual values, in the order of the figures."""
DOUBT = np.array([USUAL[name][1] for name in FIGURES])
"""Standard deviations of the logarithms about them [1]."""
TOLD = 0.5
"""Share of a figure's usual doubt that the times may leave where it is identified [1]."""
KEPT = 1e-3
"""How far from the usual value a figure is still that value, of its logarithm [1]."""
CONFIDENCE = 0.90
"""Share of intervals that hold the true number where rows scatter independently [1]."""
QUANTILE = 1.6448536269514722
"""Of the normal distribution for that share, both sides [1]."""
FURTHEST = 0.5
"""Median error above which the rows are of something else than they are said to be [1]."""
REPEATED, RUNS = 0.02, 1.0
"""How far repeated runs of one stack lie apart [1], from docs/validation.md, and the runs that it counts for."""
AMONG_SEVERAL = "time to the first token among several requests: it depends on how they arrive"
"""Why a time is left out of most rows, as it has to be."""
_SETTLED = 1e-3
_ROUNDS, _NUDGE = 30, 1e-3


@dataclass(frozen=True, slots=True)
class Observation:
    """One measured time [s], and what it is made of: shares of a decode step, a batch, a prompt and a request [1].

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
    requests: float = 0.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its interval, and whether the rows tell it; where they do not, it is about the usual one.

    `scattered`: whether they would tell it, did they scatter no more than repeated runs do.
    """

    name: str
    value: float
    low: float
    high: float
    identified: bool
    scattered: bool = False

    @property
    def usual(self) -> bool:
        """Whether it is about as far from the usual value as it was thought to be."""
        usual, doubt = USUAL[self.name]
        return abs(math.log(self.value / usual)) <= doubt

    @property
    def kept(self) -> bool:
        """Whether it is the usual value: no time moved it by anything to speak of."""
        return abs(math.log(self.value / USUAL[self.name][0])) <= KEPT


@dataclass(frozen=True, slots=True)
class Fitted:
    """All figures, the times that they predict and the measured ones behind them [s], and how far they scatter [1]."""

    figures: dict[str, Figure]
    predicted: Array
    measured: Array
    scatter: float


def observations(rows: Iterable[Row], known: Efficiency | None = None) -> tuple[list[Observation], dict[str, int]]:
    """What rows say, and how many times are left out by the reason, with the places of rows that say theirs.

    `known` are figures with which prompts take as long as these rows have them: how many sequences were in a step
    depends on it. Without them, it is as long as is usual of devices alone.
    """
    found: list[Observation] = []
    left_out: dict[str, list[str]] = {}
    for row in rows:
        said, reasons = _said(row, known)
        found += said
        for reason in reasons:
            left_out.setdefault(reason, []).append("" if reason == AMONG_SEVERAL else str(row.get("where") or ""))
    return found, {named(reason, places) if all(places) else reason: len(places) for reason, places in left_out.items()}


def _said(row: Row, known: Efficiency | None) -> tuple[list[Observation], list[str]]:
    """The times of one row that depend on its devices and not on how requests arrive."""
    if has_two_pools(row):
        return [], ["prompts have devices of their own"]
    asked = load(row)
    place = station(served(row), pool(row), None)
    settled = place.settled
    crowd = asked.concurrency / settled.replicas
    alone = crowd <= 1
    tpot, ttft = (number(row, name, 0) / 1e3 for name in ("tpot_ms", "ttft_ms"))
    busy = place if known is None else Station(place.deployment.with_efficiency(known))
    batch = 1.0 if alone else batch_of_a_step(row, asked, busy) or 0.0
    found, reasons = [], []
    if asked.draft_length:
        return [], ["tokens are drafted"]
    whole = number(row, "e2e_latency_ms", 0) / 1e3
    if whole:
        generated = max(0.0, asked.osl - 1)
        found.append(
            Observation(
                settled,
                crowd,
                mean_context(asked),
                asked.isl,
                generated,
                1.0,
                0.0,
                1.0,
                1.0,
                whole,
                crowd,
                requests=1.0,
            )
        )
    if tpot and batch >= 1:
        found.append(_between_tokens(place, asked, batch, tpot))
    elif tpot:
        reasons.append("time per token without a time to the first token: the batch is not known")
    if ttft and alone:
        found.append(Observation(settled, 1.0, asked.isl, asked.isl, 0.0, 1.0, 0.0, 1.0, 1.0, ttft, requests=1.0))
    elif ttft:
        reasons.append(AMONG_SEVERAL)
    if not tpot and not whole and asked.osl > 1:
        reasons.append("no time per token is stated")
    return found, reasons


def _between_tokens(place: Station, asked: Load, batch: float, seconds: float) -> Observation:
    """The time between two tokens of a sequence, with the prompts of others in it."""
    mix, prompt = mixed(place, asked), place.prompt(asked)
    at = mix.at(batch)
    others, due = float(at.entering), at.due
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
    """The times of all observations as a function of the numbers."""

    seen: Sequence[Observation]
    _known: dict[tuple[float, float], tuple[Array, Array, Array, Array]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Times on the devices by the factors on memory and compute: a fit moves one number at a time."""

    def predicted(self, numbers: Array) -> Array:
        """Seconds under step, sequence, prompt and request [s], and the factors on memory and compute [1]."""
        step, sequence, prompt, request, memory, compute = numbers
        factors = float(memory), float(compute)
        if factors not in self._known:
            self._known[factors] = self._devices(*factors)
        decode, prefill, shared, spared = self._known[factors]
        once, passes = self._column("decodes"), self._column("passes")
        host = once * (step + sequence * self._column("batch"))
        each = prefill - shared * (1 - passes) + passes * prompt - self._column("riding") * spared
        waiting = request * self._column("requests")
        return np.asarray(waiting + host + once * decode + self._column("prompts") * each)

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
            sources = tuple(scaled(source, memory, compute) for source in rates.sources)
            settled = replace(self.seen[chosen[0]].settled, rates=replace(rates, sources=sources))
            batch, context, isl, most = (self._column(name)[chosen] for name in ("batch", "context", "isl", "most"))
            together, part = self._column("together")[chosen], self._column("part")[chosen]
            step, prompt = Point("decode", batch, context, 0), Point("prefill", together, isl, 0)
            decode[chosen] = settled.evaluate(step, step_seconds)
            count = most if settled.layout.pp == 1 else together
            passes = Point("prefill", np.array([together, count]), isl, 0)
            prefill[chosen], full = part * settled.evaluate(passes, step_seconds)
            shared[chosen] = shared_seconds(prefill[chosen], full, most)
            spared[chosen] = read_once(settled, step, prompt)
        return decode, prefill, shared, spared

    def slopes(self, logarithms: Array) -> Array:
        """Change of the logarithm of every time with the logarithm of every figure."""
        times = self.predicted(np.exp(logarithms))
        columns = []
        for index in range(len(FIGURES)):
            moved = logarithms.copy()
            moved[index] += _NUDGE
            columns.append(np.log(self.predicted(np.exp(moved)) / times) / _NUDGE)
        return np.array(columns).T


def fitted(seen: Sequence[Observation]) -> Fitted:
    """The figures with their intervals.

    Of two times at least; `InvalidInput` where no figures bring them near what was measured.
    """
    form, measured = Form(seen), np.array([each.seconds for each in seen])
    found, scatter = MEAN, 2 * REPEATED
    for _ in range(_ROUNDS):
        found = _solved(form, measured, found, scatter)
        off = np.log(form.predicted(np.exp(found)) / measured)
        covariance, taken = _doubts(form, found, scatter)
        spare = len(measured) - taken + RUNS
        before, scatter = scatter, float(np.sqrt((off @ off + RUNS * REPEATED**2) / spare))
        if abs(scatter / before - 1) < _SETTLED:
            break
    # An interval is never wider than that of what is usual.
    widths = np.minimum(student(max(1, round(spare))) * np.sqrt(np.diag(covariance)), QUANTILE * DOUBT)
    times = form.predicted(np.exp(found))
    _near(times, measured)
    # Judged where figures are usual: where one comes out high, its logarithm would seem to be known better.
    known, would = (np.sqrt(np.diag(_doubts(form, MEAN, each)[0])) <= TOLD * DOUBT for each in (scatter, REPEATED))
    low, value, high = np.exp([found - widths, found, found + widths])
    figures = {
        name: Figure(name, float(value[at]), float(low[at]), float(high[at]), bool(known[at]), bool(would[at]))
        for at, name in enumerate(FIGURES)
    }
    return Fitted(figures, times, measured, scatter)


def scattering(times: Array, measured: Array, scatter: float) -> str:
    """How far times lie from the fit, in words, and which the furthest."""
    worst = int(np.argmax(np.abs(np.log(times / measured))))
    furthest = f"{measured[worst] * 1e3:.4g} ms, fitted {times[worst] * 1e3:.4g} ms"
    return f"they scatter by {scatter:.1%}, repeated runs by {REPEATED:.0%}; the furthest off is {furthest}"


def _doubts(form: Form, logarithms: Array, scatter: float) -> tuple[Array, float]:
    """Covariance of all logarithms at a point where times scatter so far, and how many numbers the times tell [1]."""
    slopes = form.slopes(logarithms)
    told = slopes.T @ slopes / scatter**2
    covariance = np.linalg.inv(told + np.diag(DOUBT**-2))
    return np.asarray(covariance, dtype=np.float64), float(np.trace(told @ covariance))


def _near(times: Array, measured: Array) -> None:
    off = float(np.median(np.abs(times / measured - 1)))
    if off > FURTHEST:
        given = f"times that the best fit misses by {off:.0%} in the median"
        expected = f"within {FURTHEST:.0%}: times of the model, part, formats and ranks that are said, in milliseconds"
        raise InvalidInput("measured service", given=given, expected=expected)


def _solved(form: Form, measured: Array, start: Array, scatter: float) -> Array:
    """The most likely figures, as logarithms, where times scatter so far: by steps, halved where they overshoot."""
    found, cost = start, _cost(form, measured, start, scatter)
    for _ in range(_ROUNDS):
        off = np.log(measured / form.predicted(np.exp(found)))
        rows = np.concatenate([form.slopes(found) / scatter, np.diag(1 / DOUBT)])
        move = np.linalg.lstsq(rows, np.concatenate([off / scatter, (MEAN - found) / DOUBT]), rcond=None)[0]
        for size in (1.0, 0.5, 0.25, 0.1, 0.02):
            near = found + size * move
            reached = _cost(form, measured, near, scatter)
            if reached < cost:
                break
        else:
            return found
        done = cost - reached < 1e-9 * cost
        found, cost = near, reached
        if done:
            break
    return found


def _cost(form: Form, measured: Array, found: Array, scatter: float) -> float:
    off = np.log(form.predicted(np.exp(found)) / measured) / scatter
    beside = (found - MEAN) / DOUBT
    return float(off @ off + beside @ beside)


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
