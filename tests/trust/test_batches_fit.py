"""Hosts told by batches: found again in times made with them, straight in what they add, and as shipped."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measured.earlier_stacks import (
    ENOUGH,
    FIGURES,
    GROUPS,
    KINDS,
    Earlier,
    earlier,
    own_kernels,
    without,
)
from benchmarks.measured.validation_page import EARLIER
from roofline.describe.runtimes import Runtime, runtime
from roofline.trust.batches_fit import HOST, Fit, Measured, fitted, is_time, measured
from roofline.trust.measured_rows import served
from roofline.trust.predictions import predict
from roofline.trust.static_rows import static_value
from roofline.trust.validation import counts, read_rows, validate

ROWS = [row for row in read_rows(Path(__file__).resolve().parents[2] / "benchmarks/measured/phases.csv") if counts(row)]
TRUE = Fit({"step": 2e-3, "sequence": 6e-5, "prompt": 5e-2}, 1.8)
HOSTED = dict(zip(HOST, (2.5e-3, 4e-5, 9e-3), strict=True))


def free(name: str) -> Runtime:
    """A shipped stack that adds nothing, and whose kernels are as fast on all parts."""
    kernels = {"kernels": own_kernels()} if name in FIGURES else {}
    return runtime(name).model_copy(update={"slower": {}, **dict.fromkeys(HOST, 0.0), **kernels})


@cache
def own(name: str) -> list[dict[str, str]]:
    """Rows of a stack that have a prediction."""
    rows = (row for row in ROWS if served(row).stack == name and row["kind"] in KINDS)
    return [row for row in rows if predict(row).status == "ok"]


@cache
def refitted(name: str) -> Earlier:
    """A stack as the rows give it today."""
    return earlier(name, runtime("vllm"), ROWS)


def made(count: int) -> list[Measured]:
    """Rows of a prompt, and of up to 300 tokens beside it, whose times are as `TRUE` has them, to 1 %."""
    draw = np.random.default_rng(3)
    found = []
    for index in range(count):
        batch, steps = draw.integers(1, 256), float(draw.integers(0, 300) * (index % 4 > 0))
        row = Measured({}, draw.uniform(0.1, 0.5) * (1 + steps / 30), (steps, steps * batch, 1.0), index % 3 == 0)
        true = TRUE.ratio(row) * draw.lognormal(0, 0.01)
        found.append(replace(row, devices=row.devices / true, added=tuple(each / true for each in row.added)))
    return found


def test_a_host_is_found_again_in_times_made_with_it() -> None:
    found = fitted(made(600))
    assert found.figures == pytest.approx(TRUE.figures, rel=0.15)
    assert found.slower == pytest.approx(TRUE.slower, rel=0.02)


def test_kernels_are_as_measured_where_no_part_of_another_vendor_says_otherwise() -> None:
    found = fitted([row for row in made(300) if not row.borrowed])
    assert found.slower == 1
    assert found.figures == pytest.approx(TRUE.figures, rel=0.15)


@pytest.mark.parametrize("name", EARLIER)
def test_times_are_straight_in_what_a_stack_adds(name: str) -> None:
    """Of kernels nearly so, in prompts."""
    figures = FIGURES.get(name, HOST)
    rows = [row for row in own(name) if name not in FIGURES or row["kind"] == "prefill"]
    known = measured(rows[:: len(rows) // 12], free(name), figures)
    amounts, near = (dict.fromkeys(figures, 0.7), 0.03) if name in FIGURES else (HOSTED, 1e-6)
    stack = free(name)
    for each, figure in figures.items():
        stack = figure.added(stack, amounts[each])
    assert len(known) > 11
    for row in known:
        told = static_value(row.row, served(row.row), stack) / float(row.row["value"])
        assert Fit(amounts, 1.0).ratio(row) == pytest.approx(told if is_time(row.row) else 1 / told, rel=near)


def test_rows_of_parts_of_other_vendors_are_told_apart() -> None:
    known = measured(own("vllm-2024")[::10], free("vllm-2024"))
    assert {served(each.row).accelerator for each in known if each.borrowed} == {"mi300x"}
    assert any(not each.borrowed for each in known)


def test_a_row_without_a_prediction_says_nothing() -> None:
    row = {**own("fastertransformer")[0], "batch": "a few"}
    assert measured([row], free("fastertransformer")) == []


@pytest.mark.parametrize("name", EARLIER)
def test_the_shipped_constants_are_what_the_rows_give(name: str) -> None:
    """Of all that stacks have in common, batches of these models depend on nothing that one has of its own."""
    shipped, found = runtime(name), refitted(name).stack
    assert found.model_dump(include=set(HOST)) == pytest.approx(shipped.model_dump(include=set(HOST)))
    assert found.slower == pytest.approx(shipped.slower)
    assert found.kernels is not None
    assert shipped.kernels is not None
    for kernel_class, fits in found.kernels.kernels.items():
        for key, fit in fits.items():
            assert shipped.kernels.kernels[kernel_class][key].compute == pytest.approx(fit.compute, rel=1e-3)
    assert found.ttft.model_dump() == pytest.approx(shipped.ttft.model_dump())
    assert found.tpot.model_dump() == pytest.approx(shipped.tpot.model_dump())
    assert shipped.alone == shipped.step
    prompts = sum(row["kind"] == "prefill" for row in own(name))
    assert shipped.tpot.points == len(own(name)) - prompts
    assert shipped.ttft.points == (prompts if prompts >= ENOUGH else 0)
    assert shipped.told_by == "batches"


def test_rows_are_judged_without_their_model_and_without_their_part() -> None:
    """FasterTransformer was measured on one part but for two rows: without it there is nothing left to fit."""
    name = "fastertransformer"
    found, rows = refitted(name), own(name)
    parts = {row["id"]: served(row).accelerator for row in rows}
    few = [row for row, part in parts.items() if part == "a100-sxm-40gb"]
    assert {row for row, ratio in found.outside["part"].items() if ratio is not None} == set(few)
    predictions = validate(rows)
    outside = {group: without(group, [found], predictions) for group in GROUPS}
    assert len(outside["part"].compared("value")) == len(few)
    within, apart = (run.figures("value") for run in (predictions, outside["model"]))
    assert within is not None
    assert apart is not None
    assert within.rows == apart.rows
    assert within.median < apart.median
    for each in outside["model"].compared("value"):
        ratio = found.outside["model"][each.prediction.row["id"]]
        assert each.predicted / each.measured == pytest.approx(ratio)


def test_what_only_one_part_of_a_vendor_tells_is_not_judged_without_it() -> None:
    """How much slower kernels are on parts of AMD is told by MI300X alone; without a model its other rows tell it."""
    outside = refitted("vllm-2024").outside
    parts = {row["id"]: served(row).accelerator for row in own("vllm-2024")}
    assert {parts[row] for row, ratio in outside["part"].items() if ratio is None} == {"mi300x"}
    assert all(ratio is not None for ratio in outside["model"].values())
