"""What a better part would buy: how seconds, money or energy answer to each hardware number, exactly.

An elasticity of −0.78 in memory bandwidth says that one per cent more of it takes 0.78 per cent off. Seconds scale with
one over all rates and with all latencies together, so by Euler's theorem the elasticities of rates less those of
latencies and overheads add up to −1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from roofline.errors import InvalidInput, MissingNumber, UnknownName
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.timing import step_seconds
from roofline.explore.asking import Asked, scalars
from roofline.explore.hardware import HardwareNumber, canonical, numbers_used, placed
from roofline.explore.slopes import Slope

OF = {
    "seconds": 1,
    "joules": 1,
    "joules_per_token": 1,
    "usd_per_million_tokens": 1,
    "tokens_per_second": -1,
    "tokens_per_second_per_user": -1,
    "tokens_per_second_per_device": -1,
}
"""What may be asked, and to which power of the seconds it grows."""
Side = Literal["better", "worse"]


class Sensitivity(dict[str, float]):
    """Elasticity of what was asked, by hardware number; read with any path that `chip.cite` takes.

    `numbers` says of each its value, unit and role: `"rate"`, `"latency"` (overheads too) or `"efficiency"`.
    """

    def __init__(
        self,
        elasticities: Mapping[str, float],
        *,
        of: str,
        numbers: Mapping[str, HardwareNumber],
        resolved: Resolved,
        point: Point,
    ) -> None:
        super().__init__(elasticities)
        self.of, self.numbers, self.resolved, self.point = of, dict(numbers), resolved, point

    def __missing__(self, path: str) -> float:
        return self[canonical(path, self.resolved, list(self))]

    def of_role(self, role: str) -> dict[str, float]:
        """Those of one role alone."""
        return {path: value for path, value in self.items() if path in self.numbers and self.numbers[path].role == role}

    def buys(self, path: str, more: float = 0.1) -> str:
        """What changing one number by a share does to the seconds, in words; evaluated anew, not extrapolated.

        Of a latency or overhead the share is taken off.
        """
        number = self.numbers[canonical(path, self.resolved, self.numbers)]
        if not isinstance(more, int | float) or not 0 < more < 1:
            raise InvalidInput("more", given=more, expected="a share between 0 and 1")
        less = number.role == "latency"
        value = number.value * (1 - more if less else 1 + more)
        step = self.resolved.step(self.point)
        before = step_seconds(step, self.resolved.machine, self.resolved.rates)
        changed = placed(self.resolved, {number.path: value}, step)
        after: Any = step_seconds(changed.step(self.point), changed.machine, changed.rates)
        what = f"{more:.0%} {'less' if less else 'more'} {number.path}"
        return f"{what} buys {float(before / after) - 1:.1%} more tokens per second"

    def __str__(self) -> str:
        width = max((len(path) for path in self), default=0)
        order = sorted(self.items(), key=lambda item: -abs(item[1]))
        lines = [f"elasticity of {self.of}: per cent for one per cent more"]
        return "\n".join([*lines, *(f"{path:<{width}}  {value:+.4f}" for path, value in order)])


def sensitivity(phase: Any, *, of: str = "seconds", side: Side = "better", **point: Any) -> Sensitivity:
    """How `of` answers to each hardware number at a point of a phase: number's path to elasticity [1].

    Exact: the equations are differentiated, not probed. At a kink, where two resources take equally long, it is that of
    a better part (a higher rate, a lower latency); `side="worse"` gives the other. Besides the spec's numbers that
    the phase depends on, it lists the fitted efficiencies and overheads by their paths in the calibration file.
    `of` is an attribute of `Estimate` that follows from the seconds; money also answers to `price`, energy to `power`.
    """
    asked = Asked.of(phase)
    if of not in OF:
        raise UnknownName("of", given=of, known=OF)
    if side not in ("better", "worse"):
        raise InvalidInput("side", given=side, expected='"better" or "worse"')
    estimate = phase(**scalars(asked.complete(point)))
    at = estimate.point
    resolved = estimate.resolved.sliced_as_at(at)
    paid = {"usd": "price", "jou": "power"}.get(of[:3])
    if paid and getattr(resolved, paid) is None:
        raise MissingNumber(f"{resolved.accelerator.name}: no {paid} is published; give {paid}= to the deployment")
    step = resolved.step(at)
    numbers = numbers_used(resolved, step)
    inputs = dict(zip(numbers, Slope.inputs([number.value for number in numbers.values()]), strict=True))
    changed = placed(resolved, inputs, step)
    seconds: Any = step_seconds(changed.step(at), changed.machine, changed.rates)
    elasticities = {}
    for place, (path, number) in enumerate(numbers.items()):
        rises = (number.role == "latency") == (side == "worse")
        slope = float(seconds.up[place] if rises else seconds.down[place])
        elasticities[path] = OF[of] * number.value * slope / seconds.value
    if paid:
        elasticities[paid] = 1.0
    return Sensitivity(elasticities, of=of, numbers=numbers, resolved=resolved, point=at)
