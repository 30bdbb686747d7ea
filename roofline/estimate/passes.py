"""Prompts that share a pass over the model: what a pool that only takes prompts gains where they are short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from roofline.equations.serving import shared_pass
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.timing import step_seconds
from roofline.numeric import maximum, minimum

PASS_TOKENS = 8192
"""Prompt tokens that a pass takes on an attention-data rank where nothing else is asked for [token].

The default of vLLM (`max_num_batched_tokens` of a server with 70 GiB of memory or more), of SGLang
(`chunked_prefill_size`) and of TensorRT-LLM (`max_num_tokens`).
"""


@dataclass(frozen=True)
class Passes:
    """Passes of one replica that only takes prompts: with `one` of them, and a `full` one with `most` of them [s]."""

    one: float
    full: float
    most: float = 1.0

    @classmethod
    def of(cls, settled: Resolved, isl: float, cached: float, tokens: float) -> Passes:
        """As many prompts as `tokens` on each attention-data rank allow, and fit, where that takes more of them in a
        time than fewer do. One stage after the other takes prompts as they come, so this is of one stage.
        """
        ranks = float(settled.layout.dp)
        room = max(1.0, float(settled.memory.largest_batch(isl)))
        each = max(1.0, float(np.floor(tokens / (isl - cached))))
        counts = np.unique(np.minimum(np.floor(room), [1.0, ranks, ranks * each]))
        seconds = np.asarray(settled.evaluate(Point("prefill", counts, isl, cached), step_seconds), dtype=np.float64)
        best = int(np.argmax(counts / seconds))
        return cls(float(seconds[0]), float(seconds[best]), float(counts[best]))

    @property
    def share(self) -> float:
        """The replica's time that a prompt takes in a full pass [s]."""
        return self.full / self.most

    def seconds(self, rate: Any) -> Any:
        """Of a pass at a rate of prompts that come to the replica, below one per `share` [s]."""
        if self.most == 1:
            return self.one
        further = (self.full - self.one) / (self.most - 1)
        return minimum(self.full, shared_pass(self.one, further, rate))

    def prompts(self, rate: Any) -> Any:
        """In a pass at that rate [1]."""
        return maximum(1, rate * self.seconds(rate))
