"""An estimate in words: where the seconds go, term by term, and what they rest on. Plain text, 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from roofline.estimate.times import RESOURCES, Times
from roofline.estimate.work import LAUNCH
from roofline.numeric import SCALAR
from roofline.units import format_quantity, significant

if TYPE_CHECKING:
    from roofline.estimate.estimate import Estimate

SAVED = "saved"
_WIDTH = 80
_NEGLIGIBLE = 1e-9
"""Share of a step below which a time is rounding, shown as none."""


def explained(estimate: Estimate) -> str:
    """The breakdown of a scalar estimate; of arrays and symbols only what they are."""
    resolved, point = estimate.resolved, estimate.point
    devices = f"{resolved.devices:,} × {resolved.accelerator.name}"
    title = f"{resolved.model.name} on {devices}"
    if point.kind != SCALAR:
        return f"{title}\n{estimate.phase} at {point.kind} points: seconds = {estimate.seconds}"
    what = f"decode step, batch {point.batch:,g} at context {point.context:,g}"
    if estimate.phase == "prefill":
        cached = f", {point.cached:,g} of them cached" if point.cached else ""
        what = f"prefill, batch {point.batch:,g} of {point.context:,g} tokens{cached}"
    lines = [*_wrapped(title), *_wrapped(f"{what}; {estimate.quantization}; {_laid_out(estimate)}")]
    lines += ["", *_times(estimate), "", *_table(estimate), "", *_rates(estimate)]
    lines += _listed("Missing", _missing(estimate))
    lines += _listed("Assumed", estimate.assumptions)
    lines += _listed("Sources", estimate.sources)
    return "\n".join(lines)


def _laid_out(estimate: Estimate) -> str:
    replicas, layout = estimate.resolved.replicas, estimate.layout
    idle = estimate.resolved.devices - replicas * layout.devices
    several = f"{replicas:,} replicas of {layout}" if replicas > 1 else str(layout)
    return f"{several}, {idle:,} devices idle" if idle else several


def _times(estimate: Estimate) -> list[str]:
    low, high = _seconds(estimate.low), _seconds(estimate.high)
    return [
        f"{_seconds(estimate.seconds):>10}  calibrated: 80 % interval {low} to {high}; bound by {estimate.bound}",
        f"{_seconds(estimate.ideal):>10}  ideal: the same sum at peak rates, nothing lost",
        f"{_seconds(estimate.floor):>10}  floor: no implementation of this layout is faster",
    ]


def _table(estimate: Estimate) -> list[str]:
    """Seconds of every term by resource, the longest first; resources that nothing needs are left out."""
    whole = float(estimate.seconds)
    unit, scale = ("ms", 1e3) if whole >= 1e-3 else ("µs", 1e6)
    decimals = max(0, 4 - len(f"{whole * scale:.0f}"))
    used = [name for name in RESOURCES if any(_counts(getattr(term, name), whole) for term in estimate.terms.values())]
    widths = {name: max(len(name), 6) + 1 for name in (*used, "total")}

    def line(label: str, values: Iterable[Any], last: str) -> str:
        cells = "".join(
            f"{'·' if not _counts(value, whole) else format(float(value) * scale, f',.{decimals}f'):>{width}}"
            for value, width in zip(values, widths.values(), strict=True)
        )
        return f"{label:<{room}}{cells}  {last}"

    room = max(len(term) for term in (*estimate.terms, "owed to")) + 1
    lines = [f"{'term':<{room}}" + "".join(f"{name:>{width}}" for name, width in widths.items()) + "  bound"]
    taken = [(term, times) for term, times in estimate.terms.items() if _counts(times.total, whole)]
    for term, times in sorted(taken, key=lambda item: -float(item[1].total)):  # type: ignore[arg-type]
        lines.append(line(term, [*(getattr(times, name) for name in used), times.total], bound_of(times)))
    shares = [estimate.attributed[name] for name in used]
    lines.append(line("owed to", [*shares, whole], str(estimate.bound)))
    overlapping = [name for name in used if name in ("compute", "memory", "feed")]
    note = f"in {unit}"
    if len(overlapping) > 1:
        note += f"; {_and(overlapping)} of an operation overlap: the longest counts, the rest is added"
    if LAUNCH.term in dict(taken):
        note += "; launches: what devices wait for the host that launches their kernels"
    if "overlap" in dict(taken):
        note += "; overlap: what halves that take turns save, and what they read and launch twice"
    return [*lines, *_wrapped(note)]


def bound_of(times: Times) -> str:
    """The bound of a term; what an overlap takes off has none."""
    return str(times.bound) if float(times.total) > 0 else SAVED  # type: ignore[arg-type]


def _counts(value: Any, whole: float) -> bool:
    return bool(abs(float(value)) > _NEGLIGIBLE * whole)


def _rates(estimate: Estimate) -> list[str]:
    lines = [
        f"{significant(estimate.tokens_per_second):>10}  tokens/s, {significant(estimate.tokens_per_second_per_user)} "
        f"per user, {significant(estimate.tokens_per_second_per_device)} per device",
        f"{significant(estimate.mfu * 100, 2):>8} %  MFU; {significant(estimate.mbu * 100, 2)} % MBU",
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


def _listed(heading: str, sentences: Iterable[str]) -> list[str]:
    lines = [line for sentence in sentences for line in _wrapped(sentence, "· ")]
    return ["", heading, *lines] if lines else []


def _wrapped(text: str, bullet: str = "") -> list[str]:
    """Lines of a sentence; words are broken, at hyphens where there are any, only where one exceeds a line."""
    long = any(len(word) > _WIDTH - len(bullet) for word in text.split())
    indent = " " * len(bullet)
    return textwrap.wrap(text, _WIDTH, initial_indent=bullet, subsequent_indent=indent, break_on_hyphens=long)


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _seconds(value: Any) -> str:
    return format_quantity(float(value), "s")
