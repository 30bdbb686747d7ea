"""Pipelines and capacity: micro-batches, stages, hops, and how many devices hold a model.

A pipeline raises throughput, never the speed of one token: a token visits the stages in turn, so only the ranks of one
stage read weights for it at a time.
"""

from roofline.equations.collectives import point_to_point
from roofline.equations.fitted import square_root_all_reduce
from roofline.equations.logarithms import natural_of_binary
from roofline.equations.rooflines import memory_time
from roofline.numeric import Num, ceil, log2, maximum, sqrt

__all__ = [
    "batch_for_capacity",
    "batch_for_stage",
    "devices_for_capacity",
    "hop_time",
    "memory_occupancy",
    "micro_batch",
    "micro_batches",
    "optimal_width_ring",
    "optimal_width_sqrt",
    "optimal_width_tree",
    "pipeline_makespan",
    "ring_sync",
    "square_root_sync",
    "streaming_latency",
    "token_interval",
    "tree_sync",
]


def micro_batch(batch: Num, stages: Num) -> Num:
    """The sequences of the fullest micro-batch when a batch is spread over the stages.

    Arguments:
        batch : sequences in flight in the whole pipeline [1]
        stages : pipeline stages [1]

    Returns the number of sequences [1].

    Source: Huang et al. 2019, "GPipe", arXiv:1811.06965, section 2.2.

    >>> micro_batch(100, 8)
    13
    """
    return ceil(batch / stages)


def micro_batches(batch: Num, micro_batch: Num) -> Num:
    """The micro-batches that a batch makes.

    Arguments:
        batch : sequences in flight in the whole pipeline [1]
        micro_batch : sequences of a full micro-batch [1]

    Returns the number of micro-batches [1].

    Source: Huang et al. 2019, "GPipe", arXiv:1811.06965, section 2.2.

    >>> micro_batches(100, 13)
    8
    """
    return ceil(batch / micro_batch)


def token_interval(stages_total: Num, hops_total: Num, micro_batches: Num, slowest_stage: Num) -> Num:
    """The time between two tokens of one sequence in a pipeline.

    Arguments:
        stages_total : time of all stages for one micro-batch, added up [s]
        hops_total : time of all transfers between stages, back to the first one included [s]
        micro_batches : micro-batches in flight [1]
        slowest_stage : time of the slowest stage for one micro-batch [s]

    Returns the time [s].

    Source: Narayanan et al. 2021, arXiv:2104.04473, section 2.2 (pipeline bubble), with the last stage feeding the
    first.

    Either the token's own way round limits, or the stage that every micro-batch must pass. Never the first term
    divided by the number of stages: that is throughput, not latency.

    >>> token_interval(8, 1, 12, 1)
    12
    """
    return maximum(stages_total + hops_total, micro_batches * slowest_stage)


def pipeline_makespan(stages_total: Num, hops_total: Num, micro_batches: Num, slowest_stage: Num) -> Num:
    """The time from the first micro-batch's entry into a pipeline to the last one's exit.

    Arguments:
        stages_total : time of all stages for one micro-batch, added up [s]
        hops_total : time of all transfers between stages [s]
        micro_batches : micro-batches that pass in turn [1]
        slowest_stage : time of the slowest stage for one micro-batch [s]

    Returns the time [s].

    Source: Narayanan et al. 2021, arXiv:2104.04473, section 2.2: the first micro-batch fills the pipeline, each
    further one follows at the pace of the slowest stage.

    >>> pipeline_makespan(8, 1, 3, 2)
    13
    """
    return stages_total + hops_total + (micro_batches - 1) * slowest_stage


def hop_time(hops: Num, latency: Num, size: Num, bandwidth: Num) -> Num:
    """The time to hand a micro-batch's activations to the next stage.

    Arguments:
        hops : hops between the stages [1]
        latency : per hop [s]
        size : activations of the micro-batch [B]
        bandwidth : one direction of the narrowest link [B/s]

    Returns the time [s].

    Source: Abts et al. 2022, doi:10.1145/3470496.3527405, section on network latency.

    >>> hop_time(2, 1, 8, 4)
    4.0
    """
    return point_to_point(size, bandwidth, latency, hops)


