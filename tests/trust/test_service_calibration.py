"""Fits to results of serving benchmarks: known constants come back, and what cannot be known is refused."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roofline as rl
from roofline.describe.catalog import calibration, part_class
from roofline.describe.efficiency import COLLECTIVE_CLASSES, Efficiency
from roofline.describe.runtimes import runtime, runtimes
from roofline.errors import InvalidInput
from roofline.trust.calibrating import calibrate_file
from roofline.trust.fitting import Evidence
from roofline.trust.measured_rows import served
from roofline.trust.predictions import predict
from roofline.trust.service_advice import runs
from roofline.trust.service_calibration import ServiceCalibration, _over, calibrate_service
from roofline.trust.service_fit import FIGURES, USUAL, Form, fitted, observations, scaled, student
from roofline.trust.static_rows import static_value

TRUE = {"step": 2e-3, "sequence": 4e-5, "prompt": 6e-3, "request": 9e-3, "memory": 0.85, "compute": 0.8}
LENGTHS, BATCHES, OSL = (512, 2048), (1, 4, 16, 64, 128), 256
PART = scaled(calibration("h100-sxm"), TRUE["memory"], TRUE["compute"])
SERVER = rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=PART, quantization="bf16")


def row(
    isl: float,
    batch: float,
    scatter: Iterable[float] = (1.0, 1.0),
    true: Mapping[str, float] = TRUE,
    server: rl.Deployment = SERVER,
) -> dict[str, str]:
    """What would be measured with the true figures, each time once more times a scatter [1]."""
    first, second = scatter
    prompt = server.prefill(isl).seconds + true["prompt"]
    step = server.decode(batch, isl + (OSL - 1) / 2).seconds + true["step"] + true["sequence"] * batch
    wait, held, token = (prompt + true["request"]) * first, float(batch), step * second
    for _ in range(20 if batch > 1 else 0):  # how many prompts of others are computed depends on those in flight
        due = batch * (1 - 1 / held) / (OSL - 1)
        each = shared(server, isl, prompt, due, true["prompt"])
        token = (step + due * each) * second
        held = batch * (1 + (wait - each) / (token * (OSL - 1)))  # nobody is decoded while one's prompt is computed
    known = {"model": "llama-3.1-8b", "accelerator": "h100-sxm", "devices": "1", "kv_cache": "bf16"}
    numbers = {"isl": isl, "osl": OSL, "concurrency": held, "ttft_ms": wait * 1e3, "tpot_ms": token * 1e3}
    return {**known, "quantization": "bf16", **{name: repr(float(number)) for name, number in numbers.items()}}


def shared(server: rl.Deployment, isl: float, prompt: float, due: float, host: float) -> float:
    """Seconds of a prompt where so many are due in a step on average, up to 8,192 tokens of them in a pass."""
    most = 8192 // isl
    if most == 1 or due == 0:
        return prompt
    further = (server.prefill(isl, batch=most).seconds + host - prompt) / (most - 1)
    return further + (prompt - further) * max((1 - math.exp(-due)) / due, 1 / most)


ROWS = [row(isl, batch) for isl in LENGTHS for batch in BATCHES]


def identified(found: ServiceCalibration) -> set[str]:
    """Names of the figures that were fitted."""
    return {name for name, figure in found.figures.items() if figure.identified}


MANY = ROWS * 6


@pytest.fixture(scope="module")
def found() -> ServiceCalibration:
    """A fit to enough rows that what is usual hardly counts."""
    return calibrate_service(MANY)


def test_known_figures_come_back(found: ServiceCalibration) -> None:
    assert {name: found.figures[name].value for name in FIGURES} == pytest.approx(TRUE, rel=0.03)
    for name, figure in found.figures.items():
        assert figure.identified
        assert figure.low < TRUE[name] < figure.high


def test_a_deployment_under_the_fit_takes_the_measured_times(found: ServiceCalibration) -> None:
    fitted = rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=found.efficiency, quantization="bf16")
    measured = SERVER.decode(32, 1000).seconds + TRUE["step"] + TRUE["sequence"] * 32
    assert fitted.decode(32, 1000).seconds == pytest.approx(measured, rel=2e-3)
    lone = SERVER.prefill(1000).seconds + TRUE["prompt"] + TRUE["request"]
    assert rl.serve(fitted, rl.Traffic(1000, 2, concurrency=1)).ttft == pytest.approx(lone, rel=2e-3)
    crowd = rl.Traffic(1024, 256, concurrency=64)
    hosted = SERVER.rates.under(None)
    assert hosted.request == 0
    assert rl.serve(fitted, crowd).tpot > rl.serve(SERVER, crowd).tpot


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Over figures as far from the usual as they are thought to be, and runs that scatter."""
    random, told, held = np.random.default_rng(1), 0, {True: 0, False: 0}
    for _ in range(30):
        true = {name: usual * math.exp(random.normal(0, doubt)) for name, (usual, doubt) in USUAL.items()}
        part = scaled(calibration("h100-sxm"), true["memory"], true["compute"])
        server = rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=part, quantization="bf16")
        scatter = np.exp(random.normal(0, 0.02, (len(LENGTHS), len(BATCHES), 2)))
        rows = [
            row(isl, batch, scatter[at, index], true, server)
            for at, isl in enumerate(LENGTHS)
            for index, batch in enumerate(BATCHES)
        ]
        figures = calibrate_service(rows).figures
        for name in FIGURES:
            told += figures[name].identified
            held[figures[name].identified] += figures[name].low <= true[name] <= figures[name].high
    assert 0.84 < held[True] / told < 0.96
    assert 0.84 < held[False] / (30 * len(FIGURES) - told) < 0.97


