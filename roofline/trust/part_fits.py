"""The fits of one part, class by class: which rows go into each, what is borrowed, what the rows do not identify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from roofline.describe.catalog import accelerator as described
from roofline.describe.catalog import part_class
from roofline.describe.efficiency import KERNEL_CLASSES, CollectiveFit, KernelClass, KernelFit
from roofline.estimate.work import Operation
from roofline.trust.collective_fits import Part, collective_seconds
from roofline.trust.fitting import (
    Array,
    Evidence,
    Rows,
    column,
    evidence,
    fit_kernels,
    near_compute,
    unidentified,
)
from roofline.trust.kernels import Kernel, by_format, cited, collected_with

KernelFits = dict[KernelClass, dict[str, KernelFit]]

ASSUMED_DECODE_COMPUTE = 0.7
"""Compute efficiency of grouped decode attention where no latent attention was measured on the part [1].

Grouped decode attention stays an order of magnitude below the arithmetic roof: its rows say nothing about this figure,
and no estimate of it depends on it.
"""
_LENDING = ("elementwise", "latent_decode")
"""Classes to be fitted first: kernels beside others run as elementwise ones, grouped decode computes as latent does."""


def fitted_kernels(
    part: Part, kernels: Sequence[Kernel], alike: Mapping[str, Sequence[Kernel]] | None = None
) -> tuple[KernelFits, dict[str, int]]:
    """Fits by class and format as the rows have them, and the rows left out by reason.

    Overhead, compute and cores are of a part's arithmetic: kernels of other parts that are `alike` in it, by name, tell
    of them too, where they were collected together. The part's own rows alone have to identify every number, and its
    errors are those of its own rows.
    """
    fits: KernelFits = {}
    left_out: dict[str, int] = {}
    others = [(name, described(name), own, _streaming(name, own)) for name, own in (alike or {}).items()]
    for kernel_class in sorted(KERNEL_CLASSES, key=lambda name: name not in _LENDING):
        streaming = streaming_of(fits)
        for formats, group in by_format(kernels, kernel_class).items():
            rows, borrowed = rows_of(part, group, streaming), None
            if kernel_class == "attention_decode" and not near_compute(rows):
                borrowed = _decode_compute(fits, formats)
            shared = {
                name: rows_of(other, same, reached)
                for name, other, own, reached in others
                if (same := collected_with(group, by_format(own, kernel_class).get(formats, ())))
            }
            numbers = fit_kernels(rows, borrowed[0] if borrowed else None, list(shared.values()))
            doubt = unidentified(rows, numbers, fixed_compute=borrowed is not None)
            if doubt:
                left_out[f"{kernel_class} {formats} not identified: {doubt}"] = len(group)
                continue
            source = cited(group) + (f"; compute not identified: {borrowed[1]}" if borrowed else "")
            source += "".join(
                f"; all but memory shared with {len(each.seconds)} rows of {name}" for name, each in shared.items()
            )
            shown = evidence(rows.predicted(*numbers), rows.seconds)
            fits.setdefault(kernel_class, {})[formats] = _kernel_fit(numbers, shown, source)
    _lend_to_fp8_caches(fits)
    return {name: dict(sorted(fits[name].items())) for name in KERNEL_CLASSES if name in fits}, left_out


def _streaming(name: str, kernels: Sequence[Kernel]) -> float | None:
    """`streaming_of` the elementwise kernels of a part, where they identify it."""
    elementwise = [kernel for kernel in kernels if kernel.fitted_as[0] == "elementwise"]
    return streaming_of(fitted_kernels(described(name), elementwise)[0]) if elementwise else None


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


def with_mxfp4(formats: dict[str, KernelFit]) -> dict[str, KernelFit]:
    """Fits of products, those of mxfp4 weights as of nvfp4 ones: both have scales of short blocks beside 4 bits."""
    if "nvfp4" not in formats or "mxfp4" in formats:
        return formats
    lent = {"points": 0, "source": "as matmul nvfp4: no fit of mxfp4"}
    return dict(sorted({**formats, "mxfp4": formats["nvfp4"].model_copy(update=lent)}.items()))


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


def predicted(
    part: Part, kernels: Sequence[Kernel], figures: KernelFit | CollectiveFit, streaming: float | None = None
) -> Array:
    """Seconds that fitted figures give kernels of one class [s]; `streaming` as in `rows_of`."""
    if isinstance(figures, KernelFit):
        numbers = figures.overhead, figures.compute, figures.memory
        return rows_of(part, kernels, streaming).predicted(*numbers, figures.cores or 1.0)
    shots = figures.overhead, figures.staged_overhead
    return collective_seconds(part, kernels, *shots, figures.bandwidth, figures.summed_overhead)
