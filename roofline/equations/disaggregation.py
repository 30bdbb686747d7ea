"""Splitting a model's work over two pools: prefill from decode, or attention from feed-forwards.

Between phases each sequence's cache crosses once; between attention and feed-forwards every token's hidden state
crosses twice per layer. `transfer` is the time one way.
"""

from roofline.equations.rooflines import critical_batch
from roofline.numeric import Num, maximum, sqrt

__all__ = [
    "attention_per_ffn",
    "attention_per_ffn_fixed",
    "cost_per_request",
    "cycle_time",
    "exposed_transfer",
    "layer_budget",
    "link_flop_share",
    "network_sparsity",
    "offload_bound",
    "ping_pong_depth",
    "ping_pong_step",
    "pipelined_layer",
    "prefill_per_decode",
    "split_gain",
    "tokens_per_device",
    "transport_budget",
]


def prefill_per_decode(prefill: Num, batch: Num, osl: Num, tpot: Num) -> Num:
    """The prefill workers that keep one decode worker busy.

    Arguments:
        prefill : device time that the prompt of one request takes on a prefill worker [s]
        batch : sequences decoded together on a decode worker [1]
        osl : tokens of the answer that decode generates [1]
        tpot : time per output token on the decode worker [s]

    Returns the number of prefill workers per decode worker [1].

    Source: Zhong et al. 2024, "DistServe", arXiv:2401.09670, section 3 (matching the rates of the phases).

    >>> prefill_per_decode(0.5, 64, 1000, 0.025)
    1.28
    """
    return prefill * batch / (osl * tpot)


def cost_per_request(
    prefill_price: Num, prefill_devices: Num, prefill: Num, decode_price: Num, decode_devices: Num, decode: Num
) -> Num:
    """The device time of a request in two pools that are each kept busy.

    Arguments:
        prefill_price : of one device of the prefill pool [USD/h]
        prefill_devices : devices of one prefill worker [1]
        prefill : device time that the prompt of one request takes on a prefill worker [s]
        decode_price : of one device of the decode pool [USD/h]
        decode_devices : devices of one decode worker [1]
        decode : share of a request in the time of a decode worker: tokens · time per token / batch [s]

    Returns the cost [USD].

    Source: Patel et al. 2024, "Splitwise", arXiv:2311.18677, section 6 (cost of split pools).

    The two terms share nothing, so each phase may take the silicon on which its own is least.

    >>> cost_per_request(2, 8, 900, 1, 4, 1800)
    6.0
    """
    return (prefill_price * prefill_devices * prefill + decode_price * decode_devices * decode) / 3600


def tokens_per_device(decode_rate: Num, prefill_devices: Num, decode_devices: Num, isl: Num, osl: Num) -> Num:
    """The tokens in and out per second over all devices, from the output rate of a decode device.

    Arguments:
        decode_rate : output tokens per second of one decode device [1/s]
        prefill_devices : devices of the prefill pool [1]
        decode_devices : devices of the decode pool [1]
        isl : tokens of the prompt [1]
        osl : tokens of the answer [1]

    Returns the rate [1/s].

    Source: SemiAnalysis 2026, "InferenceX", documentation of its result columns.

    Published rates of split systems are often per decode device: the prefill devices are missing from the denominator.

    >>> tokens_per_device(600, 8, 32, 7168, 1024)
    3840.0
    """
    return decode_rate * decode_devices * (1 + isl / osl) / (prefill_devices + decode_devices)


def exposed_transfer(size: Num, bandwidth: Num, layers: Num, prefill: Num) -> Num:
    """The part of a cache's transfer that prefill does not hide when each layer is sent as soon as it is done.

    Arguments:
        size : cache of one sequence, all layers [B]
        bandwidth : one direction of the slower pool's devices that take part, together [B/s]
        layers : layers that are sent one by one [1]
        prefill : time in which the prompt is computed [s]

    Returns the time [s].

    Source: Patel et al. 2024, "Splitwise", arXiv:2311.18677, section 4.2 (per-layer transfer behind prefill).

    At least the last layer is exposed; at most the first is hidden by nothing. The latency of a message is extra.

    >>> exposed_transfer(800, 100, 80, 4)
    4.05
    """
    total = size / bandwidth
    return maximum(total / layers, total - prefill * (layers - 1) / layers)


