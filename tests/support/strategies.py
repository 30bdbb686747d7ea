"""Random parts, models, layouts and points: all that an estimate is made of, small enough to try every layout.

Rates span many decades, so that each resource binds somewhere. `Case` bundles what a law needs; nothing in it is
checked against the memory, since times are laws of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random
from typing import Any, Literal

from hypothesis import strategies as st

from roofline.describe.attention import Attention, LatentAttention
from roofline.describe.compressed import CompressedAttention
from roofline.describe.efficiency import (
    COLLECTIVE_CLASSES,
    KERNEL_CLASSES,
    CollectiveFit,
    Efficiency,
    KernelFit,
)
from roofline.describe.feedforward import Dense, MoE
from roofline.describe.formats import PRESETS, Quantization
from roofline.describe.hardware import HbmAccelerator, SramAccelerator, parse_accelerator
from roofline.describe.linear_attention import (
    GatedDeltaNet,
    KimiDeltaAttention,
    LightningAttention,
    ShortConvolution,
)
from roofline.describe.machine import Machine
from roofline.describe.mixer import Indexer
from roofline.describe.model import Layer, ModelShape
from roofline.describe.parts import Projection
from roofline.describe.state_space import GatedRecurrence, Mamba, Mamba2, ParallelMixers
from roofline.errors import UnsupportedFormat
from roofline.estimate.layout import Layout, possible_ep, possible_tp, vocabulary_cuts
from roofline.estimate.quantize import runnable
from roofline.estimate.rates import Rates
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.timing import Step, step_floor, step_seconds

Part = HbmAccelerator | SramAccelerator
Strategy = st.SearchStrategy

# -- parts ------------------------------------------------------------------------------------------------------------

PEAKS = (
    ("bf16",),
    ("fp16",),
    ("bf16", "fp8"),
    ("int8", "fp16"),
    ("bf16", "fp8", "nvfp4"),
    ("bf16", "mxfp8", "mxfp4"),
    ("fp8",),
)
TOPOLOGIES = ("all_to_all", "switch", "torus", "ring", "dragonfly", "fat_tree", "point_to_point")


def cited(value: float, unit: str) -> dict[str, str]:
    """A number as a spec file writes it."""
    return {"value": f"{value!r} {unit}".strip(), "source": "a test"}


def decades(least: int, most: int) -> Strategy[float]:
    """One significant digit and a power of ten."""
    return st.sampled_from([float(f"{digit}e{power}") for power in range(least, most + 1) for digit in (1, 2, 3, 5, 8)])


@st.composite
def links(draw: st.DrawFn, least: int, most: int) -> dict[str, Any]:
    """Tiers of wires, the smallest domain first; the largest may join any number of devices."""
    count = draw(st.integers(least, most))
    domains: list[int | None] = list(draw(st.sampled_from(list(combinations([2, 3, 4, 8, 64], count)))))
    if count and draw(st.booleans()):
        domains[-1] = None
    found = {}
    for index, domain in enumerate(domains):
        tier: dict[str, Any] = {"topology": draw(st.sampled_from(TOPOLOGIES))}
        tier["bandwidth"] = cited(draw(decades(7, 12)), "B/s")
        latency, hops = draw(st.none() | decades(-9, -5)), draw(st.none() | st.integers(1, 5))
        tier |= {"latency": cited(latency, "s")} if latency else {}
        tier |= {"hops": cited(hops, "")} if hops else {}
        tier |= {"domain": cited(domain, "")} if domain else {}
        found[f"tier{index}"] = tier
    return found


@st.composite
def specs(
    draw: st.DrawFn, kind: str | None = None, *, least_links: int = 0, most_links: int = 3, capacity: Any = None
) -> dict[str, Any]:
    """The contents of a spec file of either kind of silicon."""
    kind = kind or draw(st.sampled_from(["hbm", "sram"]))
    spec: dict[str, Any] = {"name": "a toy", "kind": kind, "vendor": "a test", "year": 2026, "edition": "2026-11"}
    spec["status"] = "announced"
    spec["peak"] = {name: cited(draw(decades(9, 14)), "FLOP/s") for name in draw(st.sampled_from(PEAKS))}
    memory = {"bandwidth": cited(draw(decades(8, 13)), "B/s")}
    memory["capacity"] = cited(draw(capacity if capacity is not None else decades(5, 11)), "B")
    spec["memory"] = {"first": memory}
    if kind == "sram" and draw(st.booleans()):
        spec["feed"] = cited(draw(decades(8, 13)), "B/s")
    spec["link"] = draw(links(least_links, most_links))
    power, price = draw(st.none() | decades(0, 3)), draw(st.none() | decades(-2, 2))
    spec |= {"power": cited(power, "W")} if power else {}
    spec |= {"price": cited(price, "USD/h")} if price else {}
    return spec


def accelerators(kind: str | None = None, **limits: Any) -> Strategy[Part]:
    """Valid parts, read as a spec file is."""
    return specs(kind, **limits).map(lambda spec: parse_accelerator(spec, where="a test"))


def _efficiency(choose: Random) -> Efficiency:
    """Fitted figures for everything, of no real part."""
    shares, overheads = (0.25, 0.5, 0.8, 1.0), (0.0, 1e-7, 3e-6)
    evidence = {"points": 1, "error": 0.1, "low": 0.8, "high": 1.5, "source": "a test"}
    kernels, collectives = {}, {}
    for kernel_class in KERNEL_CLASSES:
        reached = {"compute": choose.choice(shares), "memory": choose.choice(shares)}
        kernels[kernel_class] = {"any": KernelFit(overhead=choose.choice(overheads), **reached, **evidence)}
    for collective in COLLECTIVE_CLASSES:
        fixed = {"overhead": choose.choice(overheads), "staged_overhead": choose.choice(overheads)}
        collectives[collective] = CollectiveFit(**fixed, bandwidth=choose.choice(shares), **evidence)
    return Efficiency(name="a toy", source="a test", kernels=kernels, collectives=collectives)


def efficiencies() -> Strategy[Efficiency]:
    """Fitted figures for everything, of no real part: one of a hundred made beforehand, which saves many draws."""
    return st.sampled_from(_EFFICIENCIES)


_EFFICIENCIES = [_efficiency(Random(seed)) for seed in range(100)]


# -- models -----------------------------------------------------------------------------------------------------------

few = st.sampled_from([1, 2, 4])
narrow = st.sampled_from([4, 8, 12])
windows = st.none() | st.sampled_from([1, 2, 16, 100])
filters = st.sampled_from([1, 4])


def attentions(window: Strategy[int | None] = windows) -> Strategy[Attention]:
    """Multi-head, grouped and multi-query attention, with and without a window."""

    def built(kv_heads: int, group: int, **rest: Any) -> Attention:
        return Attention(kv_heads=kv_heads, heads=kv_heads * group, **rest)

    return st.builds(
        built,
        kv_heads=few,
        group=few,
        key_dim=narrow,
        value_dim=narrow,
        window=window,
        qk_norm=st.sampled_from(["none", "head", "full"]),
        biased=st.sampled_from([(), ("q", "k", "v")]),
        gate=st.sampled_from(["none", "head", "full"]),
    )


indexers = st.builds(Indexer, heads=few, dim=narrow, top_k=st.sampled_from([1, 8, 64]))
latent_attentions = st.builds(
    LatentAttention,
    heads=few,
    q_rank=st.none() | narrow,
    kv_rank=narrow,
    nope_dim=narrow,
    rope_dim=st.sampled_from([0, 4]),
    value_dim=narrow,
)
sparse_attentions = st.one_of(
    st.builds(lambda mixer, indexer: mixer.model_copy(update={"indexer": indexer}), attentions(st.none()), indexers),
    st.builds(lambda mixer, indexer: mixer.model_copy(update={"indexer": indexer}), latent_attentions, indexers),
)
compressed_attentions = st.builds(
    CompressedAttention,
    heads=few,
    q_rank=narrow,
    head_dim=narrow,
    window=st.sampled_from([1, 16]),
    ratio=st.none() | st.sampled_from([4, 16]),
    indexer=st.none(),
    output_groups=st.just(1),
    output_rank=narrow,
)
mamba2s = st.builds(Mamba2, heads=st.just(4), head_dim=narrow, state=narrow, groups=few, filter_length=filters)
recurrent_mixers = st.one_of(
    st.builds(Mamba, inner=st.sampled_from([8, 16]), state=narrow, step_rank=few, filter_length=filters),
    mamba2s,
    st.builds(
        GatedDeltaNet,
        key_heads=few,
        value_heads=st.just(4),
        key_dim=narrow,
        value_dim=narrow,
        filter_length=filters,
    ),
    st.builds(
        KimiDeltaAttention,
        heads=few,
        head_dim=narrow,
        filter_length=filters,
        decay_rank=st.none() | few,
        gate_rank=st.none() | few,
    ),
    st.builds(LightningAttention, heads=few, head_dim=narrow),
    st.builds(ShortConvolution, width=narrow, filter_length=filters),
    st.builds(GatedRecurrence, width=st.just(8), heads=st.sampled_from([1, 2]), filter_length=filters),
)
parallel_mixers = st.builds(ParallelMixers, attention=attentions(st.none()), recurrent=mamba2s)
common_mixers = st.one_of(attentions(), latent_attentions, recurrent_mixers)
"""What exists in most models; every law of them is meant to hold for these."""
all_mixers = st.one_of(common_mixers, sparse_attentions, compressed_attentions, parallel_mixers)

dense_networks = st.builds(
    Dense, width=st.sampled_from([8, 24, 40]), gated=st.booleans(), biased=st.sampled_from([(), ("up", "down")])
)


@st.composite
def mixtures(draw: st.DrawFn, *, zero_experts: bool = True) -> MoE:
    """Mixtures with shared experts, dense networks beside them, latents and experts that weigh nothing."""
    experts = draw(st.sampled_from([1, 2, 3, 8]))
    none = draw(st.sampled_from([0, 0, 2])) if zero_experts else 0
    return MoE(
        experts=experts,
        top_k=draw(st.integers(1, experts)),
        expert_width=draw(narrow),
        shared_width=draw(st.sampled_from([0, 8])),
        shared_gate=draw(st.booleans()),
        dense_width=draw(st.sampled_from([0, 0, 16])),
        latent_width=draw(st.none() | narrow),
        zero_experts=none,
        gated=draw(st.booleans()),
    )


feed_forwards = st.one_of(st.none(), dense_networks, mixtures())
projections = st.sampled_from([(), (), (Projection(name="beside", inner=8, columns=4),)])


@st.composite
def layers(draw: st.DrawFn, mixers: Strategy[Any] = all_mixers, feeds: Strategy[Any] = feed_forwards) -> Layer:
    """One mixer, one feed-forward, or both."""
    mixer, feed_forward = draw(mixers), draw(feeds)
    return Layer(mixer=mixer, feed_forward=feed_forward, projections=draw(projections))


@st.composite
def model_shapes(
    draw: st.DrawFn,
    mixers: Strategy[Any] = all_mixers,
    feeds: Strategy[Any] = feed_forwards,
    *,
    most_layers: int = 5,
) -> ModelShape:
    """Models of one to `most_layers` layers of one or two kinds, in any order."""
    kinds = draw(st.lists(layers(mixers, feeds), min_size=1, max_size=2))
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=most_layers))
    return ModelShape(
        name="a toy model",
        hidden=draw(st.sampled_from([8, 24])),
        vocab=draw(st.sampled_from([1, 50, 200])),
        layers=tuple(chosen),
        tied=draw(st.booleans()),
        head_bias=draw(st.booleans()),
        embedding_width=draw(st.none() | st.just(16)),
        projections=draw(projections),
    )


@st.composite
def quantizations(draw: st.DrawFn, part: Part) -> Quantization:
    """Formats that a part runs: a preset, now and then with another format for the cache or the experts."""
    presets = [preset for preset in PRESETS.values() if _runs(preset, part)]
    chosen = draw(st.sampled_from(presets))
    changed = chosen.with_(kv_cache=draw(st.sampled_from([chosen.kv_cache, "fp8"])))
    return changed if _runs(changed, part) else chosen


def _runs(quantization: Quantization, part: Part) -> bool:
    try:
        runnable(quantization, part)
    except UnsupportedFormat:
        return False
    return True


# -- layouts and points -----------------------------------------------------------------------------------------------


def reach(part: Part, most: int) -> int:
    """Devices that the links of a part join, at most `most`."""
    if not part.link:
        return 1
    domain = list(part.link.values())[-1].domain
    return min(most, int(domain.value)) if domain else most


@st.composite
def layouts(draw: st.DrawFn, model: ModelShape, most: int) -> Layout:
    """Any layout of at most `most` devices that a deployment accepts, the vocabulary cut any way."""
    heads = max((getattr(layer.mixer, "heads", 0) or 0 for layer in model.layers), default=0)
    tp = draw(st.sampled_from([width for width in possible_tp(model, max(heads, 1)) if width <= most]))
    pp = draw(st.integers(1, min(len(model.layers), most // tp)))
    dp = draw(st.integers(1, min(4, most // (tp * pp))))
    ep = draw(st.sampled_from(possible_ep(model, tp * dp)))
    return Layout(tp, pp, dp, ep, draw(st.sampled_from(vocabulary_cuts(pp))))


Phase = Literal["prefill", "decode"]
phases: Strategy[Phase] = st.sampled_from(["prefill", "decode"])
batches = st.integers(1, 40).map(float)
contexts = st.one_of(st.integers(1, 40), st.integers(1, 5000)).map(float)


@st.composite
def points(draw: st.DrawFn, phase: Phase | None = None) -> Point:
    """A whole batch at a whole context, part of it cached in prefill."""
    phase = phase or draw(phases)
    batch, context = draw(batches), draw(contexts)
    cached = float(draw(st.integers(0, int(context) - 1))) if phase == "prefill" else 0
    return Point(phase, batch, context, cached)


# -- cases ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Something settled, and a point to ask it about."""

    resolved: Resolved
    point: Point

    def __repr__(self) -> str:
        """What tells this case from others, on a few lines."""
        settled, point = self.resolved, self.point
        layers = "; ".join(f"{layer!r} × {count}" for layer, count in settled.model.groups())
        loaded = f"{point.phase} batch={point.batch!r} context={point.context!r} cached={point.cached!r}"
        rest = settled.model.model_dump(exclude={"name", "layers", "checkpoint"}, exclude_defaults=True)
        rates = f"{settled.rates.sources[0].name}, {settled.quantization.label}"
        return f"<Case {loaded}, {settled.layout!r}, {rates},\n  {settled.machine!r},\n  {rest},\n  {layers}>"

    @property
    def seconds(self) -> Any:
        """Of a step, with whatever efficiencies there are."""
        return self.resolved.evaluate(self.point, step_seconds)

    @property
    def ideal(self) -> Any:
        """Of a step at peak rates."""
        return self.resolved.ideal.evaluate(self.point, step_seconds)

    @property
    def floor(self) -> Any:
        """Of a step that nothing can beat."""
        return self.resolved.ideal.evaluate(self.point, step_floor)

    @property
    def step(self) -> Step:
        """What is done."""
        return self.resolved.step(self.point)

    @property
    def three(self) -> tuple[Any, Any, Any]:
        """All the numbers a law of time is about."""
        return self.floor, self.ideal, self.seconds

    def on(self, machine: Machine) -> Case:
        """The same on another machine."""
        return replace(self, resolved=replace(self.resolved, machine=machine))

    def laid(self, **ranks: int) -> Case:
        """The same on another layout."""
        return replace(self, resolved=replace(self.resolved, layout=replace(self.resolved.layout, **ranks)))

    def at(self, **changes: Any) -> Case:
        """The same at another point."""
        point = self.point
        values = {"phase": point.phase, "batch": point.batch, "context": point.context, "cached": point.cached}
        return replace(self, point=Point(**{**values, **changes}))

    def reaching(self, efficiency: Efficiency) -> Case:
        """The same with other efficiencies."""
        rates = Rates(self.resolved.accelerator, (efficiency,), self.resolved.rates.peaks)
        return replace(self, resolved=replace(self.resolved, rates=rates))

    def of(self, model: ModelShape) -> Case:
        """The same for another model."""
        return replace(self, resolved=replace(self.resolved, model=model))


def resolve(
    model: ModelShape,
    part: Part,
    layout: Layout,
    quantization: Quantization,
    efficiency: str | Efficiency = "calibrated",
    devices: int | None = None,
) -> Resolved:
    """What a deployment settles on, without asking whether it fits."""
    formats = runnable(quantization, part)
    rates = Rates.of(part, efficiency, formats.peaks)
    count = devices or layout.devices
    return Resolved(model, part, count, layout, formats.quantization, part.numbers(), rates, None, None, formats.notes)


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    models: Strategy[ModelShape] | None = None,
    parts: Strategy[Part] | None = None,
    layout: Callable[[ModelShape, int], Strategy[Layout]] = layouts,
    most_devices: int = 16,
    phase: Phase | None = None,
) -> Case:
    """A random model on a random part, laid out and loaded at random."""
    part = draw(parts if parts is not None else accelerators())
    model = draw(models if models is not None else model_shapes())
    quantization = draw(quantizations(part))
    laid = draw(layout(model, reach(part, most_devices)))
    efficiency = draw(st.one_of(st.sampled_from(["ideal", "calibrated"]), efficiencies()))
    return Case(resolve(model, part, laid, quantization, efficiency), draw(points(phase)))
