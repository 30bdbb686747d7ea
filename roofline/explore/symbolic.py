"""Closed forms: seconds as a sympy expression, made by the very functions that make the numbers.

Symbols are plain and named after what they stand for, with underscores for dots (`memory_bandwidth`), so that
`expression.subs({"batch": 32})` works. This module and `equation_page` are the only ones that import sympy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sympy

from roofline.errors import InvalidInput, UnknownName
from roofline.estimate.resolved import Resolved
from roofline.estimate.timing import Step, item_seconds, launch_seconds, launches, step_seconds
from roofline.estimate.work import LAUNCH, Operation
from roofline.explore.asking import Asked, scalars
from roofline.explore.hardware import HardwareNumber, canonical, numbers_used, placed
from roofline.explore.sides import overlap_seconds, pipeline_seconds, sides

FITTED = ("kernels.", "collectives.")
_AXES = {
    "batch": ("B", "sequences in flight on one replica"),
    "context": ("S", "tokens in each sequence's cache, the new one included"),
    "prompt": ("S", "tokens of each prompt"),
    "cached_tokens": ("S_{c}", "tokens of each prompt that are cached already"),
}
_PROBE = {"batch": 1.0, "context": 2.0, "prompt": 2.0, "cached_tokens": 0.0}
_NEW = sympy.Symbol("new_tokens", positive=True)


@dataclass(frozen=True)
class Meaning:
    """What a symbol stands for: its `path` or argument, `unit`, the deployment's own `value` (None for an argument)."""

    symbol: sympy.Symbol
    path: str
    value: float | None
    unit: str
    meaning: str
    latex: str


def closed_form(phase: Any, *, terms: bool = False, hardware: Iterable[str] | str | None = None, **fixed: float) -> Any:
    """Seconds of a phase as a sympy expression in its arguments and in hardware numbers [s]; by term, if `terms`.

    Arguments that are `fixed` to a number are no symbols.

    `hardware` says which numbers stay symbols: None those of the spec, `"all"` fitted efficiencies and overheads too, a
    list of paths or of their beginnings (`["memory", "peak.fp8"]`) just those, `()` none. The rest are put in as they
    are. `glossary` lists the symbols. The layout must be settled: `LayoutError` otherwise.
    """
    form = _Form.of(phase, hardware, fixed)
    if not terms:
        return form.plain(step_seconds(form.step, form.resolved.machine, form.resolved.rates))
    found: dict[str, Any] = {}
    for item, count in zip(form.step.items, form.step.path, strict=True):
        seconds: Any = item_seconds(item, form.resolved.machine, form.resolved.rates)
        found[item.term] = found.get(item.term, 0) + count * seconds
    if launches(form.step.phase, form.resolved.rates):
        found[LAUNCH.term] = launch_seconds(form.step, form.resolved.machine, form.resolved.rates)
    if form.step.pipelined:
        found["pipeline"] = pipeline_seconds(form.resolved, form.step)
    if form.step.turns is not None:
        found["overlap"] = overlap_seconds(form.resolved, form.step)
    return {name: form.plain(seconds) for name, seconds in found.items()}


def glossary(phase: Any, *, hardware: Iterable[str] | str | None = None) -> tuple[Meaning, ...]:
    """What each symbol of `closed_form` with the same `hardware` stands for, and its value on this part."""
    return _Form.of(phase, hardware, None).meanings


def in_latex(expression: Any, phase: Any) -> str:
    """An expression in the symbols of a phase as LaTeX, in the letters of the glossary."""
    names = {meaning.symbol: meaning.latex for meaning in glossary(phase, hardware="all")}
    return str(sympy.latex(expression, symbol_names=names, mul_symbol="dot"))


def as_function(phase: Any, *, hardware: Iterable[str] | str | None = None) -> Callable[..., Any]:
    """The closed form compiled to numpy: a function of the arguments, and of the hardware symbols by name.

    What is not given of the hardware is the part's own. As exact as the estimate, without its checks.
    """
    meanings = glossary(phase, hardware=hardware)
    names = [meaning.symbol.name for meaning in meanings]
    own = {meaning.symbol.name: meaning.value for meaning in meanings if meaning.value is not None}
    compiled = sympy.lambdify(names, closed_form(phase, hardware=hardware), modules="numpy", cse=True)

    def seconds(**values: Any) -> Any:
        for name in values:
            if name not in names:
                raise UnknownName("argument of the closed form", given=name, known=names)
        given = {**own, **values}
        missing = next((name for name in names if name not in given), None)
        if missing is not None:
            raise InvalidInput(missing, given="nothing", expected="a number or an array")
        return compiled(*(given[name] for name in names))

    return seconds


