"""Rows of one phase, or of one batch from prompt to last token: the value that they measure, predicted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from roofline.describe.runtimes import Runtime, runtime
from roofline.errors import DoesNotFit, InvalidInput, RooflineError
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.timing import step_seconds
from roofline.trust.loose_text import leading_number, sequences
from roofline.trust.measured_rows import PoolRow, Row, Served, draft_length, drafting, number, ranks
from roofline.trust.stations import Station, most_yielded, station

METRICS = ("ms_per_step", "tokens_per_s_per_user", "tokens_per_s_total", "ttft_ms", "e2e_latency_ms")
UNSTATED_CONTEXT = 1024.0
"""Tokens in the cache of a decode step of which no length is published [token]."""
_NEEDED = "a stated number: without it the row has no prediction"
_COUNTED = re.compile(r"per (?:(\d+)-gpu node|(gpu|chip|device)\b)")
_RATE = re.compile(r"\btok(?:en)?s?/s\b")
_BESIDE = re.compile(r"\([^)]*\)")
_NEGATIVE = re.compile(r"\s*[-−]\s*\d")
_AT_MOST = re.compile(r"max-num-seqs (\d+)")


@dataclass(frozen=True)
class Times:
    """Seconds that a row may measure, of a batch of a replica [s]."""

    prefill: Callable[[float, float], float]
    """Of its prompts, by their length."""
    step: Callable[[float, float], float]
    """Between two tokens of a sequence, by the context."""
    whole: Callable[[float, float, float], float]
    """From prompts to last tokens, by the lengths of both."""


def static_value(row: Row, what: Served, stack: Runtime | None) -> float:
    """The row's metric as the library estimates it, in the row's own unit; engines were measured without front ends."""
    metric, kind = _asked(row)
    place = station(what, _pool(row, what), None if stack is None else stack.without_front_end())
    batch, drafted = _batch(row, kind, metric, place.settled), draft_length(drafting(row))

    def prefill(batch: float, isl: float) -> float:
        return float(place.settled.evaluate(Point("prefill", batch, max(1.0, isl), 0), step_seconds))

    def step(batch: float, context: float) -> float:
        return float(place.seconds(np.array([batch]), max(1.0, context), drafted)[0])

    def whole(batch: float, isl: float, osl: float) -> float:
        taken = [(batch, 1.0)] if _stated(row) is None else turns(place.settled, batch, isl + osl)
        return sum(times * (prefill(each, isl) + (osl - 1) * step(each, isl + osl / 2)) for each, times in taken)

    return _value(row, place.settled, batch, _context(row, UNSTATED_CONTEXT), Times(prefill, step, whole))


def static_floor(row: Row, what: Served) -> float | None:
    """What no implementation betters of the row's metric, in its unit; None where it does not state the batch.

    Caches are taken in 8 bits, and to be empty where no context is stated; devices to be stages or tensor ranks, which
    is better, where no layout is; and a first token, that it is the first one's of the batch.
    """
    batch = _stated(row)
    if batch is None:
        return None
    pools = {_pool(row, what, dealt=dealt) for dealt in (True, False)}
    floors = [_floor(row, station(what, each, None), batch) for each in pools]
    return min(floors) if is_time(row) else max(floors)


def _floor(row: Row, place: Station, batch: float) -> float:
    """The same in one layout."""
    said = drafting(row)
    batch = place.replicas if _asked(row)[0] == "ttft_ms" else batch
    least, yielded = place.narrowest, most_yielded(draft_length(said), said == "unknown")

    def prefill(batch: float, isl: float) -> float:
        return float(least.floor(Point("prefill", batch, max(1.0, isl), 0)))

    def step(batch: float, context: float) -> float:
        return float(least.floor(Point("decode", batch, max(1.0, context), 0))) / yielded

    def whole(batch: float, isl: float, osl: float) -> float:
        return prefill(batch, isl) + (osl - 1) * step(batch, isl + osl / 2)

    return _value(row, place.settled, batch, _context(row, 1.0), Times(prefill, step, whole))


def _value(row: Row, settled: Resolved, batch: float, context: float, times: Times) -> float:
    """The row's metric where steps take so long, in its unit: `batch` sequences over all devices."""
    (metric, kind), batch = _asked(row), batch / settled.replicas
    if metric == "ttft_ms":
        return 1e3 * times.prefill(batch, _count(row, "isl"))
    counted = settled.replicas * batch * _share(row)
    if kind == "prefill":
        isl = _count(row, "isl")
        seconds = times.prefill(batch, isl)
        return counted * isl / seconds if metric != "e2e_latency_ms" else 1e3 * seconds
    if _whole_batch(metric, kind):
        isl, osl = _count(row, "isl"), _count(row, "osl")
        return _whole(metric, counted, osl, times.whole(batch, isl, osl))
    seconds = times.step(batch, context)
    return {
        "ms_per_step": 1e3 * seconds,
        "tokens_per_s_per_user": 1 / seconds,
        "tokens_per_s_total": counted / seconds,
    }[metric]


