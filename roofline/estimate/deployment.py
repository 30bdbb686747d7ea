"""A model on devices: the layout given or chosen, and the phases estimated on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from roofline.describe.catalog import accelerator as described_part
from roofline.describe.efficiency import Efficiency
from roofline.describe.formats import Quantization
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.model import ModelShape
from roofline.describe.model_catalog import load_model
from roofline.errors import DoesNotFit, InvalidInput, LayoutError, UnknownName
from roofline.estimate.capacity import Capacity, model_bytes
from roofline.estimate.door import checked, one_kind
from roofline.estimate.estimate import Estimate
from roofline.estimate.layout import Layout, candidate_layouts, checked_layout
from roofline.estimate.placement import Placement
from roofline.estimate.quantize import runnable
from roofline.estimate.rates import Rates
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.timing import step_seconds
from roofline.numeric import SCALAR, SYMBOL

TYPICAL_CONTEXT = 4096
"""Context at which a layout is chosen where none is asked about [token]."""


class Deployment:
    """A model on `devices` devices of one part; what is not given of the layout is chosen at the point asked about.

    `tp`, `pp`, `dp`, `ep` are tensor, pipeline, attention-data and expert parallel ranks of one replica; devices left
    over make further replicas, and devices that cannot make one stay idle. `quantization` is a preset's name or a
    `Quantization` (None: the checkpoint's own). `efficiency` is `"calibrated"`, `"ideal"`, a path to a calibration
    file or an `Efficiency`. `price` [USD per device-hour] and `power` [W per device] replace the spec's own.

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
        efficiency: str | Path | Efficiency = "calibrated",
        runtime: str | None = None,
        price: float | None = None,
        power: float | None = None,
    ) -> None:
        self.model = model if isinstance(model, ModelShape) else load_model(model)
        self.accelerator = described_part(accelerator)
        self.devices = _count("devices", devices)
        self._given = {
            name: None if ranks is None else _count(name, ranks)
            for name, ranks in (("tp", tp), ("pp", pp), ("dp", dp), ("ep", ep))
        }
        chosen = self.model.checkpoint if quantization is None else Quantization.of(quantization)
        formats = runnable(chosen, self.accelerator)
        self.quantization, self._format_notes = formats.quantization, formats.notes
        self.rates = Rates.of(self.accelerator, efficiency, formats.peaks)
        if runtime is not None:
            raise UnknownName("runtime", given=runtime, known=(), expected="None: no serving stack is described yet")
        own_price, own_power = self.accelerator.price, self.accelerator.power
        self.price = own_price.value * 3600 if price is None and own_price else _amount("price", price)
        self.power = own_power.value if power is None and own_power else _amount("power", power)
        self._machine = self.accelerator.numbers()
        self._chosen: dict[tuple[Any, ...], Layout] = {}
        self._check_given()

    def decode(self, batch: Any = 1, context: Any = TYPICAL_CONTEXT) -> Estimate:
        """One decode step of `batch` sequences per replica, whose caches cover `context` tokens [1].

        Floats, arrays that broadcast, or symbols. Scalars that do not fit raise `DoesNotFit`; on arrays such points are
        nan.
        """
        point = Point("decode", checked("batch", batch), checked("context", context), 0)
        return self._estimate(point)

    def prefill(self, prompt: Any, batch: Any = 1, cached_tokens: Any = 0) -> Estimate:
        """The prompts of `batch` sequences per replica: `prompt` tokens each, `cached_tokens` of them cached [1]."""
        prompt, cached = checked("prompt", prompt), checked("cached_tokens", cached_tokens, least=0)
        if one_kind(prompt=prompt, cached_tokens=cached) != SYMBOL and np.any(cached >= prompt):
            raise InvalidInput("cached_tokens", given=cached_tokens, expected="fewer than the prompt's tokens")
        return self._estimate(Point("prefill", checked("batch", batch), prompt, cached))

    def capacity(self, context: Any = TYPICAL_CONTEXT, batch: Any = 1) -> Capacity:
        """What fits at a context, and what is missing for `batch` sequences per replica [1]."""
        point = Point("decode", checked("batch", batch), checked("context", context), 0)
        if point.kind == SYMBOL:
            raise InvalidInput("context", given=context, expected="numbers or arrays: capacity is counted, not solved")
        layout = self._layout_at(point, must_fit=False)
        memory = self._resolved(layout).memory
        missing = memory.shortfall(point.batch, point.context)
        scalar = point.kind == SCALAR
        return Capacity(
            fits=bool(missing == 0) if scalar else missing == 0,
            weights_bytes=model_bytes(self.model, self.quantization),
            kv_bytes_per_sequence=self.model.cache_bytes(point.context, self.quantization.kv_cache),
            usable_bytes=memory.usable * layout.devices,
            max_batch=memory.largest_batch(point.context),
            shortfall_bytes=missing,
            min_devices=self._placement(point).smallest_count() if scalar else None,
            device_weights_bytes=max(room.weights for room in memory.rooms),
            device_usable_bytes=memory.usable,
            layout=layout,
        )

    @property
    def layout(self) -> Layout:
        """The ranks of one replica: as given, else chosen for batch 1 at a context of 4,096 tokens."""
        return self._layout_at(Point("decode", 1.0, float(TYPICAL_CONTEXT), 0), must_fit=False)

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
        layout = self._layout_at(Point("decode", checked("batch", batch), checked("context", context), 0))
        fixed = object.__new__(Deployment)
        fixed.__dict__.update(self.__dict__)
        fixed._given = {"tp": layout.tp, "pp": layout.pp, "dp": layout.dp, "ep": layout.ep}
        fixed._chosen = {}
        return fixed

    def __repr__(self) -> str:
        given = "".join(f", {name}={ranks}" for name, ranks in self._given.items() if ranks is not None)
        return (
            f"Deployment({self.model.name}, {self.accelerator.name}, {self.devices}{given}, {self.quantization.label})"
        )

    def _estimate(self, point: Point) -> Estimate:
        one_kind(batch=point.batch, context=point.context, cached=point.cached)
        layout = self._layout_at(point)
        return Estimate(self._resolved(layout), point)

    def _resolved(self, layout: Layout) -> Resolved:
        notes = list(self._format_notes)
        if None in (self._given["tp"], self._given["pp"]) and self.devices > 1:
            notes.append(f"layout {layout} chosen: the fastest that fits")
        return Resolved(
            self.model,
            self.accelerator,
            self.devices,
            layout,
            self.quantization,
            self._machine,
            self.rates,
            self.price,
            self.power,
            tuple(notes),
        )

    def _placement(self, point: Point) -> Placement:
        corner = point.largest()
        arguments = (self.model, self.accelerator, self.quantization)
        return Placement(*arguments, batch=corner.batch, context=corner.context)

    def _check_given(self) -> None:
        """Refuse ranks that no layout of the devices could have; open ones are taken as 1 for now."""
        ranks = {name: value or 1 for name, value in self._given.items()}
        if None in (self._given["tp"], self._given["dp"]):
            ranks["ep"] = 1  # an open tp or dp may still make room for the expert groups asked for
        checked_layout(self.model, self.devices, **ranks)

    def _layout_at(self, point: Point, *, must_fit: bool = True) -> Layout:
        """The layout given, or the fastest at the largest batch and context of a point among those that fit.

        Where none fits: `DoesNotFit` for a scalar that must, else the one that misses least.
        """
        key = (must_fit, *point.corner())
        if key not in self._chosen:
            self._chosen[key] = self._choose(point, must_fit=must_fit)
        return self._chosen[key]

    def _choose(self, point: Point, *, must_fit: bool) -> Layout:
        longest = list(candidate_layouts(self.model, self.devices, **self._given))
        if not longest:
            given = ", ".join(f"{name}={ranks}" for name, ranks in self._given.items() if ranks is not None)
            expected = f"ranks that {self.devices} devices and the heads of {self.model.name} allow"
            raise LayoutError("layout", given=given, expected=expected)
        settled = len(longest) == 1 and (self._given["pp"] is not None or longest[0].pp == 1)
        if point.kind == SYMBOL:
            if settled:
                return longest[0]
            expected = "tp, pp, dp and ep: which layout is fastest depends on the symbols"
            raise LayoutError("layout", given="open ranks with symbols", expected=expected)
        placement, corner = self._placement(point), point.largest()
        fitting = [layout for each in longest for layout in self._lengths(each, placement)]
        if fitting:
            if len(fitting) == 1:
                return fitting[0]
            return min(fitting, key=lambda layout: (self._seconds(layout, corner), layout.devices))
        least = min((placement.cut(each) for each in longest), key=lambda cut: (cut[1], cut[0].devices))[0]
        if must_fit and point.kind == SCALAR:
            raise self._does_not_fit(least, corner)
        return least

    def _lengths(self, longest: Layout, placement: Placement) -> list[Layout]:
        """The shortest pipeline of a width that fits, and the longest; none where no length fits."""
        if self._given["pp"] or longest.pp == 1:
            layout, missing = placement.cut(longest)
            return [] if missing else [layout]
        shortest = placement.shortest(longest)
        if shortest is None:
            return []
        return [shortest] if shortest.pp == longest.pp else [shortest, placement.cut(longest)[0]]

    def _seconds(self, layout: Layout, point: Point) -> float:
        return float(self._resolved(layout).evaluate(point, step_seconds))

    def _does_not_fit(self, layout: Layout, point: Point) -> DoesNotFit:
        placement = self._placement(point)
        missing, count = placement.missing(layout), placement.smallest_count()
        would = f"{count:,} devices would do" if count else "no number of devices would do"
        where = f"{self.devices} × {self.accelerator.name}" if self.devices > 1 else self.accelerator.name
        load = f"{point.batch:,.10g} × {point.context:,.10g} tokens"
        return DoesNotFit(
            f"{self.model.name} in {self.quantization.label} with {load} does not fit on {where} ({layout}): "
            f"{missing:,.0f} bytes short; {would}",
            shortfall_bytes=missing,
            min_devices=count,
        )


def _count(what: str, value: Any) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not 1 <= value <= 10**7:
        raise InvalidInput(what, given=value, expected="a whole number from 1 to 10,000,000")
    return int(value)


def _amount(what: str, value: Any) -> float | None:
    return None if value is None else float(checked(what, value, least=0, most=1e12))
