"""Prefill and decode on the same devices: continuous batching, with prompts between or inside decode steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from roofline.describe.workload import Traffic
from roofline.equations.serving import colocated_interval, gated_spread, mean_decode_context, passes_per_prompt
from roofline.estimate.equilibrium import smallest_batch, smallest_rate
from roofline.estimate.passes import PASS_TOKENS
from roofline.estimate.queues import NEARLY, pool_wait
from roofline.estimate.servers import Most, Prompt, Server, Use
from roofline.estimate.service import Pool, Service, measured
from roofline.estimate.times import largest
from roofline.numeric import maximum, minimum, sqrt

SELDOM = 1e-9
"""Prompts due in a step below which no two ever are [1]."""
_BATCHES = 65
"""Batches at which it is asked what a prompt is spared; in between it grows nearly evenly."""


@dataclass(frozen=True)
class Mix:
    """One replica under its share of a traffic: `crowd` requests kept in flight, or None where they come at random.

    A `batch` is the sequences in a decode step; below one, the share of the time that prompts leave in which there is
    one to decode.
    `chunks` steps take the prompt of one request, 0 where it comes whole; steps that a serving stack lets pass before
    the first token is seen count with them. A step yields `tokens` of a sequence. `bunch` · √(others in flight) prompts
    are computed before one's own because requests come in bunches. `spared` gives what a prompt takes less in the same
    pass as a decode step, by its batch [s]. At `most` so many sequences are decoded at once. Prompts that are due in
    the same step share a pass, those of the `aligned` steps before with them, and where nothing is generated those that
    came during the pass before.
    """

    prompt: Prompt
    generated: float
    crowd: float | None
    chunks: float
    tokens: float = 1.0
    bunch: float = 0.0
    spared: Callable[[Any], Any] = np.zeros_like
    aligned: float = 0.0
    most: float = math.inf

    @property
    def met(self) -> float:
        """How much of the load an arriving request finds: in a closed circle it does not meet itself."""
        return 1.0 if self.crowd is None else max(0.0, 1 - 1 / self.crowd)

    @property
    def fellows(self) -> float:
        """Others in flight: without end where requests come at random [1]."""
        return math.inf if self.crowd is None else max(0.0, self.crowd - 1)

    @property
    def gates(self) -> bool:
        """Whether steps take the prompts that came at random in the step before."""
        return self.crowd is None and self.generated > 0

    def interval(self, batch: Any, step: Any) -> Any:
        """Time between two tokens of a sequence [s]."""
        if not self.generated:
            return step
        return colocated_interval(step, self.entering(batch), self.added(batch), self.generated)

    def whole(self, batch: Any, step: Any) -> Any:
        """A step with the prompts in it, on average [s]."""
        return self.tokens * self.interval(batch, step)

    def entering(self, batch: Any) -> Any:
        """Prompts of others that are computed while a sequence is decoded [1].

        As many as are in a step with it, for each that leaves makes room for one; in a closed circle one's own apart,
        and no more than there is room for beside it.
        """
        return minimum(minimum(batch, self.fellows + 1) * self.met, max(0.0, self.most - 1))

    def added(self, batch: Any) -> Any:
        """The replica's time that a prompt adds to the steps of a decode batch [s].

        Prompts of one pass are spared once together; below one sequence, some find no step running, and a lone
        request's never does.
        """
        with_a_step = minimum(self.entering(batch), 1) * passes_per_prompt(self.gathered(batch), math.inf)
        return self.each(0.0, batch) - self.spared(batch) * with_a_step

    def due(self, batch: Any) -> Any:
        """Prompts that are due in a step of a decode batch on average, one's own apart [1]."""
        return maximum(self.tokens * self.entering(batch) / self.generated, SELDOM)

    def gathered(self, batch: Any) -> Any:
        """Prompts that are taken together at a decode batch on average, one's own apart [1]."""
        return self.due(batch) * (1 + self.aligned)

    def rate(self, batch: Any, step: Any) -> Any:
        """Requests that a replica finishes at a decode batch [1/s].

        Steps and prompts take all of its time: a batch is answered in the steps of one answer and a prompt for each of
        its sequences, of which the time between tokens has those of others already.
        """
        own = (batch - self.entering(batch)) * self.own(batch)
        return batch / (self.generated * self.interval(batch, step) + own)

    def own(self, batch: Any) -> Any:
        """How long one's own prompt holds one up [s]: until the first token, also where a draft takes it after that."""
        return minimum(self.added(batch), self.prompt.latency)

    def decoding(self, rate: Any, batch: Any, step: Any) -> Any:
        """Sequences in decode averaged over all time, also that of prompts, in which no step is taken [1]."""
        return rate * self.generated * self.interval(batch, step)

    def in_a_step(self, decoding: Any, rate: Any) -> Any:
        """The batch at which so many are in decode on average, at a rate of requests; at most all in flight [1]."""
        if self.crowd is None:
            return decoding
        between = 1 - rate * self.own(decoding) / self.crowd
        return decoding / maximum(between, minimum(1.0, decoding / self.crowd))

    def first_token(self, rate: Any, batch: Any, step: Any) -> Any:
        """Time to first token [s]: room, the step that is running, prompts before, the prompt, steps between chunks.

        `step` is the time per token of a sequence, of which a step yields several where tokens are drafted.
        """
        between = (self.chunks + self.aligned * self.met) * minimum(batch, 1) * step * self.tokens
        running, others = self.running(batch, step), self.others(rate, batch, step)
        return self.prompt.latency + between + running + others + self.room(rate, batch, step)

    def room(self, rate: Any, batch: Any, step: Any) -> Any:
        """Wait of requests at random for room to be decoded in [s]; in a closed circle those beyond it are counted."""
        if not self.gates or self.most == math.inf:
            return 0.0
        stay = self.each(0.0, batch) + self.generated * self.interval(batch, step)
        return pool_wait(int(self.most), minimum(rate, self.most / stay * NEARLY), float(stay))

    def longer(self, batch: Any, step: Any) -> Any:
        """How much longer than the mean a step is that a request at random finds running, over the mean [1]."""
        if not self.gates:
            return 0.0
        return gated_spread(self.due(batch), self.each(0.0, batch), self.whole(batch, step))

    def come(self, batch: Any, step: Any) -> Any:
        """Prompts of others that are taken together with one's own on average [1]."""
        return self.met * self.gathered(batch) * (1 + self.longer(batch, step))

    def running(self, batch: Any, step: Any) -> Any:
        """What is left of the step that a request finds running, with the prompts in it [s].

        A step that prompts make longer is found more often by requests at random, whose prompts ride in the next one.
        In a closed circle requests come as others finish, and wait for half of a step of any length.
        """
        left = self.whole(batch, step) * (1 + self.longer(batch, step)) / 2
        ridden = self.tokens * step if self.crowd is None else 0.0
        return self.met * minimum(batch, 1) * (left + ridden)

    def aftermath(self, batch: Any, step: Any) -> Any:
        """What the steps after one's prompt are longer than the mean, all together, for requests at random [s].

        More prompts come in the long step of one's own, which make the next one longer, and so on.
        """
        if not self.gates:
            return 0.0
        whole, each = self.whole(batch, step), self.each(0.0, batch)
        busy = self.due(batch) * each / whole
        own = self.tokens * step + each * (1 + self.come(batch, step))
        return busy / (1 - busy) * maximum(own - whole, 0.0)

    def others(self, rate: Any, batch: Any, step: Any) -> Any:
        """Time of the prompts of others that come before one's own, or share its pass [s].

        Where nothing is generated, they queue as before a pool that only takes prompts.
        """
        each, passes = self.each(rate, batch), self.prompt.passes
        if self.generated:
            come = self.come(batch, step)
            within = minimum(come, passes.most - 1)
            before = (come - within) / (2 * passes.most) * passes.points[-1][1]
            ahead = within * (passes.one - passes.shared) + before
        else:
            met = self.met * rate
            ahead = passes.seconds(met) - passes.one + passes.wait(1, met)
        if self.crowd is None:
            return ahead
        return minimum(ahead + self.bunch * sqrt(self.fellows) * each, self.fellows * passes.one)

    def each(self, rate: Any, batch: Any) -> Any:
        """The replica's time that a prompt takes, nothing spared [s]."""
        passes = self.prompt.passes
        return passes.occupied(self.gathered(batch)) if self.generated else passes.each(self.met * rate)

    def held(self, rate: Any, batch: Any, step: Any) -> Any:
        """Requests in flight at a decode batch [1]."""
        return self.decoding(rate, batch, step) + rate * self.first_token(rate, batch, step)

    def slots(self, rate: Any, batch: Any, step: Any) -> Any:
        """Sequences that have room at a decode batch [1]: those in decode, and those whose prompt is computed."""
        return self.decoding(rate, batch, step) + rate * self.each(rate, batch)

    def reached(self, batch: Any, step: Any, offered: float | None = None) -> Any:
        """The share of the requests in flight that a decode batch has, or of those `offered` per second that it
        finishes, or of the room that it takes: whichever is the largest [1].
        """
        rate = self.rate(batch, step)
        share = self.held(rate, batch, step) / (self.crowd or 1.0) if offered is None else rate / offered
        return maximum(share, self.slots(rate, batch, step) / self.most)