def _share(row: Row) -> float:
    """Of all devices, those whose tokens a rate counts: all, unless its unit is per GPU or per node of so many [1]."""
    counted = _COUNTED.search(_unit(row))
    if counted is None:
        return 1.0
    each = 1 if counted[2] else int(counted[1])
    return each / number(row, "devices", each)


def _unit(row: Row) -> str:
    """The unit of a row; what stands beside it in parentheses is only words."""
    return _BESIDE.sub("", str(row.get("unit") or "")).strip().lower()


def is_time(row: Row) -> bool:
    """Whether what was measured is a time; else it is a rate."""
    return "ms" in str(row["metric"]).split("_")


def _checked_unit(row: Row) -> None:
    """Refuse a unit that is another than that of the metric."""
    unit = _unit(row)
    known = not unit or (unit.startswith("ms") if is_time(row) else _RATE.search(unit) is not None)
    per_node = "node" in unit and _COUNTED.search(unit) is None
    if not known or per_node:
        rates = "tok/s, of all devices, or per GPU, or per 8-GPU node"
        raise InvalidInput("unit", given=row.get("unit"), expected="ms" if is_time(row) else rates)


def _whole(metric: str, batch: float, osl: float, seconds: float) -> float:
    if metric == "e2e_latency_ms":
        return 1e3 * seconds
    per_user = osl / seconds
    return per_user if metric == "tokens_per_s_per_user" else batch * per_user


def turns(settled: Resolved, batch: float, tokens: float) -> list[tuple[float, float]]:
    """How a replica takes a batch: sequences at once, and how many times; those that memory holds, then the rest.

    Sequences of one length that begin together end together. At least one fits, since the batch was measured; whole
    lengths are counted from the start, where engines with paged caches count them as they grow.
    """
    held = max(1.0, float(settled.memory.largest_batch(tokens)))
    whole, rest = divmod(batch, held)
    return [(held, whole), (rest, 1.0)] if whole and rest else [(min(batch, held), max(1.0, whole))]


def room_of_a_batch(row: Row, what: Served) -> list[str]:
    """In words, a batch that a replica's memory does not hold at once; nothing where it does, or has no prediction."""
    try:
        metric, kind = _asked(row)
        stated = _stated(row)
        if stated is None:
            return []
        settled = station(what, _pool(row, what), None).settled
        batch, tokens = stated / settled.replicas, _most_tokens(row, metric, kind)
    except RooflineError:
        return []
    held = float(settled.memory.largest_batch(tokens))
    if batch <= held:
        return []
    if held < 1:
        missing = float(settled.memory.shortfall(1.0, tokens)) / 1e9
        return [f"memory lacks {missing:,.1f} GB for a sequence of {tokens:,g} tokens: predicted all the same"]
    how = "taken in turns" if _whole_batch(metric, kind) else "predicted all the same"
    return [f"memory holds {held:,g} of {batch:,g} sequences of {tokens:,g} tokens: {how}"]


