"""A grid of points as rows and as a table, and the points of it that no other beats."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from roofline.describe.model import ModelShape
from roofline.describe.model_catalog import load_model
from roofline.errors import InvalidInput, RooflineError
from roofline.explore.grid import COLUMNS
from roofline.explore.pareto import pareto
from roofline.explore.sweep import sweep
from roofline.show.answer import Answer, answered
from roofline.show.axes import Varied, axis
from roofline.show.failures import NO, OK
from roofline.show.grid import Cell, Column, Grid, Heading
from roofline.show.hardware_view import cited
from roofline.show.lines import Line, command, figure, paragraph
from roofline.show.options import chosen
from roofline.show.pools import InPool, Pool
from roofline.show.progress import telling
from roofline.show.records import Row
from roofline.show.rows import plain
from roofline.show.tables import milliseconds
from roofline.units import format_quantity

OBJECTIVES = ("tokens_per_second_per_user", "tokens_per_second_per_device")
"""What `--pareto` maximizes."""
LARGEST = 1_000_000
"""Points beyond which a grid was mistyped."""
SHOWN = 200
"""Rows that a table shows."""
_TIMES = (
    Column("floor", ("floor", "ms"), need=5),
    Column("ideal", ("ideal", "ms"), need=6, gap=1),
    Column("seconds", ("", "ms")),
    Column("80 % interval", ("calibrated", "80 % range"), need=3, gap=1, left=True),
    Column("tokens/s", ("tok/s", "all"), need=7),
    Column("tokens/s per user", ("tok/s", "/user")),
    Column("tokens/s per device", ("tok/s", "/dev")),
    Column("USD per million tokens", ("USD", "/Mtok"), need=2),
    Column("joules per token", ("J", "/tok"), need=8),
    Column("MFU", ("MFU", "%"), need=9),
    Column("MBU", ("MBU", "%"), need=9),
    Column("bound", ("bound",), need=1, left=True),
    Column("layout", ("layout",), need=4, left=True),
)


@dataclass(frozen=True)
class Wanted:
    """A phase, its axes by name, hardware numbers, and what the points are judged by: all of them are shown if not."""

    phase: str
    axes: dict[str, list[float]]
    vary: tuple[Varied, ...]
    maximize: tuple[str, ...]
    minimize: tuple[str, ...]

    @classmethod
    def parse(
        cls,
        phase: str,
        batch: str | None,
        context: str,
        vary: Sequence[str],
        *,
        pareto: bool,
        maximize: str | None,
        minimize: str | None,
    ) -> Wanted:
        """From the options of a command."""
        chosen("--phase", phase, ("decode", "prefill"))
        batches = axis("batch", batch if batch is not None else "1:256:x2" if phase == "decode" else "1")
        contexts = axis("context", context)
        axes = {"batch": batches, "context" if phase == "decode" else "prompt": contexts}
        varied = tuple(Varied.parse(text) for text in vary)
        if len({each.path for each in varied}) < len(varied):
            raise InvalidInput("--vary", given=" ".join(vary), expected="each path once")
        points = math.prod(len(values) for values in (*axes.values(), *(each.values for each in varied)))
        if points > LARGEST:
            raise InvalidInput("sweep", given=f"{points:,} points", expected=f"at most {LARGEST:,}")
        most, least = (
            tuple(key.strip() for key in (keys or "").split(",") if key.strip()) for keys in (maximize, minimize)
        )
        if pareto and not most and not least:
            most = OBJECTIVES
        return cls(phase, axes, varied, most, least)

    @property
    def judged(self) -> bool:
        """Whether only points that none beats are wanted."""
        return bool(self.maximize or self.minimize)


def answer(model: str, texts: Sequence[str], wanted: Wanted, quantization: str | None, form: str) -> Answer:
    """The rows of every pool; status 1 where none fits."""
    shape = load_model(model)
    pools = [Pool.parse(text) for text in dict.fromkeys(texts)]
    with telling("sweeping") as tell:

        def told(done: int, points: int) -> None:
            tell(f"sweeping: {done:,} of {points:,} points")

        rows = [row for pool in pools for row in grid_rows(pool, shape, wanted, quantization, told)]
    fits = any(row["fits"] for row in rows)
    every = len(rows)
    if wanted.judged:
        rows = pareto(rows, maximize=wanted.maximize, minimize=wanted.minimize).to_dicts()

    def view(width: int) -> list[Line]:
        return table(model, rows, wanted, pools, every, width, quantization)

    return answered(rows, form, view, OK if fits else NO)


def grid_rows(
    pool: Pool,
    model: ModelShape,
    wanted: Wanted,
    quantization: str | None,
    told: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Every point of one pool, under the names that an `Estimate` has for its columns; nan is None where none fits."""
    deployment = pool.deployment(model, quantization)
    method = deployment.decode if wanted.phase == "decode" else deployment.prefill
    try:
        for each in wanted.vary:
            each.check(pool.accelerator)
        axes: dict[str, Any] = {**wanted.axes, **{each.path: each.values for each in wanted.vary}}
        found = sweep(method, progress=told, **axes).to_dicts()
    except RooflineError as error:
        raise InPool(pool.text, error) from None
    start = {"deployment": pool.text, "model": model.name, "accelerator": pool.accelerator.name}
    formats = {"quantization": deployment.quantization.label}
    keys = ("phase", *axes)
    return [
        {
            **start,
            **{key: plain(row[key]) for key in keys},
            **formats,
            **{key: row[key] for key in COLUMNS},
        }
        for row in found
    ]


