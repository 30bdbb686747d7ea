"""What a part of silicon is: cited numbers of one device, and nothing that depends on a model or a workload.

Peaks are dense, link bandwidths per direction, capacities in bytes. A number nobody published is absent; needing it is
an error that names it. How much of a peak real kernels reach is not here but in `describe.efficiency`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from roofline.describe.formats import FORMATS, number_format
from roofline.describe.machine import Machine, Tier, Wire
from roofline.describe.provenance import (
    BytesPerSecond,
    Cited,
    Fact,
    FlopPerSecond,
    UsdPerHour,
    Watts,
)
from roofline.describe.spec_file import SpecFile, place
from roofline.describe.tiers import LinkTier, MemoryTier
from roofline.errors import (
    InvalidInput,
    MissingNumber,
    RooflineError,
    SpecError,
    UnknownName,
    UnsupportedFormat,
    nearest_names,
)

_FROZEN = ConfigDict(frozen=True, extra="forbid")
_CACHES = ("l2_capacity", "last_level_cache_capacity")
_SAME_WIDTH = {"bf16": "fp16", "fp16": "bf16"}


def _peak_format(name: str) -> str:
    return name if name == "fp4" else number_format(name).name


PeakFormat = Annotated[str, AfterValidator(_peak_format)]
"""A format with a peak rate: any of `FORMATS`, or `"fp4"` where a vendor prints one rate for every 4-bit layout."""


class _Part(BaseModel):
    model_config = _FROZEN

    name: str = Field(min_length=2)
    vendor: str = Field(min_length=2)
    year: int = Field(strict=True, ge=2010, le=2100)
    edition: str = Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")
    status: Literal["shipping", "announced", "historical"]
    peak: dict[PeakFormat, FlopPerSecond] = Field(min_length=1)
    memory: dict[str, MemoryTier] = Field(min_length=1)
    link: dict[str, LinkTier] = {}
    power: Watts | None = None
    price: UsdPerHour | None = None
    facts: dict[str, Fact] = {}
    calibration: str | None = None
    """Name of the calibration file with figures fitted to this part's own kernels."""
    note: str = ""

    @field_validator("link")
    @classmethod
    def _domains_grow(cls, link: dict[str, LinkTier]) -> dict[str, LinkTier]:
        sizes = [tier.domain.value if tier.domain else float("inf") for tier in link.values()]
        if sizes != sorted(sizes):
            raise InvalidInput("links", given=list(link), expected="links from the smallest domain to the largest")
        return link

    def cite(self, field: str) -> Cited:
        """The cited number at a dotted path: `"memory.bandwidth"`, `"link.scale_up.bandwidth"`, `"peak.bf16"`.

        `memory` and `link` without a tier's name mean the first tier. `MissingNumber` where the spec has no such
        number, `UnknownName` where no spec could have it.
        """
        _, target = self._locate(field)
        if target is None:
            raise MissingNumber(f"{self.name}: {field} is not published, and this needs it")
        if not isinstance(target, Cited):
            raise UnknownName("field", given=field, known=self.cited_fields())
        return target

    def cited_fields(self) -> list[str]:
        """Dotted paths of every cited number of this part, in the spec's order."""
        return [path for path, _ in _walk(self, "")]

    def with_(self, **changes: Any) -> Self:
        """A re-validated copy with some numbers changed: `chip.with_(**{"memory.bandwidth": "4.0 TB/s"})`.

        A changed number is cited as the caller's own. Raises `SpecError` for a value the field cannot take.
        """
        data = self.model_dump(exclude_none=True)
        for field, value in changes.items():
            keys, current = self._locate(field)
            holder = data
            for key in keys[:-1]:
                holder = holder.setdefault(key, {})
            if value is None:
                holder.pop(keys[-1], None)
            elif isinstance(current, Cited) or (current is None and keys[-1] in _CITED_NAMES):
                holder[keys[-1]] = _callers_own(keys, value)
            else:
                holder[keys[-1]] = value
        return validated(type(self), data, where=self.name)

    def within(self, tier: str | None) -> Self:
        """The part without the memory beyond a tier, None for the nearest alone; `UnknownName` where it has none such.

        >>> from roofline.describe.catalog import accelerator
        >>> list(accelerator("sambanova-sn40l").within("hbm").memory)
        ['hbm']
        """
        names = list(self.memory)
        if tier is not None and tier not in names:
            expected = f"a memory with a published bandwidth: {', '.join(names)}"
            raise UnknownName(f"memory of {self.name}", given=tier, known=names, expected=expected)
        kept = names[: names.index(tier) + 1 if tier else 1]
        if kept == names:
            return self
        return self.model_copy(update={"memory": {name: self.memory[name] for name in kept}})

    def supported_formats(self) -> list[str]:
        """Number formats this part computes in, fastest first."""
        known = [name for name in FORMATS if self.runs(name) is not None]
        return sorted(known, key=lambda name: -self.peak[str(self.runs(name))].value)

    def runs(self, format_name: str) -> str | None:
        """Which of this part's peaks computes a format: its own, or for a 16-bit format the other one; else None."""
        for candidate in (*number_format(format_name).runs_as, _SAME_WIDTH.get(format_name, "")):
            if candidate in self.peak:
                return candidate
        return None

    def sustained(self, format_name: str, benchmark: str) -> float | None:
        """The share of its peak in a format that the best matrix products of a benchmark sustain [1].

        `benchmark` is the source of the figure; None where that has none of this part.
        """
        measured = self.facts.get(f"measured_matmul_{format_name}")
        if measured is None or measured.source != benchmark or format_name not in self.peak:
            return None
        return measured.value / self.peak[format_name].value

    @property
    def scales_blocks(self) -> bool:
        """Whether its products take the scales of blocks, as those in 4-bit formats do."""
        return not {"mxfp4", "nvfp4"}.isdisjoint(self.peak)

    def computes_like(self, other: _Part) -> bool:
        """Whether both have the same kind of memory and the same peaks: one die beside another memory, for instance."""
        rates, others = ({name: rate.value for name, rate in part.peak.items()} for part in (self, other))
        return type(self) is type(other) and rates == others

    def peak_for(self, format_name: str) -> str:
        """As `runs`, but `UnsupportedFormat` naming the formats this part has where it has no such peak."""
        runs = self.runs(format_name)
        if runs is None:
            raise UnsupportedFormat(
                f"format on {self.name}",
                given=format_name,
                expected=f"a format it computes in: {', '.join(self.supported_formats())}",
                nearest=self._nearest_format(format_name),
            )
        return runs

    def numbers(self) -> Machine:
        """The part as plain numbers: the one seam between data and physics."""
        return Machine(
            name=self.name,
            peak={name: number.value for name, number in self.peak.items()},
            tiers=tuple(
                Tier(name, tier.capacity.value, (tier.usable or tier.capacity).value, tier.bandwidth.value)
                for name, tier in self.memory.items()
            ),
            feed=self._feed(),
            wires=tuple(
                Wire(
                    name,
                    tier.bandwidth.value,
                    tier.latency.value if tier.latency else 0.0,
                    int(tier.hops.value) if tier.hops else 1,
                    int(tier.domain.value) if tier.domain else None,
                    tier.topology,
                    tuple(
                        (int(size), each.value / tier.latency.value)
                        for size, each in tier.within.items()
                        if tier.latency
                    ),
                )
                for name, tier in self.link.items()
            ),
            cache=max((self.facts[name].value for name in _CACHES if name in self.facts), default=0),
        )

    def _feed(self) -> float | None:
        return None

    def _nearest_format(self, format_name: str) -> str:
        bits = number_format(format_name).element_bits
        return min(self.supported_formats(), key=lambda name: abs(number_format(name).element_bits - bits))

    def _locate(self, field: str) -> tuple[list[str], Any]:
        """Full path and value of a dotted field; a tier's name may be left out for the first tier."""
        if not isinstance(field, str):
            raise InvalidInput("field", given=field, expected='a dotted path such as "memory.bandwidth"')
        parts, keys, target = field.split("."), list[str](), self
        while parts:
            key = parts.pop(0)
            if isinstance(target, Mapping):
                if key not in target:
                    first = next(iter(target), None)
                    values = list(target.values())
                    if values and isinstance(values[0], BaseModel) and key in type(values[0]).model_fields:
                        parts.insert(0, key)
                        key = str(first)
                    elif keys == ["peak"] and key in FORMATS:
                        return [*keys, key], None
                    else:
                        raise UnknownName("field", given=field, known=self.cited_fields())
                target = target[key]
            elif isinstance(target, BaseModel) and key in type(target).model_fields:
                target = getattr(target, key)
            else:
                raise UnknownName("field", given=field, known=self.cited_fields())
            keys.append(key)
        return keys, target


