"""Rows of one phase, or of one batch from prompt to last token: the value that they measure, predicted."""

from __future__ import annotations

import re

from roofline.describe.runtimes import Runtime
from roofline.errors import DoesNotFit, InvalidInput
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.timing import step_seconds
from roofline.trust.loose_text import leading_number, sequences
from roofline.trust.measured_rows import PoolRow, Row, Served, number, ranks
from roofline.trust.stations import station

METRICS = ("ms_per_step", "tokens_per_s_per_user", "tokens_per_s_total", "ttft_ms", "e2e_latency_ms")
UNSTATED_CONTEXT = 1024.0
"""Tokens in the cache of a decode step of which no length is published [token]."""
_NEEDED = "a stated number: without it the row has no prediction"
_LAYERED = re.compile(r"llama\.cpp|ollama")
_AT_MOST = re.compile(r"max-num-seqs (\d+)")


def static_value(row: Row, what: Served, stack: Runtime | None) -> float:
    """The row's metric as the library estimates it, in the row's own unit."""
    metric = str(row.get("metric") or "").strip()
    if metric not in METRICS:
        raise InvalidInput("metric", given=metric, expected=f"one of {', '.join(METRICS)}")
    kind = str(row.get("kind") or "").strip()
    place = station(what, _pool(row), stack)
    settled = place.settled
    batch = _batch(row, kind, metric, settled) / settled.replicas
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
    """The ranks that a row states; else data ranks beside expert ranks, or one tensor rank per device.

    llama.cpp deals out layers unless told otherwise: its devices are stages. Devices left over make more replicas.
    """
    devices = int(number(row, "devices", 1))
    tp, pp, dp, ep = (ranks(row, name) for name in ("tp", "pp", "dp", "ep"))
    stated = {name for name in ("tp", "pp", "dp") if str(row.get(name) or "").strip()}
    if not stated and _LAYERED.search(str(row.get("runtime") or "").lower()):
        pp = devices
    elif ep > 1 and stated <= {"tp"}:
        dp = max(1, devices // tp)
    elif not stated:
        tp = devices
    devices = max(devices, tp * pp * dp)
    if ep > 1 and (tp * dp) % ep:
        ep = 1
    return PoolRow(devices, tp, pp, dp, ep)


def _batch(row: Row, kind: str, metric: str, settled: Resolved) -> float:
    """Sequences over all devices: stated, or as many as memory holds where a throughput is all that is published."""
    text = str(row.get("batch") or "").strip()
    each = leading_number(str(row.get("isl") or ""))
    stated = sequences(text, int(number(row, "devices", 1)), each)
    if stated is not None and stated >= 1:
        return stated
    if metric == "tokens_per_s_total" and kind in ("offline", "decode", "static"):
        context = _context(row)
        room = float(settled.memory.largest_batch(context))
        if room < 1:
            raise DoesNotFit(f"no sequence of {context:,.0f} tokens fits", shortfall_bytes=0, min_devices=None)
        most = _AT_MOST.search(text)
        return settled.replicas * (room if most is None else min(room, float(most[1])))
    raise InvalidInput("batch", given=text or "nothing", expected=_NEEDED)


def _count(row: Row, name: str) -> float:
    """A number, with whatever words beside it; `InvalidInput` where none is stated."""
    found = leading_number(str(row.get(name) or ""))
    if found is None or found < 1:
        raise InvalidInput(name, given=str(row.get(name) or "").strip() or "nothing", expected=_NEEDED)
    return found


def _context(row: Row) -> float:
    """The tokens in the cache: stated, the middle of a stated range, prompt and half of the answer, or a default."""
    text = str(row.get("context") or "").strip()
    ends = [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]
    if len(ends) in (1, 2):
        return sum(ends) / len(ends)
    isl, osl = (leading_number(str(row.get(name) or "")) for name in ("isl", "osl"))
    return UNSTATED_CONTEXT if isl is None else isl + (osl or 0.0) / 2
