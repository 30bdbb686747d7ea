"""Finding where a difference changes sign, and the last point below a limit, without missing one.

A range is cut in halves. On each, the difference is evaluated as an interval: one that excludes zero settles its range,
the rest is cut again. What is found is therefore all there is, kinks, ceilings and non-monotone stretches included, and
"nowhere" is a result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from roofline.explore.intervals import Interval

Difference = Callable[[Any], tuple[Any, Any]]
"""Two quantities at a float, an array or an interval of points; the difference is the first less the second."""
_SLACK = 1e-13
"""Relative room for the rounding of floats, many times what the few dozen operations of a step can lose [1]."""
_NARROW = 1e-10
"""Relative width below which a range is looked at point by point [1]."""
_MOST = 20_000
"""Ranges looked at together before giving up [1]."""


@dataclass(frozen=True)
class Crossing:
    """Where the first quantity overtakes the second (`rises`) or falls behind; exact to the last digit of a float.

    Over whole numbers, `at` is the first on the far side.
    """

    at: float
    rises: bool


class Unsettled(Exception):
    """The two quantities are too nearly equal from `low` to `high` for one to be called larger."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__(low, high)
        self.low, self.high = low, high


def crossings(difference: Difference, low: float, high: float, *, whole: bool = False) -> tuple[Crossing, ...]:
    """Every sign change between `low` and `high`, in order; over whole numbers only, if `whole`."""
    settled: list[tuple[float, float, int]] = []
    boxes = _cut(low, high, whole)
    while boxes[0].size:
        if boxes[0].size > _MOST:
            raise Unsettled(float(boxes[0].min()), float(boxes[1].max()))
        signs = _signs(difference, *boxes)
        settled.extend(zip(*(side[signs != 0] for side in boxes), signs[signs != 0], strict=True))
        left, right = (side[signs == 0] for side in boxes)
        narrow = left == right if whole else right - left <= _NARROW * right
        for begin, end in zip(left[narrow], right[narrow], strict=True):
            settled.extend((at, at, _sign(difference, at)) for at in {begin, end})
        boxes = _halves(left[~narrow], right[~narrow], whole)
    return _changes(difference, sorted(settled), whole)


def last_within(quantity: Callable[[Any], Any], limit: float, low: int, high: int) -> int | None:
    """The largest whole number from `low` to `high` at which a quantity is at most `limit`; None where none is."""
    stack = [(low, high)]
    while stack:
        begin, end = stack.pop()
        if begin == end:
            if float(quantity(float(begin))) <= limit:
                return begin
            continue
        span = quantity(Interval(float(begin), float(end)))
        if span.low * (1 - _SLACK) > limit:
            continue
        if float(quantity(float(end))) <= limit:
            return end
        middle = (begin + end) // 2
        stack += [(begin, middle), (middle + 1, end)]
    return None


def _cut(low: float, high: float, whole: bool) -> tuple[Any, Any]:
    """The range in 64 parts of equal ratio; zero has a part of its own."""
    edges = np.geomspace(max(low, high * 1e-18), high, 65)
    edges[0], edges[-1] = low, high
    if not whole:
        return edges[:-1], edges[1:]
    firsts = np.unique(np.concatenate([[low], np.ceil(edges[1:-1])]))
    return firsts, np.concatenate([firsts[1:] - 1, [high]])


def _halves(left: Any, right: Any, whole: bool) -> tuple[Any, Any]:
    if whole:
        middle = np.floor((left + right) / 2)
        return np.concatenate([left, middle + 1]), np.concatenate([middle, right])
    middle = np.where(left > 0, np.sqrt(left * right), right / 2)
    middle = np.where((middle > left) & (middle < right), middle, (left + right) / 2)
    return np.concatenate([left, middle]), np.concatenate([middle, right])


def _signs(difference: Difference, left: Any, right: Any) -> Any:
    """Of each range: 1 or −1 where the difference keeps that sign all over it, else 0."""
    first, second = (_interval(side) for side in difference(Interval(left, right)))
    above = first.low > second.high * (1 + _SLACK)
    below = first.high < second.low * (1 - _SLACK)
    return np.broadcast_to(np.where(above, 1, np.where(below, -1, 0)), left.shape)


def _interval(value: Any) -> Interval:
    return value if isinstance(value, Interval) else Interval(value, value)


def _sign(difference: Difference, at: float) -> int:
    first, second = difference(float(at))
    return int(np.sign(float(first) - float(second)))


def _changes(difference: Difference, settled: list[tuple[float, float, int]], whole: bool) -> tuple[Crossing, ...]:
    found = []
    end, sign = 0.0, 0
    for begin, stop, now in settled:
        if now and sign and now != sign:
            at = begin if whole else _bisected(difference, end, begin, sign)
            found.append(Crossing(float(at), rises=now > 0))
        if now:
            end, sign = stop, now
    return tuple(found)


def _bisected(difference: Difference, left: float, right: float, sign: int) -> float:
    """Down to neighbouring floats: the sign is `sign` on the left."""
    while True:
        middle = (left + right) / 2
        if not left < middle < right:
            return right
        now = _sign(difference, middle)
        if now == 0:
            return middle
        left, right = (middle, right) if now == sign else (left, middle)