class HbmAccelerator(_Part):
    """A part that streams weights and caches from DRAM: GPUs, TPUs, anything with HBM, GDDR or LPDDR behind it."""

    kind: Literal["hbm"]


class SramAccelerator(_Part):
    """A part without DRAM behind its compute units: deterministic, scheduled by a compiler, latencies known in advance.

    `feed` is the rate at which stationary operands (weights, keys and values) enter the matrix unit [B/s], where that
    is published: it binds before the SRAM does. Absent, the SRAM's own bandwidth is the only roof.
    """

    kind: Literal["sram"]
    feed: BytesPerSecond | None = None

    def _feed(self) -> float | None:
        return self.feed.value if self.feed else None


Accelerator = Annotated[HbmAccelerator | SramAccelerator, Field(discriminator="kind")]
ACCELERATOR: TypeAdapter[HbmAccelerator | SramAccelerator] = TypeAdapter(Accelerator)

_SI_UNITS = {
    "capacity": "B",
    "usable": "B",
    "bandwidth": "B/s",
    "feed": "B/s",
    "latency": "s",
    "peak": "FLOP/s",
    "power": "W",
    "price": "USD/h",
    "hops": "1",
    "domain": "1",
}
_CITED_NAMES = {*_SI_UNITS, *FORMATS}


