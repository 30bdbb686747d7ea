"""Every crossover: found ones turn where they say, the others nowhere, and no pair is missing."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

import roofline as rl
from roofline.explore.sides import sides

GENERATOR = np.random.default_rng(5)
GPU = rl.Deployment("llama-3.1-70b", "h100-sxm", 8, tp=8, pp=1, dp=1, quantization="fp8")
LPU = rl.Deployment("llama-3.1-8b", "groq-lpu-v1", 128, tp=8, pp=16, dp=1, quantization="int8")
EXPERTS = rl.Deployment("deepseek-r1", "b200-sxm", 8, tp=1, pp=1, dp=8, ep=8)
ASKED: list[tuple[Any, dict[str, float]]] = [
    (GPU.decode, {"batch": 32, "context": 4096}),
    (GPU.prefill, {"prompt": 2048}),
    (LPU.decode, {"batch": 16, "context": 512}),
    (EXPERTS.decode, {"batch": 64, "context": 4096}),
]


def share(phase: Any, each: rl.Crossover, value: float, point: dict[str, float]) -> float:
    """The first quantity over the second where the variable has a value, from the steps themselves."""
    resolved = phase.__self__.settled()
    full = {"batch": 1.0, "cached_tokens": 0.0, **point, each.of: value}
    step = (
        resolved.plan.decode(batch=full["batch"], context=full["context"], new=1)
        if phase.__name__ == "decode"
        else resolved.plan.prefill(batch=full["batch"], prompt=full["prompt"], cached=full["cached_tokens"])
    )
    first, second = (float(sides(resolved, step, name)(resolved, step)) for name in (each.a, each.b))
    return first / second if second else np.inf


@pytest.mark.parametrize(("phase", "point"), ASKED)
def test_crossovers_turn_where_they_say(phase: Any, point: dict[str, float]) -> None:
    found = rl.crossovers(phase, **point)
    assert found.found
    for each in found.found:
        assert each.value is not None
        whole = each.value == round(each.value)
        below = max(each.low, each.value - 1 if whole and each.value < 200 else each.value * 0.99)
        above = min(each.high, each.value if whole else each.value * 1.01)
        before, after = (share(phase, each, value, point) for value in (below, above))
        longer_after = each.a if after > 1 else each.b
        assert (before - 1) * (after - 1) <= 0, str(each)
        assert longer_after == each.longer or after == pytest.approx(1), str(each)


@pytest.mark.parametrize(("phase", "point"), ASKED)
def test_never_is_never(phase: Any, point: dict[str, float]) -> None:
    for each in rl.crossovers(phase, **point).never:
        if each.longer is None:
            continue
        for value in np.exp(GENERATOR.uniform(np.log(max(each.low, 1)), np.log(each.high), 5)):
            whole = round(value) if each.of == "batch" else value
            ratio = share(phase, each, whole, point)
            assert (ratio >= 1) == (each.longer == each.a) or ratio == pytest.approx(1), str(each)


def test_no_pair_is_missing() -> None:
    found = rl.crossovers(GPU.decode, batch=32, context=4096)
    terms = list(GPU.decode(32, 4096).terms)
    resources = ["compute", "memory", "network", "overhead"]
    wanted = {frozenset(pair) for group in (terms, resources, ["weights", "cache"]) for pair in combinations(group, 2)}
    for of in ("batch", "context"):
        assert {frozenset((each.a, each.b)) for each in found if each.of == of} == wanted
    assert len(found) == 2 * len(wanted) == len(found.found) + len(found.never)


def test_variables_may_be_chosen_and_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    found = rl.crossovers(
        GPU.decode, "memory.bandwidth", lambda done, total: told.append((done, total)), batch=64, context=1024
    )
    assert {each.of for each in found} == {"memory.bandwidth"}
    assert told[-1] == (len(found), len(found))
    assert "memory.bandwidth" in str(found)


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(rl.UnknownName):
        rl.crossovers(GPU.decode, "colour", batch=1, context=1)
