"""The fits of one part's collectives: as measured whatever launched them, and of each serving stack by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from roofline.describe.catalog import accelerator as described
from roofline.describe.efficiency import COLLECTIVE_CLASSES, CollectiveClass, CollectiveFit
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.estimate.network import SUMMING, transfer_time
from roofline.estimate.work import Transfer
from roofline.trust.fitting import (
    FEWEST_ROWS,
    FEWEST_SEEN,
    HARMLESS_DOUBT,
    LEAST_REACHED,
    Array,
    Scale,
    column,
    depend,
    evidence,
    fit_with,
    rounded,
)
from roofline.trust.kernels import Kernel, by_format, cited, collected_with

Part = HbmAccelerator | SramAccelerator
CollectiveFits = dict[CollectiveClass, CollectiveFit]


def fitted_collectives(
    part: Part, kernels: Sequence[Kernel], alike: Mapping[str, Sequence[Kernel]] | None = None
) -> tuple[CollectiveFits, dict[str, int]]:
    """Fits by class of collective, and the rows left out by reason.

    Collectives of other parts that are `alike`, by name, tell of the same numbers where their links are the same too.
    """
    fits: CollectiveFits = {}
    left_out: dict[str, int] = {}
    for collective in COLLECTIVE_CLASSES:
        group = by_format(kernels, collective).get("any", [])
        if not group:
            continue
        found = _fit_collective(part, group, _linked_alike(part, group, alike))
        if isinstance(found, str):
            left_out[f"{collective} not identified: {found}"] = len(group)
        else:
            fits[collective] = found
    return fits, left_out


def fitted_stacks(
    part: Part, kernels: Sequence[Kernel], alike: Mapping[str, Sequence[Kernel]] | None = None
) -> dict[str, CollectiveFits]:
    """Fits of the all-reduces that serving stacks bring, by stack: to its own rows, and to those of libraries.

    A stack with fewer than six rows of its own, or whose rows do not identify its numbers, has none, and takes those of
    all rows together.
    """
    measured = by_format(kernels, "all_reduce").get("any", [])
    others = _linked_alike(part, measured, alike)
    found: dict[str, CollectiveFits] = {}
    for stack, count in Counter(kernel.stack for kernel in measured).items():
        if not stack or count < FEWEST_ROWS:
            continue
        own, shared = (
            [kernel for kernel in group if kernel.stack == stack or kernel.library] for group in (measured, others)
        )
        figures = _fit_collective(part, own, shared)
        if isinstance(figures, CollectiveFit):
            found[stack] = {"all_reduce": figures}
    return dict(sorted(found.items()))


def _linked_alike(part: Part, group: Sequence[Kernel], alike: Mapping[str, Sequence[Kernel]] | None) -> list[Kernel]:
    """Collectives like those of a group, collected with them, on the parts alike whose links are those of the part."""
    collectives = {kernel.fitted_as for kernel in group}
    wires = part.numbers().wires
    linked = [own for name, own in (alike or {}).items() if described(name).numbers().wires == wires]
    return [kernel for own in linked for kernel in collected_with(group, own) if kernel.fitted_as in collectives]


def _fit_collective(part: Part, group: Sequence[Kernel], shared: Sequence[Kernel]) -> CollectiveFit | str:
    """The fit to a part's rows and others, or which number its own do not identify; errors are those of its own rows.

    Exchanges in one stage have one overhead.
    """
    if len(group) < FEWEST_ROWS:
        return f"{len(group)} rows, and its numbers need {FEWEST_ROWS}"
    kernels = [*group, *shared]
    measured = column(kernel.seconds for kernel in kernels)
    staged = group[0].fitted_as[0] == "all_reduce"
    sums = staged and part.numbers().wires[0].topology == SUMMING

    def form(overhead: Any, second_stage: Any, bandwidth: Any, *summed: Any) -> Array:
        return collective_seconds(part, kernels, overhead, overhead + second_stage, bandwidth, *summed)

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
        "staged_overhead": form(overhead, 2 * second_stage + HARMLESS_DOUBT, bandwidth, *summed),
    }
    own = slice(len(group))
    for name, changed in changes.items():
        if (name != "staged_overhead" or staged) and not depend(shown[own], changed[own]):
            return f"{name}: fewer than {FEWEST_SEEN} of {len(group)} rows depend on it"
    figures = (overhead, rounded(overhead + second_stage), bandwidth, *summed)
    quality = evidence(collective_seconds(part, kernels, *figures)[own], measured[own])
    return CollectiveFit(
        overhead=figures[0],
        staged_overhead=figures[1],
        bandwidth=figures[2],
        summed_overhead=summed[0] if summed else None,
        points=quality.points,
        error=quality.error,
        low=quality.low,
        high=quality.high,
        source=cited(group) + (f"; shared with {len(shared)} rows of parts alike" if shared else ""),
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
