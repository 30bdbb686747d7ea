"""Constants of serving stacks fitted to measured service: few numbers, robust, and judged on models left out.

A row's time per token, less what the library estimates for its devices, is what the stack adds:

    tpot = slower · step(batch) + step + sequence · batch + batch · (slower · prefill + prompt - spared) / generated

where `spared` is what a prompt need not read because the step that it rides in does (`Whole.spared`), with the batch by
Little's law from the row itself. What a stack adds is shared by all models and parts; how much longer or shorter than
measured kernels its experts in 4 bits and its products in block-wise fp8 take, by all stacks too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from roofline.describe.catalog import accelerator
from roofline.describe.runtimes import Runtime
from roofline.errors import RooflineError
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.timing import Step, item_seconds, step_terms
from roofline.estimate.work import Operation
from roofline.trust.measured_rows import Load, Row, Served, has_two_pools, load, number, served
from roofline.trust.predictions import decode_pool, measured_batch
from roofline.trust.stations import Station, mean_context

Array = NDArray[np.float64]
HUBER = 0.1
"""Deviation of the logarithm from which on the loss grows linearly [1]."""
ROW = 0.1**2 / (2 * HUBER)
"""Loss of one row that is off by a tenth [1]."""
HELD = 400
"""Rows that what all stacks have in common weighs as much as, in the fit of one of them [1]."""
APART = np.array([5e-4, 4e-3, 0.1])
"""How far stacks are thought to lie apart: step and prompt [s], slower [1]."""
DOUBTED = 20
"""Rows that products as measured weigh as much as [1]."""
FACTOR = 0.2
"""How far products in service are thought to lie from those measured, as a logarithm [1]."""
START = np.array([1e-3, 5e-3, 1.2, 1.0, 1.0])
"""Where the search begins: step and prompt [s], slower, scaled_experts and unscaled [1]."""
SCALES = (1e-3, 5e-3, 0.25, 0.25, 0.25)
"""Its first steps, in the units of the numbers."""
DECODING = np.array([1e-3, 5e-6])
"""Where the search for the numbers of a pool that only decodes begins, and its first steps: step and sequence [s]."""


@dataclass(frozen=True, slots=True)
class Experts:
    """Experts of a step: seconds of `overhead`, `memory` and `compute` as their kernels were measured [s], and the
    share of the bandwidth that these `reached` [1].
    """

    overhead: float
    memory: float
    compute: float
    reached: float

    @classmethod
    def of(cls, settled: Resolved, step: Step) -> Experts:
        """Those of one step; nothing where the model has none."""
        times = step_terms(step, settled.machine, settled.rates).get("routed_experts")
        if times is None:
            return cls(0.0, 0.0, 0.0, 1.0)
        experts = next(item for item in step.items if item.term == "routed_experts")
        reached = settled.rates.of_operation(experts)[1].memory  # type: ignore[arg-type]
        overhead, memory, compute = (float(each) for each in (times.overhead, times.memory, times.compute))  # type: ignore[arg-type]
        return cls(overhead, memory, compute, reached)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one row says: seconds per step and per prompt without a stack, its batch, and what was measured.

    `step_experts` and `prompt_experts` are what the two contain of experts, `step_products` and `prompt_products` what
    they contain of other products that `Runtime.unscaled` is about; `scaled`, `unscaled`: whether the factor of the
    experts is `Runtime.scaled_experts`, or `unscaled`; `riding`: whether prompts share a pass with steps;
    `ranks` take prompts together, one each.
    """

    row: Row
    decode: float
    prefill: float
    step_experts: Experts
    prompt_experts: Experts
    step_products: float
    prompt_products: float
    scaled: bool
    unscaled: bool
    batch: float
    generated: float
    disturbed: float
    ranks: int
    riding: bool
    tpot: float
    ttft: float
    borrowed: bool
    place: Station
    crowd: float


def evidence(rows: Iterable[Row], bare: Mapping[str, Runtime]) -> list[Evidence]:
    """What rows say, each estimated under a stack without costs; rows with a draft say nothing of it.

    Of rows of two pools it is what their decode pool says, whose steps no prompts disturb.
    """
    found = []
    for row in rows:
        try:
            what, asked = served(row), load(row)
            held = measured_batch(row, asked)
            if not asked.draft_length and what.runtime in bare and held is not None:
                found.append(_said(row, what, asked, held, bare[what.runtime]))
        except RooflineError:
            continue
    return found


