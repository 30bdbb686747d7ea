"""Rows are predicted by tabulated steps, as thousands take seconds so; what they say is what serving says."""

import math

import pytest

from roofline.describe.workload import Traffic
from roofline.estimate.serving import serve
from roofline.trust.measured_rows import has_two_pools, load, served, stack_of
from roofline.trust.predictions import decode_pool, predict
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


def test_rows_of_both_kinds_of_lengths_are_among_them() -> None:
    assert {load(ROWS[name]).lengths for name in PLAIN[::EVERY]} == {"varied", "equal"}
