"""Constants of serving stacks fitted to measured service: few numbers, robust, and judged on models left out.

A row's time per token, less what the library estimates for its devices, is what the stack adds:

    tpot = slower · step(batch) + step + sequence · batch + others · (slower · prefill + prompt - spared) / generated

where `others` are the prompts computed meanwhile (`Mix.entering`), those that are due in one step share a pass
(`Passes.occupied`) and `spared` is what a prompt need not read because the step that it rides in does
(`Whole.spared`), with the batch by Little's law from the row itself. What a
stack adds is shared by all models and parts. Shared by all stacks too are how much longer or shorter than measured
kernels its experts in 4 bits and its products in block-wise fp8 take, and how unevenly experts are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product

import numpy as np
from numpy.typing import NDArray

from roofline.describe.catalog import accelerator
from roofline.describe.runtimes import Runtime
from roofline.equations.serving import passes_per_prompt
from roofline.errors import RooflineError
from roofline.estimate.colocated import SELDOM
from roofline.estimate.kernels import ExpertKernel, touched_experts
from roofline.estimate.passes import shared_seconds
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.timing import Step, item_seconds, step_terms
from roofline.estimate.work import Load as Rows
from roofline.estimate.work import Operation
from roofline.trust.measured_rows import Load, Row, Served, has_two_pools, load, number, served
from roofline.trust.predictions import decode_pool, measured_batch, mixed
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
DOUBTED = 5
"""Rows that products as measured weigh as much as [1]."""
FACTOR = 0.2
"""How far products in service are thought to lie from those measured, as a logarithm [1]."""
START = np.array([1e-3, 5e-3, 1.2, 1.0, 1.0, 0.0, 0.5])
"""Where the search begins: step and prompt [s], slower, scaled_experts and unscaled [1], sequence [s], skew [1]."""
SCALES = (1e-3, 5e-3, 0.25, 0.25, 0.25, 0.0, 0.25)
"""Its first steps, in the units of the numbers; what has none stays."""
GATHERED = 20.0
"""Decode steps for which attention-data ranks gather prompts, where times per token are fitted [1].

