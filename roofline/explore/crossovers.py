"""Where one thing overtakes another: resources, terms, traffic; over batch, context, prompt or a hardware number.

Answers are exact: the step is a sum of maxima with kinks and ceilings, never smoothed, and the whole range is searched
with intervals, so that "never" is an answer too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from roofline.errors import InvalidInput, UnknownName
from roofline.estimate.door import LARGEST, checked
from roofline.estimate.resolved import Resolved
from roofline.estimate.times import RESOURCES
from roofline.estimate.timing import step_seconds
from roofline.explore.asking import LEAST, Asked, scalars
from roofline.explore.hardware import canonical, numbers_used, placed
from roofline.explore.search import Crossing, Difference, Unsettled, crossings, last_within
from roofline.explore.sides import TRAFFIC, Side, sides
from roofline.units import format_quantity, significant

HARDWARE_RANGE = 1e6
"""How far below and above its own value a hardware number is searched [1]."""


@dataclass(frozen=True)
class Crossover:
    """Where `a` and `b` take equally long, over `of`.

    `value` is the first crossing, None where there is none between `low` and `high`; `holds_when` says in words which
    of the two is larger where, under which condition that is so, and whether it fits the memory. `crossings` are all of
    them. Where `of` only takes whole numbers (a batch that ranks or stages share), a crossing is the first whole number
    on its far side. `ratios` are a over b at 0.99 and 1.01 times the value. `longer` takes longer beyond the first
    crossing, or everywhere; None where they cannot be told apart.
    """

    a: str
    b: str
    of: str
    value: float | None
    holds_when: str
    crossings: tuple[float, ...]
    ratios: tuple[float, float] | None
    low: float
    high: float
    longer: str | None

    def __str__(self) -> str:
        at = "never" if self.value is None else f"at {self.of} {_plain(self.value)}"
        return f"{self.a} = {self.b} {at}: {self.holds_when}"


def crossover(phase: Any, a: str, b: str, *, of: str, **fixed: float) -> Crossover:
    """Where `a` takes as long as `b` over the step, as `of` varies and the rest is `fixed`.

    `a` and `b` are resources (`"compute"`, `"memory"`, `"feed"`, `"network"`, `"overhead"`: summed over the operations
    that a token passes, overlapped or not), the memory traffic of `"weights"` or `"cache"`, or names of terms of the
    estimate. `of` is an argument of the phase or the path of a hardware number, such as `"memory.bandwidth"`.
    """
    asked = Asked.of(phase)
    resolved = asked.deployment.settled()
    if a == b:
        raise InvalidInput("crossover", given=f"{a} and {b}", expected="two different quantities")
    given = scalars(asked.complete(fixed, free=(of,) if of in asked.axes else ()))
    question = _Question(asked, resolved, given, of)
    first, second = (sides(resolved, question.step(), name) for name in (a, b))
    low, high, whole = question.range()
    if low > high:
        raise InvalidInput(of, given="nothing", expected=f"room between {low:g} and {high:g}")
    try:
        found = crossings(question.difference(first, second), low, high, whole=whole)
    except Unsettled as near:
        stretch = f"{of} {question.shown(near.low)} to {question.shown(near.high)}"
        words = f"{a} and {b} are equal, or too nearly so to tell which is larger, at {stretch}"
        return Crossover(a, b, of, None, words, (), None, low, high, None)
    value = found[0].at if found else None
    ratios = None
    if value is not None:
        beside = max(low, value * 0.99), min(high, value * 1.01)
        ratios = (question.ratio(first, second, beside[0]), question.ratio(first, second, beside[1]))
    words = _words(question, (a, first), (b, second), found)
    rises = found[0].rises if found else question.ratio(first, second, high) > 1
    at = tuple(each.at for each in found)
    return Crossover(a, b, of, value, words, at, ratios, low, high, a if rises else b)


@dataclass(frozen=True)
class _Question:
    """One deployment at a fixed point but for one number."""

    asked: Asked
    resolved: Resolved
    given: dict[str, float]
    of: str

    def shown(self, value: float) -> str:
        """A value of what is asked about, with its unit."""
        if self._is_axis:
            return _plain(value)
        unit = numbers_used(self.resolved, self.step())[self.path].unit
        return _plain(value) if unit == "1" else format_quantity(value, unit, 4)

    def step(self) -> Any:
        """The step at the low end of the range: its operations are the same everywhere."""
        values = {**self.given, **({self.of: self._least} if self._is_axis else {})}
        return self.resolved.step(self.asked.point(values))

    @property
    def _least(self) -> float:
        return self.given["cached_tokens"] + 1 if self.of == "prompt" else LEAST[self.of]

    @property
    def _is_axis(self) -> bool:
        return self.of in self.asked.axes

    @property
    def path(self) -> str:
        """The hardware number asked about, by its listed path."""
        known = numbers_used(self.resolved, self.step())
        try:
            return canonical(self.of, self.resolved, known)
        except UnknownName:
            raise UnknownName("of", given=self.of, known=(*self.asked.axes, *known)) from None

    def range(self) -> tuple[float, float, bool]:
        """Smallest and largest value searched, and whether only whole ones count."""
        if not self._is_axis:
            own = numbers_used(self.resolved, self.step())[self.path]
            return own.value / HARDWARE_RANGE, _most(own.value, own.role), False
        low, high = self._least, LARGEST
        if self.of == "cached_tokens":
            high = self.given["prompt"] - 1
        shared = self.resolved.layout.pp > 1 or self.resolved.layout.dp > 1
        return low, high, self.of == "batch" and shared

    def at(self, value: Any) -> tuple[Resolved, Any]:
        """The deployment and its step where the number asked about has a value of any type."""
        if self._is_axis:
            return self.resolved, self.resolved.step(self.asked.point({**self.given, self.of: value}))
        changed = placed(self.resolved, {self.path: value}, self.step())
        return changed, changed.step(self.asked.point(self.given))

    def difference(self, first: Side, second: Side) -> Difference:
        """Both quantities at a value."""

        def both(value: Any) -> tuple[Any, Any]:
            resolved, step = self.at(value)
            return first(resolved, step), second(resolved, step)

        return both

    def ratio(self, first: Side, second: Side, value: float) -> float:
        """The first over the second at a value."""
        one, other = self.difference(first, second)(value)
        return float(one) / float(other) if other else math.inf


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else significant(value, 4)


def _most(value: float, role: str) -> float:
    return min(value * HARDWARE_RANGE, 1.0) if role == "efficiency" else value * HARDWARE_RANGE


def _words(question: _Question, first: tuple[str, Side], second: tuple[str, Side], found: tuple[Crossing, ...]) -> str:
    (a, one), (b, other), of = first, second, question.of
    low, high, _ = question.range()
    shown = question.shown
    fixed = ", ".join(f"{name} {value:,.10g}" for name, value in question.given.items())
    where = f" ({fixed})" if fixed else ""
    if found:
        parts = [f"{a if each.rises else b} takes longer from {of} {shown(each.at)}" for each in found]
        before = b if found[0].rises else a
        text = f"{before} takes longer below, {', '.join(parts)}{where}"
    else:
        ratios = [question.ratio(one, other, value) for value in (low, high)]
        larger, smaller = (a, b) if ratios[1] > 1 else (b, a)
        shares = sorted(ratio if larger == b else 1 / ratio for ratio in ratios)
        text = f"{larger} takes longer than {smaller} at every {of} from {shown(low)} to {shown(high)}{where}; "
        if shares[1] == 0:
            text += f"{smaller} takes no time here"
        else:
            text += f"{smaller} comes to {shares[0]:.3g} of it at one end and {shares[1]:.3g} at the other"
    contexts = _contexts(question, a, b, lambda asked: asked.difference(one, other))
    return text + contexts + _room(question, found)


def _contexts(question: _Question, a: str, b: str, difference: Callable[[_Question], Difference]) -> str:
    """The contexts at which a batch turns the order that batch 1 has, where both sides are straight lines in it.

    Collectives, experts and shared batches bend them: lines that bend may cross twice, and no condition is named.
    """
    straight = {*RESOURCES, *TRAFFIC} - {"network"}
    bent = question.range()[2] or question.resolved.model.parameters().experts
    if question.of != "batch" or question.asked.phase != "decode" or not {a, b} <= straight or bent:
        return ""
    ends = [replace(question, given={"batch": batch}, of="context") for batch in (LEAST["batch"], LARGEST)]
    try:
        turns = [crossings(difference(end), LEAST["context"], LARGEST) for end in ends]
    except Unsettled:
        return ""
    edges = [LEAST["context"], *sorted(turn.at for end in turns for turn in end), LARGEST]
    turned = []
    for low, high in pairwise(edges):
        one, other = (difference(end)(math.sqrt(low * high)) for end in ends)
        turned.append((float(one[0]) > float(one[1])) != (float(other[0]) > float(other[1])))
    if sum(turned) != 1:
        return ""
    place = turned.index(True)
    low, high = edges[place], edges[place + 1]
    if len(turned) == 1:
        return "; happens at every context"
    if place == 0:
        return f"; happens at contexts below {_plain(high)}"
    return f"; happens at contexts above {_plain(low)}" + ("" if high == LARGEST else f" and below {_plain(high)}")


def _room(question: _Question, found: tuple[Crossing, ...]) -> str:
    """Whether the first crossing fits the memory."""
    if not found or not question._is_axis:
        return ""
    values = {**question.given, question.of: found[0].at}
    context = values.get("context", values.get("prompt"))
    most = float(question.resolved.memory.largest_batch(context))
    if values["batch"] <= most:
        return ""
    return f"; does not fit: {most:,.0f} sequences of {_plain(float(context or 0))} tokens do"


@dataclass(frozen=True)
class Within:
    """The largest batch within a limit: `value` sequences per replica, None where not even one; `holds_when` says why.

    `seconds` are those of the largest batch [s]; `limited_by` is `"tpot"` or `"memory"`.
    """

    value: int | None
    seconds: float | None
    limited_by: str
    holds_when: str


def largest_batch_within(phase: Any, tpot: float, **fixed: float) -> Within:
    """The largest batch per replica whose step takes at most `tpot` [s], among those that fit.

    Exact over whole numbers. The time need not rise with the batch in a pipeline, so it is the largest of all, not the
    last before the first failure. For `prefill`, `tpot` is the time of the whole prefill.
    """
    asked = Asked.of(phase)
    resolved = asked.deployment.settled()
    limit = checked("tpot", tpot, least=0)
    given = scalars(asked.complete(fixed, free=("batch",)))
    context = given["context" if asked.phase == "decode" else "prompt"]
    most = int(min(float(resolved.memory.largest_batch(context)), LARGEST))
    if most < 1:
        return Within(None, None, "memory", f"not one sequence of {context:,.10g} tokens fits")

    def seconds(batch: Any) -> Any:
        step = resolved.step(asked.point({**given, "batch": batch}))
        return step_seconds(step, resolved.machine, resolved.rates)

    value = last_within(seconds, limit, 1, most)
    if value is None:
        fastest = f"batch 1 takes {significant(float(seconds(1.0)) * 1e3)} ms"
        return Within(None, None, "tpot", f"no batch of the {most:,} that fit is within the limit: {fastest}")
    taken = float(seconds(float(value)))
    if value == most:
        return Within(value, taken, "memory", f"{most:,} sequences fit; the limit would allow more")
    beyond = float(seconds(float(value + 1)))
    words = f"batch {value + 1:,} takes {significant(beyond * 1e3, 4)} ms; {most:,} sequences fit"
    return Within(value, taken, "tpot", words)
