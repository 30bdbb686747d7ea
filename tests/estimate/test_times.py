"""Labels and sums of times: argmax of the very numbers, ties to the first, in floats, arrays and symbols alike."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from roofline.describe.efficiency import CollectiveFit, Efficiency
from roofline.describe.machine import Machine, Tier, Wire
from roofline.estimate.floors import Demand, Least, floor_seconds
from roofline.estimate.times import RESOURCES, Times, largest
from roofline.estimate.timing import Step, passage, step_interval, step_seconds, step_terms
from roofline.estimate.work import Operation, Transfer
from roofline.trust.strategies import accelerators

amounts = st.sampled_from([0.0, 1.0, 2.0, 3.0])


def operation(flops: float = 0, weights: float = 0, activations: float = 0, **changes: Any) -> Operation:
    values = {
        "term": "a term", "kernel_class": "matmul", "stored": "bf16", "computed": "bf16",
        "flops": flops, "weights": weights, "cache": 0, "activations": activations,
        "fewest_flops": flops, "fewest_weights": weights, "fewest_cache": 0,
    }  # fmt: skip
    return Operation(**{**values, **changes})


def step(*operations: Operation, counts: tuple[int, ...] | None = None) -> Step:
    path = counts or (1,) * len(operations)
    return Step("decode", operations, path, (path,), 1, 1, (), 0)


def machine(feed: float | None = None) -> Machine:
    """One of everything per second."""
    return Machine("a toy", {"bf16": 1.0}, (Tier("only", 1e9, 1e9, 1.0),), feed, ())


class Plain:
    """Rates that reach the peak, launch in no time, and err by what they are told."""

    runtime = None

    def __init__(self, low: float = 1.0, high: float = 1.0, overhead: float = 0.0) -> None:
        figures = {"low": low, "high": high, "overhead": overhead}
        self.fit = Efficiency.ideal().kernels["matmul"]["any"].model_copy(update=figures)

    def of_operation(self, _operation: Operation) -> tuple[str, Any]:
        return "bf16", self.fit

    def faster(self, _operation: Operation) -> float:
        return 1.0

    at_best = faster

    def of_transfer(self, _transfer: Any) -> CollectiveFit:
        exact = {"overhead": 0, "staged_overhead": 0, "bandwidth": 1, "points": 0, "error": 0, "low": 1, "high": 1}
        return CollectiveFit(**exact, source="a test: nothing lost")


@given(flops=amounts, weights=amounts, activations=amounts, feed=st.sampled_from([None, 0.5, 1.0, 2.0]))
def test_the_largest_of_three_counts_and_is_named(
    flops: float, weights: float, activations: float, feed: float | None
) -> None:
    """Compute before memory before feed, where they tie."""
    one = step(operation(flops, weights, activations))
    times = step_terms(one, machine(feed), Plain())["a term"]  # type: ignore[arg-type]
    expected = {"compute": flops, "memory": weights + activations, "feed": weights / feed if feed else 0}
    assert {name: getattr(times, name) for name in expected} == expected
    assert times.total == max(expected.values()) == step_seconds(one, machine(feed), Plain())  # type: ignore[arg-type]
    winner = max(expected, key=lambda name: expected[name])
    assert {name: seconds for name, seconds in times.attributed.items() if seconds} == (
        {winner: times.total} if times.total else {}
    )
    assert times.bound == winner


def test_cores_that_wait_for_the_last_block_count_as_if_they_worked() -> None:
    """100 of which the longest block takes 10, on four cores: 130; nothing where blocks are alike or not measured."""
    dealt = operation(100.0, 0.0, 0.0)._replace(longest=10.0)
    for cores, work, seconds in ((4.0, dealt, 130.0), (None, dealt, 100.0), (4.0, operation(100.0, 0.0, 0.0), 100.0)):
        rates = Plain()
        rates.fit = rates.fit.model_copy(update={"cores": cores})
        assert step_seconds(step(work), machine(None), rates) == seconds  # type: ignore[arg-type]


SYMBOLS = sympy.symbols("f w a", positive=True)


@given(numbers=st.lists(st.tuples(amounts, amounts, amounts), min_size=1, max_size=6))
def test_arrays_are_attributed_as_numbers_are(numbers: list[tuple[float, float, float]]) -> None:
    columns = [np.array(column) for column in zip(*numbers, strict=True)]
    arrays = step_terms(step(operation(*columns)), machine(0.75), Plain())["a term"]  # type: ignore[arg-type]
    for place, values in enumerate(numbers):
        one = step_terms(step(operation(*values)), machine(0.75), Plain())["a term"]  # type: ignore[arg-type]
        assert arrays.bound[place] == one.bound
        for name in RESOURCES:
            assert np.broadcast_to(arrays.attributed[name], len(numbers))[place] == one.attributed[name]


def test_symbols_are_attributed_as_numbers_are() -> None:
    closed = step_terms(step(operation(*SYMBOLS)), machine(0.75), Plain())["a term"]  # type: ignore[arg-type]
    for values in product((1, 2, 3), repeat=3):
        one = step_terms(step(operation(*map(float, values))), machine(0.75), Plain())["a term"]  # type: ignore[arg-type]
        for name in RESOURCES:
            put_in = sympy.sympify(closed.attributed[name]).subs(dict(zip(SYMBOLS, values, strict=True)))
            assert float(put_in) == one.attributed[name], (values, name)


def test_ties_go_to_the_first_resource() -> None:
    assert largest({"compute": 1.0, "memory": 1.0, "feed": 0.5}) == "compute"
    assert largest({"memory": 1.0, "network": 2.0, "overhead": 2.0}) == "network"
    several = largest({"compute": np.array([1.0, 0.0]), "memory": 1.0, "network": np.array([[1.0], [3.0]])})
    assert several.tolist() == [["compute", "memory"], ["network", "network"]]


def test_times_in_turn_add_up() -> None:
    one = Times(1, 2, 3, 4, 5, 12, {"compute": 0, "memory": 0, "feed": 3, "network": 4, "overhead": 5, "spill": 0}, 7)
    two = Times(10, 1, 0, 0, 1, 11, {"compute": 10, "memory": 0, "feed": 0, "network": 0, "overhead": 1, "spill": 0}, 2)
    owed = {"compute": 10, "memory": 0, "feed": 3, "network": 4, "overhead": 6, "spill": 0}
    assert one.plus(two) == Times(11, 3, 3, 4, 6, 23, owed, 9)
    assert one.plus(two).bound == "compute"
    assert one.times(3) == Times(3, 6, 9, 12, 15, 36, {name: 3 * each for name, each in one.attributed.items()}, 21)


def floor(
    *operations: Operation | Transfer,
    counts: tuple[int, ...] | None = None,
    on: Machine | None = None,
) -> Any:
    """Of operations on one device."""
    path = counts or (1,) * len(operations)
    demand = Demand(operations, path, (path,))
    least = Least(demand, demand, decoding=True, depth=1, hops=())
    return floor_seconds(least, on or machine(), Plain())  # type: ignore[arg-type]


def test_a_step_is_a_sum_of_maxima_and_its_floor_a_maximum_of_sums() -> None:
    """Two products and three readings: 2 · max(3, 1) + 3 · max(0, 2), but at least max(2 · 3, 2 · 1 + 3 · 2)."""
    kinds = operation(3, 1), operation(0, 2, 5)
    two_kinds = step(*kinds, counts=(2, 3))
    assert step_seconds(two_kinds, machine(), Plain()) == 2 * 3 + 3 * 7  # type: ignore[arg-type]
    assert floor(*kinds, counts=(2, 3)) == max(2 * 3, 2 * 1 + 3 * 2)
    launched = step_seconds(two_kinds, machine(), Plain(overhead=0.25))  # type: ignore[arg-type]
    assert launched == 2 * 3 + 3 * 7 + 5 * 0.25


def test_the_floor_takes_the_most_favourable_routing() -> None:
    routed = operation(6, 8, fewest_flops=6, fewest_weights=2)
    assert floor(routed) == 6
    assert step_seconds(step(routed), machine(), Plain()) == 8  # type: ignore[arg-type]


def test_the_floor_reads_from_far_what_cannot_lie_near() -> None:
    """Of 20 bytes of weights 4 fit into the first tier and 6 into the second; a cache's may be the same ones again."""
    tiers = (Tier("near", 4, 4, 10), Tier("far", 6, 6, 2), Tier("farther", 100, 100, 1))
    tiered = replace(machine(), tiers=tiers)
    assert floor(operation(0, 20), on=tiered) == max(20 / 13, 16 / 3, 10 / 1)
    assert floor(operation(0, 9), on=tiered) == max(9 / 13, 5 / 3)
    assert floor(operation(0, 3), on=tiered) == 3 / 13
    assert floor(operation(fewest_cache=20), on=tiered) == 20 / 13


