"""Estimates as rows of plain values, under the names that an `Estimate` has for them."""

from __future__ import annotations

from typing import Any

from roofline.errors import DoesNotFit
from roofline.estimate.deployment import Deployment
from roofline.estimate.estimate import Estimate
from roofline.show.records import Row

ATTRIBUTES = (
    "seconds",
    "ideal",
    "floor",
    "low",
    "high",
    "bound",
    "tokens_per_second",
    "tokens_per_second_per_user",
    "tokens_per_second_per_device",
    "mfu",
    "mbu",
    "joules",
    "joules_per_token",
    "usd_per_million_tokens",
)
"""What a row takes from its estimate under the same name; None where the model does not fit."""

KEYS = (
    "deployment",
    "model",
    "accelerator",
    "phase",
    "batch",
    "context",
    "quantization",
    *ATTRIBUTES,
    "fits",
    "shortfall_bytes",
    "min_devices",
    "max_batch",
    "layout",
    "devices",
    "replicas",
    "idle_devices",
    "price",
    "power",
    "assumptions",
    "sources",
)
"""Every key of a row of estimates, in order."""


def estimate_row(name: str, deployment: Deployment, estimate: Estimate, *, max_batch: float | None) -> Row:
    """An estimate that fits; `name` is how its pool was typed."""
    return _row(
        name,
        deployment,
        estimate.phase,
        estimate.batch,
        estimate.context,
        **{attribute: _measure(getattr(estimate, attribute)) for attribute in ATTRIBUTES},
        fits=bool(estimate.fits),
        shortfall_bytes=0.0,
        min_devices=None,
        max_batch=plain(max_batch),
        layout=str(estimate.layout),
        replicas=deployment.replicas,
        idle_devices=deployment.idle_devices,
        assumptions=list(estimate.assumptions),
        sources=list(estimate.sources),
    )


def unfit_row(
    name: str,
    deployment: Deployment,
    phase: str,
    batch: float,
    context: float,
    error: DoesNotFit,
    *,
    max_batch: float | None = None,
    layout: str | None = None,
) -> Row:
    """A point that does not fit: by how much, what would do, and no time."""
    return _row(
        name,
        deployment,
        phase,
        batch,
        context,
        **dict.fromkeys(ATTRIBUTES),
        fits=False,
        shortfall_bytes=error.shortfall_bytes,
        min_devices=error.min_devices,
        max_batch=plain(max_batch),
        layout=layout,
        replicas=None,
        idle_devices=None,
        assumptions=[],
        sources=[],
    )


def _row(name: str, deployment: Deployment, phase: str, batch: float, context: float, **values: Any) -> Row:
    found = {
        "deployment": name,
        "model": deployment.model.name,
        "accelerator": deployment.accelerator.name,
        "phase": phase,
        "batch": plain(batch),
        "context": plain(context),
        "quantization": deployment.quantization.label,
        "devices": deployment.devices,
        "price": deployment.price,
        "power": deployment.power,
        **values,
    }
    return {key: found[key] for key in KEYS}


def _measure(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else float(value)


def plain(value: Any) -> Any:
    """A value as the standard library has it: whole floats as ints, so that a batch of 8 reads as 8.

    >>> plain(8.0), plain(0.5), plain(None), plain("memory")
    (8, 0.5, None, 'memory')
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
