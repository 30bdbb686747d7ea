"""The errors a user can meet, as one tree.

    RooflineError
    ├── InvalidInput (ValueError)      what was given, what was expected, the nearest valid choice
    │   ├── UnknownName (LookupError)  a chip, model, format or field that is not there
    │   ├── SpecError                  a hardware spec that breaks the rules of specs
    │   ├── ConfigError                a config.json that cannot be read as a model
    │   ├── LayoutError                tp, pp, dp or ep that the model or the devices do not allow
    │   └── UnsupportedFormat          a number format that the part has no peak for
    ├── MissingNumber (LookupError)    a number that nobody has published is needed
    └── DoesNotFit                     the model and its cache exceed the memory: by how much, what would do

Every message is one line, so that a terminal shows one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RooflineError(Exception):
    """Base of every error this library raises on purpose."""


class InvalidInput(RooflineError, ValueError):
    """Input that cannot be meant: says what was given, what was expected and what is near.

    >>> raise InvalidInput("batch", given=-1, expected="a positive number")
    Traceback (most recent call last):
        ...
    roofline.errors.InvalidInput: batch: got -1, expected a positive number
    """

    def __init__(self, what: str, *, given: object, expected: str, nearest: object = None) -> None:
        self.what = what
        self.given = given
        self.expected = expected
        self.nearest = nearest
        message = f"{what}: got {shortened(given)}, expected {expected}"
        if nearest is not None:
            message += f"; nearest: {nearest}"
        super().__init__(message)


class UnknownName(InvalidInput, LookupError):
    """A name that is in no catalogue; the nearest names are offered."""

    def __init__(self, what: str, *, given: object, known: Iterable[str], expected: str | None = None) -> None:
        names = sorted(known)
        near = nearest_names(str(given), names)
        super().__init__(
            what,
            given=given,
            expected=expected or f"one of {len(names)} known names",
            nearest=" or ".join(near) if near else None,
        )


class SpecError(InvalidInput):
    """A hardware spec with an unknown key, a wrong unit, a missing source or an impossible value."""


class ConfigError(InvalidInput):
    """A config.json that is not there, not JSON, or not a model that can be counted exactly."""


class LayoutError(InvalidInput):
    """A layout over devices that the model's shape or the number of devices rules out."""


class UnsupportedFormat(InvalidInput):
    """A number format for which the part has no peak rate."""


class MissingNumber(RooflineError, LookupError):
    """A calculation needs a number that the part's spec does not have because nobody published it."""


class DoesNotFit(RooflineError):
    """Weights and caches exceed the usable memory of the devices.

    `shortfall_bytes` is what is missing over all devices of one replica [B]; `min_devices` the smallest device count
    that would do, or None where no count does.
    """

    def __init__(self, message: str, *, shortfall_bytes: float, min_devices: int | None) -> None:
        super().__init__(message)
        self.shortfall_bytes = shortfall_bytes
        self.min_devices = min_devices


def nearest_names(given: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Known names closest to `given`: those it begins first, then those it resembles.

    >>> nearest_names("h100", ["a100-sxm-80gb", "h100-sxm", "h200-sxm"])
    ['h100-sxm']
    """
    wanted = given.lower().strip()
    names = list(known)
    folded = {name.lower(): name for name in names}
    prefixed = [folded[name] for name in folded if wanted and name.startswith(wanted)]
    if prefixed:
        return prefixed[:count]
    return [folded[name] for name in difflib.get_close_matches(wanted, list(folded), n=count, cutoff=0.5)]


def shortened(value: object, limit: int = 60) -> str:
    """`repr(value)`, cut to `limit` characters so that a message stays one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
