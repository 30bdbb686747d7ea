"""Configs with something wrong in them: an exact shape or one clear line, never anything else."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roofline.describe.huggingface import read_config
from roofline.describe.model import ModelShape
from roofline.describe.parts import PARTS
from roofline.errors import ConfigError

CONFIGS = [json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "data" / "configs").glob("*.json"))]
WILD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 3, 7, 10**6, 10**9, 10**18, -(10**30), 1.5, -0.0, float("nan"), float("inf")),
    *("", "eighty", "8", "LLLG", "M*-E", "\ud800", "line\nbreak"),
    *([], [1], [0] * 5, ["full_attention"] * 3, [None], [[]], {}, {"a": 1}, [1, "x"], [["global", "local"], 12]),
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a config, with each key or index in it."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        for key, item in value.items():
            found += [(value, key), *places(item)]
    elif isinstance(value, list):
        for index, item in enumerate(value[:5]):
            found += [(value, index), *places(item)]
    return found


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A published config with one to three things taken out, replaced or scaled."""
    config = copy.deepcopy(draw(st.sampled_from(CONFIGS)))
    for _ in range(draw(st.integers(1, 3))):
        where = places(config)
        if not where:
            break
        holder, key = where[draw(st.integers(0, len(where) - 1))]
        action = draw(st.sampled_from(["drop", "wild", "scale", "text"]))
        old = holder[key]
        if action == "drop":
            del holder[key]
        elif action == "scale" and isinstance(old, int) and not isinstance(old, bool):
            holder[key] = draw(st.sampled_from([old * 2, old // 2, old + 1, -old, old * 1000]))
        elif action == "text":
            holder[key] = draw(st.text(max_size=20) | st.integers() | st.floats() | st.booleans())
        else:
            holder[key] = copy.deepcopy(draw(st.sampled_from(WILD)))
    return config


def shape_or_complaint(config: dict[str, Any], strict: bool) -> ModelShape | str:
    """What the reader makes of a config: nothing but a `ConfigError` is caught."""
    try:
        return read_config(config, strict=strict)
    except ConfigError as error:
        return str(error)


@settings(max_examples=600, deadline=2000, suppress_health_check=list(HealthCheck))
@given(config=mutated(), strict=st.booleans())
def test_a_mutated_config_is_a_shape_or_one_clear_line(config: dict[str, Any], strict: bool) -> None:
    shape = shape_or_complaint(config, strict)
    if isinstance(shape, str):
        assert "\n" not in shape
        assert 10 < len(shape) < 1500
        return
    counts = shape.parameters()
    assert all(getattr(counts, part) >= 0 for part in PARTS)
    assert sum(getattr(counts, part) for part in PARTS) == counts.total > 0
    assert 0 < counts.active <= counts.total
    assert all(shape.cache_bytes(context) >= 0 for context in (0, 1, 1000, 10**6))
    assert shape == read_config(config, strict=strict)
    assert hash(shape)
