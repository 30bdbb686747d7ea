"""What a device hour costs its owner, and where the joules of a step go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roofline.equations.cost import capital_recovery_factor, hourly_cost
from roofline.equations.energy import device_energy, streaming_energy
from roofline.errors import InvalidInput
from roofline.estimate.door import checked
from roofline.estimate.estimate import Estimate
from roofline.estimate.work import Operation
from roofline.units import counted_in


@dataclass(frozen=True)
class Ownership:
    """Owning devices instead of renting them; nothing of it has a default, for nobody publishes it.

    `capital` of a device with its share of host, network and building [USD], paid back over `years` at a yearly
    `interest` [1]; `pue` facility power over device power [1]; `usd_per_kwh` of electricity [USD/kWh]; `utilisation`,
    the share of the hours that is sold [1]. `other` costs per hour sold [USD/h]. Raises `InvalidInput`.

    >>> own = Ownership(capital=30000, years=4, interest=0, pue=1.3, usd_per_kwh=0.08, utilisation=0.8)
    >>> round(own.usd_per_hour(power=1000), 4)
    1.2002
    """

    capital: float
    years: float
    interest: float
    pue: float
    usd_per_kwh: float
    utilisation: float
    other: float = 0.0

    def __post_init__(self) -> None:
        limits = {
            "capital": (0, 1e12),
            "years": (1e-3, 1e3),
            "interest": (0, 10),
            "pue": (1, 100),
            "usd_per_kwh": (0, 1e3),
            "utilisation": (1e-6, 1),
            "other": (0, 1e9),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not isinstance(value, int | float):
                raise InvalidInput(name, given=value, expected=f"a number from {least:g} to {most:g}")
            object.__setattr__(self, name, checked(name, value, least=least, most=most))

    def usd_per_hour(self, power: float | str) -> float:
        """The cost of a device hour that is sold [USD/h], for `Deployment(price=…)`, at a mean `power` [W].

        The power is a number, or text with a unit.
        """
        recovery: Any = 1 / self.years
        if self.interest:
            recovery = capital_recovery_factor(self.interest, self.years)
        drawn = float(checked("power", counted_in(power, "W", "power"), least=0, most=1e9))
        return float(
            hourly_cost(self.capital, recovery, drawn, self.pue, self.usd_per_kwh, self.other, self.utilisation)  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Energies:
    """What a device spends per FLOP [J], per bit read and per bit sent [J/bit], and when idle [W]."""

    per_flop: float
    per_bit_read: float
    per_bit_sent: float
    idle_power: float

    def __post_init__(self) -> None:
        for name in ("per_flop", "per_bit_read", "per_bit_sent", "idle_power"):
            object.__setattr__(self, name, checked(name, getattr(self, name), least=0))


def component_energy(estimate: Estimate, energies: Energies) -> Mapping[str, Any]:
    """Joules of one phase over all devices, by what they are spent on; a sum, for energies do not overlap [J].

    Every rank's work is counted, of experts as much as the fullest rank has; of a collective, each rank's buffer once.
    Where halves of a batch may take turns, what the batch spends at once.
    """
    resolved, step = estimate.resolved, estimate.resolved.step(estimate.point)
    ranks = resolved.layout.expert_group * resolved.replicas * step.micro_batches
    flops: Any = 0.0
    read: Any = 0.0
    sent: Any = sum(count for _, count in step.hops) * step.hop_size
    for item, count in zip(step.items, step.path, strict=True):
        if isinstance(item, Operation):
            flops = flops + item.flops * count
            read = read + (item.weights + item.cache + item.activations) * count
        elif item.ranks > 1:
            sent = sent + item.size * count
    return {
        "arithmetic": flops * ranks * energies.per_flop,
        "memory": streaming_energy(read * ranks, energies.per_bit_read),
        "link": streaming_energy(sent * ranks, energies.per_bit_sent),
        "idle": device_energy(energies.idle_power, resolved.devices, estimate.seconds),
    }
