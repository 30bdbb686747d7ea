"""Boxes, racks and pods: all of them in a table, and one with each printed figure beside devices × the part's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from roofline.describe.systems import System, cited_numbers, system, systems
from roofline.show.grid import Cell, Column, Grid, Heading
from roofline.show.hardware_view import FORMATS, cited
from roofline.show.lines import Line, command, figure, paragraph
from roofline.show.part_view import cited_row, source_lines
from roofline.show.records import Row
from roofline.units import format_quantity

_LIST = (
    Column("system", ("system",), left=True),
    Column("vendor", ("vendor",), left=True, need=10, most=16),
    Column("year", ("year",), need=7),
    Column("status", ("status",), left=True, need=9),
    Column("devices", ("devices",)),
    Column("part", ("of part",), left=True),
    Column("link", ("joined by",), left=True, need=8),
    Column("memory", ("memory", "GB"), need=2),
    Column("bandwidth", ("", "TB/s"), need=2, gap=1),
    Column("16-bit peak", ("16-bit", "PFLOP/s"), need=3),
    Column("fp8 peak", ("fp8", "PFLOP/s"), need=4, gap=1),
    Column("4-bit peak", ("4-bit", "PFLOP/s"), need=6, gap=1),
    Column("power", ("power", "kW"), need=5),
)
_KEYS = (
    *("system", "vendor", "year", "status", "devices", "part", "link", "memory.capacity", "memory.bandwidth"),
    *("peak.bf16", "peak.fp8", "peak.nvfp4", "power"),
)
"""The key of a row behind each column."""
_FIGURES = (
    Column("figure", (), left=True, most=28),
    Column("printed", ("printed",), left=True),
    Column("devices × the part's", ("devices ×", "the part's"), left=True),
    Column("difference", ("off", "%"), gap=1),
    Column("as printed", ("as printed, and its reading",), left=True, folds=True, need=3),
    Column("source", ("",), need=4, gap=1),
    Column("note", ("note",), left=True, folds=True, need=5, style="dim"),
)


def system_row(name: str) -> Row:
    """A system's main numbers in SI units: its part's times its devices, and the power printed of the whole."""
    found = system(name)
    part = found.accelerator
    row: Row = {
        "system": name,
        "name": found.name,
        "vendor": found.vendor,
        "year": found.year,
        "status": found.status,
        "kind": part.kind,
        "accelerator": found.part,
        "devices": int(found.devices.value),
        "working_devices": found.working_devices,
        "link": found.link,
        "edition": found.edition,
    }
    for path in ("memory.capacity", "memory.bandwidth", *(f"peak.{known}" for known in FORMATS)):
        number = cited(part, path)
        row[path] = None if number is None else number.value * found.devices.value
    row["power"] = found.power.value if found.power else None
    return row


def system_rows() -> list[Row]:
    """Every system of the catalogue, by vendor and year."""
    rows = [system_row(name) for name in systems()]
    return sorted(rows, key=lambda row: (row["vendor"].lower(), row["year"], row["system"]))


def system_list(rows: Sequence[Row], width: int, *, sort: str | None = None) -> list[Line]:
    """Systems in a table, grouped by vendor unless they are sorted by something else."""
    columns = [replace(column, need=0) if key == sort else column for column, key in zip(_LIST, _KEYS, strict=True)]
    grid = Grid(columns if sort else [column for column in columns if column.name != "vendor"])
    if sort:
        grid.lines += [_list_line(row) for row in rows]
    else:
        for vendor, group in groupby(rows, key=lambda row: row["vendor"]):
            grid.lines.append(Heading(vendor))
            grid.lines += [[line[0], *line[2:]] for line in map(_list_line, group)]
    out = [*grid.render(width), Line()]
    note = "devices × the part's figures, spares included; power is printed of the whole; empty: not published"
    out += paragraph(note, width, style="dim")
    out += [*grid.left_out_line(width), Line(), Line(("Next", "bold"))]
    return [*out, *command(f"roofline hardware {rows[0]['system']}", width)]


def _list_line(row: Row) -> list[Cell]:
    def scaled(path: str, factor: float) -> str:
        return "" if row[path] is None else figure(row[path] / factor)

    wide = "peak.bf16" if row["peak.bf16"] is not None else "peak.fp16"
    narrow = "peak.nvfp4" if row["peak.nvfp4"] is not None else "peak.mxfp4"
    return [
        row["system"],
        row["vendor"],
        str(row["year"]),
        row["status"],
        f"{row['devices']:,}",
        row["accelerator"],
        row["link"] or "",
        scaled("memory.capacity", 1e9),
        scaled("memory.bandwidth", 1e12),
        scaled(wide, 1e15),
        scaled("peak.fp8", 1e15),
        scaled(narrow, 1e15),
        scaled("power", 1e3),
    ]


def figure_rows(name: str) -> list[Row]:
    """Every cited number of a system with its evidence; a printed one beside devices × the part's."""
    found = system(name)
    figures = {f"printed.{each.field}": each for each in found.figures()}
    rows = []
    for path, number in cited_numbers(found):
        each = figures.get(path)
        compared = {
            "devices_times_part": each.summed if each else None,
            "difference": each.difference if each else None,
            "agrees": each.agrees if each else None,
            "reason": each.reason if each else None,
        }
        rows.append({"system": name, **cited_row(path, number), **compared})
    return rows


