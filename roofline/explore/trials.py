"""Ways to serve a traffic, tried one after the other: each is judged, and no more devices are taken than do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from roofline.describe.workload import Slo
from roofline.errors import DoesNotFit
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import PrefillDecode
from roofline.estimate.service import Service
from roofline.explore.grid import Progress
from roofline.explore.planned import TIMES, Option, judged

Way = Callable[..., tuple[tuple[str, ...], Deployment | PrefillDecode, Service]]
"""Serves the traffic one way, under the limits of `serve`: what its parts are called, the system and the service."""


@dataclass(frozen=True)
class Kind:
    """One kind of replica, or of two pools, of some parts on any number of devices in steps of `unit`.

    It is tried on `counts` of them first, in order.
    """

    parts: tuple[str, ...]
    counts: tuple[int, ...]
    unit: int
    way: Callable[[int], Way]


@dataclass
class Trials:
    """What came of the ways tried: options judged by an objective and by what is to be least, each kept once.

    `limits` are those of `serve`. `progress` is told how many ways are done, and of how many that are known.
    """

    slo: Slo
    minimize: str
    limits: Mapping[str, float | None]
    progress: Progress | None = None
    tried: dict[tuple[object, ...], Option] = field(default_factory=dict)
    done: int = 0
    known: int = 0

    def of_kinds(self, kinds: Sequence[Kind]) -> None:
        """Each kind on its counts; then, unless a time is to be least, on the fewest between them that do."""
        self.known += sum(len(kind.counts) for kind in kinds)
        found = [{count: self._judged(kind.way(count)) for count in kind.counts} for kind in kinds]
        if self.minimize in TIMES:
            return
        for kind, options in zip(kinds, found, strict=True):
            self._narrow(kind, options)

    def of_ways(self, ways: Sequence[Way]) -> None:
        """Each of some ways."""
        self.known = self.done + len(ways)
        for way in ways:
            self._judged(way)

    def enough(self, name: str, most: int) -> int:
        """The fewest devices of a part that were found to keep to the objective; `most` if none were."""
        meeting = (each.devices for each in self.tried.values() if each.parts == (name,) and each.meets)
        return min(meeting, default=most)

    def _judged(self, way: Way) -> Option | None:
        """The option that a way is; None where the traffic does not fit, though one sequence may."""
        option = None
        try:
            parts, system, service = way(**self.limits)
            option = judged(parts, system, service, self.slo, self.minimize)
            self.tried.setdefault((option.parts, option.devices, option.layout), option)
        except DoesNotFit:
            pass
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, max(self.known, self.done))
        return option

    def _least(self, parts: tuple[str, ...]) -> float:
        """The least value of some parts where the objective is kept to; without end if none has one."""
        options = (each for each in self.tried.values() if each.parts == parts and each.meets)
        return min((each.value for each in options if each.value is not None), default=math.inf)

    def _narrow(self, kind: Kind, found: Mapping[int, Option | None]) -> None:
        """Looks for the fewest devices of a kind that keep to the objective, by halves.

        Only while they may have the least value of their parts: on fewer devices it falls no further than these do.
        """
        meeting = [count for count, option in found.items() if option is not None and option.meets]
        if not meeting or meeting[0] == kind.counts[0]:
            return
        many, option = meeting[0], found[meeting[0]]
        few = max(count for count in found if count < many)
        while many - few > kind.unit and option is not None and option.value is not None:
            if option.value * (few + kind.unit) > self._least(kind.parts) * many:
                return
            middle = few + (many - few) // kind.unit // 2 * kind.unit
            tried = self._judged(kind.way(middle))
            if tried is not None and tried.meets:
                many, option = middle, tried
            else:
                few = middle
