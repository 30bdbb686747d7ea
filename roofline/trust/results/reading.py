"""Results of serving benchmarks as rows of measured service, whichever tool wrote them.

The format is recognised by its content. What a file does not say, and what it says otherwise than the catalogue does,
comes from the caller.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roofline.errors import InvalidInput
from roofline.trust.results import aiperf, llama_bench, openai_clients, trtllm
from roofline.trust.results.fields import Json, Row

READERS = (openai_clients, trtllm, aiperf, llama_bench)
SERVICE_COLUMNS = ("isl", "osl", "concurrency", "ttft_ms", "tpot_ms")
KNOWN = (*(name for reader in READERS for name in reader.NAMES), f"CSV with {', '.join(SERVICE_COLUMNS)}")
NEEDED = ("model", "accelerator", "devices", "isl", "osl", "concurrency")
OPTIONS = ("model", "accelerator", "devices", "tp", "quantization", "kv_cache", "runtime", "concurrency")
"""What a caller may say of all rows; it goes before what a file says."""

CACHES = ("bf16", "fp16", "fp8", "int8", "fp32", "nvfp4")
"""Formats of a cache that a caller may say."""


def read_results(path: str | Path, said: Mapping[str, Any]) -> list[Row]:
    """The rows of a file, completed by what is `said`; `InvalidInput` for an unknown format or a missing figure."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        expected = "a readable file in UTF-8, of measured kernels or of a serving benchmark"
        raise InvalidInput(str(path), given="no such text", expected=expected) from None
    if said.get("kv_cache") not in (None, *CACHES):
        raise InvalidInput("kv_cache", given=said["kv_cache"], expected=f"one of {', '.join(CACHES)}")
    stated = {name: str(value) for name, value in said.items() if value is not None}
    rows = [{**row, **stated} for row in _rows(text, path)]
    for place, row in enumerate(rows, 1):
        _complete(row, f"{path.name}, result {place}")
    return rows


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


def _complete(row: Row, where: str) -> None:
    """Devices and tensor ranks stand for each other; what nothing tells is asked for."""
    row["devices"] = row.get("devices") or row.get("tp") or ""
    stated = any(row.get(name) for name in ("tp", "pp", "dp"))
    row["tp"] = row.get("tp") or ("" if stated else row["devices"])
    for name in NEEDED:
        if not row.get(name):
            option = f"it from --{name}" if name in OPTIONS else "a result that states it"
            raise InvalidInput(f"{where}, {name}", given="nothing", expected=option)