def devices_for_capacity(need: Num, capacity: Num) -> Num:
    """The devices whose memories together hold a need.

    Arguments:
        need : bytes to hold: weights, cache, activations, programs [B]
        capacity : usable memory of one device [B]

    Returns the number of devices [1].

    Source: Davies et al. 2025, "LIMINAL", arXiv:2507.14397, capacity constraint.

    Perfect packing. Whole layers or whole heads per device may need more.

    >>> devices_for_capacity(70000, 230)
    305
    """
    return ceil(need / capacity)


def memory_occupancy(need: Num, capacity: Num, devices: Num) -> Num:
    """The share of the devices' memory that a need takes.

    Arguments:
        need : bytes to hold: weights, cache, activations, programs [B]
        capacity : usable memory of one device [B]
        devices : devices that share the need [1]

    Returns the share; above one it does not fit [1].

    Source: Davies et al. 2025, "LIMINAL", arXiv:2507.14397, capacity constraint.

    >>> memory_occupancy(93400, 230, 576)
    0.705012
    """
    return need / (devices * capacity)


def batch_for_capacity(usable: Num, devices: Num, capacity: Num, weight_bytes: Num, kv_bytes_per_sequence: Num) -> Num:
    """The most sequences whose caches fit beside the weights.

    Arguments:
        usable : share of the memory left for weights and cache [1]
        devices : devices that share weights and cache evenly [1]
        capacity : memory of one device [B]
        weight_bytes : weights, all devices together [B]
        kv_bytes_per_sequence : key-value cache of one sequence at its context, all layers [B]

    Returns the number of sequences, rounded down; negative where the weights alone do not fit [1].

    Source: Davies et al. 2025, "LIMINAL", arXiv:2507.14397, capacity constraint, solved for the batch.

    >>> batch_for_capacity(1, 8, 10, 30, 7)
    7
    """
    return 0 - ceil((weight_bytes - usable * devices * capacity) / kv_bytes_per_sequence)


def batch_for_stage(bandwidth: Num, stage_time: Num, weight_bytes: Num, kv_bytes_per_sequence: Num) -> Num:
    """The sequences whose cache a device can read in the time that a stage allows.

    Arguments:
        bandwidth : memory rate of the device [B/s]
        stage_time : time the stage may take [s]
        weight_bytes : weights the device reads in that stage [B]
        kv_bytes_per_sequence : cache of one sequence that the device reads in that stage [B]

    Returns the number of sequences, not rounded [1].

    Source: StepFun 2025, "Step-3", arXiv:2507.19427, the L20 example.

    >>> batch_for_stage(864, 1, 64, 100)
    8.0
    """
    return (bandwidth * stage_time - weight_bytes) / kv_bytes_per_sequence


def streaming_latency(traffic: Num, ranks: Num, bandwidth: Num, sync: Num, hops: Num, hop_latency: Num) -> Num:
    """The time of one token through stages of SRAM-only devices, each stage reading its own share in turn.

    Arguments:
        traffic : weights and cache that one token reads, all stages together [B]
        ranks : devices of one stage, which read at the same time [1]
        bandwidth : memory rate of one device [B/s]
        sync : synchronisation inside the stages, all layers together [s]
        hops : hops between the stages on the token's way [1]
        hop_latency : per hop [s]

    Returns the time [s].

    Source: Abts et al. 2022, doi:10.1145/3470496.3527405 (layers mapped to chips, deterministic hops).

    The divisor is the width of a stage, not the size of the system: 576 chips in stages of eight read at the rate of
    eight as far as one token is concerned.

    >>> streaming_latency(80, 8, 10, 1, 3, 2)
    8.0
    """
    return memory_time(traffic, ranks * bandwidth) + sync + hops * hop_latency


