"""Numbers that carry their slopes: how a result changes with each of several inputs, exactly, from either side.

The arithmetic of equations is differentiated as it is evaluated. Where a maximum or minimum is tied, the two sides
differ: raising an input follows one branch, lowering it another. Both are kept.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Slope:
    """A `value` with its derivatives in each input: `up` as the input rises, `down` as it falls.

    `down` is the slope of the line that the function follows to the left, not the change itself: away from kinks the
    two are equal.
    """

    __array_ufunc__ = None
    __slots__ = ("down", "up", "value")

    def __init__(self, value: float, up: NDArray[np.float64], down: NDArray[np.float64]) -> None:
        self.value, self.up, self.down = value, up, down

    @classmethod
    def inputs(cls, values: list[float]) -> list[Slope]:
        """Independent inputs: each changes with itself alone."""
        unit = np.eye(len(values))
        return [cls(float(value), unit[place], unit[place]) for place, value in enumerate(values)]

    def _like(self, value: float, factor: float) -> Slope:
        return Slope(value, self.up * factor, self.down * factor)

    def __add__(self, other: Any) -> Slope:
        if isinstance(other, Slope):
            return Slope(self.value + other.value, self.up + other.up, self.down + other.down)
        return Slope(self.value + other, self.up, self.down)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Slope:
        return self.__add__(other * -1)

    def __rsub__(self, other: Any) -> Slope:
        return self.__mul__(-1).__add__(other)

    def __mul__(self, other: Any) -> Slope:
        if isinstance(other, Slope):
            return other._like(self.value * other.value, self.value) + self._like(0.0, other.value)
        return self._like(self.value * other, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Slope:
        if isinstance(other, Slope):
            return self * (1 / other)
        return self._like(self.value / other, 1 / other)

    def __rtruediv__(self, other: Any) -> Slope:
        return self._like(other / self.value, -other / self.value**2)

    def __pow__(self, other: Any) -> Slope:
        return self._like(self.value**other, other * self.value ** (other - 1))

    @staticmethod
    def maximum(*values: Any) -> Slope:
        """The largest; where it is tied, an input that rises follows the steepest and one that falls the flattest."""
        tied = _tied(values, max(_value(value) for value in values))
        return Slope(
            tied[0].value,
            np.max([each.up for each in tied], axis=0),
            np.min([each.down for each in tied], axis=0),
        )

    @staticmethod
    def minimum(*values: Any) -> Slope:
        """The smallest; ties the other way round."""
        tied = _tied(values, min(_value(value) for value in values))
        return Slope(
            tied[0].value,
            np.min([each.up for each in tied], axis=0),
            np.max([each.down for each in tied], axis=0),
        )

    def sqrt(self) -> Slope:
        """The square root."""
        root = math.sqrt(self.value)
        return self._like(root, 1 / (2 * root))

    def __repr__(self) -> str:
        return f"Slope({self.value!r}, {self.up!r}, {self.down!r})"


def _value(value: Any) -> float:
    return value.value if isinstance(value, Slope) else float(value)


def _tied(values: Any, extreme: float) -> list[Slope]:
    flat = np.zeros_like(next(value.up for value in values if isinstance(value, Slope)))
    slopes = [value if isinstance(value, Slope) else Slope(float(value), flat, flat) for value in values]
    return [slope for slope in slopes if slope.value == extreme]
