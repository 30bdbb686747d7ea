"""One replica as a server of requests: its decode steps, its prompts, what fits, and which devices are busy when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from roofline.describe.workload import Traffic
from roofline.equations.serving import mean_decode_context
from roofline.estimate.deployment import Deployment
from roofline.estimate.timing import Resource, passage


@dataclass(frozen=True)
class Prompt:
    """One prompt: `latency` until its first token, and `occupancy`, the replica's time that it takes from others [s].

    They differ where prompts overlap: in the stages of a pipeline, or on data-parallel ranks.
    """

    latency: float
    occupancy: float


@dataclass(frozen=True)
class Use:
    """Devices of a server: the shares of a decode step and of a prompt's time in which they work [1]."""

    name: str
    deployment: Deployment
    batch: float | None
    of_step: float
    of_prompt: float


class Server(Protocol):
    """What serves requests: `replicas` alike, each decoding a batch of its own."""

    @property
    def replicas(self) -> int:
        """Independent copies that share the traffic."""

    @property
    def holder(self) -> Deployment:
        """The devices that hold the caches."""

    def largest_batch(self, traffic: Traffic) -> float:
        """Sequences in decode that one replica holds [1]; `DoesNotFit` where not even one."""

    def step(self, batch: Any, context: float) -> Any:
        """Seconds between two tokens of a sequence at arrays of whole batches, prompts apart [s]."""

    def prompt(self, traffic: Traffic) -> Prompt:
        """One prompt of the traffic on one replica."""

    def uses(self, batch: float, context: float) -> tuple[Use, ...]:
        """The pools and what they do at a batch."""

    def attributed(self, batch: float, context: float) -> Mapping[Resource, float]:
        """Seconds of a decode step by the resource they are owed to."""

    def assumptions(self, batch: float, context: float) -> tuple[str, ...]:
        """What had to be assumed, one sentence each."""

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Whole:
    """A model on one kind of silicon, in one settled layout."""

    deployment: Deployment
    name: str = "devices"

    @classmethod
    def of(cls, deployment: Deployment, traffic: Traffic, name: str = "devices") -> Whole:
        """The deployment, its layout chosen for decoding all requests in flight on one replica, or one at a rate."""
        batch = 1.0 if traffic.concurrency is None else traffic.concurrency
        room = deployment.capacity(np.array([traffic.longest]), np.array([batch]))
        return cls(deployment.with_layout(room.layout), name)

    @classmethod
    def for_prompts(cls, deployment: Deployment, traffic: Traffic, name: str) -> Whole:
        """The deployment, its layout chosen for the traffic's prompts."""
        estimate = deployment.prefill(traffic.isl, cached_tokens=traffic.cached_tokens)
        return cls(deployment.with_layout(estimate.layout), name)

    @property
    def replicas(self) -> int:
        """Copies of the model on the devices."""
        return self.deployment.replicas

    @property
    def holder(self) -> Deployment:
        """All devices."""
        return self.deployment

    def largest_batch(self, traffic: Traffic) -> float:
        """Caches take their mean length; one sequence must fit at its full length."""
        self.deployment.decode(1.0, traffic.longest)
        mean = np.array([mean_decode_context(traffic.isl, traffic.osl)])
        return float(np.max(self.deployment.capacity(mean).max_batch))

    def step(self, batch: Any, context: float, tokens: int = 1) -> Any:
        """As estimated; in a pipeline, sequences may also pass in fewer and larger micro-batches."""
        seconds = self.deployment.verify(batch, context, tokens).seconds
        stages = self.deployment.layout.pp
        if stages == 1:
            return seconds
        regrouped = self.deployment.verify(stages * np.ceil(batch / stages) + 1, context, tokens).seconds
        return np.fmin(seconds, regrouped)

    def prompt(self, traffic: Traffic) -> Prompt:
        """A prompt by itself; where ranks and stages take several at once, each takes its share of them."""
        prompt, cached, layout = traffic.isl, traffic.cached_tokens, self.deployment.layout
        alone = float(self.deployment.prefill(prompt, cached_tokens=cached).seconds)
        if layout.dp * layout.pp == 1:
            return Prompt(alone, alone)
        room = float(np.max(self.deployment.capacity(np.array([prompt])).max_batch))
        ranks = min(float(layout.dp), room)
        filled = ranks * max(1.0, min(float(layout.pp), room // ranks))
        one, all_ = self.deployment.prefill(prompt, np.array([ranks, filled]), cached).seconds
        if filled == ranks:
            return Prompt(alone, float(one) / ranks)
        stage = float(all_ - one) / (filled / ranks - 1)  # one more micro-batch takes the slowest stage once
        return Prompt(alone, max(stage / ranks, alone / filled))

    def uses(self, batch: float, context: float) -> tuple[Use, ...]:
        """One pool, busy in both phases; in a pipeline that is not full, stages without a micro-batch are not."""
        stages, held = self.deployment.layout.pp, max(batch, 1.0)
        if stages == 1:
            return (Use(self.name, self.deployment, batch, 1.0, 1.0),)
        settled = self.deployment.settled()
        step = settled.plan.decode(batch=held, context=context)
        total = float(passage(step, settled.machine, settled.rates)[0])  # type: ignore[arg-type]
        seconds = float(self.step(np.array([held]), context)[0])
        busy = float(step.micro_batches) * total / (stages * seconds)  # type: ignore[arg-type]
        return (Use(self.name, self.deployment, batch, min(busy, 1.0), 1.0),)

    def attributed(self, batch: float, context: float) -> Mapping[Resource, float]:
        """As estimated."""
        return self.deployment.decode(max(batch, 1.0), context).attributed

    def assumptions(self, batch: float, context: float) -> tuple[str, ...]:
        """As estimated."""
        return self.deployment.decode(max(batch, 1.0), context).assumptions

    def __str__(self) -> str:
        deployment = self.deployment
        what = f"{deployment.model.name} on {deployment.devices} × {deployment.accelerator.name}"
        return f"{what}, {deployment.layout}, {deployment.quantization.label}"