def table(
    model: str,
    rows: Sequence[Row],
    wanted: Wanted,
    pools: Sequence[Pool],
    every: int,
    width: int,
    quantization: str | None = None,
) -> list[Line]:
    """The rows as a table: a column per axis with several values, then times and rates."""
    lists = {**wanted.axes, **{each.path: each.values for each in wanted.vary}}
    moving = [name for name, values in lists.items() if len(values) > 1]
    still = [
        f"{_words(name)} {_value(name, values[0], pools[0])}" for name, values in lists.items() if len(values) == 1
    ]
    several = len(pools) > 1
    title = f"{load_model(model).name}, {wanted.phase}{''.join(f', {words}' for words in still)}"
    columns = [Column(name, (*_header(name),)) for name in moving] + list(_TIMES)
    if several and wanted.judged:
        columns.insert(0, Column("pool", ("pool",), left=True, most=40))
    columns[0] = replace(columns[0], left=columns[0].name == "pool")
    grid = Grid(columns)
    shown = rows[:SHOWN]
    for text, group in groupby(shown, key=lambda row: "" if wanted.judged else row["deployment"]):
        of_pool = list(group)
        if text:
            grid.lines.append(Heading(text, of_pool[0]["quantization"]))
        for row in of_pool:
            first: list[Cell] = [row["deployment"]] if several and wanted.judged else []
            cells = [*first, *(_value(name, row[name], pools[0]) for name in moving)]
            grid.lines.append([*cells, *_times(row)] if row["fits"] else _unfit(cells, row))
    out = [*paragraph(title, width, style="bold"), Line(), *grid.render(width), Line()]
    if wanted.judged:
        goals = [f"more {_words(key)}" for key in wanted.maximize] + [f"less {_words(key)}" for key in wanted.minimize]
        out += paragraph(f"{len(rows):,} of {every:,} points, which none beats: {', '.join(goals)}", width)
    if len(rows) > SHOWN:
        out += paragraph(f"the first {SHOWN} of {len(rows):,} rows; --format csv writes all", width, style="dim")
    out += grid.left_out_line(width)
    fitting = [row for row in rows if row["fits"]]
    if fitting and wanted.phase == "decode":
        best = max(fitting, key=lambda row: row["tokens_per_second_per_device"])
        point = ["--batch", f"{best['batch']:g}", "--context", f"{best['context']:g}"]
        formats = ["--quantization", quantization] if quantization else []
        words = shlex.join(["roofline", "explain", model, "--on", best["deployment"], *point, *formats])
        out += [Line(), Line(("Next", "bold")), *command(words, width)]
    return out


def _unfit(cells: Sequence[Cell], row: Row) -> list[Cell]:
    """Blanks, and in the column that is always there why."""
    empty: list[Cell] = [""] * len(_TIMES)
    empty[2] = ("no fit" if row["layout"] else "no layout", "yellow")
    return [*cells, *empty]


def _times(row: Row) -> list[Cell]:
    money, energy = row["usd_per_million_tokens"], row["joules_per_token"]
    return [
        (milliseconds(row["floor"]), "dim"),
        (milliseconds(row["ideal"]), "dim"),
        milliseconds(row["seconds"]),
        (f"{milliseconds(row['low'])}–{milliseconds(row['high'])}", "dim"),
        figure(row["tokens_per_second"]),
        figure(row["tokens_per_second_per_user"]),
        figure(row["tokens_per_second_per_device"]),
        "" if money is None else figure(money),
        "" if energy is None else figure(energy),
        figure(row["mfu"] * 100, 2),
        figure(row["mbu"] * 100, 2),
        row["bound"],
        row["layout"],
    ]


def _words(key: str) -> str:
    return key.replace("_", " ")


def _header(name: str) -> list[str]:
    """A path in two lines at most."""
    group, _, rest = name.rpartition(".")
    return [group, rest] if group else [name]


def _value(name: str, value: Any, pool: Pool) -> str:
    number = cited(pool.accelerator, name) if name not in ("batch", "context", "prompt") else None
    unit = number.unit if number is not None and name != "price" else ""
    return format_quantity(value, unit) if unit not in ("", "1") else f"{value:,g}"
