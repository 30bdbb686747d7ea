"""Figures made of nothing but equations and the catalogue of the library: what single equations cannot say."""

from roofline.describe.systems import system
from roofline.equations.attention import (
    absorbed_latent_flops,
    attention_flops,
    indexer_flops,
    kv_bytes_per_token,
    kv_heads_per_rank,
    latent_bytes_per_token,
    max_context,
    visible_keys,
)
from roofline.equations.collectives import ring_all_reduce
from roofline.equations.cost import attention_cost, byte_price, flop_price
from roofline.equations.energy import idle_break_even_step
from roofline.equations.experts import dispatch_bytes
from roofline.equations.fitted import measured_all_reduce
from roofline.equations.links import lane_bandwidth
from roofline.equations.matmul import matmul_flops, tile_count, wave_efficiency, weight_bytes
from roofline.equations.parameters import (
    attention_parameters,
    feed_forward_parameters,
    latent_attention_parameters,
    token_flops,
)
from roofline.equations.partitioning import weight_stationary_volume_1d, weight_stationary_volume_2d
from roofline.equations.pipelines import devices_for_capacity, square_root_sync, streaming_latency, tree_sync
from roofline.equations.recurrence import recurrent_state_bytes, recurrent_state_traffic
from roofline.equations.rooflines import additive_decode_step, compute_time, intensity, memory_time
from roofline.equations.serving import batch_within
from roofline.estimate.queues import erlang_c, pool_wait
from roofline.numeric import Num, maximum, minimum, sqrt

# -- caches and states ------------------------------------------------------------------------------------------------


def kv_cache(layers: Num, kv_heads: Num, head_dim: Num, width: Num, tokens: Num) -> Num:
    return layers * tokens * kv_bytes_per_token(kv_heads, head_dim, head_dim, width)


def latent_cache(layers: Num, latent_dim: Num, rope_dim: Num, width: Num, tokens: Num) -> Num:
    return layers * tokens * latent_bytes_per_token(latent_dim, rope_dim, width)


def windowed_cache(
    global_layers: Num,
    local_layers: Num,
    kv_heads: Num,
    head_dim: Num,
    global_width: Num,
    local_width: Num,
    context: Num,
    window: Num,
) -> Num:
    local = kv_cache(local_layers, kv_heads, head_dim, local_width, visible_keys(context, window))
    return kv_cache(global_layers, kv_heads, head_dim, global_width, context) + local


def hybrid_traffic(
    softmax_layers: Num,
    kv_heads: Num,
    head_dim: Num,
    width: Num,
    context: Num,
    linear_layers: Num,
    heads: Num,
    state_width: Num,
) -> Num:
    state = linear_layers * recurrent_state_traffic(heads, head_dim, head_dim, state_width)
    return kv_cache(softmax_layers, kv_heads, head_dim, width, context) + state


def recurrent_states(layers: Num, heads: Num, key_dim: Num, value_dim: Num, width: Num) -> Num:
    return layers * recurrent_state_bytes(heads, key_dim, value_dim, width)


def cache_saved(layers: Num, caching_layers: Num, latent_dim: Num, rope_dim: Num, width: Num) -> Num:
    kept = latent_cache(caching_layers, latent_dim, rope_dim, width, 1)
    return 1 - kept / latent_cache(layers, latent_dim, rope_dim, width, 1)


def longest_context(
    fraction: Num, capacity: Num, batch: Num, kv_heads: Num, ranks: Num, head_dim: Num, width: Num, layers: Num
) -> Num:
    heads = kv_heads_per_rank(kv_heads, ranks)
    return max_context(fraction, capacity, batch, heads, head_dim, width, layers)


# -- arithmetic -------------------------------------------------------------------------------------------------------


def kv_projection_flops(layers: Num, hidden: Num) -> Num:
    return layers * matmul_flops(1, hidden, 2 * hidden)


def forward_flops(layers: Num, hidden: Num, heads: Num, head_dim: Num, ffn: Num, matrices: Num) -> Num:
    attention = attention_parameters(hidden, heads, heads, head_dim)
    return token_flops(layers * (attention + feed_forward_parameters(hidden, ffn, matrices)))


def model_attention_flops(layers: Num, heads: Num, key_dim: Num, value_dim: Num, pairs: Num) -> Num:
    return layers * attention_flops(heads, key_dim, value_dim, pairs)


def attention_share(layers: Num, heads: Num, head_dim: Num, pairs: Num, parameters: Num, tokens: Num) -> Num:
    return model_attention_flops(layers, heads, head_dim, head_dim, pairs) / (tokens * token_flops(parameters))


def attention_linear_flops(layers: Num, hidden: Num, heads: Num, kv_heads: Num, head_dim: Num) -> Num:
    return token_flops(layers * attention_parameters(hidden, heads, kv_heads, head_dim))


def latent_linear_flops(
    layers: Num,
    hidden: Num,
    heads: Num,
    query_rank: Num,
    latent_dim: Num,
    nope_dim: Num,
    rope_dim: Num,
    value_dim: Num,
) -> Num:
    layer = latent_attention_parameters(hidden, heads, query_rank, latent_dim, nope_dim, rope_dim, value_dim)
    return token_flops(layers * layer)


