"""Prefill and decode on the same devices: continuous batching, with prompts between or inside decode steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from roofline.describe.workload import Traffic
from roofline.equations.serving import colocated_interval, mean_decode_context, passes_per_prompt
from roofline.estimate.equilibrium import smallest_batch, smallest_rate
from roofline.estimate.passes import PASS_TOKENS
from roofline.estimate.servers import Prompt, Room, Server, Use
from roofline.estimate.service import Pool, Service
from roofline.estimate.timing import largest
from roofline.numeric import maximum, minimum, sqrt

SELDOM = 1e-9
"""Prompts due in a step below which no two ever are [1]."""
_BATCHES = 65
"""Batches at which it is asked what a prompt is spared; in between it grows nearly evenly."""


@dataclass(frozen=True)
class Mix:
    """One replica under its share of a traffic: `crowd` requests kept in flight, or None where they come at random.

    `chunks` steps take the prompt of one request, 0 where it comes whole; steps that a serving stack lets pass before
    the first token is seen count with them. A step yields `tokens` of a sequence. `bunch` · √(others in flight) prompts
    are computed before one's own because requests come in bunches. `spared` gives what a prompt takes less in the same
    pass as a decode step, by its batch [s]. Prompts that are due in the same step share a pass, and where nothing is
    generated those that came during the pass before.
    """

    prompt: Prompt
    generated: float
    crowd: float | None
    chunks: float
    tokens: float = 1.0
    bunch: float = 0.0
    spared: Callable[[Any], Any] = np.zeros_like

    @property
    def disturbed(self) -> float:
        """How much of the other requests' prefill falls into one's own decode: none where there are no others."""
        return 1.0 if self.crowd is None else min(1.0, max(0.0, self.crowd - 1))

    @property
    def met(self) -> float:
        """How much of the load an arriving request finds: in a closed circle it does not meet itself."""
        return 1.0 if self.crowd is None else max(0.0, 1 - 1 / self.crowd)

    def interval(self, batch: Any, step: Any) -> Any:
        """Time between two tokens of a sequence [s]."""
        if not self.generated:
            return step
        return colocated_interval(step, batch, self.added(batch) * self.disturbed, self.generated)

    def added(self, batch: Any) -> Any:
        """The replica's time that a prompt adds to the steps of a decode batch [s].

        Prompts that are due in the same step are spared once together; below one sequence, some find no step running,
        and a lone request's never does.
        """
        with_a_step = self.disturbed * minimum(batch, 1) * passes_per_prompt(self.due(batch), float("inf"))
        return self.each(0.0, batch) - self.spared(batch) * with_a_step

    def due(self, batch: Any) -> Any:
        """Prompts that are due in a step of a decode batch on average, one's own apart [1]."""
        return maximum(self.met * self.tokens * batch / self.generated, SELDOM)

    def rate(self, batch: Any, step: Any) -> Any:
        """Requests that a replica finishes at a decode batch [1/s]."""
        return batch / (self.generated * self.interval(batch, step))

    def first_token(self, rate: Any, batch: Any, step: Any) -> Any:
        """Time to first token [s]: the step that is running, prompts before, the prompt, and steps between chunks.

        `step` is the time per token of a sequence, of which a step yields several where tokens are drafted.
        """
        between = self.chunks * minimum(batch, 1) * step * self.tokens
        return self.prompt.latency + between + self.running(batch, step) + self.others(rate, batch)

    def running(self, batch: Any, step: Any) -> Any:
        """What is left of the step that a request finds running, with the prompts in it [s].

        A step that prompts make longer is found more often by requests at random. In a closed circle requests come as
        others finish, at the end of a step of any length.
        """
        whole, longer = self.tokens * self.interval(batch, step), 0.0
        if self.crowd is None and self.generated:
            longer = self.due(batch) * self.each(0.0, batch) ** 2 / whole
        return self.met * minimum(batch, 1) * (whole + longer) / 2

    def others(self, rate: Any, batch: Any) -> Any:
        """Time of the prompts of others that come before one's own, or share its pass [s].

        Where nothing is generated, those before are what is left of a pass that is running.
        """
        each, prompt = self.each(rate, batch), self.prompt
        if self.generated:
            due = self.due(batch) / prompt.ranks
            within = minimum(due, prompt.most - 1)
            before = maximum(due / prompt.most - 1, 0) / 2 * prompt.most * prompt.least
        else:
            within = prompt.gathered(self.met * rate) - 1
            before = minimum(self.met * rate * each, 1) / 2 * (within + 1) * each
        ahead = prompt.ranks * (within * (prompt.occupancy - prompt.shared) + before)
        if self.crowd is None:
            return ahead
        others = max(0.0, self.crowd - 1)
        return minimum(ahead + self.bunch * sqrt(others) * each, others * each)

    def each(self, rate: Any, batch: Any) -> Any:
        """The replica's time that a prompt takes, nothing spared [s]."""
        prompt = self.prompt
        together = prompt.due_together(self.due(batch)) if self.generated else prompt.gathered(self.met * rate)
        return prompt.occupied(together)

    def held(self, batch: Any, step: Any) -> Any:
        """Requests in flight at a decode batch [1]."""
        rate = self.rate(batch, step)
        return batch + rate * self.first_token(rate, batch, step)


