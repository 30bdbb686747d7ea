"""Seconds by resource: what needs them, to what they are owed, and which resource binds."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from roofline.errors import InvalidInput
from roofline.numeric import ARRAY, SCALAR, SYMBOL, Num, kind

Resource = Literal["compute", "memory", "feed", "network", "overhead", "spill"]
RESOURCES: tuple[Resource, ...] = ("compute", "memory", "feed", "network", "overhead", "spill")


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of an operation or of a sum of them, by resource [s].

    `compute`, `memory` with `spill`, and `feed` overlap within an operation; `memory` is the nearest tier, `spill` the
    further ones, read in turn. `total` is what passes; `attributed` says which resource the seconds of `total` are owed
    to, and sums to it.
    """

    compute: Num
    memory: Num
    feed: Num
    network: Num
    overhead: Num
    total: Num
    attributed: Mapping[Resource, Num]
    spill: Num = 0

    @property
    def bound(self) -> Any:
        """The resource with the most attributed seconds; an array of names where the seconds are arrays."""
        return largest(self.attributed)

    def plus(self, other: Times) -> Times:
        """Both in turn."""
        return Times(
            self.compute + other.compute,
            self.memory + other.memory,
            self.feed + other.feed,
            self.network + other.network,
            self.overhead + other.overhead,
            self.total + other.total,
            {name: self.attributed[name] + other.attributed[name] for name in RESOURCES},
            self.spill + other.spill,
        )

    def times(self, count: Num) -> Times:
        """The same `count` times in turn."""
        return Times(
            self.compute * count,
            self.memory * count,
            self.feed * count,
            self.network * count,
            self.overhead * count,
            self.total * count,
            {name: seconds * count for name, seconds in self.attributed.items()},
            self.spill * count,
        )


NOTHING = Times(0, 0, 0, 0, 0, 0, dict.fromkeys(RESOURCES, 0))


def winners(compute: Any, memory: Any, feed: Any) -> dict[Resource, Num]:
    """The largest of three overlapping times, under the name of the resource that needs it; ties go to the first."""
    kinds = {kind(value) for value in (compute, memory, feed)}
    if kinds == {SCALAR}:
        longest = max(compute, memory, feed)
        by_compute = compute == longest
        by_memory = not by_compute and memory == longest
        return {
            "compute": longest if by_compute else 0,
            "memory": longest if by_memory else 0,
            "feed": longest if not by_compute and not by_memory else 0,
        }
    if SYMBOL in kinds:
        sympy = sys.modules["sympy"]
        first = sympy.And(compute >= memory, compute >= feed)
        second = sympy.And(memory > compute, memory >= feed)
        return {
            "compute": sympy.Piecewise((compute, first), (0, True)),
            "memory": sympy.Piecewise((memory, second), (0, True)),
            "feed": sympy.Piecewise((feed, sympy.Not(sympy.Or(first, second))), (0, True)),
        }
    first = (compute >= memory) & (compute >= feed)
    second = ~first & (memory >= feed)
    return {"compute": compute * first, "memory": memory * second, "feed": feed * (~first & ~second)}


def largest(seconds: Mapping[Resource, Any]) -> Any:
    """The name with the most seconds; an array of names for arrays; ties go to the first."""
    kinds = {kind(value) for value in seconds.values()}
    names = list(seconds)
    if SYMBOL in kinds:
        expected = "numbers: which resource binds depends on the symbols; substitute them, or ask for a crossover"
        raise InvalidInput("bound", given="symbols", expected=expected)
    if ARRAY in kinds:
        stacked = np.stack(np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in seconds.values())))
        return np.array(names)[np.argmax(stacked, axis=0)]
    return max(names, key=lambda name: seconds[name])


def below(less: Any, more: Any) -> Any:
    """One where the first is less, zero elsewhere; of symbols a step function: conditions are too slow to nest."""
    if SYMBOL in (kind(less), kind(more)):
        return sys.modules["sympy"].Heaviside(more - less, 0)
    return (less < more) * 1
