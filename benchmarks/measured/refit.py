"""Fits every calibration file of the catalogue to the rows in this folder, and writes their tables into the documents.

    python -m benchmarks.measured.refit

The files of measured parts are what `roofline calibrate` gives for them; the defaults of a class follow from those.
"""

from __future__ import annotations

import csv
import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from roofline import Deployment
from roofline.describe.catalog import accelerator, calibration, part_class
from roofline.describe.efficiency import COLLECTIVE_CLASSES, KERNEL_CLASSES, CollectiveFit, Efficiency, KernelFit
from roofline.trust.calibration import Calibration, calibrate, calibrate_file, catalogue_name, to_toml
from roofline.trust.class_default import class_default
from roofline.trust.fitting import evidence, rounded
from roofline.trust.kernels import Kernel, Measured, by_format, read_kernels
from roofline.trust.part_fits import predicted
from roofline.trust.published_rates import Rate, fitted, rates_default, rates_fit, read_rates

ROOT = Path(__file__).resolve().parents[2]
KERNELS = Path("benchmarks/measured/kernels.csv")
ACROSS = Path("benchmarks/measured/across.csv")
RATES = Path("benchmarks/measured/sram_rates.csv")
PHASES = Path("benchmarks/measured/phases.csv")
SPECS = Path("hardware_specs/calibration")
PAGE = Path("docs/calibration.md")
FITTED = ("a100-sxm-80gb", "h100-sxm", "h200-sxm", "b200-sxm")
BENCHMARK = "mle-accelerators"
"""Source of the matrix products that parts sustain: one benchmark for all of them."""
RATED = ("groq-lpu-v1", "cerebras-wse3")
RESERVE = """[reserve]
value = 0.1
source = "vllm-engine-arguments"
note = "a serving stack claims 0.9 of the memory by default; the rest is left to the runtime and to activations"
"""
STEPS: tuple[tuple[str, int, str, dict[str, int], float], ...] = (
    ("llama-3.1-70b", 8, "prefill", {"prompt": 2048}, 93.7),
    ("llama-3.1-70b", 8, "decode", {"batch": 1, "context": 2048}, 9.98),
    ("llama-3.1-70b", 8, "decode", {"batch": 32, "context": 2048}, 13.2),
    ("llama-3.1-70b", 8, "decode", {"batch": 128, "context": 2048}, 20.3),
    ("llama-3.1-8b", 1, "prefill", {"prompt": 2048}, 46.7),
    ("llama-3.1-8b", 1, "decode", {"batch": 1, "context": 2048}, 6.62),
    ("llama-3.1-8b", 1, "decode", {"batch": 64, "context": 2048}, 12.7),
)
"""Model, h100-sxm devices (tp), phase and its arguments; the step composed of measured bf16 kernels [ms]."""


def crossing_seconds() -> float:
    """What each of the two crossings of an all-reduce between two nodes takes beside its bytes [s].

    Of measured all-reduces over eight devices in one node and sixteen in two, by the least sum of deviations of
    logarithms; what a byte takes belongs to the network they were measured on.
    """
    with (ROOT / ACROSS).open(encoding="utf-8", newline="") as file:
        rows = [[float(value) for value in row.values()] for row in csv.DictReader(file)]
    size, inside, across = np.array(rows).T
    latency, each = np.meshgrid(np.linspace(1, 60, 591), np.geomspace(1e-6, 1e-2, 801))  # us, us/B
    fitted = inside + 2 * latency[..., None] + each[..., None] * size
    worst = np.abs(np.log(fitted / across)).sum(axis=-1)
    return rounded(float(latency.flat[int(np.argmin(worst))]) * 1e-6)


def hbm_default(measured: Measured, calibrations: list[Calibration]) -> Efficiency:
    """The defaults of parts with DRAM, with the crossing between nodes that no row of theirs measures."""
    efficiency = class_default("class-hbm", calibrations, measured)
    reduce = efficiency.collectives["all_reduce"]
    source = f"{reduce.source}; crossing: vidur, all-reduce over two nodes of eight a100-sxm-80gb beside one ({ACROSS})"
    reduce = reduce.model_copy(update={"crossing": crossing_seconds(), "source": source})
    return efficiency.model_copy(update={"collectives": {**efficiency.collectives, "all_reduce": reduce}})


