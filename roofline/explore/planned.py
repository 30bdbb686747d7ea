"""What a plan found: options judged by an objective, in order, with the reasons of those that are out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from roofline.describe.workload import Slo
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import PrefillDecode
from roofline.estimate.service import Service
from roofline.units import format_quantity, significant

MINIMIZE = (
    "usd_per_request",
    "usd_per_million_output_tokens",
    "usd_per_million_input_tokens",
    "joules_per_output_token",
    "devices",
    "ttft",
    "tpot",
    "e2e_latency",
)
"""Attributes of `Service` by which options are ranked.

A request pays for all devices; the price of its output tokens leaves out what prompts pay for, and falls where these
take longer.
"""
TIMES = ("ttft", "tpot", "e2e_latency")
"""Those of `MINIMIZE` that more devices make less."""
OF_FURTHER_TOKENS = ("usd_per_million_output_tokens", "tpot")
"""Those of `MINIMIZE` that an answer of one token does not have."""
_SHOWN = 8
_AS_NEAR = 1.05
"""How much further off an option may be than the nearest of its kind, and count as near [1]."""
_SAME = 6
"""Digits in which two values must differ for one to be less: at a given rate, equal pools cost the same [1]."""


@dataclass(frozen=True)
class Option:
    """One way to serve the traffic: its `system` and `service`, whether it `meets` the objective, the `value` asked.

    `reason` says why it is out of the question: it misses the objective, or nobody published a price; empty otherwise.
    `missed` is the largest of its times over their limits, where it misses one [1].
    """

    parts: tuple[str, ...]
    devices: int
    quantization: str
    system: Deployment | PrefillDecode
    service: Service
    meets: bool
    value: float | None
    reason: str
    missed: float

    @property
    def layout(self) -> str:
        """Replicas of each pool, and the ranks of one."""
        return " + ".join(f"{pool.replicas} × {pool.layout}" for pool in self.service.pools.values())

    def to_dict(self) -> dict[str, Any]:
        """The option as one row."""
        names = (
            "ttft",
            "tpot",
            "e2e_latency",
            "requests_per_second",
            "tokens_per_second",
            "tokens_per_second_per_user",
            "tokens_per_second_per_device",
            "usd_per_request",
            "usd_per_million_output_tokens",
            "usd_per_million_input_tokens",
            "joules_per_output_token",
        )
        return {
            "parts": " + ".join(self.parts),
            "devices": self.devices,
            "layout": self.layout,
            "quantization": self.quantization,
            "meets": self.meets,
            **{name: getattr(self.service, name) for name in names},
            "reason": self.reason,
            "assumptions": list(self.service.assumptions),
        }


@dataclass(frozen=True)
class Plan:
    """Every option tried, those that meet the objective first, by value; `best` is the first of them or None.

    `left_out` says of each part that has no option why.
    """

    minimize: str
    options: tuple[Option, ...]
    left_out: tuple[str, ...]

    @property
    def best(self) -> Option | None:
        """The option with the least value among those that meet the objective; None where none does."""
        return self.options[0] if self.options and not self.options[0].reason else None

    @property
    def nearest(self) -> list[Option]:
        """Of the options that miss the objective one for each kind of replica on the same parts, the nearest first.

        It is the one with the least value of those that are about as near as the nearest: past some number more
        replicas cost more and are no faster.
        """
        kinds: dict[tuple[Any, ...], list[Option]] = {}
        for option in self.options:
            if not option.meets:
                ranks = tuple(str(pool.layout) for pool in option.service.pools.values())
                kinds.setdefault((option.parts, ranks, option.quantization), []).append(option)
        found = []
        for of_kind in kinds.values():
            near = [option for option in of_kind if option.missed <= _AS_NEAR * of_kind[0].missed]
            found.append(min(near, key=lambda option: (option.value is None, option.value or 0.0, option.devices)))
        return sorted(found, key=lambda option: option.missed)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row per option."""
        return [option.to_dict() for option in self.options]

    def __str__(self) -> str:
        lines = [] if self.best else ["no option meets the objective"]
        for option in [*(option for option in self.options if option.meets), *self.nearest][:_SHOWN]:
            value = "–" if option.value is None else significant(float(option.value))
            times = f"TTFT {_seconds(option.service.ttft)}"
            if option.service.traffic.generated:
                times += f", TPOT {_seconds(option.service.tpot)}"
            what = f"{option.layout} {' + '.join(option.parts)}, {times}"
            lines.append(f"{value:>9}  {what}{'; ' if option.reason else ''}{option.reason}")
        return "\n".join([f"{self.minimize}:", *lines, *self.left_out])


def order(option: Option) -> tuple[Any, ...]:
    """Those that meet the objective by value; then those without a value; then the others, the nearest misses first."""
    if not option.meets:
        return (2, option.missed, option.devices)
    value = 0.0 if option.value is None else float(f"{option.value:.{_SAME}g}")
    return (int(option.value is None), value, option.service.e2e_latency, option.devices)


def judged(
    parts: tuple[str, ...], system: Deployment | PrefillDecode, service: Service, slo: Slo, minimize: str
) -> Option:
    """One way to serve, its times held against the objective [s] and what is to be least read off its service."""
    value = getattr(service, minimize)
    tpot = service.tpot if service.traffic.generated else 0.0  # no further token comes late
    meets = bool(slo.met(service.ttft, tpot))
    limits = ((service.ttft, slo.ttft), (tpot, slo.tpot))
    return Option(
        parts,
        service.devices,
        " / ".join(dict.fromkeys(each.quantization.label for each in _deployments(system))),
        system,
        service,
        meets,
        None if value is None else float(value),
        "" if meets and value is not None else _reason(service, slo, minimize, meets),
        max(float(time) / limit for time, limit in limits if limit is not None),
    )


def _deployments(system: Deployment | PrefillDecode) -> list[Deployment]:
    if isinstance(system, Deployment):
        return [system]
    return [each for each in (system.prefill, system.decode) if isinstance(each, Deployment)]


def _reason(service: Service, slo: Slo, minimize: str, meets: bool) -> str:
    if meets:
        return f"no {'power' if minimize.startswith('joules') else 'price'} is published"
    missed = [
        f"{name.upper()} {_over(float(getattr(service, name)), limit)}"
        for name, limit in (("ttft", slo.ttft), ("tpot", slo.tpot))
        if limit is not None and getattr(service, name) > limit
    ]
    return "misses " + " and ".join(missed)


def _over(value: float, limit: float) -> str:
    """A time and the limit that it misses, in as many digits as tell them apart."""
    digits = next((each for each in range(3, 17) if _seconds(value, each) != _seconds(limit, each)), 17)
    return f"{_seconds(value, digits)} over {_seconds(limit, digits)}"


def _seconds(value: float, digits: int = 3) -> str:
    return "without end" if math.isinf(value) else format_quantity(float(value), "s", digits)
