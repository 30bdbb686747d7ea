"""A spec that breaks a rule gives one line: the file, the field, what stands there, what was expected."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from roofline.describe.catalog import accelerator
from roofline.describe.hardware import parse_accelerator
from roofline.errors import SpecError

GOOD: dict[str, Any] = {
    "name": "My chip",
    "kind": "hbm",
    "vendor": "Me",
    "year": 2026,
    "edition": "2026-11",
    "status": "announced",
    "peak": {"bf16": {"value": "100 TFLOP/s", "source": "my notes"}},
    "memory": {
        "hbm": {
            "capacity": {"value": "80 GiB", "source": "my notes"},
            "bandwidth": {"value": "3 TB/s", "source": "my notes"},
        }
    },
    "link": {
        "scale_up": {
            "topology": "switch",
            "bandwidth": {"value": "450 GB/s", "source": "my notes"},
            "domain": {"value": 8, "source": "my notes"},
        }
    },
}
NUMBER = {"value": "1 TB/s", "source": "my notes"}
SMALLER_DOMAIN = {"topology": "switch", "bandwidth": NUMBER, "domain": {"value": 4, "source": "my notes"}}
MISSING = object()

BAD = [
    # field changed, new value, field named, what was given, what is expected
    ("tdp", NUMBER, "tdp", "unknown key tdp", "a key of the spec format"),
    ("memory.hbm.bandwith", NUMBER, "memory.hbm.bandwith", "unknown key bandwith", "nearest: bandwidth"),
    ("feed", NUMBER, "feed", "unknown key feed", "a key of the spec format"),
    ("memory.hbm.bandwidth.value", "3 TB", "memory.hbm.bandwidth", "'3 TB'", "a quantity in B/s"),
    ("memory.hbm.capacity.value", 80, "memory.hbm.capacity", "80", "a quantity in B"),
    ("memory.hbm.bandwidth.value", "3 TBs", "memory.hbm.bandwidth", "'3 TBs'", "a unit such as"),
    ("memory.hbm.bandwidth.value", "fast", "memory.hbm.bandwidth", "'fast'", "a number and a unit"),
    ("memory.hbm.bandwidth.value", True, "memory.hbm.bandwidth", "True", "a quantity such as"),
    ("memory.hbm.bandwidth.value", "-3 TB/s", "memory.hbm.bandwidth", "'-3 TB/s'", "a positive finite number"),
    ("memory.hbm.bandwidth.value", "0 TB/s", "memory.hbm.bandwidth", "'0 TB/s'", "leave out what is not known"),
    ("memory.hbm.bandwidth", "3 TB/s", "memory.hbm.bandwidth", "'3 TB/s'", 'a table { value = "…", source = "…" }'),
    ("link.scale_up.domain.value", "8 GB", "link.scale_up.domain", "'8 GB'", "a count without a unit"),
    ("peak.bf16.source", MISSING, "peak.bf16", "'100 TFLOP/s'", "a source beside the value"),
    ("memory.hbm.capacity", MISSING, "memory.hbm.capacity", "nothing", "a value: the key is required"),
    ("status", MISSING, "status", "nothing", "a value: the key is required"),
    ("peak", {}, "peak", "{}", "at least one entry"),
    ("memory", {}, "memory", "{}", "at least one entry"),
    (
        "memory.hbm.usable",
        {**NUMBER, "value": "90 GiB"},
        "memory.hbm.usable",
        "'90 GiB'",
        "at most the capacity, 80 GiB",
    ),
    ("peak.fp7", NUMBER, "peak.fp7", "'fp7'", "nearest: fp8"),
    ("peak.bf16.kind", "guess", "peak.bf16.kind", "'guess'", "'datasheet', 'paper', 'measured'"),
    ("peak.bf16.confidence", "sure", "peak.bf16.confidence", "'sure'", "'high', 'medium' or 'low'"),
    ("kind", "gpu", "kind", "'gpu'", "'hbm' or 'sram'"),
    ("kind", MISSING, "kind", "None", "'hbm' or 'sram'"),
    ("status", "soon", "status", "'soon'", "'shipping', 'announced' or 'historical'"),
    ("year", "2026", "year", "'2026'", "a valid integer"),
    ("year", True, "year", "True", "a valid integer"),
    ("year", 1826, "year", "1826", "greater than or equal to 2010"),
    ("edition", "today", "edition", "'today'", 'a date such as "2026-11"'),
    (
        "link.scale_up.within",
        {"4": {**NUMBER, "value": "1 us"}},
        "link.scale_up.within",
        "1 us",
        "a latency and a domain",
    ),
    ("link.scale_up.within", {"few": {**NUMBER, "value": "1 us"}}, "link.scale_up.within", "few", "numbers of devices"),
    ("link.scale_up.topology", "ball", "link.scale_up.topology", "'ball'", "'all_to_all', 'switch'"),
    ("link.wider", SMALLER_DOMAIN, "link", "['scale_up', 'wider']", "from the smallest domain to the largest"),
]


def changed(field: str, value: object) -> dict[str, Any]:
    spec = copy.deepcopy(GOOD)
    holder: dict[str, Any] = spec
    *path, last = field.split(".")
    for key in path:
        holder = holder[key]
    if value is MISSING:
        del holder[last]
    else:
        holder[last] = value
    return spec


def test_the_unchanged_spec_is_good() -> None:
    assert parse_accelerator(GOOD, where="my.toml").name == "My chip"


@pytest.mark.parametrize(("field", "value", "named", "given", "expected"), BAD)
def test_one_line_says_what_is_wrong(field: str, value: object, named: str, given: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_accelerator(changed(field, value), where="my.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"my.toml, {named}: got ")
    assert given in message.partition(": got ")[2].partition(", expected ")[0]
    assert expected in message.partition(", expected ")[2]


def test_several_faults_are_counted() -> None:
    spec = changed("status", "soon")
    spec["edition"] = "today"
    with pytest.raises(SpecError, match=r"\(and 1 more\)"):
        parse_accelerator(spec, where="my.toml")


@pytest.mark.parametrize("contents", ["kind = ", "", "[[kind]]"])
def test_files_that_are_no_specs(tmp_path: Path, contents: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(contents)
    with pytest.raises(SpecError) as caught:
        accelerator(path)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        accelerator(tmp_path / "mine.toml")


def test_a_spec_that_is_a_list() -> None:
    with pytest.raises(SpecError, match=r"my\.toml, kind"):
        parse_accelerator(json.loads("[]"), where="my.toml")


FILE = """
name = "My chip"   # line 2
kind = "hbm"
vendor = "Me"
year = 2026
edition = "2026-11"
status = "announced"

