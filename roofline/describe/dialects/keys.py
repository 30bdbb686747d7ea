"""Typed reading of a config's keys, where every complaint names the key, what it held and what it should hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from roofline.errors import ConfigError, nearest_names

LARGEST_SIZE = 4 * 10**6
"""Largest dimension taken for meant: the largest real one is a vocabulary below 10⁶."""
LARGEST_CONTEXT = 10**9
MOST_LAYERS = 4096


def described(value: object) -> object:
    """What a message shows of a value: small values as they are, others by their kind, so that it stays one line."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return f"an object of {len(value)} keys"
    if isinstance(value, str):
        return value[:100]
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"
    return value


def printable(name: str) -> str:
    """A key or name that may come from anywhere, fit for one line of a message."""
    return name if name.isprintable() and len(name) <= 200 else ascii(name[:200])


class Keys:
    """The keys of one config (or of a nested part), which remembers what was read.

    A null counts as absent unless a reader asks with `has`: families differ in what an absent key means, so there is no
    default that the caller did not write down.
    """

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self.data = data
        self.where = where
        self.read: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether the key is there, even with a null."""
        self.read.add(name)
        return name in self.data

    def given(self, *names: str) -> str | None:
        """The first of the names that is there and not null; None where there are no names."""
        self.read.update(names)
        return next((name for name in names if self.data.get(name) is not None), None)

    def error(self, name: str, given: object, expected: str, nearest: object = None) -> ConfigError:
        """A complaint about one key."""
        return ConfigError(
            f"{self.where}: {printable(name)}", given=described(given), expected=expected, nearest=nearest
        )

    def missing(self, *names: str) -> ConfigError:
        """A complaint about a key that is not there, with the nearest key that is."""
        state = "null" if names[0] in self.data else "nothing"
        near = nearest_names(names[0], [key for key in self.data if key not in self.read])
        return ConfigError(
            f"{self.where}: {' or '.join(names)}",
            given=state,
            expected="a value: the key is required",
            nearest=near[0] if near else None,
        )

    def size(self, *names: str, default: int | None = None, most: int = LARGEST_SIZE) -> int:
        """A whole number above zero under the first of the names that is there; required without a default."""
        name = self.given(*names)
        if name is None:
            if default is None:
                raise self.missing(*names)
            return default
        return self._whole(name, self.data[name], 1, most)

    def optional_size(self, *names: str, most: int = LARGEST_SIZE) -> int | None:
        """As `size`, or None where the key is absent or null."""
        return self.size(*names, most=most) if self.given(*names) else None

    def count(self, *names: str, default: int | None = None, most: int = LARGEST_SIZE) -> int:
        """A whole number, zero included."""
        name = self.given(*names)
        if name is None:
            if default is None:
                raise self.missing(*names)
            return default
        return self._whole(name, self.data[name], 0, most)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """A boolean; required without a default."""
        if self.given(name) is None:
            if default is None:
                raise self.missing(name)
            return default
        value = self.data[name]
        if not isinstance(value, bool):
            raise self.error(name, value, "true or false")
        return value

    def text(self, name: str, default: str | None = None, choices: Iterable[str] = ()) -> str:
        """A string, one of `choices` where there are any."""
        if self.given(name) is None:
            if default is None:
                raise self.missing(name)
            return default
        value = self.data[name]
        allowed = sorted(choices)
        if not isinstance(value, str):
            raise self.error(name, value, "a string")
        if allowed and value not in allowed:
            near = nearest_names(value, allowed)
            raise self.error(name, value, f"one of {', '.join(allowed)}", near[0] if near else None)
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number above zero."""
        if self.given(name) is None:
            if default is None:
                raise self.missing(name)
            return default
        value = self.data[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise self.error(name, value, "a number above zero")
        return value

    def items(self, name: str, length: int | None = None) -> list[Any]:
        """A list, of a given length where one is asked for."""
        if self.given(name) is None:
            raise self.missing(name)
        value = self.data[name]
        if not isinstance(value, list) or not value or len(value) > 10 * MOST_LAYERS:
            raise self.error(name, value, "a list")
        if length is not None and len(value) != length:
            raise self.error(name, f"{len(value)} entries", f"one for each of the {length} layers")
        return value

    def sizes(self, name: str, length: int, least: int = 1, most: int = LARGEST_SIZE) -> list[int]:
        """A list of whole numbers, one per layer; a single number stands for all layers."""
        if self.given(name) is None:
            raise self.missing(name)
        value = self.data[name]
        if not isinstance(value, list):
            return [self._whole(name, value, least, most)] * length
        return [self._whole(name, item, least, most) for item in self.items(name, length)]

    def numbers(self, name: str) -> list[int]:
        """A list of whole numbers, empty where the key is absent."""
        if self.given(name) is None:
            return []
        value = self.data[name]
        if not isinstance(value, list):
            raise self.error(name, value, "a list of whole numbers")
        return [self._whole(name, item, 0, MOST_LAYERS) for item in value[: 10 * MOST_LAYERS]]

    def words(self, name: str, length: int, choices: Iterable[str]) -> list[str]:
        """A list of strings, one per layer, each one of `choices`."""
        allowed = sorted(choices)
        for item in (found := self.items(name, length)):
            if not isinstance(item, str) or item not in allowed:
                near = nearest_names(str(item), allowed)
                raise self.error(name, item, f"entries among {', '.join(allowed)}", near[0] if near else None)
        return found

    def part(self, name: str) -> Keys:
        """A nested object as keys of its own."""
        if self.given(name) is None:
            raise self.missing(name)
        value = self.data[name]
        if not isinstance(value, Mapping):
            raise self.error(name, value, "an object")
        return Keys(value, f"{self.where}, {name}")

    def _whole(self, name: str, value: Any, least: int, most: int) -> int:
        expected = f"a whole number from {least} to {most:,}"
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(name, value, expected)
        if not least <= value <= most:
            raise self.error(name, value, expected)
        return value
