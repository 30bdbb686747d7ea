"""How much of a peak real kernels reach, as fitted figures with their evidence.

A calibration file holds, per class of operation and number format, the three numbers of one closed form
(`overhead`, `compute`, `memory`), how many measured kernels they were fitted to and how far those lie from the form.
Physics stays out of here: the closed form itself is `roofline.equations`.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

OperationClass = Literal[
    "matmul", "attention_prefill", "attention_decode", "experts", "elementwise", "all_reduce", "all_to_all"
]
CLASSES: tuple[OperationClass, ...] = (
    "matmul",
    "attention_prefill",
    "attention_decode",
    "experts",
    "elementwise",
    "all_reduce",
    "all_to_all",
)


class KernelFit(BaseModel):
    """Three numbers for one class of operation in one format, and their evidence.

    `overhead` [s] per kernel; `compute` and `memory` the reached fractions of peak and bandwidth [1] (for collectives
    `memory` is the fraction of link bandwidth); `points` measured kernels; `error` their median absolute relative
    error; `low` and `high` the 10 % and 90 % points of measured over predicted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    overhead: float = Field(ge=0, lt=1)
    compute: float = Field(gt=0, le=1)
    memory: float = Field(gt=0, le=1)
    points: int = Field(ge=0)
    error: float = Field(ge=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)
    source: str = Field(min_length=3)


IDEAL_FIT = KernelFit(
    overhead=0, compute=1, memory=1, points=0, error=0, low=1, high=1, source="ideal: nothing is lost"
)


class Efficiency(BaseModel):
    """Fitted figures of one part, or of a class of parts, by operation class and number format.

    A missing format takes the class's `"any"` entry; a missing class is an error of the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str = Field(min_length=3)
    note: str = ""
    fits: dict[OperationClass, dict[str, KernelFit]]

    def fit(self, operation_class: OperationClass, number_format: str) -> KernelFit | None:
        """The fit for a class and format, else the class's `"any"`, else None."""
        by_format = self.fits.get(operation_class, {})
        return by_format.get(number_format) or by_format.get("any")

    @classmethod
    def ideal(cls) -> Self:
        """Every efficiency 1, every overhead 0."""
        return cls(
            name="ideal",
            source="definition: peak rates, no overhead",
            fits={operation_class: {"any": IDEAL_FIT} for operation_class in CLASSES},
        )
