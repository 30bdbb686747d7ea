"""A model on devices: the layout given or chosen, and the phases estimated on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from roofline.describe.catalog import accelerator as described_part
from roofline.describe.efficiency import Efficiency
from roofline.describe.formats import Quantization
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.model import ModelShape
from roofline.describe.model_catalog import load_model
from roofline.describe.runtimes import Runtime
from roofline.describe.runtimes import runtime as serving_stack
from roofline.errors import InvalidInput, LayoutError
from roofline.estimate.capacity import Capacity, Held, model_bytes, sequence_bytes
from roofline.estimate.choice import Choice
from roofline.estimate.door import checked, one_kind
from roofline.estimate.estimate import Estimate
from roofline.estimate.layout import Layout
from roofline.estimate.quantize import runnable
from roofline.estimate.rates import Rates
from roofline.estimate.resolved import SLICE_WORDS, Point, Resolved, Slice
from roofline.estimate.timing import step_seconds
from roofline.numeric import SCALAR, SYMBOL
from roofline.units import counted_in

CHOSEN = "layout {layout} chosen: the fastest that fits"
MOST_DEVICES = 10**7
"""The most devices, or ranks, or tokens of a slice, that are taken for meant [1]."""
TYPICAL_CONTEXT = 4096
"""Context at which a layout is chosen where none is asked about [token]."""


class Deployment:
    """A model on `devices` devices of one part; what is not given of the layout is chosen at the point asked about.

    `tp`, `pp`, `dp`, `ep` are tensor, pipeline, attention-data and expert parallel ranks of one replica; devices left
    over make further replicas, and devices that cannot make one stay idle. `quantization` is a preset's name or a
    `Quantization` (None: the checkpoint's own). `spill` names the furthest memory tier that may hold weights and caches
    where the nearest is full (None: the nearest holds everything). `efficiency` is `"calibrated"`, `"ideal"`, a path to
    a calibration file or an `Efficiency`. `runtime` names a serving stack, whose measured host costs are added and
    whose kernels are launched where it has its own, but under `"ideal"`. `skew` is the squared coefficient of variation
    of how often experts are chosen [1] (None: as measured under the serving stack, and without one 0, all alike). With
    `overlap`, halves of a batch take turns, where that is faster: one is computed while rows of the other cross to
    experts of other ranks and back (two-batch overlap). A rank takes prompts in slices of `slice` tokens, which follow
    each other through a pipeline, or `"whole"`, or in whatever slices are `"fastest"` (None: as the serving stack does,
    and without one the fastest). `price` [USD per device-hour] and `power` [W per device] replace the spec's own:
    numbers, or text with a unit such as `"2.5 USD/h"` and `"700 W"`.

    Raises `LayoutError`, `UnsupportedFormat`, `UnknownName` or `InvalidInput` for what cannot be.
    """

    def __init__(
        self,
        model: ModelShape | str | Path | dict[str, Any],
        accelerator: HbmAccelerator | SramAccelerator | str | Path,
        devices: int = 1,
        *,
        tp: int | None = None,
        pp: int | None = None,
        dp: int | None = None,
        ep: int | None = None,
        quantization: Quantization | str | None = None,
        spill: str | None = None,
        efficiency: str | Path | Efficiency = "calibrated",
        runtime: str | Runtime | None = None,
        skew: float | None = None,
        overlap: bool = False,
        slice: Slice | None = None,
        price: float | str | None = None,
        power: float | str | None = None,
    ) -> None:
        self.model = model if isinstance(model, ModelShape) else load_model(model)
        self.accelerator = described_part(accelerator).within(spill)
        self.devices = _count("devices", devices)
        self._given = {
            name: None if ranks is None else _count(name, ranks)
            for name, ranks in (("tp", tp), ("pp", pp), ("dp", dp), ("ep", ep))
        }
        chosen = self.model.checkpoint if quantization is None else Quantization.of(quantization)
        formats = runnable(chosen, self.accelerator)
        self.quantization, self._format_notes = formats.quantization, formats.notes
        self.runtime = None if runtime is None else serving_stack(runtime)
        if self.runtime is not None and self.runtime.stages and tp is None:
            self._given["tp"] = 1
            if self.devices > 1:
                self._format_notes = (*self._format_notes, f"{self.runtime.name} deals out layers: no tensor ranks")
        self.rates = self._rated(efficiency, formats.peaks)
        given, measured = _amount("skew", skew), 0.0 if self.runtime is None else self.runtime.skew
        self.skew = measured if given is None else given
        self.overlap = _flag("overlap", overlap)
        self.slice = _own_slice(self.runtime) if slice is None else _slice(slice)
        own_price, own_power = self.accelerator.price, self.accelerator.power
        self.price = own_price.value * 3600 if price is None and own_price else _amount("price", price, "USD/h")
        self.power = own_power.value if power is None and own_power else _amount("power", power, "W")
        self._machine = self.accelerator.numbers()
        self._settled: dict[Layout, Resolved] = {}
        self._fastest: dict[tuple[float, ...], list[list[Layout]]] = {}
        self._choice = self._choose_among(self._given)

    def decode(self, batch: Any = 1, context: Any = TYPICAL_CONTEXT) -> Estimate:
        """One decode step of `batch` sequences per replica, whose caches cover `context` tokens [1].

        Both may be means, as of a service, and need not be whole. Floats, arrays that broadcast, or symbols. Scalars
        that do not fit raise `DoesNotFit`; on arrays such points are nan.
        """
        return self._estimate(_decoding(batch, context))

    def verify(self, batch: Any, context: Any, tokens: int) -> Estimate:
        """A decode step on `tokens` new tokens of each sequence, as where drafted ones are verified [1].

        Linear layers see all of them, but each cache is read once.
        """
        most = float(np.min(checked("context", context)))
        new = int(checked("tokens", tokens, most=most))
        return self._estimate(Point("decode", checked("batch", batch), checked("context", context), 0, new))

    def prefill(self, prompt: Any, batch: Any = 1, cached_tokens: Any = 0) -> Estimate:
        """The prompts of `batch` sequences per replica: `prompt` tokens each, `cached_tokens` of them cached [1]."""
        prompt, cached = checked("prompt", prompt), checked("cached_tokens", cached_tokens, least=0)
        if one_kind(prompt=prompt, cached_tokens=cached) != SYMBOL and np.any(cached >= prompt):
            raise InvalidInput("cached_tokens", given=cached_tokens, expected="fewer than the prompt's tokens")
        return self._estimate(Point("prefill", checked("batch", batch), prompt, cached))

    def capacity(self, context: Any = TYPICAL_CONTEXT, batch: Any = 1) -> Capacity:
        """What fits at a context, and what is missing for `batch` sequences per replica [1]."""
        point = _decoding(batch, context)
        if point.kind == SYMBOL:
            raise InvalidInput("context", given=context, expected="numbers or arrays: capacity is counted, not solved")
        layout = self._choice.at(point, must_fit=False)
        memory = self._resolved(layout).memory
        missing, placed = (of(point.batch, point.context) for of in (memory.shortfall, memory.placed))
        scalar = point.kind == SCALAR
        return Capacity(
            fits=bool(missing == 0) if scalar else missing == 0,
            weights_bytes=model_bytes(self.model, self.quantization),
            kv_bytes_per_sequence=sequence_bytes(self.model, self.quantization, point.context),
            usable_bytes=memory.room * layout.devices,
            max_batch=memory.largest_batch(point.context),
            shortfall_bytes=missing,
            min_devices=self._choice.placement(point).smallest_count() if scalar else None,
            device_weights_bytes=max(room.weights for room in memory.rooms),
            device_usable_bytes=memory.room,
            layout=layout,
            tiers=tuple(
                Held(tier.name, usable * layout.devices, weights, caches)
                for tier, usable, (weights, caches) in zip(
                    self._machine.tiers, (memory.usable, *memory.further), placed, strict=True
                )
            ),
        )

    @property
    def layout(self) -> Layout:
        """The ranks of one replica: as given, else chosen for batch 1 at a context of 4,096 tokens."""
        return self._choice.at(Point("decode", 1.0, float(TYPICAL_CONTEXT), 0), must_fit=False)

    @property
    def is_laid_out(self) -> bool:
        """Whether the ranks given leave nothing open: one layout serves every point."""
        return self._choice.settled

    @property
    def replicas(self) -> int:
        """Copies of the model on the devices."""
        return self.devices // self.layout.devices

    @property
    def idle_devices(self) -> int:
        """Devices that cannot make a further replica."""
        return self.devices - self.replicas * self.layout.devices

    def laid_out(self, batch: float = 1, context: float = TYPICAL_CONTEXT) -> Deployment:
        """This deployment with the layout fixed to the one chosen for decode at a point.

        A real server keeps one layout for both phases; an open layout is chosen anew at every point.
        """
        layout = self._choice.at(_decoding(batch, context))
        return self.with_layout(layout)

    def fastest_layouts(self, batches: Sequence[float], context: float, count: int) -> list[list[Layout]]:
        """For each batch so many of the layouts that hold it at `context` tokens on a replica, the fastest first."""
        key = (*batches, context, count)
        if key not in self._fastest:
            least = [float(checked("batch", batch)) for batch in batches]
            self._fastest[key] = self._choice.fastest(least, float(checked("context", context)), count)
        return self._fastest[key]

    def longest_pipeline(self, batch: float, context: float) -> Layout | None:
        """The layout with the most stages, if it holds `batch` sequences of `context` tokens on a replica."""
        return self._choice.longest_pipeline(_decoding(batch, context))

    def as_wide(self, width: Layout, batch: float, context: float) -> list[Layout]:
        """Layouts of one width and several lengths that hold `batch` sequences of `context` tokens on a replica."""
        return self._choice.as_wide(width, _decoding(batch, context))

    def with_layout(self, layout: Layout) -> Deployment:
        """This deployment with the ranks of one layout."""
        return self._changed(_given={"tp": layout.tp, "pp": layout.pp, "dp": layout.dp, "ep": layout.ep})

    def with_slice(self, slice: Slice) -> Deployment:
        """This deployment with prompts taken in slices of so many tokens, whole, or as is fastest."""
        return self._changed(slice=_slice(slice))

    def with_efficiency(self, efficiency: str | Path | Efficiency) -> Deployment:
        """This deployment with other fitted figures."""
        return self._changed(rates=self._rated(efficiency, self.rates.peaks))

    def _rated(self, efficiency: str | Path | Efficiency, peaks: Mapping[str, str]) -> Rates:
        """Rates by some figures, under the serving stack unless nothing is lost."""
        return Rates.of(self.accelerator, efficiency, peaks).under(None if efficiency == "ideal" else self.runtime)

    def resized(self, devices: int) -> Deployment:
        """This deployment on another number of devices; `LayoutError` where its ranks do not go on them."""
        return self._changed(devices=_count("devices", devices))

    def of_model(self, model: ModelShape) -> Deployment:
        """Another model, or a part of this one, laid on the same devices in the same formats."""
        given = self._given if model.parameters().experts else {**self._given, "ep": None}
        return self._changed(model=model, _given=given)

    def assuming(self, note: str) -> Deployment:
        """This deployment with one more sentence among what its estimates assume; without one, as it is."""
        return self._changed(_format_notes=(*self._format_notes, note)) if note else self

    def decoding_alone(self) -> Deployment:
        """This deployment as a pool that only decodes: its serving stack has no prompts to schedule between steps."""
        return self._running(Runtime.decoding_alone)

    def without_host(self) -> Deployment:
        """This deployment with the kernels of its serving stack, if any, and without the costs of its host."""
        return self._running(Runtime.without_host)

    def _running(self, change: Callable[[Runtime], Runtime]) -> Deployment:
        """This deployment with its serving stack changed; as it is where no costs of one are counted."""
        if self.rates.runtime is None:
            return self
        stack = change(self.rates.runtime)
        return self._changed(runtime=stack, rates=self.rates.under(stack))

    def varied(self, accelerator: HbmAccelerator | SramAccelerator | None = None, **ranks: int) -> Deployment:
        """This deployment with some of its ranks given anew, or on its own part with some numbers changed."""
        changes: dict[str, Any] = {"_given": {**self._given, **{name: _count(name, ranks[name]) for name in ranks}}}
        if accelerator is not None:
            rates = replace(self.rates, accelerator=accelerator)
            changes.update(accelerator=accelerator, _machine=accelerator.numbers(), rates=rates)
            if accelerator.price != self.accelerator.price and accelerator.price:
                changes["price"] = accelerator.price.value * 3600
            if accelerator.power != self.accelerator.power and accelerator.power:
                changes["power"] = accelerator.power.value
        return self._changed(**changes)

    def layouts(self, batch: float = 1, context: float = TYPICAL_CONTEXT) -> tuple[Layout, ...]:
        """Layouts that agree with the ranks given and hold a decode point: every width, pipelines of some lengths."""
        return tuple(self._choice.every(_decoding(batch, context)))

    def layout_at(self, point: Point) -> Layout:
        """The layout taken at a point; where none fits, the one that misses least."""
        return self._choice.at(point, must_fit=False)

    def _changed(self, **changes: Any) -> Deployment:
        changed = object.__new__(Deployment)
        changed.__dict__.update(self.__dict__, **changes)
        changed._settled, changed._fastest = {}, {}
        changed._choice = changed._choose_among(changed._given)
        return changed

    def __repr__(self) -> str:
        slice = None if self.slice == _own_slice(self.runtime) else self.slice
        said = {**self._given, "overlap": self.overlap or None, "slice": slice}
        given = "".join(f", {name}={value}" for name, value in said.items() if value is not None)
        return (
            f"Deployment({self.model.name}, {self.accelerator.name}, {self.devices}{given}, {self.quantization.label})"
        )

    def settled(self) -> Resolved:
        """All that estimates rest on where one layout serves every point, symbols included; else `LayoutError`.

        A pipeline cuts the vocabulary as far as batch 1 at a context of 4,096 tokens needs.
        """
        if not self._choice.settled:
            expected = "tp, pp, dp and ep, or .laid_out(batch, context): which layout is fastest depends on the point"
            raise LayoutError("layout", given="open ranks", expected=expected)
        return self._resolved(self.layout)

    def _estimate(self, point: Point) -> Estimate:
        if one_kind(batch=point.batch, context=point.context, cached=point.cached) == SYMBOL:
            return Estimate(self.settled(), point)
        return Estimate(self._resolved(self._choice.at(point)), point)

    def _resolved(self, layout: Layout) -> Resolved:
        if layout not in self._settled:
            notes = (*self._format_notes, *self._nothing_lost())
            if not self._choice.settled:
                notes = (*notes, CHOSEN.format(layout=layout))
            self._settled[layout] = Resolved(
                self.model,
                self.accelerator,
                self.devices,
                layout,
                self.quantization,
                self._machine,
                self.rates,
                self.price,
                self.power,
                notes,
                self.skew,
                self.overlap,
                self.slice,
            )
        return self._settled[layout]

    def _nothing_lost(self) -> tuple[str, ...]:
        """What is not counted where the efficiency is ideal, in a sentence."""
        if not self.rates.nothing_lost:
            return ()
        stack = "" if self.runtime is None else f", and no cost of {self.runtime.name}'s host and kernels is counted"
        return (f"efficiency is ideal: times are at peak rates, none is fitted{stack}",)

    def _choose_among(self, given: dict[str, int | None]) -> Choice:
        arguments = (self.model, self.accelerator, self.quantization, self.devices, given)
        return Choice(*arguments, lambda layout, point: self._resolved(layout).evaluate(point, step_seconds))


def _decoding(batch: Any, context: Any) -> Point:
    return Point("decode", checked("batch", batch), checked("context", context), 0)


def _count(what: str, value: Any, or_words: str = "") -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not 1 <= value <= MOST_DEVICES:
        raise InvalidInput(what, given=value, expected=f"a whole number from 1 to {MOST_DEVICES:,}{or_words}")
    return int(value)


def _slice(value: Any) -> Slice:
    if isinstance(value, str) and value in SLICE_WORDS:
        return value  # type: ignore[return-value]
    return _count("slice", value, or_words=", whole or fastest")


def _own_slice(stack: Runtime | None) -> Slice:
    """How a serving stack takes prompts; without one, what is the fastest."""
    return "fastest" if stack is None else stack.slice or "whole"


def _flag(what: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(what, given=value, expected="True or False")
    return value


def _amount(what: str, value: Any, unit: str | None = None) -> float | None:
    if value is None:
        return None
    amount = checked(what, counted_in(value, unit, what) if unit else value, least=0, most=1e12)
    if not isinstance(amount, float):
        raise InvalidInput(what, given=value, expected="a number from 0 to 1e+12")
    return amount
