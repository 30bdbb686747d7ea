"""Rows are predicted by tabulated steps, as thousands take seconds so; what they say is what serving says."""

import math

import pytest

from roofline.describe.workload import Traffic
from roofline.estimate.serving import serve
from roofline.trust.measured_rows import has_two_pools, load, served, stack_of
from roofline.trust.predictions import batch_of_a_step, decode_pool, predict
from tests.support.rows import PLAIN as SMALL
from tests.validation.test_validation import ROWS

PLAIN = [
    name
    for name, row in ROWS.items()
    if not has_two_pools(row) and row["grade"] != "C" and not (asked := load(row)).draft_length and not asked.waiting
]
EVERY = 40
"""Of so many rows that draft nothing, one."""


@pytest.mark.parametrize("name", PLAIN[::EVERY])
def test_a_row_is_predicted_as_its_traffic_is_served(name: str) -> None:
    row = ROWS[name]
    what, asked = served(row), load(row)
    place = decode_pool(row, what, stack_of(what), asked)
    traffic = Traffic(asked.isl, asked.osl, concurrency=asked.concurrency, lengths=asked.lengths)
    most = None if math.isinf(asked.max_batch) else asked.max_batch
    service, row_says = serve(place.deployment, traffic, max_batch=most), predict(row)
    assert (service.ttft, service.tpot) == pytest.approx((row_says.ttft, row_says.tpot), rel=0.02)
    assert service.tokens_per_second == pytest.approx(row_says.tokens_per_second, rel=0.02)
    rate, tpot = (row_says.tokens_per_second or 0.0) / asked.osl, row_says.tpot or 0.0
    assert row_says.batch == pytest.approx(rate * (asked.osl - 1) * tpot)  # averaged over all time, by Little's law


def test_the_batch_of_a_step_is_that_of_one_replica_and_more_than_the_mean() -> None:
    """Two replicas of two sequences each, of which 5 s of 6 are decode: 1.67 on average, and one prompt of 0.3 s.

    Two pools take no prompts between steps; a step has one sequence at least.
    """
    times = {"ttft_ms": "1000", "tpot_ms": repr(5e3 / 127), "concurrency": "4", "devices": "2", "tp": "1"}
    row = {**SMALL, **times, "runtime": ""}

    def batch(row: dict[str, str]) -> float:
        asked = load(row)
        place = decode_pool(row, served(row), None, asked)
        return batch_of_a_step(row, asked, place) or 0.0

    prompt = decode_pool(row, served(row), None, load(row)).prompt(load(row)).passes.one
    assert batch(row) == pytest.approx(2 * 5 / 6 / (1 - prompt / 6), rel=1e-3)
    pools = {"kind": "disaggregated", "prefill_devices": "1", "decode_devices": "2", "decode_workers": "2"}
    assert batch({**row, **pools}) == pytest.approx(2 * 5 / 6)
    assert batch({**row, "concurrency": "1"}) == 1
    assert batch({**row, "osl": "1"}) == 1  # nothing is decoded


@pytest.mark.parametrize("said", ["0.5", 0, 0.5])
def test_a_row_may_say_how_unevenly_experts_are_chosen(said: object) -> None:
    row = {**SMALL, "model": "gpt-oss-120b", "quantization": "mxfp4", "skew": said}
    asked = load(row)  # type: ignore[arg-type]
    place = decode_pool(row, served(row), stack_of(served(row)), asked)  # type: ignore[arg-type]
    assert place.deployment.skew == float(said)  # type: ignore[arg-type]
    silent = {**SMALL, "model": "gpt-oss-120b", "quantization": "mxfp4", "skew": ""}
    stack = stack_of(served(silent))
    assert stack is not None
    assert decode_pool(silent, served(silent), stack, asked).deployment.skew == stack.skew


def test_rows_of_both_kinds_of_lengths_are_among_them() -> None:
    assert {load(ROWS[name]).lengths for name in PLAIN[::EVERY]} == {"varied", "equal"}