def colocated(server: Server, traffic: Traffic, chunk: float | None, max_batch: float | None) -> Service:
    """Steady state of one traffic of plain numbers."""
    allowed = Most.of(server, traffic, max_batch)
    limit = allowed.batch
    context = float(mean_decode_context(traffic.isl, traffic.osl))  # type: ignore[arg-type]
    chunks = 0.0 if chunk is None else float(-(-traffic.new_tokens // chunk))
    chunks += server.steps_before
    crowd = None if traffic.concurrency is None else traffic.concurrency / server.replicas
    stack = server.holder.rates.runtime
    bunch = 0.0 if stack is None else stack.bunching(traffic.lengths)
    most = limit if crowd is None else min(limit, crowd)
    batches = np.unique(np.rint(np.geomspace(1.0, max(1.0, most), _BATCHES)))
    there = server.spared(batches, context, traffic)

    def spared(batch: Any) -> Any:
        return np.interp(batch, batches, there)

    tokens = PASS_TOKENS if chunk is None else chunk
    prompt, yielded = server.prompt(traffic, tokens), server.tokens_per_step
    mix = Mix(prompt, traffic.generated, crowd, chunks, yielded, bunch, spared, server.aligned, limit)
    offered = None if traffic.rate is None else traffic.rate / server.replicas

    def step(batch: Any) -> Any:
        return server.step(batch, context)

    batch, seconds, rate = _settled(mix, step, limit, offered)
    tpot = float(mix.interval(batch, seconds))
    if traffic.generated:
        tpot += float(mix.aftermath(batch, seconds)) / traffic.generated
    if crowd is None:
        overloaded = offered is not None and rate < offered
        ttft = float("inf") if overloaded else float(mix.first_token(rate, batch, seconds))
        queued = float("inf") if overloaded else rate * (ttft - mix.prompt.latency)
    else:
        ttft = crowd / rate - mix.generated * tpot
        queued = max(0.0, crowd - rate * (mix.generated * tpot + mix.prompt.latency))
    # What decode takes of the device: a step is shared by its batch.
    decoding = mix.generated * seconds / max(batch, 1.0)
    adding = float(mix.added(batch) if traffic.generated else mix.each(rate, batch))
    input_share = adding / (adding + decoding)
    busier = server.prompt_attributed(traffic) if input_share > 1 / 2 else server.attributed(batch, context)
    uses = server.uses(batch, context)
    told = measured(stack)
    full = allowed.full(float(mix.slots(rate, batch, seconds)) if traffic.generated else batch, queued)
    entering = _PROMPTS if prompt.passes.most > 1 else _ONE_BY_ONE
    if chunk is not None:
        entering = f"prompts enter in chunks of {chunk:,g} tokens, a decode step each"
    notes = [_CACHES, entering]
    if np.any(there):
        notes.append(_SPARED)
    if full:
        notes.append(allowed.sentence)
    return Service(
        system=str(server),
        traffic=traffic,
        ttft=ttft,
        tpot=tpot if traffic.generated else math.nan,
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
        bound=largest(busier),
        limit=allowed.what if full else _limit(crowd, rate, offered),
        assumptions=(*server.assumptions(batch, context), *server.taking, *notes, *(told.spread if told else ())),
        stack=told,
    )


_CACHES = "caches are paged; they and answers take their mean length"
_PROMPTS = "prompts that are due in one step share a pass; decode steps wait meanwhile"
_ONE_BY_ONE = "prompts enter one by one; decode steps wait meanwhile"
_SPARED = "a prompt and the decode step that it rides in read the experts that both need once"


def _settled(mix: Mix, step: Any, limit: float, offered: float | None) -> tuple[float, float, float]:
    """Decode batch, its step and the rate of requests on one replica."""
    if not mix.generated:
        seconds = float(step(np.array([1.0]))[0])
        most = 1 / mix.prompt.passes.share * NEARLY
        if offered is not None:
            return 0.0, seconds, min(offered, most)
        return (
            0.0,
            seconds,
            smallest_rate(lambda rate: rate * mix.first_token(rate, 0.0, seconds), mix.crowd or 0, most),
        )
    batch, seconds = smallest_batch(step, partial(mix.reached, offered=offered), 1.0, limit)
    rate = float(mix.rate(batch, seconds))
    if offered is not None and rate >= offered * NEARLY:
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
