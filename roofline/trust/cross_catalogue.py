"""The catalogue of cross-checks: what must be so, why, which facts it takes, and what is allowed.

`cross_checks` runs them.
"""

from __future__ import annotations

from dataclasses import dataclass

from roofline.trust import cross_relations as relations
from roofline.trust.cross_relations import Relation


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """A named check: what must be so and why, which facts it `needs`, and why it allows what it allows."""

    name: str
    reason: str
    needs: tuple[str, ...]
    compare: Relation
    tolerance: float
    tolerance_reason: str


_EXACT = "printed figures are exact but for rounding"
_CLOCKS = "clocks are printed to 10 MHz and marketed rates rounded up"
_BUILT = "wide enough for every part built so far, narrow enough to catch a wrong prefix"
_BOUND = "a bound: nothing to allow"

CROSS_CHECKS: tuple[CrossCheck, ...] = (
    CrossCheck(
        "links_make_the_bandwidth",
        "the bandwidth of a link tier is its links times the rate of one, per direction",
        ("facts.links", "facts.link_bandwidth", "link.bandwidth"),
        relations.product_is("link.bandwidth", "facts.links", "facts.link_bandwidth"),
        0.01,
        _EXACT,
    ),
    CrossCheck(
        "both_ways_are_twice_one",
        "a link printed as the sum of both directions carries half of it in one",
        ("facts.link_bandwidth_both_ways", "link.bandwidth"),
        relations.product_is("link.bandwidth", 0.5, "facts.link_bandwidth_both_ways"),
        0.01,
        _EXACT,
    ),
    CrossCheck(
        "mesh_is_its_peers",
        "in a full mesh a device's bandwidth is that to one peer times the number of peers",
        ("facts.peer_bandwidth", "link.bandwidth", "link.domain"),
        relations.mesh_is_its_peers,
        0.01,
        _EXACT,
    ),
    CrossCheck(
        "units_make_the_peak",
        "a dense peak is units times clock times what one does in a cycle",
        ("facts.compute_units", "facts.clock", "facts.flops_per_cycle_*"),
        relations.units_make_peaks,
        0.02,
        _CLOCKS,
    ),
    CrossCheck(
        "sparse_is_twice_dense",
        "2:1 sparsity doubles a rate, so dense is at most half; a note on the sparse figure states another ratio",
        ("facts.*_sparse",),
        relations.sparse_is_twice_dense,
        0.005,
        _EXACT,
    ),
    CrossCheck(
        "tf32_is_half_of_16_bit",
        "tensor cores multiply tf32 at half the rate of 16-bit formats",
        ("peak.tf32", "peak.bf16"),
        relations.product_is("peak.tf32", 0.5, "peak.bf16"),
        0.02,
        _EXACT,
    ),
    CrossCheck(
        "bf16_is_as_fast_as_fp16",
        "two formats of one width share multipliers",
        ("peak.bf16", "peak.fp16"),
        relations.product_is("peak.bf16", "peak.fp16"),
        0.01,
        _EXACT,
    ),
    CrossCheck(
        "four_bit_layouts_are_alike",
        "two 4-bit layouts that differ in their scales share multipliers",
        ("peak.mxfp4", "peak.nvfp4"),
        relations.product_is("peak.mxfp4", "peak.nvfp4"),
        0.01,
        _EXACT,
    ),
    CrossCheck(
        "narrow_formats_are_no_slower",
        "a multiplier of wide numbers also multiplies narrow ones",
        ("peak.*",),
        relations.narrow_is_fast,
        0.0,
        _BOUND,
    ),
    CrossCheck(
        "claims_exceed",
        "what is only advertised is above what is specified, and never stands in its place",
        ("facts.claimed_*",),
        relations.claims_exceed,
        -0.05,
        "a claim within 5 % of the roof is the roof",
    ),
    CrossCheck(
        "stacks_make_the_capacity",
        "capacity is stacks times the size of one",
        ("facts.stacks", "facts.stack_capacity", "memory.capacity"),
        relations.product_is("memory.capacity", "facts.stacks", "facts.stack_capacity"),
        0.01,
        _EXACT,
    ),
    CrossCheck(
        "stacks_make_the_bandwidth",
        "memory bandwidth is stacks times the rate of one",
        ("facts.stacks", "facts.stack_bandwidth", "memory.bandwidth"),
        relations.product_is("memory.bandwidth", "facts.stacks", "facts.stack_bandwidth"),
        0.025,
        "8.192 TB/s are printed as 8",
    ),
    CrossCheck(
        "pins_make_the_bandwidth",
        "memory bandwidth is data pins times the rate of one",
        ("facts.memory_pins", "facts.memory_pin_rate", "memory.bandwidth"),
        relations.product_is("memory.bandwidth", "facts.memory_pins", "facts.memory_pin_rate"),
        0.025,
        "8.192 TB/s are printed as 8",
    ),
    CrossCheck(
        "slices_make_the_capacity",
        "the capacity of an SRAM is its slices times the size of one",
        ("facts.memory_slices", "facts.memory_slice_capacity", "memory.capacity"),
        relations.product_is("memory.capacity", "facts.memory_slices", "facts.memory_slice_capacity"),
        0.01,
        _EXACT,
    ),
    CrossCheck(
        "cycles_make_the_bandwidth",
        "the bandwidth of an SRAM is its bytes per cycle times the clock",
        ("facts.memory_bytes_per_cycle", "facts.clock", "memory.bandwidth"),
        relations.product_is("memory.bandwidth", "facts.memory_bytes_per_cycle", "facts.clock"),
        0.02,
        _CLOCKS,
    ),
    CrossCheck(
        "the_feed_is_a_roof",
        "operands enter the matrix unit at the feed's rate, however fast the SRAM behind it: state it as `feed`",
        ("facts.feed_bytes_per_cycle", "facts.clock"),
        relations.feed_is_stated,
        0.02,
        _CLOCKS,
    ),
    CrossCheck(
        "the_feed_is_below_the_memory",
        "a feed above the memory's bandwidth could not be filled",
        ("feed", "memory.bandwidth"),
        relations.at_most("feed", "memory.bandwidth"),
        0.0,
        _BOUND,
    ),
    CrossCheck(
        "systems_are_sums",
        "a node, rack or domain is the sum of its devices",
        ("facts.*_*",),
        relations.systems_are_sums,
        0.05,
        "vendors round figures of racks apart from figures of chips; capacities are exact to 1 %, and the last digit",
    ),
    CrossCheck(
        "second_printings_agree",
        "two pages that print the same figure round it differently at most",
        ("facts.second_*",),
        relations.second_printings_agree,
        0.05,
        "vendors round from page to page, 7.7 TB/s up to 8",
    ),
    CrossCheck(
        "measured_is_below_printed",
        "what was measured is at most what is printed, and not less than a fifth of it",
        ("facts.measured_*",),
        relations.measured_below_printed,
        0.0,
        _BOUND,
    ),
    CrossCheck(
        "dram_is_whole_gib",
        "DRAM dies hold powers of two: a capacity that is no whole number of GiB was read as GB, or is what a driver"
        " reports and belongs in `usable`",
        ("memory.capacity",),
        relations.capacity_is_binary,
        0.001,
        _EXACT,
    ),
    CrossCheck(
        "usable_is_most_of_the_capacity",
        "a driver keeps back a little, never a tenth, and cannot add",
        ("memory.*.usable",),
        relations.usable_is_most,
        0.1,
        "error correction in ordinary DRAM takes a sixteenth",
    ),
    CrossCheck(
        "near_is_faster_than_far",
        "memory tiers and links stand from the nearest to the farthest, and none is faster than the one before",
        ("memory.bandwidth",),
        relations.nearer_is_faster,
        0.0,
        _BOUND,
    ),
    CrossCheck(
        "all_in_power_is_above_the_device",
        "a device's share of server, network and cooling comes on top of its own power",
        ("facts.all_in_power", "power"),
        relations.at_most("power", "facts.all_in_power"),
        0.0,
        _BOUND,
    ),
    CrossCheck(
        "the_ridge_is_sane",
        "operations per byte at which the fastest format becomes compute-bound",
        ("memory.bandwidth",),
        relations.ratio_between("FLOP/B", "peak", "memory.bandwidth", hbm=(20, 4000), sram=(0.25, 100)),
        0.0,
        _BUILT,
    ),
    CrossCheck(
        "a_sweep_takes_a_sane_time",
        "the time to read all of the memory once: a decoding step that fills it",
        ("memory.capacity", "memory.bandwidth"),
        relations.ratio_between("s", "memory.capacity", "memory.bandwidth", hbm=(5e-3, 1.0), sram=(5e-7, 1e-4)),
        0.0,
        _BUILT,
    ),
    CrossCheck(
        "energy_per_byte_is_sane",
        "reading DRAM alone costs about 25 pJ/B, SRAM well below 1 pJ/B; the rest of the chip comes on top",
        ("power", "memory.bandwidth"),
        relations.ratio_between("J/B", "power", "memory.bandwidth", hbm=(25e-12, 2500e-12), sram=(0.5e-12, 50e-12)),
        0.0,
        _BUILT,
    ),
    CrossCheck(
        "energy_per_operation_is_sane",
        "joules of one operation in the fastest format at full power",
        ("power",),
        relations.ratio_between("J/FLOP", "power", "peak", hbm=(0.03e-12, 10e-12), sram=(0.03e-12, 10e-12)),
        0.0,
        _BUILT,
    ),
    CrossCheck(
        "clocks_are_sane",
        "logic runs between some hundred MHz and a few GHz",
        ("facts.clock",),
        relations.every_between("facts.clock", "Hz", 0.2e9, 4e9),
        0.0,
        _BUILT,
    ),
    CrossCheck(
        "latencies_are_sane",
        "a signal needs tens of nanoseconds to leave a package; microseconds are switches and racks",
        ("link.*.latency",),
        relations.every_between("link.*.latency", "s", 20e-9, 100e-6),
        0.0,
        _BUILT,
    ),
    CrossCheck(
        "on_chip_memories_are_megabytes",
        "caches and scratchpads of accelerators hold megabytes",
        ("facts.*_capacity",),
        relations.on_chip_between(1e6, 5e9),
        0.0,
        _BUILT,
    ),
    CrossCheck(
        "power_is_sane",
        "a card draws tens of watts at least, a wafer tens of kilowatts",
        ("power",),
        relations.every_between("power", "W", 10, 50e3),
        0.0,
        _BUILT,
    ),
    CrossCheck(
        "prices_are_sane",
        "an hour of a device costs cents to tens of dollars",
        ("price",),
        relations.every_between("price", "USD/s", 0.05 / 3600, 100 / 3600),
        0.0,
        _BUILT,
    ),
    CrossCheck(
        "values_are_as_printed",
        "a value is the printed figure beside it, under its reading",
        (),
        relations.values_are_as_printed,
        0.005,
        _EXACT,
    ),
)
"""Every check, in the order in which results come."""
