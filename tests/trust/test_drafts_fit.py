"""Drafts: their acceptance and what verifying them costs are found again, and rows say how many tokens are drafted."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.measured.refit_runtimes import bare
from roofline.describe.runtimes import runtime
from roofline.trust.drafts_fit import Drafts, fitted_drafts, fitted_to
from roofline.trust.evidence import evidence
from roofline.trust.measured_rows import load, served
from roofline.trust.predictions import batch_of_a_step, decode_pool, mixed, predict
from roofline.trust.stations import ACCEPTANCE, BATCHES, mean_context
from roofline.trust.waits_fit import FirstTokens

ROW = {
    "id": "one",
    "kind": "serving",
    "model": "deepseek-ai/DeepSeek-R1",
    "accelerator": "b200-sxm",
    "devices": "8",
    "tp": "8",
    "dp": "1",
    "ep": "1",
    "quantization": "fp8",
    "speculation": "mtp",
    "runtime": "sglang",
    "isl": "1024",
    "osl": "1024",
    "concurrency": "64",
    "source": "InferenceX",
}
SEVENTY = {"model": "meta-llama/Llama-3.1-70B", "runtime": "tensorrt-llm", "speculation": "none"}


def made(acceptance: float, verified: np.ndarray, count: int = 300) -> Drafts:
    """Rows of as many stacks as there are seconds for a verified sequence."""
    generator = np.random.default_rng(3)
    known = Drafts(
        verify=generator.uniform(5e-3, 3e-2, count),
        draft=generator.uniform(2e-4, 1e-3, count),
        added=generator.uniform(0, 5e-3, count),
        measured=np.ones(count),
        length=generator.integers(1, 4, count).astype(float),
        sequences=generator.uniform(1, 200, count),
        stack=generator.integers(0, len(verified), count).astype(float),
    )
    measured = known.predicted(acceptance, verified) * np.exp(generator.normal(0, 0.02, count))
    return replace(known, measured=measured)


def test_acceptance_and_seconds_are_found_again_in_times_made_with_them() -> None:
    true = np.array([0.0, 1.2e-4, 4e-5])
    acceptance, *verified = fitted_to(made(0.62, true), 3)
    assert acceptance == pytest.approx(0.62, abs=0.02)
    assert verified == pytest.approx(true, abs=8e-6)


def test_a_stack_without_rows_that_draft_costs_nothing_to_check() -> None:
    known = made(0.7, np.array([5e-5]))
    assert fitted_to(known, 2)[2] == 0
    stacks = {"vllm": runtime("vllm")}
    assert fitted_drafts([{**ROW, "speculation": "none"}], stacks) == (ACCEPTANCE, {"vllm": 0.0})


def test_a_sequence_s_seconds_are_shared_by_the_tokens_that_it_yields() -> None:
    known = made(0.5, np.array([0.0]))
    added = known.predicted(0.5, np.array([1e-4])) - known.predicted(0.5, np.array([0.0]))
    yielded = {1: 1.5, 2: 1.75, 3: 1.875}
    expected = [1e-4 * each / yielded[int(length)] for each, length in zip(known.sequences, known.length, strict=True)]
    assert added == pytest.approx(np.array(expected))


@pytest.mark.parametrize(
    ("changes", "draft_length", "waiting"),
    [
        ({}, 2, 14.5),
        ({"concurrency": "8"}, 2, 4.5),
        ({"accelerator": "h200-sxm"}, 2, 0),
        ({"accelerator": "mi355x"}, 3, 1.5),
        ({"model": "Qwen/Qwen3.5-397B-A17B", "accelerator": "mi355x", "date": "2026-04-16"}, 3, 14.5),
        ({"model": "Qwen/Qwen3.5-397B-A17B", "accelerator": "mi355x", "date": "2026-03-02"}, 3, 0),
        ({"model": "zai-org/GLM-5"}, 3, 0),
        ({"runtime": "tensorrt-llm"}, 3, 0),
        ({"runtime": "tensorrt-llm", "tp": "1", "dp": "8", "ep": "8"}, 1, 0),
        ({"runtime": "vllm"}, 2, 0),
        ({"runtime": "atom", "accelerator": "mi355x"}, 3, 0),
        ({"runtime": "atom", "accelerator": "mi355x", "quantization": "mxfp4"}, 1, 0),
        ({"speculation": "none"}, 0, 14.5),
        ({"model": "Qwen/Qwen3.5-397B-A17B", "accelerator": "mi355x", "quantization": "mxfp4"}, 3, 0),
        ({**SEVENTY, "tp": "4"}, 0, 20),
        ({**SEVENTY, "tp": "8"}, 0, 0),
        ({**SEVENTY, "tp": "4", "osl": "8192"}, 0, 0),
        ({**SEVENTY, "tp": "4", "runtime": "vllm"}, 0, 0),
        ({"speculation": "unknown"}, 0, 14.5),
        ({"speculation": "mtp3", "runtime": "vllm"}, 3, 0),
        ({"source": "mine"}, 1, 0),
        ({"source": "mine", "speculation": "mtp-2"}, 2, 0),
        ({"source": "mine", "speculation": "eagle3"}, 1, 0),
        ({"model": "deepseek-ai/DeepSeek-R1-0528"}, 2, 14.5),
    ],
)
def test_what_launch_scripts_say_of_one_pool(changes: dict[str, str], draft_length: int, waiting: float) -> None:
    found = load({**ROW, **changes})
    assert (found.draft_length, found.waiting) == (draft_length, waiting)


@pytest.mark.parametrize(
    ("runtime", "part", "dp", "concurrency", "draft_length"),
    [
        ("tensorrt-llm", "gb200", "8", "384", 3),
        ("tensorrt-llm", "gb200", "8", "385", 2),
        ("tensorrt-llm", "gb200", "8", "768", 2),
        ("tensorrt-llm", "gb200", "8", "769", 1),
        ("tensorrt-llm", "gb200", "1", "769", 3),
        ("sglang", "h200-sxm", "8", "769", 2),
        ("sglang", "mi355x", "8", "769", 1),
        ("sglang", "mi355x", "1", "64", 2),
    ],
)
def test_what_launch_scripts_say_of_two_pools(
    runtime: str, part: str, dp: str, concurrency: str, draft_length: int
) -> None:
    pools = {f"{name}_devices": "8" for name in ("prefill", "decode")}
    ranks = {"decode_tp": "1" if dp == "8" else "8", "decode_dp": dp, "decode_ep": "8", "decode_workers": "1"}
    row = {**ROW, **pools, **ranks, "kind": "disaggregated", "runtime": runtime, "accelerator": part}
    found = load({**row, "concurrency": concurrency})
    assert (found.draft_length, found.waiting) == (draft_length, 0)


def test_the_requests_of_a_rank_are_those_of_one_worker_of_several() -> None:
    pools = {"prefill_devices": "8", "decode_devices": "16", "decode_workers": "2", "decode_tp": "1", "decode_dp": "8"}
    row = {**ROW, **pools, "kind": "disaggregated", "runtime": "tensorrt-llm", "decode_ep": "8"}
    assert load({**row, "concurrency": str(2 * 8 * 48)}).draft_length == 3
    assert load({**row, "concurrency": str(2 * 8 * 48 + 1)}).draft_length == 2


@pytest.mark.parametrize(
    ("changes", "max_batch"),
    [
        ({}, 8 * 128),
        ({"concurrency": "2048"}, 8 * 128),
        ({"concurrency": "2969"}, 8 * 128),  # 1.45 times as many
        ({"concurrency": "2970"}, math.inf),
        ({"concurrency": "4"}, 8),
        ({"decode_tp": "8", "decode_dp": "1"}, math.inf),
        ({"decode_tp": "8", "decode_dp": "1", "concurrency": "2"}, 1),
        ({"runtime": "sglang"}, math.inf),
        ({"kind": "serving"}, math.inf),
        ({"source": "mine"}, math.inf),
    ],
)
def test_the_batch_that_recipes_of_two_pools_name(changes: dict[str, str], max_batch: float) -> None:
    pools = {"prefill_devices": "8", "decode_devices": "16", "decode_workers": "2", "decode_tp": "1", "decode_dp": "8"}
    row = {**ROW, **pools, "kind": "disaggregated", "runtime": "tensorrt-llm", "decode_ep": "8", "concurrency": "2150"}
    assert load({**row, **changes}).max_batch == max_batch


def test_requests_that_wait_for_room_to_decode_are_predicted_so() -> None:
    pools = {"prefill_devices": "8", "decode_devices": "16", "decode_tp": "1", "decode_dp": "16", "decode_ep": "16"}
    row = {**ROW, **pools, "kind": "disaggregated", "runtime": "tensorrt-llm", "accelerator": "gb200"}
    row |= {"speculation": "none", "concurrency": "1100"}
    found = predict({**row, "prefill_tp": "1", "prefill_dp": "8", "prefill_ep": "8"})
    asked = load(row)
    assert found.batch == asked.max_batch == 1024
    assert found.ttft is not None
    assert found.tpot is not None
    rate = 1024 / ((asked.osl - 1) * found.tpot)
    assert found.ttft == pytest.approx((1100 - 1024) / rate, rel=0.02)


def test_the_fit_s_own_times_of_rows_that_draft_are_those_of_the_library() -> None:
    """One pool on tensor ranks, one on data ranks, one of two replicas, and two pools."""
    stack = runtime("tensorrt-llm").model_copy(update={"acceptance": ACCEPTANCE, "verified": 5e-5})
    measured = {"runtime": "tensorrt-llm", "ttft_ms": "200", "tpot_ms": "12", "output_tokens_per_s": "1000"}
    two = {f"{name}_devices": "8" for name in ("prefill", "decode")} | {"decode_tp": "1", "decode_dp": "8"}
    rows: list[dict[str, str]] = [
        {**ROW, **measured},
        {**ROW, **measured, "tp": "1", "dp": "8", "ep": "8"},
        {**ROW, **measured, "tp": "4", "devices": "8", "quantization": "nvfp4"},
        {**ROW, **measured, **two, "kind": "disaggregated", "decode_ep": "8", "decode_workers": "1"},
    ]
    others = {"vllm": runtime("vllm"), "tensorrt-llm": stack}
    known = Drafts.of(rows, others)
    assert list(known.stack) == [1] * len(rows)
    found = known.predicted(ACCEPTANCE, np.array([1.0, 5e-5]))
    for row, seconds in zip(rows, found, strict=True):
        asked = load(row)
        place = decode_pool(row, served(row), stack, asked)
        batch = batch_of_a_step(row, asked, place) or 0.0
        expected = place.seconds(np.array([batch]), mean_context(asked), asked.draft_length)[0]
        if row["kind"] == "serving":
            expected = mixed(place, asked).interval(batch, expected)
        assert seconds == pytest.approx(expected, rel=1e-9), row


def test_rows_that_cannot_be_read_say_nothing() -> None:
    odd = [{**ROW, "accelerator": "abacus"}, {**ROW, "devices": ""}, {**ROW, "model": "nobody/nothing"}]
    assert fitted_drafts(odd, {"sglang": runtime("sglang")}) == (ACCEPTANCE, {"sglang": 0.0})
    assert evidence([{**row, "speculation": "none"} for row in odd], {"sglang": runtime("sglang")}) == []


def test_a_floor_lets_all_drafts_of_a_row_be_accepted() -> None:
    row = {**ROW, "source": "mine", "concurrency": "1"}
    three, five, seven = (predict({**row, "speculation": f"mtp{length}"}).floor for length in (1, 5, 7))
    assert three is not None
    assert five == pytest.approx(three * 4 / 6)
    assert seven == pytest.approx(three * 4 / 8)


def test_requests_that_are_looked_for_seldom_wait_longer() -> None:
    """By half of the steps that pass between two looks, four here."""
    row = {**ROW, "speculation": "none", "accelerator": "mi300x", "quantization": "fp8", "concurrency": "1"}
    often = predict({**row, "source": "mine", "isl": "900", "osl": "900"})
    seldom = predict({**row, "isl": "1000", "osl": "1000"})  # of which 900 on average
    assert often.tpot is not None
    assert often.ttft is not None
    assert seldom.ttft is not None
    assert seldom.tpot == pytest.approx(often.tpot)
    assert seldom.ttft - often.ttft == pytest.approx(1.5 * often.tpot, rel=0.03)  # a lone one is not always decoding


def test_waits_of_runs_are_known_before_those_of_stacks_are_fitted() -> None:
    """The same row, once by a launch script that looks for requests every four steps: 1.5 of them before its prompt."""
    row = {**ROW, "speculation": "none", "accelerator": "mi300x", "quantization": "fp8", "concurrency": "8"}
    row |= {"tpot_ms": "25", "ttft_ms": "200"}
    rows = [{**row, "source": "mine", "isl": "900", "osl": "900"}, {**row, "isl": "1000", "osl": "1000"}]
    free = {"sglang": bare("sglang")}
    known = FirstTokens.of(evidence(rows, free), np.array([1e-3, 0.0, 1.3, 1.0, 1.0, 0.0, 0.0, 0.0]))
    assert known.step[0] == pytest.approx(known.step[1])
    assert known.base[1] - known.base[0] == pytest.approx(1.5 * known.step[0])


def test_a_prompt_is_spared_what_all_tokens_of_a_verification_read() -> None:
    """Four tokens of one sequence touch as many experts as four sequences do."""
    row = {**ROW, "accelerator": "h200-sxm", "quantization": "fp8", "source": "mine"}
    drafting, plain = load({**row, "speculation": "mtp3"}), load({**row, "speculation": "none"})
    place = decode_pool(row, served(row), None, plain)
    assert BATCHES[[0, 3]].tolist() == [1, 4]
    assert place.spared(drafting)[0] == pytest.approx(place.spared(plain)[3], rel=1e-2)
    assert place.spared(plain)[0] < 0.6 * place.spared(plain)[3]
