"""The door for numbers a user gives: floats, arrays and symbols come in checked, everything else is refused by name."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from roofline.errors import InvalidInput
from roofline.numeric import ARRAY, SCALAR, SYMBOL, kind

LARGEST = 1e9
"""Above this no batch, context or prompt of this century can be meant."""
BLOCK = 32_768
"""Points evaluated at once: intermediate arrays of this size stay in a core's cache."""


def checked(what: str, value: Any, *, least: float = 1, most: float = LARGEST) -> Any:
    """The value as float, float64 array or symbol, between `least` and `most`; `InvalidInput` otherwise."""
    expected = f"a number from {least:g} to {most:g}"
    if isinstance(value, list | tuple):
        try:
            value = np.asarray(value)
        except ValueError:  # rows of unequal length
            raise InvalidInput(what, given=value, expected=f"{expected} in every place") from None
    if isinstance(value, bool) or kind(value) not in (SCALAR, ARRAY, SYMBOL):
        raise InvalidInput(what, given=value, expected=f"{expected}, an array of them, or a sympy symbol")
    if kind(value) == SYMBOL:
        if not isinstance(value, sys.modules["sympy"].Expr) or value.is_real is False:
            raise InvalidInput(what, given=value, expected=f"{expected}, or a symbol of a real number")
        return _number_of(value, what, least, most) if value.is_number else value
    if kind(value) == ARRAY:
        return _checked_array(what, value, least, most, expected)
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond any float
        number = math.inf
    if not least <= number <= most:  # false for nan, too
        raise InvalidInput(what, given=value, expected=expected)
    return number


def _number_of(value: Any, what: str, least: float, most: float) -> float:
    return float(checked(what, float(value), least=least, most=most))


def _checked_array(what: str, value: Any, least: float, most: float, expected: str) -> Any:
    if value.dtype.kind not in "iuf" or value.size == 0:
        raise InvalidInput(what, given=value, expected=f"{expected} in every place")
    # int64 would wrap in products of contexts: float64 from here on.
    numbers = value.astype(np.float64, copy=False)
    lowest, highest = numbers.min(), numbers.max()  # nan spreads into both
    if not (lowest >= least and highest <= most):
        wrong = numbers[~((numbers >= least) & (numbers <= most))]
        raise InvalidInput(what, given=float(wrong[0]), expected=f"{expected} in every place")
    return numbers


def one_kind(**values: Any) -> str:
    """Which evaluator the values belong to together; `InvalidInput` where arrays and symbols are mixed."""
    kinds = {kind(value) for value in values.values()}
    if ARRAY in kinds and SYMBOL in kinds:
        raise InvalidInput(" and ".join(values), given="an array and a symbol", expected="arrays or symbols, not both")
    if ARRAY in kinds:
        try:
            np.broadcast_shapes(*(np.shape(value) for value in values.values()))
        except ValueError:
            shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in values.items())
            raise InvalidInput("shapes", given=shapes, expected="shapes that numpy can broadcast") from None
        return ARRAY
    return SYMBOL if SYMBOL in kinds else SCALAR


def in_blocks(function: Callable[..., Any], dtype: type, **values: Any) -> Any:
    """`function` of arrays that broadcast, evaluated block by block over the leading axis, so that memory stays small.

    `function` returns one array of the broadcast shape, or a number that holds for the whole block; the result is an
    array of `dtype`.
    """
    shape = np.broadcast_shapes(*(np.shape(value) for value in values.values()))
    size = math.prod(shape)
    if size <= BLOCK or not shape:
        return np.broadcast_to(function(**values), shape).copy()
    rows = max(1, BLOCK // (size // shape[0]))
    result: Any = np.empty(shape, dtype)
    for start in range(0, shape[0], rows):
        block = {name: _rows(value, len(shape), start, start + rows) for name, value in values.items()}
        result[start : start + rows] = function(**block)
    return result


def _rows(value: Any, dimensions: int, start: int, stop: int) -> Any:
    """The leading rows of a value that broadcasts; what does not vary along the leading axis is passed whole."""
    if np.ndim(value) < dimensions or value.shape[0] == 1:
        return value
    return value[start:stop]
