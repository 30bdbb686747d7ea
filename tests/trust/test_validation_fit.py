"""Serving stacks: their constants are found again in times made with them, and count as overhead only."""

import re

import numpy as np
import pytest

from benchmarks.measured.refit_runtimes import SERVING, bare
from roofline import Deployment
from roofline.describe.runtimes import runtime, runtimes
from roofline.equations.experts import distinct_experts, skewed_experts
from roofline.errors import UnknownName
from roofline.trust.evidence import PARTS, Uneven, columns, evidence, touched
from roofline.trust.measured_rows import draft_length, drafting, load, served, stack_name
from roofline.trust.predictions import decode_pool, predict
from roofline.trust.runtimes_fit import SCALES, Kernels, loss, predicted, prompts, search
from roofline.trust.stations import mean_context
from roofline.trust.validation import group, read_rows
from roofline.trust.waits_fit import FirstTokens, fitted_to
from tests.support.rows import PLAIN

GENERATOR = np.random.default_rng(7)


def made(count: int) -> dict[str, np.ndarray]:
    """Rows of which a third have experts with one factor, and a third with the other."""
    kind = GENERATOR.integers(0, 3, count)
    known = {
        "step.seconds": GENERATOR.uniform(4e-3, 2e-2, count),
        "prompt.seconds": GENERATOR.uniform(3e-2, 2e-1, count),
        "batch": GENERATOR.uniform(1, 200, count),
        "generated": np.full(count, 900.0),
        "ranked": GENERATOR.integers(0, 2, count).astype(float),
        "most": GENERATOR.choice([1.0, 4.0], count),
        "launches": GENERATOR.uniform(200, 2000, count),
        "riding": GENERATOR.integers(0, 2, count).astype(float),
        "borrowed": GENERATOR.integers(0, 2, count).astype(float),
        "scaled": (kind == 1).astype(float),
        "unscaled": (kind == 2).astype(float),
    }
    known["others"] = known["batch"]
    known["full.seconds"] = known["prompt.seconds"] * np.where(known["most"] > 1, 0.8, 1.0)
    for part in PARTS:
        seconds = known[f"{part}.seconds"]
        known[f"{part}.experts.overhead"] = 0.1 * seconds
        known[f"{part}.experts.memory"] = 0.6 * seconds * (kind > 0)
        known[f"{part}.experts.weights"] = 0.5 * seconds * (kind > 0)
        known[f"{part}.experts.compute"] = 0.1 * seconds * (kind > 0)
        numbers = {"reached": 0.7, "experts": 256.0, "chosen": 8.0, "held": 256.0, "deviate": 0.0}
        numbers |= {"routing": 0.0, "crossing": 0.0, "once": 0.0}
        numbers |= dict.fromkeys(("ranks", "expert_groups", "chosen_groups"), 1.0)
        known.update({f"{part}.experts.{name}": np.full(count, number) for name, number in numbers.items()})
        known[f"{part}.experts.tokens"] = known["batch"] if part == "step" else np.full(count, 4096.0)
        known[f"{part}.experts.even"] = touched(known, part, 0.0)
        known[f"{part}.products"] = 0.2 * seconds * known["unscaled"]
        known[f"{part}.wires"] = 0.1 * seconds
    return known


def test_constants_are_found_again_in_times_made_with_them() -> None:
    true = np.array([1.5e-3, 6e-3, 1.3, 0.85, 1.4, 4e-6, 0.9, 8e-5])
    known = made(600)
    known["tpot"] = predicted(known, true) * np.exp(GENERATOR.normal(0, 0.01, 600))
    start = np.array([1e-3, 5e-3, 1.0, 1.0, 1.0, 4e-6, 0.5, 5e-5])
    uneven = Uneven(known)
    found = search(lambda numbers: loss(known, numbers, uneven), start, SCALES)
    assert found == pytest.approx(true, rel=0.1)
    assert found[5] == start[5]  # without a scale it stays


def test_each_sequence_costs_a_step_its_time() -> None:
    known = made(30)
    none, some = (predicted(known, np.array([1e-3, 5e-3, 1.2, 1.0, 1.0, each, 0.5, 5e-5])) for each in (0.0, 3e-6))
    assert some - none == pytest.approx(3e-6 * known["batch"])


