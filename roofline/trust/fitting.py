"""Robust fits of a few numbers to measured times, and whether the times identify them.

The forms are those that estimates use; fitted is the logarithm of predicted over measured, so that short and long
kernels weigh alike, under Huber's loss, so that a few odd rows do not decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.equations.rooflines import dealt_flops, operation_time

Array = NDArray[np.float64]
Scale = tuple[float, float]
"""Lowest and highest value of a parameter; logarithmic where the lowest is above zero, fixed where both are equal."""
Form = Callable[..., Array]
"""Predicted seconds of all rows; each of its parameters may be a column of candidates."""

FEWEST_ROWS = 6
"""Rows below which three numbers are not fitted [1]."""
NEAR = 0.5
"""A row says something about a roof that takes at least this share of what the other takes, both at full rate [1]."""
LARGEST_DOUBT = 0.5
"""Standard error of a fitted number, relative to it, above which it is not told from zero: not identified [1]."""
HARMLESS_DOUBT = 2e-6
"""Standard error of an overhead that no estimate would notice [s]."""
LEAST_SCATTER = 0.01
"""Scatter of measurements that is assumed where rows agree better than that [1]."""
WORST_CONDITION = 1e10
"""Condition of the normal equations above which they count as singular [1]."""
HUBER = 0.25
"""Deviation of the logarithm from which on the loss grows linearly [1]."""
SEEN, FEWEST_SEEN = 0.1, 2
"""A number is told by so many rows that change by so much where it doubles [1]."""
MOST_CORES = 1000.0
"""More than these are not looked for [1]."""
LEAST_REACHED = 0.02
"""Efficiencies below this are not looked for [1]."""
DIGITS = 4
"""Significant digits that a fitted number keeps [1]."""
LARGEST_BLOCK = 2_000_000
"""Predictions made at once, so that memory stays small however many rows there are [1]."""
_COARSE, _STARTS, _FINEST = 13, 6, 1e-7


@dataclass(frozen=True, slots=True)
class Rows:
    """What measured kernels of one class do: seconds on each roof at full rate, and measured seconds [s].

    `beside`: seconds of kernels of their own that run before and after, within the measured time; `longest`: of the
    longest block, as if all cores worked on it [s].
    """

    seconds: Array
    compute: Array
    memory: Array
    feed: Array
    beside: Array
    longest: Array

    @property
    def streamed(self) -> Array:
        """Seconds to bring the operands in at full rate, from memory or by a slower operand feed [s]."""
        return np.maximum(self.memory, self.feed)

    def predicted(self, overhead: Any, compute: Any, memory: Any, cores: Any = 1.0) -> Array:
        """Seconds under fitted numbers; columns of candidates give one row of predictions each [s]."""
        dealt: Any = dealt_flops(self.compute, self.longest, cores)
        times = operation_time(dealt / compute, self.memory / memory, self.feed / memory, 0, overhead)
        return np.asarray(times + self.beside, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Evidence:
    """`points` rows; `error` median |predicted/measured - 1|; `low`, `high` 10 % and 90 % of measured/predicted [1]."""

    points: int
    error: float
    low: float
    high: float


def evidence(predicted: Array, measured: Array) -> Evidence:
    """How far predictions lie from measurements."""
    low, high = np.quantile(measured / predicted, [0.1, 0.9])
    error = float(np.median(np.abs(predicted / measured - 1)))
    return Evidence(len(measured), rounded(error), rounded(float(low)), rounded(float(high)))


def column(values: Iterable[Any]) -> Array:
    """An array of floats."""
    return np.array([float(value) for value in values])


def rounded(value: float) -> float:
    """To the digits that a fit can claim.

    >>> rounded(0.771849)
    0.7718
    """
    return float(f"{value:.{DIGITS}g}")


def fit_kernels(rows: Rows, compute: float | None = None, alike: Sequence[Rows] = ()) -> tuple[float, ...]:
    """Overhead [s], and reached fractions of peak and bandwidth [1]; `compute` fixes the second.

    Where blocks are unequal and rows depend on it, a fourth: the cores that they are dealt to [1]. Rows of parts
    `alike` tell of all but the bandwidth, of which each part reaches a fraction of its own.
    """
    parts = sorted((rows, *alike), key=lambda each: float(each.seconds.sum()))  # in one order, whosever fit it is
    own = next(place for place, each in enumerate(parts) if each is rows)
    largest = min(_longest_overhead(each) for each in parts)
    scales = [(0.0, largest), *[(LEAST_REACHED, 1.0)] * (1 + len(parts))]
    if compute is None and not any(each.compute.any() for each in parts):
        compute = 1.0
    if compute is not None:
        scales[1] = (compute, compute)

    def form(overhead: Any, compute: Any, *numbers: Any) -> Array:
        memories, cores = numbers[: len(parts)], numbers[len(parts) :]
        seconds = [
            each.predicted(overhead, compute, memory, *cores) for each, memory in zip(parts, memories, strict=True)
        ]
        return np.concatenate(seconds, axis=-1)

    further = (1.0, MOST_CORES) if any(each.longest.any() for each in parts) and compute is None else None
    found = fit_with(form, np.concatenate([each.seconds for each in parts]), scales, further)
    return tuple(rounded(each) for each in (*found[:2], found[2 + own], *found[2 + len(parts) :]))


def _longest_overhead(rows: Rows) -> float:
    """The longest that the shortest rows leave room for [s]."""
    return 1.5 * float(np.median(np.sort(rows.seconds)[: max(3, len(rows.seconds) // 5)]))


def depend(shown: Array, changed: Array) -> bool:
    """Whether rows enough change where a number doubles."""
    return bool((np.abs(changed / shown - 1) > SEEN).sum() >= FEWEST_SEEN)


def fit_with(form: Form, measured: Array, scales: Sequence[Scale], further: Scale | None) -> tuple[float, ...]:
    """As `fit`, with one number more, the last, where there is a scale for it and rows depend on it."""
    if further is not None:
        numbers = fit(form, measured, [*scales, further])
        if depend(form(*numbers), form(*numbers[:-1], 2 * numbers[-1])):
            return numbers
    return fit(form, measured, scales)


def fit(form: Form, measured: Array, scales: Sequence[Scale]) -> tuple[float, ...]:
    """The parameters of `form` with the least loss, each within its scale.

    A coarse grid over all of them, then steps to the best of all neighbours from several of its points, halved where no
    neighbour is better. Deterministic.
    """
    axes = [np.linspace(0, 1, _COARSE) if low < high else np.zeros(1) for low, high in scales]
    moves = np.array(list(product((-1, 0, 1), repeat=len(scales))), dtype=float)
    moves = moves[[bool(np.all((move == 0) | [len(axis) > 1 for axis in axes])) for move in moves]]

    def loss(points: Array) -> Array:
        block = max(1, LARGEST_BLOCK // len(measured))
        starts = range(0, len(points), block)
        return np.concatenate([_loss(form, measured, _scaled(points[n : n + block], scales)) for n in starts])

    grid = np.array(list(product(*axes)))
    losses = loss(grid)
    # The best point of each value of the second parameter, the best of those first: basins differ by which roof binds.
    best = [int(index[np.argmin(losses[index])]) for index in (np.flatnonzero(grid[:, 1] == x) for x in axes[1])]
    starts = grid[sorted(best, key=lambda index: losses[index])[:_STARTS]]
    found = losses[sorted(best, key=lambda index: losses[index])[:_STARTS]]
    steps = np.full(len(starts), 0.5 / (_COARSE - 1))
    while (steps > _FINEST).any():
        near = np.clip(starts[:, None, :] + steps[:, None, None] * moves[None], 0, 1)
        values = loss(near.reshape(-1, len(scales))).reshape(len(starts), -1)
        chosen = values.argmin(axis=1)
        lowest = values[np.arange(len(starts)), chosen]
        better = lowest < found
        starts = np.where(better[:, None], near[np.arange(len(starts)), chosen], starts)
        found = np.where(better, lowest, found)
        steps = np.where(better, steps, steps / 2)
    return tuple(float(column[0, 0]) for column in _scaled(starts[[int(found.argmin())]], scales))


def _scaled(points: Array, scales: Sequence[Scale]) -> list[Array]:
    """Columns of parameters from points in the unit cube."""
    columns = []
    for axis, (low, high) in enumerate(scales):
        place = points[:, axis : axis + 1]
        columns.append(low * (high / low) ** place if low > 0 else place * high)
    return columns


def _loss(form: Form, measured: Array, parameters: list[Array]) -> Array:
    deviation = np.abs(np.log(np.maximum(form(*parameters), 1e-30)) - np.log(measured)[None])
    robust = np.where(deviation < HUBER, deviation**2 / (2 * HUBER), deviation - HUBER / 2)
    return np.asarray(robust.mean(axis=1))


def unidentified(rows: Rows, numbers: Sequence[float], fixed_compute: bool) -> str | None:
    """Which of the first three numbers the rows do not identify, and why; None where they identify all.

    An efficiency needs a row near its own roof. Beyond that, the standard errors that the residuals leave must be
    small: rows that differ too little cannot tell an overhead from a slow memory.
    """
    count = len(rows.seconds)
    if count < FEWEST_ROWS:
        return f"{count} rows, and three numbers need {FEWEST_ROWS}"
    if rows.compute.any() and not fixed_compute and not near_compute(rows):
        return f"compute: none of the {count} rows comes near the arithmetic roof"
    if not (rows.streamed >= NEAR * rows.compute).any():
        return f"memory: none of the {count} rows comes near the memory roof"
    return _doubtful(rows, numbers, fixed_compute)


def near_compute(rows: Rows) -> bool:
    """Whether any row says something about arithmetic: grouped decode attention never does."""
    return bool((rows.compute >= NEAR * rows.streamed).any())


def _doubtful(rows: Rows, numbers: Sequence[float], fixed_compute: bool) -> str | None:
    overhead, compute, memory = numbers[:3]
    predicted = rows.predicted(*numbers)
    dealt: Any = dealt_flops(rows.compute, rows.longest, numbers[3] if len(numbers) > 3 else 1.0)
    binds = dealt / compute >= rows.streamed / memory
    work = predicted - overhead
    slopes = {"overhead": HARMLESS_DOUBT / predicted, "memory": np.where(binds, 0, work) / predicted}
    if not fixed_compute and rows.compute.any():
        slopes["compute"] = np.where(binds, work, 0) / predicted
    for name, slope in slopes.items():
        if not slope.any():
            return f"{name}: it binds none of the {len(predicted)} rows"
    information = np.array([[float(a @ b) for b in slopes.values()] for a in slopes.values()])
    lengths = np.sqrt(np.diag(information))
    if np.linalg.cond(information / np.outer(lengths, lengths)) > WORST_CONDITION:
        return f"{' and '.join(slopes)}: the rows are too alike to tell them apart"
    residuals = np.abs(np.log(predicted / rows.seconds))
    spare = max(1, len(residuals) - len(slopes))
    scatter = max(LEAST_SCATTER, 1.4826 * float(np.median(residuals)) * (len(residuals) / spare) ** 0.5)
    errors = dict(zip(slopes, scatter * np.sqrt(np.diag(np.linalg.inv(information))), strict=True))
    doubt = errors.pop("overhead") * HARMLESS_DOUBT
    if doubt > max(HARMLESS_DOUBT, LARGEST_DOUBT * overhead):
        found = f"{overhead * 1e6:.3g} us with a standard error of {doubt * 1e6:.3g} us"
        return f"overhead: {found}, shorter kernels are missing"
    for name, error in errors.items():
        if error > LARGEST_DOUBT:
            return f"{name}: its standard error is {error:.0%}"
    return None
