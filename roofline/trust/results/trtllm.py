"""Results of `trtllm-bench --report_json`: one object, with the layout and the formats of the engine.

Fields: NVIDIA/TensorRT-LLM, tensorrt_llm/bench/dataclasses/reporting.py. Times to the first token and per token are
there where answers were streamed (`--streaming`).
"""

from __future__ import annotations

from roofline.trust.results.fields import Json, Row, found, positive, row, stated

NAMES = ("trtllm-bench --report_json",)


def recognised(record: Json) -> bool:
    """Whether a record is a report of trtllm-bench."""
    return {"world_info", "request_info", "performance"} <= set(record)


def rows(record: Json) -> list[Row]:
    """The run as a row."""
    world, asked = (record.get(name) or {} for name in ("world_info", "request_info"))
    precision = found(record, "engine", "quantization")
    return [
        row(
            model=found(record, "engine", "model"),
            devices=positive(world.get("world_size")),
            tp=positive(world.get("tp_size")),
            pp=positive(world.get("pp_size")),
            ep=positive(world.get("ep_size")),
            quantization=precision.lower() if isinstance(precision, str) else None,
            runtime="tensorrt-llm",
            isl=positive(asked.get("avg_input_length")),
            osl=positive(asked.get("avg_output_length")),
            concurrency=positive(asked.get("avg_num_concurrent_requests")),
            ttft_ms=stated(record, "streaming_metrics", "avg_ttft_ms"),
            tpot_ms=stated(record, "streaming_metrics", "avg_tpot_ms"),
            output_tokens_per_s=positive(found(record, "performance", "system_output_throughput_tok_s")),
        )
    ]
