"""Ways of serving one traffic side by side: systems and their pools above, loads below, then what it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from roofline.describe.model_catalog import load_model
from roofline.describe.workload import LENGTHS, Traffic
from roofline.errors import InvalidInput
from roofline.show.answer import Answer, answered
from roofline.show.axes import axis
from roofline.show.failures import NO, OK
from roofline.show.findings import Names
from roofline.show.grid import Cell, Column, Grid, Heading, Sentence, left_out_line
from roofline.show.lines import Line, figure, paragraph
from roofline.show.numbers import number
from roofline.show.options import chosen
from roofline.show.pools import Pool, part_name
from roofline.show.progress import tracked
from roofline.show.records import Row
from roofline.show.serve_rows import overloaded, served
from roofline.show.serve_systems import DRAFTING, Asked, Typed
from roofline.show.tables import BEST, milliseconds, of_a_device

_POOLS = (
    Column("system", ("system",), left=True, most=28),
    Column("pool", ("pool",), left=True),
    Column("devices", ("devices",), left=True, most=28),
    Column("layout", ("layout",), left=True, need=1),
    Column("requests in flight", ("in", "flight"), left=True, need=1),
    Column("requests that come", ("req/s", "come"), left=True, need=1),
    Column("format", ("format",), left=True, need=5),
    Column("replicas", ("replicas",), need=8),
    Column("batch", ("batch",), need=2),
    Column("busy", ("busy", "%"), need=3),
    Column("price of a device", ("USD/h", "/dev"), need=6),
    Column("power of a device", ("W", "/dev"), need=7),
)
_TIMES = (
    Column("", (), left=True, most=28),
    Column("time to the first token", ("first", "token s")),
    Column("time per token", ("per", "token ms")),
    Column("time to the last token", ("last", "token s"), need=5, gap=1),
    Column("requests/s", ("req/s", ""), need=1),
    Column("tokens/s", ("tok/s", "all"), need=4),
    Column("tokens/s per user", ("tok/s", "/user"), need=7, gap=1),
    Column("tokens/s per device", ("tok/s", "/dev"), need=2, gap=1),
    Column("USD per million output tokens", ("USD/Mtok", "out"), need=1),
    Column("USD per million input tokens", ("", "in"), need=6, gap=1),
    Column("joules per output token", ("J", "/tok"), need=8),
    Column("bound", ("bound",), left=True, need=3),
    Column("limit", ("limited by",), left=True, need=9),
)
_BEST_OF: tuple[tuple[int, str, Callable[..., float]], ...] = (
    (1, "ttft", min),
    (2, "tpot", min),
    (3, "e2e_latency", min),
    (4, "requests_per_second", max),
    (5, "tokens_per_second", max),
    (6, "tokens_per_second_per_user", max),
    (7, "tokens_per_second_per_device", max),
    (8, "usd_per_million_output_tokens", min),
    (9, "usd_per_million_input_tokens", min),
    (10, "joules_per_output_token", min),
)
_DOCUMENT = (
    *("mode", "deployment", "quantization", "concurrency", "rate", "fits", "ttft", "tpot", "e2e_latency"),
    *("requests_per_second", "tokens_per_second", "tokens_per_second_per_user", "tokens_per_second_per_device"),
    *("usd_per_million_output_tokens", "usd_per_million_input_tokens", "joules_per_output_token", "bound", "limit"),
)
"""Keys of the rows that the tables show where there is room for all, but for those of single pools."""
Key = tuple[str, str]
"""Whose row it is: the way of serving, and its pools as they were typed."""
_LEGEND = (
    "means in steady state, output tokens; first token from the request on, waiting included; per device of all pools"
)


def loads(
    isl: str, osl: str, concurrency: str | None, rate: str | None, cached_share: str, lengths: str
) -> list[Traffic]:
    """The traffics of a command line: one for each concurrency, or for each rate."""
    if concurrency is not None and rate is not None:
        expected = "one of them: requests in flight, or requests per second"
        raise InvalidInput("--concurrency and --rate", given="both", expected=expected)
    tokens = number("isl", isl), number("osl", osl)
    share = number("cached share", cached_share, least=0, most=1)
    rest: dict[str, Any] = {"cached_share": share, "lengths": chosen("--lengths", lengths, LENGTHS)}
    if rate is not None:
        return [Traffic(*tokens, rate=each, **rest) for each in axis("rate", rate, least=1e-9)]
    return [
        Traffic(*tokens, concurrency=each, **rest)
        for each in axis("concurrency", "16" if concurrency is None else concurrency)
    ]


def answer(
    model: str,
    asked: Asked,
    loads: Sequence[Traffic],
    most: Mapping[str, float],
    *,
    quantization: str | None,
    form: str,
) -> Answer:
    """Every way of serving that was typed under every load; status 1 where one does not fit or cannot keep up.

    `most`: what `serve` is told beside them.
    """
    shape = load_model(model)
    systems = asked.systems(shape, quantization)
    rows = served(systems, shape, loads, most, tracked=lambda given: tracked(list(given), "serving"))
    fine = all(row["fits"] and not overloaded(row) for row in rows)

    def view(width: int) -> list[Line]:
        return services(rows, labels(systems), width)

    return answered(rows, form, view, OK if fine else NO, document=_DOCUMENT)


def services(rows: Sequence[Row], names: Mapping[Key, str], width: int) -> list[Line]:
    """The whole answer, as lines of at most `width` cells; `names` is what each system is called."""
    first = rows[0]
    cached = f", {first['cached_share']:.0%} of prompts cached" if first["cached_share"] else ""
    equal = ", all requests equally long" if first["lengths"] == "equal" else ""
    title = f"{first['model']}: {first['isl']:,g} tokens in, {first['osl']:,g} out{cached}{equal}"
    pools, times = pool_grid(rows, names), time_grid(rows, names)
    out = [*paragraph(title, width, style="bold"), Line()]
    if pools.lines:
        out += [*pools.render(width), Line()]
    out += times.render(width)
    if pools.lines:
        out += [Line(), *paragraph(_LEGEND, width, style="dim")]
        out += left_out_line([*times.left_out(width), *pools.left_out(width)], width)
    for heading, sentences in (
        ("In short", findings(rows, names)),
        ("Missing", missing(rows)),
        ("Assumed", assumed(rows, names)),
    ):
        if sentences:
            out += [Line(), Line((heading, "bold"))]
        for sentence in sentences:
            out += paragraph(sentence, width, bullet="· ")
    return out


def labels(systems: Sequence[Typed]) -> dict[Key, str]:
    """What each system is called: its way of serving, then of several that have it the pools that they do not share.

    Where all serve in one way the pools alone are their names.
    """
    pools = [Pool.parse(text) for text in dict.fromkeys(text for each in systems for text in each.pools)]
    called = Names.of(pools).pool
    ways = {each.mode.removesuffix(DRAFTING) for each in systems}
    found = {}
    for each in systems:
        alike = [other.pools for other in systems if other.mode == each.mode]
        own = [text for text, *others in zip(each.pools, *alike, strict=True) if {*others} != {text}]
        words = " + ".join(called[text.strip()] for text in own)
        way = each.mode if len(ways) > 1 or not words else DRAFTING if each.mode.endswith(DRAFTING) else ""
        found[each.mode, each.text] = f"{words}{way}" if way in ("", DRAFTING) else f"{way} {words}".strip()
    return found


def _key(row: Row) -> Key:
    return row["mode"], row["deployment"]


def pool_grid(rows: Sequence[Row], names: Mapping[Key, str]) -> Grid:
    """What each pool of a system is and does, for each run of loads that have one layout under the last of them."""
    loads = list(dict.fromkeys(_load(row) for row in rows if row["fits"]))
    by_name = {key: _runs([row for row in rows if _key(row) == key and row["fits"]]) for key in names}
    several = any(len(runs) > 1 for runs in by_name.values())
    others = {"requests in flight", "requests that come"}
    if several:
        others.remove("requests in flight" if rows[0]["rate"] is None else "requests that come")
    columns = tuple(column for column in _POOLS if column.name not in others)
    words = "under the last load of each layout" if several else f"under {loads[-1]}" if loads else ""
    grid = Grid(columns, [Heading("Pools", words)] if len(loads) > 1 else [])
    for key, runs in by_name.items():
        for number_of_run, run in enumerate(runs):
            for index, pool in enumerate(run[-1]["pools"]):
                taken = ["" if index else _span(run)] if several else []
                grid.lines.append(
                    [
                        "" if index or number_of_run else names[key],
                        *([""] * 2 if number_of_run and len(run[-1]["pools"]) == 1 else _devices(pool)),
                        pool["layout"],
                        *taken,
                        pool["quantization"],
                        f"{pool['replicas']:,}",
                        "" if pool["batch"] is None else figure(pool["batch"]),
                        figure(pool["utilisation"] * 100, 2),
                        *of_a_device(pool),
                    ]
                )
    return grid


def _devices(pool: Row) -> list[str]:
    return [pool["name"], f"{pool['devices']:,} × {part_name(pool['deployment'])}"]


def _runs(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one system in runs of the same layouts."""
    alike = groupby(rows, key=lambda row: [(pool["layout"], pool["replicas"]) for pool in row["pools"]])
    return [list(run) for _, run in alike]


