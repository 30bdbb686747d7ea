"""Results of serving benchmarks as rows.

The records are made up after the schemas that the readers' docstrings cite.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from roofline.errors import InvalidInput, LayoutError, UnknownName
from roofline.trust.results.reading import is_kernels, named, present, read_results, together

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
    return read_results([path], {**SAID, **said}).rows


def test_vllm(tmp_path: Path) -> None:
    (row,) = read(tmp_path, VLLM)
    shown = {name: row[name] for name in ("isl", "osl", "concurrency", "ttft_ms", "tpot_ms", "output_tokens_per_s")}
    assert list(shown.values()) == ["1024", "128", "16", "80.25", "12.5", "900.5"]
    assert (row["model"], row["runtime"], row["devices"], row["tp"]) == ("llama-3.1-8b", "vllm", "2", "2")


def test_a_model_that_a_file_names_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(VLLM), encoding="utf-8")
    (row,) = read_results([path], {"accelerator": "h100-sxm", "tp": "4"}).rows
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
    (row,) = read_results([path], {"accelerator": "h100-sxm"}).rows
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
        read_results([path], {key: value for key, value in SAID.items() if key != name})


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
    cases = [("id,hardware,op,dtype", True), ('"op" , "dtype"', True), ("isl,osl,tpot_ms", False)]
    for text, kernels in [*cases, ('"isl","osl"', False), (" isl, osl", False), ("\n\n[{}]", False)]:
        path.write_text(text, encoding="utf-8")
        assert is_kernels(path) is kernels


@pytest.mark.parametrize(("text", "given"), [("", "an empty file"), (" \n", "an empty file"), ("a,b\n1,2", "a, b")])
def test_columns_of_nothing_known_are_answered_with_those_of_both(tmp_path: Path, text: str, given: str) -> None:
    path = tmp_path / "any.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=f"any.csv, columns: got '{given}', expected .*latency_us.*ttft_ms") as error:
        is_kernels(path)
    assert len(str(error.value)) < 450


def test_what_cannot_be_read_is_said_before_what_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    with pytest.raises(InvalidInput, match=r"runs\.json: got 'no such file'"):
        present([path])
    with pytest.raises(InvalidInput, match="got 'a directory'"):
        present([tmp_path])
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(InvalidInput, match="no text in UTF-8"):
        is_kernels(path)
    with pytest.raises(InvalidInput, match="the same file twice"):
        present([path, tmp_path / "." / "runs.json"])


def stored(folder: Path, name: str, contents: Any) -> Path:
    """A file of JSON."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(contents), encoding="utf-8")
    return path


def test_rows_of_several_files_are_joined(tmp_path: Path) -> None:
    paths = [stored(tmp_path, f"run-{n}.json", {**VLLM, "max_concurrency": n}) for n in (1, 8, 64)]
    assert [row["concurrency"] for row in read_results(paths, SAID).rows] == ["1", "8", "64"]
    with pytest.raises(InvalidInput, match=r"run-8\.json, result 1, concurrency: got '1', expected 8"):
        read_results(paths, {**SAID, "concurrency": 1})


def test_files_are_called_by_what_tells_them_apart(tmp_path: Path) -> None:
    paths = [stored(tmp_path / folder, "run.json", {**VLLM, "max_concurrency": 8}) for folder in ("a", "b")]
    paths.append(stored(tmp_path / "b", "bad.json", {"answer": 42}))
    with pytest.raises(InvalidInput, match=r"/b/bad\.json: got 'keys answer'"):
        read_results(paths, SAID)
    assert together(paths[1:]) == "run.json, bad.json"
    assert together([*paths[1:], tmp_path / "1", tmp_path / "2"]) == "run.json and 3 more files"


