"""Laws of what serves requests: one pool, prefill apart from decode, feed-forwards apart from mixers, drafts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from roofline.estimate.estimate import Estimate
from roofline.estimate.layout import vocabulary_cuts
from roofline.estimate.resolved import Point
from roofline.estimate.service import Service
from roofline.estimate.serving import serve
from roofline.trust.law import ROUNDING, Claim, Law, at_most, equal, true
from roofline.trust.law_cases import Case
from roofline.trust.serving_cases import DRAFTS, ENDLESS, FREE, LINK, PRICE

_SETTLED = 1e-6
"""Relative difference that looking for the steady state may leave [1]."""
_MEANS = 0.02
"""The same of a throughput whose waits follow from means alone [1]."""
_HOUR = 3600.0

# -- conservation -----------------------------------------------------------------------------------------------------


def _requests_in_flight(case: Case) -> Iterator[Claim]:
    crowd = case.serving.traffic.concurrency
    for name, service in case.serving.services.items():
        flying = service.requests_per_second * service.e2e_latency
        yield equal(f"rate times latency of {name}", flying, "the requests in flight", crowd, within=_SETTLED)
        held = max(pool.batch * pool.replicas for pool in service.pools.values())
        yield at_most(f"sequences in decode on {name}", held, "the requests in flight", crowd, within=_SETTLED)
        yield true(0 <= service.queued < crowd, f"{service.queued:g} of {crowd:g} requests wait for {name}")


def _arrivals(case: Case) -> Iterator[Claim]:
    serving = case.serving
    for name in ("one pool", "two pools"):
        offered = serving.services[name].requests_per_second / 2
        served = serve(serving.systems[name], replace(serving.traffic, concurrency=None, rate=offered))
        yield at_most(f"requests served per second by {name}", served.requests_per_second, "those that come", offered)
        flying = served.requests_per_second * served.e2e_latency
        yield equal(f"rate times latency of {name}", flying, "the requests in flight", served.concurrency)


def _shares_of_time(case: Case) -> Iterator[Claim]:
    for name, service in case.serving.services.items():
        for pool in service.pools.values():
            for share in ("utilisation", "input_share"):
                value = getattr(pool, share)
                yield true(0 <= value <= 1, f"{share} of {pool.name} of {name} is {value}")


def _one_pace(case: Case) -> Iterator[Claim]:
    """Each pool's busy time over its time per request is the rate of requests, the same for both."""
    serving = case.serving
    if case.resolved.layout.dp * case.resolved.layout.pp > 1:
        return
    single = serve(serving.split(LINK), serving.traffic, chunk=1)
    prompts, answers = single.pools["prefill"], single.pools["decode"]
    finished = prompts.utilisation / serving.prompt().seconds
    yield equal("prompts per second", finished, "requests per second", single.requests_per_second, within=_SETTLED)
    free = serve(serving.split(FREE), serving.traffic)
    sequences = free.requests_per_second * serving.traffic.generated * free.tpot
    held = free.pools["decode"].batch
    yield equal("sequences that decode must hold", sequences, "those it holds", held, within=_SETTLED)
    yield true(answers.utilisation <= 1, f"decode works {answers.utilisation} of its time")


# -- bounds -----------------------------------------------------------------------------------------------------------


def _floor(case: Case, point: Point) -> float:
    """Of the layout that serves, whose vocabulary is cut over as many stages as holds the most sequences [s]."""
    alone = case.serving.alone
    if alone.layout.pp == 1:
        return float(Estimate(alone.settled(), point).floor)
    layouts = (replace(alone.layout, vocab=cut) for cut in vocabulary_cuts(alone.layout.pp))
    return min(float(Estimate(alone.with_layout(layout).settled(), point).floor) for layout in layouts)


def _prompts_first(case: Case) -> Iterator[Claim]:
    traffic = case.serving.traffic
    least = _floor(case, Point("prefill", 1.0, traffic.isl, traffic.cached_tokens))
    for name, service in case.serving.services.items():
        if name == "two halves" and case.resolved.layout.dp > 1:
            continue  # on its way, one prompt spreads over more devices than a rank has
        yield at_most("the floor of a prompt", least, f"the first token of {name}", service.ttft)


