"""How fast a device can go: arithmetic against memory, and where the two meet.

Peaks are dense rates (a figure printed "with sparsity" is twice that); a multiply-add is two FLOP.
"""

from roofline.numeric import Num, maximum, minimum

__all__ = [
    "additive_decode_step",
    "attainable",
    "compute_time",
    "critical_batch",
    "dealt_flops",
    "fused_critical_batch",
    "fused_critical_context",
    "intensity",
    "launched_time",
    "memory_time",
    "operation_time",
    "ridge_point",
    "streaming_time",
    "sweep_time",
    "tier_bytes",
    "unfed_operation_time",
]


def ridge_point(peak: Num, bandwidth: Num) -> Num:
    """The arithmetic intensity at which a device's arithmetic and its memory take equally long.

    Arguments:
        peak : dense arithmetic rate at the operands' format [FLOP/s]
        bandwidth : rate of the memory that holds the operands [B/s]

    Returns the ridge point [FLOP/B].

    Source: Williams, Waterman, Patterson 2009, "Roofline", doi:10.1145/1498765.1498785, "The Roofline Model".

    A ridge point without a format and without "dense" or "sparse" beside it means nothing: the same H100 has 295 in
    dense bf16 and 591 in sparse bf16 or dense fp8.

    >>> ridge_point(312, 2)
    156.0
    """
    return peak / bandwidth


def intensity(flops: Num, traffic: Num) -> Num:
    """The arithmetic done per byte moved.

    Arguments:
        flops : arithmetic of the operation [FLOP]
        traffic : bytes the operation moves to and from memory [B]

    Returns the arithmetic intensity [FLOP/B].

    Source: Williams, Waterman, Patterson 2009, doi:10.1145/1498765.1498785, "operational intensity".

    >>> intensity(600, 4)
    150.0
    """
    return flops / traffic


def attainable(peak: Num, bandwidth: Num, intensity: Num) -> Num:
    """The arithmetic rate a device can reach on work of a given intensity.

    Arguments:
        peak : dense arithmetic rate at the operands' format [FLOP/s]
        bandwidth : rate of the memory that holds the operands [B/s]
        intensity : arithmetic done per byte moved [FLOP/B]

    Returns the attainable rate [FLOP/s].

    Source: Williams, Waterman, Patterson 2009, doi:10.1145/1498765.1498785, the displayed minimum.

    >>> attainable(312, 2, 100)
    200
    """
    return minimum(peak, bandwidth * intensity)


def compute_time(flops: Num, peak: Num) -> Num:
    """The time the arithmetic alone takes.

    Arguments:
        flops : arithmetic of the operation [FLOP]
        peak : dense arithmetic rate at the operands' format [FLOP/s]

    Returns the time [s].

    Source: Williams, Waterman, Patterson 2009, doi:10.1145/1498765.1498785, "The Roofline Model".

    >>> compute_time(989, 1978)
    0.5
    """
    return flops / peak


def dealt_flops(flops: Num, longest: Num, cores: Num) -> Num:
    """The arithmetic that a device could do while its cores work on blocks of unequal length, the last one alone.

    Arguments:
        flops : arithmetic of the operation [FLOP]
        longest : arithmetic of its longest block, which one core works on [FLOP]
        cores : cores that blocks are dealt to [1]

    Returns the arithmetic, with what cores could do that wait for the last block [FLOP].

    Source: Graham 1969, "Bounds on Multiprocessing Timing Anomalies", SIAM J. Appl. Math. 17, Theorem 1: blocks dealt
    out to m cores as these come free take at most 1/m of all their time and (m - 1)/m of the longest one's.

    Few short sequences keep few cores busy; with many blocks for each core the end is hardly noticed.

    >>> dealt_flops(1000, 10, 101)
    2000
    """
    return flops + (cores - 1) * longest


def memory_time(traffic: Num, bandwidth: Num) -> Num:
    """The time the memory traffic alone takes.

    Arguments:
        traffic : bytes the operation moves to and from memory [B]
        bandwidth : rate of the memory that holds the operands [B/s]

    Returns the time [s].

    Source: Williams, Waterman, Patterson 2009, doi:10.1145/1498765.1498785, "The Roofline Model".

    >>> memory_time(104, 1.5)
    69.3333
    """
    return traffic / bandwidth


