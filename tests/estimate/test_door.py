"""The door for numbers, and blocks: what comes out is checked, wide enough, and whole again."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from roofline.estimate import door
from roofline.estimate.door import all_in_blocks, blocks, checked, in_blocks, one_kind


@pytest.mark.parametrize("value", [3, 3.0, Fraction(3), np.int64(3), np.float16(3), sympy.Integer(3), sympy.Float(3)])
def test_scalars_become_floats(value: Any) -> None:
    assert (checked("batch", value), type(checked("batch", value))) == (3.0, float)


def test_numbers_of_sympy_are_numbers() -> None:
    assert checked("batch", sympy.sqrt(2) * 2) == pytest.approx(8**0.5)
    assert checked("batch", sympy.Rational(7, 2)) == 3.5


def test_symbols_pass_as_they_are() -> None:
    for symbol in (sympy.Symbol("x"), sympy.Symbol("x", positive=True), sympy.Symbol("x") * 2 + 1):
        assert checked("batch", symbol) is symbol


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "int64", "float16", "float32", "float64"])
def test_arrays_become_float64(dtype: str) -> None:
    """int64 products of contexts would wrap, and float32 would lose tokens."""
    numbers = checked("batch", np.array([1, 100], dtype=dtype))
    assert numbers.dtype == np.float64
    assert numbers.tolist() == [1, 100]


def test_sequences_become_arrays_and_the_callers_array_is_left_alone() -> None:
    assert checked("batch", [[1, 2], (3, 4)]).shape == (2, 2)
    own = np.array([1.0, 2.0])
    assert checked("batch", own) is own
    assert own.tolist() == [1, 2]


@pytest.mark.parametrize(("value", "inside"), [(0, True), (-1e-9, False), (10, True), (10.1, False)])
def test_ends_belong_to_the_range(value: float, inside: bool) -> None:
    for given_value in (value, np.array([5, value])):
        if inside:
            assert np.all(checked("x", given_value, least=0, most=10) == given_value)
        else:
            with pytest.raises(ValueError, match=r"x: got .*from 0 to 10"):
                checked("x", given_value, least=0, most=10)


def test_kinds_meet() -> None:
    array, symbol = np.ones(3), sympy.Symbol("x")
    assert one_kind(a=1.0, b=2) == "scalar"
    assert one_kind(a=1.0, b=symbol) == "symbol"
    assert one_kind(a=1.0, b=array, c=np.ones((2, 1))) == "array"


shapes = st.sampled_from(
    [((6,), ()), ((6, 1), (1, 4)), ((1, 4), (6, 1)), ((5, 3), (3,)), ((2, 3, 4), (1, 3, 1)), ((1, 7), ()), ((), ())]
)


@given(shapes=shapes, block=st.integers(1, 30))
def test_blocks_make_the_whole(shapes: tuple[tuple[int, ...], tuple[int, ...]], block: int) -> None:
    """Whatever the shapes that broadcast, every place is computed once from its own numbers."""
    left, right = (np.arange(1.0, 1 + np.prod(shape)).reshape(shape) for shape in shapes)
    seen: list[int] = []

    def function(left: Any, right: Any) -> Any:
        result = left * 1000 + right
        seen.append(np.size(result))
        return result

    with patch.object(door, "BLOCK", block):
        whole = in_blocks(function, float, left=left, right=right)
    np.testing.assert_array_equal(whole, left * 1000 + right)
    assert sum(seen) == whole.size
    assert max(seen) <= block


def test_several_results_come_of_one_pass() -> None:
    calls: list[int] = []

    def function(values: Any) -> tuple[Any, bool]:
        calls.append(values.size)
        return values + 1, True

    with patch.object(door, "BLOCK", 4):
        more, every = all_in_blocks(function, (float, bool), values=np.ones((1, 10)))
    assert calls == [4, 4, 2]
    assert (more.tolist(), every.tolist()) == ([[2.0] * 10], [[True] * 10])


@given(st.lists(st.integers(1, 70), max_size=4), st.integers(1, 50))
def test_blocks_are_small_and_disjoint(sizes: list[int], most: int) -> None:
    if math.prod(sizes) > 20_000:
        return
    with patch.object(door, "BLOCK", most):
        seen = np.zeros(sizes, int)
        for block in blocks(sizes):
            assert seen[block].size <= most
            seen[block] += 1
    assert (seen == 1).all()


def test_a_number_for_all_is_repeated() -> None:
    values = np.ones((4, 5))
    for block in (3, 100):
        with patch.object(door, "BLOCK", block):
            fits = in_blocks(lambda values: True, bool, values=values)
        assert fits.shape == (4, 5)
        assert fits.all()
        assert fits.dtype == bool
        fits[0, 0] = False  # the result is the caller's own


def test_an_array_without_dimensions_stays_one() -> None:
    result = in_blocks(lambda value: value + 1, float, value=np.array(2.0))
    assert (result.shape, float(result)) == ((), 3.0)
