"""Both phases on the same devices: the fixed point, what waits, and what is refused."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from roofline.describe.catalog import accelerator
from roofline.describe.workload import Slo, Traffic
from roofline.equations.serving import colocated_interval, mean_decode_context, passes_per_prompt, poisson_wait
from roofline.errors import DoesNotFit, InvalidInput
from roofline.estimate.deployment import Deployment
from roofline.estimate.equilibrium import smallest_batch
from roofline.estimate.queues import erlang_c, pool_wait
from roofline.estimate.servers import Whole
from roofline.estimate.serving import serve
from roofline.units import significant

GPU = Deployment("llama-3.1-70b", "h100-sxm", devices=8, tp=8, quantization="fp8")
TRAFFIC = Traffic(isl=2048, osl=512, concurrency=32)


@pytest.mark.parametrize(("servers", "load", "probability"), [(4, 3.0, 0.509433962264), (8, 6.0, 0.356981085879)])
def test_erlang(servers: int, load: float, probability: float) -> None:
    assert erlang_c(servers, load) == pytest.approx(probability, rel=1e-9)
    # M/M/c wait, textbook; equal service times halve it
    assert 2 * pool_wait(servers, load, 1.0) == pytest.approx(probability / (servers - load), rel=1e-9)


def test_one_server_of_a_pool_is_the_queue_of_one_server() -> None:
    rates = np.array([0.1, 0.5, 0.9])
    assert pool_wait(1, rates, 1.0) == pytest.approx(poisson_wait(rates, 1.0, 0))
    assert pool_wait(1, 1.0, 1.0) == np.inf


def test_the_batch_solves_its_own_equation() -> None:
    service = serve(GPU, TRAFFIC)
    batch = service.pools["devices"].batch
    context = mean_decode_context(TRAFFIC.isl, TRAFFIC.osl)
    low, high = np.floor(batch), np.ceil(batch)
    ends = [GPU.decode(end, context).seconds for end in (low, high)]
    step = ends[0] + (ends[1] - ends[0]) * (batch - low)
    prefill, full = GPU.prefill(TRAFFIC.isl).seconds, GPU.prefill(TRAFFIC.isl, batch=4).seconds
    # what four prompts of a full pass share, a prompt pays as often as it has a pass to itself
    shared, others = prefill - (full - prefill) / 3, batch * (1 - 1 / TRAFFIC.concurrency)
    each = prefill - shared * (1 - passes_per_prompt(others / (TRAFFIC.osl - 1), 4))
    assert service.tpot == pytest.approx(colocated_interval(step, others, each, TRAFFIC.osl - 1), rel=1e-12)
    # all of the replica's time goes to steps, which as many sequences share, and to prompts
    work = step * (TRAFFIC.osl - 1) / batch + each
    assert service.requests_per_second * work == pytest.approx(1, rel=1e-9)
    assert service.ttft > prefill


def test_one_request_meets_nobody() -> None:
    service = serve(GPU, Traffic(isl=2048, osl=512, concurrency=1))
    assert service.ttft == pytest.approx(GPU.prefill(2048).seconds)
    assert service.tpot == pytest.approx(GPU.decode(1, mean_decode_context(2048, 512)).seconds)
    assert service.queued == pytest.approx(0, abs=1e-9)


def test_the_cache_caps_the_batch() -> None:
    crowd = 10_000
    service = serve(GPU, Traffic(isl=8192, osl=1024, concurrency=crowd))
    room = GPU.capacity(mean_decode_context(8192, 1024)).max_batch
    assert service.pools["devices"].batch == pytest.approx(
        room
    )  # in a step; while prompts are computed, theirs is missing
    assert service.limit == "the cache"
    assert service.queued == pytest.approx(crowd - room, rel=0.01)
    assert any("further requests wait" in text for text in service.assumptions)


def test_those_that_wait_are_neither_decoded_nor_computed() -> None:
    service = serve(GPU, Traffic(isl=8192, osl=64, concurrency=32, lengths="equal"))
    working = 63 * service.tpot + GPU.prefill(8192).seconds
    assert service.queued == pytest.approx(32 - service.requests_per_second * working)
    assert service.queued > 0.05


def test_a_replica_may_be_told_how_many_it_decodes() -> None:
    free, told = (serve(GPU, Traffic(2048, 512, concurrency=64), max_batch=most) for most in (None, 16))
    assert told.pools["devices"].batch == pytest.approx(16)
    assert told.limit == "the batch cap"
    assert told.tpot < free.tpot
    assert told.ttft == pytest.approx(64 / told.requests_per_second - 511 * told.tpot)
    assert "a replica decodes 16 sequences at most; further requests wait" in told.assumptions
    assert serve(GPU, TRAFFIC, max_batch=TRAFFIC.concurrency) == serve(GPU, TRAFFIC)


def test_a_layout_is_chosen_for_those_that_are_decoded() -> None:
    """However many wait."""
    mixture = Deployment("deepseek-r1", "b200-sxm", devices=8)
    few, many = (serve(mixture, Traffic(4096, 1024, concurrency=crowd), max_batch=8) for crowd in (8, 512))
    assert few.pools["devices"].layout == many.pools["devices"].layout
    assert many.tokens_per_second >= few.tokens_per_second


def test_a_replica_decodes_no_more_than_fit_whatever_it_is_told() -> None:
    crowd = Traffic(isl=8192, osl=1024, concurrency=10_000)
    room = float(GPU.capacity(mean_decode_context(8192, 1024)).max_batch)
    for most in (room, 10_000):
        assert serve(GPU, crowd, max_batch=most) == serve(GPU, crowd)
    assert serve(GPU, crowd, max_batch=room - 1).limit == "the batch cap"


def test_a_rate_and_its_concurrency_are_one_system() -> None:
    open_ = serve(GPU, Traffic(isl=2048, osl=512, rate=2.0))
    assert open_.requests_per_second == 2.0
    closed = serve(GPU, Traffic(isl=2048, osl=512, concurrency=open_.concurrency))
    assert closed.requests_per_second == pytest.approx(2.0, rel=0.02)
    assert closed.tpot == pytest.approx(open_.tpot, rel=0.05)


def test_too_high_a_rate_waits_for_ever() -> None:
    service = serve(GPU, Traffic(isl=2048, osl=512, rate=1000.0))
    assert service.ttft == np.inf
    assert service.requests_per_second < 100
    assert service.limit in ("the devices", "the cache")
    assert "the queue grows without end" in service.explain()


def test_chunks_postpone_the_first_token_only() -> None:
    whole, chunked = serve(GPU, TRAFFIC), serve(GPU, TRAFFIC, chunk=256)
    assert chunked.ttft > whole.ttft
    assert chunked.tpot == pytest.approx(whole.tpot, rel=0.01)


def test_answers_of_one_token_are_all_prefill() -> None:
    service = serve(GPU, Traffic(isl=2048, osl=1, concurrency=8))
    most = 4 / GPU.prefill(2048, batch=4).seconds  # 8,192 tokens in a pass
    assert service.requests_per_second == pytest.approx(most, rel=0.05)
    assert most > 1 / GPU.prefill(2048).seconds
    assert service.e2e_latency == service.ttft
    assert service.usd_per_request == pytest.approx(8 * 1.3 / 3600 / service.requests_per_second, rel=1e-9)
    for nothing in (service.tpot, service.tokens_per_second_per_user, service.usd_per_million_output_tokens):
        assert math.isnan(nothing)
    said = str(service)
    assert "nan" not in said
    assert "per further token" not in said
    assert "to the first token; no further one" in said
    assert "USD per thousand requests" in said


def test_answers_of_one_token_keep_their_place_among_longer_ones() -> None:
    together = serve(GPU, Traffic(isl=2048, osl=np.array([1, 16]), concurrency=8))
    for index, osl in enumerate((1, 16)):
        alone = serve(GPU, Traffic(isl=2048, osl=osl, concurrency=8))
        for name in ("ttft", "tpot", "e2e_latency", "usd_per_request", "usd_per_million_output_tokens"):
            assert getattr(together, name)[index] == pytest.approx(getattr(alone, name), rel=1e-9, nan_ok=True)
    assert np.isnan(together.tpot).tolist() == [True, False]


def test_long_prompts_pass_one_by_one_whatever_comes() -> None:
    """Also in a pipeline, where a slowest stage takes each."""
    stages = Deployment("llama-3.1-70b", "h100-sxm", devices=8, tp=4, pp=2, quantization="fp8")
    for deployment, isl in ((GPU, 9000), (stages, 512)):
        for traffic in (Traffic(isl=isl, osl=1, rate=1e5), Traffic(isl=isl, osl=1, concurrency=64)):
            service = serve(deployment, traffic)
            each = Whole.of(deployment, traffic).prompt(traffic).passes.share
            assert service.requests_per_second == pytest.approx(1 / each, rel=0.1)


def test_arrays_are_their_points() -> None:
    crowds = np.array([1, 8, 64])
    together = serve(GPU, Traffic(isl=2048, osl=512, concurrency=crowds))
    for index, crowd in enumerate(crowds):
        alone = serve(GPU, Traffic(isl=2048, osl=512, concurrency=int(crowd)))
        for name in ("ttft", "tpot", "tokens_per_second", "usd_per_million_output_tokens", "joules_per_output_token"):
            assert getattr(together, name)[index] == getattr(alone, name)
    assert together.fits.all()


def test_layouts_that_are_left_open_are_those_of_each_point() -> None:
    server = Deployment("mixtral-8x7b", "h100-sxm", devices=8)
    crowds = [1, 512]
    together = serve(server, Traffic(isl=1024, osl=256, concurrency=crowds))
    alone = [serve(server, Traffic(isl=1024, osl=256, concurrency=crowd)) for crowd in crowds]
    for name in ("layout", "replicas"):
        assert getattr(together.pools["devices"], name).tolist() == [
            getattr(each.pools["devices"], name) for each in alone
        ]
    assert together.system.splitlines() == [each.system for each in alone]
    fixed = serve(server.laid_out(), Traffic(isl=1024, osl=256, concurrency=crowds))
    assert fixed.pools["devices"].layout == str(server.laid_out().layout)


CLOSED = [(8, 1, 1, 1), (1, 1, 1, 1), (1, 1, 8, 8), (2, 1, 4, 8), (2, 1, 1, 1), (4, 1, 2, 1)]


@pytest.mark.parametrize("load", [{"concurrency": 1}, {"concurrency": 200}, {"rate": 20.0}], ids=str)
def test_a_layout_that_is_left_open_answers_as_soon_as_those_one_would_name(load: dict[str, float]) -> None:
    """Replicas on some of the devices among them."""
    traffic = Traffic(isl=1024, osl=256, **load)
    open_ = serve(Deployment("qwen3-30b-a3b", "h200-sxm", devices=8, runtime="vllm"), traffic)
    named = [
        serve(
            Deployment("qwen3-30b-a3b", "h200-sxm", 8, tp=tp, pp=pp, dp=dp, ep=ep, runtime="vllm"), traffic
        ).e2e_latency
        for tp, pp, dp, ep in CLOSED
    ]
    assert open_.e2e_latency <= min(named) * 1.03
    if load == {"concurrency": 200}:
        assert open_.pools["devices"].replicas * open_.pools["devices"].batch == pytest.approx(190, abs=10)


@pytest.mark.parametrize("rate", [16.0, 20.0, 30.0])
def test_near_saturation_an_open_layout_keeps_up_where_a_named_one_does(rate: float) -> None:
    traffic = Traffic(isl=2048, osl=256, rate=rate)
    open_ = serve(Deployment("deepseek-v3", "h200-sxm", 16, quantization="fp8"), traffic)
    named = serve(Deployment("deepseek-v3", "h200-sxm", 16, tp=4, pp=1, dp=2, ep=8, quantization="fp8"), traffic)
    assert open_.e2e_latency <= named.e2e_latency * 1.0001 < math.inf


def test_more_in_flight_do_not_serve_less_in_a_layout_that_is_left_open() -> None:
    """Those that a shorter pipeline has no room for wait, which serves more than a longer one."""
    rack = Deployment("llama-3.1-70b", "groq-lpu-v1", 576, quantization="int8")
    crowds = (16, 32, 64, 128)
    served = [serve(rack, Traffic(2048, 256, concurrency=crowd)).requests_per_second for crowd in crowds]
    assert all(more >= few * 0.999 for few, more in pairwise(served))
    told = serve(rack, Traffic(2048, 256, concurrency=64), max_batch=32).requests_per_second
    assert told <= served[2] * 1.001


def test_points_that_do_not_fit_are_kept() -> None:
    small = Deployment("llama-3.1-8b", "h100-sxm", quantization="bf16")
    service = serve(small, Traffic(isl=[1000, 900_000], osl=10, concurrency=1))
    assert service.fits.tolist() == [True, False]
    assert np.isnan(service.tpot).tolist() == [False, True]
    nothing = serve(small, Traffic(isl=[900_000], osl=10, concurrency=1))
    assert not nothing.fits.any()
    with pytest.raises(DoesNotFit, match=r"bytes short; \d+ devices would do"):
        serve(small, Traffic(isl=900_000, osl=10, concurrency=1))


def test_the_text_says_what_is_missing() -> None:
    lpu = Deployment("llama-3.1-8b", "groq-3-lpu", devices=32, quantization="fp8", power=None)
    text = serve(lpu, Traffic(isl=512, osl=64, concurrency=4)).explain()
    assert "no price of" in text
    assert max(len(line) for line in text.splitlines()[2:]) <= 100


BAD: dict[str, dict[str, Any]] = {
    "neither": {"isl": 1, "osl": 1},
    "both": {"isl": 1, "osl": 1, "concurrency": 1, "rate": 1},
    "no prompt": {"isl": 0, "osl": 1, "concurrency": 1},
    "no answer": {"isl": 1, "osl": 0, "concurrency": 1},
    "negative rate": {"isl": 1, "osl": 1, "rate": -1.0},
    "no rate": {"isl": 1, "osl": 1, "rate": 0},
    "text": {"isl": "8k", "osl": 1, "concurrency": 1},
    "truth": {"isl": True, "osl": 1, "concurrency": 1},
    "nan": {"isl": float("nan"), "osl": 1, "concurrency": 1},
    "share above one": {"isl": 1, "osl": 1, "concurrency": 1, "cached_share": 1.5},
    "an array with a zero": {"isl": [1, 0], "osl": 1, "concurrency": 1},
    "lengths": {"isl": 1, "osl": 1, "concurrency": 1, "lengths": "mixed"},
    "shapes": {"isl": [1, 2], "osl": [1, 2, 3], "concurrency": 1},
}


@pytest.mark.parametrize("arguments", BAD.values(), ids=BAD)
def test_bad_traffic_is_refused_in_one_line(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        Traffic(**arguments)
    assert "\n" not in str(caught.value)


def test_what_is_no_system_is_refused() -> None:
    with pytest.raises(InvalidInput, match="system: got 'str'"):
        serve("h100-sxm", TRAFFIC)
    with pytest.raises(InvalidInput, match="traffic: got"):
        serve(GPU, (1, 2))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="chunk"):
        serve(GPU, TRAFFIC, chunk=0)
    for name, most in (("max_batch", 0), ("max_batch", 2.5), ("max_batch", [1, 2]), ("chunk", np.array([64]))):
        with pytest.raises(InvalidInput, match=f"{name}: got"):
            serve(GPU, TRAFFIC, **{name: most})  # type: ignore[arg-type]


def test_objectives() -> None:
    objective = Slo(ttft=1.0, tpot=0.02)
    assert objective.met(0.5, 0.01)
    assert not objective.met(0.5, 0.03)
    assert not objective.met(float("nan"), 0.01)
    assert objective.met(np.array([0.5, 2.0]), 0.01).tolist() == [True, False]
    assert Slo(ttft="1000 ms", tpot="20ms") == objective
    for text in ("500", "2 MHz", "soon"):
        with pytest.raises(
            InvalidInput, match=f"^ttft: got '{text}', expected a quantity in s, with its unit, such as "
        ):
            Slo(ttft=text)
    with pytest.raises(InvalidInput):
        Slo()
    with pytest.raises(InvalidInput):
        Slo(ttft=-1)
    with pytest.raises(InvalidInput, match=r"^tpot: got '-1 ms', expected a number from 1e-12 to 1e\+09 s"):
        Slo(tpot="-1 ms")


def test_batches_are_found_below_any_limit() -> None:
    """A model without caches fits in numbers that no integer of a machine holds."""
    batch, seconds = smallest_batch(lambda batch: 1.0 + 0 * batch, lambda batch, step: batch * step, 3.5, 1e24)
    assert (batch, seconds) == (pytest.approx(3.5), 1.0)


def test_arrivals_wait_as_long_as_their_first_token_is_late() -> None:
    served = serve(GPU, Traffic(isl=2048, osl=512, rate=1.0))
    assert served.limit == "the requests that arrive"
    waits = served.ttft - float(GPU.prefill(2048).seconds)
    assert served.queued == pytest.approx(1.0 * waits)
    assert 0 < served.queued < 1
    flooded = serve(GPU, Traffic(isl=2048, osl=512, rate=1e4))
    assert (flooded.queued, flooded.ttft) == (np.inf, np.inf)
    assert flooded.limit != "the requests that arrive"


def test_a_lone_request_shares_the_devices_out_between_its_phases() -> None:
    service = serve(GPU, Traffic(isl=4096, osl=129, concurrency=1))
    prefill = float(GPU.prefill(4096).seconds)
    decoding = 128 * float(GPU.decode(1, mean_decode_context(4096, 129)).seconds)
    assert service.limit == "the requests in flight"
    assert service.pools["devices"].input_share == pytest.approx(prefill / (prefill + decoding))
    assert service.pools["devices"].utilisation == pytest.approx(1)


def test_what_prompts_pay_for_is_their_share_of_the_time() -> None:
    """Of a request's time on the devices: its prompt, and its part of the steps that it is in with others."""
    server, traffic = GPU.laid_out(), Traffic(isl=2048, osl=512, concurrency=32)
    service = serve(server, traffic)
    (pool,) = service.pools.values()
    step = float(server.decode(np.array([pool.batch]), 2048 + 511 / 2).seconds[0])
    decoding = 511 * step / pool.batch
    busy = 1 / service.requests_per_second * pool.utilisation
    assert pool.input_share == pytest.approx((busy - decoding) / busy, rel=0.02)


