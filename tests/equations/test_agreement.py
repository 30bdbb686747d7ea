"""One equation, four kinds of number, one answer."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.domains import domain
from tests.support.registry import Equation, equations

EQUATIONS = equations()
every_equation = pytest.mark.parametrize("equation", EQUATIONS.values(), ids=str)

IRRATIONAL = {
    "disaggregation.attention_per_ffn_fixed",
    "experts.busiest_rank_experts",
    "experts.fullest_rank_rows",
    "experts.largest_deviate",
    "experts.rank_imbalance",
    "experts.skewed_experts",
    "experts.tokens_for_coverage",
    "fitted.measured_all_reduce",
    "fitted.square_root_all_reduce",
    "logarithms.natural_logarithm",
    "logarithms.natural_power",
    "partitioning.optimal_gather_ranks",
    "partitioning.optimal_hidden_ranks",
    "pipelines.optimal_width_ring",
    "pipelines.optimal_width_sqrt",
    "pipelines.square_root_sync",
    "pipelines.tree_sync",
    "serving.passes_per_prompt",
}
"""Roots, logarithms and broken powers: exact numbers in, floats out."""

TOLERANCE = 1e-12

half = settings(max_examples=max(1, settings.default.max_examples // 2))
few = settings(max_examples=max(1, settings.default.max_examples // 10))


def is_close(value: float, reference: float) -> bool:
    return math.isclose(value, reference, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


@cache
def symbolic(name: str) -> tuple[tuple[sympy.Symbol, ...], sympy.Expr, Any]:
    """The equation's symbols, its expression, and that expression as a numpy function."""
    equation = EQUATIONS[name]
    symbols = tuple(sympy.Symbol(argument, positive=True) for argument in equation.parameters)
    expression = sympy.sympify(equation.function(*symbols))
    return symbols, expression, sympy.lambdify(symbols, expression, "numpy")


@every_equation
@half
@given(data=st.data())
def test_scalars_arrays_and_symbols_agree(equation: Equation, data: st.DataObject) -> None:
    rows = data.draw(st.lists(domain(equation), min_size=1, max_size=4))
    expected = [float(equation.function(**row)) for row in rows]
    columns = [np.array([row[name] for row in rows]) for name in equation.parameters]
    on_arrays = np.broadcast_to(equation.function(*columns), len(rows))
    compiled = np.broadcast_to(symbolic(equation.name)[2](*columns), len(rows))
    for reference, array, lambdified in zip(expected, on_arrays, compiled, strict=True):
        assert math.isfinite(reference)
        assert is_close(array, reference)
        assert is_close(lambdified, reference)


@every_equation
@few
@given(data=st.data())
def test_substituted_symbols_agree(equation: Equation, data: st.DataObject) -> None:
    row = data.draw(domain(equation))
    symbols, expression, _ = symbolic(equation.name)
    exact = {symbol: sympy.Rational(Fraction(row[symbol.name])) for symbol in symbols}
    assert is_close(float(sympy.N(expression.subs(exact), 30)), float(equation.function(**row)))


@every_equation
@half
@given(data=st.data())
def test_exact_fractions_stay_exact(equation: Equation, data: st.DataObject) -> None:
    row = data.draw(domain(equation))
    exact = equation.function(**{name: Fraction(value) for name, value in row.items()})
    if equation.name in IRRATIONAL:
        assert isinstance(exact, float), f"{equation.name} is exact: take it off the list"
    else:
        assert isinstance(exact, Fraction | int)
    assert is_close(float(exact), float(equation.function(**row)))


def test_the_irrational_are_all_there_are() -> None:
    assert set(EQUATIONS) >= IRRATIONAL
