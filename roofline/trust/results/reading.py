"""Results of serving benchmarks as rows of measured service, whichever tool wrote them.

The format is recognised by its content. What a file does not say, and what it names otherwise than the catalogue does,
comes from the caller, who cannot contradict it.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roofline.errors import InvalidInput, LayoutError
from roofline.trust.calibration import catalogue_name
from roofline.trust.kernels import COLUMNS
from roofline.trust.measured_rows import stack_name
from roofline.trust.results import aiperf, llama_bench, openai_clients, trtllm, vllm_offline
from roofline.trust.results.agreement import agree, check_stack
from roofline.trust.results.fields import Json, Row

READERS = (openai_clients, vllm_offline, trtllm, aiperf, llama_bench)
SERVICE_COLUMNS = ("isl", "osl", "concurrency", "ttft_ms", "tpot_ms")
KERNEL_COLUMNS = ("hardware", "op", "dtype", "shape", "num_devices", "latency_us")
"""Columns that only measured kernels have."""
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
RANKS = ("tp", "pp", "dp")
"""What one replica's devices are cut into."""
WHOLE = ("devices", *RANKS)
NUMBERS = (*WHOLE, "isl", "osl", "concurrency", "ttft_ms", "tpot_ms", "e2e_latency_ms")
CACHES = ("bf16", "fp16", "fp8", "int8", "fp32", "nvfp4")
"""Formats of a cache that a caller may say."""
_BLANKS = re.compile(r"[ \t\r\n\ufeff]*")
"""What may stand between results: files that were joined may each begin with a mark of their encoding."""
_A_FILE = "a file of measured kernels or of a serving benchmark"
OTHER_PART = "of another part than the one that is said"
Placed = tuple[str, Row, Row]
"""Where a row stands, what it states, and what is assumed of it where nobody says otherwise."""


@dataclass(frozen=True)
class Results:
    """Rows of measured service, each with the place that it is from as `where`, and places of others by the reason."""

    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, reason: str, where: str) -> None:
        """Another place that makes no row."""
        self.left_out.setdefault(reason, []).append(where)


def present(given: Iterable[str | Path]) -> list[Path]:
    """Files that are there, each once; `InvalidInput` for any other."""
    paths = [Path(each) for each in given]
    seen: set[Path] = set()
    for path in paths:
        if not path.exists() or path.is_dir():
            raise InvalidInput(str(path), given="a directory" if path.is_dir() else "no such file", expected=_A_FILE)
        if path.resolve() in seen:
            raise InvalidInput(str(path), given="the same file twice", expected="every file once")
        seen.add(path.resolve())
    return paths


def called(paths: Sequence[Path]) -> list[str]:
    """What files are called: by their names, or by their paths where two have one name."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def together(paths: Sequence[Path]) -> str:
    """What files are called as one: each, or of more than three the first and how many more."""
    names = called(paths)
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more files"


def named(reason: str, places: Sequence[str]) -> str:
    """A reason with the places that it is of, or of more than four the first three and how many more.

    >>> named("no request was completed", ["run-1.json, result 1"])
    'no request was completed: run-1.json, result 1'
    """
    further = f" and {len(places) - 3} more" if len(places) > 4 else ""
    return f"{reason}: {'; '.join(places[: 3 if further else None])}{further}"


def is_kernels(path: Path) -> bool:
    """Whether a file is a CSV of kernels; `InvalidInput` where its columns are neither of kernels nor of service."""
    head = _text(path, 10_000).strip()
    if head[:1] in ("{", "["):
        return False
    columns = [name.strip() for name in next(csv.reader(head.splitlines()[:1]), [])]
    if set(columns) & {*SERVICE_COLUMNS, *KERNEL_COLUMNS}:
        return not set(columns) & set(SERVICE_COLUMNS)
    given = ", ".join(columns) if columns else "an empty file"
    expected = f"those of kernels, {', '.join(COLUMNS)}; or results of service: {'; '.join(KNOWN)}"
    raise InvalidInput(f"{path.name}, columns", given=given, expected=expected)


def read_results(paths: Sequence[Path], said: Mapping[str, Any]) -> Results:
    """The rows of all files, completed by what is `said`; of several parts, those of the one that is said.

    What makes no row is `left_out`, by name.

    `InvalidInput` for an unknown format, a missing figure, or one that is said otherwise than a file has it.
    """
    stated = {name: text for name, value in said.items() if value is not None and (text := str(value).strip())}
    if stated.get("kv_cache", "bf16").lower() not in CACHES:
        raise InvalidInput("kv_cache", given=said["kv_cache"], expected=f"one of {', '.join(CACHES)}")
    _check_numbers(stated, "")
    check_stack(stated, "")
    results = Results()
    found = [
        (where, _cleaned(row), assumed)
        for path, name in zip(paths, called(paths), strict=True)
        for where, row, assumed in _rows(_text(path), name, results)
    ]
    if not found:
        given = "results that no time of a step or a prompt can be read from"
        expected = f"latencies, not {'; '.join(named(*each) for each in results.left_out.items())}"
        raise InvalidInput(together(paths), given=given, expected=expected)
    for where, row, assumed in _of_part(found, stated.get("accelerator"), together(paths), results):
        _check_numbers(row, f"{where}, ")
        agree(row, stated, where)
        results.rows.append({**_complete({**assumed, **row, **stated}, where), "where": where})
    return results


def _of_part(found: list[Placed], said: str | None, files: str, results: Results) -> list[Placed]:
    """The rows that do not name another part than the one that is said."""
    if said is None:
        return found
    kept = [each for each in found if catalogue_name(each[1].get("accelerator") or said) == catalogue_name(said)]
    if not kept:
        named = sorted({catalogue_name(row["accelerator"]) for _, row, _ in found})
        expected = f"one that was measured: {', '.join(named)}"
        raise InvalidInput(f"{files}, accelerator", given=said, expected=expected)
    staying = {where for where, *_ in kept}
    for where, *_ in found:
        if where not in staying:
            results.leave_out(OTHER_PART, where)
    return kept


def _cleaned(row: Row) -> Row:
    """A row without blanks around its words, and without words that leave a matter to others."""
    return {name: "" if text.strip().lower() in _OPEN.get(name, ()) else text.strip() for name, text in row.items()}


def _check_numbers(row: Mapping[str, str], where: str) -> None:
    """Refuse what is no number above zero; what is missing is not complained of here."""
    for name in NUMBERS:
        text, whole = row.get(name), name in WHOLE
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0) or (whole and not value.is_integer()):
            raise InvalidInput(f"{where}{name}", given=text, expected=f"a {'whole ' if whole else ''}number above 0")


_OPEN = {
    **dict.fromkeys(("quantization", "kv_cache", "runtime"), ("auto",)),
    **dict.fromkeys(("pp", "dp"), ("0",)),
}
"""Words that state nothing."""


def _text(path: Path, most: int = -1) -> str:
    """The characters of a file, or its first ones."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(most)
    except OSError as error:
        given = error.strerror or "no such text"
    except UnicodeDecodeError:
        given = "no text in UTF-8"
    raise InvalidInput(str(path), given=given, expected=_A_FILE)


