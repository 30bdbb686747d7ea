"""Deployments to ask questions of: both kinds of silicon, dense and sparse models, cut in every way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st

import roofline as rl
from roofline.explore.hardware import numbers_used, placed

LAYOUTS: dict[str, dict[str, Any]] = {
    "dense on GPUs": {"model": "llama-3.1-70b", "accelerator": "h100-sxm", "devices": 8, "tp": 8, "pp": 1},
    "one GPU": {"model": "llama-3.1-8b", "accelerator": "h200-sxm", "devices": 1, "tp": 1, "pp": 1},
    "pipeline of GPUs": {
        "model": "llama-3.1-70b",
        "accelerator": "h200-sxm",
        "devices": 8,
        "tp": 2,
        "pp": 4,
        "slice": "whole",
    },
    "mixture": {"model": "mixtral-8x7b", "accelerator": "h200-sxm", "devices": 2, "tp": 2, "pp": 1, "ep": 1},
    "latent attention, expert groups": {
        "model": "deepseek-v3",
        "accelerator": "h200-sxm",
        "devices": 16,
        "tp": 1,
        "dp": 16,
        "pp": 1,
        "ep": 16,
        "quantization": "fp8",
    },
    "windows": {"model": "gpt-oss-20b", "accelerator": "h100-sxm", "devices": 1, "tp": 1, "pp": 1},
    "dense on LPUs": {
        "model": "llama-3.1-70b",
        "accelerator": "groq-lpu-v1",
        "devices": 576,
        "tp": 8,
        "pp": 72,
        "slice": 64,
        "quantization": "int8",
    },
    "small model on LPUs": {
        "model": "llama-3.1-8b",
        "accelerator": "groq-lpu-v1",
        "devices": 64,
        "tp": 8,
        "pp": 8,
        "slice": "whole",
        "quantization": "int8",
    },
    "mesh": {"model": "llama-3.1-8b", "accelerator": "mi300x", "devices": 4, "tp": 4, "pp": 1},
}


@cache
def deployment(name: str, efficiency: str = "calibrated") -> rl.Deployment:
    """One of the layouts above."""
    return rl.Deployment(**LAYOUTS[name], efficiency=efficiency)


@dataclass(frozen=True)
class Case:
    """A phase of a deployment and a point that fits."""

    name: str
    efficiency: str
    phase: str
    point: dict[str, float]

    @property
    def deployment(self) -> rl.Deployment:
        return deployment(self.name, self.efficiency)

    @property
    def method(self) -> Any:
        return getattr(self.deployment, self.phase)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any phase of any layout, at a point that fits, half of them on round numbers where ties and kinks hide."""
    name = draw(st.sampled_from(sorted(LAYOUTS)))
    efficiency = draw(st.sampled_from(["calibrated", "ideal"]))
    memory = deployment(name, efficiency).settled().memory
    tokens = float(draw(st.integers(2, 9000)))
    while memory.largest_batch(tokens) < 1:
        tokens = float(tokens // 2)
    batch = float(draw(st.integers(1, min(int(memory.largest_batch(tokens)), 2000))))
    if draw(st.booleans()):
        return Case(name, efficiency, "decode", {"batch": batch, "context": tokens})
    cached = float(draw(st.integers(0, int(tokens) - 1)))
    return Case(name, efficiency, "prefill", {"prompt": tokens, "batch": batch, "cached_tokens": cached})


def changed(case: Case, path: str, factor: float) -> tuple[Any, Any]:
    """The case's settled deployment with one hardware number multiplied, and its step."""
    estimate = case.method(**case.point)
    step = estimate.resolved.step(estimate.point)
    value = numbers_used(estimate.resolved, step)[path].value * factor
    other = placed(estimate.resolved, {path: value}, step)
    return other, other.step(estimate.point)


__all__ = ["LAYOUTS", "Case", "cases", "changed", "deployment"]
