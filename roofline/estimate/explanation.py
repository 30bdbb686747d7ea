"""An estimate in words: where the seconds go, term by term, and what they rest on. Plain text, 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from roofline.estimate.timing import RESOURCES
from roofline.numeric import SCALAR
from roofline.units import format_quantity, significant

if TYPE_CHECKING:
    from roofline.estimate.estimate import Estimate

_WIDTH = 80


def explained(estimate: Estimate) -> str:
    """The breakdown of a scalar estimate; of arrays and symbols only what they are."""
    resolved, point = estimate.resolved, estimate.point
    devices = f"{resolved.devices} × {resolved.accelerator.name}"
    title = f"{resolved.model.name} on {devices}, {resolved.layout}, {estimate.quantization}"
    if point.kind != SCALAR:
        return f"{title}\n{estimate.phase} at {point.kind} points: seconds = {estimate.seconds}"
    what = f"decode: batch {point.batch:,g} at context {point.context:,g}"
    if estimate.phase == "prefill":
        cached = f", {point.cached:,g} of them cached" if point.cached else ""
        what = f"prefill: batch {point.batch:,g} of {point.context:,g} tokens{cached}"
    lines = [title, what, "", *_times(estimate), "", *_table(estimate), "", *_rates(estimate)]
    lines += _listed("Missing", _missing(estimate))
    lines += _listed("Assumed", estimate.assumptions)
    lines += _listed("Sources", estimate.sources)
    return "\n".join(lines)


def _times(estimate: Estimate) -> list[str]:
    interval = f"80 % interval {_seconds(estimate.low)} to {_seconds(estimate.high)}"
    return [
        f"{_seconds(estimate.seconds):>10}  calibrated ({interval}), {estimate.bound}-bound",
        f"{_seconds(estimate.ideal):>10}  ideal: the same sum at peak rates, without overheads",
        f"{_seconds(estimate.floor):>10}  floor: no implementation of this layout is faster",
    ]


def _table(estimate: Estimate) -> list[str]:
    lines = [f"{'term':<22}" + "".join(f"{name:>9}" for name in (*RESOURCES, "total")) + "  bound"]
    order = sorted(estimate.terms.items(), key=lambda item: -item[1].total)  # type: ignore[operator]
    for term, times in order:
        values = [*(getattr(times, name) for name in RESOURCES), times.total]
        cells = "".join(f"{_milliseconds(value):>9}" for value in values)
        lines.append(f"{term:<22}{cells}  {times.bound}")
    shares = [estimate.attributed[name] for name in RESOURCES]
    lines.append(f"{'owed to':<22}" + "".join(f"{_milliseconds(value):>9}" for value in (*shares, estimate.seconds)))
    lines.append("in ms; compute, memory and feed of one operation overlap, its total is the largest plus the rest")
    return lines


def _rates(estimate: Estimate) -> list[str]:
    lines = [
        f"{significant(estimate.tokens_per_second):>10}  tokens/s, {significant(estimate.tokens_per_second_per_user)} "
        f"per user, {significant(estimate.tokens_per_second_per_device)} per device",
        f"{estimate.mfu:>10.1%}  MFU, {estimate.mbu:.1%} MBU",
    ]
    if estimate.joules_per_token is not None:
        lines.append(f"{format_quantity(estimate.joules_per_token, 'J'):>10}  per token")
    if estimate.usd_per_million_tokens is not None:
        lines.append(f"{significant(estimate.usd_per_million_tokens):>10}  USD per million tokens")
    return lines


def _missing(estimate: Estimate) -> list[str]:
    part = estimate.resolved.accelerator.name
    missing = []
    if estimate.usd_per_million_tokens is None:
        missing.append(f"money: no price of {part} is published; give price=")
    if estimate.joules is None:
        missing.append(f"energy: no power of {part} is published; give power=")
    return missing


def _listed(heading: str, sentences: Any) -> list[str]:
    if not sentences:
        return []
    lines = ["", heading]
    for sentence in sentences:
        lines += textwrap.wrap(sentence, _WIDTH, initial_indent="  · ", subsequent_indent="    ")
    return lines


def _seconds(value: Any) -> str:
    return format_quantity(float(value), "s")


def _milliseconds(value: Any) -> str:
    return "·" if value == 0 else significant(float(value) * 1e3)
