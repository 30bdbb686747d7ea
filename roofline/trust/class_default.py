"""What to assume of a part whose kernels are not fitted: the median of the fitted parts, with an honest spread.

The spread is what these figures miss on parts that were not fitted, and on each fitted part when it is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from roofline.describe.catalog import accelerator as described
from roofline.describe.catalog import accelerators
from roofline.describe.efficiency import (
    COLLECTIVE_CLASSES,
    KERNEL_CLASSES,
    CollectiveClass,
    CollectiveFit,
    Efficiency,
    KernelClass,
    KernelFit,
)
from roofline.errors import InvalidInput
from roofline.trust.calibration import FUSED, Calibration, catalogue_name
from roofline.trust.fitting import Array, evidence, rounded
from roofline.trust.kernels import Kernel, Measured, by_format
from roofline.trust.part_fits import KernelFits, fuse_quantisation, predicted, with_mxfp4

_Fit = TypeVar("_Fit", KernelFit, CollectiveFit)
_EVIDENCE = ("points", "error", "low", "high", "source")
_Miss = tuple[Array, Array]
"""Predicted and measured seconds of some kernels [s]."""


def class_default(name: str, calibrations: Sequence[Calibration], measured: Measured) -> Efficiency:
    """Figures for every class of operation and collective, `"any"` format included, from the fits of several parts.

    `measured` holds the rows of the fitted parts and of others; a part's rows are predicted with the median of the
    parts it is not among.
    """
    fitted = {calibration.efficiency.name: calibration for calibration in calibrations}
    if len(fitted) < 2:
        raise InvalidInput("calibrations", given=len(fitted), expected="those of at least two parts")
    rows: dict[str, list[Kernel]] = {}
    for kernel in measured.kernels:
        rows.setdefault(catalogue_name(kernel.accelerator), []).append(kernel)
    kernels: KernelFits = {}
    for kernel_class in KERNEL_CLASSES:
        formats = _formats_of(kernel_class, fitted, rows)
        if formats:
            kernels[kernel_class] = formats
    collectives = {part: calibration.efficiency.collectives for part, calibration in fitted.items()}
    others = sorted(part for part in rows if part not in fitted)
    return Efficiency(
        name=name,
        source=f"medians of {', '.join(fitted)}; spread over each of them left out and {', '.join(others)}",
        note=FUSED,
        kernels=kernels,
        collectives=_collectives_of(collectives, rows),
        stacks=_stacks(fitted, rows),
    )


def _formats_of(
    kernel_class: KernelClass, fitted: Mapping[str, Calibration], rows: Mapping[str, Sequence[Kernel]]
) -> dict[str, KernelFit]:
    """Every format that a fitted part has, and `"any"`."""
    own = {part: calibration.as_measured.get(kernel_class, {}) for part, calibration in fitted.items()}
    groups = {part: by_format(kernels, kernel_class) for part, kernels in rows.items()}
    found: dict[str, KernelFit] = {}
    for formats in sorted({key for fits in own.values() for key in fits}):
        by_part = {part: fits[formats] for part, fits in own.items() if formats in fits}
        missed = _missed(by_part, {part: group.get(formats, []) for part, group in groups.items()})
        found[formats] = _with_evidence(_median(by_part), by_part, missed)
    if not found:
        return found
    class_fits: KernelFits = {kernel_class: found}
    if kernel_class == "matmul":
        together = {key: [kernel for group in groups.values() for kernel in group.get(key, ())] for key in found}
        class_fits = fuse_quantisation(class_fits, together)
    with_any = _with_any(dict(class_fits[kernel_class]), groups)
    return _with_mxfp4(with_any, groups) if kernel_class == "matmul" else with_any


def _with_mxfp4(
    formats: dict[str, KernelFit], groups: Mapping[str, Mapping[str, Sequence[Kernel]]]
) -> dict[str, KernelFit]:
    """As `with_mxfp4`, judged by the products in mxfp4 that were measured."""
    lent = with_mxfp4(formats)
    if lent == formats:
        return formats
    missed = [miss for part, group in groups.items() for miss in _miss(part, group.get("mxfp4", ()), lent["mxfp4"])]
    judged = _with_evidence(lent["mxfp4"], {}, missed).model_copy(update={"source": lent["mxfp4"].source})
    return {**lent, "mxfp4": judged}


def _with_any(
    found: dict[str, KernelFit], groups: Mapping[str, Mapping[str, Sequence[Kernel]]]
) -> dict[str, KernelFit]:
    """With `"any"`, the median over formats, judged on every format by the median of the others.

    A format measured on one part only has no spread of its own and takes that of `"any"`.
    """
    if len(found) == 1:
        (only,) = found.items()
        return {**found, "any": only[1].model_copy(update={"source": f"as {only[0]}, the only format measured"})}
    missed: list[_Miss] = []
    for part, group in groups.items():
        for formats, kernels in group.items():
            missed += _miss(part, kernels, _middle([each for key, each in found.items() if key != formats]))
    any_format = _with_evidence(_middle(list(found.values())), found, missed)
    any_format = any_format.model_copy(update={"source": f"median over {', '.join(found)}, each judged by the others"})
    for formats, figures in found.items():
        if figures.points == 0:
            borrowed = {key: getattr(any_format, key) for key in ("error", "low", "high")}
            source = f"{figures.source}; no other part measured, so spread and error are those of any format"
            found[formats] = figures.model_copy(update={**borrowed, "source": source})
    return {**found, "any": any_format}


def _collectives_of(
    fitted: Mapping[str, Mapping[CollectiveClass, CollectiveFit]], rows: Mapping[str, Sequence[Kernel]]
) -> dict[CollectiveClass, CollectiveFit]:
    """Every class of collective that was fitted on a part."""
    found: dict[CollectiveClass, CollectiveFit] = {}
    for collective in COLLECTIVE_CLASSES:
        by_part = {part: fits[collective] for part, fits in fitted.items() if collective in fits}
        if by_part:
            groups = {part: by_format(kernels, collective).get("any", []) for part, kernels in rows.items()}
            found[collective] = _with_evidence(_median(by_part), by_part, _missed(by_part, groups))
    return found


def _stacks(
    fitted: Mapping[str, Calibration], rows: Mapping[str, Sequence[Kernel]]
) -> dict[str, dict[CollectiveClass, CollectiveFit]]:
    """The same for every serving stack whose own collectives were fitted on a part, judged by rows of its own."""
    found: dict[str, dict[CollectiveClass, CollectiveFit]] = {}
    for stack in sorted({stack for calibration in fitted.values() for stack in calibration.efficiency.stacks}):
        by_part = {part: calibration.efficiency.stacks.get(stack, {}) for part, calibration in fitted.items()}
        own = {part: [kernel for kernel in kernels if kernel.stack == stack] for part, kernels in rows.items()}
        found[stack] = _collectives_of(by_part, own)
    return found


def _missed(by_part: Mapping[str, _Fit], groups: Mapping[str, Sequence[Kernel]]) -> list[_Miss]:
    """Every part's kernels under the median of the other fitted parts, but for those that it shares figures with."""
    missed: list[_Miss] = []
    for part, group in groups.items():
        others = {name: figures for name, figures in by_part.items() if name != part and not _alike(name, part)}
        if others:
            missed += _miss(part, group, _median(others))
    return missed