@dataclass(frozen=True)
class Formula:
    """A crossing in closed form: `of` equals `value` where `exists` is true, and is never reached elsewhere."""

    of: sympy.Symbol
    value: Any
    exists: Any


def crossing_formula(
    phase: Any, a: str, b: str, *, of: str, hardware: Iterable[str] | str | None = None, **fixed: float
) -> Formula:
    """Where resources or kinds of traffic take equally long, solved for `of`: an expression in all the rest.

    For quantities that are straight lines in `of` or in one over it, which resources and traffic are unless experts,
    windows or ceilings bend them; `InvalidInput` where they do: `crossover` finds those numerically.
    """
    asked = Asked.of(phase)
    form = _Form.of(phase, hardware, fixed)
    path = canonical(of, asked.deployment.settled(), [meaning.path for meaning in form.meanings])
    symbol = form.positive[path]
    first, second = (sides(form.resolved, form.step, name)(form.resolved, form.step) for name in (a, b))
    numerator, denominator = sympy.fraction(sympy.together(sympy.expand(first - second)))
    numerator = sympy.expand(numerator)
    if denominator.has(sympy.Max, sympy.Min) or not _straight(numerator, symbol):
        raise InvalidInput(
            "crossing_formula", given=f"{a} and {b} over {of}", expected="straight lines; crossover() finds the rest"
        )
    slope, offset = (sympy.factor_terms(numerator.coeff(symbol, power)) for power in (1, 0))
    value = sympy.factor_terms(-offset / slope)
    above, below = sympy.fraction(value)
    exists = below > 0 if above.is_positive else value > 0
    return Formula(sympy.Symbol(symbol.name), form.plain(value), form.plain(exists))


def _straight(expression: Any, symbol: sympy.Symbol) -> bool:
    return bool(expression.is_polynomial(symbol) and sympy.degree(expression, symbol) == 1)


@dataclass(frozen=True)
class _Form:
    """A step of symbols on a machine of symbols. While it is put together, symbols are known to be positive."""

    resolved: Resolved
    step: Step
    meanings: tuple[Meaning, ...]
    positive: Mapping[str, sympy.Symbol]

    @classmethod
    def of(cls, phase: Any, hardware: Iterable[str] | str | None, fixed: Mapping[str, float] | None = None) -> _Form:
        asked = Asked.of(phase)
        resolved = asked.deployment.settled()
        given = _given(asked, fixed or {})
        probe = {**_PROBE, **given}
        if "prompt" not in given:
            probe["prompt"] += probe["cached_tokens"]  # some of it is to be computed
        sample = resolved.step(asked.point(probe))
        numbers = _selected(numbers_used(resolved, sample), hardware, resolved)
        free = [name for name in asked.axes if name not in given]
        positive = {name: sympy.Symbol(_identifier(name), positive=True) for name in (*free, *numbers)}
        values: dict[str, Any] = {**given, **{name: positive[name] for name in free}}
        if {"prompt", "cached_tokens"} <= {*free}:
            values["prompt"] = values["cached_tokens"] + _NEW  # tokens to compute are positive too
        changed = placed(resolved, {path: positive[path] for path in numbers}, sample)
        step = changed.step(asked.point(values))
        meanings = [Meaning(sympy.Symbol(name), name, None, "1", _AXES[name][1], _AXES[name][0]) for name in free]
        for path, each in numbers.items():
            symbol = sympy.Symbol(_identifier(path))
            meanings.append(Meaning(symbol, path, each.value, each.unit, each.meaning, _letter(path)))
        together = changed.machine.feed is None
        items = tuple(_tidied(item, [*(positive[name] for name in free), _NEW], together) for item in step.items)
        return cls(changed, replace(step, items=items), tuple(meanings), positive)

    def plain(self, expression: Any) -> Any:
        """The expression in plain symbols, with integers where numbers are whole."""
        plain: dict[Any, Any] = {symbol: sympy.Symbol(symbol.name) for symbol in self.positive.values()}
        plain[_NEW] = sympy.Symbol("prompt") - sympy.Symbol("cached_tokens")
        expression = sympy.sympify(expression)
        return _renamed(expression, {**_whole(expression), **plain})


