"""Plans: the cheapest of what was tried, each option as served alone, and a reason for the rest."""

import math
from typing import Any

import pytest

import roofline as rl
from roofline.describe.workload import Slo, Traffic
from roofline.estimate.serving import serve
from roofline.explore.plan import plan
from roofline.explore.planned import MINIMIZE, Option, Plan
from roofline.units import quantity_in

TRAFFIC = Traffic(isl=1024, osl=256, concurrency=16)
PARTS = ["h100-sxm", "b200-sxm", "groq-lpu-v1"]


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan("llama-3.1-8b", TRAFFIC, accelerators=PARTS, slo=Slo(ttft=1, tpot=0.008), most_devices=32)


def test_the_best_is_the_cheapest_that_meets_the_objective(planned: Plan) -> None:
    meeting = [option for option in planned.options if option.meets and option.value is not None]
    assert planned.best is not None
    assert planned.best.value == min(option.value for option in meeting)  # type: ignore[type-var]
    assert planned.best is planned.options[0]
    for option in planned.options:
        service = option.service
        assert option.meets == (service.ttft <= 1 and service.tpot <= 0.008)
        assert bool(option.reason) == (not option.meets or option.value is None)
        assert option.value == service.usd_per_request


def test_every_option_is_as_served_alone(planned: Plan) -> None:
    assert {option.parts[0] for option in planned.options} == set(PARTS[:2])
    for option in planned.options[::5]:
        alone = serve(option.system, TRAFFIC)
        assert (alone.ttft, alone.tpot, alone.devices) == (option.service.ttft, option.service.tpot, option.devices)


def test_parts_that_cannot_are_named(planned: Plan) -> None:
    (left_out,) = planned.left_out
    assert left_out.startswith("groq-lpu-v1: ")
    assert "of 32 at most" in left_out
    assert left_out in str(planned)


def test_a_part_that_holds_the_prompts_but_not_the_answers_is_named() -> None:
    long = Traffic(isl=1024, osl=200_000, concurrency=1)
    found = plan("llama-3.1-8b", long, accelerators=["l4"], slo=Slo(tpot=1), most_devices=1)
    assert not found.options
    assert found.left_out[0].startswith("l4: it takes ")


def test_rows_and_text(planned: Plan) -> None:
    rows = planned.to_dicts()
    assert len(rows) == len(planned.options)
    assert rows[0]["tpot"] == planned.options[0].service.tpot
    assert rows[0]["layout"].startswith(f"{rows[0]['devices'] // planned.options[0].system.layout.devices} × ")
    assert "TPOT" in str(planned).splitlines()[1]


def test_no_option_meets_what_nothing_can() -> None:
    found = plan("llama-3.1-8b", TRAFFIC, accelerators=["h100-sxm"], slo=Slo(tpot=1e-5), most_devices=4)
    assert found.best is None
    assert found.options
    assert all("misses TPOT" in option.reason for option in found.options)
    assert str(found).splitlines()[1] == "no option meets the objective"
    assert [option.service.tpot for option in found.options] == sorted(option.service.tpot for option in found.options)
    busy = Traffic(isl=8192, osl=64, rate=500)
    found = plan("llama-3.1-8b", busy, accelerators=["h100-sxm"], slo=Slo(ttft=1), most_devices=1)
    assert math.isinf(found.options[0].service.ttft)
    assert "TTFT without end over 1.00 s" in found.options[0].reason


def test_nodes_and_odd_numbers_of_replicas_are_tried() -> None:
    """Six devices hold this model; a node has eight, and three replicas may do where two are too few."""
    found = plan("deepseek-v3", TRAFFIC, accelerators=["h200-sxm"], slo=Slo(tpot=1), most_devices=24)
    assert {option.devices for option in found.options} >= {6, 8, 16, 24}
    assert 3 in {option.service.pools["devices"].replicas for option in found.options}