def test_the_floor_leaves_in_each_cache_what_it_holds() -> None:
    """Of 12 B of weights and of cached keys a cache of 5 B has 5, of 3 B all; exchanges move no bytes of memory."""
    cached = replace(machine(), cache=5.0)
    assert floor(operation(0, 8, fewest_cache=4), on=cached) == 7
    assert floor(operation(0, 3), on=cached) == 0
    assert floor(operation(0, 8), on=replace(cached, tiers=(*cached.tiers[:1], Tier("far", 1, 1, 1)))) == 3 / 2
    # A token passes both stages, each with its cache: 2 · 8 - 2 · 5. All together the second stage has 2 · 20 - 5.
    counts, hops = ((2,), ((1,), (1,))), ((WIRE, 0),)
    alone = Demand((operation(0, 8),), *counts)
    for together, expected in ((8, 6), (20, 15)):
        least = Least(Demand((operation(0, together),), *counts), alone, True, 2, hops)
        assert floor_seconds(least, cached, Plain()) == expected  # type: ignore[arg-type]
    crossing = Transfer("any", "all_reduce", 8, 8, 2)
    wired = replace(cached, wires=(replace(WIRE, bandwidth=1.0),), cache=0.0)
    assert floor(crossing, on=wired) == 8


WIRE = Wire("a wire", 1e9, 1.0, 1, None, "switch")


