"""Rows of one phase: read as their publishers write them, and predicted as the library estimates."""

import pytest

from roofline.estimate.deployment import Deployment
from roofline.trust.predictions import predict

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
STAGES = Deployment("llama-3.1-8b", "h100-sxm", 4, tp=1, pp=4)


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
    found = milliseconds(runtime=runtime, batch="1")
    assert found == pytest.approx(1e3 * float(STAGES.decode(1, 1024).seconds))


@pytest.mark.parametrize(
    ("batch", "count"), [("1 (best latency)", 1), ("~16", 16), ("2/GPU (8 total)", 8), ("1,024", 1024)]
)
def test_a_batch_may_be_written_with_words(batch: str, count: int) -> None:
    assert milliseconds(batch=batch) == pytest.approx(1e3 * float(MODEL.decode(count, 1024).seconds))


def test_prompts_may_be_counted_by_their_tokens() -> None:
    by_tokens = milliseconds(kind="prefill", metric="tokens_per_s_total", batch="4096 tokens", isl="1024", context="")
    by_count = milliseconds(kind="prefill", metric="tokens_per_s_total", batch="4", isl="1024", context="")
    assert by_tokens == pytest.approx(by_count)


def test_a_throughput_without_a_batch_is_that_of_a_full_memory() -> None:
    whole = {"kind": "offline", "metric": "tokens_per_s_total", "isl": "1000", "osl": "200", "context": ""}
    room = float(MODEL.capacity(1100).max_batch)
    full = milliseconds(batch="max (not published)", **whole)
    assert full == pytest.approx(milliseconds(batch=f"{room:.0f}", **whole))
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
