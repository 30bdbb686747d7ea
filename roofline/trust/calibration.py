"""Fits what a part reaches of its peaks to measured kernels, says what they do not identify, and writes the file.

`calibrate(rows)` gives a `Calibration`: its `efficiency` goes into estimates, its `report` says how good it is.
`calibrate_file` writes it as a calibration file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roofline.describe.catalog import accelerator as described
from roofline.describe.catalog import accelerators
from roofline.describe.efficiency import CollectiveFit, Efficiency, KernelFit
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.errors import InvalidInput
from roofline.trust.collective_fits import Part, fitted_collectives, fitted_stacks
from roofline.trust.kernels import Kernel, Measured, by_format, cited, measured_of, read_kernels
from roofline.trust.part_fits import KernelFits, fitted_kernels, fuse_quantisation, with_mxfp4

Source = str | Path | Measured | Iterable[Kernel] | Iterable[Mapping[str, str]]

FUSED = (
    "rows of fp8 and nvfp4 matmul include a kernel that quantises activations, which serving stacks fuse: its bytes "
    "are taken out of compute and memory, and the overhead is that of bf16"
)


@dataclass(frozen=True)
class Calibration:
    """Fitted figures of one part, and what became of every row: `fitted` to, or `left_out` by reason.

    `as_measured` are the figures before the overhead of a fused kernel was taken out of them.
    """

    efficiency: Efficiency
    as_measured: KernelFits
    part: Part
    rows: int
    fitted: int
    left_out: Mapping[str, int]

    @property
    def report(self) -> str:
        """The figures with their evidence, and what the rows did not identify."""
        lines = [f"{self.efficiency.name}: {self.fitted} of {self.rows} measured rows fitted"]
        for name, kernel in _kernel_fits(self.efficiency):
            numbers = f"{kernel.overhead * 1e6:6.2f} us  compute {kernel.compute:.3f}  memory {kernel.memory:.3f}"
            numbers += "" if kernel.cores is None else f"  cores {kernel.cores:.0f}"
            lines.append(f"{name:28s} {numbers}  {_evidence_text(kernel)}")
        for name, wires in _collective_fits(self.efficiency):
            shots = f"{wires.overhead * 1e6:6.2f} us  staged {wires.staged_overhead * 1e6:.2f} us"
            shots += "" if wires.summed_overhead is None else f"  summed {wires.summed_overhead * 1e6:.2f} us"
            lines.append(f"{name:28s} {shots}  bandwidth {wires.bandwidth:.3f}  {_evidence_text(wires)}")
        lines += [f"left out: {count} rows, {reason}" for reason, count in self.left_out.items()]
        return "\n".join(lines)


def _evidence_text(figures: KernelFit | CollectiveFit) -> str:
    spread = f"measured/predicted {figures.low:.2f} to {figures.high:.2f}"
    return f"{figures.points} rows  median error {figures.error:.1%}  {spread}"


def _kernel_fits(efficiency: Efficiency) -> list[tuple[str, KernelFit]]:
    named = efficiency.kernels.items()
    return [(f"{name} {key}", kernel) for name, formats in named for key, kernel in formats.items()]


def _collective_fits(efficiency: Efficiency) -> list[tuple[str, CollectiveFit]]:
    """Those of all rows, and of each serving stack's."""
    stacks = [(f" {stack}", fits) for stack, fits in efficiency.stacks.items()]
    return [(name + of, wires) for of, fits in [("", efficiency.collectives), *stacks] for name, wires in fits.items()]


def calibrate(rows: Source, accelerator: str | Path | Part | None = None) -> Calibration:
    """Fitted figures from measured kernels: a CSV file, or its rows.

    `accelerator` says whose rows to fit where several parts were measured. A class and format whose rows do not
    identify its three numbers is left out, so that estimates take the default of the part's class, and `.report` says
    which number and why. `InvalidInput` where nothing can be fitted.
    """
    measured = _measured(rows)
    part, name = _part(measured, accelerator)
    own = [kernel for kernel in measured.kernels if catalogue_name(kernel.accelerator) == name]
    unused = {
        reason: count for (part_name, reason), count in measured.left_out.items() if catalogue_name(part_name) == name
    }
    alike = kernels_alike(measured.kernels, name, part)
    as_measured, unidentified = fitted_kernels(part, own, alike)
    collectives, more = fitted_collectives(part, own, alike)
    left_out = {**unused, **unidentified, **more}
    kernels = fuse_quantisation(as_measured, by_format(own, "matmul"))
    note = FUSED if kernels != as_measured else ""
    if "matmul" in kernels:
        kernels = {**kernels, "matmul": with_mxfp4(kernels["matmul"])}
    if not kernels and not collectives:
        given = "; ".join(left_out) or "no row of it"
        raise InvalidInput(f"measured kernels of {name}", given=given, expected="rows that identify a class")
    efficiency = Efficiency(
        name=name,
        source=f"{len(own)} measured kernels: {cited(own, 12)}",
        note=note,
        kernels=kernels,
        collectives=collectives,
        stacks=fitted_stacks(part, own, alike),
    )
    fitted = len(own) - sum(unidentified.values()) - sum(more.values())
    return Calibration(efficiency, as_measured, part, fitted + sum(left_out.values()), fitted, left_out)


