"""docs/command-line.md: every example runs, in order, and prints what the page shows but for its figures.

The readme shows the demo to the last figure. SNAPSHOTS=write in the environment renews both.
"""

import os
import re
import shlex
from pathlib import Path

import pytest

from roofline.show import commands
from tests.show.support import Terminal

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"(?<=^```console\n)(.*?)(?=^```)", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"^\$ (roofline[^\n]*)\n((?:(?!\$ )[^\n]*\n)*)", re.MULTILINE)
REST = "…"


def loosely(lines: list[str]) -> list[str]:
    """Lines without their figures and the widths that come with them."""
    return [" ".join(re.sub(r"\d[\d.,]*", "0", line).split()) for line in lines]


def shown(command: str, lines: list[str], printed: list[str]) -> list[str]:
    """What the page shows of an output: as many lines as it has now, or as many as a bare number says."""
    rest = lines[-1] == REST
    count = int(lines[0]) if len(lines) == 1 and lines[0].isdigit() else len(lines) - rest
    assert count <= len(printed), command
    return [*printed[:count], *([REST] if count < len(printed) else [])]


def test_examples_print_what_the_page_shows(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "benchmarks").symlink_to(PAGE.parents[1] / "benchmarks")
    text = PAGE.read_text(encoding="utf-8")
    renewed: list[str] = []
    seen = 0
    for block in BLOCK.findall(text):
        new = ""
        for command, output in EXAMPLE.findall(block):
            run = terminal.run(*shlex.split(command)[1:])
            assert (run.status, run.err) == (0, ""), command
            found = shown(command, output.splitlines(), run.lines)
            new += "".join(f"{line}\n" for line in (f"$ {command}", *found))
            if os.environ.get("SNAPSHOTS") != "write":
                assert loosely(output.splitlines()) == loosely(found), command
            seen += 1
        renewed.append(new)
    assert seen >= len(commands.roofline.commands)
    if os.environ.get("SNAPSHOTS") == "write":
        fresh = iter(renewed)
        PAGE.write_text(BLOCK.sub(lambda _: next(fresh), text), encoding="utf-8")


def test_the_page_has_every_command() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in commands.roofline.commands if f"[`{name}`](#" not in text] == []
    anchors = set(re.findall(r"\(#([\w-]+)\)", text))
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.*)$", text, re.MULTILINE)}
    assert anchors == headings


def test_the_readme_shows_the_demo_as_it_is_now(terminal: Terminal) -> None:
    text = README.read_text(encoding="utf-8")
    (block,) = BLOCK.findall(text)
    command, *shown = block.splitlines()
    assert command == "$ roofline"
    run = terminal.run()
    first = run.lines.index(shown[0])
    now = run.lines[first : first + len(shown)]
    if os.environ.get("SNAPSHOTS") == "write":
        README.write_text(text.replace(block, "\n".join([command, *now]) + "\n"), encoding="utf-8")
    else:
        assert shown == now
