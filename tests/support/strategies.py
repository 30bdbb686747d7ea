"""Cases of estimates for tests: the library's own strategies, and figures of efficiency of no real part.

Nothing in a case is checked against the memory: times are laws of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import strategies as st

from roofline.describe.efficiency import (
    COLLECTIVE_CLASSES,
    KERNEL_CLASSES,
    CollectiveFit,
    Efficiency,
    KernelFit,
)
from roofline.describe.model import ModelShape
from roofline.estimate.layout import Layout
from roofline.estimate.rates import Rates
from roofline.estimate.timing import Step, step_seconds
from roofline.estimate.work import Phase
from roofline.trust import law_cases
from roofline.trust.law_cases import Part, settle
from roofline.trust.strategies import Strategy, accelerators, model_shapes, quantizations
from roofline.trust.testing import devices_joined, layouts, points, slices


def _efficiency(choose: Random) -> Efficiency:
    """Fitted figures for everything, of no real part."""
    shares, overheads = (0.25, 0.5, 0.8, 1.0), (0.0, 1e-7, 3e-6)
    evidence = {"points": 1, "error": 0.1, "low": 0.8, "high": 1.5, "source": "a test"}
    kernels, collectives = {}, {}
    for kernel_class in KERNEL_CLASSES:
        reached = {"compute": choose.choice(shares), "memory": choose.choice(shares)}
        kernels[kernel_class] = {"any": KernelFit(overhead=choose.choice(overheads), **reached, **evidence)}
    for collective in COLLECTIVE_CLASSES:
        names = ("overhead", "staged_overhead", "summed_overhead", "crossing")
        fixed = {name: choose.choice(overheads) for name in names}
        collectives[collective] = CollectiveFit(**fixed, bandwidth=choose.choice(shares), **evidence)
    return Efficiency(name="a toy", source="a test", kernels=kernels, collectives=collectives)


def efficiencies() -> Strategy[Efficiency]:
    """Fitted figures for everything, of no real part: one of a hundred made beforehand, which saves many draws."""
    return st.sampled_from(_EFFICIENCIES)


_EFFICIENCIES = [_efficiency(Random(seed)) for seed in range(100)]


class Case(law_cases.Case):
    """Something settled and a point, with its times even where it does not fit."""

    def __repr__(self) -> str:
        """What tells this case from others, on a few lines."""
        settled, point = self.resolved, self.point
        layers = "; ".join(f"{layer!r} × {count}" for layer, count in settled.model.groups())
        loaded = f"{point.phase} batch={point.batch!r} context={point.context!r} cached={point.cached!r}"
        rest = settled.model.model_dump(exclude={"name", "layers", "checkpoint"}, exclude_defaults=True)
        rates = f"{settled.rates.sources[0].name}, {settled.quantization.label}"
        return f"<Case {loaded}, {settled.layout!r}, {rates},\n  {settled.machine!r},\n  {rest},\n  {layers}>"

    @property
    def seconds(self) -> Any:
        """Of a step, with whatever efficiencies there are."""
        return self.resolved.evaluate(self.point, step_seconds)

    @property
    def ideal(self) -> Any:
        """Of a step at peak rates."""
        return self.resolved.ideal.evaluate(self.point, step_seconds)

    @property
    def floor(self) -> Any:
        """Of a step that nothing can beat."""
        return self.resolved.ideal.floor(self.point)

    @property
    def step(self) -> Step:
        """What is done."""
        return self.resolved.step(self.point)

    @property
    def three(self) -> tuple[Any, Any, Any]:
        """All the numbers a law of time is about."""
        return self.floor, self.ideal, self.seconds

    def rated(self, efficiency: Efficiency) -> Case:
        """The same with other efficiencies."""
        rates = Rates(self.resolved.accelerator, (efficiency,), self.resolved.rates.peaks)
        return self.with_(rates=rates)

    def of(self, model: ModelShape) -> Case:
        """The same for another model."""
        return self.with_(model=model)


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    models: Strategy[ModelShape] | None = None,
    parts: Strategy[Part] | None = None,
    layout: Callable[[ModelShape, int], Strategy[Layout]] = layouts,
    phase: Phase | None = None,
) -> Case:
    """A random model on a random part, laid out and loaded at random."""
    part = draw(parts if parts is not None else accelerators())
    model = draw(models if models is not None else model_shapes())
    quantization = draw(quantizations(part))
    laid = draw(layout(model, devices_joined(part)))
    efficiency = draw(st.one_of(st.sampled_from(["ideal", "calibrated"]), efficiencies()))
    overlap, cut = draw(st.booleans()), draw(slices)
    settled = settle(model, part, laid, quantization, efficiency=efficiency, overlap=overlap, slice=cut)
    return Case(settled, draw(points(phase)))