@pytest.mark.parametrize(("osl", "phase"), [(1, "prefill"), (2, "prefill"), (4096, "decode")])
def test_a_service_is_bound_by_what_binds_its_busier_phase(osl: int, phase: str) -> None:
    traffic = Traffic(isl=8192, osl=osl, concurrency=4)
    service = serve(GPU, traffic)
    bounds = {"prefill": GPU.prefill(8192).bound, "decode": GPU.decode(4, mean_decode_context(8192, osl)).bound}
    assert bounds["prefill"] != bounds["decode"]
    assert service.bound == bounds[phase]
    assert (service.pools["devices"].input_share > 1 / 2) == (phase == "prefill")
    assert f"the busiest phase is {bounds[phase]}-bound" in str(service)


def test_a_last_chunk_that_is_not_full_takes_a_step_as_well() -> None:
    """1,000 tokens are two chunks of 600, as they are of 500; what else a chunk's size changes is the passes."""
    traffic = Traffic(isl=1000, osl=64, concurrency=1)
    first = {chunk: serve(GPU.laid_out(), traffic, chunk=chunk).ttft for chunk in (500, 600, 999, 1000)}
    assert first[500] == pytest.approx(first[600])
    assert first[999] == pytest.approx(first[600])
    assert first[1000] < first[999]