def test_of_files_of_several_parts_those_of_one_are_read(tmp_path: Path) -> None:
    """A result keeps its place in its file, so that complaints lead to it."""
    head = "accelerator,isl,osl,concurrency,ttft_ms,tpot_ms\n"
    paths = [tmp_path / name for name in ("a.csv", "b.csv")]
    paths[0].write_text(head + "a100-sxm-80gb,1024,128,4,90,19\n", encoding="utf-8")
    paths[1].write_text(head + "a100-sxm-80gb,1,1,1,1,1\nh100-sxm,1024,128,4,50,9 ms\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"b\.csv, result 2, tpot_ms: got '9 ms', expected a number above 0"):
        read_results(paths, SAID)
    with pytest.raises(InvalidInput, match=r"a\.csv, b\.csv, accelerator: got 'b200-sxm', expected .*: a100-sxm-80gb"):
        read_results(paths, {**SAID, "accelerator": "b200-sxm"})


@pytest.mark.parametrize("between", ["", "\n", " \r\n\ufeff", "\n\n"])
def test_records_may_follow_each_other_without_a_line_between(tmp_path: Path, between: str) -> None:
    records = [json.dumps({**VLLM, "max_concurrency": n}, indent=n) for n in (1, 8)]
    rows = read(tmp_path, between.join([*records, json.dumps([VLLM, VLLM])]) + "\n")
    assert [row["concurrency"] for row in rows] == ["1", "8", "16", "16"]
    with pytest.raises(InvalidInput, match=r"results\.json: got 'no JSON"):
        read(tmp_path, between.join(records) + ", 5")


def table(**columns: str) -> str:
    """A CSV of one row."""
    known = {"isl": "1024", "osl": "128", "concurrency": "4", "ttft_ms": "50", "tpot_ms": "9", **columns}
    return f"{','.join(known)}\n{','.join(known.values())}\n"


@pytest.mark.parametrize("text", ["-7", "7.1ms", "0", "nan", "inf", "-"])
@pytest.mark.parametrize("name", ["isl", "concurrency", "devices", "tp", "ttft_ms", "tpot_ms", "e2e_latency_ms"])
def test_numbers_that_are_none_are_refused_with_their_place(tmp_path: Path, name: str, text: str) -> None:
    whole = "whole " if name in ("devices", "tp") else ""
    with pytest.raises(
        InvalidInput, match=rf"results\.json, result 1, {name}: got '{text}', expected a {whole}number above 0"
    ):
        read(tmp_path, table(**{name: text}))
    if name in SAID or name in ("isl", "concurrency", "tp"):
        with pytest.raises(InvalidInput, match=rf"^{name}: got '{text}', expected a {whole}number above 0"):
            read(tmp_path, table(), **{name: text})


def test_half_a_device_is_refused_and_empty_times_are_not(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^devices: got '1\.5', expected a whole number above 0"):
        read(tmp_path, table(), devices=1.5)
    (row,) = read(tmp_path, table(tpot_ms=" ", ttft_ms="", dp="0", devices="2.0"))
    assert (row["tpot_ms"], row["ttft_ms"], row["dp"]) == ("", "", "")
    with pytest.raises(InvalidInput, match="no rows"):
        read(tmp_path, table().splitlines()[0])


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"quantization": "fp8"}, {"quantization": "nvfp4"}),
        ({"quantization": "FP8"}, {"quantization": "bf16"}),
        ({"quantization": "W4A16_AWQ"}, {"quantization": "fp8"}),
        ({"quantization": "W8A16_GPTQ"}, {"quantization": "w4a16"}),
        ({"quantization": "fp4"}, {"quantization": "int4"}),
        ({"quantization": "w8a16"}, {"quantization": "w8a8"}),
        ({"kv_cache": "fp8_e4m3"}, {"kv_cache": "bf16"}),
        ({"kv_cache": "bfloat16"}, {"kv_cache": "fp8"}),
        ({"runtime": "vLLM 0.10.0 / ROCm 6.4.1"}, {"runtime": "sglang"}),
        ({"runtime": "llama.cpp"}, {"runtime": "vllm"}),
        ({"runtime": "trtllm"}, {"runtime": "ollama"}),
        ({"devices": "11"}, {"devices": "10"}),
    ],
)
def test_formats_and_stacks_of_a_file_are_not_contradicted(
    tmp_path: Path, own: dict[str, str], said: dict[str, str]
) -> None:
    ((name, stated),), ((_, meant),) = own.items(), said.items()
    with pytest.raises(InvalidInput) as error:
        read(tmp_path, table(**own), **said)
    message = f"results.json, result 1, {name}: got '{meant}', expected {stated}, which the file states"
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"quantization": "FP8"}, {"quantization": "fp8_block"}),
        ({"quantization": "FP8_BLOCK_SCALES"}, {"quantization": "fp8"}),
        ({"quantization": "fp4"}, {"quantization": "mxfp4"}),
        ({"quantization": "W4A16_AWQ"}, {"quantization": "w4a16"}),
        ({"quantization": "int8"}, {"quantization": "w8a16"}),
        ({"quantization": "nvfp4 experts + bf16 attention"}, {"quantization": "nvfp4"}),
        ({"quantization": "mine"}, {"quantization": "fp8"}),
        ({"quantization": "Auto"}, {"quantization": "fp8"}),
        ({"kv_cache": "auto"}, {"kv_cache": "FP8"}),
        ({"kv_cache": "bfloat16"}, {"kv_cache": "fp16"}),
        ({"runtime": "vLLM 0.10.0"}, {"runtime": "vllm"}),
        ({"runtime": "tensorrt-llm"}, {"runtime": "TRT LLM v0.5"}),
        ({"runtime": "llama.cpp"}, {"runtime": "ollama/llama.cpp"}),
        ({"runtime": "vlm"}, {"runtime": "vllm"}),
        ({"runtime": ""}, {"runtime": "llama.cpp"}),
    ],
)
def test_what_is_spelled_otherwise_or_more_precise_is_the_callers(
    tmp_path: Path, own: dict[str, str], said: dict[str, str]
) -> None:
    (row,) = read(tmp_path, table(**own), **said)
    assert {name: row[name] for name in said} == said
    ((name, stated),) = own.items()
    if stated.lower() == "auto":
        assert read(tmp_path, table(**own))[0][name] == ""