@settings(max_examples=4)
@given(st.permutations(ROWS))
def test_the_order_of_rows_says_nothing(rows: list[dict[str, str]]) -> None:
    one, other = (calibrate_service(each).figures for each in (rows, ROWS))
    expected = {name: other[name].value for name in FIGURES}
    assert {name: one[name].value for name in FIGURES} == pytest.approx(expected, rel=1e-3)


def test_one_batch_does_not_tell_overhead_from_bandwidth() -> None:
    tokens = [{**row(512, 1), "ttft_ms": ""}] * 3
    with pytest.raises(InvalidInput, match="identify no figure"):
        calibrate_service(tokens)
    prompts = [{**row(isl, 1), "tpot_ms": ""} for isl in (4096, 8192, 16_384)]
    found = calibrate_service([*prompts, *tokens])
    assert identified(found) == {"compute"}
    assert "step       not identified, moved from the usual 1 ms to " in found.report
    assert "ms; the times tell it only together with memory; measure one request in flight of another" in found.report
    assert (
        "sequence   not identified, moved from the usual 0.003 ms to 0.00301 ms; twice as much of it changes no time by"
        in found.report
    )
    assert "; measure time per token at more than a hundred requests in flight as well as at few" in found.report


def test_without_prompts_there_is_no_compute() -> None:
    rows = [{**each, "ttft_ms": "", "concurrency": "1"} for each in (row(isl, 1) for isl in (64, 20_000, 100_000))]
    found = calibrate_service([*rows, *rows])
    assert "compute" not in identified(found)
    assert "prompt" not in identified(found)
    assert "prompt     not identified, the usual 10 ms kept; no time depends on it; measure " in found.report
    assert "memory" in identified(found)
    own = calibration("h100-sxm").kernels["matmul"]["bf16"]
    assert found.efficiency.kernels["matmul"]["bf16"].compute == pytest.approx(own.compute)
    assert found.efficiency.kernels["host_prompt"]["any"].overhead == pytest.approx(USUAL["prompt"][0])


@pytest.mark.parametrize("batches", [(1, 4), (1, 2, 4, 8)])
@pytest.mark.parametrize("faster", [1.0, 0.7])
def test_few_rows_are_met_by_figures_within_reason(batches: tuple[int, ...], faster: float) -> None:
    """Few and scattered times do not tell every figure, and a part may be faster than it is taken for: the times are
    met nevertheless, and no figure makes up for another beyond what is usual.
    """
    random = np.random.default_rng(0)
    rows = [row(isl, batch, np.exp(random.normal(0, 0.03, 2)) * [1, faster]) for isl in LENGTHS for batch in batches]
    found = fitted(observations(rows)[0])
    assert 0 < sum(figure.identified for figure in found.figures.values()) < len(FIGURES)
    off = np.log(found.predicted / found.measured)
    assert float(np.mean(off)) == pytest.approx(0, abs=0.02)
    assert float(np.sqrt(np.mean(off**2))) < 0.05
    for name, figure in found.figures.items():
        usual, doubt = USUAL[name]
        assert figure.low < figure.value < figure.high
        assert abs(math.log(figure.value / usual)) < 3 * doubt


