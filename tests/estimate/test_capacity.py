"""What fits: every byte held somewhere, the largest batch to the sequence, the fewest devices to the device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from roofline.describe.catalog import accelerator
from roofline.describe.feedforward import Dense, MoE
from roofline.describe.formats import PRESETS, width
from roofline.describe.hardware import parse_accelerator
from roofline.describe.model import Layer, ModelShape
from roofline.describe.model_catalog import load_model, model_names
from roofline.errors import DoesNotFit, LayoutError
from roofline.estimate.capacity import Memory, Room, model_bytes, sequence_bytes, usable_bytes
from roofline.estimate.deployment import Deployment
from roofline.estimate.layout import Layout, possible_ep, possible_tp
from roofline.estimate.placement import Placement
from roofline.estimate.quantize import runnable
from roofline.trust.law_cases import Part
from roofline.trust.strategies import accelerators, cited, model_shapes, quantizations, specs
from roofline.trust.testing import devices_joined, points
from tests.support import counting
from tests.support.strategies import Case, cases

FEWER = settings(max_examples=max(1, settings.default.max_examples // 2))
ROUNDING = 1e-12
tight = accelerators(least_links=1, capacity=st.sampled_from([2e3, 5e3, 1e4, 3e4, 1e5, 1e6]))
"""Parts on which the models of these tests just fit, or just do not."""


def close(value: Any) -> Any:
    return pytest.approx(float(value), rel=ROUNDING, abs=0)


def test_states_are_kept_in_their_format() -> None:
    """Qwen3-Next: 36 layers with 32 heads of 128 · 128, and three inputs of 8,192 channels in 16 bits."""
    model = load_model("qwen3-next-80b-a3b")
    for name, size in (("fp32", 4), ("bf16", 2)):
        memory = Memory.of(model, accelerator("h100-sxm"), Layout(), PRESETS["fp8"].with_(state=name))
        kept = 36 * (32 * 128 * 128 * size + 3 * 8192 * 2)
        assert memory.sequence_bytes(memory.rooms[0], 1000.0) == close(model.kv_bytes(1000, "fp8") + kept)
        assert sequence_bytes(model, memory.quantization, 1000) == model.kv_bytes(1000, "fp8") + kept


# -- every byte is somewhere ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", model_names())
def test_one_device_holds_one_copy(name: str) -> None:
    """In 16 bits throughout, a device alone holds two bytes per parameter and each sequence's caches."""
    model = load_model(name)
    memory = Memory.of(model, accelerator("h100-sxm"), Layout(), PRESETS["bf16"])
    (room,) = memory.rooms
    assert room.weights == 2 * model.parameters().total == model_bytes(model, PRESETS["bf16"])
    for context in (1, 1000, 200_000):
        held = memory.sequence_bytes(room, float(context))
        assert held == close(model.cache_bytes(context, "bf16"))
        assert held == close(sequence_bytes(model, PRESETS["bf16"], context))


@given(case=cases())
def test_all_devices_together_hold_at_least_one_copy(case: Case) -> None:
    """Cutting loses nothing: weights over all devices, and the caches of a sequence over the ranks that share it."""
    resolved, layout = case.resolved, case.resolved.layout
    memory = resolved.memory
    held = sum(room.weights * room.devices for room in memory.rooms)
    assert held * (1 + ROUNDING) >= model_bytes(resolved.model, resolved.quantization) - 1
    assert sum(room.devices for room in memory.rooms) == layout.devices
    caches = sum(
        (memory.sequence_bytes(room, case.point.context) - memory.activations) * room.devices for room in memory.rooms
    )
    one = sequence_bytes(resolved.model, resolved.quantization, int(case.point.context))
    assert caches / layout.dp * (1 + ROUNDING) >= one
    if (layout.tp, layout.pp, layout.ep) == (1, 1, 1):
        assert caches / layout.dp == close(one)


