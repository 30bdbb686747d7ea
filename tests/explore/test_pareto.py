"""The front: nothing on it is beaten, everything off it is."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import roofline as rl
from roofline.explore.pareto import pareto
from roofline.explore.sweep import sweep
from tests.explore.cases import deployment

NUMBERS = st.one_of(st.integers(0, 4).map(float), st.sampled_from([math.nan, math.inf, -math.inf]), st.none())


def beats(one: dict[str, Any], other: dict[str, Any], most: tuple[str, ...], least: tuple[str, ...]) -> bool:
    pairs = [(one[name], other[name]) for name in most] + [(other[name], one[name]) for name in least]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[dict[str, Any]], tuple[str, ...], tuple[str, ...]]:
    names = ["a", "b", "c", "d"][: draw(st.integers(1, 4))]
    rows = draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, NUMBERS)), min_size=1, max_size=40))
    most = tuple(name for name in names if draw(st.booleans()))
    return rows, most, tuple(name for name in names if name not in most)


@given(questions())
def test_no_row_of_the_front_is_beaten_and_every_other_row_is(question: Any) -> None:
    rows, most, least = question
    front = pareto(rows, maximize=most, minimize=least)
    sound = [
        index
        for index, row in enumerate(rows)
        if not any(row[name] is None or math.isnan(row[name]) for name in (*most, *least))
    ]
    assert front.excluded == len(rows) - len(sound)
    assert front.dominated == len(sound) - len(front)
    for index in sound:
        beaten = any(beats(rows[other], rows[index], most, least) for other in sound)
        assert (index in front.indices) is not beaten
    assert [rows[index] for index in front.indices] == front.to_dicts()


@pytest.mark.parametrize("objectives", [2, 3])
def test_large_sets_agree_with_the_definition(objectives: int) -> None:
    rng = np.random.default_rng(7)
    costs = rng.normal(size=(3000, objectives)).round(1)
    names = [f"x{index}" for index in range(objectives)]
    rows = [dict(zip(names, row, strict=True)) for row in costs.tolist()]
    front = pareto(rows, minimize=names)
    beaten = [((costs <= row).all(axis=1) & (costs < row).any(axis=1)).any() for row in costs]
    assert sorted(front.indices) == np.flatnonzero(~np.array(beaten)).tolist()


def test_equal_points_stand_together_and_the_best_comes_first() -> None:
    rows = [{"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 2.0}, {"a": 0.5, "b": 2.0}]
    front = pareto(rows, maximize=("a", "b"))
    assert front.indices == (1, 0, 2)
    assert front[0] == rows[1]
    assert front[:2] == (rows[1], rows[0])
    assert front.to_numpy()["a"].tolist() == [2, 1, 1]


def test_front_of_a_grid() -> None:
    grid = sweep(deployment("dense on GPUs").decode, batch=[1, 8, 64, 512, 10**6], context=[512, 4096])
    asked = ("tokens_per_second_per_user", "tokens_per_second_per_device")
    front = pareto(grid, maximize=asked)
    assert front.excluded == int((~grid["fits"]).sum()) == 3
    assert {row["context"] for row in front} == {512}
    assert [row["batch"] for row in front] == [1, 8, 64, 512]
    rows = grid.to_dicts()
    assert [rows[index] for index in front.indices] == front.to_dicts()
    assert "usd_per_million_tokens" in front[0]


def test_bad_questions_are_refused_in_one_line() -> None:
    rows = [{"seconds": 1.0, "bound": "memory"}]
    with pytest.raises(rl.InvalidInput, match="maximize= or minimize="):
        pareto(rows)
    with pytest.raises(rl.InvalidInput, match="each name once"):
        pareto(rows, maximize="seconds", minimize="seconds")
    with pytest.raises(rl.UnknownName, match=r"objective: got 'second'.*nearest: seconds"):
        pareto(rows, minimize="second")
    with pytest.raises(rl.InvalidInput, match="column of numbers"):
        pareto(rows, minimize="bound")
    with pytest.raises(rl.InvalidInput, match="a list of rows"):
        pareto(3, minimize="bound")  # type: ignore[arg-type]
    grid = sweep(deployment("one GPU").decode, batch=[1], context=128)
    with pytest.raises(rl.InvalidInput, match="column of numbers"):
        pareto(grid, minimize="bound")
    with pytest.raises(rl.UnknownName, match="nearest: seconds"):
        pareto(grid, minimize="second")
