"""One replica as a server of requests: its decode steps, its prompts, what fits, and which devices are busy when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np

from roofline.describe.workload import Traffic
from roofline.equations.serving import mean_decode_context
from roofline.estimate.deployment import Deployment
from roofline.estimate.estimate import Estimate
from roofline.estimate.layout import Layout, vocabulary_cuts
from roofline.estimate.passes import PASS_TOKENS, Passes
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.times import Resource
from roofline.estimate.timing import experts_reading, experts_working, passage


@dataclass(frozen=True)
class Prompt:
    """One prompt: `computed` by itself until its first token, after `request` in the host [s], and the `passes` that
    take it, and others, from a replica's time.

    A pass takes less than `computed` where prompts overlap in the stages of a pipeline.
    """

    computed: float
    passes: Passes
    request: float = 0.0

    @property
    def latency(self) -> float:
        """Until the first token of a lone prompt [s]."""
        return self.request + self.computed


@dataclass(frozen=True)
class Use:
    """Devices of a server: the shares of a decode step and of a prompt's time in which they work [1]."""

    name: str
    deployment: Deployment
    layout: Layout
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

    @property
    def tokens_per_step(self) -> float:
        """Tokens that a step is expected to yield of each sequence [1]."""

    @property
    def steps_before(self) -> float:
        """Steps that the serving stack lets pass before a first token is seen [1]."""

    @property
    def aligned(self) -> float:
        """Steps for which it gathers prompts of all attention-data ranks, where there are several [1]."""

    def largest_batch(self, traffic: Traffic) -> float:
        """Sequences in decode that one replica holds [1]; `DoesNotFit` where not even one."""

    def step(self, batch: Any, context: float) -> Any:
        """Seconds between two tokens of a sequence at arrays of whole batches, prompts apart [s]."""

    def prompt(self, traffic: Traffic, tokens: float = PASS_TOKENS) -> Prompt:
        """One prompt of the traffic on one replica, whose passes take so many prompt tokens on a rank."""

    def spared(self, batch: Any, context: float, traffic: Traffic) -> Any:
        """Seconds that a prompt takes less in the same pass as a decode step at arrays of batches [s]."""

    def uses(self, batch: float, context: float) -> tuple[Use, ...]:
        """The pools and what they do at a batch."""

    def attributed(self, batch: float, context: float) -> Mapping[Resource, float]:
        """Seconds of a decode step by the resource they are owed to."""

    def prompt_attributed(self, traffic: Traffic) -> Mapping[Resource, float]:
        """Seconds of a prompt of the traffic by the resource they are owed to."""

    def assumptions(self, batch: float, context: float) -> tuple[str, ...]:
        """What had to be assumed of decode, one sentence each."""

    @property
    def taking(self) -> tuple[str, ...]:
        """How prompts are taken, one sentence each."""

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Most:
    """Sequences that one replica decodes at once at most [1]: as many as it was `told`, or as its memory holds."""

    batch: float
    told: bool

    @classmethod
    def of(cls, server: Server, traffic: Traffic, max_batch: float | None) -> Most:
        """Of a server that is told to decode no more than `max_batch`; `DoesNotFit` where not even one fits."""
        held = server.largest_batch(traffic)
        return cls(held, False) if max_batch is None or max_batch >= held else cls(max_batch, True)

    def full(self, held: float, queued: float) -> bool:
        """Whether requests wait for room where so many sequences have some."""
        return queued > 0 and held >= self.batch * (1 - 1e-6)

    @property
    def what(self) -> str:
        """What ends there, in words."""
        return "the batch cap" if self.told else "the cache"

    @property
    def sentence(self) -> str:
        """Where it ends and what happens then, in words."""
        if self.told:
            return f"a replica decodes {self.batch:,g} sequences at most; further requests wait"
        return f"caches of {self.batch:,g} sequences fit on a replica; further requests wait"


