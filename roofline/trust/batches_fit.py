"""What a host adds, fitted to rows of one phase or one batch: of stacks of which no service was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from roofline.describe.catalog import accelerator
from roofline.describe.runtimes import Runtime
from roofline.errors import RooflineError
from roofline.trust.measured_rows import Row, Served, number, served
from roofline.trust.runtimes_fit import Array, robust, search
from roofline.trust.static_rows import static_value

HOST = {"step": 1e-3, "sequence": 1e-5, "prompt": 5e-3}
"""What is fitted of a host, and where the search for it begins, and its first steps [s]."""
SLOWER = (1.0, 0.25)
"""Where the search for `Runtime.slower` begins, and its first step [1]."""
MEASURED = "NVIDIA"
"""The vendor of the parts whose kernels are measured; on those of others they may be slower under a stack."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One row: its time without a host, predicted over measured [1], and what a second of each of `HOST` adds to that.

    `borrowed`: whether the part is another vendor's than those of the measured kernels.
    """

    row: Row
    devices: float
    host: tuple[float, ...]
    borrowed: bool


def measured(rows: Iterable[Row], bare: Runtime) -> list[Measured]:
    """Rows that have a prediction, under a stack whose host costs nothing.

    A time is straight in what a host adds, so that one prediction with some of each tells all others.
    """
    found = []
    for row in rows:
        try:
            what = served(row)
            alone = _over_measured(row, what, bare)
            with_host = (bare.model_copy(update={name: seconds}) for name, seconds in HOST.items())
            added = [_over_measured(row, what, stack) - alone for stack in with_host]
        except RooflineError:
            continue
        host = tuple(each / seconds for each, seconds in zip(added, HOST.values(), strict=True))
        found.append(Measured(row, alone, host, accelerator(what.accelerator).vendor != MEASURED))
    return found


def _over_measured(row: Row, what: Served, stack: Runtime) -> float:
    """Predicted over measured time [1]."""
    ratio = static_value(row, what, stack) / number(row, "value")
    return ratio if is_time(row) else 1 / ratio


def is_time(row: Row) -> bool:
    """Whether what was measured is a time; else it is a rate."""
    return "ms" in str(row["metric"]).split("_")


@dataclass(frozen=True, slots=True)
class Fit:
    """Seconds of each of `HOST`, and `slower`: times as long as kernels take on other vendors' parts."""

    host: dict[str, float]
    slower: float

    def ratio(self, row: Measured) -> float:
        """Predicted over measured time of a row [1]."""
        devices = row.devices * (self.slower if row.borrowed else 1.0)
        return devices + sum(each * seconds for each, seconds in zip(row.host, self.host.values(), strict=True))


def fitted(rows: Sequence[Measured]) -> Fit:
    """The figures of least Huber loss of the logarithm of predicted over measured times."""
    devices = np.array([each.devices for each in rows])
    host = np.array([each.host for each in rows])
    borrowed = np.array([each.borrowed for each in rows])

    def cost(numbers: Array) -> float:
        return robust(np.where(borrowed, numbers[-1], 1.0) * devices + host @ numbers[:-1])

    scales = (*HOST.values(), SLOWER[1] if borrowed.any() else 0.0)
    numbers = search(cost, np.array([*HOST.values(), SLOWER[0]]), scales)
    return Fit(dict(zip(HOST, map(float, numbers[:-1]), strict=True)), float(numbers[-1]))
