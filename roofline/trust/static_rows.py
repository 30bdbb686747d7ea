"""Rows of one phase, or of one batch from prompt to last token: the value that they measure, predicted."""

from __future__ import annotations

import re
from dataclasses import replace

from roofline.describe.runtimes import Runtime
from roofline.errors import InvalidInput
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.timing import step_seconds
from roofline.trust.measured_rows import PoolRow, Row, Served, number, ranks
from roofline.trust.stations import station

METRICS = ("ms_per_step", "tokens_per_s_per_user", "tokens_per_s_total", "ttft_ms", "e2e_latency_ms")
_NUMBER = re.compile(r"~?(\d[\d,]*(?:\.\d+)?)")


def static_value(row: Row, what: Served, stack: Runtime | None) -> float:
    """The row's metric as the library estimates it, in the row's own unit."""
    metric = str(row.get("metric") or "").strip()
    if metric not in METRICS:
        raise InvalidInput("metric", given=metric, expected=f"one of {', '.join(METRICS)}")
    kind = str(row.get("kind") or "").strip()
    place = station(what, _pool(row), stack)
    settled = place.settled
    batch = _count(row, "batch") / settled.replicas
    if metric == "ttft_ms":
        return 1e3 * _prefill(settled, batch, _count(row, "isl"))
    if kind == "prefill":
        isl = _count(row, "isl")
        seconds = _prefill(settled, batch, isl)
        return settled.replicas * batch * isl / seconds if metric != "e2e_latency_ms" else 1e3 * seconds
    if metric == "e2e_latency_ms" or kind in ("static", "offline", "server"):
        isl, osl = _count(row, "isl"), _count(row, "osl")
        decoding = (osl - 1) * _step(settled, batch, isl + osl / 2)
        seconds = _prefill(settled, batch, isl) + decoding
        return _whole(metric, settled.replicas * batch, osl, seconds)
    seconds = _step(settled, batch, _context(row))
    return {
        "ms_per_step": 1e3 * seconds,
        "tokens_per_s_per_user": 1 / seconds,
        "tokens_per_s_total": settled.replicas * batch / seconds,
    }[metric]


def _whole(metric: str, batch: float, osl: float, seconds: float) -> float:
    if metric == "e2e_latency_ms":
        return 1e3 * seconds
    per_user = osl / seconds
    return per_user if metric == "tokens_per_s_per_user" else batch * per_user


def _step(settled: Resolved, batch: float, context: float) -> float:
    return float(settled.evaluate(Point("decode", batch, max(1.0, context), 0), step_seconds))


def _prefill(settled: Resolved, batch: float, isl: float) -> float:
    return float(settled.evaluate(Point("prefill", batch, max(1.0, isl), 0), step_seconds))


def _pool(row: Row) -> PoolRow:
    """The ranks that a row states, or one tensor rank per device; devices left over make more replicas."""
    devices = int(number(row, "devices", 1))
    tp, pp, dp, ep = (ranks(row, name) for name in ("tp", "pp", "dp", "ep"))
    stated = any(str(row.get(name) or "").strip() for name in ("tp", "pp", "dp"))
    if not stated:
        tp = devices
    devices = max(devices, tp * pp * dp)
    if ep > 1 and (tp * dp) % ep:
        ep = 1
    return replace(PoolRow(devices, tp, pp, dp, ep))


def _count(row: Row, name: str) -> float:
    """A number that may be written as an estimate; `InvalidInput` where none is stated."""
    found = _NUMBER.fullmatch(str(row.get(name) or "").strip())
    if not found or float(found[1].replace(",", "")) < 1:
        given = str(row.get(name) or "").strip() or "nothing"
        raise InvalidInput(name, given=given, expected="a stated number: without it the row has no prediction")
    return float(found[1].replace(",", ""))


def _context(row: Row) -> float:
    """The tokens in the cache: stated, the middle of a stated range, or the prompt and half of the answer."""
    text = str(row.get("context") or "").strip()
    ends = [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]
    if len(ends) in (1, 2):
        return sum(ends) / len(ends)
    return _count(row, "isl") + _count(row, "osl") / 2
