"""What facts of one part must have to do with each other: products, sums, bounds. `cross_checks` names them.

A relation takes a part and a tolerance and yields the comparisons that the part's facts allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Literal

from roofline.describe.formats import FORMATS
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.provenance import Cited, read_printed, rounding_of
from roofline.errors import MissingNumber, RooflineError, UnknownName
from roofline.units import format_quantity

Part = HbmAccelerator | SramAccelerator


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: which facts it is made of, and its value in `unit`."""

    text: str
    value: float
    unit: str

    def __str__(self) -> str:
        amount = format_quantity(self.value, self.unit) if self.unit != "1" else f"{self.value:.4g}"
        return f"{self.text} = {amount}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides that must agree: `left` equals, is at most or is at least `right`, within `tolerance`."""

    left: Side
    right: Side
    tolerance: float
    relation: Literal["equals", "at most", "at least"] = "equals"

    @property
    def difference(self) -> float:
        """Left over right, less one."""
        return self.left.value / self.right.value - 1

    @property
    def holds(self) -> bool:
        """Whether the sides agree."""
        over = -self.difference if self.relation == "at least" else self.difference
        return (abs(over) if self.relation == "equals" else over) <= self.tolerance + 1e-9


Relation = Callable[[Part, float], Iterator[Comparison]]


def number_at(part: Part, field: str) -> Cited | None:
    """The cited number of a field or fact; None where the part has none."""
    table, _, name = field.partition(".")
    if table == "facts":
        return part.facts.get(name)
    try:
        return part.cite(field)
    except (MissingNumber, UnknownName):
        return None


def has_number(part: Part, need: str) -> bool:
    """Whether a part has the number, or any field that matches where `need` is a pattern."""
    if "*" in need:
        return any(fnmatchcase(field, need) for field in part.cited_fields())
    return number_at(part, need) is not None


def side(part: Part, field: str) -> Side:
    """A cited field as one side of a comparison."""
    number = part.cite(field)
    return Side(field, number.value, number.unit or "1")


def product_of(part: Part, *factors: str | float, unit: str) -> Side:
    """The product of cited fields and plain factors as one side, in `unit`."""
    value = 1.0
    for factor in factors:
        value *= part.cite(factor).value if isinstance(factor, str) else factor
    return Side(" × ".join(f if isinstance(f, str) else f"{f:g}" for f in factors), value, unit)


def product_is(field: str, *factors: str | float) -> Relation:
    """The product of some facts is a field."""

    def compare(part: Part, tolerance: float) -> Iterator[Comparison]:
        right = side(part, field)
        yield Comparison(product_of(part, *factors, unit=right.unit), right, tolerance)

    return compare


def values_are_as_printed(part: Part, tolerance: float) -> Iterator[Comparison]:
    """What a document prints of a number, read as the file says, is its value; words that are no figure say nothing."""
    for field in part.cited_fields():
        number = part.cite(field)
        if number.as_printed is None:
            continue
        with suppress(RooflineError):
            read = read_printed(number.as_printed, number.reading)
            if read.dimension == number.quantity.dimension:
                words = f'"{number.as_printed}"' + (f", {number.reading}" if number.reading else "")
                left = side(part, field)
                yield Comparison(left, Side(words, read.value, left.unit), tolerance)


def names_between(part: Part, prefix: str = "", suffix: str = "") -> list[str]:
    """What stands between prefix and suffix in the names of facts."""
    names = [name for name in part.facts if name.startswith(prefix) and name.endswith(suffix)]
    return [name[len(prefix) : len(name) - len(suffix)] for name in names]


def units_make_peaks(part: Part, tolerance: float) -> Iterator[Comparison]:
    """Compute units times FLOP per cycle times clock make the peak of each format."""
    for name in names_between(part, "flops_per_cycle_"):
        if name in part.peak:
            units, per_cycle = "facts.compute_units", f"facts.flops_per_cycle_{name}"
            left = product_of(part, units, "facts.clock", per_cycle, unit="FLOP/s")
            yield Comparison(left, side(part, f"peak.{name}"), tolerance)


