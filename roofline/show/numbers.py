"""Numbers as they are typed on a command line."""

from __future__ import annotations

import re

from roofline.errors import InvalidInput
from roofline.estimate.door import checked
from roofline.units import parse_quantity, parse_unit


def number(what: str, text: str, *, least: float = 1, most: float = 1e9) -> float:
    """One number, by default from 1 up to what can be meant.

    >>> number("context", "4,096")
    Traceback (most recent call last):
        ...
    roofline.errors.InvalidInput: context: got '4,096', expected a number from 1 to 1e+09; nearest: 4096
    """
    try:
        value = float(text.replace("_", "x"))
    except ValueError:
        bare = text.replace(",", "").replace("_", "").strip()
        raise InvalidInput(
            what,
            given=text,
            expected=f"a number from {least:g} to {most:g}",
            nearest=bare if bare.isdecimal() else None,
        ) from None
    return float(checked(what, value, least=least, most=most))


def given_numbers(**texts: str | None) -> dict[str, float]:
    """The numbers of the options that were given.

    >>> given_numbers(chunk="512", max_batch=None)
    {'chunk': 512.0}
    """
    return {name: number(name, text) for name, text in texts.items() if text is not None}


def numbers(what: str, text: str, *, least: float = 1) -> tuple[float, ...]:
    """Numbers with commas between them, each once, in the order given.

    >>> numbers("batch", "1,8,64")
    (1.0, 8.0, 64.0)
    """
    if not text.strip():
        raise InvalidInput(what, given=text, expected="numbers with commas between them, such as 1,8,64")
    return tuple(dict.fromkeys(number(what, item, least=least) for item in text.split(",")))


def quantity(what: str, text: str, unit: str, example: str) -> float:
    """A quantity above zero with its unit, in SI: a bare number would leave open what it counts.

    >>> quantity("--min-bandwidth", "10TB/s", "B/s", "10 TB/s")
    10000000000000.0
    """
    expected = f"a quantity in {unit}, such as {example}"
    try:
        # An exponent of many digits is a number of many more.
        found = parse_quantity(text if not re.search(r"[eE][+-]?\d{3}", text) else "")
    except InvalidInput:
        raise InvalidInput(what, given=text, expected=expected) from None
    if found.dimension != parse_unit(unit).dimension or found.exact <= 0:
        raise InvalidInput(what, given=text, expected=expected)
    return found.value