def settled_on(deployment: Deployment, layout: Layout, context: float) -> Resolved:
    """Everything that estimates of a deployment need, on one layout for every batch.

    A pipeline cuts embedding and head so that most sequences of `context` tokens fit, whatever the traffic.
    """
    settled = deployment.with_layout(layout).settled()
    cuts = [replace(settled, layout=replace(layout, vocab=cut)) for cut in vocabulary_cuts(layout.pp)]
    return max(cuts, key=lambda cut: float(cut.memory.largest_batch(context)))


def chosen(deployment: Deployment, batch: float, context: float) -> Resolved:
    """A deployment on the layout for `batch` sequences per replica, or for as many of them as some layout holds."""
    while True:
        layout = deployment.layout_at(Point("decode", batch, context, 0))
        settled = settled_on(deployment, layout, context)
        if batch == 1 or settled.memory.largest_batch(context) >= 1:
            return settled
        batch = max(1.0, float(np.floor(batch / _FEWER)))


_FEWER = 8
"""Where no layout holds a batch, one for so many times fewer sequences is looked for."""


def read_once(settled: Resolved, step: Point, prompt: Point) -> Any:
    """Seconds of experts that a decode step reads and a prompt needs too; in a pipeline none [s]."""
    if settled.layout.pp > 1 or not settled.model.parameters().experts:
        return np.zeros(np.shape(step.batch))
    reading, working = settled.evaluate(step, experts_reading), settled.evaluate(prompt, experts_working)
    return np.minimum(reading, working)


