"""What laws of serving are checked on: a case's model on its part, as pools with room for every cache, under a traffic.

Room is no part of these laws: every memory is taken to be large, so that small parts are checked too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from roofline.describe.link import Link
from roofline.describe.workload import Traffic
from roofline.estimate.attention_ffn import AttentionFfn
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import PrefillDecode
from roofline.estimate.estimate import Estimate
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.service import Service
from roofline.estimate.serving import serve
from roofline.estimate.speculative import Speculative

LINK = Link(5e10, 2e-6)
"""An ordinary link between pools: 400 Gbit/s and 2 us."""
FREE = Link(1e20, 0.0)
"""A link that takes no time."""
ENDLESS = Link(1.0, 1e5)
"""A link on which nothing arrives within a day."""
PRICE, POWER = 3.6, 700.0
"""Of every device [USD/h] and [W]."""
DRAFTS, ACCEPTANCE = 3, 0.7
_ROOM = 1e15
"""Bytes of every memory [B]."""


@dataclass(frozen=True)
class Serving:
    """One replica of a case, `alone`, and a `traffic` that its point stands for."""

    alone: Deployment
    traffic: Traffic

    @classmethod
    def of(cls, resolved: Resolved, point: Point) -> Serving:
        """The point's context is the prompt and its batch the requests in flight; an answer takes an eighth of it."""
        part, layout = resolved.accelerator, resolved.layout
        room: dict[str, Any] = {f"memory.{name}.capacity": _ROOM for name in part.memory}
        ranks: dict[str, Any] = {name: getattr(layout, name) for name in ("tp", "pp", "dp", "ep")}
        alone = Deployment(
            resolved.model,
            part.with_(**room, **{f"memory.{name}.usable": None for name in part.memory}),
            layout.devices,
            quantization=resolved.quantization,
            efficiency=resolved.rates.sources[0],
            price=PRICE,
            power=POWER,
            skew=resolved.skew,
            overlap=resolved.overlap,
            slice=resolved.slice,
            **ranks,
        )
        isl, cached = float(point.context), float(point.cached)
        answer = float(2 + isl // 8)
        return cls(alone, Traffic(isl, answer, concurrency=float(point.batch), cached_share=cached / isl))

    @cached_property
    def systems(self) -> dict[str, Any]:
        """Every way of serving that the layout allows, each pool alike; feed-forwards leave where one stage has all."""
        alone = self.alone
        ways: dict[str, Any] = {"one pool": alone, "two pools": self.split(LINK)}
        if self.has_halves:
            ways["two halves"] = self.halves(LINK, 2)
        return {**ways, "drafts": self.drafted(ACCEPTANCE)}

    @cached_property
    def services(self) -> dict[str, Service]:
        """The traffic on each of them."""
        return {name: serve(system, self.traffic) for name, system in self.systems.items()}

    @cached_property
    def lone(self) -> Traffic:
        """The same requests, one at a time."""
        return replace(self.traffic, concurrency=1.0)

    @property
    def has_halves(self) -> bool:
        """Whether there are feed-forwards that may leave, all on one stage, and prompts and batches whole."""
        one_stage = self.alone.layout.pp == 1 and not self.alone.overlap and not isinstance(self.alone.slice, int)
        return one_stage and any(layer.feed_forward is not None for layer, _ in self.alone.model.groups())

    def split(self, link: Link) -> PrefillDecode:
        """Prefill and decode on a replica each."""
        return PrefillDecode(self.alone, self.alone, link)

    def halves(self, link: Link, micro_batches: int | None = None) -> AttentionFfn:
        """Mixers and feed-forwards on a replica each."""
        return AttentionFfn(self.alone, self.alone, link, micro_batches=micro_batches)

    def drafted(self, acceptance: float, link: Link | None = None, length: int = DRAFTS) -> Speculative:
        """The model drafting for itself: on the same devices, or over a link on others."""
        return Speculative(self.alone, self.alone, length, acceptance, shared=link is None, link=link)

    def larger(self, times: int) -> dict[str, Any]:
        """Every system on that many times the devices."""
        more = replace(self, alone=self.alone.resized(self.alone.devices * times))
        return more.systems

    def asked(self, point: Point) -> tuple[Any, dict[str, Any]]:
        """The phase of one replica that a point is of, and its arguments."""
        if point.phase == "decode":
            return self.alone.decode, {"batch": point.batch, "context": point.context}
        return self.alone.prefill, {"prompt": point.context, "batch": point.batch, "cached_tokens": point.cached}

    def prompt(self) -> Estimate:
        """One prompt of the traffic by itself."""
        return self.alone.prefill(self.traffic.isl, cached_tokens=self.traffic.cached_tokens)
