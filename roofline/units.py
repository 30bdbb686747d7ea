"""Text to SI and back: `"3.35 TB/s"` is 3.35e12 bytes per second.

Inside the library every number is in SI; this module is the only door. Decimal prefixes are powers of 1000 (`GB` is
1e9 B), binary prefixes powers of 1024 (`GiB` is 2**30 B); `b` and `bit` are bits, `B` bytes. Operations of integer
matrix units (`TOP/s`) count like FLOP: a multiply-add is two.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from roofline.errors import InvalidInput

Dimension = tuple[tuple[str, int], ...]
"""Powers of the base units, sorted and without zeros: `(("B", 1), ("s", -1))` for bytes per second."""

_BASES: dict[str, tuple[Fraction, dict[str, int]]] = {
    "1": (Fraction(1), {}),
    "B": (Fraction(1), {"B": 1}),
    "bit": (Fraction(1, 8), {"B": 1}),
    "b": (Fraction(1, 8), {"B": 1}),
    "FLOP": (Fraction(1), {"FLOP": 1}),
    "OP": (Fraction(1), {"FLOP": 1}),
    "s": (Fraction(1), {"s": 1}),
    "h": (Fraction(3600), {"s": 1}),
    "Hz": (Fraction(1), {"s": -1}),
    "J": (Fraction(1), {"J": 1}),
    "W": (Fraction(1), {"J": 1, "s": -1}),
    "Wh": (Fraction(3600), {"J": 1}),
    "USD": (Fraction(1), {"USD": 1}),
}
_PREFIXES: dict[str, Fraction] = {
    "": Fraction(1),
    "p": Fraction(1, 10**12),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "µ": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
}
_UNIT_WORDS = {
    prefix + base: (prefix, base) for base in _BASES for prefix in _PREFIXES if not (prefix and base in "1h")
}
LARGEST = Fraction(10**300)
"""Beyond this no quantity is meant, and floats end."""
_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S.*?)?\s*")


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as its factor to SI and its dimension."""

    factor: Fraction
    dimension: Dimension


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in SI units with its dimension."""

    exact: Fraction
    dimension: Dimension

    @property
    def value(self) -> float:
        """The number in SI units, as a float."""
        return float(self.exact)


def parse_unit(text: str) -> Unit:
    """A unit such as `"TB/s"`, `"FLOP/B"` or `"1"`; `InvalidInput` for anything else.

    >>> parse_unit("Gbit/s").factor
    Fraction(125000000, 1)
    """
    factor, powers = Fraction(1), dict[str, int]()
    for position, word in enumerate(text.strip().split("/")):
        sign = 1 if position == 0 else -1
        if word.strip() not in _UNIT_WORDS:
            raise InvalidInput(
                "unit", given=text, expected='a unit such as "TB/s", "GiB", "TFLOP/s", "us", "W", "USD/h"'
            )
        prefix, base = _UNIT_WORDS[word.strip()]
        scale, dimension = _BASES[base]
        factor *= (_PREFIXES[prefix] * scale) ** sign
        for name, power in dimension.items():
            powers[name] = powers.get(name, 0) + sign * power
    return Unit(factor, tuple(sorted((name, power) for name, power in powers.items() if power)))


def parse_quantity(text: str) -> Quantity:
    """A number with its unit, exactly: `"3.35 TB/s"` is 3.35e12 B/s. A bare number is dimensionless.

    >>> parse_quantity("3.35 TB/s").value
    3350000000000.0
    >>> parse_quantity("80 GiB").value
    85899345920.0
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise InvalidInput("quantity", given=text, expected='a number and a unit, such as "3.35 TB/s"')
    unit = parse_unit(match[2] or "1")
    exact = Fraction(match[1]) * unit.factor
    if abs(exact) > LARGEST:
        raise InvalidInput("quantity", given=text, expected="a number that fits a float")
    return Quantity(exact, unit.dimension)


_EXAMPLES = {
    "B/s": "400 Gbit/s",
    "s": "20 ms",
    "B": "80 GiB",
    "FLOP/s": "989 TFLOP/s",
    "USD/h": "2.5 USD/h",
    "W": "700 W",
}


def quantity_in(text: str | float, unit: str, what: str) -> float:
    """The SI value of `text`, which must have the dimension of `unit`; a number is taken as SI already.

    `InvalidInput` for text without a unit, which would leave open what it counts, or of another kind.

    >>> quantity_in("400 Gbit/s", "B/s", "link bandwidth")
    50000000000.0
    >>> quantity_in("2", "s", "link latency")
    Traceback (most recent call last):
        ...
    roofline.errors.InvalidInput: link latency: got '2', expected a quantity in s, with its unit, such as "20 ms"
    """
    return float(_of_kind(text, unit, what)) if isinstance(text, str) else float(text)


def counted_in(given: Any, unit: str, what: str) -> Any:
    """How many of a unit a text with its own unit is; what is no text is as it is.

    `InvalidInput` for text without a unit, or of another kind.

    >>> counted_in("2.5 USD/h", "USD/h", "price"), counted_in("0.7 kW", "W", "power"), counted_in(700, "W", "power")
    (2.5, 700.0, 700)
    """
    return float(_of_kind(given, unit, what) / parse_unit(unit).factor) if isinstance(given, str) else given


def _of_kind(text: str, unit: str, what: str) -> Fraction:
    """The exact SI value of a text that has the dimension of a unit."""
    expected = f'a quantity in {unit}, with its unit, such as "{_EXAMPLES.get(unit, f"1 {unit}")}"'
    try:
        quantity = parse_quantity(text)
    except InvalidInput:
        raise InvalidInput(what, given=text, expected=expected) from None
    if quantity.dimension != parse_unit(unit).dimension:
        raise InvalidInput(what, given=text, expected=expected)
    return quantity.exact


_DECIMAL = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


def format_quantity(value: float, unit: str, digits: int = 3) -> str:
    """A value in SI with the prefix that leaves one to three digits before the point.

    >>> format_quantity(3.35e12, "B/s")
    '3.35 TB/s'
    >>> format_quantity(0.00998, "s")
    '9.98 ms'
    """
    if math.isnan(value):  # what does not fit has no time
        return "–"
    if value == 0 or math.isinf(value):
        return f"{value:g} {unit}"
    scales = _DECIMAL if not unit.startswith("s") else _SMALL
    size = abs(value)
    scale, prefix = next(((scale, prefix) for scale, prefix in scales if size >= scale * 0.9995), scales[-1])
    return f"{significant(value / scale, digits)} {prefix}{unit}"


def significant(value: float, digits: int = 3) -> str:
    """A number with `digits` significant digits, without an exponent down to 0.0001.

    >>> significant(20.349), significant(1234.5), significant(0.4449)
    ('20.3', '1,234', '0.445')
    """
    if value == 0:
        return "0"
    whole_digits = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if whole_digits >= digits:
        return f"{value:,.0f}"
    if whole_digits == 0:
        return f"{value:.{digits}g}"
    return f"{value:.{digits - whole_digits}f}"
