"""Collective communication: a latency per message and a rate per byte.

`size` is the full buffer of one rank, `bandwidth` is one direction of one rank (a link printed as "900 GB/s
bidirectional" has 450), `latency` is per message. Forms with a logarithm round its value up, also as symbols: trees on
twelve ranks are as deep as on sixteen.
"""

from roofline.numeric import Num, ceil, log2, maximum

__all__ = [
    "bruck_all_to_all",
    "hierarchical_all_reduce",
    "one_shot_all_reduce",
    "one_shot_crossover",
    "pairwise_all_to_all",
    "point_to_point",
    "recursive_all_reduce",
    "ring_all_gather",
    "ring_all_reduce",
    "switch_all_reduce",
    "torus_all_gather",
    "torus_crossover",
    "tree_all_reduce",
    "tree_depth",
    "two_shot_all_reduce",
]


def tree_depth(ranks: Num) -> Num:
    """The rounds in which pairwise exchange reaches every rank.

    Arguments:
        ranks : ranks that take part [1]

    Returns the number of rounds [1].

    Source: Thakur, Rabenseifner, Gropp 2005, doi:10.1177/1094342005051521, section 4 (the ceiling of lg p).

    The logarithm is rounded up for numbers and stays `ceiling(log(ranks)/log(2))` for symbols. Evaluated in floating
    point that symbolic quotient overshoots at some powers of two (2**29 is the first), where log2 is exact.

    >>> tree_depth(12)
    4
    """
    return ceil(log2(ranks))


