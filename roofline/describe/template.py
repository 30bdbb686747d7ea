"""How a spec file is written: every key in words, a file of one's own made from a catalogue part, a schema for editors.

The words stand here once; the template's comments and the schema's descriptions are both made of them.
"""

from __future__ import annotations

import datetime
import json
import textwrap
from collections.abc import Iterator
from typing import Any

from roofline.describe.catalog import accelerator
from roofline.describe.formats import FORMATS
from roofline.describe.hardware import ACCELERATOR, HbmAccelerator, SramAccelerator
from roofline.describe.provenance import READINGS, Cited

FIELDS: dict[str, str] = {
    "name": "What the part is called.",
    "kind": '"hbm": weights and caches stream from DRAM of any sort (HBM, GDDR, LPDDR). "sram": no DRAM behind the'
    " compute units.",
    "vendor": "Whose it is. Kernels of a vendor of whom none are fitted take as much longer than their class's as"
    " service on its parts tells, which is known of AMD.",
    "year": "The year it came out, or will.",
    "edition": 'When these figures were put together, "2026-11" or "2026-11-24". A correction is a new edition.',
    "status": '"shipping", "announced" (figures may change) or "historical".',
    "calibration": "Name of a calibration file with figures fitted to this part's own kernels, where there is one.",
    "note": "Free text.",
    "peak": "Dense rates of the matrix units, one per number format they take. A rate printed with sparsity is halved;"
    f" a multiply-add is two operations. Formats: {', '.join(name for name in FORMATS if name != 'fp8_block')}, or"
    ' "fp4" for a rate that holds for every 4-bit layout.',
    "memory": "Memory tiers of one device, the nearest first: that is where weights and caches live.",
    "memory.capacity": "Capacity as printed. DRAM is printed in GB and holds GiB: 80 GB are 80 GiB.",
    "memory.bandwidth": "Rate of reading it, of the whole device.",
    "memory.usable": "What a driver reports, where that is known; a cloud shows it in nvidia-smi or rocm-smi.",
    "feed": "Rate at which weights, keys and values enter the matrix unit, where it is published. On some machines it"
    " binds before the SRAM does; without it the SRAM's bandwidth is the only roof.",
    "link": "Ways to other devices, from the smallest domain to the largest.",
    "link.topology": '"all_to_all", "switch", "summing_switch", "torus", "ring", "dragonfly", "fat_tree" or'
    ' "point_to_point".',
    "link.bandwidth": "Of one device over all its lanes in this tier, in one direction: half of a sum of both.",
    "link.domain": "How many devices it joins; absent where it joins any number.",
    "link.latency": "Of one hop, propagation only: not what software adds.",
    "link.within": "Latencies of reaching fewer devices than the domain, by their number, where latency is end to end.",
    "link.hops": "Hops across the whole domain; absent means one, with the latency then end to end.",
    "power": "Design power of one device.",
    "price": "What an hour of one device costs.",
    "facts": "Further figures under any name. Those that say a thing twice are compared, so that a number read wrongly"
    " contradicts another. Delete what you do not know.",
}
"""What every key of a spec means."""

NUMBER: dict[str, str] = {
    "value": 'Text with a unit, "3.35 TB/s", or a bare count.',
    "source": "The document. In the catalogue a name of SOURCES.toml, elsewhere any text.",
    "as_printed": "What the document prints, where the value is not simply that.",
    "reading": "How the printed figure becomes the value: steps separated by ;, each one of "
    + ", ".join([*READINGS, "divided by N", "times QUANTITY"])
    + ".",
    "kind": "What sort of evidence it is, where that differs from the document's.",
    "confidence": "high (assumed), medium or low.",
    "date": "Where the document's date is not the number's.",
    "note": "Free text.",
}
"""What every key of a number means."""

_UNITS = {
    "peak": ("FLOP/s", r"(FLOP|OP)/s", "100 TFLOP/s"),
    "capacity": ("B", r"(B|b|bit)", "80 GiB"),
    "usable": ("B", r"(B|b|bit)", "79 GiB"),
    "bandwidth": ("B/s", r"(B|b|bit)/(s|h)", "450 GB/s"),
    "feed": ("B/s", r"(B|b|bit)/(s|h)", "18 TB/s"),
    "latency": ("s", r"(s|h)", "500 ns"),
    "power": ("W", r"W", "700 W"),
    "price": ("USD/h", r"USD/(h|s)", "2.00 USD/h"),
    "domain": ("1", "", "8"),
    "hops": ("1", "", "3"),
}
_PREFIX = "(p|n|u|µ|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi)?"
_COPIED = ("measured_", "claimed_", "second_", "node_", "rack_", "domain_", "all_in_", "card_", "module_")
"""Facts of the part itself that another part does not inherit."""
_KEYS = {"memory": ("capacity", "usable", "bandwidth"), "link": ("topology", "bandwidth", "domain", "latency", "hops")}