def calibrate_file(
    path: str | Path,
    output: str | Path,
    accelerator: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Calibration:
    """As `calibrate`, from a CSV file into a calibration file; `progress` is told what happens."""
    say = progress or (lambda message: None)
    measured = read_kernels(path)
    say(f"{path}: {measured.rows} rows read")
    calibration = calibrate(measured, accelerator)
    option = f" --accelerator {accelerator}" if accelerator else ""
    header = (
        f"# Fitted by `roofline calibrate {path}{option} -o {output}`\n"
        f"# to the {calibration.rows} rows of {calibration.efficiency.name} there; see docs/calibration.md.\n"
    )
    try:
        Path(output).write_text(header + to_toml(calibration.efficiency), encoding="utf-8")
    except OSError as error:
        raise InvalidInput("output", given=str(output), expected=f"a file to write ({error.strerror})") from None
    say(f"{output}: {calibration.fitted} of {calibration.rows} rows fitted")
    return calibration


def _measured(rows: Source) -> Measured:
    if isinstance(rows, str | Path):
        return read_kernels(rows)
    if isinstance(rows, Measured):
        return rows
    given: list[Any] = list(rows)
    kernels = [row for row in given if isinstance(row, Kernel)]
    read = measured_of((f"row {n}", row) for n, row in enumerate(given, 1) if not isinstance(row, Kernel))
    return Measured((*kernels, *read.kernels), read.left_out)


def kernels_alike(kernels: Iterable[Kernel], name: str, part: Part) -> dict[str, list[Kernel]]:
    """Kernels of other parts of the catalogue with the same arithmetic, by part."""
    found: dict[str, list[Kernel]] = {}
    for kernel in kernels:
        found.setdefault(catalogue_name(kernel.accelerator), []).append(kernel)
    others = sorted(found.keys() & set(accelerators()) - {name})
    return {other: found[other] for other in others if described(other).computes_like(part)}


def _part(measured: Measured, accelerator: str | Path | Part | None) -> tuple[Part, str]:
    names = sorted({catalogue_name(kernel.accelerator) for kernel in measured.kernels})
    if isinstance(accelerator, HbmAccelerator | SramAccelerator):
        known = [name for name in names if name in accelerators() and described(name) == accelerator]
        return accelerator, known[0] if known else accelerator.name
    if accelerator is None:
        if len(names) != 1:
            expected = f"the part to fit, one of those measured: {', '.join(names) or 'none'}"
            raise InvalidInput("accelerator", given=None, expected=expected)
        return described(names[0]), names[0]
    part, name = described(catalogue_name(str(accelerator))), catalogue_name(str(accelerator))
    name = Path(name).stem if name.endswith(".toml") else name
    if name not in names:
        raise InvalidInput("accelerator", given=name, expected=f"one that was measured: {', '.join(names) or 'none'}")
    return part, name


def catalogue_name(hardware: str) -> str:
    """The catalogue's name of a part that a file of measurements may spell with capitals or with its memory.

    >>> catalogue_name("H100-SXM-80GB"), catalogue_name("my part")
    ('h100-sxm', 'my part')
    """
    known = accelerators()
    for name in (hardware, hardware.lower(), re.sub(r"-\d+gb$", "", hardware.lower())):
        if name in known:
            return name
    return hardware


def to_toml(efficiency: Efficiency, extra: str = "") -> str:
    """A calibration file's contents; `extra` tables go before the fits."""
    lines = [
        f"{key} = {_toml(getattr(efficiency, key))}" for key in ("name", "source", "note") if getattr(efficiency, key)
    ]
    blocks = ["\n".join(lines), *([extra.strip()] if extra else [])]
    for name, formats in efficiency.kernels.items():
        blocks += [_table(f"kernels.{name}.{key}", figures) for key, figures in formats.items()]
    blocks += [_table(f"collectives.{name}", figures) for name, figures in efficiency.collectives.items()]
    for stack, fits in efficiency.stacks.items():
        key = stack if re.fullmatch(r"[\w-]+", stack) else json.dumps(stack)
        blocks += [_table(f"stacks.{key}.{name}", figures) for name, figures in fits.items()]
    return "\n\n".join(blocks) + "\n"


def _table(path: str, figures: KernelFit | CollectiveFit) -> str:
    named = figures.model_dump()
    own = [key for key in type(figures).model_fields if key not in _FitKeys and named[key] is not None]
    numbers = [*own, *_FitKeys]
    return "\n".join([f"[{path}]", *(f"{key} = {_toml(named[key])}" for key in numbers)])


_FitKeys = ("points", "error", "low", "high", "source")


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else f"{value:g}"
