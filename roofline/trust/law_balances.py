"""Laws of what bounds a time, of what adds up, and of what is left at the ends of the scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from roofline.estimate.layout import Layout
from roofline.estimate.times import RESOURCES, Times
from roofline.estimate.work import Operation
from roofline.trust.law import Claim, Law, at_most, equal, identical, true
from roofline.trust.law_cases import Case, scaled

# -- bounds -----------------------------------------------------------------------------------------------------------


def _floor_is_least(case: Case) -> Iterator[Claim]:
    times = case.times
    yield true(times["floor"] > 0, f"floor is {times['floor']}")
    yield at_most("floor", times["floor"], "ideal", times["ideal"])


def _ideal_is_least(case: Case) -> Iterator[Claim]:
    yield at_most("ideal", case.times["ideal"], "seconds", case.times["seconds"])


def _interval_encloses(case: Case) -> Iterator[Claim]:
    estimate = case.estimate
    yield at_most("ideal", estimate.ideal, "low", estimate.low)
    yield at_most("low", estimate.low, "seconds", estimate.seconds)
    yield at_most("seconds", estimate.seconds, "high", estimate.high)


def _arithmetic_bounds(case: Case) -> Iterator[Claim]:
    resolved, machine = case.resolved, case.resolved.machine
    least = resolved.model_flops(case.point) / (max(machine.peak.values()) * resolved.layout.devices)  # type: ignore[type-var]
    yield at_most("FLOP of the model over the highest peak", least, "ideal", case.times["ideal"])


def _traffic_bounds(case: Case) -> Iterator[Claim]:
    resolved = case.resolved
    least = resolved.model_traffic(case.point) / (resolved.machine.memory.bandwidth * resolved.layout.devices)
    yield at_most("bytes of the model over the bandwidth", least, "ideal", case.times["ideal"])


def _shares_of_peak(case: Case) -> Iterator[Claim]:
    resolved, machine = case.resolved, case.resolved.machine
    part = "experts" if resolved.model.parameters().experts else "linear"
    own: Any = machine.peak[resolved.rates.peaks[resolved.quantization.computation(part)]]
    steps = resolved.step(case.point).items
    used: list[Any] = [
        machine.peak[resolved.rates.of_operation(item)[0]] for item in steps if isinstance(item, Operation)
    ]
    if max(used) <= own:
        yield true(0 < case.estimate.mfu <= 1 + 1e-9, f"mfu is {case.estimate.mfu}")
    yield true(0 < case.estimate.mbu <= 1 + 1e-9, f"mbu is {case.estimate.mbu}")


def _turns_never_hurt(case: Case) -> Iterator[Claim]:
    at_once, turns = (case.with_(overlap=overlap).times for overlap in (False, True))
    if case.resolved.layout.ep > 1 and case.resolved.layout.dp > 1:
        for name in ("ideal", "seconds"):
            yield at_most(f"{name} of halves", turns[name], "of a batch at once", at_once[name])
            yield at_most(f"half of {name} at once", at_once[name] / 2, "that of halves", turns[name])
        yield identical("floor of halves", turns["floor"], "of a batch at once", at_once["floor"])
        estimate = case.with_(overlap=True).estimate
        sent: Any = sum(times.network for times in estimate.terms.values())
        yield at_most("time on the wires of halves", sent, "the whole", estimate.seconds)


def _no_shorter_token(case: Case) -> Iterator[Claim]:
    one = case.at(batch=1.0).with_(slice="whole")
    if case.resolved.layout.pp > 1 and case.resolved.layout.vocab == 1:
        for name in ("ideal", "seconds"):
            straight = one.laid(pp=1)
            yield at_most(f"{name} without stages", straight.times[name], "with them", one.times[name])


def _way_round(case: Case) -> Iterator[Claim]:
    """At least one token's way through all stages, and every micro-batch in an average stage."""
    case = case.with_(slice="whole")
    layout, batch = case.resolved.layout, case.point.batch
    if layout.pp == 1 or layout.vocab > 1:
        return
    share = -(-batch // layout.pp)
    several = -(-batch // share)
    path = case.at(batch=share).laid(pp=1).times["ideal"]
    yield at_most("the way of one micro-batch", path, "ideal", case.times["ideal"])
    busy = several * path / layout.pp
    yield at_most("all micro-batches in one stage", busy, "ideal", case.times["ideal"])


def _cut_work_adds_up(case: Case) -> Iterator[Claim]:
    layout = case.resolved.layout
    if layout.devices > 1 and layout.vocab == 1:
        alone = case.laid(tp=1, pp=1, dp=1, ep=1, vocab=1).at(batch=case.point.batch)
        flops = case.resolved.model_flops(case.point)
        yield identical("FLOP of the model on one device", alone.resolved.model_flops(case.point), "on all", flops)
        work = _worked(case, "flops")
        yield at_most("FLOP of the model", flops, "FLOP of all ranks", work)


def _worked(case: Case, field: str) -> Any:
    """What all devices of a replica do in one pass of the batch, every rank and micro-batch counted."""
    step, layout = case.resolved.step(case.point), case.resolved.layout
    counted = [(item, count) for item, count in zip(step.items, step.path, strict=True) if isinstance(item, Operation)]
    one = sum(getattr(item, field) * count for item, count in counted)
    return one * layout.expert_group * step.micro_batches


# -- conservation -----------------------------------------------------------------------------------------------------


def _terms_sum(case: Case) -> Iterator[Claim]:
    total = sum(times.total for times in case.estimate.terms.values())
    yield equal("the sum of the terms", total, "seconds", case.estimate.seconds)


def _attribution_sums(case: Case) -> Iterator[Claim]:
    estimate = case.estimate
    yield equal("what resources are owed", sum(estimate.attributed.values()), "seconds", estimate.seconds)
    for name, times in estimate.terms.items():
        difference: Any = sum(times.attributed.values()) - times.total
        rest = abs(difference)
        yield at_most(f"what is owed of {name} but not spent", rest, "rounding", 1e-11 * estimate.seconds)


def _bound_is_largest(case: Case) -> Iterator[Claim]:
    estimate = case.estimate
    labelled: dict[str, Any] = {"the step": estimate, **estimate.terms}
    for name, each in labelled.items():
        owed: Mapping[Any, Any] = each.attributed
        first = next(resource for resource in RESOURCES if owed[resource] == max(owed.values()))
        yield identical(f"the bound of {name}", each.bound, "what is owed most", first)


def _owed_to_the_longest(case: Case) -> Iterator[Claim]:
    for name, times in case.estimate.terms.items():
        if name in ("pipeline", "overlap"):
            continue
        owed = times.attributed
        yield equal(f"network owed of {name}", owed["network"], "its network", times.network)
        yield equal(f"overhead owed of {name}", owed["overhead"], "its overhead", times.overhead)
        overlapping = _overlapping(times)
        for resource, seconds in overlapping.items():
            yield at_most(f"{resource} owed of {name}", owed[resource], "its own seconds", seconds)  # type: ignore[index]
        longest = max(overlapping.values())
        yield at_most(f"the longest of {name}", longest + times.network + times.overhead, "the whole", times.total)


def _overlapping(times: Times) -> dict[str, Any]:
    return {"compute": times.compute, "memory": times.memory, "feed": times.feed}


def _tokens_counted(case: Case) -> Iterator[Claim]:
    point, estimate = case.point, case.estimate
    new = 1 if point.phase == "decode" else point.context - point.cached
    made = estimate.tokens_per_second * estimate.seconds
    yield equal("tokens of a step", made, "new tokens of all replicas", point.batch * new * estimate.replicas)


def _two_flop_per_weight(case: Case) -> Iterator[Claim]:
    """Every matrix that each token passes, and the experts that it is routed to, at two FLOP per weight and token."""
    model, point = case.resolved.model, case.point
    passed = 0
    for layer, count in model.groups():
        passed += count * sum(matrix.elements for matrix in layer.matrices(model.hidden))
    new = 1 if point.phase == "decode" else point.context - point.cached
    latent = any(hasattr(layer.mixer, "rebuild_flops") for layer, _ in model.groups())
    if not latent:
        least = 2.0 * passed * point.batch * new
        yield at_most("2 FLOP per weight and token", least, "FLOP of the model", case.resolved.model_flops(point))


# -- limits -----------------------------------------------------------------------------------------------------------


def _one_device(case: Case) -> Iterator[Claim]:
    alone = case.with_(layout=Layout(), devices=1)
    bare = alone.on(replace(alone.resolved.machine, wires=()))
    for name, seconds in alone.times.items():
        yield identical(f"{name} of one device without links", bare.times[name], "with them", seconds)
    for name, times in alone.estimate.terms.items():
        yield identical(f"network time of {name} on one device", times.network, "none", 0)


def _last_token(case: Case) -> Iterator[Claim]:
    """Latent attention may rebuild its keys where that is less work."""
    decode = replace(case.point, phase="decode", cached=0)
    prefill = replace(case.point, phase="prefill", cached=case.point.context - 1)
    resolved = case.resolved
    moved, decoded = resolved.model_traffic(prefill), resolved.model_traffic(decode)
    yield equal("bytes read for the last token of a prompt", moved, "those of a decode step", decoded)
    if any(hasattr(layer.mixer, "rebuild_flops") for layer, _ in resolved.model.groups()):
        return
    flops, decoded = resolved.model_flops(prefill), resolved.model_flops(decode)
    yield equal("FLOP for the last token of a prompt", flops, "those of a decode step", decoded)


_STARVED = 1e-12


def _starved_memory(case: Case) -> Iterator[Claim]:
    yield from _starved(case, "bandwidth", "memory")


def _starved_arithmetic(case: Case) -> Iterator[Claim]:
    yield from _starved(case, "peak", "compute")


def _starved(case: Case, rate: str, resource: str) -> Iterator[Claim]:
    slow, slower = (case.on(scaled(case.resolved.machine, **{rate: _STARVED * share})) for share in (1, 0.5))
    yield identical(f"the bound with next to no {rate}", slow.estimate.bound, "what is missing", resource)
    for name in ("ideal", "seconds"):
        yield equal(f"{name} with half of it", slower.times[name], "twice", 2 * slow.times[name], within=1e-3)


def _unlimited_rates(case: Case) -> Iterator[Claim]:
    fast = case.on(scaled(case.resolved.machine, peak=1e30, bandwidth=1e30, feed=1e30, wires=1e30, latency=0))
    negligible = 1e-15 * case.times["seconds"]
    yield at_most("ideal with unlimited rates and no latency", fast.times["ideal"], "next to nothing", negligible)
    owed = fast.estimate.attributed
    rest = owed["compute"] + owed["memory"] + owed["feed"]
    if case.resolved.layout.pp == 1:
        yield at_most("what unlimited rates are owed", rest, "next to nothing", negligible)


BOUNDS = (
    Law("the_floor_is_below_the_ideal", "bounds",
        "The floor is positive and no higher than the ideal time.",
        "The floor overlaps everything that the ideal adds up.", "all cases", _floor_is_least),
    Law("the_ideal_is_below_the_estimate", "bounds",
        "Nothing calibrated is faster than the same at peak rates without overheads.",
        "Efficiencies are at most 1 and overheads at least 0.", "all cases", _ideal_is_least),
    Law("the_interval_encloses_the_estimate", "bounds",
        "ideal ≤ low ≤ seconds ≤ high.",
        "Measured kernels scatter on both sides of the fit, and none beats the peak.", "all cases", _interval_encloses),
    Law("no_faster_than_arithmetic", "bounds",
        "A step takes at least the model's FLOP over the highest peak of all devices.",
        "The roofline's flat part.", "all cases", _arithmetic_bounds),
    Law("no_faster_than_traffic", "bounds",
        "A step takes at least the bytes of weights touched and caches over the memory bandwidth of all devices.",
        "The roofline's slope; a cache in front of the memory earns no credit in the ideal.",
        "all cases", _traffic_bounds),
    Law("utilisation_is_at_most_one", "bounds",
        "MFU and MBU lie above 0 and at most at 1.",
        "They are shares of what the devices could have done.",
        "MFU where no operation runs in a format with a higher peak than the weights'", _shares_of_peak),
    Law("turns_of_halves_never_hurt", "bounds",
        "Halves that take turns never take longer than a batch at once, nor less than half of its time.",
        "A batch is cut where that is faster, and no more is hidden behind computing than is computed.",
        "experts on several ranks", _turns_never_hurt),
    Law("stages_never_shorten_a_token", "bounds",
        "At batch 1 a pipeline is no faster than one of its stages' devices.",
        "A token visits the stages in turn.",
        "pipelines whose vocabulary's tables stay on one stage each, prompts whole", _no_shorter_token),
    Law("a_pipeline_waits_for_its_slowest", "bounds",
        "A step takes at least one micro-batch's way through all stages, and all micro-batches in an average one.",
        "The slowest stage is no faster than the average.", "pipelines, as above", _way_round),
)  # fmt: skip

CONSERVATION = (
    Law("the_terms_sum_to_the_time", "conservation", "The named terms sum to the seconds.",
        "Every second belongs to one term.", "all cases", _terms_sum),
    Law("the_resources_sum_to_the_time", "conservation",
        "The seconds owed to resources sum to the whole, and to each term.",
        "Every second is owed to one resource.", "all cases", _attribution_sums),
    Law("the_bound_is_what_is_owed_most", "conservation",
        "A label names the resource with the most seconds, of the step and of each term.",
        "The label is the argmax of the very numbers.", "all cases", _bound_is_largest),
    Law("an_operation_is_owed_to_its_longest", "conservation",
        "Of what overlaps, each resource is owed at most its own seconds and together at least the longest.",
        "An operation takes the largest of its overlapping times.", "terms other than a pipeline's wait and an overlap",
        _owed_to_the_longest),
    Law("throughput_counts_the_tokens_made", "conservation",
        "Tokens per second times seconds are the new tokens of every sequence.",
        "One per sequence in decode, in prefill those that were not cached.", "all cases", _tokens_counted),
    Law("cutting_loses_no_work", "conservation",
        "All ranks together do at least the model's FLOP, which no layout changes.",
        "Shares round up; some work is repeated, none is lost.",
        "more than one device, the vocabulary's tables on one stage each", _cut_work_adds_up),
    Law("two_flop_per_weight_and_token", "conservation",
        "A step does at least 2 FLOP for every matrix weight of the layers and new token, routed experts apart.",
        "A multiplication and an addition.", "models without latent attention, which may absorb matrices",
        _two_flop_per_weight),
)  # fmt: skip

LIMITS = (
    Law("one_device_needs_no_network", "limits", "On one device the links change nothing, and no time is sent.",
        "Nobody is at the other end.", "one device", _one_device),
    Law("the_last_token_of_a_prompt_is_a_decode_step", "limits",
        "With all but the last token cached, a prompt reads and multiplies what a decode step does.",
        "The phases are two views of one pass.", "FLOP without latent attention, which may rebuild its keys",
        _last_token),
    Law("starved_memory_binds", "limits",
        "With next to no memory bandwidth memory is the bound, and half of it takes twice as long.",
        "The slope of the roofline.", "all cases", _starved_memory),
    Law("starved_arithmetic_binds", "limits",
        "With next to no FLOP/s compute is the bound, and half of them take twice as long.",
        "The flat part of the roofline.", "all cases", _starved_arithmetic),
    Law("unlimited_rates_leave_overheads_alone", "limits",
        "With unlimited rates and no latency the ideal time vanishes; of the estimate overheads stay.",
        "Every other term divides by a rate or counts a latency.", "all cases", _unlimited_rates),
)  # fmt: skip
