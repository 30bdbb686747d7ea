"""What fits: weights, caches and activations against the usable memory of the fullest device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from roofline.describe.catalog import part_class
from roofline.describe.feedforward import MoE
from roofline.describe.formats import Quantization, width
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.mixers import Mixer
from roofline.describe.model import ModelShape
from roofline.describe.parts import Matrix
from roofline.equations.attention import kv_heads_per_rank
from roofline.estimate.layout import Layout, Stage, stages
from roofline.estimate.work import HIDDEN_WIDTH, exact_width, rank_shape
from roofline.numeric import Num


@dataclass(frozen=True)
class Capacity:
    """Whether and how a model fits on the devices of one replica, at a context.

    `weights_bytes` of one copy of the model and `kv_bytes_per_sequence` of one copy of a sequence's caches [B];
    `usable_bytes` of all devices of a replica [B]: what the driver reports, or else the cited capacity, less the
    runtime's reserve. `max_batch` sequences fit on one replica [1], limited by the fullest device, where caches may be
    replicated; `shortfall_bytes` is what is missing over all devices for the batch asked about [B].
    `device_weights_bytes` and `device_usable_bytes` are those of the fullest device [B].
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


@dataclass(frozen=True, slots=True)
class Room:
    """Memory needs of one kind of stage, per device: `weights` [B], and what each sequence adds."""

    weights: float
    stage: Stage
    count: int


def usable_bytes(accelerator: HbmAccelerator | SramAccelerator) -> float:
    """Memory of one device that weights and caches may take [B]."""
    reserve = part_class(accelerator.kind).reserve
    usable = float(accelerator.numbers().memory.usable)  # type: ignore[arg-type]
    return usable * (1 - (reserve.value if reserve else 0.0))


def model_bytes(model: ModelShape, quantization: Quantization) -> int:
    """Bytes of one copy of the model's weights, each part in its format [B]."""
    counts = model.parameters()
    wide = counts.embedding + counts.lm_head + counts.router + counts.norm_other
    linear = counts.attention + counts.linear_mixer + counts.dense_ffn + counts.shared_experts
    total = (
        wide * width(quantization.lm_head)
        + linear * width(quantization.weights)
        + counts.experts * width(quantization.storage("experts"))
    )
    return int(total) if total.denominator == 1 else int(total) + 1


@lru_cache(maxsize=1024)
def rooms(model: ModelShape, layout: Layout, quantization: Quantization) -> tuple[Room, ...]:
    """Memory needs of each distinct stage, on its fullest device."""
    return tuple(
        Room(_stage_weights(model, stage, layout, quantization), stage, count)
        for stage, count in stages(model, layout.pp)
    )