def tree_sync(layers: Num, ranks: Num, latency: Num) -> Num:
    """The latency of two tree-like synchronisations per layer.

    Arguments:
        layers : transformer layers [1]
        ranks : ranks that synchronise [1]
        latency : per level of the tree [s]

    Returns the time [s].

    Source: Thakur, Rabenseifner, Gropp 2005, doi:10.1177/1094342005051521, section 4 (the lg p terms).

    The logarithm is not rounded up, so that the width may be varied smoothly; `tree_all_reduce` rounds.

    >>> tree_sync(10, 8, 1)
    60.0
    """
    return 2 * layers * latency * log2(ranks)


def ring_sync(layers: Num, ranks: Num, latency: Num) -> Num:
    """The latency of two synchronisations per layer that pass every rank in turn.

    Arguments:
        layers : transformer layers [1]
        ranks : ranks that synchronise [1]
        latency : per rank passed [s]

    Returns the time [s].

    Source: Thakur, Rabenseifner, Gropp 2005, doi:10.1177/1094342005051521, section 4.1 (the p - 1 terms).

    >>> ring_sync(10, 8, 1)
    140
    """
    return 2 * layers * latency * (ranks - 1)


def square_root_sync(layers: Num, all_reduces: Num, ranks: Num, base: Num, slope: Num) -> Num:
    """The latency of a step's all-reduces when each grows with the side of a square of ranks.

    Arguments:
        layers : transformer layers [1]
        all_reduces : all-reduces per layer [1]
        ranks : ranks that synchronise [1]
        base : time of one all-reduce on one rank [s]
        slope : further time per rank of the side [s]

    Returns the time [s].

    Source: Erdil 2025, "Inference economics of language models", arXiv:2506.04645, section 2.2.

    >>> square_root_sync(10, 4, 16, 6, 2)
    480.0
    """
    return layers * all_reduces * square_root_all_reduce(ranks, base, slope)


def optimal_width_tree(traffic: Num, layers: Num, latency: Num, bandwidth: Num) -> Num:
    """The tensor-parallel width of least latency where synchronisation is `tree_sync`.

    Arguments:
        traffic : weights and cache that one token reads [B]
        layers : transformer layers [1]
        latency : per level of the tree [s]
        bandwidth : memory rate of one device [B/s]

    Returns the number of ranks, not rounded [1].

    Source: minimum of `streaming_latency` with `tree_sync`; the form of Erdil 2025, arXiv:2506.04645, section 2.2.

    The factor is ln 2: the tree's depth is a binary logarithm and its slope is taken in ranks.

    >>> optimal_width_tree(1000, 10, 1, 5)
    6.93147
    """
    return natural_of_binary(traffic / (2 * layers * latency * bandwidth))


def optimal_width_ring(traffic: Num, layers: Num, latency: Num, bandwidth: Num) -> Num:
    """The tensor-parallel width of least latency where synchronisation is `ring_sync`.

    Arguments:
        traffic : weights and cache that one token reads [B]
        layers : transformer layers [1]
        latency : per rank passed [s]
        bandwidth : memory rate of one device [B/s]

    Returns the number of ranks, not rounded [1].

    Source: minimum of `streaming_latency` with `ring_sync`; the form of Erdil 2025, arXiv:2506.04645, section 2.2.

    >>> optimal_width_ring(1000, 10, 1, 5)
    3.16228
    """
    return sqrt(traffic / (2 * layers * latency * bandwidth))


def optimal_width_sqrt(traffic: Num, layers: Num, all_reduces: Num, slope: Num, bandwidth: Num) -> Num:
    """The tensor-parallel width of least latency where synchronisation is `square_root_sync`.

    Arguments:
        traffic : weights and cache that one token reads [B]
        layers : transformer layers [1]
        all_reduces : all-reduces per layer [1]
        slope : time of one all-reduce per rank of the side [s]
        bandwidth : memory rate of one device [B/s]

    Returns the number of ranks, not rounded [1].

    Source: Erdil 2025, "Inference economics of language models", arXiv:2506.04645, section 2.2.

    The power of two thirds makes the result a float, also for exact numbers.

    >>> optimal_width_sqrt(1000, 10, 4, 1, 5)
    4.64159
    """
    return (2 * traffic / (layers * all_reduces * slope * bandwidth)) ** (2 / 3)
