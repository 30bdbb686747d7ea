"""`roofline calibrate`: measured rows in, a calibration file out that a pool takes."""

import csv
import json
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


def test_results_of_a_benchmark_are_fitted(terminal: Terminal, tmp_path: Path) -> None:
    results, written = tmp_path / "bench.json", tmp_path / "own.toml"
    tests = [{"n_prompt": n, "n_gen": 0, "avg_ts": speed} for n, speed in ((512, 9e3), (4096, 14e3), (512, 9.1e3))]
    tests += [{"n_prompt": 0, "n_gen": 64, "n_depth": n, "avg_ts": t} for n, t in ((0, 140.0), (30_000, 80.0))]
    results.write_text(json.dumps(tests), encoding="utf-8")
    options = ("-o", str(written), "--accelerator", "h100-sxm", "--devices", "1")
    refused = terminal.run("calibrate", str(results), *options)
    assert (refused.status, refused.err.split(", ", 1)[1]) == (
        2,
        "result 1, model: got 'nothing', expected it from --model\n",
    )
    run = terminal.run("calibrate", str(results), *options, "--model", "llama-3.1-8b", "--quantization", "bf16")
    assert (run.status, run.err) == (0, "")
    assert "5 times of 5 measured rows fitted" in run.out
    assert "90% interval" in run.out
    assert rl.Deployment("llama-3.1-8b", "h100-sxm", efficiency=str(written)).decode().seconds > 0
