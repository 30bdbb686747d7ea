"""Laws of what users rely on: the same answer each time, memory that is counted honestly, and money that adds up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from roofline.estimate import timing
from roofline.estimate.capacity import Memory, model_bytes
from roofline.estimate.estimate import Estimate
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.work import exact_width
from roofline.trust.law import Claim, Law, at_most, equal, identical, true
from roofline.trust.law_cases import Case

_NUMBERS = ("seconds", "ideal", "floor", "low", "high", "tokens_per_second", "mfu", "mbu")
_PRICE, _POWER = 3.6, 700.0

# -- determinism ------------------------------------------------------------------------------------------------------


def _same_again(case: Case) -> Iterator[Claim]:
    fresh = Case(replace(case.resolved), case.point)
    for name in _NUMBERS:
        yield identical(f"{name} asked again", getattr(fresh.estimate, name), "as before", getattr(case.estimate, name))


def _no_memory(case: Case) -> Iterator[Claim]:
    used = Case(replace(case.resolved), case.point)
    other = used.at(batch=case.point.batch * 5, context=case.point.context + 77)
    before = other.estimate.seconds
    for name in _NUMBERS:
        after = getattr(used.estimate, name)
        yield identical(f"{name} after another question", after, "as before", getattr(case.estimate, name))
    yield identical("the other question", Estimate(used.resolved, other.point).seconds, "as before", before)


def _names_do_not_count(case: Case) -> Iterator[Claim]:
    resolved = case.resolved
    renamed = case.on(replace(resolved.machine, name="another name"))
    for name in ("seconds", "ideal", "floor"):
        yield identical(f"{name} of a renamed part", renamed.times[name], "as before", case.times[name])


def _array_is_loop(case: Case) -> Iterator[Claim]:
    batches, contexts = [1.0, case.point.batch, 200.0], [case.point.context, case.point.context + 900.0]
    phase, cached = case.point.phase, case.point.cached
    grid = Point(phase, np.array(batches)[:, None], np.array(contexts)[None, :], cached)
    masked = np.isnan(Estimate(case.resolved, grid).seconds)
    resolved = case.resolved
    for row, batch in enumerate(batches):
        for column, context in enumerate(contexts):
            fits = resolved.fits(Point(phase, batch, context, cached))
            found = bool(masked[row, column])
            yield true(fits != found, f"nan is {found} at {batch:g} × {context:g} of an array, fits {fits} of numbers")
    timed = partial(resolved.evaluate, evaluator=timing.step_seconds)
    for name, seconds in (("seconds", timed), ("floor", resolved.floor)):
        whole = seconds(grid)
        for row, batch in enumerate(batches):
            for column, context in enumerate(contexts):
                one = seconds(Point(phase, batch, context, cached))
                where = f"{name} at {batch:g} × {context:g} of an array"
                yield equal(where, float(whole[row, column]), "of numbers", one)


# -- capacity ---------------------------------------------------------------------------------------------------------


def _largest_batch_is_largest(case: Case) -> Iterator[Claim]:
    memory, context = case.resolved.memory, case.point.context
    largest = memory.largest_batch(context)
    if np.isfinite(largest) and largest < 1e9:
        if largest:
            yield true(memory.fits(largest, context), f"the largest batch, {largest:g}, does not fit")
        yield true(not memory.fits(largest + 1, context), f"one more than the largest batch, {largest:g}, fits")


def _nothing_missing_fits(case: Case) -> Iterator[Claim]:
    memory, point = case.resolved.memory, case.point
    for batch in (1.0, point.batch, point.batch * 100):
        fits, missing = memory.fits(batch, point.context), memory.shortfall(batch, point.context)
        yield true(bool(fits) == (missing == 0), f"fits is {fits} at batch {batch:g} with {missing:g} bytes missing")


def _more_needs_more(case: Case) -> Iterator[Claim]:
    memory, point = case.resolved.memory, case.point
    one = memory.shortfall(point.batch, point.context)
    more = memory.shortfall(point.batch * 2, point.context)
    yield at_most("what is missing", one, "of twice the batch", more)
    yield at_most("what is missing", one, "of twice the context", memory.shortfall(point.batch, point.context * 2))
    longer, largest = memory.largest_batch(point.context * 2), memory.largest_batch(point.context)
    yield at_most("the largest batch at twice the context", longer, "at the context", largest)


def _more_memory_holds_more(case: Case) -> Iterator[Claim]:
    memory, point = case.resolved.memory, case.point
    double = replace(memory, usable=2 * memory.usable)
    largest = memory.largest_batch(point.context)
    yield at_most("the largest batch", largest, "with twice the memory", double.largest_batch(point.context))
    missing = double.shortfall(point.batch, point.context)
    yield at_most(
        "what is missing with twice the memory", missing, "before", memory.shortfall(point.batch, point.context)
    )


def _no_weight_lost(case: Case) -> Iterator[Claim]:
    resolved = case.resolved
    held = sum(room.weights * room.devices for room in resolved.memory.rooms)
    least = model_bytes(resolved.model, resolved.quantization)
    shared = resolved.model.tied and resolved.layout.pp == 1
    whole = np.ceil(held)  # as one copy's, of which narrow formats may leave half a byte
    yield at_most("bytes of one copy", least, "whole bytes on all devices", whole, within=1e-9)
    if resolved.layout.devices == 1 and (shared or not resolved.model.tied):
        most = least + _vector_bytes(resolved)
        yield at_most("bytes on one device", held, "bytes of one copy, vectors wide", most, within=1e-9)


def _vector_bytes(resolved: Resolved) -> float:
    """Bytes of all vectors in the format of embedding and head: what narrow layers keep wide at most [B]."""
    model, elements = resolved.model, sum(vector.elements for vector in resolved.model.extra)
    for layer, count in model.groups():
        elements += count * sum(vector.elements for vector in layer.vectors(model.hidden))
    return elements * exact_width(resolved.quantization.lm_head)


def _usable_is_within(case: Case) -> Iterator[Claim]:
    memory = case.resolved.machine.memory
    yield at_most("usable bytes", memory.usable, "the capacity", memory.capacity)
    own = Memory.of(case.resolved.model, case.resolved.accelerator, case.resolved.layout, case.resolved.quantization)
    yield at_most("bytes for weights and caches", own.usable, "usable bytes", memory.usable)
    yield true(own.usable > 0, "nothing is left for weights")


# -- economics --------------------------------------------------------------------------------------------------------


def _energy(case: Case) -> Iterator[Claim]:
    estimate = case.with_(power=_POWER).estimate
    yield equal("joules", estimate.joules, "power × devices × seconds", _POWER * estimate.devices * estimate.seconds)
    double = case.with_(power=2 * _POWER).estimate
    yield equal("joules at twice the power", double.joules, "twice", 2 * estimate.joules)


def _energy_of_tokens(case: Case) -> Iterator[Claim]:
    estimate = case.with_(power=_POWER).estimate
    made = estimate.tokens_per_second * estimate.seconds
    yield equal("joules of all tokens", estimate.joules_per_token * made, "joules", estimate.joules)


def _money(case: Case) -> Iterator[Claim]:
    estimate = case.with_(price=_PRICE).estimate
    paid = estimate.usd_per_million_tokens * estimate.tokens_per_second * estimate.seconds / 1e6
    yield equal("USD of all tokens", paid, "device time", _PRICE / 3600 * estimate.devices * estimate.seconds)
    double = case.with_(price=2 * _PRICE).estimate.usd_per_million_tokens
    yield equal("USD at twice the price", double, "twice", 2 * estimate.usd_per_million_tokens)


def _nothing_unknown(case: Case) -> Iterator[Claim]:
    free = case.with_(price=None, power=None).estimate
    found: dict[str, Any] = {
        name: getattr(free, name) for name in ("joules", "joules_per_token", "usd_per_million_tokens")
    }
    for name, value in found.items():
        yield true(value is None, f"{name} is {value} where no price and no power is known")


def _idle_is_paid(case: Case) -> Iterator[Claim]:
    devices = case.resolved.layout.devices
    if devices > 1:
        one = case.with_(devices=devices, price=_PRICE, power=_POWER).estimate
        idle = case.with_(devices=2 * devices - 1, price=_PRICE, power=_POWER).estimate
        for name in ("usd_per_million_tokens", "joules_per_token"):
            least = getattr(one, name) * (2 * devices - 1) / devices
            yield equal(f"{name} with {devices - 1} idle devices", getattr(idle, name), "all devices' share", least)


DETERMINISM = (
    Law("the_same_question_has_one_answer", "determinism", "Asked again, every number is the same to the last bit.",
        "An estimate is a function of what is asked.", "all cases", _same_again),
    Law("answers_forget_earlier_questions", "determinism",
        "Nothing asked in between changes an answer.",
        "What is remembered is remembered by what it depends on.", "all cases", _no_memory),
    Law("names_do_not_count", "determinism", "A machine by another name takes the same time.",
        "Times come from numbers.", "all cases", _names_do_not_count),
    Law("an_array_is_a_loop", "determinism",
        "Each place of an array is what the numbers give one by one, nan where it does not fit.",
        "One equation, evaluated two ways.", "all cases", _array_is_loop),
)  # fmt: skip

CAPACITY = (
    Law("the_largest_batch_fits_and_one_more_does_not", "capacity",
        "The largest batch fits, and one sequence more does not.",
        "It is the largest.", "layouts and models whose caches limit the batch", _largest_batch_is_largest),
    Law("what_fits_misses_nothing", "capacity", "A batch fits exactly where no byte is missing.",
        "Two ways to say one thing.", "all cases", _nothing_missing_fits),
    Law("more_load_needs_more_memory", "capacity",
        "More sequences and longer contexts never need less memory.",
        "Caches only grow.", "all cases", _more_needs_more),
    Law("more_memory_never_holds_less", "capacity", "With twice the memory at least as much fits.",
        "Needs do not depend on what there is.", "all cases", _more_memory_holds_more),
    Law("no_weight_is_lost", "capacity",
        "All devices of a replica hold at least one copy of the weights; one device exactly one.",
        "Cuts round up, and some weights are repeated.",
        "all cases; but for vectors, which a device keeps wide where the checkpoint narrows them", _no_weight_lost),
    Law("usable_memory_is_within_the_capacity", "capacity",
        "What weights and caches may take is positive, at most what is usable, and that at most the capacity.",
        "Runtime and driver take their share first.", "all cases", _usable_is_within),
)  # fmt: skip

ECONOMICS = (
    Law("energy_is_power_times_time", "economics", "Joules are power times devices times seconds.",
        "Every device of the deployment draws its power.", "all cases, at a given power", _energy),
    Law("tokens_share_the_energy", "economics", "Joules per token times the tokens made are the joules.",
        "Nothing else is made.", "all cases, at a given power", _energy_of_tokens),
    Law("money_is_device_time", "economics",
        "What the tokens of a step cost is the price of the devices for its seconds.",
        "Device time is what is paid for.", "all cases, at a given price", _money),
    Law("unknown_prices_cost_no_zero", "economics",
        "Where no price or power is known there is no number.",
        "An unknown is not a zero.", "all cases", _nothing_unknown),
    Law("idle_devices_are_paid_for", "economics",
        "Devices that make no replica raise the cost and energy of every token by their share.",
        "They are rented and powered like the others.", "layouts of more than one device", _idle_is_paid),
)  # fmt: skip
