"""What holds for every traffic on systems of several parts; laws of one part are in `roofline.laws`."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from roofline.describe.link import Link
from roofline.describe.workload import Traffic
from roofline.equations import disaggregation
from roofline.estimate.attention_ffn import AttentionFfn
from roofline.estimate.balance import balance
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import PrefillDecode
from roofline.estimate.service import Service
from roofline.estimate.serving import serve
from roofline.estimate.speculative import Speculative

MODEL = "llama-3.1-8b"


def gpu(devices: int = 1, **options: Any) -> Deployment:
    return Deployment(MODEL, "h100-sxm", devices=devices, **{"tp": 1, "pp": 1, "quantization": "fp8"} | options)


FREE = Link(bandwidth=1e20, latency=0.0)
LINK = Link("400 Gbit/s", "2 us")
LPU = Deployment(MODEL, "groq-3-lpu", devices=64, tp=8, pp=8, quantization="fp8", price=1.0, power=100.0)
DRAFT = Deployment("llama-3.2-1b", "h100-sxm", devices=2, tp=1, pp=1, quantization="fp8")
SYSTEMS: dict[str, Any] = {
    "colocated": gpu(2),
    "pipeline": LPU,
    "split": PrefillDecode(gpu(2), gpu(2), LINK),
    "split to sram": PrefillDecode(gpu(2), LPU, LINK),
    "attention and ffn": AttentionFfn(gpu(2), LPU, LINK),
    "experts of a mixture": AttentionFfn(
        Deployment("gpt-oss-20b", "h100-sxm", devices=2, tp=1, pp=1, dp=1, quantization="bf16"),
        Deployment("gpt-oss-20b", "h100-sxm", devices=2, tp=2, quantization="bf16"),
        LINK,
        offload="experts",
    ),
    "speculative": Speculative(gpu(2), DRAFT, 3, 0.7),
    "shared draft": Speculative(gpu(2), DRAFT, 3, 0.7, shared=True),
    "split, speculative": PrefillDecode(gpu(2), Speculative(gpu(2), DRAFT, 3, 0.7, shared=True), LINK),
    "split thrice": PrefillDecode(gpu(2), AttentionFfn(gpu(2), LPU, LINK), LINK),
}
every_system = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
lengths = st.tuples(st.integers(1, 6000), st.integers(1, 1500))
crowds = st.integers(1, 300)
some = settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])


def cost(service: Service) -> float:
    return sum(pool.devices * float(pool.price or 0) for pool in service.pools.values())


@every_system
@some
@given(length=lengths, crowd=crowds, share=st.sampled_from([0.0, 0.5, 1.0]))
def test_requests_and_money_are_conserved(system: Any, length: tuple[int, int], crowd: int, share: float) -> None:
    service = serve(system, Traffic(*length, concurrency=crowd, cached_share=share))
    assert service.requests_per_second * service.e2e_latency == pytest.approx(crowd, rel=1e-9)
    assert service.ttft > 0
    assert service.tpot > 0 or (length[1] == 1 and math.isnan(service.tpot))
    assert all(0 <= pool.utilisation <= 1 for pool in service.pools.values())
    assert 0 <= service.queued < crowd
    whole = cost(service) / 3600 / service.requests_per_second
    assert service.usd_per_request == pytest.approx(whole, rel=1e-9)
    assert service.tokens_per_second_per_megawatt * service.joules_per_output_token == pytest.approx(1e6)
    assert service.explain()


@every_system
@some
@given(length=lengths, rate=st.floats(1e-3, 20))
def test_random_arrivals_keep_the_law_of_little(system: Any, length: tuple[int, int], rate: float) -> None:
    service = serve(system, Traffic(*length, rate=rate))
    assert service.requests_per_second <= rate
    assert service.concurrency == pytest.approx(service.requests_per_second * service.e2e_latency)


@every_system
@some
@given(length=lengths, crowd=crowds, more=st.integers(1, 100))
def test_more_requests_never_speed_up_a_token(system: Any, length: tuple[int, int], crowd: int, more: int) -> None:
    few = serve(system, Traffic(*length, concurrency=crowd))
    many = serve(system, Traffic(*length, concurrency=crowd + more))
    if length[1] > 1:  # else no token follows the first
        assert many.tpot >= few.tpot * (1 - 1e-6)
    assert many.requests_per_second >= few.requests_per_second * (1 - 0.02)


@some
@given(length=lengths, crowd=crowds)
def test_idle_devices_cost_and_do_nothing(length: tuple[int, int], crowd: int) -> None:
    two = serve(gpu(2, tp=2), Traffic(*length, concurrency=crowd))
    three = serve(gpu(3, tp=2), Traffic(*length, concurrency=crowd))
    assert three.tpot == two.tpot or length[1] == 1
    assert three.usd_per_request == pytest.approx(1.5 * two.usd_per_request)
    assert three.pools["devices"].utilisation == pytest.approx(two.pools["devices"].utilisation * 2 / 3)


@some
@given(isl=st.integers(4097, 8000), osl=st.integers(64, 1500), batch=st.integers(2, 64))
def test_identical_silicon_and_free_transport_cost_what_one_pool_does(isl: int, osl: int, batch: int) -> None:
    """Busy all the time, at equal batch, each phase takes the same device time wherever it runs.

    Prompts are too long to share a pass.
    """
    single = gpu()
    service = serve(single, Traffic(isl, osl, concurrency=batch + 1))
    held = service.pools["devices"].batch
    price, prefill = float(single.price or 0), single.prefill(isl).seconds
    step = service.tpot - held * (1 - 1 / (batch + 1)) * prefill / (osl - 1)
    assume(held >= 1)
    paid = disaggregation.cost_per_request(price, 1, prefill, price, 1, (osl - 1) * step / held)
    assert service.usd_per_request == pytest.approx(float(paid), rel=1e-6)


@some
@given(isl=st.integers(256, 4000), osl=st.integers(64, 1000), crowd=st.integers(8, 300), devices=st.integers(2, 24))
def test_balanced_pools_are_within_a_replica_of_the_best(isl: int, osl: int, crowd: int, devices: int) -> None:
    system, traffic = PrefillDecode(gpu(), gpu(), LINK), Traffic(isl, osl, concurrency=crowd)
    found = balance(system, traffic, devices)
    assert found.prefill + found.decode + found.idle == devices
    every = [
        serve(PrefillDecode(gpu(devices - decode), gpu(decode), LINK), traffic).requests_per_second
        for decode in range(1, devices)
    ]
    assert found.service.requests_per_second == pytest.approx(max(every), rel=1e-6)


@some
@given(batch=st.integers(1, 400), context=st.integers(1, 4000))
def test_many_micro_batches_wait_for_the_busier_pool(batch: int, context: int) -> None:
    from roofline.estimate.attention_ffn import AttentionFfnServer

    deep = AttentionFfn(gpu(2), gpu(2), Link(1e20, 1e-9), micro_batches=1000)
    server = AttentionFfnServer.at(deep, float(batch), float(context))
    share = max(batch / 1000, 1.0)
    slowest = max(
        float(server.attention.decode(share / 2, float(context)).slowest), float(server.tokens(share).slowest)
    )
    assert float(server.step(float(batch), float(context))) == pytest.approx(1000 * slowest, rel=1e-6)


def test_a_wholly_cached_prompt_still_computes_its_last_token() -> None:
    cached = serve(gpu(), Traffic(4000, 100, concurrency=1, cached_share=1.0))
    assert cached.ttft == pytest.approx(gpu().prefill(4000, cached_tokens=3999).seconds)
    assert cached.ttft < serve(gpu(), Traffic(4000, 100, concurrency=1)).ttft / 5
    assert cached.tpot == serve(gpu(), Traffic(4000, 100, concurrency=1)).tpot


@pytest.mark.parametrize(
    ("model", "part", "devices", "formats", "isl", "loads"),
    [
        ("llama-3.1-70b", "groq-3-lpu", 256, "fp8", 4000, (256, 512)),
        ("llama-3.1-70b", "groq-lpu-v1", 576, "int8", 4000, (64, 96, 140, 160)),
        ("llama-3.1-70b", "h100-sxm", 4, "bf16", 4000, (512, 1024)),
        ("qwen3-235b-a22b", "mi325x", 8, "fp8", 130_000, (128, 256, 1024)),
    ],
)
def test_a_layout_that_is_left_open_finishes_no_fewer_requests_where_more_are_in_flight(
    model: str, part: str, devices: int, formats: str, isl: int, loads: tuple[int, ...]
) -> None:
    """What finished as many with fewer in flight is there for more, which wait: also where it holds few of them."""
    pool = Deployment(model, part, devices=devices, quantization=formats)
    rates = [serve(pool, Traffic(isl, 500, concurrency=load)).requests_per_second for load in loads]
    assert rates == pytest.approx(sorted(rates), rel=1e-3)


def test_a_layout_that_is_left_open_is_as_long_a_pipeline_as_answers_soonest() -> None:
    """More devices than the fastest of a width in decode need make room for more sequences, and serve more."""
    traffic = Traffic(4000, 1000, concurrency=2048)
    few, many = (serve(Deployment("deepseek-v3", "h100-sxm", devices=count), traffic) for count in (24, 32))
    assert many.requests_per_second > few.requests_per_second
