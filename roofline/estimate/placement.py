"""Which layouts hold a model: the vocabulary cut as far as needed, the shortest pipeline, the fewest devices."""

from __future__ import annotations

import math
from dataclasses import replace

from roofline.describe.formats import Quantization
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.model import ModelShape
from roofline.estimate.capacity import Memory
from roofline.estimate.layout import Layout, candidate_layouts, vocabulary_cuts
from roofline.estimate.network import reach

LARGEST_REPLICA = 16_384
"""Devices of one replica beyond which none is looked for."""


class Placement:
    """Answers for one model on one part in one format, for `batch` sequences of `context` tokens."""

    def __init__(
        self,
        model: ModelShape,
        accelerator: HbmAccelerator | SramAccelerator,
        quantization: Quantization,
        *,
        batch: float,
        context: float,
    ) -> None:
        self.model, self.accelerator, self.quantization = model, accelerator, quantization
        self.batch, self.context = batch, context

    def missing(self, layout: Layout) -> float:
        """Bytes missing over all devices of a replica on a layout [B]."""
        memory = Memory.of(self.model, self.accelerator, layout, self.quantization)
        return float(memory.shortfall(self.batch, self.context))

    def cut(self, layout: Layout) -> tuple[Layout, float]:
        """The layout with embedding and head over as few stages as fit, and the bytes still missing [B]."""
        best, least = layout, self.missing(layout)
        for stages in vocabulary_cuts(layout.pp)[1:] if least else ():
            candidate = replace(layout, vocab=stages)
            missing = self.missing(candidate)
            if missing < least:
                best, least = candidate, missing
            if not missing:
                break
        return best, least

    def shortest(self, longest: Layout) -> Layout | None:
        """The shortest pipeline of a layout's width, up to its own length, that fits; None where none does.

        Of layers that differ, one stage more may put the largest ones together, so every length is tried.
        """
        if longest.pp == len(self.model.layers) and self.cut(longest)[1]:
            return None  # no stage is less than a layer
        lengths = range(self._fewest_stages(longest), longest.pp + 1)
        cuts = (self.cut(replace(longest, pp=length)) for length in lengths)
        return next((layout for layout, missing in cuts if not missing), None)

    def _fewest_stages(self, layout: Layout) -> int:
        """Stages that all bytes of a layout's width fill at least, activations apart [1]."""
        memory = Memory.of(self.model, self.accelerator, replace(layout, pp=1, vocab=1), self.quantization)
        (whole,) = memory.rooms
        sequences = math.ceil(self.batch / layout.dp)
        caches = sequences * (float(memory.sequence_bytes(whole, self.context)) - memory.activations)  # type: ignore[arg-type]
        return max(1, math.ceil((whole.weights + caches) / memory.room * (1 - 1e-9)))

    def smallest_count(self) -> int | None:
        """The fewest devices on which some layout fits; None where none does."""
        fewest: int | None = None
        joined = int(min(LARGEST_REPLICA, reach(self.accelerator.numbers().wires)))
        for longest in candidate_layouts(self.model, joined):
            if fewest is not None and longest.expert_group >= fewest:
                continue
            layout = self.shortest(longest)
            if layout is not None:
                fewest = layout.devices if fewest is None else min(fewest, layout.devices)
        return fewest