def test_what_is_usual_is_what_shipped_stacks_cost() -> None:
    for stack in (each for each in map(runtime, runtimes()) if each.told_by == "service"):
        for name in ("step", "sequence", "prompt", "request"):
            usual, doubt = USUAL[name]
            assert abs(math.log(getattr(stack, name) / usual)) < 2 * doubt


def test_rows_of_two_pools_say_nothing_of_one() -> None:
    split = {**ROWS[1], "kind": "disaggregated"}
    seen, left_out = observations([*ROWS, split])
    assert len(seen) == len(observations(ROWS)[0])
    assert left_out["prompts have devices of their own"] == 1


def test_a_plain_set_of_runs_tells_what_the_devices_reach() -> None:
    """Ten rows, no two alike: the factors within a tenth, the host within what is left of the usual doubt."""
    found = calibrate_service(ROWS).figures
    assert [found[name].value for name in ("memory", "compute")] == pytest.approx([0.85, 0.8], rel=0.1)
    for name, figure in found.items():
        assert figure.low <= TRUE[name] <= figure.high


def test_times_of_something_else_are_refused() -> None:
    """Here of seconds that were taken for milliseconds."""
    rows = [{**each, "tpot_ms": str(float(each["tpot_ms"]) / 1e3)} for each in ROWS]
    with pytest.raises(InvalidInput, match=r"the best fit misses by \d+% in the median.*in milliseconds"):
        calibrate_service(rows)


def test_what_a_part_sustains_of_its_class_s_arithmetic_is_kept() -> None:
    """Where prompts say nothing, its own: 64 % of the class's on a part that sustains so much less of its peak."""
    rows = [row(isl, 1) | {"accelerator": "mi300x", "ttft_ms": "", "concurrency": "1"} for isl in (64, 20_000, 100_000)]
    found = calibrate_service([*rows, *rows])
    assert "compute" not in identified(found)
    rates = rl.Deployment("llama-3.1-8b", "mi300x").rates
    own = rates.sources[-1].kernels["matmul"]["bf16"]
    assert found.efficiency.kernels["matmul"]["bf16"].compute == pytest.approx(own.compute)


def test_all_reduces_stay_those_of_the_part_and_of_its_stacks() -> None:
    """A part's own before its class's, of which one without any of its own has all."""
    for part, own in (("h100-sxm", calibration("h100-sxm")), ("mi300x", part_class("hbm").efficiency)):
        assert own is not None
        found = calibrate_service([each | {"accelerator": part} for each in ROWS]).efficiency
        for stack in ("", "tensorrt-llm", "vllm"):
            assert found.collective("all_reduce", stack) == own.collective("all_reduce", stack)


@pytest.mark.parametrize("mine", [(), ("all_reduce",), ("all_to_all",)])
@pytest.mark.parametrize("its_own", [(), ("vllm",), ("vllm", "mine")])
def test_one_source_before_another_is_looked_up_as_both_are(mine: tuple[str, ...], its_own: tuple[str, ...]) -> None:
    """A part's collectives, whatever launched them, go before those of a stack in its class."""
    default = part_class("hbm").efficiency
    fit = default.collectives["all_reduce"].model_copy(update={"overhead": 1e-3})
    tables = {"collectives": dict.fromkeys(mine, fit), "stacks": {stack: {"all_reduce": fit} for stack in its_own}}
    own = Efficiency(name="mine", source="a test", **tables)  # type: ignore[arg-type]
    together = _over(own, default)
    for stack in ("", "vllm", "tensorrt-llm", "mine"):
        for name in COLLECTIVE_CLASSES:
            assert together.collective(name, stack) == (own.collective(name, stack) or default.collective(name, stack))


