"""The wires between two pools of devices: bandwidth per device and direction, and the latency of one message."""

from __future__ import annotations

from dataclasses import dataclass

from roofline.describe.catalog import accelerator
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.errors import InvalidInput, MissingNumber, UnknownName
from roofline.units import format_quantity, quantity_in

_FASTEST = 1e24
"""Bandwidth above which no wire can be meant [B/s]."""
_SLOWEST = 1e6
"""Latency above which no wire can be meant [s]."""


@dataclass(frozen=True)
class Link:
    """One device's way to the other pool: `bandwidth` per direction [B/s], `latency` of a message one way [s].

    Text with a unit, or numbers in SI: `Link("400 Gbit/s", "2 us")` is `Link(5e10, 2e-6)`. Raises `InvalidInput`, for
    text without a unit as well.
    """

    bandwidth: float | str
    latency: float | str
    source: str = "given"

    def __post_init__(self) -> None:
        for name, unit, least, most in (("bandwidth", "B/s", 1.0, _FASTEST), ("latency", "s", 0.0, _SLOWEST)):
            object.__setattr__(self, name, _quantity(f"link {name}", getattr(self, name), unit, least, most))

    @property
    def rate(self) -> float:
        """Bandwidth as a number [B/s]."""
        return float(self.bandwidth)

    @property
    def delay(self) -> float:
        """Latency as a number [s]."""
        return float(self.latency)

    @classmethod
    def of(cls, text: Link | str) -> Link:
        """A link as it is, as `"400 Gbit/s, 2 us"`, or as the cited link of a part, `"groq-lpu-v1.node"`.

        `MissingNumber` where the part's spec has no latency of that link.
        """
        if isinstance(text, Link):
            return text
        expected = 'a Link, "400 Gbit/s, 2 us", or a cited link such as "groq-lpu-v1.node"'
        if not isinstance(text, str):
            raise InvalidInput("link", given=text, expected=expected)
        if "," in text:
            bandwidth, _, latency = text.partition(",")
            return cls(bandwidth.strip(), latency.strip())
        part, dot, tier = text.strip().rpartition(".")
        if not dot or " " in text.strip():
            raise InvalidInput("link", given=text, expected=expected)
        return cls.cited(accelerator(part), tier)

    @classmethod
    def cited(cls, part: HbmAccelerator | SramAccelerator, tier: str) -> Link:
        """A link of a part's spec: the latency is that of one hop, times the hops across."""
        if tier not in part.link:
            raise UnknownName(f"link of {part.name}", given=tier, known=part.link)
        wire = part.link[tier]
        if wire.latency is None:
            raise MissingNumber(f"{part.name}: the latency of {tier} is not published; give Link(bandwidth=, latency=)")
        hops = wire.hops.value if wire.hops else 1.0
        return cls(wire.bandwidth.value, wire.latency.value * hops, f"{part.name}, {tier}")

    def __str__(self) -> str:
        return f"{format_quantity(self.rate, 'B/s')}, {format_quantity(self.delay, 's')}"


def _quantity(what: str, value: float | str, unit: str, least: float, most: float) -> float:
    expected = f"a quantity in {unit} from {least:g} to {most:g}"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidInput(what, given=value, expected=expected)
    number = quantity_in(value, unit, what)
    if not least <= number <= most:
        raise InvalidInput(what, given=value, expected=expected)
    return number
