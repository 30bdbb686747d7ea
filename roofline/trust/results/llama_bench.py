"""Results of `llama-bench -o json` and `-o jsonl`: one record for each test of a prompt or of an answer.

Fields: ggml-org/llama.cpp, tools/llama-bench/README.md and llama-bench.cpp. A test of `n_prompt` tokens is a prompt
alone; one of `n_gen` tokens is decode of one sequence after `n_depth` tokens.
"""

from __future__ import annotations

from roofline.errors import InvalidInput
from roofline.trust.results.fields import Json, Row, positive, row, stated

NAMES = ("llama-bench -o json",)
NO_ROW = "a prompt and an answer in one test of llama-bench, or a prompt at a depth, which cannot be told apart"
"""Why a record makes no row."""


def recognised(record: Json) -> bool:
    """Whether a record is a test of llama-bench."""
    return {"n_prompt", "n_gen", "avg_ts"} <= set(record)


def rows(record: Json) -> list[Row]:
    """The test as a row; a prompt and an answer in one test cannot be told apart and make none."""
    prompt, generated, depth = (positive(record.get(name)) for name in ("n_prompt", "n_gen", "n_depth"))
    speed = stated(record, "avg_ts")
    if speed is None:
        raise InvalidInput("avg_ts", given="nothing", expected="a number above 0")
    if prompt and (generated or depth):
        return []
    known = {"runtime": "llama.cpp", "concurrency": 1, "quantization": None}
    if prompt:
        return [row(**known, isl=prompt, osl=1, ttft_ms=prompt / speed * 1e3, tpot_ms=None)]
    return [row(**known, isl=max(1.0, depth or 0.0), osl=generated, ttft_ms=None, tpot_ms=1e3 / speed)]
