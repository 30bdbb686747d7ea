"""What is asked of a system: how long prompts and answers are, how many requests there are, how fast they must be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from roofline.errors import InvalidInput
from roofline.units import counted_in

LENGTHS = ("varied", "equal")
"""How lengths of requests may lie around those that are named."""
_LONGEST = 1e9
"""Above this no length, concurrency or rate of this century can be meant."""


@dataclass(frozen=True)
class Traffic:
    """Requests of one kind: `isl` tokens in, `osl` tokens out [1], over a whole deployment.

    Either `concurrency`, the requests that clients keep in flight [1], or `rate`, the requests that arrive per second
    at random [1/s]. `cached_share` is the part of each prompt whose cache is there already [1]; the last token of a
    prompt is computed in any case, for its logits are the first token of the answer. Numbers, or arrays that
    broadcast. `lengths` are `"varied"` around these, as users' are, or all `"equal"`, as benchmarks often ask for:
    requests that began together then end together, and those that follow wait for each other under a serving stack on
    one pool; a pool that only takes prompts counts them as varied.
    Raises `InvalidInput`.
    """

    isl: Any
    osl: Any
    concurrency: Any = None
    rate: Any = None
    cached_share: Any = 0.0
    lengths: str = "varied"

    def __post_init__(self) -> None:
        if self.lengths not in LENGTHS:
            raise InvalidInput("lengths", given=self.lengths, expected=" or ".join(LENGTHS))
        if (self.concurrency is None) == (self.rate is None):
            given = "neither" if self.rate is None else "both"
            raise InvalidInput(
                "concurrency and rate", given=given, expected="one of them: requests in flight, or requests per second"
            )
        for name, least, most in (
            ("isl", 1, _LONGEST),
            ("osl", 1, _LONGEST),
            ("concurrency", 1, _LONGEST),
            ("rate", 1e-12, _LONGEST),
            ("cached_share", 0, 1),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _amount(name, value, least, most))
        try:
            np.broadcast_shapes(*(np.shape(value) for value in self._values()))
        except ValueError:
            shapes = ", ".join(str(np.shape(value)) for value in self._values())
            raise InvalidInput(
                "shapes of a traffic", given=shapes, expected="shapes that numpy can broadcast"
            ) from None

    @property
    def new_tokens(self) -> Any:
        """Tokens of a prompt that prefill computes: those not cached, at least the last one [1]."""
        fresh = self.isl * (1 - self.cached_share)
        return np.maximum(fresh, 1.0) if np.ndim(fresh) else max(fresh, 1.0)

    @property
    def cached_tokens(self) -> Any:
        """Tokens of a prompt that are in the cache already [1]."""
        return self.isl - self.new_tokens

    @property
    def generated(self) -> Any:
        """Tokens of an answer that decode generates: prefill yields the first [1]."""
        return self.osl - 1

    @property
    def longest(self) -> Any:
        """Tokens in a sequence's cache at its last step [1]."""
        return self.isl + self.generated

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the points that the values broadcast to; empty for plain numbers."""
        return np.broadcast_shapes(*(np.shape(value) for value in self._values()))

    def points(self) -> list[Traffic]:
        """Every point as a traffic of plain numbers, in the order of the broadcast array."""
        names = [name for name in self.__dataclass_fields__ if getattr(self, name) is not None]
        arrays = np.broadcast_arrays(*(np.asarray(getattr(self, name)) for name in names))
        columns = zip(*(array.ravel().tolist() for array in arrays), strict=True)
        return [Traffic(**dict(zip(names, column, strict=True))) for column in columns]

    def __str__(self) -> str:
        load = f"{self.concurrency:,g} in flight" if self.rate is None else f"{self.rate:,g} requests/s"
        cached = f", {self.cached_share:.0%} of prompts cached" if self.cached_share else ""
        alike = ", all equally long" if self.lengths == "equal" else ""
        return f"{self.isl:,g} tokens in, {self.osl:,g} out, {load}{cached}{alike}"

    def _values(self) -> list[Any]:
        every = (self.isl, self.osl, self.concurrency, self.rate, self.cached_share)
        return [value for value in every if value is not None]


@dataclass(frozen=True)
class Slo:
    """What a user will wait: `ttft` for the first token, `tpot` for each further one; None where it is not said.

    Text with a unit, or numbers in seconds: `Slo(ttft="500 ms", tpot="20 ms")` is `Slo(ttft=0.5, tpot=0.02)`. Raises
    `InvalidInput`.
    """

    ttft: Any = None
    tpot: Any = None

    def __post_init__(self) -> None:
        if self.ttft is None and self.tpot is None:
            raise InvalidInput("objective", given="neither ttft nor tpot", expected="at least one of them, in seconds")
        for name in ("ttft", "tpot"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _amount(name, value, 1e-12, _LONGEST, "s"))

    def met(self, ttft: Any, tpot: Any) -> Any:
        """Whether times keep to the objective; nan does not."""
        first = self.ttft is None or ttft <= self.ttft
        return first & (self.tpot is None or tpot <= self.tpot)


def _amount(what: str, given: Any, least: float, most: float, unit: str = "") -> Any:
    """The value as float or float64 array between two limits, or from text in a unit; `InvalidInput` otherwise."""
    expected = f"a number from {least:g} to {most:g}{f' {unit}' if unit else ''}"
    value = counted_in(given, unit, what) if unit else given
    if isinstance(value, list | tuple):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.ndim:
        if value.dtype.kind not in "iuf" or value.size == 0 or not np.all((value >= least) & (value <= most)):
            raise InvalidInput(what, given=given, expected=f"{expected} in every place")
        return value.astype(np.float64)
    number = isinstance(value, int | float | np.integer | np.floating | np.ndarray) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not least <= value <= most:
        raise InvalidInput(what, given=given, expected=expected)
    return float(value)
