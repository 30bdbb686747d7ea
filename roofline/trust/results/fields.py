"""Numbers and names out of a result's JSON, and the row of measured service that they make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Row = dict[str, str]
Json = Mapping[str, Any]


def found(record: Json, *path: str) -> Any:
    """The value at a path of keys, or None where a key is missing."""
    value: Any = record
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def positive(value: Any) -> float | None:
    """A number above zero, or None."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return float(value) if known else None


def ratio(above: Any, below: Any) -> float | None:
    """One number over another, or None where either is missing."""
    top, bottom = positive(above), positive(below)
    return top / bottom if top and bottom else None


def row(**fields: Any) -> Row:
    """A row in the columns of measured service; fields that are None stay empty.

    >>> row(isl=1024.0, tpot_ms=None, model="m")
    {'isl': '1024', 'tpot_ms': '', 'model': 'm'}
    """
    return {name: _text(value) for name, value in fields.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, int | float) else str(value)
