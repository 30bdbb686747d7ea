"""Results of the benchmark clients of vLLM and SGLang: one record for each run.

Fields of vLLM: vllm-project/vllm, vllm/benchmarks/serve.py (`vllm bench serve --save-result`), one JSON object. Fields
of SGLang: sgl-project/sglang, python/sglang/bench_serving.py (`--output-file`), one JSON object a line. Both count the
tokens of all completed requests, so that lengths are means.
"""

from __future__ import annotations

from roofline.trust.results.fields import Json, Row, positive, ratio, row, stated

NAMES = ("vllm bench serve", "SGLang bench_serving")
NO_ROW = "no request was completed"
"""Why a record makes no row."""


def recognised(record: Json) -> bool:
    """Whether a record is of either client."""
    return {"total_input_tokens", "total_output_tokens", "completed", "median_ttft_ms"} <= set(record)


def rows(record: Json) -> list[Row]:
    """The run as a row; requests in flight are those measured where the limit is not stated.

    Of answers of one token there is no time per token, and zero stands for it; where nothing was completed, for all.
    """
    if record["completed"] == 0:
        return []
    asked = {
        "isl": ratio(record["total_input_tokens"], record["completed"]),
        "osl": ratio(record["total_output_tokens"], record["completed"]),
        "concurrency": positive(record.get("max_concurrency")) or positive(record.get("concurrency")),
    }
    single = asked["osl"] is not None and asked["osl"] <= 1
    return [
        row(
            model=record.get("model_id"),
            runtime="sglang" if "accept_length" in record or "sharegpt_output_len" in record else "vllm",
            speculation="drafted" if positive(record.get("accept_length")) else None,
            **asked,
            ttft_ms=stated(record, "median_ttft_ms"),
            tpot_ms=None if single and not record.get("median_tpot_ms") else stated(record, "median_tpot_ms"),
            output_tokens_per_s=positive(record.get("output_throughput")),
        )
    ]
