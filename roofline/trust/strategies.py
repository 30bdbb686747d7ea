"""Hypothesis strategies of parts and models, small enough to try every layout of them.

Rates span many decades, so that each resource binds somewhere.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

from hypothesis import strategies as st

from roofline.describe.attention import Attention, LatentAttention
from roofline.describe.compressed import CompressedAttention
from roofline.describe.feedforward import Dense, MoE
from roofline.describe.formats import PRESETS, Quantization
from roofline.describe.hardware import parse_accelerator
from roofline.describe.linear_attention import (
    GatedDeltaNet,
    KimiDeltaAttention,
    LightningAttention,
    ShortConvolution,
)
from roofline.describe.mixer import Indexer
from roofline.describe.model import Layer, ModelShape
from roofline.describe.parts import Projection
from roofline.describe.state_space import GatedRecurrence, Mamba, Mamba2, ParallelMixers
from roofline.errors import UnsupportedFormat
from roofline.estimate.quantize import runnable
from roofline.trust.law_cases import Part

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
TOPOLOGIES = ("all_to_all", "switch", "summing_switch", "torus", "ring", "dragonfly", "fat_tree", "point_to_point")


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
        qk_norm=st.sampled_from(["none", "head", "each", "full"]),
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
    groups = draw(st.sampled_from([each for each in (1, 2, 4) if experts % each == 0]))
    chosen = draw(st.integers(1, groups))
    return MoE(
        experts=experts,
        top_k=draw(st.integers(1, experts * chosen // groups)),
        expert_width=draw(narrow),
        shared_width=draw(st.sampled_from([0, 8])),
        shared_gate=draw(st.booleans()),
        dense_width=draw(st.sampled_from([0, 0, 16])),
        latent_width=draw(st.none() | narrow),
        zero_experts=none,
        expert_groups=groups,
        chosen_groups=chosen,
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
