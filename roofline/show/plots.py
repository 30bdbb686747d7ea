"""Pictures: rooflines, fronts and breakdowns, drawn with matplotlib from plain numbers.

Whatever a colour says, a marker, a dash or a hatch says too. Matplotlib is loaded when something is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from roofline.errors import InvalidInput, RooflineError
from roofline.show.lines import figure

Name = TypeVar("Name", str, float)
"""What a point is called: a text, or a number."""
Axes = Any
"""Those of matplotlib, which need not be there."""
SUFFIXES = (".svg", ".png", ".pdf")
RESOURCES = ("memory", "spill", "feed", "compute", "network", "overhead")
"""As they are stacked: from dark to light."""
_FILLS = {
    "memory": ("#1f3b57", ""),
    "spill": ("#3c5a76", "\\\\"),
    "feed": ("#5f7f9e", ".."),
    "compute": ("#c2573a", "//"),
    "network": ("#e6ab5a", "xx"),
    "overhead": ("#dedede", ""),
}
_COLOURS = ("#1f3b57", "#c2573a", "#5d8f4e", "#e09f3e", "#8a6fae", "#7a7a7a")
_MARKERS = "os^DvP"
_DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)), (0, (3, 1)), (0, (8, 3, 1, 3, 1, 3)))
_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.8,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "hatch.color": "#ffffff",
    "hatch.linewidth": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "roofline",
}


@dataclass(frozen=True)
class Roof:
    """A part under a model: `peak` [FLOP/s], `bandwidth` and `feed` [B/s] of one device, and what steps reach there.

    `series` are steps that are joined: what to call each, FLOP per byte [FLOP/B], and FLOP/s per device.
    """

    label: str
    peak: float
    bandwidth: float
    feed: float | None
    series: Sequence[Sequence[tuple[str, float, float]]]


@dataclass(frozen=True)
class Curve:
    """Points of one pool: batch, tokens per second per user, and per device; those in front, in order of the batch."""

    label: str
    points: Sequence[tuple[float, float, float]]
    front: Sequence[tuple[float, float, float]]


@dataclass(frozen=True)
class Bar:
    """One step: seconds by resource and the floor [s], None where it does not fit; `group` are the bars beside it."""

    group: str
    label: str
    seconds: dict[str, float] | None
    floor: float | None
    note: str = ""


@dataclass(frozen=True)
class Cloud:
    """Rows of one kind: what was measured and what is predicted of each, in one unit."""

    label: str
    points: Sequence[tuple[float, float]]


Subject = Sequence[Roof] | Sequence[Curve] | Sequence[Bar] | Sequence[Cloud]


def picture(path: str, title: str, subject: Subject, unit: str = "") -> None:
    """Draw one picture into a file; its kind is that of the subject, the file's kind its suffix."""
    target = writable(path)
    drawing: Any = import_module("matplotlib")
    figures: Any = import_module("matplotlib.figure")
    with drawing.rc_context(_STYLE):
        rows = len(subject) if isinstance(subject[0], Bar) else 0
        height = max(2.2, 1.6 + 0.32 * rows) if rows else 5.0
        sheet: Any = figures.Figure(
            figsize=(6 if isinstance(subject[0], Cloud) else 8, height), dpi=150, layout="constrained"
        )
        axes = sheet.add_subplot()
        axes.set_title(title, pad=12)
        draw: Any = {Roof: _rooflines, Curve: _fronts, Bar: _bars, Cloud: _clouds}[type(subject[0])]
        draw(axes, subject, unit)
        metadata = (
            {"Date": None} if target.suffix == ".svg" else {"CreationDate": None} if target.suffix == ".pdf" else {}
        )
        sheet.savefig(target, metadata=metadata)


def writable(path: str, option: str = "-o") -> Path:
    """The file of a picture; `InvalidInput` where its suffix is none that can be drawn.

    Asked before anything is computed: `RooflineError` where there is nothing to draw with.
    """
    try:
        import_module("matplotlib")
    except ImportError:
        message = "plot needs matplotlib, which is not installed: pip install matplotlib"
        raise RooflineError(message) from None
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise InvalidInput(
            option, given=path, expected=f"a file that ends in {', '.join(SUFFIXES)}", nearest=f"{path}.svg"
        )
    if target.is_dir():
        raise InvalidInput(option, given=path, expected="a file, and this is a directory")
    return target


