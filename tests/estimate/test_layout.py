"""Layouts: which are possible, how layers spread over stages, and which one is taken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.describe.feedforward import Dense
from roofline.describe.hardware import parse_accelerator
from roofline.describe.model import Layer, ModelShape
from roofline.describe.model_catalog import load_model
from roofline.errors import DoesNotFit, LayoutError
from roofline.estimate.deployment import Deployment
from roofline.estimate.layout import (
    Layout,
    candidate_layouts,
    checked_layout,
    possible_ep,
    possible_tp,
    stages,
    vocabulary_cuts,
)
from roofline.estimate.placement import Placement
from roofline.estimate.resolved import Point
from roofline.estimate.timing import step_seconds
from roofline.trust.law_cases import Part
from roofline.trust.strategies import accelerators, model_shapes, quantizations, specs
from roofline.trust.testing import devices_joined, layouts, points
from tests.support.strategies import cases

FEWER = settings(max_examples=max(1, settings.default.max_examples // 2))


def tower(layers: int) -> ModelShape:
    """A model of equal layers."""
    layer = Layer(mixer=None, feed_forward=Dense(width=8))
    return ModelShape(name="a tower", hidden=8, vocab=10, layers=(layer,) * layers, tied=False)


# -- ranks ------------------------------------------------------------------------------------------------------------


def test_a_layout_counts_its_devices() -> None:
    layout = Layout(tp=4, pp=3, dp=2, ep=4)
    assert (layout.devices, layout.expert_group, layout.expert_tp) == (24, 8, 2)
    assert str(layout) == "tp4 pp3 dp2 ep4"
    assert (str(Layout()), str(Layout(pp=8, vocab=2))) == ("tp1", "pp8 vocab2")


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("llama-3.1-70b", (1, 2, 4, 8, 16, 32, 64)),  # 64 heads; past the 8 key-value heads they are replicated
        ("llama-3.1-405b", (1, 2, 4, 8, 16, 32, 64, 128)),
        ("llama-2-13b", (1, 2, 4, 5, 8, 10, 20, 40)),  # 40 heads, each with its own keys
        ("deepseek-v3", (1, 2, 4, 8, 16, 32, 64, 128)),  # one latent for 128 heads
        ("qwen3-30b-a3b", (1, 2, 4, 8, 16, 32)),
    ],
)
def test_heads_allow_some_widths(name: str, widths: tuple[int, ...]) -> None:
    model = load_model(name)
    assert possible_tp(model, 4096) == widths
    assert possible_tp(model, 8) == tuple(width for width in widths if width <= 8)


@given(model=model_shapes(), limit=st.integers(1, 40))
def test_widths_share_heads_and_key_value_heads_evenly(model: ModelShape, limit: int) -> None:
    def allows(layer: Layer, tp: int) -> bool:
        heads, kv_heads = (getattr(layer.mixer, name, None) or 1 for name in ("heads", "kv_heads"))
        return heads % tp == 0 and (kv_heads % tp == 0 or tp % kv_heads == 0)

    expected = [tp for tp in range(1, limit + 1) if all(allows(layer, tp) for layer in model.layers)]
    assert list(possible_tp(model, limit)) == expected


@given(model=model_shapes(), group=st.integers(1, 40))
def test_every_expert_rank_has_an_expert(model: ModelShape, group: int) -> None:
    experts = [layer.feed_forward.experts for layer in model.layers if hasattr(layer.feed_forward, "experts")]
    most = min(experts, default=1)
    assert list(possible_ep(model, group)) == [ep for ep in range(1, group + 1) if group % ep == 0 and ep <= most]


@given(model=model_shapes(), devices=st.integers(1, 24), data=st.data())
def test_candidates_are_possible_and_as_asked(model: ModelShape, devices: int, data: st.DataObject) -> None:
    asked = {name: data.draw(st.none() | st.integers(1, 4), label=name) for name in ("tp", "pp", "dp", "ep")}
    if asked["tp"] not in (None, *possible_tp(model, devices)):
        asked["tp"] = None
    found = list(candidate_layouts(model, devices, **asked))
    for layout in found:
        ranks = {name: getattr(layout, name) for name in ("tp", "pp", "dp", "ep")}
        assert checked_layout(model, devices, **ranks) == layout
        assert all(value in (None, ranks[name]) for name, value in asked.items())
    assert len(set(found)) == len(found)
    if asked["ep"] in (None, 1) and (asked["pp"] or 1) <= len(model.layers):
        smallest = (asked["tp"] or 1) * (asked["pp"] or 1) * (asked["dp"] or 1)
        assert bool(found) == (smallest <= devices)


@given(model=model_shapes(), data=st.data())
def test_a_drawn_layout_is_accepted(model: ModelShape, data: st.DataObject) -> None:
    layout = data.draw(layouts(model, 24))
    ranks = {name: getattr(layout, name) for name in ("tp", "pp", "dp", "ep")}
    assert checked_layout(model, layout.devices, **ranks).devices == layout.devices


@pytest.mark.parametrize(
    ("ranks", "what", "nearest"),
    [
        ({"tp": 3}, "tp", 2),
        ({"tp": 7}, "tp", 8),
        ({"tp": 9}, "tp", 8),
        ({"pp": 9}, "tp · pp · dp", None),
        ({"tp": 4, "dp": 4}, "tp · pp · dp", None),
        ({"ep": 2}, "ep", 1),
        ({"tp": 4, "ep": 3}, "ep", 2),
        ({"tp": 8, "ep": 16}, "ep", 8),
    ],
)
def test_a_rank_that_cannot_be_names_the_nearest_that_can(ranks: dict[str, int], what: str, nearest: Any) -> None:
    model = load_model("mixtral-8x7b")
    with pytest.raises(LayoutError) as error:
        checked_layout(model, 8 if what.startswith("tp ·") else 16, **{"tp": 1, "pp": 1, "dp": 1, "ep": 1, **ranks})
    assert (error.value.what, error.value.nearest) == (what, nearest)


def test_a_stage_needs_a_layer() -> None:
    with pytest.raises(LayoutError, match="at most one stage for each of the 3 layers; nearest: 3"):
        checked_layout(tower(3), 8, tp=1, pp=4, dp=1, ep=1)


# -- stages -----------------------------------------------------------------------------------------------------------


@given(model=model_shapes(most_layers=12), data=st.data())
def test_stages_hold_every_layer_once_and_the_tables_at_the_ends(model: ModelShape, data: st.DataObject) -> None:
    pp = data.draw(st.integers(1, len(model.layers)))
    vocab = data.draw(st.sampled_from(vocabulary_cuts(pp)))
    found = stages(model, Layout(pp=pp, vocab=vocab))
    assert sum(count for _, count in found) == pp
    held = [sum(stage.layers[kind] * count for stage, count in found) for kind in range(len(model.groups()))]
    assert held == [count for _, count in model.groups()]
    sizes = {sum(stage.layers) for stage, _ in found}
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1
    assert sum(count for stage, count in found if stage.embedding) == vocab
    assert sum(count for stage, count in found if stage.head) == vocab
    if pp > 1 and vocab == 1:
        assert not any(stage.embedding and stage.head for stage, _ in found)


@pytest.mark.parametrize(
    ("layers", "pp", "sizes"),
    [
        (80, 72, {(1, True, False): 1, (2, False, False): 8, (1, False, False): 62, (1, False, True): 1}),
        (5, 2, {(3, True, False): 1, (2, False, True): 1}),
        (8, 3, {(3, True, False): 1, (3, False, False): 1, (2, False, True): 1}),
        (6, 4, {(1, True, False): 1, (2, False, False): 2, (1, False, True): 1}),
        (4, 1, {(4, True, True): 1}),
    ],
)
def test_the_ends_are_spared(layers: int, pp: int, sizes: dict[tuple[int, bool, bool], int]) -> None:
    """What does not divide goes to the middle, for the ends hold the vocabulary's tables."""
    found = stages(tower(layers), Layout(pp=pp))
    assert {(stage.layers[0], stage.embedding, stage.head): count for stage, count in found} == sizes


