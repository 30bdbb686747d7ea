"""A pool as it is typed, `NAME:N[,tp=8,…]`, and the deployment it stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from roofline.describe.catalog import accelerator, accelerators
from roofline.describe.formats import Quantization, number_format
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.model import ModelShape
from roofline.describe.runtimes import runtime
from roofline.errors import InvalidInput, RooflineError, UnknownName, nearest_names
from roofline.estimate.deployment import MOST_DEVICES, Deployment
from roofline.estimate.quantize import native_quantization, substitution
from roofline.estimate.resolved import SLICE_WORDS
from roofline.show.lines import shorten
from roofline.units import counted_in

GRAMMAR = "NAME:N[,key=value…], such as h100-sxm:8 or groq-lpu-v1:576,tp=8,pp=72,quantization=int8"
RANKS = ("tp", "pp", "dp", "ep")
"""Keys that say how a pool is laid out."""
_FORM = re.compile(r"(?P<name>[^:]*):(?P<count>[^,]*)(?:,(?P<options>.*))?", re.DOTALL)


class InPool(RooflineError):
    """What is wrong with one of several pools, with the pool it is wrong in."""

    def __init__(self, pool: str, error: RooflineError) -> None:
        super().__init__(f"{shorten(pool.strip(), 80)}: {error}")


@dataclass(frozen=True)
class Pool:
    """Devices of one part with what was said about them; `text` is how they were typed."""

    text: str
    name: str
    accelerator: HbmAccelerator | SramAccelerator
    devices: int
    options: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> Pool:
        """The pool that `NAME:N[,key=value…]` names; NAME may be a path to a .toml file.

        >>> pool = Pool.parse("groq-lpu-v1:576,tp=8,pp=72,quantization=int8")
        >>> pool.label, pool.options["pp"]
        ('576 × groq-lpu-v1', 72)
        """
        match = _FORM.fullmatch(text.strip())
        if match is None or not match["name"].strip():
            raise InvalidInput("pool", given=text, expected=GRAMMAR, nearest=_nearest_pool(text))
        name = match["name"].strip()
        part = accelerator(name)
        try:
            devices = _whole("devices", match["count"])
            options = _options(match["options"])
        except RooflineError as error:
            raise InPool(text, error) from None
        return cls(text.strip(), part_name(text), part, devices, options)

    @property
    def label(self) -> str:
        """The pool as tables name it."""
        return f"{self.devices:,} × {self.name}"

    def typed_on(self, devices: int) -> str:
        """The pool on another number of devices as it would be typed, its layout left open.

        >>> Pool.parse("h100-sxm:8,tp=8,price=2.5").typed_on(16)
        'h100-sxm:16,price=2.5'
        """
        head, *options = self.text.split(",")
        kept = [option for option in options if option.partition("=")[0].strip() not in RANKS]
        return ",".join([f"{head.partition(':')[0]}:{devices}", *kept])

    def under(self, runtime: str | None) -> Pool:
        """The pool under a serving stack, unless it says its own."""
        return self if runtime is None else replace(self, options={"runtime": runtime, **self.options})

    def formats(self, model: ModelShape, default: str | None) -> Quantization:
        """The formats said of the pool, else the default, else the model's own or the part's nearest native ones."""
        chosen = self.options.get("quantization", default)
        if chosen is not None:
            quantization = Quantization.of(chosen)
        else:
            quantization = native_quantization(model.checkpoint, self.accelerator)
        return quantization.with_(**{key: self.options[key] for key in _OWN_FORMATS if key in self.options})

    def deployment(self, model: ModelShape, quantization: str | None = None) -> Deployment:
        """The model on the pool; `quantization` names the preset of pools that do not say theirs."""
        formats = ("quantization", *_OWN_FORMATS)
        given = {key: value for key, value in self.options.items() if key not in formats}
        try:
            taken = self.formats(model, quantization)
            deployment = Deployment(model, self.accelerator, self.devices, quantization=taken, **given)
            chosen = self.options.get("quantization", quantization)
            return deployment.assuming("" if chosen else substitution(model.checkpoint, taken, self.accelerator))
        except RooflineError as error:
            raise InPool(self.text, error) from None


def part_name(text: str) -> str:
    """What tables call the part of a pool, as the pool was typed: its name, or that of its file.

    >>> part_name("specs/my-chip.toml:8,tp=8")
    'my-chip'
    """
    name = text.partition(":")[0].strip()
    return Path(name).stem if name.endswith(".toml") else name


_OWN_FORMATS = ("kv_cache", "state", "all_reduce")
"""Keys whose value replaces one format of the preset."""


def _nearest_pool(text: str) -> str | None:
    """`h100` without a count is meant as `h100-sxm:1`."""
    name, comma, options = text.strip().partition(",")
    near = nearest_names(name, accelerators()) if name and ":" not in text else []
    return f"{near[0]}:1{comma}{options}" if near else None


def _whole(what: str, text: str, or_words: str = "") -> int:
    if not re.fullmatch(r"\s*[0-9]{1,9}\s*", text) or not 1 <= int(text) <= MOST_DEVICES:
        raise InvalidInput(what, given=text, expected=f"a whole number from 1 to {MOST_DEVICES:,}{or_words}")
    return int(text)


def _slice(what: str, text: str) -> int | str:
    word = text.strip().lower()
    return word if word in SLICE_WORDS else _whole(what, text, ", whole or fastest")


def _price(what: str, text: str) -> float:
    """USD per device-hour, from a bare number or a quantity."""
    return float(counted_in(text, "USD/h", what)) if _has_unit(text) else _number(what, text, "USD/h")


def _power(what: str, text: str) -> float:
    """Watts per device, from a bare number or a quantity."""
    return float(counted_in(text, "W", what)) if _has_unit(text) else _number(what, text, "W")


def _has_unit(text: str) -> bool:
    return bool(re.search(r"\d\s*[a-zA-Zµ]", text)) and not re.fullmatch(r"\s*[+-]?[\d.]+[eE][+-]?\d+\s*", text)


def _number(what: str, text: str, unit: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(what, given=text, expected=f"a number in {unit}, or a quantity") from None


def _format(_what: str, text: str) -> str:
    return number_format(text.strip()).name


def _preset(_what: str, text: str) -> str:
    Quantization.of(text.strip())
    return text.strip()


def _as_typed(what: str, text: str) -> str:
    if not text.strip():
        raise InvalidInput(what, given=text, expected="calibrated, ideal, or a path to a calibration file")
    return text.strip()


def _stack(_what: str, text: str) -> str:
    return runtime(text.strip()).name


def _tier(_what: str, text: str) -> str:
    return text.strip()


def _flag(what: str, text: str) -> bool:
    try:
        return bool(click.BOOL.convert(text.strip().lower(), None, None))
    except click.BadParameter:
        raise InvalidInput(what, given=text, expected="yes or no") from None


_READERS: dict[str, Callable[[str, str], Any]] = {
    **dict.fromkeys(RANKS, _whole),
    "quantization": _preset,
    "kv_cache": _format,
    "state": _format,
    "all_reduce": _format,
    "price": _price,
    "power": _power,
    "efficiency": _as_typed,
    "runtime": _stack,
    "spill": _tier,
    "overlap": _flag,
    "slice": _slice,
}


def _options(text: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in text.split(",") if text is not None else ():
        key, equals, value = item.partition("=")
        key = key.strip()
        if not equals:
            raise InvalidInput("option", given=item, expected="key=value", nearest=_nearest_option(key))
        if key not in _READERS:
            raise UnknownName("key", given=key, known=_READERS, expected=f"one of {', '.join(_READERS)}")
        if key in found:
            raise InvalidInput(key, given=f"{found[key]} and {value}", expected="each key once")
        found[key] = _READERS[key](key, value)
    return found


def _nearest_option(text: str) -> str | None:
    """`tp8` is meant as `tp=8`."""
    match = re.fullmatch(r"(tp|pp|dp|ep)\s*([0-9]+)", text)
    return f"{match[1]}={match[2]}" if match else None
