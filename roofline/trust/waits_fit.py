"""Waits before a first token fitted to measured service: what a stack adds beside its prompts and its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roofline.estimate.colocated import Mix
from roofline.estimate.servers import Prompt
from roofline.trust.measured_rows import load
from roofline.trust.runtimes_fit import HUBER, Array, Evidence, columns, kernels, search

WAITS = (0.02, 2.0, 10.0, 0.2, 0.5)
"""Where the search for waits begins, and its first steps: request [s], first, aligned, bunch and in_step [1]."""


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
        """With a stack's step and prompt [s], and what its kernels take beside those measured [1]."""
        step, prompt = numbers[:2]
        decode, prefill = kernels(columns(rows), numbers)
        found = []
        for row, stepped, occupied in zip(rows, decode, prefill, strict=True):
            seconds = stepped + step
            asked = load(row.row)
            alone = row.place.prompt(asked)
            due = Prompt(occupied * alone.latency / alone.occupancy + prompt, occupied + prompt)
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
        return float(np.where(off < HUBER, off**2 / (2 * HUBER), off - HUBER / 2).mean())

    told = [True, True, bool(known.ranked.any()), bool((known.equal == 0).any()), bool(known.equal.any())]
    start = np.where(told, WAITS, 0.0 if shared is None else shared)
    return search(cost, start, list(np.where(told, WAITS, 0.0)))
