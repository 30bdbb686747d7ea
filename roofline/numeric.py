"""The numbers equations run on, and the few functions that must know which kind they got.

An equation is written with `+ - * / **` and the helpers below. It then runs on floats, on numpy arrays, on exact
`Fraction`s and on sympy expressions, because each helper looks at the type of its arguments and nothing else does.
sympy is never imported here: a symbol can only arrive if the caller has imported it already.

Where the evaluators differ, they differ as this table says:

| helper | float, int, Fraction | numpy array | sympy |
|---|---|---|---|
| `maximum`, `minimum` | the argument itself | elementwise, NaN spreads | `Max`, `Min` |
| `ceil` | `math.ceil`, a Python int | float array | `ceiling` |
| `sqrt`, `log2` | float (inexact for Fraction) | elementwise | exact expression |
| `geometric_sum` | term by term, exact for Fraction | elementwise, closed form | `Piecewise`: its limit at ratio one |
"""

from __future__ import annotations

import math
import sys
from functools import reduce
from numbers import Real
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np


@runtime_checkable
class Num(Protocol):
    """Anything with arithmetic: float, int, Fraction, numpy array or sympy expression; not str, None or list."""

    def __add__(self, other: Any, /) -> Num: ...
    def __radd__(self, other: Any, /) -> Num: ...
    def __sub__(self, other: Any, /) -> Num: ...
    def __rsub__(self, other: Any, /) -> Num: ...
    def __mul__(self, other: Any, /) -> Num: ...
    def __rmul__(self, other: Any, /) -> Num: ...
    def __truediv__(self, other: Any, /) -> Num: ...
    def __rtruediv__(self, other: Any, /) -> Num: ...
    def __pow__(self, other: Any, /) -> Num: ...
    def __rpow__(self, other: Any, /) -> Num: ...


SCALAR, ARRAY, SYMBOL, OTHER = "scalar", "array", "symbol", "other"
_KINDS: dict[type, str] = {}


def _kind_of_type(cls: type) -> str:
    known = _KINDS.get(cls)
    if known is None:
        known = _KINDS[cls] = _classify(cls)
    return known


def _classify(cls: type) -> str:
    if issubclass(cls, np.ndarray):
        return ARRAY
    if issubclass(cls, Real):
        return SCALAR
    sympy = sys.modules.get("sympy")
    if sympy is not None and issubclass(cls, sympy.Basic):
        return SYMBOL
    return OTHER


def kind(value: object) -> str:
    """Which evaluator a value belongs to: `"scalar"`, `"array"`, `"symbol"`, or `"other"` (a type of its own)."""
    return _kind_of_type(type(value))


def _joint_kind(values: tuple[Any, ...]) -> str:
    for value in values:
        if _KINDS.get(type(value)) is not SCALAR:
            break
    else:  # by far the most frequent
        return SCALAR
    kinds = {_kind_of_type(type(value)) for value in values}
    if ARRAY in kinds and SYMBOL in kinds:
        raise TypeError("a numpy array and a sympy symbol cannot meet in one equation: substitute one of them first")
    for candidate in (OTHER, SYMBOL, ARRAY):
        if candidate in kinds:
            return candidate
    return SCALAR


def maximum(*values: Num) -> Num:
    """The largest of the values, elementwise on arrays.

    >>> maximum(1, 3, 2)
    3
    """
    kind_ = _joint_kind(values)
    if kind_ == SCALAR:
        return cast("Num", max(cast("Any", values)))
    if kind_ == ARRAY:
        return cast("Num", reduce(np.maximum, cast("Any", values)))
    if kind_ == SYMBOL:
        return cast("Num", sys.modules["sympy"].Max(*values))
    return _own(values, "maximum")


def minimum(*values: Num) -> Num:
    """The smallest of the values, elementwise on arrays.

    >>> minimum(1, 3, 2)
    1
    """
    kind_ = _joint_kind(values)
    if kind_ == SCALAR:
        return cast("Num", min(cast("Any", values)))
    if kind_ == ARRAY:
        return cast("Num", reduce(np.minimum, cast("Any", values)))
    if kind_ == SYMBOL:
        return cast("Num", sys.modules["sympy"].Min(*values))
    return _own(values, "minimum")


def ceil(value: Num) -> Num:
    """The smallest whole number that is not below the value.

    >>> ceil(2.1)
    3
    """
    kind_ = _joint_kind((value,))
    if kind_ == SCALAR:
        return cast("Num", math.ceil(cast("Any", value)))
    if kind_ == ARRAY:
        return cast("Num", np.ceil(cast("Any", value)))
    if kind_ == SYMBOL:
        return cast("Num", sys.modules["sympy"].ceiling(value))
    return _own((value,), "ceil")


def sqrt(value: Num) -> Num:
    """The square root.

    >>> sqrt(9)
    3.0
    """
    kind_ = _joint_kind((value,))
    if kind_ == SCALAR:
        return cast("Num", math.sqrt(cast("Any", value)))
    if kind_ == ARRAY:
        return cast("Num", np.sqrt(cast("Any", value)))
    if kind_ == SYMBOL:
        return cast("Num", sys.modules["sympy"].sqrt(value))
    return _own((value,), "sqrt")


def log2(value: Num) -> Num:
    """The logarithm to base 2.

    >>> log2(8)
    3.0
    """
    kind_ = _joint_kind((value,))
    if kind_ == SCALAR:
        return cast("Num", math.log2(cast("Any", value)))
    if kind_ == ARRAY:
        return cast("Num", np.log2(cast("Any", value)))
    if kind_ == SYMBOL:
        return cast("Num", sys.modules["sympy"].log(value, 2))
    return _own((value,), "log2")


def geometric_sum(ratio: Num, terms: Num) -> Num:
    """1 + ratio + ratio² + …, `terms` of them: a finite sum, so that ratio one gives `terms` and not 0/0.

    `terms` is a whole number.

    >>> geometric_sum(2, 4)
    15
    """
    kind_ = _joint_kind((ratio, terms))
    if kind_ == SCALAR:
        total: Num = 0
        for _ in range(int(cast("Any", terms))):
            total = total * ratio + 1
        return total
    if kind_ == ARRAY:
        return cast("Num", _geometric_sums(np.asarray(ratio, dtype=float), np.asarray(terms, dtype=float)))
    if kind_ == SYMBOL:
        sympy = sys.modules["sympy"]
        closed = (1 - cast("Any", ratio) ** terms) / (1 - cast("Any", ratio))
        return cast("Num", sympy.Piecewise((terms, sympy.Eq(ratio, 1)), (closed, True)))
    return _own((ratio, terms), "geometric_sum")


def _geometric_sums(ratio: Any, terms: Any) -> Any:
    """Elementwise; near ratio one 1 - ratio**terms is taken through its logarithm, which keeps digits."""
    ratio, terms = np.broadcast_arrays(ratio, terms)
    found = terms.astype(float)
    inside = (ratio > 0) & (ratio != 1)
    power = np.log(ratio[inside]) * terms[inside]
    found[inside] = np.expm1(power) / (ratio[inside] - 1)
    found[ratio == 0] = 1.0
    return found


def _own(values: tuple[Any, ...], operation: str) -> Num:
    """Let a number type of its own (a units checker, an interval) supply the operation as a method."""
    for value in values:
        method = getattr(type(value), operation, None)
        if method is not None:
            return cast("Num", method(*values))
    types = ", ".join(sorted({type(value).__name__ for value in values}))
    raise TypeError(f"{operation}: no rule for {types}")