@pytest.mark.parametrize("pp", [1, 2, 5, 7, 72, 100])
def test_vocabulary_may_be_cut_over_one_to_all_stages(pp: int) -> None:
    cuts = vocabulary_cuts(pp)
    assert (cuts[0], cuts[-1]) == (1, pp)
    assert list(cuts) == sorted(set(cuts))


# -- the choice -------------------------------------------------------------------------------------------------------


def shortest_and_longest(placement: Placement, ranks: Layout, longest: int) -> list[Layout]:
    """Of the pipelines of a width that fit, tried one by one, the shortest; and the longest there is room for."""
    found = [placement.cut(Layout(ranks.tp, pp, ranks.dp, ranks.ep)) for pp in range(1, longest + 1)]
    fitting = [layout for layout, missing in found if not missing]
    return [fitting[0], fitting[-1]] if fitting and not found[-1][1] else fitting[:0]


@given(
    model=model_shapes(),
    part=accelerators(least_links=1, capacity=st.sampled_from([2e3, 1e4, 1e5, 1e9])),
    devices=st.integers(1, 8),
    point=points(),
    data=st.data(),
)
def test_the_fastest_layout_that_fits_is_taken(
    model: ModelShape, part: Part, devices: int, point: Point, data: st.DataObject
) -> None:
    """Of every width, every data-parallel degree that is a power of two where there are experts, experts cut or whole,
    and the shortest and the longest pipeline of each that fit: none is faster, and none fits where nothing is said to.
    """
    deployment = Deployment(model, part, devices, quantization=data.draw(quantizations(part)))
    placement = Placement(model, part, deployment.quantization, batch=point.batch, context=point.context)
    joined = devices_joined(part, devices)
    tried = [
        layout
        for tp in possible_tp(model, joined)
        for dp in ((1, 2, 4, 8) if model.parameters().experts else (1,))
        if tp * dp <= joined
        for ep in {1, tp * dp} & set(possible_ep(model, tp * dp))
        for layout in shortest_and_longest(
            placement, Layout(tp, 1, dp, ep), min(len(model.layers), joined // (tp * dp))
        )
    ]

    def ask() -> Any:
        if point.phase == "decode":
            return deployment.decode(point.batch, point.context)
        return deployment.prefill(point.context, point.batch, point.cached)

    if not tried:
        with pytest.raises(DoesNotFit):
            ask()
        return
    taken = ask()
    assert taken.fits
    times = [float(deployment._resolved(layout).evaluate(point, step_seconds)) for layout in tried]
    assert taken.seconds == min(times)
    assert taken.layout in tried
    assert taken.replicas * taken.layout.devices + taken.idle_devices == devices
    assert 0 <= taken.idle_devices < taken.layout.devices


@FEWER
@given(case=cases(parts=accelerators(least_links=1, capacity=st.just(1e15))), spare=st.integers(0, 20))
def test_ranks_that_are_given_are_kept(case: Any, spare: int) -> None:
    """A layout given whole is the layout, at every point; the rest of the devices makes replicas or stands idle."""
    layout = case.resolved.layout
    ranks = {name: getattr(layout, name) for name in ("tp", "pp", "dp", "ep")}
    devices = layout.devices + spare
    deployment = Deployment(
        case.resolved.model, case.resolved.accelerator, devices, **ranks, quantization=case.resolved.quantization
    )
    taken = deployment.decode(3, 50)
    assert taken.layout == deployment.layout == Layout(**ranks)
    assert (taken.replicas, taken.idle_devices) == divmod(devices, layout.devices)
    assert (deployment.replicas, deployment.idle_devices) == divmod(devices, layout.devices)
    assert not [note for note in taken.assumptions if "chosen" in note]


def test_a_chosen_layout_is_reported_and_may_be_fixed() -> None:
    deployment = Deployment("llama-3.1-8b", "h100-sxm", 8)
    chosen = deployment.decode(1, 4096)
    assert f"layout {chosen.layout} chosen: the fastest that fits" in chosen.assumptions
    fixed = deployment.laid_out(1, 4096)
    assert fixed.layout == chosen.layout
    assert fixed.decode(64, 1000).layout == chosen.layout
    assert fixed.decode(1, 4096).seconds == chosen.seconds


@pytest.mark.parametrize("ranks", [{"tp": 8}, {"pp": 8}, {"tp": 2, "pp": 4}, {"tp": 8, "dp": 1}])
def test_no_layout_is_chosen_where_the_ranks_given_leave_none_open(ranks: dict[str, int]) -> None:
    settled = Deployment("llama-3.1-8b", "h100-sxm", 8, **ranks)
    assert settled.is_laid_out
    assert not [note for note in settled.decode(1, 4096).assumptions if "chosen" in note]
    wider = Deployment("llama-3.1-8b", "h100-sxm", 16, **ranks)
    assert wider.is_laid_out == ("tp" in ranks and "pp" in ranks)
    assert bool([note for note in wider.decode(1, 4096).assumptions if "chosen" in note]) != wider.is_laid_out


def test_open_experts_take_only_groups_they_divide() -> None:
    """With tp and dp open and eight expert ranks asked for, only groups of a multiple of eight devices will do."""
    deployment = Deployment("qwen3-30b-a3b", "h100-sxm", 8, ep=8)
    layout = deployment.decode().layout
    assert (layout.ep, layout.expert_group % 8) == (8, 0)
    with pytest.raises(LayoutError, match="ep=5"):
        Deployment("qwen3-30b-a3b", "h100-sxm", 4, ep=5)
    with pytest.raises(LayoutError, match="has no experts; nearest: 1"):
        Deployment("llama-3.1-8b", "h100-sxm", 8, ep=8)


@FEWER
@given(spec=specs(least_links=0, most_links=0, capacity=st.just(1e12)), devices=st.integers(2, 9))
def test_without_links_devices_only_make_replicas(spec: dict[str, Any], devices: int) -> None:
    part = parse_accelerator(spec, where="a test")
    quantization = "bf16" if "bf16" in spec["peak"] or "fp16" in spec["peak"] else "fp8"
    taken = Deployment(tower(4), part, devices, quantization=quantization).decode(8, 100)
    assert (taken.layout, taken.replicas, taken.idle_devices) == (Layout(), devices, 0)