def class_hbm(measured: Measured, calibrations: list[Calibration]) -> str:
    """Contents of the file with the defaults of parts with DRAM."""
    efficiency = hbm_default(measured, calibrations)
    header = f"# Made by `python -m benchmarks.measured.refit` from {KERNELS}.\n"
    return header + to_toml(efficiency, f"{RESERVE}\n{sustained()}")


def sustained() -> str:
    """The table of what the fitted parts sustain of their peaks, by format."""
    lines = ["[sustained]"]
    for name in ("bf16", "fp8"):
        shares = {part: accelerator(part).sustained(name, BENCHMARK) for part in FITTED}
        known = {part: share for part, share in shares.items() if share is not None}
        value = rounded(float(np.median(list(known.values()))))
        lines.append(f'{name} = {{ value = {value}, source = "{BENCHMARK}", note = "median of {", ".join(known)}" }}')
    return "\n".join(lines)


def sram_files(rates: tuple[Rate, ...]) -> dict[str, str]:
    """Contents of the files of parts without DRAM, by name."""
    header = f"# Made by `python -m benchmarks.measured.refit` from {RATES}.\n"
    files = {name: rates_fit([rate for rate in rates if rate.accelerator == name]) for name in RATED}
    files["class-sram"] = rates_default("class-sram", rates)
    return {name: header + to_toml(efficiency) for name, efficiency in files.items()}


def published() -> tuple[Rate, ...]:
    """The published rates that calibrations rest on."""
    return fitted(read_rates(ROOT / RATES, ROOT / PHASES))


def step_milliseconds(model: str, devices: int, phase: str, arguments: dict[str, int]) -> Any:
    """The calibrated estimate of one of `STEPS`."""
    deployment = Deployment(model, "h100-sxm", devices=devices, tp=devices, quantization="bf16")
    return getattr(deployment, phase)(**arguments)


def tables() -> dict[str, str]:
    """Every generated table of the page, by the name of its marker."""
    measured = read_kernels(ROOT / KERNELS)
    efficiencies = {name: calibration(name) for name in FITTED}
    return {
        "fits": _fits({name: each for name, each in efficiencies.items() if each is not None}),
        "class": _fits({"": part_class("hbm").efficiency}),
        "others": _others(measured),
        "rates": _rates(published()),
        "steps": _steps(),
    }


def _fits(efficiencies: dict[str, Efficiency]) -> str:
    """Every fit of some efficiencies; a column says whose where there are several."""
    part = len(efficiencies) > 1
    lines = [
        f"| class | format or stack |{' part |' * part} overhead | compute | memory | rows | error "
        "| measured / predicted |",
        "|---|---|" + "---|" * part + "---|---|---|---|---|---|",
    ]
    for kernel_class in KERNEL_CLASSES:
        for formats in sorted({key for each in efficiencies.values() for key in each.kernels.get(kernel_class, {})}):
            for name, efficiency in efficiencies.items():
                kernel = efficiency.kernels.get(kernel_class, {}).get(formats)
                if kernel is not None:
                    dealt = "" if kernel.cores is None else f", {kernel.cores:.0f} cores"
                    numbers = f"{kernel.overhead * 1e6:.2f} us | {kernel.compute:.3f}{dealt} | {kernel.memory:.3f}"
                    lines.append(
                        f"| {kernel_class} | {formats} |{f' {name} |' * part} {numbers} | {_evidence(kernel)} |"
                    )
    stacks = sorted({stack for efficiency in efficiencies.values() for stack in efficiency.stacks})
    for collective, stack in product(COLLECTIVE_CLASSES, ("", *stacks)):
        for name, efficiency in efficiencies.items():
            fits = efficiency.stacks.get(stack, {}) if stack else efficiency.collectives
            wires = fits.get(collective)
            if wires is not None:
                staged = f"{wires.staged_overhead * 1e6:.2f} us staged" if collective == "all_reduce" else ""
                staged += "" if wires.summed_overhead is None else f", {wires.summed_overhead * 1e6:.2f} us summed"
                staged += "" if wires.crossing is None else f", {wires.crossing * 1e6:.2f} us crossing"
                numbers = f"{wires.overhead * 1e6:.2f} us | {staged} | {wires.bandwidth:.3f} of the link"
                title = f"| {collective} | {stack or 'any'} |{f' {name} |' * part}"
                lines.append(f"{title} {numbers} | {_evidence(wires)} |")
    return "\n".join(lines)