def tier_bytes(start: Num, block: Num, below: Num, capacity: Num) -> Num:
    """The bytes of a block that lie in one memory tier, where tiers are filled in turn, the nearest first.

    Arguments:
        start : bytes placed before the block [B]
        block : bytes of the block [B]
        below : capacity of all nearer tiers [B]
        capacity : capacity of this tier [B]

    Returns the bytes of the block in this tier [B].

    Source: derived, as the overlap of two intervals; shares of weights and cache per memory follow Sheng et al. 2023,
    arXiv:2303.06865, "FlexGen".

    >>> tier_bytes(80, 50, 100, 64)
    30
    """
    return maximum(minimum(start + block, below + capacity) - maximum(start, below), 0)


def operation_time(compute: Num, memory: Num, feed: Num, network: Num, overhead: Num) -> Num:
    """The time of one operation whose arithmetic, memory traffic and operand feed overlap perfectly.

    Arguments:
        compute : time of the arithmetic [s]
        memory : time of the memory traffic [s]
        feed : time to bring the stationary operands into the matrix units, zero where nothing limits it [s]
        network : communication that is exposed, that is, not hidden behind the other three [s]
        overhead : fixed time per operation, such as a kernel launch [s]

    Returns the time [s].

    Source: Yuan et al. 2024, "LLM Inference Unveiled", arXiv:2402.16363, section 2 (one roofline per operator, summed).

    A step is the sum of these maxima over its operations, not the maximum of the sums: linear layers and attention do
    not share one roof. The sum of maxima lies between the maximum of the sums and the sum of everything, which differ
    by a factor of at most two for two resources.

    >>> operation_time(3, 5, 1, 2, 1)
    8
    """
    return overhead + maximum(compute, memory, feed) + network


def unfed_operation_time(compute: Num, memory: Num, overhead: Num) -> Num:
    """The time of one operation on a part whose matrix units take operands as fast as memory brings them.

    Arguments:
        compute : time of the arithmetic [s]
        memory : time of the memory traffic [s]
        overhead : fixed time per operation, such as a kernel launch [s]

    Returns the time [s].

    Source: Yuan et al. 2024, "LLM Inference Unveiled", arXiv:2402.16363, section 2; `operation_time` with neither feed
    nor network.

    >>> unfed_operation_time(3, 5, 1)
    6
    """
    return overhead + maximum(compute, memory)


def streaming_time(memory: Num, overhead: Num) -> Num:
    """The time of one operation that moves data and computes next to nothing.

    Arguments:
        memory : time of the memory traffic [s]
        overhead : fixed time per operation, such as a kernel launch [s]

    Returns the time [s].

    Source: Yuan et al. 2024, "LLM Inference Unveiled", arXiv:2402.16363, section 2; `operation_time` without
    arithmetic.

    >>> streaming_time(5, 1)
    6
    """
    return overhead + memory


def launched_time(passing: Num, host: Num, launches: Num, launch: Num) -> Num:
    """The time of a pass whose kernels a host launches one by one, while those before are still running.

    Arguments:
        passing : time of all kernels in turn, and of the host beside them [s]
        host : of it, the time of the host [s]
        launches : kernels that are launched [1]
        launch : time of the host for each of them [s]

    Returns the time [s].

    Source: NVIDIA, CUDA C++ Programming Guide, "Asynchronous Concurrent Execution": a launch returns before its kernel
    is done, so that a host runs ahead of devices, unless they are faster than it launches.

    >>> launched_time(25, 5, 10, 3)
    35
    """
    return maximum(passing, host + launches * launch)


def sweep_time(capacity: Num, bandwidth: Num) -> Num:
    """The time a device needs to read its whole memory once.

    Arguments:
        capacity : bytes the memory holds [B]
        bandwidth : rate of that memory [B/s]

    Returns the time [s].

    Source: Davies et al. 2025, "LIMINAL", arXiv:2507.14397, hardware table (capacity over bandwidth of each part).

    No device that is full of dense weights decodes a step faster than this. Microseconds for SRAM, tens of
    milliseconds for HBM: a property of the technology, not of the size of the system.

    >>> sweep_time(80, 3350)
    0.0238806
    """
    return capacity / bandwidth