def _rows(text: str, name: str, results: Results) -> list[Placed]:
    """What the results in a text state, each beside what is assumed of it where nobody says otherwise."""
    found: list[Placed] = []
    if text.lstrip()[:1] not in ("{", "["):
        for place, line in enumerate(csv.DictReader(text.strip().splitlines()), 1):
            row = {column.strip(): value or "" for column, value in line.items() if column}
            found.append((f"{name}, result {place}", row, {}))
        if not found:
            raise InvalidInput(name, given="no rows", expected="a row for each run, below the columns")
        return found
    for place, record in enumerate(_records(text, name), 1):
        found += _of_record(record, name, f"{name}, result {place}", results)
    return found


def _of_record(record: Json, name: str, where: str, results: Results) -> Iterator[Placed]:
    """The rows of one record, or the reason why it has none among what is left out."""
    reader = next((each for each in READERS if each.recognised(record)), None)
    if reader is None:
        keys = ", ".join(list(record)[:4])
        raise InvalidInput(name, given=f"keys {keys}", expected=f"a result of {'; '.join(KNOWN)}")
    try:
        rows = reader.rows(record)
    except InvalidInput as error:
        raise InvalidInput(f"{where}, {error.what}", given=error.given, expected=error.expected) from None
    if not rows:
        results.leave_out(reader.NO_ROW, where)
    for row in rows:
        yield (where, *(_of_client(record, row) if reader is openai_clients else (row, {})))


def _of_client(record: Json, row: Row) -> tuple[Row, Row]:
    """A client asks servers of any stack, in vLLM's or OpenAI's way: unless it says another, its own is assumed."""
    asked = stack_name(str(record.get("backend") or record.get("endpoint_type") or ""))
    if asked and asked != "vllm":
        return {**row, "runtime": asked}, {}
    return {name: text for name, text in row.items() if name != "runtime"}, {"runtime": asked or row["runtime"]}


def _records(text: str, name: str) -> list[Json]:
    """Objects or lists of them, one after the other, with or without lines between them."""
    records: list[Any] = []
    at = _after_blanks(text, 0)
    while at < len(text):
        try:
            value, at = json.JSONDecoder().raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise InvalidInput(name, given=f"no JSON ({error.msg})", expected="JSON, or JSON on each line") from None
        records += value if isinstance(value, list) else [value]
        at = _after_blanks(text, at)
    if not records or not all(isinstance(record, dict) for record in records):
        raise InvalidInput(name, given="no results", expected=f"a result of {'; '.join(KNOWN)}")
    return records


def _after_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _complete(row: Row, where: str) -> Row:
    """Devices and ranks stand for each other; what nothing tells is asked for."""
    stated = [f"{name} {row[name]}" for name in RANKS if row.get(name)]
    product = math.prod(int(float(row.get(name) or 1)) for name in RANKS)
    row["devices"] = row.get("devices") or (str(product) if row.get("tp") else "")
    row["tp"] = row.get("tp") or ("" if stated else row["devices"])
    for name in NEEDED:
        if not row.get(name):
            option = f"it from --{name}" if name in OPTIONS else "a result that states it"
            raise InvalidInput(f"{where}, {name}", given="nothing", expected=option)
    if stated and float(row["devices"]) % product:
        expected = f"a multiple of {product}, which {' · '.join(stated)} takes"
        raise LayoutError(f"{where}, devices", given=row["devices"], expected=expected)
    check_stack(row, f"{where}, ")
    return row