def _steps_bound(case: Case) -> Iterator[Claim]:
    serving = case.serving
    least = _floor(case, Point("decode", 1.0, serving.traffic.isl, 0))
    for name, service in serving.services.items():
        tokens = serving.drafted(1.0).tokens_per_step if name == "drafts" else 1.0
        yield at_most("the floor of a step over its tokens", least / tokens, f"the gap of {name}", service.tpot)


# -- monotonicity -----------------------------------------------------------------------------------------------------


def _more_requests(case: Case) -> Iterator[Claim]:
    serving = case.serving
    double = replace(serving.traffic, concurrency=2 * serving.traffic.concurrency)
    for name in ("one pool", "two pools"):
        few, many = serving.services[name], serve(serving.systems[name], double)
        yield at_most(f"tpot of {name}", few.tpot, "with twice the requests", many.tpot, within=_SETTLED)
        if case.resolved.layout.dp * case.resolved.layout.pp == 1:
            least = few.requests_per_second * (1 - _MEANS)
            yield at_most(f"requests per second of {name}", least, "with twice in flight", many.requests_per_second)


def _more_devices(case: Case) -> Iterator[Claim]:
    serving = case.serving
    for name, system in serving.larger(2).items():
        if name == "two halves":
            continue
        one, more = serving.services[name], serve(system, serving.traffic)
        rates = (service.tokens_per_second for service in (one, more))
        yield at_most(f"tokens per second of {name}", next(rates), "on twice the devices", next(rates), within=_SETTLED)


def _larger_passes(case: Case) -> Iterator[Claim]:
    serving = case.serving
    single, few, many = (serve(serving.split(LINK), serving.traffic, chunk=tokens) for tokens in (1, 1024, 8192))
    rates = single.requests_per_second, few.requests_per_second, many.requests_per_second
    least = rates[0] * (1 - _MEANS), rates[1] * (1 - _MEANS)
    yield at_most("requests per second, prompt by prompt", least[0], "in passes of 1,024 tokens", rates[1])
    yield at_most("requests per second in passes of 1,024 tokens", least[1], "of 8,192 tokens", rates[2])


def _slower_links(case: Case) -> Iterator[Claim]:
    serving = case.serving
    slow = replace(LINK, bandwidth=LINK.rate / 4, latency=LINK.delay * 4)
    ways: dict[str, tuple[Any, ...]] = {"two pools": tuple(serving.split(link) for link in (FREE, LINK, slow))}
    if serving.has_halves:
        ways["two halves"] = tuple(serving.halves(link, 2) for link in (FREE, LINK, slow))
    for name, systems in ways.items():
        free, fast, slower = (serve(system, serving.lone).e2e_latency for system in systems)
        yield at_most(f"latency of {name} over a free link", free, "over a link", fast, within=_SETTLED)
        yield at_most(f"latency of {name} over a link", fast, "over a slower one", slower, within=_SETTLED)


# -- scaling ----------------------------------------------------------------------------------------------------------


def _twice_of_everything(case: Case) -> Iterator[Claim]:
    serving = case.serving
    double = replace(serving.traffic, concurrency=2 * serving.traffic.concurrency)
    one, twice = serving.services["one pool"], serve(serving.larger(2)["one pool"], double)
    rates = one.tokens_per_second, twice.tokens_per_second
    yield equal("tokens per second of twice as much", rates[1], "twice", 2 * rates[0], within=_SETTLED)
    for name in ("ttft", "tpot"):
        yield equal(f"{name} of twice as much", getattr(twice, name), "as before", getattr(one, name), within=_SETTLED)


# -- limits -----------------------------------------------------------------------------------------------------------


