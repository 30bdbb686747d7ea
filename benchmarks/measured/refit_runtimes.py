"""Fits the constants of serving stacks to the rows in this folder, judges them on rows left out, and writes the page.

    python -m benchmarks.measured.refit_runtimes

Writes `hardware_specs/runtimes/*.toml`, `benchmarks/measured/validation.json` and `docs/validation.md`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measured.earlier_stacks import GROUPS, claimed, earlier, said, spread_of, without
from benchmarks.measured.validation_page import BEYOND, EARLIER, STACKS, SUMMARY, page, summary
from roofline.describe.catalog import accelerator, part_class
from roofline.describe.efficiency import Efficiency
from roofline.describe.runtimes import CONSTANTS, Runtime, Spread, described, generations, runtime, runtimes
from roofline.trust.drafts_fit import fitted_drafts
from roofline.trust.evidence import Evidence, evidence
from roofline.trust.measured_rows import Row, load, number, pool, served
from roofline.trust.predictions import Prediction, decode_pool, measured_batch, measured_rate, predict, two_pools
from roofline.trust.runtimes_fit import fitted, fitted_alone
from roofline.trust.stations import ACCEPTANCE, Array
from roofline.trust.validation import Validation, counts, read_rows, validate
from roofline.trust.waits_fit import fitted_apart, fitted_waits

ROOT = Path(__file__).resolve().parents[2]
SERVING = ROOT / "benchmarks/measured/serving.csv"
PHASES = ROOT / "benchmarks/measured/phases.csv"
SPECS = ROOT / "hardware_specs/runtimes"
PAGE = ROOT / "docs/validation.md"
COMMAND = "python -m benchmarks.measured.refit_runtimes"
NUMBERS = ("step", "prompt", "slower", "scaled_experts", "unscaled", "sequence", "skew", "launch")
"""What `fitted` gives, in its order."""
WAITS = ("request", "first", "aligned", "bunch", "in_step")
"""What `fitted_waits` gives, in its order."""
NOTHING = Spread(points=0, error=0, low=1, high=1)
FOUR_BITS = {"nvfp4": "nvfp4", "mxfp4-bf16": "mxfp4-bf16", "mxfp4-mxfp4": "nvfp4"}
"""Formats of experts whose measured kernels are another backend's than stacks decode with, and whose arithmetic."""


def bare(name: str) -> Runtime:
    """A stack that costs nothing, with the experts in 4 bits that it would run.

    They compute as was measured, for prompts, and are read as experts of other formats are, for decode.
    """
    measured = part_class("hbm").efficiency.kernels["experts"]
    source = "class-hbm: arithmetic as measured, reading as of any format, whose backend is nearer to what decodes"
    usual = measured["any"].model_copy(update={"source": source})
    fits = {each: usual.model_copy(update={"compute": measured[own].compute}) for each, own in FOUR_BITS.items()}
    experts = Efficiency(name="experts in 4 bits", source=source, kernels={"experts": fits})
    fitted_by = f"{COMMAND}, benchmarks/measured/serving.csv"
    told: dict[str, Any] = said(runtime(name)) if name in runtimes() else {"name": name}
    free = {**dict.fromkeys(CONSTANTS, 0.0), "scaled_experts": 1.0, "unscaled": 1.0}
    return Runtime(source=fitted_by, tpot=NOTHING, ttft=NOTHING, kernels=experts, **told, **free)


def with_generations(stacks: Mapping[str, Runtime]) -> dict[str, Runtime]:
    """Stacks, and their earlier generations that service tells of: with the same constants and kernels of their own."""
    found = dict(stacks)
    for name, stack in stacks.items():
        for each in generations(name):
            if each.told_by == "service":
                found[each.name] = stack.model_copy(update=said(each))
    return found


@dataclass(frozen=True)
class Known:
    """What stacks are fitted to: evidence of the rows that draft nothing, and the rows that draft."""

    plain: tuple[Evidence, ...]
    drafting: tuple[Row, ...]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Known:
        """All that rows say."""
        plain = tuple(evidence(rows, with_generations({name: bare(name) for name in STACKS})))
        return cls(plain, tuple(row for row in rows if load(row).draft_length))

    def without(self, column: str, value: str) -> Known:
        """The same without the rows that have a value."""
        plain = tuple(each for each in self.plain if each.row[column] != value)
        return Known(plain, tuple(row for row in self.drafting if row[column] != value))


