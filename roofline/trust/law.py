"""What a law is: a statement about every estimate, and a predicate that a case obeys, breaks, or has no say on.

A predicate yields the comparisons that the law makes of a case, one by one. The first that does not hold is the
counterexample; a law that compares nothing does not apply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from roofline.trust.law_cases import Case

Group = Literal["scaling", "monotonicity", "bounds", "conservation", "limits", "determinism", "capacity", "economics"]
GROUPS: tuple[Group, ...] = (
    "scaling",
    "monotonicity",
    "bounds",
    "conservation",
    "limits",
    "determinism",
    "capacity",
    "economics",
)
ROUNDING = 1e-11
"""Relative difference that the order of floating-point sums may leave [1]."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One comparison: whether it `holds`, and both sides in words for when it does not."""

    holds: bool
    text: str


Predicate = Callable[[Case], Iterator[Claim]]
Verdict = Literal["holds", "fails", "not applicable"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one law says of one case; `counterexample` in words where it fails."""

    verdict: Verdict
    counterexample: str = ""


@dataclass(frozen=True, slots=True)
class Law:
    """A `statement` that every estimate obeys, the `reason` why, and the `domain` on which it holds."""

    name: str
    group: Group
    statement: str
    reason: str
    domain: str
    predicate: Predicate

    def check(self, case: Case) -> Finding:
        """Whether a case obeys the law; nothing is raised for a case that breaks it."""
        verdict: Verdict = "not applicable"
        for claim in self.predicate(case):
            if not claim.holds:
                return Finding("fails", f"{claim.text}, for {case}")
            verdict = "holds"
        return Finding(verdict)

    def __str__(self) -> str:
        return f"{self.name}: {self.statement}"


def equal(left: str, a: Any, right: str, b: Any, *, within: float = ROUNDING) -> Claim:
    """That two numbers are the same up to rounding."""
    holds = math.isclose(a, b, rel_tol=within, abs_tol=0.0)
    return Claim(holds, f"{left} is {_shown(a)}, not {right}, {_shown(b)}")


def identical(left: str, a: Any, right: str, b: Any) -> Claim:
    """That two answers are the same to the last bit."""
    return Claim(bool(a == b), f"{left} is {_shown(a)}, not {right}, {_shown(b)}")


def at_most(left: str, a: Any, right: str, b: Any, *, within: float = ROUNDING) -> Claim:
    """That a number does not exceed another by more than rounding."""
    holds = bool(a <= b + within * abs(b))
    return Claim(holds, f"{left} is {_shown(a)}, more than {right}, {_shown(b)}")


def true(holds: object, otherwise: str) -> Claim:
    """That something is so; `otherwise` says what was found instead."""
    return Claim(bool(holds), otherwise)


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