def parse_accelerator(data: Mapping[str, Any], *, where: str | SpecFile) -> HbmAccelerator | SramAccelerator:
    """A part from the contents of a spec file; `SpecError` in one line, naming `where` and the field.

    Where `where` is the file's text, the complaint names the line too.

    >>> parse_accelerator({"kind": "gpu"}, where="my.toml")
    Traceback (most recent call last):
        ...
    roofline.errors.SpecError: my.toml, kind: got 'gpu', expected 'hbm' or 'sram'
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if kind not in ("hbm", "sram"):
        raise SpecError(place(where, "kind"), given=kind, expected="'hbm' or 'sram'")
    if kind == "hbm":
        return validated(HbmAccelerator, data, where=where)
    return validated(SramAccelerator, data, where=where)


_Model = TypeVar("_Model", bound=BaseModel)


def validated(cls: type[_Model], data: Mapping[str, Any], *, where: str | SpecFile) -> _Model:
    """`cls` from data, with pydantic's complaint turned into a `SpecError` about its first field."""
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        first = min(errors, key=lambda each: each["type"] != "extra_forbidden")  # a misspelt key explains a missing one
        field = ".".join(str(key) for key in first["loc"] if key != "[key]") or "the whole"
        raise _spec_error(cls, where, field, first, len(errors)) from None
    except RooflineError as error:
        name = where.name if isinstance(where, SpecFile) else where
        raise SpecError(name, given=str(error), expected="a valid spec") from None


def _spec_error(cls: type[BaseModel], where: str | SpecFile, field: str, first: Any, count: int) -> SpecError:
    what = place(where, field)
    more = f" (and {count - 1} more)" if count > 1 else ""
    last = str(first["loc"][-1]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        near = nearest_names(last, _known_keys(cls), count=1)
        return SpecError(
            what,
            given=f"unknown key {last}",
            expected=f"a key of the spec format{more}",
            nearest=" or ".join(near) or None,
        )
    if first["type"] == "missing":
        return SpecError(what, given="nothing", expected=f"a value: the key is required{more}")
    given = first["input"].get("value", first["input"]) if isinstance(first["input"], Mapping) else first["input"]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidInput):
        given = cause.given if isinstance(given, Mapping) else given
        return SpecError(what, given=given, expected=f"{cause.expected}{more}", nearest=cause.nearest)
    message = _TERSE.get(first["type"]) or str(first["msg"])
    for opening in ("Value error, ", "Input should be ", "String should have ", "expected "):
        message = message.removeprefix(opening)
    return SpecError(what, given=given, expected=f"{message}{more}")


_TERSE = {"too_short": "at least one entry", "string_pattern_mismatch": 'a date such as "2026-11"'}


def _callers_own(keys: list[str], value: object) -> object:
    """A changed number as a spec would write it: text in the field's unit, cited as the caller's."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    unit = _SI_UNITS.get(keys[-1]) or _SI_UNITS.get(keys[0], "1")
    text = value if isinstance(value, str) else f"{value!r} {unit}"
    return {"value": text, "source": "changed by the caller", "kind": "estimate"}


def _known_keys(cls: type[BaseModel]) -> list[str]:
    keys = {*cls.model_fields, *Cited.model_fields, *MemoryTier.model_fields, *LinkTier.model_fields}
    return sorted(keys - {"text"})


def _walk(node: Any, prefix: str) -> list[tuple[str, Cited]]:
    if isinstance(node, Cited):
        return [(prefix, node)]
    if isinstance(node, Mapping):
        items = list(node.items())
    elif isinstance(node, BaseModel):
        items = [(name, getattr(node, name)) for name in type(node).model_fields]
    else:
        return []
    found: list[tuple[str, Cited]] = []
    for name, child in items:
        found.extend(_walk(child, f"{prefix}.{name}" if prefix else str(name)))
    return found
