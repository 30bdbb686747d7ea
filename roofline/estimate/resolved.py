"""A deployment whose layout is settled, and a point at which it is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np

from roofline.describe.catalog import part_class, source_of
from roofline.describe.formats import Quantization
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.machine import Machine
from roofline.describe.model import ModelShape
from roofline.errors import InvalidInput
from roofline.estimate.capacity import Memory
from roofline.estimate.door import all_in_blocks, in_blocks, one_kind
from roofline.estimate.floors import Least, floor_seconds
from roofline.estimate.layout import Layout
from roofline.estimate.rates import Rates
from roofline.estimate.spill import sentence, spilled
from roofline.estimate.steps import Plan
from roofline.estimate.timing import Step, step_seconds
from roofline.estimate.work import Operation, Phase
from roofline.numeric import ARRAY, SCALAR, SYMBOL, Num, kind

Evaluator = Callable[[Step, Machine, Rates], Num]
SLICE_WORDS = ("whole", "fastest")
"""How a rank may take prompts but in slices of so many tokens."""
Slice = int | Literal["whole", "fastest"]
"""Tokens of prompts that a rank takes at a time; or whole prompts, or what passes the stages of a pipeline soonest."""


@dataclass(frozen=True)
class Point:
    """Where a phase is asked about: `batch` sequences per replica, `context` tokens each, of which `cached` are cached.

    In prefill `context` is the prompt; in decode the cache covers it, and `tokens` of them are new: one, or more where
    drafted ones are verified.
    """

    phase: Phase
    batch: Any
    context: Any
    cached: Any
    tokens: Any = 1

    @cached_property
    def kind(self) -> str:
        """Which evaluator the point belongs to."""
        return one_kind(batch=self.batch, context=self.context, cached=self.cached)

    @property
    def new(self) -> Any:
        """Tokens of each sequence that the phase computes."""
        return self.tokens if self.phase == "decode" else self.context - self.cached

    def largest(self) -> Point:
        """The point itself, or of arrays the corner with the largest batch and context."""
        if self.kind != ARRAY:
            return self
        corner = {"batch": self.batch, "context": self.context}
        corner = {name: float(np.max(value)) for name, value in corner.items()}
        return replace(self, **corner, cached=float(np.min(self.cached)))

    def corner(self) -> tuple[Any, ...]:
        """What tells this point from others where a layout is chosen."""
        corner = self.largest()
        return (self.phase, corner.batch, corner.context, corner.cached, self.tokens, self.kind)


@dataclass(frozen=True)
class Resolved:
    """Everything that an estimate needs, settled."""

    model: ModelShape
    accelerator: HbmAccelerator | SramAccelerator
    devices: int
    layout: Layout
    quantization: Quantization
    machine: Machine
    rates: Rates
    price: float | None
    power: float | None
    notes: tuple[str, ...]
    skew: float = 0.0
    """Squared coefficient of variation of how often experts are chosen; 0 where all are chosen alike [1]."""
    overlap: bool = False
    """Whether halves of a batch take turns: one is computed while rows of the other cross to experts and back."""
    slice: Slice = "whole"
    """How a rank takes prompts [token]."""

    @property
    def replicas(self) -> int:
        """Copies of the model on the devices."""
        return self.devices // self.layout.devices

    @cached_property
    def ideal(self) -> Resolved:
        """The same with nothing lost."""
        return replace(self, rates=self.rates.ideal)

    @cached_property
    def plan(self) -> Plan:
        """The model compiled for the layout."""
        return Plan.of(
            self.model,
            self.layout,
            self.quantization,
            self.machine,
            host=self.rates.hosted,
            fused=self.rates.fused,
            skew=self.skew,
            overlap=self.overlap,
        )

    @cached_property
    def memory(self) -> Memory:
        """The model's needs against the part's memory."""
        return Memory.of(self.model, self.accelerator, self.layout, self.quantization)

    def step(self, point: Point) -> Step:
        """What the phase does at a point."""
        return self._sliced(point, self.slice_at(point) if point.phase == "prefill" else None)

    def _sliced(self, point: Point, slice: Num | None) -> Step:
        if point.phase == "decode":
            step = self.plan.decode(batch=point.batch, context=point.context, new=point.tokens)
        else:
            step = self.plan.prefill(batch=point.batch, prompt=point.context, cached=point.cached, slice=slice)
        return spilled(step, self.memory.far_shares(point.batch, point.context)) if self.memory.further else step

    def slice_at(self, point: Point) -> Num | None:
        """Tokens of the slices in which a rank takes a point's prompts; None for whole ones [token].

        The fastest is looked for among powers of two, of which the largest takes all prompts at once, at every place of
        an array; at other rates, as the ideal ones, another may be it. `InvalidInput` where numbers are symbols: none
        is the fastest for all of them.
        """
        if self.slice != "fastest":
            return None if self.slice == "whole" else self.slice
        if self.layout.pp == 1:
            return None
        _refuse_symbols(point.batch, point.context, point.cached)
        if point.kind == ARRAY:
            return self._fastest_slice(point)
        found = self._slices.get(point)
        if found is None:  # all that is asked of an estimate is of one point
            found = float(self._fastest_slice(point))  # type: ignore[arg-type]
            self._slices.clear()
            self._slices[point] = found
        return found

    @cached_property
    def _slices(self) -> dict[Point, float]:
        """The fastest slice at the point that was asked about last."""
        return {}

    def _fastest_slice(self, point: Point) -> Num:
        rows = float(self.plan.prompts_at_once(np.max(point.batch)) * np.max(point.new))
        tokens = 2.0 ** np.arange(math.ceil(math.log2(rows)), -1, -1)
        at = {"batch": point.batch, "context": point.context, "cached": point.cached}

        def taken(slice: Any, **block: Any) -> Num:
            return step_seconds(self._sliced(Point(point.phase, **block), slice), self.machine, self.rates)

        _refuse_symbols(taken(tokens[0], **at))  # those of the part, which may not meet arrays
        dimensions = max(np.ndim(value) for value in at.values())
        seconds = in_blocks(taken, float, slice=tokens.reshape(-1, *[1] * dimensions), **at)
        return cast("Num", tokens[np.argmin(seconds, axis=0)])

    def sliced_as_at(self, point: Point) -> Resolved:
        """The same with the slices that one point's prompts are taken in, everywhere."""
        tokens = self.slice_at(point) if point.phase == "prefill" else None
        return replace(self, slice="whole" if tokens is None else int(tokens))  # type: ignore[call-overload]

    def evaluate(self, point: Point, evaluator: Evaluator) -> Any:
        """A number of the step at a point; arrays are evaluated in blocks."""
        (number,) = self.evaluate_all(point, 1, lambda *arguments: (evaluator(*arguments),))
        return number

    def evaluate_all(
        self, point: Point, count: int, evaluator: Callable[[Step, Machine, Rates], Sequence[Num]]
    ) -> Sequence[Any]:
        """As `evaluate`, so many numbers of one pass over the step."""
        return self._evaluated(point, count, lambda part: evaluator(self.step(part), self.machine, self.rates))

    def floor(self, point: Point) -> Any:
        """Seconds that no implementation of the layout can beat at a point [s]."""
        (seconds,) = self._evaluated(
            point, 1, lambda part: (floor_seconds(self.least(part), self.machine, self.rates),)
        )
        return seconds

    def least(self, point: Point) -> Least:
        """What no implementation can leave out at a point."""
        return self.plan.least(point.phase, batch=point.batch, context=point.context, new=point.new)

    def _evaluated(self, point: Point, count: int, numbers: Callable[[Point], Sequence[Num]]) -> Sequence[Any]:
        if point.kind != ARRAY:
            return numbers(point)

        def block(batch: Any, context: Any, cached: Any) -> Sequence[Num]:
            return numbers(Point(point.phase, batch, context, cached, point.tokens))

        at = {"batch": point.batch, "context": point.context, "cached": point.cached}
        return all_in_blocks(block, (float,) * count, **at)

    def fits(self, point: Point) -> Any:
        """Whether weights and caches fit at a point; None for symbols."""
        if point.kind == SYMBOL:
            return None
        if point.kind == SCALAR:
            return bool(self.memory.fits(point.batch, point.context))

        def block(batch: Any, context: Any, cached: Any) -> Any:
            return self.memory.fits(batch, context)

        return in_blocks(block, bool, batch=point.batch, context=point.context, cached=point.cached)

    def model_flops(self, point: Point) -> Any:
        """FLOP that the model itself takes for the batch, whatever the layout repeats [FLOP]."""
        return self._alone.evaluate(point, lambda step, _machine, _rates: _operations(step, "flops"))

    def model_traffic(self, point: Point) -> Any:
        """Bytes of the weights touched and of all caches, each read once for the batch [B]."""
        return self._alone.evaluate(
            point, lambda step, _machine, _rates: _operations(step, "weights") + _operations(step, "cache")
        )

    @cached_property
    def _alone(self) -> Resolved:
        return replace(self, layout=Layout(), slice="whole")

    def assumptions(self, point: Point) -> tuple[str, ...]:
        """What had to be assumed, one sentence each."""
        found = [*self.model.assumptions, *self.notes, *self.rates.assumptions()]
        longest = self.model.max_context
        if longest and point.kind != SYMBOL and np.any(np.asarray(point.context) > longest):
            found.append(f"context beyond the {longest:,} tokens that {self.model.name} declares")
        if self.layout.vocab > 1:
            cut = f"embedding and head are cut over {self.layout.vocab} stages each"
            found.append(f"{cut}, which leaves more room for caches")
        if self.memory.further and point.kind == SCALAR:
            names = [tier.name for tier in self.machine.tiers[1:]]
            found.append(sentence(names, self.memory.far_shares(point.batch, point.context)))
        reserve = part_class(self.accelerator.kind).reserve
        if reserve:
            found.append(f"{reserve.value:.0%} of usable memory is left to the runtime ({reserve.source})")
        if self.accelerator.kind == "sram" and self.machine.feed is None:
            found.append(
                f"{self.accelerator.name}: no operand feed rate is published; the SRAM's bandwidth is the roof"
            )
        if self.model.parameters().experts:
            found.append(_EVENLY if not self.skew else _UNEVENLY.format(skew=self.skew))
            if self.layout.ep > 1:
                found.append(_BUSIEST if not self.skew else _FULLEST)
        found.extend((*self.taking(point), *self._turns()) if point.phase == "prefill" else self._turns())
        return tuple(dict.fromkeys(found))

    def configured(self) -> tuple[str, ...]:
        """What engines that take prompts were told to do, one sentence each."""
        return (*self.taking(), *self._turns())

    def _turns(self) -> tuple[str, ...]:
        """Whether halves of a batch take turns, where they were told to, in a sentence."""
        return ((_TURNS if self.plan.overlap else _NO_TURNS),) if self.overlap else ()

    def taking(self, point: Point | None = None) -> tuple[str, ...]:
        """How prompts are taken, where slices or stages make it worth saying, in a sentence."""
        if isinstance(self.slice, int):
            return (_SLICES.format(slice=self.slice),)
        if self.layout.pp == 1:
            return ()
        if self.slice == "whole":
            return (_WHOLE,)
        if point is None or point.kind != SCALAR:
            return (_FASTEST,)
        tokens, rows = float(self.slice_at(point)), self.plan.prompts_at_once(point.batch) * point.new  # type: ignore[arg-type]
        return (_CHOSEN.format(slice=tokens) if tokens < rows else _NOT_CUT,)

    def sources(self) -> tuple[str, ...]:
        """Titles of the documents behind the part's numbers and the fitted figures."""
        cited = [self.accelerator.cite(field) for field in self.accelerator.cited_fields() if "facts." not in field]
        titles = []
        for number in cited:
            source = source_of(number)
            titles.append(f"{source.title} ({source.date})" if source else number.source)
        titles.extend(source.source for source in self.rates.sources)
        if self.model.source:
            titles.append(self.model.source)
        return tuple(dict.fromkeys(titles))


