"""All parts of silicon in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from roofline.describe.catalog import accelerator, accelerators
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.provenance import Cited
from roofline.errors import MissingNumber, UnknownName
from roofline.show.grid import Cell, Column, Grid, Heading
from roofline.show.lines import Line, command, figure, paragraph
from roofline.show.records import Row

Part = HbmAccelerator | SramAccelerator

FORMATS = ("bf16", "fp16", "fp8", "int8", "mxfp4", "nvfp4")
"""Formats whose peaks the list shows."""

_LIST = (
    Column("part", ("part",), left=True),
    Column("vendor", ("vendor",), left=True, need=9, most=16),
    Column("year", ("year",), need=6),
    Column("status", ("status",), left=True, need=8),
    Column("kind", ("kind",), left=True, need=7),
    Column("memory", ("memory", "GB"), need=1),
    Column("bandwidth", ("", "TB/s"), need=1, gap=1),
    Column("16-bit peak", ("16-bit", "TFLOP/s"), need=2),
    Column("fp8 peak", ("fp8", "TFLOP/s"), need=3, gap=1),
    Column("int8 peak", ("int8", "TOP/s"), need=5, gap=1),
    Column("4-bit peak", ("4-bit", "TFLOP/s"), need=5, gap=1),
    Column("scale-up bandwidth", ("link", "GB/s"), need=4),
    Column("scale-up domain", ("of", "parts"), need=6, gap=1),
    Column("power", ("power", "W"), need=4),
    Column("price", ("price", "USD/h"), need=4, gap=1),
)
_KEYS = (
    *("accelerator", "vendor", "year", "status", "kind", "memory.capacity", "memory.bandwidth"),
    *("peak.bf16", "peak.fp8", "peak.int8", "peak.nvfp4", "link.bandwidth", "link.domain", "power", "price"),
)
"""The key of a row behind each column."""


def part_row(name: str) -> Row:
    """The main numbers of a part under the paths that `cite` takes, in SI units, the price per hour."""
    part = accelerator(name)
    row: Row = {
        "accelerator": name,
        "name": part.name,
        "vendor": part.vendor,
        "year": part.year,
        "status": part.status,
        "kind": part.kind,
        "edition": part.edition,
    }
    paths = ("memory.capacity", "memory.bandwidth", *(f"peak.{known}" for known in FORMATS))
    for path in (*paths, "link.bandwidth", "link.domain", "power"):
        number = cited(part, path)
        row[path] = number.value if number else None
    row["price"] = part.price.value * 3600 if part.price else None
    return row


def part_rows() -> list[Row]:
    """Every part of the catalogue, by vendor and year."""
    rows = [part_row(name) for name in accelerators()]
    return sorted(rows, key=lambda row: (row["vendor"].lower(), row["year"], row["accelerator"]))


def part_list(rows: Sequence[Row], width: int, *, sort: str | None = None) -> list[Line]:
    """Parts in a table, grouped by vendor unless they are sorted by something else."""
    columns = [replace(column, need=0) if key == sort else column for column, key in zip(_LIST, _KEYS, strict=True)]
    grid = Grid(columns if sort else [column for column in columns if column.name != "vendor"])
    if sort:
        grid.lines += [_list_line(row) for row in rows]
    else:
        for vendor, group in groupby(rows, key=lambda row: row["vendor"]):
            grid.lines.append(Heading(vendor))
            grid.lines += [[line[0], *line[2:]] for line in map(_list_line, group)]
    out = [*grid.render(width), Line()]
    out += paragraph("peaks are dense, links per direction and device; empty: not published", width, style="dim")
    out += [*grid.left_out_line(width), Line(), Line(("Next", "bold"))]
    names = [row["accelerator"] for row in rows]
    out += command(f"roofline hardware {names[0]}    every number with its source", width)
    if len(names) > 1:
        out += command(f"roofline hardware {names[0]} {names[1]}    side by side", width)
    return [*out, *command("roofline hardware --systems    boxes, racks and pods", width)]


def _list_line(row: Row) -> list[Cell]:
    def scaled(path: str, factor: float) -> str:
        return "" if row[path] is None else figure(row[path] / factor)

    wide = "peak.bf16" if row["peak.bf16"] is not None else "peak.fp16"
    narrow = "peak.nvfp4" if row["peak.nvfp4"] is not None else "peak.mxfp4"
    return [
        row["accelerator"],
        row["vendor"],
        str(row["year"]),
        row["status"],
        row["kind"],
        scaled("memory.capacity", 1e9),
        scaled("memory.bandwidth", 1e12),
        scaled(wide, 1e12),
        scaled("peak.fp8", 1e12),
        scaled("peak.int8", 1e12),
        scaled(narrow, 1e12),
        scaled("link.bandwidth", 1e9),
        "" if row["link.domain"] is None else f"{row['link.domain']:,.0f}",
        "" if row["power"] is None else f"{row['power']:,.0f}",
        "" if row["price"] is None else f"{row['price']:,.2f}",
    ]


def cited(part: Part, path: str) -> Cited | None:
    """The number at a path, or None where this part has none."""
    try:
        return part.cite(path)
    except (MissingNumber, UnknownName):
        return None
