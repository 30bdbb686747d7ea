"""Prefill on one pool and decode on another: each at its own pace, the cache of every request crossing once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roofline.describe.formats import number_format
from roofline.describe.link import Link
from roofline.describe.model import ModelShape
from roofline.describe.workload import Traffic
from roofline.equations.disaggregation import exposed_transfer
from roofline.equations.serving import mean_decode_context
from roofline.errors import InvalidInput
from roofline.estimate.attention_ffn import AttentionFfn
from roofline.estimate.colocated import pool_of
from roofline.estimate.deployment import Deployment
from roofline.estimate.equilibrium import smallest_batch, smallest_rate
from roofline.estimate.passes import PASS_TOKENS, Passes
from roofline.estimate.pools import deployed, linked, same_model
from roofline.estimate.queues import NEARLY, pool_wait
from roofline.estimate.servers import Most, Prompt, Server, Whole
from roofline.estimate.service import Service, measured
from roofline.estimate.speculative import Speculative
from roofline.estimate.times import largest
from roofline.units import format_quantity

_CROWDED = 0.95
"""Share of its time above which a pool or a link is named as what limits the throughput."""


@dataclass(frozen=True)
class PrefillDecode:
    """Prefill on one pool, decode on another, the cache crossing `link` once per request.

    `link` is a `Link`, text such as `"400 Gbit/s, 2 us"`, or a cited link: `"groq-lpu-v1.node"`, or `"scale_out"` of
    the prefill pool's part. Decode may itself be split or speculate. Raises `InvalidInput`.
    """

    prefill: Deployment
    decode: Deployment | AttentionFfn | Speculative
    link: Link | str

    def __post_init__(self) -> None:
        deployed("prefill", self.prefill)
        if not isinstance(self.decode, Deployment | AttentionFfn | Speculative):
            expected = "a Deployment, an AttentionFfn or a Speculative"
            raise InvalidInput("decode", given=type(self.decode).__name__, expected=expected)
        same_model("decode", self.decode.model, self.prefill.model)
        object.__setattr__(self, "link", linked(self.link, self.prefill))

    @property
    def decoding(self) -> Deployment | AttentionFfn | Speculative:
        """The decode pool, as one that schedules no prompts."""
        if isinstance(self.decode, AttentionFfn):
            return replace(self.decode, attention=self.decode.attention.decoding_alone())
        if isinstance(self.decode, Speculative):
            target, draft = (pool.decoding_alone() for pool in (self.decode.target, self.decode.draft))
            return replace(self.decode, target=target, draft=draft)
        return self.decode.decoding_alone()

    @property
    def wire(self) -> Link:
        """The link, resolved."""
        return Link.of(self.link)

    @property
    def model(self) -> ModelShape:
        """The model that both pools hold."""
        return self.prefill.model


@dataclass(frozen=True)
class Crossing:
    """A cache on its way: its `size` [B], what prefill leaves `exposed` [s], `most` requests per second [1/s]."""

    size: float
    exposed: float
    most: float

    @classmethod
    def of(cls, system: PrefillDecode, prompts: Whole, decoder: Server, computed: float, isl: float) -> Crossing:
        """Sent layer by layer while the prompt is `computed` [s], in the narrower of both cache formats.

        The ranks that have a sequence send and receive it; all devices of the smaller pool do at once.
        """
        sender, receiver, link = prompts.deployment, decoder.holder, system.wire
        state = _narrower(sender.quantization.state, receiver.quantization.state)
        size = float(system.model.cache_bytes(isl, wire_format(sender, receiver), state))  # type: ignore[arg-type]
        sending, receiving = (pool.layout.tp * pool.layout.pp for pool in (sender, receiver))
        bandwidth = min(sending, receiving) * link.rate
        together = min(pool.layout.devices * pool.replicas for pool in (sender, receiver)) * link.rate
        layers = len(system.model.layers)
        exposed = float(exposed_transfer(size, bandwidth, layers, computed))  # type: ignore[arg-type]
        return cls(size, exposed + link.delay, together / size if size else float("inf"))


def wire_format(sender: Deployment, receiver: Deployment) -> str:
    """The narrower of two cache formats: conversion is next to the wire, on the side that has the wider one."""
    return _narrower(sender.quantization.kv_cache, receiver.quantization.kv_cache)


def _narrower(*formats: str) -> str:
    return min(formats, key=lambda name: number_format(name).bits)


@dataclass(frozen=True)
class Split:
    """Both pools under a traffic: `workers` take prompts in passes, `decoders` replicas generate the rest of an answer.

    The decode pool's serving stack lets the time of `late` tokens of a sequence pass before its first one is seen.
    `apart` · √(others in flight to a worker) passes come before one's own because requests come in bunches.
    """

    prompt: Prompt
    workers: int
    decoders: int
    generated: float
    crossing: Crossing
    crowd: float | None
    late: float = 0.0
    apart: float = 0.0

    @property
    def passes(self) -> Passes:
        """What takes prompts."""
        return self.prompt.passes

    @property
    def most_prompts(self) -> float:
        """Requests per second whose prompts the workers can take [1/s]."""
        return self.workers / self.passes.share

    @property
    def most(self) -> float:
        """Requests per second that prefill and link let through [1/s]."""
        return min(self.most_prompts, self.crossing.most) if self.generated else self.most_prompts

    @property
    def met(self) -> float:
        """How much of the load an arriving request finds: in a closed circle it does not meet itself."""
        return 1.0 if self.crowd is None else 1 - 1 / self.crowd

    def rate(self, batch: Any, step: Any) -> Any:
        """Requests that the decode pool finishes at a batch [1/s]."""
        return self.decoders * batch / (self.generated * step)

    def own_pass(self, rate: Any) -> Any:
        """Time from the start of the pass that takes one's prompt to its first token [s]."""
        return self.prompt.latency - self.passes.one + self.passes.seconds(self.met * rate / self.workers)

    def first_token(self, rate: Any, step: Any) -> Any:
        """Time to first token [s]: the passes before, one's own, and what the stack lets pass of decode."""
        return self.own_pass(rate) + self.wait(rate) + self.late * step

    def wait(self, rate: Any) -> Any:
        """Wait for the passes of others [s]."""
        met, passes = self.met * rate, self.passes
        wait = passes.wait(self.workers, met)
        if self.crowd is None:
            return wait
        others = max(0.0, self.crowd / self.workers - 1)  # at most all of them are before it, one by one
        bunched = self.apart * np.sqrt(others) * passes.seconds(met / self.workers)
        return np.minimum(wait + bunched, others * passes.one)

    def gap(self, rate: Any) -> Any:
        """Time from the first token to decode [s]: what is exposed of the transfer, and transfers before it."""
        if not self.generated:
            return 0.0
        return self.crossing.exposed + pool_wait(1, self.met * rate, 1 / self.crossing.most)

    def held(self, batch: Any, step: Any) -> Any:
        """Requests in flight at a decode batch [1]; infinite beyond what prefill and link let through."""
        rate = self.rate(batch, step)
        possible = np.where(rate < self.most, rate, self.most * NEARLY)
        held = self.decoders * batch + possible * (self.first_token(possible, step) + self.gap(possible))
        return np.where(rate < self.most, held, np.inf)

    def settled(self, step: Any, limit: float, offered: float | None) -> tuple[float, float, float]:
        """Decode batch of a replica, its step [s] and the rate of requests [1/s]."""
        if not self.generated:
            seconds = float(step(np.array([1.0]))[0])
            if offered is not None:
                return 0.0, seconds, min(offered, self.most)
            asked, most = self.crowd or 0.0, self.most * NEARLY
            return 0.0, seconds, smallest_rate(lambda rate: float(rate * self.first_token(rate, 0.0)), asked, most)
        if offered is None:
            batch, seconds = smallest_batch(step, self.held, self.crowd or 0.0, limit)
        else:
            batch, seconds = smallest_batch(step, self.rate, min(offered, self.most), limit)
        rate = min(float(self.rate(batch, seconds)), self.most)
        if offered is not None and rate >= offered * NEARLY:
            rate = offered
        return batch, seconds, rate


