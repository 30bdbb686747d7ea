"""`roofline hardware`: lists that are chosen and sorted, systems, and a spec file to fill in."""

import json
from pathlib import Path
from typing import Any

import pytest

import roofline as rl
from roofline.describe.systems import system, systems
from tests.show.conftest import Snapshots
from tests.show.support import CHIP, Terminal, structure


def rows_of(terminal: Terminal, *arguments: str) -> list[dict[str, Any]]:
    run = terminal.run("hardware", *arguments, "--format", "json")
    assert run.err == ""
    rows: list[dict[str, Any]] = json.loads(run.out)
    return rows


def test_a_list_is_what_was_chosen(terminal: Terminal) -> None:
    every = rows_of(terminal)
    by_option = {
        ("--kind", "sram"): lambda row: row["kind"] == "sram",
        ("--vendor", "nvidia"): lambda row: row["vendor"] == "NVIDIA",
        ("--status", "announced"): lambda row: row["status"] == "announced",
        ("--min-bandwidth", "10TB/s"): lambda row: row["memory.bandwidth"] >= 10e12,
        ("--min-memory", "100GB"): lambda row: row["memory.capacity"] >= 100e9,
        ("--format-runs", "fp8"): lambda row: rl.accelerator(row["accelerator"]).runs("fp8") is not None,
    }
    for options, wanted in by_option.items():
        expected = [row["accelerator"] for row in every if wanted(row)]
        assert 0 < len(expected) < len(every)
        assert [row["accelerator"] for row in rows_of(terminal, *options)] == expected
    both = [row for row in every if row["kind"] == "sram" and row["status"] == "shipping"]
    assert rows_of(terminal, "--kind", "sram", "--status", "shipping") == both


@pytest.mark.parametrize("key", ["memory.bandwidth", "price", "power", "year"])
def test_numbers_sort_from_the_most_and_what_is_not_known_stands_last(terminal: Terminal, key: str) -> None:
    values = [row[key] for row in rows_of(terminal, "--sort", key)]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=True)
    assert values == known + [None] * (len(values) - len(known))
    turned = [row[key] for row in rows_of(terminal, "--sort", key, "--reverse")]
    assert turned == sorted(known) + [None] * (len(values) - len(known))


def test_words_sort_from_a_to_z(terminal: Terminal) -> None:
    names = [row["name"].lower() for row in rows_of(terminal, "--sort", "name")]
    assert names == sorted(names)


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize(("key", "header"), [("price", "price"), ("vendor", "vendor"), ("peak.nvfp4", "4-bit")])
def test_the_key_that_sorts_is_shown_at_any_width(terminal: Terminal, width: int, key: str, header: str) -> None:
    run = terminal.run("hardware", "--sort", key, width=width)
    assert header in "".join(run.lines[:2])
    assert max(map(len, run.lines)) <= width


def test_nothing_left_is_a_no(terminal: Terminal) -> None:
    run = terminal.run("hardware", "--kind", "sram", "--min-memory", "1TB")
    assert (run.status, run.err) == (1, "")
    assert run.out == f"none of {len(rl.accelerators())} parts is all that\n"
    run = terminal.run("hardware", "--kind", "sram", "--min-memory", "1TB", "--format", "json")
    assert (run.status, run.out) == (1, "[]\n")


def test_systems_are_their_devices(terminal: Terminal) -> None:
    rows = rows_of(terminal, "--systems")
    assert sorted(row["system"] for row in rows) == systems()
    for row in rows:
        found = system(row["system"])
        assert (row["name"], row["accelerator"], row["devices"]) == (found.name, found.part, found.devices.value)
        bandwidth = found.accelerator.cite("memory.bandwidth").value
        assert row["memory.bandwidth"] == bandwidth * found.devices.value
        assert (row["power"] is None) == (found.power is None)
    sram = rows_of(terminal, "--systems", "--kind", "sram", "--sort", "devices")
    assert sram[0]["system"] == "groq-10440"


@pytest.mark.parametrize("width", [80, 140])
def test_the_list_of_systems_fits(terminal: Terminal, width: int) -> None:
    run = terminal.run("hardware", "--systems", width=width)
    assert run.status == 0
    assert max(map(len, run.lines)) <= width
    assert {line.split(" ")[0] for line in run.lines} >= set(systems())


