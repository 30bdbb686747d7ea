"""What fits: weights, caches and activations against the usable memory of the fullest device."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from roofline.describe.catalog import part_class
from roofline.describe.feedforward import MoE
from roofline.describe.formats import Quantization, width
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.machine import Tier
from roofline.describe.mixers import Mixer
from roofline.describe.model import Layer, ModelShape
from roofline.describe.parts import Matrix
from roofline.equations.attention import kv_heads_per_rank
from roofline.equations.rooflines import tier_bytes
from roofline.estimate.layout import Layout, stages
from roofline.estimate.sharding import rank_shape, state_bytes
from roofline.estimate.work import HIDDEN_WIDTH, exact_width
from roofline.numeric import Num, ceil, maximum


@dataclass(frozen=True, slots=True)
class Held:
    """What lies in one memory tier of all devices of a replica: `weights_bytes`, and `cache_bytes` of the batch [B]."""

    tier: str
    usable_bytes: float
    weights_bytes: Any
    cache_bytes: Any


@dataclass(frozen=True)
class Capacity:
    """Whether and how a model fits on the devices of one replica, at a context.

    `weights_bytes` of one copy of the model and `kv_bytes_per_sequence` of one copy of a sequence's caches [B];
    `usable_bytes` of all devices of a replica [B]: what the driver reports, or else the cited capacity, less the
    runtime's reserve. `max_batch` sequences fit on one replica [1], limited by the fullest device, where caches may be
    replicated; `shortfall_bytes` is what is missing over all devices for the batch asked about [B].
    `device_weights_bytes` and `device_usable_bytes` are those of the fullest device [B]; `min_devices` is the smallest
    count on which some layout fits [1]. `tiers` says what lies where.
    """

    fits: Any
    weights_bytes: int
    kv_bytes_per_sequence: Any
    usable_bytes: float
    max_batch: Any
    shortfall_bytes: Any
    min_devices: int | None
    device_weights_bytes: float
    device_usable_bytes: float
    layout: Layout
    tiers: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """Memory needs of one kind of stage on each of its devices: `weights` [B], `mixers` whose caches it holds."""

    weights: float
    mixers: tuple[tuple[Mixer, int], ...]
    devices: int


@dataclass(frozen=True)
class Memory:
    """A model's needs on a layout against a part's `usable` bytes per device, and those of `further` memory tiers.

    Weights are placed first, then caches; the nearest tier is filled before the next.
    """

    layout: Layout
    quantization: Quantization
    usable: float
    activations: float
    """Bytes of activations that each sequence keeps on a device; 0 where the runtime's reserve covers them."""
    rooms: tuple[Room, ...]
    further: tuple[float, ...] = ()
    """Usable bytes per device of further tiers, the nearest first."""

    @classmethod
    def of(
        cls,
        model: ModelShape,
        accelerator: HbmAccelerator | SramAccelerator,
        layout: Layout,
        quantization: Quantization,
    ) -> Memory:
        """Count what every distinct stage holds."""
        rooms = _rooms(model, layout, quantization)
        activations = _activation_bytes(model, layout) if accelerator.kind == "sram" else 0.0
        nearest, *others = accelerator.numbers().tiers
        further = tuple(float(tier.usable) for tier in others)  # type: ignore[arg-type]
        return cls(layout, quantization, usable_bytes(accelerator.kind, nearest), activations, rooms, further)

    @property
    def room(self) -> float:
        """Bytes per device that weights and caches may take in all tiers."""
        return self.usable + sum(self.further)

    def sequence_bytes(self, room: Room, context: Num) -> Num:
        """Bytes that one more sequence of `context` tokens takes on one device of a stage [B]."""
        total: Num = self.activations
        for mixer, count in room.mixers:
            total = total + count * _cache_bytes(mixer, self.layout.tp, self.quantization, context)
        return total

    def largest_batch(self, context: Any) -> Any:
        """Sequences of `context` tokens that fit on one replica, 0 where the weights alone do not [1]."""
        largest: Any = np.inf
        for room in self.rooms:
            each: Any = self.sequence_bytes(room, context)
            # A stage without caches is limited by its weights alone, so a sequence may take nothing.
            free = np.floor((self.room - room.weights) / np.maximum(each, 1e-9))
            largest = np.minimum(largest, free)
        batch = np.maximum(largest, 0) * self.layout.dp
        return batch if isinstance(batch, np.ndarray) and batch.ndim else float(batch)

    def fits(self, batch: Any, context: Any) -> Any:
        """Whether `batch` sequences of `context` tokens fit on every device."""
        sequences = np.ceil(batch if self.layout.dp == 1 else batch / self.layout.dp)
        fits: Any = True
        for room in self.rooms:
            each: Any = self.sequence_bytes(room, context)
            fits = fits & (sequences * each <= self.room - room.weights)
        return fits

    def shortfall(self, batch: Any, context: Any) -> Any:
        """Bytes missing over all devices of one replica for `batch` sequences of `context` tokens [B]; 0: they fit."""
        sequences = np.ceil(batch if self.layout.dp == 1 else batch / self.layout.dp)
        missing: Any = 0.0
        for room in self.rooms:
            need: Any = sequences * self.sequence_bytes(room, context)
            missing = missing + np.maximum(need - (self.room - room.weights), 0) * room.devices
        return missing if isinstance(missing, np.ndarray) and missing.ndim else float(missing)

    def placed(self, batch: Num, context: Num) -> tuple[tuple[Num, Num], ...]:
        """Bytes of weights and of caches in every tier, over all devices of a replica [B], the nearest first."""
        sequences = ceil(batch if self.layout.dp == 1 else batch / self.layout.dp)
        found: list[tuple[Num, Num]] = []
        below = 0.0
        for capacity in (self.usable, *self.further):
            weights: Num = 0
            caches: Num = 0
            for room in self.rooms:
                each = sequences * self.sequence_bytes(room, context)
                weights = weights + room.devices * tier_bytes(0, room.weights, below, capacity)
                caches = caches + room.devices * tier_bytes(room.weights, each, below, capacity)
            found.append((weights, caches))
            below += capacity
        return tuple(found)

    def far_shares(self, batch: Num, context: Num) -> tuple[tuple[Num, Num], ...]:
        """Shares of the weights and of the caches in each further tier [1]; all stages are taken to spill alike."""
        placed = self.placed(batch, context)
        weights, caches = (reduce(operator.add, each) for each in zip(*placed, strict=True))
        return tuple((near / maximum(weights, 1), far / maximum(caches, 1)) for near, far in placed[1:])