def test_a_service_says_what_it_costs_and_what_of_that_is_not_known() -> None:
    part, short = accelerator("h100-sxm"), Traffic(isl=1024, osl=1, rate=1)
    dark = serve(Deployment("llama-3.1-8b", part.with_(power=None)), short)
    thousand, prompts = (significant(each) for each in (1e3 * dark.usd_per_request, dark.usd_per_million_input_tokens))
    assert f"{thousand}  USD per thousand requests, {prompts} per million input tokens" in str(dark)
    assert "energy: no power of NVIDIA H100 SXM5 80GB is published; give power=" in str(dark)
    assert "no price" not in str(dark)
    free = serve(Deployment("llama-3.1-8b", part.with_(price=None)), short)
    assert "money: no price of NVIDIA H100 SXM5 80GB is published; give price=" in str(free)
    assert "no power" not in str(free)


def test_a_pool_that_cannot_keep_up_serves_as_many_as_any_layout_of_it() -> None:
    flood = Traffic(isl=1024, osl=256, rate=1000)
    found = serve(Deployment("llama-3.1-8b", "h100-sxm", devices=4), flood)
    assert found.ttft == float("inf")
    rates = [
        serve(Deployment("llama-3.1-8b", "h100-sxm", devices=4, tp=tp, pp=1, dp=1), flood).requests_per_second
        for tp in (1, 2, 4)
    ]
    assert max(rates) > 1.1 * min(rates)
    assert found.requests_per_second >= max(rates) * (1 - 1e-9)
