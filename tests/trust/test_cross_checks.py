"""Chips that are subtly wrong, each made from a catalogue file by one edit: and the check that says so."""

from __future__ import annotations

import pytest

from roofline.describe.catalog import accelerator, accelerators
from roofline.describe.provenance import Cited
from roofline.errors import RooflineError
from roofline.trust.cross_checks import CROSS_CHECKS, contradictions, cross_check

WRONG = [
    # part, field, wrong value, what the slip is, the check that notices
    ("h100-sxm", "link.bandwidth", "900 GB/s", "both directions as one", "both_ways_are_twice_one"),
    ("gb200", "link.bandwidth", "1800 GB/s", "both directions as one", "links_make_the_bandwidth"),
    ("tpu-v5e", "link.bandwidth", "400 GB/s", "both directions as one", "both_ways_are_twice_one"),
    ("groq-3-lpu", "link.bandwidth", "2.5 TB/s", "both directions as one", "links_make_the_bandwidth"),
    ("mi300x", "link.bandwidth", "64 GB/s", "one peer for the whole mesh", "mesh_is_its_peers"),
    ("mi300x", "facts.peer_bandwidth", "448 GB/s", "the whole mesh for one peer", "mesh_is_its_peers"),
    ("groq-lpu-v1", "link.bandwidth", "137.5 GB/s", "all links for those of a node", "links_make_the_bandwidth"),
    ("h100-sxm", "link.bandwidth", "3600 Gbit/s", "bits of one direction: right", ""),
    ("h100-sxm", "link.bandwidth", "3600 GB/s", "bits for bytes", "near_is_faster_than_far"),
    ("h100-sxm", "peak.bf16", "1979 TFLOP/s", "sparse as dense", "units_make_the_peak"),
    ("h200-sxm", "peak.fp8", "3958 TFLOP/s", "sparse as dense", "sparse_is_twice_dense"),
    ("b200-sxm", "peak.nvfp4", "18 PFLOP/s", "sparse as dense", "four_bit_layouts_are_alike"),
    ("gb300", "peak.nvfp4", "20 PFLOP/s", "sparse as dense, at a third more", "systems_are_sums"),
    ("vr200", "peak.nvfp4", "51 PFLOP/s", "more than the sparse rate", "sparse_is_twice_dense"),
    ("a100-sxm-80gb", "peak.tf32", "312 TFLOP/s", "sparse as dense", "tf32_is_half_of_16_bit"),
    ("cerebras-wse3", "peak.fp16", "125 PFLOP/s", "an advertised rate as a dense one", "claims_exceed"),
    ("groq-lpu-v1", "peak.int8", "820 TOP/s", "the rate at 1 GHz beside a clock of 900 MHz", "units_make_the_peak"),
    ("h100-sxm", "peak.bf16", "794.5 TFLOP/s", "a measured rate as the peak", "units_make_the_peak"),
    ("b300-sxm", "peak.nvfp4", "4.5 PFLOP/s", "below what was measured", "measured_is_below_printed"),
    ("h100-sxm", "peak.fp8", "1.979 TFLOP/s", "TFLOPS for PFLOPS", "narrow_formats_are_no_slower"),
    ("mi325x", "memory.capacity", "256 GB", "GB for GiB", "dram_is_whole_gib"),
    ("a100-sxm-40gb", "memory.capacity", "40 GB", "GB for GiB", "format"),
    ("h100-sxm", "memory.capacity", "80 GB", "GB for GiB", "format"),
    ("mi300x", "memory.capacity", "24 GiB", "one stack for all", "format"),
    ("tpu-8i", "memory.capacity", "36 GiB", "one stack for all", "stacks_make_the_capacity"),
    ("groq-3-lpu", "memory.capacity", "500 MiB", "MiB for MB", "systems_are_sums"),
    ("groq-3-lpu", "memory.capacity", "500 kB", "kilobytes for megabytes", "a_sweep_takes_a_sane_time"),
    ("groq-lpu-v1", "memory.capacity", "220 KiB", "kilobytes for megabytes", "slices_make_the_capacity"),
    ("groq-3-lpu", "memory.capacity", "128 GB", "the rack for a chip", "a_sweep_takes_a_sane_time"),
    ("h100-sxm", "facts.l2_capacity", "50 KiB", "kilobytes for megabytes", "on_chip_memories_are_megabytes"),
    ("a100-sxm-80gb", "memory.bandwidth", "2039 GiB/s", "GiB/s for GB/s", "pins_make_the_bandwidth"),
    ("b200-sxm", "memory.bandwidth", "8 TB/s", "another product's figure", "pins_make_the_bandwidth"),
    ("mi300x", "memory.bandwidth", "17 TB/s", "the cache's bandwidth", "stacks_make_the_bandwidth"),
    ("h200-sxm", "memory.bandwidth", "38.4 TB/s", "the bandwidth of eight", "pins_make_the_bandwidth"),
    ("groq-lpu-v1", "memory.bandwidth", "80 TB/s", "the marketed bandwidth", "cycles_make_the_bandwidth"),
    ("groq-lpu-v1", "memory.bandwidth", "80 TB/s", "a claim for a roof", "claims_exceed"),
    ("groq-lpu-v1", "feed", None, "the feed forgotten", "the_feed_is_a_roof"),
    ("groq-lpu-v1", "feed", "80 TB/s", "the feed taken for the SRAM", "the_feed_is_below_the_memory"),
    ("groq-3-lpu", "memory.bandwidth", "1.2 PB/s", "the tray for a chip", "systems_are_sums"),
    ("h100-sxm", "memory.hbm.usable", "60 GiB", "a quarter missing", "usable_is_most_of_the_capacity"),
    ("h100-sxm", "power", "10.2 kW", "the server for a chip", "all_in_power_is_above_the_device"),
    ("h20", "power", "400 kW", "kW for W", "power_is_sane"),
    ("l4", "power", "0.72 W", "a slipped point", "energy_per_byte_is_sane"),
    ("mi355x", "power", "14 W", "a slipped point", "energy_per_operation_is_sane"),
    ("h100-sxm", "price", "1.30 USD/s", "a second for an hour", "prices_are_sane"),
    ("groq-lpu-v1", "link.latency", "722 us", "us for ns", "latencies_are_sane"),
    ("h100-sxm", "facts.clock", "1830 kHz", "kHz for MHz", "clocks_are_sane"),
    ("tpu-v6e", "peak.bf16", "234.9 PFLOP/s", "the pod for a chip", "the_ridge_is_sane"),
    ("gb300", "peak.bf16", "5000 TFLOP/s", "sparse as dense in one of two", "bf16_is_as_fast_as_fp16"),
    ("tpu-v5p", "memory.bandwidth", "4.8 TB/s", "the interconnect's figure", "second_printings_agree"),
    ("h100-sxm", "memory.bandwidth", "2.0 TB/s", "below what was measured", "measured_is_below_printed"),
]