def test_times_that_scatter_are_told_apart_from_times_that_say_nothing() -> None:
    """Every third time per token is longer: what is missing are better times, not other ones."""

    def scattered(times: float) -> list[dict[str, str]]:
        return [
            {**each, "tpot_ms": repr(float(each["tpot_ms"]) * (times if at % 3 == 0 else 1))}
            for at, each in enumerate(ROWS)
        ]

    report = calibrate_service(scattered(1.2)).report
    step, few = ("moved from the usual 1 ms to 1.22 ms", "moved from the usual 0.003 ms to 0.00585 ms; twice as much")
    assert f"step       not identified, {step}; times that scatter less would tell it" in report
    assert f"sequence   not identified, {few} of it changes no time by more than" in report
    assert (
        "the times: they scatter by 9.4%, repeated runs by 2%; the furthest off is 23.91 ms, fitted 20.65 ms" in report
    )
    assert "furthest" not in calibrate_service(ROWS).report
    expected = "expected times nearer to one fit: they scatter by .*%, repeated runs by 2%; the furthest off is"
    with pytest.raises(InvalidInput, match=f"got 'times that identify no figure', {expected}"):
        calibrate_service(scattered(1.5))


def test_rows_that_say_nothing_are_refused_with_what_to_measure() -> None:
    with pytest.raises(InvalidInput, match=r"identify no figure', expected others; step: the times .*; measure one"):
        calibrate_service([ROWS[0]] * 3)
    with pytest.raises(InvalidInput, match="got '1 usable times', expected at least two"):
        calibrate_service([{**ROWS[0], "ttft_ms": ""}])


def served_runs(model: str, crowds: tuple[int, ...], isl: int = 1024) -> list[dict[str, str]]:
    """What the library expects of a stack, 15 % slower, with the scatter of repeated runs."""
    server = rl.Deployment(model, "h100-sxm", quantization="bf16", runtime="vllm")
    random, rows = np.random.default_rng(0), []
    for crowd in crowds:
        times = rl.serve(server, rl.Traffic(isl, 256, concurrency=crowd))
        slower = 1.15e3 * np.exp(random.normal(0, 0.02, 2))
        numbers = {"isl": isl, "osl": 256, "concurrency": crowd}
        numbers |= {"ttft_ms": float(times.ttft * slower[0]), "tpot_ms": float(times.tpot * slower[1])}
        rows.append({**ROWS[0], "model": model, **{name: repr(number) for name, number in numbers.items()}})
    return rows


def test_what_is_advised_was_not_measured_and_tells_the_figure() -> None:
    """One to many in flight tell a step only together with the memory: a run of another model tells them apart."""
    rows = served_runs("llama-3.1-8b", (1, 8, 32, 128))
    found = calibrate_service(rows)
    assert identified(found) == {"request"}
    assert found.advice["step"] == (
        "the times tell it only together with memory; "
        "measure one request in flight of another model, such as llama-3.2-1b"
    )
    assert found.advice["sequence"].startswith("twice as much of it changes no time by more than ")
    assert "measure" not in found.advice["sequence"]
    assert "in flight, from one to many" not in found.report
    assert "step       not identified, moved from the usual 1 ms to 1." in found.report
    assert "step" in identified(calibrate_service([*rows, *served_runs("llama-3.2-1b", (1,))]))
    for name, isl in (("prompt", 8192), ("memory", 32_768), ("compute", 128)):
        assert found.advice[name].endswith(f"measure one request in flight, with a prompt of {isl:,} tokens")
        assert name in identified(calibrate_service([*rows, *served_runs("llama-3.1-8b", (1,), isl)]))


def test_runs_that_do_not_fit_are_not_advised() -> None:
    """Of GPT-2 no prompt is longer than its context."""
    found = calibrate_service([*served_runs("gpt2", (1, 8), 512), *served_runs("gpt2", (32,), 256)])
    assert "8,192" not in found.report
    assert "32,768" not in found.report


