"""What a stack adds, fitted to rows of one phase or one batch: of stacks of which no service was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from roofline.describe.catalog import accelerator
from roofline.describe.efficiency import Efficiency, KernelClass
from roofline.describe.runtimes import Runtime
from roofline.errors import RooflineError
from roofline.trust.measured_rows import Row, Served, number, served
from roofline.trust.runtimes_fit import robust, search
from roofline.trust.static_rows import is_time, static_value
from roofline.trust.stations import Array

SLOWER = (1.0, 0.25)
"""Where the search for `Runtime.slower` begins, and its first step [1]."""
FITTED_VENDOR = "NVIDIA"
"""The vendor of the parts whose kernels are fitted; on those of others they may be slower under a stack."""


@dataclass(frozen=True)
class Figure:
    """What a stack may add: where the search for it begins, which is its first step too, and a stack with so much."""

    start: float
    added: Callable[[Runtime, float], Runtime]


def host(name: str, start: float) -> Figure:
    """Seconds of a host [s]."""
    return Figure(start, lambda stack, seconds: stack.model_copy(update={name: seconds}))


def arithmetic(kernel_class: KernelClass, key: str, start: float = 0.5) -> Figure:
    """Of the time that the arithmetic of a stack's own kernels takes, how much more they take beside it [1]."""
    return Figure(start, partial(_lengthened, kernel_class, key))


def _lengthened(kernel_class: KernelClass, key: str, stack: Runtime, more: float) -> Runtime:
    assert stack.kernels is not None
    fits = stack.kernels.kernels[kernel_class]
    slower = fits[key].model_copy(update={"compute": fits[key].compute / (1 + more)})
    kernels = {**stack.kernels.kernels, kernel_class: {**fits, key: slower}}
    return stack.model_copy(update={"kernels": Efficiency(**{**dict(stack.kernels), "kernels": kernels})})


HOST: Mapping[str, Figure] = {
    "step": host("step", 1e-3),
    "sequence": host("sequence", 1e-5),
    "prompt": host("prompt", 5e-3),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One row: its time with nothing added, predicted over measured [1], and what one of each figure adds to that.

    `borrowed`: whether the part is another vendor's than those of the fitted kernels.
    """

    row: Row
    devices: float
    added: tuple[float, ...]
    borrowed: bool


def measured(rows: Iterable[Row], bare: Runtime, figures: Mapping[str, Figure] = HOST) -> list[Measured]:
    """Rows that have a prediction, under a stack that adds nothing.

    A time is straight in each figure, so that one prediction with some of each tells all others; in those of kernels
    nearly so, while few of them read for longer than they compute.
    """
    found = []
    for row in rows:
        try:
            what = served(row)
            alone = _over_measured(row, what, bare)
            each = [(_over_measured(row, what, to.added(bare, to.start)) - alone) / to.start for to in figures.values()]
        except RooflineError:
            continue
        found.append(Measured(row, alone, tuple(each), accelerator(what.accelerator).vendor != FITTED_VENDOR))
    return found


def _over_measured(row: Row, what: Served, stack: Runtime) -> float:
    """Predicted over measured time [1]."""
    ratio = static_value(row, what, stack) / number(row, "value")
    return ratio if is_time(row) else 1 / ratio


@dataclass(frozen=True, slots=True)
class Fit:
    """How much there is of each figure, and `slower`: times as long as kernels take on other vendors' parts, if so."""

    figures: dict[str, float]
    slower: float

    def ratio(self, row: Measured) -> float:
        """Predicted over measured time of a row [1]."""
        devices = row.devices * (self.slower if row.borrowed else 1.0)
        return devices + sum(each * amount for each, amount in zip(row.added, self.figures.values(), strict=True))


def fitted(rows: Sequence[Measured], figures: Mapping[str, Figure] = HOST, *, by_vendor: bool = True) -> Fit:
    """The figures of least Huber loss of the logarithm of predicted over measured times.

    Without `by_vendor`, kernels are as fast on all vendors' parts.
    """
    devices = np.array([each.devices for each in rows])
    added = np.array([each.added for each in rows])
    borrowed = np.array([each.borrowed for each in rows])
    starts = [each.start for each in figures.values()]

    def cost(numbers: Array) -> float:
        return robust(np.where(borrowed, numbers[-1], 1.0) * devices + added @ numbers[:-1])

    scales = (*starts, SLOWER[1] if by_vendor and borrowed.any() else 0.0)
    numbers = search(cost, np.array([*starts, SLOWER[0]]), scales)
    return Fit(dict(zip(figures, map(float, numbers[:-1]), strict=True)), float(numbers[-1]))
