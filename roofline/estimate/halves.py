"""A model cut in two: what stays with the caches, and the feed-forwards or routed experts that go elsewhere."""

from __future__ import annotations

from typing import Literal

from roofline.describe.feedforward import Dense, MoE
from roofline.describe.model import Layer, ModelShape
from roofline.errors import InvalidInput

Offload = Literal["ffn", "experts"]
OFFLOADS: tuple[Offload, ...] = ("ffn", "experts")


def attention_half(model: ModelShape, offload: Offload) -> ModelShape:
    """Mixers, caches, embedding and head; shared experts and dense networks too where only `"experts"` leave."""
    layers = tuple(
        layer if not _leaves(layer, offload) else _changed(layer, feed_forward=_rest(layer, offload))
        for layer in model.layers
    )
    return _model(model, "attention", layers)


def ffn_half(model: ModelShape, offload: Offload) -> ModelShape:
    """The feed-forwards that leave, their routers and norms with them; no mixer, no cache and next to no vocabulary."""
    layers = tuple(
        _changed(layer, mixer=None, feed_forward=_leaving(layer, offload), projections=(), extra=())
        for layer in model.layers
        if _leaves(layer, offload)
    )
    if not layers:
        raise InvalidInput(
            f"offload of {model.name}", given=offload, expected="feed-forwards: it has no routed experts", nearest="ffn"
        )
    outside = {"vocab": 1, "tied": True, "positions": 0, "embedding_width": None, "head_bias": False, "lookup": 0}
    return _model(model, "feed-forwards", layers, **outside, projections=(), extra=())


def _leaves(layer: Layer, offload: Offload) -> bool:
    if offload == "experts":
        return isinstance(layer.feed_forward, MoE)
    return layer.feed_forward is not None


def _leaving(layer: Layer, offload: Offload) -> Dense | MoE | None:
    mixture = layer.feed_forward
    if offload == "experts" and isinstance(mixture, MoE):
        return mixture.model_copy(update={"shared_width": 0, "shared_gate": False, "dense_width": 0, "biased": ()})
    return mixture


def _rest(layer: Layer, offload: Offload) -> Dense | None:
    """What of a mixture stays: its shared and dense networks, side by side as one."""
    mixture = layer.feed_forward
    if offload == "experts" and isinstance(mixture, MoE) and mixture.shared_width + mixture.dense_width:
        return Dense(width=mixture.shared_width + mixture.dense_width, gated=mixture.gated)
    return None


def _changed(layer: Layer, **changes: object) -> Layer:
    return Layer(**{**{name: getattr(layer, name) for name in Layer.model_fields}, **changes})


def _model(model: ModelShape, part: str, layers: tuple[Layer, ...], **changes: object) -> ModelShape:
    known = {name: getattr(model, name) for name in ModelShape.model_fields}
    return ModelShape(**{**known, "name": f"{model.name}, {part}", "layers": layers, **changes})