@pytest.mark.parametrize(
    ("layout", "advised"), [({"tp": "8", "ep": "8"}, True), ({"tp": "4", "pp": "2"}, False), ({"dp": "8"}, False)]
)
def test_another_model_is_advised_where_it_has_the_layout(layout: dict[str, str], advised: bool) -> None:
    row = {"kind": "serving", "model": "deepseek-ai/DeepSeek-R1", "accelerator": "h200-sxm", "quantization": "fp8"}
    row |= {"speculation": "none", "isl": "4096", "osl": "256", "concurrency": "1", "devices": "8", "source": "mine"}
    row |= {"tp": "1", **layout}
    found = predict(row)
    seen, _ = observations([row | {"tpot_ms": str(1e3 * (found.tpot or 0)), "ttft_ms": str(1e3 * (found.ttft or 0))}])
    said = [words for words, _ in runs(seen)]
    assert "one request in flight, with a prompt of 128 tokens" in said
    assert ("one request in flight of another model, such as llama-3.2-1b" in said) == advised


def test_rows_of_two_parts_are_refused() -> None:
    with pytest.raises(InvalidInput, match="accelerator: got 'a100-sxm-80gb, h100-sxm', expected rows of one part"):
        calibrate_service([ROWS[0], {**ROWS[1], "accelerator": "a100-sxm-80gb"}])


def test_times_that_depend_on_arrivals_are_left_out_and_counted() -> None:
    found = calibrate_service([*ROWS, {**ROWS[1], "ttft_ms": ""}, {**ROWS[1], "speculation": "eagle"}])
    assert found.rows == len(ROWS) + 2
    assert {reason.split(":")[0]: count for reason, count in found.left_out.items()} == {
        "time to the first token among several requests": 8,
        "time per token without a time to the first token": 1,
        "tokens are drafted": 1,
    }
    assert isinstance(found.quality, Evidence)


def test_runs_without_a_time_per_token_are_left_out_by_name() -> None:
    bare = {**ROWS[1], "tpot_ms": "", "where": "run-3.json, result 1"}
    found = calibrate_service([*ROWS, bare], {"no request was completed: run-9.json, result 1": 1})
    assert found.rows == len(ROWS) + 2
    assert "left out: 1 times, no time per token is stated: run-3.json, result 1" in found.report
    assert "left out: 1 times, no request was completed: run-9.json, result 1" in found.report
    reason = "got '0 usable times', expected at least two; left out: time to .*; no time per token is stated: run-3"
    with pytest.raises(InvalidInput, match=reason):
        calibrate_service([bare])
    with pytest.raises(
        InvalidInput, match=r"identify no figure'.*; left out: time to .*; no time per token is stated: run-3"
    ):
        calibrate_service([*[{**row(512, 1), "ttft_ms": ""}] * 3, bare])


def test_a_file_is_written_that_a_deployment_takes(tmp_path: Path) -> None:
    results, written = tmp_path / "runs.jsonl", tmp_path / "own.toml"
    records = [
        {
            "completed": 10,
            "total_input_tokens": float(each["isl"]) * 10,
            "total_output_tokens": OSL * 10,
            "max_concurrency": float(each["concurrency"]),
            "median_ttft_ms": float(each["ttft_ms"]),
            "median_tpot_ms": float(each["tpot_ms"]),
        }
        for each in MANY
    ]
    results.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    said = {"model": "llama-3.1-8b", "devices": 1, "quantization": "bf16", "kv_cache": "bf16"}
    found = calibrate_file(results, written, "h100-sxm", **said)
    assert str(found) == str(rl.calibrate(results, "h100-sxm", **said))
    taken = rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=written, quantization="bf16")
    measured = SERVER.decode(8, 1000).seconds + TRUE["step"] + 8 * TRUE["sequence"]
    assert taken.decode(8, 1000).seconds == pytest.approx(measured, rel=2e-3)
    assert "[kernels.host_step.any]" in written.read_text(encoding="utf-8")


@pytest.mark.parametrize(("spare", "known"), [(1, 6.314), (2, 2.920), (3, 2.353), (5, 2.015), (10, 1.812), (60, 1.671)])
def test_quantiles_are_those_of_the_tables(spare: int, known: float) -> None:
    assert student(spare) == pytest.approx(known, rel=4e-3)


