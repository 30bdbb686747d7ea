"""Attention on one pool and feed-forwards on another: micro-batches go to and fro, twice over the link per layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from roofline.describe.link import Link
from roofline.describe.model import ModelShape
from roofline.describe.workload import Traffic
from roofline.equations.disaggregation import (
    attention_per_ffn,
    attention_per_ffn_fixed,
    cycle_time,
    transport_budget,
)
from roofline.equations.serving import mean_decode_context
from roofline.errors import InvalidInput
from roofline.estimate.deployment import Deployment
from roofline.estimate.door import checked
from roofline.estimate.half import Half, Passage
from roofline.estimate.halves import OFFLOADS, Offload, attention_half, ffn_half
from roofline.estimate.passes import PASS_TOKENS, Passes
from roofline.estimate.pools import deployed, linked, same_model
from roofline.estimate.resolved import Point
from roofline.estimate.servers import Prompt, Use
from roofline.estimate.times import RESOURCES, Resource
from roofline.estimate.timing import Step, step_terms
from roofline.estimate.work import HIDDEN_WIDTH, exact_width

_DEPTHS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Micro-batches that are tried."""


@dataclass(frozen=True)
class AttentionFfn:
    """Mixers and caches on `attention`, feed-forwards on `ffn`, which holds no cache; hidden states cross `link`.

    Each deployment is of the whole model; its part of it is laid on its devices. `offload="experts"` moves routed
    experts only, with their routers. The feed-forward pool spreads tokens over experts by itself, unless `fan_out`:
    then every expert's copy crosses. `micro_batches` in flight are chosen for the shortest time per token where they
    are not given. Raises `InvalidInput`.
    """

    attention: Deployment
    ffn: Deployment
    link: Link | str
    offload: Offload = "ffn"
    fan_out: bool = False
    micro_batches: int | None = None

    def __post_init__(self) -> None:
        deployed("attention", self.attention)
        deployed("ffn", self.ffn)
        same_model("ffn", self.ffn.model, self.attention.model)
        for name, pool in (("attention", self.attention), ("ffn", self.ffn)):
            if len(pool.accelerator.memory) > 1:
                raise InvalidInput(name, given="spill", expected="a pool whose nearest memory holds its part")
            if pool.overlap or isinstance(pool.slice, int):
                given = "overlap" if pool.overlap else f"slice {pool.slice:,}"
                raise InvalidInput(name, given=given, expected="a pool of whole prompts and batches: halves take turns")
        if self.offload not in OFFLOADS:
            raise InvalidInput("offload", given=self.offload, expected=" or ".join(OFFLOADS))
        ffn_half(self.model, self.offload)
        if self.micro_batches is not None:
            object.__setattr__(self, "micro_batches", int(checked("micro_batches", self.micro_batches, most=1e5)))
        object.__setattr__(self, "link", linked(self.link, self.attention))

    @property
    def model(self) -> ModelShape:
        """The whole model."""
        return self.attention.model

    @property
    def wire(self) -> Link:
        """The link, resolved."""
        return Link.of(self.link)

    def scaled(self, times: int) -> AttentionFfn:
        """The same on that many times the devices."""
        attention, ffn = (pool.resized(pool.devices * times) for pool in (self.attention, self.ffn))
        return AttentionFfn(attention, ffn, self.link, self.offload, self.fan_out, self.micro_batches)

    def transport_budget(self, batch: float, context: float) -> float:
        """The one-way latency up to which one micro-batch of `batch` sequences gains by leaving the attention pool [s].

        Below it the split has the shorter time per token; negative where not even a link without latency pays.
        """
        server = AttentionFfnServer.at(self, batch, context)
        crossings = len(server.ffn.model.layers)
        here = Half.of(self.attention.of_model(server.ffn.model), batch, 2.0, vocabulary=False)
        there = server.tokens(np.array([batch])).total[0] / crossings
        size = batch * server.row_bytes / 2
        place = here.decode(np.array([batch / here.replicas]), 2.0).total[0] / crossings
        return float(transport_budget(place, there, size, server.bandwidth))  # type: ignore[arg-type]

    def attention_workers(self, batch: float, context: float) -> float:
        """Replicas of the attention pool per replica of the feed-forward pool of most throughput per money [1].

        At `batch` sequences per attention replica, from a feed-forward whose time is linear between that batch and
        twice it; prices where both are known.
        """
        server = AttentionFfnServer.at(self, batch * self.attention.replicas, context)
        one, two = server.ffn.decode(np.array([batch, 2 * batch]), 2.0).total
        growth = max(float(two - one) / batch, 1e-30)
        base = max(float(one) - growth * batch, 0.0)
        attention = float(server.attention.decode(np.array([batch]), context).total[0])
        paid = (self.attention.price, self.ffn.price)
        devices = server.ffn.layout_devices / server.attention.layout_devices
        ratio = devices if None in paid else devices * paid[1] / paid[0]  # type: ignore[operator]
        matched = float(attention_per_ffn(attention, base, growth, batch))  # type: ignore[arg-type]
        return max(matched, float(attention_per_ffn_fixed(base, growth, batch, ratio)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class AttentionFfnServer:
    """Both pools as one replica: every micro-batch is spread over all of either."""

    system: AttentionFfn
    attention: Half
    ffn: Half

    @classmethod
    def of(cls, system: AttentionFfn, traffic: Traffic) -> AttentionFfnServer:
        """Layouts chosen for all requests in flight."""
        return cls.at(system, 1.0 if traffic.concurrency is None else traffic.concurrency, traffic.longest)

    @classmethod
    def at(cls, system: AttentionFfn, batch: float, context: float) -> AttentionFfnServer:
        """Layouts chosen for a batch on all devices."""
        held = system.attention.of_model(attention_half(system.model, system.offload))
        away = system.ffn.of_model(ffn_half(system.model, system.offload))
        return cls(
            system,
            Half.of(held, batch, context, vocabulary=True),
            Half.of(away, batch, 2.0, vocabulary=False),
        )

    @property
    def replicas(self) -> int:
        """One: the pools work together."""
        return 1

    @property
    def holder(self) -> Deployment:
        """The attention pool."""
        return self.attention.deployment

    @property
    def tokens_per_step(self) -> float:
        """One: nothing is drafted."""
        return 1.0

    @property
    def steps_before(self) -> float:
        """As the attention pool's stack has it."""
        stack = self.attention.resolved.rates.runtime
        return 0.0 if stack is None else stack.first

    @property
    def aligned(self) -> float:
        """As the attention pool's stack has it for its ranks."""
        stack = self.attention.resolved.rates.runtime
        return 0.0 if stack is None else stack.gathering(self.attention.plan.layout.dp)

    @property
    def row_bytes(self) -> float:
        """Bytes of one token that cross for one layer, both ways together [B]."""
        out, back = self._widths
        return self.system.model.hidden * self._copies * (out + back)

    @property
    def bandwidth(self) -> float:
        """One direction between the pools, at the slower one [B/s]."""
        return self.system.wire.rate * min(self.attention.stage_devices, self.ffn.stage_devices)

    @property
    def crossings(self) -> int:
        """Layers whose feed-forward is away."""
        return len(self.ffn.model.layers)

    @property
    def _copies(self) -> int:
        mixtures = [getattr(layer.feed_forward, "top_k", 1) for layer, _ in self.ffn.model.groups()]
        return max(mixtures) if self.system.fan_out else 1

    @property
    def _widths(self) -> tuple[float, float]:
        """Out in the format that the feed-forwards multiply in, back in 16 bits [B]."""
        part = "experts" if self.ffn.model.parameters().experts else "linear"
        return float(exact_width(self.ffn.deployment.quantization.computation(part))), HIDDEN_WIDTH

    def largest_batch(self, traffic: Traffic) -> float:
        """Caches on the attention pool; the other must hold its weights, and activations where they count."""
        self.attention.deployment.decode(1.0, traffic.longest)
        self.ffn.deployment.decode(1.0, 2.0)
        mean = mean_decode_context(traffic.isl, traffic.osl)
        caches = self.attention.resolved.memory.largest_batch(mean) * self.attention.replicas
        passing = self.ffn.resolved.memory.largest_batch(2.0) * self.ffn.replicas
        return float(min(caches, passing))

    def tokens(self, tokens: Any) -> Passage:
        """That many tokens through the feed-forwards, spread over all replicas."""
        return self.ffn.decode(tokens / self.ffn.replicas, 2.0)

    def one_way(self, tokens: Any) -> Any:
        """Mean time of that many tokens from one pool to the other for one layer [s]."""
        return self.system.wire.delay + tokens * self.row_bytes / 2 / self.bandwidth

    def _on_the_wire(self, tokens: Any) -> Any:
        """Time that the busier direction of the link is taken, all layers [s]."""
        widest = max(self._widths) * self.system.model.hidden * self._copies
        return self.crossings * tokens * widest / self.bandwidth

    def _cycle(self, batch: Any, context: float, depth: int) -> Any:
        share = np.maximum(batch / depth, 1.0)
        held, away = self.attention.decode(share / self.attention.replicas, context), self.tokens(share)
        slowest = np.maximum(np.maximum(held.slowest, away.slowest), self._on_the_wire(share))
        crossing = self.crossings * self.one_way(share)
        return cycle_time(held.total + held.hops, away.total, crossing, depth, slowest)

    @property
    def _depths(self) -> tuple[int, ...]:
        given = self.system.micro_batches
        return _DEPTHS if given is None else (given,)

    def step(self, batch: Any, context: float) -> Any:
        """The shortest over the numbers of micro-batches."""
        return np.min([self._cycle(batch, context, depth) for depth in self._depths], axis=0)

    def depth(self, batch: float, context: float) -> int:
        """Micro-batches in flight at a batch."""
        one = np.array([max(batch, 1.0)])
        return min(self._depths, key=lambda depth: float(self._cycle(one, context, depth)[0]))

    def prompt(self, traffic: Traffic, tokens: float = PASS_TOKENS) -> Prompt:
        """A prompt goes through all layers as one micro-batch; others fill the pool that it is not in.

        Decode is spread over all of either pool, and waits for a prompt on any rank; one on every rank takes as long.
        """
        new, ranks = traffic.new_tokens, float(self.attention.plan.layout.dp)
        most = ranks * self.attention.replicas
        alone, filled = (self.attention.prefill(count, traffic.isl, traffic.cached_tokens) for count in (1.0, ranks))
        away, all_ = self.ffn.decode(np.array([new]), 2.0), self.tokens(np.array([most * new]))
        wire = self._on_the_wire(new) * self.bandwidth / self._sender, self._on_the_wire(most * new)
        one = max(float(alone.slowest), float(away.slowest[0]), float(wire[0]))
        full = max(float(filled.slowest), float(all_.slowest[0]), float(wire[1]))
        return Prompt(
            float(alone.total + alone.hops + away.total[0] + 2 * self.crossings * self._crossing(new)),
            Passes(((1.0, one), (most, full)) if most > 1 and full < most * one else ((1.0, one),)),
            self.attention.resolved.rates.request,
        )

    @property
    def _sender(self) -> float:
        """One direction of the link for a prompt, which one rank of the attention pool sends [B/s]."""
        ranks = self.attention.plan.layout.dp * self.attention.replicas
        return self.system.wire.rate * min(self.attention.stage_devices / ranks, self.ffn.stage_devices)

    def _crossing(self, tokens: float) -> float:
        """Mean time of a prompt's tokens from one pool to the other for one layer [s]."""
        return self.system.wire.delay + tokens * self.row_bytes / 2 / self._sender

    def spared(self, batch: Any, context: float, traffic: Traffic) -> Any:
        """Nothing: a prompt is a micro-batch of its own."""
        return np.zeros(np.shape(batch))

    def uses(self, batch: float, context: float) -> tuple[Use, ...]:
        """Two pools, each busy with its half."""
        held, depth = max(batch, 1.0), self.depth(batch, context)
        share = np.array([max(held / depth, 1.0)])
        cycle = float(self._cycle(np.array([held]), context, depth)[0])
        halves = (
            ("attention", self.attention, self.attention.decode(share / self.attention.replicas, context)),
            ("ffn", self.ffn, self.tokens(share)),
        )
        found = []
        for name, half, passed in halves:
            busy = depth * float(passed.total[0]) / half.plan.layout.pp / cycle
            found.append(
                Use(name, half.deployment, half.resolved.layout, batch / half.replicas, min(busy, 1.0), min(busy, 1.0))
            )
        return tuple(found)

    def attributed(self, batch: float, context: float) -> Mapping[Resource, float]:
        """The way of one micro-batch, its crossings as network."""
        share = max(max(batch, 1.0) / self.depth(batch, context), 1.0)
        held, away = (half.decode_step(max(share / half.replicas, 1.0), context) for half in (self.attention, self.ffn))
        return self._attributed(held, away, self.one_way(share))

    def prompt_attributed(self, traffic: Traffic) -> Mapping[Resource, float]:
        """The way of one prompt, its crossings as network."""
        held = self.attention.prefill_step(1.0, traffic.isl, traffic.cached_tokens)
        away = self.ffn.decode_step(traffic.new_tokens, 2.0)
        return self._attributed(held, away, self._crossing(traffic.new_tokens))

    def _attributed(self, held: Step, away: Step, crossing: float) -> Mapping[Resource, float]:
        sums: dict[Resource, float] = dict.fromkeys(RESOURCES, 0.0)
        for half, step in ((self.attention, held), (self.ffn, away)):
            for times in step_terms(step, half.resolved.machine, half.resolved.rates).values():
                for name in RESOURCES:
                    sums[name] += float(times.attributed[name])  # type: ignore[arg-type]
        sums["network"] += float(2 * self.crossings * crossing)
        return sums

    def assumptions(self, batch: float, context: float) -> tuple[str, ...]:
        """Of both halves, and of what crosses."""
        held = self.attention.resolved.assumptions(Point("decode", max(batch, 1.0), context, 0))
        away = self.ffn.resolved.assumptions(Point("decode", max(batch, 1.0), 2.0, 0))
        notes = (
            f"micro-batches in flight: {self.depth(batch, context)}; {self.crossings * self.row_bytes:,.0f} bytes per "
            f"token cross the link in {2 * self.crossings} messages",
            f"replicas of attention : feed-forwards = {self.attention.replicas} : {self.ffn.replicas}",
        )
        return tuple(dict.fromkeys((*held, *away, *notes)))

    @property
    def taking(self) -> tuple[str, ...]:
        """Whole, in each half."""
        return ()

    def __str__(self) -> str:
        pools = [half.resolved for half in (self.attention, self.ffn)]
        where = [f"{pool.devices} × {pool.accelerator.name}, {pool.layout}" for pool in pools]
        return (
            f"{self.system.model.name}, attention on {where[0]}; feed-forwards on {where[1]}; link {self.system.wire}"
        )
