"""A serving stack in service: what its host adds is counted once, wherever the model is split."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import roofline as rl
from roofline.describe.catalog import calibration, part_class
from roofline.describe.link import Link
from roofline.describe.runtimes import runtime, slower_in_service
from roofline.describe.workload import Traffic
from roofline.estimate.attention_ffn import AttentionFfn
from roofline.estimate.colocated import Mix
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import PrefillDecode
from roofline.estimate.passes import Passes
from roofline.estimate.servers import Prompt
from roofline.estimate.serving import serve, server_of
from roofline.estimate.speculative import Speculative, SpeculativeServer

FREE = dict.fromkeys(("sequence", "prompt", "request", "first", "aligned", "bunch", "in_step"), 0.0)
STEP = 0.003
BARE = {"name": "a host", "slower": {}, "kernels": None, "reduces_as": "", "reduces_as_on": ()}
HOST = runtime("vllm").model_copy(update={**FREE, **BARE, "step": STEP})
WIRE = "400 Gbit/s, 2 us"
ALONE = Traffic(isl=2048, osl=257, concurrency=1)


def deployed(stack: object = None, **ranks: int) -> Deployment:
    """Llama-3.1-8B on two H100."""
    return Deployment("llama-3.1-8b", "h100-sxm", devices=2, runtime=stack, **(ranks or {"tp": 2}))  # type: ignore[arg-type]


def test_a_step_of_a_split_model_pays_its_host_once() -> None:
    def crossing(stack: object) -> AttentionFfn:
        return AttentionFfn(deployed(stack), deployed(stack), WIRE, micro_batches=1)

    bare, hosted = (serve(crossing(stack), ALONE) for stack in (None, HOST))
    assert hosted.tpot - bare.tpot == pytest.approx(STEP)


def test_a_step_with_a_shared_draft_pays_its_host_once() -> None:
    def drafting(stack: object) -> Speculative:
        return Speculative.mtp(deployed(stack), acceptance=0.8, length=2)

    bare, hosted = (SpeculativeServer.of(drafting(stack), ALONE) for stack in (None, HOST))
    per_step = 1 + 0.8 + 0.8**2
    assert hosted.tokens_per_step == pytest.approx(per_step)
    assert float(hosted.step(1.0, 2048.0) - bare.step(1.0, 2048.0)) == pytest.approx(STEP / per_step)


def test_a_shared_draft_runs_the_kernels_of_the_stack_and_no_host_of_its_own() -> None:
    """On a part of a vendor whose kernels take twice as long under it."""
    steps = []
    for times in (1.0, 2.0):
        stack = HOST.model_copy(update={"name": f"{times:g} times", "slower": {"AMD": times}})
        target = Deployment("llama-3.1-8b", "mi300x", devices=1, tp=1, runtime=stack)
        draft = SpeculativeServer.of(Speculative.mtp(target, acceptance=0.8, length=2), ALONE).draft
        steps.append(float(draft.step(1.0, 2048.0)))
        assert draft.decode(1.0, 2048.0).terms["runtime"].total == 0
    assert steps[1] == pytest.approx(2 * steps[0], rel=1e-12)


def test_a_shared_draft_that_loses_nothing_has_no_kernels_of_a_stack_either() -> None:
    """Experts in MXFP4 take others under a stack."""
    ideal = (
        Deployment("gpt-oss-120b", "b200-sxm", devices=1, tp=1, efficiency="ideal", runtime=stack)
        for stack in (None, "vllm")
    )
    drafts = [SpeculativeServer.of(Speculative.mtp(each, acceptance=0.8), ALONE).draft for each in ideal]
    plain, under = (float(each.step(1.0, 2048.0)) for each in drafts)
    assert plain == under


def test_a_draft_on_devices_of_its_own_pays_for_each_of_its_steps() -> None:
    def drafting(stack: object) -> Speculative:
        return Speculative(deployed(stack), deployed(stack), 2, 0.8)

    bare, hosted = (SpeculativeServer.of(drafting(stack), ALONE) for stack in (None, HOST))
    per_step = 1 + 0.8 + 0.8**2
    assert float(hosted.step(1.0, 2048.0) - bare.step(1.0, 2048.0)) == pytest.approx(3 * STEP / per_step)


def test_first_tokens_wait_for_steps_of_the_decode_pool() -> None:
    late = HOST.model_copy(update={"first": 5.0})
    soon, after = (serve(PrefillDecode(deployed(), deployed(stack), WIRE), ALONE) for stack in (HOST, late))
    assert after.ttft - soon.ttft == pytest.approx(5 * soon.tpot, rel=1e-3)
    assert after.tpot == pytest.approx(soon.tpot, rel=1e-9)


def test_a_pool_that_only_decodes_pays_for_no_scheduling_of_prompts() -> None:
    stack = HOST.model_copy(update={"alone": 0.001})
    prompts = deployed()
    decoding = deployed(stack)
    systems = (decoding, AttentionFfn(decoding, deployed(), WIRE, micro_batches=1), Speculative.mtp(decoding, 0.8, 2))
    for system, yielded in zip(systems, (1.0, 1.0, 1 + 0.8 + 0.8**2), strict=True):
        one_pool = server_of(system, ALONE, "decode")
        two_pools = server_of(PrefillDecode(prompts, system, WIRE).decoding, ALONE, "decode")
        saved = one_pool.step(1.0, 2048.0) - two_pools.step(1.0, 2048.0)
        assert float(saved) == pytest.approx((STEP - 0.001) / yielded)


def test_little_s_law_holds_with_a_stack() -> None:
    traffic = Traffic(isl=1024, osl=256, concurrency=24)
    stack = runtime("sglang")
    for system in (deployed(stack), PrefillDecode(deployed(stack), deployed(stack), WIRE)):
        service = serve(system, traffic)
        held = service.requests_per_second * (service.ttft + (traffic.osl - 1) * service.tpot)
        assert held == pytest.approx(24, rel=1e-6)


def test_attention_ranks_wait_for_each_other() -> None:
    apart = HOST.model_copy(update={"aligned": 7.0})
    crowd = Traffic(isl=9000, osl=1024, concurrency=4)
    one, two = (serve(deployed(apart, **ranks), crowd) for ranks in ({"tp": 2}, {"tp": 1, "dp": 2}))
    bare = [serve(deployed(HOST, **ranks), crowd) for ranks in ({"tp": 2}, {"tp": 1, "dp": 2})]
    assert one.ttft == pytest.approx(bare[0].ttft)
    assert two.ttft - bare[1].ttft == pytest.approx(7 * 0.75 * bare[1].tpot, rel=0.2)
    lone = [serve(deployed(stack, tp=1, dp=2), ALONE).ttft for stack in (HOST, apart)]
    assert lone[0] == pytest.approx(lone[1], rel=1e-12)


def test_attention_ranks_that_take_no_prompts_wait_for_none() -> None:
    apart = HOST.model_copy(update={"aligned": 7.0})
    services = [
        serve(PrefillDecode(deployed(stack, tp=2), deployed(stack, tp=1, dp=2), WIRE), ALONE) for stack in (HOST, apart)
    ]
    assert services[1].ttft == services[0].ttft


def test_a_request_waits_in_the_host_on_every_system_and_hides_no_transfer() -> None:
    slow = HOST.model_copy(update={"request": 0.5})
    narrow = Link("8 Gbit/s", "20 us")
    for system in (
        lambda stack: deployed(stack, tp=2),
        lambda stack: AttentionFfn(deployed(stack, tp=2), deployed(stack, tp=2), WIRE, micro_batches=1),
        lambda stack: PrefillDecode(deployed(stack, tp=2), deployed(stack, tp=2), narrow),
    ):
        quick, late = (serve(system(stack), ALONE) for stack in (HOST, slow))
        assert late.ttft - quick.ttft == pytest.approx(0.5)
        assert late.tpot == pytest.approx(quick.tpot)


def test_a_draft_of_its_own_beside_a_decode_pool_schedules_no_prompts_either() -> None:
    stack = HOST.model_copy(update={"step": STEP, "alone": 0.0})
    small = Deployment("llama-3.2-1b", "h100-sxm", devices=1, tp=1, quantization="fp8", runtime=stack)
    drafting = Speculative(deployed(stack, tp=2), small, 4, 0.8)
    decoding = PrefillDecode(deployed(stack, tp=2), drafting, WIRE).decoding
    assert isinstance(decoding, Speculative)
    one, two = (server_of(system, ALONE, "decode").step(1.0, 2048.0) for system in (drafting, decoding))
    assert float(one - two) == pytest.approx(5 * STEP / sum(0.8**n for n in range(5)))


def test_without_the_stacks_figures_requests_come_in_no_bunches() -> None:
    crowd = Traffic(isl=2048, osl=256, concurrency=32)
    ideal, named = (
        serve(Deployment("llama-3.1-8b", "h100-sxm", tp=1, efficiency="ideal", runtime=stack), crowd)
        for stack in (None, "sglang")
    )
    assert named.ttft == ideal.ttft


def test_prompts_wait_as_the_lengths_of_requests_have_them() -> None:
    """In SGLang two prompts of others come before one's own, over the root of those in flight, where all are equal."""
    gpu, lengths = Deployment("llama-3.1-8b", "h100-sxm", tp=1, runtime="sglang"), ("varied", "equal")
    varied, equal = (serve(gpu, Traffic(2048, 256, concurrency=32, lengths=each)) for each in lengths)
    stack = runtime("sglang")
    assert equal.ttft / varied.ttft > 1.5
    assert stack.in_step > stack.bunch
    assert (stack.bunching("varied"), stack.bunching("equal")) == (stack.bunch, stack.in_step)
    assert str(equal.traffic).endswith("32 in flight, all equally long")
    bare = Deployment("llama-3.1-8b", "h100-sxm", tp=1)
    alike = [serve(bare, Traffic(2048, 256, concurrency=32, lengths=each)).ttft for each in lengths]
    assert alike[0] == alike[1]