def test_options_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="calibrate: got 'batch'"):
        rl.calibrate(tmp_path / "runs.json", batch=3)
    kernels = tmp_path / "kernels.csv"
    kernels.write_text("id,hardware,op\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="model: got 'x', expected nothing: measured kernels say it themselves"):
        rl.calibrate(kernels, model="x")


def test_costs_of_a_host_in_a_file_count_once_and_a_named_stack_takes_their_place() -> None:
    plain = rl.Deployment("llama-3.1-8b", "h100-sxm")
    fit = Efficiency.ideal().kernels["matmul"]["any"].model_copy(update={"overhead": 0.004, "source": "a test"})
    own = plain.rates.sources
    measured = own[0].model_copy(update={"kernels": {**own[1].kernels, **own[0].kernels, "host_step": {"any": fit}}})
    measured = measured.model_copy(update={"collectives": {**own[1].collectives, **own[0].collectives}})
    hosted = rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=measured)
    step, bare = hosted.decode(8, 1024), plain.decode(8, 1024)
    assert step.seconds == pytest.approx(bare.seconds + 0.004)
    assert (step.ideal, step.floor) == (bare.ideal, bare.floor)
    assert hosted.prefill(1024).seconds == pytest.approx(plain.prefill(1024).seconds)
    named = rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=measured, runtime="vllm")
    stack = runtime("vllm")
    assert named.decode(8, 1024).terms["runtime"].total == pytest.approx(stack.step + 8 * stack.sequence)


LAYOUTS = (
    {"devices": "8", "tp": "8", "ep": "8"},
    {"devices": "8", "tp": "1", "dp": "8", "ep": "8"},
    {"devices": "16", "tp": "8", "pp": "2", "ep": "8"},
)


@pytest.mark.parametrize("layout", LAYOUTS, ids=("tensor", "data", "stages"))
@pytest.mark.parametrize("crowd", ["2", "64"])
def test_the_form_that_is_fitted_is_what_the_library_serves_with(layout: dict[str, str], crowd: str) -> None:
    row = {"kind": "serving", "model": "deepseek-ai/DeepSeek-R1", "accelerator": "h200-sxm", "quantization": "fp8"}
    row |= {"speculation": "none", "isl": "4096", "osl": "256", "concurrency": crowd, "source": "mine", **layout}
    found = predict(row)
    assert found.tpot is not None
    assert found.ttft is not None
    measured = row | {"tpot_ms": str(1e3 * found.tpot), "ttft_ms": str(1e3 * found.ttft)}
    form = Form(observations([measured])[0])
    assert form.predicted(np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])) == pytest.approx([found.tpot], rel=0.02)


def test_a_batch_timed_whole_passes_whole() -> None:
    row = {"kind": "static", "model": "meta-llama/Llama-3.1-8B", "accelerator": "h100-sxm", "quantization": "bf16"}
    row |= {"isl": "128", "osl": "128", "devices": "1", "tp": "1", "source": "mine", "metric": "e2e_latency_ms"}
    for batch in ("1", "64"):
        timed = row | {"batch": batch, "concurrency": batch, "e2e_latency_ms": "1000"}
        form = Form(observations([timed])[0])
        expected = static_value(timed, served(timed), None) / 1e3
        assert form.predicted(np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])) == pytest.approx([expected], rel=0.01)


def test_batches_timed_whole_are_fitted_too() -> None:
    """One length does not tell a slow memory from costs of the host; four do."""
    with pytest.raises(InvalidInput, match="identify no figure"):
        calibrate_service(batches((129,)))
    found = calibrate_service(batches((129, 513, 1025, 2049))).figures
    assert {name for name, figure in found.items() if figure.identified} == {"step", "sequence", "memory", "compute"}
    for name in ("step", "sequence", "memory", "compute"):
        assert found[name].low <= TRUE[name] <= found[name].high


def batches(lengths: tuple[int, ...]) -> list[dict[str, str]]:
    """Latencies of whole batches from short prompts to their last tokens, with the true figures."""
    rows = []
    for batch in (1, 4, 16, 64, 128):
        for osl in lengths:
            context = 64 + osl / 2
            decode = float(SERVER.decode(batch, context).seconds) + TRUE["step"] + TRUE["sequence"] * batch
            whole = (osl - 1) * decode + float(SERVER.prefill(64, batch=batch).seconds) + TRUE["prompt"]
            times = {"isl": "64", "osl": str(osl), "concurrency": str(batch), "ttft_ms": "", "tpot_ms": ""}
            rows.append({**row(64, 1), **times, "e2e_latency_ms": f"{whole * 1e3:.9g}"})
    return rows
