"""Intervals as a number type: what an equation can be while its arguments lie somewhere between two bounds.

They go through the same equations as floats do. Where an interval of seconds lies above a limit, no point inside is
below it: that is how a search may discard a whole range without looking at it.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Interval:
    """All numbers from `low` to `high`, ends included; arrays of bounds are as many intervals at once.

    Bounds are floats, so an end may be off by a few units in the last place; who decides by them leaves room for that.
    """

    __array_ufunc__ = None
    """Tells numpy to leave the arithmetic with arrays to this class."""
    __slots__ = ("high", "low")

    def __init__(self, low: Any, high: Any) -> None:
        self.low, self.high = low, high

    def __add__(self, other: Any) -> Interval:
        low, high = _bounds(other)
        return Interval(self.low + low, self.high + high)

    __radd__ = __add__

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __sub__(self, other: Any) -> Interval:
        low, high = _bounds(other)
        return Interval(self.low - high, self.high - low)

    def __rsub__(self, other: Any) -> Interval:
        return self.__neg__().__add__(other)

    def __mul__(self, other: Any) -> Interval:
        low, high = _bounds(other)
        ends = (self.low * low, self.low * high, self.high * low, self.high * high)
        return Interval(_least(ends), _most(ends))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Interval:
        low, high = _bounds(other)
        if np.any((low <= 0) & (high >= 0)):
            raise ZeroDivisionError("an interval that holds zero divides")
        return self * Interval(1 / high, 1 / low)

    def __rtruediv__(self, other: Any) -> Interval:
        return Interval(*_bounds(other)) / self

    def __pow__(self, other: Any) -> Interval:
        if np.any(self.low < 0):
            raise ValueError("a power of an interval below zero")
        low, high = _bounds(other)  # monotone in base and exponent alike, so the extremes are at the corners
        ends = (self.low**low, self.low**high, self.high**low, self.high**high)
        return Interval(_least(ends), _most(ends))

    def __rpow__(self, base: Any) -> Interval:
        return Interval(base, base) ** self

    @staticmethod
    def maximum(*values: Any) -> Interval:
        """The larger of each pair of ends."""
        bounds = [_bounds(value) for value in values]
        return Interval(_most([low for low, _ in bounds]), _most([high for _, high in bounds]))

    @staticmethod
    def minimum(*values: Any) -> Interval:
        """The smaller of each pair of ends."""
        bounds = [_bounds(value) for value in values]
        return Interval(_least([low for low, _ in bounds]), _least([high for _, high in bounds]))

    def ceil(self) -> Interval:
        """Both ends rounded up."""
        return Interval(np.ceil(self.low), np.ceil(self.high))

    def sqrt(self) -> Interval:
        """Both ends' roots."""
        return Interval(np.sqrt(self.low), np.sqrt(self.high))

    def log2(self) -> Interval:
        """Both ends' binary logarithms."""
        return Interval(np.log2(self.low), np.log2(self.high))

    def __repr__(self) -> str:
        return f"Interval({self.low!r}, {self.high!r})"


def _bounds(value: Any) -> tuple[Any, Any]:
    return (value.low, value.high) if isinstance(value, Interval) else (value, value)


def _least(values: Any) -> Any:
    first, *others = values
    for other in others:
        first = np.minimum(first, other)
    return first


def _most(values: Any) -> Any:
    first, *others = values
    for other in others:
        first = np.maximum(first, other)
    return first
