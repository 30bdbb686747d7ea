"""`roofline check`: every cross-check and every law of the library, what fails first, and a status that says no."""

import json
from pathlib import Path

import pytest

import roofline as rl
from roofline.trust.cross_checks import CROSS_CHECKS, cross_check
from roofline.trust.laws import LAWS, LawResult, check_laws
from tests.show.conftest import Snapshots
from tests.show.support import CHIP, DATA, Terminal, structure


@pytest.fixture
def wrong(tmp_path: Path, terminal: Terminal) -> Path:
    """A part whose link is printed as the sum of both directions."""
    path = tmp_path / "wrong.toml"
    terminal.run("hardware", "new", "wrong", "--like", "h100-sxm", "-o", str(path))
    text = path.read_text(encoding="utf-8")
    assert 'value = "450 GB/s"' in text
    path.write_text(text.replace('value = "450 GB/s"', 'value = "900 GB/s"', 1), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["h100-sxm", "groq-lpu-v1", "tpu-8i", CHIP])
def test_rows_are_the_checks_of_the_library(terminal: Terminal, name: str) -> None:
    run = terminal.run("check", name, "--facts", "--format", "json")
    results = cross_check(rl.accelerator(name))
    rows = json.loads(run.out)
    assert [(row["check"], row["verdict"]) for row in rows] == [(r.check.name, r.verdict) for r in results]
    for row, result in zip(rows, results, strict=True):
        said = result.comparison
        assert row["missing"] == list(result.missing)
        if said is not None:
            assert (row["left_value"], row["right_value"]) == (said.left.value, said.right.value)
            assert (row["difference"], row["tolerance"]) == (said.difference, said.tolerance)


def test_the_catalogue_does_not_contradict_itself(terminal: Terminal) -> None:
    run = terminal.run("check", "--facts", *rl.accelerators())
    assert (run.status, run.err) == (0, "")
    assert "no fact contradicts another" in run.out
    assert sum(" pass " in line for line in run.lines) == len(rl.accelerators())


def test_a_contradiction_names_both_facts_and_is_a_no(terminal: Terminal, wrong: Path) -> None:
    run = terminal.run("check", "--facts", str(wrong), width=140)
    assert (run.status, run.err) == (1, "")
    failing = next(line for line in run.lines if line.startswith("links make the bandwidth"))
    assert failing.split("fail")[1].strip() == "links × link_bandwidth (450 GB/s) ≠ link.bandwidth (900 GB/s)"
    assert run.lines[0].startswith("wrong.toml  3 fail, ")
    assert "off by -50.0%" in run.lines[2]
    assert "wrong.toml contradicts itself" in run.out
    assert terminal.run("check", "--facts", str(wrong), "--format", "csv").status == 1


def test_of_several_parts_what_passes_is_counted(terminal: Terminal, wrong: Path) -> None:
    run = terminal.run("check", "--facts", "h100-sxm", str(wrong), "h100-sxm")
    assert run.status == 1
    assert [line for line in run.lines if line.startswith("h100-sxm")] == [run.lines[0]]
    assert run.out.count("off by") == 3
    assert "clocks are sane" not in run.out
    assert "clocks are sane" in terminal.run("check", "--facts", "h100-sxm", str(wrong), "-v").out


@pytest.mark.parametrize("width", [20, 80, 140])
def test_every_check_is_shown_when_asked_for(terminal: Terminal, width: int) -> None:
    run = terminal.run("check", "h100-sxm", "-v", "--examples", "2", width=width)
    assert run.status == 0
    assert max(map(len, run.lines)) <= width
    if width > 20:
        assert all(f"\n{check.name.replace('_', ' ')} " in run.out for check in CROSS_CHECKS)
        assert "needs peer_bandwidth" in run.out
        assert all(law.name.replace("_", " ") in run.out for law in LAWS if len(law.name) <= 40)
    brief = terminal.run("check", "--facts", "h100-sxm", width=width).out
    assert "needs" not in brief


def test_laws_are_tried_too(terminal: Terminal) -> None:
    run = terminal.run("check", CHIP, "--examples", "3", "--format", "json")
    facts = json.loads(terminal.run("check", CHIP, "--facts", "--format", "json").out)
    rows = json.loads(run.out)
    assert rows[: len(facts)] == facts
    laws = [result for result in check_laws(CHIP, examples=3) if result.group != "facts"]
    assert [(row["check"], row["group"], row["cases"], row["reason"]) for row in rows[len(facts) :]] == [
        (law.name, law.group, law.cases, law.statement) for law in laws
    ]
    assert {row["verdict"] for row in rows[len(facts) :]} <= {"pass", "not applicable"}


def test_a_broken_law_shows_its_counterexample(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = LawResult("no_free_lunch", "bounds", "Lunch costs.", "fails", 3, "at batch 1 lunch = 0 USD")
    monkeypatch.setattr("roofline.trust.laws.check_laws", lambda *_arguments, **_options: (broken,))
    run = terminal.run("check", "h100-sxm", "groq-lpu-v1")
    assert run.status == 1
    assert "h100-sxm  1 fail, " in run.out
    line = run.lines.index("no free lunch  fail  Lunch costs.")
    assert run.lines[line + 1].strip() == "at batch 1 lunch = 0 USD"
    assert "h100-sxm and groq-lpu-v1 break a law" in run.out


def test_laws_that_hold_are_counted_once_a_group(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [
        LawResult(name, group, "It costs.", "holds", cases)
        for name, group, cases in (("a", "economics", 2), ("b", "bounds", 1), ("c", "economics", 5))
    ]
    monkeypatch.setattr("roofline.trust.laws.check_laws", lambda *_arguments, **_options: held)
    run = terminal.run("check", "h100-sxm")
    assert [" ".join(line.split()) for line in run.lines if line.startswith("laws of")] == [
        "laws of economics pass 2 laws hold on up to 5 cases",
        "laws of bounds pass 1 law holds on up to 1 cases",
    ]


@pytest.mark.parametrize("width", [80, 140])
def test_checks_read_as_stored(terminal: Terminal, snapshots: Snapshots, wrong: Path, width: int) -> None:
    run = terminal.run("check", "--examples", "1", str(wrong), width=width)
    shown = run.lines[: next(index for index, line in enumerate(run.lines) if line.startswith("dram is whole"))]
    snapshots.check(f"check_{width}", structure("".join(f"{line}\n" for line in shown)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "check: got nothing, expected NAME"),
        (("h100",), "nearest: h100-nvl"),
        (("h100-sxm", "--examples", "0"), "examples: got 0.0"),
        (("h100-sxm", "--examples", "1.5"), "a whole number"),
        (("h100-sxm", "--examples", "2", "--facts"), "no --facts"),
        (("h100-sxm", "none.toml"), "no such file"),
        ((str(DATA),), "a .toml file"),
        ((str(DATA / "config.json"),), "config.json"),
    ],
)
def test_what_is_no_part_is_one_line(terminal: Terminal, arguments: tuple[str, ...], words: str) -> None:
    run = terminal.run("check", *arguments)
    assert (run.status, run.out) == (2, "")
    assert run.err.count("\n") == 1
    assert words in run.err
