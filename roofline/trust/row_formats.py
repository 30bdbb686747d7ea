"""The formats that a measured row means, and those that it does not record, by checkpoint, stack and part."""

from __future__ import annotations

from roofline.describe.catalog import accelerator
from roofline.describe.formats import PRESETS, Quantization, number_format
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.model import ModelShape
from roofline.errors import UnsupportedFormat
from roofline.trust.loose_text import mixed_formats

_SPELLINGS = {
    "fp16": "bf16",
    "bfloat16": "bf16",
    "int4": "w4a16",
    "awq": "w4a16",
    "gptq": "w4a16",
    "gguf-q4_k_m": "w4a16",
    "int8-wo": "w8a16",
}
_STORED = {"fp8": ("fp8", "fp8_block"), "w4a16": ("int4",), "w8a16": ("int8",)}
"""Formats of weights by a name that is not one itself."""
CACHES = ("fp8", "bf16", "int8", "fp32", "nvfp4")
"""Formats of a cache that a row may name."""
_BLOCKWISE = "qwen3"
"""Models whose publisher's fp8 checkpoints, `Qwen/Qwen3-32B-FP8` and later, have a scale for each 128 x 128 block."""
_OWN_CHECKPOINTS = ("tensorrt-llm",)
"""Stacks whose vendor publishes fp8 checkpoints of its own, with a scale for each tensor, and one for the cache."""
_FP8_CACHES = ("tensorrt-llm", "atom")
"""Stacks that are launched with an fp8 cache wherever they multiply in 8 bits or fewer."""
_LINEAR_LAYERS = {
    ("nvfp4", "deepseek"): "nvfp4",
    ("nvfp4", "kimi"): "bf16",
    ("nvfp4", ""): "fp8",
    ("mxfp4", ""): "bf16",
}
"""Formats of the linear layers of mixtures whose experts have 4 bits, by how the model's name begins.

Most have 8 bits in NVIDIA's checkpoints (`nvidia/MiniMax-M3-NVFP4`, `nvidia/Qwen3.6-35B-A3B-NVFP4`), but 16 in those of
Kimi (`nvidia/Kimi-K2.6-NVFP4`) and 4 in those of DeepSeek-R1, where output projections, dense and shared layers are in
4 bits too (`nvidia/DeepSeek-R1-0528-FP4-v2`). AMD's are taken to keep them in 16.
"""


def formats(
    shape: ModelShape, part_name: str, stack: str, quantization: str, cache: str, all_reduce: str = "bf16"
) -> Quantization:
    """The formats of a row; `quantization` names the bulk of the weights, as it was written.

    Where the checkpoint has that bulk, its own formats are taken, and where fp8 is named and it has a narrower one:
    nobody widens experts to 8 bits. `fp4` is the layout of the part's vendor. Experts in MXFP4 are multiplied with
    MXFP8 activations where the part has 4-bit products; elsewhere in 16 bits where the other layers are. A mixture in
    4 bits has its experts in them.
    """
    part, own = accelerator(part_name), shape.checkpoint
    name = _SPELLINGS.get(quantization, quantization)
    if name == "fp4":
        name = "mxfp4" if own.experts == "mxfp4" or part.vendor == "AMD" else "nvfp4"
    bulk = own.experts or own.weights
    published = not name or bulk in _STORED.get(name, (name,)) or (name == "fp8" and _bits(bulk) < 8)
    if published and own.experts == "mxfp4" and "mxfp4" in part.peak:
        chosen = own.with_(activations="mxfp8")
    elif published and own.experts == "mxfp4" and _bits(own.weights) > 8:
        chosen = own.with_(activations="bf16")
    elif published:
        chosen = own
    elif name == "fp8" and shape.name.startswith(_BLOCKWISE) and stack not in _OWN_CHECKPOINTS:
        chosen = PRESETS[name].with_(weights="fp8_block")
    elif name in ("nvfp4", "mxfp4") and shape.parameters().experts:
        chosen = PRESETS[name].with_(weights=_beside_experts(name, shape.name), experts=name)
    elif name in PRESETS:
        chosen = PRESETS[name]
    elif (mixed := mixed_formats(name)) is not None:
        chosen = mixed
    else:
        raise UnsupportedFormat("quantization", given=quantization, expected=f"one of {', '.join(PRESETS)}")
    kept = cache if cache in CACHES else _unrecorded_cache(chosen, name, stack, part)
    return chosen.with_(kv_cache=kept, all_reduce=all_reduce)


def _beside_experts(name: str, model: str) -> str:
    return next(
        kept for (four_bits, begins), kept in _LINEAR_LAYERS.items() if four_bits == name and model.startswith(begins)
    )


def _unrecorded_cache(chosen: Quantization, name: str, stack: str, part: HbmAccelerator | SramAccelerator) -> str:
    """fp8 beside weights of 8 bits or fewer on parts with 4-bit products, whose launch scripts ask for it; elsewhere
    where the stack does, or the checkpoint brings scales for it, as those with a scale for each tensor do. SGLang does
    not look for these.
    """
    if name in ("w4a16", "w8a16") or _bits(chosen.experts or chosen.weights) > 8:
        return "bf16"
    if part.scales_blocks:
        return "fp8"
    if stack == "sglang":
        return "bf16"
    multiplied = chosen.activations != "bf16" and (stack in _FP8_CACHES or chosen.weights == "fp8")
    return "fp8" if multiplied else "bf16"


def _bits(name: str) -> int:
    return number_format(name).element_bits
