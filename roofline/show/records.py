"""Rows for other programs: JSON, CSV and Markdown, numbers in full and in SI units."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
"""A row of plain values by name."""

FORMATS = ("table", "json", "csv", "markdown")
"""What `--format` takes; a table is for people, the others are for programs and documents."""


def written(rows: Sequence[Row], form: str) -> str:
    """Rows in one of the formats for programs, ending in a newline; all rows have the same keys.

    >>> print(written([{"name": "h100-sxm", "memory": 80e9, "power": None}], "csv"))
    name,memory,power
    h100-sxm,80000000000.0,
    <BLANKLINE>
    """
    return {"json": _json, "csv": _csv, "markdown": _markdown}[form](rows)


def _json(rows: Sequence[Row]) -> str:
    finite = [{key: _finite(value) for key, value in row.items()} for row in rows]
    return json.dumps(finite, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return out.getvalue()


def _markdown(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    keys = list(rows[0])
    numeric = [any(_is_number(row[key]) for row in rows) for key in keys]
    lines = [keys, ["---:" if right else "---" for right in numeric]]
    lines += [[_escaped(_cell(row[key])) for key in keys] for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    """A value as one cell: nothing for None, shortest exact digits for floats, lists joined."""
    if value is None or _finite(value) is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "; ".join(_cell(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{key} {_cell(item)}" for key, item in value.items())
    return repr(value) if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())
