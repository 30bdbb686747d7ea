"""Numbers as they are typed on a command line."""

from __future__ import annotations

import re

from roofline.errors import InvalidInput
from roofline.estimate.door import checked
from roofline.units import parse_quantity, parse_unit

_GROUPED = re.compile(r"\s*\d{1,3}([,_]\d{3})+\s*")
"""A number with its thousands set apart."""


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
        near = re.sub("[,_]", "", text.strip()) if _GROUPED.fullmatch(text) else None
        raise InvalidInput(what, given=text, expected=f"a number from {least:g} to {most:g}", nearest=near) from None
    return float(checked(what, value, least=least, most=most))


def given_numbers(**texts: str | None) -> dict[str, float]:
    """The numbers of the options that were given.

    >>> given_numbers(chunk="512", max_batch=None)
    {'chunk': 512.0}
    """
    return {name: number(name, text) for name, text in texts.items() if text is not None}


def one_number(what: str, text: str, elsewhere: str) -> float:
    """One number where a list was easily meant; `elsewhere` says which commands take several.

    >>> one_number("batch", "1,8", "sweep takes several")
    Traceback (most recent call last):
        ...
    roofline.errors.InvalidInput: batch: got '1,8', expected one number; sweep takes several
    """
    if re.search(r"\d\s*[,:]\s*\d", text) and not _GROUPED.fullmatch(text):
        raise InvalidInput(what, given=text, expected=f"one number; {elsewhere}")
    return number(what, text)


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
    if found.dimension != parse_unit(unit).dimension:
        raise InvalidInput(what, given=text, expected=expected)
    if found.exact <= 0:
        raise InvalidInput(what, given=text, expected=f"more than 0 {unit}, such as {example}")
    return found.value
