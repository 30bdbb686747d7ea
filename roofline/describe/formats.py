"""Number formats, and which of them each part of a model is stored and computed in.

A format's width counts what a stored element really costs: block-scaled formats carry their scales.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from roofline.errors import InvalidInput, UnknownName


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """One number format.

    `element_bits` of an element, `scale_bits` shared by `block` elements; `runs_as` names the peaks that compute it at
    full rate, best first; `source` says where the layout is defined.
    """

    name: str
    element_bits: int
    runs_as: tuple[str, ...]
    source: str
    scale_bits: int = 0
    block: int = 1

    @property
    def bits(self) -> Fraction:
        """Bits per stored element, scales included [bit]."""
        return Fraction(self.element_bits) + Fraction(self.scale_bits, self.block)

    @property
    def width(self) -> Fraction:
        """Bytes per stored element, scales included [B]."""
        return self.bits / 8


_OCP_MX = "OCP Microscaling Formats (MX) Specification v1.0, 2023, table 1: blocks of 32 share an 8-bit scale"
_FORMATS = (
    NumberFormat("fp32", 32, ("fp32",), "IEEE 754-2019"),
    NumberFormat("tf32", 32, ("tf32",), "NVIDIA A100 whitepaper, 2020: stored as fp32"),
    NumberFormat("bf16", 16, ("bf16",), "Intel BFLOAT16 numerics definition, 2018"),
    NumberFormat("fp16", 16, ("fp16",), "IEEE 754-2019 binary16"),
    NumberFormat(
        "fp8",
        8,
        ("fp8", "mxfp8"),
        "Micikevicius et al., FP8 Formats for Deep Learning, arXiv:2209.05433: tensor scales",
    ),
    NumberFormat(
        "fp8_block",
        8,
        ("fp8", "mxfp8"),
        "DeepSeek-V3, arXiv:2412.19437 §3.3: 128×128 blocks share an fp32 scale",
        32,
        128 * 128,
    ),
    NumberFormat("mxfp8", 8, ("mxfp8", "fp8"), _OCP_MX, 8, 32),
    NumberFormat("mxfp6", 6, ("mxfp6", "fp6"), _OCP_MX, 8, 32),
    NumberFormat("mxfp4", 4, ("mxfp4", "fp4"), _OCP_MX, 8, 32),
    NumberFormat(
        "nvfp4", 4, ("nvfp4", "fp4"), "NVIDIA, Introducing NVFP4, 2025: blocks of 16 share an fp8 scale", 8, 16
    ),
    NumberFormat("int8", 8, ("int8",), "Dettmers et al., LLM.int8(), arXiv:2208.07339: channel scales"),
    NumberFormat("mxint8", 8, ("mxint8",), _OCP_MX, 8, 32),
    NumberFormat("mxint4", 4, ("mxint4",), "d-Matrix block floating point: as MXINT8 with 4-bit elements", 8, 32),
    NumberFormat(
        "int4", 4, ("int4",), "Lin et al., AWQ, arXiv:2306.00978: groups of 128 share a 16-bit scale", 16, 128
    ),
)
FORMATS: dict[str, NumberFormat] = {number_format.name: number_format for number_format in _FORMATS}

INDEX_SCORES = "fp8"
"""Format in which sparse attention scores its index keys.