MISREAD = {"as_printed": "1,979 teraFLOPS*", "source": "a page"}
"""What a page prints of the sparse rate."""


@pytest.mark.parametrize(
    ("value", "reading", "said"),
    [
        ("989.5 TFLOP/s", "sparse halved", ""),
        ("990 TFLOP/s", "sparse halved", ""),  # rounded
        ("899.5 TFLOP/s", "sparse halved", 'peak.bf16 = 900 TFLOP/s, equal to "1,979 teraFLOPS*", sparse halved = 990'),
        ("989.5 TFLOP/s", None, 'equal to "1,979 teraFLOPS*" = 1.98 PFLOP/s? off by -50.0%'),
    ],
)
def test_a_value_is_held_to_what_is_printed_beside_it(value: str, reading: str | None, said: str) -> None:
    chip = accelerator("h100-sxm").with_(**{"peak.bf16": Cited(value=value, reading=reading, **MISREAD)})  # type: ignore[arg-type]
    found = [str(each) for each in contradictions(chip) if each.check.name == "values_are_as_printed"]
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_printed_words_that_are_no_figure_say_nothing() -> None:
    for printed in ("up to a petaflop", "1,979 GB"):
        number = Cited(value="1 PFLOP/s", source="a page", as_printed=printed)  # type: ignore[arg-type]
        results = cross_check(accelerator("h100-sxm").with_(**{"peak.bf16": number}))
        assert not [each for each in results if each.comparison and each.comparison.right.text == f'"{printed}"']


