"""Measured service: the page is what the library predicts now, every row has an answer, and none beats its floor."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.measured.validation_page import page, stored
from roofline.describe.runtimes import runtime
from roofline.errors import InvalidInput
from roofline.trust.measured_rows import load, served
from roofline.trust.predictions import decode_pool, floor_of, predict
from roofline.trust.validation import COLUMNS, read_rows, validate, validate_file

ROOT = Path(__file__).resolve().parents[2]
SERVING, PHASES = (ROOT / f"benchmarks/measured/{name}.csv" for name in ("serving", "phases"))
ROWS = {row["id"]: row for row in read_rows(SERVING)}
SAMPLE = stored()["sample"]
SAME = 0.02


def test_the_page_is_made_of_the_stored_figures() -> None:
    assert (ROOT / "docs/validation.md").read_text(encoding="utf-8") == page(stored())


def test_the_stored_figures_are_what_the_library_predicts_now() -> None:
    for name, (ttft, tpot, floor) in SAMPLE.items():
        found = predict(ROWS[name])
        assert (found.ttft, found.tpot, found.floor) == pytest.approx((ttft, tpot, floor), rel=SAME), name


def test_no_measured_row_is_faster_than_its_floor() -> None:
    """Neither between two tokens nor before the first; what is said of others is said of those of grade C alone."""
    found = validate(list(ROWS.values()))
    assert found.below_floor() == []
    assert all(each.floor is not None for each in found.predictions)
    assert stored()["faster"]["service"] == [
        [],
        [each.prediction.row["id"] for each in found.below_floor(graded=False)],
    ]


def test_no_measured_step_prompt_or_batch_is_faster_than_its_floor() -> None:
    found = validate(PHASES)
    assert found.below_floor() == []
    beaten = [each.prediction.row["id"] for each in found.below_floor(graded=False)]
    assert stored()["faster"]["batches"] == [[], beaten]
    floored = [each for each in found.compared("value") if floor_of(each.prediction, "value") is not None]
    assert len(floored) > 0.9 * len(found.compared("value"))


@pytest.mark.parametrize(
    ("name", "column", "times", "quantity"),
    [
        ("ix-00001", "ttft_ms", 0.01, "ttft"),
        ("ix-00001", "tpot_ms", 0.01, "tpot"),
        ("trt05p-0001", "value", 0.01, "value"),
        ("gptfast-0001", "value", 100, "value"),
    ],
)
def test_a_time_or_a_rate_that_cannot_be_is_named(name: str, column: str, times: float, quantity: str) -> None:
    row = ROWS.get(name) or next(row for row in read_rows(PHASES) if row["id"] == name)
    assert validate([row]).below_floor() == []
    wrong = {**row, column: str(float(row[column]) * times)}
    assert [each.quantity for each in validate([wrong]).below_floor()] == [quantity]


def test_a_file_gets_one_line_per_row_in_its_order(tmp_path: Path) -> None:
    rows = [ROWS[name] for name in list(SAMPLE)[:5]]
    asked, answered = tmp_path / "rows.csv", tmp_path / "out.csv"
    with asked.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([*rows, {**rows[0], "id": "odd", "model": "nobody/nothing"}])
    told: list[str] = []
    result = validate_file(asked, answered, progress=told.append)
    lines = list(csv.DictReader(io.StringIO(answered.read_text())))
    assert tuple(lines[0]) == COLUMNS
    assert [line["id"] for line in lines] == [*(row["id"] for row in rows), "odd"]
    assert [line["status"] for line in lines] == ["ok"] * 5 + ["unsupported"]
    assert lines[-1]["message"]
    assert told
    assert "6 rows" in str(result)


@pytest.mark.parametrize(
    "changes",
    [
        {"isl": "many"},
        {"devices": ""},
        {"accelerator": "abacus"},
        {"quantization": "float3"},
        {"tp": "nan"},
        {"concurrency": "-1"},
        {"kind": "disaggregated", "decode_devices": "0"},
        {"metric": "miles"},
    ],
)
def test_a_row_that_says_nothing_usable_is_answered_not_raised(changes: dict[str, str]) -> None:
    row = {**ROWS[next(iter(SAMPLE))], **changes}
    found = predict(row)
    assert found.status == "unsupported"
    assert found.message


def test_a_model_that_does_not_fit_is_said_not_to() -> None:
    row = {**ROWS[next(iter(SAMPLE))], "kind": "serving", "model": "deepseek-ai/DeepSeek-R1", "accelerator": "h100-sxm"}
    row.update(devices="1", tp="1", pp="1", dp="1", ep="1", quantization="fp8")
    found = predict(row)
    assert found.status == "does_not_fit"


def test_service_that_does_not_fit_by_its_row_is_predicted_as_if_memory_held_it() -> None:
    """It was measured. What fits is predicted alike, whatever memory is left over."""
    row = {**ROWS[next(iter(SAMPLE))], "kind": "serving", "model": "meta-llama/Llama-3.1-70B", "quantization": "bf16"}
    row.update(devices="1", tp="1", pp="1", dp="1", ep="1", speculation="none", concurrency="4", kv_cache="bf16")
    tight, roomy = (predict({**row, "accelerator": part}) for part in ("h200-sxm", "b200-sxm"))
    assert (tight.status, roomy.status) == ("does_not_fit", "ok")
    for each in (tight, roomy):
        floor, tpot, ttft = (float(time or 0) for time in (each.floor, each.tpot, each.ttft))
        assert 0 < floor <= tpot < ttft
    assert "GB" in tight.message
    assert tight.message.endswith("; predicted as if memory held it")
    assert [
        each.rows
        for each in (validate([row | {"accelerator": "h200-sxm"}, row | {"accelerator": "b200-sxm"}]).figures(),)
        if each
    ] == [1]
    row["accelerator"] = "b200-sxm"
    asked, stack = load(row), runtime("vllm")
    told, all_held = (decode_pool(row, replace(served(row), holds_all=each), stack, asked) for each in (False, True))
    assert told.steps(asked) == pytest.approx(all_held.steps(asked), rel=1e-12)
    assert told.held(asked) < all_held.held(asked)


def test_errors_are_told_by_group_with_their_bias() -> None:
    result = validate([ROWS[name] for name in SAMPLE])
    by_part = result.by("accelerator")
    assert sum(each.rows for each in by_part.values()) == len(result.compared())
    assert all(each.median <= each.worst for each in by_part.values())
    assert result.counts()["ok"] == len(SAMPLE)


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        validate(tmp_path / "none.csv")
