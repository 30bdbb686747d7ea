"""Stacks of which no service was measured, but batches and single steps were: what their hosts add, and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roofline.describe.catalog import accelerator
from roofline.describe.runtimes import Runtime, Spread, runtime
from roofline.trust.batches_fit import HOST, Measured, fitted, is_time, measured
from roofline.trust.measured_rows import Row, number, part_of, served
from roofline.trust.predictions import Prediction
from roofline.trust.validation import Validation

KINDS = ("decode", "prefill", "static")
"""Kinds of rows of which a batch is known [1]."""
ENOUGH = 20
"""Others' rows below which rows are not predicted without those of their group [1]."""
SOURCE = "python -m benchmarks.measured.refit_runtimes, benchmarks/measured/phases.csv"
GROUPS: Mapping[str, Callable[[Row], str]] = {"model": lambda row: row["model"], "part": part_of}
"""What rows are left out by."""


@dataclass(frozen=True)
class Earlier:
    """A stack as fitted; `outside`: predicted over measured times of its rows without those of their model, or of their
    part, by row [1]; None where too few others are left.
    """

    stack: Runtime
    outside: Mapping[str, Mapping[str, float | None]]


def earlier(name: str, usual: Runtime, rows: Sequence[Row]) -> Earlier:
    """A stack with the constants that rows give; what they do not tell is as `usual`, of all stacks with service.

    Where it is one that only decodes it has no other step, since no row tells one.
    """
    shipped = runtime(name)
    said = {each: getattr(shipped, each) for each in ("name", "of", "below", "until")}
    free = {"slower": {}, **dict.fromkeys(HOST, 0.0)}
    bare = usual.model_copy(update={**said, **free, "source": SOURCE, "told_by": "batches"})
    own = measured((row for row in rows if row["kind"] in KINDS and served(row).stack == name), bare)
    found = fitted(own)
    outside = {group: _outside(own, group) for group in GROUPS}
    spread = _spread(len(own), [ratio for ratios in outside.values() for ratio in ratios.values() if ratio is not None])
    seconds = {each: _digits(value, 3) for each, value in found.host.items()}
    vendors = {accelerator(served(each.row).accelerator).vendor for each in own if each.borrowed}
    slower = {vendor: _digits(found.slower, 3) for vendor in sorted(vendors)}
    update = {**seconds, "alone": seconds["step"], "slower": slower, "tpot": spread, "ttft": spread}
    return Earlier(bare.model_copy(update=update), outside)


def _outside(rows: Sequence[Measured], group: str) -> dict[str, float | None]:
    """Predicted over measured times of rows whose group was left out of the fit."""
    found: dict[str, float | None] = {}
    groups = [GROUPS[group](each.row) for each in rows]
    for value in sorted(set(groups)):
        others = [each for each, own in zip(rows, groups, strict=True) if own != value]
        fit = fitted(others) if len(others) >= ENOUGH else None
        within = (each for each, own in zip(rows, groups, strict=True) if own == value)
        found.update({each.row["id"]: None if fit is None else fit.ratio(each) for each in within})
    return found


def without(group: str, found: Sequence[Earlier], shipped: Validation) -> Validation:
    """Predictions of which those of fitted rows are made without the rows of their model, or of their part, or not."""
    ratios = {name: ratio for each in found for name, ratio in each.outside[group].items()}
    return Validation(
        tuple(
            _scaled(each, ratios[each.row["id"]]) if each.row["id"] in ratios else each for each in shipped.predictions
        )
    )


def _scaled(prediction: Prediction, ratio: float | None) -> Prediction:
    """A prediction whose time is so many times the measured one, or none."""
    if ratio is None:
        return replace(prediction, value=None)
    times = ratio if is_time(prediction.row) else 1 / ratio
    return replace(prediction, value=number(prediction.row, "value") * times)


def _spread(points: int, ratios: Sequence[float]) -> Spread:
    """Of predicted over measured times."""
    low, high = np.quantile(1 / np.array(ratios), [0.1, 0.9])
    error, low, high = (_digits(float(each)) for each in (np.median(np.abs(np.array(ratios) - 1)), low, high))
    return Spread(points=points, error=error, low=low, high=high)


def _digits(number: float, count: int = 4) -> float:
    return float(f"{number:.{count}g}")