def _meets_nobody(case: Case) -> Iterator[Claim]:
    serving = case.serving
    if case.resolved.layout.dp * case.resolved.layout.pp > 1:
        return
    service = serve(serving.alone, serving.lone)
    computed = serving.prompt().seconds
    # It is what is left of a whole answer's time, and as exact as that.
    rounding = ROUNDING * max(1.0, service.e2e_latency / computed)
    yield equal("the first token of a lone request", service.ttft, "its prefill", computed, within=rounding)
    first, last = (serving.alone.decode(1, context).seconds for context in (serving.lone.isl, serving.lone.longest))
    yield at_most("a step at the first context", first, "its time per token", service.tpot)
    yield at_most("its time per token", service.tpot, "a step at the last context", last)


def _alone_anywhere(case: Case) -> Iterator[Claim]:
    serving = case.serving
    one, two = (serve(system, serving.lone) for system in (serving.alone, serving.split(FREE)))
    latency = f"the latency of two pools, {two.e2e_latency:.6g} s"
    yield equal(latency, two.e2e_latency, "that of one", one.e2e_latency, within=_SETTLED)
    yield equal("what two pools are paid for work", _worked(two), "what one is", _worked(one), within=_SETTLED)


def _worked(service: Service) -> Any:
    """Money for the time that devices work, per request [USD]."""
    busy = sum(pool.utilisation * pool.devices * PRICE / _HOUR for pool in service.pools.values())
    return busy / service.requests_per_second


def _whole_from_halves(case: Case) -> Iterator[Claim]:
    serving = case.serving
    if serving.has_halves and case.resolved.layout.devices == 1:
        whole, halves = (serve(system, serving.lone) for system in (serving.alone, serving.halves(FREE, 1)))
        yield equal("a token through both halves", halves.tpot, "one through the whole", whole.tpot, within=_SETTLED)


def _endless_transport(case: Case) -> Iterator[Claim]:
    serving = case.serving
    here = serving.services["one pool"]
    ways: dict[str, Any] = {"two pools": serving.split(ENDLESS), "drafts": serving.drafted(1.0, ENDLESS)}
    if serving.has_halves:
        ways["two halves"] = serving.halves(ENDLESS, 2)
    for name, system in ways.items():
        there = serve(system, serving.traffic)
        rates = there.tokens_per_second, here.tokens_per_second
        yield at_most(f"tokens per second of {name} over it", rates[0], "those of one pool", rates[1])
        yield at_most("latency of one pool", here.e2e_latency, f"that of {name}", there.e2e_latency)


def _certain_drafts(case: Case) -> Iterator[Claim]:
    serving = case.serving
    always, half, never = (serve(serving.drafted(share), serving.lone).tpot for share in (1.0, 0.5, 0.0))
    yield equal("a token of drafts that never hold", never, "one step", (DRAFTS + 1) * always, within=_SETTLED)
    yield at_most("a token of drafts that always hold", always, "that hold half the time", half)
    yield at_most("a token of drafts that hold half the time", half, "that never hold", never)
    plain = serve(serving.alone, serving.lone).tpot
    yield at_most("a token without drafts", plain, "with drafts that never hold", never, within=_SETTLED)


# -- economics --------------------------------------------------------------------------------------------------------


def _requests_pay(case: Case) -> Iterator[Claim]:
    for name, service in case.serving.services.items():
        rented = sum(pool.devices for pool in service.pools.values()) * PRICE / _HOUR
        paid = service.usd_per_request * service.requests_per_second
        yield equal(f"USD per second of the requests on {name}", paid, "of all devices", rented, within=_SETTLED)


def _tokens_share_power(case: Case) -> Iterator[Claim]:
    for name, service in case.serving.services.items():
        drawn = sum(pool.devices * (pool.power or 0.0) for pool in service.pools.values())
        shared = service.joules_per_output_token * service.tokens_per_second
        yield equal(f"watts of the tokens of {name}", shared, "of all devices", drawn)