def usable_bytes(kind: str, nearest: Tier) -> float:
    """Memory that weights and caches may take on a device of a class of parts: less the runtime's reserve [B]."""
    reserve = part_class(kind).reserve
    return float(nearest.usable) * (1 - (reserve.value if reserve else 0.0))  # type: ignore[arg-type]


def model_bytes(model: ModelShape, quantization: Quantization) -> int:
    """Bytes of one copy of the model's weights, each part in its format [B]."""
    counts = model.parameters()
    wide = counts.embedding + counts.lm_head + counts.router + counts.norm_other
    linear = counts.attention + counts.linear_mixer + counts.dense_ffn + counts.shared_experts
    total = (
        wide * width(quantization.storage("lm_head"))
        + linear * width(quantization.storage("linear"))
        + counts.experts * width(quantization.storage("experts"))
    )
    return -(-total.numerator // total.denominator)


def sequence_bytes(model: ModelShape, quantization: Quantization, context: Num) -> Num:
    """Bytes of one copy of a sequence's caches: keys and values and index keys in the cache's format, states [B]."""
    cached, state = quantization.kv_cache, quantization.state
    return model.kv_bytes(context, cached) + model.index_bytes(context, cached) + model.state_bytes(state)


@lru_cache(maxsize=4096)  # a search for a layout asks of the same few for every batch
def _rooms(model: ModelShape, layout: Layout, quantization: Quantization) -> tuple[Room, ...]:
    """What every distinct stage holds."""
    groups = model.groups()
    ranks = (layout.tp, layout.tp // layout.sharing, layout.ep, layout.expert_tp)
    held = [_layer_bytes(layer, model.hidden, *ranks, quantization) for layer, _ in groups]
    table = _elements(model.head, layout.tp * layout.vocab, 1) * exact_width(quantization.lm_head)
    bias = -(-model.vocab // (layout.tp * layout.vocab)) * exact_width(quantization.lm_head) * model.head_bias
    outside = _outside_bytes(model, layout, quantization)
    rooms = []
    for stage, count in stages(model, layout):
        weights = sum(each * number for each, number in zip(held, stage.layers, strict=True))
        weights += (table + outside) * stage.embedding
        weights += table * (stage.head and not (model.tied and stage.embedding)) + bias * stage.head
        mixers = tuple(
            (layer.mixer, number)
            for (layer, _), number in zip(groups, stage.layers, strict=True)
            if number and layer.mixer is not None
        )
        rooms.append(Room(weights, mixers, count * layout.expert_group))
    return tuple(rooms)


@lru_cache(maxsize=4096)  # a search for a layout asks of the same few layers at every length of a pipeline
def _layer_bytes(
    layer: Layer, hidden: int, tp: int, around: int, ep: int, expert_tp: int, quantization: Quantization
) -> float:
    """Bytes of one layer's weights on one device, what is around experts cut over `around` ranks [B]."""
    linear, wide = exact_width(quantization.weights), exact_width(quantization.lm_head)
    kv_heads = getattr(layer.mixer, "kv_heads", 1) or 1
    mixture, held = layer.feed_forward, 0.0
    beside = mixture.matrices(hidden) if isinstance(mixture, MoE) else ()
    for matrix in layer.matrices(hidden):
        stored = wide if matrix.part in ("router", "norm_other") else linear
        held += _elements(matrix, around if matrix in beside else tp, kv_heads) * stored
    held += sum(vector.elements for vector in layer.vectors(hidden)) * wide
    if isinstance(mixture, MoE):
        elements = [matrix.elements for matrix in mixture.expert_matrices(hidden)]
        elements += [vector.elements for vector in mixture.expert_vectors(hidden)]
        one = sum(elements) * exact_width(quantization.storage("experts"))
        held += -(-mixture.experts // ep) * one / expert_tp
    return held


def _outside_bytes(model: ModelShape, layout: Layout, quantization: Quantization) -> float:
    """Bytes of what stands beside the embedding: positions, lookups, projections and norms outside the layers [B]."""
    elements = [matrix.elements for matrix in model.matrices()] + [vector.elements for vector in model.extra]
    tables = (model.positions * model.hidden + model.lookup) / layout.tp
    return (sum(elements) + tables) * exact_width(quantization.lm_head)


def _elements(matrix: Matrix, tp: int, kv_heads: int) -> int:
    inner, columns = rank_shape(matrix, tp, kv_heads)
    return inner * columns


def _cache_bytes(mixer: Mixer, tp: int, quantization: Quantization, context: Num) -> Num:
    """Bytes that one layer keeps of one sequence on one device [B]."""
    cached = exact_width(quantization.kv_cache)
    kv_heads = getattr(mixer, "kv_heads", 1) or 1
    share = float(kv_heads_per_rank(kv_heads, tp)) / kv_heads  # type: ignore[arg-type]
    state = state_bytes(mixer, quantization)
    return mixer.kv_elements(context) * (cached * share) + mixer.index_elements(context) * cached + state / tp


def _activation_bytes(model: ModelShape, layout: Layout) -> float:
    """Bytes of activations of one sequence in decode, its share over the stages [B].

    The residual stream twice and the widest product, alive at once in the stage that the micro-batch is in.
    """
    widest = max(_widest(layer, model.hidden, layout.tp) for layer, _ in model.groups())
    return (2 * model.hidden + widest) * HIDDEN_WIDTH / layout.pp


@lru_cache(maxsize=4096)
def _widest(layer: Layer, hidden: int, tp: int) -> int:
    """Columns of the widest matrix of a layer on one device [1]."""
    kv_heads = getattr(layer.mixer, "kv_heads", 1) or 1
    matrices = (*layer.matrices(hidden), *layer.expert_matrices(hidden))
    return max((rank_shape(matrix, tp, kv_heads)[1] for matrix in matrices), default=0)