def spec_template(name: str, like: str, *, edition: str | None = None) -> str:
    """A spec file for a part of one's own, every key explained, with the figures of a catalogue part to replace.

    `edition` is today's date where none is given.
    """
    part = accelerator(like)
    return "\n".join(_lines(part, name, like, edition or datetime.date.today().isoformat())) + "\n"


def measured_of(like: str) -> bool:
    """Whether estimates of a catalogue part rest on what was measured of it, which its template leaves out."""
    part = accelerator(like)
    return part.calibration is not None or any(key.startswith("measured_") for key in part.facts)


def _lines(part: HbmAccelerator | SramAccelerator, name: str, like: str, edition: str) -> Iterator[str]:
    yield f"# {name}: made from {like}. Every figure marked as copied is of that part: replace it and its source."
    yield from _comment("A number is a table:")
    for key, words in NUMBER.items():
        yield from _comment(f"  {key}: {words}")
    head = {"name": name, "kind": part.kind, "vendor": part.vendor, "year": part.year, "edition": edition}
    for key, value in {**head, "status": "announced"}.items():
        yield from ["", *_comment(FIELDS[key]), f"{key} = {_text(value)}"]
    for key, words in (("calibration", part.calibration or like), ("note", "…")):
        yield from ["", *_comment(FIELDS[key]), f"# {key} = {_text(words)}"]
    yield from ["", *_comment(FIELDS["peak"]), "[peak]"]
    yield from (f"{key} = {_copied(number, like)}" for key, number in part.peak.items())
    if isinstance(part, SramAccelerator):
        yield from _single("feed", part.feed, like)
    yield from _tiers("memory", part, like)
    yield from _tiers("link", part, like)
    yield from _single("power", part.power, like)
    yield from _single("price", part.price, like)
    yield from ["", *_comment(FIELDS["facts"]), "[facts]"]
    for key, fact in part.facts.items():
        if not key.startswith(_COPIED) and not key.endswith("_sparse"):
            yield f"{key} = {_copied(fact, like)}"


def _tiers(kind: str, part: HbmAccelerator | SramAccelerator, like: str) -> Iterator[str]:
    tiers: dict[str, Any] = getattr(part, kind)
    yield from ["", *_comment(FIELDS[kind])]
    if not tiers:
        yield from ("# [link.scale_up]", *_comment(FIELDS["link.topology"]), '# topology = "switch"')
        for key in _KEYS["link"][1:]:
            yield from [*_comment(FIELDS[f"link.{key}"]), f"# {key} = {_example(_UNITS[key][2])}"]
        yield from (
            *_comment(FIELDS["link.within"]),
            "# [link.scale_up.within]",
            f"# 4 = {_example(_UNITS['latency'][2])}",
        )
    for position, (name, tier) in enumerate(tiers.items()):
        yield from [*([""] if position else []), f"[{kind}.{name}]"]
        for key in _KEYS[kind]:
            value = getattr(tier, key)
            if position == 0:
                yield from _comment(FIELDS[f"{kind}.{key}"])
            if value is not None:
                yield f"{key} = {_copied(value, like) if isinstance(value, Cited) else _text(value)}"
            elif position == 0:
                yield f"# {key} = {_example(tier.capacity.text if key == 'usable' else _UNITS[key][2])}"
        if kind == "link":
            yield from _within(name, tier, like, explained=position == 0)


def _within(name: str, tier: Any, like: str, *, explained: bool) -> Iterator[str]:
    """Latencies of reaching a part of a link's domain: a section of their own, last in the link's."""
    if explained:
        yield from _comment(FIELDS["link.within"])
    if tier.within:
        yield f"[link.{name}.within]"
        yield from (f"{size} = {_copied(latency, like)}" for size, latency in tier.within.items())
    elif explained:
        yield from (f"# [link.{name}.within]", f"# 4 = {_example(_UNITS['latency'][2])}")


