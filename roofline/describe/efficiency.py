"""How much of a peak real kernels reach, as fitted figures with their evidence.

A calibration file holds, per class of operation and number format, the three numbers of one closed form, how many
measured kernels they were fitted to and how far those lie from the form. The forms themselves are equations:

    kernel      overhead + max(FLOP / (peak · compute), bytes / (bandwidth · memory))
    collective  min(overhead + one-shot time, staged_overhead + two-shot time), both at link bandwidth · bandwidth,
                or summed_overhead + the time through a switch that adds up, if that is less; with a crossing for
                each message over a wire between domains whose latency is not published
"""

from __future__ import annotations

from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field

DeviceClass = Literal[
    "matmul",
    "attention_prefill",
    "attention_decode",
    "latent_prefill",
    "latent_decode",
    "experts",
    "elementwise",
]
HostClass = Literal["host_step", "host_sequence", "host_prompt", "host_request", "host_verify", "host_launch"]
KernelClass = Literal[DeviceClass, HostClass]
CollectiveClass = Literal["all_reduce", "all_to_all"]
KERNEL_CLASSES: tuple[KernelClass, ...] = get_args(DeviceClass)
HOST_CLASSES: tuple[KernelClass, ...] = get_args(HostClass)
"""What a serving stack's host adds: per decode step, sequence in it, pass of prompts, request before its first token,
sequence whose drafts are verified, and kernel of a pass of prompts while devices wait for it; overheads, no kernels."""
COLLECTIVE_CLASSES: tuple[CollectiveClass, ...] = get_args(CollectiveClass)


class _Fit(BaseModel):
    """What every fit says of its evidence.

    `points` measured kernels; `error` their median absolute relative error [1]; `low` and `high` the 10 % and 90 %
    points of measured over predicted [1].
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    points: int = Field(ge=0)
    error: float = Field(ge=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)
    source: str = Field(min_length=3)


class KernelFit(_Fit):
    """`overhead` [s] per kernel; `compute` and `memory` the reached fractions of peak and bandwidth [1].

    `cores` to which blocks of unequal length are dealt, of which the last works alone [1]; None where all blocks are
    alike, or where it was not measured.
    """

    overhead: float = Field(ge=0, lt=1)
    compute: float = Field(gt=0, le=1)
    memory: float = Field(gt=0, le=1)
    cores: float | None = Field(default=None, ge=1)

    @classmethod
    def fixed(cls, seconds: float, source: str, **evidence: Any) -> Self:
        """A time that each kernel takes, and nothing else lost; `evidence`: points, error, low and high."""
        return cls(overhead=seconds, compute=1, memory=1, source=source, **evidence)


class CollectiveFit(_Fit):
    """`overhead` [s] of a one-shot exchange, `staged_overhead` [s] of a two-shot one, `bandwidth` reached [1].

    `summed_overhead` [s] of a sum in a switch that adds up what passes; None where not measured: then it is not used.
    `crossing` [s] of a message between domains, of a collective or a hand-over, over a wire whose latency is not
    published; None where not measured.
    """

    overhead: float = Field(ge=0, lt=1)
    staged_overhead: float = Field(ge=0, lt=1)
    bandwidth: float = Field(gt=0, le=1)
    summed_overhead: float | None = Field(default=None, ge=0, lt=1)
    crossing: float | None = Field(default=None, ge=0, lt=1)


class Efficiency(BaseModel):
    """Fitted figures of one part, or of a class of parts, by operation class and number format.

    Formats are keyed `"stored-computed"` (`"int4-bf16"`) where weights are stored otherwise than they are computed,
    else by the one format; `"any"` stands for every format without an entry. `stacks`: collectives that a serving stack
    brings and was measured with, by its name of today.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str = Field(min_length=3)
    note: str = ""
    kernels: dict[KernelClass, dict[str, KernelFit]] = {}
    collectives: dict[CollectiveClass, CollectiveFit] = {}
    stacks: dict[str, dict[CollectiveClass, CollectiveFit]] = {}

    def kernel(self, kernel_class: KernelClass, stored: str, computed: str) -> KernelFit | None:
        """The fit for a class and format, else the class's `"any"`, else None."""
        by_format = self.kernels.get(kernel_class, {})
        stored, computed = _as_fitted(stored), _as_fitted(computed)
        for name in (f"{stored}-{computed}", stored, computed, "any"):
            if name in by_format:
                return by_format[name]
        return None

    def collective(self, name: CollectiveClass, stack: str) -> CollectiveFit | None:
        """The fit for a class of collectives as a stack brings it, else as measured whatever the stack, else None."""
        return self.stacks.get(stack, {}).get(name) or self.collectives.get(name)

    @classmethod
    def ideal(cls) -> Self:
        """Every efficiency 1, every overhead 0."""
        source = "definition: peak rates, nothing lost"
        kernel = KernelFit.fixed(0, source, points=0, error=0, low=1, high=1)
        collective = CollectiveFit(
            overhead=0,
            staged_overhead=0,
            summed_overhead=0,
            bandwidth=1,
            points=0,
            error=0,
            low=1,
            high=1,
            source=source,
        )
        return cls(
            name="ideal",
            source=source,
            kernels={kernel_class: {"any": kernel} for kernel_class in (*KERNEL_CLASSES, *HOST_CLASSES)},
            collectives=dict.fromkeys(COLLECTIVE_CLASSES, collective),
        )


def _as_fitted(name: str) -> str:
    """Kernels in fp16 move and multiply as those in bf16, under which 16-bit kernels are fitted."""
    return "bf16" if name == "fp16" else name