def _stage_weights(model: ModelShape, stage: Stage, layout: Layout, quantization: Quantization) -> float:
    linear, wide = exact_width(quantization.weights), exact_width(quantization.lm_head)
    total = 0.0
    for layer, count in stage.layers:
        kv_heads = getattr(layer.mixer, "kv_heads", 1) or 1
        held = sum(
            _elements(matrix, layout.tp, kv_heads) * (wide if matrix.part in ("router", "norm_other") else linear)
            for matrix in layer.matrices(model.hidden)
        )
        held += sum(vector.elements for vector in layer.vectors(model.hidden)) * wide
        mixture = layer.feed_forward
        if isinstance(mixture, MoE):
            elements = [matrix.elements for matrix in mixture.expert_matrices(model.hidden)]
            elements += [vector.elements for vector in mixture.expert_vectors(model.hidden)]
            one = sum(elements) * exact_width(quantization.storage("experts"))
            held += -(-mixture.experts // layout.ep) * one / layout.expert_tp
        total += held * count
    table = _elements(model.head, layout.tp, 1) * wide
    outside = [matrix.elements for matrix in model.matrices()] + [vector.elements for vector in model.extra]
    if stage.embedding:
        total += table + (model.positions * model.hidden + model.lookup / layout.tp + sum(outside)) * wide
    if stage.head and not (model.tied and stage.embedding):
        total += table
    return total


def _elements(matrix: Matrix, tp: int, kv_heads: int) -> int:
    inner, columns = rank_shape(matrix, tp, kv_heads)
    return inner * columns


def cache_bytes_per_device(
    model: ModelShape, stage: Stage, layout: Layout, quantization: Quantization, context: Num
) -> Num:
    """Bytes that one sequence of `context` tokens keeps on one device of a stage [B]."""
    total: Num = context * 0
    for layer, count in stage.layers:
        if layer.mixer is not None:
            total = total + count * _mixer_cache(layer.mixer, layout.tp, quantization, context)
    return total


def _mixer_cache(mixer: Mixer, tp: int, quantization: Quantization, context: Num) -> Num:
    cached = exact_width(quantization.kv_cache)
    kv_heads = getattr(mixer, "kv_heads", 1) or 1
    share = float(kv_heads_per_rank(kv_heads, tp)) / kv_heads  # type: ignore[arg-type]
    state = mixer.recurrent_elements * exact_width("fp32") + mixer.convolution_elements * exact_width("bf16")
    return mixer.kv_elements(context) * (cached * share) + mixer.index_elements(context) * cached + state / tp


def activation_bytes(model: ModelShape, layout: Layout, rows: Num) -> Num:
    """Bytes of activations alive at once on one device: the residual stream twice and the widest product [B]."""
    widest = max(
        (rank_shape(matrix, layout.tp, getattr(layer.mixer, "kv_heads", 1) or 1)[1] * HIDDEN_WIDTH)
        for layer, _ in model.groups()
        for matrix in (*layer.matrices(model.hidden), *layer.expert_matrices(model.hidden))
    )
    return rows * (2 * model.hidden * HIDDEN_WIDTH + widest)


def sequence_bytes(
    model: ModelShape,
    accelerator: HbmAccelerator | SramAccelerator,
    stage: Stage,
    layout: Layout,
    quantization: Quantization,
    context: Num,
) -> Num:
    """Bytes that one more sequence of `context` tokens takes on one device of a stage [B].

    Its cache, and on parts without DRAM its share of the activations of a micro-batch; elsewhere the runtime's reserve
    covers activations.
    """
    cache = cache_bytes_per_device(model, stage, layout, quantization, context)
    if accelerator.kind == "hbm":
        return cache
    return cache + activation_bytes(model, layout, 1) / layout.pp


def largest_batch(
    model: ModelShape,
    accelerator: HbmAccelerator | SramAccelerator,
    layout: Layout,
    quantization: Quantization,
    context: Any,
) -> Any:
    """Sequences of `context` tokens that fit on one replica, 0 where the weights alone do not [1]."""
    usable = usable_bytes(accelerator)
    largest: Any = np.inf
    for room in rooms(model, layout, quantization):
        each: Any = sequence_bytes(model, accelerator, room.stage, layout, quantization, context)
        # A stage of layers without caches is limited by its weights alone.
        free = np.floor((usable - room.weights) / np.maximum(each, 1e-9))
        largest = np.minimum(largest, free)
    batch = np.maximum(largest, 0) * layout.dp
    return batch if isinstance(batch, np.ndarray) and batch.ndim else float(batch)


def shortfall(
    model: ModelShape,
    accelerator: HbmAccelerator | SramAccelerator,
    layout: Layout,
    quantization: Quantization,
    *,
    batch: Any,
    context: Any,
) -> Any:
    """Bytes missing over all devices of one replica for `batch` sequences of `context` tokens, 0 where they fit [B]."""
    usable = usable_bytes(accelerator)
    sequences = np.ceil(np.asarray(batch, dtype=float) / layout.dp)
    missing: Any = 0.0
    for room in rooms(model, layout, quantization):
        each: Any = sequence_bytes(model, accelerator, room.stage, layout, quantization, context)
        need = room.weights + sequences * each
        missing = missing + np.maximum(need - usable, 0) * (room.count * layout.expert_group)
    return missing if isinstance(missing, np.ndarray) and missing.ndim else float(missing)
