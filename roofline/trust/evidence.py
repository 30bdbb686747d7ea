"""What measured rows of service say of serving stacks: steps and prompts without one, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from roofline.describe.catalog import accelerator
from roofline.describe.feedforward import MoE
from roofline.describe.runtimes import Runtime
from roofline.equations.exchanges import fullest_rank_reached
from roofline.equations.experts import fullest_rank_rows
from roofline.errors import RooflineError
from roofline.estimate.expert_kernels import ExpertKernel, touched_experts
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.timing import Step, hosted, item_seconds, step_terms
from roofline.estimate.work import Load as Rows
from roofline.estimate.work import Operation, Transfer, exchanges
from roofline.trust.measured_rows import Load, Row, Served, has_two_pools, load, number, served
from roofline.trust.predictions import batch_of_a_step, decode_pool, measured_batch, mixed
from roofline.trust.stations import Array, Station, mean_context


@dataclass(frozen=True, slots=True)
class Experts:
    """Experts of a pass: seconds of `overhead`, `memory` and `compute` as their kernels were measured [s], `weights`
    those of the memory in which they are read, the share of the bandwidth that these `reached` [1], `routing` those in
    which kernels of their own move rows, and `crossing` those in which rows cross to other ranks, latencies apart [s].

    Of a layer's `experts`, a token is routed to `chosen`, and `tokens` pass together; the busiest rank, `deviate`
    standard deviations above the mean, has `held` [1]. They lie on `ranks`, to each of which a token of a prompt is
    sent `once`; a router may limit it to `chosen_groups` of the `expert_groups`.
    """

    overhead: float = 0.0
    memory: float = 0.0
    compute: float = 0.0
    weights: float = 0.0
    reached: float = 1.0
    routing: float = 0.0
    crossing: float = 0.0
    experts: float = 2.0
    chosen: float = 1.0
    tokens: float = 1.0
    held: float = 2.0
    deviate: float = 0.0
    ranks: float = 1.0
    expert_groups: float = 1.0
    chosen_groups: float = 1.0
    once: bool = False

    @classmethod
    def of(cls, settled: Resolved, step: Step, share: float) -> Experts:
        """Those of one step, in a share of its time; nothing where the model has none."""
        terms = step_terms(step, settled.machine, settled.rates)
        times, routing = (terms.get(name) for name in ("routed_experts", "routed_rows"))
        if times is None or routing is None:
            return cls()
        item = next(item for item in step.items if item.term == "routed_experts")
        kernel = next(kernel for kernel in settled.plan.kernels if isinstance(kernel, ExpertKernel))
        assert isinstance(item, Operation)
        mixtures = (layer.feed_forward for layer, _ in settled.model.groups())
        mixture = next(mixture for mixture in mixtures if isinstance(mixture, MoE))
        one = kernel.item(Rows("decode", 1, 1, 1, 2, 1, 1))
        overhead, memory, compute = (share * float(each) for each in (times.overhead, times.memory, times.compute))  # type: ignore[arg-type]
        return cls(
            overhead,
            memory,
            compute,
            memory * float(item.weights / (item.weights + item.activations)),  # type: ignore[arg-type]
            settled.rates.of_operation(item)[1].memory,
            share * float(routing.total),  # type: ignore[arg-type]
            share * _crossing(settled, step),
            float(kernel.experts),
            float(kernel.chosen),
            float(item.flops / one.flops),  # type: ignore[arg-type]
            float(kernel.held),
            kernel.deviate,
            kernel.group / kernel.cut,
            float(mixture.expert_groups),
            float(mixture.chosen_groups),
            step.phase == "prefill",
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One pass, or a prompt's share of one: its `seconds` without a stack, and what they contain of `experts`, of other
    `products` that `Runtime.unscaled` is about, and of `wires`, on which no vendor's kernels are slower [s].
    """

    seconds: float
    experts: Experts
    products: float
    wires: float

    @classmethod
    def of(cls, settled: Resolved, point: Point, seconds: float, share: float = 1.0) -> Part:
        """A share of the pass at a point, which is known to take so long [s]."""
        step = settled.step(point)

        def unscaled(item: Operation | Transfer) -> bool:
            return isinstance(item, Operation) and item.kernel_class == "matmul" and settled.rates.unscaled(item)

        products = _seconds(settled, step, unscaled)
        wires = _seconds(settled, step, lambda item: isinstance(item, Transfer))
        return cls(seconds, Experts.of(settled, step, share), share * products, share * wires)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one row says: a step and a prompt without a stack, its batch, and what was measured.

    `prompt` is a pass of its own, `full` what one prompt takes of a pass that `most` share; a host launches so many
    `launches` in a pass, of one stage [1]. `others`: prompts that are
    computed while a sequence is decoded [1]. `scaled`, `unscaled`: whether the factor of the experts is
    `Runtime.scaled_experts`, or `unscaled`; `riding`: whether prompts share a pass with steps; `ranked`: whether those
    of several attention-data ranks do.
    """

    row: Row
    step: Part
    prompt: Part
    full: Part
    most: float
    launches: float
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
            if not asked.draft_length and what.stack in bare and measured_batch(row, asked) is not None:
                found.append(_said(row, what, asked, bare[what.stack]))
        except RooflineError:
            continue
    return found


def _said(row: Row, what: Served, asked: Load, bare: Runtime) -> Evidence:
    place = decode_pool(row, what, bare, asked)
    settled = place.settled
    batch, crowd = batch_of_a_step(row, asked, place) or 1.0, asked.concurrency / place.replicas
    decode = Point("decode", batch, mean_context(asked), 0)
    step = Part.of(settled, decode, float(place.seconds(np.array([batch]), decode.context, 0)[0]))
    prompt, full, most, kernels = _prompts(place, asked)
    operations = [item for item in settled.step(decode).items if isinstance(item, Operation)]
    experts = [item for item in operations if item.kernel_class == "experts"]
    own = len(place.deployment.rates.own) > 1
    return Evidence(
        row,
        step,
        prompt,
        full,
        most,
        kernels,
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


def _prompts(place: Station, asked: Load) -> tuple[Part, Part, float, float]:
    """What a prompt takes in a pass of its own, and of a full one; how many are in that, and kernels in each."""
    settled, prompt = place.settled, place.prompt(asked)
    passes = prompt.passes
    # In a pipeline a pass is over once the slowest stage is: a share of one prompt's way through all of them.
    share, count = passes.one / prompt.computed, 1.0 if settled.layout.pp > 1 else passes.most
    alone = Point("prefill", 1.0, asked.isl, 0)
    one, step = Part.of(settled, alone, passes.one, share), settled.step(alone)
    full = Part.of(settled, Point("prefill", count, asked.isl, 0), passes.share, share / passes.most)
    kernels = hosted(zip(step.items, step.path, strict=True), settled.rates)[1]
    return one, full, passes.most, share * float(kernels)  # type: ignore[arg-type]


def _crossing(settled: Resolved, step: Step) -> float:
    """Seconds that grow with the rows that a rank sends to experts of others and back [s]."""
    seconds = 0.0
    for item, count in zip(step.items, step.path, strict=True):
        if isinstance(item, Transfer) and exchanges(item):
            each, twice = (
                item_seconds(sent, settled.machine, settled.rates) for sent in (item, replace(item, size=2 * item.size))
            )
            seconds += count * float(twice - each)  # type: ignore[arg-type]
    return seconds


def _seconds(settled: Resolved, step: Step, counts: Callable[[Operation | Transfer], bool]) -> float:
    """Seconds of those items of a step that count, latencies and all [s]."""
    seconds = 0.0
    for item, count in zip(step.items, step.path, strict=True):
        if counts(item):
            seconds += count * float(item_seconds(item, settled.machine, settled.rates))  # type: ignore[arg-type]
    return seconds


PARTS = ("step", "prompt", "full")


def columns(rows: Sequence[Evidence]) -> dict[str, Array]:
    """The rows as arrays by name; what belongs to a part under its name, `step.experts.memory`.

    `experts.even`: experts that would be read if all were chosen alike, as `seconds` and `memory` have it [1].
    """
    plain = (
        "most",
        "launches",
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
        for name in ("seconds", "products", "wires"):
            found[f"{part}.{name}"] = np.array([getattr(getattr(row, part), name) for row in rows], dtype=np.float64)
        for each in fields(Experts):
            values = [getattr(getattr(row, part).experts, each.name) for row in rows]
            found[f"{part}.experts.{each.name}"] = np.array(values, dtype=np.float64)
        found[f"{part}.experts.even"] = touched(found, part, 0.0)
    return found


def touched(known: Mapping[str, Array], part: str, skew: float) -> Array:
    """Experts that a part reads, as `ExpertKernel.touched` has them [1]."""
    experts, chosen, tokens, held, deviate = (
        known[f"{part}.experts.{name}"] for name in ("experts", "chosen", "tokens", "held", "deviate")
    )
    return np.asarray(touched_experts(experts, chosen, tokens, held, deviate, skew))


def crowded(known: Mapping[str, Array], part: str, skew: float) -> tuple[Array, Array]:
    """Times the rows that the fullest rank has without skew which it has with it, as `ExpertKernel.crowded` has them,
    and the same of those that are sent to it, each token of a prompt once [1].
    """
    experts, chosen, held, deviate, ranks, groups, limit, once = (
        known[f"{part}.experts.{name}"]
        for name in ("experts", "chosen", "held", "deviate", "ranks", "expert_groups", "chosen_groups", "once")
    )
    rows = np.asarray(fullest_rank_rows(experts, chosen, held, deviate, skew))
    uneven = held * ranks / experts
    reached, before = (
        np.asarray(fullest_rank_reached(ranks, chosen, groups, limit, times)) for times in (uneven * rows, uneven)
    )
    return rows, np.where(once > 0, reached / before, rows)


@dataclass(frozen=True)
class Uneven:
    """What skewed routing changes of rows, computed once for each part and skew: a fit moves few numbers at a time."""

    known: Mapping[str, Array]
    _found: dict[tuple[str, float], tuple[Array, Array, Array]] = field(default_factory=dict, repr=False, compare=False)

    def of(self, part: str, skew: float) -> tuple[Array, Array, Array]:
        """As `crowded` has it, and the experts that are read over those that all alike would be [1]."""
        key = part, skew
        if key not in self._found:
            even = self.known[f"{part}.experts.even"]
            self._found[key] = *crowded(self.known, part, skew), touched(self.known, part, skew) / even
        return self._found[key]
