"""Results of `llama-bench -o json` and `-o jsonl`: one record for each test of a prompt or of an answer.

Fields: ggml-org/llama.cpp, tools/llama-bench/README.md and llama-bench.cpp. A test of `n_prompt` tokens is a prompt
alone; one of `n_gen` tokens is decode of one sequence after `n_depth` tokens.
"""

from __future__ import annotations

from roofline.trust.results.fields import Json, Row, positive, row

NAMES = ("llama-bench -o json",)


def recognised(record: Json) -> bool:
    """Whether a record is a test of llama-bench."""
    return {"n_prompt", "n_gen", "avg_ts"} <= set(record)


def rows(record: Json) -> list[Row]:
    """The test as a row; a prompt and an answer in one test cannot be told apart and make none."""
    prompt, generated, speed = (positive(record.get(name)) for name in ("n_prompt", "n_gen", "avg_ts"))
    depth = positive(record.get("n_depth")) or 0.0
    if speed is None or (prompt and generated) or (prompt and depth):
        return []
    known = {"runtime": "llama.cpp", "concurrency": 1, "quantization": None}
    if prompt:
        return [row(**known, isl=prompt, osl=1, ttft_ms=prompt / speed * 1e3, tpot_ms=None)]
    return [row(**known, isl=max(1.0, depth), osl=generated, ttft_ms=None, tpot_ms=1e3 / speed)]
