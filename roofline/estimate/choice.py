"""Which layout a deployment takes at a point: the one given, or the fastest that fits among those left open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from roofline.describe.formats import Quantization
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.model import ModelShape
from roofline.errors import DoesNotFit, LayoutError
from roofline.estimate.layout import Layout, candidate_layouts, checked_layout
from roofline.estimate.network import reach, route
from roofline.estimate.placement import Placement
from roofline.estimate.resolved import Point
from roofline.numeric import ARRAY, SCALAR

_REMEMBERED = 4096
_LENGTHS = 9
"""Pipelines of one width that are listed at most [1]."""
_BESIDE = 5
"""Pipelines of one width that are tried beside one at most [1]."""


class Choice:
    """The layouts of a model on `devices` devices that agree with the ranks given, and the choice among them.

    `seconds` times a layout at a point. Raises `LayoutError` where no layout can have the ranks given.
    """

    def __init__(
        self,
        model: ModelShape,
        accelerator: HbmAccelerator | SramAccelerator,
        quantization: Quantization,
        devices: int,
        given: Mapping[str, int | None],
        seconds: Callable[[Layout, Point], Any],
    ) -> None:
        self.model, self.accelerator, self.quantization = model, accelerator, quantization
        self.devices, self.given, self.seconds = devices, dict(given), seconds
        self._check()
        joined = int(min(devices, reach(accelerator.numbers().wires)))
        self._longest = tuple(candidate_layouts(model, joined, **self.given))
        if not self._longest:
            ranks = ", ".join(f"{name}={value}" for name, value in self.given.items() if value is not None)
            expected = f"ranks that {devices} devices and the heads of {model.name} allow"
            raise LayoutError("layout", given=ranks, expected=expected)
        self.settled = len(self._longest) == 1 and (self.given["pp"] is not None or self._longest[0].pp == 1)
        self._chosen: dict[tuple[object, ...], Layout] = {}

    def at(self, point: Point, *, must_fit: bool = True) -> Layout:
        """The layout given, or the fastest at the largest batch and context of a point among those that fit.

        Where none fits: `DoesNotFit` for a scalar that must, else the one that misses least.
        """
        key = (must_fit, *point.corner())
        if key not in self._chosen:
            if len(self._chosen) >= _REMEMBERED:
                self._chosen.clear()
            self._chosen[key] = self._choose(point, must_fit=must_fit)
        return self._chosen[key]

    def fastest(self, batches: Sequence[float], context: float, count: int) -> list[list[Layout]]:
        """For each batch so many of the layouts that hold it at a context, the fastest in decode first."""
        points = (Point("decode", batch, context, 0) for batch in batches)
        fitting = [self._ends(self.placement(point)) for point in points]
        at = Point("decode", np.array(batches), context, 0)
        times = {layout: self.seconds(layout, at) for layout in dict.fromkeys(chain.from_iterable(fitting))}
        return [
            sorted(held, key=lambda layout: (times[layout][index], layout.devices))[:count]
            for index, held in enumerate(fitting)
        ]

    def longest_pipeline(self, point: Point) -> Layout | None:
        """The layout with the most stages, if it holds a point: it sends the least, and waits longest for a token."""
        layout, missing = self.placement(point).cut(max(self._longest, key=lambda longest: longest.pp))
        return None if missing else layout

    def every(self, point: Point) -> list[Layout]:
        """Layouts of every width that hold a point: the shortest pipeline, the longest, and some between them."""
        placement = self.placement(point)
        return [layout for longest in self._longest for layout in self._spread(longest, placement, _LENGTHS)]

    def as_wide(self, width: Layout, point: Point) -> list[Layout]:
        """Layouts of one width that hold a point: the shortest pipeline, the longest, and a few between them."""
        alike = (each for each in self._longest if replace(each, pp=1) == replace(width, pp=1, vocab=1))
        return [layout for longest in alike for layout in self._spread(longest, self.placement(point), _BESIDE)]

    def _ends(self, placement: Placement) -> list[Layout]:
        """The shortest and the longest pipeline of every width, those that fit."""
        return [layout for longest in self._longest for layout in self._spread(longest, placement, 2)]

    def _spread(self, longest: Layout, placement: Placement, count: int) -> list[Layout]:
        """Of one width the shortest pipeline that fits, the longest if that fits too, and some between them, so many
        at most; none where no length fits.
        """
        if self.given["pp"] or longest.pp == 1:
            layout, missing = placement.cut(longest)
            return [] if missing else [layout]
        shortest = placement.shortest(longest)
        if shortest is None:
            return []
        lengths = {round(each) for each in np.geomspace(shortest.pp, longest.pp, count)} - {shortest.pp}
        cuts = (placement.cut(replace(longest, pp=length)) for length in sorted(lengths))
        return [shortest, *(layout for layout, missing in cuts if not missing)]

    def placement(self, point: Point) -> Placement:
        """What holds the model at the largest batch and context of a point."""
        corner = point.largest()
        arguments = (self.model, self.accelerator, self.quantization)
        return Placement(*arguments, batch=corner.batch, context=corner.context)

    def _check(self) -> None:
        """Refuse ranks that no layout of the devices could have; open ones are taken as 1 for now."""
        ranks = {name: value or 1 for name, value in self.given.items()}
        if None in (self.given["tp"], self.given["dp"]) and self.model.parameters().experts:
            ranks["ep"] = 1  # an open tp or dp may still make room for the expert groups asked for
        asked = checked_layout(self.model, self.devices, **ranks)
        if asked.devices > 1:
            route(asked.devices, self.accelerator.numbers().wires, self.accelerator.name)

    def _choose(self, point: Point, *, must_fit: bool) -> Layout:
        placement, corner = self.placement(point), point.largest()
        fitting = self._ends(placement)
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            return min(fitting, key=lambda layout: (self.seconds(layout, corner), layout.devices))
        if point.kind == ARRAY and (partial := self._fastest_in_part(point)) is not None:
            return partial
        cuts = (placement.cut(longest) for longest in self._longest)
        least = min(cuts, key=lambda cut: (cut[1], cut[0].devices))[0]
        if must_fit and point.kind == SCALAR:
            raise self._does_not_fit(least, placement)
        return least

    def _fastest_in_part(self, point: Point) -> Layout | None:
        """Of layouts that hold the smallest batch and context of arrays whose largest none holds, the fastest there."""
        corner = replace(point, batch=float(np.min(point.batch)), context=float(np.min(point.context)))
        corner = replace(corner, cached=min(float(np.min(point.cached)), corner.context - 1))
        arguments = (self.model, self.accelerator, self.quantization)
        placement = Placement(*arguments, batch=corner.batch, context=corner.context)
        fitting = self._ends(placement)
        return min(fitting, key=lambda layout: (self.seconds(layout, corner), layout.devices), default=None)

    def _does_not_fit(self, layout: Layout, placement: Placement) -> DoesNotFit:
        missing, count = placement.missing(layout), placement.smallest_count()
        would = f"{count:,} devices would do" if count else "no replica of any size would do"
        if count and count <= self.devices:
            would += " in another layout"
        where = f"{self.devices} × {self.accelerator.name}" if self.devices > 1 else self.accelerator.name
        load = f"{placement.batch:,.10g} × {placement.context:,.10g} tokens"
        return DoesNotFit(
            f"{self.model.name} in {self.quantization.label} with {load} does not fit on {where} ({layout}): "
            f"{missing:,.0f} bytes short; {would}",
            shortfall_bytes=missing,
            min_devices=count,
        )
