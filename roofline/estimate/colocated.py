"""Prefill and decode on the same devices: continuous batching, with prompts between or inside decode steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
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

    def at(self, batch: Any, step: Any = 0.0) -> Mixed:
        """All that is to be known of it at a decode batch, and at its step where that matters [s]."""
        return Mixed(self, batch, step)

    def interval(self, batch: Any, step: Any) -> Any:
        """Time between two tokens of a sequence [s]."""
        return self.at(batch, step).interval

    def entering(self, batch: Any) -> Any:
        """Prompts of others that are computed while a sequence is decoded [1]."""
        return self.at(batch).entering

    def rate(self, batch: Any, step: Any) -> Any:
        """Requests that a replica finishes at a decode batch [1/s]."""
        return self.at(batch, step).rate

    def decoding(self, rate: Any, batch: Any, step: Any) -> Any:
        """Sequences in decode averaged over all time, also that of prompts, in which no step is taken [1]."""
        return self.at(batch, step).decoding(rate)

    def in_a_step(self, decoding: Any, rate: Any) -> Any:
        """The batch at which so many are in decode on average, at a rate of requests; at most all in flight [1]."""
        if self.crowd is None:
            return decoding
        between = 1 - rate * self.at(decoding).own / self.crowd
        return decoding / maximum(between, minimum(1.0, decoding / self.crowd))

    def first_token(self, rate: Any, batch: Any, step: Any) -> Any:
        """Time to first token [s]."""
        return self.at(batch, step).first_token(rate)

    def others(self, rate: Any, batch: Any, step: Any) -> Any:
        """Time of the prompts of others that come before one's own, or share its pass [s]."""
        return self.at(batch, step).others(rate)

    def each(self, rate: Any, batch: Any) -> Any:
        """The replica's time that a prompt takes, nothing spared [s]."""
        return self.at(batch).each(rate)

    def reached(self, batch: Any, step: Any, offered: float | None = None) -> Any:
        """The share of the requests in flight that a decode batch has, or of those `offered` per second that it
        finishes, or of the room that it takes: whichever is the largest [1].
        """
        at = self.at(batch, step)
        share = at.held(at.rate) / (self.crowd or 1.0) if offered is None else at.rate / offered
        return maximum(share, at.slots(at.rate) / self.most)


