"""The example of the documentation is a spec that loads, and the words it lists are the words the code knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from roofline.describe.catalog import accelerator
from roofline.describe.formats import FORMATS
from roofline.describe.provenance import READINGS, read_printed
from roofline.describe.template import FIELDS, NUMBER
from roofline.errors import SpecError, UnknownName
from roofline.trust.cross_checks import CROSS_CHECKS

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


@pytest.mark.parametrize("name", ["template", "cross-check", "systems"])
def test_code_of_the_page_prints_what_is_shown(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = re.search(rf"<!-- runs: {name} -->\n```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", TEXT, re.DOTALL)
    assert block is not None
    monkeypatch.chdir(tmp_path)
    exec(block[1], {})
    assert capsys.readouterr().out == (block[2] or "")


def test_every_cross_check_is_listed() -> None:
    shown = re.findall(r"^\| `(\w+)` \| (.*) \|$", TEXT.partition("### Cross-checks")[2], re.MULTILINE)
    assert shown == [(check.name, check.reason) for check in CROSS_CHECKS]


def test_every_key_is_explained() -> None:
    for key in [*FIELDS, *NUMBER]:
        word = key.rpartition(".")[2]
        assert f"`{word}`" in TEXT or f"`[{word}" in TEXT, key


def test_the_shown_answer_about_a_missing_part_is_real() -> None:
    shown = re.search(r"UnknownName: (.*)", TEXT)
    assert shown is not None
    with pytest.raises(UnknownName) as caught:
        accelerator("etched-sohu")
    assert str(caught.value) == shown[1]
