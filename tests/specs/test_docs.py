"""The example of the documentation is a spec that loads, and the words it lists are the words the code knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from roofline.describe.catalog import accelerator
from roofline.describe.formats import FORMATS
from roofline.describe.provenance import READINGS, read_printed
from roofline.errors import SpecError

TEXT = (Path(__file__).parents[2] / "docs" / "hardware-specs.md").read_text(encoding="utf-8")
PART_KEYS = ("name", "vendor", "year", "kind", "edition", "status", "note", "calibration")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    match = re.search(r"<!-- example: (\S+) -->\n```toml\n(.*?)```", TEXT, re.DOTALL)
    assert match is not None
    path = tmp_path / match[1]
    path.write_text(match[2], encoding="utf-8")
    return path


def test_the_example_loads(example: Path) -> None:
    chip = accelerator(example)
    assert chip.supported_formats()[0] == "fp8"
    assert chip.cite("link.bandwidth").value == 350e9
    assert chip.numbers().memory.usable == 48800 * 2**20


def test_the_example_keeps_the_rules_of_the_catalogue(example: Path) -> None:
    chip = accelerator(example)
    for field in chip.cited_fields():
        number = chip.cite(field)
        if number.as_printed:
            assert read_printed(number.as_printed, number.reading).value == pytest.approx(number.value), field
    facts = chip.facts
    product = facts["compute_units"].value * facts["clock"].value * facts["flops_per_cycle_bf16"].value
    assert product == pytest.approx(chip.peak["bf16"].value, rel=0.02)


@pytest.mark.parametrize("word", [*READINGS, *(name for name in FORMATS if name != "fp8_block"), *PART_KEYS])
def test_words_of_the_format_are_explained(word: str) -> None:
    assert f"`{word}`" in TEXT or f"{word}`" in TEXT


def test_the_shown_message_is_real(example: Path) -> None:
    shown = re.search(r"SpecError: (my-chip\.toml.*)", TEXT)
    assert shown is not None
    misspelt = example.read_text(encoding="utf-8").replace('bandwidth = { value = "2.4', 'bandwith = { value = "2.4')
    example.write_text(misspelt, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        accelerator(example)
    assert str(caught.value) == f"{example.parent}/{shown[1]}"
