"""`roofline calibrate`: measured rows in, a calibration file out that a pool takes."""

import csv
from pathlib import Path

import pytest

import roofline as rl
from tests.show.support import Terminal

MEASURED = Path(__file__).parents[2] / "benchmarks" / "measured" / "kernels.csv"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """The measured rows of one part."""
    with MEASURED.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        chosen = [row for row in reader if row["hardware"] == "a40"]
        path = tmp_path / "a40.csv"
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, reader.fieldnames or [])
            writer.writeheader()
            writer.writerows(chosen)
    assert chosen
    return path


def test_a_fit_is_written_and_taken(terminal: Terminal, rows: Path, tmp_path: Path) -> None:
    written = tmp_path / "a40.toml"
    run = terminal.run("calibrate", str(rows), "-o", str(written))
    assert (run.status, run.err) == (0, "")
    assert f"written: {written}" in run.out
    assert rl.Deployment("llama-3.1-8b", "a40", efficiency=str(written)).decode().seconds > 0
    taken = terminal.run("compare", "llama-3.1-8b", "--on", f"a40:1,efficiency={written}", "--batch", "1")
    assert taken.status == 0