def system_details(name: str, rows: Sequence[Row], width: int) -> list[Line]:
    """One system: what it holds, and each figure printed of the whole beside what its devices add up to."""
    found = system(name)
    out = [Line((found.name, "bold")), *paragraph(_about(found), width)]
    out += paragraph(found.note, width) if found.note else []
    noted = any(row["note"] for row in rows)
    grid = Grid(_FIGURES if noted else _FIGURES[:-1])
    numbers: dict[str, int] = {}
    numbered = [row for row in rows if row["field"] not in ("devices", "spares")]
    for heading, of_heading in (
        ("Printed of the whole", [row for row in numbered if row["devices_times_part"] is not None]),
        ("Further facts", [row for row in numbered if row["devices_times_part"] is None]),
    ):
        grid.lines += [Heading(heading)] if of_heading else []
        grid.lines += [_figure_line(row, numbers, noted=noted) for row in of_heading]
    for row in rows:  # the counts are cited too
        numbers.setdefault(row["source"], len(numbers) + 1)
    if numbered:
        spare = grid.left_out_line(width)
        out += [Line(), *grid.render(width), *([Line(), *spare] if spare else [])]
    differing = [row for row in rows if row["reason"]]
    out += [Line(), Line(("Differs", "bold"))] if differing else []
    for row in differing:
        out += paragraph(f"{_words(row['field'].removeprefix('printed.'))}: {row['reason']}", width, bullet="· ")
    out += [Line(), Line(("Sources", "bold")), *source_lines(numbers, width), Line(), Line(("Next", "bold"))]
    pool = f"{found.part}:{found.working_devices}"
    out += command(f"roofline hardware {found.part}", width)
    return [*out, *command(f"roofline compare llama-3.1-70b --on {pool}", width)]


def _about(found: System) -> str:
    spares = f", {int(found.spares.value):,} of them spare" if found.spares else ""
    joined = f", joined by its {found.link.replace('_', '-')} link" if found.link else ""
    what = f"{int(found.devices.value):,} × {found.part}{spares}{joined}"
    return f"{what}; {found.vendor}, {found.year}, {found.status}; edition {found.edition}"


def _figure_line(row: Row, numbers: dict[str, int], *, noted: bool) -> list[Cell]:
    summed = row["devices_times_part"]
    style = "" if row["agrees"] in (True, None) else "yellow"
    reading = ", ".join(text for text in (row["as_printed"], row["reading"]) if text)
    path = row["field"].removeprefix("printed.").removeprefix("facts.")
    return [
        _words(path),
        format_quantity(row["value"], row["unit"]) if row["unit"] != "1" else row["text"],
        "" if summed is None else format_quantity(summed, row["unit"]),
        "" if summed is None else (f"{row['difference']:+.1%}".removesuffix("%"), style),
        reading,
        f"[{numbers.setdefault(row['source'], len(numbers) + 1)}]",
        *([row["note"] or ""] if noted else []),
    ]


def _words(path: str) -> str:
    return path.replace(".", " ").replace("_", " ")
