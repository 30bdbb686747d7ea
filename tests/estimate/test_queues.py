"""Waiting in front of servers, and the batch that forms by itself, against what can be worked out on paper."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.estimate.equilibrium import smallest_batch, smallest_rate
from roofline.estimate.queues import erlang_c, pool_wait

shares = st.floats(0.01, 0.99)
services = st.floats(1e-3, 1e3)


@given(servers=st.integers(1, 30), share=shares)
def test_waiting_is_the_sum_of_erlang(servers: int, share: float) -> None:
    """Erlang's sum over how many servers are busy, where the library goes by a recurrence."""
    load = servers * share
    free = sum(load**busy / math.factorial(busy) for busy in range(servers))
    full = load**servers / math.factorial(servers) / (1 - share)
    assert erlang_c(servers, load) == pytest.approx(full / (free + full))


@given(share=shares, service=services)
def test_one_server_is_the_formula_of_pollaczek_and_khinchine(share: float, service: float) -> None:
    assert pool_wait(1, share / service, service) == pytest.approx(service * share / (1 - share) / 2)


@given(servers=st.integers(1, 30), share=shares, service=services)
def test_a_pool_waits_half_of_what_random_times_would_make_it(servers: int, share: float, service: float) -> None:
    """Little's law on the queue of M/M/c: C(c, a) · a / (c - a) wait, each for the time between two arrivals."""
    rate = servers * share / service
    waiting = erlang_c(servers, servers * share) * share / (1 - share)
    assert pool_wait(servers, rate, service) == pytest.approx(waiting / rate / 2)


@given(servers=st.integers(1, 3000), excess=st.floats(1.001, 9), service=services)
def test_who_cannot_keep_up_waits_for_ever(servers: int, excess: float, service: float) -> None:
    assert pool_wait(servers, servers * excess / service, service) == math.inf
    assert pool_wait(servers, 0.0, service) == 0


def test_exactly_full_is_too_full() -> None:
    assert pool_wait(2, 1.0, 2.0) == math.inf


def test_beyond_a_thousand_servers_the_load_is_that_of_a_thousand() -> None:
    """A thousandth of the servers and of the arrivals each: the share that is busy stays, the wait is overstated."""
    assert pool_wait(1000, 999.0, 1.0) == pytest.approx(pool_wait(4000, 4 * 999.0, 1.0), rel=1e-9)
    assert pool_wait(1001, 1001 * 0.999, 1.0) == pytest.approx(pool_wait(1000, 999.0, 1.0), rel=1e-9)
    assert pool_wait(999, 999 * 0.999, 1.0) > pool_wait(1000, 999.0, 1.0) * (1 + 1e-6)


def test_rates_in_an_array_wait_as_alone() -> None:
    rates = np.array([0.0, 0.5, 1.9, 2.0, 3.0])
    assert pool_wait(4, rates, 2.0).tolist() == pytest.approx([pool_wait(4, float(rate), 2.0) for rate in rates])
    assert pool_wait(4, rates, 2.0).dtype == float
    assert isinstance(pool_wait(4, 0.5, 2.0), float)
    loads = np.array([0.5, 1.9])
    assert erlang_c(2, loads).dtype == float
    assert erlang_c(2, loads).tolist() == pytest.approx([erlang_c(2, 0.5), erlang_c(2, 1.9)])


def throughput(batch: Any, step: Any) -> Any:
    return batch / step


@given(base=st.floats(0.1, 10), growth=st.floats(0.001, 0.1), share=shares, limit=st.integers(2, 100_000))
def test_a_linear_step_is_solved_where_algebra_solves_it(base: float, growth: float, share: float, limit: int) -> None:
    """b / (base + growth · b) = wanted at b = wanted · base / (1 - wanted · growth); below one, the step of one."""
    wanted = share * throughput(limit, base + growth * limit)
    exact = wanted * base / (1 - wanted * growth)
    batch, step = smallest_batch(lambda grid: base + growth * grid, throughput, wanted, limit)
    alone = wanted * (base + growth)
    assert batch == pytest.approx(exact if exact > 1 else alone)
    assert step == pytest.approx(base + growth * max(1.0, batch))


def test_a_batch_between_two_whole_ones_has_a_step_between_theirs() -> None:
    """Steps of 1 s up to two sequences and 3 s from three on: 2.5 sequences take 2 s, and 1.25 leave each second."""
    batch, step = smallest_batch(lambda grid: np.where(grid < 3, 1.0, 3.0), lambda b, _: b, 2.5, 10)
    assert (batch, step) == pytest.approx((2.5, 2.0))


def test_the_limit_stands_where_nothing_reaches() -> None:
    assert smallest_batch(lambda grid: 2.0 * grid, lambda b, _: b, 11, 10.9) == (10.0, 20.0)
    assert smallest_batch(lambda grid: 2.0 * grid, lambda b, _: b, 11, 0.5) == (1.0, 2.0)
    assert smallest_batch(lambda grid: 2.0 * grid, lambda b, _: b, 10, 10) == pytest.approx((10.0, 20.0))


@given(slope=st.floats(0.1, 10), limit=st.floats(1, 1e6), share=shares)
def test_the_smallest_rate_is_where_the_measure_crosses(slope: float, limit: float, share: float) -> None:
    assert smallest_rate(lambda rate: slope * rate, share * slope * limit, limit) == pytest.approx(share * limit)
    assert smallest_rate(lambda rate: slope * rate, 2 * slope * limit, limit) == limit


@given(servers=st.integers(1, 30), share=shares, service=services)
def test_who_takes_requests_one_by_one_shares_nothing(servers: int, share: float, service: float) -> None:
    rate = servers * share / service
    assert pool_wait(servers, rate, service, service) == pool_wait(servers, rate, service)


def test_who_takes_waiting_requests_together_keeps_up_for_longer() -> None:
    """One server, 4 s by itself and 1 s in company: busy whenever one comes, up to one a second."""
    assert pool_wait(1, 0.1, 4.0, 1.0) == pytest.approx(0.4 * 4 / (2 * (1 - 0.1)))
    assert pool_wait(1, 0.5, 4.0, 1.0) == pytest.approx(4 / (2 * (1 - 0.5)))
    assert pool_wait(1, 1.0, 4.0, 1.0) == math.inf
    assert pool_wait(3, 0.3, 4.0, 1.0) < pool_wait(3, 0.3, 4.0)
    assert pool_wait(2, 0.0, 0.0, 0.0) == 0