@pytest.mark.parametrize("parts", [("h100-sxm",), ("h100-sxm", "h100-sxm")])
@pytest.mark.parametrize(("rate", "fewest", "most"), [(75, 7, 8), (98, 9, 16)])
def test_the_fewest_devices_that_do_are_found_between_those_tried_first(
    rate: float, fewest: int, most: int, parts: tuple[str, ...]
) -> None:
    """Seven or nine replicas, or devices of two pools: one less is too few, and what is tried next does.

    Nine take more than one halving.
    """
    part, link = "h100-sxm", "400 Gbit/s, 2 us" if len(parts) == 2 else None
    slo, asked = Slo(ttft=1, tpot=0.05), Traffic(isl=2048, osl=256, rate=rate)
    asking: dict[str, Any] = {"accelerators": [part], "slo": slo, "link": link, "most_devices": most}

    def does(devices: int) -> bool:
        one = rl.Deployment("llama-3.1-8b", part, tp=1)
        if link is None:
            service = serve(one.resized(devices), asked)
        else:
            service = rl.balance(rl.PrefillDecode(one, one, link), asked, devices).service
        return bool(service.ttft <= 1 and service.tpot <= 0.05)

    assert [does(devices) for devices in (fewest - 1, fewest, most)] == [False, True, True]
    found = plan("llama-3.1-8b", asked, **asking)
    of_kind = [option.devices for option in found.options if option.parts == parts and option.meets]
    assert min(of_kind) == fewest
    if link is None:
        quick = plan("llama-3.1-8b", asked, **asking, minimize="ttft")
        assert fewest not in {option.devices for option in quick.options}


def test_of_pools_that_cost_the_same_the_faster_is_first() -> None:
    """At a given rate the rent per request is that of the devices."""
    asked = Traffic(isl=1024, osl=256, rate=2)
    found = plan("llama-3.1-8b", asked, accelerators=["h100-sxm"], slo=Slo(tpot=1), most_devices=4)
    four = [option.service.tpot for option in found.options if option.devices == 4]
    assert len(four) > 1
    assert four == sorted(four)


def test_of_any_number_of_devices_that_cost_the_same_the_faster_is_first() -> None:
    """Two devices at half the price cost what one does."""
    offers = {name: rl.Deployment("llama-3.1-8b", "h100-sxm", price=price) for name, price in (("a", 2), ("b", 1))}
    found = plan("llama-3.1-8b", Traffic(1024, 256, rate=2), accelerators=offers, slo=Slo(tpot=1), most_devices=2)
    alike = [option for option in found.options if option.parts[0] == "ab"[option.devices - 1]]
    assert {option.devices for option in alike} == {1, 2}
    assert len({f"{option.value:.6g}" for option in alike}) == 1
    times = [option.service.e2e_latency for option in alike]
    assert times == sorted(times)


def test_offers_are_told_apart_and_are_of_the_model() -> None:
    slo = Slo(tpot=1)
    bf16, fp8 = (rl.Deployment("llama-3.1-8b", "h100-sxm", quantization=name) for name in ("bf16", "fp8"))
    with pytest.raises(rl.InvalidInput, match=r"80GB twice', expected parts of different names, or a mapping"):
        plan("llama-3.1-8b", TRAFFIC, accelerators=[bf16, fp8], slo=slo)
    found = plan("llama-3.1-8b", TRAFFIC, accelerators={"wide": bf16, "narrow": fp8}, slo=slo, most_devices=1)
    assert {(option.parts[0], option.quantization) for option in found.options} == {("wide", "bf16"), ("narrow", "fp8")}
    with pytest.raises(rl.InvalidInput, match=r"model of NVIDIA H100.*llama-3.1-8b"):
        plan("llama-3.1-70b", TRAFFIC, accelerators=[bf16], slo=slo)
    with pytest.raises(rl.InvalidInput, match="a Deployment without ranks"):
        plan("llama-3.1-8b", TRAFFIC, accelerators=[rl.Deployment("llama-3.1-8b", "h100-sxm", 2, tp=2)], slo=slo)


def test_a_part_that_cannot_take_the_formats_is_left_out() -> None:
    parts = ["a100-sxm-80gb", "b200-sxm"]
    found = plan(
        "llama-3.1-8b", TRAFFIC, accelerators=parts, slo=Slo(tpot=1), most_devices=1, quantization="nvfp4", max_batch=4
    )
    assert {option.parts for option in found.options} == {("b200-sxm",)}
    assert found.left_out[0].startswith("a100-sxm-80gb: ")
    assert "nvfp4" in found.left_out[0]
    for wrong in (0, -1, 2.5, [1, 2], "x"):
        with pytest.raises(rl.InvalidInput, match="max_batch"):
            plan("llama-3.1-8b", TRAFFIC, accelerators=parts, slo=Slo(tpot=1), max_batch=wrong)  # type: ignore[arg-type]


def test_a_part_that_runs_other_formats_than_the_models_says_so() -> None:
    asked: dict[str, Any] = {"accelerators": ["a100-sxm-80gb"], "slo": Slo(tpot=1), "most_devices": 16}
    (own, *_) = plan("deepseek-v3", TRAFFIC, **asked, chunk=512).options
    (told, *_) = plan("deepseek-v3", TRAFFIC, **asked, quantization=own.quantization).options
    assert own.quantization == told.quantization
    assert len(own.service.assumptions) == len(told.service.assumptions) + 1


