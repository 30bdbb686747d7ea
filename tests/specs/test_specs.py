"""Every spec file of the catalogue: its figures re-read, its facts agree with each other and with physics."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from roofline.describe.catalog import accelerator, accelerators, source_of, sources
from roofline.describe.formats import FORMATS
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.provenance import Cited, read_printed
from roofline.units import parse_unit

Part = HbmAccelerator | SramAccelerator

FIRST = (
    "a100-sxm-80gb",
    "h100-sxm",
    "h200-sxm",
    "b200-sxm",
    "gb200",
    "b300-sxm",
    "mi300x",
    "mi355x",
    "tpu-v5e",
    "rtx-4090",
    "groq-lpu-v1",
    "groq-3-lpu",
    "cerebras-wse3",
    "vr200",
)

# What a spec field may rest on. A measured figure never stands where a printed one does, nor a claim or a price.
PRINTED = {"datasheet", "paper", "derived", "estimate"}
ALLOWED_KINDS = {
    "usable": {"measured", "datasheet"},
    "price": {"price"},
    "measured": {"measured"},
    "claimed": {"claim"},
    "rental": {"price"},
}

# Units that a fact's name promises, by its ending.
FACT_UNITS = {
    "_bandwidth": "B/s",
    "_capacity": "B",
    "_power": "W",
    "clock": "Hz",
    "links": "1",
    "compute_units": "1",
    "stacks": "1",
    "_devices": "1",
    "_latency": "s",
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


@pytest.mark.parametrize("name", FIRST)
def test_first_parts_are_in_the_catalogue(name: str) -> None:
    assert name in accelerators()


def half_of_last_digit(number: Cited) -> float:
    """Half a unit in the last digit written, where four or more digits show that a quotient was rounded; else 0."""
    match = re.match(r"\s*([\d.]+)\s*(\S*)", number.text)
    assert match is not None
    digits, unit = match.groups()
    if len(digits.replace(".", "").lstrip("0")) < 4:
        return 0.0
    decimals = len(digits.partition(".")[2])
    return float(parse_unit(unit or "1").factor) * 0.5 * 10**-decimals


@pytest.mark.parametrize("name", accelerators())
def test_printed_figures_read_to_their_values(name: str) -> None:
    for field, number in numbers(part(name)):
        assert not number.reading or number.as_printed, f"{field}: a reading needs the printed figure"
        if number.as_printed is None:
            continue
        read = read_printed(number.as_printed, number.reading)
        assert read.dimension == number.quantity.dimension, f"{field}: {number}"
        quotient = "divided by" in (number.reading or "") or "GiB" in (number.reading or "")
        tolerance = half_of_last_digit(number) if quotient else 0.0
        assert abs(read.value - number.value) <= tolerance + 1e-12 * number.value, f"{field}: {number}"


@pytest.mark.parametrize("name", accelerators())
def test_numbers_that_limit_speed_are_quoted(name: str) -> None:
    for field, number in numbers(part(name)):
        if field.startswith(("peak.", "feed")) or field.endswith((".bandwidth", ".capacity", ".latency")):
            assert number.as_printed, f"{field} has no as_printed"


@pytest.mark.parametrize("name", accelerators())
def test_no_field_mixes_kinds(name: str) -> None:
    for field, number in numbers(part(name)):
        last = field.rpartition(".")[2]
        allowed = ALLOWED_KINDS.get(last) or ALLOWED_KINDS.get(last.partition("_")[0], PRINTED)
        if not field.startswith("facts.") and last not in ("usable", "price"):
            allowed = PRINTED
        kind = kind_of(number)
        if field.startswith("facts.") and allowed is PRINTED and last.endswith(("_bandwidth", "_latency")):
            allowed = PRINTED | {"measured"}  # caches and hops have no printed figure
        assert kind in allowed, f"{field}: a {kind} figure, expected one of {sorted(allowed)}"


@pytest.mark.parametrize("name", accelerators())
def test_weak_evidence_is_not_called_strong(name: str) -> None:
    for field, number in numbers(part(name)):
        if kind_of(number) == "estimate":
            assert number.confidence != "high", field


@pytest.mark.parametrize("name", accelerators())
def test_facts_have_the_units_their_names_promise(name: str) -> None:
    for field, fact in part(name).facts.items():
        for ending, unit in FACT_UNITS.items():
            if field.endswith(ending):
                assert fact.quantity.dimension == parse_unit(unit).dimension, f"{field}: {fact}"


def test_every_source_is_used() -> None:
    used = {number.source for name in accelerators() for _, number in numbers(part(name))}
    assert sorted(sources()) == sorted(used)


@pytest.mark.parametrize("source", sources())
def test_sources_can_be_found_again(source: str) -> None:
    document = sources()[source]
    assert document.url.startswith("https://") or "no address" in document.note


# Redundancy: several facts of one file say the same thing twice, so that a figure read wrongly (both directions as one,
# sparse as dense, a rack as a chip) contradicts another. Tolerances are what vendors' rounding needs.


@pytest.mark.parametrize("name", accelerators())
def test_lanes_times_rate_is_the_link(name: str) -> None:
    facts = part(name).facts
    if {"links", "link_bandwidth"} <= set(facts):
        product = facts["links"].value * facts["link_bandwidth"].value
        assert close(product, part(name).cite("link.bandwidth").value, 0.01)


@pytest.mark.parametrize("name", accelerators())
def test_units_times_clock_is_the_peak(name: str) -> None:
    """Within 2 %: clocks are printed to 10 MHz, marketed rates rounded up."""
    facts = part(name).facts
    for field, fact in facts.items():
        if field.startswith("flops_per_cycle_"):
            product = facts["compute_units"].value * facts["clock"].value * fact.value
            assert close(product, part(name).peak[field.removeprefix("flops_per_cycle_")].value, 0.02), field


@pytest.mark.parametrize("name", accelerators())
def test_pins_times_rate_is_the_memory(name: str) -> None:
    """Within 2.5 %: 8.192 TB/s are printed as 8."""
    facts = part(name).facts
    if "memory_pins" in facts:
        product = facts["memory_pins"].value * facts["memory_pin_rate"].value
        assert close(product, part(name).cite("memory.bandwidth").value, 0.025)


@pytest.mark.parametrize("name", accelerators())
def test_stacks_hold_the_capacity(name: str) -> None:
    facts, capacity = part(name).facts, part(name).cite("memory.capacity").value
    if {"stacks", "stack_capacity"} <= set(facts):
        assert capacity <= facts["stacks"].value * facts["stack_capacity"].value * (1 + 1e-9) < capacity * 1.15


def group_size(of: Part, group: str) -> float:
    if f"{group}_devices" in of.facts:
        return of.facts[f"{group}_devices"].value
    return of.cite("link.domain").value if any(name.startswith(f"{group}_") for name in of.facts) else 0


@pytest.mark.parametrize("name", accelerators())
def test_systems_are_the_sum_of_their_devices(name: str) -> None:
    """Within 5 %: vendors round rack figures apart from chip figures."""
    described = part(name)
    whole_of = {"memory_capacity": "memory.capacity", "memory_bandwidth": "memory.bandwidth"}
    for group in ("node", "rack", "domain"):
        devices = group_size(described, group)
        for what, field in {**whole_of, "link_bandwidth": "link.bandwidth"}.items():
            if f"{group}_{what}" in described.facts:
                whole = described.facts[f"{group}_{what}"].value
                assert close(whole, devices * described.cite(field).value, 0.05), f"{group}_{what}"
        for format_name in FORMATS:
            if f"{group}_{format_name}" in described.facts:
                whole = described.facts[f"{group}_{format_name}"].value
                assert close(whole, devices * described.peak[format_name].value, 0.05), f"{group}_{format_name}"


@pytest.mark.parametrize("name", accelerators())
def test_measured_figures_stay_below_printed_ones(name: str) -> None:
    """And above a fifth of them: less would mean that the printed figure is of something else."""
    described = part(name)
    for field, fact in described.facts.items():
        what = field.removeprefix("measured_")
        if what == field:
            continue
        if what.startswith("matmul_"):
            printed = described.peak[what.removeprefix("matmul_")].value
        elif what == "peer":
            printed = described.facts["peer_bandwidth"].value
        else:
            printed = described.cite("link.bandwidth" if what == "link" else "memory.bandwidth").value
        assert 0.2 * printed < fact.value <= printed, f"{field}: {fact.text} of {printed:g}"


# Physics: bounds wide enough for every part built so far, narrow enough for a wrong prefix.


def sixteen_bit_peak(of: Part) -> float:
    return max(number.value for format_name, number in of.peak.items() if format_name not in ("fp32", "tf32"))


@pytest.mark.parametrize("name", accelerators())
def test_wider_formats_are_not_faster(name: str) -> None:
    peak = {format_name: number.value for format_name, number in part(name).peak.items()}
    for wide, narrow in (("fp32", "tf32"), ("tf32", "bf16"), ("bf16", "fp8"), ("fp8", "nvfp4"), ("fp8", "mxfp4")):
        if wide in peak and narrow in peak:
            assert peak[wide] <= peak[narrow], (wide, narrow)


@pytest.mark.parametrize("name", accelerators())
def test_ridge_points_are_sane(name: str) -> None:
    described = part(name)
    ridge = sixteen_bit_peak(described) / described.cite("memory.bandwidth").value
    low, high = (10, 4000) if described.kind == "hbm" else (0.3, 60)
    assert low < ridge < high, f"{ridge:g} FLOP/B"


@pytest.mark.parametrize("name", accelerators())
def test_sweeping_the_memory_takes_a_sane_time(name: str) -> None:
    described = part(name)
    sweep = described.cite("memory.capacity").value / described.cite("memory.bandwidth").value
    low, high = (5e-3, 1.0) if described.kind == "hbm" else (1e-6, 1e-4)
    assert low < sweep < high, f"{sweep:g} s"


@pytest.mark.parametrize("name", accelerators())
def test_energy_per_byte_is_sane(name: str) -> None:
    described = part(name)
    if described.power is None:
        return
    energy = described.power.value / described.cite("memory.bandwidth").value
    low, high = (50e-12, 2500e-12) if described.kind == "hbm" else (0.3e-12, 50e-12)
    assert low < energy < high, f"{energy:g} J/B"


@pytest.mark.parametrize("name", accelerators())
def test_usable_memory_is_most_of_the_printed(name: str) -> None:
    for tier in part(name).memory.values():
        if tier.usable is not None:
            assert 0.9 < tier.usable.value / tier.capacity.value <= 1
