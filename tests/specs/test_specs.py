"""Every spec file of the catalogue: its figures re-read, its facts agree with each other and with physics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from roofline.describe.catalog import accelerator, accelerators, part_class, source_of, sources
from roofline.describe.formats import FORMATS
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.provenance import Cited, read_printed
from roofline.units import parse_unit

Part = HbmAccelerator | SramAccelerator

every_part = pytest.mark.parametrize("name", accelerators())

# Names that data sets of measurements use: renaming one of them breaks their users.
STABLE_NAMES = Path(__file__).with_name("names_in_use.txt").read_text(encoding="utf-8").split()

# A unit that a fact's name promises, by its ending.
FACT_UNITS = {
    "_bandwidth": "B/s",
    "_capacity": "B",
    "_power": "W",
    "_latency": "s",
    "_price": "USD",
    "clock": "Hz",
    "links": "1",
    "compute_units": "1",
    "stacks": "1",
    "dies": "1",
    "_devices": "1",
    "_pins": "1",
    "_pin_rate": "B/s",
}


def part(name: str) -> Part:
    return accelerator(name)


def numbers(of: Part) -> Iterator[tuple[str, Cited]]:
    return ((field, of.cite(field)) for field in of.cited_fields())


def kind_of(number: Cited) -> str:
    source = source_of(number)
    assert source is not None
    return number.kind or source.kind


def close(left: float, right: float, tolerance: float) -> bool:
    return abs(left / right - 1) <= tolerance


@pytest.mark.parametrize("name", STABLE_NAMES)
def test_names_in_use_are_in_the_catalogue(name: str) -> None:
    assert name in accelerators()


# Provenance.


def rounding(number: Cited) -> float:
    """What writing the value may have lost: half its last digit, where a reading leaves a fraction that does not end.

    Four digits at least must be written then; every other figure re-reads exactly.
    """
    match = re.match(r"\s*([\d.]+)\s*(\S*)", number.text)
    assert match is not None
    digits, unit = match.groups()
    endless = any(step in (number.reading or "") for step in ("divided by", "GB means GiB"))
    if not endless or len(digits.replace(".", "").lstrip("0")) < 4:
        return 0.0
    return float(parse_unit(unit or "1").factor) * 0.5 * 10 ** -len(digits.partition(".")[2])


@every_part
def test_printed_figures_read_to_their_values(name: str) -> None:
    for field, number in numbers(part(name)):
        assert number.as_printed or not number.reading, f"{field}: a reading needs the printed figure"
        if number.as_printed is None:
            continue
        read = read_printed(number.as_printed, number.reading)
        assert read.dimension == number.quantity.dimension, f"{field}: {number}"
        assert abs(read.value - number.value) <= rounding(number) + 1e-12 * number.value, f"{field}: {number}"


@every_part
def test_numbers_that_limit_speed_are_quoted(name: str) -> None:
    for field, number in numbers(part(name)):
        if field.startswith("facts."):
            continue
        if field.startswith(("peak.", "feed")) or field.endswith((".bandwidth", ".capacity", ".usable", ".latency")):
            assert number.as_printed, f"{field} has no as_printed"


SPECIFIED = {"datasheet", "paper", "derived", "estimate"}
KINDS = (
    # A measured figure never stands where a printed one does, nor a claim, nor a price.
    (r"price|facts\.card_price", {"price"}),
    (r"memory\.\w+\.usable", {"measured"}),  # what a driver reports
    (r"facts\.measured_\w+", {"measured"}),
    (r"facts\.claimed_\w+", {"claim"}),
    (r"facts\.\w+_bandwidth", SPECIFIED | {"measured"}),  # caches have no printed figure
    (r".*", SPECIFIED),
)


@every_part
def test_no_field_mixes_kinds(name: str) -> None:
    for field, number in numbers(part(name)):
        allowed = next(kinds for pattern, kinds in KINDS if re.fullmatch(pattern, field))
        assert kind_of(number) in allowed, f"{field}: a {kind_of(number)} figure"


@every_part
def test_estimates_are_not_called_certain(name: str) -> None:
    for field, number in numbers(part(name)):
        if kind_of(number) == "estimate":
            assert number.confidence != "high", field


@every_part
def test_facts_have_the_units_their_names_promise(name: str) -> None:
    for field, fact in part(name).facts.items():
        for ending, unit in FACT_UNITS.items():
            if field.endswith(ending):
                assert fact.quantity.dimension == parse_unit(unit).dimension, f"{field}: {fact}"


def test_every_source_is_used() -> None:
    used = {number.source for name in accelerators() for _, number in numbers(part(name))}
    reserves = [part_class(kind).reserve for kind in ("hbm", "sram")]
    used |= {reserve.source for reserve in reserves if reserve}
    assert sorted(set(sources()) - used) == []


@pytest.mark.parametrize("name", sources())
def test_sources_can_be_found_again(name: str) -> None:
    assert sources()[name].url.startswith("https://") or "no address was kept" in sources()[name].note


def test_sources_are_listed_once() -> None:
    pages = [source.url for source in sources().values()]
    shared = {url for url in pages if pages.count(url) > 1} - {""}
    # Collections of notes hold several talks; a vendor's front page stands for pages whose address was not kept.
    assert all(url.count("/") <= 3 or "wiki" in url or "AI-Chip-Library" in url for url in shared), shared


# Redundancy: several facts of one file say the same thing twice, so that a figure read wrongly (both directions as one,
# sparse as dense, a rack as a chip) contradicts another. Tolerances are what vendors' rounding needs.


@every_part
def test_lanes_times_rate_is_the_link(name: str) -> None:
    facts = part(name).facts
    if {"links", "link_bandwidth"} <= set(facts):
        product = facts["links"].value * facts["link_bandwidth"].value
        assert close(product, part(name).cite("link.bandwidth").value, 0.01)


@every_part
def test_units_times_clock_is_the_peak(name: str) -> None:
    """Within 2 %: clocks are printed to 10 MHz, marketed rates rounded up."""
    facts = part(name).facts
    for field, fact in facts.items():
        if field.startswith("flops_per_cycle_"):
            product = facts["compute_units"].value * facts["clock"].value * fact.value
            assert close(product, part(name).peak[field.removeprefix("flops_per_cycle_")].value, 0.02), field


@every_part
def test_pins_times_rate_is_the_memory(name: str) -> None:
    """Within 2.5 %: 8.192 TB/s are printed as 8."""
    facts = part(name).facts
    if "memory_pins" in facts:
        product = facts["memory_pins"].value * facts["memory_pin_rate"].value
        assert close(product, part(name).cite("memory.bandwidth").value, 0.025)


def group_size(of: Part, group: str) -> float:
    if f"{group}_devices" in of.facts:
        return of.facts[f"{group}_devices"].value
    return of.cite("link.domain").value if any(fact.startswith(f"{group}_") for fact in of.facts) else 0


@every_part
@pytest.mark.parametrize("group", ["node", "rack", "domain"])
def test_systems_are_the_sum_of_their_devices(name: str, group: str) -> None:
    """Within 5 %: vendors round figures of racks apart from figures of chips."""
    described = part(name)
    field_of = {
        f"{group}_memory_capacity": "memory.capacity",
        f"{group}_memory_bandwidth": "memory.bandwidth",
        f"{group}_link_bandwidth": "link.bandwidth",
        **{f"{group}_{format_name}": f"peak.{format_name}" for format_name in FORMATS},
    }
    for fact in field_of.keys() & described.facts.keys():
        whole, one = described.facts[fact].value, described.cite(field_of[fact]).value
        assert close(whole, group_size(described, group) * one, 0.05), fact


@every_part
def test_measured_figures_stay_below_printed_ones(name: str) -> None:
    """And above a fifth of them: less would mean that the printed figure is of something else."""
    described = part(name)
    for fact in described.facts:
        what = fact.removeprefix("measured_")
        if what == fact:
            continue
        if what.startswith("matmul_"):
            printed = described.peak[what.removeprefix("matmul_")].value
        elif what == "peer":
            printed = described.facts["peer_bandwidth"].value
        else:
            printed = described.cite("link.bandwidth" if what == "link" else "memory.bandwidth").value
        assert 0.2 * printed < described.facts[fact].value <= printed, fact


# Physics: bounds wide enough for every part built so far, narrow enough to catch a wrong prefix.


@every_part
def test_wider_formats_are_not_faster(name: str) -> None:
    peak = {format_name: number.value for format_name, number in part(name).peak.items()}
    widest_first = ("fp32", "tf32", "bf16", "fp8", "mxfp8", "mxfp6", "nvfp4")
    rates = [peak[format_name] for format_name in widest_first if format_name in peak]
    assert rates == sorted(rates)
    assert peak.get("mxfp8", peak.get("fp8", 0)) <= peak.get("mxfp4", float("inf"))
    assert peak.get("int8", 0) <= peak.get("int4", float("inf"))


@every_part
def test_ridge_points_are_sane(name: str) -> None:
    """FLOP per byte at which the fastest format becomes compute-bound."""
    described = part(name)
    ridge = max(number.value for number in described.peak.values()) / described.cite("memory.bandwidth").value
    low, high = (20, 4000) if described.kind == "hbm" else (0.5, 100)
    assert low < ridge < high, f"{ridge:g} FLOP/B"


@every_part
def test_sweeping_the_memory_takes_a_sane_time(name: str) -> None:
    """The time of a decoding step that reads all of the memory."""
    described = part(name)
    sweep = described.cite("memory.capacity").value / described.cite("memory.bandwidth").value
    low, high = (5e-3, 1.0) if described.kind == "hbm" else (1e-6, 1e-4)
    assert low < sweep < high, f"{sweep:g} s"


@every_part
def test_energy_per_byte_is_sane(name: str) -> None:
    """A DRAM read alone costs about 25 pJ/B, an SRAM read well below 1 pJ/B; the rest of the chip comes on top."""
    described = part(name)
    if described.power is None:
        return
    energy = described.power.value / described.cite("memory.bandwidth").value
    low, high = (25e-12, 2500e-12) if described.kind == "hbm" else (0.5e-12, 50e-12)
    assert low < energy < high, f"{energy:g} J/B"


@every_part
def test_links_are_slower_than_memory(name: str) -> None:
    for tier in part(name).link.values():
        assert tier.bandwidth.value < part(name).cite("memory.bandwidth").value


@every_part
def test_usable_memory_is_most_of_the_printed(name: str) -> None:
    for tier in part(name).memory.values():
        if tier.usable is not None:
            assert 0.9 < tier.usable.value / tier.capacity.value <= 1


@every_part
def test_plain_numbers_repeat_the_spec(name: str) -> None:
    described = part(name)
    machine = described.numbers()
    assert machine.memory.bandwidth == described.cite("memory.bandwidth").value
    assert machine.memory.usable <= machine.memory.capacity
    assert set(machine.peak) == set(described.peak)
    assert [wire.name for wire in machine.wires] == list(described.link)