def split(
    system: PrefillDecode,
    traffic: Traffic,
    prompts: Whole,
    decoder: Server,
    chunk: float | None,
    max_batch: float | None,
) -> Service:
    """Steady state of one traffic of plain numbers on two pools; a pass takes prompts of up to `chunk` tokens [token].

    `PASS_TOKENS` where nothing is asked for; a prompt that is longer passes by itself, whole. A replica of the decode
    pool decodes `max_batch` sequences at most [1].
    """
    tokens = PASS_TOKENS if chunk is None else chunk
    prompt = prompts.prompt(traffic, tokens)
    passes, allowed = prompt.passes, Most.of(decoder, traffic, max_batch)
    context = float(mean_decode_context(traffic.isl, traffic.osl))  # type: ignore[arg-type]
    crossing = Crossing.of(system, prompts, decoder, prompt.computed, traffic.isl)
    late = decoder.steps_before * decoder.tokens_per_step
    stack = system.prefill.rates.runtime
    pools = Split(
        prompt,
        prompts.replicas,
        decoder.replicas,
        traffic.generated,
        crossing,
        traffic.concurrency,
        late,
        0.0 if stack is None else stack.apart,
    )
    batch, seconds, rate = pools.settled(lambda batch: decoder.step(batch, context), allowed.batch, traffic.rate)
    gap = float(pools.gap(min(rate, pools.most * NEARLY)))
    tpot = seconds + gap / traffic.generated if traffic.generated else math.nan
    finished = min(rate, pools.most_prompts * NEARLY)
    own, each = float(pools.own_pass(finished)), finished / pools.workers
    if traffic.rate is None:
        ttft = traffic.concurrency / rate - gap - traffic.generated * seconds
        queued = max(0.0, rate * (ttft - own))
    else:
        overloaded = rate < traffic.rate or rate >= pools.most
        ttft = float("inf") if overloaded else float(pools.first_token(rate, seconds))
        queued = float("inf") if overloaded else rate * (ttft - own)
    together = float(passes.prompts(pools.met * each))
    prefilling = each * float(passes.each(each))
    decoding = rate / pools.decoders * pools.generated * seconds / max(batch, 1.0)
    full = allowed.full(batch, queued)
    told = measured(decoder.holder.rates.runtime)
    limits = {
        f"{allowed.what} of the decode pool": 1.0 if full else 0.0,
        "the prefill pool": rate / pools.most_prompts,
        "the link": rate / crossing.most if traffic.generated else 0.0,
    }
    limiting = max(limits, key=lambda name: limits[name])
    if limits[limiting] <= _CROWDED:
        limiting = "the requests in flight" if traffic.rate is None else "the requests that arrive"
    busier = decoder.attributed(batch, context)
    if limiting == "the prefill pool" or prefilling > decoding:
        busier = prompts.prompt_attributed(traffic)
    uses = (*((use, 1.0, prefilling, pools.workers) for use in prompts.uses(together, traffic.isl)),)
    uses += tuple((use, 0.0, decoding * use.of_step, pools.decoders) for use in decoder.uses(batch, context))
    return Service(
        system=f"{prompts}; decode: {decoder}; link {system.wire}",
        traffic=traffic,
        ttft=ttft,
        tpot=tpot,
        requests_per_second=rate,
        queued=queued,
        pools={use.name: pool_of(use, share, busy, servers) for use, share, busy, servers in uses},
        fits=True,
        bound=largest(busier),
        limit=limiting,
        assumptions=(
            *decoder.assumptions(batch, context),
            *_notes(system, prompts, decoder, crossing, passes, tokens),
            *((allowed.sentence,) if full else ()),
            *(told.spread if told else ()),
        ),
        stack=told,
    )


