"""Where what overtakes what: rows for programs, and a table by variable for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from roofline.explore.crossovers import Crossover
from roofline.explore.every_crossover import Crossovers
from roofline.show.grid import Cell, Column, Grid, Heading
from roofline.show.lines import Line, paragraph
from roofline.show.records import Row
from roofline.units import significant

_COLUMNS = (
    Column("longer", ("takes longer",), left=True),
    Column("shorter", ("than",), left=True),
    Column("value", ("from",)),
    Column("then", ("then again at",), left=True, need=1, folds=True),
    Column("room", ("",), left=True, style="dim"),
)
_OUTSIDE = "beyond the memory"


def crossover_rows(found: Crossovers) -> list[Row]:
    """Every pair over every variable; `value` is None where it never happens, and `holds_when` says why."""
    return [
        {
            "of": each.of,
            "a": each.a,
            "b": each.b,
            "value": each.value,
            "longer": each.longer,
            "crossings": list(each.crossings),
            "holds_when": each.holds_when,
        }
        for each in found
    ]


def crossed(found: Crossovers, title: str, point: Mapping[str, float], width: int) -> list[Line]:
    """Crossings in order of their value, then, in a sentence for each quantity, what it never overtakes."""
    out = paragraph(title, width, style="bold")
    for of, group in groupby(found, key=lambda each: each.of):
        every = list(group)
        at = ", ".join(f"{name} {value:,.10g}" for name, value in point.items() if name != of)
        grid = Grid(_COLUMNS, [Heading(f"Over {of}, at {at}" if at else f"Over {of}")])
        happening = sorted((each for each in every if each.value is not None), key=lambda each: each.value or 0.0)
        grid.lines += [_cells(each) for each in happening]
        out += [Line(), *grid.render(width)]
        never = [each for each in every if each.value is None]
        for sentence in _never(never):
            out += paragraph(sentence, width, bullet="· ")
    return [*out, Line(), *paragraph(_LEGEND, width, style="dim")]


_LEGEND = (
    "resources count every operation that a token passes, overlapped or not; weights and cache are the memory's "
    "traffic; --format json has every pair with its condition"
)


def _cells(each: Crossover) -> list[Cell]:
    assert each.value is not None
    again = ", ".join(_number(value) for value in each.crossings[1:])
    outside = _OUTSIDE if "does not fit" in each.holds_when else ""
    longer = each.longer or each.a
    return [longer, each.b if longer == each.a else each.a, _number(each.value), again, outside]


def _never(every: list[Crossover]) -> list[str]:
    """Of each quantity, those that it outweighs at every value."""
    shorter: dict[str, list[str]] = {}
    for each in every:
        if each.longer is None:
            shorter.setdefault("", []).append(f"{each.a} and {each.b}")
        else:
            shorter.setdefault(each.longer, []).append(each.b if each.longer == each.a else each.a)
    told = [f"{longer} always takes longer than {', '.join(names)}" for longer, names in shorter.items() if longer]
    return told + [f"not told apart: {names}" for names in shorter.get("", [])]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else significant(value, 4)
