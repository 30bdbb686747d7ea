"""An open grid of points of a phase: every combination of its axes, columns evaluated when they are asked for."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.errors import RooflineError, UnknownName

Array = NDArray[Any]
Progress = Callable[[int, int], None]
"""Told how many points are done and how many there are."""

NUMBERS = (
    "seconds",
    "ideal",
    "floor",
    "low",
    "high",
    "tokens_per_second",
    "tokens_per_second_per_user",
    "tokens_per_second_per_device",
    "mfu",
    "mbu",
    "joules",
    "joules_per_token",
    "usd_per_million_tokens",
)
COLUMNS = (*NUMBERS, "bound", "layout", "fits")
"""What a grid knows of each point: attributes of `Estimate` by their names, in their units."""
_ABSENT = ("joules", "joules_per_token", "usd_per_million_tokens")
_DTYPES = {"bound": np.dtype("<U8"), "layout": np.dtype(object), "fits": np.dtype(bool)}

Part = tuple[tuple[slice, ...], Mapping[str, Any]]
Evaluate = Callable[[tuple[str, ...]], Iterator[Part]]


@dataclass(frozen=True)
class Grid:
    """Every combination of `axes`, in their order; `grid["seconds"]` is an array of that shape.

    Points that do not fit keep their place: `fits` is False there and numbers are nan. So are points whose ranks no
    layout can have. Money is nan where no price is known, energy where no power is. Iterating yields rows.
    """

    phase: str
    axes: Mapping[str, Array]
    fixed: Mapping[str, Any]
    _evaluate: Evaluate = field(repr=False, compare=False)
    _progress: Progress | None = field(default=None, repr=False, compare=False)
    _known: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(len(values) for values in self.axes.values())

    @property
    def columns(self) -> tuple[str, ...]:
        """Every name that `grid[name]` takes."""
        return (*self.axes, *self.fixed, *COLUMNS)

    def __len__(self) -> int:
        return math.prod(self.shape)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.to_dicts())

    def __getitem__(self, name: str) -> Array:
        if name in self.axes:
            place = list(self.axes).index(name)
            values = self.axes[name].reshape([-1 if axis == place else 1 for axis in range(len(self.axes))])
            return np.broadcast_to(values, self.shape)
        if name in self.fixed:
            return np.broadcast_to(np.asarray(self.fixed[name]), self.shape)
        if name not in COLUMNS:
            raise UnknownName("column", given=name, known=self.columns)
        self.compute((name,))
        return self._known[name]

    def compute(self, columns: Iterable[str]) -> None:
        """Evaluate columns together, which is faster than one by one; those known already are kept."""
        wanted = tuple(name for name in dict.fromkeys(columns) if name in COLUMNS and name not in self._known)
        if not wanted:
            return
        found = {name: np.empty(self.shape, _DTYPES.get(name, np.dtype(float))) for name in wanted}
        done = 0
        for where, values in self._evaluate(wanted):
            for name in wanted:
                found[name][where] = values[name]
            done += found[wanted[0]][where].size
            if self._progress is not None:
                self._progress(done, len(self))
        for array in found.values():
            array.flags.writeable = False
        self._known.update(found)

    def to_numpy(self, columns: Iterable[str] | None = None) -> dict[str, Array]:
        """Axes, what is fixed, and columns (all of them by default) as arrays of the grid's shape."""
        chosen = self._chosen(columns)
        return {name: self[name] for name in (*self.axes, *self.fixed, *chosen)}

    def to_dicts(self, columns: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """One row per point, the last axis fastest; money and energy that are not known are None."""
        return self.rows(None, columns)

    def rows(self, places: Sequence[int] | None, columns: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Some rows of `to_dicts`, by their places; None for all."""
        chosen: Any = slice(None) if places is None else np.asarray(places, dtype=int)
        lists = {name: array.ravel()[chosen].tolist() for name, array in self.to_numpy(columns).items()}
        for name in _ABSENT:
            if name in lists:
                fits = self["fits"].ravel()[chosen].tolist()
                pairs = zip(lists[name], fits, strict=True)
                lists[name] = [None if fit and math.isnan(value) else value for value, fit in pairs]
        table = zip(*lists.values(), strict=True)
        return [{"phase": self.phase, **dict(zip(lists, row, strict=True))} for row in table]

    def to_xarray(self, columns: Iterable[str] | None = None) -> Any:
        """An `xarray.Dataset` with the axes as dimensions; needs xarray."""
        if "xarray" not in sys.modules or sys.modules["xarray"] is None:
            try:
                import_module("xarray")
            except ImportError:
                message = "to_xarray needs xarray, which is not installed: pip install xarray"
                raise RooflineError(message) from None
        names = list(self.axes)
        data = {name: (names, self[name]) for name in self._chosen(columns)}
        attributes = {"phase": self.phase, **self.fixed}
        return sys.modules["xarray"].Dataset(data, coords=dict(self.axes), attrs=attributes)

    def _chosen(self, columns: Iterable[str] | None) -> tuple[str, ...]:
        chosen = COLUMNS if columns is None else tuple([columns] if isinstance(columns, str) else columns)
        for name in chosen:
            if name not in self.columns:
                raise UnknownName("column", given=name, known=self.columns)
        chosen = tuple(name for name in chosen if name in COLUMNS)
        self.compute(chosen)
        return chosen