[peak]
bf16 = { value = "100 TFLOP/s", source = "my notes" }

[memory.hbm]       # line 12
capacity = { value = "80 GiB", source = "my notes" }

[memory.hbm.bandwidth]
value = "3 TB/s"
source = "my notes"

[facts]            # line 19
"odd.name" = { value = 3, source = "my notes" }
links = { value = 4, source = "my notes" }
"""
LINES = [
    # what stands there, what stands there instead, the line and field named
    ('"announced"', '"soon"', "mine.toml:7, status"),
    ("status =", "state =", "mine.toml:7, state"),
    ('value = "100 TFLOP/s"', 'value = "100 TB/s"', "mine.toml:10, peak.bf16"),
    ("bf16 =", "bf17 =", "mine.toml:10, peak.bf17"),
    ("capacity =", "capcity =", "mine.toml:13, memory.hbm.capcity"),
    ('capacity = { value = "80 GiB", source = "my notes" }', "", "mine.toml:12, memory.hbm.capacity"),
    ('value = "3 TB/s"', 'value = "3 TB"', "mine.toml:15, memory.hbm.bandwidth"),
    (
        '"3 TB/s"\nsource = "my notes"',
        '"3 TB/s"\nsource = "my notes"\ncolour = 1',
        "mine.toml:18, memory.hbm.bandwidth.colour",
    ),
    ("links = { value = 4", 'links = { value = "x"', "mine.toml:21, facts.links"),
    ('kind = "hbm"', 'kind = "gpu"', "mine.toml:3, kind"),
    ('kind = "hbm"', "", "mine.toml, kind"),
    ("year = 2026", "", "mine.toml, year"),
    ('"My chip"', '"M', "mine.toml:2: got"),
]


@pytest.mark.parametrize(("old", "new", "named"), LINES)
def test_a_complaint_about_a_file_names_the_line(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = tmp_path / "mine.toml"
    assert old in FILE
    path.write_text(FILE.replace(old, new), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        accelerator(path)
    assert str(caught.value).startswith(f"{tmp_path}/{named}"), str(caught.value)


def test_the_file_as_it_stands_is_good(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(FILE, encoding="utf-8")
    assert accelerator(path).facts["odd.name"].value == 3
