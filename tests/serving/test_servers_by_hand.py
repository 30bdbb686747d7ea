"""What split and drafting servers are made of, put together by hand from their parts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from roofline.describe.link import Link
from roofline.describe.workload import Traffic
from roofline.equations.serving import mean_decode_context, passes_per_prompt
from roofline.estimate.attention_ffn import AttentionFfn, AttentionFfnServer
from roofline.estimate.balance import balance
from roofline.estimate.colocated import Mix
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import PrefillDecode
from roofline.estimate.economics import Energies, component_energy
from roofline.estimate.passes import Passes
from roofline.estimate.queues import pool_wait
from roofline.estimate.servers import Prompt, Server, Whole
from roofline.estimate.serving import serve
from roofline.estimate.speculative import Speculative, SpeculativeServer
from roofline.estimate.times import Times

SLOW = Link("8 Gbit/s", "20 us")
SHARED = Passes(((1.0, 1.0), (4.0, 2.8)))
"""Up to four prompts of 0.6 s each, and 0.4 s that they share."""
TRAFFIC = Traffic(isl=1024, osl=256, concurrency=16)
WIDE = Deployment("llama-3.1-8b", "h100-sxm", devices=2, tp=2, quantization="fp8")
SERVER = AttentionFfnServer.of(AttentionFfn(WIDE, WIDE, SLOW, micro_batches=1), TRAFFIC)


def taking(seconds: float) -> Prompt:
    """A prompt that shares its pass with nobody."""
    return Prompt(seconds, Passes(((1.0, seconds),)))


def test_hidden_states_go_in_fp8_and_come_back_in_16_bits() -> None:
    """4,096 elements of one byte out and of two back, over the wires of two devices of 1 GB/s each."""
    assert SERVER.row_bytes == 4096 * 3
    assert float(SERVER.one_way(10)) == pytest.approx(20e-6 + 10 * 4096 * 1.5 / 2e9)


def test_a_cycle_of_one_micro_batch_is_a_round_trip() -> None:
    held, away = SERVER.attention.decode(np.array([10.0]), 512.0), SERVER.tokens(np.array([10.0]))
    trip = held.total + held.hops + away.total + 2 * 32 * SERVER.one_way(10.0)
    assert float(SERVER.step(np.array([10.0]), 512.0)[0]) == pytest.approx(float(trip[0]))
    half, one = (float(SERVER.step(np.array([batch]), 512.0)[0]) for batch in (0.5, 1.0))
    assert half == one


def test_pools_of_halves_are_busy_for_their_own_part_of_the_cycle() -> None:
    cycle = float(SERVER.step(np.array([16.0]), 512.0)[0])
    shares = {use.name: use.of_step for use in SERVER.uses(16.0, 512.0)}
    held, away = SERVER.attention.decode(np.array([16.0]), 512.0), SERVER.tokens(np.array([16.0]))
    assert shares == pytest.approx({"attention": float(held.total[0]) / cycle, "ffn": float(away.total[0]) / cycle})


NARROW = Deployment("llama-3.1-8b", "h100-sxm", devices=2, tp=1, pp=1, dp=1, quantization="fp8")
DRAFT = Deployment("llama-3.2-1b", "h100-sxm", devices=2, tp=2, pp=1, dp=1, quantization="fp8")
DRAFTING = SpeculativeServer.of(Speculative(NARROW, DRAFT, 3, 0.7, shared=True), TRAFFIC)


APART = SpeculativeServer.of(Speculative(WIDE, DRAFT, 3, 0.7), TRAFFIC)
FAR = AttentionFfnServer.of(AttentionFfn(WIDE, WIDE, Link("1 Gbit/s", "20 us")), TRAFFIC)


@pytest.mark.parametrize(
    "server", [Whole.of(WIDE, TRAFFIC), SERVER, FAR, DRAFTING, APART], ids=["whole", "halves", "far", "shared", "apart"]
)
def test_all_of_a_prompt_is_owed_to_something(server: Server) -> None:
    owed = server.prompt_attributed(TRAFFIC)
    assert sum(owed.values()) == pytest.approx(server.prompt(TRAFFIC).computed)


def test_hidden_states_of_a_prompt_on_a_slow_link_are_owed_to_the_network() -> None:
    more = FAR.prompt_attributed(TRAFFIC)["network"] - SERVER.prompt_attributed(TRAFFIC)["network"]
    assert more == pytest.approx(32 * 1024 * 4096 * 3 * (1 / 0.25e9 - 1 / 2e9))


def test_prompts_of_two_replicas_pass_one_draft() -> None:
    assert DRAFTING.spread == 2
    target, draft = DRAFTING.target.prompt(TRAFFIC), DRAFTING.draft.prompt(TRAFFIC)
    both = DRAFTING.prompt(TRAFFIC)
    assert both.latency == pytest.approx(target.latency + draft.latency)
    for count in (1.0, target.passes.most):
        expected = target.passes.taking(count) + 2 * draft.passes.taking(count)
        assert both.passes.taking(count) == pytest.approx(expected)
    assert both.passes.most == target.passes.most == draft.passes.most > 1
    assert both.passes.shared == pytest.approx(target.passes.shared + 2 * draft.passes.shared)


def test_caches_of_two_replicas_lie_beside_one_draft() -> None:
    """A device holds one replica's caches and half of the draft's, which are those of both replicas."""
    context = float(mean_decode_context(1024, 256))
    target, draft = DRAFTING.target.settled.memory, DRAFTING.draft.settled.memory
    (first,), (second,) = target.rooms, draft.rooms
    each = float(target.sequence_bytes(first, context)) + 2 * float(draft.sequence_bytes(second, context))
    free = target.usable - first.weights - second.weights
    assert DRAFTING.largest_batch(TRAFFIC) == math.floor(free / each)


def test_every_rank_reads_and_multiplies_its_share() -> None:
    """Two ranks read all weights once between them: the memory's energy of one rank's bytes, twice."""
    energies = Energies(per_flop=1e-12, per_bit_read=2e-12, per_bit_sent=0, idle_power=0)
    one, two = (Deployment("llama-3.1-8b", "h100-sxm", count, tp=count, quantization="fp8") for count in (1, 2))
    single, double = (component_energy(each.decode(1, 16), energies) for each in (one, two))
    assert double["memory"] == pytest.approx(single["memory"], rel=0.01)
    assert double["arithmetic"] == pytest.approx(single["arithmetic"], rel=0.01)


def test_collectives_of_two_ranks_cost_energy() -> None:
    energies = Energies(per_flop=0, per_bit_read=0, per_bit_sent=1e-12, idle_power=0)
    spent = component_energy(WIDE.decode(3, 16), energies)
    row = 3 * 4096 * 2  # three sequences, 4,096 elements of 16 bits
    logits = 3 * 128_256 * 2
    assert spent["link"] == pytest.approx((2 * 32 * row + row + logits) * 2 * 8e-12)  # each layer twice, both ends once


def test_a_pipeline_that_is_not_full_is_busy_for_one_stage_s_share() -> None:
    pipeline = Deployment("llama-3.1-8b", "h100-sxm", devices=4, tp=1, pp=4, dp=1, quantization="fp8")
    (use,) = Whole.of(pipeline, TRAFFIC).uses(1.0, 512.0)
    assert use.of_step == pytest.approx(0.25, rel=0.01)  # one micro-batch in one of four stages, hand-overs aside
    (whole,) = Whole.of(NARROW, TRAFFIC).uses(1.0, 512.0)
    assert whole.of_step == 1
    (half,) = Whole.of(Deployment("llama-3.1-8b", "h100-sxm", 2, tp=1, pp=2, dp=1), TRAFFIC).uses(1.0, 512.0)
    assert half.of_step == pytest.approx(0.5, rel=0.01)


def test_devices_of_a_balance_are_prefill_decode_or_idle() -> None:
    gpu = Deployment("llama-3.1-8b", "h100-sxm", devices=1, tp=1, quantization="fp8")
    found = balance(PrefillDecode(gpu, WIDE, SLOW), Traffic(isl=512, osl=512, concurrency=64), devices=8)
    assert found.prefill + found.decode + found.idle == 8
    assert found.decode % 2 == 0


def test_more_arrivals_than_two_pools_take_never_see_a_first_token() -> None:
    system = PrefillDecode(WIDE, WIDE, Link("400 Gbit/s", "2 us"))
    few, many = (serve(system, Traffic(isl=1024, osl=64, rate=rate)) for rate in (1.0, 1e5))
    assert few.ttft < 1
    assert (many.ttft, many.queued) == (math.inf, math.inf)
    assert many.requests_per_second < 1e5


def test_half_a_step_passes_before_a_prompt_that_finds_one_running() -> None:
    """A step of 0.02 s: three of them between chunks, and half of one with what is due of prompts in it, which one's
    fellow runs half of the time. Of the fellow's prompts 2 / 100 are due in a step: one while two tokens a step are
    generated. Half of them are met, and half of these are computed before one's own.
    """
    mix = Mix(Prompt(1.0, Passes(((1.0, 0.5),))), generated=100, crowd=2, chunks=3, tokens=2)
    with_prompts = 0.02 + 2 / 100 * 0.5
    assert mix.at(batch=4, step=0.01).running == pytest.approx(with_prompts / 2 / 2)
    before = 0.5 * 2 / 100 / 2 * 0.5
    assert mix.first_token(rate=0.0, batch=4, step=0.01) == pytest.approx(1 + 3 * 0.02 + with_prompts / 2 / 2 + before)


def test_one_s_own_prompt_holds_one_up_until_the_first_token() -> None:
    """Four in flight, prompts of 1 s, 100 steps of 0.01 s: three prompts of others meanwhile, and one's own between.

    Where a draft takes it after the first token, of 1 s only the 0.4 s before are.
    """
    mix = Mix(taking(1.0), 100.0, 4.0, 0.0)
    assert mix.interval(4.0, 0.01) == pytest.approx(0.01 + 3 * 1.0 / 100)
    assert mix.rate(4.0, 0.01) == pytest.approx(4 / (100 * 0.01 + 4 * 1.0))
    assert mix.decoding(4 / 5, 4.0, 0.01) == pytest.approx(4 * 4 / 5)
    assert mix.in_a_step(4 * 4 / 5, 4 / 5) == pytest.approx(4)
    assert mix.in_a_step(2.0, 4 / 5) == pytest.approx(2 / (1 - 4 / 5 * 1.0 / 4))  # of each one's time, a prompt is 0.2
    assert mix.in_a_step(3.9, 4 / 5) == 4  # no more than there are
    assert replace(mix, most=2.0).in_a_step(3.9, 4 / 5) == 4  # whatever is thought to be the room for them
    drafted = replace(mix, prompt=Prompt(0.4, mix.prompt.passes))
    assert drafted.rate(4.0, 0.01) == pytest.approx(4 / (100 * 0.01 + 3 * 1.0 + 0.4))
    random = replace(mix, crowd=None)
    assert random.rate(4.0, 0.01) == pytest.approx(4 / (100 * 0.01 + 4 * 1.0))
    assert random.decoding(4 / 5, 4.0, 0.01) == random.in_a_step(4.0, 4 / 5) == pytest.approx(4)
    assert replace(mix, most=8.0).rate(4.0, 0.01) == mix.rate(4.0, 0.01)  # a cap that binds nobody changes nothing
    capped = replace(mix, crowd=64.0, most=4.0)
    assert capped.rate(4.0, 0.01) == mix.rate(4.0, 0.01)
    assert capped.at(4.0, 0.01).slots(4 / 5) == pytest.approx(4)


def test_requests_at_random_find_long_steps_more_often() -> None:
    """A step of 0.1 s without prompts, and half of all time for prompts of 1 s."""
    mix = Mix(taking(1.0), 100.0, None, 0.0)
    assert mix.at(10.0).due == pytest.approx(0.1)
    mean = 0.1 + 0.1 * 1.0
    spread = 0.1 * 1.0**2 / mean**2 / (1 - 0.5**2)
    assert mix.at(10.0, 0.1).running == pytest.approx(mean * (1 + spread) / 2 + 0.1)
    assert mix.at(10.0, 0.1).aftermath == pytest.approx(0.1 + 1 + 0.1 * (1 + spread) - mean)  # 0.5 / (1 - 0.5) times
    closed = replace(mix, crowd=1e9)
    assert closed.at(10.0, 0.1).running == pytest.approx(mean / 2, rel=1e-6)
    assert closed.at(10.0, 0.1).aftermath == 0


def test_prompts_of_others_come_in_one_s_own_pass_and_in_full_ones_before() -> None:
    """Passes of up to four prompts of 0.4 + 0.6 s each; one prompt is due in a step, or eight are."""
    prompt = Prompt(2.0, SHARED)
    mix = Mix(prompt, 100.0, 1e12, 0.0)
    few, many = (mix.others(0.0, batch, 0.01) for batch in (100.0, 800.0))
    assert few == pytest.approx(0.6)
    assert many == pytest.approx(3 * 0.6 + (8 - 3) / 2 * SHARED.share)
    closed = replace(mix, crowd=3.0, bunch=100.0)
    assert closed.others(0.0, 2.0, 0.01) == pytest.approx(2 * 1.0)  # all others at most, one by one


MIXTURE = Deployment("gpt-oss-120b", "h100-sxm", devices=2, tp=2, ep=1, quantization="mxfp4")
RANKED = Deployment("deepseek-v3", "h200-sxm", devices=16, tp=1, dp=16, ep=16, quantization="fp8")


def experts(term: Times) -> float:
    return float(term.total - term.overhead)


def test_a_prompt_and_a_step_read_experts_once() -> None:
    """Few sequences read fewer experts than a prompt works on; a short prompt works less than many sequences read."""
    server, batches = Whole.of(MIXTURE, TRAFFIC), np.array([1.0, 64.0])
    for isl in (8192.0, 2.0):
        traffic = Traffic(isl=isl, osl=64, concurrency=8)
        working = experts(MIXTURE.prefill(isl).terms["routed_experts"])
        for batch, spared in zip(batches, server.spared(batches, 1024.0, traffic), strict=True):
            reading = float(MIXTURE.decode(batch, 1024).terms["routed_experts"].memory)
            assert spared == pytest.approx(min(reading, working))
    assert server.spared(batches, 1024.0, TRAFFIC)[0] > 0


def test_nothing_is_spared_without_experts_or_across_stages() -> None:
    stages = Deployment("gpt-oss-120b", "h100-sxm", devices=4, tp=2, pp=2, quantization="mxfp4")
    for deployment in (WIDE, stages):
        assert Whole.of(deployment, TRAFFIC).spared(np.array([1.0, 8.0]), 1024.0, TRAFFIC).tolist() == [0, 0]
    halves = AttentionFfn(MIXTURE, MIXTURE, SLOW, micro_batches=1)
    assert AttentionFfnServer.of(halves, TRAFFIC).spared(np.array([4.0]), 1024.0, TRAFFIC).tolist() == [0]


def test_a_pass_over_ranks_is_spared_its_experts_once() -> None:
    """However many ranks wait for the one that has a prompt."""
    ranks = Deployment("deepseek-v3", "h200-sxm", devices=16, tp=4, dp=4, ep=16, quantization="fp8")
    server, short = Whole.of(ranks, TRAFFIC), Traffic(isl=4, osl=64, concurrency=8)
    working = experts(ranks.prefill(4).terms["routed_experts"])
    assert server.spared(np.array([4096.0]), 1024.0, short)[0] == pytest.approx(working)


def test_two_requests_on_ranks_hold_each_other_up_for_a_whole_pass() -> None:
    """All ranks wait for the one that has a prompt, so that of the other one takes as long as alone."""
    server, traffic = Whole.of(RANKED, TRAFFIC), Traffic(isl=8192, osl=256, concurrency=2)
    alone = RANKED.prefill(8192).seconds
    service = serve(RANKED, traffic)
    context = mean_decode_context(8192, 256)
    steps, spared = server.step(np.array([1.0, 2.0]), context), server.spared(np.array([1.0, 2.0]), context, traffic)
    assert steps[0] + (alone - spared[1]) / 255 < service.tpot < steps[1] + (alone - spared[0]) / 255


def test_ranks_whose_prompts_are_gathered_share_passes() -> None:
    mix = Mix(Prompt(1.0, SHARED), 100.0, 10.0, 0.0)
    gathered = replace(mix, aligned=19.0)
    due = 8 * 0.9 / 100  # of ten in a circle, nine are others
    assert gathered.at(8.0).gathered == pytest.approx(20 * due)
    assert gathered.each(0.0, 8.0) == pytest.approx(SHARED.occupied(20 * due))
    waits = gathered.first_token(0.0, 8.0, 0.01) - mix.first_token(0.0, 8.0, 0.01)
    within = gathered.others(0.0, 8.0, 0.01) - mix.others(0.0, 8.0, 0.01)
    shorter = mix.at(8.0, 0.01).running - gathered.at(8.0, 0.01).running
    assert waits == pytest.approx(19 * 0.9 * 0.01 + within - shorter)
    assert within == pytest.approx(0.9 * 19 * due * 0.6)


def test_halves_read_as_few_experts_as_the_whole() -> None:
    """A step of sixteen sequences is shorter by what skew spares of their reading."""
    even, skewed = (
        Deployment("gpt-oss-120b", "h100-sxm", devices=2, tp=2, ep=1, quantization="mxfp4", skew=skew)
        for skew in (0.0, 2.0)
    )
    steps = [
        AttentionFfnServer.of(AttentionFfn(pool, pool, SLOW, micro_batches=1), TRAFFIC).step(np.array([16.0]), 1024.0)[
            0
        ]
        for pool in (even, skewed)
    ]
    spared = even.decode(16, 1024).seconds - skewed.decode(16, 1024).seconds
    assert steps[0] - steps[1] == pytest.approx(spared, rel=1e-6)
    assert spared > 0


def test_a_verification_spares_a_prompt_its_experts() -> None:
    drafting = Speculative(MIXTURE, MIXTURE, 3, 0.7, shared=True)
    server = SpeculativeServer.of(drafting, TRAFFIC)
    assert server.spared(np.array([2.0]), 1.0, TRAFFIC) == server.target.spared(np.array([2.0]), 4.0, TRAFFIC, 4)


def test_prompts_add_what_they_are_not_spared() -> None:
    """1 s each, of which a step spares 0.2 s: half of them find none at half a sequence, and those that are due in the
    same step are spared 0.2 s together: (1 - exp(-1)) and (1 - exp(-4)) / 4 of that where one and four are.
    """
    mix = Mix(taking(1.0), 100.0, None, 0.0, spared=lambda batch: np.full_like(batch, 0.2))
    added = [1 - 0.1 * 0.997504, 1 - 0.2 * 0.632121, 1 - 0.2 * 0.245421]
    assert mix.at(np.array([0.5, 100.0, 400.0])).added == pytest.approx(added, rel=1e-6)
    assert mix.interval(np.array([400.0]), 0.01)[0] == pytest.approx(0.01 + 4 * added[2])
    drafting = replace(mix, tokens=4.0)
    assert drafting.at(np.array([25.0, 100.0])).added == pytest.approx(added[1:])  # four times as many are due
    lone = Mix(taking(1.0), 100.0, 1.0, 0.0, spared=np.ones_like)
    assert lone.interval(np.array([1.0]), 0.01)[0] == 0.01


def test_prompts_that_are_due_together_share_what_a_pass_costs_once() -> None:
    """1 s each, 0.4 s of it shared by up to four."""
    mix = Mix(Prompt(1.0, SHARED), 100.0, None, 0.0)
    assert SHARED.shared == pytest.approx(0.4)
    few, one, many = mix.at(np.array([1e-6, 100.0, 1e6])).added  # none, one and thousands due in a step
    assert few == pytest.approx(1.0)
    assert one == pytest.approx(0.6 + 0.4 * 0.632121, rel=1e-6)
    assert many == pytest.approx(SHARED.share)
    closed = replace(mix, crowd=91.0)  # as many others as are computed meanwhile
    assert closed.at(np.array([100.0])).added[0] == pytest.approx(0.6 + 0.4 * (1 - math.exp(-0.9)) / 0.9, rel=1e-9)


def test_prompts_whose_answers_are_one_token_gather_while_others_pass() -> None:
    """A pass of k prompts takes 0.4 + 0.6 k seconds: at 1.25 a second two come in the 1.6 s of one; four at most."""
    gathered = [float(SHARED.prompts(rate)) for rate in (0.1, 1.25, 1 / SHARED.share)]
    assert gathered == pytest.approx([1.0, 2.0, 4.0])
    mix = Mix(Prompt(1.0, SHARED), 0.0, None, 0.0)
    assert mix.each(1.25, 0.0) == pytest.approx(0.8)
    for rate in (0.5, 1.25):
        waited = SHARED.seconds(rate) - 1.0 + pool_wait(1, rate, 1.0, SHARED.share)
        assert mix.others(rate, 0.0, 0.01) == pytest.approx(waited)
    assert mix.at(0.0, 0.01).running == 0


@pytest.mark.parametrize("deployment", [WIDE, RANKED])
def test_a_prompt_shares_what_further_ones_of_its_pass_do_not_take(deployment: Deployment) -> None:
    """Eight prompts of 1,024 tokens on each rank, and no more than chunks allow; none in a pipeline, or where long."""
    traffic = Traffic(isl=1024, osl=64, concurrency=64)
    server, ranks = Whole.of(deployment, traffic), deployment.layout.dp
    prompt = server.prompt(traffic)
    one, full = (deployment.prefill(1024, batch=count).seconds for count in (1, 8 * ranks))
    assert prompt.passes.most == 8 * ranks
    assert prompt.computed == prompt.passes.one == pytest.approx(one)
    assert prompt.passes.share == pytest.approx(full / ranks / 8)
    assert server.prompt(traffic, 2048.0).passes.most == 2 * ranks
    for alone in (server.prompt(traffic, 256.0), server.prompt(Traffic(isl=8193, osl=64, concurrency=64))):
        assert alone.passes.most == ranks


def test_experts_read_once_serve_more() -> None:
    """Between one prompt's reading and none, and what devices work on sums to their time."""
    traffic = Traffic(isl=512, osl=128, concurrency=64)
    service, batch = serve(MIXTURE, traffic), serve(MIXTURE, traffic).pools["devices"].batch
    step = float(Whole.of(MIXTURE, traffic).step(np.array([round(batch)]), mean_decode_context(512, 128))[0])
    prompt, others = Whole.of(MIXTURE, traffic).prompt(traffic), min(63, batch)
    alone = passes_per_prompt(others / 127, math.inf)
    each = prompt.passes.one - prompt.passes.shared * (1 - alone)
    spared = alone * float(MIXTURE.decode(batch, 512).terms["routed_experts"].memory)
    added = (service.tpot - step) * traffic.generated / others
    assert each - 1.02 * spared < added < each - 0.98 * spared
    assert service.pools["devices"].utilisation == pytest.approx(1, rel=1e-6)
    context = mean_decode_context(512, 128)
    slow = serve(MIXTURE, Traffic(isl=512, osl=128, rate=1.0))
    pool, rate = slow.pools["devices"], slow.requests_per_second
    first = float(Whole.of(MIXTURE, slow.traffic).spared(np.array([1.0]), context, slow.traffic)[0])
    assert 0.1 < pool.batch < 1
    adding, decoding = prompt.passes.one - first * pool.batch, 127 * MIXTURE.decode(1, context).seconds
    assert pool.utilisation == pytest.approx(rate * (adding + decoding), rel=2e-3)
    assert pool.input_share == pytest.approx(adding / (adding + decoding), rel=2e-3)