@pytest.mark.parametrize("crowd", [1.0, 2.0, 10.0, 101.0])
def test_requests_in_bunches_wait_for_each_other_and_never_for_more_than_there_are(crowd: float) -> None:
    alone = Mix(Prompt(0.05, Passes(((1.0, 0.05),))), 1e9, crowd, 0.0)
    bunched, crushed = (replace(alone, bunch=bunch) for bunch in (0.5, 1e6))
    rate = 1e-9
    waits = bunched.first_token(rate, 1.0, 0.01) - alone.first_token(rate, 1.0, 0.01)
    assert waits == pytest.approx(min(0.5 * math.sqrt(crowd - 1), crowd - 1) * 0.05, rel=1e-6)
    assert crushed.others(rate, 1.0, 0.01) == pytest.approx((crowd - 1) * 0.05)


def test_steps_that_yield_several_tokens_are_waited_for_whole() -> None:
    one = Mix(Prompt(0.05, Passes(((1.0, 0.0),))), 100.0, 5.0, 4.0)
    first = one.first_token(0.0, 1.0, 0.01) - 0.05
    assert replace(one, tokens=3.0).first_token(0.0, 1.0, 0.01) - 0.05 == pytest.approx(3 * first)


def seconds(part: str, model: str, stack: object, term: str = "routed_experts") -> tuple[float, float, float]:
    """Overhead, memory and compute of a term of a decode step [s]."""
    deployment = Deployment(model, part, 4, tp=4, runtime=stack)  # type: ignore[arg-type]
    times = deployment.decode(4, 1024).terms[term]
    return float(times.overhead), float(times.memory), float(times.compute)


