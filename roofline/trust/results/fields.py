"""Numbers and names out of a result's JSON, and the row of measured service that they make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from roofline.errors import InvalidInput

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


def stated(record: Json, *path: str) -> float | None:
    """The time or rate at a path of keys, or None where it is not stated; `InvalidInput` for what is none above zero.

    >>> stated({"median_tpot_ms": -12}, "median_tpot_ms")
    Traceback (most recent call last):
        ...
    roofline.errors.InvalidInput: median_tpot_ms: got -12, expected a number above 0
    """
    value = found(record, *path)
    if value is not None and positive(value) is None:
        raise InvalidInput(".".join(path), given=value, expected="a number above 0")
    return positive(value)


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
