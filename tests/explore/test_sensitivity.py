"""Elasticities: Euler's theorem, their bounds, kinks from both sides, and agreement with probing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roofline as rl
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.timing import step_seconds
from roofline.explore.hardware import numbers_used, placed
from roofline.explore.sensitivity import OF, sensitivity
from roofline.explore.slopes import Slope
from tests.explore.cases import Case, cases, changed, deployment

ROUNDING = 1e-12


@given(cases())
@settings(max_examples=150)
def test_rates_and_latencies_obey_euler(case: Case) -> None:
    both = [sensitivity(case.method, side=side, **case.point) for side in ("better", "worse")]
    if both[0] != both[1]:  # a kink: neither side is the whole derivative
        return
    elasticities = both[0]
    rates, latencies = elasticities.of_role("rate"), elasticities.of_role("latency")
    assert sum(rates.values()) - sum(latencies.values()) == pytest.approx(-1, abs=1e-9)


@given(cases(), st.sampled_from(["better", "worse"]))
@settings(max_examples=150)
def test_no_number_matters_more_than_wholly_or_the_wrong_way(case: Case, side: str) -> None:
    elasticities = sensitivity(case.method, side=side, **case.point)
    for path, value in elasticities.items():
        if elasticities.numbers[path].role == "latency":
            assert -ROUNDING <= value <= 1 + ROUNDING, path
        else:
            assert -1 - ROUNDING <= value <= ROUNDING, path


@pytest.mark.parametrize(
    ("model", "part", "formats", "stack"),
    [
        ("deepseek-v3", "h200-sxm", "fp8", "vllm"),  # products in blocks that kernels scale
        ("gpt-oss-120b", "b200-sxm", None, "vllm"),  # experts in MXFP4
        ("llama-3.1-8b", "mi300x", "fp8", "vllm"),  # a vendor whose kernels are not measured
        ("llama-3.1-8b", "rtx-4090", "bf16", "llama.cpp"),  # sums in 16 bits, at which the part is faster
    ],
)
def test_factors_of_a_serving_stack_come_in_once(model: str, part: str, formats: str | None, stack: str) -> None:
    served = rl.Deployment(model, part, 8, tp=8, pp=1, quantization=formats, runtime=stack)
    found = sensitivity(served.decode, batch=16, context=2048)
    rates, latencies = found.of_role("rate"), found.of_role("latency")
    assert sum(rates.values()) - sum(latencies.values()) == pytest.approx(-1, abs=1e-9)
    for path, value in found.items():
        latency = found.numbers[path].role == "latency"
        assert (0 if latency else -1) - ROUNDING <= value <= (1 if latency else 0) + ROUNDING, path


@pytest.mark.parametrize(
    ("part", "formats", "stack"), [("mi300x", "fp8", "vllm"), ("rtx-4090", "bf16", "llama.cpp"), ("l40s", "fp8", None)]
)
def test_a_number_put_where_it_was_changes_nothing(part: str, formats: str, stack: str | None) -> None:
    resolved = rl.Deployment("llama-3.1-8b", part, tp=1, pp=1, quantization=formats, runtime=stack).settled()
    point = Point("prefill", 1.0, 4096.0, 0)
    step = resolved.step(point)
    before = three(resolved, point)
    for path, number in numbers_used(resolved, step).items():
        assert three(placed(resolved, {path: number.value}, step), point) == pytest.approx(before), path


def three(resolved: Resolved, point: Point) -> list[float]:
    """The estimate, the ideal and the floor."""
    times = [each.evaluate(point, step_seconds) for each in (resolved, resolved.ideal)]
    return [float(each) for each in (*times, resolved.ideal.floor(point))]


@given(cases(), st.data())
@settings(max_examples=100)
def test_elasticity_agrees_with_probing(case: Case, data: st.DataObject) -> None:
    better, worse = (sensitivity(case.method, side=side, **case.point) for side in ("better", "worse"))
    path = data.draw(st.sampled_from(sorted(better)))
    if better.numbers[path].value == 0:
        return

    def seconds(factor: float) -> float:
        resolved, step = changed(case, path, factor)
        return float(step_seconds(step, resolved.machine, resolved.rates))

    step, here = 1e-6, seconds(1)
    probed = sorted([(seconds(1 + step) / here - 1) / step, (1 - seconds(1 - step) / here) / step])
    exact = sorted([better[path], worse[path]])
    # A kink nearer than the probe's step shows in the probe alone.
    assert probed[0] - 1e-4 <= exact[0] or probed[1] - probed[0] > 1e-3
    assert exact == pytest.approx(probed, abs=1e-4) or probed[1] - probed[0] > 1e-3


def test_a_kink_has_two_sides() -> None:
    compute, memory = Slope.inputs([2.0, 2.0])
    longest = Slope.maximum(compute, memory)
    assert longest.up.tolist() == [1, 1]
    assert longest.down.tolist() == [0, 0]
    shortest = Slope.minimum(compute, memory, 5)
    assert shortest.up.tolist() == [0, 0]
    assert shortest.down.tolist() == [1, 1]


def test_at_a_kink_the_default_is_what_a_better_part_gains() -> None:
    """The part is made so that the head's arithmetic takes exactly as long as its traffic."""
    own = deployment("one GPU", "ideal")
    head = next(item for item in own.settled().step(own.decode(1, 128).point).items if item.term == "lm_head")
    tied = {"peak.bf16": head.flops * 2.0**20, "memory.bandwidth": (head.weights + head.activations) * 2.0**20}
    gpu = own.varied(own.accelerator.with_(**tied))
    better, worse = (sensitivity(gpu.decode, side=side, batch=1, context=128) for side in ("better", "worse"))
    share = 2.0**-20 / gpu.decode(1, 128).seconds
    # More of one alone gains nothing on the head: the other still takes as long.
    assert worse["peak.bf16"] - better["peak.bf16"] == pytest.approx(-share, rel=1e-9)
    assert worse["memory.bandwidth"] - better["memory.bandwidth"] == pytest.approx(-share, rel=1e-9)
    assert sensitivity(gpu.decode, batch=1, context=128) == better


