"""How long a collective takes: the cheapest algorithm over the smallest domain of wires that joins the ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roofline.describe.efficiency import CollectiveFit
from roofline.describe.machine import Wire
from roofline.equations.collectives import (
    one_shot_all_reduce,
    point_to_point,
    ring_all_reduce,
    switch_all_reduce,
    two_shot_all_reduce,
)
from roofline.equations.exchanges import (
    direct_all_gather,
    direct_all_to_all,
    fanned_all_to_all,
    mesh_bandwidth,
    nodes_reached,
)
from roofline.errors import LayoutError, MissingNumber
from roofline.estimate.work import Transfer
from roofline.numeric import Num, minimum

SUMMING = "summing_switch"
"""The topology whose switch adds up what its devices send."""


@dataclass(frozen=True, slots=True)
class Route:
    """Which wires join some ranks: all on `inside`, or `groups` of `group` ranks on it, joined `across`."""

    inside: Wire
    group: int
    across: Wire | None
    groups: int


def reach(wires: Sequence[Wire]) -> float:
    """How many devices the wires of a part join at most [1]; one where no link is published."""
    if not wires:
        return 1
    return float("inf") if wires[-1].domain is None else float(wires[-1].domain)


def route(ranks: int, wires: Sequence[Wire], part: str) -> Route:
    """The smallest domain that joins `ranks` devices; `LayoutError` where none does, `MissingNumber` without a link."""
    if not wires:
        raise MissingNumber(f"{part}: no link to other devices is published, and {ranks} ranks need one")
    for index, wire in enumerate(wires):
        if wire.domain is None or wire.domain >= ranks:
            if index == 0:
                return Route(wire, ranks, None, 1)
            group = wires[index - 1].domain or 1
            return Route(wires[index - 1], group, wire, -(-ranks // group))
    largest = wires[-1].domain
    raise LayoutError(
        f"ranks on {part}", given=ranks, expected=f"at most the {largest} its links join", nearest=largest
    )


def reached_bandwidth(wire: Wire, ranks: int) -> Num:
    """What one rank has towards `ranks - 1` others: on a full mesh only the wires that lead to them."""
    if wire.topology != "all_to_all" or wire.domain is None or ranks >= wire.domain:
        return wire.bandwidth
    return mesh_bandwidth(wire.bandwidth, ranks, wire.domain)


def transfer_time(transfer: Transfer, wires: Sequence[Wire], fit: CollectiveFit, part: str) -> Num:
    """Seconds of a collective, its fitted fixed cost included; 0 for one rank."""
    if transfer.ranks == 1:
        return 0
    taken = route(transfer.ranks, wires, part)
    inside, size = taken.inside, transfer.size
    bandwidth, latency = reached_bandwidth(inside, taken.group) * fit.bandwidth, inside.crossing(taken.group)
    if taken.across is None:
        return _flat_time(transfer, inside, bandwidth, latency, fit)
    across = taken.across
    bandwidth_across, latency_across = across.bandwidth * fit.bandwidth, _crossing(across, transfer.ranks, fit)
    if transfer.collective == "all_reduce":
        # Scatter sums within a group, join shares across groups, gather within the group.
        within = direct_all_gather(size, taken.group, bandwidth, latency)
        joined = two_shot_all_reduce(size / taken.group, taken.groups, bandwidth_across, latency_across)
        return fit.staged_overhead + 2 * within + joined
    # What leaves a group crosses the outer wire; one group's share stays on the inner one.
    direct = direct_all_gather if transfer.collective == "all_gather" else direct_all_to_all
    outside = direct(size, taken.groups, bandwidth_across, latency_across)
    each = outside + direct(size / taken.groups, taken.group, bandwidth, latency)
    if transfer.collective == "all_gather":
        # Or what leaves a group crosses once, a share by each of its devices, which then have it from each other.
        shared = direct_all_gather(size / taken.group, taken.groups, bandwidth_across, latency_across)
        return fit.staged_overhead + minimum(each, shared + direct_all_gather(size, taken.group, bandwidth, latency))
    if transfer.copies == 1:
        return fit.staged_overhead + each
    shape = (taken.group, taken.groups, bandwidth, bandwidth_across, latency, latency_across)
    reached = nodes_reached(taken.groups, transfer.copies, transfer.expert_groups, transfer.chosen_groups)
    return fit.staged_overhead + minimum(each, fanned_all_to_all(size, transfer.once, reached, *shape))


def _crossing(across: Wire, ranks: int, fit: CollectiveFit) -> Num:
    """The latency of a message between groups: published, else as measured where it was [s]."""
    measured = measured_crossing(across, fit)
    return across.crossing(ranks) if measured is None else measured


def measured_crossing(across: Wire | None, fit: CollectiveFit) -> float | None:
    """What stands for the latency of a wire between groups that has none published, where that was measured [s]."""
    unpublished = across is not None and isinstance(across.latency, int | float) and across.latency == 0
    return fit.crossing if unpublished else None


def summed_overhead(wire: Wire, fit: CollectiveFit) -> float | None:
    """The fixed time of a sum in the switch; None where the switch does not sum, or was not measured to [s]."""
    return fit.summed_overhead if wire.topology == SUMMING else None


def _flat_time(transfer: Transfer, wire: Wire, bandwidth: Num, latency: Num, fit: CollectiveFit) -> Num:
    size, ranks = transfer.size, transfer.ranks
    if transfer.collective == "all_gather":
        return fit.overhead + direct_all_gather(size, ranks, bandwidth, latency)
    if transfer.collective == "all_to_all":
        return fit.overhead + direct_all_to_all(size, ranks, bandwidth, latency)
    if wire.topology in ("torus", "ring"):
        return fit.staged_overhead + ring_all_reduce(size, ranks, bandwidth, wire.latency)
    ways = [
        fit.overhead + one_shot_all_reduce(size, ranks, bandwidth, latency),
        fit.staged_overhead + two_shot_all_reduce(size, ranks, bandwidth, latency),
    ]
    summed = summed_overhead(wire, fit)
    if summed is not None:
        ways.append(summed + switch_all_reduce(size, bandwidth, latency))
    return minimum(*ways)


def least_transfer(transfer: Transfer, wires: Sequence[Wire], part: str) -> tuple[Num, Num]:
    """Two lower bounds of a collective [s]: of its bytes over the fastest wire, and of one crossing's latency.

    Nothing where nothing has to cross.
    """
    if transfer.ranks == 1 or (isinstance(transfer.fewest, int | float) and transfer.fewest == 0):
        return 0, 0
    taken = route(transfer.ranks, wires, part)
    fastest = reached_bandwidth(taken.inside, taken.group)
    if taken.across is not None:
        fastest = fastest + taken.across.bandwidth
    return transfer.fewest / fastest, taken.inside.nearest


def stage_hops(width: int, pp: int, wires: Sequence[Wire], part: str) -> tuple[tuple[Wire, int], ...]:
    """Wires that carry activations from stage to stage of `width` devices, with how many hand-overs each carries.

    Stages lie side by side: a hand-over leaves the smallest domain where the next stage begins outside it.
    """
    if pp == 1:
        return ()
    counts: dict[Wire, int] = {}
    route(width * pp, wires, part)
    for stage in range(1, pp):
        wire = _joining(stage * width, width, wires)
        counts[wire] = counts.get(wire, 0) + 1
    return tuple(counts.items())


def _joining(first: int, width: int, wires: Sequence[Wire]) -> Wire:
    """The smallest domain that holds the devices of two neighbouring stages, of which the second begins at `first`.

    Where the latency of a part of the domain is known and the part holds them, that many hops fewer.
    """

    def together(devices: int) -> bool:
        return (first - width) // devices == (first + width - 1) // devices

    for wire in wires:
        if wire.domain is None or together(wire.domain):
            share = next((share for size, share in wire.within if together(size)), 1.0)
            return wire if share == 1 else replace(wire, hops=wire.hops * share)
    return wires[-1]


def hop_seconds(hops: Sequence[tuple[Wire, int]], size: Num, fit: CollectiveFit, nearest: str) -> Num:
    """Seconds that a micro-batch spends between stages: bytes, latencies, and what an exchange between two takes.

    `nearest` names the innermost wire. A hand-over over others crosses as a collective's message does.
    """
    total: Num = 0
    for wire, count in hops:
        bandwidth = reached_bandwidth(wire, 2) * fit.bandwidth
        crossing = None if wire.name == nearest else measured_crossing(wire, fit)
        fixed = fit.overhead if crossing is None else fit.overhead + crossing
        total = total + count * (fixed + point_to_point(size, bandwidth, wire.latency, wire.hops))
    return total
