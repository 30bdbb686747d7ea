"""Which silicon to rent: options that keep to an objective, the best first, and why the others do not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from roofline.describe.formats import Quantization
from roofline.describe.model import ModelShape
from roofline.describe.model_catalog import load_model
from roofline.describe.workload import Slo, Traffic
from roofline.errors import InvalidInput
from roofline.estimate.deployment import Deployment
from roofline.explore.plan import plan
from roofline.explore.planned import MINIMIZE, Option, Plan
from roofline.show.answer import Answer, answered
from roofline.show.failures import NO, OK
from roofline.show.grid import Cell, Column, Grid, Heading
from roofline.show.lines import KEPT_BLANK, Line, figure, paragraph
from roofline.show.numbers import given_numbers, number, quantity
from roofline.show.options import chosen
from roofline.show.pools import RANKS, InPool, Pool
from roofline.show.progress import telling
from roofline.show.tables import BEST, milliseconds
from roofline.units import format_quantity

SHOWN, LATE = 12, 6
"""Options that a table shows, and options that miss the objective."""
NAMED = 3
"""Options that a sentence on some of them names one by one."""
_OPTIONS = (
    Column("parts", ("parts",), left=True, most=26, folds=True),
    Column("devices", ("devices",)),
    Column("layout", ("replicas ×", "layout"), left=True, most=28, folds=True),
    Column("format", ("format",), left=True, need=7),
    Column("time to the first token", ("first", "token s")),
    Column("time per token", ("per", "token ms"), gap=1),
    Column("time to the last token", ("last", "token s"), need=9, gap=1),
    Column("requests/s", ("req/s", ""), need=4),
    Column("tokens/s per device", ("tok/s", "/dev"), need=3),
    Column("USD per thousand requests", ("USD", "/kreq")),
    Column("USD per million output tokens", ("USD/Mtok", "out"), need=1),
    Column("USD per million input tokens", ("", "in"), need=5, gap=1),
    Column("joules per output token", ("J", "/tok"), need=8),
    Column("misses", ("",), left=True, need=2, folds=True, style="yellow"),
)
_PLACES = {
    "devices": 1,
    "ttft": 4,
    "tpot": 5,
    "e2e_latency": 6,
    "usd_per_request": 9,
    "usd_per_million_output_tokens": 10,
    "usd_per_million_input_tokens": 11,
    "joules_per_output_token": 12,
}
"""The column of what is minimized."""


@dataclass(frozen=True)
class Asked:
    """Parts, an objective, what is to be least, and how a serving stack is set."""

    parts: tuple[str, ...]
    slo: Slo
    minimize: str
    link: str | None
    runtime: str | None
    limits: Mapping[str, float]
    most_devices: int

    @classmethod
    def parse(
        cls,
        parts: Sequence[str],
        *,
        ttft: str | None,
        tpot: str | None,
        minimize: str,
        link: str | None,
        runtime: str | None,
        chunk: str | None,
        max_batch: str | None,
        most_devices: str,
    ) -> Asked:
        """From the options of a command."""
        if ttft is None and tpot is None:
            expected = "what a user will wait: --ttft 500ms for the first token, --tpot 20ms for each further one"
            raise InvalidInput("--ttft and --tpot", given="neither", expected=expected)
        times = [
            None if text is None else quantity(name, text, "s", "500 ms")
            for name, text in (("--ttft", ttft), ("--tpot", tpot))
        ]
        chosen("--minimize", minimize, MINIMIZE)
        most = number("most devices", most_devices, most=1e6)
        limits = given_numbers(chunk=chunk, max_batch=max_batch)
        return cls(tuple(dict.fromkeys(parts)), Slo(*times), minimize, link, runtime, limits, int(most))


def answer(model: str, asked: Asked, load: Traffic, quantization: str | None, form: str) -> Answer:
    """Every option tried; status 1 where none keeps to the objective."""
    shape = load_model(model)
    formats = None if quantization is None else Quantization.of(quantization)
    offers, left_out = _offers(asked, shape, quantization)
    with telling("planning") as tell:
        found = plan(
            shape,
            load,
            accelerators=offers,
            slo=asked.slo,
            minimize=asked.minimize,
            quantization=formats,
            link=asked.link,
            runtime=asked.runtime,
            **asked.limits,
            most_devices=asked.most_devices,
            progress=lambda done, options: tell(f"planning: {done:,} of {options:,} options"),
        )
    found = replace(found, left_out=(*found.left_out, *left_out))
    rows = found.to_dicts()
    status = OK if found.best else NO
    document = [key for key in rows[0] if key != "assumptions"] if rows else None

    def view(width: int) -> list[Line]:
        return options(shape.name, load, asked, found, width)

    return answered(rows, form, view, status, document=document)


def _offers(asked: Asked, shape: ModelShape, quantization: str | None) -> tuple[dict[str, Deployment | str], list[str]]:
    """Parts by what was typed, and why others are out; where all are, the complaint about the first."""
    offers: dict[str, Deployment | str] = {}
    wrong: list[InPool] = []
    for text, pool in {text: _said(text) for text in asked.parts}.items():
        try:
            offers[text] = pool.under(asked.runtime).deployment(shape, quantization) if pool else text
        except InPool as error:
            wrong.append(error)
    if wrong and not offers:
        raise wrong[0]
    return offers, [str(error) for error in wrong]


def _said(text: str) -> Pool | None:
    """What is said of a part after a comma, as of a pool; None where nothing is."""
    name, comma, said = text.partition(",")
    part, counted, _ = name.partition(":")
    if counted and part:
        expected = "a part without a count: how many is what is looked for"
        raise InvalidInput("--on", given=text, expected=expected, nearest=part + comma + said)
    if not comma:
        return None
    pool = Pool.parse(f"{name}:1,{said}")
    ranks = [rank for rank in RANKS if rank in pool.options]
    if ranks:
        raise InvalidInput("--on", given=text, expected=f"no {ranks[0]}=: the layout is what is looked for")
    return pool


def options(model: str, load: Traffic, asked: Asked, found: Plan, width: int) -> list[Line]:
    """The options that keep to the objective, best first, then the nearest misses, and what the former rest on."""
    wanted = [
        f"{name} within {format_quantity(limit, 's').replace(' ', KEPT_BLANK)}"
        for name, limit in (("first token", asked.slo.ttft), ("each further one", asked.slo.tpot))
        if limit is not None
    ]
    out = [*paragraph(f"{model}: {load}; {', '.join(wanted)}", width, style="bold"), Line()]
    grid = Grid(_OPTIONS)
    least = asked.minimize.replace("_", " ").replace("usd", "USD")
    late = [option for option in found.options if not option.meets]
    kept: list[Option] = []
    for heading, known in ((f"Least {least}", True), ("In time, at a price that is not known", False)):
        of_sort = [option for option in found.options if option.meets and (not option.reason) == known]
        kept += _listed(grid, heading, of_sort[:SHOWN], len(of_sort))
    nearest = _listed(grid, "Too late", found.nearest[:LATE], len(late), "the nearest of each layout")
    place = _PLACES.get(asked.minimize)
    if found.best is not None and place is not None:
        grid.lines[1] = [(str(cell), BEST) if here == place else cell for here, cell in enumerate(_line(found.best))]
    out += grid.render(width) if grid.lines else []
    notes = grid.left_out_line(width) if grid.lines else []
    if found.best is None:
        words = " at a known price" if kept else ""
        notes += paragraph(f"no option tried keeps to the objective{words}", width, style="yellow")
    out += [Line(), *notes] if notes else []
    for title, sentences in (("Assumed", assumed(kept or nearest)), ("Left out", found.left_out)):
        out += [Line(), Line((title, "bold"))] if sentences else []
        for sentence in sentences:
            out += paragraph(sentence, width, bullet="· ")
    return out


def _listed(grid: Grid, heading: str, shown: Sequence[Option], every: int, which: str = "") -> Sequence[Option]:
    """Options under a heading, which says how many of all they are; those that were listed."""
    if shown:
        words = f"{which}, " if which else ""
        grid.lines.append(Heading(heading, f"{words}{len(shown)} of {every:,}" if len(shown) < every else ""))
    grid.lines += [_line(option) for option in shown]
    return shown


def assumed(options: Sequence[Option]) -> list[str]:
    """What options rest on, each sentence once, with whose it is unless that is all."""
    makers: dict[str, list[Option]] = {}
    for option in options:
        for sentence in option.service.assumptions:
            makers.setdefault(sentence, []).append(option)
    found = [(_whose(who, options), sentence) for sentence, who in makers.items()]
    return [f"{whose}: {sentence}" if whose else sentence for whose, sentence in found]


def _whose(who: Sequence[Option], options: Sequence[Option]) -> str:
    """Nobody's in particular, all of some parts, a few by name, or how many."""
    if len(who) == len(options):
        return ""
    parts = list(dict.fromkeys(option.parts for option in who))
    if all(option in who for option in options if option.parts in parts):
        return ", ".join(" + ".join(each) for each in parts)
    if len(who) <= NAMED:
        return ", ".join(f"{option.layout} of {' + '.join(option.parts)}" for option in who)
    return f"{len(who)} of these {len(options)}"


def _line(option: Option) -> list[Cell]:
    service, money = option.service, option.service.usd_per_request
    return [
        " + ".join(option.parts),
        f"{option.devices:,}",
        option.layout,
        option.quantization,
        _number(service.ttft),
        "" if math.isnan(service.tpot) else milliseconds(service.tpot),
        _number(service.e2e_latency),
        _number(service.requests_per_second),
        _number(service.tokens_per_second_per_device),
        _number(None if money is None else 1e3 * money),
        _number(service.usd_per_million_output_tokens),
        _number(service.usd_per_million_input_tokens),
        _number(service.joules_per_output_token),
        option.reason,
    ]


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else "∞" if math.isinf(value) else figure(value)
