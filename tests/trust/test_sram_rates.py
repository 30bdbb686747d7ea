"""Published rates of SRAM-class parts: the page is current and complete, and plain decoding never beats its floor."""

import csv
from pathlib import Path

import pytest

from benchmarks.measured import refit, sram_page
from roofline.estimate.deployment import Deployment
from roofline.trust.fitting import Evidence
from roofline.trust.measured_rows import described
from roofline.trust.published_rates import flat, linked

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"groq-lpu-v1", "groq-3-lpu", "cerebras-wse3", "sambanova-sn40l", "dmatrix-corsair"}


def rows(path: Path) -> list[dict[str, str]]:
    with (ROOT / path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_is_current() -> None:
    made = sram_page.page()
    assert (ROOT / sram_page.PAGE).read_text(encoding="utf-8") == made, "run python -m benchmarks.measured.sram_page"


def test_every_measured_row_of_the_class_is_on_the_page_once() -> None:
    measured = sorted(row["id"] for row in rows(refit.PHASES) if row["accelerator"] in PARTS)
    shown = [each.rate.id for each in sram_page.rates()] + [each.id for each in sram_page.batches()]
    assert len(shown) == len(set(shown))
    assert sorted(name for name in shown if not name.startswith("lpx")) == measured


def test_a_rate_is_stated_in_one_place() -> None:
    measured = {row["id"] for row in rows(refit.PHASES)}
    for row in rows(refit.RATES):
        assert bool(row["tokens_per_s"]) != (row["id"] in measured), row["id"]


def test_only_drafted_tokens_are_faster_than_the_floor() -> None:
    for each in sram_page.rates():
        assert each.explained or (not each.plain and each.rate.notes), each
        assert each.floor >= each.ideal >= each.estimate, each


def test_fitted_rates_are_plain() -> None:
    assert [each.rate.id for each in sram_page.rates() if each.rate.fitted and not each.plain] == []


def test_no_static_batch_is_faster_than_ideal() -> None:
    for each in sram_page.batches():
        assert each.measured >= each.ideal, each
        assert each.estimate >= each.ideal, each


def test_rates_are_per_user_whatever_was_published() -> None:
    by_id = {each.rate.id: each.published for each in sram_page.rates()}
    assert by_id["sram-0026"] == by_id["sram-0027"] == 1000
    assert by_id["sram-0028"] == by_id["sram-0029"] == 500
    assert by_id["sram-0009"] == 450


def test_the_overhead_of_a_batch_explains_it() -> None:
    """The estimate is a straight line over a fixed time per operation, so what is measured lies on it."""
    row = next(row for row in rows(refit.PHASES) if row["id"] == "argonne-1526")
    each = next(each for each in sram_page.batches() if each.id == row["id"])
    part, model = linked(row["accelerator"]), described(row["model"])
    figures = flat("explained", each.overhead, Evidence(0, 0, 1, 1), "a test")
    sockets = Deployment(model, part, 8, tp=8, quantization="bf16", efficiency=figures)
    whole = sockets.prefill(512).seconds + 511 * sockets.decode(1, 768).seconds
    assert whole == pytest.approx(each.measured)