@dataclass(frozen=True)
class Shared:
    """What all stacks have in common: numbers, waits, those of two pools (the step of one that only decodes [s], passes
    before one's own of one that only takes prompts [1]), and the acceptance of drafts [1].

    `verified`: of each stack the seconds in which its host verifies the drafts of a sequence [s].
    """

    numbers: Array
    waits: Array
    alone: float
    apart: float = 0.0
    acceptance: float = ACCEPTANCE
    verified: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, known: Known) -> Shared:
        """All stacks as one; the step of decode pools from rows of two pools."""
        one_pool = [row for row in known.plain if row.row["kind"] == "serving"]
        two_pools = [row for row in known.plain if row.row["kind"] != "serving"]
        numbers = fitted(one_pool)
        alone = float(numbers[0])
        if two_pools:
            alone, sequence = fitted_alone(two_pools, one_pool, numbers)
            numbers = fitted(one_pool, sequence=sequence)
        shared = cls(numbers, fitted_waits(one_pool, numbers), alone)
        stacks = with_generations({name: constants(name, known, shared) for name in STACKS})
        apart = fitted_apart(two_pools, stacks) if two_pools else float(shared.waits[3])
        acceptance, verified = fitted_drafts(known.drafting, stacks)
        return replace(shared, apart=apart, acceptance=acceptance, verified=verified)


def constants(name: str, known: Known, shared: Shared) -> Runtime:
    """A stack with the constants that rows give, to the digits that they can claim.

    One without rows has what all stacks have in common; verifying drafts costs nothing where no row of it drafts.
    """
    rows = known.plain
    own = [row for row in rows if row.row["runtime"] == name and row.row["kind"] == "serving"]
    numbers = fitted(own, shared.numbers) if own else shared.numbers
    waits = fitted_waits(own, numbers, shared.waits) if own else shared.waits
    shares = {"alone": shared.alone, "apart": shared.apart, "acceptance": shared.acceptance}
    found = {
        **dict(zip(NUMBERS, numbers, strict=True)),
        **dict(zip(WAITS, waits, strict=True)),
        **shares,
        "verified": shared.verified.get(name, 0.0),
    }
    rounded = {each: claimed(value) for each, value in found.items()}
    slower = rounded.pop("slower")
    assert rounded.keys() == set(CONSTANTS)
    vendors = {accelerator(served(row.row).accelerator).vendor for row in rows if row.borrowed}
    return bare(name).model_copy(update={**rounded, "slower": dict.fromkeys(sorted(vendors), slower)})


def left_out(known: Known, asked: Sequence[Row], column: str) -> dict[str, Prediction]:
    """Each row predicted with constants fitted without the rows that share its value of a column, by id."""
    found: dict[str, Prediction] = {}
    for value in sorted({row[column] for row in asked}):
        kept = known.without(column, value)
        shared = Shared.of(kept)
        stacks = with_generations({name: constants(name, kept, shared) for name in STACKS})
        for row in asked:
            if row[column] == value:
                found[row["id"]] = predict(row, stacks)
    return found


