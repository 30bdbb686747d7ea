"""A spec file as text: where in it a field stands, so that a complaint can name the line."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TABLE = re.compile(r"\s*\[+\s*(.+?)\s*\]+\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


@dataclass(frozen=True, slots=True)
class SpecFile:
    """Name and text of a TOML file."""

    name: str
    text: str

    def at(self, field: str) -> str:
        """`"my.toml:14, memory.hbm.bandwidth"`, or without the line where the field stands nowhere."""
        line = self.line(field)
        return f"{self.name}{f':{line}' if line else ''}, {field}"

    def line(self, field: str) -> int | None:
        """Line of the key, or of the table or key that encloses it; None where nothing of it is in the file."""
        wanted, best, found = field.split("."), 0, None
        table: list[str] = []
        for number, text in enumerate(self.text.splitlines(), start=1):
            if header := _TABLE.match(text):
                path = table = _keys(header[1])
            elif key := _KEY.match(text):
                path = [*table, *_keys(key[1])]
            else:
                continue
            if best < len(path) <= len(wanted) and wanted[: len(path)] == path:
                best, found = len(path), number
        return found


def _keys(dotted: str) -> list[str]:
    """Parts of a dotted key; a quoted part with dots inside counts as its own parts, as fields are written."""
    return [name for part in _PART.findall(dotted) for name in part.strip("\"'").split(".")]


def place(where: str | SpecFile, field: str) -> str:
    """How a complaint names a field of a file, or of anything that only has a name."""
    return where.at(field) if isinstance(where, SpecFile) else f"{where}, {field}"
