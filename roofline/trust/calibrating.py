"""The door to calibration: measured kernels or results of serving benchmarks, told apart by their content."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from roofline.errors import InvalidInput
from roofline.trust import calibration
from roofline.trust.calibration import Calibration, Source, to_toml
from roofline.trust.collective_fits import Part
from roofline.trust.kernels import Measured
from roofline.trust.results.reading import OPTIONS, is_kernels, named, present, read_results, together
from roofline.trust.service_calibration import ServiceCalibration, calibrate_service

Files = str | Path | Iterable[str | Path]


def calibrate(
    rows: Source | Files, accelerator: str | Path | Part | None = None, **said: Any
) -> Calibration | ServiceCalibration:
    """Fitted figures of one part, from measured kernels or from results of a serving benchmark.

    `rows` are a CSV of kernels or its rows, or one file or several that a benchmark of serving wrote. `accelerator`
    says whose rows they are; of a benchmark `said` gives what its files do not say: `model`, `devices`, `tp`,
    `quantization`, `kv_cache`, `runtime`, `isl`, `osl`, `concurrency`. What the rows do not identify stays
    about what is usual, and `.report` says what to measure for it. `InvalidInput` where nothing can be fitted.
    """
    unknown = sorted(set(said) - set(OPTIONS))
    if unknown:
        raise InvalidInput("calibrate", given=unknown[0], expected=f"any of {', '.join(OPTIONS)}")
    files, source = _told_apart(rows)
    if files:
        paths = present(files)
        if not _are_kernels(paths):
            if not isinstance(accelerator, str | None):
                raise InvalidInput("accelerator", given=accelerator, expected="a name of the catalogue")
            results = read_results(paths, {**said, "accelerator": accelerator})
            return calibrate_service(results.rows, {named(*each): len(each[1]) for each in results.left_out.items()})
        source = paths[0]
    _nothing_said(said)
    return calibration.calibrate(source, accelerator)


def calibrate_file(
    paths: Files,
    output: str | Path,
    accelerator: str | None = None,
    progress: Callable[[str], None] | None = None,
    **said: Any,
) -> Calibration | ServiceCalibration:
    """As `calibrate`, from one file or several into a calibration file; `progress` is told what happens."""
    files = present([paths] if isinstance(paths, str | Path) else paths)
    if not str(output).endswith(".toml"):
        raise InvalidInput("output", given=str(output), expected="a file that ends in .toml, as efficiency= takes it")
    if _are_kernels(files):
        _nothing_said(said)
        return calibration.calibrate_file(files[0], output, accelerator, progress)
    found = calibrate(files, accelerator, **said)
    try:
        Path(output).write_text(_header(files, found) + to_toml(found.efficiency), encoding="utf-8")
    except OSError as error:
        raise InvalidInput("output", given=str(output), expected=f"a file to write ({error.strerror})") from None
    return found


def _told_apart(rows: Any) -> tuple[list[str | Path], Any]:
    """Files, or else rows of kernels, which may be of a generator that is read but once."""
    if isinstance(rows, str | Path):
        return [rows], ()
    if isinstance(rows, Measured):
        return [], rows
    given = list(rows)
    files = [each for each in given if isinstance(each, str | Path)]
    if not given or 0 < len(files) < len(given):
        what = "files and rows together" if given else "no file and no row"
        raise InvalidInput("calibrate", given=what, expected="files, or rows of measured kernels")
    return files, given


def _are_kernels(paths: list[Path]) -> bool:
    """Whether a file is of measured kernels, which it then has to be alone."""
    kernels = [path for path in paths if is_kernels(path)]
    if kernels and len(paths) > 1:
        expected = "results of service; measured kernels are fitted from one file"
        raise InvalidInput(str(kernels[0]), given=f"measured kernels, one of {len(paths)} files", expected=expected)
    return bool(kernels)


def _nothing_said(said: dict[str, Any]) -> None:
    given = next((name for name in OPTIONS if said.get(name) is not None), None)
    if given:
        raise InvalidInput(given, given=said[given], expected="nothing: measured kernels say it themselves")


def _header(paths: list[Path], found: Calibration | ServiceCalibration) -> str:
    lines = [
        f"Fitted by `roofline calibrate` to {together(paths)}; see docs/calibration.md.",
        *found.report.splitlines(),
    ]
    return "".join(f"# {line}\n" for line in lines)
