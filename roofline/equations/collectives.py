"""Collective communication: a latency per message and a rate per byte.

`size` is the full buffer of one rank, `bandwidth` is one direction of one rank (a link printed as "900 GB/s
bidirectional" has 450), `latency` is per message. Forms with a logarithm round its value up, also as symbols: trees on
twelve ranks are as deep as on sixteen.
"""

from roofline.numeric import Num, ceil, log2, maximum, sqrt

__all__ = [
    "bruck_all_to_all",
    "full_mesh_links",
    "hierarchical_all_reduce",
    "lane_bandwidth",
    "measured_all_reduce",
    "one_shot_all_reduce",
    "one_shot_crossover",
    "optimal_gather_ranks",
    "optimal_hidden_ranks",
    "pairwise_all_to_all",
    "payload_fraction",
    "point_to_point",
    "recursive_all_reduce",
    "ring_all_gather",
    "ring_all_reduce",
    "square_root_all_reduce",
    "switch_all_reduce",
    "torus_all_gather",
    "torus_crossover",
    "tree_all_reduce",
    "tree_depth",
    "two_shot_all_reduce",
    "weight_gathered_volume",
    "weight_stationary_volume_1d",
    "weight_stationary_volume_2d",
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


def square_root_all_reduce(ranks: Num, base: Num, slope: Num) -> Num:
    """The time of a small all-reduce that grows with the side of a square of ranks.

    Arguments:
        ranks : ranks that take part [1]
        base : time on one rank [s]
        slope : further time per rank of the side [s]

    Returns the time [s].

    Source: Erdil 2025, "Inference economics of language models", arXiv:2506.04645, section 2.2 (6 us and 2 us).

    A fit to GPUs with two-dimensional tensor parallelism. It says 50 ms per token for 2,304 chips of a network without
    contention or launches, which such networks refute: use `point_to_point` there.

    >>> square_root_all_reduce(16, 6, 2)
    12.0
    """
    return base + slope * (sqrt(ranks) - 1)


def measured_all_reduce(
    size: Num,
    ranks: Num,
    nodes: Num,
    bandwidth_inside: Num,
    bandwidth_across: Num,
    latency_inside: Num,
    latency_across: Num,
    base: Num,
    payload: Num,
) -> Num:
    """The time of an all-reduce by one protocol of NCCL, with its tuned latencies.

    Arguments:
        size : the buffer of one rank [B]
        ranks : ranks that take part, over all nodes [1]
        nodes : nodes they are spread over [1]
        bandwidth_inside : effective rate inside a node, both passes of the algorithm counted [B/s]
        bandwidth_across : effective rate between nodes, both passes of the algorithm counted [B/s]
        latency_inside : per step inside a node [s]
        latency_across : per step between nodes [s]
        base : fixed time [s]
        payload : share of the transferred bytes that is data [1]

    Returns the time [s].

    Source: Erdil 2025, "Inference economics of language models", arXiv:2506.04645, all-reduce model, after
    NVIDIA NCCL, src/graph/tuning.cc (latency tables).

    Inside, across, base and payload are 0.6, 5, 6.8 us and 0.5 for LL; 1.25, 8.5, 14 us and 0.95 for LL128; 28, 28,
    0 us and 1 for Simple. The library takes the fastest of the three. The depth between nodes is not rounded up: this
    is a fit, and the source's.

    >>> measured_all_reduce(0, 8, 1, 1, 1, 1, 5, 7, 1)
    21.0
    """
    per_node = ranks / nodes - 1
    steps = 2 * (per_node * latency_inside + latency_across * log2(nodes))
    inside = nodes * per_node * size / (ranks * bandwidth_inside)
    across = (nodes - 1) * size / (ranks * bandwidth_across)
    return steps + base + (inside + across) / payload


def weight_stationary_volume_1d(tokens: Num, hidden: Num, width: Num, ranks: Num) -> Num:
    """The bytes each rank sends per feed-forward whose weights are cut along the inner dimension.

    Arguments:
        tokens : tokens of the step [1]
        hidden : elements of the residual stream [1]
        width : bytes per activation [B]
        ranks : ranks that hold the weights [1]

    Returns the bytes sent and received by one rank, one all-gather and one reduce-scatter [B].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.1.

    Does not shrink as ranks are added, which is what limits one-dimensional tensor parallelism.

    >>> weight_stationary_volume_1d(1, 8, 1, 16)
    15.0
    """
    return 2 * tokens * hidden * width * (ranks - 1) / ranks


def weight_stationary_volume_2d(
    tokens: Num, hidden: Num, ffn: Num, width: Num, hidden_ranks: Num, ffn_ranks: Num
) -> Num:
    """The bytes each rank sends per feed-forward whose weights are cut along both dimensions.

    Arguments:
        tokens : tokens of the step [1]
        hidden : elements of the residual stream [1]
        ffn : inner elements of the feed-forward [1]
        width : bytes per activation [B]
        hidden_ranks : ranks along the residual stream [1]
        ffn_ranks : ranks along the inner dimension [1]

    Returns the bytes sent and received by one rank, two all-gathers and two reduce-scatters [B].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.2, with the factor (K-1)/K of each collective kept.

    The paper's 8/sqrt(n) drops that factor and overstates the volume by 45 % on 16 ranks. Feed-forwards of two
    matrices; a gated one sends its inner activations twice on the way in.

    >>> weight_stationary_volume_2d(1, 8, 32, 1, 2, 8)
    11.0
    """
    along_hidden = hidden / hidden_ranks * (ffn_ranks - 1) / ffn_ranks
    along_ffn = ffn / ffn_ranks * (hidden_ranks - 1) / hidden_ranks
    return 2 * tokens * width * (along_hidden + along_ffn)


def weight_gathered_volume(tokens: Num, hidden: Num, ffn: Num, width: Num, ranks: Num, gather_ranks: Num) -> Num:
    """The bytes each rank receives per feed-forward whose weights are gathered and whose tokens stay.

    Arguments:
        tokens : tokens of the step, over all ranks [1]
        hidden : elements of the residual stream [1]
        ffn : inner elements of the feed-forward [1]
        width : bytes per weight and per activation [B]
        ranks : ranks that hold the weights [1]
        gather_ranks : ranks over which the weights are gathered [1]

    Returns the bytes, weights and activations together [B].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.3 and appendix A.2.

    Asymptotic: the factor (K-1)/K of each collective is left out, as in the paper. Grows as the square root of the
    tokens at the best width, so it wins in prefill and large batches.

    >>> weight_gathered_volume(4, 8, 16, 1, 4, 2)
    160.0
    """
    weights = 2 * hidden * ffn * width * gather_ranks / ranks
    activations = 2 * tokens * hidden * width / gather_ranks
    return weights + activations


def optimal_hidden_ranks(hidden: Num, ffn: Num, ranks: Num) -> Num:
    """The ranks along the residual stream that make two-dimensional weight-stationary traffic least.

    Arguments:
        hidden : elements of the residual stream [1]
        ffn : inner elements of the feed-forward [1]
        ranks : ranks that hold the weights [1]

    Returns the number of ranks, not rounded [1].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.2 (half the root of n, for ffn four times hidden).

    Minimises the form without the factors (K-1)/K.

    >>> optimal_hidden_ranks(1, 4, 64)
    4.0
    """
    return sqrt(ranks * hidden / ffn)


def optimal_gather_ranks(tokens: Num, ffn: Num, ranks: Num) -> Num:
    """The ranks to gather weights over that make weight-gathered traffic least.

    Arguments:
        tokens : tokens of the step, over all ranks [1]
        ffn : inner elements of the feed-forward [1]
        ranks : ranks that hold the weights [1]

    Returns the number of ranks, not rounded [1].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.3 and appendix A.2.

    Real layouts gather over one, two or all three axes of a torus.

    >>> optimal_gather_ranks(4, 16, 4)
    1.0
    """
    return sqrt(tokens * ranks / ffn)


def payload_fraction(payload: Num, packet: Num) -> Num:
    """The share of a packet that is data.

    Arguments:
        payload : data bytes of a packet [B]
        packet : all its bytes [B]

    Returns the share [1].

    Source: Abts et al. 2022, doi:10.1145/3470496.3527405, packet format (320 of 328 bytes).

    >>> payload_fraction(320, 328)
    0.97561
    """
    return payload / packet


def lane_bandwidth(lanes: Num, line_rate: Num) -> Num:
    """The rate of a bundle of serial lanes in one direction.

    Arguments:
        lanes : lanes of the bundle [1]
        line_rate : bits per second of one lane, after coding where the effective rate is meant [bit/s]

    Returns the rate, one direction [B/s].

    Source: IEEE Std 802.3ck-2022 (one lane of 106.25 Gbit/s carries 100 Gbit/s).

    Product pages print both directions together: twice this.

    >>> lane_bandwidth(4, 100)
    50.0
    """
    return lanes * line_rate / 8


def full_mesh_links(ranks: Num) -> Num:
    """The cables that join every rank to every other.

    Arguments:
        ranks : ranks that take part [1]

    Returns the number of cables [1].

    Source: Abts et al. 2022, doi:10.1145/3470496.3527405, node of eight fully connected chips (28 cables).

    >>> full_mesh_links(8)
    28.0
    """
    return ranks * (ranks - 1) / 2
