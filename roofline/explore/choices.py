"""Small decisions with one number for an answer: how wide to cut a model, and how fast SRAM must be to pay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roofline.describe.catalog import accelerator as described_part
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.equations.cost import sram_break_even_step
from roofline.errors import DoesNotFit, InvalidInput, LayoutError, MissingNumber
from roofline.estimate.door import checked
from roofline.estimate.layout import possible_tp
from roofline.explore.asking import Asked, scalars
from roofline.units import counted_in

Part = HbmAccelerator | SramAccelerator | str | Path


@dataclass(frozen=True)
class Width:
    """The tensor-parallel width with the least seconds: `value` ranks, `seconds` [s], and those of `every` width."""

    value: int
    seconds: float
    every: Mapping[int, float]

    def __str__(self) -> str:
        others = ", ".join(f"tp {tp}: {seconds * 1e3:.3g} ms" for tp, seconds in self.every.items())
        return f"tp {self.value} is fastest: {others}"


def fastest_width(phase: Any, **point: float) -> Width:
    """The tensor-parallel width at which a phase is fastest at a point; every width that the heads allow is tried.

    Wider cuts read fewer weights per device but send more messages, so the fastest is often neither end. Other ranks
    stay as the deployment has them, or are chosen for each width where they are open; widths that do not fit are left
    out. `DoesNotFit` or `LayoutError` where none is possible.
    """
    asked = Asked.of(phase)
    values = scalars(asked.complete(point))
    every: dict[int, float] = {}
    failure: DoesNotFit | LayoutError | None = None
    for tp in possible_tp(asked.deployment.model, asked.deployment.devices):
        try:
            method = getattr(asked.deployment.varied(tp=tp), asked.phase)
            every[tp] = float(method(**values).seconds)
        except (DoesNotFit, LayoutError) as error:
            failure = error
    if not every:
        raise failure or LayoutError("tp", given=asked.deployment.devices, expected="a width that the heads allow")
    best = min(every, key=lambda tp: (every[tp], tp))
    return Width(best, every[best], every)


def sram_break_even(
    hbm: Part, sram: Part, *, hbm_price: float | str | None = None, sram_price: float | str | None = None
) -> float:
    """The time per token below which decode on full SRAM costs less than on bandwidth-bound HBM [s].

    The model cancels out: HBM is paid for each byte read, SRAM for each byte held while a step lasts. Equal batches,
    capacity deciding the number of SRAM devices. Prices are numbers in USD per device-hour or text with a unit, the
    specs' own by default.
    """
    streaming, resident = described_part(hbm), described_part(sram)
    for part, kind in ((streaming, "hbm"), (resident, "sram")):
        if part.kind != kind:
            raise InvalidInput(kind, given=part.name, expected=f"a part of kind {kind}")
    return float(
        sram_break_even_step(  # type: ignore[arg-type]
            _price(streaming, "hbm_price", hbm_price),
            _price(resident, "sram_price", sram_price),
            resident.numbers().memory.usable,
            streaming.numbers().memory.bandwidth,
        )
    )


def _price(part: HbmAccelerator | SramAccelerator, name: str, given: float | str | None) -> float:
    if given is not None:
        return float(checked(name, counted_in(given, "USD/h", name), least=0, most=1e12))
    if part.price is None:
        raise MissingNumber(f"{part.name}: no price is published; give {name}= in USD per device-hour")
    return part.price.value * 3600
