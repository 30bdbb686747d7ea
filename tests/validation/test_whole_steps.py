"""Whole steps from closed forms agree with whole steps composed from the measured kernels themselves."""

import pytest

from benchmarks.measured.refit import STEPS, step_milliseconds

LARGEST_DIFFERENCE = 0.15


@pytest.mark.parametrize(("model", "devices", "phase", "arguments", "composed"), STEPS)
def test_a_step_meets_the_one_composed_of_measured_kernels(
    model: str, devices: int, phase: str, arguments: dict[str, int], composed: float
) -> None:
    estimate = step_milliseconds(model, devices, phase, arguments)
    assert estimate.seconds * 1e3 == pytest.approx(composed, rel=LARGEST_DIFFERENCE)
    assert estimate.low * 1e3 <= composed <= estimate.high * 1e3
