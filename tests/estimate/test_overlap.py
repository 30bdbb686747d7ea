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
from roofline.estimate.spill import spilled
from roofline.estimate.steps import Plan
from roofline.estimate.times import RESOURCES
from roofline.estimate.timing import Step, Turns, passage, step_seconds, step_terms
from roofline.estimate.work import Operation, Transfer, exchanges
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


def step(*items: Any, turns: Turns | None = None) -> Step:
    counts = (1,) * len(items)
    return Step("prefill", items, counts, (counts,), 1, 1, (), 0, turns)


def turns(*inside: Any, outside: tuple[Any, ...] = ()) -> Turns:
    """Layers run twice, the rest once."""
    counts = (2,) * len(inside) + (0,) * len(outside), (0,) * len(inside) + (1,) * len(outside)
    return Turns((*inside, *outside), *counts)


@pytest.mark.parametrize(
    ("flops", "weights", "sent", "layers", "owed"),
    [
        (
            10,
            1,
            8,
            10 + 2,
            {"compute": 10, "network": 2},
        ),  # computing takes longer: what crosses is hidden, sums are not
        (10, 1, 40, 20 + 2, {"network": 22}),  # sending takes longer: all that is computed is hidden
        (4, 3, 8, 2 * 3 + 2, {"memory": 6, "network": 2}),  # weights are read for either half
        (6, 1, 16, 8 + 2, {"network": 10}),  # sums keep the wires busy too
    ],
)
def test_the_longer_of_computing_and_sending_counts(
    flops: float, weights: float, sent: float, layers: float, owed: dict[str, float]
) -> None:
    """Products, what crosses to experts (half of it leaves the rank), sums over ranks of 2 s, and a head of 1 s."""
    head = operation(1.0, 1.0)
    halves = turns(operation(flops / 2, weights), crossing(sent / 2), summing(1.0), outside=(head,))
    whole = step(operation(flops, weights), crossing(sent), summing(2.0), head, turns=halves)
    at_once = step_seconds(replace(whole, turns=None), ONE_EACH, Plain())  # type: ignore[arg-type]
    assert at_once == flops + sent / 2 + 2 + 1
    assert step_seconds(whole, ONE_EACH, Plain()) == layers + 1  # type: ignore[arg-type]
    assert passage(whole, ONE_EACH, Plain()) == (layers + 1, 0, layers + 1)  # type: ignore[arg-type]
    terms = step_terms(whole, ONE_EACH, Plain())  # type: ignore[arg-type]
    saved = terms["overlap"]
    assert saved.total == layers + 1 - at_once  # type: ignore[operator]
    assert (saved.compute, saved.memory, saved.network) == (0, weights, 0)
    found = {name: sum(times.attributed[name] for times in terms.values()) for name in RESOURCES}  # type: ignore[misc]
    expected = {**owed, "compute": owed.get("compute", 0) + 1}
    assert {name: value for name, value in found.items() if value} == expected


def test_a_batch_that_is_faster_at_once_is_not_cut() -> None:
    whole = step(operation(1.0, 6.0), crossing(2.0))
    cut = replace(whole, turns=turns(operation(0.5, 6.0), crossing(1.0)))
    assert step_seconds(cut, ONE_EACH, Plain()) == step_seconds(whole, ONE_EACH, Plain()) == 7  # type: ignore[arg-type]
    saved = step_terms(cut, ONE_EACH, Plain())["overlap"]  # type: ignore[arg-type]
    assert (saved.total, saved.memory, set(saved.attributed.values())) == (0, 0, {0})


def total(items: Any, counts: Any, field: str) -> float:
    """Over all operations [FLOP, B, 1]."""
    pairs = [(item, count) for item, count in zip(items, counts, strict=True) if isinstance(item, Operation)]
    return sum(float(getattr(item, field)) * float(count) for item, count in pairs)


def sent(items: Any, counts: Any) -> float:
    """Over all exchanges [B]."""
    return sum(float(item.size) * count for item, count in zip(items, counts, strict=True) if exchanges(item))


@pytest.mark.parametrize("slice", [None, 256])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_halves_do_what_the_whole_does_and_read_the_weights_of_layers_twice(phase: str, slice: int | None) -> None:
    model, machine = load_model(MODEL), accelerator("h100-sxm").numbers()
    plan = Plan.of(model, Layout(dp=16, ep=16), PRESETS["fp8"], machine, host=True, overlap=True)
    if phase == "prefill":
        whole = plan.prefill(batch=64.0, prompt=512.0, cached=0.0, slice=slice)
    else:
        whole = plan.decode(batch=64.0, context=512.0)
    assert whole.turns is not None
    items, inside, outside = whole.turns.items, whole.turns.inside, whole.turns.outside
    for field in ("flops", "cache", "activations"):
        both = total(items, inside, field) + total(items, outside, field)
        assert both == pytest.approx(total(whole.items, whole.path, field))
    assert sent(items, inside) == pytest.approx(sent(whole.items, whole.path))
    assert sent(items, outside) == 0
    once = {item.term for item, count in zip(items, outside, strict=True) if count}
    assert {"lm_head", "runtime", "embedding"} <= once
    assert not {"attention", "routed_experts", "dispatch"} & once
    read = total(whole.items, whole.path, "weights") - total(items, outside, "weights")
    assert read < total(items, inside, "weights") <= 2 * read


def test_the_larger_half_of_an_odd_number_decides() -> None:
    """Three sequences on a rank are two and one."""
    plan = Plan.of(
        load_model(MODEL), Layout(dp=16, ep=16), PRESETS["fp8"], accelerator("h100-sxm").numbers(), overlap=True
    )
    odd, two = plan.decode(batch=48.0, context=512.0).turns, plan.decode(batch=32.0, context=512.0)
    assert odd is not None
    cache = {item.cache for item in odd.items if item.term == "attention"}  # type: ignore[union-attr]
    assert cache == {item.cache for item in two.items if item.term == "attention"}  # type: ignore[union-attr]


@pytest.mark.parametrize("ranks", [{"tp": 4, "dp": 2, "ep": 8}, {"tp": 2, "dp": 2, "ep": 4}])
def test_wires_are_never_busier_than_the_step_is_long(ranks: dict[str, int]) -> None:
    """Sums of tensor ranks and rows to experts take the same wires; a floor of latencies stays below."""
    wafers = rl.Deployment(MODEL, "cerebras-wse3", ranks["tp"] * ranks["dp"], pp=1, overlap=True, **ranks)
    for estimate in (wafers.prefill(2048, 16), wafers.decode(2, 2)):
        assert sum(times.network for times in estimate.terms.values()) <= estimate.seconds * (1 + 1e-12)
        assert estimate.floor <= estimate.ideal


def test_what_lies_in_a_further_memory_is_read_from_there_by_halves_and_slices_too() -> None:
    machine = accelerator("h100-sxm").numbers()
    plan = Plan.of(load_model(MODEL), Layout(dp=16, ep=16), PRESETS["fp8"], machine, overlap=True)
    step = spilled(plan.prefill(batch=64.0, prompt=512.0, cached=0.0, slice=64), [(0.5, 0.25)])
    assert step.turns is not None
    for items in (step.items, step.turns.items):
        operations = [item for item in items if isinstance(item, Operation)]
        assert operations
        assert all(item.far == (item.weights * 0.5 + item.cache * 0.25,) for item in operations)  # type: ignore[operator]


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