def _span(rows: Sequence[Row]) -> str:
    """The loads of a run: the first and the last."""
    each = [row["concurrency"] if row["rate"] is None else row["rate"] for row in rows]
    return f"{each[0]:,g}" if len(each) == 1 else f"{each[0]:,g} to {each[-1]:,g}"


def time_grid(rows: Sequence[Row], names: Mapping[Key, str]) -> Grid:
    """Times, rates and costs of every system, grouped by load."""
    grid = Grid(_TIMES)
    for _, group in groupby(rows, key=_load):
        of_group = list(group)
        grid.lines.append(Heading(_load(of_group[0])))
        best = {key: _best([row[key] for row in of_group], choose) for _, key, choose in _BEST_OF}
        for row in of_group:
            if row["fits"]:
                grid.lines.append(_time_line(row, names[_key(row)], best))
            else:
                grid.lines.append(Sentence(names[_key(row)], row["message"]))
    return grid


def _load(row: Row) -> str:
    if row["rate"] is None:
        return f"{row['concurrency']:,g} in flight"
    return f"{row['rate']:,g} requests/s"


def _time_line(row: Row, name: str, best: dict[str, float | None]) -> Sequence[Cell]:
    cells: list[Cell] = [
        name,
        ("∞", "yellow") if overloaded(row) else _number(row["ttft"]),
        "" if row["tpot"] is None else milliseconds(row["tpot"]),
        _number(row["e2e_latency"]),
        _number(row["requests_per_second"]),
        _number(row["tokens_per_second"]),
        _number(row["tokens_per_second_per_user"]),
        _number(row["tokens_per_second_per_device"]),
        _number(row["usd_per_million_output_tokens"]),
        _number(row["usd_per_million_input_tokens"]),
        _number(row["joules_per_output_token"]),
        row["bound"],
        row["limit"],
    ]
    for index, key, _ in _BEST_OF:
        if best[key] is not None and row[key] == best[key]:
            cells[index] = (str(cells[index]), BEST)
    return cells


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "∞" if math.isinf(value) else figure(value)


