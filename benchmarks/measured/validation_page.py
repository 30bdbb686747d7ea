"""The page on how far estimates lie from measured service, from a stored summary of the figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from roofline.describe.catalog import part_class
from roofline.describe.efficiency import KernelClass
from roofline.describe.runtimes import Runtime, runtime
from roofline.estimate.passes import PASS_TOKENS
from roofline.trust.launch_scripts import ASKED, MIDDLE, SMALL
from roofline.trust.runtimes_fit import HELD
from roofline.trust.stations import MOST_DRAFTED
from roofline.trust.validation import FEWEST, Figures, Validation
from roofline.trust.waits_fit import WAITS_HELD

STACKS = ("atom", "sglang", "tensorrt-llm", "vllm")
"""Stacks whose service was measured."""
EARLIER = ("fastertransformer", "llama.cpp", "tensorrt-llm-2024", "vllm-2024")
"""Stacks of which batches and single steps were."""
SUMMARY = Path(__file__).with_name("validation.json")
SAMPLE = 37
"""Every so many rows, the predictions are stored, so that a test can tell whether the page is up to date [1]."""
TABLES = {
    "model": "model",
    "accelerator": "part",
    "runtime": "serving stack",
    "quantization": "weights",
    "speculation": "speculation",
    "band": "requests in flight",
}
SPLIT = {name: TABLES[name] for name in ("accelerator", "runtime", "speculation", "band")}
"""Of rows of two pools, which are almost all of one model."""
ODD = 0.2
"""Bias above which a group of rows is named as badly predicted [1]."""
BEYOND = 0.06
"""Share of its room above which a decode pool is said to hold more than that [1]: what stacks differ by."""


def summary(
    before: Validation, within: Validation, outside: Mapping[str, Validation], batches: Mapping[str, Validation]
) -> dict[str, Any]:
    """All figures of the page; `batches` are rows of one phase or one batch, within the fit and outside of it."""
    runs = {"before": before, "within": within, **outside}
    return {
        "counts": within.counts(),
        "faster": {
            name: [[each.prediction.row["id"] for each in run.below_floor(graded=graded)] for graded in (True, False)]
            for name, run in (("service", within), ("batches", batches["within"]))
        },
        "overall": {name: _overall(each) for name, each in runs.items()},
        "apart": {kind: _plain(within.figures(kind=kind, graded=False)) for kind in ("serving", "disaggregated")},
        "covered": {name: {q: each.covered(q) for q in ("tpot", "ttft")} for name, each in runs.items()},
        "tables": {column: _table(outside["model"], within, column, "serving") for column in TABLES},
        "split": {column: _table(outside["part"], within, column, "disaggregated") for column in SPLIT},
        "odd": _odd(outside["model"]),
        "ages": _ages(within),
        "worst": [[*_row(each.prediction.row), each.measured, each.predicted] for each in outside["model"].worst(12)],
        "all_batches": {name: _plain(run.figures("value")) for name, run in batches.items()},
        "batches": {column: _of_batches(batches, column) for column in ("kind", "source")},
        "unsupported": _reasons(batches["within"]),
        "sample": {
            each.row["id"]: [_short(each.ttft), _short(each.tpot), _short(each.floor)]
            for each in within.predictions[::SAMPLE]
        },
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _plain(figures: Figures | None) -> dict[str, Any] | None:
    return None if figures is None else asdict(figures)


def _overall(run: Validation) -> dict[str, Any]:
    kinds = ("serving", "disaggregated")
    return {kind: {q: _plain(run.figures(q, kind=kind)) for q in ("tpot", "ttft", "throughput")} for kind in kinds}


def _table(outside: Validation, within: Validation, column: str, kind: str) -> dict[str, Any]:
    runs = {"outside": outside, "within": within}
    found: dict[str, Any] = {}
    for name, each in runs.items():
        for quantity in ("tpot", "ttft"):
            for group, figures in each.by(column, quantity, kind=kind).items():
                found.setdefault(group, {}).setdefault(name, {})[quantity] = asdict(figures)
    return found


def _of_batches(runs: Mapping[str, Validation], column: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, each in runs.items():
        for group, figures in each.by(column, "value").items():
            found.setdefault(group, {})[name] = asdict(figures)
    return found


def _odd(run: Validation) -> list[list[Any]]:
    groups: dict[tuple[str, ...], list[Any]] = {}
    for each in run.compared("tpot", kind="serving"):
        row = each.prediction.row
        key = tuple(row[name] for name in ("model", "accelerator", "quantization", "runtime"))
        groups.setdefault(key, []).append(each)
    found = []
    for key, rows in groups.items():
        biases = sorted(each.off for each in rows)
        bias = biases[len(biases) // 2]
        if len(rows) >= FEWEST // 2 and abs(bias) > ODD:
            found.append([*key, len(rows), round(bias, 3)])
    return sorted(found, key=lambda line: -abs(line[-1]))


def _ages(run: Validation) -> list[list[Any]]:
    """Groups measured at several dates: the bias of the older half of the dates, and of the newer."""
    groups: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for each in run.compared("tpot", kind="serving"):
        row = each.prediction.row
        if row["date"]:
            key = tuple(row[name] for name in ("model", "accelerator", "quantization", "runtime", "speculation"))
            groups.setdefault(key, {}).setdefault(row["date"][:7], []).append(each.off)
    found = []
    for key, by_month in groups.items():
        months = sorted(by_month)
        halves = months[: len(months) // 2], months[len(months) // 2 :]
        rows = [[off for month in half for off in by_month[month]] for half in halves]
        if min(map(len, rows)) >= FEWEST // 3:
            biases = [round(float(np.median(each)), 3) for each in rows]
            found.append([*key[:4], months[0], months[-1], len(rows[0]), len(rows[1]), *biases])
    return sorted(found, key=lambda line: line[-2] - line[-1])


def _row(row: Mapping[str, str]) -> list[str]:
    names = ("model", "quantization", "devices", "accelerator", "runtime", "isl", "osl", "concurrency")
    return [row[name] for name in names]


def _reasons(batches: Validation) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in batches.predictions:
        if each.status != "ok":
            reason = each.message.split(":")[0]
            found[reason] = found.get(reason, 0) + 1
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def stored() -> dict[str, Any]:
    """The figures behind the page."""
    found: dict[str, Any] = json.loads(SUMMARY.read_text(encoding="utf-8"))
    return found


def page(found: Mapping[str, Any]) -> str:
    """The page in markdown."""
    text = Path(__file__).with_name("validation_page.md").read_text(encoding="utf-8")
    shared = runtime("vllm")  # what all stacks share is the same in each
    parts = {
        "overall": _overall_table(found),
        "aims": _aims(found),
        "constants": _constants(),
        "covered": _covered(found),
        "groups": _groups(found["tables"]),
        "split": _groups(found["split"]),
        "odd": _odd_table(found),
        "ages": _ages_table(found),
        "worst": _worst(found),
        "batches": _batches(found),
        "earlier": _earlier(),
        **_own_kernels(),
        "old_step": f"{runtime('vllm-2024').step * 1e3:.2g} ms",
        "old_sequence": f"{runtime('vllm-2024').sequence * 1e6:.2g} μs",
        "new_step": f"{runtime('vllm').step * 1e3:.2g} ms",
        "rows": f"{sum(found['counts'].values()):,}",
        "faster": _faster(found["faster"]["service"]),
        "faster_batches": _faster(found["faster"]["batches"]),
        "unsupported": _unsupported(found),
        "apart": _apart(found),
        "most": str(MOST_DRAFTED),
        "held": str(HELD),
        "waits_held": str(WAITS_HELD),
        "alone": f"{shared.alone * 1e3:.2g} ms",
        "sequence": f"{shared.sequence * 1e6:.2g} μs",
        "launch": f"{shared.launch * 1e6:.2g} μs",
        "acceptance": f"{shared.acceptance:.2g}",
        "asked": f"{ASKED:g}",
        "capped": str(found["capped"][0]),
        "beyond": str(found["capped"][1]),
        "over": f"{BEYOND:.0%}".replace("%", " %"),
        "small": str(SMALL),
        "middle": str(MIDDLE),
        "bunched": f"{shared.apart:.2g}",
        "tokens": f"{PASS_TOKENS:,}",
        "single": str(found["outrun"][0]),
        "shared": str(found["outrun"][1]),
        "scaled": f"× {shared.scaled_experts:g}",
        "unscaled": f"× {shared.unscaled:g}",
        "skew": f"{shared.skew:.2g}",
    }
    for name, part in parts.items():
        text = text.replace(f"<<{name}>>", part)
    return text


RUNS = {
    "before": "devices alone, no serving stack",
    "within": "with the stacks' constants, rows they were fitted to",
    "model": "each row predicted without the rows of its model",
    "part": "each row predicted without the rows of its part",
}


def _percent(figures: Mapping[str, Any] | None, name: str) -> str:
    return "" if figures is None else f"{figures[name]:+.1%}" if name == "bias" else f"{figures[name]:.1%}"


def _overall_table(found: Mapping[str, Any]) -> str:
    lines = [
        "| rows | predicted | rows | TPOT median | mean | bias | TTFT median | bias | output tokens/s median |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, said in (("serving", "one pool"), ("disaggregated", "two pools")):
        for name, what in RUNS.items():
            each = found["overall"][name][kind]
            tpot, ttft, rate = each["tpot"], each["ttft"], each["throughput"]
            lines.append(
                f"| {said} | {what} | {tpot['rows']:,} | {_percent(tpot, 'median')} | {_percent(tpot, 'mean')} "
                f"| {_percent(tpot, 'bias')} | {_percent(ttft, 'median')} | {_percent(ttft, 'bias')} "
                f"| {_percent(rate, 'median')} |"
            )
    return "\n".join(lines)


AIMS = (
    ("one pool, TPOT median", "serving", "tpot", "median", 0.08),
    ("one pool, TPOT mean", "serving", "tpot", "mean", 0.15),
    ("one pool, TTFT median", "serving", "ttft", "median", 0.25),
    ("two pools, TPOT median", "disaggregated", "tpot", "median", 0.12),
)
EACH = 0.12
"""The aim for the TPOT median of each model and each part with at least `FEWEST` rows of one pool."""


def _aims(found: Mapping[str, Any]) -> str:
    """What was aimed at against what came out, in sample, without a row's model, and without its part."""
    runs = {"in sample": "within", "without its model": "model", "without its part": "part"}
    lines = [f"| aim | at most | {' | '.join(runs)} |", "|---|---:|---:|---:|---:|"]
    for said, kind, quantity, name, most in AIMS:
        values = [found["overall"][run][kind][quantity][name] for run in runs.values()]
        shown = [f"**{value:.1%}**" if value <= most else f"{value:.1%}" for value in values]
        lines.append(f"| {said} | {most:.0%} | {' | '.join(shown)} |")
    for column in ("model", "accelerator"):
        groups = [each for each in found["tables"][column].values() if each["within"]["tpot"]["rows"] >= FEWEST]
        within, outside = ([each[name]["tpot"]["median"] for each in groups] for name in ("within", "outside"))
        shown = [f"{sum(value <= EACH for value in values)} of {len(groups)}" for values in (within, outside)]
        lines.append(f"| one pool, TPOT median of each {TABLES[column]} | {EACH:.0%} | {' | '.join(shown)} | |")
    return "\n".join(lines)