def _notes(
    system: PrefillDecode, prompts: Whole, decoder: Server, crossing: Crossing, passes: Passes, tokens: float
) -> list[str]:
    sender, receiver = prompts.deployment, decoder.holder
    stack = receiver.rates.runtime
    notes = [f"prefill pool: {each}" for each in prompts.settled.configured()]
    if stack is not None:
        cost = format_quantity(stack.step, "s")
        notes.append(f"under {stack.name} a pool that only decodes has a host cost of {cost} per step")
    notes += [
        "caches are paged; they and answers take their mean length",
        f"{crossing.size:,.0f} bytes of cache cross per request, layer by layer behind prefill; requests that wait for "
        "room in the decode pool wait before prefill",
    ]
    if passes.most > 1:
        notes.append(
            f"prompts that wait share a pass of the prefill pool, up to {passes.most:,.0f} of them "
            f"({tokens:,.0f} tokens on each attention-data rank); it takes none that come later"
        )
    if sender.quantization.kv_cache != receiver.quantization.kv_cache:
        wire = wire_format(sender, receiver)
        notes.append(
            f"the cache crosses as {wire} ({sender.quantization.kv_cache} in prefill, "
            f"{receiver.quantization.kv_cache} in decode); converting it takes no time"
        )
    states = {pool.quantization.state for pool in (sender, receiver)}
    if len(states) > 1 and system.model.state_bytes():
        notes.append(f"states cross in the narrower of {' and '.join(sorted(states))}; converting them takes no time")
    return notes