About as long as their first tokens then turn out to wait (`Runtime.aligned`); times per token hardly depend on it.
"""
TOGETHER = 2
"""Numbers that one step of a search changes at most [1]."""
DECODING = np.array([1e-3, 5e-6])
"""Where the search for the numbers of a pool that only decodes begins, and its first steps: step and sequence [s]."""


@dataclass(frozen=True, slots=True)
class Experts:
    """Experts of a pass: seconds of `overhead`, `memory` and `compute` as their kernels were measured [s], `weights`
    those of the memory in which they are read, and the share of the bandwidth that these `reached` [1].

    Of a layer's `experts`, a token is routed to `chosen`, and `tokens` pass together; the busiest rank, `deviate`
    standard deviations above the mean, has `held` [1].
    """

    overhead: float = 0.0
    memory: float = 0.0
    compute: float = 0.0
    weights: float = 0.0
    reached: float = 1.0
    experts: float = 2.0
    chosen: float = 1.0
    tokens: float = 1.0
    held: float = 2.0
    deviate: float = 0.0

    @classmethod
    def of(cls, settled: Resolved, step: Step, share: float) -> Experts:
        """Those of one step, in a share of its time; nothing where the model has none."""
        times = step_terms(step, settled.machine, settled.rates).get("routed_experts")
        if times is None:
            return cls()
        item = next(item for item in step.items if item.term == "routed_experts")
        kernel = next(kernel for kernel in settled.plan.kernels if isinstance(kernel, ExpertKernel))
        assert isinstance(item, Operation)
        one = kernel.item(Rows("decode", 1, 1, 1, 2, 1, 1))
        overhead, memory, compute = (share * float(each) for each in (times.overhead, times.memory, times.compute))  # type: ignore[arg-type]
        return cls(
            overhead,
            memory,
            compute,
            memory * float(item.weights / (item.weights + item.activations)),  # type: ignore[arg-type]
            settled.rates.of_operation(item)[1].memory,
            float(kernel.experts),
            float(kernel.chosen),
            float(item.flops / one.flops),  # type: ignore[arg-type]
            float(kernel.held),
            kernel.deviate,
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One pass, or a prompt's share of one: its `seconds` without a stack, and what they contain of `experts`, and of
    other `products` that `Runtime.unscaled` is about [s].
    """

    seconds: float
    experts: Experts
    products: float

    @classmethod
    def of(cls, settled: Resolved, point: Point, seconds: float, share: float = 1.0) -> Part:
        """A share of the pass at a point, which is known to take so long [s]."""
        step = settled.step(point)
        return cls(seconds, Experts.of(settled, step, share), share * _unscaled(settled, step))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one row says: a step and a prompt without a stack, its batch, and what was measured.

    `prompt` is a pass of its own, `full` what one prompt takes of a pass that `most` share. `others`: prompts that are
    computed while a sequence is decoded [1]. `scaled`, `unscaled`: whether the factor of the experts is
    `Runtime.scaled_experts`, or `unscaled`; `riding`: whether prompts share a pass with steps; `ranked`: whether those
    of several attention-data ranks do.
    """

    row: Row
    step: Part
    prompt: Part
    full: Part
    most: float
    scaled: bool
    unscaled: bool
    batch: float
    generated: float
    others: float
    ranked: bool
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
            if not asked.draft_length and what.stack in bare and held is not None:
                found.append(_said(row, what, asked, held, bare[what.stack]))
        except RooflineError:
            continue
    return found


def _said(row: Row, what: Served, asked: Load, held: float, bare: Runtime) -> Evidence:
    place = decode_pool(row, what, bare, asked)
    settled = place.settled
    batch, crowd = max(1.0, held / place.replicas), asked.concurrency / place.replicas
    decode = Point("decode", batch, mean_context(asked), 0)
    step = Part.of(settled, decode, float(place.seconds(np.array([batch]), decode.context, 0)[0]))
    prompt, full, most = _prompts(place, asked)
    operations = [item for item in settled.step(decode).items if isinstance(item, Operation)]
    experts = [item for item in operations if item.kernel_class == "experts"]
    own = len(place.deployment.rates.own) > 1
    return Evidence(
        row,
        step,
        prompt,
        full,
        most,
        any(settled.rates.scaled_experts(item) for item in experts),
        any(settled.rates.unscaled(item) for item in experts),
        batch,
        max(asked.osl - 1, 1e-9),
        0.0 if has_two_pools(row) else float(mixed(place, asked).entering(batch)),
        settled.layout.dp > 1,
        settled.layout.pp == 1,
        number(row, "tpot_ms") / 1e3,
        number(row, "ttft_ms") / 1e3,
        accelerator(what.accelerator).vendor != "NVIDIA" and not own,
        place,
        crowd,
    )


def _prompts(place: Station, asked: Load) -> tuple[Part, Part, float]:
    """What a prompt takes in a pass of its own, and of a full one; and how many are in that."""
    settled, prompt = place.settled, place.prompt(asked)
    passes = prompt.passes
    # In a pipeline a pass is over once the slowest stage is: a share of one prompt's way through all of them.
    share, count = passes.one / prompt.computed, 1.0 if settled.layout.pp > 1 else passes.most
    one = Part.of(settled, Point("prefill", 1.0, asked.isl, 0), passes.one, share)
    full = Part.of(settled, Point("prefill", count, asked.isl, 0), passes.share, share / passes.most)
    return one, full, passes.most


def _unscaled(settled: Resolved, step: Step) -> float:
    """Seconds of the products of a step, experts apart, that kernels scale [s]."""
    seconds = 0.0
    for item, count in zip(step.items, step.path, strict=True):
        if isinstance(item, Operation) and item.kernel_class == "matmul" and settled.rates.unscaled(item):
            seconds += count * float(item_seconds(item, settled.machine, settled.rates))  # type: ignore[arg-type]
    return seconds


PARTS = ("step", "prompt", "full")


def columns(rows: Sequence[Evidence]) -> dict[str, Array]:
    """The rows as arrays by name; what belongs to a part under its name, `step.experts.memory`.

    `experts.even`: experts that would be read if all were chosen alike, as `seconds` and `memory` have it [1].
    """
    plain = (
        "most",
        "batch",
        "generated",
        "others",
        "tpot",
        "ranked",
        "riding",
        "borrowed",
        "scaled",
        "unscaled",
    )
    found = {name: np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in plain}
    for part in PARTS:
        for name in ("seconds", "products"):
            found[f"{part}.{name}"] = np.array([getattr(getattr(row, part), name) for row in rows], dtype=np.float64)
        for field in fields(Experts):
            values = [getattr(getattr(row, part).experts, field.name) for row in rows]
            found[f"{part}.experts.{field.name}"] = np.array(values, dtype=np.float64)
        found[f"{part}.experts.even"] = touched(found, part, 0.0)
    return found


@dataclass(frozen=True, slots=True)
class Kernels:
    """Seconds of the devices under a stack's numbers, row by row, of one part of `Evidence`; and of them those in which
    experts are read, and work [s].
    """

    seconds: Array
    reading: Array
    working: Array

    @classmethod
    def of(cls, known: Mapping[str, Array], numbers: Array, part: str) -> Kernels:
        """Experts never read faster than memory delivers."""
        slower, scaled, unscaled = numbers[2:5]
        times = np.where(known["borrowed"] > 0, slower, 1.0)
        whole = np.where(known["unscaled"] > 0, unscaled, 1.0)
        factor = whole * np.where(known["scaled"] > 0, scaled, 1.0)
        overhead, memory, compute, weights, reached = (
            known[f"{part}.experts.{name}"] for name in ("overhead", "memory", "compute", "weights", "reached")
        )
        skewed = memory + weights * (touched(known, part, numbers[6]) / known[f"{part}.experts.even"] - 1)
        reading = times * skewed * np.maximum(factor, reached / times)
        working = np.maximum(times * whole * compute, reading)
        measured = overhead + np.maximum(compute, memory)
        products = (unscaled - 1) * known[f"{part}.products"]
        others = known[f"{part}.seconds"] - measured + overhead * factor + products
        return cls(np.asarray(times * others + working), reading, working)


def touched(known: Mapping[str, Array], part: str, skew: float) -> Array:
    """Experts that a part reads, as `ExpertKernel.touched` has them [1]."""
    experts, chosen, tokens, held, deviate = (
        known[f"{part}.experts.{name}"] for name in ("experts", "chosen", "tokens", "held", "deviate")
    )
    return np.asarray(touched_experts(experts, chosen, tokens, held, deviate, skew))


def prompts(known: Mapping[str, Array], numbers: Array, prompt: Kernels) -> tuple[Array, Array]:
    """A replica's seconds for a prompt in a pass of its own, and those of them that a full pass would share [s]."""
    host, most = numbers[1], known["most"]
    one, full = prompt.seconds + host, most * Kernels.of(known, numbers, "full").seconds + host
    return one, shared_seconds(one, full, most)


