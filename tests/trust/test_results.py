"""Results of serving benchmarks as rows.

The records are made up after the schemas that the readers' docstrings cite.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from roofline.errors import InvalidInput
from roofline.trust.results.reading import is_kernels, read_results

SAID = {"model": "llama-3.1-8b", "accelerator": "h100-sxm", "devices": "2"}
VLLM: dict[str, Any] = {
    "date": "20260101-000000",
    "backend": "openai",
    "model_id": "meta-llama/Llama-3.1-8B-Instruct",
    "max_concurrency": 16,
    "completed": 100,
    "total_input_tokens": 102_400,
    "total_output_tokens": 12_800,
    "output_throughput": 900.5,
    "median_ttft_ms": 80.25,
    "median_tpot_ms": 12.5,
}
SGLANG = {
    **{name: value for name, value in VLLM.items() if name != "model_id"},
    "backend": "sglang",
    "max_concurrency": None,
    "concurrency": 14.5,
    "accept_length": None,
}
TRTLLM = {
    "engine": {"model": "meta-llama/Llama-3.1-8B", "backend": "Pytorch", "quantization": "FP8"},
    "world_info": {"tp_size": 2, "pp_size": 1, "ep_size": None, "world_size": 4},
    "request_info": {"avg_num_concurrent_requests": 7.5, "avg_input_length": 512.0, "avg_output_length": 128.0},
    "performance": {"system_output_throughput_tok_s": 1000.0},
    "streaming_metrics": {"avg_ttft_ms": 40.0, "avg_tpot_ms": 8.0},
}
AIPERF: dict[str, Any] = {
    "input_config": {"endpoint": {"model_names": ["llama-3.1-8b"]}, "loadgen": {"concurrency": 32}},
    "input_sequence_length": {"unit": "tokens", "avg": 1000.0},
    "output_sequence_length": {"unit": "tokens", "avg": 200.0},
    "request_latency": {"unit": "ms", "avg": 3000.0},
    "time_to_first_token": {"unit": "ms", "avg": 99.0, "p50": 90.0},
    "inter_token_latency": {"unit": "ms", "avg": 14.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 2100.0},
}
GENAI_PERF = {**AIPERF, "input_config": {"concurrency": 8}}
LLAMA_BENCH = [
    {"n_prompt": 512, "n_gen": 0, "n_depth": 0, "avg_ns": 1, "avg_ts": 5120.0},
    {"n_prompt": 0, "n_gen": 128, "n_depth": 2048, "avg_ns": 1, "avg_ts": 100.0},
    {"n_prompt": 512, "n_gen": 128, "n_depth": 0, "avg_ns": 1, "avg_ts": 400.0},
]


def read(tmp_path: Path, contents: Any, **said: Any) -> list[dict[str, str]]:
    """The rows of a file of some contents, which are JSON unless they are text."""
    path = tmp_path / "results.json"
    path.write_text(contents if isinstance(contents, str) else json.dumps(contents), encoding="utf-8")
    return read_results(path, {**SAID, **said})


def test_vllm(tmp_path: Path) -> None:
    (row,) = read(tmp_path, VLLM)
    shown = {name: row[name] for name in ("isl", "osl", "concurrency", "ttft_ms", "tpot_ms", "output_tokens_per_s")}
    assert list(shown.values()) == ["1024", "128", "16", "80.25", "12.5", "900.5"]
    assert (row["model"], row["runtime"], row["devices"], row["tp"]) == ("llama-3.1-8b", "vllm", "2", "2")


def test_a_model_that_a_file_names_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(VLLM), encoding="utf-8")
    (row,) = read_results(path, {"accelerator": "h100-sxm", "tp": "4"})
    assert (row["model"], row["devices"], row["tp"]) == ("meta-llama/Llama-3.1-8B-Instruct", "4", "4")


def test_sglang_writes_a_record_a_line(tmp_path: Path) -> None:
    rows = read(tmp_path, "\n".join(json.dumps({**SGLANG, "concurrency": n}) for n in (14.5, 30)))
    assert [row["concurrency"] for row in rows] == ["14.5", "30"]
    assert {row["runtime"] for row in rows} == {"sglang"}
    assert {row["speculation"] for row in rows} == {""}
    (drafted,) = read(tmp_path, {**SGLANG, "accept_length": 2.5})
    assert drafted["speculation"] == "drafted"


def test_trtllm_says_its_layout(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(TRTLLM), encoding="utf-8")
    (row,) = read_results(path, {"accelerator": "h100-sxm"})
    wanted = {"devices": "4", "tp": "2", "pp": "1", "ep": "", "quantization": "fp8", "concurrency": "7.5"}
    assert {name: row[name] for name in wanted} == wanted
    assert (row["isl"], row["osl"], row["ttft_ms"], row["tpot_ms"]) == ("512", "128", "40", "8")


@pytest.mark.parametrize(("record", "concurrency"), [(AIPERF, "32"), (GENAI_PERF, "8")])
def test_aiperf_and_genai_perf(tmp_path: Path, record: dict[str, Any], concurrency: str) -> None:
    (row,) = read(tmp_path, record)
    assert (row["isl"], row["osl"], row["concurrency"]) == ("1000", "200", concurrency)
    assert (row["ttft_ms"], row["tpot_ms"]) == ("90", "14")


def test_llama_bench_tests_prompts_and_answers_apart(tmp_path: Path) -> None:
    prompt, answer = read(tmp_path, LLAMA_BENCH)
    assert (prompt["isl"], prompt["ttft_ms"], prompt["tpot_ms"]) == ("512", "100", "")
    assert (answer["isl"], answer["osl"], answer["ttft_ms"], answer["tpot_ms"]) == ("2048", "128", "", "10")
    assert prompt["concurrency"] == answer["concurrency"] == "1"


def test_a_latency_of_vllm_is_of_one_batch(tmp_path: Path) -> None:
    record = {"avg_latency": 2.5, "latencies": [2.4, 2.6], "percentiles": {"50": 2.5}}
    (row,) = read(tmp_path, record, isl=512, osl=64, concurrency=8)
    assert (row["e2e_latency_ms"], row["isl"], row["osl"], row["concurrency"]) == ("2500", "512", "64", "8")


def test_a_plain_table(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "isl,osl,concurrency,ttft_ms,tpot_ms\n1024,128,4,50,9\n")
    assert (row["isl"], row["tpot_ms"], row["accelerator"]) == ("1024", "9", "h100-sxm")


@pytest.mark.parametrize("name", ["model", "accelerator", "devices"])
def test_what_is_missing_is_asked_for_by_its_option(tmp_path: Path, name: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(SGLANG), encoding="utf-8")
    with pytest.raises(InvalidInput, match=rf"results\.json, result 1, {name}: .*--{name}"):
        read_results(path, {key: value for key, value in SAID.items() if key != name})


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"answer": 42}, "keys answer.*vllm bench serve.*SGLang.*trtllm-bench.*aiperf.*llama-bench.*CSV"),
        ({"avg_latency": 1.0, "latencies": [1.0]}, "isl: got 'nothing', expected it from --isl"),
        ({"elapsed_time": 9.0, "num_requests": 8, "tokens_per_second": 3.0}, "how many requests ran together"),
        ([], "no results"),
        ([1], "no results"),
        ('{"a": ', "no JSON"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, contents: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path, contents)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"model": "llama-3.1-70b"}, "result 1, model: got 'llama-3.1-70b', expected meta-llama/Llama-3.1-8B-Instruct"),
        ({"concurrency": 64}, "result 1, concurrency: got '64', expected 16, which the file states"),
        ({"isl": 128}, "result 1, isl: got '128', expected 1024, which the file states"),
    ],
)
def test_what_a_file_states_is_not_contradicted(tmp_path: Path, said: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path, VLLM, **said)


def test_a_name_that_is_a_path_and_a_length_that_was_aimed_at_are_the_callers(tmp_path: Path) -> None:
    (row,) = read(tmp_path, {**VLLM, "model_id": "/models/mine"}, isl=1000)
    assert (row["model"], row["isl"]) == ("llama-3.1-8b", "1000")


def test_of_several_parts_the_rows_of_one_are_read(tmp_path: Path) -> None:
    table = (
        "accelerator,isl,osl,concurrency,ttft_ms,tpot_ms\nH100-SXM,1024,128,4,50,9\na100-sxm-80gb,1024,128,4,90,19\n"
    )
    (row,) = read(tmp_path, table)
    assert (row["accelerator"], row["tpot_ms"]) == ("h100-sxm", "9")
    with pytest.raises(
        InvalidInput, match="accelerator: got 'b200-sxm', expected one that was measured: a100-sxm-80gb"
    ):
        read(tmp_path, table, accelerator="b200-sxm")


def test_a_cache_of_no_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="kv_cache: got 'fp9'"):
        read(tmp_path, VLLM, kv_cache="fp9")


def test_kernels_are_told_from_service_by_content(tmp_path: Path) -> None:
    path = tmp_path / "any.name"
    for text, kernels in [("id,hardware,op,dtype", True), ("isl,osl,tpot_ms", False), ("[{}]", False), ("", True)]:
        path.write_text(text, encoding="utf-8")
        assert is_kernels(path) is kernels
