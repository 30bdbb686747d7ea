"""Results of vLLM without a server: `vllm bench latency` and `vllm bench throughput` with `--output-json`.

Fields: vllm-project/vllm, vllm/benchmarks/latency.py and throughput.py. A latency is of one batch from prompts to
last tokens; batch and lengths are not in the file. A throughput is of requests that are all there from the start: how
many of them ran together at what time nothing tells, so that it makes no row.
"""

from __future__ import annotations

from roofline.trust.results.fields import Json, Row, row, stated

NAMES = ("vllm bench latency",)
NO_ROW = "a throughput, of which nothing tells how many requests ran together"
"""Why a record makes no row."""


def recognised(record: Json) -> bool:
    """Whether a record is of either command."""
    return {"avg_latency", "latencies"} <= set(record) or {"elapsed_time", "num_requests"} <= set(record)


def rows(record: Json) -> list[Row]:
    """The batch as a row; none of a throughput."""
    seconds = stated(record, "avg_latency")
    if seconds is None:
        return []
    return [row(runtime="vllm", e2e_latency_ms=seconds * 1e3, ttft_ms=None, tpot_ms=None)]
