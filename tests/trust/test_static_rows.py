"""Rows of one phase: read as their publishers write them, and predicted as the library estimates."""

import numpy as np
import pytest

from roofline.describe.runtimes import runtime
from roofline.estimate.deployment import Deployment
from roofline.trust.measured_rows import PoolRow, served
from roofline.trust.predictions import predict
from roofline.trust.static_rows import turns
from roofline.trust.stations import station

ROW = {
    "id": "x",
    "kind": "decode",
    "model": "meta-llama/Llama-3.1-8B",
    "accelerator": "h100-sxm",
    "devices": "4",
    "tp": "",
    "pp": "",
    "dp": "",
    "ep": "",
    "quantization": "bf16",
    "kv_cache": "bf16",
    "runtime": "gpt-fast",
    "batch": "8",
    "isl": "1000",
    "osl": "48",
    "context": "1024",
    "metric": "ms_per_step",
    "value": "1",
}
MODEL = Deployment("llama-3.1-8b", "h100-sxm", 4, tp=4)


def milliseconds(**changes: str) -> float:
    """What a row predicts; it must predict something."""
    found = predict({**ROW, **changes})
    assert found.status == "ok", found.message
    assert found.value is not None
    return found.value


def test_devices_without_a_layout_are_tensor_ranks() -> None:
    assert milliseconds() == pytest.approx(1e3 * float(MODEL.decode(8, 1024).seconds))


@pytest.mark.parametrize("runtime", ["llama.cpp (May 2024)", "Ollama"])
def test_llama_cpp_deals_out_layers(runtime: str) -> None:
    stages = Deployment("llama-3.1-8b", "h100-sxm", 4, tp=1, pp=4, runtime="llama.cpp")
    assert milliseconds(runtime=runtime, batch="1") == pytest.approx(1e3 * float(stages.decode(1, 1024).seconds))


@pytest.mark.parametrize(
    ("batch", "count"), [("1 (best latency)", 1), ("~16", 16), ("2/GPU (8 total)", 8), ("1,024", 1024)]
)
def test_a_batch_may_be_written_with_words(batch: str, count: int) -> None:
    assert milliseconds(batch=batch) == pytest.approx(1e3 * float(MODEL.decode(count, 1024).seconds))


def test_prompts_may_be_counted_by_their_tokens() -> None:
    by_tokens = milliseconds(kind="prefill", metric="tokens_per_s_total", batch="4096 tokens", isl="1024", context="")
    by_count = milliseconds(kind="prefill", metric="tokens_per_s_total", batch="4", isl="1024", context="")
    assert by_tokens == pytest.approx(by_count)


@pytest.mark.parametrize("osl", [200, 4000])
def test_a_throughput_without_a_batch_is_that_of_a_full_memory(osl: int) -> None:
    """Requests come and go, so that not all are at their longest at once: the batch is not taken in turns."""
    whole = {"kind": "offline", "metric": "tokens_per_s_total", "isl": "1000", "osl": f"{osl}", "context": ""}
    room = float(MODEL.capacity(1000 + osl / 2).max_batch)
    assert room > MODEL.capacity(1000 + osl).max_batch
    seconds = float(MODEL.prefill(1000, room).seconds) + (osl - 1) * float(MODEL.decode(room, 1000 + osl / 2).seconds)
    assert milliseconds(batch="max (not published)", **whole) == pytest.approx(room * osl / seconds)
    assert "memory" not in predict({**ROW, **whole, "batch": "max"}).message
    capped = milliseconds(batch="max-num-seqs 100", **whole)
    assert capped == pytest.approx(milliseconds(batch="100", **whole))


def test_a_time_per_step_without_a_batch_is_not_predicted() -> None:
    found = predict({**ROW, "batch": "not published"})
    assert found.status == "unsupported"
    assert "batch" in found.message
    assert "not published" in found.message


def test_a_model_that_leaves_no_room_does_not_fit() -> None:
    changes = {"model": "meta-llama/Llama-3.1-405B", "accelerator": "l4", "devices": "1"}
    row = {**ROW, **changes, "kind": "offline", "metric": "tokens_per_s_total", "batch": "max"}
    assert predict(row).status == "does_not_fit"


WHOLE = {"kind": "static", "metric": "e2e_latency_ms", "isl": "1000", "osl": "200", "context": "", "devices": "1"}


def test_a_batch_that_memory_does_not_hold_is_taken_in_turns() -> None:
    """Llama-3.1-8B in 16 bits on 40 GB."""
    row = {**WHOLE, "accelerator": "a100-sxm-40gb", "isl": "3400", "runtime": "vllm"}
    held = int(Deployment("llama-3.1-8b", "a100-sxm-40gb").capacity(3600).max_batch)
    assert 30 < held < 50
    once, rest = milliseconds(**row, batch=f"{held}"), milliseconds(**row, batch="7")
    assert milliseconds(**row, batch=f"{2 * held + 7}") == pytest.approx(2 * once + rest)
    assert milliseconds(**row, batch=f"{3 * held}") == pytest.approx(3 * once)
    said = predict({**ROW, **row, "batch": f"{3 * held}"}).message
    assert said == f"memory holds {held} of {3 * held} sequences of 3,600 tokens: taken in turns"
    assert not predict({**ROW, **row, "batch": f"{held}"}).message


