"""The formats a checkpoint is stored in, as its quantization_config says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.describe.formats import PRESETS, Quantization
from roofline.errors import ConfigError


def checkpoint_formats(config: Mapping[str, Any], where: str) -> Quantization:
    """Formats of the parts of a checkpoint; bf16 where the config names no quantization."""
    stated = config.get("quantization_config")
    if stated is None:
        return PRESETS["bf16"]
    if not isinstance(stated, Mapping):
        raise ConfigError(f"{where}: quantization_config", given=stated, expected="an object")
    method = stated.get("quant_method")
    if method == "fp8":
        weights = "fp8_block" if stated.get("weight_block_size") else "fp8"
        return Quantization(weights=weights, activations="fp8")
    if method == "mxfp4":
        return Quantization(weights="bf16", experts="mxfp4", activations="mxfp4")
    raise ConfigError(f"{where}: quantization_config", given=method, expected="quant_method fp8 or mxfp4")
