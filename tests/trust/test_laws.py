"""Every law holds on every part, and every law bites: a wrong estimate of its own kind makes it fail."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings

import roofline.testing
from roofline.describe.attention import Attention
from roofline.describe.catalog import accelerator, accelerators, calibration
from roofline.describe.feedforward import MoE
from roofline.describe.formats import PRESETS
from roofline.describe.model import Layer, ModelShape
from roofline.describe.workload import Traffic
from roofline.errors import InvalidInput
from roofline.estimate import colocated, estimate, resolved, serving, timing
from roofline.estimate.attention_ffn import AttentionFfnServer
from roofline.estimate.capacity import Memory
from roofline.estimate.deployment import Deployment
from roofline.estimate.estimate import Estimate
from roofline.estimate.layout import Layout
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.service import Service
from roofline.estimate.speculative import SpeculativeServer
from roofline.explore import sensitivity
from roofline.laws import GROUPS, LAWS, Case, Law, check_law, check_laws
from roofline.trust.law_cases import changed, settle
from roofline.trust.testing import cases

PARTS = ("h100-sxm", "groq-lpu-v1")
NAMES = [law.name for law in LAWS]
BY_NAME = {law.name: law for law in LAWS}
THOROUGH = settings.default.max_examples if settings.default.max_examples > 1000 else 0
"""Examples of every law where a profile asks for that many; by day each law has a few, all together hundreds."""


def test_the_catalogue_is_complete_and_documented() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 30
    assert {law.group for law in LAWS} == set(GROUPS)
    for law in LAWS:
        assert law.statement.endswith(".")
        assert law.reason.endswith(".")
        assert law.domain


@pytest.mark.parametrize("name", PARTS)
def test_every_law_applies_and_holds(name: str) -> None:
    results = [result for result in check_laws(name) if result.law]
    assert [str(result) for result in results if result.fails] == []
    idle = {result.name for result in results if result.verdict != "holds"}
    assert idle <= ({"faster_feed_never_hurts"} if name == "h100-sxm" else set())


@pytest.mark.parametrize("name", accelerators())
def test_no_part_breaks_a_law(name: str) -> None:
    assert [str(each) for each in check_laws(name, examples=28 if THOROUGH else 1) if each.fails] == []


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
@settings(max_examples=THOROUGH or 4)
@given(case=cases())
def test_laws_hold_on_random_cases(law: Law, case: Case) -> None:
    assert law.check(case).verdict != "fails", law.check(case).counterexample


def test_checks_are_deterministic() -> None:
    first, again = (check_laws("h100-sxm", examples=3) for _ in range(2))
    assert first == again


def test_a_failing_part_is_an_assertion_error_that_lists_what_failed() -> None:
    chip = Deployment("llama-3.1-8b", "h100-sxm").accelerator.with_(**{"memory.bandwidth": "9 TB/s"})
    with pytest.raises(AssertionError, match=r"breaks .* of the laws and cross-checks") as caught:
        roofline.testing.check_laws(chip, examples=1)
    assert "off by" in str(caught.value)
    roofline.testing.check_laws("h100-sxm", examples=1)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3"])
def test_examples_are_counted(wrong: Any) -> None:
    with pytest.raises(InvalidInput):
        check_laws("h100-sxm", examples=wrong)


@settings(max_examples=10)
@given(deployment=roofline.testing.deployments(), traffic=roofline.testing.traffics())
def test_strategies_draw_what_can_be_asked(deployment: Deployment, traffic: Traffic) -> None:
    assert deployment.decode(1, 8).seconds > 0
    assert traffic.isl >= 1


CORNERS: dict[str, Callable[[Case], bool]] = {
    "more ranks than key-value heads": lambda case: any(
        getattr(mixer, "kv_heads", case.resolved.layout.tp) < case.resolved.layout.tp for mixer in mixers(case)
    ),
    "one layer": lambda case: len(case.resolved.model.layers) == 1,
    "one expert": lambda case: any(
        isinstance(layer.feed_forward, MoE) and layer.feed_forward.experts == 1 for layer in case.resolved.model.layers
    ),
    "a window of one": lambda case: any(getattr(mixer, "window", None) == 1 for mixer in mixers(case)),
    "a huge context": lambda case: case.point.context >= 100_000,
    "a tiny SRAM": lambda case: (
        case.resolved.accelerator.kind == "sram" and all(tier.capacity < 1e6 for tier in case.resolved.machine.tiers)
    ),
}


def mixers(case: Case) -> list[Any]:
    return [layer.mixer for layer in case.resolved.model.layers if layer.mixer is not None]


@pytest.mark.parametrize("corner", CORNERS.values(), ids=CORNERS)
def test_random_cases_reach_the_corners(corner: Callable[[Case], bool]) -> None:
    seldom = settings(max_examples=2000, database=None, derandomize=True, phases=[Phase.generate])
    assert corner(find(cases(), corner, settings=seldom))


def test_half_a_byte_is_no_weight_lost() -> None:
    """Four-bit weights may come to a fraction of a byte, and one copy is counted in whole ones."""
    mixer = Attention(heads=1, kv_heads=1, key_dim=4, value_dim=4, gate="head")
    layers = (Layer(mixer=mixer, feed_forward=None),)
    model = ModelShape(name="a toy model", hidden=8, vocab=1, layers=layers, tied=False)
    settled = settle(model, accelerator("h100-sxm"), Layout(), PRESETS["w4a16"])
    assert sum(room.weights * room.devices for room in settled.memory.rooms) % 1 > 0
    assert BY_NAME["no_weight_is_lost"].check(Case(settled, Point("decode", 1.0, 1.0, 0))).verdict == "holds"


# -- laws bite --------------------------------------------------------------------------------------------------------


def wrapped(change: Callable[..., Any]) -> Callable[..., Any]:
    """A mutation of a function: `change(result, *arguments)`."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: change(original(*arguments), *arguments)

    return around


