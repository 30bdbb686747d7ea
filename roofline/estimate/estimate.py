"""What an estimate answers: seconds three ways, where they go, what they cost, and what had to be assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline.equations.cost import usd_per_million_tokens
from roofline.equations.energy import device_energy
from roofline.estimate.explanation import explained
from roofline.estimate.times import RESOURCES, Resource, Times, largest
from roofline.estimate.timing import step_interval, step_seconds, step_terms
from roofline.estimate.work import Phase
from roofline.numeric import ARRAY, maximum

if TYPE_CHECKING:
    from roofline.estimate.resolved import Point, Resolved


@dataclass(frozen=True)
class Estimate:
    """One phase at one point, or at arrays or symbols of points.

    `seconds` [s] is the calibrated time: between two tokens of a sequence in decode, of all prompts in prefill. Every
    other attribute is computed when it is asked for, from the same numbers. On arrays, points that do not fit have
    `fits` False and nan seconds.
    """

    resolved: Resolved
    point: Point

    @property
    def phase(self) -> Phase:
        """`"prefill"` or `"decode"`."""
        return self.point.phase

    @property
    def batch(self) -> Any:
        """Sequences in flight on one replica [1]."""
        return self.point.batch

    @property
    def context(self) -> Any:
        """Tokens in each sequence's cache at the end of the phase [1]."""
        return self.point.context

    @property
    def layout(self) -> Any:
        """The ranks of one replica, given or chosen."""
        return self.resolved.layout

    @property
    def devices(self) -> int:
        """Devices of the deployment."""
        return self.resolved.devices

    @property
    def replicas(self) -> int:
        """Copies of the model on the devices; they multiply throughput, never latency."""
        return self.resolved.replicas

    @property
    def idle_devices(self) -> int:
        """Devices that cannot make a further replica."""
        return self.devices - self.replicas * self.resolved.layout.devices

    @property
    def quantization(self) -> str:
        """The formats of weights, products and cache."""
        return self.resolved.quantization.label

    @cached_property
    def seconds(self) -> Any:
        """Calibrated seconds [s]."""
        return self._masked(self.resolved.evaluate(self.point, step_seconds))

    @cached_property
    def ideal(self) -> Any:
        """The same sum at efficiency 1 and without overheads [s]; not a bound, for a runtime may overlap operations."""
        return self._masked(self.resolved.ideal.evaluate(self.point, step_seconds))

    @cached_property
    def floor(self) -> Any:
        """Seconds that no implementation of this layout can beat [s]."""
        return self._masked(self.resolved.ideal.floor(self.point))

    @cached_property
    def low(self) -> Any:
        """Lower end of the 80 % interval that the spread of measured kernels leaves, never below `ideal` [s]."""
        return maximum(self._interval[0], self.ideal)

    @cached_property
    def high(self) -> Any:
        """Upper end of the 80 % interval that the spread of measured kernels leaves [s]."""
        return self._interval[1]

    @cached_property
    def _interval(self) -> tuple[Any, Any]:
        low, high = self.resolved.evaluate_all(self.point, 2, step_interval)
        return self._masked(low), self._masked(high)

    @cached_property
    def terms(self) -> Mapping[str, Times]:
        """Seconds by named operation; their totals sum to `seconds`."""
        return step_terms(self.resolved.step(self.point), self.resolved.machine, self.resolved.rates)

    @cached_property
    def attributed(self) -> Mapping[Resource, Any]:
        """Seconds owed to each resource; they sum to `seconds`."""
        return {name: sum(times.attributed[name] for times in self.terms.values()) for name in RESOURCES}

    @property
    def bound(self) -> Any:
        """The resource with the most attributed seconds; an array of names on arrays."""
        bound = largest(self.attributed)
        return np.broadcast_to(bound, np.shape(self.seconds)) if self.point.kind == ARRAY else bound

    @cached_property
    def fits(self) -> Any:
        """Whether weights and caches fit; None for symbols, which are not checked."""
        return self.resolved.fits(self.point)

    @property
    def tokens_per_second(self) -> Any:
        """Of the whole deployment: tokens generated in decode, prompt tokens computed in prefill [1/s]."""
        return self.resolved.replicas * self.point.batch * self.point.new / self.seconds

    @property
    def tokens_per_second_per_user(self) -> Any:
        """Tokens of one sequence per second [1/s]."""
        return self.point.new / self.seconds

    @property
    def tokens_per_second_per_device(self) -> Any:
        """`tokens_per_second` over every device of the deployment, idle ones included [1/s]."""
        return self.tokens_per_second / self.resolved.devices

    @cached_property
    def mfu(self) -> Any:
        """Model FLOP, attention included, over what the replica's peak in the weights' compute format could do [1]."""
        flops = self.resolved.model_flops(self.point)
        quantization = self.resolved.quantization
        part = "experts" if self.resolved.model.parameters().experts else "linear"
        peak = self.resolved.machine.peak[self.resolved.rates.peaks[quantization.computation(part)]]
        return flops / (peak * self.resolved.layout.devices * self.seconds)

    @cached_property
    def mbu(self) -> Any:
        """One reading of the weights touched and of all caches, over what the replica's bandwidth could move [1]."""
        moved = self.resolved.model_traffic(self.point)
        bandwidth = self.resolved.machine.memory.bandwidth
        return moved / (bandwidth * self.resolved.layout.devices * self.seconds)

    @property
    def joules(self) -> Any:
        """Energy that all devices of the deployment draw in `seconds` [J]; None where no power is known."""
        power = self.resolved.power
        return None if power is None else device_energy(power, self.resolved.devices, self.seconds)

    @property
    def joules_per_token(self) -> Any:
        """Energy per token of `tokens_per_second` [J]; None where no power is known."""
        power = self.resolved.power
        return None if power is None else device_energy(power, self.resolved.devices, 1 / self.tokens_per_second)

    @property
    def usd_per_million_tokens(self) -> Any:
        """Device time of a million tokens of `tokens_per_second` [USD]; None where no price is known."""
        price = self.resolved.price
        return None if price is None else usd_per_million_tokens(self.resolved.devices, price, self.tokens_per_second)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What had to be assumed, one sentence each."""
        self.seconds  # noqa: B018  the rates used are known once the step was timed
        return self.resolved.assumptions(self.point)

    @property
    def sources(self) -> tuple[str, ...]:
        """The documents behind the numbers used."""
        return self.resolved.sources()

    def explain(self) -> str:
        """The estimate in words and numbers, for a terminal."""
        return explained(self)

    def __str__(self) -> str:
        return self.explain()

    def _masked(self, seconds: Any) -> Any:
        """Seconds with nan where the point does not fit; scalars that do not fit never come this far."""
        if self.point.kind == ARRAY:
            seconds[~self.fits] = np.nan
        return seconds
