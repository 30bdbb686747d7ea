"""Every equation, run on the units that its docstring states."""

from __future__ import annotations

from typing import Any

import pytest

from roofline.numeric import ceil, log2, maximum, minimum, sqrt
from tests.support.dimensions import Dimension, DimensionError, dimension
from tests.support.registry import Equation, equations

EQUATIONS = equations()

COUNTS_FLOPS = {
    "attention.absorbed_latent_flops",
    "attention.absorbed_latent_intensity",
    "attention.attention_flops",
    "attention.attention_intensity",
    "attention.indexer_flops",
    "attention.latent_expansion_flops",
    "attention.materialised_latent_flops",
    "disaggregation.network_sparsity",
    "experts.expert_critical_tokens",
    "experts.expert_flops",
    "matmul.matmul_flops",
    "parameters.token_flops",
    "rooflines.critical_batch",
}
"""Where a literal 2 is "FLOP per multiply-add": arithmetic is made out of counts, or counts out of arithmetic."""


def result(equation: Equation) -> Dimension:
    erased = ("FLOP",) if equation.name in COUNTS_FLOPS else ()
    units = [dimension(unit).without(*erased) for unit in equation.arguments.values()]
    return _dimension(equation.function(*units))


def expected(equation: Equation) -> Dimension:
    erased = ("FLOP",) if equation.name in COUNTS_FLOPS else ()
    return dimension(equation.returns).without(*erased)


def _dimension(value: Any) -> Dimension:
    return value if isinstance(value, Dimension) else dimension("1")


@pytest.mark.parametrize("equation", EQUATIONS.values(), ids=str)
def test_an_equation_returns_the_unit_it_says(equation: Equation) -> None:
    assert str(result(equation)) == str(expected(equation))


@pytest.mark.parametrize("name", sorted(COUNTS_FLOPS))
def test_no_equation_is_excused_without_need(name: str) -> None:
    equation = EQUATIONS[name]
    units = [dimension(unit) for unit in equation.arguments.values()]
    assert _dimension(equation.function(*units)) != dimension(equation.returns)


B, S, ONE, FLOP = dimension("B"), dimension("s"), dimension("1"), dimension("FLOP")
WRONG = {
    "bytes plus seconds": lambda: B + S,
    "bytes minus a number": lambda: B - 1,
    "a number plus seconds": lambda: 1 + S,
    "arithmetic plus bytes": lambda: FLOP + B,
    "larger of seconds and bytes": lambda: maximum(S, B),
    "smaller of seconds and a number": lambda: minimum(S, 3),
    "rounded bytes": lambda: ceil(B),
    "logarithm of bytes": lambda: log2(B),
    "power with seconds in it": lambda: ONE**S,
    "bytes to a variable power": lambda: B**ONE,
    "number to the power of bytes": lambda: 2**B,
    "unknown unit": lambda: dimension("GB"),
}


@pytest.mark.parametrize("meeting", WRONG.values(), ids=WRONG)
def test_what_cannot_meet_is_noticed(meeting: Any) -> None:
    with pytest.raises(DimensionError):
        meeting()


def test_what_may_meet_does() -> None:
    assert str(maximum(S, 0) + S) == "s"
    assert str(sqrt(B * B)) == "B"
    assert str(dimension("FLOP/s") / dimension("B/s")) == "B^-1·FLOP"
    assert str(dimension("W") * dimension("h")) == "J"
    assert str((2 * ONE + 1) ** 3 / S) == "s^-1"


SEEDED = {
    "latency times size": lambda size, ranks, bandwidth, latency: (ranks - 1) * (latency * size + size / bandwidth),
    "bytes for bandwidth": lambda size, ranks, bandwidth, latency: (ranks - 1) * latency + size,
    "bandwidth above": lambda size, ranks, bandwidth, latency: (ranks - 1) * latency + size * bandwidth,
    "forgotten latency": lambda size, ranks, bandwidth, latency: (ranks - 1) + size / bandwidth,
    "returns bytes": lambda size, ranks, bandwidth, latency: size * (ranks - 1) / ranks,
}


@pytest.mark.parametrize("formula", SEEDED.values(), ids=SEEDED)
def test_a_wrong_collective_is_noticed(formula: Any) -> None:
    equation = EQUATIONS["collectives.ring_all_gather"]
    units = [dimension(unit) for unit in equation.arguments.values()]
    try:
        found = formula(*units)
    except DimensionError:
        return
    assert found != dimension(equation.returns)
