"""Collectives on wires that join every rank to every other directly: one message latency, whatever the ranks.

`size` is the full buffer of one rank, `bandwidth` one direction of one rank, `latency` that of one message.
"""

from roofline.equations.experts import distinct_experts
from roofline.numeric import Num, maximum

__all__ = [
    "direct_all_gather",
    "direct_all_to_all",
    "fanned_all_to_all",
    "fullest_rank_reached",
    "mesh_bandwidth",
    "nodes_reached",
]


def mesh_bandwidth(bandwidth: Num, ranks: Num, domain: Num) -> Num:
    """The rate of one rank where a full mesh of wires joins a domain and only some of its devices take part.

    Arguments:
        bandwidth : one direction of one device over all its wires [B/s]
        ranks : ranks that take part [1]
        domain : devices that the mesh joins [1]

    Returns the rate of the wires that lead to other ranks [B/s].

    Source: AMD, "Instinct MI300X system acceptance guide", xGMI topology: each pair of eight GPUs has a wire of its
    own, so two GPUs exchange at a seventh of what one GPU has.

    >>> mesh_bandwidth(448, 2, 8)
    64.0
    """
    return bandwidth * (ranks - 1) / (domain - 1)


def direct_all_gather(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time for every rank to read every other rank's share at once; a reduce-scatter costs the same.

    Arguments:
        size : the gathered buffer [B]
        ranks : ranks that take part [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the time [s].

    Source: Thakur, Rabenseifner, Gropp 2005, doi:10.1177/1094342005051521, section 4.1 (the bytes of a ring), with the
    rounds of a ring made at the same time.

    >>> direct_all_gather(8, 4, 2, 1)
    4.0
    """
    return latency + (ranks - 1) / ranks * size / bandwidth


def direct_all_to_all(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time for every rank to send a different block to every other, all at once.

    Arguments:
        size : the buffer of one rank, all blocks together [B]
        ranks : ranks that take part [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the time [s].

    Source: Thakur, Rabenseifner, Gropp 2005, doi:10.1177/1094342005051521, section 4.3 (pairwise exchange), with the
    rounds made at the same time.

    A rank keeps its own block, so only (ranks - 1) / ranks of the buffer crosses.

    >>> direct_all_to_all(8, 4, 2, 1)
    4.0
    """
    return latency + (ranks - 1) / ranks * size / bandwidth


def nodes_reached(nodes: Num, copies: Num, expert_groups: Num, chosen_groups: Num) -> Num:
    """The nodes that hold at least one of the experts that a token is sent to.

    Arguments:
        nodes : that hold the experts, that of the token among them [1]
        copies : experts of a token [1]
        expert_groups : groups that a router has the experts in, one where it is free to take any [1]
        chosen_groups : groups to which it limits a token [1]

    Returns the number of nodes that are expected [1].

    Source: derivation, from the cells that are not empty when each of `copies` balls falls into any alike (Feller 1968,
    "An Introduction to Probability Theory and Its Applications", volume 1, section IV.2) and the chance that a node has
    none of them, by the binomial law that comes closest to a draw without replacement (Wise 1954, "A quickly convergent
    expansion for cumulative hypergeometric probabilities", doi:10.1093/biomet/41.3-4.317). The limit is
    DeepSeek-V3's, to 4 of 8 groups (DeepSeek-AI 2024, arXiv:2412.19437, section 2.1.2).

    Cells are groups, or parts of groups where there are more nodes than groups. Within 3 % of all draws of groups where
    nodes and groups divide each other; where groups lie across two nodes it is too few, by an eighth for 4 groups of 8
    on 7 or 9 nodes. Experts are taken to be drawn independently of each other.

    >>> nodes_reached(4, 2, 1, 1)
    1.75
    >>> nodes_reached(4, 8, 8, 4)
    2.91815
    """
    cells = maximum(nodes, expert_groups)
    reached = distinct_experts(cells * chosen_groups / expert_groups, 1, copies)
    on_a_node = cells / nodes
    missed = maximum(1 - reached / (cells - (on_a_node - 1) / 2), 0) ** on_a_node
    return maximum(nodes * (1 - missed), 1)


def fullest_rank_reached(ranks: Num, copies: Num, expert_groups: Num, chosen_groups: Num, crowded: Num) -> Num:
    """The tokens that have at least one of their experts on the fullest rank, over those that have one on any rank.

    Arguments:
        ranks : that hold the experts [1]
        copies : experts of a token [1]
        expert_groups : groups that a router has the experts in, one where it is free to take any [1]
        chosen_groups : groups to which it limits a token [1]
        crowded : rows of the fullest rank over those of an average one [1]

    Returns the factor, at least one and at most `crowded` [1].

    Source: derivation. A rank to which so many times as many copies fall as to others is reached like each of so many
    times fewer ranks, by the cells of `nodes_reached` (Feller 1968, "An Introduction to Probability Theory and Its
    Applications", volume 1, section IV.2).

    A token is sent to a rank once, so that one that is often chosen receives fewer tokens than it has rows.

    >>> fullest_rank_reached(2, 2, 1, 1, 1.5)
    1.25
    """
    average = nodes_reached(ranks, copies, expert_groups, chosen_groups)
    return crowded * nodes_reached(ranks / crowded, copies, expert_groups, chosen_groups) / average


def fanned_all_to_all(
    size: Num,
    once: Num,
    reached: Num,
    ranks_inside: Num,
    ranks_across: Num,
    bandwidth_inside: Num,
    bandwidth_across: Num,
    latency_inside: Num,
    latency_across: Num,
) -> Num:
    """The time to send copies of every row to experts, each row once to every node that has some, and on inside it.

    Arguments:
        size : the copies of all rows of one rank [B]
        once : all rows of one rank, each a single time [B]
        reached : nodes that hold experts of a row [1]
        ranks_inside : ranks of one node [1]
        ranks_across : nodes [1]
        bandwidth_inside : one direction of one rank inside its node [B/s]
        bandwidth_across : one direction of one rank between nodes [B/s]
        latency_inside : per message inside a node [s]
        latency_across : per message between nodes [s]

    Returns the time [s].

    Source: DeepSeek-AI 2024, "DeepSeek-V3 Technical Report", arXiv:2412.19437, section 3.2.2 (a token crosses to the
    rank of the same number in each of its nodes, and is forwarded there); the way back sums inside first.

    Crossing and forwarding follow each other here; kernels overlap them in part.

    >>> fanned_all_to_all(8, 4, 1.75, 4, 4, 2, 1, 1, 5)
    14.25
    """
    outside = direct_all_to_all(once * reached, ranks_across, bandwidth_across, latency_across)
    return outside + direct_all_to_all(size, ranks_inside, bandwidth_inside, latency_inside)
