"""The door for numbers a user gives: floats, arrays and symbols come in checked, everything else is refused by name."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
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


def blocks(sizes: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Blocks of an array of that shape with at most `BLOCK` points, in order, as slices of every axis."""
    if not sizes:
        yield ()
        return
    inner = math.prod(sizes[1:])
    rows = max(1, BLOCK // max(1, inner))
    for start in range(0, sizes[0], rows):
        first = slice(start, min(start + rows, sizes[0]))
        for rest in blocks(sizes[1:]) if inner > BLOCK else [tuple(slice(0, size) for size in sizes[1:])]:
            yield (first, *rest)


def in_blocks(function: Callable[..., Any], dtype: type, **values: Any) -> Any:
    """`function` of arrays that broadcast, evaluated block by block over all axes, so that memory stays small.

    `function` returns one array of the broadcast shape, or a number that holds for the whole block; the result is an
    array of `dtype`.
    """
    (result,) = all_in_blocks(lambda **block: (function(**block),), (dtype,), **values)
    return result


def all_in_blocks(function: Callable[..., Sequence[Any]], dtypes: Sequence[type], **values: Any) -> tuple[Any, ...]:
    """As `in_blocks`, of a function that returns several arrays or numbers at once: arrays of the `dtypes`."""
    shape = np.broadcast_shapes(*(np.shape(value) for value in values.values()))
    results: tuple[Any, ...] = tuple(np.empty(shape, dtype) for dtype in dtypes)
    for block in blocks(shape):
        found = function(**{name: _within(value, block) for name, value in values.items()})
        for result, part in zip(results, found, strict=True):
            result[block] = part
    return results


def _within(value: Any, block: tuple[slice, ...]) -> Any:
    """The part of a value that broadcasts which lies in a block; axes along which it does not vary stay whole."""
    if not np.ndim(value):
        return value
    own = block[len(block) - value.ndim :]
    return value[tuple(slice(None) if size == 1 else each for size, each in zip(value.shape, own, strict=True))]
