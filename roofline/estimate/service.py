"""What serving a traffic comes to: how long users wait, what the pools do meanwhile, and what a token costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from roofline.describe.runtimes import Runtime
from roofline.describe.workload import Traffic
from roofline.equations.cost import usd_per_million_tokens
from roofline.equations.energy import device_energy
from roofline.estimate.serving_words import explained


@dataclass(frozen=True)
class Pool:
    """Devices of one part: sequences in the `batch` of a step on one replica, and the share of time that they work.

    `input_share` is the part of their time, idle time included in proportion, that prompts pay for [1]. `price` of one
    device [USD/h] and `power` [W], None where nobody published them. With arrays in the traffic, `layout` and
    `replicas` are arrays too where a layout that was left open is not the same at all points.
    """

    name: str
    part: str
    devices: int
    replicas: Any
    layout: Any
    batch: Any
    utilisation: Any
    input_share: Any
    price: float | None
    power: float | None


@dataclass(frozen=True)
class Service:
    """A traffic on a system, in the mean and in steady state.

    `ttft` from a request to its first token, waiting included, and `tpot` the mean gap between tokens after it [s];
    `requests_per_second` over the whole system [1/s]; `queued` requests that wait for room or for a server [1]. `bound`
    is the resource that most of the busiest phase's seconds are owed to, `limit` what keeps the throughput from being
    higher. A rate that the system cannot keep up with has an infinite `ttft`. An answer of one token has no time per
    further token and no price of tokens that decode yields: they are nan. With arrays in the traffic every number is an
    array, points that do not fit are nan with `fits` False, and `system` has a line for each layout.
    """

    system: str
    traffic: Traffic
    ttft: Any
    tpot: Any
    requests_per_second: Any
    queued: Any
    pools: Mapping[str, Pool]
    fits: Any
    bound: Any
    limit: Any
    assumptions: tuple[str, ...]
    stack: Runtime | None = None
    """The serving stack whose measured service says how far times may lie; None where no service was measured."""

    @property
    def ttft_low(self) -> Any:
        """Lower end of the 80 % interval of `ttft` that the stack's measured service leaves [s]; None without one."""
        return self._end("ttft", "low")

    @property
    def ttft_high(self) -> Any:
        """Upper end of the same [s]."""
        return self._end("ttft", "high")

    @property
    def tpot_low(self) -> Any:
        """Lower end of the 80 % interval of `tpot` that the stack's measured service leaves [s]; None without one."""
        return self._end("tpot", "low")

    @property
    def tpot_high(self) -> Any:
        """Upper end of the same [s]."""
        return self._end("tpot", "high")

    def _end(self, time: str, end: str) -> Any:
        return None if self.stack is None else getattr(self, time) * getattr(getattr(self.stack, time), end)

    @property
    def e2e_latency(self) -> Any:
        """From a request to its last token [s]."""
        return self.ttft + self._where_decoded(self.tpot * self.traffic.generated, 0.0)

    @property
    def concurrency(self) -> Any:
        """Requests in flight [1]: as asked, or by Little's law from the rate."""
        given = self.traffic.concurrency
        return self.requests_per_second * self.e2e_latency if given is None else given

    @property
    def devices(self) -> int:
        """Devices of all pools, idle ones included."""
        return sum(pool.devices for pool in self.pools.values())

    @property
    def tokens_per_second(self) -> Any:
        """Output tokens per second of the whole system [1/s]."""
        return self.requests_per_second * self.traffic.osl

    @property
    def tokens_per_second_per_user(self) -> Any:
        """Tokens per second that one user sees once they come [1/s]."""
        return 1 / self.tpot

    @property
    def tokens_per_second_per_device(self) -> Any:
        """Output tokens per second over every device of every pool [1/s]."""
        return self.tokens_per_second / self.devices

    @cached_property
    def usd_per_million_output_tokens(self) -> Any:
        """Device time of the decode phase per million output tokens [USD]; None without the price of every pool."""
        cost = self._decode_money
        return None if cost is None else self._where_decoded(cost, math.nan)

    @cached_property
    def usd_per_million_input_tokens(self) -> Any:
        """Device time of the prefill phase per million prompt tokens, cached ones included [USD]; None as above."""
        return self._money(self.requests_per_second * self.traffic.isl, lambda pool: pool.input_share)

    @property
    def usd_per_request(self) -> Any:
        """Device time of everything per request [USD]; what isl input and osl output tokens cost together."""
        cost = self._decode_money
        if cost is None:
            return None
        return (self.traffic.osl * cost + self.traffic.isl * self.usd_per_million_input_tokens) / 1e6

    @property
    def watts(self) -> Any:
        """Power of all devices, drawn whether they work or not [W]; None without the power of every pool."""
        powers = [pool.power for pool in self.pools.values()]
        if any(power is None for power in powers):
            return None
        return sum(device_energy(pool.power, pool.devices, 1) for pool in self.pools.values())  # type: ignore[arg-type, misc]

    @property
    def joules_per_output_token(self) -> Any:
        """Energy of everything, prefill included, per output token [J]; None without the power of every pool."""
        return None if self.watts is None else self.watts / self.tokens_per_second

    @property
    def tokens_per_second_per_megawatt(self) -> Any:
        """Output tokens per second per megawatt of device power [1/s]; None without the power of every pool."""
        return None if self.watts is None else 1e6 * self.tokens_per_second / self.watts

    def explain(self) -> str:
        """The service in words and numbers, for a terminal."""
        return explained(self)

    def __str__(self) -> str:
        return self.explain()

    @cached_property
    def _decode_money(self) -> Any:
        return self._money(self.tokens_per_second, lambda pool: 1 - pool.input_share)

    def _where_decoded(self, value: Any, otherwise: float) -> Any:
        """A value where answers have more than the token that prefill yields."""
        if np.ndim(self.traffic.generated) == 0:
            return value if self.traffic.generated else otherwise
        return np.where(self.traffic.generated > 0, value, otherwise)

    def _money(self, tokens_per_second: Any, share: Any) -> Any:
        if any(pool.price is None for pool in self.pools.values()):
            return None
        costs = [
            usd_per_million_tokens(pool.devices, pool.price, tokens_per_second) * share(pool)  # type: ignore[arg-type]
            for pool in self.pools.values()
        ]
        return sum(costs)