def test_drafts_serve_no_more_prompts_than_prefill_alone_could() -> None:
    draft = Deployment("gpt-oss-20b", "h100-sxm", devices=2, tp=2, pp=1, dp=1, quantization="mxfp4")
    system = Speculative(MIXTURE, draft, 4, 0.95, shared=True)
    traffic = Traffic(isl=128, osl=8, concurrency=64)
    least = SpeculativeServer.of(system, traffic).prompt(traffic).passes.share
    assert serve(system, traffic).requests_per_second * least < 1
    assert serve(system, Traffic(isl=128, osl=8, rate=1.05 / least)).ttft == math.inf


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (4, 1), (1, 3), (2, 2)])
def test_decode_in_halves_waits_for_a_prompt_on_any_rank(ranks: int, workers: int) -> None:
    """Alone it takes the whole pool for its time on one rank; one on every rank of every replica takes that once."""
    attention = Deployment("llama-3.1-8b", "h100-sxm", ranks * workers, tp=1, pp=1, dp=ranks, quantization="fp8")
    server = AttentionFfnServer.of(AttentionFfn(attention, WIDE, SLOW, micro_batches=1), TRAFFIC)
    passes = server.prompt(TRAFFIC).passes
    alone = server.attention.prefill(1.0, 1024, 0.0)
    wire = 32 * 1024 * 4096 * 2 / 1e9  # 16 bits back, on the wire of one device
    away = float(server.ffn.decode(np.array([1024.0]), 2.0).slowest[0])
    assert passes.one == pytest.approx(max(float(alone.slowest), away, wire))
    most = ranks * workers
    on_all = 32 * most * 1024 * 4096 * 2 / (min(most, 2) * 1e9)
    if most == 1 or on_all >= most * passes.one:  # one more on the wire of two devices takes as long again
        assert passes.points == ((1.0, passes.one),)
    else:
        assert passes.points[1] == (most, pytest.approx(on_all))