def test_misses_are_in_the_order_of_how_far_they_miss() -> None:
    """By whichever limit they miss further; here wide replicas have the sooner first token and the longer steps."""
    asked, slo = Traffic(isl=8192, osl=1024, rate=4), Slo(ttft=1, tpot=0.001)
    formats = {"quantization": "fp8", "most_devices": 16}
    found = plan("llama-3.1-70b", asked, accelerators=["h100-sxm"], slo=slo, **formats)  # type: ignore[arg-type]
    misses = [max(option.service.ttft / 1, option.service.tpot / 0.001) for option in found.options]
    assert misses == sorted(misses)
    assert len({option.service.ttft < 1 for option in found.options}) == 2


def test_the_nearest_misses_are_one_per_layout_and_the_cheapest_of_those_as_near() -> None:
    """A replica that is alone with its request is as fast as with many idle ones beside it, which cost as much."""
    found = plan("llama-3.1-8b", TRAFFIC, accelerators=["h100-sxm"], slo=Slo(tpot=1e-4), most_devices=32)

    def kind(option: Option) -> str:
        return str(option.service.pools["devices"].layout)

    every = {kind(option) for option in found.options}
    assert len(found.options) > 2 * len(every)
    assert [kind(option) for option in found.nearest] == list(dict.fromkeys(map(kind, found.nearest)))
    assert {kind(option) for option in found.nearest} == every
    for option in found.nearest:
        same = [other for other in found.options if kind(other) == kind(option)]
        near = min(other.missed for other in same)
        assert option.missed <= 1.05 * near
        as_near = [other.value for other in same if other.missed <= 1.05 * near]
        assert option.value == min(as_near)  # type: ignore[type-var]
        assert option.missed == pytest.approx(option.service.tpot / 1e-4)
    ends = [option.missed for option in found.nearest]
    assert ends == sorted(ends)
    assert f"{found.nearest[1].layout} h100-sxm" in str(found)
    met = plan("llama-3.1-8b", TRAFFIC, accelerators=["h100-sxm"], slo=Slo(tpot=1), most_devices=1)
    assert met.nearest == []


def test_the_nearest_misses_are_those_of_each_part_and_the_least_of_what_is_asked() -> None:
    """Of one layout on two parts both are near; of those as near, more replicas have the sooner first token."""
    found = plan(
        "llama-3.1-8b",
        TRAFFIC,
        accelerators=PARTS[:2],
        slo=Slo(tpot=1e-4),
        minimize="ttft",
        most_devices=8,
    )
    assert {option.parts for option in found.nearest} == {option.parts for option in found.options}
    several = 0
    for option in found.nearest:
        ranks = option.service.pools["devices"].layout
        same = [
            other
            for other in found.options
            if other.parts == option.parts and other.service.pools["devices"].layout == ranks
        ]
        near = [other for other in same if other.missed <= 1.05 * min(each.missed for each in same)]
        assert option.value == min(other.value for other in near)  # type: ignore[type-var]
        several += option.devices > min(other.devices for other in near)
    assert several


def test_a_miss_by_a_hair_is_told_from_its_limit() -> None:
    """Three digits of both are the same."""
    found = plan("llama-3.1-8b", TRAFFIC, accelerators=["h100-sxm"], slo=Slo(tpot=1), most_devices=1)
    tpot = float(found.options[0].service.tpot)
    missed = plan("llama-3.1-8b", TRAFFIC, accelerators=["h100-sxm"], slo=Slo(tpot=tpot * (1 - 1e-6)), most_devices=1)
    time, _, limit = missed.options[0].reason.removeprefix("misses TPOT ").partition(" over ")
    assert time != limit
    assert quantity_in(time, "s", "tpot") > quantity_in(limit, "s", "limit")


def test_answers_of_one_token_have_no_further_token_that_comes_late() -> None:
    asked: dict[str, Any] = {"accelerators": ["h100-sxm"], "most_devices": 2}
    one = Traffic(isl=1024, osl=1, rate=2)
    found = plan("llama-3.1-8b", one, slo=Slo(tpot=1e-9), **asked)
    assert all(option.meets and not option.reason for option in found.options)
    values = [float(f"{option.value:.6g}") for option in found.options]
    keys = list(zip(values, (option.service.ttft for option in found.options), strict=True))
    assert len(keys) > 2
    assert keys == sorted(keys)
    late = plan("llama-3.1-8b", one, slo=Slo(ttft=1e-6, tpot=1e-9), **asked)
    assert all("TTFT" in option.reason and "TPOT" not in option.reason for option in late.options)
    assert "TPOT" not in str(late)
    assert "nan" not in str(late)
    for minimize in ("tpot", "usd_per_million_output_tokens"):
        with pytest.raises(rl.InvalidInput, match="what answers of one token have"):
            plan("llama-3.1-8b", one, slo=Slo(tpot=1), minimize=minimize, **asked)


