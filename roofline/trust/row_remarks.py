"""What a measured row says that is taken otherwise than it is written: the row is predicted, and says so."""

from __future__ import annotations

from roofline.trust.measured_rows import Row, has_two_pools, number, pool, ranks, served
from roofline.trust.row_formats import CACHES

KINDS = ("serving", "disaggregated", "static", "decode", "prefill", "offline", "server")
"""Kinds of rows: of service, on one pool or two, and of one phase or one batch."""
_NO_CACHE = ("", "n/a", "none", "auto")


def remarks(row: Row) -> list[str]:
    """In words, one for each figure of a row that can be predicted."""
    found = [*_kind(row), *_stack(row), *_cache(row)]
    for prefix in ("prefill_", "decode_") if has_two_pools(row) else ("",):
        found += _ranks(row, prefix)
    if number(row, "tpot_ms", 0) and 0 < number(row, "osl", 2) <= 1:
        found.append("one output token has no time between tokens: tpot_ms is compared with nothing")
    return found


def _kind(row: Row) -> list[str]:
    kind = str(row.get("kind") or "").strip()
    if not kind or kind in KINDS:
        return []
    return [f"kind {kind} is taken as {'static' if row.get('metric') else 'serving'}, one of {', '.join(KINDS)}"]


def _stack(row: Row) -> list[str]:
    named = str(row.get("runtime") or "").strip()
    return [f"runtime {named} is not described: no costs of its host"] if named and not served(row).runtime else []


def _cache(row: Row) -> list[str]:
    said, read = str(row.get("kv_cache") or "").strip().lower(), served(row).kv_cache
    if read in CACHES or said in _NO_CACHE:
        return []
    return [f"kv_cache {said} is none of {', '.join(CACHES)}: what stack and part default to"]


def _ranks(row: Row, prefix: str) -> list[str]:
    if not row.get(f"{prefix}devices"):
        return []
    said = {name: ranks(row, f"{prefix}{name}") for name in ("tp", "dp", "ep")}
    said["pp"] = 1 if prefix else ranks(row, "pp")
    taken = pool(row, prefix)
    if taken.tp < said["tp"] or taken.pp < said["pp"] or taken.dp < said["dp"] or taken.ep < said["ep"]:
        written = ", ".join(f"{prefix}{name} {count}" for name, count in said.items() if count > 1)
        layout = ", ".join(f"{name} {getattr(taken, name)}" for name in said if getattr(taken, name) > 1)
        return [f"{written} do not fit {prefix}devices {taken.devices}: {layout or 'one rank'} instead"]
    return []