def _said(row: Row, what: Served, asked: Load, held: float, bare: Runtime) -> Evidence:
    place = decode_pool(row, what, bare, asked)
    settled = place.settled
    batch, crowd = max(1.0, held / place.replicas), asked.concurrency / place.replicas
    context = mean_context(asked)
    prompt = place.prompt(asked)
    decode, prefill = (
        settled.step(point) for point in (Point("decode", batch, context, 0), Point("prefill", 1.0, asked.isl, 0))
    )
    one = Experts.of(settled, prefill)
    share = prompt.occupancy / prompt.latency
    experts = [item for item in decode.items if isinstance(item, Operation) and item.kernel_class == "experts"]
    own = len(place.deployment.rates.own) > 1
    return Evidence(
        row,
        float(place.seconds(np.array([batch]), context, 0)[0]),
        prompt.occupancy,
        Experts.of(settled, decode),
        Experts(one.overhead * share, one.memory * share, one.compute * share, one.reached),
        _unscaled(settled, decode),
        _unscaled(settled, prefill) * share,
        any(settled.rates.scaled_experts(item) for item in experts),
        any(settled.rates.unscaled(item) for item in experts),
        batch,
        max(asked.osl - 1, 1e-9),
        0.0 if has_two_pools(row) else min(1.0, max(0.0, crowd - 1)),
        settled.layout.dp,
        settled.layout.pp == 1,
        number(row, "tpot_ms") / 1e3,
        number(row, "ttft_ms") / 1e3,
        accelerator(what.accelerator).vendor != "NVIDIA" and not own,
        place,
        crowd,
    )


def _unscaled(settled: Resolved, step: Step) -> float:
    """Seconds of the products of a step, experts apart, that kernels scale [s]."""
    seconds = 0.0
    for item, count in zip(step.items, step.path, strict=True):
        if isinstance(item, Operation) and item.kernel_class == "matmul" and settled.rates.unscaled(item):
            seconds += count * float(item_seconds(item, settled.machine, settled.rates))  # type: ignore[arg-type]
    return seconds


def columns(rows: Sequence[Evidence]) -> dict[str, Array]:
    """The rows as arrays by name."""
    plain = ("decode", "prefill", "step_products", "prompt_products", "batch", "generated", "disturbed", "tpot")
    names = (*plain, "ranks", "riding", "borrowed", "scaled", "unscaled")
    found = {name: np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in names}
    for phase in ("step_experts", "prompt_experts"):
        for name in ("overhead", "memory", "compute", "reached"):
            values = [getattr(getattr(row, phase), name) for row in rows]
            found[f"{phase}.{name}"] = np.array(values, dtype=np.float64)
    return found


def kernels(known: Mapping[str, Array], numbers: Array) -> tuple[Array, Array]:
    """Seconds of the devices per step and per prompt under a stack's numbers [s]."""
    found = []
    for phase, whole in (("step", "decode"), ("prompt", "prefill")):
        experts = f"{phase}_experts"
        times, factor, _, working = _experts(known, numbers, experts)
        overhead = known[f"{experts}.overhead"]
        measured = overhead + np.maximum(known[f"{experts}.compute"], known[f"{experts}.memory"])
        products = (numbers[4] - 1) * known[f"{phase}_products"]
        found.append(np.asarray(times * (known[whole] - measured + overhead * factor + products) + working))
    return found[0], found[1]


def _experts(known: Mapping[str, Array], numbers: Array, phase: str) -> tuple[Array, Array, Array, Array]:
    """The factors on a row's kernels and on its experts [1], and the seconds in which these read, and work [s].

    Experts never read faster than memory delivers.
    """
    slower, scaled, unscaled = numbers[2:5]
    times = np.where(known["borrowed"] > 0, slower, 1.0)
    whole = np.where(known["unscaled"] > 0, unscaled, 1.0)
    factor = whole * np.where(known["scaled"] > 0, scaled, 1.0)
    memory, compute, reached = (known[f"{phase}.{name}"] for name in ("memory", "compute", "reached"))
    reading = times * memory * np.maximum(factor, reached / times)
    return times, factor, reading, np.maximum(times * whole * compute, reading)


