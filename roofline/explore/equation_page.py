"""The page of equations, written by the equations themselves: each function's words, and what sympy makes of its code.

python -m roofline.explore.equation_page docs/equations.md
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import sympy

import roofline.equations

_ARGUMENT = re.compile(r"^ +(\w+) : (.*\S) \[([^\[\]]+)\]$")
_EXAMPLE = re.compile(r"^>>> (.*)$")
_HEAD = """# Equations

Every equation of the library, once: the estimate, the closed forms and this page are the same functions
(`roofline/equations/`), evaluated with numbers, with symbols, and printed. What stands below in mathematics was
rendered from the code; what it calls is written out. Names and units are those of the
[nomenclature](nomenclature.md); units are SI, and 1 marks a plain number.

<!-- Written by `python -m roofline.explore.equation_page docs/equations.md` with sympy {version}; do not edit. -->
"""


def equation_page() -> str:
    """The page as Markdown."""
    parts = [_HEAD.format(version=sympy.__version__)]
    modules = _modules()
    parts.append("\n".join(f"* [{_title(name)}](#{_anchor(name)}): {_summary(modules[name])}" for name in modules))
    for name, module in modules.items():
        introduction = inspect.getdoc(module) or ""
        parts.append(f"## {_title(name)}\n\n{introduction}")
        parts.extend(_equation(function) for function in _functions(module))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _modules() -> dict[str, ModuleType]:
    names = sorted(info.name for info in pkgutil.iter_modules(roofline.equations.__path__))
    return {name: importlib.import_module(f"roofline.equations.{name}") for name in names}


def _functions(module: ModuleType) -> list[Callable[..., Any]]:
    """The module's equations in the order in which they are written."""
    functions = [getattr(module, name) for name in module.__all__]
    return sorted(functions, key=lambda function: inspect.getsourcelines(function)[1])


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _anchor(name: str) -> str:
    return name.replace("_", "-")


def _summary(module: ModuleType) -> str:
    return (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ").rstrip(".")


def _equation(function: Callable[..., Any]) -> str:
    name = function.__name__
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    lines = [f"### `{name}`", paragraphs[0], f"$$\n{rendered(function)}\n$$"]
    for paragraph in paragraphs[1:]:
        if paragraph.startswith("Arguments:"):
            rows = [_ARGUMENT.match(line) for line in paragraph.splitlines()[1:]]
            table = [f"| `{row[1]}` | {row[3]} | {row[2]} |" for row in rows if row]
            lines.append("\n".join(["| argument | unit | meaning |", "|---|---|---|", *table]))
        elif paragraph.startswith(">>>"):
            lines.append(_examples(paragraph))
        else:
            lines.append(paragraph)
    return "\n\n".join(lines)


def _examples(paragraph: str) -> str:
    """Doctests as a line each: call and result."""
    shown, call = [], ""
    for line in paragraph.splitlines():
        match = _EXAMPLE.match(line)
        if match:
            call = match[1]
        elif call:
            shown.append(f"`{call}` is {line}")
            call = ""
    return "For example, " + "; ".join(shown) + "."


def rendered(function: Callable[..., Any]) -> str:
    """An equation as LaTeX, made by calling it with a symbol for each argument."""
    symbols = {name: sympy.Symbol(name, positive=True) for name in inspect.signature(function).parameters}
    result = sympy.sympify(function(**symbols))
    upright = {symbol: rf"\mathrm{{{_spaced(name)}}}" for name, symbol in symbols.items()}
    name = _spaced(function.__name__)
    return rf"\mathrm{{{name}}} = {sympy.latex(result, symbol_names=upright, mul_symbol='dot')}"


def _spaced(name: str) -> str:
    return name.replace("_", r"\ ")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(equation_page(), encoding="utf-8")