def measured(stack: Runtime | None) -> Runtime | None:
    """A serving stack of which service was measured."""
    return stack if stack is not None and stack.spread else None


def stacked(traffic: Traffic, services: Sequence[Service | None]) -> Service:
    """Services of the points of a traffic as one with arrays; None stands for a point that does not fit."""
    known = next((service for service in services if service is not None), None)
    shape = traffic.shape
    if known is None:
        nothing = np.full(shape, np.nan)
        no_names = np.full(shape, "", dtype=object)
        return Service(
            "", traffic, nothing, nothing, nothing, nothing, {}, np.zeros(shape, bool), no_names, no_names, ()
        )

    def numbers(values: list[Any]) -> Any:
        return np.array(values, dtype=float).reshape(shape)

    def column(name: str) -> list[Any]:
        return [np.nan if service is None else getattr(service, name) for service in services]

    pools = {}
    for name, pool in known.pools.items():
        rows = [None if service is None else service.pools[name] for service in services]
        varying = {
            field.name: numbers([np.nan if row is None else getattr(row, field.name) for row in rows])
            for field in fields(Pool)
            if field.name in ("batch", "utilisation", "input_share")
        }
        if len({row.layout for row in rows if row is not None}) > 1:
            varying["layout"] = np.array(["" if row is None else row.layout for row in rows]).reshape(shape)
            varying["replicas"] = np.array([0 if row is None else row.replicas for row in rows]).reshape(shape)
        pools[name] = replace(pool, **varying)
    words = {
        name: np.array(["" if service is None else getattr(service, name) for service in services]).reshape(shape)
        for name in ("bound", "limit")
    }
    systems = dict.fromkeys(service.system for service in services if service is not None)
    assumed = dict.fromkeys(text for service in services if service is not None for text in service.assumptions)
    return Service(
        "\n".join(systems),
        traffic,
        numbers(column("ttft")),
        numbers(column("tpot")),
        numbers(column("requests_per_second")),
        numbers(column("queued")),
        pools,
        np.array([service is not None for service in services]).reshape(shape),
        words["bound"],
        words["limit"],
        tuple(assumed),
        known.stack,
    )