@dataclass(frozen=True)
class Whole:
    """A model on one kind of silicon, in one settled layout."""

    deployment: Deployment
    settled: Resolved
    name: str = "devices"

    @classmethod
    def of(cls, deployment: Deployment, traffic: Traffic, name: str = "devices") -> Whole:
        """The deployment, its layout chosen for decoding all requests in flight on one replica, or one at a rate."""
        batch = 1.0 if traffic.concurrency is None else traffic.concurrency
        settled = chosen(deployment, batch, traffic.longest)
        return cls(deployment.with_layout(settled.layout), settled, name)

    @classmethod
    def for_prompts(cls, pool: Deployment, replica: Deployment, traffic: Traffic) -> Whole:
        """A pool in the layout that is the fastest for one prompt of the traffic on the devices of a `replica`."""
        layout = replica.prefill(traffic.isl, cached_tokens=traffic.cached_tokens).layout
        return cls(pool.with_layout(layout), settled_on(pool, layout, traffic.isl), "prefill")

    @property
    def replicas(self) -> int:
        """Copies of the model on the devices."""
        return self.settled.replicas

    @property
    def holder(self) -> Deployment:
        """All devices."""
        return self.deployment

    @property
    def tokens_per_step(self) -> float:
        """One: nothing is drafted."""
        return 1.0

    @property
    def steps_before(self) -> float:
        """As the stack has it."""
        stack = self.settled.rates.runtime
        return 0.0 if stack is None else stack.first

    @property
    def aligned(self) -> float:
        """As the stack has it for these ranks."""
        stack = self.settled.rates.runtime
        return 0.0 if stack is None else stack.gathering(self.settled.layout.dp)

    def decode(self, batch: Any, context: float, tokens: int = 1) -> Estimate:
        """A decode step on the settled layout, whether it fits or not."""
        return Estimate(self.settled, Point("decode", batch, context, 0, tokens))

    def prefill(self, traffic: Traffic, batch: Any = 1.0) -> Estimate:
        """Prompts of a traffic on the settled layout."""
        return Estimate(self.settled, Point("prefill", batch, traffic.isl, traffic.cached_tokens))

    def largest_batch(self, traffic: Traffic) -> float:
        """Caches take their mean length; one sequence must fit at its full length."""
        self.deployment.decode(1.0, traffic.longest)
        mean = mean_decode_context(traffic.isl, traffic.osl)
        return float(self.settled.memory.largest_batch(mean))

    def step(self, batch: Any, context: float, tokens: int = 1) -> Any:
        """As estimated; in a pipeline, sequences pass in as many micro-batches as make the step shortest.

        A step is the way of one micro-batch through all stages, or the slowest stage's work for all of them, if that is
        longer. Fewer and larger micro-batches lengthen the way: once it is the longer one, none are tried any more.
        """
        seconds = self.decode(batch, context, tokens).seconds
        settled, layout = self.settled, self.settled.layout
        if layout.pp == 1:
            return seconds
        each = np.ceil(np.asarray(batch, dtype=np.float64) / layout.dp)
        best: Any = seconds
        for groups in range(layout.pp, 0, -1):
            size = np.ceil(each / groups)
            step = settled.plan.decode(batch=size * layout.pp * layout.dp, context=context, new=tokens)
            total, hops, slowest = cast("tuple[Any, Any, Any]", passage(step, settled.machine, settled.rates))
            way, work = total + hops, np.ceil(each / size) * slowest
            best = np.minimum(best, np.maximum(way, work))  # nan where it does not fit
            if np.all(way >= work):
                break
        return best

    def prompt(self, traffic: Traffic, tokens: float = PASS_TOKENS) -> Prompt:
        """A prompt by itself, and what takes it."""
        computed = float(self.prefill(traffic).seconds)
        return Prompt(computed, self.passes(traffic, tokens), self.settled.rates.request)

    def spared(self, batch: Any, context: float, traffic: Traffic, tokens: int = 1) -> Any:
        """Experts that a prompt and a decode step both need are read once; nothing where stages work apart."""
        step = Point("decode", batch, context, 0, tokens)
        return read_once(self.settled, step, Point("prefill", 1.0, traffic.isl, traffic.cached_tokens))

    def passes(self, traffic: Traffic, tokens: float = PASS_TOKENS) -> Passes:
        """Passes of up to so many prompt tokens on each attention-data rank.

        In a pipeline each rank takes prompts one by one, and the next ones follow once the slowest stage is free.
        """
        settled, layout = self.settled, self.settled.layout
        if layout.pp == 1:
            return Passes.of(settled, traffic.isl, traffic.cached_tokens, tokens)
        room = max(1.0, float(settled.memory.largest_batch(traffic.isl)))
        ranks = min(float(layout.dp), room)
        filled = max(1.0, min(float(layout.pp), room // ranks))
        batches = np.array([1.0, ranks, ranks * filled])
        alone, one, all_ = (float(each) for each in self.prefill(traffic, batches).seconds)
        # One more micro-batch takes the slowest stage once.
        stage = one if filled == 1 else max((all_ - one) / (filled - 1), one / filled)
        # A prompt that is alone sends less to other ranks, and takes a stage no longer than its whole way.
        alone = min(stage, alone)
        return Passes(((1.0, alone), (ranks, stage)) if ranks * alone > stage else ((1.0, alone),))

    def uses(self, batch: float, context: float) -> tuple[Use, ...]:
        """One pool, busy in both phases; in a pipeline that is not full, stages without a micro-batch are not."""
        layout, held = self.settled.layout, max(batch, 1.0)
        busy = 1.0
        if layout.pp > 1:
            step = self.settled.step(Point("decode", held, context, 0))
            total = float(passage(step, self.settled.machine, self.settled.rates)[0])  # type: ignore[arg-type]
            seconds = float(self.step(np.array([held]), context)[0])
            busy = min(1.0, float(step.micro_batches) * total / (layout.pp * seconds))  # type: ignore[arg-type]
        return (Use(self.name, self.deployment, layout, batch, busy, 1.0),)

    def attributed(self, batch: float, context: float) -> Mapping[Resource, float]:
        """As estimated."""
        return self.decode(max(batch, 1.0), context).attributed

    def prompt_attributed(self, traffic: Traffic) -> Mapping[Resource, float]:
        """As estimated."""
        return self.prefill(traffic).attributed

    def assumptions(self, batch: float, context: float) -> tuple[str, ...]:
        """As estimated."""
        return self.decode(max(batch, 1.0), context).assumptions

    @property
    def taking(self) -> tuple[str, ...]:
        """As the layout has it."""
        return self.settled.taking()

    def __str__(self) -> str:
        settled = self.settled
        what = f"{settled.model.name} on {settled.devices} × {settled.accelerator.name}"
        return f"{what}, {settled.layout}, {settled.quantization.label}"
