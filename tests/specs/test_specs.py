"""Every spec file of the catalogue: its figures re-read, its facts agree with each other and with physics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from roofline.describe.catalog import accelerator, accelerators, part_class, source_of, sources, undescribed
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.provenance import Cited, read_printed
from roofline.describe.systems import cited_numbers, system, systems
from roofline.errors import UnknownName
from roofline.trust.cross_checks import contradictions
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
    used |= {number.source for name in systems() for _, number in cited_numbers(system(name))}
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


# Redundancy and physics: several facts of one file say the same thing twice, or bound each other.


@every_part
def test_the_numbers_of_a_part_fit_together(name: str) -> None:
    assert [str(result) for result in contradictions(part(name))] == []


@every_part
def test_plain_numbers_repeat_the_spec(name: str) -> None:
    described = part(name)
    machine = described.numbers()
    assert machine.memory.bandwidth == described.cite("memory.bandwidth").value
    assert machine.memory.usable <= machine.memory.capacity
    assert set(machine.peak) == set(described.peak)
    assert [wire.name for wire in machine.wires] == list(described.link)


@pytest.mark.parametrize("name", undescribed())
def test_parts_without_a_file_say_what_is_missing(name: str) -> None:
    assert name not in accelerators()
    with pytest.raises(UnknownName) as caught:
        accelerator(name.upper().replace("-", " "))
    assert undescribed()[name] in str(caught.value)


def test_parts_named_in_reasons_are_described() -> None:
    known = {*accelerators(), *systems()}
    for reason in undescribed().values():
        for called in re.findall(
            r"(?:described as|chip of|systems?|alone is|kW is) ([\w-]+\d[\w-]*|dgx-spark)", reason
        ):
            assert called in known, reason