def _rooflines(axes: Axes, roofs: Sequence[Roof], unit: str) -> None:
    """Roofs of memory and of arithmetic, and the steps beneath them."""
    from matplotlib.ticker import EngFormatter  # noqa: PLC0415

    known = [intensity for roof in roofs for points in roof.series for _, intensity, _ in points]
    ridges = [roof.peak / roof.bandwidth for roof in roofs]
    low, high = min([*known, *ridges]) / 3, max([*known, *ridges]) * 6
    for place, roof in enumerate(roofs):
        colour, dash, marker = _look(place)
        ridge = roof.peak / roof.bandwidth
        corners = [low, ridge, high]
        heights = [min(roof.peak, roof.bandwidth * corner) for corner in corners]
        axes.plot(corners, heights, color=colour, linestyle=dash, linewidth=1.8)
        if roof.feed is not None and roof.feed < roof.bandwidth:
            ends = [low, roof.peak / roof.feed]
            axes.plot(ends, [roof.feed * end for end in ends], color=colour, linestyle=":", linewidth=1.0)
            axes.annotate(
                "feed", (ends[0], roof.feed * ends[0]), (4, 2), textcoords="offset points", fontsize=8, color=colour
            )
        axes.plot([], [], color=colour, linestyle=dash, linewidth=1.8, marker=marker, markersize=5, label=roof.label)
        for points in roof.series:
            axes.plot(*_columns(points), color=colour, linestyle=dash, linewidth=0.8, alpha=0.6)
            axes.plot(*_columns(points), color=colour, linestyle="", marker=marker, markersize=5)
            # Of several series the first points lie on each other.
            for called, x, y in _ends(points) if len(roof.series) == 1 else points[-1:]:
                axes.annotate(called, (x, y), (5, -9), textcoords="offset points", fontsize=8, color=colour)
    axes.set(xscale="log", yscale="log", xlim=(low, high))
    axes.set_xlabel("model FLOP per byte of weights and caches [FLOP/B]")
    axes.set_ylabel("FLOP/s per device")
    axes.yaxis.set_major_formatter(EngFormatter(unit="FLOP/s"))
    axes.xaxis.set_major_formatter(EngFormatter())
    _legend(axes, f"lines: roofs; marks: steps{f'; numbers: {unit}' if unit else ''}")


