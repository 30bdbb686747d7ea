"""Results of AIPerf and GenAI-Perf: one object with a table of statistics for each metric.

Fields: ai-dynamo/aiperf, src/aiperf/exporters/metrics_json_exporter.py (`profile_export_aiperf.json`), and
triton-inference-server/perf_analyzer, genai-perf (`profile_export_genai_perf.json`). Times are in milliseconds;
requests in flight are in the configuration, in one of several places by version.
"""

from __future__ import annotations

from typing import Any

from roofline.trust.results.fields import Json, Row, found, positive, row, stated

NAMES = ("profile_export_aiperf.json", "profile_export_genai_perf.json")
_CONCURRENCY = (
    ("input_config", "loadgen", "concurrency"),
    ("input_config", "concurrency"),
    ("input_config", "perf_analyzer", "stimulus", "concurrency"),
)


def recognised(record: Json) -> bool:
    """Whether a record is an export of either tool."""
    return isinstance(record.get("output_sequence_length"), dict) and isinstance(record.get("request_latency"), dict)


def rows(record: Json) -> list[Row]:
    """The run as a row, with medians where they are given."""

    def middle(metric: str) -> float | None:
        return stated(record, metric, "p50") or stated(record, metric, "avg")

    return [
        row(
            model=_model(record),
            isl=positive(found(record, "input_sequence_length", "avg")),
            osl=positive(found(record, "output_sequence_length", "avg")),
            concurrency=next((n for path in _CONCURRENCY if (n := positive(found(record, *path)))), None),
            ttft_ms=middle("time_to_first_token"),
            tpot_ms=middle("inter_token_latency"),
            output_tokens_per_s=positive(found(record, "output_token_throughput", "avg")),
        )
    ]


def _model(record: Json) -> Any:
    names = found(record, "input_config", "endpoint", "model_names") or found(record, "input_config", "model_names")
    return names[0] if isinstance(names, list) and names else None