def attribute(change: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """A mutation of a property: `change(value, owner)`."""

    def around(original: Any) -> Any:
        getter = getattr(original, "func", None) or original.fget
        return property(lambda self: change(getter(self), self))

    return around


counter = itertools.count(1)


def step(change: Callable[..., Any]) -> tuple[Any, str, Any]:
    """A mutation of the seconds of a step: `change(seconds, step, machine, rates)`."""
    return estimate, "step_seconds", wrapped(change)


def answer(name: str, change: Callable[[Any, Any], Any]) -> tuple[Any, str, Any]:
    """A mutation of what an estimate answers."""
    return Estimate, name, attribute(change)


def memory(name: str, change: Callable[..., Any]) -> tuple[Any, str, Any]:
    """A mutation of a method of the memory."""
    return Memory, name, wrapped(change)


def served(where: str, name: str, change: Callable[..., Any]) -> tuple[Any, str, Any]:
    """A mutation of what one pool (`"colocated"`) or two (`"split"`) come to: `change(value, service, system)`."""

    def changed(service: Service, system: Any, *_: Any) -> Service:
        return dataclasses.replace(service, **{name: change(getattr(service, name), service, system)})

    return serving, where, wrapped(changed)


def ranked(times: Any) -> Any:
    """Times whose smallest resource is owed everything."""
    owed = dict.fromkeys(times.attributed, 0)
    return dataclasses.replace(times, attributed={**owed, "feed": times.total})


def flops(step: Any) -> float:
    return float(sum(getattr(item, "flops", 0) for item in step.items))


MUTATIONS: dict[str, tuple[Any, str, Any]] = {
    "everything_twice_as_fast_halves_time": step(lambda s, *_: s + 1e-6),
    "no_speedup_beyond_the_rate": step(lambda s, _, m, __: s * (1e12 / max(m.peak.values()))),
    "one_large_batch_beats_two_small_ones": step(lambda s, p, *_: s * flops(p)),
    "layers_add_evenly": step(lambda s, p, *_: s**2),
    "replicas_multiply_throughput": answer("tokens_per_second", lambda v, e: v / e.resolved.replicas),
    "replicas_leave_latency": answer("seconds", lambda v, e: v / e.resolved.replicas),
    "faster_arithmetic_never_hurts": step(lambda s, _, m, __: s * max(m.peak.values())),
    "faster_memory_never_hurts": step(lambda s, _, m, __: s * m.memory.bandwidth),
    "faster_feed_never_hurts": step(lambda s, _, m, __: s * (m.feed or 1)),
    "faster_links_never_hurt": step(lambda s, _, m, __: s * (m.wires[0].bandwidth if m.wires else 1)),
    "shorter_latency_never_hurts": step(lambda s, _, m, __: s / (sum(w.latency for w in m.wires) + 1e-9)),
    "less_overhead_never_hurts": step(lambda s, _, __, r: s - 1e6 * overhead(r)),
    "better_kernels_never_hurt": step(lambda s, _, __, r: s * reached(r, "compute") ** 3),
    "better_streaming_never_hurts": step(lambda s, _, __, r: s * reached(r, "memory") ** 3),
    "better_collectives_never_hurt": step(lambda s, _, __, r: s * wires(r) ** 3),
    "more_sequences_never_take_less": step(lambda s, p, *_: s / (1 + flops(p))),
    "more_tokens_never_take_less": step(lambda s, p, *_: s / (1 + flops(p) ** 2)),
    "cached_tokens_never_hurt": step(lambda s, p, *_: s / (1 + flops(p) ** 2)),
    "more_layers_never_take_less": step(lambda s, p, *_: s / sum(p.path) ** 3),
    "a_narrower_cache_never_hurts": step(lambda s, p, *_: s / sum(getattr(i, "cache", 0) + 1 for i in p.items) ** 2),
    "the_floor_is_below_the_ideal": (resolved, "floor_seconds", wrapped(lambda s, *_: s * 1e3)),
    "the_ideal_is_below_the_estimate": answer("ideal", lambda v, e: v * 1e3),
    "the_interval_encloses_the_estimate": answer("high", lambda v, e: v * 0.1),
    "no_faster_than_arithmetic": answer("ideal", lambda v, e: v * 1e-3),
    "no_faster_than_traffic": answer("ideal", lambda v, e: v * 1e-3),
    "utilisation_is_at_most_one": answer("mbu", lambda v, e: v * 1e3),
    "turns_of_halves_never_hurt": (timing, "overlapped_seconds", wrapped(lambda s, *_: s / 1e6)),
    "stages_never_shorten_a_token": answer("ideal", lambda v, e: v / e.resolved.layout.pp**2),
    "a_pipeline_waits_for_its_slowest": answer("ideal", lambda v, e: v / e.resolved.layout.pp**3),
    "the_terms_sum_to_the_time": answer("seconds", lambda v, e: v * 1.001),
    "the_resources_sum_to_the_time": answer("attributed", lambda v, e: {k: 1.001 * s for k, s in v.items()}),
    "the_bound_is_what_is_owed_most": answer("bound", lambda v, e: "feed" if v != "feed" else "memory"),
    "an_operation_is_owed_to_its_longest": (timing, "_item_times", wrapped(lambda t, *_: ranked(t))),
    "throughput_counts_the_tokens_made": answer("tokens_per_second", lambda v, e: v * 2),
    "cutting_loses_no_work": (Resolved, "model_flops", wrapped(lambda f, r, p: f * r.layout.devices)),
    "two_flop_per_weight_and_token": (Resolved, "model_flops", wrapped(lambda f, *_: f / 2)),
    "one_device_needs_no_network": step(lambda s, _, m, __: s + 1e-6 * len(m.wires)),
    "the_last_token_of_a_prompt_is_a_decode_step": (
        resolved,
        "_operations",
        wrapped(lambda f, p, _: f * (2 if p.phase == "prefill" else 1)),
    ),
    "starved_memory_binds": answer("bound", lambda v, e: "compute"),
    "starved_arithmetic_binds": answer("bound", lambda v, e: "memory"),
    "unlimited_rates_leave_overheads_alone": step(lambda s, *_: s + 1e-6),
    "the_same_question_has_one_answer": step(lambda s, *_: s * (1 + 1e-9 * next(counter))),
    "answers_forget_earlier_questions": step(lambda s, *_: s * (1 + 1e-9 * next(counter))),
    "names_do_not_count": step(lambda s, _, m, __: s * len(m.name)),
    "an_array_is_a_loop": (timing, "step_seconds", wrapped(lambda s, *_: s * 2 if isinstance(s, np.ndarray) else s)),
    "the_largest_batch_fits_and_one_more_does_not": memory("largest_batch", lambda b, *_: b * 2 + 2),
    "what_fits_misses_nothing": memory("fits", lambda f, *_: not f),
    "more_load_needs_more_memory": memory("sequence_bytes", lambda b, *a: 1e12 / a[2]),
    "more_memory_never_holds_less": memory("largest_batch", lambda b, m, _: 1e20 / m.usable),
    "no_weight_is_lost": (Memory, "rooms", None),
    "usable_memory_is_within_the_capacity": (Memory, "usable", None),
    "energy_is_power_times_time": answer("joules", lambda v, e: v and v * 1000),
    "tokens_share_the_energy": answer("joules_per_token", lambda v, e: v and v * 2),
    "money_is_device_time": answer("usd_per_million_tokens", lambda v, e: v and v * 3600),
    "unknown_prices_cost_no_zero": answer("joules", lambda v, e: v or 0.0),
    "idle_devices_are_paid_for": answer(
        "usd_per_million_tokens", lambda v, e: v and v * e.resolved.layout.devices * e.replicas / e.devices
    ),
    "requests_in_flight_are_kept": (Service, "e2e_latency", attribute(lambda v, _: v * 1.01)),
    "arrivals_are_served_once": served("colocated", "requests_per_second", lambda v, *_: v * 1.01),
    "one_request_meets_nobody": served("colocated", "ttft", lambda v, *_: v * 1.01),
    "pools_work_part_of_their_time": (
        colocated,
        "pool_of",
        wrapped(lambda pool, *_: dataclasses.replace(pool, utilisation=pool.utilisation + 1)),
    ),
    "two_pools_keep_one_pace": served("split", "requests_per_second", lambda v, *_: v * 1.01),
    "first_tokens_wait_for_their_prompt": served("colocated", "ttft", lambda v, *_: v * 1e-3),
    "tokens_wait_for_a_step": served("colocated", "tpot", lambda v, *_: v * 1e-3),
    "more_requests_never_speed_up_a_token": served("colocated", "tpot", lambda v, s, _: v / s.traffic.concurrency**3),
    "more_devices_never_serve_less": served("colocated", "requests_per_second", lambda v, s, _: v / s.devices**3),
    "larger_passes_never_serve_less": served("split", "requests_per_second", lambda v, *_: v / next(counter)),
    "slower_links_never_help_pools": served("split", "tpot", lambda v, _, system: v * system.wire.rate),
    "twice_of_everything_serves_twice": served("colocated", "ttft", lambda v, s, _: v * s.devices),
    "one_request_costs_the_same_anywhere": served("split", "tpot", lambda v, *_: v * 1.01),
    "halves_on_a_free_link_make_the_whole": (AttentionFfnServer, "step", wrapped(lambda s, *_: s * 1.01)),
    "endless_transport_never_wins": served("split", "requests_per_second", lambda v, *_: v * 1e30),
    "drafts_hold_always_or_never": (
        SpeculativeServer,
        "step",
        wrapped(lambda s, server, *_: s * (1 + server.system.acceptance)),
    ),
    "requests_pay_for_all_devices": (Service, "usd_per_request", attribute(lambda v, _: v * 2)),
    "tokens_share_the_power_of_all_pools": (Service, "joules_per_output_token", attribute(lambda v, _: v * 2)),
    "elasticities_add_up_to_the_degree": (sensitivity, "step_seconds", wrapped(lambda s, *_: s * s)),
    "money_and_energy_follow_the_time": (sensitivity, "OF", lambda of: {**of, "joules": 2}),
}


def overhead(rates: Any) -> float:
    return sum(fit.overhead for source in rates.sources for fits in source.kernels.values() for fit in fits.values())


def reached(rates: Any, name: str) -> float:
    fits = [fit for source in rates.sources for fits in source.kernels.values() for fit in fits.values()]
    return float(np.mean([getattr(fit, name) for fit in fits]))


def wires(rates: Any) -> float:
    return float(np.mean([fit.bandwidth for source in rates.sources for fit in source.collectives.values()]))


def test_every_law_has_a_mutation() -> None:
    assert set(MUTATIONS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_estimate_breaks_its_law(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, target, around = MUTATIONS[name]
    if around is None:
        original = Memory.of.__func__  # type: ignore[attr-defined]
        monkeypatch.setattr(Memory, "of", classmethod(lambda *arguments: spoilt(original(*arguments), target)))
    else:
        monkeypatch.setattr(owner, target, around(getattr(owner, target)))
    result = check_law(BY_NAME[name], "groq-lpu-v1")
    assert result.fails
    assert "groq" in result.counterexample.lower()


def spoilt(memory: Memory, what: str) -> Memory:
    """A memory with half its weights gone, or with more to give than it has."""
    if what == "usable":
        return dataclasses.replace(memory, usable=memory.usable * 3)
    rooms = tuple(dataclasses.replace(room, weights=room.weights / 2) for room in memory.rooms)
    return dataclasses.replace(memory, rooms=rooms)


def test_figures_that_are_multiplied_are_those_of_stacks_too() -> None:
    own = calibration("h100-sxm")
    assert own is not None
    slower = changed(own, overhead=2, bandwidth=0.5)
    for stack, fits in own.stacks.items():
        before, after = fits["all_reduce"], slower.stacks[stack]["all_reduce"]
        assert after.overhead == 2 * before.overhead
        assert after.bandwidth == before.bandwidth / 2