PLAIN = HOST.model_copy(update={"scaled_experts": 1.0, "unscaled": 1.0, "skew": 0.0})


@pytest.mark.parametrize(
    ("part", "model", "times"),
    [
        ("h100-sxm", "qwen3.5-35b-a3b", (1.0, 1.0, 1.0)),  # 16-bit experts
        ("h200-sxm", "minimax-m2.5", (1.5, 1.5, 1.5)),  # block-wise fp8, products without scales
        ("b200-sxm", "minimax-m2.5", (1.0, 1.0, 1.0)),  # products with scales
        ("b200-sxm", "gpt-oss-20b", (1.25, 1.25, 1.0)),  # MXFP4, products with scales
        ("h100-sxm", "gpt-oss-20b", (1.0, 1.0, 1.0)),
    ],
)
def test_experts_take_the_factor_of_their_format_and_part(
    part: str, model: str, times: tuple[float, float, float]
) -> None:
    changed = PLAIN.model_copy(update={"scaled_experts": 1.25, "unscaled": 1.5})
    first, second = seconds(part, model, PLAIN), seconds(part, model, changed)
    assert second == pytest.approx(tuple(each * factor for each, factor in zip(first, times, strict=True)))


@pytest.mark.parametrize(
    ("part", "model", "term", "times"),
    [
        ("h200-sxm", "minimax-m2.5", "attention_projections", 1.5),
        ("mi300x", "minimax-m2.5", "attention_projections", 1.5),
        ("b200-sxm", "minimax-m2.5", "attention_projections", 1.0),
        ("h200-sxm", "minimax-m2.5", "lm_head", 1.0),  # in 16 bits
        ("h200-sxm", "minimax-m2.5", "attention", 1.0),  # no product with weights
        ("h200-sxm", "llama-3.1-8b", "dense_ffn", 1.0),
    ],
)
def test_kernels_that_scale_what_they_sum_take_longer(part: str, model: str, term: str, times: float) -> None:
    changed = PLAIN.model_copy(update={"unscaled": 1.5})
    first, second = seconds(part, model, PLAIN, term), seconds(part, model, changed, term)
    assert second == pytest.approx(tuple(times * each for each in first))


