"""Checks that a part's own facts fit together: a number read wrongly contradicts another, or physics.

Specs carry redundancy on purpose. Both directions taken as one, a sparse rate as a dense one, GB for GiB, a rack for a
chip: each leaves a file whose numbers are all plausible and do not fit together. `cross_check` runs every check of
`CROSS_CHECKS` on a part; a check whose facts are missing is not applicable and says which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from roofline.trust import cross_relations as relations
from roofline.trust.cross_catalogue import CROSS_CHECKS, CrossCheck
from roofline.trust.cross_relations import Comparison, Part

__all__ = ["CROSS_CHECKS", "CheckResult", "CrossCheck", "contradictions", "cross_check"]

Verdict = Literal["pass", "fail", "not applicable"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found on one part: the comparison made, or what is `missing` where it does not apply."""

    check: CrossCheck
    verdict: Verdict
    comparison: Comparison | None = None
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.comparison is None:
            return f"{self.check.name}: not applicable without {', '.join(self.missing)}"
        said = self.comparison
        expected = {"equals": "equal to", "at most": "at most", "at least": "at least"}[said.relation]
        text = f"{self.check.name}: {said.left}, {expected} {said.right}"
        return text if self.verdict == "pass" else f"{text}? off by {said.difference:+.1%}: {self.check.reason}"


def cross_check(accelerator: Part) -> tuple[CheckResult, ...]:
    """Every check of the catalogue on one part: one result per comparison, or one that says what is missing."""
    return tuple(result for check in CROSS_CHECKS for result in _run(check, accelerator))


def contradictions(accelerator: Part) -> tuple[CheckResult, ...]:
    """The checks that a part fails; empty where its numbers fit together."""
    return tuple(result for result in cross_check(accelerator) if result.verdict == "fail")


def _run(check: CrossCheck, part: Part) -> Iterator[CheckResult]:
    missing = tuple(need for need in check.needs if not relations.has_number(part, need))
    compared = [] if missing else list(check.compare(part, check.tolerance))
    for comparison in compared:
        yield CheckResult(check, "pass" if comparison.holds else "fail", comparison)
    if not compared:
        yield CheckResult(check, "not applicable", missing=missing or ("a second figure of the same thing",))
