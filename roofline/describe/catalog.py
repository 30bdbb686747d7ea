"""Where spec files are found, and the parts and documents they describe.

Specs ship inside the wheel; an editable checkout finds them beside the package.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from roofline.describe.efficiency import Efficiency
from roofline.describe.hardware import HbmAccelerator, SramAccelerator, parse_accelerator, validated
from roofline.describe.provenance import Cited, Fact, Source
from roofline.describe.spec_file import SpecFile
from roofline.errors import InvalidInput, SpecError, UnknownName

_PACKAGE = Path(__file__).resolve().parent.parent
_MAX_SPEC_BYTES = 1_000_000
_NOT_VENDORS = ("calibration", "systems", "runtimes")
"""Folders beside those of the vendors: files in them describe no parts."""


class PartClass(BaseModel):
    """What holds for a whole class of parts where a part has no figure of its own.

    `reserve` is the share of usable memory that a serving stack keeps for itself, absent where it keeps none;
    `efficiency` the median of the fitted parts, with the spread between them; `sustained` by format the share of their
    peaks that their best matrix products sustain in one benchmark, the source of each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reserve: Fact | None = None
    sustained: dict[str, Fact] = {}
    efficiency: Efficiency = Field(exclude=True)


@cache
def specs_directory() -> Path:
    """The folder of spec files: inside the installed package, else beside it."""
    for candidate in (_PACKAGE / "hardware_specs", _PACKAGE.parent / "hardware_specs"):
        if candidate.is_dir():
            return candidate
    raise SpecError("hardware_specs", given="no such folder", expected=f"it inside or beside {_PACKAGE.name}/")


@cache
def _spec_paths() -> dict[str, Path]:
    folders = (folder for folder in specs_directory().iterdir() if folder.is_dir())
    vendors = (folder for folder in folders if folder.name not in _NOT_VENDORS)
    return {path.stem: path for folder in vendors for path in sorted(folder.glob("*.toml"))}


def accelerators() -> list[str]:
    """Names of all described parts, sorted."""
    return sorted(_spec_paths())


def accelerator(name: str | Path | HbmAccelerator | SramAccelerator) -> HbmAccelerator | SramAccelerator:
    """The part of that catalogue name, or the part that a `.toml` file describes.

    `UnknownName` with the nearest names; `SpecError` naming file and field where the file breaks a rule.
    """
    if isinstance(name, HbmAccelerator | SramAccelerator):
        return name
    text = str(name)
    if text in _spec_paths():
        return _catalogued(text)
    if text.endswith(".toml") or "/" in text:
        data, where = read_spec(Path(text), name=text)
        if "peak" not in data and not data.keys().isdisjoint(("kernels", "collectives")):
            raise SpecError(text, given="a calibration file", expected="a part; this is what efficiency= takes")
        return parse_accelerator(data, where=where)
    reason = undescribed().get("-".join(text.lower().replace("_", " ").split()))
    if reason:
        raise UnknownName(
            "accelerator", given=text, known=(), expected=f"a part with a file; {text} has none: {reason}"
        )
    expected = "a catalogue name or a path to a .toml file"
    if text in system_paths():
        whole = read_toml(system_paths()[text])
        nearest = f"{whole['part']}, of which it has {whole['devices']['value']:,}"
        raise InvalidInput("accelerator", given=text, expected="a part, and this is a system", nearest=nearest)
    raise UnknownName("accelerator", given=text, known=accelerators(), expected=expected)


@cache
def system_paths() -> dict[str, Path]:
    """Files of all described systems, by name."""
    return {path.stem: path for path in sorted((specs_directory() / "systems").glob("*.toml"))}


@cache
def undescribed() -> dict[str, str]:
    """Parts that people ask for and that have no file, each with the number that is missing."""
    return {name: str(reason) for name, reason in read_toml(specs_directory() / "UNDESCRIBED.toml").items()}


@cache
def _catalogued(name: str) -> HbmAccelerator | SramAccelerator:
    data, where = read_spec(_spec_paths()[name])
    part = parse_accelerator(data, where=where)
    for field in part.cited_fields():
        if part.cite(field).source not in sources():
            raise SpecError(where.at(field), given=part.cite(field).source, expected="a document of SOURCES.toml")
    return part


@cache
def sources() -> dict[str, Source]:
    """Every document that the catalogue cites, by its short name."""
    data = read_toml(specs_directory() / "SOURCES.toml")
    return {name: validated(Source, entry, where=f"SOURCES.toml, {name}") for name, entry in data.items()}


def source_of(number: Cited) -> Source | None:
    """The document behind a cited number; None where the citation is free text of the caller's own."""
    return sources().get(number.source)


@cache
def calibration(name: str) -> Efficiency | None:
    """Fitted figures of a catalogued part, or None where no kernels of it are fitted."""
    path = specs_directory() / "calibration" / f"{name}.toml"
    return read_efficiency(path) if path.is_file() else None


@cache
def part_class(kind: str) -> PartClass:
    """Defaults of the class `"hbm"` or `"sram"`."""
    path = specs_directory() / "calibration" / f"class-{kind}.toml"
    data = read_toml(path)
    beside = {"reserve": data.pop("reserve", None), "sustained": data.pop("sustained", {})}
    efficiency = validated(Efficiency, data, where=path.name)
    return validated(PartClass, {**beside, "efficiency": efficiency}, where=path.name)


def read_efficiency(path: Path) -> Efficiency:
    """Fitted figures from a calibration file."""
    data = read_toml(path)
    if "peak" in data:
        raise SpecError(path.name, given="a part", expected="a calibration file, as `roofline calibrate` writes it")
    return validated(Efficiency, data, where=path.name)


def read_toml(path: Path) -> dict[str, Any]:
    """Contents of a TOML file; `SpecError` in one line where it is missing, too large, or not TOML."""
    return read_spec(path)[0]


def read_spec(path: Path, *, name: str | None = None) -> tuple[dict[str, Any], SpecFile]:
    """Contents of a TOML file, and its text for complaints that name a line; `name` is what they call the file."""
    if not path.is_file():
        raise SpecError(str(path), given="a directory" if path.is_dir() else "no such file", expected="a .toml file")
    if path.stat().st_size > _MAX_SPEC_BYTES:
        raise SpecError(str(path), given=f"{path.stat().st_size:,} bytes", expected=f"at most {_MAX_SPEC_BYTES:,}")
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text), SpecFile(name or path.name, text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        line = re.search(r" \(at line (\d+), column \d+\)", str(error))
        what, given = (f"{path}:{line[1]}", str(error).replace(line[0], "")) if line else (str(path), str(error))
        raise SpecError(what, given=given, expected="valid TOML") from None
