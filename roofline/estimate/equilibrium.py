"""The batch that forms by itself: the smallest one at which a system holds, or turns over, what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

StepTime = Callable[[Any], Any]
"""Seconds of a decode step at whole batches, given as an array [s]."""
Measure = Callable[[Any, Any], Any]
"""What is asked about, from a batch and its step: requests in flight, or requests per second."""

_POINTS = 513
_NARROWINGS, _PARTS = 8, 64
_HALVINGS = 60


def smallest_batch(step: StepTime, measure: Measure, wanted: float, limit: float) -> tuple[float, float]:
    """The smallest batch up to `limit` whose measure reaches `wanted`, and its step time; the limit where none does.

    Between whole batches the step is interpolated: sequences come whole, and a mean batch of 8.3 is 8 or 9. Below one
    sequence the step is that of one, taken less often. Batches are found by narrowing a grid, so the work is bounded
    whatever the functions are.
    """
    low, high = 1, max(1, int(limit))
    while True:
        grid = np.unique(np.rint(np.geomspace(float(low), float(high), _POINTS)))
        steps = step(grid)
        reached = np.flatnonzero(measure(grid, steps) >= wanted)
        if not len(reached):
            return float(high), float(steps[-1])
        index = int(reached[0])
        if index == 0:
            break
        low, high = int(grid[index - 1]), int(grid[index])
        if high - low == 1:
            break
    below = float(grid[index - 1]) if index else 0.0
    ends = float(steps[index - 1 if index else 0]), float(steps[index])
    return _between(measure, wanted, below, ends)


def _between(measure: Measure, wanted: float, below: float, ends: tuple[float, float]) -> tuple[float, float]:
    """The batch in (below, below + 1] at which a measure crosses, the step going linearly from end to end."""
    low, high = 0.0, 1.0
    for _ in range(_NARROWINGS):
        parts = np.linspace(low, high, _PARTS + 1)[1:]
        reached = np.flatnonzero(measure(below + parts, ends[0] + (ends[1] - ends[0]) * parts) >= wanted)
        first = int(reached[0]) if len(reached) else _PARTS - 1
        low, high = float(parts[first - 1]) if first else low, float(parts[first])
    return below + high, ends[0] + (ends[1] - ends[0]) * high


def smallest_rate(measure: Callable[[float], float], wanted: float, limit: float) -> float:
    """The smallest rate up to `limit` at which a measure that grows with it reaches `wanted` [1/s]."""
    low, high = 0.0, limit
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if measure(middle) >= wanted:
            high = middle
        else:
            low = middle
    return high
