"""What of a row is taken otherwise than written is said, and nothing is said of mere spellings."""

from pathlib import Path

import pytest

from roofline.trust.predictions import predict
from roofline.trust.row_remarks import remarks
from roofline.trust.validation import read_rows
from tests.support.rows import PLAIN

SERVING = Path(__file__).resolve().parents[2] / "benchmarks/measured/serving.csv"
STEP = {**PLAIN, "kind": "decode", "metric": "ms_per_step", "batch": "1", "concurrency": ""}
SPLIT = {**PLAIN, "kind": "disaggregated", "prefill_devices": "3", "prefill_tp": "2", "decode_devices": "4"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"accelerator": "a100-sxm-80gb"},
            "a100-sxm-80gb does not multiply in fp8: weights are stored so and multiplied in bf16",
        ),
        (
            {"accelerator": "mi355x", "quantization": "NVFP4"},
            "mi355x does not multiply in nvfp4: weights are stored so and multiplied in bf16",
        ),
        (
            {"quantization": "mxfp4"},
            "h100-sxm does not multiply in mxfp4: weights are stored so and multiplied in bf16",
        ),
        ({"model": "gpt-oss-120b"}, "quantization fp8: the published experts have mxfp4"),
        ({"concurrency": "0"}, "concurrency 0 is taken as 1"),
        ({"isl": "0"}, "isl 0 is taken as 1"),
        (
            {"isl": "131000", "osl": "100"},
            "isl + osl goes beyond the 131,072 tokens that llama-3.1-8b declares: predicted all the same",
        ),
        ({"devices": "3"}, "devices 3 in replicas of 2: 1 idle"),
        ({"devices": "7", "pp": "2"}, "devices 7 in replicas of 4: 3 idle"),
        (SPLIT, "prefill_devices 3 in replicas of 2: 1 idle"),
        (
            {"speculation": "EAGLE3"},
            "speculation eagle3 is none of none, unknown, mtp, mtp1 to mtp9: mtp1 instead",
        ),
        (
            {"speculation": "eagle", "id": "ix-1", "runtime": "sglang"},
            "speculation eagle is none of none, unknown, mtp, mtp1 to mtp9: mtp3 instead",
        ),
        ({"runtime": "a; b"}, "runtime a, b is not described: no costs of its host"),
        ({"runtime": "vlm"}, "runtime vlm is not described (nearest: vllm): no costs of its host"),
        ({"ovrlap": "yes"}, "column ovrlap is not read (nearest: overlap)"),
        ({"lengths": "mixed"}, "lengths mixed is neither varied nor equal: taken as equal"),
        ({"lengths": "", "source": "mine"}, "no lengths (varied or equal): requests are taken to be all equally long"),
        ({"overlap": "both"}, "overlap both is neither yes nor no: taken as no"),
        (
            {**STEP, "kind": "deocde"},
            "kind deocde is none of serving, disaggregated, static, decode, prefill, offline, server "
            "(nearest: decode): taken as static",
        ),
        ({**STEP, "devices": "5"}, "devices 5 in replicas of 2: 1 idle"),
        ({**STEP, "tp": "4"}, "tp 4 do not fit devices 2: 4 devices instead"),
        (
            {**STEP, "speculation": "eagle"},
            "speculation eagle is none of none, unknown, mtp, mtp1 to mtp9: mtp1 instead",
        ),
        ({"runtime": "vLLM", "date": "2024-05"}, "runtime vLLM is taken as vllm-2024, of its version or date"),
        ({**STEP, "value": "-8"}, "value -8 is no measurement: the prediction is compared with nothing"),
        ({**STEP, "value": "fast"}, "value fast is no measurement: the prediction is compared with nothing"),
        (
            {**STEP, "batch": "100000"},
            "memory holds 2,031 of 100,000 sequences of 1,088 tokens: predicted all the same",
        ),
        (
            {"accelerator": "a100-sxm-80gb", "source": "LLM-Inference-Bench (Argonne)", "quantization": "bf16"},
            "accelerator a100-sxm-80gb is taken as a100-sxm-40gb: runs show it",
        ),
        (
            {**STEP, "context": "200,000 (mean)"},
            "context goes beyond the 131,072 tokens that llama-3.1-8b declares: predicted all the same",
        ),
    ],
)
def test_what_is_taken_otherwise_is_said(row: dict[str, str], said: str) -> None:
    found = predict({**PLAIN, **row})
    assert (found.status, found.message) == ("ok", said)


def test_drafts_are_said_as_they_are_predicted() -> None:
    assert predict({**PLAIN, "speculation": "eagle"}).tpot == predict({**PLAIN, "speculation": "mtp1"}).tpot


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"quantization": ""},
        {"quantization": "FP16"},
        {"quantization": "awq"},
        {"quantization": "int8-wo"},
        {"quantization": "w4a16"},
        {"model": "qwen3-32b"},
        {"model": "gpt-oss-120b", "quantization": "fp4"},
        {"model": "gpt-oss-120b", "quantization": "mxfp4"},
        {"model": "deepseek-r1", "devices": "16", "tp": "16"},
        {"model": "deepseek-r1", "accelerator": "b200-sxm", "devices": "8", "tp": "8", "quantization": "fp4"},
        {"isl": "130944", "osl": "128"},
        {"devices": "4"},
        {"speculation": "MTP"},
        {"speculation": "mtp-2"},
        {"speculation": "unknown"},
        {**STEP, "isl": "~200", "osl": "105 (mean)", "speculation": "none"},
    ],
)
def test_nothing_is_said_of_spellings_and_of_what_is_taken_as_written(row: dict[str, str]) -> None:
    found = predict({**PLAIN, **row})
    assert (found.status, found.message) == ("ok", "")


@pytest.mark.parametrize(
    ("row", "words"),
    [({"model": "nobody/nothing"}, "model"), ({"accelerator": "abacus"}, "accelerator"), ({"isl": "many"}, "isl")],
)
def test_a_row_without_a_prediction_says_why_and_nothing_else(row: dict[str, str], words: str) -> None:
    found = predict({**PLAIN, "devices": "3", "concurrency": "0", **row})
    assert found.status == "unsupported"
    assert found.message.startswith(f"{words}: got '{row[words]}'")


def test_little_is_said_of_the_measured_rows_of_service() -> None:
    """Of rows that were read from a record: a remark on many of them would be a mistake of the remark."""
    said = [words for row in read_rows(SERVING) for words in remarks(row)]
    assert set(said) == {"quantization fp8: the published experts have mxfp4"}
    assert len(said) < 10
