"""Three ways to lay a model on many small memories: for one user, for many, or on the fewest devices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from roofline.estimate.deployment import TYPICAL_CONTEXT, Deployment
from roofline.estimate.layout import Layout

Aim = Literal["latency", "throughput", "capacity"]
_BATCHES = 40
"""Batches of a layout that are tried at most [1]."""


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A layout that is the best for an aim: `pp` stages of width `tp`, and `replicas` of them.

    `seconds` between two tokens of one sequence alone [s]; `batch` sequences per replica with the most
    `tokens_per_second` over all replicas [1/s], `batch_seconds` apart [s]; `most` sequences fit on a replica [1].
    """

    aim: Aim
    layout: Layout
    replicas: int
    seconds: float
    batch: float
    batch_seconds: float
    tokens_per_second: float
    most: float

    @property
    def devices(self) -> int:
        """Devices of all replicas; the others of the deployment are idle."""
        return self.layout.devices * self.replicas

    @property
    def tokens_per_second_per_device(self) -> float:
        """Over the devices of all replicas [1/s]."""
        return self.tokens_per_second / self.devices


def layouts(deployment: Deployment, context: float = TYPICAL_CONTEXT) -> tuple[LaidOut, LaidOut, LaidOut]:
    """The layouts with the least latency, with the most throughput, and on the fewest devices, in that order.

    All hold at least one sequence of `context` tokens; ranks that the deployment has given stay. Ties go to fewer
    devices, then to the faster. `DoesNotFit` where no layout holds one sequence.
    """
    found = [_figures(deployment, layout, context) for layout in deployment.layouts(1, context)]
    if not found:
        deployment.laid_out(1, context)  # says what is missing
    latency = min(found, key=lambda each: (each.seconds, each.layout.devices))
    throughput = min(found, key=lambda each: (-each.tokens_per_second, each.layout.devices))
    capacity = min(found, key=lambda each: (each.layout.devices, each.seconds))
    return latency, replace(throughput, aim="throughput"), replace(capacity, aim="capacity")


def _figures(deployment: Deployment, layout: Layout, context: float) -> LaidOut:
    """One layout alone and at the batch with the most tokens per second."""
    fixed = deployment.with_layout(layout)
    most = float(fixed.decode(1, context).resolved.memory.largest_batch(context))
    batches = np.unique(np.rint(np.geomspace(1, max(most, 1), _BATCHES)))
    step = fixed.decode(batches, context)
    best = int(np.nanargmax(step.tokens_per_second))
    return LaidOut(
        "latency",
        layout,
        fixed.replicas,
        float(step.seconds[0]),
        float(batches[best]),
        float(step.seconds[best]),
        float(step.tokens_per_second[best]),
        most,
    )
