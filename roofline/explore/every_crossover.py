"""Every crossover of a phase from a point: all pairs of resources, traffic and terms, over all that it depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from roofline.estimate.times import RESOURCES
from roofline.estimate.timing import step_terms
from roofline.explore.asking import Asked, scalars
from roofline.explore.crossovers import Crossover, crossover
from roofline.explore.sides import TRAFFIC, sides

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Crossovers:
    """All crossovers asked for, those that exist and those that never happen, in the order of `of` and the pairs."""

    every: tuple[Crossover, ...]

    @property
    def found(self) -> tuple[Crossover, ...]:
        """Those that happen."""
        return tuple(each for each in self.every if each.value is not None)

    @property
    def never(self) -> tuple[Crossover, ...]:
        """Those that do not, each with the reason in `holds_when`."""
        return tuple(each for each in self.every if each.value is None)

    def __iter__(self) -> Iterator[Crossover]:
        return iter(self.every)

    def __len__(self) -> int:
        return len(self.every)

    def __str__(self) -> str:
        return "\n".join(str(each) for each in (*self.found, *self.never))


def crossovers(
    phase: Any, of: str | Iterable[str] | None = None, progress: Progress | None = None, **point: float
) -> Crossovers:
    """Where each quantity of a step overtakes each other one, as each argument of the phase varies from a point.

    The quantities are the resources that take time at the point, the traffic of weights and of caches, and the terms of
    the estimate; a pair is two resources, two kinds of traffic or two terms. `of` names one or several variables,
    hardware numbers included (None: every argument of the phase). The others stay at the point, and so do the slices in
    which prompts pass a pipeline.
    """
    asked = Asked.of(phase)
    values = scalars(asked.complete(point))
    asked = asked.sliced_as_at(values)
    resolved = asked.deployment.settled()
    variables = asked.axes if of is None else (of,) if isinstance(of, str) else tuple(of)
    step = resolved.step(asked.point(values))
    taking = [name for name in (*RESOURCES, *TRAFFIC) if float(sides(resolved, step, name)(resolved, step)) > 0]
    resources = [name for name in taking if name in RESOURCES]
    traffic = [name for name in taking if name in TRAFFIC]
    # What an overlap saves takes no time.
    terms = [name for name in step_terms(step, resolved.machine, resolved.rates) if name != "overlap"]
    pairs = [pair for group in (resources, traffic, terms) for pair in combinations(group, 2)]
    every = []
    for variable in variables:
        fixed = {name: value for name, value in values.items() if name != variable}
        for a, b in pairs:
            every.append(crossover(asked.method, a, b, of=variable, **fixed))
            if progress is not None:
                progress(len(every), len(variables) * len(pairs))
    return Crossovers(tuple(every))