def pipeline(phase: Any, micro_batches: int, latency: float) -> Step:
    """One product of 3 s in the first of two stages and two in the second, which a wire of no bytes joins."""
    wire = replace(WIRE, latency=latency)
    return Step(phase, (operation(3),), (3,), ((1,), (2,)), micro_batches, 2, ((wire, 1),), 0)


@pytest.mark.parametrize(
    ("decoding", "flops", "latency", "expected"),
    [
        (True, 3, 1.0, 9),  # a token passes both stages: 3 + 6
        (True, 3, 50.0, 50),  # and the wire between them
        (True, 12, 1.0, 24),  # the second stage has the work of all sequences twice
        (False, 3, 1.0, 6),  # a prompt may follow itself in slices: its longest stage
        (False, 3, 50.0, 50),
        (False, 12, 1.0, 24),
    ],
)
def test_the_floor_of_a_pipeline(decoding: bool, flops: float, latency: float, expected: float) -> None:
    """A product of 3 s for one sequence and of `flops` for all, once in the first stage and twice in the second."""
    counts = (3,), ((1,), (2,))
    hops = ((replace(WIRE, latency=latency), 1),)
    least = Least(Demand((operation(flops),), *counts), Demand((operation(3),), *counts), decoding, 2, hops)
    assert floor_seconds(least, machine(), Plain()) == expected  # type: ignore[arg-type]


def test_waiting_in_a_pipeline_is_owed_to_what_the_stages_do() -> None:
    """Three kernels of 3 s and 0.5 s of launching: 10.5 s of a token's own and 1 s on the wire.

    The second stage takes 7 s of each of four micro-batches: 28 - 10.5 - 1 s of waiting, shared out as 9 to 1.5.
    """
    busy, rates, one = pipeline("decode", 4, 1.0), Plain(overhead=0.5), replace(machine(), wires=(WIRE,))
    assert step_seconds(busy, one, rates) == 28  # type: ignore[arg-type]
    assert passage(busy, one, rates) == (10.5, 1, 7)  # type: ignore[arg-type]
    terms = step_terms(busy, one, rates)  # type: ignore[arg-type]
    assert terms["a term"].total == 10.5
    waiting = terms["pipeline"]
    owed = dict.fromkeys(RESOURCES, 0.0) | {"compute": 16.5 * 9 / 10.5, "network": 1, "overhead": 16.5 * 1.5 / 10.5}
    assert waiting.attributed == pytest.approx(owed)
    assert {name: getattr(waiting, name) for name in RESOURCES} == pytest.approx(owed)
    assert waiting.total == pytest.approx(17.5)


def test_the_only_stage_is_the_slowest_and_hands_nothing_over() -> None:
    assert passage(step(operation(3), counts=(2,)), machine(), Plain()) == (6, 0, 6)  # type: ignore[arg-type]


def test_kernels_of_a_class_err_together_and_classes_apart() -> None:
    """Two terms of one class of 3 s and 5 s are off by a tenth of 8 s; with another class of 6 s, by √(0.8² + 0.6²)."""
    same = step(operation(3, term="a"), operation(5, term="b"))
    low, high = step_interval(same, machine(), Plain(0.9, 1.2))  # type: ignore[arg-type]
    assert (low, high) == (pytest.approx(8 * 0.9), pytest.approx(8 * 1.2))
    apart = step(operation(8), operation(6, kernel_class="experts"))
    low, high = step_interval(apart, machine(), Plain(0.9, 1.2))  # type: ignore[arg-type]
    assert (14 - low, high - 14) == (pytest.approx(1.0), pytest.approx(2.0))


@given(part=accelerators())
def test_parts_give_machines_of_plain_numbers(part: Any) -> None:
    seen = part.numbers()
    assert seen.memory is seen.tiers[0]
    assert set(seen.peak) == set(part.peak)
    assert (seen.feed is None) == (getattr(part, "feed", None) is None)