def cycle_time(attention: Num, feed_forward: Num, transfer: Num, micro_batches: Num, slowest: Num) -> Num:
    """The time between two tokens of a sequence that goes to and fro between attention and feed-forwards.

    Arguments:
        attention : time of one micro-batch in attention, all layers [s]
        feed_forward : time of one micro-batch in feed-forwards, all layers [s]
        transfer : time of one micro-batch one way, all layers [s]
        micro_batches : micro-batches in flight [1]
        slowest : time that one micro-batch takes of the busiest of the three, all layers [s]

    Returns the time [s].

    Source: Zhu et al. 2025, "MegaScale-Infer", arXiv:2504.02263, section 4.1, in steady state: the next token of a
    micro-batch may start before the others have finished theirs.

    One micro-batch waits for its own round trip only; many wait for each other at the busiest place.

    >>> cycle_time(8, 6, 2, 3, 8)
    24
    """
    return maximum(attention + feed_forward + 2 * transfer, micro_batches * slowest)


def ping_pong_step(
    attention: Num, feed_forward: Num, transfer: Num, slowest: Num, micro_batches: Num, layers: Num
) -> Num:
    """The time of one token through all layers for all micro-batches, filling and draining included.

    Arguments:
        attention : time of one micro-batch in attention, one layer [s]
        feed_forward : time of one micro-batch in feed-forwards, one layer [s]
        transfer : time of one micro-batch one way, one layer [s]
        slowest : the longer of the first two, which the others must not exceed [s]
        micro_batches : micro-batches in flight, at least `ping_pong_depth` [1]
        layers : layers of the model [1]

    Returns the time [s].

    Source: Zhu et al. 2025, "MegaScale-Infer", arXiv:2504.02263, section 4.1, Eq. 4.

    >>> ping_pong_step(10, 9, 3, 10, 3, 56)
    1695
    """
    return attention + feed_forward + 2 * transfer + slowest * (micro_batches * layers - 1)


def ping_pong_depth(transfer: Num, slowest: Num) -> Num:
    """The micro-batches that keep both pools busy.

    Arguments:
        transfer : time of one micro-batch one way, one layer [s]
        slowest : time of one micro-batch in the busier pool, one layer [s]

    Returns the number of micro-batches, not rounded [1].

    Source: Zhu et al. 2025, "MegaScale-Infer", arXiv:2504.02263, section 4.1, Eq. 3.

    Three where a transfer takes at most half as long as the work, four where it takes as long: what hides latency is
    batch, and batch costs time per token.

    >>> ping_pong_depth(3, 10)
    2.6
    """
    return 2 * (1 + transfer / slowest)


def pipelined_layer(slowest: Num, round_trip: Num, micro_batches: Num, layers: Num) -> Num:
    """The time per layer of micro-batches that follow each other through attention, wire, experts and wire.

    Arguments:
        slowest : time of the slowest of the four for one micro-batch, one layer [s]
        round_trip : time of all four for one micro-batch, one layer [s]
        micro_batches : micro-batches in flight [1]
        layers : layers of the model [1]

    Returns the time [s].

    Source: "AIC++" 2026, arXiv:2605.28302, pipelined step per layer.

    >>> pipelined_layer(8, 21, 3, 7)
    27.0
    """
    return micro_batches * slowest + round_trip / layers


def transport_budget(ffn_here: Num, ffn_there: Num, size: Num, bandwidth: Num) -> Num:
    """The one-way latency up to which sending hidden states away beats computing the feed-forward in place.

    Arguments:
        ffn_here : time of one layer's feed-forward on the attention devices [s]
        ffn_there : time of one layer's feed-forward on the other pool [s]
        size : hidden states that cross one way for one layer [B]
        bandwidth : one direction of the slower pool's devices that take part, together [B/s]

    Returns the latency; negative where bandwidth alone forbids it [s].

    Source: Zhu et al. 2025, "MegaScale-Infer", arXiv:2504.02263, section 4.1, at one micro-batch, set against the
    feed-forward in place and solved for the latency.

    >>> transport_budget(11, 1, 8, 4)
    3.0
    """
    return (ffn_here - ffn_there) / 2 - size / bandwidth


def split_gain(batch_ratio: Num, attention_devices: Num, ffn_devices: Num, step_ratio: Num) -> Num:
    """The throughput per device of a split of attention from feed-forwards over that without.

    Arguments:
        batch_ratio : batch per attention device over the batch per device without the split [1]
        attention_devices : devices of the attention pool [1]
        ffn_devices : devices of the feed-forward pool [1]
        step_ratio : step time without the split over step time with it [1]

    Returns the factor [1].

    Source: Hao AI Lab 2026, "FastAFD", decomposition of the speed-up.

    Feed-forward devices hold no requests, so they are a tax on the batch. Weigh them with their price over that of an
    attention device to compare per money.

    >>> split_gain(1.5, 7, 1, 1)
    1.3125
    """
    return batch_ratio * attention_devices / (attention_devices + ffn_devices) * step_ratio