def test_a_part_without_a_price_has_no_cost_but_a_time() -> None:
    free = rl.accelerator("h100-sxm").with_(price=None)
    found = plan("llama-3.1-8b", TRAFFIC, accelerators=[free], slo=Slo(tpot=1), most_devices=2)
    assert found.best is None
    assert {option.reason for option in found.options} == {"no price is published"}
    fast = plan("llama-3.1-8b", TRAFFIC, accelerators=[free], slo=Slo(tpot=1), most_devices=2, minimize="tpot")
    assert fast.best is not None
    assert fast.best.value == min(option.service.tpot for option in fast.options)
    dark = rl.accelerator("h100-sxm").with_(power=None)
    asked: dict[str, Any] = {"accelerators": [dark], "slo": Slo(tpot=1), "most_devices": 1}
    found = plan("llama-3.1-8b", TRAFFIC, minimize="joules_per_output_token", **asked)
    assert {option.reason for option in found.options} == {"no power is published"}


def test_with_a_link_prefill_may_have_a_pool_of_its_own() -> None:
    calls: list[tuple[int, int]] = []
    found = plan(
        "llama-3.1-8b",
        TRAFFIC,
        accelerators=PARTS[:2],
        slo=Slo(ttft=1, tpot=0.05),
        link="400 Gbit/s, 2 us",
        most_devices=8,
        progress=lambda *done: calls.append(done),
    )
    pairs = {option.parts for option in found.options if len(option.parts) == 2}
    assert len(pairs) == 4
    assert calls[-1][0] == calls[-1][1] == len(calls)
    for option in found.options:
        assert option.devices <= 8
        assert option.devices == sum(pool.devices for pool in option.service.pools.values())


def test_of_two_pools_prefill_is_named_first() -> None:
    offers = {name: rl.Deployment("llama-3.1-8b", "h100-sxm", quantization=name) for name in ("bf16", "fp8")}
    slo, link = Slo(tpot=1), "400 Gbit/s, 2 us"
    found = plan("llama-3.1-8b", TRAFFIC, accelerators=offers, slo=slo, link=link, most_devices=4)
    pairs = [option for option in found.options if len(option.parts) == 2]
    assert len({option.parts for option in pairs}) == 4
    for option in pairs:
        pools = option.system.prefill, option.system.decode  # type: ignore[union-attr]
        assert tuple(pool.quantization.label for pool in pools) == option.parts  # type: ignore[union-attr]
        assert option.quantization == " / ".join(dict.fromkeys(option.parts))


def test_split_pools_are_tried_on_doublings_with_wide_and_many_ranked_decode() -> None:
    """Up to all devices; decode in three sizes of a replica, each in the layout that is fastest for many."""
    crowd = Traffic(isl=1024, osl=256, concurrency=256)
    asked: dict[str, Any] = {"accelerators": ["h100-sxm"], "slo": Slo(tpot=1), "most_devices": 8}
    found = plan("qwen3-30b-a3b", crowd, link="400 Gbit/s, 2 us", **asked)
    pairs = [option for option in found.options if len(option.parts) == 2]
    assert {2, 4, 8} <= {option.devices for option in pairs}
    decode = {option.system.decode.layout for option in pairs}  # type: ignore[union-attr]
    assert {layout.devices for layout in decode} == {1, 2, 4}
    many, one = rl.Deployment("qwen3-30b-a3b", "h100-sxm", 2).fastest_layouts([256, 1], float(crowd.longest), 1)
    assert many != one
    assert many[0] in decode


def test_each_part_is_tried_as_if_alone_and_no_further_than_the_fewest_devices_that_do() -> None:
    def tried(*parts: str, tpot: float) -> tuple[int, set[tuple[str, int, str]]]:
        calls: list[int] = []
        found = plan(
            "llama-3.1-8b",
            TRAFFIC,
            accelerators=parts,
            slo=Slo(tpot=tpot),
            most_devices=8,
            progress=lambda _, ways: calls.append(ways),
        )
        return calls[-1], {(option.parts[0], option.devices, option.layout) for option in found.options}

    (first, some), (second, others) = tried("h100-sxm", tpot=0.02), tried("l4", tpot=0.02)
    assert tried("h100-sxm", "l4", tpot=0.02) == (first + second, some | others)
    further = {1, 2, 3, 4, 6, 8} - {1}  # one device does with the first limit, none with the second
    assert tried("h100-sxm", tpot=1e-9)[0] == first + len(further)


