"""What laws are checked on: a part, a model, a layout and a point, and a fixed set of them that reaches the corners.

Nothing here asks whether a case fits the memory: times obey laws of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Self

from roofline.describe.attention import Attention, LatentAttention
from roofline.describe.efficiency import CollectiveFit, Efficiency, KernelFit
from roofline.describe.feedforward import Dense, MoE
from roofline.describe.formats import PRESETS, Quantization
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.machine import Machine, Wire
from roofline.describe.model import Layer, ModelShape
from roofline.describe.state_space import Mamba2
from roofline.errors import UnsupportedFormat
from roofline.estimate.estimate import Estimate
from roofline.estimate.layout import Layout
from roofline.estimate.network import reach
from roofline.estimate.quantize import runnable
from roofline.estimate.rates import Rates
from roofline.estimate.resolved import Point, Resolved, Slice
from roofline.trust.serving_cases import Serving

Part = HbmAccelerator | SramAccelerator


@dataclass(frozen=True)
class Case:
    """Something settled, and a point to ask it about."""

    resolved: Resolved
    point: Point

    def __str__(self) -> str:
        settled, point = self.resolved, self.point
        cached = f" of which {point.cached:g} cached" if point.cached else ""
        load = f"{point.phase} of {point.batch:g} × {point.context:g} tokens{cached}"
        where = f"{settled.devices} × {settled.accelerator.name} ({settled.layout})"
        rates = settled.rates.sources[0].name
        return f"{load}, {settled.model.name} in {settled.quantization.label} on {where}, efficiency {rates}"

    @cached_property
    def estimate(self) -> Estimate:
        """What the library answers for the case."""
        return Estimate(self.resolved, self.point)

    @cached_property
    def serving(self) -> Serving:
        """The case as pools that serve a traffic, with room for every cache."""
        return Serving.of(self.resolved, self.point)

    @property
    def times(self) -> dict[str, Any]:
        """The three times that laws are about, each under its name [s]."""
        estimate = self.estimate
        return {"floor": estimate.floor, "ideal": estimate.ideal, "seconds": estimate.seconds}

    def on(self, machine: Machine) -> Self:
        """The same on another machine."""
        return self.with_(machine=machine)

    def laid(self, **ranks: int) -> Self:
        """The same on another layout."""
        return self.with_(layout=replace(self.resolved.layout, **ranks))

    def at(self, **changes: Any) -> Self:
        """The same at another point."""
        return replace(self, point=replace(self.point, **changes))

    def with_(self, **changes: Any) -> Self:
        """The same with other fields of what is settled."""
        return replace(self, resolved=replace(self.resolved, **changes))

    def reaching(self, change: float, figure: str) -> Self:
        """The same with every efficiency's figure multiplied."""
        rates = self.resolved.rates
        sources = tuple(changed(source, **{figure: change}) for source in rates.sources)
        return self.with_(rates=Rates(rates.accelerator, sources, rates.peaks))


def settle(
    model: ModelShape,
    part: Part,
    layout: Layout,
    quantization: Quantization,
    *,
    efficiency: str | Efficiency = "calibrated",
    devices: int | None = None,
    overlap: bool = False,
    slice: Slice = "whole",
) -> Resolved:
    """What a deployment settles on, without asking whether it fits; price and power as of the part."""
    formats = runnable(quantization, part)
    rates = Rates.of(part, efficiency, formats.peaks)
    price = part.price.value * 3600 if part.price else None
    power = part.power.value if part.power else None
    count = devices or layout.devices
    chosen = formats.quantization
    known = (model, part, count, layout, chosen, part.numbers(), rates, price, power, formats.notes)
    return Resolved(*known, overlap=overlap, slice=slice)


def scaled(
    machine: Machine,
    *,
    peak: float = 1,
    bandwidth: float = 1,
    feed: float = 1,
    wires: float = 1,
    latency: float = 1,
) -> Machine:
    """A machine with its rates and latencies multiplied."""

    def wire(each: Wire) -> Wire:
        return replace(each, bandwidth=each.bandwidth * wires, latency=each.latency * latency)

    return replace(
        machine,
        peak={name: rate * peak for name, rate in machine.peak.items()},
        tiers=tuple(replace(tier, bandwidth=tier.bandwidth * bandwidth) for tier in machine.tiers),
        feed=None if machine.feed is None else machine.feed * feed,
        wires=tuple(wire(each) for each in machine.wires),
    )


