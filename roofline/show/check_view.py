"""Whether a part's numbers fit together: cross-checks with the two facts that they compare, and laws of estimates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from roofline.describe.catalog import accelerator
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.show.answer import Answer, answered
from roofline.show.failures import NO, OK
from roofline.show.grid import Cell, Column, Grid, Heading, Sentence
from roofline.show.lines import KEPT_BLANK, Line, figure, listed, paragraph
from roofline.show.progress import telling
from roofline.show.records import Row
from roofline.trust.cross_checks import CheckResult, cross_check
from roofline.units import format_quantity

FAIL, PASS, NOT_APPLICABLE = "fail", "pass", "not applicable"
_STYLES = {FAIL: "red", PASS: "green", NOT_APPLICABLE: "dim"}
_RELATIONS = {"at most": "≤", "at least": "≥"}
_CHECKS = (
    Column("check", (), left=True, most=40),
    Column("verdict", (), left=True, most=8),
    Column("what is compared", (), left=True, folds=True),
)


def checked(names: Sequence[str], form: str, *, verbose: bool, examples: int | None = None) -> Answer:
    """Every check and every law on every part; status 1 where one fails."""
    parts = {name: accelerator(name) for name in names}
    by_name = {}
    with telling("checking") as told:
        for name, part in parts.items():
            told(f"checking {_title(name)}")
            by_name[name] = check_rows(name, part, examples)
    rows = [row for of_part in by_name.values() for row in of_part]
    failed = any(row["verdict"] == FAIL for row in rows)
    return answered(rows, form, lambda width: checks(by_name, width, verbose=verbose), NO if failed else OK)


def check_rows(name: str, part: HbmAccelerator | SramAccelerator, examples: int | None = None) -> list[Row]:
    """Facts against each other, one row per comparison or one that says which facts a check lacks; then laws.

    `difference` is left over right, less one; `cases` on how many estimates a law was tried: `examples`, or none.
    """
    facts = [_row(name, result) for result in cross_check(part)]
    if examples is None:
        return facts
    from roofline.trust.laws import FACTS, check_laws  # noqa: PLC0415  a second of estimates, where they are wanted

    laws = [result for result in check_laws(part, examples=examples) if result.group != FACTS]
    words = {"holds": PASS, "fails": FAIL}
    return facts + [
        {
            **dict.fromkeys(facts[0]),
            "accelerator": name,
            "group": law.group,
            "check": law.name,
            "verdict": words.get(law.verdict, NOT_APPLICABLE),
            "missing": [],
            "reason": law.statement,
            "cases": law.cases,
            "counterexample": law.counterexample or None,
        }
        for law in laws
    ]


def _row(name: str, result: CheckResult) -> Row:
    said = result.comparison
    return {
        "accelerator": name,
        "group": "facts",
        "check": result.check.name,
        "verdict": result.verdict,
        "left": said.left.text if said else None,
        "left_value": said.left.value if said else None,
        "relation": said.relation if said else None,
        "right": said.right.text if said else None,
        "right_value": said.right.value if said else None,
        "unit": said.left.unit if said else None,
        "difference": said.difference if said else None,
        "tolerance": said.tolerance if said else None,
        "missing": list(result.missing),
        "reason": result.check.reason,
        "cases": None,
        "counterexample": None,
    }


def checks(by_name: dict[str, list[Row]], width: int, *, verbose: bool) -> list[Line]:
    """Parts with their checks, what fails first; of several parts what passes is only counted, unless asked for."""
    grid = Grid(_CHECKS)
    shown = {FAIL} | ({PASS} if verbose or len(by_name) == 1 else set()) | ({NOT_APPLICABLE} if verbose else set())
    for name, rows in by_name.items():
        if not any(row["verdict"] in shown for row in rows):
            grid.lines.append([_title(name), (PASS, _STYLES[PASS]), _count(rows)])
            continue
        grid.lines.append(Heading(_title(name), _count(rows)))
        for verdict in (FAIL, PASS, NOT_APPLICABLE):
            facts, laws = _apart([row for row in rows if row["verdict"] == verdict and verdict in shown])
            for check, group in groupby(facts, key=lambda row: row["check"]):
                for index, (words, of_line) in enumerate(_compared(list(group))):
                    name_once = "" if index else check.replace("_", " ")
                    grid.lines.append(_line(verdict, name_once, words))
                    if verdict == FAIL:
                        grid.lines.append(Sentence("", _off(of_line), _STYLES[FAIL]))
            grid.lines += _law_lines(laws, verdict, verbose=verbose)
    out = [*grid.render(width), Line()]
    out += _conclusion(by_name, width)
    hidden = {PASS, NOT_APPLICABLE} - shown
    if hidden:
        words = "what passes, and what lacks a fact" if PASS in hidden else "the checks that lack a fact, and which"
        out += paragraph(f"-v adds {words}", width, style="dim")
    return out


def _conclusion(by_name: dict[str, list[Row]], width: int) -> list[Line]:
    """Who contradicts themselves and who breaks a law, or that nobody does."""
    failing = {name: _apart([row for row in rows if row["verdict"] == FAIL]) for name, rows in by_name.items()}
    contradicting = [_title(name) for name, (facts, _) in failing.items() if facts]
    breaking = [_title(name) for name, (_, laws) in failing.items() if laws]
    out = []
    if contradicting:
        verb = "contradicts itself" if len(contradicting) == 1 else "contradict themselves"
        out += paragraph(f"{listed(contradicting)} {verb}: one of the two facts of each failure was misread", width)
    else:
        out += paragraph("no fact contradicts another", width)
    if breaking:
        verb = "breaks" if len(breaking) == 1 else "break"
        out += paragraph(
            f"{listed(breaking)} {verb} a law: a number is impossible, or this library has a mistake", width
        )
    elif any(row["cases"] is not None for rows in by_name.values() for row in rows):
        out += paragraph("no law is broken in any case tried", width)
    return out


def _apart(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Comparisons of facts, and laws."""
    return [row for row in rows if row["cases"] is None], [row for row in rows if row["cases"] is not None]


