"""Prompts in slices: the same work, in pieces that follow each other through a pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy

import roofline as rl
from roofline.describe.catalog import accelerator
from roofline.describe.formats import PRESETS
from roofline.describe.model_catalog import load_model
from roofline.describe.runtimes import runtime
from roofline.estimate.layout import Layout
from roofline.estimate.resolved import Point
from roofline.estimate.steps import Plan
from roofline.estimate.timing import Step
from roofline.estimate.work import Operation
from roofline.show.pools import Pool

MODEL = "llama-3.1-8b"
LOAD = {"batch": 1.0, "prompt": 2560.0, "cached": 512.0}


def plan(layout: Layout | None = None, **more: Any) -> Plan:
    model, machine = load_model(MODEL), accelerator("h100-sxm").numbers()
    return Plan.of(model, layout or Layout(), PRESETS["bf16"], machine, **more)


def total(step: Step, field: str, term: str | None = None) -> float:
    """Over all micro-batches of one device of each stage."""
    chosen = [
        (item, count)
        for item, count in zip(step.items, step.path, strict=True)
        if isinstance(item, Operation) and term in (None, item.term)
    ]
    return sum(float(getattr(item, field)) * count for item, count in chosen) * float(step.micro_batches)  # type: ignore[arg-type, operator, misc]


@pytest.mark.parametrize("layout", [Layout(), Layout(pp=4)])
def test_slices_do_the_work_of_the_whole_and_read_weights_for_each(layout: Layout) -> None:
    whole, cut = (plan(layout).prefill(**LOAD, slice=slice) for slice in (None, 512.0))
    for field in ("flops", "activations"):
        assert total(cut, field) == pytest.approx(total(whole, field))
    for term in ("attention_projections", "dense_ffn"):
        assert total(cut, "weights", term) == pytest.approx(4 * total(whole, "weights", term))
        assert total(cut, "kernels", term) == pytest.approx(4 * total(whole, "kernels", term))
    for field in ("weights", "kernels", "flops"):  # only the last row of a prompt has logits
        assert total(cut, field, "lm_head") == pytest.approx(total(whole, field, "lm_head"))
    # Of 2,048 new tokens behind 512, slices see 512, 1,024, 1,536 and 2,048 earlier ones and their own, written too.
    (attention,) = {item for item in whole.items if isinstance(item, Operation) and item.term == "attention"}
    token = float(attention.cache) / (512 + 2048 + 2048)  # type: ignore[arg-type]
    read = 512 + 1024 + 1536 + 2048 + 4 * (512 + 512)
    assert total(cut, "cache") == pytest.approx(32 * token * read)


def test_a_stage_computes_logits_once_for_all_slices() -> None:
    """Of four slices, each finds a quarter of the head on the last stage, and on the way."""
    cut = plan(Layout(pp=4)).prefill(**LOAD, slice=512.0)
    (place,) = (place for place, item in enumerate(cut.items) if item.term == "lm_head")
    assert cut.path[place] == 1 / 4
    assert {stage[place] for stage in cut.stages} == {0, 1 / 4}
    (first,) = (place for place, item in enumerate(cut.items) if item.term == "embedding")
    assert {stage[first] for stage in cut.stages} == {0, 1}


def test_a_slice_holds_several_short_prompts() -> None:
    step = plan().prefill(batch=8.0, prompt=64.0, cached=0.0, slice=128.0)
    halved = plan().prefill(batch=2.0, prompt=64.0, cached=0.0)
    assert total(step, "weights", "dense_ffn") == pytest.approx(4 * total(halved, "weights", "dense_ffn"))
    assert total(step, "cache") == pytest.approx(4 * total(halved, "cache"))


@pytest.mark.parametrize("overlap", [False, True])
def test_slices_as_long_as_the_prompt_change_nothing(overlap: bool) -> None:
    load, layout = {"batch": 3.0, "prompt": 700.0, "cached": 60.0}, Layout(dp=2, ep=2)
    model, machine = load_model("deepseek-v2-lite"), accelerator("h100-sxm").numbers()
    whole, cut = (
        Plan.of(model, layout, PRESETS["fp8"], machine, overlap=overlap).prefill(**load, slice=slice)
        for slice in (None, 2048.0)
    )
    assert (cut.items, cut.path, cut.micro_batches, cut.hop_size) == (
        whole.items,
        whole.path,
        whole.micro_batches,
        whole.hop_size,
    )
    assert cut.turns == whole.turns
    assert (cut.turns is None) == (not overlap)


def test_a_floor_allows_any_slices_and_the_models_own_work_has_none() -> None:
    """Slices of eight tokens read the weights many times over, which a floor and a share of the bandwidth do not."""
    whole, cut = (rl.Deployment(MODEL, "h100-sxm", slice=tokens).prefill(2048) for tokens in ("whole", 8))
    assert cut.floor == whole.floor
    assert cut.seconds > 10 * whole.seconds
    assert cut.mbu * cut.seconds == pytest.approx(whole.mbu * whole.seconds)
    assert cut.mfu * cut.seconds == pytest.approx(whole.mfu * whole.seconds)


def test_slices_follow_each_other_through_a_pipeline() -> None:
    """Eight stages of four layers: the first slice passes all, each further one the slowest, with the table."""
    one, cut, whole = (
        rl.Deployment(MODEL, "h100-sxm", 8, tp=1, pp=8, efficiency="ideal", slice=slice).prefill(prompt, batch)
        for slice, prompt, batch in (("whole", 512.0, 1), (512, 4096.0, 1), ("whole", 4096.0, 1))
    )
    assert cut.floor == whole.floor
    assert one.seconds < cut.seconds < whole.seconds / 3
    way = sum(times.total for name, times in cut.terms.items() if name != "pipeline")
    assert way + 7 * way / 8 < cut.seconds < way + 7 * way / 6
    assert sum(times.total for times in cut.terms.values()) == pytest.approx(cut.seconds)


def test_lpus_begin_sooner_with_slices_and_arrays_agree_with_numbers() -> None:
    def deployed(slice: Any) -> rl.Deployment:
        return rl.Deployment("llama-3.1-70b", "groq-lpu-v1", 576, tp=8, pp=72, quantization="int8", slice=slice)

    whole, cut = (deployed(slice).prefill(2048).seconds for slice in ("whole", 32))
    assert cut < whole / 10
    prompts = np.array([16.0, 32.0, 33.0, 2048.0])
    several = deployed(32).prefill(prompts, 2).seconds
    assert several.tolist() == pytest.approx([deployed(32).prefill(float(each), 2).seconds for each in prompts])
    assert np.all(np.diff(several) > 0)


def test_slices_are_the_caller_s_else_the_serving_stack_s() -> None:
    def asked(**more: Any) -> rl.Estimate:
        return rl.Deployment(MODEL, "a40", 4, tp=1, pp=4, **more).prefill(4096)

    assert runtime("llama.cpp").slice == 512
    assert asked(runtime="llama.cpp").seconds == asked(runtime="llama.cpp", slice=512).seconds
    assert asked(runtime="llama.cpp", slice=4096).seconds > 1.5 * asked(runtime="llama.cpp").seconds
    assert "a rank takes prompts in slices of 512 tokens" in asked(runtime="llama.cpp").assumptions
    for whole in (asked(slice="whole"), asked(runtime="vllm")):
        assert "prompts pass the stages of the pipeline whole; slice= cuts them" in whole.assumptions
    assert "prompts pass the stages of the pipeline in slices of 256 tokens: the fastest" in asked().assumptions
    short = rl.Deployment(MODEL, "a40", 4, tp=1, pp=4).prefill(20)
    assert "prompts pass the stages of the pipeline whole, which is the fastest" in short.assumptions
    assert asked().seconds == asked(slice="fastest").seconds == asked(slice=256).seconds
    assert asked(runtime="llama.cpp", slice="fastest").seconds < asked(runtime="llama.cpp").seconds
    assert not any("slice" in each for each in rl.Deployment(MODEL, "a40").prefill(4096).assumptions)
    assert not any("slice" in each for each in rl.Deployment(MODEL, "a40", slice=512).decode().assumptions)
    for wrong in (0, -512, 512.5, "512", "all", True):
        with pytest.raises(rl.InvalidInput, match="slice: got"):
            rl.Deployment(MODEL, "a40", slice=wrong)  # type: ignore[arg-type]
    for typed in (256, "whole", "fastest"):
        assert Pool.parse(f"a40:4,pp=4,slice={typed}").deployment(load_model(MODEL)).slice == typed
    with pytest.raises(rl.RooflineError, match=r"slice: got 'fast', expected .*, whole or fastest"):
        Pool.parse("a40:4,pp=4,slice=fast")


@pytest.mark.parametrize("efficiency", ["calibrated", "ideal"])
def test_the_fastest_slices_are_at_every_point_those_of_the_powers_of_two(efficiency: str) -> None:
    """The more prompts are in flight, the longer they are: at some number a pipeline is full without any."""
    lpus = rl.Deployment("llama-3.1-70b", "groq-lpu-v1", 576, tp=8, pp=72, quantization="int8", efficiency=efficiency)
    prompts, batches = np.array([[5.0], [100.0], [2048.0]]), np.array([1.0, 8.0])
    found = lpus.prefill(prompts, batches, 3)
    powers = [lpus.with_slice(2**power).prefill(prompts, batches, 3).seconds for power in range(15)]
    least = np.min(powers, axis=0)
    assert found.seconds.tolist() == least.tolist()
    assert np.all(found.floor <= found.ideal)
    assert [lpus.prefill(2048.0, batch, 3).seconds for batch in (1.0, 8.0)] == pytest.approx(least[2].tolist())
    tokens = lpus.settled().slice_at(Point("prefill", np.array([1.0, 8.0, 64.0]), 2048.0, 0.0))
    assert np.all(np.diff(tokens) > 0)  # type: ignore[call-overload]


def test_no_slices_are_the_fastest_of_what_is_left_open() -> None:
    gpus = rl.Deployment(MODEL, "h100-sxm", 4, tp=1, pp=4)
    prompt = sympy.Symbol("prompt", positive=True)
    for ask in (
        lambda pool: pool.prefill(prompt).seconds,
        lambda pool: rl.crossover(pool.prefill, "compute", "memory", of="prompt"),
        lambda pool: rl.crossover(pool.prefill, "compute", "memory", of="memory.bandwidth", prompt=512),
    ):
        with pytest.raises(rl.InvalidInput, match="slice: got 'the fastest', expected a number of tokens, or whole"):
            ask(gpus)
        assert ask(gpus.with_slice("whole")) is not None
    assert rl.Deployment(MODEL, "h100-sxm").prefill(prompt).seconds is not None
    assert gpus.decode(context=prompt).seconds is not None


def test_sensitivities_are_those_of_the_slices_at_the_point() -> None:
    """Where slices are the best ones, a small change of them changes nothing, and so does theirs with the hardware."""
    gpus = rl.Deployment(MODEL, "h100-sxm", 4, tp=1, pp=4)
    found = rl.sensitivity(gpus.prefill, prompt=4096)
    part = gpus.accelerator
    for path in ("memory.bandwidth", "peak.bf16"):
        more = gpus.varied(part.with_(**{path: found.numbers[path].value * 1.001}))
        change = more.prefill(4096).seconds / gpus.prefill(4096).seconds - 1
        assert change == pytest.approx(found[path] * 1e-3, rel=0.01)


def test_a_server_takes_longer_slices_the_more_prompts_come() -> None:
    lpus = rl.Deployment("llama-3.1-70b", "groq-lpu-v1", 576, tp=8, pp=72, quantization="int8")
    whole = lpus.with_slice("whole")
    alone, crowded = rl.Traffic(isl=2048, osl=8, concurrency=1), rl.Traffic(isl=2048, osl=8, concurrency=12)
    assert rl.serve(lpus, alone).ttft == pytest.approx(lpus.prefill(2048).seconds)
    assert rl.serve(lpus, alone).ttft < rl.serve(whole, alone).ttft / 10
    assert rl.serve(lpus, crowded).requests_per_second >= rl.serve(whole, crowded).requests_per_second
    said = "prompts pass the stages of the pipeline in the slices that are fastest; slice= says how many tokens"
    assert said in rl.serve(lpus, alone).assumptions


def test_kernels_of_a_stack_are_those_of_one_vendor() -> None:
    """Apple's parts do not multiply by cuBLAS: llama.cpp is taken to be as fast there as kernels of the class are."""

    def times(part: str, stack: str | None) -> Any:
        estimate = rl.Deployment(MODEL, part, runtime=stack, quantization="bf16", slice=512).prefill(512)
        return estimate.terms["dense_ffn"].total

    assert times("apple-m2-ultra", "llama.cpp") == times("apple-m2-ultra", None)
    assert times("a40", "llama.cpp") > 1.3 * times("a40", None)
