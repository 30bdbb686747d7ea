"""A service in words: what users wait for, what the pools do, what it costs, what it rests on. 80 columns."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

from roofline.units import format_quantity, significant

if TYPE_CHECKING:
    from roofline.estimate.service import Service

_WIDTH = 80


def explained(service: Service) -> str:
    """The answer for plain numbers; of arrays only what they are."""
    if service.traffic.shape:
        return f"{service.system}\n{service.traffic.shape} points: ttft = {service.ttft}, tpot = {service.tpot}"
    lines = [service.system, str(service.traffic), "", *_times(service), "", *_pools(service), "", *_costs(service)]
    lines += _listed("Missing", _missing(service))
    lines += _listed("Assumed", service.assumptions)
    return "\n".join(lines)


def _times(service: Service) -> list[str]:
    waiting = f"; {significant(service.queued)} requests wait" if 0 < service.queued < math.inf else ""
    if service.queued == math.inf:
        waiting = f" of {significant(service.traffic.rate)} that arrive: the queue grows without end"
    only, per_user = "; no further one", ""
    further: list[str] = []
    if service.traffic.generated:
        only, per_user = "", f"{significant(service.tokens_per_second_per_user)} per user, "
        further = [
            f"{format_quantity(service.tpot, 's'):>10}  per further token",
            f"{format_quantity(service.e2e_latency, 's'):>10}  to the last token",
        ]
    return [
        f"{format_quantity(service.ttft, 's'):>10}  to the first token{only}",
        *further,
        f"{significant(service.requests_per_second):>10}  requests/s, limited by {service.limit}{waiting}",
        f"{significant(service.tokens_per_second):>10}  output tokens/s, {per_user}"
        f"{significant(service.tokens_per_second_per_device)} per device",
        f"{'':>10}  the busiest phase is {service.bound}-bound",
    ]


def _pools(service: Service) -> list[str]:
    lines = [f"{'pool':<10}{'devices':>8}  {'part, layout':<40}{'batch':>8}{'busy':>7}"]
    for pool in service.pools.values():
        what = f"{pool.part}, {pool.replicas} × {pool.layout}"
        batch = "·" if pool.batch is None else significant(pool.batch)
        lines.append(f"{pool.name:<10}{pool.devices:>8,}  {what:<40}{batch:>8}{pool.utilisation:>7.0%}")
    return lines


def _costs(service: Service) -> list[str]:
    lines = []
    if service.usd_per_request is not None:
        money, of = service.usd_per_million_output_tokens, "million output tokens"
        if not service.traffic.generated:
            money, of = 1e3 * service.usd_per_request, "thousand requests"
        per_input = significant(service.usd_per_million_input_tokens)
        lines.append(f"{significant(money):>10}  USD per {of}, {per_input} per million input tokens")
    if service.joules_per_output_token is not None:
        lines.append(
            f"{format_quantity(service.joules_per_output_token, 'J'):>10}  per output token, "
            f"{significant(service.tokens_per_second_per_megawatt)} output tokens/s per megawatt of devices"
        )
    return lines


def _missing(service: Service) -> list[str]:
    missing = []
    for pool in service.pools.values():
        if pool.price is None:
            missing.append(f"money: no price of {pool.part} is published; give price=")
        if pool.power is None:
            missing.append(f"energy: no power of {pool.part} is published; give power=")
    return list(dict.fromkeys(missing))


def _listed(heading: str, sentences: Any) -> list[str]:
    if not sentences:
        return []
    lines = ["", heading]
    for sentence in sentences:
        lines += textwrap.wrap(sentence, _WIDTH, initial_indent="  · ", subsequent_indent="    ")
    return lines
