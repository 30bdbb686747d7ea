"""Further memory tiers: what lies where, how long it takes to read, and what more or faster memory may never do."""

from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from roofline import Deployment
from roofline.describe.catalog import accelerator
from roofline.describe.hardware import SramAccelerator
from roofline.describe.link import Link
from roofline.describe.workload import Traffic
from roofline.errors import DoesNotFit, InvalidInput, UnknownName
from roofline.estimate.attention_ffn import AttentionFfn
from roofline.estimate.serving import serve
from roofline.estimate.speculative import Speculative

GB = 1e9
MODEL = "llama-3.1-8b"
WEIGHTS = 16.06e9
ROUNDING = 1e-12


def chip(*tiers: tuple[float, float]) -> SramAccelerator:
    """A part with memories of so many bytes and bytes per second, the nearest first."""

    def cited(value: float, unit: str) -> dict[str, str]:
        return {"value": f"{value!r} {unit}", "source": "assumed", "kind": "estimate"}

    return SramAccelerator.model_validate(
        {
            "name": "a chip with tiers",
            "kind": "sram",
            "vendor": "nobody",
            "year": 2026,
            "edition": "2026-11",
            "status": "announced",
            "peak": {"bf16": cited(1e15, "FLOP/s")},
            "memory": {
                f"tier{number}": {"capacity": cited(size, "B"), "bandwidth": cited(rate, "B/s")}
                for number, (size, rate) in enumerate(tiers)
            },
            "link": {"all": {"bandwidth": cited(1e11, "B/s"), "topology": "switch"}},
        }
    )


def on(part: SramAccelerator, **given: Any) -> Deployment:
    """The model on one device, all its memory in use."""
    return Deployment(MODEL, part, spill=list(part.memory)[-1], efficiency="ideal", **given)


sizes = st.sampled_from([1e3, 4 * GB, 16 * GB, 20 * GB, 40 * GB])
rates = st.sampled_from([1e13, 3e12, 1e12])
batches = st.integers(1, 64)
contexts = st.integers(1, 4096)


@given(size=sizes, more=sizes, batch=batches, context=contexts)
def test_more_near_memory_is_never_slower(size: float, more: float, batch: int, context: int) -> None:
    less, rather = (on(chip((near, 1e13), (200 * GB, 4e11))) for near in (size, size + more))
    for phase in ("decode", "prefill"):
        slow, fast = (
            float(each.decode(batch, context).seconds if phase == "decode" else each.prefill(context, batch).seconds)
            for each in (less, rather)
        )
        assert fast <= slow * (1 + ROUNDING)


@given(size=sizes, rate=rates, batch=batches, context=contexts)
def test_two_tiers_of_one_bandwidth_are_one_tier(size: float, rate: float, batch: int, context: int) -> None:
    two, one = on(chip((size, rate), (200 * GB, rate))), on(chip((size + 200 * GB, rate)))
    first, second = two.decode(batch, context), one.decode(batch, context)
    assert first.seconds == pytest.approx(second.seconds, rel=ROUNDING)
    assert two.prefill(context, batch).seconds == pytest.approx(one.prefill(context, batch).seconds, rel=ROUNDING)
    assert two.capacity(context, batch).max_batch == one.capacity(context, batch).max_batch


@given(size=sizes, rate=rates, batch=batches, context=contexts)
def test_a_tier_of_no_size_changes_nothing(size: float, rate: float, batch: int, context: int) -> None:
    tiers = ((size, 1e13), (200 * GB, 4e11))
    without, with_it = on(chip(*tiers)), on(chip(tiers[0], (1e-9, rate), tiers[1]))
    assert with_it.decode(batch, context).seconds == pytest.approx(without.decode(batch, context).seconds, rel=1e-9)


@given(size=sizes, rate=rates, batch=batches, context=contexts)
def test_what_fits_near_takes_as_long_as_without_the_tier(size: float, rate: float, batch: int, context: int) -> None:
    roomy = chip((100 * GB, 1e13), (size, rate))
    near = Deployment(MODEL, roomy, efficiency="ideal")
    assert on(roomy).decode(batch, context).seconds == near.decode(batch, context).seconds


@given(size=sizes, batch=batches, context=contexts)
def test_tiers_hold_everything_once(size: float, batch: int, context: int) -> None:
    """Weights and caches over all tiers are those of one big one, and no tier is overfull."""
    held = on(chip((size, 1e13), (10 * GB, 1e12), (200 * GB, 4e11))).capacity(context, batch)
    whole = on(chip((500 * GB, 1e13))).capacity(context, batch).tiers[0]
    assert sum(each.weights_bytes for each in held.tiers) == pytest.approx(whole.weights_bytes)
    assert sum(each.cache_bytes for each in held.tiers) == pytest.approx(whole.cache_bytes)
    for each, following in zip(held.tiers, held.tiers[1:], strict=False):
        assert each.weights_bytes + each.cache_bytes <= each.usable_bytes * (1 + ROUNDING)
        if following.weights_bytes + following.cache_bytes > 1:
            assert each.weights_bytes + each.cache_bytes == pytest.approx(each.usable_bytes)