def offload_bound(fraction: Num) -> Num:
    """The most that a step can gain when a part of it moves elsewhere, for free and in no time.

    Arguments:
        fraction : share of the step that moves, below one [1]

    Returns the factor [1].

    Source: Amdahl 1967, "Validity of the single processor approach", doi:10.1145/1465482.1465560.

    >>> offload_bound(0.75)
    4.0
    """
    return 1 / (1 - fraction)


def link_flop_share(flops: Num, size: Num, bandwidth: Num, peak: Num) -> Num:
    """The share of its peak that an expert device can reach when every token must come over its link.

    Arguments:
        flops : arithmetic of one expert for one token [FLOP]
        size : bytes of that token that cross, both ways together [B]
        bandwidth : link of the device, one direction [B/s]
        peak : dense arithmetic rate at the format the matrix units run in [FLOP/s]

    Returns the share; above one the link does not limit [1].

    Source: Baidu 2026, "Revealing the Challenges of Attention-FFN Disaggregation", arXiv:2602.09721, dead zone.

    Batch does not help, for it multiplies both. A gated expert has six FLOP per hidden and inner element, and a token
    three bytes per hidden element where it goes out in one byte and comes back in two.

    >>> link_flop_share(6 * 7168 * 2048, 3 * 7168, 160, 1979000)
    0.331157
    """
    return flops / size * bandwidth / peak


def network_sparsity(
    size: Num, layers: Num, peak: Num, weight_width: Num, network_bandwidth: Num, bandwidth: Num, time: Num
) -> Num:
    """The least share of active experts at which the network can bring enough tokens to keep the arithmetic busy.

    Arguments:
        size : bytes of one token that cross for one layer, both ways together [B]
        layers : layers with experts [1]
        peak : dense arithmetic rate of the device [FLOP/s]
        weight_width : bytes per stored weight [B]
        network_bandwidth : one direction of the device's network [B/s]
        bandwidth : memory rate of the device [B/s]
        time : that a token may spend on the network, all layers together [s]

    Returns the share of the experts that each token uses [1].

    Source: StepFun 2025, "Step-3", arXiv:2507.19427, section 5.3, Table 7.

    Sparser experts need more tokens each to be bound by arithmetic, and those must come over the network in time.

    >>> network_sparsity(10, 10, 800, 1, 4, 100, 50)
    2.0
    """
    tokens = critical_batch(peak, bandwidth, weight_width)
    return size * tokens * layers / (network_bandwidth * time)


def layer_budget(tpot: Num, accepted: Num, overhead: Num, layers: Num, micro_batches: Num) -> Num:
    """The time that each micro-batch may spend in one place for one layer.

    Arguments:
        tpot : time per output token allowed [s]
        accepted : tokens that a step yields, more than one with speculation [1]
        overhead : time of a step outside the layers [s]
        layers : layers of the model [1]
        micro_batches : micro-batches in flight [1]

    Returns the time [s].

    Source: Baidu 2026, "Revealing the Challenges of Attention-FFN Disaggregation", arXiv:2602.09721, time budget.

    >>> layer_budget(10, 2, 2, 3, 3)
    2.0
    """
    return (tpot * accepted - overhead) / (micro_batches * layers)


def attention_per_ffn(attention: Num, ffn_base: Num, ffn_growth: Num, batch: Num) -> Num:
    """The attention workers per feed-forward worker at which both take equally long.

    Arguments:
        attention : time of one attention worker's layer, or of a transfer where that is longer [s]
        ffn_base : time of a feed-forward worker's layer that does not grow [s]
        ffn_growth : time that each further sequence takes there [s]
        batch : sequences of one attention worker [1]

    Returns the number of attention workers [1].

    Source: Song et al. 2026, "Theoretically Optimal Attention/FFN Ratios", arXiv:2601.21351, r_A and r_C.

    >>> attention_per_ffn(440, 40, 0.1, 200)
    20.0
    """
    return (attention - ffn_base) / (ffn_growth * batch)


def attention_per_ffn_fixed(ffn_base: Num, ffn_growth: Num, batch: Num, price_ratio: Num) -> Num:
    """The attention workers per feed-forward worker that spread the feed-forward's fixed time best.

    Arguments:
        ffn_base : time of a feed-forward worker's layer that does not grow [s]
        ffn_growth : time that each further sequence takes there [s]
        batch : sequences of one attention worker [1]
        price_ratio : price of a feed-forward worker over that of an attention worker [1]

    Returns the number of attention workers [1].

    Source: Song et al. 2026, "Theoretically Optimal Attention/FFN Ratios", arXiv:2601.21351, r_peak.

    The ratio of most throughput per money is the larger of this and of `attention_per_ffn`.

    >>> attention_per_ffn_fixed(40, 0.1, 256, 1)
    1.25
    """
    return sqrt(ffn_base * price_ratio / (ffn_growth * batch))
