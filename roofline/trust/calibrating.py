"""The door to calibration: measured kernels or results of a serving benchmark, told apart by their content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from roofline.errors import InvalidInput
from roofline.trust import calibration
from roofline.trust.calibration import Calibration, Source, to_toml
from roofline.trust.part_fits import Part
from roofline.trust.results.reading import OPTIONS, is_kernels, read_results
from roofline.trust.service_calibration import ServiceCalibration, calibrate_service


def calibrate(
    rows: Source, accelerator: str | Path | Part | None = None, **said: Any
) -> Calibration | ServiceCalibration:
    """Fitted figures of one part, from measured kernels or from results of a serving benchmark.

    `rows` are a CSV of kernels or its rows, or a file that a benchmark of serving wrote. `accelerator` says whose rows
    they are; of a benchmark `said` gives what its file does not say: `model`, `devices`, `tp`, `quantization`,
    `kv_cache`, `runtime`, `concurrency`. What the rows do not identify is left at the part's own figure, and `.report`
    says what to measure for it. `InvalidInput` where nothing can be fitted.
    """
    unknown = sorted(set(said) - set(OPTIONS))
    if unknown:
        raise InvalidInput("calibrate", given=unknown[0], expected=f"any of {', '.join(OPTIONS)}")
    if not isinstance(rows, str | Path) or is_kernels(rows):
        given = next((name for name in OPTIONS if said.get(name) is not None), None)
        if given:
            raise InvalidInput(given, given=said[given], expected="nothing: measured kernels say it themselves")
        return calibration.calibrate(rows, accelerator)
    if not isinstance(accelerator, str | None):
        raise InvalidInput("accelerator", given=accelerator, expected="a name of the catalogue")
    return calibrate_service(read_results(rows, {**said, "accelerator": accelerator}))


def calibrate_file(
    path: str | Path,
    output: str | Path,
    accelerator: str | None = None,
    progress: Callable[[str], None] | None = None,
    **said: Any,
) -> Calibration | ServiceCalibration:
    """As `calibrate`, from a file into a calibration file; `progress` is told what happens."""
    if is_kernels(path) and not any(value is not None for value in said.values()):
        return calibration.calibrate_file(path, output, accelerator, progress)
    found = calibrate(path, accelerator, **said)
    try:
        Path(output).write_text(_header(path, found) + to_toml(found.efficiency), encoding="utf-8")
    except OSError as error:
        raise InvalidInput("output", given=str(output), expected=f"a file to write ({error.strerror})") from None
    return found


def _header(path: str | Path, found: Calibration | ServiceCalibration) -> str:
    lines = [
        f"Fitted by `roofline calibrate` to {Path(path).name}; see docs/calibration.md.",
        *found.report.splitlines(),
    ]
    return "".join(f"# {line}\n" for line in lines)
