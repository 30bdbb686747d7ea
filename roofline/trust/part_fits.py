"""The fits of one part, class by class: which rows go into each, what is borrowed, what the rows do not identify."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from roofline.describe.catalog import part_class
from roofline.describe.efficiency import (
    COLLECTIVE_CLASSES,
    KERNEL_CLASSES,
    CollectiveClass,
    CollectiveFit,
    KernelClass,
    KernelFit,
)
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.estimate.network import SUMMING, transfer_time
from roofline.estimate.work import Operation, Transfer
from roofline.trust.fitting import (
    FEWEST_ROWS,
    FEWEST_SEEN,
    HARMLESS_DOUBT,
    LEAST_REACHED,
    Array,
    Evidence,
    Rows,
    Scale,
    depend,
    evidence,
    fit_kernels,
    fit_with,
    near_compute,
    rounded,
    unidentified,
)
from roofline.trust.kernels import Kernel

Part = HbmAccelerator | SramAccelerator
KernelFits = dict[KernelClass, dict[str, KernelFit]]
CollectiveFits = dict[CollectiveClass, CollectiveFit]

ASSUMED_DECODE_COMPUTE = 0.7
"""Compute efficiency of grouped decode attention where no latent attention was measured on the part [1].

Grouped decode attention stays an order of magnitude below the arithmetic roof: its rows say nothing about this figure,
and no estimate of it depends on it.
"""
_LENDING = ("elementwise", "latent_decode")
"""Classes to be fitted first: kernels beside others run as elementwise ones, grouped decode computes as latent does."""


def fitted_kernels(part: Part, kernels: Sequence[Kernel]) -> tuple[KernelFits, dict[str, int]]:
    """Fits by class and format as the rows have them, and the rows left out by reason."""
    fits: KernelFits = {}
    left_out: dict[str, int] = {}
    for kernel_class in sorted(KERNEL_CLASSES, key=lambda name: name not in _LENDING):
        streaming = streaming_of(fits)
        for formats, group in by_format(kernels, kernel_class).items():
            rows, borrowed = rows_of(part, group, streaming), None
            if kernel_class == "attention_decode" and not near_compute(rows):
                borrowed = _decode_compute(fits, formats)
            numbers = fit_kernels(rows, borrowed[0] if borrowed else None)
            doubt = unidentified(rows, numbers, fixed_compute=borrowed is not None)
            if doubt:
                left_out[f"{kernel_class} {formats} not identified: {doubt}"] = len(group)
                continue
            source = cited(group) + (f"; compute not identified: {borrowed[1]}" if borrowed else "")
            shown = evidence(rows.predicted(*numbers), rows.seconds)
            fits.setdefault(kernel_class, {})[formats] = _kernel_fit(numbers, shown, source)
    _lend_to_fp8_caches(fits)
    return {name: dict(sorted(fits[name].items())) for name in KERNEL_CLASSES if name in fits}, left_out


def _decode_compute(fits: KernelFits, formats: str) -> tuple[float, str]:
    latent = fits.get("latent_decode", {}).get(formats)
    if latent is None:
        return ASSUMED_DECODE_COMPUTE, f"{ASSUMED_DECODE_COMPUTE} assumed"
    return latent.compute, f"that of latent_decode {formats}"


def _kernel_fit(numbers: Sequence[float], shown: Evidence, source: str) -> KernelFit:
    overhead, compute, memory = numbers[:3]
    return KernelFit(
        overhead=overhead,
        compute=compute,
        memory=memory,
        cores=numbers[3] if len(numbers) > 3 else None,
        points=shown.points,
        error=shown.error,
        low=shown.low,
        high=shown.high,
        source=source,
    )


def fuse_quantisation(fits: KernelFits, matmuls: Mapping[str, Sequence[Kernel]]) -> KernelFits:
    """With the overhead of bf16 where matmul rows, given by format, include a kernel that quantises activations.

    Its bytes are not in the fits, but to launch it is: serving stacks fuse it with the operation before.
    """
    formats = dict(fits.get("matmul", {}))
    plain = formats.get("bf16")
    for key, own in formats.items():
        apart = any(kernel.quantises for kernel in matmuls.get(key, ()))
        if plain is None or not apart or own.overhead <= plain.overhead:
            continue
        source = (
            f"{own.source}; overhead that of bf16, because these rows include a kernel that quantises activations "
            f"({own.overhead * 1e6:.4g} us with it, to which the errors here apply)"
        )
        formats[key] = own.model_copy(update={"overhead": plain.overhead, "source": source})
    return {**fits, "matmul": formats} if formats else fits


def _lend_to_fp8_caches(fits: KernelFits) -> None:
    """Prefill over an fp8 cache in bf16 products runs as over a bf16 one: arithmetic binds it."""
    prefills: tuple[KernelClass, ...] = ("attention_prefill", "latent_prefill")
    for kernel_class in prefills:
        formats = fits.get(kernel_class, {})
        if "bf16" in formats and "fp8-bf16" not in formats:
            source = f"as {kernel_class} bf16: no fit of an fp8 cache with bf16 products"
            formats["fp8-bf16"] = formats["bf16"].model_copy(update={"points": 0, "source": source})


def fitted_collectives(part: Part, kernels: Sequence[Kernel]) -> tuple[CollectiveFits, dict[str, int]]:
    """Fits by class of collective, and the rows left out by reason."""
    fits: CollectiveFits = {}
    left_out: dict[str, int] = {}
    for collective in COLLECTIVE_CLASSES:
        group = by_format(kernels, collective).get("any", [])
        if not group:
            continue
        found = _fit_collective(part, group, staged=collective == "all_reduce")
        if isinstance(found, str):
            left_out[f"{collective} not identified: {found}"] = len(group)
        else:
            fits[collective] = found
    return fits, left_out


def _fit_collective(part: Part, group: Sequence[Kernel], *, staged: bool) -> CollectiveFit | str:
    """The fit, or which number the rows do not identify; exchanges in one stage have one overhead."""
    if len(group) < FEWEST_ROWS:
        return f"{len(group)} rows, and its numbers need {FEWEST_ROWS}"
    measured = column(kernel.seconds for kernel in group)
    sums = staged and part.numbers().wires[0].topology == SUMMING

    def form(overhead: Any, second_stage: Any, bandwidth: Any, *summed: Any) -> Array:
        return collective_seconds(part, group, overhead, overhead + second_stage, bandwidth, *summed)

    shortest, longest = float(measured.min()), float(measured.max())
    scales: list[Scale] = [
        (0.0, 2 * shortest),
        (shortest / 10, longest) if staged else (0.0, 0.0),
        (LEAST_REACHED, 1.0),
    ]
    numbers = fit_with(form, measured, scales, (shortest, longest) if sums else None)
    overhead, second_stage, bandwidth = (rounded(each) for each in numbers[:3])
    summed = [rounded(each) for each in numbers[3:]]
    shown = form(overhead, second_stage, bandwidth, *summed)
    changes = {
        "overhead": form(2 * overhead + HARMLESS_DOUBT, second_stage, bandwidth, *summed),
        "bandwidth": form(overhead, second_stage, bandwidth / 2, *summed),
        "staged_overhead": form(overhead, 2 * second_stage, bandwidth, *summed),
    }
    for name, changed in changes.items():
        if (name != "staged_overhead" or staged) and not depend(shown, changed):
            return f"{name}: fewer than {FEWEST_SEEN} of {len(group)} rows depend on it"
    figures = (overhead, rounded(overhead + second_stage), bandwidth, *summed)
    quality = evidence(collective_seconds(part, group, *figures), measured)
    return CollectiveFit(
        overhead=figures[0],
        staged_overhead=figures[1],
        bandwidth=figures[2],
        summed_overhead=summed[0] if summed else None,
        points=quality.points,
        error=quality.error,
        low=quality.low,
        high=quality.high,
        source=cited(group),
    )


def collective_seconds(
    part: Part, kernels: Sequence[Kernel], overhead: Any, staged: Any, bandwidth: Any, summed: Any = None
) -> Array:
    """Seconds of measured collectives; columns of candidate numbers give one row of predictions each [s]."""
    unchecked: Any = CollectiveFit.model_construct  # arrays of candidates, which no fit may hold
    figures = unchecked(overhead=overhead, staged_overhead=staged, bandwidth=bandwidth, summed_overhead=summed)
    wires = part.numbers().wires
    work = [kernel.work for kernel in kernels if isinstance(kernel.work, Transfer)]
    ranks = np.array([transfer.ranks for transfer in work])
    seconds = np.empty((*np.shape(overhead)[:-1], len(work)))
    for count in np.unique(ranks):
        chosen = np.flatnonzero(ranks == count)
        sizes = column(work[index].size for index in chosen)
        together = Transfer(work[0].term, work[0].collective, sizes, 0, int(count))
        seconds[..., chosen] = transfer_time(together, wires, figures, part.name)
    return seconds


def streaming_of(fits: KernelFits) -> float | None:
    """What elementwise kernels reach of the bandwidth, where they were measured [1]."""
    return next((fit.memory for fit in fits.get("elementwise", {}).values()), None)


def rows_of(part: Part, kernels: Sequence[Kernel], streaming: float | None = None) -> Rows:
    """What kernels ask of a part, in seconds at its full rates; what runs beside them at that of elementwise kernels.

    `streaming`: what those reach of the bandwidth [1]; None for the default of the part's class.
    """
    machine = part.numbers()
    work = [kernel.work for kernel in kernels if isinstance(kernel.work, Operation)]
    peaks = [machine.peak[_peak(part, operation)] for operation in work]
    streamed = column(operation.weights + operation.cache for operation in work)
    moved = streamed + column(operation.activations for operation in work)
    feed = streamed / float(machine.feed) if machine.feed is not None else streamed * 0  # type: ignore[arg-type]
    bandwidth = float(machine.memory.bandwidth)  # type: ignore[arg-type]
    reached = streaming or part_class(part.kind).efficiency.kernels["elementwise"]["any"].memory
    return Rows(
        column(kernel.seconds for kernel in kernels),
        column(operation.flops for operation in work) / column(peaks),
        moved / bandwidth,
        feed,
        column(kernel.beside for kernel in kernels) / (bandwidth * reached),
        column(operation.longest for operation in work) / column(peaks),
    )


def _peak(part: Part, operation: Operation) -> str:
    """The peak that bounds an operation; elementwise work needs none, and takes any."""
    if operation.kernel_class == "elementwise":
        return part.runs(operation.computed) or next(iter(part.peak))
    return part.peak_for(operation.computed)


def column(values: Iterable[Any]) -> Array:
    """An array of floats."""
    return np.array([float(value) for value in values])


def by_format(kernels: Iterable[Kernel], kernel_class: KernelClass | CollectiveClass) -> dict[str, list[Kernel]]:
    """The kernels of a class by the format key of their fit, sorted."""
    found: dict[str, list[Kernel]] = {}
    for kernel in kernels:
        own_class, formats = kernel.fitted_as
        if own_class == kernel_class:
            found.setdefault(formats, []).append(kernel)
    return dict(sorted(found.items()))


def predicted(
    part: Part, kernels: Sequence[Kernel], figures: KernelFit | CollectiveFit, streaming: float | None = None
) -> Array:
    """Seconds that fitted figures give kernels of one class [s]; `streaming` as in `rows_of`."""
    if isinstance(figures, KernelFit):
        numbers = figures.overhead, figures.compute, figures.memory
        return rows_of(part, kernels, streaming).predicted(*numbers, figures.cores or 1.0)
    shots = figures.overhead, figures.staged_overhead
    return collective_seconds(part, kernels, *shots, figures.bandwidth, figures.summed_overhead)


def cited(kernels: Iterable[Kernel], most: int = 3) -> str:
    """The sources of kernels, the first few by name."""
    names = list(dict.fromkeys(kernel.source.strip() or "no source given" for kernel in kernels))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
