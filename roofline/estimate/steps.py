"""A model on a layout under a load becomes a `Step`: what every stage does, and how often."""

from __future__ import annotations

from roofline.describe.formats import Quantization
from roofline.describe.machine import Machine
from roofline.describe.model import Layer, ModelShape
from roofline.equations.pipelines import micro_batch, micro_batches
from roofline.estimate.layout import Layout, stages
from roofline.estimate.network import stage_hops
from roofline.estimate.timing import Step
from roofline.estimate.work import (
    HIDDEN_WIDTH,
    Load,
    decode_load,
    embedding_kernels,
    head_kernels,
    layer_kernels,
    prefill_load,
)
from roofline.numeric import Num


def decode_step(
    model: ModelShape, layout: Layout, quantization: Quantization, machine: Machine, *, batch: Num, context: Num
) -> Step:
    """One token for each of `batch` sequences, whose caches cover `context` tokens, the new one included."""
    share = batch if layout.pp == 1 else micro_batch(batch, layout.pp)
    load = decode_load(share, context, layout)
    return _step(model, layout, quantization, machine, load, 1 if layout.pp == 1 else micro_batches(batch, share))


def prefill_step(
    model: ModelShape,
    layout: Layout,
    quantization: Quantization,
    machine: Machine,
    *,
    batch: Num,
    prompt: Num,
    cached: Num,
) -> Step:
    """All tokens of `batch` prompts of `prompt` tokens, of which `cached` are in the cache already."""
    share = batch if layout.pp == 1 else micro_batch(batch, layout.pp)
    load = prefill_load(share, prompt, cached, layout)
    return _step(model, layout, quantization, machine, load, 1 if layout.pp == 1 else micro_batches(batch, share))


def _step(
    model: ModelShape, layout: Layout, quantization: Quantization, machine: Machine, load: Load, passes: Num
) -> Step:
    kernels = {
        layer: tuple(kernel.item(load) for kernel in layer_kernels(layer, model, layout, quantization))
        for layer, _ in model.groups()
    }
    embedding = tuple(kernel.item(load) for kernel in embedding_kernels(model, layout))
    head = tuple(kernel.item(load) for kernel in head_kernels(model, layout, quantization))
    layers = list(kernels)
    counts = []
    for stage, number in stages(model, layout.pp):
        occurs: dict[Layer, int] = dict(stage.layers)
        by_layer = tuple(occurs.get(layer, 0) for layer in layers)
        counts.append(((*by_layer, int(stage.embedding), int(stage.head)), number))
    hops = stage_hops(layout.expert_group, layout.pp, machine.wires, machine.name)
    if hops and load.phase == "decode":  # the sampled token goes back to the first stage
        wire, number = hops[-1]
        hops = (*hops[:-1], (wire, number + 1))
    return Step(
        load.phase,
        (*kernels.values(), embedding, head),
        tuple(counts),
        passes,
        hops,
        load.rows * (model.hidden * HIDDEN_WIDTH),
    )