@pytest.mark.parametrize(("name", "field", "value", "slip", "check"), WRONG, ids=lambda value: str(value)[:24])
def test_a_wrong_number_contradicts_another(name: str, field: str, value: str | None, slip: str, check: str) -> None:
    try:
        chip = accelerator(name).with_(**{field: value})
    except RooflineError:
        assert check == "format", slip
        return
    found = {result.check.name for result in contradictions(chip)}
    assert check in found if check else not found, (slip, found)


def test_every_check_is_seen_to_fail() -> None:
    seen = {check for *_, check in WRONG} | {"values_are_as_printed"}
    assert sorted({check.name for check in CROSS_CHECKS} - seen) == []


MOST_USED = (
    "h100-sxm",
    "h200-sxm",
    "b200-sxm",
    "gb200",
    "a100-sxm-80gb",
    "mi300x",
    "groq-lpu-v1",
    "groq-3-lpu",
    "tpu-v5e",
)


@pytest.mark.parametrize("name", MOST_USED)
def test_the_most_used_parts_notice_any_such_slip(name: str) -> None:
    chip = accelerator(name)
    slips = [(f"peak.{each}", 2.0) for each in chip.peak if each != "fp32"]  # sparse as dense
    slips += [("link.bandwidth", 2.0), ("link.bandwidth", 1 / 8)]  # both ways as one, bytes for bits
    slips += [("memory.bandwidth", 1.0737 if chip.kind == "hbm" else 1.6)]  # GiB/s, or marketed
    slips += [("memory.capacity", 1 / 1.0737 if chip.kind == "hbm" else 1.0486), ("memory.capacity", 1e-3)]
    for field, factor in slips:
        try:
            wrong = chip.with_(**{field: chip.cite(field).value * factor})
        except RooflineError:
            continue  # the format itself refuses it
        assert contradictions(wrong), f"{field} × {factor:g}"


def test_a_result_names_both_facts_and_by_how_much() -> None:
    wrong = accelerator("h100-sxm").with_(**{"link.bandwidth": "900 GB/s"})
    said = [str(result) for result in contradictions(wrong)]
    assert said[0] == (
        "links_make_the_bandwidth: facts.links × facts.link_bandwidth = 450 GB/s, equal to link.bandwidth = 900 GB/s?"
        " off by -50.0%: the bandwidth of a link tier is its links times the rate of one, per direction"
    )
    assert all("\n" not in line for line in said)


def test_what_cannot_be_checked_says_what_is_missing() -> None:
    results = {result.check.name: result for result in cross_check(accelerator("l4"))}
    assert results["links_make_the_bandwidth"].verdict == "not applicable"
    assert results["links_make_the_bandwidth"].missing == ("facts.links", "facts.link_bandwidth")
    assert str(results["clocks_are_sane"]) == "clocks_are_sane: not applicable without facts.clock"


def test_every_check_is_explained_and_applies_somewhere() -> None:
    assert len({check.name for check in CROSS_CHECKS}) == len(CROSS_CHECKS)
    applied = {
        result.check.name for name in accelerators() for result in cross_check(accelerator(name)) if result.comparison
    }
    for check in CROSS_CHECKS:
        assert check.reason, check.name
        assert check.tolerance_reason, check.name
        assert check.name in applied, check.name
