"""Numbers that know where they come from.

A cited number carries its value, the text as printed, how the text was read, and its source. It is not a number itself:
arithmetic takes `.value`, so that no provenance is claimed for what was computed from it.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from roofline.errors import InvalidInput
from roofline.units import Dimension, Quantity, parse_quantity, parse_unit

Kind = Literal["datasheet", "paper", "measured", "derived", "estimate", "claim", "price"]
Confidence = Literal["high", "medium", "low"]


class Source(BaseModel):
    """One document: title, address, date, and the kind of evidence it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=3)
    url: str = ""
    date: str = Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")
    kind: Kind
    note: str = ""


class Cited(BaseModel):
    """A number with its source.

    In a spec file `value` is text with a unit (`"3.35 TB/s"`) or a bare count; afterwards it is a float in SI units and
    `text` is what the file said. `as_printed` is what the document prints and `reading` how it becomes the value:
    a `;`-separated list of the steps in `READINGS`, `divided by N`, `times QUANTITY`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float = Field(gt=0, allow_inf_nan=False)
    text: str
    unit: str = ""
    source: str = Field(min_length=3)
    as_printed: str | None = None
    reading: str | None = None
    kind: Kind | None = None
    confidence: Confidence = "high"
    date: str | None = None
    note: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError('expected a table { value = "…", source = "…" }')
        if "text" in data:
            return data
        if "source" not in data:
            raise ValueError('expected a source beside the value: add source = "…"')
        value = data.get("value")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError('expected a quantity such as "3.35 TB/s"')
        number = parse_quantity(str(value)).value
        if not (math.isfinite(number) and number > 0):
            raise ValueError("expected a positive finite number; leave out what is not known")
        return {**data, "value": number, "text": str(value)}

    @property
    def quantity(self) -> Quantity:
        """The exact quantity in SI units."""
        return parse_quantity(self.text)

    def __str__(self) -> str:
        printed = f', printed as "{self.as_printed}"' if self.as_printed else ""
        reading = f" ({self.reading})" if self.reading else ""
        return f"{self.text}{printed}{reading} [{self.source}]"


def _in_unit(unit: str) -> AfterValidator:
    dimension = parse_unit(unit).dimension

    def check(number: Cited) -> Cited:
        if number.quantity.dimension != dimension:
            raise ValueError(f"expected a quantity in {unit}" if dimension else "expected a count without a unit")
        return number.model_copy(update={"unit": unit})

    return AfterValidator(check)


Bytes = Annotated[Cited, _in_unit("B")]
BytesPerSecond = Annotated[Cited, _in_unit("B/s")]
FlopPerSecond = Annotated[Cited, _in_unit("FLOP/s")]
Seconds = Annotated[Cited, _in_unit("s")]
Watts = Annotated[Cited, _in_unit("W")]
UsdPerHour = Annotated[Cited, _in_unit("USD/h")]
Count = Annotated[Cited, _in_unit("1")]
Fact = Annotated[Cited, AfterValidator(lambda number: number)]


READINGS: dict[str, Fraction] = {
    "sparse halved": Fraction(1, 2),
    "both directions halved": Fraction(1, 2),
    "GB means GiB": Fraction(2**30, 10**9),
    "MB means MiB": Fraction(2**20, 10**6),
    "TB means TiB": Fraction(2**40, 10**12),
}
"""Named ways from a printed figure to the value, each a factor."""

_PRINTED_WORDS = (
    (re.compile(r"(?<=\d),(?=\d{3})"), ""),
    (re.compile(r"[*†‡~≈]"), ""),
    (re.compile(r"(?<![A-Za-z])(?:giga|G)(?:FLOPS|FLOPs|flops)\b"), "GFLOP/s"),
    (re.compile(r"(?<![A-Za-z])(?:tera|T)(?:FLOPS|FLOPs|flops)\b"), "TFLOP/s"),
    (re.compile(r"(?<![A-Za-z])(?:peta|P)(?:FLOPS|FLOPs|flops)\b"), "PFLOP/s"),
    (re.compile(r"(?<=[\d ])TOPS\b"), "TOP/s"),
    (re.compile(r"(?<=[\d ])POPS\b"), "POP/s"),
    (re.compile(r"/sec\b"), "/s"),
    (re.compile(r"([KMGTP])bps\b"), r"\1bit/s"),
    (re.compile(r"([KMGTP])Bps\b"), r"\1B/s"),
)


def read_printed(as_printed: str, reading: str | None) -> Quantity:
    """The quantity that a printed figure becomes under its reading.

    >>> read_printed("1,979 teraFLOPS*", "sparse halved").value
    989500000000000.0
    """
    text = as_printed
    for pattern, replacement in _PRINTED_WORDS:
        text = pattern.sub(replacement, text)
    quantity = parse_quantity(text)
    for step in (reading or "").split(";"):
        quantity = _read_step(quantity, step.strip())
    return quantity


def _read_step(quantity: Quantity, step: str) -> Quantity:
    if not step:
        return quantity
    if step in READINGS:
        return Quantity(quantity.exact * READINGS[step], quantity.dimension)
    word, _, operand_text = step.partition(" ")
    if step.startswith("divided by "):
        word, operand_text = "divided", step.removeprefix("divided by ")
    if word not in ("divided", "times"):
        steps = ", ".join([*READINGS, "divided by N", "times QUANTITY"])
        raise InvalidInput("reading", given=step, expected=f"one of {steps}")
    operand, sign = parse_quantity(operand_text), -1 if word == "divided" else 1
    return Quantity(quantity.exact * operand.exact**sign, _product(quantity.dimension, operand.dimension, sign))


def _product(left: Dimension, right: Dimension, sign: int) -> Dimension:
    powers = dict(left)
    for name, power in right:
        powers[name] = powers.get(name, 0) + sign * power
    return tuple(sorted((name, power) for name, power in powers.items() if power))


def rounding_of(number: Cited) -> float:
    """How much of a printed figure rounding may be, relative to it: half of its last printed digit.

    >>> rounding_of(Cited(value="130 TB/s", source="a rack"))
    0.0038461538461538464
    """
    digits = re.search(r"\d[\d,]*\.?(\d*)", number.as_printed or number.text)
    if digits is None:
        return 0.0
    return 0.5 * 10.0 ** -len(digits[1]) / float(digits[0].replace(",", ""))
