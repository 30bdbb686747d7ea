"""Numbers as they are typed on a command line."""

from __future__ import annotations

from roofline.errors import InvalidInput
from roofline.estimate.door import checked


def number(what: str, text: str) -> float:
    """One number, from 1 up to what can be meant.

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
            what, given=text, expected="a number from 1 to 1e+09", nearest=bare if bare.isdecimal() else None
        ) from None
    return float(checked(what, value))


def numbers(what: str, text: str) -> tuple[float, ...]:
    """Numbers with commas between them, each once, in the order given.

    >>> numbers("batch", "1,8,64")
    (1.0, 8.0, 64.0)
    """
    if not text.strip():
        raise InvalidInput(what, given=text, expected="numbers with commas between them, such as 1,8,64")
    return tuple(dict.fromkeys(number(what, item) for item in text.split(",")))
