"""Every equation of the library, found by walking `roofline.equations` and read from its docstring.

A new equation is in here, and in every test that asks, the moment its module lists it in `__all__`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import roofline.equations

ARGUMENT = re.compile(r"^    (?P<name>\w+) : (?P<meaning>\S.*\S) \[(?P<unit>[^\[\]]+)\]$")
RETURNS = re.compile(r"^Returns .*\[(?P<unit>[^\[\]]+)\]\.$")


@dataclass(frozen=True)
class Equation:
    """One equation and what its docstring says of it."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, str]
    """Argument name to unit, in the order of the docstring."""
    returns: str
    """Unit of the result."""
    paragraphs: tuple[str, ...]
    """The docstring, split at its empty lines."""

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.function).parameters)

    def __str__(self) -> str:
        return self.name


def modules() -> dict[str, ModuleType]:
    """Short name to module, sorted."""
    found = sorted(info.name for info in pkgutil.iter_modules(roofline.equations.__path__))
    return {name: importlib.import_module(f"roofline.equations.{name}") for name in found}


def read(name: str, function: Callable[..., Any]) -> Equation:
    """Read one function's docstring; what is missing stays empty, for the grammar test to complain about."""
    text = inspect.getdoc(function) or ""
    paragraphs = tuple(text.split("\n\n"))
    arguments, returns = {}, ""
    for paragraph in paragraphs:
        if paragraph.startswith("Arguments:\n"):
            matches = [ARGUMENT.match(line) for line in paragraph.splitlines()[1:]]
            arguments = {match["name"]: match["unit"] for match in matches if match}
        match = RETURNS.match(" ".join(paragraph.splitlines()))
        returns = match["unit"] if match else returns
    return Equation(name, function, arguments, returns, paragraphs)


@cache
def equations() -> dict[str, Equation]:
    """`"module.function"` to equation, sorted."""
    found = {}
    for short, module in modules().items():
        for name in module.__all__:
            found[f"{short}.{name}"] = read(f"{short}.{name}", getattr(module, name))
    return dict(sorted(found.items()))