def _miss(part: str, group: Sequence[Kernel], figures: KernelFit | CollectiveFit) -> list[_Miss]:
    if not group:
        return []
    return [(predicted(described(part), group, figures), np.array([kernel.seconds for kernel in group]))]


def _median(by_part: Mapping[str, _Fit]) -> _Fit:
    """The median of each number over what was fitted; parts with the same arithmetic share figures, and count once."""
    dies: list[list[str]] = []
    for name in by_part:
        alike = next((die for die in dies if _alike(die[0], name)), None)
        if alike is None:
            dies.append([name])
        else:
            alike.append(name)
    return _middle([_middle([by_part[name] for name in die]) for die in dies])


def _alike(one: str, other: str) -> bool:
    """Whether two parts, which may be of no catalogue, are known to have the same arithmetic."""
    known = accelerators()
    return one in known and other in known and described(one).computes_like(described(other))


def _middle(figures: Sequence[_Fit]) -> _Fit:
    """The median of each number over the fits that have it; of an even count, the mean of the middle two."""
    known: dict[str, list[float]] = {}
    for key in type(figures[0]).model_fields:
        if key not in _EVIDENCE:
            known[key] = [getattr(each, key) for each in figures if getattr(each, key) is not None]
    medians = {key: rounded(float(np.median(values))) for key, values in known.items() if values}
    return figures[0].model_copy(update=medians)


def _with_evidence(figures: _Fit, by_part: Mapping[str, _Fit], missed: Iterable[_Miss]) -> _Fit:
    pairs = list(missed)
    update: dict[str, object] = {"source": f"median of {', '.join(by_part)}", "points": 0}
    if pairs:
        shown = evidence(*(np.concatenate(column) for column in zip(*pairs, strict=True)))
        update |= {"points": shown.points, "error": shown.error, "low": shown.low, "high": shown.high}
    return figures.model_copy(update=update)
