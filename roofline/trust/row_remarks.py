"""What a measured row says that is taken otherwise than it is written: the row is predicted, and says so."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache

from roofline.describe.catalog import accelerator
from roofline.describe.formats import FORMATS
from roofline.describe.runtimes import runtime, runtimes
from roofline.describe.workload import LENGTHS
from roofline.errors import RooflineError
from roofline.trust.calibration import catalogue_name
from roofline.trust.loose_text import leading_number
from roofline.trust.measured_rows import (
    NO_DRAFTS,
    PoolRow,
    Row,
    Served,
    deployment,
    described,
    draft_length,
    drafting,
    has_two_pools,
    lengths,
    load,
    number,
    overlap,
    pool,
    ranks,
    served,
)
from roofline.trust.row_formats import CACHES, formats
from roofline.trust.static_rows import room_of_a_batch

KINDS = ("serving", "disaggregated", "static", "decode", "prefill", "offline", "server")
"""Kinds of rows: of service, on one pool or two, and of one phase or one batch."""
POOL = ("devices", "workers", "tp", "dp", "ep")
COLUMNS = (
    *(
        "id",
        "kind",
        "model",
        "accelerator",
        "devices",
        "tp",
        "pp",
        "dp",
        "ep",
        "quantization",
        "kv_cache",
        "speculation",
    ),
    *("runtime", "runtime_version", "isl", "osl", "concurrency", "ttft_ms", "tpot_ms", "output_tokens_per_s", "grade"),
    *("batch", "context", "metric", "value", "unit", "status", "date", "source", "overlap", "skew", "lengths"),
    *(f"{pool}_{name}" for pool in ("prefill", "decode") for name in POOL),
)
"""Columns of rows that are read, or that files in `benchmarks/measured` have."""
BETWEEN = "; "
"""What stands between the remarks of a row, and in none of them."""
_CLOSE = 0.75
"""Likeness to a known name from which another is taken to be a slip [1]."""
_NO_CACHE = ("", "n/a", "none", "auto")
_TOLD = ("InferenceX", "aiconfigurator")
"""Sources whose requests are known to vary, or to be all equally long."""
_DRAFTS = re.compile(r"mtp(?:[-_ ]?[1-9])?")
_ANYWHERE = PoolRow(1, 1, 1, 1, 1)


def remarks(row: Row) -> list[str]:
    """In words, one for each figure of a row that can be predicted."""
    what = served(row)
    found = [
        *_columns(tuple(row)),
        *_kind(row),
        *_part(row, what),
        *_stack(row, what),
        *_cache(row, what),
        *_formats(what),
    ]
    if str(row.get("metric") or "").strip():
        found += [*_ranks_of_a_batch(row), *_context_of_a_batch(row, what), *room_of_a_batch(row, what), *_value(row)]
    else:
        for prefix in ("prefill_", "decode_") if has_two_pools(row) else ("",):
            found += _ranks(row, prefix)
        found += _traffic(row, what)
    found += [*_drafts(row), *_overlap(row), *_lengths(row)]
    return [each.replace(BETWEEN.strip(), ",") for each in found]


def _overlap(row: Row) -> list[str]:
    said = overlap(row)
    return [] if said in ("yes", "no", "") else [f"overlap {said} is neither yes nor no: taken as no"]


def _lengths(row: Row) -> list[str]:
    said = str(row.get("lengths") or "").strip()
    if said and said.lower() not in LENGTHS:
        return [f"lengths {said} is neither {' nor '.join(LENGTHS)}: taken as {lengths(row)}"]
    if said or row.get("metric") or str(row.get("source") or "").startswith(_TOLD):
        return []
    return [f"no lengths ({' or '.join(LENGTHS)}): requests are taken to be all equally long"]


def _kind(row: Row) -> list[str]:
    kind = str(row.get("kind") or "").strip()
    if not kind or kind in KINDS:
        return []
    taken, near = "static" if row.get("metric") else "serving", _nearest(kind, KINDS)
    return [f"kind {kind} is none of {', '.join(KINDS)}{near}: taken as {taken}"]


def _nearest(given: str, known: Iterable[str]) -> str:
    """In words, the name that something is a slip of; nothing where it is like none."""
    near = get_close_matches(given, list(known), 1, _CLOSE)
    return f" (nearest: {near[0]})" if near else ""


@cache
def _columns(names: tuple[str, ...]) -> tuple[str, ...]:
    """Columns that are nobody's, but nearly that of something; others may be a file's own."""
    found = {name: _nearest(name, COLUMNS) for name in names if name not in COLUMNS}
    return tuple(f"column {name} is not read{near}" for name, near in found.items() if near)


def _part(row: Row, what: Served) -> list[str]:
    named = catalogue_name(str(row.get("accelerator") or "").strip())
    return [] if named == what.accelerator else [f"accelerator {named} is taken as {what.accelerator}: runs show it"]


def _stack(row: Row, what: Served) -> list[str]:
    named = str(row.get("runtime") or "").strip()
    if what.stack != what.runtime and what.stack not in named.lower() and runtime(what.stack).told_by != "service":
        return [f"runtime {named} is taken as {what.stack}, of its version or date"]
    if named and not what.runtime:
        return [f"runtime {named} is not described{_nearest(named, runtimes())}: no costs of its host"]
    return []


def _cache(row: Row, what: Served) -> list[str]:
    said = str(row.get("kv_cache") or "").strip().lower()
    if what.kv_cache in CACHES or said in _NO_CACHE:
        return []
    return [f"kv_cache {said} is none of {', '.join(CACHES)}: what stack and part default to"]


@cache
def _formats(what: Served) -> tuple[str, ...]:
    """Formats that the part does not multiply, and a published bulk of weights that is taken instead of the one named.

    Neither depends on the layout. Where the formats cannot be had, the prediction says why.
    """
    try:
        model = described(what.model)
        chosen = formats(model, what.accelerator, what.runtime, what.quantization, what.kv_cache)
        taken = chosen if chosen.activations == "bf16" else deployment(what, _ANYWHERE, None).quantization
        found = []
        if taken.activations != chosen.activations:
            asked = {chosen.computation(part) for part in ("linear", "experts")}
            lacking = " or ".join(sorted(name for name in asked if accelerator(what.accelerator).runs(name) is None))
            stored = f"weights are stored so and multiplied in {taken.activations}"
            found.append(f"{what.accelerator} does not multiply in {lacking}: {stored}")
    except RooflineError:
        return ()
    layers = "experts" if model.parameters().experts and taken.experts else "weights"
    bulk = taken.experts if layers == "experts" and taken.experts else taken.weights
    named = FORMATS.get(what.quantization)
    # Names of one width are spellings of each other: weights are widened or narrowed, or as named.
    if named is not None and named.element_bits != FORMATS[bulk].element_bits:
        found.append(f"quantization {what.quantization}: the published {layers} have {bulk}")
    return tuple(found)


def _ranks(row: Row, prefix: str) -> list[str]:
    if not row.get(f"{prefix}devices"):
        return []
    said = {name: ranks(row, f"{prefix}{name}") for name in ("tp", "dp", "ep")}
    said["pp"] = 1 if prefix else ranks(row, "pp")
    taken, found = pool(row, prefix), []
    if taken.tp < said["tp"] or taken.pp < said["pp"] or taken.dp < said["dp"] or taken.ep < said["ep"]:
        written, layout = _several(said, prefix), _several({name: getattr(taken, name) for name in said})
        found.append(f"{written} do not fit {prefix}devices {taken.devices}: {layout or 'one rank'} instead")
    return found + _idle(f"{prefix}devices", taken.devices, taken.tp * taken.pp * taken.dp)


def _ranks_of_a_batch(row: Row) -> list[str]:
    """Of a row with a metric, which has as many devices as its ranks need."""
    if not str(row.get("devices") or "").strip():
        return []
    devices, said = int(number(row, "devices")), {name: ranks(row, name) for name in ("tp", "pp", "dp")}
    each = said["tp"] * said["pp"] * said["dp"]
    if each > devices:
        return [f"{_several(said)} do not fit devices {devices}: {each} devices instead"]
    return _idle("devices", devices, each)


def _several(counts: Mapping[str, int], prefix: str = "") -> str:
    """Ranks in words, but for those of which there is one."""
    return ", ".join(f"{prefix}{name} {count}" for name, count in counts.items() if count > 1)


def _idle(name: str, devices: int, each: int) -> list[str]:
    """Devices left over by whole replicas of so many."""
    return [f"{name} {devices} in replicas of {each}: {devices % each} idle"] if devices % each else []


def _traffic(row: Row, what: Served) -> list[str]:
    said = {name: number(row, name) for name in ("isl", "osl", "concurrency")}
    found = [f"{name} {count:g} is taken as 1" for name, count in said.items() if count < 1]
    if said["osl"] <= 1 and number(row, "tpot_ms", 0):
        found.append("one output token has no time between tokens: tpot_ms is compared with nothing")
    return found + _beyond(what, said["isl"] + said["osl"], "isl + osl")


def _context_of_a_batch(row: Row, what: Served) -> list[str]:
    context, isl, osl = (leading_number(str(row.get(name) or "")) or 0.0 for name in ("context", "isl", "osl"))
    return _beyond(what, context or isl + osl, "context" if context else "isl + osl")


def _beyond(what: Served, tokens: float, name: str) -> list[str]:
    longest = _longest(what.model)
    if longest is None or tokens <= longest:
        return []
    return [f"{name} goes beyond the {longest:,} tokens that {what.model} declares: predicted all the same"]


@cache
def _longest(model: str) -> int | None:
    """Tokens that a model declares; None where it does not, or is not described."""
    try:
        return described(model).max_context
    except RooflineError:
        return None


def _value(row: Row) -> list[str]:
    """A value that was left empty asks for a prediction; one that is no measurement is told."""
    said = str(row.get("value") or "").strip()
    try:
        measured = not said or 0 < float(said) < math.inf
    except ValueError:
        measured = False
    return [] if measured else [f"value {said} is no measurement: the prediction is compared with nothing"]


def _drafts(row: Row) -> list[str]:
    said = drafting(row)
    if said in NO_DRAFTS or _DRAFTS.fullmatch(said):
        return []
    try:
        length = draft_length(said) if row.get("metric") else load(row).draft_length
    except RooflineError:
        return []
    return [f"speculation {said} is none of none, unknown, mtp, mtp1 to mtp9: mtp{length} instead"]
