"""The points that no other point beats in everything asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from roofline.errors import InvalidInput, UnknownName
from roofline.explore.grid import Grid

_BLOCK = 512


@dataclass(frozen=True)
class Front(Sequence[dict[str, Any]]):
    """The non-dominated rows, best first in the first objective; a sequence of rows.

    `indices` are their places among the points (of a grid in row-major order); `dominated` counts the points that
    another one beats, `excluded` those left out because an objective is nan or absent there.
    """

    rows: tuple[dict[str, Any], ...]
    indices: tuple[int, ...]
    dominated: int
    excluded: int
    maximize: tuple[str, ...]
    minimize: tuple[str, ...]

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[dict[str, Any], ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows."""
        return [dict(row) for row in self.rows]

    def to_numpy(self) -> dict[str, NDArray[Any]]:
        """The rows as one array per column."""
        names = list(self.rows[0]) if self.rows else []
        return {name: np.array([row[name] for row in self.rows]) for name in names}


def pareto(
    points: Grid | Sequence[Mapping[str, Any]],
    *,
    maximize: Sequence[str] | str = (),
    minimize: Sequence[str] | str = (),
) -> Front:
    """The points of a grid, or of a list of rows, that no other point beats.

    One point beats another if it is at least as good in every objective and better in one. Points that are equal in
    all objectives do not beat each other: all of them are kept, or none. Comparison is exact. Points where an objective
    is nan or absent are left out and counted.
    """
    most = (maximize,) if isinstance(maximize, str) else tuple(maximize)
    least = (minimize,) if isinstance(minimize, str) else tuple(minimize)
    if not most and not least:
        raise InvalidInput("objectives", given="none", expected="names of columns in maximize= or minimize=")
    if twice := {name for name in (*most, *least) if (*most, *least).count(name) > 1}:
        raise InvalidInput("objectives", given=", ".join(sorted(twice)), expected="each name once")
    columns = [-_column(points, name) for name in most] + [_column(points, name) for name in least]
    costs = np.stack(columns, axis=1)
    kept = ~np.isnan(costs).any(axis=1)
    places = np.flatnonzero(kept)
    best = places[_undominated(costs[kept])]
    best = best[np.lexsort(costs[best].T[::-1])]
    return Front(
        _rows(points, best.tolist()),
        tuple(best.tolist()),
        dominated=int(kept.sum()) - best.size,
        excluded=int((~kept).sum()),
        maximize=most,
        minimize=least,
    )


def _column(points: Any, name: str) -> NDArray[np.float64]:
    if isinstance(points, Grid):
        column = points[name]
        if column.dtype.kind not in "iufb":
            raise InvalidInput("objective", given=name, expected="a column of numbers")
        return np.asarray(column, dtype=float).ravel()
    rows = list(points) if isinstance(points, Sequence) else None
    if rows is None or not all(isinstance(row, Mapping) for row in rows):
        raise InvalidInput("points", given=points, expected="a grid of sweep(), or a list of rows")
    if rows and not any(name in row for row in rows):
        raise UnknownName("objective", given=name, known={key for row in rows for key in row})
    values = [row.get(name) for row in rows]
    if any(isinstance(value, str) for value in values):
        raise InvalidInput("objective", given=name, expected="a column of numbers")
    return np.array([np.nan if value is None else float(value) for value in values], dtype=float)


def _rows(points: Any, places: list[int]) -> tuple[dict[str, Any], ...]:
    if isinstance(points, Grid):
        return tuple(points.rows(places))
    return tuple(dict(points[place]) for place in places)


def _undominated(costs: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places of the rows that no other row is at most in every column and less in one; equal rows stand together."""
    if not costs.size:
        return np.empty(0, np.intp)
    distinct, inverse = np.unique(costs, axis=0, return_inverse=True)  # sorted: a row is only beaten by earlier ones
    alive = _front_of_two(distinct) if distinct.shape[1] <= 2 else _front_of_many(distinct)
    return np.flatnonzero(alive[inverse.ravel()])


def _front_of_two(distinct: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of sorted distinct rows: those less in the last column than every row before."""
    last = distinct[:, -1]
    least_before = np.concatenate([[np.inf], np.minimum.accumulate(last)[:-1]])
    alive: NDArray[np.bool_] = last < least_before
    if distinct.shape[1] == 1:
        alive = np.arange(len(last)) == 0
    alive[0] = True  # the first row may cost infinitely much and still be the least
    return alive


def _front_of_many(distinct: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of sorted distinct rows: block by block, against the front so far and then among themselves."""
    alive = np.zeros(len(distinct), bool)
    front = distinct[:0]
    for start in range(0, len(distinct), _BLOCK):
        block = distinct[start : start + _BLOCK]
        free = ~_beaten(block, front)
        candidates = block[free]
        free[free] = ~_beaten(candidates, candidates)
        alive[start : start + len(block)] = free
        front = np.concatenate([front, block[free]])
    return alive


def _beaten(rows: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each row is beaten by one of the others."""
    beaten = np.zeros(len(rows), bool)
    for start in range(0, len(others), _BLOCK):
        other = others[start : start + _BLOCK, None, :]
        beaten |= ((other <= rows).all(axis=2) & (other < rows).any(axis=2)).any(axis=0)
    return beaten