def _fronts(axes: Axes, curves: Sequence[Curve], _unit: str) -> None:
    """Points of each pool, those that none of the same pool beats joined."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    for place, curve in enumerate(curves):
        colour, dash, marker = _look(place)
        axes.plot(*_columns(curve.points), color=colour, linestyle="", marker=marker, markersize=3.5, alpha=0.35)
        axes.plot(
            *_columns(curve.front),
            color=colour,
            linestyle=dash,
            linewidth=1.6,
            marker=marker,
            markersize=5,
            label=curve.label,
        )
        for batch, x, y in _ends(curve.front):
            axes.annotate(f"{batch:,g}", (x, y), (5, 4), textcoords="offset points", fontsize=8, color=colour)
    axes.set(xscale="log", yscale="log")
    axes.set_xlabel("tokens per second per user [1/s]")
    axes.set_ylabel("tokens per second per device [1/s]")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    _legend(axes, "numbers: sequences in flight; joined: those that no other of the pool beats")


def _clouds(axes: Axes, clouds: Sequence[Cloud], unit: str) -> None:
    """Predicted over measured on equal axes, and the band of a quarter either way."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    numbers = [number for cloud in clouds for point in cloud.points for number in point]
    ends = [min(numbers) / 1.3, max(numbers) * 1.3]
    axes.fill_between(ends, [end / _BAND for end in ends], [end * _BAND for end in ends], color="#ececec", zorder=0.5)
    axes.plot(ends, ends, color="#555555", linewidth=1.0)
    for place, cloud in enumerate(clouds):
        colour, _, marker = _look(place)
        measured, predicted = zip(*cloud.points, strict=True)
        label = f"{cloud.label} ({len(cloud.points):,})"
        axes.plot(measured, predicted, color=colour, linestyle="", marker=marker, markersize=3, alpha=0.45, label=label)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    axes.set_xlabel(f"measured {unit}")
    axes.set_ylabel(f"predicted {unit}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ends[1] / ends[0] < _MANY else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    _legend(axes, "line: predicted as measured; band: a quarter more or less")


_MANY = 1e4
"""Largest over least number on an axis from which it is marked in powers of ten alone, to be read [1]."""
_BAND = 1.25
"""Predicted over measured at the edge of the band that is drawn [1]."""


def _bars(axes: Axes, bars: Sequence[Bar], unit: str) -> None:
    """One stacked bar per step, groups apart, the floor marked."""
    places, ticks, place = [], [], 0.0
    for index, bar in enumerate(bars):
        if index and bars[index - 1].group != bar.group:
            place += 0.8
        places.append(place)
        ticks.append(bar.label)
        place += 1
    longest = max((sum(bar.seconds.values()) for bar in bars if bar.seconds), default=1e-3)
    scale = 1e6 if longest < 1e-3 else 1e3 if longest < 10 else 1
    words = {1e6: "µs", 1e3: "ms", 1: "s"}[scale]
    for resource in RESOURCES:
        colour, hatch = _FILLS[resource]
        lengths = [(bar.seconds or {}).get(resource, 0.0) * scale for bar in bars]
        starts = [
            sum((bar.seconds or {}).get(other, 0.0) for other in RESOURCES[: RESOURCES.index(resource)]) * scale
            for bar in bars
        ]
        if max(lengths) > longest * scale / 1000:
            axes.barh(places, lengths, left=starts, height=0.72, color=colour, hatch=hatch, label=resource)
    floors = [(bar.floor * scale, here) for bar, here in zip(bars, places, strict=True) if bar.floor is not None]
    if floors:
        ends, heights = zip(*floors, strict=True)
        for size, width, colour, label in ((17, 4.5, "white", None), (15, 1.8, "black", "floor")):  # its rim first
            axes.plot(
                ends,
                heights,
                linestyle="",
                marker="|",
                markersize=size,
                markeredgewidth=width,
                color=colour,
                label=label,
            )
    for bar, here in zip(bars, places, strict=True):
        total = sum((bar.seconds or {}).values()) * scale
        text = bar.note if bar.seconds is None else f"{figure(total)} {words}"
        style = "italic" if bar.seconds is None else "normal"
        axes.annotate(text, (total, here), (5, 0), textcoords="offset points", va="center", fontsize=9, style=style)
    for group in dict.fromkeys(bar.group for bar in bars):
        first = next(here for bar, here in zip(bars, places, strict=True) if bar.group == group)
        axes.annotate(
            group, (0, first - 0.45), (2, 2), textcoords="offset points", va="bottom", fontsize=9, color="#555555"
        )
    axes.set_yticks(places, ticks)
    axes.invert_yaxis()
    axes.set_xlim(0, longest * scale * 1.14)
    axes.set_xlabel(f"{unit} [{words}]")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    _legend(axes, None, columns=6)


def _legend(axes: Axes, title: str | None, columns: int = 3) -> None:
    """Below the axes, where it hides nothing."""
    axes.figure.legend(
        title=title, title_fontsize=9, alignment="left", loc="outside lower left", ncols=columns, handlelength=2.2
    )


def _look(place: int) -> tuple[str, Any, str]:
    return _COLOURS[place % len(_COLOURS)], _DASHES[place % len(_DASHES)], _MARKERS[place % len(_MARKERS)]


def _ends(points: Sequence[tuple[Name, float, float]]) -> Sequence[tuple[Name, float, float]]:
    """The first and the last point."""
    return points if len(points) < 2 else (points[0], points[-1])


def _columns(points: Sequence[tuple[Name, float, float]]) -> tuple[list[float], list[float]]:
    return [point[1] for point in points], [point[2] for point in points]