def test_prompts_that_ride_in_a_step_do_not_read_its_experts_again() -> None:
    known = made(30)
    known["scaled"], known["unscaled"], known["borrowed"], known["ranked"] = np.zeros((4, 30))
    numbers = np.array([1e-3, 5e-3, 1.2, 1.0, 1.0, 0.0, 0.0, 5e-5])
    riding, apart = (predicted({**known, "riding": np.full(30, share)}, numbers) for share in (1.0, 0.0))
    reading = known["step.experts.memory"]  # never more than a prompt's experts work here
    steps = 1 - np.exp(-known["batch"] / 900)  # that see a prompt
    assert apart - riding == pytest.approx(reading * steps)


def test_experts_never_read_faster_than_memory_delivers() -> None:
    known = made(30)
    fast, faster = (
        Kernels.of(known, np.array([0.0, 0.0, 1.0, factor, 1.0, 0.0, 0.5]), "step").seconds for factor in (0.7, 0.35)
    )
    scaled = known["scaled"] > 0
    saved = (known["step.experts.overhead"] * 0.35)[scaled]
    assert (fast - faster)[scaled] == pytest.approx(saved)
    assert (fast == faster)[~scaled].all()


@pytest.mark.parametrize("name", [name for name in runtimes() if name != "llama.cpp"])
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


def test_a_stack_that_deals_out_layers_has_no_tensor_ranks_unless_told() -> None:
    open_, told, alone = (
        Deployment("llama-3.1-8b", "rtx-4090", count, runtime="llama.cpp", **ranks)
        for count, ranks in ((4, {}), (4, {"tp": 4}), (1, {}))
    )
    said = "llama.cpp deals out layers: no tensor ranks"
    assert (open_.layout.tp, told.layout.tp) == (1, 4)
    assert said in open_.decode(1, 1024).assumptions
    assert all(said not in each.decode(1, 1024).assumptions for each in (told, alone))
    assert Deployment("llama-3.1-8b", "rtx-4090", 4, runtime="vllm").layout.tp == 4


@pytest.mark.parametrize("name", ["vllm", "vllm-2024", "vllm-2025", "vllm-0.16", "llama.cpp"])
def test_service_is_predicted_and_grouped_under_the_generation_of_its_stack(name: str) -> None:
    row = {**PLAIN, "runtime": name}
    assert predict(row).stack == runtime(name)
    given = runtime(name).model_copy(update={"step": 0.5})
    assert predict(row, {name: given}).stack == given
    assert group({"runtime": "vLLM", "date": "2024-05"}, "runtime") == "vllm-2024"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vllm", "the host of vllm as 719 rows of service tell"),
        ("vllm-2025", "the host of vllm-2025 as 719 rows of service tell"),
        ("vllm-2024", "the host of vllm-2024 as batches and steps tell; requests wait as under other stacks"),
        ("llama.cpp", "the kernels of llama.cpp as batches and steps tell (as of May 2024: "),
    ],
)
def test_an_estimate_says_what_its_stack_rests_on(name: str, said: str) -> None:
    step = Deployment("llama-3.1-8b", "rtx-4090", runtime=name).decode(1, 1024)
    assert sum(each.startswith(said) for each in step.assumptions) == 1


def test_an_unknown_stack_is_refused_with_those_known() -> None:
    with pytest.raises(UnknownName, match="vllm"):
        Deployment("llama-3.1-8b", "h100-sxm", runtime="vlm")


def test_a_part_without_kernels_is_slower_by_what_its_vendor_takes() -> None:
    stack = runtime("vllm")
    alone = Deployment("llama-3.1-8b", "mi300x", runtime=stack.model_copy(update={"slower": {}})).prefill(2048)
    served = Deployment("llama-3.1-8b", "mi300x", runtime="vllm").prefill(2048)
    expected = stack.slower["AMD"] * (float(alone.seconds) - stack.prompt) + stack.prompt
    assert float(served.seconds) == pytest.approx(expected)
    assert stack_name("vLLM 0.10.0 / ROCm 6.4.1") == "vllm-2025"


