"""What a model is: its layers in order, its embedding and head, and what they weigh and keep.

`ModelShape` is the whole; `Layer` is one mixer and one feed-forward. Counts are exact: every weight is declared once,
by the part it belongs to, and summed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Annotated, cast

import numpy as np
from pydantic import Field

from roofline.describe.feedforward import Dense, MoE
from roofline.describe.formats import PRESETS, Quantization, width
from roofline.describe.mixers import AnyMixer
from roofline.describe.parts import PARTS, Count, Matrix, Projection, Shape, Size, Vector
from roofline.errors import InvalidInput
from roofline.numeric import ARRAY, SCALAR, SYMBOL, Num, kind

AnyFeedForward = Annotated[Dense | MoE, Field(discriminator="kind")]


class Layer(Shape):
    """One mixer and one feed-forward; either may be absent, as where a model alternates single blocks.

    `norms` counts norm weights in units of the model's width: 2 for the usual two RMS norms, 4 for two layer norms with
    biases or for norms on both sides.
    """

    mixer: AnyMixer | None
    feed_forward: AnyFeedForward | None
    norms: Annotated[int, Field(ge=0, le=100, strict=True)] = 2
    projections: tuple[Projection, ...] = ()
    """Matrices beside mixer and feed-forward, such as those of hyper-connections."""
    extra: tuple[Vector, ...] = ()
    parallel: bool = False
    """Whether mixer and feed-forward read the same input, and the residual stream takes both at once.

    One sum over tensor ranks would do for both, and a floor has no more. Engines take two all the same, for all of
    these models (NVIDIA/TensorRT-LLM, models/gptj, gptneox, phi, commandr, falcon; sgl-project/sglang,
    srt/models/commandr.py) or for most (vllm-project/vllm, model_executor/models/gpt_neox.py, phi.py, commandr.py, but
    once in falcon.py).
    """

    def matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """Every matrix that each token passes; those of routed experts are in `expert_matrices`."""
        mixer = self.mixer.matrices(hidden) if self.mixer else ()
        feed_forward = self.feed_forward.matrices(hidden) if self.feed_forward else ()
        return (*mixer, *feed_forward, *(projection.matrix() for projection in self.projections))

    def expert_matrices(self, hidden: int) -> tuple[Matrix, ...]:
        """The matrices of one routed expert, or none."""
        return self.feed_forward.expert_matrices(hidden) if self.feed_forward else ()

    def vectors(self, hidden: int) -> tuple[Vector, ...]:
        """Norms, biases and other weights that are not matrices, those of routed experts apart."""
        found = list(self.extra)
        if self.norms:
            found.append(Vector(name="norms", elements=self.norms * hidden))
        for part in (self.mixer, self.feed_forward):
            if part is not None:
                found.extend(part.vectors(hidden))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Exact numbers of parameters, by part [1].

    The parts sum to `total`. `active` are those one token passes, embedding and head included, a tied table once;
    `active_nonembedding` leaves out input embedding, head and lookup tables; `active_matmul` is that plus one head,
    tied or not, so that twice it is the FLOP spent on weights per token.
    """

    embedding: int
    lm_head: int
    attention: int
    linear_mixer: int
    dense_ffn: int
    experts: int
    shared_experts: int
    router: int
    norm_other: int
    total: int
    active: int
    active_nonembedding: int
    active_matmul: int


