"""Prompts that share a pass over the model: what a pool that only takes prompts gains where they are short."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from roofline.equations.serving import passes_per_prompt, shared_pass
from roofline.estimate.queues import pool_wait
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.timing import step_seconds

PASS_TOKENS = 8192
"""Prompt tokens that a pass takes on an attention-data rank where nothing else is asked for [token].

The default of vLLM (`max_num_batched_tokens` of a server with 70 GiB of memory or more) and of TensorRT-LLM
(`max_num_tokens`); SGLang's (`chunked_prefill_size`) is as large, but shared out to attention-data ranks.
"""


@dataclass(frozen=True)
class Passes:
    """Passes of one replica that only takes prompts: how many prompts, and how long with so many of them [s].

    From one prompt to as many as a pass takes, each more per second than the one before; in between, the time grows
    evenly.
    """

    points: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, settled: Resolved, isl: float, cached: float, tokens: float) -> Passes:
        """Up to as many prompts as `tokens` on each attention-data rank allow, and fit: one, one on every rank, all.

        One stage after the other takes prompts as they come, so this is of one stage.
        """
        ranks = float(settled.layout.dp)
        room = max(1.0, float(np.floor(settled.memory.largest_batch(isl))))
        counts = np.unique(np.minimum(room, [1.0, ranks, ranks * prompts_in_a_pass(isl - cached, tokens)]))
        seconds = np.asarray(settled.evaluate(Point("prefill", counts, isl, cached), step_seconds), dtype=np.float64)
        points: list[tuple[float, float]] = []
        for count, time in zip(counts.tolist(), seconds.tolist(), strict=True):
            if not points or count / time > points[-1][0] / points[-1][1]:
                points.append((count, time))
        return cls(tuple(points))

    @property
    def one(self) -> float:
        """Of a pass with one prompt [s]."""
        return self.points[0][1]

    @property
    def most(self) -> float:
        """Prompts in a full pass [1]."""
        return self.points[-1][0]

    @property
    def share(self) -> float:
        """The replica's time that a prompt takes in a full pass [s]."""
        return self.points[-1][1] / self.most

    @cached_property
    def shared(self) -> float:
        """What prompts share of a pass: what does not grow with their number [s]."""
        return float(shared_seconds(self.one, self.points[-1][1], self.most))

    def occupied(self, due: Any) -> Any:
        """The replica's time that a prompt takes where so many are due together on average [s].

        As many as have come share a pass, whose time grows evenly from one prompt to a full one.
        """
        return self.one - self.shared * (1 - passes_per_prompt(due, self.most))

    def wait(self, servers: int, rate: Any) -> Any:
        """Wait before so many servers of passes where prompts come at random [s]."""
        return pool_wait(servers, rate, self.one, self.share)

    def stretched(self, times: float) -> Passes:
        """The same, each so many times as long."""
        return Passes(tuple((count, seconds * times) for count, seconds in self.points))

    def then(self, other: Passes) -> Passes:
        """Passes of this and of another model one after the other, of as many prompts as both take."""
        most = min(self.most, other.most)
        counts = sorted({count for passes in (self, other) for count, _ in passes.points if count <= most})
        return Passes(tuple((count, self.taking(count) + other.taking(count)) for count in counts))

    def taking(self, count: float) -> float:
        """Of a pass with so many prompts [s]."""
        counts, seconds = zip(*self.points, strict=True)
        return float(np.interp(count, counts, seconds))

    def seconds(self, rate: Any) -> Any:
        """Of a pass at a rate of prompts that come to the replica; of a full one at `1 / share` or more [s]."""
        found: Any = self.one
        for (few, quick), (many, slow) in pairwise(self.points):
            further = (slow - quick) / (many - few)
            alone = quick - (few - 1) * further  # what one prompt would take if all passes grew like these
            shared: Any = shared_pass(alone, further, np.minimum(rate, many / slow))
            found = np.where(np.multiply(rate, quick) >= few, np.minimum(shared, slow), found)
        return found

    def prompts(self, rate: Any) -> Any:
        """In a pass at that rate [1]."""
        return np.maximum(1.0, rate * self.seconds(rate))

    def each(self, rate: Any) -> Any:
        """The replica's time that a prompt takes at that rate [s]."""
        return self.seconds(rate) / self.prompts(rate)


def shared_seconds(one: Any, full: Any, most: Any) -> Any:
    """What prompts share of a pass, from the time of one prompt and of `most`; nothing where that is one [s]."""
    return np.maximum(most * one - full, 0.0) / np.maximum(most - 1, 1)


def prompts_in_a_pass(new: float, tokens: float) -> float:
    """Prompts of `new` tokens that share a pass of so many tokens; one that is longer passes by itself [1]."""
    return max(1.0, float(np.floor(tokens / new * (1 + 1e-9))))
