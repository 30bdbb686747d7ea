"""Serving stacks: their constants are found again in times made with them, and count as overhead only."""

import numpy as np
import pytest

from benchmarks.measured.refit_runtimes import SERVING, bare
from roofline import Deployment
from roofline.describe.runtimes import runtime, runtimes
from roofline.errors import UnknownName
from roofline.trust.measured_rows import load, served, stack_name
from roofline.trust.predictions import decode_pool
from roofline.trust.runtimes_fit import SCALES, columns, evidence, kernels, loss, predicted, search
from roofline.trust.stations import mean_context
from roofline.trust.validation import read_rows
from roofline.trust.waits_fit import FirstTokens, fitted_to

GENERATOR = np.random.default_rng(7)


def made(count: int) -> dict[str, np.ndarray]:
    """Rows of which a third have experts with one factor, and a third with the other."""
    kind = GENERATOR.integers(0, 3, count)
    known = {
        "decode": GENERATOR.uniform(4e-3, 2e-2, count),
        "prefill": GENERATOR.uniform(3e-2, 2e-1, count),
        "batch": GENERATOR.uniform(1, 200, count),
        "generated": np.full(count, 900.0),
        "disturbed": np.ones(count),
        "ranks": GENERATOR.choice([1.0, 8.0], count),
        "riding": GENERATOR.integers(0, 2, count).astype(float),
        "borrowed": GENERATOR.integers(0, 2, count).astype(float),
        "scaled": (kind == 1).astype(float),
        "unscaled": (kind == 2).astype(float),
    }
    for phase, whole in (("step_experts", "decode"), ("prompt_experts", "prefill")):
        known[f"{phase}.overhead"] = 0.1 * known[whole]
        known[f"{phase}.memory"] = 0.6 * known[whole] * (kind > 0)
        known[f"{phase}.compute"] = 0.1 * known[whole] * (kind > 0)
        known[f"{phase}.reached"] = np.full(count, 0.7)
    for phase, whole in (("step_products", "decode"), ("prompt_products", "prefill")):
        known[phase] = 0.2 * known[whole] * known["unscaled"]
    return known


def test_constants_are_found_again_in_times_made_with_them() -> None:
    true = np.array([1.5e-3, 6e-3, 1.3, 0.85, 1.4, 4e-6])
    known = made(600)
    known["tpot"] = predicted(known, true) * np.exp(GENERATOR.normal(0, 0.02, 600))
    start = np.array([1e-3, 5e-3, 1.0, 1.0, 1.0, 4e-6])
    found = search(lambda numbers: loss(known, numbers), start, (*SCALES, 0.0))
    assert found == pytest.approx(true, rel=0.1)
    assert found[5] == start[5]  # without a scale it stays


def test_each_sequence_costs_a_step_its_time() -> None:
    known = made(30)
    none, some = (predicted(known, np.array([1e-3, 5e-3, 1.2, 1.0, 1.0, each])) for each in (0.0, 3e-6))
    assert some - none == pytest.approx(3e-6 * known["batch"])


def test_prompts_that_ride_in_a_step_do_not_read_its_experts_again() -> None:
    known = made(30)
    known["scaled"], known["unscaled"], known["borrowed"] = np.zeros((3, 30))
    numbers = np.array([1e-3, 5e-3, 1.2, 1.0, 1.0, 0.0])
    riding, apart = (predicted({**known, "riding": np.full(30, share)}, numbers) for share in (1.0, 0.0))
    reading = known["step_experts.memory"]  # never more than a prompt's experts work here
    assert apart - riding == pytest.approx(reading * known["batch"] / 900)


def test_experts_never_read_faster_than_memory_delivers() -> None:
    known = made(30)
    fast, faster = (kernels(known, np.array([0.0, 0.0, 1.0, factor, 1.0]))[0] for factor in (0.7, 0.35))
    scaled = known["scaled"] > 0
    saved = (known["step_experts.overhead"] * 0.35)[scaled]
    assert (fast - faster)[scaled] == pytest.approx(saved)
    assert (fast == faster)[~scaled].all()


@pytest.mark.parametrize("name", runtimes())
def test_a_stack_adds_overhead_and_nothing_to_ideal_and_floor(name: str) -> None:
    alone = Deployment("llama-3.1-8b", "h100-sxm").decode(8, 2048)
    served = Deployment("llama-3.1-8b", "h100-sxm", runtime=name).decode(8, 2048)
    stack = runtime(name)
    assert (served.ideal, served.floor) == (alone.ideal, alone.floor)
    assert served.terms["runtime"].overhead == pytest.approx(stack.step + 8 * stack.sequence)
    assert served.seconds == pytest.approx(alone.seconds + stack.step + 8 * stack.sequence)
    assert stack.tpot.points > 0