def test_a_client_does_not_say_whose_server_it_asked(tmp_path: Path) -> None:
    """vLLM's asks any server in OpenAI's way; of its own ways to ask, only those of other stacks tell."""
    assert read(tmp_path, VLLM, runtime="tensorrt-llm")[0]["runtime"] == "tensorrt-llm"
    assert read(tmp_path, {**SGLANG, "backend": "vllm"})[0]["runtime"] == "vllm"
    assert read(tmp_path, {**VLLM, "backend": "tensorrt-llm"})[0]["runtime"] == "tensorrt-llm"
    with pytest.raises(InvalidInput, match="runtime: got 'vllm', expected sglang, which the file states"):
        read(tmp_path, SGLANG, runtime="vllm")


@pytest.mark.parametrize("name", ["vlm", "VLLLM", "sglan", "sgl", "tensort-llm"])
def test_a_stack_that_is_nearly_one_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownName, match=rf"^runtime: got '{name}', expected one of atom, .* another name; nearest: "):
        read(tmp_path, table(), runtime=name)
    with pytest.raises(UnknownName, match=rf"^results\.json, result 1, runtime: got '{name}'"):
        read(tmp_path, table(runtime=name))


@pytest.mark.parametrize("name", ["llama.cpp", "ollama", "lmdeploy", "mlc-llm", "TGI", "vLLM 0.10.0", "TensorRT 10.8"])
def test_other_stacks_go_by_any_name(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, table(), runtime=name)[0]["runtime"] == name