@given(case=cases(parts=accelerators("hbm", least_links=1)))
def test_what_is_read_is_what_is_held(case: Case) -> None:
    """A step that touches every expert reads, on a device of every stage, all that it holds but the input embedding,
    norms and biases; a table cut over stages is read by all of them at a time.
    """
    case = case.laid(vocab=1).at(phase="decode", cached=0, batch=1e8)
    layout, model = case.resolved.layout, case.resolved.model
    read = counting.worked(case.step, "weights")
    held = sum(room.weights * room.devices for room in case.resolved.memory.rooms) / layout.expert_group
    assert read <= held * (1 + ROUNDING)
    vectors = sum(
        count * (sum(v.elements for v in layer.vectors(model.hidden)) + _expert_biases(layer, model.hidden))
        for layer, count in model.groups()
    ) + sum(vector.elements for vector in model.extra)
    table = -(-model.vocab // layout.tp)
    embedding = 0 if model.tied and layout.pp == 1 else model.head.inner * table
    assert read >= (held - 2 * (vectors + embedding + table * model.head_bias)) * (1 - ROUNDING)


def _expert_biases(layer: Any, hidden: int) -> int:
    mixture = layer.feed_forward
    if not hasattr(mixture, "experts"):
        return 0
    return mixture.experts * sum(vector.elements for vector in mixture.expert_vectors(hidden))


@pytest.mark.parametrize(
    ("ranks", "held"),
    [
        ({}, 8),  # all experts
        ({"tp": 4}, 8 / 4),  # a quarter of each
        ({"tp": 4, "ep": 4}, 2),  # two whole ones
        ({"tp": 2, "dp": 2, "ep": 2}, 4 / 2),  # half of each of four
        ({"dp": 3, "ep": 3}, 3),  # the fullest of three ranks has three
        ({"pp": 1, "dp": 8, "ep": 1}, 1),  # an eighth of each
    ],
)
def test_experts_are_spread_over_their_group(ranks: dict[str, int], held: float) -> None:
    mixture = MoE(experts=8, top_k=2, expert_width=16)
    layer = Layer(mixer=None, feed_forward=mixture, norms=0)
    model = ModelShape(name="a toy", hidden=8, vocab=1, layers=(layer,), tied=True)
    (room,) = Memory.of(model, accelerator("h100-sxm"), Layout(**ranks), PRESETS["bf16"]).rooms
    router, table, expert = 8 * 8 * 2, 8 * 2, 3 * 8 * 16 * 2
    assert room.weights == router + table + held * expert


@pytest.mark.parametrize(("ranks", "cut"), [({"tp": 4}, 4), ({"tp": 2, "dp": 2}, 2), ({"tp": 2, "dp": 2, "ep": 4}, 1)])
def test_what_surrounds_experts_that_are_exchanged_is_whole_on_every_device(ranks: dict[str, int], cut: int) -> None:
    mixture = MoE(experts=4, top_k=2, expert_width=16, shared_width=32)
    layer = Layer(mixer=None, feed_forward=mixture, norms=0)
    model = ModelShape(name="a toy", hidden=8, vocab=1, layers=(layer,), tied=True)
    (room,) = Memory.of(model, accelerator("h100-sxm"), Layout(**ranks), PRESETS["bf16"]).rooms
    router, table, shared, experts = 8 * 4, 8, 3 * 8 * 32, 4 * 3 * 8 * 16
    assert room.weights == 2 * (router + table + shared / cut + experts / 4)


def test_what_is_missing_is_added_over_all_devices() -> None:
    """Two stages of two ranks need 300 and 500 bytes a device, of which there are 350: 150 are missing on two."""
    rooms = (Room(300.0, (), 2), Room(500.0, (), 2))
    memory = Memory(Layout(tp=2, pp=2), PRESETS["bf16"], usable=350.0, activations=0.0, rooms=rooms)
    assert memory.shortfall(1.0, 1.0) == 2 * 150
    assert not memory.fits(1.0, 1.0)
    assert replace(memory, usable=500.0).fits(1.0, 1.0)
    assert replace(memory, activations=10.0, usable=500.0).shortfall(3.0, 1.0) == 2 * 30


@pytest.mark.parametrize(("context", "kept"), [(1, 1), (100, 100), (128, 128), (129, 128), (50_000, 128)])
def test_windows_bound_the_cache(context: int, kept: int) -> None:
    """gpt-oss alternates full attention and windows of 128; 8 key-value heads of 64, in 16 bits."""
    model = load_model("gpt-oss-120b")
    assert sequence_bytes(model, PRESETS["bf16"], context) == 18 * (context + kept) * 8 * 2 * 64 * 2


def test_index_keys_are_kept_in_the_caches_format() -> None:
    """DeepSeek-V3.2: 61 layers of 512 + 64 elements and one index key of 128, all in fp8."""
    model = load_model("deepseek-v3.2")
    quantization = PRESETS["bf16"].with_(kv_cache="fp8")
    assert sequence_bytes(model, quantization, 1000) == 61 * 1000 * (576 + 128)
    room = Deployment(model, "b200-sxm", 8, tp=8, quantization=quantization).capacity(1000)
    assert room.kv_bytes_per_sequence == 61 * 1000 * (576 + 128)


# -- the largest batch ------------------------------------------------------------------------------------------------


@given(case=cases(parts=tight))
def test_the_largest_batch_fits_and_one_more_does_not(case: Case) -> None:
    """A further sequence on the fullest rank is one too many, on whichever rank it falls."""
    memory, context = case.resolved.memory, case.point.context
    assume(any(memory.sequence_bytes(room, context) for room in memory.rooms))
    most = memory.largest_batch(context)
    assert most == int(most)
    assert most % memory.layout.dp == 0
    if most:
        assert memory.fits(most, context)
        assert memory.shortfall(most, context) == 0
    assert not memory.fits(most + 1, context)
    assert memory.shortfall(most + 1, context) > 0


@given(case=cases(parts=tight))
def test_nothing_is_missing_exactly_where_it_fits(case: Case) -> None:
    memory, point = case.resolved.memory, case.point
    missing = memory.shortfall(point.batch, point.context)
    assert (missing == 0) == bool(memory.fits(point.batch, point.context)) == case.resolved.fits(point)
    if missing:  # no more than was missing is missing with that much more on every device
        richer = replace(memory, usable=memory.usable + missing)
        assert richer.fits(point.batch, point.context)


@given(case=cases(parts=tight), more=st.integers(1, 3000), factor=st.floats(1, 100))
def test_capacity_falls_with_context_and_rises_with_memory(case: Case, more: int, factor: float) -> None:
    memory, context = case.resolved.memory, case.point.context
    most = memory.largest_batch(context)
    assert memory.largest_batch(context + more) <= most
    assert replace(memory, usable=memory.usable * factor).largest_batch(context) >= most
    missing = memory.shortfall(case.point.batch, context)
    assert memory.shortfall(case.point.batch, context + more) >= missing
    assert memory.shortfall(case.point.batch + more, context) >= missing


@given(case=cases(parts=tight))
def test_arrays_are_counted_like_numbers(case: Case) -> None:
    memory = case.resolved.memory
    batches, contexts = np.array([1.0, 7.0, 40.0])[:, None], np.array([1.0, 33.0, 900.0, 5000.0])
    missing, fits, most = (
        memory.shortfall(batches, contexts),
        memory.fits(batches, contexts),
        memory.largest_batch(contexts),
    )
    for row, batch in enumerate(batches[:, 0]):
        for column, context in enumerate(contexts):
            assert np.broadcast_to(missing, (3, 4))[row, column] == memory.shortfall(batch, context)
            assert np.broadcast_to(fits, (3, 4))[row, column] == memory.fits(batch, context)
            assert np.broadcast_to(most, (4,))[column] == memory.largest_batch(context)


# -- the fewest devices -----------------------------------------------------------------------------------------------


@given(model=model_shapes(), part=tight, point=points("decode"), data=st.data())
def test_the_smallest_count_is_the_smallest_of_all_layouts(
    model: ModelShape, part: Part, point: Any, data: st.DataObject
) -> None:
    """Tried one by one: every width, every pipeline, every expert degree; data-parallel degrees of powers of two where
    there are experts, for a dense model's are replicas.
    """
    quantization = runnable(data.draw(quantizations(part)), part).quantization
    placement = Placement(model, part, quantization, batch=point.batch, context=point.context)
    joined = devices_joined(part, 20)
    fitting = [
        tp * dp * pp
        for tp in possible_tp(model, joined)
        for dp in ((1, 2, 4, 8, 16) if model.parameters().experts else (1,))
        for ep in possible_ep(model, tp * dp)
        for pp in range(1, min(len(model.layers), joined // (tp * dp)) + 1)
        if not placement.cut(Layout(tp, pp, dp, ep))[1]
    ]
    smallest = placement.smallest_count()
    assert (smallest if smallest is None or smallest <= joined else None) == min(fitting, default=None)


def test_a_shorter_pipeline_is_found_where_a_longer_one_puts_the_largest_layers_together() -> None:
    """Of four layers, those in the middle with 50 GB each: two stages part them, and the second of three has both."""
    base = load_model("llama-3.1-8b")
    small, large = (base.layers[0].model_copy(update={"feed_forward": Dense(width=width)}) for width in (1024, 2**21))
    model = base.model_copy(update={"layers": (small, large, large, small)})
    placement = Placement(model, accelerator("h100-sxm"), PRESETS["bf16"], batch=1, context=100)
    assert placement.cut(Layout(1, 3))[1] > 0
    assert [placement.shortest(Layout(1, longest)) for longest in (1, 2, 3, 4)] == [None, *[Layout(1, 2)] * 3]
    laid_out = Deployment(model, "h100-sxm", devices=3, tp=1, dp=1).decode(1, 100).layout
    assert (laid_out.pp, laid_out.devices) == (2, 2)


@given(model=model_shapes(), part=tight, point=points("decode"), data=st.data())
def test_what_would_do_does(model: ModelShape, part: Part, point: Any, data: st.DataObject) -> None:
    """The count that an error or a capacity names is accepted, and one less is not."""
    quantization = data.draw(quantizations(part))

    def asked(devices: int) -> Any:
        return Deployment(model, part, devices, quantization=quantization).capacity(point.context, point.batch)

    room = asked(1)
    count = room.min_devices
    assert (count == 1) == room.fits
    if not room.fits:
        with pytest.raises(DoesNotFit) as error:
            Deployment(model, part, quantization=quantization).decode(point.batch, point.context)
        assert (error.value.shortfall_bytes, error.value.min_devices) == (room.shortfall_bytes, count)
        named = f"{count:,} devices would do" if count else "no replica of any size would do"
        assert f"{room.shortfall_bytes:,.0f} bytes short; {named}" in str(error.value)
        assert "\n" not in str(error.value)
    if count and count > 1:
        assert asked(count).fits
        assert not asked(count - 1).fits
        assert Deployment(model, part, count, quantization=quantization).decode(point.batch, point.context).fits


@given(case=cases(parts=tight))
def test_a_vocabulary_is_cut_over_as_few_stages_as_fit(case: Case) -> None:
    resolved, point = case.resolved, case.point
    placement = Placement(
        resolved.model, resolved.accelerator, resolved.quantization, batch=point.batch, context=point.context
    )
    whole = replace(resolved.layout, vocab=1)
    cut, missing = placement.cut(whole)
    assert missing == placement.missing(cut) <= placement.missing(whole)
    fewer = [replace(whole, vocab=stages) for stages in range(1, cut.vocab)]
    tried = [layout for layout in fewer if layout.vocab in (1, 2, 3, 4)]
    assert all(placement.missing(layout) > missing for layout in tried)


@pytest.mark.parametrize(("tied", "one", "first", "last"), [(True, 1, 1, 1), (False, 2, 1, 1)])
@pytest.mark.parametrize("vocab", [1, 2])
def test_tables_lie_at_the_ends(tied: bool, one: int, first: int, last: int, vocab: int) -> None:
    """Embedding and head: both on a device alone, one table where they are tied; apart in a pipeline, each its own even
    where they are tied; cut over two stages, both stages hold half of both, or of the one.
    """
    layer = Layer(mixer=None, feed_forward=Dense(width=16), norms=0)
    model = ModelShape(name="a toy", hidden=8, vocab=100, layers=(layer, layer), tied=tied)
    part, table, network = accelerator("h100-sxm"), 8 * 100 * 2, 3 * 8 * 16 * 2
    (alone,) = Memory.of(model, part, Layout(), PRESETS["bf16"]).rooms
    assert alone.weights == 2 * network + one * table
    rooms = Memory.of(model, part, Layout(pp=2, vocab=vocab), PRESETS["bf16"]).rooms
    if vocab == 1:
        assert [room.weights for room in rooms] == [network + first * table, network + last * table]
    else:
        assert [(room.weights, room.devices) for room in rooms] == [(network + one * table / 2, 2)]


# -- what a user sees -------------------------------------------------------------------------------------------------


def test_usable_memory_is_the_drivers_less_the_runtimes() -> None:
    """An H100 reports 81,559 MiB; serving stacks leave a tenth of it. Nothing is set aside on the LPU's 220 MiB."""
    hbm, sram = (accelerator(name).numbers().memory for name in ("h100-sxm", "groq-lpu-v1"))
    assert usable_bytes("hbm", hbm) == close(81559 * 2**20 * 0.9)
    assert usable_bytes("sram", sram) == 220 * 2**20


def test_a_capacity_by_hand() -> None:
    """Llama-3.1-8B in bf16 on one H100: 8,030,261,248 parameters of two bytes, 32 layers of 8 heads of 2 · 128."""
    room = Deployment("llama-3.1-8b", "h100-sxm", quantization="bf16").capacity(4096)
    usable, weights, cache = 81559 * 2**20 * 0.9, 2 * 8_030_261_248, 32 * 8 * 2 * 128 * 2 * 4096
    assert (room.weights_bytes, room.kv_bytes_per_sequence) == (weights, cache)
    assert room.usable_bytes == room.device_usable_bytes == close(usable)
    assert room.device_weights_bytes == weights
    assert room.max_batch == (usable - weights) // cache == 113
    assert (room.fits, room.shortfall_bytes, room.min_devices, room.layout) == (True, 0, 1, Layout())


def test_replicated_caches_count_on_every_device() -> None:
    """Eight H100 that each hold the latent of every sequence have room for an eighth of what one copy would allow."""
    room = Deployment("deepseek-v3", "h200-sxm", 8, tp=8, pp=1).capacity(4096)
    free = room.device_usable_bytes - room.device_weights_bytes
    assert room.max_batch == free // room.kv_bytes_per_sequence
    spread = Deployment("deepseek-v3", "h200-sxm", 8, tp=1, dp=8, ep=8, pp=1).capacity(4096)
    each = (spread.device_usable_bytes - spread.device_weights_bytes) // spread.kv_bytes_per_sequence
    assert spread.max_batch == 8 * each


def test_capacity_over_contexts() -> None:
    deployment = Deployment("llama-3.1-8b", "h100-sxm", tp=1, pp=1)
    contexts = np.array([1024, 4096, 10**7])
    room = deployment.capacity(contexts)
    assert room.fits.tolist() == [True, True, False]
    assert room.min_devices is None
    assert room.max_batch.tolist() == [deployment.capacity(int(context)).max_batch for context in contexts]
    assert (room.shortfall_bytes > 0).tolist() == [False, False, True]


@FEWER
@given(spec=specs("sram", least_links=1), model=model_shapes(), context=st.integers(1, 3000))
def test_sram_keeps_activations_too(spec: dict[str, Any], model: ModelShape, context: int) -> None:
    """Where nothing lies behind the SRAM, a sequence's activations take their share; DRAM parts have a reserve."""
    spec.pop("feed", None)
    sram, hbm = (
        Memory.of(model, parse_accelerator({**spec, "kind": kind}, where="a test"), Layout(), PRESETS["bf16"])
        for kind in ("sram", "hbm")
    )
    caches = float(sequence_bytes(model, PRESETS["bf16"], context))  # type: ignore[arg-type]
    assert hbm.sequence_bytes(hbm.rooms[0], context) == close(caches)
    assert sram.sequence_bytes(sram.rooms[0], context) >= caches + 2 * 2 * model.hidden
    assert hbm.usable < sram.usable


@pytest.mark.parametrize("kv_cache", ["bf16", "fp8"])
def test_the_caches_format_sets_its_size(kv_cache: str) -> None:
    model = load_model("llama-3.1-70b")
    quantization = PRESETS["bf16"].with_(kv_cache=kv_cache)
    assert sequence_bytes(model, quantization, 10) == 10 * 80 * 8 * 256 * width(kv_cache)


def test_more_devices_than_links_join_are_no_replica() -> None:
    """A part whose links join two devices has no layout of three; on five of them two replicas stand and one idles."""
    spec = {
        "name": "a pair", "kind": "hbm", "vendor": "a test", "year": 2026, "edition": "2026-11", "status": "announced",
        "peak": {"bf16": cited(1e12, "FLOP/s")},
        "memory": {"hbm": {"capacity": cited(1e9, "B"), "bandwidth": cited(1e12, "B/s")}},
        "link": {"only": {"topology": "switch", "bandwidth": cited(1e10, "B/s"), "domain": cited(2, "")}},
    }  # fmt: skip
    pair = parse_accelerator(spec, where="a test")
    with pytest.raises(LayoutError, match="at most the 2 its links join"):
        Deployment("llama-3.1-8b", pair, 5, tp=4)