@pytest.mark.parametrize(
    ("said", "date", "stack"),
    [
        ("vLLM", "", "vllm"),
        ("vLLM", "2024-12-24", "vllm-2024"),
        ("vLLM", "2025-01", "vllm-2025"),
        ("vLLM", "2025-11", "vllm-2025"),
        ("vLLM", "2025-12", "vllm-0.16"),
        ("vLLM", "2026-02", "vllm-0.16"),
        ("vLLM", "2026-03", "vllm"),
        ("vLLM 0.11.0", "2026-01", "vllm-2025"),
        ("vllm/vllm-openai:v0.11.1", "2025-11", "vllm-0.16"),
        ("vllm/vllm-openai:v0.17.0-cu130", "2026-01", "vllm"),
        ("vLLM", "last year", "vllm"),
        ("vLLM 0.6.1", "2026-01", "vllm-2024"),
        ("vllm:v0.6.10", "", "vllm-2025"),
        ("vLLM 0.12.0", "2024-10", "vllm-0.16"),
        ("TensorRT-LLM v0.5 static batch", "2026-01", "tensorrt-llm-2024"),
        ("trtllm-1.0.0rc3", "", "tensorrt-llm"),
        ("dynamo-trtllm", "2024-10", "tensorrt-llm-2024"),
        ("FasterTransformer (Triton)", "2026-01", "fastertransformer"),
        ("sglang", "2024-10", "sglang"),
        ("vLLM", "2024", "vllm-2024"),
        ("vLLM", "2025", "vllm-2025"),
        ("vllm/vllm-openai:v0.5.4", "", "vllm-2024"),
        ("vLLM (0.6.1)", "", "vllm-2024"),
        ("TensorRT-LLM release/0.5.0", "", "tensorrt-llm-2024"),
        ("vLLM 0.8.3 / ROCm 6.3.1", "2024-10", "vllm-2025"),
        ("vllm-2024", "2026-01", "vllm-2024"),
        ("llama.cpp (May 2024)", "2024-05", "llama.cpp"),
        ("Ollama", "2024-10", "llama.cpp"),
        ("lmdeploy", "2024-10", ""),
    ],
)
def test_a_stack_is_of_the_generation_of_its_version_or_else_its_date(said: str, date: str, stack: str) -> None:
    assert stack_name(said, date) == stack
    found = served({"runtime": said, "date": date, "accelerator": "h100-sxm"})
    assert (found.stack, found.runtime) == (stack, re.sub(r"-(2024|2025|0\.16)$", "", stack))


@pytest.mark.parametrize(
    ("changes", "cache"),
    [
        ({}, "bf16"),
        ({"source": "InferenceX"}, "fp8"),
        ({"kv_cache": "fp8"}, "fp8"),
        ({"runtime": "vllm"}, "bf16"),
        ({"quantization": "nvfp4", "accelerator": "b200-sxm"}, "fp8"),
    ],
)
def test_a_cache_follows_the_checkpoint_that_a_source_names(changes: dict[str, str], cache: str) -> None:
    """TensorRT-LLM's, in NVIDIA's own runs: their checkpoints are named in 16 bits."""
    named = {"model": "Qwen/Qwen3-32B", "accelerator": "h100-sxm", "quantization": "fp8", "source": "aiconfigurator"}
    row = {**PLAIN, **named, "runtime": "tensorrt-llm", "kv_cache": "", **changes}
    place = decode_pool(row, served(row), None, load(row))
    assert place.settled.quantization.kv_cache == cache


@pytest.mark.parametrize(
    ("version", "stack"),
    [
        ("0.12.0", "vllm-0.16"),
        ("v0.16.0", "vllm-0.16"),
        ("v0.17.0", "vllm"),
        ("0.11.0", "vllm-2025"),
        ("0.6.1", "vllm-2024"),
        ("rocm/vllm:rocm7.0.0", "vllm-2025"),  # a version of something else
        ("", "vllm-2025"),
    ],
)
def test_a_version_in_a_column_of_its_own_goes_before_the_date(version: str, stack: str) -> None:
    row = {"runtime": "vllm", "runtime_version": version, "date": "2025-11-03", "accelerator": "h100-sxm"}
    assert (served(row).stack, group(row, "runtime")) == (stack, stack)


