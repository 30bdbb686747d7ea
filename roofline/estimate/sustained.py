"""How far a part sustains its peaks, by one benchmark for all: what figures of its class become on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from roofline.describe.catalog import part_class
from roofline.describe.efficiency import HOST_CLASSES, Efficiency, KernelFit
from roofline.describe.hardware import HbmAccelerator, SramAccelerator

Part = HbmAccelerator | SramAccelerator
USUAL = "bf16"
"""The format whose share stands for those of formats that the benchmark does not have of a part."""
_STREAMING = ("elementwise", *HOST_CLASSES)
"""Classes of kernels that compute next to nothing."""


def sustains(part: Part) -> dict[str, float]:
    """By format of the benchmark: the share of its peak that a part sustains, over that of its class [1].

    Empty where the benchmark has not the part, or not in 16 bits.
    """
    found = {}
    for name, usual in part_class(part.kind).sustained.items():
        own = part.sustained(name, usual.source)
        if own is not None:
            found[name] = own / usual.value
    return found if USUAL in found else {}


def as_sustained(figures: Efficiency, part: Part) -> Efficiency:
    """Figures of the part's class with the arithmetic that the part sustains, none above its peak."""
    times = sustains(part)
    if not times:
        return figures
    kernels = {
        name: formats if name in _STREAMING else _scaled(formats, times, part)
        for name, formats in figures.kernels.items()
    }
    return figures.model_copy(update={"kernels": kernels})


def _scaled(formats: dict[str, KernelFit], times: dict[str, float], part: Part) -> dict[str, KernelFit]:
    """The fits of one class of kernels; one of any format becomes one for each format that the benchmark has."""
    found = {key: _reaching(fit, times[measured_as(key, times, part)]) for key, fit in formats.items()}
    if "any" in formats:
        more = {name: _reaching(formats["any"], each) for name, each in times.items() if each != times[USUAL]}
        found = {**more, **found}
    return found


def _reaching(fit: KernelFit, times: float) -> KernelFit:
    return fit.model_copy(update={"compute": min(1.0, fit.compute * times)})


def measured_as(key: str, times: Mapping[str, float], part: Part) -> str:
    """The format of the benchmark that a fit of some formats, `"int4-bf16"`, is scaled by."""
    computed = key.rpartition("-")[2]
    peak = USUAL if computed == "any" else part.runs(computed) or USUAL
    return peak if peak in times else USUAL


def said(borrowed: Iterable[tuple[str, str, str]], part: Part) -> list[str]:
    """By what arithmetic of the class is scaled, in one sentence.

    `borrowed`: kernels by class, stored and computed format.
    """
    times = sustains(part)
    used = sorted({measured_as(key[2], times, part) for key in borrowed if key[0] not in _STREAMING} & times.keys())
    factors = [f"× {times[name]:.3g} as in {name}" for name in used if times[name] != 1]
    if not factors:
        return []
    benchmark = part_class(part.kind).sustained[used[0]].source
    most = ", to its peak at most" if any(times[name] > 1 for name in used) else ""
    than = f"{part.name} sustains another share of its peak than its class"
    return [f"{than}, whose arithmetic is taken {', '.join(factors)} ({benchmark}){most}"]
