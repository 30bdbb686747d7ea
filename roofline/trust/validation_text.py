"""A validation in words and tables, as plain text for a terminal and as markdown for a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from roofline.trust.validation import FEWEST, Compared, Figures, Validation

HEADINGS = ("", "rows", "median", "mean", "90 % point", "bias")
GROUPS = (
    ("model", "model"),
    ("accelerator", "part"),
    ("runtime", "serving stack"),
    ("quantization", "format of the weights"),
    ("speculation", "speculation"),
    ("band", "requests in flight"),
)


def text(validation: Validation) -> str:
    """The report for a terminal."""
    lines = [_counted(validation), ""]
    for quantity, name in (("tpot", "TPOT"), ("ttft", "TTFT"), ("throughput", "output tokens/s"), ("value", "value")):
        figures = validation.figures(quantity)
        if figures is not None:
            lines.append(
                f"{name:<16}{figures.rows:>6,} rows  median error {figures.median:.1%}, mean {figures.mean:.1%}, "
                f"bias {figures.bias:+.1%}"
            )
    for quantity in ("tpot", "value"):
        for column, name in GROUPS if quantity == "tpot" else (("kind", "kind"), ("source", "source")):
            groups = validation.by(column, quantity)
            if groups and (len(groups) > 1 or quantity == "value"):
                lines += ["", f"{quantity.upper() if quantity == 'tpot' else quantity} by {name}", *_aligned(groups)]
    worst = validation.worst(5)
    if worst:
        lines += ["", "furthest off (TPOT)", *(f"  {_named(each)}" for each in worst)]
    return "\n".join(lines)


def _counted(validation: Validation) -> str:
    counts = validation.counts()
    said = ", ".join(f"{count:,} {status}" for status, count in counts.items() if count)
    faster = len(validation.above_floor())
    floor = "no row is faster than its floor" if not faster else f"{faster} rows are faster than their floor"
    return f"{len(validation.predictions):,} rows: {said}; {floor}"


def _aligned(groups: Mapping[str, Figures]) -> list[str]:
    rows = [HEADINGS, *(cells(name, each) for name, each in groups.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return ["  " + "  ".join(_padded(row, widths)) for row in rows]


def _padded(row: tuple[str, ...], widths: list[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def cells(name: str, each: Figures) -> tuple[str, ...]:
    """One line of a table of errors."""
    shown = name.split("|", 1)[-1]
    return (shown, f"{each.rows:,}", f"{each.median:.1%}", f"{each.mean:.1%}", f"{each.worst:.0%}", f"{each.bias:+.1%}")


def table(groups: Mapping[str, Figures], heading: str, fewest: int = FEWEST) -> list[str]:
    """Errors by group as markdown; groups of few rows together on a last line."""
    lines = [f"| {heading} | {' | '.join(HEADINGS[1:])} |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    shown = {name: each for name, each in groups.items() if each.rows >= fewest}
    lines += [f"| {' | '.join(cells(name, each))} |" for name, each in shown.items()]
    few = sum(each.rows for name, each in groups.items() if name not in shown)
    if few:
        lines.append(f"| groups of fewer than {fewest} rows | {few:,} | | | | |")
    return lines


def listed(rows: Iterable[Compared]) -> list[str]:
    """Rows one by one as markdown."""
    lines = ["| row | measured | predicted | off |", "|---|---:|---:|---:|"]
    return lines + [
        f"| {_what(each)} | {each.measured:.4g} | {each.predicted:.4g} | {each.off:+.0%} |" for each in rows
    ]


def _what(each: Compared) -> str:
    row = each.prediction.row
    names = ("model", "accelerator", "quantization", "runtime", "isl", "osl", "concurrency")
    said = [str(row.get(name) or "") for name in names]
    where = f"{said[0].split('/')[-1]} {said[2]}, {row.get('devices')} × {said[1]}, {said[3]}"
    return f"{where}, {said[4]} in, {said[5]} out, {said[6]} in flight"


def _named(each: Compared) -> str:
    return f"{_what(each)}: {each.measured:.4g} measured, {each.predicted:.4g} predicted ms"
