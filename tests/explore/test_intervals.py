"""Intervals hold every value that an equation takes inside them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from roofline.explore.intervals import Interval
from roofline.numeric import ceil, log2, maximum, minimum, sqrt
from tests.support.domains import domain
from tests.support.registry import equations

EQUATIONS = [
    equation for equation in equations().values() if "geometric_sum" not in equation.function.__code__.co_names
]


@given(st.sampled_from(EQUATIONS), st.data())
@settings(max_examples=500)
def test_no_value_of_an_equation_escapes(equation: Any, data: st.DataObject) -> None:
    values = data.draw(domain(equation))
    spreads = {name: data.draw(st.floats(0, 0.3)) for name in values}
    shares = {name: data.draw(st.floats(0, 1)) for name in values}
    bounds = {name: (value, value * (1 + spreads[name])) for name, value in values.items()}
    inside = {name: low + (high - low) * shares[name] for name, (low, high) in bounds.items()}
    try:
        span = equation.function(**{name: Interval(*ends) for name, ends in bounds.items()})
        exact = float(equation.function(**inside))
    except (ZeroDivisionError, ValueError, TypeError, OverflowError, RuntimeWarning):
        assume(False)  # widened beyond what the equation is about, such as a share above one
    span = span if isinstance(span, Interval) else Interval(span, span)
    slack = 1e-9 * (abs(span.low) + abs(span.high))
    assert span.low - slack <= exact <= span.high + slack


def test_by_hand() -> None:
    one, two = Interval(1.0, 2.0), Interval(-3.0, 4.0)

    def ends(span: Interval) -> tuple[float, float]:
        return float(span.low), float(span.high)

    assert ends(one + two) == (-2, 6)
    assert ends(one - two) == (-3, 5)
    assert ends(1 - one) == (-1, 0)
    assert ends(one * two) == (-6, 8)
    assert ends(two / one) == (-3, 4)
    assert ends(1 / one) == (0.5, 1)
    assert ends(one**2) == (1, 4)
    assert ends(0.5**one) == (0.25, 0.5)
    assert ends(one**one) == (1, 4)
    assert ends(maximum(one, two, 1.5)) == (1.5, 4)  # type: ignore[arg-type]
    assert ends(minimum(one, two, 1.5)) == (-3, 1.5)  # type: ignore[arg-type]
    assert ends(ceil(Interval(1.2, 2.0))) == (2, 2)  # type: ignore[arg-type]
    assert ends(sqrt(Interval(4.0, 9.0))) == (2, 3)  # type: ignore[arg-type]
    assert ends(log2(Interval(2.0, 8.0))) == (1, 3)  # type: ignore[arg-type]
    assert repr(one) == "Interval(1.0, 2.0)"
    with pytest.raises(ZeroDivisionError):
        one / two
    with pytest.raises(ValueError, match="below zero"):
        two**2


def test_arrays_of_intervals_are_as_many_at_once() -> None:
    spans = np.array([3.0, 4.0]) - Interval(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    assert spans.low.tolist() == [1, 1]
    assert spans.high.tolist() == [2, 2]