def _asked(row: Row) -> tuple[str, str]:
    """What was measured, and the kind of row; `InvalidInput` for a metric that is not known."""
    metric = str(row.get("metric") or "").strip()
    if metric not in METRICS:
        raise InvalidInput("metric", given=metric, expected=f"one of {', '.join(METRICS)}")
    _checked_unit(row)
    for name in ("batch", "context"):
        if _NEGATIVE.match(str(row.get(name) or "")):
            raise InvalidInput(name, given=row.get(name), expected="a number that is not negative")
    return metric, str(row.get("kind") or "").strip()


def _whole_batch(metric: str, kind: str) -> bool:
    """Whether a row was measured from prompts to last tokens."""
    whole = metric == "e2e_latency_ms" or kind in ("static", "offline", "server")
    return whole and not _prompts_alone(metric, kind)


def _prompts_alone(metric: str, kind: str) -> bool:
    """Whether a row was measured until first tokens."""
    return metric == "ttft_ms" or kind == "prefill"


def _most_tokens(row: Row, metric: str, kind: str) -> float:
    """Tokens of a sequence when the cache holds the most of them."""
    if _whole_batch(metric, kind):
        return _count(row, "isl") + _count(row, "osl")
    return _count(row, "isl") if _prompts_alone(metric, kind) else _context(row, UNSTATED_CONTEXT)


def _pool(row: Row, what: Served, *, dealt: bool = True) -> PoolRow:
    """The ranks that a row states; else data ranks beside expert ranks, or one tensor rank per device, or one stage per
    device where the stack deals out layers, if it has `dealt` them. Devices left over make more replicas.
    """
    devices = int(number(row, "devices", 1))
    tp, pp, dp, ep = (ranks(row, name) for name in ("tp", "pp", "dp", "ep"))
    stated = {name for name in ("tp", "pp", "dp") if str(row.get(name) or "").strip()}
    if not stated and dealt and what.stack and runtime(what.stack).stages:
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
    text, stated = str(row.get("batch") or "").strip(), _stated(row)
    if stated is not None:
        return stated
    if metric == "tokens_per_s_total" and kind in ("offline", "decode", "static"):
        context = _context(row, UNSTATED_CONTEXT)
        room = float(settled.memory.largest_batch(context))
        if room < 1:
            raise DoesNotFit(f"no sequence of {context:,.0f} tokens fits", shortfall_bytes=0, min_devices=None)
        most = _AT_MOST.search(text)
        return settled.replicas * (room if most is None else min(room, float(most[1])))
    raise InvalidInput("batch", given=text or "nothing", expected=_NEEDED)


def _stated(row: Row) -> float | None:
    """Sequences over all devices as a row states them; None where it does not."""
    each = leading_number(str(row.get("isl") or ""))
    stated = sequences(str(row.get("batch") or "").strip(), int(number(row, "devices", 1)), each)
    return stated if stated is not None and stated >= 1 else None


def _count(row: Row, name: str) -> float:
    """A number, with whatever words beside it; `InvalidInput` where none is stated."""
    found = leading_number(str(row.get(name) or ""))
    if found is None or found < 1:
        raise InvalidInput(name, given=str(row.get(name) or "").strip() or "nothing", expected=_NEEDED)
    return found


def _context(row: Row, default: float) -> float:
    """The tokens in the cache: stated, the middle of a stated range, prompt and half of the answer, or a default."""
    text = str(row.get("context") or "").strip()
    ends = [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]
    if len(ends) in (1, 2):
        return sum(ends) / len(ends)
    isl, osl = (leading_number(str(row.get(name) or "")) for name in ("isl", "osl"))
    return default if isl is None else isl + (osl or 0.0) / 2