_EVENLY = "tokens are routed to experts evenly and independently"
_UNEVENLY = "tokens are routed to experts independently, and to some more often than to others (skew {skew:g})"
_BUSIEST = "ranks wait for the one of whose experts the most are touched"
_FULLEST = "ranks wait for the one of whose experts the most are touched, and for the one with the most rows"
_WHOLE = "prompts pass the stages of the pipeline whole; slice= cuts them"
_FASTEST = "prompts pass the stages of the pipeline in the slices that are fastest; slice= says how many tokens"
_CHOSEN = "prompts pass the stages of the pipeline in slices of {slice:,g} tokens: the fastest"
_NOT_CUT = "prompts pass the stages of the pipeline whole, which is the fastest"
_SLICES = "a rank takes prompts in slices of {slice:,g} tokens"
_TURNS = "halves of a batch take turns where that is faster: one is computed while rows of the other cross to experts"
_NO_TURNS = "overlap has no effect: no rows cross to experts of other ranks, or stages of a pipeline take turns already"


def _refuse_symbols(*values: Any) -> None:
    if not {kind(value) for value in values} <= {SCALAR, ARRAY}:
        expected = "a number of tokens, or whole: which are fastest depends on what is left open"
        raise InvalidInput("slice", given="the fastest", expected=expected)


def _operations(step: Step, field: str) -> Num:
    total: Num = 0
    for item, count in zip(step.items, step.path, strict=True):
        if isinstance(item, Operation):
            total = total + getattr(item, field) * count
    return total