def critical_batch(peak: Num, bandwidth: Num, weight_width: Num) -> Num:
    """The tokens per step at which a linear layer's arithmetic takes as long as reading its weights.

    Arguments:
        peak : dense arithmetic rate at the format the matrix units run in [FLOP/s]
        bandwidth : rate of the memory that holds the weights [B/s]
        weight_width : bytes per stored weight [B]

    Returns the number of tokens [1].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "All About Transformer Inference", B_crit.

    Tokens, not sequences: speculation and chunked prefill put several tokens of one sequence into a step. The width
    is the stored one and the peak the executed one, so 8-bit weights that are multiplied in bf16 halve it.

    >>> critical_batch(394, 1, 1)
    197.0
    """
    return ridge_point(peak, bandwidth) * weight_width / 2


def additive_decode_step(
    batch: Num,
    kv_bytes_per_sequence: Num,
    weight_bytes: Num,
    flops_per_token: Num,
    devices: Num,
    peak: Num,
    bandwidth: Num,
) -> Num:
    """The time of a decode step whose attention is always memory-bound and whose linear layers have one roof.

    Arguments:
        batch : sequences decoded together [1]
        kv_bytes_per_sequence : key-value cache of one sequence at its context, all layers [B]
        weight_bytes : weights read once per step [B]
        flops_per_token : arithmetic of the linear layers for one token, twice the active parameters [FLOP]
        devices : devices that share weights and cache evenly [1]
        peak : dense arithmetic rate of one device [FLOP/s]
        bandwidth : memory rate of one device [B/s]

    Returns the time [s].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "All About Transformer Inference", step-time formula.

    The cache is added, not put under the maximum: attention in decode never becomes compute-bound by batching, because
    each sequence reads its own cache. Communication is left out.

    >>> additive_decode_step(32, 67, 260, 26, 8, 1970, 8.2)
    36.6463
    """
    attention = memory_time(batch * kv_bytes_per_sequence, devices * bandwidth)
    arithmetic = compute_time(batch * flops_per_token, devices * peak)
    reading = memory_time(weight_bytes, devices * bandwidth)
    return attention + maximum(arithmetic, reading)


def fused_critical_batch(
    weight_bytes: Num, flops_per_token: Num, kv_bytes_per_sequence: Num, peak: Num, bandwidth: Num
) -> Num:
    """The batch at which a whole decode step's arithmetic takes as long as all its weight and cache reads.

    Arguments:
        weight_bytes : weights read once per step [B]
        flops_per_token : arithmetic of the linear layers for one token, twice the active parameters [FLOP]
        kv_bytes_per_sequence : key-value cache of one sequence at its context, all layers [B]
        peak : dense arithmetic rate [FLOP/s]
        bandwidth : memory rate [B/s]

    Returns the number of sequences [1].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "All About Transformer Inference"; the crossing of
    total arithmetic and total traffic, solved for the batch.

    Exists only below `fused_critical_context`; beyond it the value is negative and decode is memory-bound at any batch.

    >>> fused_critical_batch(100, 2, 1, 10, 10)
    100.0
    """
    return weight_bytes / (flops_per_token / ridge_point(peak, bandwidth) - kv_bytes_per_sequence)


def fused_critical_context(flops_per_token: Num, kv_bytes_per_token: Num, peak: Num, bandwidth: Num) -> Num:
    """The context above which decode is memory-bound at every batch.

    Arguments:
        flops_per_token : arithmetic of the linear layers for one token, twice the active parameters [FLOP]
        kv_bytes_per_token : key-value cache of one context token, all layers [B]
        peak : dense arithmetic rate [FLOP/s]
        bandwidth : memory rate [B/s]

    Returns the number of context tokens [1].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "All About Transformer Inference"; the limit of
    `fused_critical_batch` as the batch grows.

    >>> fused_critical_context(1000, 5, 20, 2)
    20.0
    """
    return flops_per_token / (kv_bytes_per_token * ridge_point(peak, bandwidth))
