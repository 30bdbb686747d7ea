"""`roofline validate`: errors are the library's, every row is accounted for, bad input is one line."""

import csv
import io
import json
from pathlib import Path

import pytest

from roofline.show.validate_view import error_rows, report
from roofline.trust.validation import COLUMNS, Validation, validate_file
from tests.show.conftest import Snapshots
from tests.show.support import CONFIG, DATA, Terminal, structure
from tests.support.rows import PLAIN

MEASURED = Path(__file__).parents[2] / "benchmarks" / "measured"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A few measured rows of service, one of a part that nobody knows, and one that fits nowhere."""
    with (MEASURED / "serving.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        chosen = [row for index, row in enumerate(reader) if index % 60 == 0]
    odd = [
        {**chosen[0], "id": "odd-1", "accelerator": "abacus"},
        {**chosen[0], "id": "odd-2", "accelerator": "l4", "devices": "1", "tp": "1", "model": "llama-3.1-405b"},
    ]
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, reader.fieldnames or [])
        writer.writeheader()
        writer.writerows([*chosen, *odd])
    return path


def test_errors_are_the_librarys(terminal: Terminal, rows: Path) -> None:
    run = terminal.run("validate", str(rows), "--format", "json")
    assert (run.status, run.err) == (0, "")
    found = validate_file(rows)
    errors = json.loads(run.out)
    assert errors == error_rows(found)
    for quantity in ("tpot", "ttft"):
        figures = found.figures(quantity)
        assert figures is not None
        (row,) = (row for row in errors if (row["quantity"], row["group"]) == (quantity, "all"))
        assert (row["rows"], row["median"], row["bias"]) == (figures.rows, figures.median, figures.bias)
        by = found.by("accelerator", quantity)
        named = {
            row["name"]: row["mean"] for row in errors if (row["quantity"], row["group"]) == (quantity, "accelerator")
        }
        assert named == {name: each.mean for name, each in by.items()}
    table = terminal.run("validate", str(rows), "--format", "csv")
    assert len(list(csv.DictReader(io.StringIO(table.out)))) == len(errors)


def test_every_row_gets_a_line(terminal: Terminal, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions.csv"
    run = terminal.run("validate", str(rows), "--predictions", str(out))
    assert (run.status, run.err) == (0, "")
    with out.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    with rows.open(encoding="utf-8", newline="") as file:
        assert [line["id"] for line in lines] == [row["id"] for row in csv.DictReader(file)]
    assert list(lines[0]) == list(COLUMNS)
    assert {line["status"] for line in lines} == {"ok", "unsupported", "does_not_fit"}
    assert f"a line for each of {len(lines)} rows" in " ".join(run.out.split())
    assert "1 do not fit, 1 not supported" in run.lines[0]


def test_rows_without_a_prediction_say_why(terminal: Terminal, rows: Path) -> None:
    out = " ".join(terminal.run("validate", str(rows)).out.split())
    assert "Not supported odd-1: accelerator: got 'abacus', expected a catalogue name" in out
    assert "Do not fit odd-2: llama-3.1-405b in" in out
    assert "taken otherwise" not in out


def test_what_is_taken_otherwise_than_written_is_told(terminal: Terminal, rows: Path, tmp_path: Path) -> None:
    with rows.open(encoding="utf-8", newline="") as file:
        first = next(row for row in csv.DictReader(file) if row["kind"] == "serving")
    path = tmp_path / "odd.csv"
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, first)
        writer.writeheader()
        odd = {"runtime": "mlc-llm", "kind": "srving", "kv_cache": "fp9", "tp": "1024", "osl": "1"}
        writer.writerows({**first, "id": name, name: value} for name, value in odd.items())
        writer.writerow({**first, "id": "again", "runtime": "mlc-llm"})
    said = " ".join(terminal.run("validate", str(path)).out.split()).partition("taken otherwise than written ")[2]
    assert said.startswith("runtime and 1 more: runtime mlc-llm is not described: no costs of its host")
    assert "kind: kind srving is none of serving, disaggregated," in said
    assert "server (nearest: serving): taken as serving" in said
    assert "kv_cache: kv_cache fp9 is none of fp8," in said
    assert f"tp: tp 1024 do not fit devices {first['devices']}: tp {first['devices']} instead" in said
    assert "osl: one output token has no time between tokens" in said
    assert "OUT.csv" not in said
    (alone,) = (each for each in validate_file(path).predictions if each.row["id"] == "osl")
    assert (alone.status, alone.tpot) == ("ok", None)
    assert alone.message == "one output token has no time between tokens: tpot_ms is compared with nothing"


@pytest.mark.parametrize("text", ["-32", "many", "nan", ""])
def test_a_load_below_zero_is_told_what_it_is_not(terminal: Terminal, tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "odd.csv", {"id": "odd", "concurrency": text}, {"id": "good"})
    said = " ".join(terminal.run("validate", str(path)).out.split())
    assert f"odd: concurrency: got '{text or 'nothing'}', expected a number of at least 0" in said


TIMED = {**PLAIN, "speculation": "none", "ttft_ms": "60", "tpot_ms": "6"}


def written(path: Path, *changes: dict[str, str]) -> Path:
    """A file of one row several times, each changed in something."""
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, TIMED)
        writer.writeheader()
        writer.writerows({**TIMED, **change} for change in changes)
    return path


def test_each_remark_is_told_once_with_all_of_its_rows(terminal: Terminal, tmp_path: Path) -> None:
    both = {"runtime": "mine", "concurrency": "0"}
    path = written(tmp_path / "rows.csv", {"id": "x", "runtime": "mine"}, {"id": "y", **both}, {"id": "z", **both})
    said = " ".join(terminal.run("validate", str(path)).out.split())
    assert "x and 2 more: runtime mine is not described" in said
    assert "y and 1 more: concurrency 0 is taken as 1" in said
    assert len(validate_file(path).messages("ok")) == 2


@pytest.mark.parametrize(("messages", "shown"), [(6, 6), (7, 7), (8, 6)])
def test_six_messages_of_a_status_are_shown_and_not_one_is_hidden(
    terminal: Terminal, tmp_path: Path, messages: int, shown: int
) -> None:
    path = written(tmp_path / "rows.csv", *({"accelerator": f"abacus {index}"} for index in range(messages)))
    said = " ".join(terminal.run("validate", str(path)).out.split())
    assert said.count("a: accelerator: got 'abacus ") == shown
    assert ("OUT.csv" in said) == (shown < messages)
    assert shown == messages or "2 more messages, in --predictions OUT.csv" in said


@pytest.mark.parametrize("form", ["table", "json"])
def test_no_prediction_at_all_is_a_no(terminal: Terminal, tmp_path: Path, form: str) -> None:
    lost, found = {"accelerator": "abacus"}, {"tpot_ms": "", "ttft_ms": ""}
    none = written(tmp_path / "none.csv", lost, {"model": "llama-3.1-405b"})
    run = terminal.run("validate", str(none), "--format", form)
    assert (run.status, run.err) == (1, "")
    assert terminal.run("validate", str(written(tmp_path / "empty.csv")), "--format", form).status == 1
    assert terminal.run("validate", str(written(tmp_path / "one.csv", lost, found)), "--format", form).status == 0


def test_groups_are_what_was_understood(tmp_path: Path) -> None:
    other = {"runtime": " vLLM 0.18.0", "accelerator": "H100-SXM-80GB", "quantization": "FP8", "speculation": "None"}
    path = written(tmp_path / "rows.csv", {}, other, {"runtime": "Mine", "accelerator": "H200-SXM"}, {"runtime": ""})
    groups: dict[str, dict[str, int]] = {}
    for row in error_rows(validate_file(path)):
        if row["quantity"] == "tpot":
            groups.setdefault(row["group"], {})[row["name"]] = row["rows"]
    assert groups == {
        "all": {"all": 4},
        "runtime": {"Mine": 1, "not stated": 1, "vllm": 2},
        "accelerator": {"h100-sxm": 3, "h200-sxm": 1},
    }


def test_rows_that_cannot_be_count_and_their_likely_cause_is_told(terminal: Terminal, tmp_path: Path) -> None:
    seconds = {"tpot_ms": "0.006"}
    one = " ".join(terminal.run("validate", str(written(tmp_path / "1.csv", {}, {"id": "s", **seconds}))).out.split())
    assert "1 row was measured faster than its floor, which cannot be, and is in the errors above: s; likely" in one
    assert "not in milliseconds, or other devices or formats than" in one
    path = written(tmp_path / "7.csv", *({"id": f"s{index}", **seconds} for index in range(7)))
    many = " ".join(terminal.run("validate", str(path)).out.split())
    assert "7 rows were measured faster than their floor" in many
    assert "and are in the errors above: s0, s1, s2, s3, s4 and 2 more; likely" in many
    figures = validate_file(path).figures()
    assert figures is not None
    assert figures.rows == 7


@pytest.mark.parametrize("worst", [0, 3])
def test_the_furthest_off_are_as_many_as_asked(terminal: Terminal, rows: Path, worst: int) -> None:
    run = terminal.run("validate", str(rows), "--worst", str(worst), width=140)
    expected = [str(each.prediction.row["id"])[:20] for each in validate_file(rows).worst(worst)] if worst else []
    start = next((index for index, line in enumerate(run.lines) if line.startswith("Furthest off")), len(run.lines))
    found = [line.split()[0][:20] for line in run.lines[start + 1 :] if line and not line.startswith(" ")]
    assert found == expected
    assert ("Furthest off" in run.out) == (worst > 0)


@pytest.mark.parametrize("width", [80, 140])
def test_the_report_fits(terminal: Terminal, snapshots: Snapshots, rows: Path, width: int) -> None:
    run = terminal.run("validate", str(rows), width=width)
    assert max(map(len, run.lines)) <= width
    snapshots.check(f"validate_{width}", structure("".join(f"{line}\n" for line in run.lines[:5])))


def test_no_rows_are_no_errors() -> None:
    lines = report(Validation(()), [], 5, "rows.csv", [], 80)
    assert lines[0].plain == "rows.csv: 0 rows, nothing in them"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "validate: got nothing, expected ROWS"),
        (("none.csv",), "no such file"),
        ((str(DATA),), "a directory"),
        ((CONFIG,), "columns"),
        (("{rows}", "--predictions", "/nowhere/x.csv"), "predictions"),
        (("{rows}", "--worst", "-1"), "worst"),
        (("{rows}", "--worst", "1.5"), "a whole number"),
        (("{rows}", "--worst", "x"), "worst"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    terminal: Terminal, rows: Path, arguments: tuple[str, ...], words: str
) -> None:
    run = terminal.run("validate", *(argument.replace("{rows}", str(rows)) for argument in arguments))
    assert (run.status, run.out) == (2, "")
    assert run.err.count("\n") == 1
    assert "mistake of ours" not in run.err
    assert words in run.err