class ModelShape(Shape):
    """A language model as a shape: what it weighs, what it keeps per token, what it multiplies.

    `hidden` is the width of the residual stream, `vocab` the rows of the embedding as stored, padding included. `tied`
    models use one table for embedding and head. `checkpoint` is the format the published weights are stored in.
    """

    name: str
    hidden: Size
    vocab: Size
    layers: tuple[Layer, ...] = Field(min_length=1)
    tied: bool
    max_context: Size | None = None
    """Longest sequence the checkpoint declares [token], or None where it declares none."""
    positions: Count = 0
    """Rows of a table of learned positions."""
    embedding_width: Size | None = None
    """Width of embedding and head where it is not `hidden`; two projections then join them to the layers."""
    head_bias: bool = False
    lookup: Count = 0
    """Elements of tables that are looked up and not multiplied, such as per-layer embeddings."""
    projections: tuple[Projection, ...] = ()
    """Matrices outside the layers that every token passes."""
    extra: tuple[Vector, ...] = ()
    """Norms and other vectors outside the layers."""
    checkpoint: Quantization = PRESETS["bf16"]
    source: str = ""
    """Where the shape was read."""
    assumptions: tuple[str, ...] = ()
    """What had to be assumed to read it, one sentence each."""

    @cached_property
    def _groups(self) -> tuple[tuple[Layer, int], ...]:
        return _grouped(self.layers)

    def groups(self, start: int = 0, stop: int | None = None) -> tuple[tuple[Layer, int], ...]:
        """Distinct layers with how often each occurs in `layers[start:stop]`, in order of first appearance."""
        return self._groups if start == 0 and stop is None else _grouped(self.layers[start:stop])

    @cached_property
    def pattern(self) -> tuple[int, ...]:
        """For every layer in order, which of `groups()` it is."""
        kinds = {layer: kind for kind, (layer, _) in enumerate(self._groups)}
        return tuple(kinds[layer] for layer in self.layers)

    @cached_property
    def _told(self) -> tuple[object, ...]:
        """All that tells it from others; layers that are alike count once, for there may be a hundred of them."""
        fields = self._fields()
        del fields["layers"]
        return (*fields.values(), self._groups, self.pattern)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, ModelShape) and self._told == other._told)

    __hash__ = Shape.__hash__

    @property
    def head(self) -> Matrix:
        """The output head as a matrix, tied or not."""
        return Matrix("lm_head", self.embedding_width or self.hidden, self.vocab, "columns", "lm_head")

    def matrices(self) -> tuple[Matrix, ...]:
        """Matrices outside the layers that every token passes, the head apart."""
        return tuple(projection.matrix() for projection in self.projections)

    def parameters(self) -> Parameters:
        """Exact parameter counts by part."""
        return self._parameters

    @cached_property
    def _parameters(self) -> Parameters:
        parts: dict[str, int] = dict.fromkeys(PARTS, 0)
        parts["embedding"] = self.vocab * self.head.inner + self.positions * self.hidden
        parts["lm_head"] = (0 if self.tied else self.head.elements) + (self.vocab if self.head_bias else 0)
        parts["norm_other"] = self.lookup
        _add(parts, (*self.matrices(), *self.extra))
        idle = Fraction(0)
        for layer, count in self.groups():
            _add(parts, (*layer.matrices(self.hidden), *layer.vectors(self.hidden)), count)
            if isinstance(layer.feed_forward, MoE):
                experts = layer.feed_forward
                routed = count * experts.experts * experts.expert_elements(self.hidden)
                parts["experts"] += routed
                idle += routed * (1 - Fraction(experts.top_k, experts.experts + experts.zero_experts))
        total = sum(parts.values())
        active = round(total - idle)
        nonembedding = active - parts["embedding"] - parts["lm_head"] - self.lookup
        return Parameters(
            **parts,
            total=total,
            active=active,
            active_nonembedding=nonembedding,
            active_matmul=nonembedding + self.head.elements + (self.vocab if self.head_bias else 0),
        )

    def kv_elements(self, context: Num) -> Num:
        """Elements in the key-value cache of a sequence of `context` tokens, over all layers [1]."""
        context = at_the_door(context)
        return _total(context, [(layer.mixer.kv_elements(context), n) for layer, n in self.groups() if layer.mixer])

    def kv_bytes(self, context: Num, kv_cache: str = "bf16") -> Num:
        """Bytes of the key-value cache of a sequence of `context` tokens [B].

        Windows are honoured; index keys and recurrent states are not included. Exact for whole numbers.
        """
        return stored_bytes(self.kv_elements(context), kv_cache)

    def index_bytes(self, context: Num, index_cache: str = "bf16") -> Num:
        """Bytes of the index keys of sparse attention for a sequence of `context` tokens [B]."""
        context = at_the_door(context)
        elements = [(layer.mixer.index_elements(context), n) for layer, n in self.groups() if layer.mixer]
        return stored_bytes(_total(context, elements), index_cache)

    def state_bytes(self, recurrent: str = "fp32", convolution: str = "bf16") -> int:
        """Bytes of recurrent and convolution states of one sequence, whatever its length [B]."""
        mixers = [(layer.mixer, count) for layer, count in self.groups() if layer.mixer]
        states = sum(count * mixer.recurrent_elements for mixer, count in mixers)
        filters = sum(count * mixer.convolution_elements for mixer, count in mixers)
        return cast("int", stored_bytes(states, recurrent) + stored_bytes(filters, convolution))

    def cache_bytes(self, context: Num, kv_cache: str = "bf16", state: str = "fp32") -> Num:
        """All that a sequence of `context` tokens keeps: keys and values, index keys, states [B]."""
        return self.kv_bytes(context, kv_cache) + self.index_bytes(context, kv_cache) + self.state_bytes(state)


def at_the_door(context: Num) -> Num:
    """Arrays as float64 and numpy's whole numbers as Python's: neither of them wraps around.

    `InvalidInput` for what is no number of tokens.
    """
    expected = "tokens: a number from 0, an array of them, or a sympy symbol"
    if isinstance(context, bool) or kind(context) not in (SCALAR, ARRAY, SYMBOL):
        raise InvalidInput("context", given=context, expected=expected)
    if kind(context) == SYMBOL:
        return context
    numbers = np.asarray(context)
    if numbers.dtype.kind not in "iufO" or numbers.size == 0 or not (numbers >= 0).all():
        raise InvalidInput("context", given=context, expected=expected)
    if kind(context) == ARRAY:
        return cast("Num", numbers.astype(np.float64))
    return int(context) if isinstance(context, np.integer) else context


def stored_bytes(elements: Num, number_format: str) -> Num:
    """Bytes that `elements` take in a number format, scales included [B].

    A whole number of whole bytes stays an int; arrays become floats, symbols keep exact coefficients.

    >>> stored_bytes(1024, "nvfp4")
    576
    """
    size = width(number_format)
    if isinstance(elements, int):
        exact = elements * size
        return cast("Num", exact.numerator if exact.denominator == 1 else float(exact))
    if isinstance(elements, Fraction):
        return cast("Num", elements * size)
    scaled: Num = elements * size.numerator / size.denominator
    return scaled


def _add(parts: dict[str, int], weights: Iterable[Matrix | Vector], count: int = 1) -> None:
    for weight in weights:
        parts[weight.part] += count * weight.elements


def _total(context: Num, terms: list[tuple[Num, int]]) -> Num:
    total: Num = context * 0
    for elements, count in terms:
        total = total + elements * count
    return total


def _grouped(layers: tuple[Layer, ...]) -> tuple[tuple[Layer, int], ...]:
    counts: dict[Layer, int] = {}
    for layer in layers:
        counts[layer] = counts.get(layer, 0) + 1
    return tuple(counts.items())
