"""A host that launches the kernels of a pass of prompts one by one: devices wait where they are faster."""

from __future__ import annotations

from collections.abc import Iterable
from operator import add
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import roofline as rl
from roofline.describe.efficiency import HOST_CLASSES
from roofline.describe.runtimes import Runtime, runtime
from roofline.estimate.resolved import Point
from roofline.estimate.timing import overlapped_seconds
from roofline.estimate.work import LAUNCH, Item, Operation
from roofline.explore.sensitivity import sensitivity
from roofline.explore.symbolic import closed_form, glossary
from roofline.numeric import Num

VLLM = runtime("vllm")
LAYOUTS: dict[str, dict[str, Any]] = {
    "one": {"model": "llama-3.1-8b", "devices": 1, "tp": 1, "pp": 1, "quantization": "fp8"},
    "tensor ranks": {"model": "llama-3.1-70b", "devices": 4, "tp": 4, "pp": 1, "quantization": "fp8"},
    "pipeline": {"model": "llama-3.1-70b", "devices": 4, "tp": 1, "pp": 4, "quantization": "fp8"},
    "slices": {"model": "llama-3.1-70b", "devices": 4, "tp": 1, "pp": 4, "quantization": "fp8", "slice": 128},
    "turns": {"model": "qwen3-30b-a3b", "devices": 8, "dp": 8, "tp": 1, "ep": 8, "pp": 1, "overlap": True},
}
every_layout = pytest.mark.parametrize("name", list(LAYOUTS))


def launching(seconds: float) -> Runtime:
    """A stack whose host takes so long for a launch [s]."""
    return VLLM.model_copy(update={"name": f"{seconds:g}", "launch": seconds})


def deployed(name: str, seconds: float) -> rl.Deployment:
    """One of the layouts under such a stack."""
    ranks = dict(LAYOUTS[name])
    return rl.Deployment(ranks.pop("model"), "h100-sxm", ranks.pop("devices"), runtime=launching(seconds), **ranks)


def counted_of(deployment: rl.Deployment, prompt: float, batch: float) -> tuple[float, float]:
    """Kernels of a pass that devices run [1], and seconds of the host beside them [s]."""
    settled = deployment.settled()
    step = settled.step(Point("prefill", batch, prompt, 0))
    host = sum(
        float(count) * float(item.kernels) * float(settled.rates.of_operation(item)[1].overhead)  # type: ignore[arg-type]
        for item, count in zip(step.items, step.path, strict=True)
        if isinstance(item, Operation) and item.kernel_class in HOST_CLASSES
    )
    return kernels_of(step.items, step.path), host


def kernels_of(items: Iterable[Item], counts: Iterable[Num]) -> float:
    """Kernels that a host launches for items which occur so often [1]."""
    return sum(
        float(count) * float(item.kernels)  # type: ignore[arg-type]
        for item, count in zip(items, counts, strict=True)
        if isinstance(item, Operation) and item.kernel_class not in HOST_CLASSES
    )


@given(
    name=st.sampled_from(["one", "tensor ranks"]),
    prompt=st.integers(1, 4000),
    batch=st.integers(1, 32),
    launch=st.floats(1e-6, 1e-3),
)
def test_a_pass_takes_as_long_as_its_devices_or_as_its_launches(
    name: str, prompt: int, batch: int, launch: float
) -> None:
    at_once, one_by_one = (float(deployed(name, each).prefill(prompt, batch=batch).seconds) for each in (0.0, launch))
    kernels, host = counted_of(deployed(name, launch), prompt, batch)
    assert one_by_one == pytest.approx(max(at_once, host + kernels * launch), rel=1e-12)


def test_an_8b_model_launches_eight_kernels_a_layer_and_three_around_them() -> None:
    """Norm, queries to values, attention, output; norm, both ups, their product, down. Lookup, norm, head."""
    assert counted_of(deployed("one", 1e-5), 512, 1)[0] == 32 * 8 + 3


@every_layout
def test_terms_add_up_where_launches_are_waited_for_and_where_not(name: str) -> None:
    slow, quick = (deployed(name, each) for each in (3e-4, 1e-9))
    prompts, batch = np.array([64, 1024, 8192.0]), 16.0
    for each in (slow, quick):
        estimate = each.prefill(prompts, batch=batch)
        together = sum(np.asarray(times.total) for times in estimate.terms.values())
        owed = sum(np.asarray(seconds) for seconds in estimate.attributed.values())
        assert together == pytest.approx(np.asarray(estimate.seconds), rel=1e-9)
        assert owed == pytest.approx(np.asarray(estimate.seconds), rel=1e-9)
    waited = np.asarray(slow.prefill(prompts, batch=batch).terms[LAUNCH.term].total)
    assert waited[0] > 0
    assert waited[0] > waited[2]
    assert (np.asarray(quick.prefill(prompts, batch=batch).terms[LAUNCH.term].total) == 0).all()