def changed(
    efficiency: Efficiency, *, overhead: float = 1, compute: float = 1, memory: float = 1, bandwidth: float = 1
) -> Efficiency:
    """Efficiencies with their figures multiplied."""

    def kernel(fit: KernelFit) -> KernelFit:
        figures = {"overhead": fit.overhead * overhead, "compute": fit.compute * compute, "memory": fit.memory * memory}
        return fit.model_copy(update=figures)

    def collective(fit: CollectiveFit) -> CollectiveFit:
        figures = {"overhead": fit.overhead * overhead, "staged_overhead": fit.staged_overhead * overhead}
        optional = {"summed_overhead": fit.summed_overhead, "crossing": fit.crossing}
        figures |= {name: seconds * overhead for name, seconds in optional.items() if seconds is not None}
        return fit.model_copy(update={**figures, "bandwidth": fit.bandwidth * bandwidth})

    kernels = {name: {each: kernel(fit) for each, fit in fits.items()} for name, fits in efficiency.kernels.items()}
    collectives = {name: collective(fit) for name, fit in efficiency.collectives.items()}
    stacks = {stack: {name: collective(fit) for name, fit in fits.items()} for stack, fits in efficiency.stacks.items()}
    return efficiency.model_copy(update={"kernels": kernels, "collectives": collectives, "stacks": stacks})


# -- a fixed set of cases ---------------------------------------------------------------------------------------------


@cache
def example_models() -> tuple[ModelShape, ...]:
    """Small models of the four families whose costs differ in kind: dense, mixture, latent attention, state space."""
    grouped = Attention(heads=32, kv_heads=8, key_dim=128, value_dim=128)
    local = Attention(heads=32, kv_heads=4, key_dim=128, value_dim=128, window=1024)
    latent = LatentAttention(heads=32, q_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128)
    recurrent = Mamba2(heads=64, head_dim=64, state=128, groups=8, filter_length=4)
    dense, mixture = Dense(width=14336), MoE(experts=64, top_k=6, expert_width=1408, shared_width=2816)
    families = {
        "dense": (grouped, dense, grouped, dense),
        "windowed mixture": (local, mixture, grouped, mixture),
        "latent mixture": (latent, dense, latent, mixture),
        "hybrid": (recurrent, dense, grouped, dense),
    }
    return tuple(
        ModelShape(
            name=f"a small {name} model",
            hidden=4096,
            vocab=128_256,
            layers=(Layer(mixer=first, feed_forward=one), *(Layer(mixer=second, feed_forward=other),) * 3),
            tied=index % 2 == 1,
        )
        for index, (name, (first, one, second, other)) in enumerate(families.items())
    )


LAYOUTS = (Layout(), Layout(tp=2), Layout(pp=2), Layout(tp=4, ep=4), Layout(tp=2, pp=2), Layout(tp=2, dp=4, ep=8))
POINTS = (
    Point("decode", 1.0, 1.0, 0),
    Point("prefill", 1.0, 2048.0, 0),
    Point("decode", 64.0, 8192.0, 0),
    Point("prefill", 6.0, 3000.0, 2000.0),
    Point("decode", 1024.0, 512.0, 0),
    Point("prefill", 1.0, 1.0, 0),
    Point("decode", 3.0, 131_072.0, 0),
)
_SLICES: tuple[Slice, ...] = ("whole", 512, "fastest", 32)
"""How prompts are taken, in turn."""
_STRIDE = 13
"""Coprime with every count of layouts, points and formats, so that few cases see all of each."""


def example_cases(part: Part, examples: int) -> Iterator[Case]:
    """The first `examples` cases of a fixed sequence for a part; each model, layout, point and format comes early."""
    models, formats, layouts = example_models(), _formats(part), _layouts(part)
    for index in range(examples):
        model, point = models[index % len(models)], POINTS[index % len(POINTS)]
        layout = layouts[(index + index // len(layouts)) % len(layouts)]
        if layout.ep > 1 and not model.parameters().experts:
            layout = replace(layout, ep=1)
        quantization = formats[(index * _STRIDE + index // len(formats)) % len(formats)]
        efficiency = "ideal" if index % 5 == 4 else "calibrated"
        overlap, slice = index % 3 > 0, _SLICES[index % len(_SLICES)]
        settled = settle(model, part, layout, quantization, efficiency=efficiency, overlap=overlap, slice=slice)
        yield Case(settled, point)


def _layouts(part: Part) -> tuple[Layout, ...]:
    joined = reach(part.numbers().wires)
    return tuple(layout for layout in LAYOUTS if layout.devices <= joined)


def _formats(part: Part) -> tuple[Quantization, ...]:
    found = []
    for preset in PRESETS.values():
        try:
            runnable(preset, part)
        except UnsupportedFormat:
            continue
        found.append(preset)
    if found:
        return tuple(found)
    own = part.supported_formats()[0]
    return (Quantization(weights=own, activations=own),)