def _law_lines(laws: Sequence[Row], verdict: str, *, verbose: bool) -> list[Sequence[Cell] | Sentence]:
    """A line per law that fails, with its counterexample; those that hold by group unless each is asked for."""
    lines: list[Sequence[Cell] | Sentence] = []
    if verdict == PASS and not verbose:
        groups: dict[str, list[Row]] = {}
        for row in laws:
            groups.setdefault(row["group"], []).append(row)
        for group, kind in groups.items():
            most = max(row["cases"] for row in kind)
            words = f"{len(kind)} {'law holds' if len(kind) == 1 else 'laws hold'} on up to {most} cases"
            lines.append(_line(verdict, f"laws of {group}", words))
        return lines
    for row in laws:
        lines.append(_line(verdict, row["check"].replace("_", " "), row["reason"]))
        if verdict == FAIL:
            lines.append(Sentence("", row["counterexample"], _STYLES[FAIL]))
    return lines


def _title(name: str) -> str:
    return Path(name).name if name.endswith(".toml") else name


def _count(rows: Sequence[Row]) -> str:
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in _STYLES}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count or verdict == FAIL)


def _line(verdict: str, check: str, words: str) -> list[Cell]:
    style = "dim" if verdict == NOT_APPLICABLE else ""
    return [(check, style), ("–" if style else verdict, _STYLES[verdict]), (words, style)]


def _compared(rows: Sequence[Row]) -> list[tuple[str, Row]]:
    """What the rows of one check and verdict compare, in words, two bounds of one fact in one line."""
    out: list[tuple[str, Row]] = []
    waiting: Row | None = None
    for row in rows:
        if row["verdict"] == NOT_APPLICABLE:
            out.append((f"needs {listed([_short(fact) for fact in row['missing']])}", row))
            continue
        bounds = {"at least", "at most"}
        if waiting and waiting["left"] == row["left"] and {waiting["relation"], row["relation"]} == bounds:
            low, high = sorted((waiting, row), key=lambda each: each["relation"] != "at least")
            out[-1] = (f"{_bound(low)} ≤ {_side(row, 'left')} ≤ {_bound(high)}", row)
            waiting = None
            continue
        out.append((f"{_side(row, 'left')} {_relation(row)} {_bound(row)}", row))
        waiting = row if row["verdict"] == PASS else None
    return out


def _relation(row: Row) -> str:
    if row["relation"] != "equals":
        return _RELATIONS[row["relation"]]
    return "≠" if row["verdict"] == FAIL else "≈" if abs(row["difference"]) > 5e-4 else "="


def _bound(row: Row) -> str:
    """The right side; with what is allowed of it where it holds only thanks to that."""
    over = -row["difference"] if row["relation"] == "at least" else row["difference"]
    holds = row["relation"] == "equals" or over <= 1e-9 or row["verdict"] == FAIL
    sign = "−" if row["relation"] == "at least" else "+"
    return _side(row, "right") + ("" if holds else f"{KEPT_BLANK}{sign}{KEPT_BLANK}{row['tolerance']:.1%}")


def _off(row: Row) -> str:
    allowed = f"; {row['tolerance']:.1%} would be rounding" if row["tolerance"] else ""
    return f"off by {row['difference']:+.1%}{allowed}: {row['reason']}"


def _short(fact: str) -> str:
    """A fact as a table names it.

    >>> _short("facts.links × facts.link_bandwidth")
    'links × link_bandwidth'
    """
    return fact.replace("facts.", "")


def _side(row: Row, side: str) -> str:
    """A fact and its value; a bound of any part that was built is its value alone."""
    value, unit = row[f"{side}_value"], row["unit"]
    if unit == "USD/s":
        value, unit = value * 3600, "USD/h"
    if unit == "1":
        amount = f"{value:.4g}"
    elif 0 < value < 1e-3 and not unit.startswith("s"):
        amount = f"{figure(value * 1e12)} p{unit}"
    else:
        amount = format_quantity(value, unit)
    amount = amount.replace(" ", KEPT_BLANK)
    return amount if "of any built part" in row[side] else f"{_short(row[side])} ({amount})"