def test_experts_read_no_faster_than_memory_delivers() -> None:
    fast = HOST.model_copy(update={"scaled_experts": 0.1, "skew": 0.0})
    served = seconds("b200-sxm", "gpt-oss-20b", fast)[1]
    ideal = Deployment("gpt-oss-20b", "b200-sxm", 4, tp=4, efficiency="ideal").decode(4, 1024).terms["routed_experts"]
    assert served == pytest.approx(float(ideal.memory))  # type: ignore[arg-type]


def test_a_vendor_without_measured_kernels_is_slower_in_kernels_and_not_in_wires() -> None:
    twice = HOST.model_copy(update={"slower": {"AMD": 2.0}, "step": 0.0})
    for part, times in (("mi300x", 2.0), ("h100-sxm", 1.0)):
        plain, slow = (
            Deployment("llama-3.1-8b", part, 4, tp=4, runtime=stack).decode(4, 1024).terms for stack in (HOST, twice)
        )
        for name in ("dense_ffn", "attention", "elementwise"):
            assert float(slow[name].total) == pytest.approx(times * float(plain[name].total))  # type: ignore[arg-type]
        assert slow["all_reduce"].total == plain["all_reduce"].total


def attention(stack: object, part: str = "h100-sxm", kv_cache: str = "fp8", model: str = "llama-3.1-8b") -> float:
    """Seconds in which attention reads the caches of 64 sequences of 8,192 tokens, launches apart [s]."""
    formats = rl.model(model).checkpoint.with_(kv_cache=kv_cache)
    term = Deployment(model, part, 8, tp=8, quantization=formats, runtime=stack).decode(64, 8192).terms["attention"]
    return float(term.memory)  # type: ignore[arg-type]


def test_a_cache_in_8_bits_is_read_as_slowly_as_one_in_16_where_a_stack_does() -> None:
    """vLLM's attention before 0.11.1 on Hopper takes as long for half the memory; latents and others do not."""
    older, newer = (HOST.model_copy(update={"wide_caches_on": each}) for each in (("H100", "H200"), ()))
    wide = attention(newer, kv_cache="bf16")
    assert attention(older) == pytest.approx(wide, rel=1e-3)  # queries are read beside it
    assert attention(older, kv_cache="bf16") == wide
    assert attention(newer) == attention(None) < 0.6 * wide
    for part, model in (
        ("b200-sxm", "llama-3.1-8b"),
        ("a100-sxm-80gb", "llama-3.1-8b"),
        ("h100-sxm", "deepseek-v2-lite"),
    ):
        assert attention(older, part, model=model) == attention(newer, part, model=model)
    held = [
        Deployment("llama-3.1-70b", "h200-sxm", 2, tp=2, quantization="fp8", runtime=each) for each in (older, newer)
    ]
    assert held[0].capacity(8192).max_batch == held[1].capacity(8192).max_batch
    said = "reads a cache in fp8 no faster than one in 16 bits"
    told = [any(said in each for each in gpu.decode(8, 1024).assumptions) for gpu in held]
    assert told == [True, False]