@pytest.mark.parametrize("name", systems())
def test_a_system_shows_what_is_printed_of_it(terminal: Terminal, name: str) -> None:
    figures = {f"printed.{figure.field}": figure for figure in system(name).figures()}
    rows = rows_of(terminal, name)
    compared = {row["field"]: row for row in rows if row["devices_times_part"] is not None}
    assert compared.keys() == figures.keys()
    for field, row in compared.items():
        figure = figures[field]
        assert (row["value"], row["devices_times_part"]) == (figure.printed.value, figure.summed)
        assert (row["difference"], row["agrees"], row["reason"]) == (figure.difference, figure.agrees, figure.reason)
    for width in (80, 140):
        run = terminal.run("hardware", name, width=width)
        assert run.lines[0] == system(name).name
        assert all(len(line) <= width or "://" in line for line in run.lines)
        assert sum(line.startswith("[") for line in run.lines) == len({row["source"] for row in rows})


def test_systems_stand_side_by_side(terminal: Terminal) -> None:
    rows = rows_of(terminal, "hgx-h100", "groqrack")
    assert [row["system"] for row in rows] == ["hgx-h100", "groqrack"]
    assert "groqrack" in terminal.run("hardware", "hgx-h100", "groqrack").out


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("name", ["dgx-h100", "cs-3"])
def test_a_system_reads_as_stored(terminal: Terminal, snapshots: Snapshots, name: str, width: int) -> None:
    snapshots.check(f"{name}_{width}", structure(terminal.run("hardware", name, width=width).out))


def test_a_new_spec_is_written_once(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    run = terminal.run("hardware", "new", "my-chip", "--like", "h100-sxm")
    assert (run.status, run.err) == (0, "")
    assert run.out.startswith("written: my-chip.toml")
    part = rl.accelerator("my-chip.toml")
    assert part.name == "my-chip"
    assert part.cite("memory.bandwidth").value == rl.accelerator("h100-sxm").cite("memory.bandwidth").value
    before = Path("my-chip.toml").read_text(encoding="utf-8")
    again = terminal.run("hardware", "new", "my-chip", "--like", "groq-lpu-v1")
    assert (again.status, again.out) == (2, "")
    assert "--force" in again.err
    assert Path("my-chip.toml").read_text(encoding="utf-8") == before
    forced = terminal.run("hardware", "new", "my-chip", "--like", "groq-lpu-v1", "--force")
    assert forced.status == 0
    assert rl.accelerator("my-chip.toml").kind == "sram"


def test_a_new_spec_may_go_elsewhere(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.toml"
    assert terminal.run("hardware", "new", "my-chip", "--like", CHIP, "-o", str(path)).status == 0
    assert terminal.run("hardware", str(path)).status == 0
    shown = terminal.run("hardware", "new", "my-chip", "--like", CHIP, "-o", "-")
    assert shown.out == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--kind", "hmb"), "nearest: hbm"),
        (("--vendor", "nvida"), "nearest: NVIDIA"),
        (("--status", "ship"), "nearest: shipping"),
        (("--min-bandwidth", "10"), "such as 10 TB/s"),
        (("--min-bandwidth", "10TB"), "such as 10 TB/s"),
        (("--min-bandwidth", "-1TB/s"), "such as 10 TB/s"),
        (("--min-bandwidth", "1e999TB/s"), "such as 10 TB/s"),
        (("--min-memory", ""), "such as 100 GB"),
        (("--format-runs", "fp9"), "nearest: fp8"),
        (("--sort", "bandwidth"), "nearest: link.bandwidth or memory.bandwidth"),
        (("--reverse",), "--sort KEY"),
        (("h100-sxm", "--kind", "hbm"), "no name beside options"),
        (("h100-sxm", "hgx-h100"), "parts or systems, not both"),
        (("hgx-h10",), "nearest: hgx-h100"),
        (("hgx-h10", "--systems"), "nearest: hgx-h100"),
        (("h100-sxm", "--systems"), "systems"),
        (("new",), "hardware new: got nothing, expected NAME"),
        (("new", "x"), "expected --like PART"),
        (("new", "x", "--like", "h100"), "nearest: h100-nvl"),
        (("new", "a/b", "--like", "h100-sxm"), "-o FILE.toml"),
        (("new", "", "--like", "h100-sxm"), "NAME"),
        (("new", "x", "--like", "h100-sxm", "-o", "/nowhere/x.toml"), "/nowhere/x.toml"),
        (("new", "x", "--like", "h100-sxm", "-o", "x.txt"), "nearest: x.txt.toml"),
    ],
)
def test_what_cannot_be_meant_is_one_line(terminal: Terminal, arguments: tuple[str, ...], words: str) -> None:
    run = terminal.run("hardware", *arguments)
    assert (run.status, run.out) == (2, "")
    assert run.err.count("\n") == 1
    assert words in run.err