def test_decode_under_a_stack_is_as_uncertain_as_its_measured_service() -> None:
    spread = runtime("vllm").tpot
    served = Deployment("llama-3.1-8b", "h100-sxm", runtime="vllm")
    step, prompt = served.decode(8, 2048), served.prefill(2048)
    assert (step.low, step.high) == pytest.approx((step.seconds * spread.low, step.seconds * spread.high))
    assert spread.low < 1 < spread.high
    assert prompt.high < prompt.seconds * spread.high
    assert Deployment("llama-3.1-8b", "h100-sxm").decode(8, 2048).high < step.high


def test_an_unknown_stack_is_refused_with_those_known() -> None:
    with pytest.raises(UnknownName, match="vllm"):
        Deployment("llama-3.1-8b", "h100-sxm", runtime="vlm")


def test_a_part_without_kernels_is_slower_by_what_its_vendor_takes() -> None:
    alone = Deployment("llama-3.1-8b", "mi300x").prefill(2048)
    served = Deployment("llama-3.1-8b", "mi300x", runtime="vllm").prefill(2048)
    stack = runtime("vllm")
    expected = stack.slower["AMD"] * float(alone.seconds) + stack.prompt
    assert float(served.seconds) == pytest.approx(expected)
    assert stack_name("vLLM 0.10.0 / ROCm 6.4.1") == "vllm"


def test_waits_are_found_again_in_times_made_with_them() -> None:
    true = np.array([0.03, 4.0, 12.0, 0.3, 0.8])
    count = 600
    known = FirstTokens(
        base=GENERATOR.uniform(0.02, 0.3, count),
        queued=np.zeros(count),
        step=GENERATOR.uniform(3e-3, 3e-2, count),
        prompt=GENERATOR.uniform(0.01, 0.2, count),
        others=GENERATOR.integers(0, 200, count).astype(float),
        ranked=GENERATOR.integers(0, 2, count).astype(float),
        equal=GENERATOR.integers(0, 2, count).astype(float),
    )
    measured = known.predicted(true) * np.exp(GENERATOR.normal(0, 0.02, count))
    assert fitted_to(known, measured) == pytest.approx(true, rel=0.15)


def test_waits_that_no_row_tells_of_are_none() -> None:
    count = 50
    each = np.full(count, 0.05)
    known = FirstTokens(each, each * 0, each, each, np.full(count, 9.0), each * 0, each * 0)
    found = fitted_to(known, known.predicted(np.array([0.02, 3.0, 0.0, 0.2, 0.0])))
    assert (found[2], found[4]) == (0, 0)


def test_kernels_that_scale_what_they_sum_take_longer_in_the_fit_too() -> None:
    """Experts and other products alike, whatever bounds them, and nothing else."""
    known = made(30)
    known["borrowed"] = np.zeros(30)
    plain, slower = (kernels(known, np.array([0.0, 0.0, 1.0, 1.0, factor])) for factor in (1.0, 1.5))
    for phase, before, after in zip(("step", "prompt"), plain, slower, strict=True):
        experts = known[f"{phase}_experts.overhead"] + np.maximum(
            known[f"{phase}_experts.memory"], known[f"{phase}_experts.compute"]
        )
        products = known["unscaled"] * (experts + known[f"{phase}_products"])
        assert after - before == pytest.approx(0.5 * products)


def test_a_row_s_evidence_is_what_the_library_predicts() -> None:
    """The fit's own arithmetic of steps and prompts against deployments under the same stack."""
    rows = [row for row in read_rows(SERVING) if row["kind"] == "serving" and row["grade"] == "A"][::40]
    stack = bare("vllm").model_copy(update={"unscaled": 1.4, "scaled_experts": 0.8, "slower": {"AMD": 1.3}})
    known = evidence([{**row, "runtime": "vllm", "speculation": "none"} for row in rows], {"vllm": bare("vllm")})
    steps, prompts = kernels(columns(known), np.array([0.0, 0.0, 1.3, 0.8, 1.4, 0.0]))
    assert len(known) > 30
    for each, step, prompt in zip(known, steps, prompts, strict=True):
        place = decode_pool(each.row, served(each.row), stack, load(each.row))
        asked = load(each.row)
        assert place.seconds(np.array([each.batch]), mean_context(asked), 0)[0] == pytest.approx(step, rel=1e-9)
        assert place.prompt(asked).occupancy == pytest.approx(prompt, rel=1e-6)
