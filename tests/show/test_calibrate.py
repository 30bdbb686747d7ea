"""`roofline calibrate`: measured rows in, a calibration file out that a pool takes."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

import roofline as rl
from roofline.errors import InvalidInput
from roofline.trust.calibrating import calibrate_file
from tests.show.support import Terminal

MEASURED = Path(__file__).parents[2] / "benchmarks" / "measured" / "kernels.csv"
MODEL = "llama-3.1-8b"
SAID = {"model": MODEL, "devices": "1", "quantization": "bf16"}
OPTIONS = (
    *("--accelerator", "h100-sxm", "--model", MODEL),
    *("--devices", "1", "--quantization", "bf16"),
)


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
    assert f"written:\n{written};" in run.out or f"written: {written};" in run.out
    assert rl.Deployment("llama-3.1-8b", "a40", efficiency=str(written)).decode().seconds > 0
    taken = terminal.run("compare", "llama-3.1-8b", "--on", f"a40:1,efficiency={written}", "--batch", "1")
    assert taken.status == 0


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Results of llama-bench, one a file: what the library expects under some costs of the host."""
    gpu = rl.Deployment(MODEL, "h100-sxm", quantization="bf16")
    tests = [
        {"n_prompt": n, "n_gen": 0, "avg_ts": n / (gpu.prefill(n).seconds + 5e-3)} for n in (512, 2048, 8192, 16_384)
    ]
    tests += [
        {"n_prompt": 0, "n_gen": 64, "n_depth": n, "avg_ts": 1 / (gpu.decode(1, n + 32).seconds + 2e-3)}
        for n in (512, 8192, 16_384, 32_768)
    ]
    paths = [tmp_path / f"run-{place}.json" for place in range(len(tests))]
    for path, test in zip(paths, tests, strict=True):
        path.write_text(json.dumps(test), encoding="utf-8")
    return paths


def test_results_of_a_benchmark_are_fitted(terminal: Terminal, runs: list[Path], tmp_path: Path) -> None:
    written, options = tmp_path / "own.toml", ("--accelerator", "h100-sxm", "--devices", "1")
    refused = terminal.run("calibrate", *map(str, runs), "-o", str(written), *options)
    assert (refused.status, refused.err) == (
        2,
        "roofline: run-0.json, result 1, model: got 'nothing', expected it from --model\n",
    )
    run = terminal.run("calibrate", *map(str, runs), "-o", str(written), *OPTIONS)
    assert (run.status, run.err) == (0, "")
    assert "8 times of 8 measured rows fitted" in run.out
    assert "90% interval" in run.out
    assert rl.Deployment(MODEL, "h100-sxm", efficiency=str(written)).decode().seconds > 0
    header = written.read_text(encoding="utf-8").splitlines()[0]
    assert header == "# Fitted by `roofline calibrate` to run-0.json and 7 more files; see docs/calibration.md."


def test_files_are_given_one_by_one_or_together(terminal: Terminal, runs: list[Path], tmp_path: Path) -> None:
    joined, written = tmp_path / "joined.json", tmp_path / "own.toml"
    joined.write_text("".join(path.read_text(encoding="utf-8") for path in runs), encoding="utf-8")
    report = calibrated(joined)
    assert report == calibrated(runs)
    assert report == calibrated([str(path) for path in runs])
    assert report == calibrated(path for path in runs)
    assert report == calibrate_file(runs, written, "h100-sxm", **SAID).report
    assert terminal.run("calibrate", str(joined), "-o", str(written), *OPTIONS).status == 0
    assert "to joined.json; see" in written.read_text(encoding="utf-8")
    two = [joined, tmp_path / "further.json"]
    two[1].write_text(runs[0].read_text(encoding="utf-8"), encoding="utf-8")
    calibrate_file(two, written, "h100-sxm", **SAID)
    assert "to joined.json, further.json; see" in written.read_text(encoding="utf-8")


def calibrated(rows: Any) -> str:
    """The report of a fit from Python."""
    return str(rl.calibrate(rows, "h100-sxm", **SAID).report)


def test_rows_of_kernels_are_no_files(rows: Path, runs: list[Path], tmp_path: Path) -> None:
    report = rl.calibrate(rows).report
    assert rl.calibrate([rows]).report == report
    assert calibrate_file([str(rows)], tmp_path / "a40.toml").report == report
    with rows.open(encoding="utf-8", newline="") as file:
        assert rl.calibrate(csv.DictReader(file)).report == report
    with pytest.raises(InvalidInput, match="got 'files and rows together'"):
        rl.calibrate([*runs, {"op": "gemm"}])
    with pytest.raises(InvalidInput, match="got 'no file and no row'"):
        rl.calibrate([])
    with pytest.raises(InvalidInput, match=r"a40\.csv: got 'measured kernels, one of 9 files', expected results of"):
        rl.calibrate([*runs, rows], "a40")


@pytest.mark.parametrize(("name", "given"), [("nothere.jsonl", "no such file"), (".", "a directory")])
def test_a_file_that_is_not_there_comes_first(terminal: Terminal, tmp_path: Path, name: str, given: str) -> None:
    path = str(tmp_path / name)
    run = terminal.run("calibrate", path, "-o", "x.json", "--accelerator", "h100-sxm", "--devices", "1")
    expected = "a file of measured kernels or of a serving benchmark"
    assert (run.status, run.err) == (2, f"roofline: {Path(path)}: got '{given}', expected {expected}\n")


def test_a_file_that_efficiency_would_not_take_is_not_written(
    terminal: Terminal, rows: Path, runs: list[Path], tmp_path: Path
) -> None:
    written = tmp_path / "own.json"
    for arguments in ([str(rows)], [*map(str, runs), *OPTIONS]):
        run = terminal.run("calibrate", *arguments, "-o", str(written))
        assert run.status == 2
        assert "output: got" in run.err
        assert "expected a file that ends in .toml" in run.err
    assert not written.exists()


@pytest.mark.parametrize("width", [80, 50])
def test_the_report_keeps_within_the_terminal(
    terminal: Terminal, rows: Path, runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.chdir(tmp_path)
    for files, options in (([rows], ()), (runs, OPTIONS)):
        run = terminal.run("calibrate", *(path.name for path in files), "-o", "own.toml", *options, width=width)
        assert run.status == 0
        assert max(map(len, run.lines)) <= width
        report = rl.calibrate(files, *(("h100-sxm",) if options else ()), **(SAID if options else {})).report
        words = f"{report} written: own.toml; efficiency=own.toml in a pool takes it"
        assert run.out.split() == words.split()
        assert not [line for line in run.lines if re.search(r"\d to$", line) or line.strip().startswith("ms")]
    further = [line for line in run.lines if line.startswith(" " * 11)]
    assert further
    assert all(line[11] != " " for line in further)


def test_a_path_is_not_broken(terminal: Terminal, runs: list[Path], tmp_path: Path) -> None:
    written = tmp_path / f"{'own-' * 20} fit.toml"
    run = terminal.run("calibrate", *map(str, runs), "-o", str(written), *OPTIONS, width=40)
    assert f"efficiency={written}" in run.out
