"""What holds for every value: sums, limits, orders and crossings."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from roofline.equations import (
    attention,
    collectives,
    compression,
    cost,
    disaggregation,
    energy,
    exchanges,
    experts,
    fitted,
    links,
    logarithms,
    matmul,
    partitioning,
    pipelines,
    recurrence,
    rooflines,
    serving,
)

positive = st.floats(1e-6, 1e6)
sizes = st.floats(1, 1e10)
bandwidths = st.floats(1e9, 1e13)
latencies = st.floats(1e-8, 1e-4)
ranks = st.integers(2, 512)
counts = st.integers(1, 300)

ALMOST = 1 + 1e-9

# -- rooflines --------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=8))
def test_the_sum_of_maxima_lies_between_its_bounds(operations: list[tuple[float, float]]) -> None:
    compute, memory = (sum(column) for column in zip(*operations, strict=True))
    total = sum(rooflines.operation_time(c, m, 0, 0, 0) for c, m in operations)
    assert max(compute, memory) <= total * ALMOST
    assert total <= (compute + memory) * ALMOST
    assert compute + memory <= 2 * max(compute, memory) * ALMOST


@given(compute=positive, memory=positive, feed=positive, network=positive, overhead=positive)
def test_an_operation_takes_at_least_each_of_its_parts(**parts: float) -> None:
    total = rooflines.operation_time(**parts)
    assert all(total >= part for part in parts.values())
    assert total <= sum(parts.values()) * ALMOST
    assert total * ALMOST >= parts["network"] + parts["overhead"] + max(parts["compute"], parts["feed"])


@given(compute=positive, memory=positive, overhead=positive)
def test_what_is_never_fed_nor_sent_is_left_out(**parts: float) -> None:
    assert rooflines.unfed_operation_time(**parts) == rooflines.operation_time(**parts, feed=0, network=0)
    del parts["compute"]
    assert rooflines.streaming_time(**parts) == rooflines.operation_time(**parts, compute=0, feed=0, network=0)


@given(peak=bandwidths, bandwidth=bandwidths, factor=st.floats(0.01, 100))
def test_the_attainable_rate_bends_at_the_ridge(peak: float, bandwidth: float, factor: float) -> None:
    rate = rooflines.attainable(peak, bandwidth, factor * rooflines.ridge_point(peak, bandwidth))
    assert rate == pytest.approx(peak * min(factor, 1))


@given(flops=sizes, traffic=sizes, peak=bandwidths, bandwidth=bandwidths)
def test_rates_and_times_are_two_views(flops: float, traffic: float, peak: float, bandwidth: float) -> None:
    time = rooflines.operation_time(
        rooflines.compute_time(flops, peak), rooflines.memory_time(traffic, bandwidth), 0, 0, 0
    )
    rate = rooflines.attainable(peak, bandwidth, rooflines.intensity(flops, traffic))
    assert rate * time == pytest.approx(flops)


@given(
    inner=st.integers(64, 8192),
    columns=st.integers(64, 8192),
    peak=bandwidths,
    bandwidth=bandwidths,
    width=st.sampled_from([0.5, 1, 2]),
    side=st.sampled_from([0.99, 1.01]),
)
def test_weights_and_arithmetic_cross_at_the_critical_batch(
    inner: int, columns: int, peak: float, bandwidth: float, width: float, side: float
) -> None:
    batch = side * rooflines.critical_batch(peak, bandwidth, width)
    arithmetic = rooflines.compute_time(matmul.matmul_flops(batch, inner, columns), peak)
    reading = rooflines.memory_time(matmul.weight_bytes(inner, columns, width), bandwidth)
    assert arithmetic / reading == pytest.approx(side)


@given(weights=sizes, flops=sizes, peak=bandwidths, bandwidth=bandwidths, share=st.floats(0.01, 0.99), token=positive)
def test_a_whole_step_crosses_at_the_fused_batch(
    weights: float, flops: float, peak: float, bandwidth: float, share: float, token: float
) -> None:
    context = share * rooflines.fused_critical_context(flops, token, peak, bandwidth)
    cache = context * token
    batch = rooflines.fused_critical_batch(weights, flops, cache, peak, bandwidth)
    assert batch > 0
    for side in (0.99, 1.01):
        arithmetic = rooflines.compute_time(side * batch * flops, peak)
        reading = rooflines.memory_time(weights + side * batch * cache, bandwidth)
        assert (arithmetic > reading) == (side > 1)
    beyond = rooflines.fused_critical_batch(weights, flops, cache / share * 1.01, peak, bandwidth)
    assert beyond < 0


@given(batch=counts, cache=sizes, weights=sizes, flops=sizes, devices=ranks, peak=bandwidths, bandwidth=bandwidths)
def test_twice_the_devices_halve_an_additive_step(devices: int, **rest: Any) -> None:
    names = {"kv_bytes_per_sequence": "cache", "weight_bytes": "weights", "flops_per_token": "flops"}
    arguments = {new: rest.pop(old) for new, old in names.items()} | rest
    one = rooflines.additive_decode_step(devices=devices, **arguments)
    two = rooflines.additive_decode_step(devices=2 * devices, **arguments)
    assert one == pytest.approx(2 * two)
    more = rooflines.additive_decode_step(devices=devices, **arguments | {"batch": arguments["batch"] + 1})
    assert one < more < one * (arguments["batch"] + 1) / arguments["batch"] * ALMOST


# -- attention --------------------------------------------------------------------------------------------------------


@given(new=st.integers(1, 60), cached=st.integers(0, 60), window=st.integers(1, 130))
def test_pairs_are_what_counting_finds(new: int, cached: int, window: int) -> None:
    positions = range(cached + 1, cached + new + 1)
    assert attention.full_pairs(new, cached) == sum(positions)
    assert attention.windowed_pairs(new, cached, window) == sum(min(position, window) for position in positions)


@given(new=st.integers(1, 10**5), cached=st.integers(0, 10**7), beyond=st.integers(0, 10**6))
def test_a_window_over_the_whole_context_is_no_window(new: int, cached: int, beyond: int) -> None:
    assert attention.windowed_pairs(new, cached, new + cached + beyond) == attention.full_pairs(new, cached)


@given(new=st.integers(2, 10**5), cached=st.integers(0, 10**6), at=st.integers(1, 10**5), window=st.integers(1, 10**5))
def test_a_prompt_may_be_cut_in_two(new: int, cached: int, at: int, window: int) -> None:
    assume(at < new)
    whole = attention.windowed_pairs(new, cached, window)
    parts = attention.windowed_pairs(at, cached, window) + attention.windowed_pairs(new - at, cached + at, window)
    assert whole == parts


@given(context=st.integers(1, 10**7), window=st.integers(1, 10**6))
def test_a_decode_step_sees_the_visible_keys(context: int, window: int) -> None:
    assert attention.windowed_pairs(1, context - 1, window) == attention.visible_keys(context, window)


@given(heads=ranks, dim=ranks, width=st.sampled_from([1, 2]))
def test_grouping_saves_bytes_and_never_arithmetic(heads: int, dim: int, width: int) -> None:
    one_each = attention.attention_intensity(heads, heads, dim, dim, width)
    assert one_each == pytest.approx(2 / width)
    assert attention.attention_intensity(heads, 1, dim, dim, width) == pytest.approx(heads * one_each)


@given(
    heads=ranks,
    latent=st.integers(200, 1000),
    rope=ranks,
    nope=st.integers(1, 190),
    value=st.integers(1, 190),
    keys=st.integers(1, 10**6),
)
def test_absorbing_pays_below_the_crossing(
    heads: int, latent: int, rope: int, nope: int, value: int, keys: int
) -> None:
    crossing = attention.materialisation_crossover(latent, nope, value)
    for side in (0.99, 1.01):
        pairs = side * crossing * keys
        absorbed = attention.absorbed_latent_flops(heads, latent, rope, pairs)
        expanded = attention.materialised_latent_flops(
            heads, nope, rope, value, pairs
        ) + attention.latent_expansion_flops(heads, latent, nope, value, keys)
        assert (absorbed < expanded) == (side < 1)


@given(heads=counts, latent=counts, rope=counts, width=st.sampled_from([1, 2]), pairs=counts)
def test_an_intensity_is_arithmetic_over_bytes(heads: int, latent: int, rope: int, width: int, pairs: int) -> None:
    flops = attention.absorbed_latent_flops(heads, latent, rope, pairs)
    cache = pairs * attention.latent_bytes_per_token(latent, rope, width)
    each = attention.absorbed_latent_intensity(heads, latent, rope, width)
    assert each == pytest.approx(rooflines.intensity(flops, cache))


@given(heads=st.integers(1, 128), width=st.integers(1, 512))
def test_ranks_hold_every_head(heads: int, width: int) -> None:
    held = attention.kv_heads_per_rank(heads, width)
    assert held >= 1
    assert held * width >= heads
    assert (held - 1) * width < heads
    assert attention.kv_replication(heads, width) >= max(1, width / heads)


@given(share=st.floats(0.01, 1), capacity=sizes, batch=counts, heads=counts, dim=counts, width=st.sampled_from([1, 2]))
def test_the_longest_context_fills_its_share(
    share: float, capacity: float, batch: int, heads: int, dim: int, width: int
) -> None:
    context = attention.max_context(share, capacity, batch, heads, dim, width, 10)
    held = batch * context * 10 * attention.kv_bytes_per_token(heads, dim, dim, width)
    assert held == pytest.approx(share * capacity)


@given(*[st.integers(0, 60)] * 4)
def test_a_tier_holds_the_bytes_of_a_block_that_lie_in_it(start: int, block: int, below: int, capacity: int) -> None:
    """Byte by byte: those placed from `start` on that fall into the `capacity` after the tiers `below`."""
    inside = sum(below <= byte < below + capacity for byte in range(start, start + block))
    assert rooflines.tier_bytes(start, block, below, capacity) == inside


# -- experts ----------------------------------------------------------------------------------------------------------


@given(total=st.integers(2, 512), top_k=st.integers(1, 16), tokens=st.integers(1, 300))
def test_distinct_experts_start_at_k_and_saturate(total: int, top_k: int, tokens: int) -> None:
    assume(top_k <= total)
    exact = (Fraction(total), Fraction(top_k))
    assert experts.distinct_experts(*exact, Fraction(1)) == top_k
    touched, next_one, after = (experts.distinct_experts(*exact, Fraction(tokens + i)) for i in range(3))
    assert top_k <= touched <= min(total, top_k * tokens)
    assert touched <= next_one <= after
    assert after - next_one <= next_one - touched


@given(total=st.integers(20, 512), top_k=st.integers(1, 16), tokens=st.integers(1, 4096), skew=st.floats(1e-4, 20))
def test_skew_touches_fewer_experts_but_those_of_a_token(total: int, top_k: int, tokens: int, skew: float) -> None:
    even = experts.distinct_experts(total, top_k, tokens)
    touched, next_one, more_skew = (
        experts.skewed_experts(total, top_k, *more)
        for more in ((tokens, skew), (tokens + 1, skew), (tokens, 1.5 * skew))
    )
    assert experts.skewed_experts(total, top_k, 1, skew) == pytest.approx(top_k)
    assert top_k * (1 - 1e-9) <= touched <= even * (1 + 1e-9)
    assert touched <= next_one * (1 + 1e-9)
    assert more_skew <= touched * (1 + 1e-9)
    assert experts.skewed_experts(total, top_k, tokens, 1e-6) == pytest.approx(even, rel=1e-2)


@pytest.mark.parametrize("skew", [0.3, 0.8, 2.0])
@pytest.mark.parametrize("tokens", [2, 8, 32, 128])
def test_skewed_experts_are_those_of_routings_drawn_by_weights(skew: float, tokens: int) -> None:
    """Each expert's weight is drawn by a gamma law, and each token takes eight of 256 with those weights."""
    generator = np.random.default_rng(5)
    counts = []
    for _ in range(40):
        weights = generator.gamma(1 / skew, skew, 256) + 1e-9
        keys = generator.exponential(1.0, (tokens, 256)) / weights  # the first eight of a race are drawn so
        counts.append(len(np.unique(np.argpartition(keys, 8, axis=1)[:, :8])))
    assert experts.skewed_experts(256, 8, tokens, skew) == pytest.approx(np.mean(counts), rel=0.06)


