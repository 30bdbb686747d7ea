"""Hypothesis strategies of deployments, of the cases that laws are checked on, and of what is asked of a system."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from roofline.describe.model import ModelShape
from roofline.describe.workload import LENGTHS, Traffic
from roofline.estimate.deployment import Deployment
from roofline.estimate.layout import Layout, possible_ep, possible_tp, vocabulary_cuts
from roofline.estimate.network import reach
from roofline.estimate.resolved import Point, Slice
from roofline.estimate.work import Phase
from roofline.trust.law_cases import Case, Part, settle
from roofline.trust.strategies import Strategy, accelerators, model_shapes, quantizations

_MOST_DEVICES = 16
_HUGE = (131_072, 1_000_000)
"""Contexts longer than any window, of the longest that models are sold with [tokens]."""
slices: Strategy[Slice] = st.sampled_from(["whole", "fastest", 1, 32, 512])
phases: Strategy[Phase] = st.sampled_from(["prefill", "decode"])


@st.composite
def layouts(draw: st.DrawFn, model: ModelShape, most: int) -> Layout:
    """Any layout of at most `most` devices that a deployment accepts, the vocabulary cut any way."""
    heads = max((getattr(layer.mixer, "heads", 0) or 0 for layer in model.layers), default=0)
    tp = draw(st.sampled_from([width for width in possible_tp(model, max(heads, 1)) if width <= most]))
    pp = draw(st.integers(1, min(len(model.layers), most // tp)))
    dp = draw(st.integers(1, min(4, most // (tp * pp))))
    ep = draw(st.sampled_from(possible_ep(model, tp * dp)))
    return Layout(tp, pp, dp, ep, draw(st.sampled_from(vocabulary_cuts(pp))))


@st.composite
def points(draw: st.DrawFn, phase: Phase | None = None) -> Point:
    """A whole batch at a whole context, part of it cached in prefill."""
    chosen = draw(phases) if phase is None else phase
    batch = float(draw(st.integers(1, 40)))
    context = draw(st.one_of(st.integers(1, 40), st.integers(1, 5000), st.sampled_from(_HUGE)))
    cached = float(draw(st.integers(0, context - 1))) if chosen == "prefill" else 0
    return Point(chosen, batch, float(context), cached)


@st.composite
def cases(draw: st.DrawFn, models: Strategy[ModelShape] | None = None, parts: Strategy[Part] | None = None) -> Case:
    """What a law is checked on: a random model on a random part, laid out and loaded at random."""
    part = draw(parts if parts is not None else accelerators())
    model = draw(models if models is not None else model_shapes())
    quantization = draw(quantizations(part))
    layout = draw(layouts(model, devices_joined(part)))
    efficiency = draw(st.sampled_from(["ideal", "calibrated"]))
    overlap, cut = draw(st.booleans()), draw(slices)
    settled = settle(model, part, layout, quantization, efficiency=efficiency, overlap=overlap, slice=cut)
    return Case(settled, draw(points()))


@st.composite
def deployments(
    draw: st.DrawFn, models: Strategy[ModelShape] | None = None, parts: Strategy[Part] | None = None
) -> Deployment:
    """Deployments of any model on any part, all ranks given; unless parts are given, every model fits."""
    part = draw(parts if parts is not None else accelerators(capacity=st.just(1e15)))
    model = draw(models if models is not None else model_shapes())
    layout = draw(layouts(model, devices_joined(part)))
    options: dict[str, Any] = {name: getattr(layout, name) for name in ("tp", "pp", "dp", "ep")}
    options |= {"overlap": draw(st.booleans()), "slice": draw(slices)}
    devices = layout.devices * draw(st.integers(1, 3))
    efficiency = draw(st.sampled_from(["ideal", "calibrated"]))
    return Deployment(model, part, devices, quantization=draw(quantizations(part)), efficiency=efficiency, **options)


@st.composite
def traffics(draw: st.DrawFn) -> Traffic:
    """Requests of any length, so many in flight or so many a second, part of their prompts cached."""
    load: dict[str, Any] = {"lengths": draw(st.sampled_from(LENGTHS))}
    if draw(st.booleans()):
        load["concurrency"] = float(draw(st.integers(1, 200)))
    else:
        load["rate"] = draw(st.floats(1e-3, 1e3))
    shares = st.sampled_from([0.0, 0.25, 0.9, 1.0])
    return Traffic(
        float(draw(st.integers(1, 5000))), float(draw(st.integers(1, 1000))), cached_share=draw(shares), **load
    )


def devices_joined(part: Part, most: int = _MOST_DEVICES) -> int:
    """Devices that the links of a part join, at most `most`."""
    return int(min(most, reach(part.numbers().wires)))