def test_slopes_differentiate() -> None:
    x, y = Slope.inputs([3.0, 4.0])
    result = (2 * x - y + 1) / (x * y) + (1 - x) ** 2 + 12 / y + x / 2
    here = 0.001
    by_x = ((2 * (3 + here) - 3) / ((3 + here) * 4) + (2 + here) ** 2 + (3 + here) / 2) - (
        (2 * (3 - here) - 3) / ((3 - here) * 4) + (2 - here) ** 2 + (3 - here) / 2
    )
    assert result.value == pytest.approx(3 / 12 + 4 + 3 + 1.5)
    assert result.up[0] == pytest.approx(by_x / (2 * here), rel=1e-5)
    assert np.array_equal(result.up, result.down)
    assert (x * x).sqrt().up[0] == pytest.approx(1)


def test_paths_are_those_of_cite() -> None:
    gpu = deployment("dense on GPUs")
    elasticities = sensitivity(gpu.decode, batch=32, context=4096)
    assert elasticities["memory.bandwidth"] == elasticities["memory.hbm.bandwidth"]
    lpu = sensitivity(deployment("dense on LPUs").decode, batch=32, context=512)
    first = next(iter(deployment("dense on LPUs").accelerator.link))
    for name in ("latency", "bandwidth"):
        assert lpu[f"link.{name}"] == lpu[f"link.{first}.{name}"]
    assert lpu["link.latency"] != lpu["link.bandwidth"]
    spec = [path for path in elasticities if not path.startswith(("kernels.", "collectives."))]
    assert spec
    assert all(elasticities.numbers[path].value == gpu.accelerator.cite(path).value for path in spec)
    with pytest.raises(rl.UnknownName, match=r"memory\.bandwith.*nearest: memory\.bandwidth"):
        elasticities["memory.bandwith"]


@pytest.mark.parametrize("of", OF)
def test_money_energy_and_rates_follow_the_seconds(of: str) -> None:
    gpu = deployment("dense on GPUs")
    of_seconds = sensitivity(gpu.decode, batch=32, context=4096)
    asked = sensitivity(gpu.decode, of=of, batch=32, context=4096)
    sign = -1 if of.startswith("tokens") else 1
    assert asked["memory.bandwidth"] == sign * of_seconds["memory.bandwidth"]
    assert asked.get("price", 0) == (1 if of.startswith("usd") else 0)
    assert asked.get("power", 0) == (1 if of.startswith("joules") else 0)


def test_in_words() -> None:
    elasticities = sensitivity(deployment("dense on GPUs", "ideal").decode, batch=1, context=128)
    faster = rl.Deployment(
        "llama-3.1-70b",
        rl.accelerator("h100-sxm").with_(**{"memory.bandwidth": 3.35e12 * 1.1}),
        devices=8,
        tp=8,
        efficiency="ideal",
    )
    before, after = deployment("dense on GPUs", "ideal").decode(1, 128).seconds, faster.decode(1, 128).seconds
    assert elasticities.buys("memory.bandwidth") == (
        f"10% more memory.bandwidth buys {before / after - 1:.1%} more tokens per second"
    )
    assert "10% less collectives.all_reduce.overhead" in elasticities.buys("collectives.all_reduce.overhead")
    assert str(elasticities).startswith("elasticity of seconds")
    listed = [abs(float(line.split()[-1])) for line in str(elasticities).splitlines()[1:]]
    assert listed == sorted(listed, reverse=True)


def test_less_of_a_latency_buys_tokens() -> None:
    """Half of an overhead takes half of its share off the seconds."""
    elasticities = sensitivity(deployment("dense on GPUs").decode, batch=1, context=128)
    path = "collectives.all_reduce.overhead"
    assert elasticities[path] > 0.01
    gain = 1 / (1 - elasticities[path] / 2) - 1
    assert elasticities.buys(path, 0.5) == f"50% less {path} buys {gain:.1%} more tokens per second"


def test_bad_questions_are_refused_in_one_line() -> None:
    gpu = deployment("dense on GPUs")
    with pytest.raises(rl.InvalidInput, match="context: got 'nothing', expected a number: decode needs it"):
        sensitivity(gpu.decode, batch=32)
    with pytest.raises(rl.UnknownName, match="nearest: seconds"):
        sensitivity(gpu.decode, of="second", batch=32, context=128)
    with pytest.raises(rl.InvalidInput, match=r"phase: .*deployment\.decode"):
        sensitivity(gpu.capacity, batch=32, context=128)
    with pytest.raises(rl.InvalidInput, match="one number"):
        sensitivity(gpu.decode, batch=np.arange(1, 4), context=128)
    with pytest.raises(rl.UnknownName, match=r"argument of decode.*contxt.*nearest: context"):
        sensitivity(gpu.decode, batch=1, contxt=128)
    with pytest.raises(rl.InvalidInput, match="side"):
        sensitivity(gpu.decode, side="up", batch=1, context=128)  # type: ignore[arg-type]
    with pytest.raises(rl.InvalidInput, match="more"):
        sensitivity(gpu.decode, batch=1, context=128).buys("peak.bf16", more=10)
    free = rl.Deployment("llama-3.1-8b", rl.accelerator("h100-sxm").with_(price=None))
    with pytest.raises(rl.MissingNumber, match="price"):
        sensitivity(free.decode, of="usd_per_million_tokens", batch=1, context=128)