def low_rank_query_linear_flops(layers: Num, hidden: Num, heads: Num, query_rank: Num, head_dim: Num) -> Num:
    queries = matmul_flops(1, hidden, query_rank) + matmul_flops(1, query_rank, heads * head_dim)
    keys_and_values = matmul_flops(1, hidden, 2 * head_dim)
    return layers * (queries + keys_and_values + matmul_flops(1, heads * head_dim, hidden))


def mixture_flops(
    dense_layers: Num, moe_layers: Num, hidden: Num, ffn: Num, expert_width: Num, active_experts: Num
) -> Num:
    dense = dense_layers * feed_forward_parameters(hidden, ffn, 3)
    return token_flops(dense + moe_layers * active_experts * feed_forward_parameters(hidden, expert_width, 3))


def sparse_attention_saving(
    context: Num, top_k: Num, heads: Num, latent_dim: Num, rope_dim: Num, index_heads: Num, index_dim: Num
) -> Num:
    dense = absorbed_latent_flops(heads, latent_dim, rope_dim, context)
    chosen = absorbed_latent_flops(heads, latent_dim, rope_dim, visible_keys(context, top_k))
    return dense / (indexer_flops(index_heads, index_dim, context) + chosen)


def latent_intensity_as_printed(heads: Num, latent_dim: Num, rope_dim: Num, width: Num) -> Num:
    """Step-3 counts the rotary elements under the values too."""
    elements = latent_dim + rope_dim
    return intensity(attention_flops(heads, elements, elements, 1), latent_bytes_per_token(latent_dim, rope_dim, width))


# -- parameters -------------------------------------------------------------------------------------------------------


def mixture_parameters(
    layers: Num,
    dense_layers: Num,
    hidden: Num,
    heads: Num,
    query_rank: Num,
    latent_dim: Num,
    nope_dim: Num,
    rope_dim: Num,
    value_dim: Num,
    ffn: Num,
    expert_width: Num,
    experts: Num,
    vocab: Num,
) -> Num:
    """`experts` are all those counted, shared ones included: all of them, or those that a token uses."""
    attention = latent_attention_parameters(hidden, heads, query_rank, latent_dim, nope_dim, rope_dim, value_dim)
    dense = dense_layers * feed_forward_parameters(hidden, ffn, 3)
    routed = routed_parameters(layers - dense_layers, experts, hidden, expert_width)
    return layers * attention + dense + routed + 2 * vocab * hidden


def routed_parameters(layers: Num, experts: Num, hidden: Num, expert_width: Num) -> Num:
    return layers * experts * feed_forward_parameters(hidden, expert_width, 3)


# -- times ------------------------------------------------------------------------------------------------------------


def weights_time(parameters: Num, weight_width: Num, devices: Num, bandwidth: Num) -> Num:
    return memory_time(weight_bytes(parameters, 1, weight_width), devices * bandwidth)


def batch_time(parameters: Num, batch: Num, devices: Num, peak: Num) -> Num:
    return compute_time(batch * token_flops(parameters), devices * peak)


def decode_rate(
    batch: Num,
    kv_bytes_per_sequence: Num,
    weight_bytes: Num,
    flops_per_token: Num,
    devices: Num,
    peak: Num,
    bandwidth: Num,
) -> Num:
    step = additive_decode_step(batch, kv_bytes_per_sequence, weight_bytes, flops_per_token, devices, peak, bandwidth)
    return batch / step


def user_rate(
    weight_bytes: Num,
    kv_bytes_per_token: Num,
    context: Num,
    ranks: Num,
    bandwidth: Num,
    layers: Num,
    syncs: Num,
    sync: Num,
) -> Num:
    traffic = weight_bytes + context * kv_bytes_per_token
    return 1 / streaming_latency(traffic, ranks, bandwidth, layers * syncs * sync, 0, 0)


def square_root_latency(
    parameters: Num,
    weight_width: Num,
    layers: Num,
    all_reduces: Num,
    ranks: Num,
    base: Num,
    slope: Num,
    batch: Num,
    peak: Num,
    bandwidth: Num,
) -> Num:
    reading = weights_time(parameters, weight_width, ranks, bandwidth)
    sync = square_root_sync(layers, all_reduces, ranks, base, slope)
    return sync + maximum(reading, batch_time(parameters, batch, ranks, peak))


def tree_latency(traffic: Num, layers: Num, ranks: Num, latency: Num, bandwidth: Num) -> Num:
    return streaming_latency(traffic, ranks, bandwidth, tree_sync(layers, ranks, latency), 0, 0)


def fastest_protocol(size: Num, ranks: Num, nodes: Num, bandwidth_inside: Num, bandwidth_across: Num) -> Num:
    where = (size, ranks, nodes, bandwidth_inside, bandwidth_across)
    return minimum(
        measured_all_reduce(*where, 0.6e-6, 5e-6, 6.8e-6, 0.5),
        measured_all_reduce(*where, 1.25e-6, 8.5e-6, 14e-6, 0.95),
        measured_all_reduce(*where, 28e-6, 28e-6, 0, 1),
    )