@pytest.mark.parametrize(
    ("own", "said", "message"),
    [
        ({}, {"devices": 1, "tp": 2}, "result 1, devices: got '1', expected a multiple of 2, which tp 2 takes"),
        ({"pp": "2"}, {"devices": 6, "tp": 4}, "got '6', expected a multiple of 8, which tp 4 · pp 2 takes"),
        ({"dp": "8", "tp": "8"}, {"devices": 8}, "got '8', expected a multiple of 64, which tp 8 · dp 8 takes"),
    ],
)
def test_ranks_that_the_devices_do_not_make_are_refused(
    tmp_path: Path, own: dict[str, str], said: dict[str, int], message: str
) -> None:
    with pytest.raises(LayoutError, match=message):
        read(tmp_path, table(**own), **said)


def test_ranks_say_how_many_devices_there_are(tmp_path: Path) -> None:
    (row,) = read(tmp_path, table(pp="2", tp="4"), devices=None)
    assert row["devices"] == "8"
    (row,) = read(tmp_path, table(pp="2", tp="4"), devices=16)
    assert (row["devices"], row["tp"]) == ("16", "4")


@pytest.mark.parametrize("value", [-12, 0, math.nan, math.inf, "12.5", True])
@pytest.mark.parametrize(
    ("record", "keys"),
    [
        (VLLM, ("median_ttft_ms",)),
        (VLLM, ("median_tpot_ms",)),
        (TRTLLM, ("streaming_metrics", "avg_tpot_ms")),
        (AIPERF, ("time_to_first_token", "p50")),
        (AIPERF, ("inter_token_latency", "avg")),
        (LLAMA_BENCH[1], ("avg_ts",)),
        ({"avg_latency": 2.5, "latencies": [2.5]}, ("avg_latency",)),
    ],
)
def test_a_time_that_is_none_is_refused_by_file_key_and_value(
    tmp_path: Path, record: dict[str, Any], keys: tuple[str, ...], value: Any
) -> None:
    broken = json.loads(json.dumps(record))
    held = broken
    for key in keys[:-1]:
        held = held[key]
    held[keys[-1]] = value
    given = re.escape(f"results.json, result 2, {'.'.join(keys)}: got {value!r}, expected a number above 0")
    with pytest.raises(InvalidInput, match=f"^{given}$"):
        read(tmp_path, [record, broken], isl=512, osl=64, concurrency=8)


def test_answers_of_one_token_have_no_time_per_token(tmp_path: Path) -> None:
    (row,) = read(tmp_path, {**VLLM, "total_output_tokens": 100, "median_tpot_ms": 0.0})
    assert (row["tpot_ms"], row["ttft_ms"]) == ("", "80.25")


def test_results_that_make_no_row_are_left_out_by_name(tmp_path: Path) -> None:
    failed = {**VLLM, "completed": 0, "median_ttft_ms": 0.0, "median_tpot_ms": 0.0}
    throughput = {"elapsed_time": 9.0, "num_requests": 8, "tokens_per_second": 3.0}
    paths = [stored(tmp_path, "a.json", [failed, VLLM]), stored(tmp_path, "b.json", [throughput, *LLAMA_BENCH])]
    results = read_results(paths, {**SAID, "runtime": None})
    assert [row["where"] for row in results.rows] == ["a.json, result 2", "b.json, result 2", "b.json, result 3"]
    assert list(results.left_out.values()) == [["a.json, result 1"], ["b.json, result 1"], ["b.json, result 4"]]
    assert "no request was completed" in results.left_out
    with pytest.raises(InvalidInput, match=r"expected latencies, not no request was completed: c\.json, result 1"):
        read_results([stored(tmp_path, "c.json", failed)], SAID)
    other = tmp_path / "d.csv"
    other.write_text("accelerator,isl,osl,concurrency,ttft_ms,tpot_ms\na100-sxm-80gb,1024,128,4,90,19\n", "utf-8")
    found = read_results([other, paths[0]], SAID).left_out
    assert found["of another part than the one that is said"] == ["d.csv, result 1"]


def test_of_many_places_three_are_named() -> None:
    assert named("why", list("abcd")) == "why: a; b; c; d"
    assert named("why", list("abcdef")) == "why: a; b; c and 3 more"