SERVING = (
    Law("requests_in_flight_are_kept", "conservation",
        "Requests per second times their latency are the requests in flight, and decode holds no more of them.",
        "Little's law.", "every way of serving", _requests_in_flight),
    Law("arrivals_are_served_once", "conservation",
        "Of requests that come at random no more are served than come, and rate times latency are those in flight.",
        "Little's law.", "one pool, and prefill apart from decode, at half of what they serve in a closed circle",
        _arrivals),
    Law("pools_work_part_of_their_time", "conservation",
        "Every pool works between none and all of its time, and prompts take between none and all of that.",
        "Shares of time are shares.", "every way of serving", _shares_of_time),
    Law("two_pools_keep_one_pace", "conservation",
        "Prefill finishes as many requests per second as decode does, and decode holds what it must at that rate.",
        "A steady state fills no queue.", "prefill apart from decode, one rank and one stage of each", _one_pace),
    Law("first_tokens_wait_for_their_prompt", "bounds",
        "The first token takes at least the floor of its prompt.", "It comes out of the prompt.",
        "every way of serving, halves without attention-data ranks", _prompts_first),
    Law("tokens_wait_for_a_step", "bounds",
        "Two tokens are at least the floor of a step of one sequence apart, shared by as many as a step can yield.",
        "A token needs every weight it passes.", "every way of serving", _steps_bound),
    Law("more_requests_never_speed_up_a_token", "monotonicity",
        "With twice the requests in flight the time per token is no shorter, and no fewer requests are served.",
        "Batches only grow.",
        "one pool, and prefill apart from decode; their throughput, up to 2 % for waits follow from means, on one "
        "stage and one data rank, for elsewhere one sequence more may need one micro-batch more",
        _more_requests),
    Law("more_devices_never_serve_less", "monotonicity",
        "On twice the devices the same requests get at least as many tokens per second.",
        "A replica may stay idle.", "every way of serving but halves, whose pools work as one", _more_devices),
    Law("larger_passes_never_serve_less", "monotonicity",
        "Where prefill has devices of its own, no fewer requests are served where more prompts may share a pass.",
        "A pool may still take prompts one by one.",
        "prefill apart from decode, up to 2 % for passes in between are taken to grow evenly", _larger_passes),
    Law("slower_links_never_help_pools", "monotonicity",
        "Over a slower link between pools a lone request is answered no sooner.",
        "Transport only adds time.",
        "prefill or feed-forwards apart; in a crowd, requests on the wire thin out batches, whose ceilings jump",
        _slower_links),
    Law("twice_of_everything_serves_twice", "scaling",
        "Twice the devices serve twice the requests, each in the same time.",
        "Replicas share nothing.", "one pool", _twice_of_everything),
    Law("one_request_meets_nobody", "limits",
        "A lone request waits for its own prompt, and its tokens for steps between its first and its last context.",
        "There is nobody else to wait for.", "one pool, one rank and one stage", _meets_nobody),
    Law("one_request_costs_the_same_anywhere", "limits",
        "On like pools with a free link, a request that meets no other takes as long and as much work as on one.",
        "Splitting pays by what it keeps apart; a lone request has nothing to be kept from.",
        "prefill apart from decode, one request in flight", _alone_anywhere),
    Law("halves_on_a_free_link_make_the_whole", "limits",
        "A token takes as long through mixers and feed-forwards on two devices as through both on one.",
        "The same operations in turn, and nothing between.",
        "one device each, one micro-batch, one request in flight", _whole_from_halves),
    Law("endless_transport_never_wins", "limits",
        "Over a link that takes a day no split serves as much, or as soon, as one pool of half its devices.",
        "Every split crosses its link.", "every split", _endless_transport),
    Law("drafts_hold_always_or_never", "limits",
        "Drafts that always hold yield all their tokens and one more, those that never hold one, slower than without.",
        "In between, the more often they hold the sooner a token comes.",
        "a draft on the same devices, one request in flight", _certain_drafts),
    Law("requests_pay_for_all_devices", "economics",
        "What requests cost, for what goes in and what comes out, is the price of every device of every pool.",
        "Nothing else is charged, and nothing twice.", "every way of serving, at a given price", _requests_pay),
    Law("tokens_share_the_power_of_all_pools", "economics",
        "Joules per token times tokens per second are the watts of every device of every pool.",
        "Idle devices draw theirs.", "every way of serving, at a given power", _tokens_share_power),
)  # fmt: skip
