"""Halves of a batch that take turns: one is computed while rows of the other cross to experts and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy

import roofline as rl
from roofline.describe.catalog import accelerator
from roofline.describe.formats import PRESETS
from roofline.describe.machine import Machine, Tier, Wire
from roofline.describe.model_catalog import load_model
from roofline.estimate.layout import Layout
from roofline.estimate.steps import Plan
from roofline.estimate.times import RESOURCES
from roofline.estimate.timing import Step, exchanges, passage, step_seconds, step_terms
from roofline.estimate.work import Operation, Transfer
from roofline.explore.sides import sides
from roofline.show.pools import Pool
from tests.estimate.test_times import Plain, operation

MODEL = "deepseek-v2-lite"
RANKS = {"tp": 1, "pp": 1, "dp": 16, "ep": 16}
ONE_EACH = Machine(
    "a toy", {"bf16": 1.0}, (Tier("only", 1e9, 1e9, 1.0),), None, (Wire("wire", 1.0, 0.0, 1, 8, "switch"),)
)


def deployed(overlap: bool, **more: Any) -> rl.Deployment:
    return rl.Deployment(MODEL, "h100-sxm", 16, overlap=overlap, **{**RANKS, **more})


def crossing(size: float) -> Transfer:
    """Takes half of `size` seconds between two ranks."""
    return Transfer("dispatch", "all_to_all", size, 0, 2)


def summing(size: float) -> Transfer:
    return Transfer("all_reduce", "all_reduce", size, 0, 2)


def step(items: tuple[Any, ...], counts: tuple[int, ...], halves: Step | None = None) -> Step:
    return Step("prefill", items, counts, (counts,), 1, 1, (), 0, halves)


@pytest.mark.parametrize(
    ("flops", "weights", "sent", "seconds", "owed"),
    [
        (
            10,
            1,
            8,
            10 + 2,
            {"compute": 10, "network": 2},
        ),  # computing takes longer: what crosses is hidden, sums are not
        (10, 1, 40, 20, {"network": 20}),  # crossing takes longer: all else is hidden
        (4, 3, 12, 2 * 3 + 2, {"memory": 6, "network": 2}),  # weights are read for either half
    ],
)
def test_the_longer_of_computing_and_crossing_counts(
    flops: float, weights: float, sent: float, seconds: float, owed: dict[str, float]
) -> None:
    """Products, what crosses to experts (half of it leaves the rank), and a sum over ranks of 2 s."""
    halves = step((operation(flops / 2, weights), crossing(sent / 2), summing(1.0)), (2, 2, 2))
    whole = step((operation(flops, weights), crossing(sent), summing(2.0)), (1, 1, 1), halves)
    at_once = step_seconds(replace(whole, halves=None), ONE_EACH, Plain())  # type: ignore[arg-type]
    assert at_once == flops + sent / 2 + 2
    assert step_seconds(whole, ONE_EACH, Plain()) == seconds  # type: ignore[arg-type]
    assert passage(whole, ONE_EACH, Plain()) == (seconds, 0, seconds)  # type: ignore[arg-type]
    terms = step_terms(whole, ONE_EACH, Plain())  # type: ignore[arg-type]
    assert terms["overlap"].total == seconds - at_once  # type: ignore[operator]
    found = {name: sum(times.attributed[name] for times in terms.values()) for name in RESOURCES}  # type: ignore[misc]
    assert {name: value for name, value in found.items() if value} == owed


def test_a_batch_that_is_faster_at_once_is_not_cut() -> None:
    whole = step((operation(1.0, 6.0), crossing(2.0)), (1, 1))
    cut = replace(whole, halves=step((operation(0.5, 6.0), crossing(1.0)), (2, 2)))
    assert step_seconds(cut, ONE_EACH, Plain()) == step_seconds(whole, ONE_EACH, Plain()) == 7  # type: ignore[arg-type]
    saved = step_terms(cut, ONE_EACH, Plain())["overlap"]  # type: ignore[arg-type]
    assert (saved.total, saved.memory, set(saved.attributed.values())) == (0, 0, {0})


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_halves_do_what_the_whole_does_and_read_the_weights_of_layers_twice(phase: str) -> None:
    model, machine = load_model(MODEL), accelerator("h100-sxm").numbers()
    plan = Plan.of(model, Layout(dp=16, ep=16), PRESETS["fp8"], machine, host=True, overlap=True)
    if phase == "prefill":
        whole = plan.prefill(batch=64.0, prompt=512.0, cached=0.0)
    else:
        whole = plan.decode(batch=64.0, context=512.0)
    assert whole.halves is not None

    def total(step: Step, field: str, *, outside: bool | None = None) -> float:
        counted = zip(step.items, step.path, strict=True)
        chosen = [(item, count) for item, count in counted if isinstance(item, Operation)]
        if outside is not None:
            chosen = [each for each in chosen if (each[0].term in ("lm_head", "runtime")) == outside]
        return sum(float(getattr(item, field)) * count for item, count in chosen)

    for field in ("flops", "cache", "activations"):
        assert total(whole.halves, field) == pytest.approx(total(whole, field))
    for field in ("weights", "kernels"):
        assert total(whole.halves, field, outside=True) == total(whole, field, outside=True) > 0
    assert total(whole, "weights") < total(whole.halves, "weights") < 2 * total(whole, "weights")
    sent = [
        sum(float(item.size) * count for item, count in zip(each.items, each.path, strict=True) if exchanges(item))
        for each in (whole, whole.halves)
    ]
    assert sent[0] == pytest.approx(sent[1])


def test_one_sequence_on_each_rank_is_decoded_at_once_and_one_prompt_is_cut_in_two() -> None:
    without, turns = deployed(False), deployed(True)
    assert turns.decode(16, 4096).seconds == without.decode(16, 4096).seconds
    assert turns.prefill(8192, 16).seconds < 0.9 * without.prefill(8192, 16).seconds
    assert turns.decode(4096, 1024).seconds < without.decode(4096, 1024).seconds


def test_terms_of_arrays_are_those_of_numbers() -> None:
    """Where halves are slower, where computing is longer and where crossing is."""
    turns, batches = deployed(True), np.array([16.0, 64.0, 4096.0])
    several = turns.prefill(np.array([64.0, 2048.0, 8192.0]), batches)
    for place, (prompt, batch) in enumerate(((64.0, 16.0), (2048.0, 64.0), (8192.0, 4096.0))):
        one = turns.prefill(prompt, batch)
        assert several.seconds[place] == pytest.approx(one.seconds)
        assert sum(times.total for times in one.terms.values()) == pytest.approx(one.seconds)
        for name in RESOURCES:
            owed = np.broadcast_to(several.attributed[name], 3)[place]
            assert owed == pytest.approx(one.attributed[name], abs=1e-9 * one.seconds)


def test_the_closed_form_overlaps_too() -> None:
    turns = deployed(True)
    batch = sympy.Symbol("batch", positive=True)
    closed = rl.closed_form(turns.prefill, hardware=(), prompt=2048.0, cached_tokens=0.0)
    terms = rl.closed_form(turns.prefill, hardware=(), prompt=2048.0, cached_tokens=0.0, terms=True)
    for size in (16.0, 512.0):
        one = turns.prefill(2048.0, size)
        assert float(closed.subs({"batch": size})) == pytest.approx(one.seconds)
        assert float(sympy.sympify(terms["overlap"]).subs({"batch": size})) == pytest.approx(one.terms["overlap"].total)
    symbolic = turns.prefill(2048.0, batch).terms["overlap"].total
    assert float(symbolic.subs({batch: 512.0})) == pytest.approx(turns.prefill(2048.0, 512.0).terms["overlap"].total)


def test_what_overlaps_can_be_weighed_against_other_terms() -> None:
    for overlap in (True, False):
        settled = deployed(overlap).settled()
        estimate = deployed(overlap).prefill(2048.0, 64.0)
        taken = settled.step(estimate.point)
        if overlap:
            found = sides(settled, taken, "overlap")(settled, taken)
            assert found == pytest.approx(estimate.terms["overlap"].total)
        else:
            with pytest.raises(rl.UnknownName, match="overlap"):
                sides(settled, taken, "overlap")


def test_what_overlap_does_is_said() -> None:
    turns = deployed(True).prefill(8192, 16)
    assert any("halves of a batch take turns where that is faster" in each for each in turns.assumptions)
    (line,) = (line for line in turns.explain().splitlines() if line.startswith("overlap "))
    assert line.endswith("saved")
    assert "-" in line
    for ranks in ({"dp": 1, "ep": 1, "tp": 16}, {"dp": 8, "ep": 8, "pp": 2}):
        same = [deployed(overlap, **ranks).prefill(8192, 16) for overlap in (True, False)]
        assert same[0].seconds == same[1].seconds
        assert any(each.startswith("overlap has no effect: ") for each in same[0].assumptions)
    assert not any("overlap" in each or "halves" in each for each in deployed(False).prefill(8192, 16).assumptions)


def test_overlap_is_asked_for_in_one_way() -> None:
    for wrong in (1, "yes", None):
        with pytest.raises(rl.InvalidInput, match="overlap: got"):
            rl.Deployment(MODEL, "h100-sxm", overlap=wrong)  # type: ignore[arg-type]
    assert Pool.parse("h100-sxm:16,dp=16,ep=16,overlap=yes").deployment(load_model(MODEL)).overlap
    assert not Pool.parse("h100-sxm:16,overlap=no").deployment(load_model(MODEL)).overlap
    with pytest.raises(rl.RooflineError, match="overlap: got 'maybe', expected yes or no"):
        Pool.parse("h100-sxm:16,overlap=maybe")
