"""The catalogue of laws that every estimate obeys, and their check on a part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roofline.describe.catalog import accelerator as described_part
from roofline.errors import InvalidInput
from roofline.trust.cross_checks import CheckResult, cross_check
from roofline.trust.law import GROUPS, Claim, Finding, Group, Law, Verdict
from roofline.trust.law_balances import BOUNDS, CONSERVATION, LIMITS
from roofline.trust.law_cases import Case, Part, example_cases
from roofline.trust.law_promises import CAPACITY, DETERMINISM, ECONOMICS
from roofline.trust.law_scaling import MONOTONICITY, SCALING
from roofline.trust.law_serving import SERVING
from roofline.trust.law_slopes import SLOPES

__all__ = [
    "FACTS",
    "GROUPS",
    "LAWS",
    "Case",
    "Claim",
    "Finding",
    "Group",
    "Law",
    "LawResult",
    "assert_laws",
    "check_law",
    "check_laws",
    "law_cases",
    "of_facts",
    "on_cases",
]

LAWS: tuple[Law, ...] = (
    *SCALING,
    *MONOTONICITY,
    *BOUNDS,
    *CONSERVATION,
    *LIMITS,
    *DETERMINISM,
    *CAPACITY,
    *ECONOMICS,
    *SERVING,
    *SLOPES,
)
FACTS = "facts"
"""The group of results that compare a part's numbers with each other instead of its estimates."""
EXAMPLES = 12
"""Cases on which laws are checked unless more are asked for: enough for every model, point and layout."""


@dataclass(frozen=True, slots=True)
class LawResult:
    """What a law, or a cross-check of the part's facts, found on one part.

    `group` is the law's, or `"facts"`; `cases` is on how many cases the law applied; `counterexample` is the first that
    breaks it, in words. `law` and `check` are what was run, whichever it was.
    """

    name: str
    group: str
    statement: str
    verdict: Verdict
    cases: int = 0
    counterexample: str = ""
    law: Law | None = None
    check: CheckResult | None = None

    @property
    def fails(self) -> bool:
        """Whether something contradicts the law."""
        return self.verdict == "fails"

    def __str__(self) -> str:
        text = f"{self.name}: {self.verdict}"
        return f"{text}: {self.counterexample}" if self.counterexample else text


def check_law(law: Law, accelerator: Part | str | Path, *, examples: int = EXAMPLES) -> LawResult:
    """One law on the first `examples` of a fixed sequence of cases."""
    return on_cases(law, law_cases(accelerator, examples))


def check_laws(accelerator: Part | str | Path, *, examples: int = EXAMPLES) -> tuple[LawResult, ...]:
    """Every law on a fixed set of `examples` cases, and every cross-check of the part's own facts.

    Deterministic: models, layouts and points come from a fixed sequence, the corners first. Raises what reading the
    part raises, and nothing for laws that fail.

    >>> [result.name for result in check_laws("h100-sxm", examples=2) if result.fails]
    []
    """
    part = described_part(accelerator)
    cases = law_cases(part, examples)
    return (*(on_cases(law, cases) for law in LAWS), *(of_facts(result) for result in cross_check(part)))


def assert_laws(accelerator: Part | str | Path, *, examples: int = EXAMPLES) -> None:
    """`AssertionError` that lists every law and cross-check that fails on a part; returns where all hold.

    >>> assert_laws("groq-lpu-v1", examples=2)
    """
    failed = [result for result in check_laws(accelerator, examples=examples) if result.fails]
    if failed:
        name = described_part(accelerator).name
        lines = "".join(f"\n  {result}" for result in failed)
        raise AssertionError(f"{name} breaks {len(failed)} of the laws and cross-checks:{lines}")


def law_cases(accelerator: Part | str | Path, examples: int = EXAMPLES) -> tuple[Case, ...]:
    """The first `examples` of the fixed sequence of cases on a part."""
    if isinstance(examples, bool) or not isinstance(examples, int) or examples < 1:
        raise InvalidInput("examples", given=examples, expected="a whole number from 1")
    return tuple(example_cases(described_part(accelerator), examples))


def on_cases(law: Law, cases: tuple[Case, ...]) -> LawResult:
    """One law on some cases of a part."""
    applied = 0
    for case in cases:
        finding = law.check(case)
        if finding.verdict == "fails":
            return LawResult(law.name, law.group, law.statement, "fails", applied + 1, finding.counterexample, law)
        applied += finding.verdict == "holds"
    verdict: Verdict = "holds" if applied else "not applicable"
    return LawResult(law.name, law.group, law.statement, verdict, applied, law=law)


def of_facts(result: CheckResult) -> LawResult:
    """A cross-check of a part's facts as the result of a law."""
    verdicts: dict[str, Verdict] = {"pass": "holds", "fail": "fails"}
    verdict = verdicts.get(result.verdict, "not applicable")
    said = str(result).removeprefix(f"{result.check.name}: ") if verdict == "fails" else ""
    compared = int(verdict != "not applicable")
    return LawResult(result.check.name, FACTS, result.check.reason, verdict, compared, said, check=result)