def _constants() -> str:
    lines = [
        "| stack | step | verified | prompt | slower | request | first | aligned | bunch | in step "
        "| rows | TPOT error | TPOT range | TTFT error |",
        "|---|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---|---:|",
    ]
    for name in STACKS:
        each = runtime(name)
        lines.append(
            f"| {name} | {each.step * 1e3:.3g} ms | {each.verified * 1e6:.3g} μs "
            f"| {each.prompt * 1e3:.3g} ms | {_slower(each)} | {each.request * 1e3:.3g} ms "
            f"| {each.first:.3g} | {each.aligned:.3g} | {each.bunch:.3g} "
            f"| {each.in_step:.3g} | {each.tpot.points:,} | {each.tpot.error:.1%} "
            f"| {each.tpot.low:.2f} to {each.tpot.high:.2f} | {each.ttft.error:.1%} |"
        )
    return "\n".join(lines)


def _slower(stack: Runtime) -> str:
    return ", ".join(f"{vendor} × {times:g}" for vendor, times in stack.slower.items())


def _covered(found: Mapping[str, Any]) -> str:
    shares = found["covered"]["part"]
    return f"{shares['tpot']:.0%} of the TPOT and {shares['ttft']:.0%} of the TTFT"


def _groups(tables: Mapping[str, Any]) -> str:
    lines: list[str] = []
    for column, groups in tables.items():
        heading = TABLES[column]
        lines += [
            f"| {heading} | rows | TPOT median | mean | bias | fitted to | TTFT median | bias |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for name, each in groups.items():
            tpot, ttft = each["outside"]["tpot"], each["outside"].get("ttft")
            lines.append(
                f"| {name.split('|', 1)[-1]} | {tpot['rows']:,} "
                f"| {_percent(tpot, 'median')} | {_percent(tpot, 'mean')} "
                f"| {_percent(tpot, 'bias')} | {_percent(each['within']['tpot'], 'median')} "
                f"| {_percent(ttft, 'median')} | {_percent(ttft, 'bias')} |"
            )
        lines.append("")
    return "\n".join(lines).rstrip()


def _faster(rows: list[list[str]]) -> str:
    """How many rows are faster than they can be, and of those that do not count which."""
    counted, others = rows
    apart = f", and of those of grade C {len(others)} ({', '.join(others)})" if others else ""
    return f"{len(counted) or 'none'}{apart}"


def _odd_table(found: Mapping[str, Any]) -> str:
    lines = ["| model | part | weights | stack | rows | bias |", "|---|---|---|---|---:|---:|"]
    return "\n".join(lines + [f"| {' | '.join(line[:4])} | {line[4]} | {line[5]:+.0%} |" for line in found["odd"]])


def _ages_table(found: Mapping[str, Any]) -> str:
    lines = [
        "| model | part | weights | stack | from | to | older rows | newer | bias of the older | of the newer |",
        "|---|---|---|---|---|---|---:|---:|---:|---:|",
    ]
    for *what, older, newer, first, last in found["ages"]:
        lines.append(f"| {' | '.join(what)} | {older} | {newer} | {first:+.0%} | {last:+.0%} |")
    return "\n".join(lines)


def _worst(found: Mapping[str, Any]) -> str:
    lines = ["| row | measured ms | predicted ms |", "|---|---:|---:|"]
    for model, weights, devices, part, stack, isl, osl, flying, measured, predicted in found["worst"]:
        what = f"{model.split('/')[-1]} {weights}, {devices} × {part}, {stack}, {isl} in, {osl} out, {flying} in flight"
        lines.append(f"| {what} | {measured:.3g} | {predicted:.3g} |")
    return "\n".join(lines)


def _batches(found: Mapping[str, Any]) -> str:
    lines = [
        "| rows of | rows | median | mean | bias | without its model | without its part | of rows |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for column, groups in {"all": {"all": found["all_batches"]}, **found["batches"]}.items():
        for name, each in groups.items():
            shown = f"all of kind {name}" if column == "kind" else name
            outside = " | ".join(_percent(each.get(run), "median") for run in ("model", "part"))
            within = each["within"]
            figures = " | ".join(_percent(within, figure) for figure in ("median", "mean", "bias"))
            apart = f"{each['part']['rows']:,}" if "part" in each else ""
            lines.append(f"| {shown} | {within['rows']:,} | {figures} | {outside} | {apart} |")
    return "\n".join(lines)


def _earlier() -> str:
    lines = [
        "| stack | versions of | below | or until | step | sequence | prompt | slower "
        "| steps and batches | error | range | prompts | error |",
        "|---|---|---|---|---:|---:|---:|---|---:|---:|---|---:|---:|",
    ]
    for name in EARLIER:
        each = runtime(name)
        lines.append(
            f"| {name} | {each.of} | {each.below} | {each.until} | {each.step * 1e3:.3g} ms "
            f"| {each.sequence * 1e6:.3g} μs | {each.prompt * 1e3:.3g} ms | {_slower(each)} | {each.tpot.points:,} "
            f"| {each.tpot.error:.1%} | {each.tpot.low:.2f} to {each.tpot.high:.2f} | {_prompts(each)} |"
        )
    return "\n".join(lines)


def _prompts(stack: Runtime) -> str:
    """Prompts that were measured on their own; others are among the batches."""
    return f"{stack.ttft.points:,} | {stack.ttft.error:.1%}" if stack.ttft.points else " | "


def _own_kernels() -> dict[str, str]:
    """How many times as long as the class's the kernels of llama.cpp compute."""
    own, known = runtime("llama.cpp").kernels, part_class("hbm").efficiency.kernels
    assert own is not None
    named: dict[str, tuple[KernelClass, str]] = {
        "products": ("matmul", "bf16"),
        "dequantised": ("matmul", "int4-bf16"),
    }
    return {
        word: f"{known[name][key].compute / own.kernels[name][key].compute:.2g}" for word, (name, key) in named.items()
    }


def _unsupported(found: Mapping[str, Any]) -> str:
    reasons = list(found["unsupported"].items())[:6]
    return ", ".join(f"{name} {count:,}" for name, count in reasons)


def _apart(found: Mapping[str, Any]) -> str:
    said = {"serving": "one pool", "disaggregated": "two pools"}
    figures = [(said[kind], each) for kind, each in found["apart"].items() if each]
    return "; ".join(f"{kind}: {each['rows']} rows, TPOT median {each['median']:.0%}" for kind, each in figures)
