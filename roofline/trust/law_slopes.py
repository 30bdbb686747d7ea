"""Laws of elasticities: how much of a step's time, money and energy each hardware number answers for, all together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from roofline.explore.sensitivity import OF, Sensitivity, sensitivity
from roofline.trust.law import Claim, Law, at_most, equal
from roofline.trust.law_cases import Case

_EXACT = 1e-9
"""What sums of elasticities may be off by [1]."""
_PAID = {"usd_per_million_tokens": "price", "joules": "power", "joules_per_token": "power"}


def _answers(case: Case, of: str) -> tuple[Sensitivity, Sensitivity]:
    """Elasticities for a better and for a worse part; they differ at a kink."""
    phase, values = case.serving.asked(case.point)
    better, worse = (sensitivity(phase, of=of, side=side, **values) for side in ("better", "worse"))
    return better, worse


def _degree(elasticities: Sensitivity) -> Any:
    rates, latencies = elasticities.of_role("rate"), elasticities.of_role("latency")
    return sum(rates.values()) - sum(latencies.values())


def _euler(case: Case) -> Iterator[Claim]:
    for of, power in OF.items():
        better, worse = _answers(case, of)
        if better == worse:
            yield equal(f"rates less latencies of {of}", _degree(better), "its degree", -power, within=_EXACT)
            continue
        one, other = sorted((_degree(better), _degree(worse)))
        yield at_most(f"the smaller of both sides of {of}", one, "its degree", -power, within=_EXACT)
        yield at_most(f"the degree of {of}", -power, "the larger of both sides", other, within=_EXACT)


def _paid_for(case: Case) -> Iterator[Claim]:
    phase, values = case.serving.asked(case.point)
    seconds = sensitivity(phase, **values)
    for of, paid in _PAID.items():
        answers = sensitivity(phase, of=of, **values)
        yield equal(f"the elasticity of {of} in {paid}", answers[paid], "one", 1.0)
        for path, value in seconds.items():
            yield equal(f"the elasticity of {of} in {path}", answers[path], "that of the seconds", value)


SLOPES = (
    Law("elasticities_add_up_to_the_degree", "scaling",
        "Elasticities of rates less those of latencies come to −1 for time, money and energy, to 1 for throughput.",
        "Twice the rates at half the latencies take half the time; Euler's theorem says the rest.",
        "all cases; where two resources take equally long, the sum lies between those of either side", _euler),
    Law("money_and_energy_follow_the_time", "economics",
        "Money and energy answer to every number as the seconds do, and to price and power one to one.",
        "Both are time times a constant.", "all cases, at a given price and power", _paid_for),
)  # fmt: skip