def ring_all_gather(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time to gather every rank's share on every rank around a ring; a reduce-scatter costs the same.

    Arguments:
        size : the gathered buffer [B]
        ranks : ranks that take part [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the time [s].

    Source: Thakur, Rabenseifner, Gropp 2005, doi:10.1177/1094342005051521, section 4.1; Pope et al. 2022,
    arXiv:2211.05102, appendix A.1 (without latency).

    Nothing for one rank. The addition in a reduce-scatter is not counted.

    >>> ring_all_gather(8, 4, 2, 1)
    6.0
    """
    steps = ranks - 1
    return steps * latency + steps / ranks * size / bandwidth


def ring_all_reduce(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time to sum a buffer over all ranks around a ring: reduce-scatter, then all-gather.

    Arguments:
        size : the buffer of one rank [B]
        ranks : ranks that take part [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the time [s].

    Source: Patarasuk, Yuan 2009, doi:10.1016/j.jpdc.2008.09.002, section 3; Pope et al. 2022, arXiv:2211.05102,
    appendix A.1.

    >>> ring_all_reduce(8, 4, 2, 1)
    12.0
    """
    return 2 * ring_all_gather(size, ranks, bandwidth, latency)


def tree_all_reduce(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time to sum a buffer over all ranks on two complementary binary trees, pipelined.

    Arguments:
        size : the buffer of one rank [B]
        ranks : ranks that take part [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the time [s].

    Source: Sanders, Speck, Traff 2009, "Two-tree algorithms", doi:10.1016/j.parco.2009.09.001, section 3.

    The limit of fine pipelining. It does not vanish for one rank: the byte term assumes that a tree exists.

    >>> tree_all_reduce(8, 4, 2, 1)
    12.0
    """
    return 2 * tree_depth(ranks) * latency + 2 * size / bandwidth


def recursive_all_reduce(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time to sum a buffer over all ranks by recursive halving, then recursive doubling (Rabenseifner).

    Arguments:
        size : the buffer of one rank [B]
        ranks : ranks that take part [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the time [s].

    Source: Thakur, Rabenseifner, Gropp 2005, doi:10.1177/1094342005051521, section 4.5.

    Meant for powers of two. Other counts need one more exchange before and after, which is not in here; the rounded-up
    depth makes up for part of it.

    >>> recursive_all_reduce(8, 4, 2, 1)
    10.0
    """
    return 2 * tree_depth(ranks) * latency + 2 * (ranks - 1) / ranks * size / bandwidth


def one_shot_all_reduce(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time to sum a buffer when every rank reads the whole buffer of every other rank.

    Arguments:
        size : the buffer of one rank [B]
        ranks : ranks that take part [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the time [s].

    Source: NVIDIA TensorRT-LLM documentation, custom all-reduce strategies ("ONESHOT").

    One latency, many bytes: made for decode, whose messages are a few tens of kilobytes. Needs every rank to reach
    every other directly.

    >>> one_shot_all_reduce(8, 4, 2, 1)
    13.0
    """
    return latency + (ranks - 1) * size / bandwidth


def two_shot_all_reduce(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time to sum a buffer when every rank reads its share from all others and then reads their sums.

    Arguments:
        size : the buffer of one rank [B]
        ranks : ranks that take part [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the time [s].

    Source: NVIDIA TensorRT-LLM documentation, custom all-reduce strategies ("TWOSHOT").

    The bytes of a ring at two latencies. Needs every rank to reach every other directly.

    >>> two_shot_all_reduce(8, 4, 2, 1)
    8.0
    """
    return 2 * latency + 2 * (ranks - 1) / ranks * size / bandwidth


def switch_all_reduce(size: Num, bandwidth: Num, latency: Num) -> Num:
    """The time to sum a buffer in the switch: each rank sends its buffer once and receives the sum once.

    Arguments:
        size : the buffer of one rank [B]
        bandwidth : one direction of one rank [B/s]
        latency : per message, rank to switch [s]

    Returns the time [s].

    Source: Graham et al. 2016, "Scalable Hierarchical Aggregation Protocol", doi:10.1109/COMHPC.2016.006, section III.

    Independent of the number of ranks; against a ring the byte term shrinks by 2 (ranks - 1) / ranks.

    >>> switch_all_reduce(8, 2, 1)
    6.0
    """
    return 2 * latency + size / bandwidth


def pairwise_all_to_all(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time for every rank to send a different block to every other, one partner at a time.

    Arguments:
        size : the blocks of one rank, its own included [B]
        ranks : ranks that take part [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the time [s].

    Source: Thakur, Rabenseifner, Gropp 2005, doi:10.1177/1094342005051521, section 4.3 (long messages).

    >>> pairwise_all_to_all(8, 4, 2, 1)
    6.0
    """
    return (ranks - 1) * latency + (ranks - 1) / ranks * size / bandwidth


def bruck_all_to_all(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time for every rank to send a different block to every other, forwarding half of everything each round.

    Arguments:
        size : the blocks of one rank, its own included [B]
        ranks : ranks that take part [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the time [s].

    Source: Bruck et al. 1997, doi:10.1109/71.642949, section 3; Thakur, Rabenseifner, Gropp 2005,
    doi:10.1177/1094342005051521, section 4.3 (short messages).

    >>> bruck_all_to_all(8, 4, 2, 1)
    6.0
    """
    return tree_depth(ranks) * (latency + size / (2 * bandwidth))


def point_to_point(size: Num, bandwidth: Num, latency: Num, hops: Num) -> Num:
    """The time to send one message over a path that forwards without storing.

    Arguments:
        size : the message [B]
        bandwidth : one direction of the narrowest link [B/s]
        latency : per hop [s]
        hops : hops of the path [1]

    Returns the time [s].

    Source: Hockney 1994, doi:10.1016/S0167-8191(06)80021-9, section 2; Abts et al. 2022, "A Software-defined Tensor
    Streaming Multiprocessor", doi:10.1145/3470496.3527405, section on network latency (hops times 722 ns).

    >>> point_to_point(8, 2, 1, 3)
    7.0
    """
    return hops * latency + size / bandwidth


def hierarchical_all_reduce(
    size: Num,
    ranks_inside: Num,
    ranks_across: Num,
    bandwidth_inside: Num,
    bandwidth_across: Num,
    latency_inside: Num,
    latency_across: Num,
) -> Num:
    """The time to sum a buffer over nodes of ranks: reduce-scatter inside, all-reduce across, all-gather inside.

    Arguments:
        size : the buffer of one rank [B]
        ranks_inside : ranks of one node [1]
        ranks_across : nodes [1]
        bandwidth_inside : one direction of one rank inside its node [B/s]
        bandwidth_across : one direction of one rank between nodes [B/s]
        latency_inside : per message inside a node [s]
        latency_across : per message between nodes [s]

    Returns the time [s].

    Source: Cho et al. 2019, "BlueConnect", section 3 (MLSys 2019, reduce-scatter and all-gather per level).

    Each rank carries its own share across, so the between-node traffic shrinks by the ranks of a node.

    >>> hierarchical_all_reduce(8, 4, 1, 2, 1, 1, 5)
    12.0
    """
    inside = 2 * ring_all_gather(size, ranks_inside, bandwidth_inside, latency_inside)
    across = ring_all_reduce(size / ranks_inside, ranks_across, bandwidth_across, latency_across)
    return inside + across


def torus_all_gather(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time to gather every rank's share along one wrapped axis of a torus, both directions at work.

    Arguments:
        size : the gathered buffer [B]
        ranks : ranks on the axis [1]
        bandwidth : one direction of one link [B/s]
        latency : per hop [s]

    Returns the time [s].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "Sharded Matrices", all-gather.

    Uses the book's simplification: all of the buffer, not (ranks - 1)/ranks of it, at twice the one-way rate, and
    latency and bytes under a maximum. A line without the wrap-around link has half the rate.

    >>> torus_all_gather(360, 8, 45, 1)
    4.0
    """
    return maximum(ranks * latency / 2, size / (2 * bandwidth))


def torus_crossover(ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The buffer below which an all-gather along one axis of a torus costs its hops and not its bytes.

    Arguments:
        ranks : ranks on the axis [1]
        bandwidth : one direction of one link [B/s]
        latency : per hop [s]

    Returns the size of the gathered buffer [B].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "Sharded Matrices", all-gather.

    >>> torus_crossover(8, 45, 1)
    360
    """
    return ranks * latency * bandwidth


def one_shot_crossover(ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The buffer at which a one-shot all-reduce takes as long as a recursive one.

    Arguments:
        ranks : ranks that take part, more than two [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the size [B].

    Source: Thakur, Rabenseifner, Gropp 2005, doi:10.1177/1094342005051521, section 4.5, set equal to
    `one_shot_all_reduce`.

    Below it one shot wins. For two ranks both move the same bytes and one shot always wins: there is no crossing.

    >>> one_shot_crossover(8, 450, 1)
    428.571
    """
    rounds = 2 * tree_depth(ranks) - 1
    buffers = ranks - 1 - 2 * (ranks - 1) / ranks
    return rounds * latency * bandwidth / buffers
