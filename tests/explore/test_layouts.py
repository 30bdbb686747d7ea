"""Three layouts of one deployment: each is the best for its aim, and its figures are the library's own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roofline as rl
from roofline.errors import DoesNotFit
from roofline.estimate.layout import Layout, possible_tp
from roofline.explore.layouts import LaidOut, layouts

few = settings(max_examples=max(1, settings.default.max_examples // 20))
small = st.sampled_from(
    [
        ("llama-3.1-8b", "groq-3-lpu", "fp8"),
        ("llama-3.1-8b", "groq-lpu-v1", "int8"),
        ("llama-2-7b", "groq-3-lpu", "fp8"),
    ]
)


def ranks(layout: Layout) -> dict[str, int]:
    return {"tp": layout.tp, "pp": layout.pp, "dp": layout.dp, "ep": layout.ep}


def alone(deployment: rl.Deployment, layout: Layout, context: float) -> float:
    return float(deployment.with_layout(layout).decode(1, context).seconds)


@few
@given(what=small, devices=st.integers(50, 300), context=st.sampled_from([128, 1024, 4096]))
def test_each_is_the_best_for_its_aim(what: tuple[str, str, str], devices: int, context: int) -> None:
    model, part, formats = what
    deployment = rl.Deployment(model, part, devices, quantization=formats)
    latency, throughput, capacity = found = layouts(deployment, context)
    assert [each.aim for each in found] == ["latency", "throughput", "capacity"]
    assert latency.seconds <= min(each.seconds for each in found)
    assert throughput.tokens_per_second >= max(each.tokens_per_second for each in found)
    assert capacity.layout.devices <= min(each.layout.devices for each in found)
    assert latency.seconds <= float(deployment.decode(1, context).seconds) * (1 + 1e-12)
    assert capacity.layout.devices == deployment.capacity(context).min_devices


@few
@given(what=small, devices=st.integers(50, 300), context=st.sampled_from([128, 1024, 4096]))
def test_figures_are_those_of_the_deployment(what: tuple[str, str, str], devices: int, context: int) -> None:
    model, part, formats = what
    for found in layouts(rl.Deployment(model, part, devices, quantization=formats), context):
        fixed = rl.Deployment(model, part, devices, quantization=formats, **ranks(found.layout))
        assert found.seconds == pytest.approx(fixed.decode(1, context).seconds)
        busy = fixed.decode(found.batch, context)
        assert found.batch_seconds == pytest.approx(busy.seconds)
        assert found.tokens_per_second == pytest.approx(busy.tokens_per_second)
        assert found.most == fixed.capacity(context).max_batch
        assert found.batch <= found.most
        assert found.devices == found.replicas * found.layout.devices <= devices


def test_no_width_or_pipeline_beats_them() -> None:
    """Every width with every pipeline, one by one."""
    deployment = rl.Deployment("llama-3.1-8b", "groq-3-lpu", 48, quantization="fp8", efficiency="ideal")
    latency, throughput, _ = layouts(deployment, 1024)
    for tp in possible_tp(deployment.model, 48):
        for pp in range(1, min(48 // tp, 32) + 1):
            fixed = rl.Deployment(
                "llama-3.1-8b", "groq-3-lpu", 48, tp=tp, pp=pp, quantization="fp8", efficiency="ideal"
            )
            most = float(fixed.capacity(1024).max_batch)
            if most >= 1:
                assert latency.seconds <= float(fixed.decode(1, 1024).seconds) * (1 + 1e-9)
                full = float(fixed.decode(most, 1024).tokens_per_second)
                assert full <= throughput.tokens_per_second * 1.1


def test_the_fastest_width_of_the_first_lpu_is_its_node() -> None:
    """Trees of messages put the optimum for 70B weights of 8 bits between 4 and 8 chips; a node has 8."""
    deployment = rl.Deployment("llama-2-70b", "groq-lpu-v1", 576, quantization="int8")
    latency: LaidOut = layouts(deployment, 1024)[0]
    assert latency.layout.tp in (4, 8)


def test_ranks_that_are_given_stay_and_what_never_fits_is_said() -> None:
    deployment = rl.Deployment("llama-3.1-8b", "groq-3-lpu", 128, tp=4, quantization="fp8")
    assert {found.layout.tp for found in layouts(deployment, 1024)} == {4}
    with pytest.raises(DoesNotFit):
        layouts(rl.Deployment("llama-3.1-70b", "groq-3-lpu", 16, quantization="fp8"))


def test_of_those_on_the_fewest_devices_the_fastest_is_taken() -> None:
    """Two devices hold these weights, as two stages or, sooner, as two ranks; rates are over all replicas' devices."""
    deployment = rl.Deployment("llama-3.1-70b", "h100-sxm", 8, quantization="bf16")
    *_, capacity = layouts(deployment, 4096)
    fewest = [each for each in deployment.layouts(1, 4096) if each.devices == capacity.layout.devices]
    assert len(fewest) > 1
    assert capacity.seconds == min(alone(deployment, each, 4096) for each in fewest)
    assert capacity.replicas > 1
    busy = deployment.with_layout(capacity.layout).decode(capacity.batch, 4096)
    assert capacity.tokens_per_second_per_device == pytest.approx(busy.tokens_per_second_per_device)


@pytest.mark.parametrize(("part", "devices"), [("h100-sxm", 8), ("groq-3-lpu", 256)])
def test_every_layout_is_listed_once_and_holds_what_is_asked(part: str, devices: int) -> None:
    deployment = rl.Deployment("llama-3.1-70b", part, devices, quantization="fp8")
    found = deployment.layouts(4, 4096)
    assert len(set(found)) == len(found) > 1
    assert all(deployment.with_layout(layout).capacity(4096, 4).max_batch >= 4 for layout in found)
