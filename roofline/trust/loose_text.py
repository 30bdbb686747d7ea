"""Numbers and formats as publishers of measurements write them: with words around, per device, or as a mean."""

from __future__ import annotations

import re

from roofline.describe.formats import PRESETS, Quantization

_LEADING = re.compile(r"~?(\d[\d,]*(?:\.\d+)?)")
_MEAN = re.compile(r"mean\s*~?\s*(\d[\d,]*(?:\.\d+)?)", re.IGNORECASE)
_PER_DEVICE = re.compile(r"^~?[\d,.]+(?:\s*tokens)?\s*/\s*GPU", re.IGNORECASE)
_TOKENS = re.compile(r"^~?[\d,.]+\s*tokens", re.IGNORECASE)
_MIXED = re.compile(
    r"^(?P<first>[a-z0-9]+)\s*(?P<part>experts|moe|gemm)?\s*[+/]\s*(?P<second>[a-z0-9]+)\s*(?:attention|attn|mla|mixed)$"
)


def leading_number(text: str) -> float | None:
    """The number that a text begins with, or the mean that it states; None where it does neither.

    >>> leading_number("1 (best latency)"), leading_number("OpenOrca, mean ~294 (max 1024)"), leading_number("n/a")
    (1.0, 294.0, None)
    """
    found = _LEADING.match(text.strip()) or _MEAN.search(text)
    return float(found[1].replace(",", "")) if found else None


def sequences(text: str, devices: int, tokens_each: float | None) -> float | None:
    """Sequences over all devices as a text counts them: in all, per device, or by their tokens.

    >>> sequences("256/GPU (18432 total)", 72, 2000), sequences("16384 tokens/GPU", 32, 4096), sequences("64", 8, None)
    (18432.0, 128.0, 64.0)
    """
    number = leading_number(text)
    if number is None:
        return None
    stripped = text.strip()
    number *= devices if _PER_DEVICE.match(stripped) else 1
    if not _TOKENS.match(stripped):
        return number
    return number / tokens_each if tokens_each else None


def mixed_formats(text: str) -> Quantization | None:
    """Formats of a text that names two: of the experts, or of all weights, and of the attention; else None.

    Weights are multiplied in the narrower format where they are stored in it, else in their own.

    >>> mixed_formats("nvfp4 experts + bf16 attention").label
    'bf16, experts nvfp4, matmul nvfp4, kv bf16'
    """
    found = _MIXED.match(text.strip().lower())
    if not found or not {found["first"], found["second"]} <= set(PRESETS):
        return None
    first, second = PRESETS[found["first"]], PRESETS[found["second"]]
    if found["part"] == "gemm":
        return first
    return second.with_(experts=first.weights, activations=first.activations)
