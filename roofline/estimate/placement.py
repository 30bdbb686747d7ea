"""The fewest devices that hold a model."""

from __future__ import annotations

from roofline.describe.formats import Quantization
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.model import ModelShape
from roofline.estimate.capacity import shortfall
from roofline.estimate.layout import Layout, candidate_layouts

LARGEST_REPLICA = 16_384
"""Devices of one replica beyond which none is looked for."""


def smallest_count(
    model: ModelShape,
    accelerator: HbmAccelerator | SramAccelerator,
    quantization: Quantization,
    *,
    batch: float,
    context: float,
) -> int | None:
    """The fewest devices on which some layout fits `batch` sequences of `context` tokens; None where none does."""

    def fits(layout: Layout) -> bool:
        return bool(shortfall(model, accelerator, layout, quantization, batch=batch, context=context) == 0)

    fewest: int | None = None
    for longest in candidate_layouts(model, LARGEST_REPLICA):
        width = longest.expert_group
        if not fits(longest) or (fewest is not None and width >= fewest):
            continue
        low, high = 1, longest.pp
        while low < high:
            middle = (low + high) // 2
            if fits(Layout(longest.tp, middle, longest.dp, longest.ep)):
                high = middle
            else:
                low = middle + 1
        fewest = low * width if fewest is None else min(fewest, low * width)
    return fewest