def test_layouts_for_many_sequences_are_tried_too() -> None:
    """One sequence is fastest on tensor ranks; many cost less on more replicas or ranks."""
    crowd = Traffic(isl=1024, osl=256, concurrency=256)
    found = plan("qwen3-30b-a3b", crowd, accelerators=["h100-sxm"], slo=Slo(tpot=1), most_devices=8)
    eight = [option for option in found.options if option.devices == 8]
    lone = rl.Deployment("qwen3-30b-a3b", "h100-sxm", devices=8).laid_out(1, 1280).layout
    assert lone in {option.system.layout for option in eight}
    cheapest = min(eight, key=lambda option: option.value or math.inf)
    assert cheapest.system.layout.devices < 8 or cheapest.system.layout.dp > 1
    alone = plan("qwen3-30b-a3b", crowd, accelerators=["h100-sxm"], slo=Slo(tpot=1), most_devices=8, max_batch=1)
    assert {option.system.layout.dp for option in alone.options} == {1}


@pytest.mark.parametrize("link", [None, "400 Gbit/s, 2 us"])
def test_a_stack_and_its_settings_are_those_of_serving(link: str | None) -> None:
    settings = {"chunk": 512, "max_batch": 4}
    slo = Slo(ttft=10, tpot=1)
    found = plan(
        "llama-3.1-8b",
        TRAFFIC,
        accelerators=["h100-sxm"],
        slo=slo,
        most_devices=4,
        link=link,
        runtime="vllm",
        **settings,
    )
    for option in found.options:
        alone = serve(option.system, TRAFFIC, **settings)
        assert (alone.ttft, alone.tpot) == (option.service.ttft, option.service.tpot)
        assert all(pool.batch <= 4 * pool.replicas for pool in option.service.pools.values())
    (first, *_) = found.options
    bare = plan("llama-3.1-8b", TRAFFIC, accelerators=["h100-sxm"], slo=slo, most_devices=4, link=link, **settings)
    assert first.service.tpot > min(option.service.tpot for option in bare.options)


def test_bad_questions_are_refused_in_one_line() -> None:
    slo = Slo(tpot=1)
    with pytest.raises(rl.UnknownName, match=r"minimize: got 'usd'.*nearest: usd_per"):
        plan("llama-3.1-8b", TRAFFIC, accelerators=PARTS, slo=slo, minimize="usd")
    with pytest.raises(rl.InvalidInput, match="a list of names, parts or deployments"):
        plan("llama-3.1-8b", TRAFFIC, accelerators="h100-sxm", slo=slo)
    with pytest.raises(rl.InvalidInput, match="slo"):
        plan("llama-3.1-8b", TRAFFIC, accelerators=PARTS, slo=0.02)  # type: ignore[arg-type]
    with pytest.raises(rl.InvalidInput, match="plain numbers"):
        plan("llama-3.1-8b", Traffic(isl=[1, 2], osl=2, concurrency=1), accelerators=PARTS, slo=slo)
    with pytest.raises(rl.UnknownName, match="h100"):
        plan("llama-3.1-8b", TRAFFIC, accelerators=["h1000"], slo=slo)
    with pytest.raises(rl.UnknownName, match=r"runtime: got 'vlm'.*nearest: vllm"):
        plan("llama-3.1-8b", TRAFFIC, accelerators=PARTS, slo=slo, runtime="vlm")
    assert "usd_per_million_output_tokens" in MINIMIZE


@pytest.mark.parametrize("part", ["mi355x", "b200-sxm"])
def test_what_serve_takes_of_as_many_devices_is_among_the_options(part: str) -> None:
    """Experts over all devices of a replica are the fastest for no batch by themselves, but with prompts between."""
    traffic = Traffic(4096, 1024, rate=4)
    service = serve(rl.Deployment("deepseek-v3", part, 16), traffic)
    found = plan("deepseek-v3", traffic, accelerators=[part], slo=Slo(ttft=2, tpot=0.02), most_devices=16)
    least = min(each.service.tpot for each in found.options if each.devices == 16 and each.service.ttft < 2)
    assert least <= service.tpot
