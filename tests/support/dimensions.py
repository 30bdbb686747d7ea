"""A number that has only a dimension: it runs through an equation and objects to what physics forbids.

Sums, differences, maxima and minima need equal dimensions; exponents, roundings and logarithms need none. Units that
differ by a fixed factor share a dimension (h and s, bit and B, kWh and J): the factor is the golden values' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

BASES = ("B", "FLOP", "USD", "J", "s")
"""What may not be added to one another. Tokens, heads, devices and the like are plain counts."""

_UNITS = {
    "1": {},
    "B": {"B": 1},
    "bit": {"B": 1},
    "FLOP": {"FLOP": 1},
    "USD": {"USD": 1},
    "J": {"J": 1},
    "kWh": {"J": 1},
    "W": {"J": 1, "s": -1},
    "s": {"s": 1},
    "h": {"s": 1},
    "year": {"s": 1},
}


class DimensionError(TypeError):
    """Two things met that cannot."""


def _unit(symbol: str) -> Dimension:
    try:
        return Dimension(tuple(Fraction(_UNITS[symbol].get(base, 0)) for base in BASES))
    except KeyError:
        raise DimensionError(f"unknown unit {symbol!r}: expected one of {', '.join(sorted(_UNITS))}") from None


def dimension(text: str) -> Dimension:
    """Read a unit such as `FLOP/s`."""
    above, _, below = text.partition("/")
    return _unit(above) / _unit(below) if below else _unit(above)


@dataclass(frozen=True)
class Dimension:
    """Powers of the bases."""

    powers: tuple[Fraction, ...]

    def __str__(self) -> str:
        parts = [f"{b}^{p}" if p != 1 else b for b, p in zip(BASES, self.powers, strict=True) if p]
        return "·".join(parts) or "1"

    def without(self, *bases: str) -> Dimension:
        """The same with some bases counted as plain numbers."""
        return Dimension(tuple(Fraction(0) if b in bases else p for b, p in zip(BASES, self.powers, strict=True)))

    def __add__(self, other: Any) -> Dimension:
        return _same((self, other), "add")

    def __sub__(self, other: Any) -> Dimension:
        return _same((self, other), "subtract")

    __radd__, __rsub__ = __add__, __sub__

    def __mul__(self, other: Any) -> Dimension:
        return Dimension(tuple(a + b for a, b in zip(self.powers, _of(other).powers, strict=True)))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Dimension:
        return self * _of(other) ** -1

    def __rtruediv__(self, other: Any) -> Dimension:
        return _of(other) / self

    def __pow__(self, other: Any) -> Dimension:
        if isinstance(other, Dimension):
            _plain(other, "an exponent")
            return _plain(self, "what is raised to a variable power")
        return Dimension(tuple(p * Fraction(other).limit_denominator(100) for p in self.powers))

    def __rpow__(self, other: Any) -> Dimension:
        return _plain(self, "an exponent")

    def maximum(*values: Any) -> Dimension:  # the helpers call it with the values alone
        return _same(values, "compare")

    minimum = maximum

    def ceil(self) -> Dimension:
        return _plain(self, "what is rounded")

    def sqrt(self) -> Dimension:
        return self ** Fraction(1, 2)

    def geometric_sum(*values: Any) -> Dimension:
        return _plain(_same(values, "sum powers of"), "a ratio")

    def log2(self) -> Dimension:
        return _plain(self, "a logarithm's argument")


PLAIN = dimension("1")


def _of(value: Any) -> Dimension:
    return value if isinstance(value, Dimension) else PLAIN


def _same(values: tuple[Any, ...], verb: str) -> Dimension:
    """All of one dimension; a literal zero has any."""
    seen = [_of(value) for value in values if isinstance(value, Dimension) or value != 0]
    if len(set(seen)) > 1:
        raise DimensionError(f"cannot {verb} {' and '.join(map(str, seen))}")
    return seen[0]


def _plain(value: Dimension, role: str) -> Dimension:
    if value != PLAIN:
        raise DimensionError(f"{role} must be a plain number, not {value}")
    return value
