"""Which wires join some ranks, and what a collective over them takes and must take at least."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import roofline as rl
from roofline.describe.catalog import accelerator, calibration, part_class
from roofline.describe.efficiency import CollectiveFit
from roofline.describe.hardware import parse_accelerator
from roofline.describe.machine import Machine, Wire
from roofline.errors import LayoutError, MissingNumber
from roofline.estimate.deployment import Deployment
from roofline.estimate.network import (
    Route,
    hop_seconds,
    least_transfer,
    reach,
    reached_bandwidth,
    route,
    stage_hops,
    transfer_time,
)
from roofline.estimate.work import Transfer
from roofline.trust.strategies import accelerators, specs

NODE = Wire("node", bandwidth=100.0, latency=2.0, hops=1, domain=8, topology="switch")
ROW = Wire("row", bandwidth=10.0, latency=3.0, hops=2, domain=64, topology="dragonfly")
HALL = Wire("hall", bandwidth=1.0, latency=5.0, hops=4, domain=None, topology="fat_tree")
WIRES = (NODE, ROW, HALL)
PLAIN = CollectiveFit(
    overhead=0, staged_overhead=0, bandwidth=1, points=0, error=0, low=1, high=1, source="a test: nothing lost"
)
CROSSING = PLAIN.model_copy(update={"crossing": 7.0})
FITTED = PLAIN.model_copy(update={"overhead": 0.25, "staged_overhead": 0.5, "bandwidth": 0.5})


def seconds(collective: Any, size: float, ranks: int, wires: Any = WIRES, fit: CollectiveFit = PLAIN) -> Any:
    return transfer_time(Transfer("any", collective, size, 0, ranks), wires, fit, "a part")


# -- routes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        (2, Route(NODE, 2, None, 1)),
        (8, Route(NODE, 8, None, 1)),
        (9, Route(NODE, 8, ROW, 2)),
        (64, Route(NODE, 8, ROW, 8)),
        (65, Route(ROW, 64, HALL, 2)),
        (1000, Route(ROW, 64, HALL, 16)),
    ],
)
def test_the_smallest_domain_joins(ranks: int, expected: Route) -> None:
    assert route(ranks, WIRES, "a part") == expected


def test_what_nothing_joins_is_refused() -> None:
    with pytest.raises(LayoutError, match="ranks on a part: got 65, expected at most the 64 its links join"):
        route(65, (NODE, ROW), "a part")
    with pytest.raises(MissingNumber, match="a part: no link to other devices is published, and 2 ranks need one"):
        route(2, (), "a part")


def test_reach() -> None:
    assert (reach(()), reach((NODE,)), reach((NODE, ROW)), reach(WIRES)) == (1, 8, 64, float("inf"))


def test_a_mesh_gives_few_ranks_few_wires() -> None:
    """Eight devices, each with seventy units over seven wires: two exchange at ten, four at thirty, eight at all."""
    mesh = Wire("mesh", 70.0, 1.0, 1, 8, "all_to_all")
    assert [reached_bandwidth(mesh, ranks) for ranks in (2, 4, 8)] == [10, 30, 70]
    assert [reached_bandwidth(NODE, ranks) for ranks in (2, 4, 8)] == [100, 100, 100]


# -- collectives by hand ----------------------------------------------------------------------------------------------


def test_one_rank_needs_nothing() -> None:
    for collective in ("all_reduce", "all_gather", "all_to_all"):
        assert seconds(collective, 1e9, 1, ()) == 0
    assert least_transfer(Transfer("any", "all_reduce", 9, 9, 1), (), "a part") == (0, 0)


def test_a_sum_takes_the_cheaper_of_one_and_two_shots() -> None:
    assert seconds("all_reduce", 100, 4) == 2 + 3 * 100 / 100  # one shot: three buffers come in
    assert seconds("all_reduce", 1000, 4) == 4 + 2 * 3 / 4 * 1000 / 100  # two: a share out of each, then the sums
    assert seconds("all_reduce", 50, 4, fit=FITTED) == 0.25 + 2 + 3 * 50 / 50
    assert seconds("all_reduce", 1000, 4, fit=FITTED) == 0.5 + 4 + 2 * 3 / 4 * 1000 / 50


def test_a_switch_that_sums_takes_large_buffers() -> None:
    """800 B in it take 2 + 2 latencies and 8 s of wire at a fixed cost of 3; in two shots 14 s of wire at none."""
    summing = replace(NODE, topology="summing_switch")
    known = PLAIN.model_copy(update={"summed_overhead": 3.0})
    assert seconds("all_reduce", 800.0, 8, (summing,), known) == 3 + 2 * 2 + 8
    assert seconds("all_reduce", 8.0, 8, (summing,), known) == seconds("all_reduce", 8.0, 8)
    for wire, fit in ((summing, PLAIN), (NODE, known)):  # not measured, and none that sums
        assert seconds("all_reduce", 800.0, 8, (wire,), fit) == 2 * 2 + 14
    assert seconds("all_gather", 800.0, 8, (summing,), known) == seconds("all_gather", 800.0, 8)
    slower = known.model_copy(update={"bandwidth": 0.5})
    assert seconds("all_reduce", 800.0, 8, (summing,), slower) == 3 + 2 * 2 + 16


def test_a_message_pays_every_hop_of_its_domain() -> None:
    assert seconds("all_reduce", 10, 4, (ROW,)) == 2 * 3 + 3 * 10 / 10
    assert seconds("all_reduce", 1000, 4, (ROW,)) == 2 * (2 * 3) + 2 * 3 / 4 * 1000 / 10
    assert seconds("all_gather", 10, 4, (ROW,)) == 2 * 3 + 3 / 4 * 10 / 10


def test_a_ring_sums_step_by_step() -> None:
    ring = Wire("ring", 100.0, 2.0, 1, 16, "torus")
    assert seconds("all_reduce", 100, 4, (ring,), FITTED) == 0.5 + 2 * 3 * 2 + 2 * 3 / 4 * 100 / 50


def test_gathers_and_exchanges_keep_the_own_share() -> None:
    for collective in ("all_gather", "all_to_all"):
        assert seconds(collective, 100, 4) == 2 + 3 / 4 * 100 / 100
        assert seconds(collective, 100, 4, fit=FITTED) == 0.25 + 2 + 3 / 4 * 100 / 50


def test_sums_over_groups_scatter_join_and_gather() -> None:
    """Sixteen ranks, two nodes of eight: inside, seven eighths twice; across, an eighth in two shots of two."""
    inside, across = 2 + 7 / 8 * 800 / 100, 2 * (2 * 3) + 2 * 1 / 2 * 100 / 10
    assert seconds("all_reduce", 800, 16) == pytest.approx(2 * inside + across)
    inside, across = 2 + 7 / 8 * 800 / 50, 2 * (2 * 3) + 2 * 1 / 2 * 100 / 5
    assert seconds("all_reduce", 800, 16, fit=FITTED) == pytest.approx(0.5 + 2 * inside + across)


@pytest.mark.parametrize(("fit", "times", "overhead"), [(PLAIN, 1.0, 0.0), (FITTED, 0.5, 0.5)])
def test_exchanges_over_groups_cross_with_what_leaves_the_group(fit: Any, times: float, overhead: float) -> None:
    across, inside = 2 * 3 + 1 / 2 * 800 / (10 * times), 2 + 7 / 8 * 400 / (100 * times)
    assert seconds("all_to_all", 800, 16, fit=fit) == pytest.approx(overhead + across + inside)


@pytest.mark.parametrize(("fit", "times", "overhead"), [(PLAIN, 1.0, 0.0), (FITTED, 0.5, 0.5)])
def test_what_is_gathered_crosses_to_a_group_once_where_that_is_sooner(fit: Any, times: float, overhead: float) -> None:
    """Of 800 B half are in the other node of eight: 50 B come to each device, and all else from its neighbours."""
    across, inside = 2 * 3 + 1 / 2 * 100 / (10 * times), 2 + 7 / 8 * 800 / (100 * times)
    assert seconds("all_gather", 800, 16, fit=fit) == pytest.approx(overhead + across + inside)
    wide = replace(ROW, bandwidth=1e6)  # where the way across is wider, each takes all that it needs
    across, inside = 2 * 3 + 1 / 2 * 800 / (1e6 * times), 2 + 7 / 8 * 400 / (100 * times)
    assert seconds("all_gather", 800, 16, (NODE, wide), fit) == pytest.approx(overhead + across + inside)


def test_copies_of_a_row_cross_to_a_node_once_and_fan_out_there() -> None:
    """800 B of two copies of each row on two nodes of eight: 1.5 nodes are reached, half of them the other one."""
    transfer = Transfer("any", "all_to_all", 800, 0, 16, copies=2, once=400)
    across, inside = 2 * 3 + 1 / 2 * (400 * 1.5) / 10, 2 + 7 / 8 * 800 / 100
    assert transfer_time(transfer, WIRES, PLAIN, "a part") == pytest.approx(across + inside)
    across, inside = 2 * 3 + 1 / 2 * (400 * 1.5) / 5, 2 + 7 / 8 * 800 / 50
    assert transfer_time(transfer, WIRES, FITTED, "a part") == pytest.approx(0.5 + across + inside)


def test_a_router_that_is_limited_to_groups_reaches_fewer_nodes() -> None:
    """One of four groups on two nodes of eight: one node is reached, where free copies reach 1.5."""
    free = Transfer("any", "all_to_all", 800, 0, 16, copies=2, once=400)
    limited = replace(free, expert_groups=4, chosen_groups=1)
    across, inside = 2 * 3 + 1 / 2 * 400 / 10, 2 + 7 / 8 * 800 / 100
    assert transfer_time(limited, WIRES, PLAIN, "a part") == pytest.approx(across + inside)


def test_copies_are_sent_each_where_fanning_out_takes_longer() -> None:
    """Between nodes as fast as within, each copy saves the second way."""
    alike = (NODE, replace(NODE, name="between", domain=None))
    copied = transfer_time(Transfer("any", "all_to_all", 800, 0, 16, copies=2, once=400), alike, FITTED, "a part")
    assert copied == seconds("all_to_all", 800, 16, alike, FITTED)


def test_copies_within_a_node_are_sent_as_any_others() -> None:
    copied = transfer_time(Transfer("any", "all_to_all", 800, 0, 8, copies=2, once=400), WIRES, FITTED, "a part")
    assert copied == seconds("all_to_all", 800, 8, fit=FITTED)


def test_least_bytes_over_every_wire_and_one_latency() -> None:
    assert least_transfer(Transfer("any", "all_reduce", 500, 200, 8), WIRES, "a part") == (200 / 100, 2)
    assert least_transfer(Transfer("any", "all_reduce", 500, 220, 16), WIRES, "a part") == (220 / 110, 2)
    assert least_transfer(Transfer("any", "all_reduce", 500, 0, 16), WIRES, "a part") == (0, 0)


@given(
    part=accelerators(least_links=1),
    ranks=st.integers(2, 64),
    size=st.floats(1, 1e9),
    collective=st.sampled_from(["all_reduce", "all_gather", "all_to_all"]),
)
def test_no_collective_beats_its_least(part: Any, ranks: int, size: float, collective: Any) -> None:
    """What must cross: a whole buffer in a sum, all but the own share in a gather, nothing for sure in an exchange."""
    machine: Machine = part.numbers()
    assume(ranks <= reach(machine.wires))
    fewest = {"all_reduce": size, "all_gather": size * (ranks - 1) / ranks, "all_to_all": 0.0}[collective]
    transfer = Transfer("any", collective, size, fewest, ranks)
    crossing, latency = least_transfer(transfer, machine.wires, machine.name)
    taken = transfer_time(transfer, machine.wires, PLAIN, machine.name)
    assert max(crossing, latency) <= taken * (1 + 1e-12)
    assert taken <= transfer_time(transfer, machine.wires, FITTED, machine.name)
    assert taken <= transfer_time(Transfer("any", collective, 2 * size, 0, ranks), machine.wires, PLAIN, machine.name)


# -- stages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "pp", "expected"),
    [
        (8, 1, ()),
        (1, 8, ((NODE, 7),)),
        (4, 4, ((NODE, 2), (ROW, 1))),  # within a node, out of it, within the next
        (8, 8, ((ROW, 7),)),
        (8, 9, ((ROW, 7), (HALL, 1))),
        (3, 3, ((NODE, 1), (ROW, 1))),  # the third stage begins at device 6 and ends at 8
        (2, 32, ((NODE, 24), (ROW, 7))),
        (100, 2, ((HALL, 1),)),
    ],
)
def test_a_hand_over_takes_the_smallest_domain_of_both_stages(width: int, pp: int, expected: Any) -> None:
    assert stage_hops(width, pp, WIRES, "a part") == expected
    assert sum(count for _, count in expected) == pp - 1


def test_hand_overs_pay_hops_and_bytes() -> None:
    assert hop_seconds(((NODE, 3), (ROW, 2)), 50, PLAIN, "node") == 3 * (2 + 50 / 100) + 2 * (2 * 3 + 50 / 10)
    assert hop_seconds(((NODE, 2),), 50, FITTED, "node") == 2 * (0.25 + 2 + 50 / 50)
    mesh = Wire("mesh", 70.0, 1.0, 1, 8, "all_to_all")
    assert hop_seconds(((mesh, 1),), 50, PLAIN, "mesh") == 1 + 50 / 10  # one wire of seven leads there


def test_hand_overs_cross_as_messages_do_where_no_latency_is_published() -> None:
    fit, row = FITTED.model_copy(update={"crossing": 7.0}), replace(ROW, latency=0.0)
    assert hop_seconds(((row, 2),), 50, fit, "node") == 2 * (0.25 + 7 + 50 / 5)
    assert hop_seconds(((row, 2),), 50, fit, "row") == 2 * (0.25 + 50 / 5)
    assert hop_seconds(((ROW, 2),), 50, fit, "node") == 2 * (0.25 + 2 * 3 + 50 / 5)


def test_the_token_returns_over_the_widest_wire_it_crossed() -> None:
    """Four stages of four GPUs leave their node of eight once; the way back does, too."""
    part = Deployment("llama-3.1-8b", "h100-sxm", 16, tp=4, pp=4)
    step = part.settled().plan.decode(batch=1.0, context=10.0)
    assert [(wire.name, count) for wire, count in step.hops] == [("scale_up", 2), ("scale_out", 2)]
    prefill = part.settled().plan.prefill(batch=1.0, prompt=10.0, cached=0.0)
    assert [(wire.name, count) for wire, count in prefill.hops] == [("scale_up", 2), ("scale_out", 1)]


@given(spec=specs(least_links=0, most_links=0))
def test_a_missing_latency_or_hop_count_is_none_and_one(spec: dict[str, Any]) -> None:
    spec["link"] = {"only": {"topology": "switch", "bandwidth": {"value": "1 GB/s", "source": "a test"}}}
    (wire,) = parse_accelerator(spec, where="a test").numbers().wires
    assert (wire.latency, wire.hops, wire.domain, wire.bandwidth) == (0, 1, None, 1e9)


# -- latencies by reach -----------------------------------------------------------------------------------------------


def test_a_hop_table_is_read_by_reach() -> None:
    """The printed times to reach pooled SRAM: 8, 64, 128, 384, 640, 896 and 1152 GB of 500 MB each."""
    _, rack, row = wires = accelerator("groq-3-lpu").numbers().wires
    printed = {16: 0.35, 128: 0.75, 256: 1.15, 768: 1.60, 1280: 2.05, 1792: 2.50, 2304: 2.95}
    for devices, latency in printed.items():
        wire = next(each for each in wires if each.domain is not None and each.domain >= devices)
        assert wire.crossing(devices) == pytest.approx(latency * 1e-6)
        assert wire.crossing(devices - 1) == pytest.approx(latency * 1e-6)
    assert rack.nearest == pytest.approx(0.75e-6)
    assert row.nearest == pytest.approx(1.60e-6)


def test_a_sum_over_part_of_a_rack_pays_the_shorter_way() -> None:
    """No bytes: two trips within a group of 16, and two between the groups."""
    wires = accelerator("groq-3-lpu").numbers().wires
    assert seconds("all_reduce", 0, 16, wires) == pytest.approx(0.35e-6)
    assert seconds("all_reduce", 0, 128, wires) == pytest.approx(2 * 0.35e-6 + 2 * 0.75e-6)
    assert seconds("all_reduce", 0, 256, wires) == pytest.approx(2 * 0.35e-6 + 2 * 1.15e-6)


def test_hand_overs_within_half_a_rack_take_less() -> None:
    """Sixteen stages of 16: eight to each half of the rack, one hand-over from half to half."""
    wires = accelerator("groq-3-lpu").numbers().wires
    hops = stage_hops(16, 16, wires, "a part")
    assert [count for _, count in hops] == [14, 1]
    assert hop_seconds(hops, 0, PLAIN, wires[0].name) == pytest.approx(14 * 0.75e-6 + 1.15e-6)


@given(shares=st.lists(st.integers(1, 16), min_size=1, max_size=4), ranks=st.integers(2, 64), size=st.floats(0, 1e6))
def test_knowing_shorter_ways_is_never_slower(shares: list[int], ranks: int, size: float) -> None:
    table = tuple((8 * place, share / 16) for place, share in enumerate(sorted(shares), 2))
    known = (NODE, replace(ROW, within=table), HALL)
    for collective in ("all_reduce", "all_gather", "all_to_all"):
        assert seconds(collective, size, ranks, known) <= seconds(collective, size, ranks)
        least = max(least_transfer(Transfer("any", collective, size, 0, ranks), known, "a part"))
        assert least <= seconds(collective, size, ranks, known)


def test_a_path_of_the_spec_moves_the_whole_table() -> None:
    """Twice the latency of a link is twice that of each part of its domain."""
    part = accelerator("groq-3-lpu")
    twice = replace(part.numbers().wires[1], latency=2 * 1.15e-6)
    assert twice.crossing(128) == pytest.approx(2 * 0.75e-6)
    lpus = Deployment("llama-3.1-70b", part, 256, tp=16, pp=16, quantization="fp8")
    assert 0 < rl.sensitivity(lpus.decode, batch=1, context=1024)["link.rack.latency"] < 1


# -- crossings whose latency nobody published -------------------------------------------------------------------------


def test_a_published_latency_is_taken_before_a_measured_crossing() -> None:
    for collective in ("all_reduce", "all_gather", "all_to_all"):
        assert seconds(collective, 640.0, 16, fit=CROSSING) == seconds(collective, 640.0, 16)


def test_an_all_reduce_crosses_twice_and_an_exchange_once() -> None:
    silent = (NODE, replace(ROW, latency=0.0))
    for collective, crossings in (("all_reduce", 2), ("all_gather", 1), ("all_to_all", 1)):
        free, paid = (seconds(collective, 640.0, 16, silent, fit) for fit in (PLAIN, CROSSING))
        assert paid - free == pytest.approx(7.0 * crossings)
        assert seconds(collective, 640.0, 8, silent, CROSSING) == seconds(collective, 640.0, 8, silent)


def test_parts_take_the_crossing_of_their_class() -> None:
    """All-reduces of sixteen H100 cross between two nodes, twice each; what cannot be beaten has no such latency."""
    deployment = Deployment("llama-3.1-70b", "h100-sxm", devices=16, tp=16, pp=1, dp=1, quantization="fp8")
    crossing = part_class("hbm").efficiency.collectives["all_reduce"].crossing
    assert crossing is not None
    assert 1e-5 < crossing < 3e-5
    one = transfer_time(
        Transfer("any", "all_reduce", 1.0, 0, 16),
        deployment.settled().machine.wires,
        deployment.rates.of_transfer(Transfer("any", "all_reduce", 1.0, 0, 16)),
        "h100-sxm",
    )
    fit = calibration("h100-sxm").collectives["all_reduce"]
    assert one == pytest.approx(fit.staged_overhead + 2 * crossing, rel=1e-3)
    exchange = deployment.rates.of_transfer(Transfer("any", "all_to_all", 1.0, 0, 16))
    assert exchange.crossing is None
    ideal = Deployment("llama-3.1-70b", "h100-sxm", 16, tp=16, pp=1, dp=1, quantization="fp8", efficiency="ideal")
    assert ideal.rates.of_transfer(Transfer("any", "all_reduce", 1.0, 0, 16)).crossing is None
