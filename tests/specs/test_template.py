"""A file made from any catalogue part loads, explains every key, and owns up to what was copied; so does the schema."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from roofline.describe.catalog import accelerator, accelerators, specs_directory
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.provenance import Cited, read_printed
from roofline.describe.template import FIELDS, NUMBER, schema_text, spec_schema, spec_template
from roofline.describe.tiers import LinkTier, MemoryTier
from roofline.errors import UnknownName
from roofline.trust.cross_checks import contradictions
from tests.specs.rewrite import SCHEMA

every_part = pytest.mark.parametrize("name", accelerators())
DERIVED = {"text", "unit"}


def written(name: str, folder: Path) -> Path:
    path = folder / "mine.toml"
    path.write_text(spec_template("My chip", name, edition="2026-11-24"), encoding="utf-8")
    return path


def spec_path(name: str) -> Path:
    return next(path for path in specs_directory().glob(f"*/{name}.toml") if path.parent.name != "calibration")


@every_part
def test_the_template_loads_with_the_numbers_of_the_part(name: str, tmp_path: Path) -> None:
    mine, like = accelerator(written(name, tmp_path)), accelerator(name)
    assert mine.name == "My chip"
    assert mine.numbers().peak == like.numbers().peak
    assert mine.numbers().tiers == like.numbers().tiers
    assert mine.numbers().wires == like.numbers().wires
    assert mine.numbers().feed == like.numbers().feed
    assert contradictions(mine) == ()


@every_part
def test_every_copied_number_says_so(name: str, tmp_path: Path) -> None:
    mine = accelerator(written(name, tmp_path))
    for field in mine.cited_fields():
        number = mine.cite(field)
        assert number.source.startswith(f"copied from {name} ("), field
        assert number.source.endswith("): replace"), field
        if number.as_printed:
            assert read_printed(number.as_printed, number.reading).value == pytest.approx(number.value, rel=1e-3)


@pytest.mark.parametrize("name", ["h100-sxm", "groq-lpu-v1", "gh200-96gb", "apple-m4"])
def test_every_key_is_explained(name: str) -> None:
    text = re.sub(r"\n# ", " ", spec_template("My chip", name))
    feed = accelerator(name).kind == "sram"
    for field, words in FIELDS.items():
        if field != "feed" or feed:
            assert " ".join(words.split())[:60] in " ".join(text.split()), field


@pytest.mark.parametrize("name", ["h100-sxm", "groq-lpu-v1", "apple-m4", "gh200-96gb"])
def test_lines_that_are_commented_out_are_valid_too(name: str, tmp_path: Path) -> None:
    text = re.sub(r"^# (\[\w+[.\w]*\]$|[a-z_]+ = .*)", r"\1", spec_template("My chip", name), flags=re.MULTILINE)
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('source = "…"', 'source = "my notes"'), encoding="utf-8")
    mine = accelerator(path)
    assert mine.calibration == (accelerator(name).calibration or name)
    assert mine.price is not None


def test_the_edition_is_today_where_none_is_given() -> None:
    assert re.search(r'^edition = "20\d\d-\d\d-\d\d"$', spec_template("My chip", "h100-sxm"), re.MULTILINE)


def test_unknown_parts_get_near_names() -> None:
    with pytest.raises(UnknownName, match="h100-sxm"):
        spec_template("My chip", "h100-smx")


def test_a_name_with_quotes_stays_one_text(tmp_path: Path) -> None:
    text = spec_template('The "big" one \\ é', "h100-sxm")
    assert tomllib.loads(text)["name"] == 'The "big" one \\ é'


def test_words_stand_for_every_key_of_the_models() -> None:
    keys = {*HbmAccelerator.model_fields, *SramAccelerator.model_fields}
    keys |= {f"memory.{key}" for key in MemoryTier.model_fields} | {f"link.{key}" for key in LinkTier.model_fields}
    assert set(FIELDS) == keys
    assert set(NUMBER) == set(Cited.model_fields) - DERIVED


def test_the_schema_is_up_to_date() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run python -m tests.specs.rewrite"


def test_the_schema_describes_every_key() -> None:
    definitions = spec_schema()["$defs"]
    for model in definitions.values():
        assert model["additionalProperties"] is False
        assert all(key["description"] for key in model["properties"].values())
    assert set(definitions["Cited"]["properties"]) == set(NUMBER)
    assert definitions["Cited"]["required"] == ["value", "source"]
    assert "null" not in json.dumps(spec_schema())


def values(node: Any, schema: dict[str, Any]) -> None:
    """Every written quantity matches the pattern of its field: what an editor would check."""
    for key, child in node.items():
        rule = schema.get("properties", {}).get(key) or schema.get("additionalProperties") or {}
        if isinstance(rule, dict) and "$ref" in rule:
            rule = {**spec_schema()["$defs"][rule["$ref"].rpartition("/")[2]], **rule}
        if isinstance(child, dict):
            values(child, rule)
        elif "pattern" in rule:
            assert re.search(rule["pattern"], str(child)), f"{key} = {child}"


@pytest.mark.parametrize("name", ["h100-sxm", "groq-lpu-v1", "mi300x", "apple-m4", "trainium2"])
def test_written_quantities_match_the_schema(name: str) -> None:
    path = spec_path(name)
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    model = {"hbm": "HbmAccelerator", "sram": "SramAccelerator"}[data["kind"]]
    values(data, spec_schema()["$defs"][model])


def test_every_file_validates() -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator(spec_schema())
    for name in accelerators():
        data = tomllib.loads(spec_path(name).read_text(encoding="utf-8"))
        assert [error.message for error in validator.iter_errors(data)] == [], name
