"""One half of a model on its pool: how long a micro-batch takes in it, and in its slowest stage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from roofline.describe.model import ModelShape
from roofline.estimate.deployment import Deployment
from roofline.estimate.resolved import Resolved
from roofline.estimate.servers import chosen
from roofline.estimate.steps import Plan
from roofline.estimate.timing import Step, passage


@dataclass(frozen=True)
class Passage:
    """Seconds of a micro-batch in one half: through all `total`, in the `slowest` stage, `hops` between stages [s]."""

    total: Any
    hops: Any
    slowest: Any


@dataclass(frozen=True)
class Half:
    """One half of the model on its pool, the layout settled."""

    deployment: Deployment
    resolved: Resolved
    vocabulary: bool

    @classmethod
    def of(cls, deployment: Deployment, batch: float, context: float, *, vocabulary: bool) -> Half:
        """A half on the layout for a batch; without `vocabulary`, embedding and head are left out."""
        settled = chosen(deployment, max(batch, 1.0), context)
        return cls(deployment.with_layout(settled.layout), settled, vocabulary)

    @property
    def model(self) -> ModelShape:
        """The half of the model."""
        return self.deployment.model

    @property
    def replicas(self) -> int:
        """Copies of the half on the devices."""
        return self.resolved.replicas

    @property
    def layout_devices(self) -> int:
        """Devices of one copy."""
        return self.resolved.layout.devices

    @property
    def stage_devices(self) -> int:
        """Devices of all replicas that one layer lies on: those that send and receive at one time."""
        return self.resolved.layout.expert_group * self.replicas

    @cached_property
    def plan(self) -> Plan:
        """What each device runs."""
        settled = self.resolved
        host = self.vocabulary and settled.rates.hosted  # one host drives both halves: counted once
        return Plan.of(
            settled.model,
            settled.layout,
            settled.quantization,
            settled.machine,
            vocabulary=self.vocabulary,
            host=host,
            fused=tuple(
                each for each in settled.rates.fused if each != "norms"
            ),  # what is normalised comes over a link
            skew=settled.skew,
        )

    def decode(self, share: Any, context: float) -> Passage:
        """A micro-batch of `share` sequences on each replica."""
        return self._passage(self.decode_step(share, context))

    def decode_step(self, share: Any, context: float) -> Step:
        """The same as work; in a pipeline the stages are kept full, so that a micro-batch is that large."""
        stages = self.plan.layout.pp
        whole = np.maximum(share, 1.0)
        return self.plan.decode(batch=whole if stages == 1 else np.ceil(whole) * stages, context=context)

    def prefill(self, prompts: float, prompt: float, cached: float) -> Passage:
        """A micro-batch of `prompts` whole prompts on one replica."""
        return self._passage(self.prefill_step(prompts, prompt, cached))

    def prefill_step(self, prompts: float, prompt: float, cached: float) -> Step:
        """The same as work."""
        return self.plan.prefill(batch=prompts * self.plan.layout.pp, prompt=prompt, cached=cached)

    def _passage(self, step: Step) -> Passage:
        return Passage(*passage(step, self.resolved.machine, self.resolved.rates))