@pytest.mark.parametrize("batch", [1.0, 19.0, 20.0, 21.0, 60.0, 64.0])
def test_turns_take_every_sequence_once(batch: float) -> None:
    settled = Deployment("llama-3.1-8b", "a100-sxm-40gb").settled()
    tokens = 31_000 / 4
    held = settled.memory.largest_batch(tokens)
    found = turns(settled, batch, tokens)
    assert sum(each * times for each, times in found) == batch
    assert all(0 < each <= held for each, _ in found)


def test_a_batch_that_was_measured_though_nothing_fits_is_taken_one_by_one() -> None:
    row = {**WHOLE, "accelerator": "l4", "devices": "1", "tp": "1", "model": "meta-llama/Llama-3.1-70B"}
    assert milliseconds(**row, batch="3") == pytest.approx(3 * milliseconds(**row, batch="1"))
    short = Deployment("llama-3.1-70b", "l4").capacity(1200).shortfall_bytes / 1e9
    assert (
        f"memory lacks {short:,.1f} GB for a sequence of 1,200 tokens" in predict({**ROW, **row, "batch": "3"}).message
    )


def test_room_is_that_of_each_replica() -> None:
    """Two replicas on two parts, and a prompt that needs room for its own tokens only."""
    row = {**WHOLE, "accelerator": "a100-sxm-40gb", "isl": "3400", "runtime": "vllm", "devices": "2", "tp": "1"}
    held = int(Deployment("llama-3.1-8b", "a100-sxm-40gb").capacity(3600).max_batch)
    assert not predict({**ROW, **row, "batch": f"{2 * held}"}).message
    assert f"memory holds {held} of {held + 1} sequences" in predict({**ROW, **row, "batch": f"{2 * held + 2}"}).message
    prompts = {**row, "kind": "prefill", "metric": "tokens_per_s_total", "context": "9999"}
    fits = int(Deployment("llama-3.1-8b", "a100-sxm-40gb").capacity(3400).max_batch)
    assert not predict({**ROW, **prompts, "batch": f"{2 * fits}"}).message
    assert "sequences of 3,400 tokens" in predict({**ROW, **prompts, "batch": f"{2 * fits + 2}"}).message


@pytest.mark.parametrize(("said", "length"), [("TensorRT-LLM MTP3", 3), ("SGLang + MTP(NEXTN 2)", 2), ("vLLM MTP", 1)])
def test_drafts_may_be_stated_beside_the_runtime(said: str, length: int) -> None:
    name, _, _ = said.partition(" ")
    row = {**ROW, "model": "deepseek-ai/DeepSeek-R1", "devices": "8", "quantization": "fp8", "runtime": said}
    place = station(served(row), PoolRow(8, 8, 1, 1, 1), runtime(served(row).runtime).without_front_end())
    expected = float(place.seconds(np.array([8.0]), 1024.0, length)[0])
    assert milliseconds(**row) == pytest.approx(1e3 * expected)
    assert milliseconds(**row) < milliseconds(**{**row, "runtime": name})
    assert milliseconds(**{**row, "runtime": name}, speculation=f"mtp{length}") == milliseconds(**row)
    assert milliseconds(**{**row, "metric": "tokens_per_s_per_user"}) == pytest.approx(1 / expected)


def test_a_rate_may_be_one_of_each_node() -> None:
    whole = {"metric": "tokens_per_s_total", "devices": "16", "tp": "8", "pp": "2"}
    of_all = milliseconds(**whole, unit="output tok/s (2 nodes; 5.7k/node)")
    assert milliseconds(**whole, unit="output tok/s PER 8-GPU NODE") == pytest.approx(of_all / 2)
    for each in ("GPU", "chip", "device"):
        assert milliseconds(**whole, unit=f"input tok/s per {each}") == pytest.approx(of_all / 16)
    for kind in ("prefill", "static"):
        one = {**whole, "kind": kind, "isl": "1000", "osl": "48"}
        assert milliseconds(**one, unit="tok/s per GPU") == pytest.approx(milliseconds(**one, unit="tok/s") / 16)


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": "s"},
        {"unit": "us"},
        {"unit": "tok/s"},
        {"metric": "tokens_per_s_total", "unit": "ms"},
        {"metric": "tokens_per_s_total", "unit": "tok/min"},
        {"metric": "tokens_per_s_total", "unit": "Queries/s"},
        {"metric": "tokens_per_s_total", "unit": "tok/s per node"},
        {"batch": "-8"},
        {"context": "−1,024"},
    ],
)
def test_another_unit_and_less_than_nothing_are_refused(changes: dict[str, str]) -> None:
    *_, (name, value) = changes.items()
    found = predict({**ROW, **changes})
    assert found.status == "unsupported"
    assert found.message.startswith(f"{name}: got '{value}', expected ")


@pytest.mark.parametrize("unit", ["ms", "ms (ITL)", "ms/token", "ms for whole static batch", ""])
def test_words_may_stand_beside_a_unit(unit: str) -> None:
    assert milliseconds(unit=unit) == milliseconds()


def test_engines_are_measured_without_their_front_ends() -> None:
    """What a sequence costs in service is not in a step that an engine took; what batches told of a host is."""
    model, one = Deployment("llama-3.1-8b", "h100-sxm", 1), {"devices": "1", "tp": "1"}
    stack = runtime("vllm")
    expected = 1e3 * (float(model.decode(8, 1024).seconds) + stack.step)
    assert milliseconds(**one, runtime="vLLM 0.12") == pytest.approx(expected)
    older = runtime("vllm-2024")
    expected = 1e3 * (float(model.decode(8, 1024).seconds) + older.step + 8 * older.sequence)
    assert milliseconds(**one, runtime="vLLM 0.5") == pytest.approx(expected)