def _renamed(expression: Any, names: dict[Any, Any]) -> Any:
    """As `xreplace`, but which of several is the largest is not asked again: of plain symbols less is known.

    `names` keeps what is done already.
    """
    if expression not in names:
        parts = [_renamed(part, names) for part in expression.args]
        undecided = {"evaluate": False} if isinstance(expression, sympy.Max | sympy.Min) else {}
        names[expression] = expression.func(*parts, **undecided) if parts else expression
    return names[expression]


def _given(asked: Asked, fixed: Mapping[str, float]) -> dict[str, float]:
    """The arguments that are numbers, checked."""
    if not fixed:
        return {}
    free = tuple(name for name in asked.axes if name not in fixed)
    return scalars(asked.complete(fixed, free=free))


def _selected(
    numbers: Mapping[str, HardwareNumber], hardware: Iterable[str] | str | None, resolved: Resolved
) -> dict[str, HardwareNumber]:
    if hardware == "all":
        return dict(numbers)
    if hardware is None:
        return {path: number for path, number in numbers.items() if not path.startswith(FITTED)}
    chosen: dict[str, HardwareNumber] = {}
    for name in [hardware] if isinstance(hardware, str) else hardware:
        below = [path for path in numbers if path.startswith(f"{name}.")]
        paths = below or [canonical(name, resolved, numbers)]
        chosen.update({path: numbers[path] for path in paths})
    return chosen


def _identifier(path: str) -> str:
    return path.replace(".", "_").replace("-", "_")


def _letter(path: str) -> str:
    if path == "feed":
        return r"M_{\mathrm{feed}}"
    group, *middle, field = path.split(".")
    words = r",\,".join(part.replace("_", r"\ ") for part in middle)
    if group == "peak":
        return rf"F_{{\mathrm{{{field}}}}}"
    letters = {
        "compute": r"\eta^{c}",
        "memory": r"\eta^{m}",
        "bandwidth": r"\eta^{n}",
        "overhead": "t",
        "staged_overhead": "t'",
        "summed_overhead": r"t^{\Sigma}",
        "crossing": r"t^{\times}",
    }
    if group in ("kernels", "collectives"):
        return rf"{letters[field]}_{{\mathrm{{{words}}}}}"
    if group == "link":
        return rf"\{'beta' if field == 'bandwidth' else 'alpha'}_{{\mathrm{{{words}}}}}"
    return "M"


def _tidied(item: Any, symbols: list[sympy.Symbol], together: bool) -> Any:
    """An operation whose counts are written as short as they go.

    Where nothing but memory sees caches and activations, they are `together`: only their sum matters.
    """
    if not isinstance(item, Operation):
        return replace(item, size=_short(item.size, symbols))
    cache, activations = (item.cache + item.activations, 0) if together else (item.cache, item.activations)
    return item._replace(
        flops=_short(item.flops, symbols),
        longest=_short(item.longest, symbols),
        cache=_short(cache, symbols),
        activations=_short(activations, symbols),
    )


def _short(count: Any, symbols: list[sympy.Symbol]) -> Any:
    """A count expanded, symbols common to all its terms in front, integers where it is whole."""
    if isinstance(count, int | float):
        return count
    expression = sympy.expand(count)
    expression = expression.xreplace(_whole(expression))
    factor = sympy.Integer(1)
    for symbol in symbols:
        if isinstance(expression, sympy.Add) and all(term.has(symbol) for term in expression.args):
            divided = sympy.expand(expression / symbol)
            if divided.is_polynomial(symbol):
                factor, expression = factor * symbol, divided
    return factor * expression


def _whole(expression: Any) -> dict[Any, Any]:
    return {each: sympy.Integer(int(each)) for each in expression.atoms(sympy.Float) if float(each).is_integer()}
