"""Every combination of some axes, evaluated in blocks that stay in a core's cache.

Batch, context, prompt and hardware numbers enter the equations as arrays. Ranks, and hardware numbers that decide what
fits or which layout is taken, are laid out one by one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roofline.errors import InvalidInput, LayoutError, UnknownName
from roofline.estimate.capacity import Memory
from roofline.estimate.deployment import Deployment
from roofline.estimate.door import LARGEST, blocks, checked
from roofline.estimate.estimate import Estimate
from roofline.estimate.layout import Layout, vocabulary_cuts
from roofline.estimate.resolved import Resolved
from roofline.explore.asking import LEAST, Asked
from roofline.explore.grid import Grid, Part, Progress
from roofline.explore.hardware import canonical, numbers_used, placed
from roofline.units import counted_in

RANKS = ("tp", "pp", "dp", "ep")
_MAY_BE_NOTHING = ("latency", "price", "power")
_UNITS = {
    "peak": "FLOP/s",
    "bandwidth": "B/s",
    "feed": "B/s",
    "latency": "s",
    "capacity": "B",
    "price": "USD/h",
    "power": "W",
}


def sweep(phase: Any, *, progress: Progress | None = None, **axes: Any) -> Grid:
    """An open grid over the arguments of a phase, over hardware numbers by path, and over ranks.

    Each axis is a list or array; a single number is the same at every point. Hardware numbers are in SI units, a price
    in USD per device-hour, or text with a unit:

        sweep(gpu.decode, batch=[1, 8], context=4096, **{"memory.bandwidth": ["3.35 TB/s", "8 TB/s"]})

    Every point is that of the deployment asked there alone: an open layout is chosen anew at each, which takes
    milliseconds a point where a settled one takes nanoseconds. Ranks that no layout can have leave points that do not
    fit. `progress` is told how many points are done, and of how many.
    """
    asked = Asked.of(phase)
    values = {name: _axis(asked, name, value) for name, value in axes.items()}
    work = asked.complete({name: values[name] for name in values if name in asked.axes})
    cached, prompt = work.get("cached_tokens"), work.get("prompt")
    if cached is not None and prompt is not None and np.max(cached) >= np.min(prompt):
        raise InvalidInput("cached_tokens", given=float(np.max(cached)), expected="fewer than the prompt's tokens")
    listed = {name: value for name, value in values.items() if np.ndim(value)}
    fixed = {name: value for name, value in {**work, **values}.items() if name not in listed}
    swept = _Sweep(asked, dict(values), work, tuple(listed))
    grid = Grid(asked.phase, listed, fixed, swept.parts, progress)
    grid.compute(("seconds", "fits"))
    return grid


def _axis(asked: Asked, name: str, value: Any) -> Any:
    """One axis, checked: a 1-D array, or the number itself where there is one; whole numbers stay whole."""
    if name in asked.axes:
        numbers = _listed(name, value)
        checked(name, numbers, least=LEAST[name], most=LARGEST)
        return numbers
    if name in RANKS:
        ranks = _listed(name, value)
        if np.asarray(ranks).dtype.kind not in "iu":
            raise InvalidInput(name, given=value, expected="whole numbers of ranks")
        return ranks
    if "." not in name and name not in ("feed", "price", "power"):
        raise UnknownName("axis", given=name, known=(*asked.axes, *RANKS, *_paths(asked.deployment)))
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list | tuple) and any(isinstance(each, str) for each in texts):
        unit = next((unit for key, unit in _UNITS.items() if key in name.split(".")), None)
        if unit is None:
            raise InvalidInput(name, given=value, expected="numbers in SI units")
        numbers = [counted_in(each, unit, name) for each in texts]
        value = numbers[0] if isinstance(value, str) else numbers
    numbers = _listed(name, value)
    least = np.min(numbers)
    free = name.rsplit(".", maxsplit=1)[-1] in _MAY_BE_NOTHING
    if least < 0 or (least == 0 and not free):
        raise InvalidInput(name, given=float(least), expected="numbers from 0" if free else "numbers above 0")
    return numbers


def _listed(name: str, value: Any) -> Any:
    expected = "a number, or a list of numbers"
    if isinstance(value, str | bool | dict) or value is None:
        raise InvalidInput(name, given=value, expected=expected)
    try:
        numbers = np.asarray(list(value) if np.iterable(value) else value)
    except (TypeError, ValueError):
        raise InvalidInput(name, given=value, expected=expected) from None
    if numbers.dtype.kind not in "iuf" or numbers.ndim > 1 or numbers.size == 0:
        raise InvalidInput(name, given=value, expected=expected)
    if numbers.dtype.kind == "f" and not np.all(np.isfinite(numbers)):
        raise InvalidInput(name, given=value, expected="finite numbers")
    return numbers if numbers.ndim else numbers.item()


def _paths(deployment: Deployment) -> list[str]:
    return deployment.accelerator.cited_fields()


@dataclass(frozen=True)
class _Sweep:
    """Axes of a grid by what they change: `listed` are those with more than one value, in order."""

    asked: Asked
    values: Mapping[str, Any]
    work: Mapping[str, Any]
    listed: tuple[str, ...]

    def parts(self, columns: tuple[str, ...]) -> Iterator[Part]:
        """Blocks of the grid with the columns of each: discrete axes one value at a time, the others as arrays."""
        arrays = {name: np.asarray(value, dtype=float) for name, value in self.work.items()}
        numeric = self._numeric()
        arrays.update({name: np.asarray(self.values[name], dtype=float) for name in numeric})
        discrete = [name for name in self.values if name not in arrays]
        chosen = [np.atleast_1d(self.values[name]).tolist() for name in discrete]
        failure: LayoutError | None = None
        possible = False
        for places in itertools.product(*(range(len(each)) for each in chosen)):
            here = {name: each[place] for name, each, place in zip(discrete, chosen, places, strict=True)}
            fixed = {name: place for name, place in zip(discrete, places, strict=True) if name in self.listed}
            try:
                varied = self._varied(here)
            except LayoutError as error:  # ranks that do not go together are points that cannot be
                failure = failure or error
                yield (
                    self._where(fixed, {}),
                    dict.fromkeys(columns, np.nan) | {"fits": False, "layout": "", "bound": ""},
                )
                continue
            possible = True
            yield from self._blocks(varied, fixed, arrays, numeric, columns)
        if failure is not None and not possible:
            raise failure

    def _numeric(self) -> tuple[str, ...]:
        """Hardware numbers that may enter as arrays: they decide neither the layout nor what fits."""
        names = [name for name in self.values if name not in self.asked.axes and name not in RANKS]
        for name in names:
            if not name.startswith(("kernels.", "collectives.")):
                self.asked.deployment.accelerator.cite(name)
        if any(name in self.values for name in RANKS):
            return tuple(name for name in names if name.startswith(("kernels.", "collectives.")))
        try:
            resolved = self.asked.deployment.settled()
        except LayoutError:
            return tuple(name for name in names if name.startswith(("kernels.", "collectives.")))
        known = numbers_used(resolved, resolved.step(self.asked.point(self._sample())))
        numeric = []
        for name in names:
            try:
                canonical(name, resolved, known)
            except UnknownName:
                if name.startswith(("kernels.", "collectives.")):
                    raise
                continue
            numeric.append(name)
        return tuple(numeric)

    def _sample(self) -> dict[str, float]:
        return {name: float(np.atleast_1d(value)[0]) for name, value in self.work.items()}

    def _varied(self, here: Mapping[str, Any]) -> Deployment:
        ranks = {name: int(value) for name, value in here.items() if name in RANKS}
        spec = {name: value for name, value in here.items() if name not in RANKS}
        if not here:
            return self.asked.deployment
        accelerator = self.asked.deployment.accelerator
        return self.asked.deployment.varied(accelerator.with_(**spec) if spec else None, **ranks)

    def _where(self, fixed: Mapping[str, int], block: Mapping[str, slice]) -> tuple[slice, ...]:
        return tuple(
            slice(fixed[name], fixed[name] + 1) if name in fixed else block.get(name, slice(None))
            for name in self.listed
        )

    def _blocks(
        self,
        deployment: Deployment,
        fixed: Mapping[str, int],
        arrays: Mapping[str, Any],
        numeric: tuple[str, ...],
        columns: tuple[str, ...],
    ) -> Iterator[Part]:
        """Blocks of at most `BLOCK` points; a layout that differs from point to point is one evaluation for each."""
        axes = [name for name in self.listed if name in arrays]
        sizes = [arrays[name].size for name in axes]
        layouts = _Layouts(Asked(deployment, self.asked.phase))
        for slices in blocks(sizes):
            block = dict(zip(axes, slices, strict=True))
            shape = tuple(each.stop - each.start for each in slices) or (1,)
            values = {}
            for name, array in arrays.items():
                if name in block:
                    place = axes.index(name)
                    own = [-1 if axis == place else 1 for axis in range(len(shape))]
                    values[name] = array[block[name]].reshape(own)
                else:
                    values[name] = array.reshape([1] * len(shape))
            found = layouts.evaluated(values, numeric, shape, columns)
            where = self._where(fixed, block)
            target = tuple(1 if name in fixed else shape[axes.index(name)] for name in self.listed)
            yield where, {name: np.broadcast_to(found[name], shape).reshape(target) for name in columns}


class _Layouts:
    """What layout a deployment takes at each point, and the estimates on them."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.deployment = asked, asked.deployment
        self._resolved: dict[Layout, Resolved] = {}
        try:
            self.settled: Resolved | None = self.deployment.settled()
        except LayoutError:
            self.settled = None

    def evaluated(
        self, values: Mapping[str, Any], numeric: tuple[str, ...], shape: tuple[int, ...], columns: tuple[str, ...]
    ) -> dict[str, Any]:
        """The columns over one block."""
        work = {name: value for name, value in values.items() if name not in numeric}
        maps = self._maps(work)
        found: dict[str, Any] = {}
        for layout, chosen in maps.items():
            estimate = self._estimate(layout, work, {name: values[name] for name in numeric}, shape)
            for name in columns:
                value = str(estimate.layout) if name == "layout" else getattr(estimate, name)
                value = np.nan if value is None else value
                if len(maps) == 1:
                    found[name] = value
                else:
                    own = np.broadcast_to(np.asarray(value), shape)
                    found[name] = np.where(np.broadcast_to(chosen, shape), own, found.get(name, own))
        return found

    def _estimate(
        self, layout: Layout, work: Mapping[str, Any], numbers: Mapping[str, Any], shape: tuple[int, ...]
    ) -> Estimate:
        resolved = self._on(layout)
        if numbers:
            # Arrays in the machine are as wide as the block, so that every point of it is timed at once.
            work = {**work, "batch": np.broadcast_to(work["batch"], shape)}
            sample = resolved.step(self.asked.point({name: float(value.flat[0]) for name, value in work.items()}))
            known = numbers_used(resolved, sample)
            resolved = placed(resolved, {canonical(name, resolved, known): numbers[name] for name in numbers}, sample)
        return Estimate(resolved, self.asked.point(work))

    def _on(self, layout: Layout) -> Resolved:
        if layout not in self._resolved:
            settled = self.settled or self.deployment.with_layout(layout).settled()
            self._resolved[layout] = settled if settled.layout == layout else replace(settled, layout=layout)
        return self._resolved[layout]

    def _maps(self, work: Mapping[str, Any]) -> dict[Layout, Any]:
        """Each layout that is taken somewhere, with where."""
        if self.settled is None:
            return self._chosen(work)
        layout = self.settled.layout
        if layout.pp == 1:
            return {layout: True}
        # A pipeline cuts the vocabulary's tables over as few stages as fit, which depends on the caches.
        context = work["context" if self.asked.phase == "decode" else "prompt"]
        cuts = [replace(layout, vocab=stages) for stages in vocabulary_cuts(layout.pp)]
        least: Any = np.inf
        best: Any = np.zeros(np.broadcast_shapes(work["batch"].shape, context.shape), int)
        for index, cut in enumerate(cuts):
            memory = Memory.of(self.settled.model, self.settled.accelerator, cut, self.settled.quantization)
            missing = np.asarray(memory.shortfall(work["batch"], context))
            best = np.where(missing < least, index, best)
            least = np.minimum(missing, least)
        return {cuts[index]: best == index for index in np.unique(best).tolist()}

    def _chosen(self, work: Mapping[str, Any]) -> dict[Layout, Any]:
        points = np.broadcast_arrays(*work.values())
        shape, maps = points[0].shape, dict[Layout, Any]()
        for place in np.ndindex(shape):
            values = {name: float(array[place]) for name, array in zip(work, points, strict=True)}
            layout = self.deployment.layout_at(self.asked.point(values))
            maps.setdefault(layout, np.zeros(shape, bool))[place] = True
        return maps
