"""Checkpoints that go by a longer name than their model: quantized, tuned or dated, of the same shape.

Measurements name the checkpoint that was served, `nvidia/DeepSeek-R1-0528-NVFP4-v2`; the catalogue holds one entry for
each shape.
"""

from __future__ import annotations

import re
from functools import cache

from roofline.describe.model_catalog import model_ids

_FORMATS = "fp4|fp8|nvfp4|mxfp4|mxfp8|int4|int8|w4a16|w8a8|w4afp8|awq|gptq|bf16|kv|dynamic|quantized"
_TUNED = r"instruct|chat|it|hf|thinking|base|exp|preview|\d{4}|v0\.\d"
_SUFFIX = re.compile(rf"[-_.](?:(?:{_FORMATS})(?:-v\d)?|{_TUNED})$")


def stem(name: str) -> str:
    """The name of a checkpoint without its publisher and without what does not change its shape.

    >>> stem("nvidia/DeepSeek-R1-0528-NVFP4-v2"), stem("moonshotai/Kimi-K2-Thinking")
    ('deepseek-r1', 'kimi-k2')
    """
    left = name.strip().lower().rsplit("/", 1)[-1]
    while (shorter := _SUFFIX.sub("", left)) != left and shorter:
        left = shorter
    return left


def variant_of(name: str) -> str | None:
    """The catalogue's name of the model that a checkpoint is a variant of; None where there is none, or several."""
    short = stem(name)
    found = _by_stem().get(short, frozenset())
    if short in found:
        return short
    return next(iter(found)) if len(found) == 1 else None


@cache
def _by_stem() -> dict[str, frozenset[str]]:
    stems: dict[str, set[str]] = {}
    for identifier, name in model_ids().items():
        for text in (identifier, name):
            stems.setdefault(stem(text), set()).add(name)
    return {key: frozenset(names) for key, names in stems.items()}
