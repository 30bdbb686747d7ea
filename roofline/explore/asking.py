"""What a question is about: a phase of a deployment, given as the bound method `deployment.decode` or `.prefill`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roofline.errors import InvalidInput, UnknownName
from roofline.estimate.deployment import Deployment
from roofline.estimate.door import checked
from roofline.estimate.resolved import Point
from roofline.estimate.work import Phase

AXES: dict[Phase, tuple[str, ...]] = {"decode": ("batch", "context"), "prefill": ("prompt", "batch", "cached_tokens")}
"""What a phase is asked about, in the order of its arguments."""
LEAST = {"batch": 1.0, "context": 1.0, "prompt": 1.0, "cached_tokens": 0.0}
"""The smallest value each may take [1]."""
_ASSUMED: dict[Phase, dict[str, float]] = {"decode": {}, "prefill": {"batch": 1.0, "cached_tokens": 0.0}}


@dataclass(frozen=True)
class Asked:
    """A deployment and which of its phases is meant."""

    deployment: Deployment
    phase: Phase

    @classmethod
    def of(cls, method: object) -> Asked:
        """From a bound method; `InvalidInput` for anything else."""
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if not isinstance(owner, Deployment) or name not in AXES:
            expected = "a phase of a deployment without its call: deployment.decode or deployment.prefill"
            raise InvalidInput("phase", given=method, expected=expected)
        return cls(owner, name)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of what the phase is asked about."""
        return AXES[self.phase]

    def complete(self, given: Mapping[str, Any], *, free: tuple[str, ...] = ()) -> dict[str, Any]:
        """Every axis that is not `free` with its value, checked; names that are no axis and gaps are refused."""
        for name in given:
            if name not in self.axes:
                raise UnknownName(f"argument of {self.phase}", given=name, known=self.axes)
            if name in free:
                raise InvalidInput(name, given=given[name], expected="no value: it is what is asked for")
        values = {**_ASSUMED[self.phase], **given}
        values = {name: values[name] for name in self.axes if name in values and name not in free}
        for name in self.axes:
            if name not in values and name not in free:
                raise InvalidInput(name, given="nothing", expected=f"a number: {self.phase} needs it")
        checked_values = {name: checked(name, value, least=LEAST[name]) for name, value in values.items()}
        cached, prompt = checked_values.get("cached_tokens"), checked_values.get("prompt")
        if isinstance(cached, float) and isinstance(prompt, float) and cached >= prompt:
            raise InvalidInput("cached_tokens", given=cached, expected="fewer than the prompt's tokens")
        return checked_values

    def point(self, values: Mapping[str, Any]) -> Point:
        """The point with these values, of whatever number type they are."""
        if self.phase == "decode":
            return Point("decode", values["batch"], values["context"], 0)
        return Point("prefill", values["batch"], values["prompt"], values["cached_tokens"])

    def sliced_as_at(self, values: Mapping[str, float]) -> Asked:
        """The same phase with prompts in the slices that they are taken in at a point, everywhere."""
        if self.phase == "decode":
            return self
        slice = self.deployment.settled().sliced_as_at(self.point(values)).slice
        return Asked(self.deployment.with_slice(slice), self.phase)

    @property
    def method(self) -> Any:
        """The phase as it is given."""
        return getattr(self.deployment, self.phase)


def scalars(given: Mapping[str, Any]) -> dict[str, float]:
    """The same values, refused where one is an array or a symbol."""
    for name, value in given.items():
        if not isinstance(value, float):
            raise InvalidInput(name, given=value, expected="one number")
    return dict(given)
