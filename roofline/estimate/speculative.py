"""Speculation: a draft on the same or on other silicon, verified by the target in one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from roofline.describe.link import Link
from roofline.describe.model import ModelShape
from roofline.describe.workload import Traffic
from roofline.equations.serving import mean_decode_context
from roofline.equations.speculation import accepted_tokens, speculative_interval
from roofline.errors import DoesNotFit, InvalidInput
from roofline.estimate.deployment import Deployment
from roofline.estimate.door import checked
from roofline.estimate.layout import Layout
from roofline.estimate.passes import PASS_TOKENS
from roofline.estimate.pools import deployed, linked
from roofline.estimate.servers import Prompt, Use, Whole
from roofline.estimate.times import RESOURCES, Resource

_LONGEST = 64
"""Drafted tokens beyond which no step can be meant."""


@dataclass(frozen=True)
class Speculative:
    """A `target` that verifies `length` tokens of a `draft` per step, each accepted with probability `acceptance`.

    `shared`: both run in turn on the target's devices, and both must fit there. Otherwise the draft has devices of its
    own, idle while the target verifies; `link` between them carries one message each way per step (None: in no time).
    Raises `InvalidInput`.
    """

    target: Deployment
    draft: Deployment
    length: int
    acceptance: float
    shared: bool = False
    link: Link | str | None = None

    def __post_init__(self) -> None:
        deployed("target", self.target)
        deployed("draft", self.draft)
        length = checked("length", self.length, most=_LONGEST)
        if length != int(length):
            raise InvalidInput("length", given=self.length, expected="a whole number of tokens")
        object.__setattr__(self, "length", int(length))
        object.__setattr__(self, "acceptance", checked("acceptance", self.acceptance, least=0, most=1))
        if self.draft.model.vocab != self.target.model.vocab:
            expected = f"the {self.target.model.vocab:,} tokens of the target's vocabulary"
            raise InvalidInput("vocabulary of the draft", given=self.draft.model.vocab, expected=expected)
        if self.shared:
            self._check_shared()
        elif self.link is not None:
            object.__setattr__(self, "link", linked(self.link, self.target))

    def _check_shared(self) -> None:
        if self.link is not None:
            raise InvalidInput("link", given=str(self.link), expected="None: draft and target share their devices")
        target, draft = self.target, self.draft
        if len(target.accelerator.memory) > 1:
            raise InvalidInput("target", given="spill", expected="a memory that holds both: they share the nearest one")
        if (draft.accelerator, draft.devices) != (target.accelerator, target.devices):
            expected = f"the target's {target.devices} × {target.accelerator.name}"
            given = f"{draft.devices} × {draft.accelerator.name}"
            raise InvalidInput("devices of a shared draft", given=given, expected=expected)

    @classmethod
    def mtp(cls, target: Deployment, acceptance: float, length: int = 1) -> Speculative:
        """Multi-token prediction: the draft is one more layer of the target's last kind, on the target's devices.

        Embedding and head are counted again with it, as it runs them again.
        """
        deployed("target", target)
        known = {name: getattr(target.model, name) for name in ModelShape.model_fields}
        name = f"{target.model.name}, one layer"
        layer = ModelShape(**{**known, "name": name, "layers": target.model.layers[-1:]})
        layout = target.layout
        draft = target.with_layout(Layout(layout.tp, 1, layout.dp, layout.ep)).of_model(layer)
        return cls(target, draft, length, acceptance, shared=True)

    @property
    def model(self) -> ModelShape:
        """The model whose tokens come out."""
        return self.target.model

    @property
    def tokens_per_step(self) -> float:
        """Tokens that a verification is expected to yield [1]."""
        return float(accepted_tokens(self.acceptance, self.length))  # type: ignore[arg-type]

    def scaled(self, times: int) -> Speculative:
        """The same on that many times the devices."""
        target, draft = (pool.resized(pool.devices * times) for pool in (self.target, self.draft))
        return Speculative(target, draft, self.length, self.acceptance, self.shared, self.link)


@dataclass(frozen=True)
class SpeculativeServer:
    """Draft and target with their layouts settled; a replica is one of the target's."""

    system: Speculative
    target: Whole
    draft: Whole

    @classmethod
    def of(cls, system: Speculative, traffic: Traffic) -> SpeculativeServer:
        """Layouts as each would have alone."""
        target = Whole.of(system.target, traffic, "target")
        # On shared devices one host drives both within one step, and its costs are the target's.
        draft = system.draft.without_host() if system.shared else system.draft
        return cls(system, target, Whole.of(draft, traffic, "draft"))

    @property
    def replicas(self) -> int:
        """Copies of the target."""
        return self.target.replicas

    @property
    def holder(self) -> Deployment:
        """The target's devices."""
        return self.target.deployment

    @property
    def tokens_per_step(self) -> float:
        """As the system's."""
        return self.system.tokens_per_step

    @property
    def steps_before(self) -> float:
        """The target's."""
        return self.target.steps_before

    @property
    def aligned(self) -> float:
        """The target's."""
        return self.target.aligned

    @property
    def spread(self) -> float:
        """Replicas of the target for each one of the draft [1]."""
        return self.target.replicas / self.draft.replicas

    def largest_batch(self, traffic: Traffic) -> float:
        """What fits of both: side by side on shared devices, else the fewer sequences of the two."""
        alone = self.target.largest_batch(traffic)
        drafted = self.draft.largest_batch(traffic) / self.spread
        return self._side_by_side(traffic) if self.system.shared else float(np.floor(min(alone, max(drafted, 1.0))))

    def _side_by_side(self, traffic: Traffic) -> float:
        context = float(mean_decode_context(traffic.isl, traffic.osl))  # type: ignore[arg-type]
        target, draft = self.target.settled, self.draft.settled
        ranks = self.spread / draft.layout.dp
        rooms: list[tuple[float, float]] = []
        for first in target.memory.rooms:
            for second in draft.memory.rooms:
                free = target.memory.room - first.weights - second.weights
                each: Any = target.memory.sequence_bytes(first, context) / target.layout.dp
                each = each + draft.memory.sequence_bytes(second, context) * ranks
                rooms.append((free, float(each)))
        batch = min(float(np.floor(free / max(each, 1e-9))) for free, each in rooms)
        if batch < 1:
            missing = max(each - free for free, each in rooms)
            what = f"{target.model.name} and its draft {draft.model.name}"
            raise DoesNotFit(
                f"{what} do not fit on the same {target.devices} × {target.accelerator.name} ({target.layout}): "
                f"{missing:,.0f} bytes short on the fullest device",
                shortfall_bytes=missing * target.layout.devices,
                min_devices=None,
            )
        return batch

    def _parts(self, batch: Any, context: float) -> tuple[Any, Any, float]:
        """Seconds of a verification, of a step of the draft, and of the messages between them."""
        one = max(context, self.system.length + 1.0)
        verify = self.target.step(batch, one, self.system.length + 1)
        draft = self.draft.step(np.maximum(batch * self.spread, 1.0), context)
        link = self.system.link
        return verify, draft, 0.0 if link is None else 2 * Link.of(link).delay

    def step(self, batch: Any, context: float) -> Any:
        """Per token of a sequence: drafts and one verification, over the tokens that it yields."""
        verify, draft, exchange = self._parts(batch, context)
        return speculative_interval(verify, draft, exchange, self.system.acceptance, self.system.length)

    def prompt(self, traffic: Traffic, tokens: float = PASS_TOKENS) -> Prompt:
        """The draft needs the prompt's cache too: in turn on shared devices, else beside the target."""
        target, draft = self.target.prompt(traffic, tokens), self.draft.prompt(traffic, tokens)
        drafting = draft.passes.stretched(self.spread)
        if not self.system.shared:
            slower = max((target.passes, drafting), key=lambda passes: passes.one)
            return Prompt(max(target.computed, draft.computed), slower, max(target.request, draft.request))
        return Prompt(target.computed + draft.computed, target.passes.then(drafting), target.request + draft.request)

    def spared(self, batch: Any, context: float, traffic: Traffic) -> Any:
        """What the target spares in a verification."""
        return self.target.spared(batch, max(context, self.system.length + 1.0), traffic, self.system.length + 1)

    def uses(self, batch: float, context: float) -> tuple[Use, ...]:
        """One pool where devices are shared, else the draft's beside the target's."""
        held = max(batch, 1.0)
        if self.system.shared:
            return (Use("devices", self.target.deployment, self.target.settled.layout, batch, 1.0, 1.0),)
        verify, draft, exchange = self._parts(np.array([held]), context)
        cycle = float(verify[0] + self.system.length * draft[0] + exchange)
        pools = (
            (self.target, batch, float(verify[0]) / cycle),
            (self.draft, batch * self.spread, self.system.length * float(draft[0]) / cycle),
        )
        return tuple(
            Use(server.name, server.deployment, server.settled.layout, in_flight, busy, 1.0)
            for server, in_flight, busy in pools
        )

    def attributed(self, batch: float, context: float) -> Mapping[Resource, float]:
        """Verification and drafts, and the messages as network."""
        held = max(batch, 1.0)
        one = max(context, self.system.length + 1.0)
        target = self.target.decode(held, one, self.system.length + 1).attributed
        draft = self.draft.attributed(max(held * self.spread, 1.0), context)
        exchange = self._parts(np.array([held]), context)[2]
        sums = {name: target[name] + self.system.length * draft[name] for name in RESOURCES}
        return {**sums, "network": sums["network"] + exchange}

    def prompt_attributed(self, traffic: Traffic) -> Mapping[Resource, float]:
        """Of both models on shared devices, else of the one that takes longer."""
        target, draft = (server.prompt_attributed(traffic) for server in (self.target, self.draft))
        if self.system.shared:
            return {name: target[name] + draft[name] for name in RESOURCES}
        return max(target, draft, key=lambda seconds: sum(seconds.values()))

    def assumptions(self, batch: float, context: float) -> tuple[str, ...]:
        """Of both models, and of the drafts."""
        system = self.system
        notes = [
            f"each of {system.length} drafted tokens is accepted with probability {system.acceptance:g}, "
            f"independently: {system.tokens_per_step:.3g} tokens per step"
        ]
        if not system.shared and system.link is None:
            notes.append("no link between draft and target was given: their messages take no time")
        both = (*self.target.assumptions(batch, context), *self.draft.assumptions(batch * self.spread, context))
        return tuple(dict.fromkeys((*both, *notes)))

    @property
    def taking(self) -> tuple[str, ...]:
        """As both models take them."""
        return tuple(dict.fromkeys((*self.target.taking, *self.draft.taking)))

    def __str__(self) -> str:
        where = "on the same devices" if self.system.shared else f"({self.draft})"
        return f"{self.target}, {self.system.length} tokens drafted by {self.draft.deployment.model.name} {where}"
