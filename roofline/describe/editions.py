"""Which numbers an edition stands for: a checksum of the numbers of every spec file, so that none changes unnoticed.

`hardware_specs/CHECKSUMS.toml` records edition and checksum per file. Words may change freely; a changed number is
a new edition. After editing, give the file today's date as its edition and run `python -m tests.specs.rewrite`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from roofline.describe.catalog import accelerator, accelerators, read_toml, specs_directory
from roofline.describe.hardware import HbmAccelerator, SramAccelerator, validated
from roofline.describe.systems import System, cited_numbers, system, systems
from roofline.errors import SpecError

Described = HbmAccelerator | SramAccelerator | System
_HEADER = """\
# Edition and checksum of the numbers of every spec file: see roofline/describe/editions.py. Written by
# `python -m tests.specs.rewrite`, which refuses a number that changed without a new edition.
"""


class Release(BaseModel):
    """What one file was when its edition was released."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    edition: str
    sha256: str


def checksum(described: Described) -> str:
    """SHA-256 of the numbers, exact and in SI, of the formats and topologies; free of words, sources and spelling."""
    return hashlib.sha256("\n".join(sorted(_statements(described))).encode()).hexdigest()


def _statements(described: Described) -> Iterator[str]:
    if isinstance(described, System):
        yield from (f"part={described.part}", f"link={described.link}")
        numbers = cited_numbers(described)
    else:
        yield f"kind={described.kind}"
        yield from (f"link.{name}.topology={tier.topology}" for name, tier in described.link.items())
        yield from (f"order={list(table)}" for table in (described.memory, described.link))
        numbers = [(field, described.cite(field)) for field in described.cited_fields()]
    yield from (f"{field}={number.quantity.exact} {number.quantity.dimension}" for field, number in numbers)


def described_files() -> dict[str, Described]:
    """Every part and system of the catalogue by name."""
    return {name: accelerator(name) for name in accelerators()} | {name: system(name) for name in systems()}


def released() -> dict[str, Release]:
    """What `CHECKSUMS.toml` records, by name of part or system."""
    data = read_toml(_path())
    return {name: validated(Release, entry, where=f"CHECKSUMS.toml, {name}") for name, entry in data.items()}


def unreleased() -> list[str]:
    """Complaints about files that are not what is recorded, each saying what to do; empty where all is well."""
    known, present = released(), described_files()
    complaints = [f"{name} is recorded but gone: rewrite CHECKSUMS.toml" for name in sorted(set(known) - set(present))]
    for name, described in sorted(present.items()):
        entry, now = known.get(name), Release(edition=described.edition, sha256=checksum(described))
        if entry is None:
            complaints.append(f"{name} is not recorded yet: rewrite CHECKSUMS.toml")
        elif entry.sha256 != now.sha256 and entry.edition == now.edition:
            complaints.append(_stale(name, now.edition))
        elif entry != now:
            complaints.append(f"{name} has a new edition, {now.edition}: rewrite CHECKSUMS.toml")
    return complaints


def _stale(name: str, edition: str) -> str:
    return f"{name}: a number changed, but the edition is still {edition}: set it to today's date, then rewrite"


def checksums_text() -> str:
    """`CHECKSUMS.toml` as it should be now; `SpecError` where a number changed under an unchanged edition."""
    known = released() if _path().is_file() else {}
    lines = [_HEADER]
    for name, described in sorted(described_files().items()):
        now, entry = checksum(described), known.get(name)
        if entry and entry.sha256 != now and entry.edition == described.edition:
            raise SpecError(f"{name}, edition", given=described.edition, expected="a new edition: a number changed")
        lines.append(f'[{name}]\nedition = "{described.edition}"\nsha256 = "{now}"\n')
    return "\n".join(lines)


def _path() -> Path:
    return specs_directory() / "CHECKSUMS.toml"
