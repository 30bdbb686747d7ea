"""Rows of estimates as a table for people: pools above, phases below, then what it shows and what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from roofline.show.findings import Names, assumed, does_not_fit, findings, missing
from roofline.show.grid import Cell, Column, Grid, Heading, Sentence, left_out_line
from roofline.show.lines import Line, command, figure, paragraph
from roofline.show.records import Row

BEST = "green"
"""Style of the best figure of a group."""

LEGEND = "floor: least in this layout · ideal: at peak rates · calibrated: at fitted rates"

_POOLS = (
    Column("pool", ("pool",), left=True, most=28),
    Column("layout", ("layout",), left=True),
    Column("taken for", ("taken", "for"), left=True, need=2),
    Column("format", ("format",), left=True, folds=True),
    Column("replicas", ("replicas",), need=8),
    Column("idle devices", ("idle", "devices"), need=9),
    Column("largest batch", ("largest", "batch"), need=1),
    Column("price of a device", ("USD/h", "/dev"), need=6),
    Column("power of a device", ("W", "/dev"), need=7),
)
_TIMES = (
    Column("", (), left=True, most=28),
    Column("floor", ("floor", "ms"), need=4),
    Column("ideal", ("ideal", "ms"), need=4, gap=1),
    Column("seconds", ("", "ms"), gap=1),
    Column("80 % interval", ("calibrated", "80 % range"), need=2, gap=1, left=True),
    Column("tokens/s", ("tok/s", "all"), need=8),
    Column("tokens/s per user", ("tok/s", "/user")),
    Column("tokens/s per device", ("tok/s", "/dev"), need=3),
    Column("USD per million tokens", ("USD", "/Mtok"), need=2),
    Column("joules per token", ("J", "/tok"), need=5),
    Column("MFU", ("MFU", "%"), need=6),
    Column("MBU", ("MBU", "%"), need=7),
    Column("bound", ("bound",), need=1, left=True),
)
_BEST_OF: tuple[tuple[int, str, Callable[..., float]], ...] = (
    (3, "seconds", min),
    (5, "tokens_per_second", max),
    (6, "tokens_per_second_per_user", max),
    (7, "tokens_per_second_per_device", max),
    (8, "usd_per_million_tokens", min),
    (9, "joules_per_token", min),
)
DOCUMENT = (
    *("deployment", "phase", "batch", "context", "layout", "quantization", "fits", "floor", "ideal", "seconds"),
    *("low", "high", "tokens_per_second", "tokens_per_second_per_user", "tokens_per_second_per_device"),
    *("usd_per_million_tokens", "joules_per_token", "mfu", "mbu", "bound", "replicas", "idle_devices", "max_batch"),
    *("price", "power"),
)
"""Keys of the rows that the tables show where there is room for all."""


def comparison(
    rows: Sequence[Row], names: Names, *, title: str, next_commands: Sequence[str], width: int
) -> list[Line]:
    """The whole answer to a comparison, as lines of at most `width` cells."""
    pools, times = pool_grid(rows, names), time_grid(rows, names)
    out = [*paragraph(title, width, style="bold"), Line(), *pools.render(width), Line(), *times.render(width), Line()]
    out += paragraph(LEGEND, width, style="dim")
    out += left_out_line([*times.left_out(width), *pools.left_out(width)], width)
    for heading, sentences in (
        ("In short", findings(rows, names)),
        ("Missing", missing(rows, names)),
        ("Assumed", assumed(rows, names)),
        ("Next", next_commands),
    ):
        if sentences:
            out += [Line(), Line((heading, "bold"))]
        for sentence in sentences:
            out += command(sentence, width) if heading == "Next" else paragraph(sentence, width, bullet="· ")
    return out


def pool_grid(rows: Sequence[Row], names: Names) -> Grid:
    """What each pool is: layouts, format, room, and the price and power of one device."""
    by_layout = {typed: _by(of_pool, "layout") for typed, of_pool in _by(rows, "deployment").items()}
    several = any(len(layouts) > 1 for layouts in by_layout.values())
    grid = Grid(_POOLS if several else tuple(column for column in _POOLS if column.name != "taken for"))
    for typed, layouts in by_layout.items():
        for place, (layout, taken) in enumerate(layouts.items()):
            row = taken[-1]
            cells = [
                "" if place else names.pool[typed],
                layout or "",
                *([_taken_for(taken)] if several else []),
                "" if place else row["quantization"],
                _count(row["replicas"]),
                _count(row["idle_devices"]),
                _count(row["max_batch"]),
                *(("", "") if place else of_a_device(row)),
            ]
            grid.lines.append(cells)
    return grid


def _taken_for(rows: Sequence[Row]) -> str:
    """The rows of one layout, by phase and batch."""
    batches = ", ".join(f"{row['batch']:,g}" for row in rows if row["phase"] == "decode")
    prefill = "prefill" if rows[0]["phase"] == "prefill" else ""
    return ", ".join(filter(None, (prefill, f"batch {batches}" if batches else "")))


def of_a_device(row: Row) -> list[Cell]:
    """Price [USD/h] and power [W] of one device, as a pool takes them; empty where nobody published them."""
    price, power = row["price"], row["power"]
    return ["" if price is None else f"{price:,.2f}", "" if power is None else figure(power)]


def time_grid(rows: Sequence[Row], names: Names) -> Grid:
    """Times and rates of every pool, grouped by phase and batch."""
    grid = Grid(_TIMES)
    for (phase, batch, context), group in groupby(rows, key=lambda row: (row["phase"], row["batch"], row["context"])):
        of_group = list(group)
        what = f"{context:,g} tokens, batch {batch:,g}: ms to the first token"
        if phase == "decode":
            what = f"batch {batch:,g} at context {context:,g}: ms per token"
        grid.lines.append(Heading(phase.capitalize(), what))
        best = {key: _best([row[key] for row in of_group], choose) for _, key, choose in _BEST_OF}
        grid.lines += [_time_line(row, names, best) for row in of_group]
    return grid


def _time_line(row: Row, names: Names, best: dict[str, float | None]) -> Sequence[Cell] | Sentence:
    if not row["fits"]:
        return Sentence(names.pool[row["deployment"]], does_not_fit(row))
    money, energy = row["usd_per_million_tokens"], row["joules_per_token"]
    cells: list[Cell] = [
        names.pool[row["deployment"]],
        (milliseconds(row["floor"]), "dim"),
        (milliseconds(row["ideal"]), "dim"),
        milliseconds(row["seconds"]),
        (f"{milliseconds(row['low'])}–{milliseconds(row['high'])}", "dim"),
        figure(row["tokens_per_second"]),
        figure(row["tokens_per_second_per_user"]),
        figure(row["tokens_per_second_per_device"]),
        "" if money is None else _short(money, 3),
        "" if energy is None else figure(energy),
        figure(row["mfu"] * 100, 2),
        figure(row["mbu"] * 100, 2),
        row["bound"],
    ]
    for index, key, _ in _BEST_OF:
        if best[key] is not None and row[key] == best[key]:
            cells[index] = (str(cells[index]), BEST)
    return cells


def _best(values: Sequence[float | None], choose: Callable[..., float]) -> float | None:
    known = [value for value in values if value is not None]
    return choose(known) if len(known) > 1 else None


def _by(rows: Sequence[Row], key: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,g}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds with three digits, and no more than three decimals while that leaves one.

    >>> milliseconds(0.0884), milliseconds(0.0000751), milliseconds(1.2e-9)
    ('88.4', '0.075', '1.2e-06')
    """
    value = seconds * 1e3
    return _short(value, 3 if value >= 0.1 else 2)


def _short(value: float, digits: int) -> str:
    """A figure with no more than three decimals while that leaves one of its digits."""
    return f"{value:.3f}" if 0.0005 <= value < 0.1 else figure(value, digits)
