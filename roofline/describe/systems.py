"""Systems as facts of their own: how many devices of which part, what joins them, what is printed of the whole.

A system's printed figures are not a part's figures: vendors round them apart, count spare devices or not, and now and
then disagree with themselves. Each printed figure is therefore compared with devices × the part's own, and a file whose
figures differ by more than rounding says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from roofline.describe.catalog import accelerator, read_spec, sources, system_paths
from roofline.describe.hardware import HbmAccelerator, SramAccelerator, validated
from roofline.describe.provenance import Cited, Count, Fact, Watts, rounding_of
from roofline.errors import RooflineError, SpecError, UnknownName

_ROUNDING = 0.005
"""What vendors round away beyond the last digit they print: 130 TB/s for 72 × 1.8 = 129.6."""


class System(BaseModel):
    """A box, rack or pod: `devices` of one `part`, `spares` of them kept idle, joined by that part's tier `link`.

    `printed` are the vendor's figures of the whole, keyed by the part's field; `differs` says why one of them is not
    devices × the part's. `power` is of the whole system, hosts and switches included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=2)
    """What the vendor calls it."""
    part: str
    """Catalogue name of the part it is built of."""
    vendor: str = Field(min_length=2)
    """Who sells it."""
    year: int = Field(strict=True, ge=2010, le=2100)
    """The year it came out."""
    edition: str = Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")
    """When these figures were put together; a correction is a new edition."""
    status: Literal["shipping", "announced", "historical"]
    """Whether it can be had; figures of what is only announced may change."""
    devices: Count
    """How many devices it holds, spares included."""
    spares: Count | None = None
    """How many of them are kept idle for failures."""
    link: str | None = None
    """Name of the part's link that joins them all; absent where that is not published or there is one device."""
    power: Watts | None = None
    """Power of the whole system at its maximum."""
    printed: dict[str, Fact] = {}
    """The vendor's figures of the whole, keyed by the part's field: `"peak.fp8"`, `"memory.capacity"`."""
    differs: dict[str, str] = {}
    """Why a printed figure is not devices × the part's figure."""
    facts: dict[str, Fact] = {}
    """Any further number."""
    note: str = ""
    """Free text."""

    @property
    def working_devices(self) -> int:
        """Devices that carry a model: all but the spares."""
        return int(self.devices.value) - (int(self.spares.value) if self.spares else 0)

    @property
    def accelerator(self) -> HbmAccelerator | SramAccelerator:
        """The part it is built of."""
        return accelerator(self.part)

    def figures(self) -> tuple[SystemFigure, ...]:
        """Each printed figure beside devices × the part's."""
        return tuple(
            SystemFigure(
                field=field,
                printed=printed,
                summed=self.devices.value * self.accelerator.cite(field).value,
                reason=self.differs.get(field),
            )
            for field, printed in self.printed.items()
        )


@dataclass(frozen=True, slots=True)
class SystemFigure:
    """A printed figure of a system beside `summed`, devices × the part's; `reason` is what the file says of both."""

    field: str
    printed: Cited
    summed: float
    reason: str | None

    @property
    def difference(self) -> float:
        """Printed over summed, less one."""
        return self.printed.value / self.summed - 1

    @property
    def agrees(self) -> bool:
        """Whether rounding explains the difference: half of the last printed digit, and half a percent."""
        return abs(self.difference) <= rounding_of(self.printed) + _ROUNDING


def systems(part: str | None = None) -> list[str]:
    """Names of all described systems, or of those built of one part, sorted."""
    return sorted(name for name in system_paths() if part is None or system(name).part == part)


@cache
def system(name: str) -> System:
    """The system of that catalogue name; `UnknownName` with the nearest names otherwise.

    >>> system("groqrack").working_devices
    64
    """
    if name not in system_paths():
        raise UnknownName("system", given=name, known=system_paths())
    data, where = read_spec(system_paths()[name])
    described = validated(System, data, where=where)
    try:
        part = described.accelerator
    except UnknownName as error:
        raise SpecError(
            where.at("part"), given=error.given, expected="a described part", nearest=error.nearest
        ) from None
    for field, whole in described.printed.items():
        try:
            one = part.cite(field)
        except RooflineError:
            raise SpecError(where.at(f"printed.{field}"), given=field, expected="a field of the part") from None
        if whole.quantity.dimension != one.quantity.dimension:
            raise SpecError(where.at(f"printed.{field}"), given=whole.text, expected=f"a quantity in {one.unit}")
    if described.link is not None:
        _check_link(described, part, where.at("link"))
    for field in sorted(set(described.differs) - set(described.printed)):
        raise SpecError(where.at(f"differs.{field}"), given=field, expected="a field of printed")
    for field, number in cited_numbers(described):
        if number.source not in sources():
            raise SpecError(where.at(field), given=number.source, expected="a document of SOURCES.toml")
    return described


def _check_link(described: System, part: HbmAccelerator | SramAccelerator, where: str) -> None:
    if described.link not in part.link:
        raise SpecError(where, given=described.link, expected=f"a link of {described.part}: {', '.join(part.link)}")
    domain = part.link[described.link].domain
    if domain is not None and domain.value < described.devices.value:
        raise SpecError(where, given=described.link, expected=f"a link that joins {described.devices.text} devices")


def cited_numbers(described: System) -> list[tuple[str, Cited]]:
    """Every cited number of a system with its field."""
    single = [(name, getattr(described, name)) for name in ("devices", "spares", "power")]
    tables = [
        (f"{table}.{name}", number)
        for table in ("printed", "facts")
        for name, number in getattr(described, table).items()
    ]
    return [(field, number) for field, number in [*single, *tables] if number is not None]