def colocated(server: Server, traffic: Traffic, chunk: float | None, max_batch: float | None) -> Service:
    """Steady state of one traffic of plain numbers."""
    room = Room.of(server, traffic, max_batch)
    limit = room.most
    context = float(mean_decode_context(traffic.isl, traffic.osl))  # type: ignore[arg-type]
    chunks = 0.0 if chunk is None else float(-(-traffic.new_tokens // chunk))
    chunks += server.steps_before
    crowd = None if traffic.concurrency is None else traffic.concurrency / server.replicas
    stack = server.holder.runtime
    bunch = 0.0 if stack is None else stack.bunch
    most = limit if crowd is None else min(limit, crowd)
    batches = np.unique(np.rint(np.geomspace(1.0, max(1.0, most), _BATCHES)))
    there = server.spared(batches, context, traffic)

    def spared(batch: Any) -> Any:
        return np.interp(batch, batches, there)

    tokens = PASS_TOKENS if chunk is None else chunk
    mix = Mix(server.prompt(traffic, tokens), traffic.generated, crowd, chunks, server.tokens_per_step, bunch, spared)
    offered = None if traffic.rate is None else traffic.rate / server.replicas

    def step(batch: Any) -> Any:
        return server.step(batch, context)

    batch, seconds, rate = _settled(mix, step, limit, offered)
    tpot = float(mix.interval(batch, seconds))
    if crowd is None:
        overloaded = offered is not None and rate < offered
        ttft = float("inf") if overloaded else float(mix.first_token(rate, batch, seconds))
        queued = float("inf") if overloaded else rate * (ttft - mix.prompt.latency)
    else:
        ttft = crowd / rate - mix.generated * tpot
        queued = max(0.0, crowd - batch - rate * mix.prompt.latency)
    # What decode takes of the device: a step is shared by its batch.
    decoding = mix.generated * seconds / max(batch, 1.0)
    adding = float(mix.added(batch) if traffic.generated else mix.each(rate, batch))
    input_share = adding / (adding + decoding)
    uses = server.uses(batch, context)
    full = batch >= limit and queued > 0
    notes = [
        _CACHES,
        _PROMPTS if chunk is None else f"prompts enter in chunks of {chunk:,g} tokens, a decode step each",
    ]
    if np.any(there):
        notes.append(_SPARED)
    if full:
        notes.append(room.sentence)
    return Service(
        system=str(server),
        traffic=traffic,
        ttft=ttft,
        tpot=tpot,
        requests_per_second=rate * server.replicas,
        queued=queued * server.replicas,
        pools={
            use.name: pool_of(
                use,
                input_share,
                rate * (adding * use.of_prompt + decoding * use.of_step),
                server.replicas,
            )
            for use in uses
        },
        fits=True,
        bound=largest(server.attributed(batch, context)),
        limit=room.what if full else _limit(crowd, rate, offered),
        assumptions=(*server.assumptions(batch, context), *notes),
    )


_CACHES = "caches are paged and take their mean length; every answer has the same length"
_PROMPTS = "prompts enter whole, and those that are due in one step share a pass; decode steps wait meanwhile"
_SPARED = "a prompt and the decode step that it rides in read the experts that both need once"


def _settled(mix: Mix, step: Any, limit: float, offered: float | None) -> tuple[float, float, float]:
    """Decode batch, its step and the rate of requests on one replica."""
    if not mix.generated:
        seconds = float(step(np.array([1.0]))[0])
        most = 1 / mix.prompt.least
        if offered is not None:
            return 0.0, seconds, min(offered, most)
        return (
            0.0,
            seconds,
            smallest_rate(lambda rate: rate * mix.first_token(rate, 0.0, seconds), mix.crowd or 0, most),
        )
    if offered is None:
        batch, seconds = smallest_batch(step, mix.held, mix.crowd or 0, limit)
    else:
        batch, seconds = smallest_batch(step, mix.rate, offered, limit)
    rate = float(mix.rate(batch, seconds))
    if offered is not None and rate >= offered * (1 - 1e-9):
        rate = offered
    return batch, seconds, rate


def _limit(crowd: float | None, rate: float, offered: float | None) -> str:
    if crowd is not None:
        return "the requests in flight"
    return "the requests that arrive" if rate == offered else "the devices"


def pool_of(use: Use, input_share: float, busy: float, servers: int) -> Pool:
    """A pool of a server whose replicas are `busy` for that share of the time, idle devices counted."""
    deployment = use.deployment
    layout, replicas = use.layout, deployment.devices // use.layout.devices
    working = replicas * layout.devices / deployment.devices
    return Pool(
        use.name,
        deployment.accelerator.name,
        deployment.devices,
        replicas,
        str(layout),
        use.batch,
        float(maximum(0, minimum(1, busy))) * working,  # type: ignore[arg-type]
        input_share,
        deployment.price,
        deployment.power,
    )
