"""Laws of more and less: what happens to times where a rate, a load or a model grows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from roofline.describe.model import ModelShape
from roofline.trust.law import Claim, Law, Predicate, at_most, equal, identical
from roofline.trust.law_cases import Case, changed, scaled

_FACTOR = 1.7


def _never_longer(
    better: Case, case: Case, what: str, names: tuple[str, ...] = ("floor", "ideal", "seconds")
) -> Iterator[Claim]:
    before, after = case.times, better.times
    for name in names:
        yield at_most(f"{name} {what}", after[name], "before", before[name])


# -- scaling ----------------------------------------------------------------------------------------------------------


def _twice_as_fast(case: Case) -> Iterator[Claim]:
    resolved = case.resolved
    rates = replace(resolved.rates, sources=tuple(changed(each, overhead=0.5) for each in resolved.rates.sources))
    machine = scaled(resolved.machine, peak=2, bandwidth=2, feed=2, wires=2, latency=0.5)
    twice = case.with_(machine=machine, rates=rates)
    for name, seconds in case.times.items():
        yield identical(f"{name} on a machine twice as fast, doubled,", 2 * twice.times[name], "as before", seconds)


def _no_gain_beyond_the_rate(case: Case) -> Iterator[Claim]:
    for rate in ("peak", "bandwidth", "feed", "wires"):
        faster = case.on(scaled(case.resolved.machine, **{rate: 3}))
        for name in ("ideal", "seconds"):
            yield at_most(f"a third of {name}", case.times[name] / 3, f"with {rate} × 3", faster.times[name])


def _two_batches_in_turn(case: Case) -> Iterator[Claim]:
    one, two = _full(case), _full(case, 2)
    for name in ("ideal", "seconds"):
        yield at_most(f"{name} of both batches at once", two.times[name], "one after the other", 2 * one.times[name])


def _full(case: Case, times: int = 1) -> Case:
    """A batch that fills every micro-batch and rank, `times` over."""
    layout = case.resolved.layout
    return case.at(batch=case.point.batch * layout.pp * layout.dp * times)


def _depth_is_linear(case: Case) -> Iterator[Claim]:
    straight = case.laid(pp=1, vocab=1).with_(overlap=False)
    one, two, three = (straight.with_(model=_deeper(case.resolved.model, times)) for times in (1, 2, 3))
    for name in ("ideal", "seconds"):
        first, second = two.times[name] - one.times[name], three.times[name] - two.times[name]
        slack = 1e-9 * three.times[name] / max(second, 1e-300)
        yield equal(f"{name} that the second copy of the layers adds", first, "the third's", second, within=slack)


@lru_cache(maxsize=64)
def _deeper(model: ModelShape, times: int) -> ModelShape:
    fields = {name: getattr(model, name) for name in ModelShape.model_fields}
    return ModelShape(**{**fields, "layers": model.layers * times})


def _replicas_multiply(case: Case) -> Iterator[Claim]:
    one, three = _copies(case, 1).estimate, _copies(case, 3).estimate
    yield equal("throughput of 3 replicas", three.tokens_per_second, "3 × one's", 3 * one.tokens_per_second)
    yield equal("per device", three.tokens_per_second_per_device, "one's", one.tokens_per_second_per_device)


def _replicas_leave_latency(case: Case) -> Iterator[Claim]:
    one, three = _copies(case, 1).estimate, _copies(case, 3).estimate
    yield identical("seconds on 3 replicas", three.seconds, "one's", one.seconds)
    for_user = three.tokens_per_second_per_user
    yield identical("a user's tokens per second on 3", for_user, "one's", one.tokens_per_second_per_user)


def _copies(case: Case, count: int) -> Case:
    return case.with_(devices=count * case.resolved.layout.devices)


# -- monotonicity -----------------------------------------------------------------------------------------------------


def _faster(rate: str) -> Predicate:
    def predicate(case: Case) -> Iterator[Claim]:
        machine = case.resolved.machine
        if (rate == "feed" and machine.feed is None) or (rate == "wires" and case.resolved.layout.devices == 1):
            return
        yield from _never_longer(case.on(scaled(machine, **{rate: _FACTOR})), case, f"with {rate} × {_FACTOR:g}")

    return predicate


def _shorter_latency(case: Case) -> Iterator[Claim]:
    if case.resolved.layout.devices > 1:
        nearer = case.on(scaled(case.resolved.machine, latency=0.6))
        yield from _never_longer(nearer, case, "with latencies × 0.6")


def _better_efficiency(figure: str) -> Predicate:
    def predicate(case: Case) -> Iterator[Claim]:
        if figure == "bandwidth" and case.resolved.layout.devices == 1:
            return
        better, worse = (
            (case.reaching(0.5, figure), case) if figure == "overhead" else (case, case.reaching(0.7, figure))
        )
        yield from _never_longer(better, worse, f"with better {figure}", ("seconds",))
        for name in ("ideal", "floor"):
            yield identical(f"{name} with another {figure}", better.times[name], "before", worse.times[name])

    return predicate


def _larger_batch(case: Case) -> Iterator[Claim]:
    stages = case.resolved.layout.pp
    for more in (1, 500):
        few, many = case.at(batch=case.point.batch * stages), case.at(batch=(case.point.batch + more) * stages)
        yield from _never_longer(few, many, f"of {few.point.batch:g} sequences, not {many.point.batch:g},")


def _longer_context(case: Case) -> Iterator[Claim]:
    for more in (1, 999):
        longer = case.at(context=case.point.context + more)
        yield from _never_longer(case, longer, f"at {more} fewer tokens")


def _cached_prompt(case: Case) -> Iterator[Claim]:
    point = case.point
    rebuilds = any(hasattr(layer.mixer, "rebuild_flops") for layer, _ in case.resolved.model.groups())
    if point.phase == "prefill" and point.context > 2 and not rebuilds:
        fewer = case.at(cached=max(1.0, point.cached)) if case.resolved.model.state_bytes() else case
        cached = case.at(cached=float((fewer.point.cached + point.context) // 2))
        yield from _never_longer(cached, fewer, f"with {cached.point.cached:g} tokens cached")


def _more_layers(case: Case) -> Iterator[Claim]:
    straight = case.laid(pp=1, vocab=1)
    deeper = straight.with_(model=_deeper(case.resolved.model, 2))
    yield from _never_longer(straight, deeper, "with half the layers")


def _smaller_cache(case: Case) -> Iterator[Claim]:
    narrow, wide = (
        case.with_(quantization=case.resolved.quantization.with_(kv_cache=name)) for name in ("fp8", "bf16")
    )
    yield from _never_longer(narrow, wide, "with the cache in 8 bits", ("floor", "ideal"))


SCALING = (
    Law(
        "everything_twice_as_fast_halves_time",
        "scaling",
        "With every rate doubled and every latency and overhead halved, every time halves, to the last bit.",
        "Seconds are the only dimension that rates and latencies bring in.",
        "all cases",
        _twice_as_fast,
    ),
    Law(
        "no_speedup_beyond_the_rate",
        "scaling",
        "Tripling one rate never makes a step more than three times as fast.",
        "Amdahl: only the part of the time that the rate bounds shrinks with it.",
        "times without credit for a cache in front of the memory: the ideal and the calibrated",
        _no_gain_beyond_the_rate,
    ),
    Law(
        "one_large_batch_beats_two_small_ones",
        "scaling",
        "Two batches at once never take longer than one after the other.",
        "The devices could always run them in turn; at once, weights are read once for both.",
        "batches that divide over stages and data-parallel ranks",
        _two_batches_in_turn,
    ),
    Law(
        "layers_add_evenly",
        "scaling",
        "The second copy of a model's layers adds as much time as the third.",
        "Layers run one after another and know nothing of each other.",
        "without a pipeline or halves that take turns",
        _depth_is_linear,
    ),
    Law(
        "replicas_multiply_throughput",
        "scaling",
        "Copies of a replica multiply tokens per second and leave tokens per second and device alone.",
        "Replicas share nothing.",
        "all cases",
        _replicas_multiply,
    ),
    Law(
        "replicas_leave_latency",
        "scaling",
        "Copies of a replica change no user's time.",
        "A sequence is served by one replica.",
        "all cases",
        _replicas_leave_latency,
    ),
)

_NO_WORSE = "Terms divide by the rate and none is subtracted."
MONOTONICITY = (
    *(
        Law(name, "monotonicity", statement, _NO_WORSE, domain, _faster(rate))
        for name, rate, statement, domain in (
            ("faster_arithmetic_never_hurts", "peak", "More FLOP/s never take more time.", "a fixed layout"),
            (
                "faster_memory_never_hurts",
                "bandwidth",
                "More memory bandwidth never takes more time.",
                "a fixed layout",
            ),
            ("faster_feed_never_hurts", "feed", "A faster operand feed never takes more time.", "parts that cite one"),
            ("faster_links_never_hurt", "wires", "Faster links never take more time.", "more than one device"),
        )
    ),
    Law(
        "shorter_latency_never_hurts",
        "monotonicity",
        "Shorter link latencies never take more time.",
        "Latencies are only ever added.",
        "more than one device, a fixed layout",
        _shorter_latency,
    ),
    *(
        Law(
            name,
            "monotonicity",
            f"{what} never takes more time, and neither ideal nor floor knows of it.",
            "Efficiencies derate the estimate alone.",
            domain,
            _better_efficiency(figure),
        )
        for name, figure, what, domain in (
            ("less_overhead_never_hurts", "overhead", "Less overhead per kernel", "all cases"),
            ("better_kernels_never_hurt", "compute", "Reaching more of the peak", "all cases"),
            ("better_streaming_never_hurts", "memory", "Reaching more of the memory bandwidth", "all cases"),
            ("better_collectives_never_hurt", "bandwidth", "Reaching more of the links", "more than one device"),
        )
    ),
    Law(
        "more_sequences_never_take_less",
        "monotonicity",
        "A larger batch never takes less time.",
        "Whatever serves more sequences could leave some out.",
        "in a pipeline, between multiples of its stages: elsewhere a fuller batch makes fewer, larger micro-batches",
        _larger_batch,
    ),
    Law(
        "more_tokens_never_take_less",
        "monotonicity",
        "A longer context, or a longer prompt behind the same cached tokens, never takes less time.",
        "Every token is computed or read.",
        "all cases",
        _longer_context,
    ),
    Law(
        "cached_tokens_never_hurt",
        "monotonicity",
        "A prompt of which more is cached never takes longer.",
        "Tokens in the cache are tokens not computed.",
        "prefill without latent attention, which rebuilds keys of cached tokens inside the attention kernel; from the "
        "first cached token on where a state is kept, which is read only then",
        _cached_prompt,
    ),
    Law(
        "more_layers_never_take_less",
        "monotonicity",
        "A deeper model never takes less time.",
        "Every layer is passed.",
        "without a pipeline",
        _more_layers,
    ),
    Law(
        "a_narrower_cache_never_hurts",
        "monotonicity",
        "A cache in 8 bits never takes longer to read than one in 16.",
        "The same products on fewer bytes.",
        "at peak rates: measured kernels of each format reach shares of their own",
        _smaller_cache,
    ),
)