def spread(
    predictions: Sequence[Prediction], name: str, value: Callable[[Prediction], float | None], column: str
) -> Spread:
    """How far the rows of one stack lie from predictions made without their model, and without their part."""
    ratios = [
        1e3 * seconds / float(each.row[column])
        for each in predictions
        if each.row["runtime"] == name and (seconds := value(each)) and float(each.row[column] or 0) > 0
    ]
    return spread_of(ratios, len(ratios) // 2)


def outrun(rows: Sequence[Row]) -> tuple[int, int]:
    """Rows of two pools measured to take more prompts per second than is predicted of their prefill pool: prompt by
    prompt on every rank, and in passes.
    """
    found = []
    for row in rows:
        what, asked = served(row), load(row)
        pools = two_pools(row, what, runtime(what.stack), asked)[1]
        ttft, tpot = (number(row, name) / 1e3 for name in ("ttft_ms", "tpot_ms"))
        rate = measured_rate(asked, ttft, pools.generated * tpot)
        ranks = float(pool(row, "prefill_").dp)
        found.append((rate > pools.workers * ranks / pools.passes.taking(ranks), rate > pools.most_prompts))
    single, shared = np.array(found).sum(axis=0)
    return int(single), int(shared)


def capped(rows: Sequence[Row]) -> tuple[int, int]:
    """Rows of two pools whose requests wait for room by what their launch script says, and those of them that decode
    more than `BEYOND` of that room besides, by Little's law.
    """
    found = []
    for row in rows:
        what, asked = served(row), load(row)
        place = decode_pool(row, what, runtime(what.stack), asked)
        room = asked.max_batch * place.replicas
        if room < asked.concurrency:
            found.append((measured_batch(row, asked) or 0.0) > (1 + BEYOND) * room)
    return len(found), sum(found)


def to_toml(stack: Runtime) -> str:
    """A stack's file."""
    texts = {
        name: getattr(stack, name)
        for name in ("name", "source", "note", "of", "below", "until", "told_by", "kernels_on", "reduces_as")
    }
    listed = {name: getattr(stack, name) for name in ("wide_caches_on", "reduces_as_on", "fuses")}
    lines = [f"# Made by `{COMMAND}`.", *(f'{name} = "{text}"' for name, text in texts.items() if text)]
    lines += [f"{name} = {json.dumps(list(words))}" for name, words in listed.items() if words]
    if stack.stages:
        lines.append("stages = true")
    if stack.sums != "fp32":
        lines.append(f'sums = "{stack.sums}"')
    if stack.slice is not None:
        lines.append(f"slice = {stack.slice}")
    lines += [f"{name} = {getattr(stack, name):g}" for name in CONSTANTS]
    if stack.slower:
        lines += ["", "[slower]", *(f"{vendor} = {times:g}" for vendor, times in stack.slower.items())]
    for name in ("tpot", "ttft"):
        figures: Mapping[str, float] = getattr(stack, name).model_dump()
        lines += ["", f"[{name}]", *(f"{key} = {value:g}" for key, value in figures.items())]
    assert stack.kernels is not None
    lines += ["", "[kernels]", f'name = "{stack.kernels.name}"', f'source = "{stack.kernels.source}"']
    for kernel_class, fits in stack.kernels.kernels.items():
        for key, fit in fits.items():
            figures = fit.model_dump(exclude_none=True)
            source = figures.pop("source")
            lines += ["", f"[kernels.kernels.{kernel_class}.{key}]"]
            lines += [*(f"{name} = {value:.4g}" for name, value in figures.items()), f'source = "{source}"']
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fit, judge, write."""
    rows = read_rows(SERVING)
    counted = [row for row in rows if row["grade"] in ("A", "B")]
    one_pool = [row for row in counted if row["kind"] == "serving"]
    known = Known.of(counted)
    shared = Shared.of(known)
    before = validate(rows, stacks={})
    without_model = left_out(known, counted, "model")
    without_part = left_out(known, counted, "accelerator")
    judged = [found[row["id"]] for found in (without_model, without_part) for row in one_pool]
    for name in STACKS:
        stack = constants(name, known, shared)
        tpot = spread(judged, name, lambda each: each.tpot, "tpot_ms")
        ttft = spread(judged, name, lambda each: each.ttft, "ttft_ms")
        stack = stack.model_copy(update={"tpot": tpot, "ttft": ttft})
        for generation in with_generations({name: stack}).values():
            (SPECS / f"{generation.name}.toml").write_text(to_toml(generation), encoding="utf-8")
    phases = read_rows(PHASES)
    usual = constants("all", known, shared)
    found_earlier = [earlier(name, usual, [row for row in phases if counts(row)]) for name in EARLIER]
    for each in found_earlier:
        (SPECS / f"{each.stack.name}.toml").write_text(to_toml(each.stack), encoding="utf-8")
    described.cache_clear()
    shipped = {name: runtime(name) for name in STACKS}
    outside = {
        name: Validation(tuple(replace(each, stack=shipped[each.row["runtime"]]) for each in found.values()))
        for name, found in (("model", without_model), ("part", without_part))
    }
    batches = {"within": validate(phases)}
    batches.update({group: without(group, found_earlier, batches["within"]) for group in GROUPS})
    found = summary(before, validate(rows), outside, batches)
    split = [row for row in counted if row["kind"] != "serving"]
    found["outrun"], found["capped"] = outrun(split), capped(split)
    SUMMARY.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