def test_waits_are_found_again_in_times_made_with_them() -> None:
    true = np.array([0.03, 4.0, 12.0, 0.3, 0.8])
    count = 600
    known = FirstTokens(
        base=GENERATOR.uniform(0.02, 0.3, count),
        queued=np.zeros(count),
        step=GENERATOR.uniform(3e-3, 3e-2, count),
        prompt=GENERATOR.uniform(0.01, 0.1, count),
        alone=GENERATOR.uniform(0.1, 0.2, count),
        others=GENERATOR.integers(0, 200, count).astype(float),
        ranked=GENERATOR.integers(0, 2, count).astype(float),
        equal=GENERATOR.integers(0, 2, count).astype(float),
    )
    measured = known.predicted(true) * np.exp(GENERATOR.normal(0, 0.02, count))
    assert fitted_to(known, measured) == pytest.approx(true, rel=0.15)


@pytest.mark.parametrize(("count", "own"), [(4, 0.0), (4000, 1.0)])
def test_few_rows_leave_a_stack_with_the_waits_of_all_and_many_with_its_own(count: int, own: float) -> None:
    shared, true = np.array([0.02, 2.0, 20.0, 0.1, 1.0]), np.array([0.02, 3.0, 20.0, 0.1, 1.0])
    draw = np.random.default_rng(5)
    base, step, prompt = (draw.uniform(low, 10 * low, count) for low in (0.02, 3e-3, 0.01))
    others = draw.integers(0, 200, count).astype(float)
    known = FirstTokens(base, base * 0, step, prompt, base + 0.2, others, base * 0, base * 0)
    found = fitted_to(known, known.predicted(true), shared)
    assert (found[1] - 2) == pytest.approx(own, abs=0.2)
    assert (found[2], found[4]) == (20, 1)  # no rank gathers, no lengths are equal


def test_waits_that_no_row_tells_of_are_none() -> None:
    count = 50
    each = np.full(count, 0.05)
    known = FirstTokens(each, each * 0, each, each, each, np.full(count, 9.0), each * 0, each * 0)
    found = fitted_to(known, known.predicted(np.array([0.02, 3.0, 0.0, 0.2, 0.0])))
    assert (found[2], found[4]) == (0, 0)


def test_kernels_that_scale_what_they_sum_take_longer_in_the_fit_too() -> None:
    """Experts and other products alike, whatever bounds them, and nothing else."""
    known = made(30)
    known["borrowed"] = np.zeros(30)
    numbers = (np.array([0.0, 0.0, 1.0, 1.0, factor, 0.0, 0.0]) for factor in (1.0, 1.5))
    plain, slower = ({part: Kernels.of(known, each, part).seconds for part in PARTS} for each in numbers)
    for part in PARTS:
        experts = known[f"{part}.experts.overhead"] + known[f"{part}.experts.memory"]
        products = known["unscaled"] * (experts + known[f"{part}.products"])
        assert slower[part] - plain[part] == pytest.approx(0.5 * products)


def test_skew_spares_a_step_experts_and_a_long_prompt_none() -> None:
    known = made(30)
    even, skewed = (np.array([0.0, 0.0, 1.0, 1.0, 1.0, 0.0, skew]) for skew in (0.0, 1.0))
    steps, prompts = ([Kernels.of(known, each, part).seconds for each in (even, skewed)] for part in ("step", "prompt"))
    share = skewed_experts(256, 8, known["batch"], 1.0) / distinct_experts(256, 8, known["batch"])
    experts = known["scaled"] + known["unscaled"] > 0
    assert (steps[0] - steps[1])[experts] == pytest.approx((known["step.experts.weights"] * (1 - share))[experts])
    assert prompts[1] == pytest.approx(prompts[0], rel=0.01)