def predicted(known: Mapping[str, Array], numbers: Array) -> Array:
    """Time per token of all rows under a stack's numbers [s]; attention-data ranks gather prompts for `GATHERED`."""
    step, prompt = (Kernels.of(known, numbers, part) for part in ("step", "prompt"))
    occupancy, shared = prompts(known, numbers, prompt)
    per_step = known["others"] / known["generated"]
    due = np.maximum(per_step, SELDOM) * (1 + GATHERED * known["ranked"])
    added = occupancy - shared * (1 - np.asarray(passes_per_prompt(due, known["most"])))
    riding = known["riding"] * np.minimum(known["others"], 1) * np.asarray(passes_per_prompt(due, np.inf))
    spared = riding * np.minimum(step.reading, prompt.working)
    return np.asarray(step.seconds + numbers[0] + numbers[5] * known["batch"] + per_step * (added - spared))


def loss(known: Mapping[str, Array], numbers: Array) -> float:
    """How far a stack's numbers leave times per token from those measured."""
    return robust(predicted(known, numbers) / known["tpot"])


def robust(ratios: Array) -> float:
    """Huber's loss of the logarithm of predicted over measured."""
    off = np.abs(np.log(ratios))
    return float(np.where(off < HUBER, off**2 / (2 * HUBER), off - HUBER / 2).mean())


def fitted(rows: Sequence[Evidence], shared: Array | None = None, sequence: float = 0.0) -> Array:
    """The numbers of one stack: step and prompt [s], slower, scaled_experts and unscaled [1], sequence [s], skew [1].

    `sequence` is given, from `fitted_alone`. `shared` are those of all stacks together, to which one with few rows is
    held: a number that is off them by its `APART` counts as `HELD` rows that are off by a tenth. The factors of
    products and the skew are never a single stack's own; that a factor is off one by `FACTOR` counts as `DOUBTED` rows.
    """
    known = columns(rows)
    row = ROW / len(rows)

    def common(numbers: Array) -> float:
        factors = np.log(np.maximum(numbers[3:5], 1e-3)) / FACTOR
        return loss(known, numbers) + DOUBTED * row * float((factors**2).sum())

    if shared is None:
        start = START.copy()
        start[5] = sequence
        return search(common, start, SCALES)
    held = shared[:3]

    def own(numbers: Array) -> float:
        return loss(known, numbers) + HELD * row * float((((numbers[:3] - held) / APART) ** 2).sum())

    return search(own, shared, (*SCALES[:3], 0.0, 0.0, 0.0, 0.0))


def fitted_alone(two_pools: Sequence[Evidence], one_pool: Sequence[Evidence], numbers: Array) -> tuple[float, float]:
    """Step of a pool that only decodes, and sequence, with what all stacks have in common beside them [s].

    Batches of one pool are too small to tell a sequence's cost, but they limit it.
    """
    apart, together = columns(two_pools), columns(one_pool)
    shares = np.array([len(two_pools), len(one_pool)]) / (len(two_pools) + len(one_pool))

    def cost(own: Array) -> float:
        step, sequence = own
        losses = (
            loss(apart, np.array([step, *numbers[1:5], sequence, numbers[6]])),
            loss(together, np.array([*numbers[:5], sequence, numbers[6]])),
        )
        return float(shares @ losses)

    step, sequence = search(cost, DECODING, tuple(DECODING))
    return float(step), float(sequence)


def search(cost: Callable[[Array], float], start: Array, scales: Sequence[float]) -> Array:
    """The point of least cost by steps to the best neighbour, halved where none is better; nothing goes below zero.

    Neighbours differ in one number or in `TOGETHER`. What has no scale stays.
    """
    steps = [(-1, 0, 1) if scale else (0,) for scale in scales]
    few = [move for move in product(*steps) if 0 < np.count_nonzero(move) <= TOGETHER]
    moves = [np.array(move) * np.array(scales) for move in few]
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
