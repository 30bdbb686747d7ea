"""Every system of the catalogue: its figures re-read, and compared with devices × the part's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from roofline.describe import systems as module
from roofline.describe.catalog import accelerators, source_of
from roofline.describe.provenance import read_printed
from roofline.describe.systems import cited_numbers, system, systems
from roofline.errors import SpecError, UnknownName

every_system = pytest.mark.parametrize("name", systems())

ASKED_FOR = (
    *("hgx-h100", "hgx-h200", "hgx-b200", "hgx-b300", "dgx-h100", "dgx-b200", "dgx-b300"),
    *("gb200-nvl72", "gb300-nvl72", "vr-nvl72", "lpx-tray", "lpx-rack", "groqnode", "groqrack", "cs-3", "helios"),
    *("tpu-v5e-pod", "tpu-v6e-pod", "tpu-v5p-pod", "tpu7x-pod", "mi300x-platform", "mi355x-platform"),
)


@pytest.mark.parametrize("name", ASKED_FOR)
def test_systems_that_people_ask_for_are_there(name: str) -> None:
    assert system(name).accelerator.name


@every_system
def test_printed_figures_are_the_sum_or_the_file_says_why_not(name: str) -> None:
    for figure in system(name).figures():
        assert figure.agrees or figure.reason, (
            f"{figure.field}: {figure.difference:+.1%}, and differs has no word on it"
        )


@every_system
def test_printed_figures_read_to_their_values(name: str) -> None:
    for field, number in cited_numbers(system(name)):
        assert number.as_printed or not number.reading, f"{field}: a reading needs the printed figure"
        if number.as_printed:
            read = read_printed(number.as_printed, number.reading)
            assert read.dimension == number.quantity.dimension, field
            assert read.value == pytest.approx(number.value, rel=1e-8), field


@every_system
def test_power_covers_the_devices(name: str) -> None:
    described = system(name)
    if described.power and described.accelerator.power:
        assert described.power.value >= described.devices.value * described.accelerator.power.value


@every_system
def test_claims_do_not_stand_among_printed_figures(name: str) -> None:
    for field, number in cited_numbers(system(name)):
        source = source_of(number)
        assert source is not None
        claimed = (number.kind or source.kind) == "claim"
        assert claimed == field.startswith("facts.claimed_"), field


def test_spares_do_not_work() -> None:
    assert system("groqrack").devices.value == 72
    assert system("groqrack").working_devices == 64
    assert system("dgx-h100").working_devices == 8


def test_the_racks_own_table_is_noted() -> None:
    figures = {figure.field: figure for figure in system("lpx-rack").figures()}
    assert figures["peak.fp8"].printed.value == 315e15
    assert figures["peak.fp8"].summed == pytest.approx(307.2e15)
    assert figures["memory.bandwidth"].difference == pytest.approx(40 / 38.4 - 1)
    assert figures["memory.capacity"].agrees
    assert "307.2" in (figures["peak.fp8"].reason or "")


def test_systems_are_no_parts() -> None:
    assert not set(systems()) & set(accelerators())
    assert systems("groq-lpu-v1") == ["groq-10440", "groq-264", "groqnode", "groqrack"]


def test_unknown_systems_get_near_names() -> None:
    with pytest.raises(UnknownName, match="gb200-nvl72"):
        system("gb200-nvl27")


WRONG = [
    ("part = .*", 'part = "h100-smx"', "nearest: h100-sxm"),
    ("link = .*", 'link = "nvlink"', "a link of h100-sxm: scale_up, scale_out"),
    ("devices = .*", 'devices = { value = 16, source = "dgx-questions" }', "a link that joins 16 devices"),
    ('"peak.fp8" = { value = "16 PFLOP/s"', '"peak.fp8" = { value = "16 PB/s"', "a quantity in FLOP/s"),
    ("power = .*", "", ""),
    ('source = "dgx-questions"', 'source = "somewhere"', "a document of SOURCES.toml"),
    ('"peak.fp8"', '"peak.fp7"', "a field of the part"),
    ("devices = .*", "devices = 8", "a table"),
    ("devices = ", "device = ", "devices"),
]


@pytest.mark.parametrize(("old", "new", "expected"), WRONG)
def test_wrong_system_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = (Path(__file__).parents[2] / "hardware_specs" / "systems" / "dgx-h100.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(re.sub(old, new, text), encoding="utf-8")
    monkeypatch.setattr(module, "system_paths", lambda: {"mine": path})
    if not expected:
        assert system.__wrapped__("mine").power is None
        return
    with pytest.raises(SpecError) as caught:
        system.__wrapped__("mine")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
