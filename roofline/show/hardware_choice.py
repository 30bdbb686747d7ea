"""Which rows of a list of parts or systems are asked for, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from roofline.describe.catalog import accelerator
from roofline.describe.formats import number_format
from roofline.errors import InvalidInput, UnknownName
from roofline.show.numbers import quantity
from roofline.show.options import chosen
from roofline.show.records import Row

KINDS = ("sram", "hbm")
STATUSES = ("shipping", "announced", "historical")


@dataclass(frozen=True)
class Choice:
    """What rows must be, None where anything does; `sort` is the key that they are put in order by."""

    kind: str | None = None
    vendor: str | None = None
    status: str | None = None
    min_memory: float | None = None
    min_bandwidth: float | None = None
    format_runs: str | None = None
    sort: str | None = None
    reverse: bool = False

    @classmethod
    def of(
        cls,
        *,
        kind: str | None,
        vendor: str | None,
        status: str | None,
        min_memory: str | None,
        min_bandwidth: str | None,
        format_runs: str | None,
        sort: str | None,
        reverse: bool,
    ) -> Choice:
        """From the words of a command line; `InvalidInput` for one that cannot be meant."""
        if reverse and sort is None:
            raise InvalidInput("--reverse", given="no --sort", expected="it beside --sort KEY")
        return cls(
            None if kind is None else chosen("--kind", kind.lower(), KINDS),
            vendor,
            None if status is None else chosen("--status", status.lower(), STATUSES),
            None if min_memory is None else quantity("--min-memory", min_memory, "B", "100 GB"),
            None if min_bandwidth is None else quantity("--min-bandwidth", min_bandwidth, "B/s", "10 TB/s"),
            None if format_runs is None else number_format(format_runs).name,
            sort,
            reverse,
        )

    @property
    def anything(self) -> bool:
        """Whether nothing at all was asked for."""
        return self == Choice()

    def of_rows(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that are asked for, in order; without a key to sort by as they come."""
        if self.vendor is not None:
            self._check_vendor(rows)
        kept = [row for row in rows if self._wants(row)]
        if self.sort is None:
            return kept
        if rows and self.sort not in rows[0]:
            raise UnknownName("--sort", given=self.sort, known=rows[0], expected=f"one of {', '.join(rows[0])}")
        key = self.sort
        known = [row for row in kept if row[key] is not None]
        numbers = not any(isinstance(row[key], str) for row in known)
        known.sort(key=lambda row: row[key] if numbers else row[key].lower(), reverse=numbers != self.reverse)
        return known + [row for row in kept if row[key] is None]

    def _wants(self, row: Row) -> bool:
        return (
            self.kind in (None, row["kind"])
            and (self.vendor is None or _folded(self.vendor) == _folded(row["vendor"]))
            and self.status in (None, row["status"])
            and _at_least(row["memory.capacity"], self.min_memory)
            and _at_least(row["memory.bandwidth"], self.min_bandwidth)
            and (self.format_runs is None or accelerator(row["accelerator"]).runs(self.format_runs) is not None)
        )

    def _check_vendor(self, rows: Sequence[Row]) -> None:
        vendors = sorted({str(row["vendor"]) for row in rows}, key=str.lower)
        if _folded(self.vendor) not in {_folded(vendor) for vendor in vendors}:
            raise UnknownName("--vendor", given=self.vendor, known=vendors, expected=f"one of {', '.join(vendors)}")


def _folded(text: str | None) -> str:
    return "".join(str(text).lower().split())


def _at_least(value: Any, least: float | None) -> bool:
    return least is None or (value is not None and value >= least)
