"""What a model must multiply, read and write, counted from its shape alone: no layout, no kernel, no hardware.

Estimates take another way to the same numbers, through ranks and kernels. Fractions keep the counts exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from roofline.describe.feedforward import MoE
from roofline.describe.formats import Quantization, width
from roofline.describe.mixers import Mixer
from roofline.describe.model import ModelShape
from roofline.describe.parts import Matrix
from roofline.estimate.timing import Step
from roofline.estimate.work import Operation

LINEAR = ("attention", "linear_mixer", "dense_ffn", "shared_experts")
"""Parts that a quantization stores as `weights`; routed experts are `experts`, everything else is `lm_head`."""


def matrices(model: ModelShape) -> Iterator[tuple[Matrix, int]]:
    """Every matrix that each token passes, the head included, with how often it occurs; routed experts apart."""
    for layer, count in model.groups():
        yield from ((matrix, count) for matrix in layer.matrices(model.hidden))
    yield from ((matrix, 1) for matrix in model.matrices())
    yield model.head, 1


def mixtures(model: ModelShape) -> Iterator[tuple[MoE, int, int]]:
    """Every mixture, the elements of the matrices of one expert, and the number of layers that have it."""
    for layer, count in model.groups():
        if isinstance(layer.feed_forward, MoE):
            elements = sum(matrix.elements for matrix in layer.expert_matrices(model.hidden))
            yield layer.feed_forward, elements, count


def mixers(model: ModelShape) -> Iterator[tuple[Mixer, int]]:
    """Every mixer and how often it occurs."""
    yield from ((layer.mixer, count) for layer, count in model.groups() if layer.mixer is not None)


def real_choices(mixture: MoE) -> Fraction:
    """Of a token's choices, those that are expected to fall on experts that weigh something."""
    return Fraction(mixture.top_k * mixture.experts, mixture.experts + mixture.zero_experts)


def matmul_flops(model: ModelShape) -> Fraction:
    """FLOP of one token on weights, its logits included."""
    every = sum(matrix.elements * count for matrix, count in matrices(model))
    routed = sum(real_choices(mixture) * elements * count for mixture, elements, count in mixtures(model))
    return 2 * (every + routed)


def mixing_flops(model: ModelShape, context: int) -> int:
    """FLOP of one token on caches and states when the cache covers `context` tokens."""
    return sum(
        count
        * (
            mixer.pair_flops * int(mixer.visible_keys(context))  # type: ignore[call-overload]
            + mixer.index_flops * int(mixer.indexed_keys(context))  # type: ignore[call-overload]
            + mixer.state_flops
        )
        for mixer, count in mixers(model)
    )


def cache_traffic(model: ModelShape, context: int, kv_cache: str) -> Fraction:
    """Bytes of the cache that a decoded token reads and writes: keys it sees and its own, index keys, states twice but
    for the first token, before which there are none.
    """
    total = Fraction(0)
    for mixer, count in mixers(model):
        keys = int(mixer.visible_keys(context)) + (0 if getattr(mixer, "shares_kv", False) else 1)  # type: ignore[call-overload]
        elements = keys * mixer.key_elements + int(mixer.index_elements(context))  # type: ignore[call-overload]
        states = 4 * mixer.recurrent_elements + 2 * mixer.convolution_elements
        total += count * (elements * width(kv_cache) + (1 + min(context - 1, 1)) * states)
    return total


def stored_as(part: str) -> str:
    """Which field of a quantization says how a part of a model is stored."""
    return "experts" if part == "experts" else "linear" if part in LINEAR else "lm_head"


def every_weight(model: ModelShape, quantization: Quantization) -> Fraction:
    """Bytes of all matrices but the input embedding, every expert touched."""
    total = sum(
        matrix.elements * count * width(quantization.storage(stored_as(matrix.part)))
        for matrix, count in matrices(model)
    )
    experts = sum(mixture.experts * elements * count for mixture, elements, count in mixtures(model))
    return total + experts * width(quantization.storage("experts"))


def vector_elements(model: ModelShape) -> Fraction:
    """Norms, biases and filters among the active parameters: added or scaled with, never multiplied as a matrix."""
    total = Fraction(sum(vector.elements for vector in model.extra if vector.part not in ("embedding", "lm_head")))
    for layer, count in model.groups():
        total += count * sum(vector.elements for vector in layer.vectors(model.hidden))
        if isinstance(layer.feed_forward, MoE):
            biases = sum(vector.elements for vector in layer.feed_forward.expert_vectors(model.hidden))
            total += count * biases * real_choices(layer.feed_forward)
    return total + (model.vocab if model.head_bias else 0)


def worked(step: Step, field: str, *, terms: tuple[str, ...] | None = None) -> float:
    """A field of all operations on the path of a token, added up; of some terms only where they are given."""
    return sum(
        getattr(item, field) * count
        for item, count in zip(step.items, step.path, strict=True)
        if isinstance(item, Operation) and (terms is None or item.term in terms)
    )
