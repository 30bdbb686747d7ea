"""Whether a part's numbers fit together: every cross-check with the two facts that it compares."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from roofline.describe.catalog import accelerator
from roofline.show.answer import Answer, answered
from roofline.show.failures import NO, OK
from roofline.show.grid import Cell, Column, Grid, Heading, Sentence
from roofline.show.lines import KEPT_BLANK, Line, figure, listed, paragraph
from roofline.show.records import Row
from roofline.trust.cross_checks import CheckResult, cross_check
from roofline.units import format_quantity

FAIL, PASS, NOT_APPLICABLE = "fail", "pass", "not applicable"
_STYLES = {FAIL: "red", PASS: "green", NOT_APPLICABLE: "dim"}
_RELATIONS = {"at most": "≤", "at least": "≥"}
_CHECKS = (
    Column("check", (), left=True, most=34),
    Column("verdict", (), left=True, most=8),
    Column("what is compared", (), left=True, folds=True),
)


def checked(names: Sequence[str], form: str, *, verbose: bool) -> Answer:
    """Every check on every part; status 1 where one fails."""
    by_name = {name: check_rows(name) for name in dict.fromkeys(names)}
    rows = [row for of_part in by_name.values() for row in of_part]
    failed = any(row["verdict"] == FAIL for row in rows)
    return answered(rows, form, lambda width: checks(by_name, width, verbose=verbose), NO if failed else OK)


def check_rows(name: str) -> list[Row]:
    """One row per comparison, or one that says which facts a check lacks; `difference` is left over right, less one."""
    return [_row(name, result) for result in cross_check(accelerator(name))]


def _row(name: str, result: CheckResult) -> Row:
    said = result.comparison
    return {
        "accelerator": name,
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
            of_verdict = [row for row in rows if row["verdict"] == verdict and verdict in shown]
            for check, group in groupby(of_verdict, key=lambda row: row["check"]):
                for index, (words, of_line) in enumerate(_compared(list(group))):
                    name_once = "" if index else check.replace("_", " ")
                    grid.lines.append(_line(verdict, name_once, words))
                    if verdict == FAIL:
                        grid.lines.append(Sentence("", _off(of_line), _STYLES[FAIL]))
    out = [*grid.render(width), Line()]
    failing = [_title(name) for name, rows in by_name.items() if any(row["verdict"] == FAIL for row in rows)]
    if failing:
        verb = "contradicts itself" if len(failing) == 1 else "contradict themselves"
        out += paragraph(f"{listed(failing)} {verb}: one of the two facts of each failure was read wrongly", width)
    else:
        out += paragraph("no fact contradicts another", width)
    hidden = {PASS, NOT_APPLICABLE} - shown
    if hidden:
        words = "what passes, and what lacks a fact" if PASS in hidden else "the checks that lack a fact, and which"
        out += paragraph(f"-v adds {words}", width, style="dim")
    return out


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