@pytest.mark.parametrize(("skew", "ranks", "total"), [(0.9, 8, 256), (0.9, 64, 256), (2.0, 32, 128), (0.3, 2, 64)])
def test_the_fullest_rank_is_that_of_experts_drawn_by_weights(skew: float, ranks: int, total: int) -> None:
    weights = np.random.default_rng(3).gamma(1 / skew, skew, (20_000, ranks, total // ranks)).sum(axis=2)
    drawn = np.mean(weights.max(axis=1) / weights.mean(axis=1))
    deviate = experts.largest_deviate(ranks)
    assert experts.fullest_rank_rows(total, 8, total / ranks, deviate, skew) == pytest.approx(drawn, rel=0.02)


@given(ranks=st.integers(1, 64), held=st.integers(1, 64), top_k=st.integers(1, 16), skew=st.floats(0, 50))
def test_the_fullest_rank_has_at_most_what_tokens_choose(ranks: int, held: int, top_k: int, skew: float) -> None:
    """Nor fewer rows than others, and more the greater the skew; as many as all where it is alone, or none has skew."""
    total, deviate = ranks * held, experts.largest_deviate(ranks) if ranks > 1 else 0.0
    assume(top_k <= total)
    rows, more = (experts.fullest_rank_rows(total, top_k, held, deviate, each) for each in (skew, 1.1 * skew))
    assert 1 <= rows <= min(top_k, held) / top_k * ranks * ALMOST
    assert rows <= more * ALMOST
    assert experts.fullest_rank_rows(total, top_k, held, deviate, 0.0) == 1
    assert experts.fullest_rank_rows(total, top_k, total, 0.0, skew) == 1


@given(total=st.integers(20, 512), top_k=st.integers(1, 16), share=st.floats(0.01, 0.99))
def test_coverage_is_the_inverse_of_distinct_experts(total: int, top_k: int, share: float) -> None:
    tokens = experts.tokens_for_coverage(total, top_k, share)
    assert experts.distinct_experts(total, top_k, tokens) == pytest.approx(share * total)


@given(total=st.integers(16, 512), top_k=st.integers(1, 16), peak=bandwidths, bandwidth=bandwidths)
def test_each_expert_is_critical_at_the_critical_batch(total: int, top_k: int, peak: float, bandwidth: float) -> None:
    tokens = experts.expert_critical_tokens(total, top_k, peak, bandwidth, 1)
    each = experts.tokens_per_expert(total, top_k, tokens)
    assert each == pytest.approx(rooflines.critical_batch(peak, bandwidth, 1))


@given(hidden=ranks, inner=ranks, width=st.sampled_from([1, 2]), tokens=counts, matrices=st.sampled_from([2, 3]))
def test_one_expert_for_all_is_a_dense_layer(hidden: int, inner: int, width: int, tokens: int, matrices: int) -> None:
    flops = experts.expert_flops(tokens, 1, hidden, inner, matrices)
    assert flops == matrices * matmul.matmul_flops(tokens, hidden, inner)
    weights = experts.expert_weight_bytes(hidden, inner, matrices, width, experts.distinct_experts(1, 1, tokens))
    assert weights == matrices * matmul.weight_bytes(hidden, inner, width)


@given(
    count=st.integers(4, 512),
    top_k=st.integers(1, 4),
    tokens=st.integers(1, 300),
    deviate=st.floats(0, 3),
    share=st.sampled_from([1, 2, 4]),
)
def test_the_busiest_rank_touches_no_less_than_the_mean_and_no_more_than_it_has(
    count: int, top_k: int, tokens: int, deviate: float, share: int
) -> None:
    held = count / share
    touched, next_one = (experts.distinct_experts(count, top_k, each) for each in (tokens, tokens + 1))
    mean = touched / share
    busiest = experts.busiest_rank_experts(count, touched, tokens, held, deviate)
    assert max(mean, 1) * (1 - 1e-12) <= busiest <= held
    assert experts.busiest_rank_experts(count, touched, tokens, held, 0) == pytest.approx(max(mean, 1))
    more = experts.busiest_rank_experts(count, next_one, tokens + 1, held, deviate)
    assert more >= busiest * (1 - 1e-12)


@pytest.mark.parametrize(("count", "top_k", "size"), [(256, 8, 8), (256, 8, 256), (128, 4, 4), (512, 10, 64)])
@pytest.mark.parametrize("tokens", [1, 4, 16, 64])
def test_the_busiest_rank_is_that_of_routings_drawn_at_random(count: int, top_k: int, size: int, tokens: int) -> None:
    """Drawn anew for each token; the normal law is short of it where a rank touches one expert or two."""
    generator = np.random.default_rng(11)
    touched = np.zeros((200, count), dtype=bool)
    for draw in touched:
        for _ in range(tokens):
            draw[generator.permutation(count)[:top_k]] = True
    drawn = touched.reshape(200, size, -1).sum(axis=2).max(axis=1).mean()
    deviate = experts.largest_deviate(size)
    expected = experts.distinct_experts(count, top_k, tokens)
    found = experts.busiest_rank_experts(count, expected, tokens, count / size, deviate)
    few = tokens * top_k / size < 2
    assert found == pytest.approx(drawn, rel=0.35 if few else 0.07)


def test_a_token_touches_an_expert_of_some_rank_and_half_a_token_half_of_one() -> None:
    assert experts.busiest_rank_experts(256, 8, 1, 1, 0) == 1
    assert experts.busiest_rank_experts(256, 4, 0.5, 1, 0) == 0.5


@pytest.mark.parametrize(("size", "largest"), [(3, 0.8463), (4, 1.0294), (8, 1.4236), (16, 1.7660), (64, 2.3437)])
def test_the_largest_of_normal_deviates(size: int, largest: float) -> None:
    """Harter 1961, "Expected Values of Normal Order Statistics", Biometrika 48, Table 1."""
    assert experts.largest_deviate(size) == pytest.approx(largest, rel=0.011)


@given(size=ranks, tokens=st.floats(1, 1e9))
def test_imbalance_is_at_least_one_and_fades(size: int, tokens: float) -> None:
    assert 1 < experts.rank_imbalance(size, 2 * tokens) < experts.rank_imbalance(size, tokens)
    assert experts.rank_imbalance(1, tokens) == 1


@given(size=ranks, tokens=st.floats(1, 1e9))
def test_imbalance_is_a_gaussian_tail(size: int, tokens: float) -> None:
    excess = experts.rank_imbalance(size, tokens) - 1
    assert math.exp(excess**2 * tokens / 2) == pytest.approx(size, rel=1e-3)


def test_imbalance_of_64_ranks_with_a_thousand_tokens_each() -> None:
    assert experts.rank_imbalance(64, 1000) == pytest.approx(1.0912, abs=5e-5)


# -- collectives ------------------------------------------------------------------------------------------------------

BY_RANKS = {
    name: getattr(module, name)
    for module, name in [
        (collectives, "ring_all_gather"),
        (collectives, "ring_all_reduce"),
        (collectives, "tree_all_reduce"),
        (collectives, "recursive_all_reduce"),
        (collectives, "one_shot_all_reduce"),
        (collectives, "two_shot_all_reduce"),
        (collectives, "pairwise_all_to_all"),
        (collectives, "bruck_all_to_all"),
        (exchanges, "direct_all_gather"),
        (exchanges, "direct_all_to_all"),
    ]
}
every_collective = pytest.mark.parametrize("collective", BY_RANKS.values(), ids=BY_RANKS)
wires = {"size": sizes, "ranks": ranks, "bandwidth": bandwidths, "latency": latencies}


@pytest.mark.parametrize(
    "name", ["ring_all_gather", "ring_all_reduce", "recursive_all_reduce", "pairwise_all_to_all", "bruck_all_to_all"]
)
@given(size=sizes, bandwidth=bandwidths, latency=latencies)
def test_one_rank_has_nobody_to_talk_to(name: str, size: float, bandwidth: float, latency: float) -> None:
    assert BY_RANKS[name](size, 1, bandwidth, latency) == 0


@every_collective
@given(**wires)
def test_collectives_grow_with_what_they_carry(collective: Any, **at: Any) -> None:
    here = collective(**at)
    assert collective(**at | {"size": 2 * at["size"]}) > here
    assert collective(**at | {"latency": 2 * at["latency"]}) > here
    assert collective(**at | {"bandwidth": at["bandwidth"] / 2}) > here
    assert collective(**at | {"ranks": 4 * at["ranks"]}) >= here


@every_collective
@given(**wires)
def test_collectives_are_linear_in_time(collective: Any, **at: Any) -> None:
    slower = {"latency": 3 * at["latency"], "bandwidth": at["bandwidth"] / 3}
    assert collective(**at | slower) == pytest.approx(3 * collective(**at))


@given(**wires)
def test_no_all_reduce_sends_less_than_a_ring_and_none_beats_the_switch(**at: Any) -> None:
    silent = at | {"latency": 0}
    ring = collectives.ring_all_reduce(**silent)
    for name in ("tree", "recursive", "one_shot", "two_shot"):
        assert BY_RANKS[f"{name}_all_reduce"](**silent) * ALMOST >= ring
    switch = collectives.switch_all_reduce(at["size"], at["bandwidth"], at["latency"])
    assert collectives.ring_all_reduce(**at) * ALMOST >= switch


@given(**wires)
def test_two_passes_make_a_ring(**at: Any) -> None:
    gather = collectives.ring_all_gather(**at)
    assert collectives.ring_all_reduce(**at) == pytest.approx(2 * gather)
    assert exchanges.direct_all_gather(**at) <= gather * ALMOST
    assert collectives.two_shot_all_reduce(**at) == pytest.approx(2 * exchanges.direct_all_gather(**at))


@given(size=sizes, bandwidth=bandwidths, latency=latencies)
def test_a_switch_takes_two_messages_and_one_buffer(size: float, bandwidth: float, latency: float) -> None:
    time = collectives.switch_all_reduce(size, bandwidth, latency)
    there = collectives.point_to_point(size / 2, bandwidth, latency, 1)
    assert time == pytest.approx(2 * there)


@given(nodes=st.integers(1, 64), copies=st.integers(1, 16), groups=st.integers(1, 16), share=st.floats(0, 1))
def test_nodes_are_reached_by_as_many_copies_as_reach_groups(
    nodes: int, copies: int, groups: int, share: float
) -> None:
    chosen = max(1, round(share * groups))
    reached = float(exchanges.nodes_reached(nodes, copies, groups, chosen))  # type: ignore[arg-type]
    assert 1 <= reached <= min(nodes, copies) * 1.02
    free = float(exchanges.nodes_reached(nodes, copies, 1, 1))  # type: ignore[arg-type]
    assert free == pytest.approx(float(experts.distinct_experts(nodes, 1, copies)))  # type: ignore[arg-type]
    if nodes >= groups:
        most = chosen * nodes / groups
        assert reached == pytest.approx(float(experts.distinct_experts(most, 1, copies)))  # type: ignore[arg-type]


@given(ranks=st.integers(1, 64), copies=st.integers(1, 16), share=st.floats(0, 1))
def test_the_fullest_rank_is_reached_by_tokens_with_a_copy_for_it(ranks: int, copies: int, share: float) -> None:
    """Where all is free, each copy falls on it with its share of them; all tokens reach one that has all copies."""
    crowded = 1 + share * (ranks - 1)
    reached, average = 1 - (1 - crowded / ranks) ** copies, 1 - (1 - 1 / ranks) ** copies
    found = float(exchanges.fullest_rank_reached(ranks, copies, 1, 1, crowded))  # type: ignore[arg-type]
    assert found == pytest.approx(reached / average)
    assert 1 / ALMOST <= found <= crowded * ALMOST


@pytest.mark.parametrize("ranks", [8, 16, 32, 64])
@pytest.mark.parametrize("crowded", [1.0, 1.3, 2.0])
def test_under_a_limit_to_groups_the_fullest_rank_is_reached_by_some_more(ranks: int, crowded: float) -> None:
    found = float(exchanges.fullest_rank_reached(ranks, 8, 8, 4, crowded))  # type: ignore[arg-type]
    assert 1 / ALMOST <= found <= crowded * ALMOST
    assert (found == pytest.approx(1)) == (crowded == 1)


@given(copies=st.integers(1, 12), groups=st.sampled_from([4, 8, 16]), data=st.data())
def test_nodes_reached_within_a_limit_are_those_of_a_draw(copies: int, groups: int, data: st.DataObject) -> None:
    """Against all draws of groups without replacement, and of experts among them with it."""
    chosen = data.draw(st.integers(1, groups))
    nodes = data.draw(st.sampled_from([count for count in (2, 4, 8, 16) if count <= groups]))
    here = groups // nodes

    def none_of(taken: int) -> float:
        ways = math.comb(here, taken) * math.comb(groups - here, chosen - taken)
        return ways / math.comb(groups, chosen) * (1 - taken / chosen) ** copies

    drawn = nodes * (1 - sum(none_of(taken) for taken in range(min(here, chosen) + 1)))
    reached = float(exchanges.nodes_reached(nodes, copies, groups, chosen))  # type: ignore[arg-type]
    assert reached == pytest.approx(drawn, rel=0.03)


@pytest.mark.parametrize("nodes", [7, 9])
def test_nodes_that_groups_lie_across_are_counted_an_eighth_too_few(nodes: int) -> None:
    """Eight copies to four of eight groups in a row: against all draws of the groups, however nodes cut the row."""
    groups, chosen, copies = 8, 4, 8

    def share(node: int, group: int) -> float:
        ends = min((node + 1) / nodes, (group + 1) / groups), max(node / nodes, group / groups)
        return max(ends[0] - ends[1], 0) * groups / chosen

    draws = list(combinations(range(groups), chosen))
    missed = [(1 - sum(share(node, group) for group in draw)) ** copies for node in range(nodes) for draw in draws]
    drawn = nodes - sum(missed) / len(draws)
    reached = float(exchanges.nodes_reached(nodes, copies, groups, chosen))  # type: ignore[arg-type]
    assert reached / drawn == pytest.approx(7 / 8, abs=0.01)


@given(size=positive, copies=st.integers(1, 16), inside=st.integers(1, 16), across=st.integers(1, 64))
def test_fanning_out_crosses_with_fewer_bytes_the_more_copies_share_a_node(
    size: float, copies: int, inside: int, across: int
) -> None:
    reached = float(exchanges.nodes_reached(across, copies, 1, 1))  # type: ignore[arg-type]
    outside = {"size": size, "ranks": across, "bandwidth": 3.0, "latency": 0.0}
    within = {"size": size, "ranks": inside, "bandwidth": 7.0, "latency": 0.0}
    taken = exchanges.fanned_all_to_all(size, size / copies, reached, inside, across, 7.0, 3.0, 0.0, 0.0)
    crossing = taken - exchanges.direct_all_to_all(**within)  # type: ignore[arg-type]
    each_on_its_own = exchanges.direct_all_to_all(**outside)  # type: ignore[arg-type]
    assert crossing == pytest.approx(each_on_its_own * reached / copies, abs=1e-6 * size)
    assert exchanges.fanned_all_to_all(size, size, 1, inside, across, 7.0, 3.0, 0.0, 0.0) >= taken / ALMOST


@given(size=sizes, bandwidth=bandwidths, latency=latencies)
def test_two_ranks_exchange_in_one_way(size: float, bandwidth: float, latency: float) -> None:
    exchanges_of_two = [
        function(size, 2, bandwidth, latency)
        for function in (
            collectives.bruck_all_to_all,
            collectives.pairwise_all_to_all,
            collectives.ring_all_gather,
            exchanges.direct_all_gather,
            exchanges.direct_all_to_all,
        )
    ]
    assert exchanges_of_two == pytest.approx(5 * [latency + size / 2 / bandwidth])


@given(**wires)
def test_exchanging_at_once_saves_the_further_messages(**at: Any) -> None:
    further = (at["ranks"] - 2) * at["latency"]
    pairwise = collectives.pairwise_all_to_all(**at)
    assert exchanges.direct_all_to_all(**at) + further == pytest.approx(pairwise)


@given(power=st.integers(1, 9), size=sizes, bandwidth=bandwidths, latency=latencies)
def test_two_levels_of_one_kind_send_what_one_level_sends(
    power: int, size: float, bandwidth: float, latency: float
) -> None:
    inside, across = 2**power, 8
    silent = collectives.hierarchical_all_reduce(size, inside, across, bandwidth, bandwidth, 0, 0)
    assert silent == pytest.approx(collectives.ring_all_reduce(size, inside * across, bandwidth, 0))
    one_node = collectives.hierarchical_all_reduce(size, inside, 1, bandwidth, 1, latency, 1)
    assert one_node == pytest.approx(collectives.ring_all_reduce(size, inside, bandwidth, latency))
    lone_ranks = collectives.hierarchical_all_reduce(size, 1, across, 1, bandwidth, 1, latency)
    assert lone_ranks == pytest.approx(collectives.ring_all_reduce(size, across, bandwidth, latency))


@given(inside=latencies, across=latencies, base=latencies, doublings=st.integers(0, 5), per_node=st.integers(1, 8))
def test_nothing_to_send_takes_the_fixed_time_and_both_ways_of_steps(
    inside: float, across: float, base: float, doublings: int, per_node: int
) -> None:
    nodes = 2**doublings
    empty = fitted.measured_all_reduce(0, per_node * nodes, nodes, 1, 1, inside, across, base, 1)
    assert empty == pytest.approx(base + 2 * (per_node - 1) * inside + 2 * doublings * across)


@given(size=sizes, nodes=st.integers(1, 16), per_node=st.integers(1, 16), bandwidth=bandwidths, share=st.floats(0.1, 1))
def test_nodes_of_equal_wires_send_what_a_ring_sends(
    size: float, nodes: int, per_node: int, bandwidth: float, share: float
) -> None:
    total = nodes * per_node
    sent = fitted.measured_all_reduce(size, total, nodes, bandwidth, bandwidth, 0, 0, 0, share)
    assert share * sent == pytest.approx(collectives.ring_all_gather(size, total, bandwidth, 0))


def test_slow_wires_between_nodes_are_paid_for_their_share() -> None:
    time = fitted.measured_all_reduce(16, 16, 2, 8, 2, 0, 0, 0, 1)
    assert time == 14 / 8 + 1 / 2  # fourteen sixteenths inside, one across


@given(size=st.integers(3, 512), bandwidth=bandwidths, latency=latencies)
def test_one_shot_wins_below_its_crossing(size: int, bandwidth: float, latency: float) -> None:
    crossing = collectives.one_shot_crossover(size, bandwidth, latency)
    for side in (0.99, 1.01):
        message = side * crossing
        shot = collectives.one_shot_all_reduce(message, size, bandwidth, latency)
        recursive = collectives.recursive_all_reduce(message, size, bandwidth, latency)
        assert (shot < recursive) == (side < 1)


@given(size=ranks, bandwidth=bandwidths, latency=latencies)
def test_hops_cost_below_the_torus_crossing_and_bytes_above(size: int, bandwidth: float, latency: float) -> None:
    crossing = collectives.torus_crossover(size, bandwidth, latency)
    at = collectives.torus_all_gather(crossing, size, bandwidth, latency)
    assert collectives.torus_all_gather(0.99 * crossing, size, bandwidth, latency) == pytest.approx(at)
    assert collectives.torus_all_gather(1.01 * crossing, size, bandwidth, latency) == pytest.approx(1.01 * at)


@given(size=sizes, bandwidth=bandwidths, latency=latencies, hops=st.integers(1, 20))
def test_a_message_pays_its_bytes_once_and_every_hop(size: float, bandwidth: float, latency: float, hops: int) -> None:
    time = collectives.point_to_point(size, bandwidth, latency, hops)
    assert time - collectives.point_to_point(size, bandwidth, latency, 0) == pytest.approx(hops * latency, rel=1e-6)
    assert pipelines.hop_time(hops, latency, size, bandwidth) == time


@given(bandwidth=bandwidths, domain=st.integers(2, 64), some=st.integers(2, 64))
def test_a_rank_of_a_mesh_has_a_wire_per_partner(bandwidth: float, domain: int, some: int) -> None:
    assume(some <= domain)
    assert exchanges.mesh_bandwidth(bandwidth, domain, domain) == pytest.approx(bandwidth)
    one_wire = exchanges.mesh_bandwidth(bandwidth, 2, domain)
    assert exchanges.mesh_bandwidth(bandwidth, some, domain) == pytest.approx((some - 1) * one_wire)


@given(rate=st.integers(1, 10**12))
def test_eight_lanes_carry_a_byte_per_bit_time(rate: int) -> None:
    assert links.lane_bandwidth(8, rate) == rate


@given(n=st.integers(1, 40))
def test_a_mesh_gains_a_cable_to_each_old_rank(n: int) -> None:
    assert links.full_mesh_links(n + 1) - links.full_mesh_links(n) == n


# -- cut weights ------------------------------------------------------------------------------------------------------

cut = {"tokens": counts, "hidden": ranks, "ffn": ranks, "width": st.sampled_from([1, 2])}


@given(**cut, total=ranks)
def test_one_dimension_is_a_case_of_two(total: int, **at: Any) -> None:
    two = partitioning.weight_stationary_volume_2d(**at, hidden_ranks=1, ffn_ranks=total)
    del at["ffn"]
    assert two == pytest.approx(partitioning.weight_stationary_volume_1d(**at, ranks=total))


@given(hidden=ranks, ffn=ranks, total=st.integers(4, 4096), side=st.sampled_from([0.9, 1.1]))
def test_the_best_split_sends_least(hidden: int, ffn: int, total: int, side: float) -> None:
    best = partitioning.optimal_hidden_ranks(hidden, ffn, total)

    def asymptote(hidden_ranks: float) -> float:
        return hidden / hidden_ranks + ffn * hidden_ranks / total

    assert asymptote(best) < asymptote(side * best)


@given(**cut, total=ranks, side=st.sampled_from([0.9, 1.1]))
def test_the_best_gather_receives_least(total: int, side: float, **at: Any) -> None:
    best = partitioning.optimal_gather_ranks(at["tokens"], at["ffn"], total)
    least = partitioning.weight_gathered_volume(**at, ranks=total, gather_ranks=best)
    assert least < partitioning.weight_gathered_volume(**at, ranks=total, gather_ranks=side * best)


# -- tiles ------------------------------------------------------------------------------------------------------------

tiling = {"rows": counts, "columns": counts, "tile_rows": st.integers(1, 64), "tile_columns": st.integers(1, 64)}


@given(**tiling, units=st.integers(1, 200))
def test_tiles_cover_and_waste_less_than_everything(units: int, **at: int) -> None:
    tiles = matmul.tile_count(**at)
    assert tiles * at["tile_rows"] * at["tile_columns"] >= at["rows"] * at["columns"]
    padding, wave = matmul.tile_padding_efficiency(**at), matmul.wave_efficiency(tiles, units)
    assert 0 < padding <= 1
    assert 0 < wave <= 1
    assert matmul.tile_efficiency(**at, units=units) == pytest.approx(padding * wave)


@given(a=st.integers(1, 9), b=st.integers(1, 9), tile=st.integers(1, 64), waves=st.integers(1, 5))
def test_whole_tiles_in_whole_waves_waste_nothing(a: int, b: int, tile: int, waves: int) -> None:
    assert matmul.tile_efficiency(a * waves * tile, b * tile, tile, tile, a * b) == 1


@given(rows=counts, columns=counts, inner=counts, array_rows=st.integers(1, 64), array_columns=st.integers(1, 64))
def test_no_array_beats_its_multipliers(**at: int) -> None:
    macs = at["rows"] * at["columns"] * at["inner"]
    assert matmul.systolic_cycles(**at) * at["array_rows"] * at["array_columns"] >= macs


@given(rows=counts, columns=counts, inner=counts, side=st.integers(1, 64))
def test_a_part_of_an_array_costs_all_of_it(rows: int, columns: int, inner: int, side: int) -> None:
    cycles = matmul.systolic_cycles(rows, columns, inner, side, side)
    padded_rows, padded_columns = (side * -(-extent // side) for extent in (rows, columns))
    assert cycles == matmul.systolic_cycles(padded_rows, padded_columns, inner, side, side)


@given(rows=counts, inner=counts, columns=counts, width=st.sampled_from([1, 2]))
def test_traffic_is_its_three_matrices(rows: int, inner: int, columns: int, width: int) -> None:
    traffic = matmul.matmul_traffic(rows, inner, columns, width, width, width)
    assert traffic == width * (rows * inner + inner * columns + rows * columns)
    assert matmul.matmul_traffic(rows, inner, columns, width, 0, 0) == matmul.weight_bytes(inner, columns, width)


# -- pipelines and capacity -------------------------------------------------------------------------------------------


@given(batch=st.integers(1, 5000), stages=st.integers(1, 200))
def test_micro_batches_hold_the_batch(batch: int, stages: int) -> None:
    each = pipelines.micro_batch(batch, stages)
    made = pipelines.micro_batches(batch, each)
    assert isinstance(each, int)
    assert isinstance(made, int)
    assert batch <= each * stages < batch + stages
    assert batch <= made * each < batch + each


@given(stages=st.lists(positive, min_size=1, max_size=20), hops=positive, made=st.integers(1, 50))
def test_a_token_waits_for_its_way_and_for_the_slowest_stage(stages: list[float], hops: float, made: int) -> None:
    interval = pipelines.token_interval(sum(stages), hops, made, max(stages))
    assert interval >= sum(stages) + hops
    assert interval >= made * max(stages)
    alone = pipelines.token_interval(sum(stages), hops, 1, max(stages))
    assert alone == sum(stages) + hops
    makespan = pipelines.pipeline_makespan(sum(stages), hops, made, max(stages))
    assert makespan * ALMOST >= interval
    assert pipelines.pipeline_makespan(sum(stages), hops, 1, max(stages)) == alone


@given(need=sizes, capacity=sizes)
def test_the_devices_just_hold_the_need(need: float, capacity: float) -> None:
    devices = pipelines.devices_for_capacity(need, capacity)
    assert pipelines.memory_occupancy(need, capacity, devices) <= 1
    if devices > 1:
        assert pipelines.memory_occupancy(need, capacity, devices - 1) > 1 / ALMOST


@given(devices=ranks, capacity=st.integers(1, 10**6), weights=st.integers(0, 10**6), cache=st.integers(1, 1000))
def test_the_largest_batch_fits_and_the_next_does_not(devices: int, capacity: int, weights: int, cache: int) -> None:
    batch = pipelines.batch_for_capacity(1, devices, capacity, weights, cache)
    assert weights + batch * cache <= devices * capacity
    assert weights + (batch + 1) * cache > devices * capacity


@given(batch=positive, bandwidth=bandwidths, weights=sizes, cache=sizes)
def test_a_stage_reads_its_batch_in_time(batch: float, bandwidth: float, weights: float, cache: float) -> None:
    assume(batch * cache > weights / 1e3)
    time = rooflines.memory_time(weights + batch * cache, bandwidth)
    assert pipelines.batch_for_stage(bandwidth, time, weights, cache) == pytest.approx(batch, rel=1e-9)


@given(traffic=sizes, width=ranks, bandwidth=bandwidths, sync=latencies, hops=st.integers(0, 100), hop=latencies)
def test_a_token_reads_waits_and_hops(
    traffic: float, width: int, bandwidth: float, sync: float, hops: int, hop: float
) -> None:
    total = pipelines.streaming_latency(traffic, width, bandwidth, sync, hops, hop)
    parts = [rooflines.memory_time(traffic, bandwidth) / width, sync, collectives.point_to_point(0, 1, hop, hops)]
    assert total == pytest.approx(sum(parts))


@given(layers=counts, depth=st.integers(1, 9), latency=latencies)
def test_synchronising_is_an_all_reduce_of_nothing_twice_a_layer(layers: int, depth: int, latency: float) -> None:
    width = 2**depth
    tree = collectives.tree_all_reduce(0, width, 1, latency)
    assert pipelines.tree_sync(layers, width, latency) == pytest.approx(layers * tree)
    ring = collectives.ring_all_reduce(0, width, 1, latency)
    assert pipelines.ring_sync(layers, width, latency) == pytest.approx(layers * ring)


def test_the_widths_are_the_bottoms_of_their_curves() -> None:
    traffic, layers, latency, bandwidth = 70.55e9, 80, 722e-9, 80e12
    curves = [
        (pipelines.optimal_width_tree(traffic, layers, latency, bandwidth), pipelines.tree_sync, (latency,)),
        (pipelines.optimal_width_ring(traffic, layers, latency, bandwidth), pipelines.ring_sync, (latency,)),
    ]
    for best, sync, rest in curves:
        at = [
            pipelines.streaming_latency(traffic, g, bandwidth, sync(layers, g, *rest), 0, 0)
            for g in (0.99 * best, best, 1.01 * best)
        ]
        assert at[1] < min(at[0], at[2])


@given(traffic=sizes, layers=counts, all_reduces=st.integers(1, 4), slope=latencies, bandwidth=bandwidths)
def test_the_square_root_width_is_the_bottom_of_its_curve(
    traffic: float, layers: int, all_reduces: int, slope: float, bandwidth: float
) -> None:
    best = pipelines.optimal_width_sqrt(traffic, layers, all_reduces, slope, bandwidth)

    def latency(width: float) -> float:
        sync = pipelines.square_root_sync(layers, all_reduces, width, slope, slope)
        return float(pipelines.streaming_latency(traffic, width, bandwidth, sync, 0, 0))

    assert latency(best) < min(latency(0.9 * best), latency(1.1 * best))


# -- money and energy -------------------------------------------------------------------------------------------------


@given(flops=sizes, traffic=sizes, per_flop=positive, per_byte=positive)
def test_energies_balance_where_they_are_equal(flops: float, traffic: float, per_flop: float, per_byte: float) -> None:
    balance = energy.energy_balance(per_byte, per_flop)
    arithmetic = energy.roofline_energy(balance * traffic, 0, per_flop, per_byte, 0, 0)
    assert arithmetic == pytest.approx(energy.roofline_energy(0, traffic, per_flop, per_byte, 0, 0))
    both = energy.roofline_energy(flops, traffic, per_flop, per_byte, 0, 0)
    assert both == pytest.approx(flops * per_flop + traffic * per_byte)


@given(traffic=sizes, sram=st.floats(1e-13, 1e-12), power=positive, devices=counts)
def test_idle_power_eats_the_saving_at_the_break_even(traffic: float, sram: float, power: float, devices: int) -> None:
    hbm = 10 * sram
    step = energy.idle_break_even_step(traffic, hbm, sram, power, devices)
    with_idle = energy.streaming_energy(traffic, sram) + energy.device_energy(power, devices, step)
    assert with_idle == pytest.approx(energy.streaming_energy(traffic, hbm))


@given(
    hbm_price=positive,
    sram_price=positive,
    capacity=sizes,
    bandwidth=bandwidths,
    model=sizes,
    side=st.sampled_from([0.99, 1.01]),
)
def test_sram_is_cheaper_below_its_break_even_step(
    hbm_price: float, sram_price: float, capacity: float, bandwidth: float, model: float, side: float
) -> None:
    step = side * cost.sram_break_even_step(hbm_price, sram_price, capacity, bandwidth)
    on_hbm = model * cost.byte_price(hbm_price, bandwidth)
    on_sram = cost.rental_cost(model / capacity, sram_price, step / 3600)
    assert (on_sram < on_hbm) == (side < 1)


@given(years=st.integers(1, 40), interest=st.floats(1e-3, 1))
def test_equal_payments_return_the_loan(years: int, interest: float) -> None:
    payment = cost.capital_recovery_factor(interest, years)
    debt = 1.0
    for _ in range(years):
        debt = debt * (1 + interest) - payment
    assert debt == pytest.approx(0, abs=1e-6 * (1 + interest) ** years)
    assert 1 / years < payment * ALMOST


def test_without_interest_a_loan_is_paid_in_equal_parts() -> None:
    assert cost.capital_recovery_factor(1e-9, 4) == pytest.approx(0.25, rel=1e-6)


@given(devices=counts, price=positive, rate=positive, tokens=st.integers(1, 10**9))
def test_tokens_cost_what_the_devices_cost_meanwhile(devices: int, price: float, rate: float, tokens: int) -> None:
    each = cost.usd_per_million_tokens(devices, price, rate) / 10**6
    hours = tokens / rate / 3600
    assert tokens * each == pytest.approx(cost.rental_cost(devices, price, hours))


@given(price=positive, peak=bandwidths, hours=positive)
def test_an_hour_buys_an_hour_of_operations(price: float, peak: float, hours: float) -> None:
    assert cost.flop_price(price, peak) * peak * 3600 == pytest.approx(price)
    assert cost.byte_price(price, peak) == cost.flop_price(price, peak)


@given(capital=sizes, recovery=st.floats(0.05, 1), power=positive, pue=st.floats(1, 2), electricity=st.floats(0.01, 1))
def test_an_idle_hour_is_paid_by_a_sold_one(
    capital: float, recovery: float, power: float, pue: float, electricity: float
) -> None:
    sold = cost.hourly_cost(capital, recovery, power, pue, electricity, 0, 1)
    half = cost.hourly_cost(capital, recovery, power, pue, electricity, 0, 0.5)
    assert half == pytest.approx(2 * sold)
    year = 8760 * sold
    assert year == pytest.approx(capital * recovery + 8.76 * power * pue * electricity)
    assert cost.hourly_cost(capital, recovery, power, pue, electricity, 3, 0.5) - half == pytest.approx(3, rel=1e-3)


@given(scores=sizes, cache=sizes, linear=sizes, per_flop=positive, per_byte=positive)
def test_attention_costs_the_dearer_side(
    scores: float, cache: float, linear: float, per_flop: float, per_byte: float
) -> None:
    total = cost.attention_cost(scores, cache, linear, per_flop, per_byte)
    assert total * ALMOST >= linear * per_flop + max(scores * per_flop, cache * per_byte)
    assert total <= ((scores + linear) * per_flop + cache * per_byte) * ALMOST
    assert math.isclose(cost.attention_cost(0, cache, 0, per_flop, per_byte), cache * per_byte)


# -- pools ------------------------------------------------------------------------------------------------------------


@given(prices=st.tuples(positive, positive), devices=st.tuples(counts, counts))
def test_an_hour_in_each_pool_costs_what_the_pools_cost(prices: tuple[float, float], devices: tuple[int, int]) -> None:
    paid = disaggregation.cost_per_request(prices[0], devices[0], 3600, prices[1], devices[1], 3600)
    assert paid == pytest.approx(prices[0] * devices[0] + prices[1] * devices[1])


@given(size=sizes, bandwidth=bandwidths, layers=st.integers(2, 100), longer=st.floats(1, 100))
def test_a_long_prefill_hides_all_layers_but_the_last(
    size: float, bandwidth: float, layers: int, longer: float
) -> None:
    alone = size / bandwidth
    assert disaggregation.exposed_transfer(size, bandwidth, layers, 0) == pytest.approx(alone)
    assert disaggregation.exposed_transfer(size, bandwidth, layers, longer * alone) == pytest.approx(alone / layers)


@given(attention=positive, feed_forward=positive, transfer=positive, made=st.integers(1, 9))
def test_a_cycle_is_the_round_trip_or_the_queue_at_the_busiest(
    attention: float, feed_forward: float, transfer: float, made: int
) -> None:
    slowest = max(attention, feed_forward, transfer)
    alone = disaggregation.cycle_time(attention, feed_forward, transfer, 1, slowest)
    assert alone == pytest.approx(attention + transfer + feed_forward + transfer)
    assert disaggregation.cycle_time(attention, feed_forward, transfer, made, slowest) == max(alone, made * slowest)


@given(attention=st.integers(1, 20), ffn=st.integers(1, 20), batch=counts, times=st.tuples(positive, positive))
def test_the_gain_of_a_split_is_one_rate_per_device_over_the_other(
    attention: int, ffn: int, batch: int, times: tuple[float, float]
) -> None:
    """Sequences over step time and devices, with the split and without."""
    together, apart = times
    rates = batch * attention / apart / (attention + ffn), 100 / together
    assert disaggregation.split_gain(batch / 100, attention, ffn, together / apart) == pytest.approx(
        rates[0] / rates[1]
    )


@given(base=positive, growth=positive, batch=counts, price=st.floats(0.1, 10), side=st.sampled_from([0.9, 1.1]))
def test_the_best_ratio_of_workers_serves_most_per_money(
    base: float, growth: float, batch: int, price: float, side: float
) -> None:
    best = disaggregation.attention_per_ffn_fixed(base, growth, batch, price)

    def served(workers: float) -> float:
        """Sequences per second and price of an attention worker, where the feed-forward worker is the slower."""
        return workers * batch / (base + growth * batch * workers) / (workers + price)

    assert served(best) * ALMOST >= served(side * best)


@given(prefill=positive, share=st.floats(0.01, 0.9), due=st.floats(0.01, 10))
def test_steps_that_gather_prompts_settle_at_their_spread(prefill: float, share: float, due: float) -> None:
    """The first two moments of I' = base + prefill · Poisson(due · I / interval), taken from step to step."""
    interval = due * prefill / share
    base, rate = interval * (1 - share), due / interval
    mean, variance = base, 0.0
    for _ in range(400):
        variance = prefill**2 * (rate * mean + rate**2 * variance)
        mean = base + prefill * rate * mean
    assert mean == pytest.approx(interval, rel=1e-6)
    assert serving.gated_spread(due, prefill, interval) == pytest.approx(variance / mean**2, rel=1e-6)


# -- recurrence and logarithms ----------------------------------------------------------------------------------------


@given(heads=ranks, key=ranks, value=ranks, width=st.sampled_from([2, 4]), tokens=counts)
def test_a_state_is_read_written_and_worked_on_once_a_token(
    heads: int, key: int, value: int, width: int, tokens: int
) -> None:
    elements = recurrence.recurrent_state_bytes(heads, key, value, 1)
    assert elements == heads * key * value
    assert recurrence.recurrent_state_traffic(heads, key, value, width) == 2 * width * elements
    assert recurrence.recurrent_flops(heads, key, value, 7, tokens) == 7 * tokens * elements


@given(channels=counts, taps=st.integers(1, 8), width=st.sampled_from([2, 4]))
def test_a_convolution_remembers_all_inputs_but_the_newest(channels: int, taps: int, width: int) -> None:
    remembered = recurrence.convolution_state_bytes(channels, taps, width)
    assert remembered + width * channels == taps * channels * width


def test_the_logarithm_of_two_is_good_to_eighteen_digits() -> None:
    digits = Fraction("0.693147180559945309417232121458176568")
    assert abs(logarithms.natural_of_binary(Fraction(1)) - digits) < Fraction(5, 10**19)


@given(value=st.floats(1e-6, 1e6))
def test_natural_logarithms_are(value: float) -> None:
    assert logarithms.natural_logarithm(value) == pytest.approx(math.log(value), rel=1e-12, abs=1e-12)


@given(tokens=st.integers(0, 200), group=st.integers(1, 20))
def test_summaries_are_counted_query_by_query(tokens: int, group: int) -> None:
    """Each query sees the groups that are whole when it comes."""
    seen = sum(query // group for query in range(1, tokens + 1))
    assert compression.summary_pairs(tokens, group) == seen
    assert compression.summaries(tokens, group) == tokens // group