@every_layout
def test_slower_launches_never_hasten_a_prompt_and_tell_nothing_of_a_step(name: str) -> None:
    prompts = np.array([16, 256, 4096.0])
    each = [deployed(name, launch) for launch in (0.0, 2e-5, 2e-4, 2e-3)]
    seconds = np.array([one.prefill(prompts, batch=16.0).seconds for one in each])
    assert (np.diff(seconds, axis=0) >= 0).all()
    assert seconds[-1, 0] > seconds[0, 0]
    steps = [float(one.decode(16, 2048).seconds) for one in each]
    assert steps == [steps[0]] * len(each)


@every_layout
def test_the_ideal_and_the_floor_launch_nothing(name: str) -> None:
    slow, none = (deployed(name, each).prefill(64, batch=16) for each in (1e-2, 0.0))
    assert (slow.ideal, slow.floor) == (none.ideal, none.floor)
    assert float(slow.seconds) > 10 * float(none.seconds)


def test_each_stage_has_a_host_that_launches_its_own_kernels() -> None:
    """Launches alone: the way of one micro-batch through all stages, and of the others through the longest."""
    launch, batch = 1e-2, 16.0
    served = deployed("pipeline", launch)
    settled = served.settled()
    step = settled.step(Point("prefill", batch, 64.0, 0))
    kernels = [kernels_of(step.items, stage) for stage in (step.path, *step.stages)]
    behind = float(step.micro_batches) - 1  # type: ignore[arg-type]
    launched = launch * (kernels[0] + behind * max(kernels[1:]))
    assert behind > 0
    assert float(served.prefill(64, batch=batch).seconds) == pytest.approx(launched, rel=0.02)


def test_halves_that_take_turns_are_launched_each_by_itself() -> None:
    """What is done once for both, before and after all layers, is launched once."""
    launch = 1e-2
    settled = deployed("turns", launch).settled()
    step = settled.step(Point("prefill", 16.0, 64.0, 0))
    assert step.turns is not None
    taken = overlapped_seconds(step, step.turns, settled.machine, settled.rates)
    kernels, host = kernels_of(step.turns.items, map(add, step.turns.inside, step.turns.outside)), VLLM.prompt
    assert float(taken) == pytest.approx(kernels * launch + host, rel=1e-9)  # type: ignore[arg-type]
    outside = 3  # lookup, norm and head
    once, _ = counted_of(deployed("turns", launch), 64, 16)
    assert kernels == pytest.approx(2 * once - outside)


@pytest.mark.parametrize("name", ["one", "pipeline", "turns"])
@pytest.mark.parametrize("launch", [2e-7, 1e-2])
def test_closed_forms_launch_too(name: str, launch: float) -> None:
    served = deployed(name, launch)
    point = {"prompt": 300.0, "batch": 32.0, "cached_tokens": 40.0}
    estimate = served.prefill(300, batch=32, cached_tokens=40)
    fixed = {"batch": 32.0, "cached_tokens": 40.0}
    forms = closed_form(served.prefill, terms=True, hardware=(), **fixed)
    seconds = {term: float(form.subs(point)) for term, form in forms.items()}
    assert seconds == pytest.approx({term: float(times.total) for term, times in estimate.terms.items()}, rel=1e-9)
    whole = closed_form(served.prefill, hardware=["kernels.host_launch"], **fixed)
    meaning = next(each for each in glossary(served.prefill, hardware="all") if "host_launch" in each.path)
    assert meaning.value == launch
    named = {
        meaning.symbol: launch,
        **{symbol: point[str(symbol)] for symbol in whole.free_symbols & {*map(sympy.Symbol, point)}},
    }
    assert float(whole.subs(named)) == pytest.approx(float(estimate.seconds), rel=1e-12)


@every_layout
def test_what_a_launch_takes_is_a_number_that_a_short_prompt_answers_to(name: str) -> None:
    served = deployed(name, 1e-3)
    short = sensitivity(served.prefill, prompt=64, batch=16)
    path = next(each for each in short if "host_launch" in each)
    rates, latencies = short.of_role("rate"), short.of_role("latency")
    assert sum(rates.values()) - sum(latencies.values()) == pytest.approx(-1, abs=1e-9)
    assert short[path] > 0.9
    assert not any("host_launch" in each for each in sensitivity(served.decode, batch=16, context=64))


def test_where_launches_end_to_be_waited_for_is_found() -> None:
    """What is waited for falls as prompts lengthen, and arithmetic overtakes it before it is nothing."""
    served = deployed("one", 1e-4)
    found = rl.crossover(served.prefill, LAUNCH.term, "compute", of="prompt", batch=1)
    at = served.prefill(float(found.value), batch=1)
    assert float(at.terms[LAUNCH.term].total) == pytest.approx(
        sum(float(times.compute) for times in at.terms.values()), rel=1e-3
    )


def test_an_explanation_says_what_launches_are_where_they_are_waited_for() -> None:
    served = deployed("one", 5e-5)
    short, long = (" ".join(served.prefill(tokens).explain().split()) for tokens in (128, 16_384))
    said = "launches: what devices wait for the host that launches their kernels"
    assert said in short
    assert said not in long
