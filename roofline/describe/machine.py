"""What the equations see of a part: plain numbers in SI units, arrays or symbols as well as floats.

A descriptor never holds arrays; a `Machine` may. To sweep a hardware number, `dataclasses.replace` it; to get a closed
form, put a symbol there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from roofline.numeric import Num


@dataclass(frozen=True, slots=True)
class Tier:
    """One memory tier of a device: `capacity` and `usable` [B], `bandwidth` [B/s]."""

    name: str
    capacity: Num
    usable: Num
    bandwidth: Num


@dataclass(frozen=True, slots=True)
class Wire:
    """One way to other devices: `bandwidth` per direction [B/s], `latency` per hop [s], `hops` across its domain [1].

    `domain` is how many devices it joins, None where it joins any number; `topology` decides which collectives it runs.
    `within` is the share of the latency that reaching so many devices takes [1], the fewest first.
    """

    name: str
    bandwidth: Num
    latency: Num
    hops: float
    domain: int | None
    topology: str
    within: tuple[tuple[int, float], ...] = ()

    def crossing(self, devices: int) -> Num:
        """The latency of reaching any of so many devices [s]."""
        share = next((share for size, share in self.within if devices <= size), 1.0)
        return self.latency * self.hops if share == 1 else self.latency * (self.hops * share)

    @property
    def nearest(self) -> Num:
        """The least latency of anything that crosses it [s]."""
        return self.latency * self.within[0][1] if self.within else self.latency


@dataclass(frozen=True, slots=True)
class Machine:
    """One device in numbers: `peak` by format [FLOP/s], memory `tiers`, `wires`, operand `feed` [B/s] or None.

    `cache` is what a device keeps on the chip in front of its first tier [B]; 0 where there is none or none is cited.
    """

    name: str
    peak: Mapping[str, Num]
    tiers: tuple[Tier, ...]
    feed: Num | None
    wires: tuple[Wire, ...]
    cache: Num = 0

    @property
    def memory(self) -> Tier:
        """The first tier, where weights and caches live before any other."""
        return self.tiers[0]

    @property
    def streaming(self) -> Num:
        """What all tiers deliver where they are read at once [B/s]."""
        return sum((tier.bandwidth for tier in self.tiers[1:]), self.tiers[0].bandwidth)

    @property
    def beyond(self) -> tuple[tuple[Num, Num], ...]:
        """For every further tier: what a device holds nearer than it [B], and what it and all beyond deliver [B/s]."""
        found, held = [], self.cache
        for place, tier in enumerate(self.tiers[:-1], 1):
            held = held + tier.capacity
            rates = [further.bandwidth for further in self.tiers[place:]]
            found.append((held, sum(rates[1:], rates[0])))
        return tuple(found)