def _evidence(figures: KernelFit | CollectiveFit) -> str:
    return f"{figures.points} | {figures.error:.1%} | {figures.low:.2f} to {figures.high:.2f}"


def _others(measured: Measured) -> str:
    """What the class's defaults miss on every part that was not fitted."""
    default = part_class("hbm").efficiency
    lines = [
        "| part | class | format | rows | error | measured / predicted |",
        "|---|---|---|---|---|---|",
    ]
    rows: dict[str, list[Kernel]] = {}
    for kernel in measured.kernels:
        rows.setdefault(catalogue_name(kernel.accelerator), []).append(kernel)
    for name in sorted(set(rows) - set(FITTED)):
        groups: list[tuple[str, KernelFit | CollectiveFit | None, list[Kernel]]] = []
        for kernel_class in KERNEL_CLASSES:
            for formats, group in by_format(rows[name], kernel_class).items():
                stored, _, computed = formats.partition("-")
                fit = default.kernel(kernel_class, stored, computed or stored)
                groups.append((f"{kernel_class} | {formats}", fit, group))
        for collective in COLLECTIVE_CLASSES:
            group = by_format(rows[name], collective).get("any", [])
            groups.append((f"{collective} | any", default.collectives[collective], group))
        for title, figures, group in groups:
            if figures is not None and group:
                shown = evidence(predicted(accelerator(name), group, figures), np.array([k.seconds for k in group]))
                spread = f"{shown.low:.2f} to {shown.high:.2f}"
                lines.append(f"| {name} | {title} | {shown.points} | {shown.error:.0%} | {spread} |")
    return "\n".join(lines)


def _rates(rates: tuple[Rate, ...]) -> str:
    lines = ["| part | model | published tokens/s | overhead that explains it |", "|---|---|---|---|"]
    for rate in rates:
        overhead = f"{rate.overhead() * 1e6:.1f} us"
        lines.append(f"| {rate.accelerator} | {rate.model} | {rate.tokens_per_second:g} | {overhead} |")
    return "\n".join(lines)


def _steps() -> str:
    lines = [
        "| model | devices | step | of measured kernels | estimated | difference | 80 % interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, devices, phase, arguments, composed in STEPS:
        estimate = step_milliseconds(model, devices, phase, arguments)
        seconds = estimate.seconds * 1e3
        asked = ", ".join(f"{key} {value}" for key, value in arguments.items())
        interval = f"{estimate.low * 1e3:.3g} to {estimate.high * 1e3:.3g} ms"
        lines.append(
            f"| {model} | {devices} | {phase}, {asked} | {composed:g} ms | {seconds:.3g} ms "
            f"| {seconds / composed - 1:+.0%} | {interval} |"
        )
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with every generated table brought up to date."""
    for name, table in tables().items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}{table}\n{end}{after}"
    return text


def main() -> None:
    """Write every file, parts before what builds on them."""
    os.chdir(ROOT)
    measured = read_kernels(KERNELS)
    for name in FITTED:
        calibrate_file(KERNELS, SPECS / f"{name}.toml", accelerator=name, progress=print)
    calibrations = [calibrate(measured, name) for name in FITTED]
    (ROOT / SPECS / "class-hbm.toml").write_text(class_hbm(measured, calibrations), encoding="utf-8")
    for name, text in sram_files(published()).items():
        (ROOT / SPECS / f"{name}.toml").write_text(text, encoding="utf-8")
    calibration.cache_clear()
    part_class.cache_clear()
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    (ROOT / PAGE).write_text(page(text), encoding="utf-8")
    print(f"{PAGE}: tables brought up to date")


if __name__ == "__main__":
    main()
