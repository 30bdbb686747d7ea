"""How often drafted tokens are accepted, and what verifying them costs hosts, fitted to measured service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from roofline.describe.runtimes import Runtime
from roofline.equations.speculation import speculative_interval
from roofline.errors import RooflineError
from roofline.trust.measured_rows import Row, has_two_pools, load, number, served
from roofline.trust.predictions import batch_of_a_step, decode_pool, mixed
from roofline.trust.runtimes_fit import ROW, robust, search
from roofline.trust.stations import ACCEPTANCE, Array, mean_context

EXPECTED = 1e-4
"""How far from nothing the seconds for a verified sequence are thought to lie [s]."""
DOUBTED = 20
"""Rows that weigh as much as that they are nothing [1]."""
SCALES = (0.1, 2e-5)
"""First steps of the search, in acceptance [1] and seconds for each verified sequence of a rank [s]."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """Rows that draft, as arrays: seconds to `verify` drafts and to `draft` one token, `added` to each token by prompts
    and `measured` for one [s]; tokens of a draft, sequences of a rank and the stack's place among `stacks` [1].
    """

    verify: Array
    draft: Array
    added: Array
    measured: Array
    length: Array
    sequences: Array
    stack: Array

    @classmethod
    def of(cls, rows: Iterable[Row], stacks: Mapping[str, Runtime]) -> Drafts:
        """Rows that draft and whose stack is known, at the batch of a step; verifying costs the hosts nothing."""
        found = []
        names = list(stacks)
        for row in rows:
            try:
                what, asked = served(row), load(row)
                if not asked.draft_length or what.stack not in stacks:
                    continue
                stack = stacks[what.stack].model_copy(update={"verified": 0.0})
                place = decode_pool(row, what, stack, asked)
                batch = batch_of_a_step(row, asked, place)
                if batch is None:
                    continue
                verify, draft = place.drafting(np.array([batch]), mean_context(asked), asked.draft_length)
                added = 0.0 if has_two_pools(row) else float(mixed(place, asked).interval(batch, 0.0))
            except RooflineError:
                continue
            ranks = place.settled.layout.dp
            each = batch if ranks == 1 else np.ceil(batch / ranks)
            measured, index = number(row, "tpot_ms") / 1e3, names.index(what.stack)
            found.append((float(verify[0]), float(draft[0]), added, measured, asked.draft_length, each, index))
        return cls(*np.array(found, dtype=np.float64).reshape(-1, 7).T)

    def predicted(self, acceptance: float, verified: Array) -> Array:
        """Time per token with each stack's seconds for a verified sequence [s]."""
        verify = self.verify + verified[self.stack.astype(int)] * self.sequences
        interval = speculative_interval(verify, self.draft, 0.0, acceptance, self.length)
        return np.asarray(interval, dtype=np.float64) + self.added


def fitted_drafts(rows: Iterable[Row], stacks: Mapping[str, Runtime]) -> tuple[float, dict[str, float]]:
    """The acceptance of all rows that draft [1], and what a verified sequence costs the host of each stack [s].

    The acceptance is the published one where no row drafts.
    """
    known = Drafts.of(rows, stacks)
    if not known.measured.size:
        return ACCEPTANCE, dict.fromkeys(stacks, 0.0)
    acceptance, *verified = fitted_to(known, len(stacks))
    return acceptance, dict(zip(stacks, verified, strict=True))


def fitted_to(known: Drafts, stacks: int) -> list[float]:
    """The acceptance [1] and each stack's seconds [s] with which the rows come closest to what was measured.

    Seconds are held to none: that they are `EXPECTED` counts as `DOUBTED` rows that are off by a tenth.
    """
    held = DOUBTED * ROW / known.measured.size

    def cost(numbers: Array) -> float:
        off = float(((numbers[1:] / EXPECTED) ** 2).sum())
        return robust(known.predicted(min(float(numbers[0]), 1.0), numbers[1:]) / known.measured) + held * off

    told = [SCALES[1] if (known.stack == index).any() else 0.0 for index in range(stacks)]
    acceptance, *verified = search(cost, np.array([ACCEPTANCE, *np.zeros(stacks)]), (SCALES[0], *told))
    return [min(float(acceptance), 1.0), *map(float, verified)]