def test_every_hopper_part_of_the_catalogue_reads_caches_as_vllm_did_on_hopper() -> None:
    older = runtime("vllm-2025")
    hopper = [name for name in rl.accelerators() if name.startswith(("h100", "h20", "h800", "gh200"))]
    assert len(hopper) > 8
    for name in rl.accelerators():
        assert older.reads_wide_caches(rl.accelerator(name).name) == (name in hopper), name


def test_a_half_of_a_split_model_has_no_sums_to_normalise_in() -> None:
    """What it normalises comes over the link."""
    fusing = HOST.model_copy(update={"fuses": ("norms",)})
    whole, halves = [], []
    for stack in (HOST, fusing):
        gpu = Deployment("llama-3.1-70b", "h100-sxm", devices=4, tp=4, quantization="fp8", runtime=stack)
        whole.append(float(gpu.decode(8, 1024).seconds))
        halves.append(serve(AttentionFfn(gpu, gpu, WIRE, micro_batches=1), Traffic(1024, 129, concurrency=8)).tpot)
    assert whole[1] < whole[0]
    assert halves[1] == halves[0]


def test_a_caller_who_measured_attention_reads_caches_as_measured() -> None:
    mine = calibration("h100-sxm")
    older = HOST.model_copy(update={"wide_caches_on": ("H100",)})
    formats = rl.model("llama-3.1-8b").checkpoint.with_(kv_cache="fp8")
    found = [
        Deployment("llama-3.1-8b", "h100-sxm", tp=1, quantization=formats, efficiency=mine, runtime=stack)
        .decode(64, 8192)
        .terms["attention"]
        .memory
        for stack in (older, HOST)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(("part", "told"), [("mi300x", True), ("h100-sxm", False), ("tpu-v6e", False)])
def test_without_a_stack_a_vendor_is_as_slow_as_the_median_of_todays(part: str, told: bool) -> None:
    """No kernels tell otherwise; whoever measured some knows better, and nothing is lost at peak rates."""
    times = float(np.median([runtime(name).slower["AMD"] for name in ("atom", "sglang", "tensorrt-llm", "vllm")]))
    assert slower_in_service("AMD") == times > 1.2
    alone, faithful = (Deployment("llama-3.1-8b", part, tp=1, runtime=stack).decode() for stack in (None, HOST))
    ratio = float(alone.terms["dense_ffn"].total / faithful.terms["dense_ffn"].total)
    assert ratio == pytest.approx(times if told else 1)
    assert any("as service tells of AMD's parts" in said for said in alone.assumptions) == told
    assert alone.ideal == faithful.ideal
    mine = part_class("hbm").efficiency
    assert Deployment("llama-3.1-8b", part, tp=1, efficiency=mine).rates.slower == 1


def test_times_under_a_stack_have_the_interval_that_its_measured_service_leaves() -> None:
    traffic = Traffic(2048, 256, concurrency=np.array([4.0, 32.0]))
    gpu, stack = Deployment("llama-3.1-8b", "h100-sxm", tp=1, runtime="vllm"), runtime("vllm")
    other = Deployment("llama-3.1-8b", "h100-sxm", tp=1, runtime="sglang")
    for system, told in ((gpu, stack), (PrefillDecode(other, gpu, Link("400 Gbit/s", "2 us")), stack)):
        served = serve(system, traffic)
        for name, spread in (("tpot", told.tpot), ("ttft", told.ttft)):
            low, mean, high = (getattr(served, f"{name}{end}") for end in ("_low", "", "_high"))
            assert low.tolist() == pytest.approx((mean * spread.low).tolist())
            assert high.tolist() == pytest.approx((mean * spread.high).tolist())
        assert f"80 % of measured runs of vllm took {told.tpot.low:.2f} to" in " ".join(served.assumptions)
    for stack_or_none in (None, "vllm-2024"):
        bare = Deployment("llama-3.1-8b", "h100-sxm", tp=1, runtime=stack_or_none)
        alone = serve(bare, traffic)
        assert (alone.ttft_low, alone.tpot_high) == (None, None)
        assert not any("80 % of measured runs" in said for said in alone.assumptions)