So in the reference (deepseek-ai/DeepSeek-V3.2-Exp, inference/kernel.py, `fp8_index`) and in engines (vllm-project/vllm,
model_executor/layers/sparse_attn_indexer.py, `fp8_mqa_logits` of deep_gemm), whatever the rest is computed in.
"""


def number_format(name: str) -> NumberFormat:
    """The format of that name; `UnknownName` with the nearest ones otherwise.

    >>> float(number_format("mxfp4").bits)
    4.25
    """
    try:
        return FORMATS[name]
    except (KeyError, TypeError):
        raise UnknownName("number format", given=name, known=FORMATS, expected=", ".join(FORMATS)) from None


def width(name: str) -> Fraction:
    """Bytes per stored element of a format, scales included [B].

    >>> width("nvfp4")
    Fraction(9, 16)
    """
    return number_format(name).width


class Quantization(BaseModel):
    """Which format each part of a model is stored and computed in.

    `weights` of the linear layers; `experts` of the routed experts where they differ (None: as `weights`); `lm_head` of
    embedding, head, router and norms; `activations` is the format matrix multiplications run in (weights stored wider
    than it run in their own format); `kv_cache` of the cache, `state` of recurrent states, `attention` of the score and
    value products; `all_reduce` of the sums that cross between tensor ranks, of which small ones cross in 16 bits.

    States are in fp32 unless said otherwise: "only `float32` is known to have no accuracy issues by default"
    (vllm-project/vllm, model_executor/models/config.py, of `mamba_ssm_cache_dtype`), and `mamba_ssm_dtype` of published
    configs says so. Engines let it be set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str
    experts: str | None = None
    lm_head: str = "bf16"
    activations: str = "bf16"
    kv_cache: str = "bf16"
    state: str = "fp32"
    attention: str = "bf16"
    all_reduce: str = "bf16"

    def __init__(self, **formats: Any) -> None:
        """Raises `UnknownName` for a part or a format that does not exist, with the nearest."""
        for part, name in formats.items():
            if part not in type(self).model_fields:
                raise UnknownName("part of a quantization", given=part, known=type(self).model_fields)
            if (name is not None or part != "experts") and (not isinstance(name, str) or name not in FORMATS):
                expected = f"one of {', '.join(FORMATS)}"
                raise UnknownName(f"{part} of a quantization", given=name, known=FORMATS, expected=expected)
        if "weights" not in formats:
            raise InvalidInput("quantization", given=formats, expected="at least weights=")
        super().__init__(**formats)

    @classmethod
    def of(cls, choice: Quantization | str) -> Quantization:
        """A quantization as it is, or the preset of that name.

        >>> Quantization.of("w4a16").activations
        'bf16'
        """
        if isinstance(choice, Quantization):
            return choice
        if not isinstance(choice, str):
            expected = f"a Quantization(weights=…, …), or one of {', '.join(PRESETS)}"
            raise InvalidInput("quantization", given=choice, expected=expected)
        if choice not in PRESETS:
            raise UnknownName("quantization", given=choice, known=PRESETS, expected=f"one of {', '.join(PRESETS)}")
        return PRESETS[choice]

    def with_(self, **changes: Any) -> Self:
        """A validated copy with some parts in other formats."""
        return type(self)(**{**self.model_dump(), **changes})

    @property
    def label(self) -> str:
        """The preset's name, with what differs from it; or the formats of weights and cache.

        >>> Quantization.of("int8").with_(kv_cache="bf16").label
        'int8, kv bf16'
        """
        beside = "" if self.state == "fp32" else f", state {self.state}"
        beside += "" if self.all_reduce == "bf16" else f", all-reduce {self.all_reduce}"
        kept = self.with_(state="fp32", all_reduce="bf16")
        for name, preset in PRESETS.items():
            if kept == preset:
                return f"{name}{beside}"
        for name, preset in PRESETS.items():
            if kept == preset.with_(kv_cache=self.kv_cache):
                return f"{name}, kv {self.kv_cache}{beside}"
        experts = f", experts {self.experts}" if self.experts and self.experts != self.weights else ""
        return f"{self.weights}{experts}, matmul {self.activations}, kv {self.kv_cache}{beside}"

    def storage(self, part: str) -> str:
        """Storage format of a part: `"linear"`, `"experts"` or `"lm_head"`."""
        return {"linear": self.weights, "experts": self.experts or self.weights, "lm_head": self.lm_head}[part]

    def computation(self, part: str) -> str:
        """Format in which a part's multiplications run: the wider of storage and `activations`."""
        stored, activations = self.storage(part), self.activations
        stored_bits, activation_bits = number_format(stored).element_bits, number_format(activations).element_bits
        return stored if stored_bits > activation_bits else activations


PRESETS: dict[str, Quantization] = {
    "bf16": Quantization(weights="bf16"),
    "fp8": Quantization(weights="fp8", activations="fp8", kv_cache="fp8"),
    "int8": Quantization(weights="int8", activations="int8", kv_cache="int8"),
    "w8a16": Quantization(weights="int8"),
    "w4a16": Quantization(weights="int4"),
    "nvfp4": Quantization(weights="nvfp4", activations="nvfp4", kv_cache="fp8"),
    "mxfp4": Quantization(weights="mxfp4", activations="mxfp4"),
}