def sparse_is_twice_dense(part: Part, tolerance: float) -> Iterator[Comparison]:
    """A dense peak is at most half of the sparse one, or what a note states."""
    for name in names_between(part, suffix="_sparse"):
        if name in part.peak:
            sparse = part.facts[f"{name}_sparse"]
            share = 1.0 if sparse.note else 0.5  # a note states another ratio than two
            right = Side(f"{share:g} × facts.{name}_sparse", share * sparse.value, "FLOP/s")
            yield Comparison(side(part, f"peak.{name}"), right, tolerance, "at most")


def claims_exceed(part: Part, tolerance: float) -> Iterator[Comparison]:
    """A marketed figure is at least the one taken: a lower claim would be a slip."""
    for name in names_between(part, "claimed_"):
        field = "memory.bandwidth" if name == "memory_bandwidth" else f"peak.{name}"
        claim = Side(
            f"facts.claimed_{name}", part.facts[f"claimed_{name}"].value, "B/s" if "memory" in field else "FLOP/s"
        )
        if number_at(part, field):
            yield Comparison(claim, side(part, field), tolerance, "at least")


_GROUPED = ("memory_capacity", "memory_bandwidth", "link_bandwidth", *FORMATS, "fp4")


def systems_are_sums(part: Part, tolerance: float) -> Iterator[Comparison]:
    """Devices times what one device has is what a node or rack prints."""
    sizes = {group: f"facts.{group}_devices" for group in ("node", "rack")} | {"domain": "link.domain"}
    for group, size in sizes.items():
        for name in _GROUPED:
            fact = f"{group}_{name}"
            field = field_of(name)
            if fact in part.facts and has_number(part, size) and has_number(part, field):
                whole = part.facts[fact]
                one = side(part, field)
                allowed = 0.01 if name == "memory_capacity" else tolerance
                left = Side(f"facts.{fact}", whole.value, one.unit)
                yield Comparison(left, product_of(part, size, field, unit=one.unit), allowed + rounding_of(whole))


def second_printings_agree(part: Part, tolerance: float) -> Iterator[Comparison]:
    """What another page prints of the same thing: facts `second_<format>`, `second_memory_bandwidth` and the like."""
    for name in names_between(part, "second_"):
        field = field_of(name)
        if has_number(part, field):
            right = side(part, field)
            yield Comparison(
                Side(f"facts.second_{name}", part.facts[f"second_{name}"].value, right.unit), right, tolerance
            )


def field_of(name: str) -> str:
    """The part's field that a fact's name means: `"memory_capacity"` or a number format."""
    return name.replace("_", ".") if name.startswith(("memory_", "link_")) else f"peak.{name}"


def measured_below_printed(part: Part, tolerance: float) -> Iterator[Comparison]:
    """What was measured is below what is printed, and above a fifth of it."""
    for name in names_between(part, "measured_"):
        field = "memory.bandwidth" if name.startswith("memory_") else f"peak.{name.removeprefix('matmul_')}"
        field = {"link": "link.bandwidth", "peer": "facts.peer_bandwidth"}.get(name, field)
        if (printed := number_at(part, field)) is not None:
            unit = printed.unit or "B/s"
            measured = Side(f"facts.measured_{name}", part.facts[f"measured_{name}"].value, unit)
            yield Comparison(measured, Side(field, printed.value, unit), tolerance, "at most")
            yield Comparison(measured, Side(f"a fifth of {field}", 0.2 * printed.value, unit), tolerance, "at least")


def feed_is_stated(part: Part, tolerance: float) -> Iterator[Comparison]:
    """Without a feed of its own the roof is the memory, so what feeds the units must not be slower than it."""
    roof = part.cite("feed") if has_number(part, "feed") else part.cite("memory.bandwidth")
    named = "feed" if has_number(part, "feed") else "memory.bandwidth, the only roof where there is no feed"
    right = product_of(part, "facts.feed_bytes_per_cycle", "facts.clock", unit="B/s")
    yield Comparison(Side(named, roof.value, "B/s"), right, tolerance)


def capacity_is_binary(part: Part, tolerance: float) -> Iterator[Comparison]:
    """DRAM comes in whole GiB."""
    for name, tier in part.memory.items() if part.kind == "hbm" else ():
        whole = max(1, round(tier.capacity.value / 2**30)) * 2.0**30
        right = Side("whole GiB nearest to it", whole, "B")
        yield Comparison(side(part, f"memory.{name}.capacity"), right, tolerance)


