"""Waits before a first token fitted to measured service: what a stack adds beside its prompts and its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from roofline.describe.runtimes import Runtime
from roofline.estimate.colocated import Mix
from roofline.estimate.disaggregation import Split
from roofline.estimate.passes import Passes
from roofline.estimate.servers import Prompt
from roofline.trust.evidence import Evidence, columns
from roofline.trust.measured_rows import load, served
from roofline.trust.predictions import measured_rate, two_pools
from roofline.trust.runtimes_fit import GATHERED, ROW, Kernels, prompts, robust, search
from roofline.trust.stations import Array, mean_context

WAITS = (0.02, 2.0, 10.0, 0.2, 0.5)
"""Where the search for waits begins, and its first steps: request [s], first, aligned, bunch and in_step [1]."""
WAITS_HELD = 20
"""Rows that the waits that all stacks have in common weigh as much as, in the fit of one of them [1]."""
LIE_APART = np.array([0.02, 1.0, 10.0, 0.05, 0.5])
"""How far stacks are thought to lie apart: request [s], first, aligned, bunch and in_step [1]."""
APART = (0.3,)
"""Where the search for `apart` begins, and its first step [1]."""
BELOW = 1 - 1e-6
"""Share of what two pools let through up to which requests are taken to come; at all of it they wait for ever [1]."""


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """Times to the first token of all rows without a stack's waits, and what its waits are made of [s].

    Attention-data ranks gather prompts for `GATHERED` steps, however long they are then found to wait.

    `base`: all that is known; of it `queued` waits for other prompts. `step`: a decode step. `prompt`: one prompt of
    those that come, `alone` one in a pass of its own. `others`: requests in flight beside one's own; `ranked`: how much
    of what ranks gather a request meets; `equal`: whether all requests are equally long [1].
    """

    base: Array
    queued: Array
    step: Array
    prompt: Array
    alone: Array
    others: Array
    ranked: Array
    equal: Array

    @classmethod
    def of(cls, rows: Sequence[Evidence], numbers: Array) -> FirstTokens:
        """With a stack's numbers, as `runtimes_fit.fitted` gives them."""
        known = columns(rows)
        step, prompt = (Kernels.of(known, numbers, part) for part in ("step", "prompt"))
        steps = step.seconds + numbers[0] + numbers[5] * known["batch"]
        spared = known["riding"] * np.minimum(step.reading, prompt.working)
        found = []
        for row, seconds, saved, occupied, shared in zip(
            rows, steps, spared, *prompts(known, numbers, prompt), strict=True
        ):
            asked, alone = load(row.row), row.place.prompt(load(row.row))
            computed = (occupied - numbers[1]) * alone.computed / alone.passes.one + numbers[1]
            full = shared + row.most * (occupied - shared)
            passes = Passes(((1.0, occupied), (row.most, full)) if row.most > 1 else ((1.0, occupied),))
            saving = partial(np.full_like, fill_value=saved)
            gathered = GATHERED * row.ranked
            most = row.place.limit(asked)
            mix = Mix(
                Prompt(computed, passes), row.generated, row.crowd, asked.waiting, 1.0, 0.0, saving, gathered, most
            )
            rate = mix.rate(row.batch, seconds)
            met = mix.met * row.ranked
            base = float(mix.first_token(rate, row.batch, seconds)) - GATHERED * met * seconds
            queued, each = float(mix.others(rate, row.batch, seconds)), float(mix.each(rate, row.batch))
            others, equal = max(0.0, row.crowd - 1), asked.lengths == "equal"
            found.append((base, queued, seconds, each, occupied, others, met, equal))
        return cls(*np.array(found, dtype=np.float64).T)

    def predicted(self, waits: Array) -> Array:
        """With a stack's request [s], first, aligned, bunch and in_step [1]."""
        request, first, aligned, bunch, in_step = waits
        before = np.where(self.equal > 0, in_step, bunch) * np.sqrt(self.others)
        queued = np.minimum(self.queued + before * self.prompt, self.others * self.alone)
        seconds = self.base - self.queued + queued + request + (first + aligned * self.ranked) * self.step
        return np.asarray(seconds)


def fitted_waits(rows: Sequence[Evidence], numbers: Array, shared: Array | None = None) -> Array:
    """A stack's `request` [s], `first`, `aligned`, `bunch` and `in_step` [1]."""
    return fitted_to(FirstTokens.of(rows, numbers), np.array([row.ttft for row in rows]), shared)


def fitted_to(known: FirstTokens, measured: Array, shared: Array | None = None) -> Array:
    """The waits with which what is known comes closest to what was measured [s].

    `shared` are those of all stacks together, to which one is held: a wait that is off them by its `LIE_APART` counts
    as `WAITS_HELD` rows that are off by a tenth. A wait that no row tells of is theirs, or none.
    """
    told = [True, True, bool(known.ranked.any()), bool((known.equal == 0).any()), bool(known.equal.any())]
    scales = list(np.where(told, WAITS, 0.0))
    if shared is None:
        return search(lambda waits: robust(known.predicted(waits) / measured), np.where(told, WAITS, 0.0), scales)
    row = ROW / len(measured)

    def cost(waits: Array) -> float:
        off = float((((waits - shared) / LIE_APART) ** 2).sum())
        return robust(known.predicted(waits) / measured) + WAITS_HELD * row * off

    return search(cost, shared, scales)


def fitted_apart(rows: Sequence[Evidence], stacks: Mapping[str, Runtime]) -> float:
    """The `apart` of rows of two pools, whose stacks are known but for it, at the measured rates of requests [1].

    Where more requests are in flight than may decode, the others wait for room, and tell nothing of it.
    """
    telling = [row for row in rows if row.crowd <= load(row.row).max_batch]
    known = [_measured(row, stacks[served(row.row).stack]) for row in telling]
    measured = np.array([row.ttft for row in telling])

    def cost(apart: Array) -> float:
        seconds = [replace(pools, apart=float(apart[0])).first_token(rate, step) for pools, rate, step in known]
        return robust(np.array(seconds) / measured)

    return float(search(cost, np.array(APART), APART)[0])


def _measured(row: Evidence, stack: Runtime) -> tuple[Split, float, float]:
    """The pools of a row, the requests per second that they served [1/s], and their decode step [s]."""
    asked = load(row.row)
    second, pools = two_pools(row.row, served(row.row), stack, asked)
    rate = measured_rate(asked, row.ttft, pools.generated * row.tpot)
    step = second.seconds(np.array([row.batch]), mean_context(asked), asked.draft_length)
    return pools, min(rate, pools.most * BELOW), float(step[0])
