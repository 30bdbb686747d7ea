"""Stacks of which no service was measured, but batches and single steps were: what their hosts add, and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from roofline.describe.catalog import accelerator, part_class
from roofline.describe.efficiency import Efficiency, KernelClass, KernelFit
from roofline.describe.runtimes import Runtime, Spread, runtime
from roofline.trust.batches_fit import HOST, Figure, Fit, Measured, arithmetic, fitted, is_time, measured
from roofline.trust.fitting import evidence
from roofline.trust.measured_rows import Row, number, part_of, served
from roofline.trust.predictions import Prediction
from roofline.trust.validation import Validation

KINDS = ("decode", "prefill", "static")
"""Kinds of rows of which a batch is known [1]."""
ENOUGH = 20
"""Others' rows below which rows are not predicted without those of their group [1]."""
SOURCE = "python -m benchmarks.measured.refit_runtimes, benchmarks/measured/phases.csv"
UNTOLD = Spread(points=0, error=0, low=1, high=1)
"""Of times that no row measures."""
SAID = (
    "name",
    "note",
    "of",
    "below",
    "until",
    "stages",
    "slice",
    "sums",
    "kernels_on",
    "fuses",
    "wide_caches_on",
    "reduces_as",
    "reduces_as_on",
)
"""What a stack's file says that is not fitted."""
OWN: tuple[tuple[KernelClass, str], ...] = (
    ("matmul", "bf16"),
    ("matmul", "int4-bf16"),
)
"""Kernels of llama.cpp that compute for longer than those measured: it widens quantised weights for every slice of a
prompt. That it computes attention for longer, without FlashAttention, its rows do not tell."""
FIGURES: Mapping[str, Mapping[str, Figure]] = {
    "llama.cpp": {f"{name} {key}": arithmetic(name, key) for name, key in OWN}
}
"""What is fitted of stacks that have kernels of their own, on parts of all vendors; of others their host.

What llama.cpp's host adds to a step of one sequence its rows do not tell: decode is predicted better without."""
GROUPS: Mapping[str, Callable[[Row], str]] = {"model": lambda row: row["model"], "part": part_of}
"""What rows are left out by."""


@dataclass(frozen=True)
class Earlier:
    """A stack as fitted; `outside`: predicted over measured times of its rows without those of their model, or of their
    part, by row [1]; None where too few others are left.
    """

    stack: Runtime
    outside: Mapping[str, Mapping[str, float | None]]


def said(stack: Runtime) -> dict[str, Any]:
    """What a stack's file says that is not fitted."""
    return {name: getattr(stack, name) for name in SAID}


def earlier(name: str, usual: Runtime, rows: Sequence[Row]) -> Earlier:
    """A stack with the constants that rows give; what they do not tell is as `usual`, of all stacks with service.

    In a pool that only decodes it has no other step, since no row tells one; and none tells what a launch takes it.
    """
    figures, bare = FIGURES.get(name, HOST), _bare(name, usual)
    own = measured((row for row in rows if row["kind"] in KINDS and served(row).stack == name), bare, figures)
    fit = partial(fitted, figures=figures, by_vendor=name not in FIGURES)
    found = fit(own)
    outside = {group: _outside(own, group, fit) for group in GROUPS}
    stack = bare
    for each, figure in figures.items():
        stack = figure.added(stack, claimed(found.figures[each]))
    vendors = {accelerator(served(each.row).accelerator).vendor for each in own if each.borrowed}
    slower = {} if found.slower == 1 else dict.fromkeys(sorted(vendors), claimed(found.slower))
    prompts = [each for each in own if each.row["kind"] == "prefill"]
    steps = [each for each in own if each.row["kind"] != "prefill"]
    tpot = _spread(steps, outside)
    ttft = _spread(prompts, outside) if len(prompts) >= ENOUGH else UNTOLD
    kernels = _as_uncertain(stack.kernels, ttft) if name in FIGURES else stack.kernels
    update = {"alone": stack.step, "slower": slower, "tpot": tpot, "ttft": ttft, "kernels": kernels}
    return Earlier(stack.model_copy(update=update), outside)


def _bare(name: str, usual: Runtime) -> Runtime:
    """A stack as it is described, that adds nothing yet."""
    free = {"slower": {}, "launch": 0.0, **dict.fromkeys(HOST, 0.0)}
    kernels = {"kernels": own_kernels()} if name in FIGURES else {}
    return usual.model_copy(update={**said(runtime(name)), **free, **kernels, "source": SOURCE, "told_by": "batches"})


def own_kernels() -> Efficiency:
    """Kernels that are not those measured: they compute for as long as those of the class, or longer."""
    known, source = part_class("hbm").efficiency.kernels, f"class-hbm, arithmetic as fitted by {SOURCE}"
    kernels: dict[KernelClass, dict[str, KernelFit]] = {}
    for name, key in OWN:
        kernels.setdefault(name, {})[key] = known[name][key].model_copy(update={"source": source})
    return Efficiency(name="own kernels", source=source, kernels=kernels)


def _as_uncertain(kernels: Efficiency | None, spread: Spread) -> Efficiency:
    """Kernels with the evidence of the prompts that they were fitted to."""
    assert kernels is not None
    fits = {
        name: {key: fit.model_copy(update=spread.model_dump()) for key, fit in by_format.items()}
        for name, by_format in kernels.kernels.items()
    }
    return kernels.model_copy(update={"kernels": fits})


def _outside(rows: Sequence[Measured], group: str, fit: Callable[[Sequence[Measured]], Fit]) -> dict[str, float | None]:
    """Predicted over measured times of rows whose group was left out of the fit.

    None where too few others are left, or none of another vendor's parts that would tell how much slower kernels are.
    """
    found: dict[str, float | None] = {}
    groups = [GROUPS[group](each.row) for each in rows]
    for value in sorted(set(groups)):
        others = [each for each, own in zip(rows, groups, strict=True) if own != value]
        within = [each for each, own in zip(rows, groups, strict=True) if own == value]
        told = any(each.borrowed for each in others) or not any(each.borrowed for each in within)
        without = fit(others) if told and len(others) >= ENOUGH else None
        found.update({each.row["id"]: None if without is None else without.ratio(each) for each in within})
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


def _spread(rows: Sequence[Measured], outside: Mapping[str, Mapping[str, float | None]]) -> Spread:
    """How far rows lie from predictions made without their model, and without their part."""
    told = [ratios[each.row["id"]] for ratios in outside.values() for each in rows]
    return spread_of([ratio for ratio in told if ratio is not None], len(rows))


def spread_of(ratios: Sequence[float], points: int) -> Spread:
    """Of predicted over measured times of so many rows, each of which was predicted more than once."""
    found = evidence(np.array(ratios), np.ones(len(ratios)))
    return Spread(points=points, error=found.error, low=found.low, high=found.high)


def claimed(value: float) -> float:
    """A constant to the digits that rows can claim."""
    return float(f"{value:.3g}")
