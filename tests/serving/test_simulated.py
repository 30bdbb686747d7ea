"""One replica against a small simulation of continuous batching, step by step, that knows none of the closed forms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from roofline.describe.workload import Traffic
from roofline.estimate.colocated import Mix, colocated
from roofline.estimate.deployment import Deployment
from roofline.estimate.passes import Passes
from roofline.estimate.servers import Prompt, Whole

REQUESTS = 12_000


class Simulated:
    """Each step takes all prompts that wait and have room, `prompt` seconds each, and with them a decode step, which is
    longer by `each` for every sequence in it.

    Answers vary by 30 % about their mean. Requests come at a `rate`, or each as another one finishes.
    """

    def __init__(
        self,
        prompt: float,
        step: float,
        generated: float,
        crowd: int | None,
        rate: float,
        cap: float,
        each: float = 0.0,
    ) -> None:
        random = np.random.default_rng(1)
        arrivals = np.cumsum(random.exponential(1 / rate, 2 * REQUESTS)) if crowd is None else np.zeros(crowd)
        self.firsts: list[float] = []
        self.tokens: list[float] = []
        waiting: list[float] = []
        running: list[list[float]] = []  # tokens left, start, tokens
        now, come, finished = 0.0, 0, 0
        while finished < REQUESTS:
            while come < len(arrivals) and arrivals[come] <= now:
                waiting.append(arrivals[come])
                come += 1
            if not waiting and not running:
                now = arrivals[come]
                continue
            room = int(min(cap - len(running), len(waiting)))
            taken, waiting = waiting[:room], waiting[room:]
            start = now + (step + each * len(running) if running else 0.0)
            now = start + room * prompt
            still = []
            for sequence in running:
                sequence[0] -= 1
                if sequence[0] > 0:
                    still.append(sequence)
                    continue
                finished += 1
                self.tokens.append((now - sequence[1]) / sequence[2])
                if crowd is not None:
                    waiting.append(now)
            running = still
            for index, arrived in enumerate(taken):
                seen = start + (index + 1) * prompt
                tokens = math.ceil(generated * (0.7 + 0.6 * random.random()))
                self.firsts.append(seen - arrived)
                running.append([tokens, seen, tokens])
        self.rate = finished / now

    def means(self) -> tuple[float, float]:
        """Times to the first and between further tokens, the beginning left out [s]."""
        return tuple(float(np.mean(each[len(each) // 5 :])) for each in (self.firsts, self.tokens))  # type: ignore[return-value]


class Plain(Whole):
    """A replica whose prompts and steps take what they are told, and steps more for each sequence."""

    def __init__(self, prompt: float, step: float, each: float = 0.0) -> None:
        whole = Whole.of(Deployment("llama-3.1-8b", "h100-sxm", tp=1), Traffic(1, 1, rate=1.0))
        for name in ("deployment", "settled", "name"):
            object.__setattr__(self, name, getattr(whole, name))
        object.__setattr__(self, "seconds", (prompt, step, each))

    def prompt(self, traffic: Traffic, tokens: float = 0.0) -> Prompt:
        """Alone in its pass."""
        return Prompt(self.seconds[0], Passes(((1.0, self.seconds[0]),)))  # type: ignore[attr-defined]

    def step(self, batch: Sequence[float], context: float, tokens: int = 1) -> np.ndarray:
        """A straight line."""
        _, alone, each = self.seconds  # type: ignore[attr-defined]
        return np.asarray(alone + each * np.asarray(batch))

    def spared(self, batch: Sequence[float], context: float, traffic: Traffic, tokens: int = 1) -> np.ndarray:
        """Nothing."""
        return np.zeros(np.shape(batch))


@pytest.mark.parametrize(("prompt", "crowd"), [(0.5, 2), (0.5, 4), (0.1, 2), (0.1, 8), (0.1, 32), (0.02, 8)])
def test_requests_in_flight_disturb_each_other_as_simulated(prompt: float, crowd: int) -> None:
    first, between = Simulated(prompt, 0.01, 100, crowd, 0.0, math.inf).means()
    service = colocated(Plain(prompt, 0.01), Traffic(64, 101, concurrency=crowd), None, None)
    assert service.tpot == pytest.approx(between, rel=0.02)
    # whoever comes as another one finishes waits for a step, of which half is counted
    assert first - 0.01 < service.ttft < 1.15 * first


@pytest.mark.parametrize(("prompt", "crowd"), [(0.5, 2), (0.5, 4), (0.1, 2), (0.1, 8), (0.02, 8)])
def test_a_step_has_all_that_are_in_flight_as_simulated(prompt: float, crowd: int) -> None:
    """None is taken while one of them has its prompt computed, so that no work is done twice or left out."""
    simulated = Simulated(prompt, 0.001, 100, crowd, 0.0, math.inf, each=0.005)
    service = colocated(Plain(prompt, 0.001, 0.005), Traffic(64, 101, concurrency=crowd), None, None)
    assert service.pools["devices"].batch == pytest.approx(crowd, rel=0.02)
    assert service.tpot == pytest.approx(simulated.means()[1], rel=0.02)
    assert service.requests_per_second == pytest.approx(simulated.rate, rel=0.02)


@pytest.mark.parametrize(("prompt", "share"), [(0.5, 0.2), (0.5, 0.8), (0.1, 0.5), (0.1, 0.9), (0.02, 0.8)])
def test_requests_at_random_wait_as_simulated(prompt: float, share: float) -> None:
    first, between = Simulated(prompt, 0.01, 100, None, share / prompt, math.inf).means()
    service = colocated(Plain(prompt, 0.01), Traffic(64, 101, rate=share / prompt), None, None)
    assert service.ttft == pytest.approx(first, rel=0.1)
    assert service.tpot == pytest.approx(between, rel=0.15)


@pytest.mark.parametrize("cap", [1, 2, 4, 16])
def test_a_cap_lets_in_as_many_as_simulated(cap: int) -> None:
    simulated = Simulated(0.28, 0.0065, 63, 128, 0.0, cap)
    first, between = simulated.means()
    service = colocated(Plain(0.28, 0.0065), Traffic(64, 64, concurrency=128), None, cap)
    assert service.tpot == pytest.approx(between, rel=0.02)
    assert service.requests_per_second == pytest.approx(simulated.rate, rel=0.02)
    assert service.ttft == pytest.approx(first, rel=0.05)


def test_a_single_sequence_is_a_queue_of_whole_requests() -> None:
    """A cap of one at random: Pollaczek and Khinchine's wait for requests of 1 s, most of a step before it."""
    simulated = Simulated(0.37, 0.01, 63, None, 0.7, 1)
    service = colocated(Plain(0.37, 0.01), Traffic(64, 64, rate=0.7), None, 1)
    assert service.tpot == pytest.approx(0.01)
    assert service.ttft == pytest.approx(simulated.means()[0], rel=0.15)


def test_answers_of_one_token_wait_alike_on_one_pool_and_on_a_prefill_pool() -> None:
    mix = Mix(Prompt(0.1, Passes(((1.0, 0.1),))), 0.0, None, 0.0)
    for load in (0.2, 0.8, 0.99):
        assert mix.first_token(load / 0.1, 0.0, 0.01) == pytest.approx(0.1 + load * 0.1 / (2 * (1 - load)))
