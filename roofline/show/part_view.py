"""One part with every number's source, and several parts side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from roofline.describe.catalog import accelerator, source_of, sources
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.provenance import Cited
from roofline.show.grid import Column, Grid, Heading
from roofline.show.lines import Line, figure, paragraph
from roofline.show.records import Row
from roofline.units import Dimension, format_quantity

Part = HbmAccelerator | SramAccelerator

_NUMBERS = (
    Column("number", (), left=True, most=28),
    Column("value", ("value",), left=True, most=24),
    Column("as printed", ("as printed, and its reading",), left=True, folds=True),
    Column("confidence", ("trust",), left=True, need=5, gap=1),
    Column("source", ("",), need=4, gap=1),
    Column("note", ("note",), left=True, need=6, folds=True, style="dim"),
)


_SECTIONS = ("Peak", "Memory", "Feed", "Link", "Power and price", "Facts", "Computed")

_IN_SECTION = {
    "ridge_point": "Computed",
    "sweep_time": "Computed",
    "power": "Power and price",
    "price": "Power and price",
}


def number_rows(name: str) -> list[Row]:
    """Every cited number of a part in SI units with its evidence, then what follows from them."""
    part = accelerator(name)
    rows = [{"accelerator": name, **cited_row(path, part.cite(path))} for path in part.cited_fields()]
    return rows + [_computed_row(name, *computed) for computed in _computed(part)]


def cited_row(path: str, number: Cited) -> Row:
    """A cited number in SI units with its evidence."""
    source = source_of(number)
    return {
        "field": path,
        "value": number.value,
        "unit": _unit(number.quantity.dimension),
        "text": number.text,
        "as_printed": number.as_printed,
        "reading": number.reading,
        "source": source.title if source else number.source,
        "date": number.date or (source.date if source else None),
        "url": source.url or None if source else None,
        "kind": number.kind or (source.kind if source else None),
        "confidence": number.confidence,
        "note": number.note,
    }


def _computed(part: Part) -> list[tuple[str, float, str, str]]:
    """Ridge points and sweep time: field, value, unit, and what they were computed from."""
    memory = next(iter(part.memory.values()))
    ridges = [
        (f"ridge_point.{form}", peak.value / memory.bandwidth.value, "FLOP/B", f"peak.{form} / memory.bandwidth")
        for form, peak in part.peak.items()
    ]
    sweep = memory.capacity.value / memory.bandwidth.value
    return [*ridges, ("sweep_time", sweep, "s", "memory.capacity / memory.bandwidth")]


def _computed_row(name: str, field: str, value: float, unit: str, origin: str) -> Row:
    text = format_quantity(value, unit) if unit == "s" else f"{figure(value)} {unit}"
    return {
        "accelerator": name,
        "field": field,
        "value": value,
        "unit": unit,
        "text": text,
        "as_printed": None,
        "reading": origin,
        "source": "computed from this part's numbers",
        "date": None,
        "url": None,
        "kind": "derived",
        "confidence": None,
        "note": None,
    }


def _unit(dimension: Dimension) -> str:
    """A dimension in words of SI: bytes per second are `B/s`, joules per second `W`."""
    if dimension == (("J", 1), ("s", -1)):
        return "W"
    above = [base for base, power in dimension for _ in range(power)]
    below = [base for base, power in dimension for _ in range(-power)]
    return "/".join(["·".join(above) or "1", *below]) if dimension else "1"


def part_details(name: str, rows: Sequence[Row], width: int) -> list[Line]:
    """One part: every number as printed and as read, where it is from, and what follows from it."""
    part = accelerator(name)
    about = f"{part.vendor}, {part.year}, {part.status}, {part.kind}; edition {part.edition}"
    out = [Line((part.name, "bold")), *paragraph(about, width)]
    out += paragraph(part.note, width) if part.note else []
    cited: dict[str, int] = {}
    grid = Grid(_NUMBERS)
    ordered = sorted(rows, key=lambda row: _SECTIONS.index(_section(row)))
    for section, group in groupby(ordered, key=_section):
        grid.lines.append(Heading(section))
        for row in group:
            index = "" if section == "Computed" else f"[{cited.setdefault(row['source'], len(cited) + 1)}]"
            reading = ", ".join(text for text in (row["as_printed"], row["reading"]) if text)
            grid.lines.append(
                [label(row["field"]), row["text"], reading, row["confidence"] or "", index, row["note"] or ""]
            )
    spare = grid.left_out_line(width)
    out += [Line(), *grid.render(width), *([Line(), *spare] if spare else []), Line(), Line(("Sources", "bold"))]
    return [*out, *source_lines(cited, width)]


def source_lines(numbers: Mapping[str, int], width: int) -> list[Line]:
    """Documents by their numbers: title, date, kind of evidence, address."""
    out = []
    documents = {source.title: source for source in sources().values()}
    for title, number in numbers.items():
        source = documents.get(title)
        words = f"{title} ({source.date}), {source.kind}" if source else title
        out += paragraph(words, width, bullet=f"[{number}] ")
        for text in (source.url, source.note) if source else ():
            out += paragraph(text, width, bullet="    ", style="dim") if text else []
    return out


def side_by_side(names: Sequence[str], rows: Sequence[Row], width: int) -> list[Line]:
    """Several parts, a column each; tiers of memory and links are matched by their order."""
    table: dict[tuple[int, int, str], dict[str, str]] = {}
    for row in rows:
        if not row["field"].startswith("facts."):
            table.setdefault(_matched(row), {})[row["accelerator"]] = row["text"]
    columns = [Column("", (), left=True)]
    columns += [Column(name, (name,), need=0 if index < 2 else index) for index, name in enumerate(names)]
    grid = Grid(columns)
    for place, matched in groupby(sorted(table, key=lambda key: key[:2]), key=lambda key: key[0]):
        grid.lines.append(Heading(_SECTIONS[place]))
        grid.lines += [[key[2], *(table[key].get(name, "") for name in names)] for key in matched]
    out = grid.render(width)
    return [*out, *grid.left_out_line(width)]


def _matched(row: Row) -> tuple[int, int, str]:
    """Section, tier and label under which numbers of different parts are the same number."""
    words, tier = row["field"].split("."), 0
    if words[0] in ("memory", "link"):
        tier = list(getattr(accelerator(row["accelerator"]), words[0])).index(words.pop(1))
    name = label(".".join(words))
    return _SECTIONS.index(_section(row)), tier, f"tier {tier + 1} {name}" if tier else name


def _section(row: Row) -> str:
    first = str(row["field"]).partition(".")[0]
    return _IN_SECTION.get(first, first.capitalize())


def label(path: str) -> str:
    """A dotted path in words, without what its section says already."""
    first, _, rest = path.partition(".")
    if first == "ridge_point":
        return f"ridge point {rest}"
    return (rest or first).replace(".", " ").replace("_", " ")
