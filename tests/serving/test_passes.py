"""Prompts that share a pass of a prefill pool: by hand, and where nothing can be shared."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.describe.link import Link
from roofline.describe.runtimes import Runtime, runtime
from roofline.describe.workload import Traffic
from roofline.estimate.balance import balance
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import Crossing, PrefillDecode, Split
from roofline.estimate.passes import PASS_TOKENS, Passes
from roofline.estimate.servers import Prompt, Whole
from roofline.estimate.serving import serve
from roofline.estimate.speculative import Speculative

LINK = Link("400 Gbit/s", "2 us")
GPU = Deployment("llama-3.1-8b", "h100-sxm", devices=1, tp=1, quantization="fp8")
RANKS = Deployment("deepseek-v3", "h200-sxm", devices=16, tp=1, dp=16, ep=16, quantization="fp8")
STAGES = Deployment("llama-3.1-8b", "h100-sxm", devices=4, tp=1, pp=4, dp=1, quantization="fp8")
SHORT = Traffic(isl=512, osl=64, concurrency=1.0)
EIGHT = Passes(((1.0, 0.4), (8.0, 1.1)))
"""0.1 s for each prompt, and 0.3 s for all of them."""


def passes(deployment: Deployment, traffic: Traffic, tokens: float = PASS_TOKENS) -> Passes:
    return Whole.for_prompts(deployment, deployment, traffic).passes(traffic, tokens)


def test_a_pass_takes_what_came_during_the_one_before() -> None:
    for rate, prompts in ((0.0, 1.0), (2.0, 1.0), (2.5, 1.0), (5.0, 3.0), (6.0, 4.5), (8 / 1.1, 8.0)):
        assert EIGHT.prompts(rate) == pytest.approx(prompts)
        assert EIGHT.seconds(rate) == pytest.approx(0.3 + 0.1 * prompts)
    assert EIGHT.share == pytest.approx(1.1 / 8)


@given(rate=st.floats(0, 2.49))
def test_one_prompt_passes_alone(rate: float) -> None:
    alone = Passes(((1.0, 0.4),))
    assert (alone.seconds(rate), alone.prompts(rate), alone.share) == (0.4, 1, 0.4)


def test_a_pass_fills_ranks_before_it_takes_more_of_each() -> None:
    """0.1 s for each of the first four prompts, 0.25 s for each of the others: 1 s with one, 1.3 s with four."""
    ranks = Passes(((1.0, 1.0), (4.0, 1.3), (12.0, 3.3)))
    for prompts, seconds in ((1.0, 1.0), (2.5, 1.15), (4.0, 1.3), (8.0, 2.3), (12.0, 3.3)):
        assert ranks.seconds(prompts / seconds) == pytest.approx(seconds)
    assert ranks.seconds(100.0) == 3.3
    assert ranks.seconds(np.array([0.0, 4 / 1.3, 8 / 2.3])) == pytest.approx([1.0, 1.3, 2.3])


def test_tokens_are_shared_out_to_prompts_and_ranks() -> None:
    assert passes(GPU, SHORT).most == 16
    assert passes(GPU, SHORT, 1535).most == 2
    assert passes(GPU, SHORT, 1).most == 1
    assert passes(GPU, Traffic(isl=8193, osl=64, concurrency=1.0)).most == 1
    assert passes(GPU, Traffic(isl=2048, osl=64, concurrency=1.0, cached_share=0.75)).most == 16
    assert passes(RANKS, Traffic(isl=4096, osl=64, concurrency=1.0)).most == 32


def test_a_full_pass_is_an_estimate_of_so_many_prompts() -> None:
    found = passes(GPU, SHORT)
    assert found.one == GPU.prefill(512).seconds
    assert found.points[-1] == (16, GPU.prefill(512, batch=16).seconds)
    assert found.share < found.one


def test_no_more_prompts_pass_than_fit() -> None:
    tight = Deployment("llama-3.1-70b", "h100-sxm", devices=1, tp=1, quantization="fp8")
    found = passes(tight, Traffic(isl=4096, osl=64, concurrency=1.0), 1e9)
    assert 1 <= found.most <= tight.capacity(4096).max_batch


def test_stages_take_prompts_one_by_one() -> None:
    found = passes(STAGES, SHORT)
    assert found.most == 1
    assert found.one == found.share == Whole.for_prompts(STAGES, STAGES, SHORT).prompt(SHORT).passes.one


def test_a_prompt_alone_takes_a_stage_of_ranks_that_share_experts_no_longer_than_its_own_way() -> None:
    """Four prompts send four times as much over PCIe as one, and their stage takes longer than it does altogether."""
    ranked = Deployment("qwen3-30b-a3b", "l40s", devices=8, tp=1, pp=2, dp=4, ep=1, quantization="fp8")
    traffic = Traffic(isl=8192, osl=64, concurrency=1)
    prompt = Whole(ranked, ranked.settled()).prompt(traffic)
    (_, alone), (ranks, stage) = prompt.passes.points
    assert ranks == 4
    assert alone == prompt.computed < stage < 4 * alone
    together, apart = serve(ranked, traffic), serve(PrefillDecode(ranked, ranked, LINK), traffic)
    worked = [
        sum(pool.utilisation * pool.devices for pool in each.pools.values()) / each.requests_per_second
        for each in (together, apart)
    ]
    assert worked[0] == pytest.approx(worked[1], rel=0.01)  # the link takes some time


def test_a_stack_pays_once_for_a_pass() -> None:
    stack = runtime("vllm").model_copy(update={"name": "at once", "launch": 0.0})
    hosted = Deployment("llama-3.1-8b", "h100-sxm", devices=1, tp=1, quantization="fp8", runtime=stack)
    found, bare = passes(hosted, SHORT), passes(GPU, SHORT)
    assert found.one - bare.one == pytest.approx(stack.prompt)
    assert found.points[-1][1] - bare.points[-1][1] == pytest.approx(stack.prompt)


def split(apart: float, crowd: float | None, workers: int = 2) -> Split:
    prompt = Prompt(0.4, EIGHT, request=0.05)
    return Split(prompt, workers, 4, 100.0, Crossing(0.0, 0.0, 1e9), crowd, 3.0, apart)


def test_a_first_token_waits_for_passes_and_its_own() -> None:
    """Two workers at 5 requests a second each: passes of three prompts in 0.6 s, 5 · 1.1 / 8 of what full ones take."""
    pools = split(0.0, None)
    assert pools.most == pytest.approx(2 * 8 / 1.1)
    wait = 0.4 / (2 * (2 - 2 * 5 * 1.1 / 8))
    assert pools.wait(10.0) == pytest.approx(wait)
    assert pools.first_token(10.0, 0.01) == pytest.approx(0.05 + 0.6 + wait + 3 * 0.01)


def test_a_bunch_comes_first_but_no_more_than_all_others() -> None:
    """Nine others for each of two workers, met at 5 · 19 / 20 requests a second each: three passes if bunched."""
    alone, bunched, all_of_them = (split(bunch, 20.0).wait(10.0) for bunch in (0.0, 0.1, 100.0))
    assert bunched - alone == pytest.approx(0.1 * 3 * EIGHT.seconds(4.75))
    assert all_of_them == pytest.approx(9 * 0.4)


def test_short_prompts_pass_together() -> None:
    """At more requests than one prompt after the other allows, and never at more than full passes do."""
    system, crowd = PrefillDecode(GPU, GPU.resized(8), LINK), Traffic(isl=256, osl=8, concurrency=4096)
    single, together = serve(system, crowd, chunk=1), serve(system, crowd)
    found = passes(GPU, crowd)
    assert single.requests_per_second == pytest.approx(1 / found.one, rel=1e-6)
    assert together.requests_per_second == pytest.approx(1 / found.share, rel=1e-6)
    assert together.requests_per_second > 1.2 * single.requests_per_second
    assert together.limit == "the prefill pool"
    assert 0.95 * found.most < together.pools["prefill"].batch <= found.most
    assert any("share a pass" in note for note in together.assumptions)
    assert not any("share a pass" in note for note in single.assumptions)


def test_a_balance_counts_on_full_passes() -> None:
    traffic = Traffic(isl=256, osl=256, concurrency=64)
    found = balance(PrefillDecode(GPU, GPU, LINK), traffic, devices=8)
    pool = found.service.pools["decode"]
    workers = passes(GPU, traffic).share * pool.batch / (traffic.generated * found.service.tpot)
    assert found.ratio == pytest.approx(workers)


def test_in_a_closed_circle_nobody_meets_himself() -> None:
    pools = split(0.0, 20.0)
    met = 10.0 * 19 / 20
    assert pools.own_pass(10.0) == pytest.approx(0.05 + EIGHT.seconds(met / 2))
    assert pools.first_token(10.0, 0.0) == pytest.approx(pools.own_pass(10.0) + pools.wait(10.0))


def test_a_busy_pool_need_not_be_full() -> None:
    """Prompts come quicker than one by one would do, and slower than full passes allow: the pool never rests."""
    traffic = Traffic(isl=256, osl=64, concurrency=1.0)
    found = passes(GPU, traffic)
    rate = 1.05 / found.one
    assert rate < 0.9 / found.share
    service = serve(PrefillDecode(GPU, GPU.resized(8), LINK), Traffic(isl=256, osl=64, rate=rate))
    assert service.pools["prefill"].utilisation == pytest.approx(1)
    assert service.limit == "the requests that arrive"
    assert service.queued == pytest.approx(rate * (service.ttft - float(found.seconds(rate))), rel=1e-6)
    calm = serve(PrefillDecode(GPU, GPU.resized(8), LINK), Traffic(isl=256, osl=64, rate=rate / 2))
    assert calm.pools["prefill"].utilisation == pytest.approx(rate / 2 * found.one)


def test_the_prefill_pool_s_stack_says_how_requests_bunch() -> None:
    stack = runtime("vllm")
    orderly = stack.model_copy(update={"name": "orderly", "apart": 0.0})
    traffic = Traffic(isl=2048, osl=256, concurrency=16)

    def first_token(prefill: Runtime, decode: Runtime) -> float:
        pools = (
            Deployment("llama-3.1-8b", "h100-sxm", 1, tp=1, quantization="fp8", runtime=each)
            for each in (prefill, decode)
        )
        return float(serve(PrefillDecode(*pools, LINK), traffic).ttft)

    assert first_token(stack, orderly) > 1.3 * first_token(orderly, orderly)
    assert first_token(orderly, stack) == first_token(orderly, orderly)


def test_a_host_sees_the_sequences_of_all_ranks() -> None:
    hosted = Deployment("deepseek-v3", "h200-sxm", 16, tp=1, dp=16, ep=16, quantization="fp8", runtime="sglang")
    stack = runtime("sglang")
    assert hosted.decode(160, 1024).terms["runtime"].total == pytest.approx(stack.step + 160 * stack.sequence)
    drafting = Whole.of(hosted, Traffic(isl=1024, osl=64, concurrency=160)).decode(160.0, 1024.0, 4)
    each = 10 * stack.verified  # of its rank's ten, while the other ranks check theirs
    assert drafting.terms["runtime"].total == pytest.approx(stack.step + 160 * stack.sequence + each)
    assert stack.verified > 0
    prompts = hosted.prefill(batch=16, prompt=1024)
    assert prompts.terms["runtime"].total == pytest.approx(stack.prompt)


def test_a_host_that_takes_long_to_check_drafts_serves_fewer_tokens() -> None:
    quick = runtime("vllm").model_copy(update={"verified": 0.0})
    slow = quick.model_copy(update={"name": "slow", "verified": 1e-4})
    traffic = Traffic(isl=512, osl=512, concurrency=32)

    def interval(stack: Runtime, length: int) -> float:
        gpu = Deployment("llama-3.1-8b", "h100-sxm", 1, tp=1, quantization="fp8", runtime=stack)
        return float(serve(Speculative.mtp(gpu, acceptance=0.5, length=length) if length else gpu, traffic).tpot)

    assert interval(slow, 0) == interval(quick, 0)
    added = interval(slow, 1) - interval(quick, 1)
    assert added == pytest.approx(1e-4 * 32 / 1.5, rel=0.1)


def test_two_in_a_pass_share_what_the_second_does_not_add() -> None:
    passes = Passes(((1.0, 1.0), (2.0, 1.5)))
    assert passes.shared == pytest.approx(0.5)
    assert passes.occupied(1e9) == pytest.approx(0.75)


def test_a_pass_that_takes_no_more_prompts_a_second_is_not_one() -> None:
    """Two on two ranks take more than twice as long as one here, eight less than eight times."""
    made = SimpleNamespace(
        layout=SimpleNamespace(dp=2),
        memory=SimpleNamespace(largest_batch=lambda _: 100.0),
        evaluate=lambda point, _: np.interp(point.batch, [1.0, 2.0, 8.0], [2.0, 5.0, 12.0]),
    )
    assert Passes.of(made, 2048, 0.0, 8192).points == ((1.0, 2.0), (8.0, 12.0))  # type: ignore[arg-type]