def predicted(known: Mapping[str, Array], numbers: Array) -> Array:
    """Time per token of all rows under a stack's numbers [s]."""
    step, prompt, sequence = numbers[[0, 1, 5]]
    decode, prefill = kernels(known, numbers)
    batch, generated = known["batch"], known["generated"]
    reading, working = _experts(known, numbers, "step_experts")[2], _experts(known, numbers, "prompt_experts")[3]
    riding = known["riding"] * known["disturbed"] * np.minimum(1.0, generated / batch)
    added = prefill + prompt / known["ranks"] - riding * np.minimum(reading, working)
    due = known["disturbed"] * batch * added / generated
    return np.asarray(decode + step + sequence * batch + due)


def loss(known: Mapping[str, Array], numbers: Array) -> float:
    """How far a stack's numbers leave times per token from those measured."""
    return robust(predicted(known, numbers) / known["tpot"])


def robust(ratios: Array) -> float:
    """Huber's loss of the logarithm of predicted over measured."""
    off = np.abs(np.log(ratios))
    return float(np.where(off < HUBER, off**2 / (2 * HUBER), off - HUBER / 2).mean())


def fitted(rows: Sequence[Evidence], shared: Array | None = None, sequence: float = 0.0) -> Array:
    """The numbers of one stack: step and prompt [s], slower, scaled_experts and unscaled [1], sequence [s].

    The last is given, from `fitted_alone`. `shared` are those of all stacks together, to which one with few rows is
    held: a number that is off them by its `APART` counts as `HELD` rows that are off by a tenth. The factors of
    products are never a single stack's own; that they are off one by `FACTOR` counts as `DOUBTED` rows.
    """
    known = columns(rows)
    row = ROW / len(rows)

    def common(numbers: Array) -> float:
        factors = np.log(np.maximum(numbers[3:], 1e-3)) / FACTOR
        return loss(known, numbers) + DOUBTED * row * float((factors**2).sum())

    if shared is None:
        return search(common, np.array([*START, sequence]), (*SCALES, 0.0))
    held = shared[:3]

    def own(numbers: Array) -> float:
        return loss(known, numbers) + HELD * row * float((((numbers[:3] - held) / APART) ** 2).sum())

    return search(own, shared, (*SCALES[:3], 0.0, 0.0, 0.0))


def fitted_alone(two_pools: Sequence[Evidence], one_pool: Sequence[Evidence], numbers: Array) -> tuple[float, float]:
    """Step of a pool that only decodes, and sequence, with what all stacks have in common beside them [s].

    Batches of one pool are too small to tell a sequence's cost, but they limit it.
    """
    apart, together = columns(two_pools), columns(one_pool)
    shares = np.array([len(two_pools), len(one_pool)]) / (len(two_pools) + len(one_pool))

    def cost(own: Array) -> float:
        step, sequence = own
        losses = (
            loss(apart, np.array([step, *numbers[1:5], sequence])),
            loss(together, np.array([*numbers[:5], sequence])),
        )
        return float(shares @ losses)

    step, sequence = search(cost, DECODING, tuple(DECODING))
    return float(step), float(sequence)


def search(cost: Callable[[Array], float], start: Array, scales: Sequence[float]) -> Array:
    """The point of least cost by steps to the best neighbour, halved where none is better; nothing goes below zero.

    What has no scale stays.
    """
    steps = [(-1, 0, 1) if scale else (0,) for scale in scales]
    moves = [np.array(move) * np.array(scales) for move in product(*steps) if any(move)]
    best, lowest, size = start, cost(start), 1.0
    while size > 2e-3:
        near = [np.maximum(best + size * move, 0.0) for move in moves]
        costs = [cost(point) for point in near]
        index = int(np.argmin(costs))
        if costs[index] < lowest - 1e-12:
            best, lowest = near[index], costs[index]
        else:
            size /= 2
    return best