def _best(values: Sequence[float | None], choose: Callable[..., float]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return choose(known) if len(known) > 1 else None


def findings(rows: Sequence[Row], names: Mapping[Key, str]) -> list[str]:
    """Per load: who answers first, who is fastest then, who makes most of a device and of a dollar."""
    found = []
    for load, group in groupby(rows, key=_load):
        of_load = list(group)
        swamped = [
            f"{names[_key(row)]} keeps up with {figure(row['requests_per_second'])}"
            for row in of_load
            if overloaded(row)
        ]
        if swamped:
            found.append(f"{load}: the queue grows without end; {', '.join(swamped)}")
        able = [row for row in of_load if row["fits"] and not overloaded(row)]
        if len(able) > 1:
            found.append(f"{load}: {'; '.join(_leaders(able, names))}")
    return found


def _leaders(rows: Sequence[Row], names: Mapping[Key, str]) -> list[str]:
    """Who leads in what, each leader once."""
    questions: list[tuple[str, str, Callable[..., Row]]] = [
        ("the first token is soonest", "ttft", min),
        ("further tokens are fastest", "tpot", min),
        ("a device makes the most", "tokens_per_second_per_device", max),
        ("a request is cheapest", "usd_per_request", min),
    ]
    leads: dict[str, list[str]] = {}
    for words, key, choose in questions:
        known = [row for row in rows if row[key] is not None]
        if len(known) == len(rows):
            first = choose(known, key=lambda row, by=key: row[by])
            leads.setdefault(names[_key(first)], []).append(words)
    return [f"{', '.join(words)} with {name}" for name, words in leads.items()]


def missing(rows: Sequence[Row]) -> list[str]:
    """Which parts have no published price or power, and what to type instead."""
    found = []
    pools = [pool for row in rows for pool in row["pools"]]
    for key, example, unit in (("price", "2.50", "USD/h"), ("power", "700", "W")):
        parts = dict.fromkeys(part_name(pool["deployment"]) for pool in pools if pool[key] is None)
        if parts:
            gives = f"{key}={example} in the pool gives it in {unit}"
            found.append(f"no {key} of {' or '.join(parts)} is published, so its cells are empty: {gives}")
    return found


def assumed(rows: Sequence[Row], names: Mapping[Key, str]) -> list[str]:
    """Assumptions of all rows, each once, with the systems and loads that it was made for unless that is all."""
    makers: dict[str, dict[str, list[Row]]] = {}
    loads: dict[str, list[Row]] = {}
    for row in rows:
        if row["fits"]:
            loads.setdefault(names[_key(row)], []).append(row)
        for sentence in row["assumptions"]:
            makers.setdefault(sentence, {}).setdefault(names[_key(row)], []).append(row)

    def made_for(name: str, of_name: list[Row]) -> str:
        some = len(of_name) < len(loads.get(name, of_name))
        return f"{name} under {_and(list(dict.fromkeys(map(_load, of_name))))}".strip() if some else name

    found = []
    for words, who in makers.items():
        said = [made_for(name, of_name) for name, of_name in who.items()]
        everywhere = said == list(who) and len(who) == len(loads)
        found.append(words if everywhere else f"{', '.join(said)}: {words}")
    return found


def _and(loads: list[str]) -> str:
    """Loads in words: of several, only the last says of what."""
    return loads[0] if len(loads) == 1 else f"{', '.join(load.split()[0] for load in loads[:-1])} and {loads[-1]}"
