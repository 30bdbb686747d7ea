"""Two pools: rates matched, caches carried over, hidden states to and fro; what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from roofline.describe.catalog import accelerator
from roofline.describe.link import Link
from roofline.describe.model_catalog import load_model
from roofline.describe.workload import Traffic
from roofline.equations.disaggregation import exposed_transfer
from roofline.equations.energy import roofline_energy
from roofline.errors import DoesNotFit, InvalidInput, LayoutError, MissingNumber, UnknownName
from roofline.estimate.attention_ffn import AttentionFfn, AttentionFfnServer
from roofline.estimate.balance import balance
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import PrefillDecode
from roofline.estimate.economics import Energies, Ownership, component_energy
from roofline.estimate.halves import attention_half, ffn_half
from roofline.estimate.serving import serve
from roofline.estimate.speculative import Speculative, SpeculativeServer

LINK = Link("400 Gbit/s", "2 us")
GPU = Deployment("llama-3.1-70b", "h100-sxm", devices=8, tp=8, quantization="fp8")
LPU = Deployment("llama-3.1-70b", "groq-3-lpu", devices=576, tp=8, pp=72, quantization="fp8")
SMALL = Deployment("llama-3.1-8b", "h100-sxm", devices=8, tp=8, quantization="fp8")
MIXTURE = Deployment("deepseek-v3", "h200-sxm", devices=16, tp=1, dp=16, ep=16, quantization="fp8")
TRAFFIC = Traffic(isl=8192, osl=1024, concurrency=16)


def test_a_link_is_read_from_text_and_numbers() -> None:
    assert Link("400 Gbit/s", "2 us") == Link(5e10, 2e-6)
    assert Link.of("400 Gbit/s, 2 us") == LINK
    part = accelerator("groq-lpu-v1")
    node = Link.of("groq-lpu-v1.node")
    assert (node.rate, node.delay) == (part.cite("link.node.bandwidth").value, part.cite("link.node.latency").value)
    assert PrefillDecode(GPU, LPU, "400 Gbit/s, 2 us").wire == LINK


def test_the_exposed_transfer_falls_into_the_first_gap() -> None:
    alone = Traffic(isl=8192, osl=1024, concurrency=1)
    service = serve(PrefillDecode(GPU, LPU, LINK), alone)
    prefill = GPU.prefill(8192).seconds
    size = GPU.model.cache_bytes(8192, "fp8")
    exposed = exposed_transfer(size, 8 * LINK.rate, 80, prefill) + LINK.delay
    free = serve(PrefillDecode(GPU, LPU, Link(1e20, 0.0)), alone)
    assert service.ttft == pytest.approx(prefill, rel=1e-9)
    assert (service.tpot - free.tpot) * 1023 == pytest.approx(exposed, rel=1e-3)


def test_requests_that_find_no_room_to_decode_wait_before_prefill() -> None:
    """Two decode replicas of 128 sequences each, and 40 requests more: they wait for as many to be finished."""
    pairs = Deployment("llama-3.1-70b", "h100-sxm", devices=8, tp=4, pp=1, dp=1, quantization="fp8")
    system, crowd = PrefillDecode(GPU, pairs, LINK), Traffic(1024, 1024, concurrency=296)
    free, told = (serve(system, crowd, max_batch=most) for most in (None, 128))
    pool = told.pools["decode"]
    assert (pool.batch, pool.replicas) == (128, 2)
    assert told.limit == "the batch cap of the decode pool"
    assert told.ttft == pytest.approx(40 / told.requests_per_second, rel=1e-2)
    assert free.ttft < told.ttft / 2
    assert "a replica decodes 128 sequences at most; further requests wait" in told.assumptions


def test_all_ranks_of_a_pool_send_caches() -> None:
    """Sixteen devices limit the rate alike as replicas, as attention-data ranks, and as tensor ranks."""
    rates = []
    for ranks in ({"tp": 1, "dp": 1}, {"tp": 1, "dp": 16}, {"tp": 8, "dp": 2}):
        pool = Deployment("llama-3.1-8b", "h100-sxm", devices=16, pp=1, quantization="fp8", **ranks)
        service = serve(PrefillDecode(pool, pool, Link(1e8, 1e-6)), Traffic(isl=8192, osl=64, concurrency=4096))
        assert service.limit == "the link"
        rates.append(service.requests_per_second)
    assert rates == pytest.approx([16 * 1e8 / pool.model.cache_bytes(8192, "fp8")] * 3, rel=0.05)


def test_a_slow_link_limits_the_rate() -> None:
    service = serve(PrefillDecode(GPU, GPU, Link(1e8, 1e-6)), Traffic(isl=8192, osl=1024, concurrency=200))
    assert service.limit == "the link"
    most = 8 * 1e8 / GPU.model.cache_bytes(8192, "fp8")
    assert service.requests_per_second == pytest.approx(most, rel=0.05)


def test_the_smaller_pool_s_devices_limit_the_link() -> None:
    for system in (PrefillDecode(GPU, LPU, Link(1e8, 1e-6)), PrefillDecode(GPU.resized(16), GPU, Link(1e8, 1e-6))):
        service = serve(system, Traffic(isl=8192, osl=64, concurrency=200))
        assert service.limit == "the link"
        assert service.requests_per_second == pytest.approx(8 * 1e8 / GPU.model.cache_bytes(8192, "fp8"), rel=0.05)


def test_states_cross_in_the_narrower_format_whichever_pool_has_it() -> None:
    hybrid = Deployment("qwen3-next-80b-a3b", "h100-sxm", devices=8, tp=8, quantization="fp8")
    wide, narrow = (
        Deployment(hybrid.model, "h100-sxm", 8, tp=8, quantization=hybrid.quantization.with_(state=state))
        for state in ("fp32", "bf16")
    )

    def crossing(*pools: Deployment) -> str:
        notes = serve(PrefillDecode(*pools, LINK), TRAFFIC).assumptions
        return next(note for note in notes if "bytes of cache cross per request" in note)

    assert crossing(wide, narrow) == crossing(narrow, wide) == crossing(narrow, narrow) != crossing(wide, wide)


def test_the_cache_crosses_in_the_narrower_format() -> None:
    wide = Deployment("llama-3.1-70b", "h100-sxm", devices=8, tp=8, quantization="bf16")
    notes = serve(PrefillDecode(wide, LPU, LINK), TRAFFIC).assumptions
    assert any("crosses as fp8 (bf16 in prefill, fp8 in decode)" in note for note in notes)


def test_caches_bind_on_sram() -> None:
    service = serve(PrefillDecode(GPU.resized(256), LPU, LINK), Traffic(isl=8192, osl=1024, concurrency=2000))
    assert service.limit == "the cache of the decode pool"
    assert service.pools["decode"].batch == LPU.capacity(8192 + 1023 / 2, batch=60).max_batch


def test_more_rate_than_prefill_takes() -> None:
    service = serve(PrefillDecode(GPU, GPU, LINK), Traffic(isl=8192, osl=16, rate=100.0))
    assert service.ttft == float("inf")
    assert service.requests_per_second == pytest.approx(1 / GPU.prefill(8192).seconds)
    assert service.limit == "the prefill pool"


def test_answers_of_one_token_need_no_decode() -> None:
    service = serve(PrefillDecode(GPU, LPU, LINK), Traffic(isl=8192, osl=1, concurrency=4))
    assert service.pools["decode"].utilisation == 0
    assert math.isnan(service.tpot)
    assert service.e2e_latency == service.ttft
    assert service.requests_per_second == pytest.approx(1 / GPU.prefill(8192).seconds, rel=0.2)


def test_balance_is_near_the_ratio() -> None:
    found = balance(PrefillDecode(GPU, GPU, LINK), Traffic(isl=8192, osl=1024, concurrency=2000), devices=96)
    assert found.prefill + found.decode == 96
    assert abs(found.prefill - 96 * found.ratio / (1 + found.ratio)) <= 8
    settings = {"chunk": 1024.0, "max_batch": 2.0}
    capped = balance(PrefillDecode(GPU, GPU, LINK), TRAFFIC, devices=48, **settings)
    assert capped.service.pools["decode"].batch <= 2 * capped.decode / 8
    assert capped.service.tpot == serve(capped.system, TRAFFIC, **settings).tpot
    nested = balance(PrefillDecode(GPU, Speculative(GPU, SMALL, 3, 0.8, shared=True), LINK), TRAFFIC, devices=32)
    assert nested.prefill + nested.decode == nested.service.devices == 32
    with pytest.raises(DoesNotFit, match=r"8 \+ 8 = 16"):
        balance(PrefillDecode(GPU, GPU, LINK), TRAFFIC, devices=12)


@pytest.mark.parametrize("model", [GPU.model, MIXTURE.model])
def test_halves_make_the_whole(model: Any) -> None:
    whole, held, away = model.parameters(), attention_half(model, "ffn"), ffn_half(model, "ffn")
    assert held.parameters().attention == whole.attention
    assert held.kv_elements(1000) == model.kv_elements(1000)
    assert away.kv_elements(1000) == 0
    for part in ("dense_ffn", "experts", "shared_experts", "router"):
        assert getattr(away.parameters(), part) == getattr(whole, part)
        assert getattr(held.parameters(), part) == 0


def test_only_experts_may_leave() -> None:
    model = MIXTURE.model
    whole, held, away = model.parameters(), attention_half(model, "experts"), ffn_half(model, "experts")
    assert away.parameters().experts == whole.experts
    assert held.parameters().dense_ffn == whole.dense_ffn + whole.shared_experts
    assert len(away.layers) == sum(layer.feed_forward.kind == "moe" for layer in model.layers)


def test_one_micro_batch_takes_its_round_trip() -> None:
    """The halves on the same silicon sum to the whole step; crossings come on top."""
    split = AttentionFfn(GPU, GPU, Link(1e20, 0.0), micro_batches=1)
    server = AttentionFfnServer.at(split, 16.0, 8192.0)
    assert float(server.step(16.0, 8192.0)) == pytest.approx(GPU.decode(16, 8192).seconds, rel=1e-9)
    slow = AttentionFfnServer.at(AttentionFfn(GPU, GPU, Link(1e20, 1e-5), micro_batches=1), 16.0, 8192.0)
    assert float(slow.step(16.0, 8192.0) - server.step(16.0, 8192.0)) == pytest.approx(160 * 1e-5, rel=1e-6)


def test_a_message_s_latency_is_paid_twice_a_layer() -> None:
    """By a step, by the prompt that one waits for, and in what is owed to the network."""
    quick, slow = (
        AttentionFfnServer.at(AttentionFfn(GPU, GPU, Link(1e20, delay), micro_batches=1), 16.0, 8192.0)
        for delay in (0.0, 1e-5)
    )
    longer = pytest.approx(2 * 80 * 1e-5)
    assert slow.prompt(TRAFFIC).latency - quick.prompt(TRAFFIC).latency == longer
    assert slow.attributed(16.0, 8192.0)["network"] - quick.attributed(16.0, 8192.0)["network"] == longer


def test_halves_in_stages_hand_over_and_are_idle_in_turn() -> None:
    stages = Deployment("llama-3.1-70b", "h100-sxm", devices=8, tp=4, pp=2, quantization="fp8")
    server = AttentionFfnServer.at(AttentionFfn(stages, stages, Link(1e20, 0.0), micro_batches=1), 1.0, 8192.0)
    assert float(server.step(1.0, 8192.0)) == pytest.approx(stages.decode(1, 8192).seconds)
    busy = sum(use.of_step for use in server.uses(1.0, 8192.0))
    assert busy == pytest.approx(1 / 2, rel=0.01)  # either stage while the other waits, but for the hand-overs
    assert busy < 1 / 2


def test_caches_of_the_attention_pool_limit_the_batch_of_halves() -> None:
    server = AttentionFfnServer.at(AttentionFfn(GPU, LPU, LINK), 16.0, 8192.0)
    held = GPU.of_model(attention_half(GPU.model, "ffn"))
    assert server.largest_batch(TRAFFIC) == held.capacity(8192 + 1023 / 2).max_batch
    assert server.largest_batch(TRAFFIC) > GPU.capacity(8192 + 1023 / 2).max_batch


def test_more_devices_change_nothing_else_of_a_system() -> None:
    halves = AttentionFfn(MIXTURE, MIXTURE, LINK, offload="experts", fan_out=True, micro_batches=3)
    more = halves.scaled(2)
    assert (more.attention.devices, more.ffn.devices) == (32, 32)
    assert (more.link, more.offload, more.fan_out, more.micro_batches) == (LINK, "experts", True, 3)
    drafted = Speculative(GPU, SMALL, 3, 0.8, link=LINK).scaled(2)
    assert (drafted.target.devices, drafted.draft.devices) == (16, 16)
    assert (drafted.length, drafted.acceptance, drafted.shared, drafted.link) == (3, 0.8, False, LINK)


def test_what_crosses_per_token() -> None:
    lpu = Deployment("deepseek-v3", "groq-3-lpu", devices=1400, quantization="fp8")
    once = AttentionFfnServer.at(AttentionFfn(MIXTURE, lpu, LINK, offload="experts"), 1.0, 4096.0)
    assert once.crossings * once.row_bytes == 1_247_232  # 7,168 elements, 58 layers, one byte out and two back
    fanned = AttentionFfnServer.at(AttentionFfn(MIXTURE, lpu, LINK, offload="experts", fan_out=True), 1.0, 4096.0)
    assert fanned.crossings * fanned.row_bytes == 9_977_856


def test_beyond_the_budget_the_split_is_slower() -> None:
    split = AttentionFfn(GPU, LPU, Link(5e10, 0.0), micro_batches=1)
    budget = split.transport_budget(8, 4096)
    assert budget > 0
    here = GPU.decode(8, 4096).seconds
    for latency, faster in ((0.9 * budget, True), (1.1 * budget, False)):
        server = AttentionFfnServer.at(AttentionFfn(GPU, LPU, Link(5e10, latency), micro_batches=1), 8.0, 4096.0)
        assert (float(server.step(8.0, 4096.0)) < here) == faster


def test_a_narrower_link_takes_its_bytes_off_the_budget() -> None:
    """One way of eight tokens, the mean of out and back."""
    wide, narrow = (AttentionFfn(GPU, LPU, Link(rate, 0.0), micro_batches=1) for rate in (5e10, 1e9))
    ways = [float(AttentionFfnServer.at(split, 8.0, 4096.0).one_way(8.0)) for split in (wide, narrow)]
    assert ways[1] == pytest.approx(8 * 8192 * 1.5 / (8 * 1e9))
    lost = wide.transport_budget(8, 4096) - narrow.transport_budget(8, 4096)
    assert lost == pytest.approx(ways[1] - ways[0])


def test_dearer_feed_forwards_are_shared_by_more_attention() -> None:
    """By the root of what their devices cost; a pool without a price counts its devices."""
    one = Deployment("llama-3.1-70b", "h100-sxm", devices=8, tp=8, quantization="fp8", price=1)
    dear = Deployment("llama-3.1-70b", "h100-sxm", devices=8, tp=8, quantization="fp8", price=4)
    few, more = (AttentionFfn(one, ffn, LINK).attention_workers(1, 128) for ffn in (one, dear))
    assert more == pytest.approx(2 * few)
    free = Deployment("llama-3.1-70b", accelerator("h100-sxm").with_(price=None), 8, tp=8, quantization="fp8")
    assert AttentionFfn(one, free, LINK).attention_workers(1, 128) == pytest.approx(few)


def test_the_ratio_of_attention_to_feed_forwards() -> None:
    split = AttentionFfn(GPU, GPU, LINK)
    short, long = split.attention_workers(64, 1024), split.attention_workers(64, 100_000)
    assert 0 < short < long


def test_verification_reads_the_cache_once_and_more_experts() -> None:
    one, four = (MIXTURE.verify(16, 4096, tokens) for tokens in (1, 4))
    assert one.seconds == MIXTURE.decode(16, 4096).seconds
    assert 1 < four.seconds / one.seconds < 4
    assert four.terms["routed_experts"].memory > 1.05 * one.terms["routed_experts"].memory
    dense_one, dense_four = (GPU.verify(16, 4096, tokens) for tokens in (1, 4))
    assert dense_four.terms["attention"].memory < 1.02 * dense_one.terms["attention"].memory
    assert dense_four.terms["dense_ffn"].compute == pytest.approx(4 * dense_one.terms["dense_ffn"].compute)


def test_a_step_with_drafts_is_one_verification_and_the_drafts() -> None:
    system = Speculative(GPU, SMALL, 3, 0.5, shared=True)
    service = serve(system, Traffic(512, 512, concurrency=1))
    context = 512 + 511 / 2
    cycle = GPU.verify(1, context, 4).seconds + 3 * SMALL.decode(1, context).seconds
    assert service.tpot == pytest.approx(cycle / (1 + 0.5 + 0.25 + 0.125))
    assert service.ttft == pytest.approx(GPU.prefill(512).seconds + SMALL.prefill(512).seconds)
    apart = serve(Speculative(GPU, SMALL, 3, 0.5, link=Link(1e9, 1e-4)), Traffic(512, 512, concurrency=1))
    assert apart.tpot == pytest.approx((cycle + 2e-4) / 1.875)
    assert apart.ttft == pytest.approx(GPU.prefill(512).seconds)


def test_all_of_a_cycle_with_drafts_is_owed_to_something() -> None:
    server = SpeculativeServer.of(Speculative(GPU, SMALL, 3, 0.5, link=Link(1e20, 1e-4)), TRAFFIC)
    owed = server.attributed(4, 512)
    cycle = GPU.verify(4, 512, 4).seconds + 3 * SMALL.decode(4, 512).seconds + 2e-4
    assert sum(owed.values()) == pytest.approx(cycle)
    assert sum(use.of_step for use in server.uses(4, 512)) == pytest.approx(1 - 2e-4 / cycle)
    near = SpeculativeServer.of(Speculative(GPU, SMALL, 3, 0.5), TRAFFIC).attributed(4, 512)
    assert owed["network"] - near["network"] == pytest.approx(2e-4)


def test_the_slower_of_draft_and_target_paces_prompts() -> None:
    """Beside each other, whichever that is; a host that either has is waited for."""
    for target, draft in ((GPU, SMALL), (SMALL, GPU)):
        server = SpeculativeServer.of(Speculative(target, draft, 3, 0.5), TRAFFIC)
        assert server.prompt(TRAFFIC).passes.one == pytest.approx(GPU.prefill(8192).seconds)
    stacked = Deployment("llama-3.1-8b", "h100-sxm", devices=8, tp=8, quantization="fp8", runtime="vllm")
    requests = [
        SpeculativeServer.of(Speculative(target, draft, 3, 0.5), TRAFFIC).prompt(TRAFFIC).request
        for target, draft in ((GPU, SMALL), (GPU, stacked), (stacked, GPU))
    ]
    assert requests[0] == 0 < requests[1] == requests[2]


def test_a_draft_with_less_room_limits_the_batch() -> None:
    """Two replicas of the draft for one of the target hold twice what one does."""
    small = Deployment("llama-3.1-8b", "l4", devices=2, tp=1, pp=1, quantization="fp8")
    server = SpeculativeServer.of(Speculative(GPU, small, 3, 0.5), TRAFFIC)
    one = small.capacity(8192 + 1023 / 2).max_batch
    assert server.largest_batch(TRAFFIC) == 2 * one < GPU.capacity(8192 + 1023 / 2).max_batch


def test_a_shared_draft_lies_beside_the_fullest_stage() -> None:
    stages = {"devices": 7, "tp": 1, "pp": 7, "quantization": "fp8"}
    target, draft = (Deployment(name, "h100-sxm", **stages) for name in ("llama-3.1-70b", "llama-3.1-8b"))
    server = SpeculativeServer.of(Speculative(target, draft, 3, 0.5, shared=True), TRAFFIC)
    held, beside = server.target.settled.memory, server.draft.settled.memory
    context = 8192 + 1023 / 2
    batches = [
        (held.room - first.weights - second.weights)
        // float(held.sequence_bytes(first, context) + beside.sequence_bytes(second, context))  # type: ignore[arg-type]
        for first in held.rooms
        for second in beside.rooms
    ]
    assert server.largest_batch(TRAFFIC) == min(batches) < max(batches)


def test_verification_needs_every_token_s_logits() -> None:
    assert GPU.verify(16, 4096, 4).terms["lm_head"].compute == pytest.approx(
        4 * GPU.decode(16, 4096).terms["lm_head"].compute
    )
    assert GPU.verify(16, 4096, 4).terms["attention"].compute == pytest.approx(
        4 * GPU.decode(16, 4096).terms["attention"].compute, rel=0.01
    )


def test_a_pipeline_regroups_rather_than_queue() -> None:
    """80 layers on 72 stages: past one sequence per stage, two at a time pass the long stages sooner."""
    crowds = [60, 70, 80, 90, 120, 150]
    tpot = serve(LPU, Traffic(512, 512, concurrency=crowds)).tpot
    assert all(later >= sooner * (1 - 1e-9) for sooner, later in pairwise(tpot))


def test_prompts_follow_each_other_through_a_pipeline() -> None:
    service = serve(LPU, Traffic(256, 1, concurrency=500))
    together = LPU.prefill(256, batch=72)
    one_more = (together.seconds - LPU.prefill(256).seconds) / 71
    assert service.requests_per_second == pytest.approx(1 / one_more, rel=0.1)
    assert service.requests_per_second > 5 / LPU.prefill(256).seconds


@pytest.mark.parametrize("devices", [101, 120, 133])
def test_balance_over_many_replicas_finds_the_best(devices: int) -> None:
    single = Deployment("llama-3.1-8b", "h100-sxm", quantization="fp8", tp=1, pp=1)
    traffic = Traffic(isl=4000, osl=300, concurrency=1500)
    found = balance(PrefillDecode(single, single, LINK), traffic, devices=devices)
    rates = [
        serve(PrefillDecode(single.resized(devices - decode), single.resized(decode), LINK), traffic)
        for decode in range(max(1, found.decode - 5), min(devices, found.decode + 6))
    ]
    assert found.service.requests_per_second >= max(service.requests_per_second for service in rates) * (1 - 1e-9)


def test_of_splits_that_serve_as_many_the_soonest_is_taken() -> None:
    single = Deployment("llama-3.1-8b", "h100-sxm", quantization="fp8", tp=1, pp=1)
    traffic = Traffic(isl=1024, osl=256, rate=1)
    found = balance(PrefillDecode(single, single, LINK), traffic, devices=6).service
    every = [
        serve(PrefillDecode(single.resized(6 - decode), single.resized(decode), LINK), traffic)
        for decode in range(1, 6)
    ]
    assert {service.requests_per_second for service in every} == {1}
    assert found.e2e_latency == pytest.approx(min(service.e2e_latency for service in every), rel=1e-9)


def test_multi_token_prediction_gains_most_of_its_tokens() -> None:
    plain = serve(GPU, Traffic(512, 512, concurrency=8))
    drafted = serve(Speculative.mtp(GPU, acceptance=0.85), Traffic(512, 512, concurrency=8))
    assert 1.3 < plain.tpot / drafted.tpot < 1.85


def test_a_shared_draft_must_fit_beside_the_target() -> None:
    one = Deployment("llama-3.1-8b", "l4", quantization="bf16")
    fits = serve(one, Traffic(100, 10, concurrency=1))
    assert fits.fits
    with pytest.raises(DoesNotFit, match="bytes short on the fullest device"):
        serve(Speculative(one, one, 2, 0.5, shared=True), Traffic(100, 10, concurrency=1))


def test_owning_a_device() -> None:
    rented = Ownership(capital=30000, years=4, interest=0, pue=1.3, usd_per_kwh=0.08, utilisation=0.8)
    assert rented.usd_per_hour(1000) == pytest.approx(1.200205479452, rel=1e-9)
    lent = Ownership(capital=30000, years=4, interest=0.08, pue=1.3, usd_per_kwh=0.08, utilisation=0.8)
    assert rented.usd_per_hour("1 kW") == rented.usd_per_hour(1000)
    assert lent.usd_per_hour(1000) > rented.usd_per_hour(1000)
    owned = Deployment("llama-3.1-8b", "h100-sxm", quantization="fp8", price=rented.usd_per_hour(700))
    assert serve(owned, Traffic(100, 10, concurrency=1)).pools["devices"].price == rented.usd_per_hour(700)


def test_energies_of_a_step_add_up() -> None:
    single = Deployment("llama-3.1-8b", "h100-sxm", quantization="bf16")
    step = single.decode(4, 1000)
    parts = component_energy(step, Energies(per_flop=1e-12, per_bit_read=6e-12, per_bit_sent=1e-12, idle_power=100))
    operations = [(item, count) for item, count in zip(*_path(step), strict=True)]
    flops = sum(item.flops * count for item, count in operations)
    traffic = sum((item.weights + item.cache + item.activations) * count for item, count in operations)
    assert sum(parts.values()) == pytest.approx(
        float(roofline_energy(flops, traffic, 1e-12, 48e-12, 100, step.seconds))  # type: ignore[arg-type]
    )
    assert parts["link"] == 0
    both = component_energy(GPU.decode(4, 1000), Energies(per_flop=0, per_bit_read=0, per_bit_sent=1e-12, idle_power=0))
    assert both["link"] > 0


def _path(step: Any) -> tuple[Any, Any]:
    found = step.resolved.step(step.point)
    return found.items, found.path


BAD: dict[str, tuple[type[Exception], Callable[[], Any]]] = {
    "bandwidth in bytes": (InvalidInput, lambda: Link("400 GB", "2 us")),
    "latency in hertz": (InvalidInput, lambda: Link("400 Gbit/s", "2 MHz")),
    "a latency without a unit": (InvalidInput, lambda: Link("400 Gbit/s", "2")),
    "a bandwidth without a unit": (InvalidInput, lambda: Link("400", "2 us")),
    "a link without units": (InvalidInput, lambda: Link.of("400Gbit/s,2")),
    "no bandwidth": (InvalidInput, lambda: Link(0, 0)),
    "negative latency": (InvalidInput, lambda: Link(1e9, -1)),
    "a truth": (InvalidInput, lambda: Link(True, 0)),
    "no link": (InvalidInput, lambda: Link.of(7)),  # type: ignore[arg-type]
    "words": (InvalidInput, lambda: Link.of("a fast one")),
    "unknown part": (UnknownName, lambda: Link.of("h1oo.scale_up")),
    "unknown tier": (UnknownName, lambda: Link.of("groq-lpu-v1.nodes")),
    "no latency known": (MissingNumber, lambda: Link.of("b200-sxm.scale_up")),
    "other model": (InvalidInput, lambda: PrefillDecode(GPU, SMALL, LINK)),
    "other model's halves": (InvalidInput, lambda: AttentionFfn(GPU, SMALL, LINK)),
    "prefill split": (InvalidInput, lambda: PrefillDecode(PrefillDecode(GPU, GPU, LINK), GPU, LINK)),  # type: ignore[arg-type]
    "decode split in phases": (InvalidInput, lambda: PrefillDecode(GPU, PrefillDecode(GPU, GPU, LINK), LINK)),  # type: ignore[arg-type]
    "halves of a split": (InvalidInput, lambda: AttentionFfn(PrefillDecode(GPU, GPU, LINK), GPU, LINK)),  # type: ignore[arg-type]
    "target split": (InvalidInput, lambda: Speculative(PrefillDecode(GPU, GPU, LINK), SMALL, 2, 0.5)),  # type: ignore[arg-type]
    "experts of a dense model": (InvalidInput, lambda: AttentionFfn(GPU, GPU, LINK, offload="experts")),
    "halves with overlap": (
        InvalidInput,
        lambda: AttentionFfn(Deployment(MIXTURE, "h100-sxm", 8, overlap=True), GPU, LINK),
    ),
    "halves with slices": (
        InvalidInput,
        lambda: AttentionFfn(GPU, Deployment("llama-3.1-8b", "h100-sxm", slice=64), LINK),
    ),
    "unknown half": (InvalidInput, lambda: AttentionFfn(GPU, GPU, LINK, offload="attention")),  # type: ignore[arg-type]
    "no drafts": (InvalidInput, lambda: Speculative(GPU, SMALL, 0, 0.5)),
    "half a draft": (InvalidInput, lambda: Speculative(GPU, SMALL, 2.5, 0.5)),  # type: ignore[arg-type]
    "more than certain": (InvalidInput, lambda: Speculative(GPU, SMALL, 2, 1.1)),
    "less than never": (InvalidInput, lambda: Speculative(GPU, SMALL, 2, -0.1)),
    "other vocabulary": (InvalidInput, lambda: Speculative(MIXTURE, SMALL, 2, 0.5)),
    "shared on other devices": (InvalidInput, lambda: Speculative(GPU, SMALL.resized(16), 2, 0.5, shared=True)),
    "a link to itself": (InvalidInput, lambda: Speculative(GPU, SMALL, 2, 0.5, shared=True, link=LINK)),
    "passes of no tokens": (InvalidInput, lambda: serve(PrefillDecode(GPU, GPU, LINK), TRAFFIC, chunk=0)),
    "balancing one pool": (InvalidInput, lambda: balance(GPU, TRAFFIC, 8)),  # type: ignore[arg-type]
    "too few devices": (LayoutError, lambda: GPU.resized(4)),
    "owned for no years": (InvalidInput, lambda: Ownership(1, 0, 0, 1, 0.1, 0.5)),
    "never sold": (InvalidInput, lambda: Ownership(1, 1, 0, 1, 0.1, 0)),
    "negative joules": (InvalidInput, lambda: Energies(-1, 0, 0, 0)),
}


@pytest.mark.parametrize(("error", "attempt"), BAD.values(), ids=BAD)
def test_what_makes_no_sense_is_refused_in_one_line(error: type[Exception], attempt: Callable[[], Any]) -> None:
    with pytest.raises(error) as caught:
        attempt()
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_says_by_how_much() -> None:
    few = Deployment("llama-3.1-70b", "groq-3-lpu", devices=64, tp=8, pp=8, quantization="fp8")
    for system in (PrefillDecode(GPU, few, LINK), AttentionFfn(GPU, few, LINK)):
        with pytest.raises(DoesNotFit, match=r"[\d,]+ bytes short"):
            serve(system, TRAFFIC)


def test_only_the_pool_that_takes_prompts_says_how() -> None:
    stages = Deployment("llama-3.1-8b", "h100-sxm", 2, tp=1, pp=2)
    alone = Deployment("llama-3.1-8b", "h100-sxm", tp=1)
    first, second = (
        serve(PrefillDecode(*pools, LINK), Traffic(512, 16, concurrency=2)).assumptions
        for pools in ((stages, alone), (alone, stages))
    )
    assert [said for said in first if "slices" in said] == [f"prefill pool: {_taken(stages)}"]
    assert not any("slices" in said for said in second)
    assert _taken(stages) in serve(stages, Traffic(512, 16, concurrency=2)).assumptions


def _taken(pool: Deployment) -> str:
    (said,) = pool.settled().taking()
    return said


def test_index_keys_cross_in_the_format_of_the_cache() -> None:
    model = load_model("deepseek-v3.2")
    for cache, bits in (("fp8", 8), ("bf16", 16)):
        both = model.kv_bytes(1000, cache) + model.index_bytes(1000, cache)
        assert model.cache_bytes(1000, cache) == both
        assert both == model.cache_bytes(1000, "bf16") * bits / 16  # type: ignore[operator]