@dataclass(frozen=True)
class Mixed:
    """A mix at one decode batch, whose step takes so long by itself [s]; what many of its times rest on is computed
    once.

    The step is the time per token of a sequence, of which a step yields several where tokens are drafted.
    """

    mix: Mix
    batch: Any
    step: Any

    @cached_property
    def interval(self) -> Any:
        """Time between two tokens of a sequence [s]."""
        if not self.mix.generated:
            return self.step
        return colocated_interval(self.step, self.entering, self.added, self.mix.generated)

    @cached_property
    def whole(self) -> Any:
        """A step with the prompts in it, on average [s]."""
        return self.mix.tokens * self.interval

    @cached_property
    def entering(self) -> Any:
        """Prompts of others that are computed while a sequence is decoded [1].

        As many as are in a step with it, for each that leaves makes room for one; in a closed circle one's own apart,
        and no more than there is room for beside it.
        """
        mix = self.mix
        return minimum(minimum(self.batch, mix.fellows + 1) * mix.met, max(0.0, mix.most - 1))

    @cached_property
    def added(self) -> Any:
        """The replica's time that a prompt adds to the steps of a decode batch [s].

        Prompts of one pass are spared once together; below one sequence, some find no step running, and a lone
        request's never does.
        """
        with_a_step = minimum(self.entering, 1) * passes_per_prompt(self.gathered, math.inf)
        return self.each(0.0) - self.mix.spared(self.batch) * with_a_step

    @cached_property
    def due(self) -> Any:
        """Prompts that are due in a step on average, one's own apart [1]."""
        return maximum(self.mix.tokens * self.entering / self.mix.generated, SELDOM)

    @cached_property
    def gathered(self) -> Any:
        """Prompts that are taken together on average, one's own apart [1]."""
        return self.due * (1 + self.mix.aligned)

    @cached_property
    def rate(self) -> Any:
        """Requests that a replica finishes [1/s].

        Steps and prompts take all of its time: a batch is answered in the steps of one answer and a prompt for each of
        its sequences, of which the time between tokens has those of others already.
        """
        own = (self.batch - self.entering) * self.own
        return self.batch / (self.mix.generated * self.interval + own)

    @cached_property
    def own(self) -> Any:
        """How long one's own prompt holds one up [s]: until the first token, also where a draft takes it after that."""
        return minimum(self.added, self.mix.prompt.latency)

    @cached_property
    def occupied(self) -> Any:
        """The replica's time that a prompt takes in steps, nothing spared [s]."""
        return self.mix.prompt.passes.occupied(self.gathered)

    def each(self, rate: Any) -> Any:
        """The replica's time that a prompt takes, nothing spared [s]."""
        mix = self.mix
        return self.occupied if mix.generated else mix.prompt.passes.each(mix.met * rate)

    def decoding(self, rate: Any) -> Any:
        """Sequences in decode averaged over all time, also that of prompts, in which no step is taken [1]."""
        return rate * self.mix.generated * self.interval

    def first_token(self, rate: Any) -> Any:
        """Time to first token [s]: room, the step that is running, prompts before, the prompt, steps between chunks."""
        mix = self.mix
        between = (mix.chunks + mix.aligned * mix.met) * minimum(self.batch, 1) * self.step * mix.tokens
        return mix.prompt.latency + between + self.running + self.others(rate) + self.room(rate)

    def room(self, rate: Any) -> Any:
        """Wait of requests at random for room to be decoded in [s]; in a closed circle those beyond it are counted."""
        mix = self.mix
        if not mix.gates or mix.most == math.inf:
            return 0.0
        stay = self.each(0.0) + mix.generated * self.interval
        return pool_wait(int(mix.most), minimum(rate, mix.most / stay * NEARLY), float(stay))

    @cached_property
    def longer(self) -> Any:
        """How much longer than the mean a step is that a request at random finds running, over the mean [1]."""
        return gated_spread(self.due, self.each(0.0), self.whole) if self.mix.gates else 0.0

    @cached_property
    def come(self) -> Any:
        """Prompts of others that are taken together with one's own on average [1]."""
        return self.mix.met * self.gathered * (1 + self.longer)

    @cached_property
    def running(self) -> Any:
        """What is left of the step that a request finds running, with the prompts in it [s].

        A step that prompts make longer is found more often by requests at random, whose prompts ride in the next one.
        In a closed circle requests come as others finish, and wait for half of a step of any length.
        """
        mix = self.mix
        left = self.whole * (1 + self.longer) / 2
        ridden = mix.tokens * self.step if mix.crowd is None else 0.0
        return mix.met * minimum(self.batch, 1) * (left + ridden)

    @cached_property
    def aftermath(self) -> Any:
        """What the steps after one's prompt are longer than the mean, all together, for requests at random [s].

        More prompts come in the long step of one's own, which make the next one longer, and so on.
        """
        if not self.mix.gates:
            return 0.0
        each = self.each(0.0)
        busy = self.due * each / self.whole
        own = self.mix.tokens * self.step + each * (1 + self.come)
        return busy / (1 - busy) * maximum(own - self.whole, 0.0)

    def others(self, rate: Any) -> Any:
        """Time of the prompts of others that come before one's own, or share its pass [s].

        Where nothing is generated, they queue as before a pool that only takes prompts.
        """
        mix, passes = self.mix, self.mix.prompt.passes
        if mix.generated:
            within = minimum(self.come, passes.most - 1)
            before = (self.come - within) / (2 * passes.most) * passes.points[-1][1]
            ahead = within * (passes.one - passes.shared) + before
        else:
            met = mix.met * rate
            ahead = passes.seconds(met) - passes.one + passes.wait(1, met)
        if mix.crowd is None:
            return ahead
        return minimum(ahead + mix.bunch * sqrt(mix.fellows) * self.each(rate), mix.fellows * passes.one)

    def held(self, rate: Any) -> Any:
        """Requests in flight [1]."""
        return self.decoding(rate) + rate * self.first_token(rate)

    def slots(self, rate: Any) -> Any:
        """Sequences that have room [1]: those in decode, and those whose prompt is computed."""
        return self.decoding(rate) + rate * self.each(rate)


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
    at = mix.at(batch, seconds)
    tpot = float(at.interval)
    if traffic.generated:
        tpot += float(at.aftermath) / traffic.generated
    if crowd is None:
        overloaded = offered is not None and rate < offered
        ttft = float("inf") if overloaded else float(at.first_token(rate))
        queued = float("inf") if overloaded else rate * (ttft - mix.prompt.latency)
    else:
        ttft = crowd / rate - mix.generated * tpot
        queued = max(0.0, crowd - rate * (mix.generated * tpot + mix.prompt.latency))
    # What decode takes of the device: a step is shared by its batch.
    decoding = mix.generated * seconds / max(batch, 1.0)
    adding = float(at.added if traffic.generated else at.each(rate))
    input_share = adding / (adding + decoding)
    busier = server.prompt_attributed(traffic) if input_share > 1 / 2 else server.attributed(batch, context)
    uses = server.uses(batch, context)
    told = measured(stack)
    full = allowed.full(float(at.slots(rate)) if traffic.generated else batch, queued)
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
