"""Laws fitted to measured libraries: right near the machines they were fitted to, and nowhere else.

For a network that is described by its latency and bandwidth, take `collectives` instead.
"""

from roofline.numeric import Num, log2, sqrt

__all__ = ["measured_all_reduce", "square_root_all_reduce"]


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
    payload_share: Num,
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
        payload_share : share of the transferred bytes that is data [1]

    Returns the time [s].

    Source: Erdil 2025, "Inference economics of language models", arXiv:2506.04645, all-reduce model, after
    NVIDIA NCCL, src/graph/tuning.cc (latency tables).

    Latency inside and across, base and payload share: 0.6, 5, 6.8 us and 0.5 for LL; 1.25, 8.5, 14 us and 0.95 for
    LL128; 28, 28, 0 us and 1 for Simple. The library takes the fastest. The depth between nodes is not rounded up, as
    in the source.

    >>> measured_all_reduce(0, 8, 1, 1, 1, 1, 5, 7, 1)
    21.0
    """
    per_node = ranks / nodes - 1
    steps = 2 * (per_node * latency_inside + latency_across * log2(nodes))
    inside = nodes * per_node * size / (ranks * bandwidth_inside)
    across = (nodes - 1) * size / (ranks * bandwidth_across)
    return steps + base + (inside + across) / payload_share
