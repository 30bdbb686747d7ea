"""Results of serving benchmarks as rows of measured service, whichever tool wrote them.

The format is recognised by its content. What a file does not say, and what it names otherwise than the catalogue does,
comes from the caller, who cannot contradict it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roofline.describe.model import ModelShape
from roofline.errors import InvalidInput, RooflineError
from roofline.trust.calibration import catalogue_name
from roofline.trust.measured_rows import described
from roofline.trust.results import aiperf, llama_bench, openai_clients, trtllm, vllm_offline
from roofline.trust.results.fields import Json, Row

READERS = (openai_clients, vllm_offline, trtllm, aiperf, llama_bench)
SERVICE_COLUMNS = ("isl", "osl", "concurrency", "ttft_ms", "tpot_ms")
KNOWN = (*(name for reader in READERS for name in reader.NAMES), f"CSV with {', '.join(SERVICE_COLUMNS)}")
NEEDED = ("model", "accelerator", "devices", "isl", "osl", "concurrency")
OPTIONS = (
    "model",
    "accelerator",
    "devices",
    "tp",
    "quantization",
    "kv_cache",
    "runtime",
    "isl",
    "osl",
    "concurrency",
)
"""What a caller may say of all rows."""
COUNTED = ("devices", "tp", "isl", "osl", "concurrency")
SAME = 0.1
"""Two counts this near are one: lengths that are asked for and those that come out, say [1]."""

CACHES = ("bf16", "fp16", "fp8", "int8", "fp32", "nvfp4")
"""Formats of a cache that a caller may say."""


def read_results(path: str | Path, said: Mapping[str, Any]) -> list[Row]:
    """The rows of a file, completed by what is `said`; of several parts, those of the one that is said.

    `InvalidInput` for an unknown format, a missing figure, or one that is said otherwise than the file has it.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        expected = "a readable file in UTF-8, of measured kernels or of a serving benchmark"
        raise InvalidInput(str(path), given="no such text", expected=expected) from None
    if said.get("kv_cache") not in (None, *CACHES):
        raise InvalidInput("kv_cache", given=said["kv_cache"], expected=f"one of {', '.join(CACHES)}")
    stated = {name: str(value) for name, value in said.items() if value is not None}
    found = _of_part(_rows(text, path), stated.get("accelerator"))
    rows = []
    for place, row in enumerate(found, 1):
        where = f"{path.name}, result {place}"
        _agree(row, stated, where)
        rows.append(_complete({**row, **stated}, where))
    return rows


def _of_part(rows: list[Row], said: str | None) -> list[Row]:
    """The rows that do not name another part than the one that is said."""
    named = {catalogue_name(part) for row in rows if (part := row.get("accelerator"))}
    if said is None or not named:
        return rows
    kept = [row for row in rows if catalogue_name(row.get("accelerator") or said) == catalogue_name(said)]
    if not kept:
        raise InvalidInput("accelerator", given=said, expected=f"one that was measured: {', '.join(sorted(named))}")
    return kept


def _agree(row: Row, said: Mapping[str, str], where: str) -> None:
    """Refuse what is said against what the file states, where both are known to mean something else."""
    for name in COUNTED:
        try:
            own, other = float(row.get(name) or "nan"), float(said.get(name) or "nan")
        except ValueError:
            continue
        if abs(own - other) > SAME * own:
            raise InvalidInput(f"{where}, {name}", given=said[name], expected=f"{own:g}, which the file states")
    model, meant = row.get("model"), said.get("model")
    if model and meant and (own_shape := _shape(model)) is not None and own_shape != described(meant):
        raise InvalidInput(f"{where}, model", given=meant, expected=f"{model}, which the file states")


def _shape(model: str) -> ModelShape | None:
    """The model of a file by its name there, which may be a path that says nothing."""
    try:
        return described(model)
    except RooflineError:
        return None


def is_kernels(path: str | Path) -> bool:
    """Whether a file is a CSV of kernels, or so little of anything that it is to be complained of as one."""
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            head = file.readline(10_000)
    except (OSError, UnicodeDecodeError):
        return True
    return head.lstrip()[:1] not in ("{", "[") and not set(SERVICE_COLUMNS) & set(head.strip().split(","))


def _rows(text: str, path: Path) -> list[Row]:
    if text.lstrip()[:1] not in ("{", "["):
        return [{name: value or "" for name, value in row.items() if name} for row in csv.DictReader(text.splitlines())]
    found: list[Row] = []
    for record in _records(text, path):
        reader = next((each for each in READERS if each.recognised(record)), None)
        if reader is None:
            keys = ", ".join(list(record)[:4])
            raise InvalidInput(path.name, given=f"keys {keys}", expected=f"a result of {'; '.join(KNOWN)}")
        found += reader.rows(record)
    if not found:
        given = "results that no time of a step or a prompt can be read from"
        expected = "latencies: of a throughput nothing tells how many requests ran together"
        raise InvalidInput(path.name, given=given, expected=expected)
    return found


def _records(text: str, path: Path) -> list[Json]:
    """One object, a list of them, or one on each line."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        whole = _lines(text, path)
    records = whole if isinstance(whole, list) else [whole]
    if not records or not all(isinstance(record, dict) for record in records):
        raise InvalidInput(path.name, given="no results", expected=f"a result of {'; '.join(KNOWN)}")
    return records


def _lines(text: str, path: Path) -> list[Any]:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise InvalidInput(path.name, given=f"no JSON ({error.msg})", expected="JSON, or JSON on each line") from None


def _complete(row: Row, where: str) -> Row:
    """Devices and tensor ranks stand for each other; what nothing tells is asked for."""
    row["devices"] = row.get("devices") or row.get("tp") or ""
    stated = any(row.get(name) for name in ("tp", "pp", "dp"))
    row["tp"] = row.get("tp") or ("" if stated else row["devices"])
    for name in NEEDED:
        if not row.get(name):
            option = f"it from --{name}" if name in OPTIONS else "a result that states it"
            raise InvalidInput(f"{where}, {name}", given="nothing", expected=option)
    return row
