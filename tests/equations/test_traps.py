"""The mistakes this field makes, one test each: the right form meets the published figure, the usual wrong one misses.

The wrong variants are written out here on purpose; nowhere else is a formula repeated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sympy

from roofline.equations.attention import (
    absorbed_latent_flops,
    attention_flops,
    full_pairs,
    kv_bytes_per_token,
    kv_heads_per_rank,
    kv_replication,
    latent_bytes_per_token,
    latent_expansion_flops,
    materialisation_crossover,
    materialised_latent_flops,
    max_context,
    packed_latent_bytes_per_token,
)
from roofline.equations.collectives import (
    one_shot_crossover,
    point_to_point,
    ring_all_reduce,
    torus_all_gather,
    torus_crossover,
    tree_all_reduce,
    tree_depth,
)
from roofline.equations.cost import return_on_cost, usd_per_million_tokens
from roofline.equations.energy import roofline_energy, streaming_energy
from roofline.equations.experts import distinct_experts, expert_flops, expert_weight_bytes
from roofline.equations.fitted import square_root_all_reduce
from roofline.equations.links import lane_bandwidth
from roofline.equations.matmul import matmul_flops, systolic_cycles
from roofline.equations.parameters import token_flops, transformer_parameters
from roofline.equations.partitioning import weight_stationary_volume_2d
from roofline.equations.pipelines import optimal_width_tree, streaming_latency, token_interval, tree_sync
from roofline.equations.rooflines import (
    additive_decode_step,
    attainable,
    compute_time,
    critical_batch,
    memory_time,
    operation_time,
    ridge_point,
    sweep_time,
)

GB, GIB = 10**9, 2**30


def off(value: Any, published: float) -> float:
    """How far a value is from a published one, relatively."""
    return abs(float(value) / published - 1)


def test_a_multiply_add_is_two_operations() -> None:
    layers, hidden = 64, 8192
    published = 103_079_215_104  # kipply 2022: forward pass of a 52B model, 24 L d^2
    assert layers * matmul_flops(1, hidden, 12 * hidden) == published
    macs = layers * hidden * 12 * hidden
    assert off(macs, published) == 0.5


def test_causal_prefill_is_half_a_square_and_decode_a_whole_row() -> None:
    published = 87_960_930_222_080  # 80 layers, 64 heads of 128, half of 8192 squared pairs
    prefill = 80 * attention_flops(64, 128, 128, full_pairs(8192, 0))
    assert off(prefill, published) == pytest.approx(1 / 8192)
    assert off(80 * attention_flops(64, 128, 128, 8192**2), published) == 1.0
    decode = 94 * attention_flops(64, 128, 128, full_pairs(1, 8191))
    assert off(decode, 2.52e10) < 0.01  # Step-3 Table 2, Qwen3-235B at 8K
    assert off(decode / 2, 2.52e10) > 0.4


def test_peaks_are_dense() -> None:
    dense, sparse, bandwidth = 989e12, 1979e12, 3.35e12
    assert off(ridge_point(dense, bandwidth), 295) < 1e-3  # the H100's dense bf16 ridge
    assert off(ridge_point(sparse, bandwidth), 295) > 0.9


def test_links_are_counted_one_way() -> None:
    one_way = lane_bandwidth(96, 112e9)  # LPX, raw line rate
    assert off(2 * one_way, 2.5e12) < 0.09  # printed with both directions together
    assert off(one_way, 2.5e12) > 0.4
    halved = ring_all_reduce(64e6, 8, 450e9, 1e-6)  # NVLink printed as 900 GB/s
    assert off(halved, 262.89e-6) < 1e-4
    assert off(ring_all_reduce(64e6, 8, 900e9, 1e-6), 262.89e-6) > 0.4


def test_a_torus_axis_sends_both_ways() -> None:
    published = 360_000  # "How to Scale Your Model": 45 kB per hop on a ring of eight
    assert torus_crossover(8, 45e9, 1e-6) == pytest.approx(published)
    hops = torus_all_gather(published, 8, 45e9, 1e-6)
    assert hops == pytest.approx(4e-6)
    assert published / 45e9 == pytest.approx(2 * hops)  # one way only


def test_a_gigabyte_is_not_a_gibibyte() -> None:
    cache = 8192 * 40 * kv_bytes_per_token(40, 128, 128, 2)  # LLaMA-2-13B
    assert off(cache / GB, 6.7) < 0.005  # printed as 6.7 "GiB"
    assert off(cache / GIB, 6.7) > 0.06
    tokens = 405.85e9 + 4096 * 258_048  # LIMINAL, Llama-405B: TB/s are TiB/s there
    sync = 126 * 2 * 0.2e-6
    assert off(1 / streaming_latency(tokens, 8, 4 * 2**40, sync, 0, 0), 86) < 0.01
    assert off(1 / streaming_latency(tokens, 8, 4e12, 0, 0, 0), 86) > 0.08  # out of reach even without any sync


def test_heads_are_whole() -> None:
    published = 1320  # Pope et al. Table 1, multihead at batch 128
    common = (0.3, 32 * GIB, 128)
    right = max_context(*common, kv_heads_per_rank(48, 64), 128, 2, 118)
    assert off(right, published) < 0.02
    assert off(max_context(*common, 48 / 64, 128, 2, 118), published) > 0.3


def test_caches_are_replicated_past_the_heads() -> None:
    assert kv_replication(8, 16) == 2
    assert kv_replication(8, 4) == 1
    assert kv_replication(1, 8) == 8  # a latent cache is one head: full copies


def test_the_rotary_elements_are_scored_once() -> None:
    published = 1.47e11  # Step-3 Table 2, DeepSeek-V3 at 8K, printed with the rotary elements under the values too
    exact = 61 * absorbed_latent_flops(128, 512, 64, 8192)
    assert off(61 * attention_flops(128, 576, 576, 8192), published) < 0.005
    assert off(exact, published) == pytest.approx(1 - 1088 / 1152, abs=5e-3)
    assert absorbed_latent_flops(128, 512, 64, 1) == 278_528


def test_a_latent_is_cached_once_and_packed_layouts_are_larger() -> None:
    assert 61 * latent_bytes_per_token(512, 64, 2) == 70_272  # printed for DeepSeek-V3
    assert 61 * kv_bytes_per_token(1, 512 + 64, 512 + 64, 2) == 2 * 70_272  # as if keys and values were apart
    assert packed_latent_bytes_per_token(512, 64, 1, 2, 128, 4) == 656  # FlashMLA, against
    assert latent_bytes_per_token(512, 64, 1) == 576


def test_a_causal_prompt_crosses_at_twice_the_tokens() -> None:
    published = 170.67  # DeepSeek-V3, every query seeing every key
    assert off(materialisation_crossover(512, 128, 128), published) < 1e-4

    def saving(prompt: int) -> float:
        pairs = full_pairs(prompt, 0)
        expanded = materialised_latent_flops(128, 128, 64, 128, pairs) + latent_expansion_flops(
            128, 512, 128, 128, prompt
        )
        return float(expanded - absorbed_latent_flops(128, 512, 64, pairs))

    assert saving(340) > 0 > saving(341)


def test_keys_and_values_are_not_two_kinds_of_head() -> None:
    published = 122_607_894_528  # Mistral Large 2, 96 heads in groups of 12
    shape = (88, 12288, 28672, 96)
    assert transformer_parameters(*shape, 96 // 12, 128, 32768, 2) == published
    assert off(transformer_parameters(*shape, 2 * 96 // 12, 128, 32768, 2), published) > 0.01


def test_embeddings_may_be_shared() -> None:
    published = 18.4e9  # "How to Scale Your Model", problem 1
    shape = (64, 4096, 16384, 32, 8, 256, 32128)
    assert off(transformer_parameters(*shape, 1), published) < 0.001
    assert off(transformer_parameters(*shape, 2), published) > 0.005


def test_a_cache_is_added_and_not_put_under_the_maximum() -> None:
    published = 21e-3  # "How to Scale Your Model": 30B int8 on 16 chips at batch 256
    batch, cache, weights, flops = 256, 8192 * 100e3, 30e9, 60e9
    peak, bandwidth = 16 * 197e12, 16 * 810e9
    right = additive_decode_step(batch, cache, weights, flops, 16, 197e12, 810e9)
    assert off(right, published) < 0.005
    fused = max(compute_time(batch * flops, peak), memory_time(batch * cache + weights, bandwidth))
    assert off(fused, published) > 0.1
    serial = compute_time(batch * flops, peak) + memory_time(batch * cache + weights, bandwidth)
    assert off(serial, published) > 0.1


def test_a_step_is_the_sum_of_maxima() -> None:
    linear, attention = (5, 1), (1, 4)  # (compute, memory)
    total = sum(operation_time(*operation, 0, 0, 0) for operation in (linear, attention))
    assert total == 9
    assert operation_time(6, 5, 0, 0, 0) == 6  # the maximum of the sums, which no schedule of two operations reaches


def test_weights_are_read_stored_and_multiplied_executed() -> None:
    bandwidth = 820e9  # TPU v5e
    assert off(critical_batch(197e12, bandwidth, 2), 240) < 0.01  # bf16 weights, bf16 arithmetic
    assert off(critical_batch(197e12, bandwidth, 1), 120) < 0.01  # int8 weights, bf16 arithmetic
    assert off(critical_batch(394e12, bandwidth, 1), 240) < 0.01  # int8 weights, int8 arithmetic


def test_touched_experts_saturate() -> None:
    assert distinct_experts(256, 8, 1) == pytest.approx(8)
    few, many = distinct_experts(256, 8, 32), distinct_experts(256, 8, 4096)
    assert few == pytest.approx(163.313845950383)
    assert few < 8 * 32  # the active parameters, times the batch
    assert many == pytest.approx(256)
    active, total = expert_weight_bytes(7168, 2048, 3, 1, 8), expert_weight_bytes(7168, 2048, 3, 1, 256)
    assert active < expert_weight_bytes(7168, 2048, 3, 1, few) < total


def test_gated_experts_have_three_matrices() -> None:
    published = 4.84e10  # Step-3 Table 2, DeepSeek-V3, nine experts in 58 layers and three dense layers
    dense = 3 * expert_flops(1, 1, 7168, 18432, 3)
    assert off(58 * expert_flops(1, 9, 7168, 2048, 3) + dense, published) < 0.01
    assert off(58 * expert_flops(1, 9, 7168, 2048, 2) + dense, published) > 0.25
    assert off(58 * expert_flops(1, 8, 7168, 2048, 3) + dense, published) > 0.05  # without the shared one


def test_a_pipeline_does_not_speed_up_a_token() -> None:
    weights, chips, width = 70.55e9, 576, 16
    published = 55.1e-6  # Groq v1, stages of sixteen
    assert off(streaming_latency(weights, width, 80e12, 0, 0, 0), published) < 1e-3
    assert off(streaming_latency(weights, chips, 80e12, 0, 0, 0), published) > 0.9
    assert token_interval(36, 0, 1, 1) == 36  # one sequence: all stages in turn
    assert token_interval(36, 0, 36, 1) == 36  # thirty-six of them: no slower, no faster
    assert token_interval(36, 0, 72, 1) == 72


def test_a_full_memory_sets_a_floor() -> None:
    published = 0.024  # LIMINAL, a full xPU-HBM3: 41.7 tokens/s at most
    assert sweep_time(96e9, 4e12) == pytest.approx(published)
    for devices in (1, 8, 64):
        assert streaming_latency(devices * 96e9, devices, 4e12, 0, 0, 0) == pytest.approx(published)


def test_logarithms_are_rounded_up_for_numbers_and_for_symbols() -> None:
    assert [tree_depth(ranks) for ranks in (1, 2, 3, 8, 9, 12, 16)] == [0, 1, 2, 3, 4, 4, 4]
    assert all(tree_depth(2**n) == n for n in range(1, 50))
    assert tree_depth(np.array([2.0**n for n in range(1, 50)])).tolist() == list(range(1, 50))
    symbol = sympy.Symbol("ranks", positive=True)
    assert tree_depth(symbol) == sympy.ceiling(sympy.log(symbol, 2))
    assert tree_depth(symbol).subs(symbol, 12) == 4
    plain = 2 * math.log2(12) * 1e-6 + 2 * 1e6 / 450e9
    assert tree_all_reduce(1e6, 12, 450e9, 1e-6) > plain
    assert tree_sync(1, 12, 1) == pytest.approx(2 * math.log2(12))  # the smooth one says so


def test_maxima_stay_maxima_as_symbols() -> None:
    x, y = sympy.symbols("x y", positive=True)
    assert operation_time(x, y, 0, 0, 0) == sympy.Max(x, y)  # a smoothed maximum would move the crossing
    assert attainable(x, y, 2) == sympy.Min(x, 2 * y)


def test_the_one_shot_crossing_is_below_a_decode_message() -> None:
    crossing = one_shot_crossover(8, 450e9, 1e-6)
    assert crossing == pytest.approx(428_571.43)
    assert crossing > 8192 * 2  # one token of Llama-70B in bf16


def test_square_root_latencies_are_for_gpus() -> None:
    published = 50.4e-3  # Erdil's notebook: the law of GPUs, applied to 2304 chips of a deterministic network
    law = 126 * 4 * square_root_all_reduce(2304, 6e-6, 2e-6)
    assert off(law, published) < 0.001  # the reads are negligible
    hops = 126 * 4 * point_to_point(0, 1, 722e-9, 3)  # three hops between any two chips
    assert hops < published / 40


def test_small_rings_need_the_exact_volume() -> None:
    published = 1.38  # per token, hidden element and byte on 16 ranks
    assert off(weight_stationary_volume_2d(1, 1, 4, 1, 2, 8), published) < 0.01
    assert off(8 / 16**0.5, published) > 0.4  # the asymptote


def test_few_rows_waste_a_systolic_array() -> None:
    assert systolic_cycles(8, 128, 4096, 128, 128) == systolic_cycles(128, 128, 4096, 128, 128) == 4478
    utilisation = matmul_flops(8, 4096, 128) / 2 / (4478 * 128 * 128)
    assert utilisation == pytest.approx(0.0572, abs=1e-4)


def test_a_return_is_not_a_margin() -> None:
    revenue, cost = 562_027, 87_072  # DeepSeek's published day: "545 %"
    assert off(return_on_cost(revenue, cost), 5.45) < 0.002
    assert (revenue - cost) / revenue == pytest.approx(0.845, abs=1e-3)


def test_prices_are_per_hour_and_rates_per_second() -> None:
    published = 0.92  # Erdil's notebook, Mistral Large 2
    rate = 168.72 * 59.82
    assert off(usd_per_million_tokens(15.97, 2.1, rate), published) < 0.005
    assert off(15.97 * 2.1 / rate * 1e6, published) > 1e3
    assert off(usd_per_million_tokens(15.97, 2.1, 59.82), published) > 100  # one user's rate for the system's


def test_energies_add() -> None:
    published = 101.2
    assert roofline_energy(1e12, 1e10, 1e-12, 2e-11, 100, 1) == pytest.approx(published)
    assert off(max(1, 0.2) + 100, published) > 1e-3
    assert streaming_energy(70.55e9, 6e-12) == pytest.approx(3.3864)
    assert off(70.55e9 * 6e-12, 3.3864) > 0.8  # bytes for bits


def test_a_logarithmic_width_has_a_factor_of_ln_two() -> None:
    width = optimal_width_tree(70.55e9, 80, 722e-9, 80e12)
    assert off(width, 5.291457495293) < 1e-9
    assert off(width / math.log(2), 5.291457495293) > 0.4


def test_active_parameters_are_not_the_total() -> None:
    total, active = 671e9, 37e9
    assert token_flops(active) < token_flops(total) / 18
