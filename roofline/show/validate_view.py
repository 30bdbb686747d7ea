"""How predictions lie beside what was measured: errors by quantity and by group, and the rows that are furthest off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from roofline.show.answer import Answer, answered
from roofline.show.failures import NO, OK
from roofline.show.grid import Cell, Column, Grid, Heading
from roofline.show.lines import Line, figure, paragraph
from roofline.show.plots import Cloud, picture, writable
from roofline.show.progress import telling
from roofline.show.records import Row
from roofline.trust.validation import Compared, Figures, Validation, group, validate_file

QUANTITIES = {
    "tpot": "time per token",
    "ttft": "time to the first token",
    "throughput": "output tokens/s",
    "value": "value",
}
"""What is compared, and what it is called."""
GROUPS = {
    "kind": "kind of row",
    "model": "model",
    "accelerator": "part",
    "runtime": "serving stack",
    "quantization": "format",
    "speculation": "speculation",
    "band": "requests in flight",
}
"""Columns of the rows by which errors are told apart, and what they are called."""
_CLOUDS = 5
"""Serving stacks that a picture tells apart; the others are drawn as one."""
_SAID = {
    "unsupported": "Not supported",
    "does_not_fit": "Do not fit",
    "ok": "Predicted, but taken otherwise than written",
}
"""What is said of rows beside their errors, by status."""
_MESSAGES, _NAMED = 6, 5
"""The most that is said of the rows of one status, and rows that are named where they are one thing's."""
_UNITS = {"tpot": "ms", "ttft": "ms", "throughput": "1/s", "value": ""}
_ERRORS = (
    Column("group", ("",), left=True, most=44),
    Column("rows", ("rows",)),
    Column("median error", ("median", "error %")),
    Column("mean error", ("mean", "error %"), need=3),
    Column("90 % point", ("90 %", "point %"), need=2),
    Column("bias", ("bias", "%")),
    Column("measured over predicted", ("measured /", "predicted"), left=True, need=4),
)
_WORST = (
    Column("id", ("row",), left=True, most=24),
    Column("what", ("",), left=True, folds=True, need=1),
    Column("measured", ("measured", "")),
    Column("predicted", ("predicted", ""), gap=1),
    Column("off", ("off", "%")),
)
_LEGEND = (
    "errors are |predicted / measured − 1|, bias the median of predicted / measured − 1; "
    "measured / predicted is from 10 % to 90 % of the rows"
)


def answer(rows: str, predictions: str | None, plot: str | None, worst: int, form: str) -> Answer:
    """Errors over the rows of a file; the predictions are written, and drawn, where they were asked for.

    Status 1 where no row has a prediction.
    """
    if plot is not None:
        writable(plot, "--plot")
    with telling("predicting") as told:
        found = validate_file(rows, predictions, progress=told)
    errors = error_rows(found)
    drawn = None if plot is None else drawing(found, plot)

    def view(width: int) -> list[Line]:
        written = [f"written: {predictions}, a line for each of {len(found.predictions):,} rows"] if predictions else []
        written += [] if drawn is None else [drawn]
        return report(found, errors, worst, Path(rows).name, written, width)

    return answered(errors, form, view, OK if found.counts()["ok"] else NO)


def drawing(found: Validation, path: str) -> str:
    """Draw predicted over measured, of the first quantity that the rows have, by serving stack; say what was drawn."""
    for quantity, name in QUANTITIES.items():
        by_stack: dict[str, list[tuple[float, float]]] = {}
        for each in found.compared(quantity):
            by_stack.setdefault(group(each.prediction.row, "runtime"), []).append((each.measured, each.predicted))
        if by_stack:
            largest = sorted(by_stack, key=lambda stack: -len(by_stack[stack]))
            clouds = [Cloud(stack, by_stack[stack]) for stack in largest[:_CLOUDS]]
            others = [point for stack in largest[_CLOUDS:] for point in by_stack[stack]]
            clouds += [Cloud("others", others)] if others else []
            unit = f"[{_UNITS[quantity]}]" if _UNITS[quantity] else ""
            picture(path, f"{name.capitalize()}, predicted and measured", clouds, f"{name} {unit}".strip())
            return f"drawn: {path}, {name} of {sum(map(len, by_stack.values())):,} rows"
    return f"not drawn: {path}, no row has both a prediction and a measurement"


def error_rows(found: Validation) -> list[Row]:
    """Errors by quantity: of all rows that count, then by group; shares of one, and how many rows they are of."""
    out = []
    for quantity in QUANTITIES:
        every = found.figures(quantity)
        if every is None:
            continue
        out.append(_row(quantity, "all", "all", every))
        for column in GROUPS:
            by = found.by(column, quantity)
            if len(by) > 1:
                out += [_row(quantity, column, name.split("|", 1)[-1], figures) for name, figures in by.items()]
    return out


def _row(quantity: str, column: str, name: str, figures: Figures) -> Row:
    return {"quantity": quantity, "group": column, "name": name, **asdict(figures)}