def usable_is_most(part: Part, tolerance: float) -> Iterator[Comparison]:
    """What the driver reports is at most the capacity, and most of it."""
    for name, tier in part.memory.items():
        if tier.usable is not None:
            usable, capacity = side(part, f"memory.{name}.usable"), side(part, f"memory.{name}.capacity")
            yield Comparison(usable, capacity, 0, "at most")
            yield Comparison(usable, capacity, tolerance, "at least")


_WIDEST_FIRST = (("fp32", "tf32", "bf16", "fp8", "mxfp6", "nvfp4"), ("bf16", "mxfp8", "mxfp4"), ("int8", "int4"))


def narrow_is_fast(part: Part, tolerance: float) -> Iterator[Comparison]:
    """A narrower format is at least as fast as a wider one of its kind."""
    for order in _WIDEST_FIRST:
        known = [name for name in order if name in part.peak]
        for wide, narrow in pairwise(known):
            yield Comparison(side(part, f"peak.{wide}"), side(part, f"peak.{narrow}"), tolerance, "at most")


def nearer_is_faster(part: Part, tolerance: float) -> Iterator[Comparison]:
    """Memory tiers before links, each in its order: what is farther away is never faster."""
    fields = [f"{kind}.{name}.bandwidth" for kind in ("memory", "link") for name in getattr(part, kind)]
    for near, far in pairwise(fields):
        yield Comparison(side(part, far), side(part, near), tolerance, "at most")


def mesh_is_its_peers(part: Part, tolerance: float) -> Iterator[Comparison]:
    """In a full mesh, the rate to one peer times the peers is the rate of the device."""
    first = next(iter(part.link.values()))
    if first.topology == "all_to_all" and first.domain is not None:
        left = product_of(part, "facts.peer_bandwidth", first.domain.value - 1, unit="B/s")
        yield Comparison(left, side(part, "link.bandwidth"), tolerance)


def within(text: str, value: float, unit: str, low: float, high: float) -> Iterator[Comparison]:
    """A value lies in a range that built parts span."""
    left = Side(text, value, unit)
    yield Comparison(left, Side("the least of any built part", low, unit), 0, "at least")
    yield Comparison(left, Side("the most of any built part", high, unit), 0, "at most")


def ratio_between(
    unit: str, over: str, under: str | None = None, *, hbm: tuple[float, float], sram: tuple[float, float]
) -> Relation:
    """`over / under` inside the range of the part's kind; `"peak"` stands for the fastest format."""

    def value(part: Part, field: str) -> float:
        return max(number.value for number in part.peak.values()) if field == "peak" else part.cite(field).value

    def compare(part: Part, tolerance: float) -> Iterator[Comparison]:
        low, high = hbm if part.kind == "hbm" else sram
        text = f"{over} / {under}" if under else over
        ratio = value(part, over) / (value(part, under) if under else 1.0)
        yield from within(text, ratio, unit, low, high)

    return compare


def every_between(pattern: str, unit: str, low: float, high: float) -> Relation:
    """Every field that matches a pattern lies in a range."""

    def compare(part: Part, tolerance: float) -> Iterator[Comparison]:
        for field in part.cited_fields():
            if fnmatchcase(field, pattern):
                yield from within(field, part.cite(field).value, unit, low, high)

    return compare


def at_most(low: str, high: str) -> Relation:
    """One field is at most another."""

    def compare(part: Part, tolerance: float) -> Iterator[Comparison]:
        bound, unit = part.cite(high), part.cite(low).unit
        yield Comparison(side(part, low), Side(high, bound.value, unit), tolerance, "at most")

    return compare


_ON_CHIP = ("l2_capacity", "sram_capacity", "vmem_capacity", "last_level_cache_capacity")


def on_chip_between(low: float, high: float) -> Relation:
    """Every on-chip memory among the facts lies in a range."""

    def compare(part: Part, tolerance: float) -> Iterator[Comparison]:
        for name in _ON_CHIP:
            if name in part.facts:
                yield from within(f"facts.{name}", part.facts[name].value, "B", low, high)

    return compare