def test_a_row_s_evidence_is_what_the_library_predicts() -> None:
    """The fit's own arithmetic of steps and prompts against deployments under the same stack."""
    rows = [row for row in read_rows(SERVING) if row["kind"] == "serving" and row["grade"] == "A"][::40]
    # Experts whose rows cross to ranks that do not divide them, where kernels are slower and wires are not.
    across = {
        "model": "deepseek-ai/DeepSeek-R1",
        "devices": "24",
        "tp": "1",
        "dp": "24",
        "ep": "24",
        "quantization": "fp8",
    }
    rows += [
        {**rows[0], **across, "id": part, "accelerator": part, "concurrency": "240"} for part in ("mi355x", "gb200")
    ]
    changes = {"unscaled": 1.4, "scaled_experts": 0.8, "slower": {"AMD": 1.3}, "prompt": 0.005, "skew": 0.7}
    changes["launch"] = 6e-5
    stack = bare("vllm").model_copy(update=changes)
    known = evidence(
        [{**row, "runtime": "vllm", "runtime_version": "", "date": "", "speculation": "none"} for row in rows],
        {"vllm": bare("vllm")},
    )
    numbers = np.array([0.0, 0.005, 1.3, 0.8, 1.4, 0.0, 0.7, 6e-5])
    steps, prompt = (Kernels.of(columns(known), numbers, part) for part in ("step", "prompt"))
    both = prompts(columns(known), numbers, prompt)
    assert len(known) > 30
    waited = prompts(columns(known), np.array([*numbers[:7], 0.0]), prompt)[0] < both[0]
    assert 0.1 < waited.mean() < 0.9  # some prompts are faster than they are launched, others are not
    for each, step, occupancy, shared in zip(known, steps.seconds, *both, strict=True):
        place = decode_pool(each.row, served(each.row), stack, load(each.row))
        asked = load(each.row)
        prompt = place.prompt(asked)
        assert place.seconds(np.array([each.batch]), mean_context(asked), 0)[0] == pytest.approx(step, rel=1e-9)
        assert prompt.passes.one == pytest.approx(occupancy, rel=1e-6)
        assert prompt.passes.shared == pytest.approx(shared, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("isl", ["64", "1024", "8192"])
def test_a_stage_launches_its_share_of_a_model_s_kernels(isl: str) -> None:
    """Shares are those of devices' seconds, so that stages which are not alike are only nearly right."""
    row = {**PLAIN, "model": "meta-llama/Llama-3.1-70B", "accelerator": "h100-sxm", "quantization": "fp8", "isl": isl}
    row |= {
        "runtime": "vllm",
        "devices": "8",
        "tp": "2",
        "pp": "4",
        "concurrency": "8",
        "ttft_ms": "500",
        "tpot_ms": "20",
    }
    (each,) = evidence([row], {"vllm": bare("vllm")})
    stack = bare("vllm").model_copy(update={"prompt": 0.005, "launch": 6e-5})
    known, numbers = columns([each]), np.array([0.0, 0.005, 1.0, 1.0, 1.0, 0.0, 0.0, 6e-5])
    occupancy, _ = prompts(known, numbers, Kernels.of(known, numbers, "prompt"))
    passes = decode_pool(row, served(row), stack, load(row)).prompt(load(row)).passes
    assert occupancy[0] == pytest.approx(passes.one, rel=0.05)


@pytest.mark.parametrize(
    ("runtime", "speculation", "said"),
    [
        ("SGLang MTP3", "", "mtp3"),
        ("sglang mtp-2", "", "mtp2"),
        ("SGLang + MTP(NEXTN 1)", "", "mtp1"),
        ("vLLM MTP", "", "mtp"),
        ("SGLang (no MTP)", "", ""),
        ("SGLang without MTP", "", ""),
        ("SGLang, MTP off", "", ""),
        ("SGLang MTP3", "none", "none"),
        ("SGLang", "MTP", "mtp"),
        ("SGLang", "", ""),
    ],
)
def test_drafts_are_said_in_their_column_or_beside_the_runtime(runtime: str, speculation: str, said: str) -> None:
    row = {**PLAIN, "runtime": runtime, "speculation": speculation}
    assert drafting(row) == said
    assert load(row).draft_length == draft_length(said)