def step_all_reduces(
    layers: Num, all_reduces: Num, batch: Num, hidden: Num, width: Num, ranks: Num, bandwidth: Num, latency: Num
) -> Num:
    return layers * all_reduces * ring_all_reduce(batch * hidden * width, ranks, bandwidth, latency)


# -- networks ---------------------------------------------------------------------------------------------------------


def exchange_time(
    tokens: Num,
    copies: Num,
    hidden: Num,
    dispatch_width: Num,
    combine_width: Num,
    bandwidth: Num,
    micro_batches: Num,
    layers: Num,
) -> Num:
    each = memory_time(dispatch_bytes(tokens, copies, hidden, dispatch_width, combine_width), bandwidth)
    return layers * micro_batches * each


def exchange_rate(tokens: Num, copies: Num, hidden: Num, dispatch_width: Num, combine_width: Num, time: Num) -> Num:
    return dispatch_bytes(tokens, copies, hidden, dispatch_width, combine_width) / time


def step_exchange_bytes(layers: Num, copies: Num, hidden: Num, dispatch_width: Num, combine_width: Num) -> Num:
    return layers * dispatch_bytes(1, copies, hidden, dispatch_width, combine_width)


def both_directions(devices: Num, lanes: Num, line_rate: Num) -> Num:
    return 2 * devices * lane_bandwidth(lanes, line_rate)


def relative_volume_1d(ranks: Num) -> Num:
    """In units of tokens x hidden x bytes."""
    return weight_stationary_volume_1d(1, 1, 1, ranks)


def relative_volume_2d(ranks: Num) -> Num:
    """In units of tokens x hidden x bytes, inner dimension four times hidden, at the paper's split."""
    side = sqrt(ranks)
    return weight_stationary_volume_2d(1, 1, 4, 1, side / 2, 2 * side)


# -- tiles ------------------------------------------------------------------------------------------------------------


def wave_share(rows: Num, columns: Num, tile_rows: Num, tile_columns: Num, units: Num) -> Num:
    return wave_efficiency(tile_count(rows, columns, tile_rows, tile_columns), units)


# -- money and energy -------------------------------------------------------------------------------------------------


def million_token_attention_cost(
    attention_flops: Num, kv_traffic: Num, linear_flops: Num, usd_per_flop: Num, usd_per_byte: Num
) -> Num:
    return 10**6 * attention_cost(attention_flops, kv_traffic, linear_flops, usd_per_flop, usd_per_byte)


def million_token_ffn_cost(linear_flops: Num, usd_per_flop: Num) -> Num:
    return 10**6 * attention_cost(0, 0, linear_flops, usd_per_flop, 0)


def cheapest_pairing(
    attention_flops: Num,
    kv_traffic: Num,
    linear_flops: Num,
    ffn_flops: Num,
    prices: list[float],
    peaks: list[float],
    bandwidths: list[float],
) -> Num:
    """The cheapest part for attention and the cheapest for the feed-forward, per million tokens."""
    per_flop = [flop_price(price, peak) for price, peak in zip(prices, peaks, strict=True)]
    per_byte = [byte_price(price, bandwidth) for price, bandwidth in zip(prices, bandwidths, strict=True)]
    attention = [
        million_token_attention_cost(attention_flops, kv_traffic, linear_flops, flop, byte)
        for flop, byte in zip(per_flop, per_byte, strict=True)
    ]
    return minimum(*attention) + minimum(*(million_token_ffn_cost(ffn_flops, flop) for flop in per_flop))


def rate_within(tpot: Num, base: Num, growth: Num) -> Num:
    """Tokens per second of the largest batch within a time per token."""
    return batch_within(tpot, base, growth) / tpot


def idle_break_even(
    weight_bytes: Num, capacity: Num, hbm_energy_per_bit: Num, sram_energy_per_bit: Num, idle_power: Num
) -> Num:
    devices = devices_for_capacity(weight_bytes, capacity)
    return idle_break_even_step(weight_bytes, hbm_energy_per_bit, sram_energy_per_bit, idle_power, devices)


# -- many servers, as the library queues for them ---------------------------------------------------------------------


def busy_probability(servers: int, rate: float, service_rate: float) -> float:
    return float(erlang_c(servers, rate / service_rate))


def exponential_wait(servers: int, rate: float, service_rate: float) -> float:
    """Twice the wait at equal service times."""
    return 2 * float(pool_wait(servers, rate, 1 / service_rate))


# -- the catalogue: what many devices have together -------------------------------------------------------------------


def of_all_devices(name: str, field: str) -> float:
    described = system(name)
    return described.devices.value * described.accelerator.cite(field).value


def of_all_groups(name: str, groups: str, of: str) -> float:
    """Devices of a system, from how many nodes or racks it has and how many devices one of them has."""
    return system(name).facts[groups].value * system(of).devices.value