@given(size=sizes, batch=batches, context=contexts)
def test_the_floor_stays_below(size: float, batch: int, context: int) -> None:
    step = on(chip((size, 1e13), (200 * GB, 4e11))).decode(batch, context)
    assert 0 < step.floor <= step.ideal * (1 + ROUNDING)
    assert sum(step.attributed.values()) == pytest.approx(step.seconds)


def test_by_hand() -> None:
    """Half of 16 GB of weights lie far away: 8 GB at 10 TB/s and 8 GB at 1 TB/s, and all of the cache far away too."""
    step = on(chip((8 * GB, 1e13), (50 * GB, 1e12))).decode(1, 1024)
    held = on(chip((8 * GB, 1e13), (50 * GB, 1e12))).capacity(1024).tiers
    assert held[0].weights_bytes == 8 * GB
    weights = sum(each.weights_bytes for each in held)
    assert weights == pytest.approx(WEIGHTS, rel=0.001)
    assert (held[0].cache_bytes, held[1].cache_bytes) == (0, pytest.approx(1024 * 131072, rel=0.01))
    read = weights - 128256 * 4096 * 2  # the embedding is looked up, not read
    far = read * (1 - 8 * GB / weights) + 1025 * 131072
    spilled = sum(times.spill for times in step.terms.values())
    assert spilled == pytest.approx(far / 1e12, rel=0.001)
    assert step.bound == "spill"
    assert step.attributed["spill"] == pytest.approx(spilled)
    assert "50% of the weights and 100% of the caches in tier1" in " ".join(step.explain().split())


def test_arrays_and_symbols_are_numbers() -> None:
    deployment = on(chip((17 * GB, 1e13), (50 * GB, 1e12)), tp=1, pp=1, dp=1, ep=1)
    batches, contexts = np.array([1.0, 8.0, 64.0]), np.array([[128.0], [4096.0]])
    grid = deployment.decode(batches, contexts)
    for row, context in enumerate(contexts[:, 0]):
        for column, batch in enumerate(batches):
            assert grid.seconds[row, column] == pytest.approx(deployment.decode(batch, context).seconds)
    batch = sympy.Symbol("batch", positive=True)
    closed = sympy.sympify(deployment.decode(batch, 4096).seconds)
    for value in (1.0, 8.0, 64.0):
        assert float(closed.subs(batch, value)) == pytest.approx(float(deployment.decode(value, 4096).seconds))


def test_terms_sum_in_a_pipeline() -> None:
    part = chip((3 * GB, 1e13), (50 * GB, 1e12))
    step = on(part, devices=4, tp=1, pp=4, dp=1, ep=1).decode(8, 2048)
    assert sum(times.total for times in step.terms.values()) == pytest.approx(step.seconds)
    for times in step.terms.values():
        assert sum(times.attributed.values()) == pytest.approx(times.total)


def test_without_spill_only_the_nearest_memory_counts() -> None:
    part = chip((8 * GB, 1e13), (50 * GB, 1e12))
    with pytest.raises(DoesNotFit):
        Deployment(MODEL, part).decode(1, 128)
    assert Deployment(MODEL, part, spill="tier1").capacity(128).fits
    assert not Deployment(MODEL, part, spill="tier0").capacity(128).fits
    assert [each.tier for each in Deployment(MODEL, part, spill="tier1").capacity(128).tiers] == ["tier0", "tier1"]


def test_a_socket_with_hbm_and_ddr_holds_more_and_is_slower() -> None:
    near = Deployment("llama-3.1-8b", "sambanova-sn40l").decode(1, 1024)
    far = Deployment("llama-3.1-70b", "sambanova-sn40l", spill="ddr").decode(1, 1024)
    assert far.bound == "spill"
    assert far.seconds > 50 * near.seconds
    with pytest.raises(DoesNotFit):
        Deployment("llama-3.1-70b", "sambanova-sn40l").decode(1, 1024)


def test_service_reads_the_further_memory_too() -> None:
    """One user at a time: the time per token is that of the step."""
    part = chip((8 * GB, 1e13), (200 * GB, 1e12))
    asked = Traffic(isl=1024, osl=129, concurrency=1)
    served = serve(Deployment(MODEL, part, spill="tier1", efficiency="ideal"), asked)
    step = on(part).decode(1, 1024 + 65)
    assert served.tpot == pytest.approx(float(step.seconds), rel=0.01)
    one = serve(Deployment(MODEL, chip((208 * GB, 1e13)), efficiency="ideal"), asked)
    assert served.tpot > 2 * one.tpot
    assert served.ttft >= one.ttft


def test_bad_tiers_are_named() -> None:
    with pytest.raises(UnknownName, match=r"lpddr.*sram"):
        Deployment(MODEL, "groq-3-lpu", spill="lpddr")
    far = Deployment(MODEL, chip((8 * GB, 1e13), (50 * GB, 1e12)), spill="tier1", tp=1, pp=1)
    with pytest.raises(InvalidInput, match="spill"):
        AttentionFfn(far, far, Link("400 Gbit/s", "2 us"))
    small = Deployment("llama-3.2-1b", far.accelerator, spill="tier1", tp=1, pp=1)
    with pytest.raises(InvalidInput, match="spill"):
        Speculative(target=far, draft=small, length=2, acceptance=0.5, shared=True)
    assert accelerator("sambanova-sn40l").within("ddr") is accelerator("sambanova-sn40l")