def _single(key: str, number: Cited | None, like: str) -> Iterator[str]:
    """A number of the part itself: last among the plain keys, a section of its own."""
    yield from ["", *_comment(FIELDS[key])]
    if number is None:
        yield from (f"# {line}" for line in (f"[{key}]", f"value = {_text(_UNITS[key][2])}", 'source = "…"'))
        return
    yield f"[{key}]"
    yield from (f"{name} = {value}" for name, value in _entries(number, like))


def _copied(number: Cited, like: str) -> str:
    return "{ " + ", ".join(f"{key} = {value}" for key, value in _entries(number, like)) + " }"


def _entries(number: Cited, like: str) -> Iterator[tuple[str, str]]:
    """A number as the file wrote it, its source marked."""
    bare = number.text.replace(".", "", 1).isdigit()
    yield "value", number.text if bare else _text(number.text)
    for key in ("as_printed", "reading"):
        if getattr(number, key):
            yield key, _text(getattr(number, key))
    yield "source", _text(f"copied from {like} ({number.source}): replace")
    for key in ("kind", "confidence", "note"):
        value = getattr(number, key)
        if value and value != "high":
            yield key, _text(value)


def _example(value: str) -> str:
    return f'{{ value = {value if value.isdigit() else _text(value)}, source = "…" }}'


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _comment(words: str) -> list[str]:
    indent = "#   " if words.startswith(" ") else "# "
    return textwrap.wrap(words.strip(), 110, initial_indent=indent, subsequent_indent=indent)


def spec_schema() -> dict[str, Any]:
    """The JSON schema of spec files, for editors that complete and check TOML."""
    definitions = _without_null(ACCELERATOR.json_schema())["$defs"]
    definitions["Cited"] = _number_schema(definitions["Cited"])
    for part in ("HbmAccelerator", "SramAccelerator"):
        _describe(definitions[part], "")
    _describe(definitions["MemoryTier"], "memory.")
    _describe(definitions["LinkTier"], "link.")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A hardware spec of roofline",
        "type": "object",
        "required": ["kind"],
        "if": {"properties": {"kind": {"const": "sram"}}},
        "then": {"$ref": "#/$defs/SramAccelerator"},
        "else": {"$ref": "#/$defs/HbmAccelerator"},
        "$defs": definitions,
    }


def schema_text() -> str:
    """`spec_schema` as the text of `docs/hardware-spec.schema.json`."""
    return json.dumps(spec_schema(), indent=2, ensure_ascii=False) + "\n"


def _number_schema(generated: dict[str, Any]) -> dict[str, Any]:
    """A number as files write it: `value` is text or a count, and what is derived from it is no key."""
    keys = {key: {**generated["properties"][key], "description": words} for key, words in NUMBER.items()}
    keys["value"] = {"type": ["string", "number"], "description": NUMBER["value"]}
    return {
        **generated,
        "properties": keys,
        "required": ["value", "source"],
        "description": "A number with its source.",
    }


def _without_null(node: Any) -> Any:
    """The schema without nulls, which TOML cannot write, and without the titles that repeat each key."""
    if isinstance(node, list):
        return [_without_null(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if kept.get("default", 0) is None:
        del kept["default"]
    choices = [choice for choice in kept.pop("anyOf", ()) if choice != {"type": "null"}]
    kept |= choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {}
    return {key: _without_null(value) for key, value in kept.items()}


def _describe(model: dict[str, Any], prefix: str) -> None:
    """Words and units for every key of one model's schema."""
    for key, generated in model["properties"].items():
        described = {**generated, "description": FIELDS[prefix + key]}
        if key == "peak":
            described["propertyNames"] = {"enum": [*FORMATS, "fp4"]}
            described["additionalProperties"] = _with_unit(described["additionalProperties"], key)
        elif key in _UNITS:
            described = _with_unit(described, key)
        model["properties"][key] = described


def _with_unit(described: dict[str, Any], key: str) -> dict[str, Any]:
    unit, pattern, example = _UNITS[key]
    written: dict[str, Any] = {"description": f"{NUMBER['value']} Here in {unit}, such as {example}."}
    number = r"\s*[+]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
    if unit == "1":
        written |= {"type": ["string", "number"], "description": "A count without a unit."}
    else:
        written |= {"type": "string", "pattern": f"^{number}\\s*{_PREFIX}{pattern}\\s*$", "examples": [example]}
    return {**described, "properties": {"value": written}}
