"""Axes of a sweep as they are typed: `1,8,64`, `1:256:x2`, `1024:8192:+1024`, `memory.bandwidth=3TB/s,4TB/s`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.errors import InvalidInput
from roofline.show.hardware_view import cited
from roofline.show.numbers import number
from roofline.units import Dimension, parse_quantity

GRAMMAR = (
    "numbers and ranges with commas between them, such as 1,8,64; a range is START:STOP:xFACTOR, such as 1:256:x2, "
    "or START:STOP:+STEP, such as 1024:8192:+1024"
)
LONGEST = 1000
"""Values on one axis beyond which a range was mistyped."""
_RANGE = re.compile(r"\s*([^:]+):([^:]+):\s*([x×*+])\s*([^:]+?)\s*")


def axis(what: str, text: str, *, least: float = 1) -> list[float]:
    """Numbers of one axis, each once, in the order given; a range includes both ends where its steps meet them.

    >>> axis("batch", "1:8:x2,100")
    [1.0, 2.0, 4.0, 8.0, 100.0]
    >>> axis("context", "1024:4096:+1024")
    [1024.0, 2048.0, 3072.0, 4096.0]
    """
    found: list[float] = []
    for item in text.split(",") if text.strip() else [""]:
        match = _RANGE.fullmatch(item)
        if match is not None:
            ends = number(what, match[1], least=least), number(what, match[2], least=least)
            found += _ranged(what, item, *ends, match[3], match[4])
        elif ":" in item or not item.strip():
            raise InvalidInput(what, given=text, expected=GRAMMAR)
        else:
            found.append(number(what, item, least=least))
    return list(dict.fromkeys(found))


def _ranged(what: str, text: str, start: float, stop: float, sign: str, step: str) -> list[float]:
    factor = sign != "+"
    by = number(f"step of {what}", step, least=0)
    if stop < start:
        form = "START:STOP:xFACTOR" if factor else "START:STOP:+STEP"
        swapped = f"{stop:.10g}:{start:.10g}:{'x' if factor else '+'}{step}"
        raise InvalidInput(what, given=text, expected=f"{form} with START at most STOP", nearest=swapped)
    if by <= (1 if factor else 0):
        expected = "a step above 0 in START:STOP:+STEP, such as 1024:8192:+1024: each value is that much more"
        if factor:
            expected = "a factor above 1 in START:STOP:xFACTOR, such as 1:256:x2: each value is so many times the last"
        raise InvalidInput(what, given=text, expected=expected)
    out = []
    value = start
    while value <= stop * (1 + 1e-12):
        out.append(value)
        if len(out) > LONGEST:
            raise InvalidInput(what, given=text, expected=f"a range of at most {LONGEST:,} values")
        value = start * by ** len(out) if factor else start + by * len(out)
    return out


@dataclass(frozen=True)
class Varied:
    """A hardware number or a rank and its values in SI; `dimension` of quantities, None of bare numbers.

    `typed` is how the values were typed.
    """

    path: str
    values: list[Any]
    dimension: Dimension | None = None
    typed: str = ""

    @classmethod
    def parse(cls, text: str) -> Varied:
        """From `PATH=VALUES`.

        >>> Varied.parse("memory.bandwidth=3TB/s,4TB/s").values, Varied.parse("tp=4,8").values
        ([3000000000000.0, 4000000000000.0], [4, 8])
        """
        path, equals, values = (word.strip() for word in text.partition("="))
        if not equals or not path or not values:
            raise InvalidInput("--vary", given=text, expected="PATH=VALUES, such as memory.bandwidth=3TB/s,4TB/s")
        if path in ("batch", "context", "prompt"):
            raise InvalidInput("--vary", given=path, expected=f"--{'batch' if path == 'batch' else 'context'} for that")
        if path in ("tp", "pp", "dp", "ep"):
            ranks = axis(path, values)
            if any(rank != int(rank) for rank in ranks):
                raise InvalidInput(path, given=values, expected="whole numbers")
            return cls(path, [int(rank) for rank in ranks])
        if _bare(path) and not re.search(r"[a-zA-Zµ]", re.sub(r"[eE][+-]?\d|[x+]", "", values)):
            return cls(path, axis(path, values, least=0))
        return cls._quantities(path, values)

    @classmethod
    def _quantities(cls, path: str, values: str) -> Varied:
        expected = "quantities with their units, such as 3TB/s,4TB/s"
        found = []
        for item in values.split(","):
            if re.search(r"[eE][+-]?\d{3}", item):
                raise InvalidInput(path, given=item, expected=expected)
            try:
                found.append(parse_quantity(item))
            except InvalidInput:
                raise InvalidInput(path, given=item, expected=expected) from None
        dimensions = {each.dimension for each in found}
        if len(dimensions) > 1 or any(each.exact <= 0 for each in found):
            raise InvalidInput(path, given=values, expected=f"{expected}, above zero and all of one kind")
        factor = 3600 if path == "price" else 1  # a price is in USD per hour
        return cls(path, list(dict.fromkeys(each.value * factor for each in found)), dimensions.pop(), values)

    def check(self, part: HbmAccelerator | SramAccelerator) -> None:
        """`InvalidInput` where a part's number of that path has another unit."""
        number = cited(part, self.path)
        if self.dimension is None or number is None:
            return
        if number.quantity.dimension != self.dimension:
            expected = f"quantities in {number.unit}, such as {number.text}"
            raise InvalidInput(self.path, given=self.typed, expected=expected)


def _bare(path: str) -> bool:
    """Whether values of a path may be bare numbers: shares, a price in USD/h, a power in W, tokens."""
    return path.startswith(("kernels.", "collectives.")) or path in ("price", "power", "cached_tokens")
