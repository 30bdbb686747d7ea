"""Rows of measured kernels, as a file of them has, whose times known numbers made."""

import json
from collections.abc import Callable, Mapping
from itertools import product

import numpy as np

from roofline.describe.catalog import accelerator
from roofline.trust.collective_fits import collective_seconds
from roofline.trust.kernels import measured_of
from roofline.trust.part_fits import rows_of

PART = accelerator("h100-sxm")
GEMMS = [{"m": m, "n": n, "k": n} for m, n in product((1, 8, 32, 128, 512, 2048, 8192), (1024, 4096, 8192, 16384))]


def row(
    op: str, shape: Mapping[str, float], seconds: float = 1e-3, dtype: str = "bf16", **changes: str
) -> dict[str, str]:
    return {
        "id": f"{op}-1",
        "hardware": "h100-sxm",
        "op": op,
        "dtype": dtype,
        "shape": json.dumps(shape),
        "num_devices": "1",
        "latency_us": repr(seconds * 1e6),
        "source": "made up",
        "notes": "",
    } | changes


def timed(rows: list[dict[str, str]], seconds: Callable[..., np.ndarray]) -> list[dict[str, str]]:
    """Rows with the latency that `seconds` of their kernels gives."""
    kernels = measured_of((r["id"], r) for r in rows).kernels
    return [r | {"latency_us": repr(float(t) * 1e6)} for r, t in zip(rows, seconds(kernels), strict=True)]


def gemms(
    overhead: float,
    compute: float,
    memory: float,
    shapes: list[dict[str, int]] = GEMMS,
    part: str = "h100-sxm",
    **said: str,
) -> list[dict[str, str]]:
    """Matrix products on a part, with the latency that the numbers give them; `said`: what else rows say."""
    rows = [row("gemm", shape, hardware=part, **said) for shape in shapes]
    return timed(rows, lambda kernels: rows_of(accelerator(part), kernels).predicted(overhead, compute, memory))


def all_reduces(
    numbers: tuple[float, ...],
    part: str = "h100-sxm",
    source: str = "made up",
    powers: range = range(9, 31, 2),
    ranks: tuple[int, ...] = (2, 4, 8),
) -> list[dict[str, str]]:
    """All-reduces of `2**powers` bytes on a part, with the latency that the numbers of a fit give them."""
    rows = [
        row("allreduce", {"bytes": 2.0**power}, num_devices=str(count), hardware=part, source=source)
        for count, power in product(ranks, powers)
    ]
    return timed(rows, lambda kernels: collective_seconds(accelerator(part), kernels, *numbers))