def report(
    found: Validation, errors: Sequence[Row], worst: int, name: str, written: Sequence[str], width: int
) -> list[Line]:
    """The whole answer: what the rows are, errors, and the rows that are furthest off."""
    out = [*paragraph(f"{name}: {_counted(found)}", width, style="bold"), Line()]
    grid = Grid(_ERRORS, [])
    every = [row for row in errors if row["group"] == "all"]
    main = every[0]["quantity"] if every else ""
    if every:
        grid.lines.append(Heading("All rows that count"))
        grid.lines += [_error_line(row, QUANTITIES[row["quantity"]]) for row in every]
    of_main = [row for row in errors if row["quantity"] == main and row["group"] != "all"]
    for column, rows in groupby(of_main, key=lambda row: row["group"]):
        grid.lines.append(Heading(f"{QUANTITIES[main].capitalize()} by {GROUPS[column]}"))
        grid.lines += [_error_line(row, row["name"]) for row in rows]
    out += [*grid.render(width), Line()] if grid.lines else []
    out += paragraph(_LEGEND, width, style="dim") if grid.lines else []
    out += grid.left_out_line(width)
    if len(every) > 1:
        out += paragraph("--format json has the groups of every quantity", width, style="dim")
    out += _impossible(found.below_floor(), width)
    out += _messages(found, width)
    furthest = found.worst(worst, main) if worst and main else []
    if furthest:
        unit = f"  {_UNITS[main]}" if _UNITS[main] else ""
        heading = Heading(f"Furthest off in {QUANTITIES[main]}", unit.strip())
        out += [Line(), *Grid(_WORST, [heading, *(_worst_line(each) for each in furthest)]).render(width)]
    return [*out, *([Line()] if written else []), *(line for words in written for line in paragraph(words, width))]


def _impossible(faster: Sequence[Compared], width: int) -> list[Line]:
    """Rows faster than their floor, and what is mostly wrong with them; no row is dropped, so errors may be absurd."""
    if not faster:
        return []
    ids = ", ".join(str(each.prediction.row.get("id") or "a row") for each in faster[:_NAMED])
    ids += f" and {len(faster) - _NAMED:,} more" if len(faster) > _NAMED else ""
    one = len(faster) == 1
    were, are = ("row was measured faster than its", "is") if one else ("rows were measured faster than their", "are")
    said = f"{len(faster):,} {were} floor, which cannot be, and {are} in the errors above: {ids}"
    cause = "likely times that are not in milliseconds, or other devices or formats than those that ran"
    return paragraph(f"{said}; {cause}", width, style="yellow")


def _messages(found: Validation, width: int) -> list[Line]:
    """Why rows have no prediction, and what was taken otherwise than it is written; the most frequent of each."""
    out: list[Line] = []
    for status, title in _SAID.items():
        said = found.messages(status)
        if said:
            out += [Line(), Line((title, "bold"))]
        # A line that says that one is left out takes the place of the one.
        shown = len(said) if len(said) == _MESSAGES + 1 else _MESSAGES
        for words, ids in list(said.items())[:shown]:
            rows = f"{ids[0] or 'a row'}" + (f" and {len(ids) - 1:,} more" if len(ids) > 1 else "")
            out += paragraph(f"{rows}: {words}", width, bullet="  ")
        if len(said) > shown:
            out += paragraph(f"{len(said) - shown:,} more messages, in --predictions OUT.csv", width, bullet="  ")
    return out


def _counted(found: Validation) -> str:
    words = {"ok": "predicted", "does_not_fit": "do not fit", "unsupported": "not supported"}
    said = [f"{count:,} {words[status]}" for status, count in found.counts().items() if count]
    return f"{len(found.predictions):,} rows, {', '.join(said) or 'nothing in them'}"


def _error_line(row: Row, name: str) -> list[Cell]:
    return [
        name,
        f"{row['rows']:,}",
        f"{row['median'] * 100:.1f}",
        f"{row['mean'] * 100:.1f}",
        f"{row['worst'] * 100:.0f}",
        f"{row['bias'] * 100:+.1f}",
        (f"{row['low']:.2f}–{row['high']:.2f}", "dim"),
    ]


def _worst_line(each: Compared) -> list[Cell]:
    row = each.prediction.row

    def said(name: str) -> str:
        return str(row.get(name) or "").strip()

    words = [said("model").split("/")[-1], said("quantization")]
    place = f"{said('devices')} × {said('accelerator')}" if said("devices") else said("accelerator")
    words += [place, said("runtime")]
    words += [
        f"{said(name)} {unit}"
        for name, unit in (("isl", "in"), ("osl", "out"), ("concurrency", "in flight"))
        if said(name)
    ]
    return [
        said("id"),
        ", ".join(word for word in words if word),
        figure(each.measured),
        figure(each.predicted),
        f"{each.off * 100:+.0f}",
    ]
