"""Shapes built by hand: counts, caches and groups."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import sympy
from pydantic import ValidationError

from roofline.describe.feedforward import Dense, MoE
from roofline.describe.mixers import Attention, LatentAttention
from roofline.describe.model import Layer, ModelShape, stored_bytes
from roofline.describe.parts import Vector

HIDDEN = 64


def attention(**changes: object) -> Attention:
    return Attention(**{"heads": 8, "kv_heads": 2, "key_dim": 16, "value_dim": 16, **changes})


def model(*layers: Layer, **changes: object) -> ModelShape:
    fields = {"name": "hand", "hidden": HIDDEN, "vocab": 1000, "tied": False, "layers": layers}
    return ModelShape(**{**fields, **changes})


def test_parts_sum_to_the_total() -> None:
    shape = model(
        Layer(mixer=attention(), feed_forward=Dense(width=128)),
        Layer(mixer=attention(), feed_forward=MoE(experts=4, top_k=1, expert_width=32, shared_width=16)),
    )
    counts = shape.parameters()
    assert counts.attention == 2 * HIDDEN * 16 * (8 + 2 + 2 + 8)
    assert counts.dense_ffn == 3 * HIDDEN * 128
    assert counts.experts == 4 * 3 * HIDDEN * 32
    assert counts.shared_experts == 3 * HIDDEN * 16
    assert counts.router == 4 * HIDDEN
    assert counts.norm_other == 4 * HIDDEN
    assert counts.total == 2 * 1000 * HIDDEN + counts.attention + counts.dense_ffn + counts.experts + (
        counts.shared_experts + counts.router + counts.norm_other
    )
    assert counts.active == counts.total - counts.experts * 3 // 4
    assert counts.active_nonembedding == counts.active - 2 * 1000 * HIDDEN
    assert counts.active_matmul == counts.active_nonembedding + 1000 * HIDDEN


def test_equal_shapes_are_found_by_each_other_and_leave_their_hash_behind() -> None:
    """A hash that crossed to another process would be that of no equal shape there."""
    one, same, other = (model(Layer(mixer=attention(), feed_forward=Dense(width=width))) for width in (128, 128, 64))
    assert hash(one) == hash(same)
    assert {one: 1}[same] == 1
    assert other not in {one}
    assert one not in (other, model(*one.layers, *one.layers), model(*one.layers, tied=True), one.layers[0])
    crossed = pickle.loads(pickle.dumps(one))
    assert (crossed, hash(crossed)) == (one, hash(one))
    assert pickle.loads(pickle.dumps(one)).__dict__.keys() == ModelShape.model_fields.keys()


def test_a_tied_table_is_counted_once_and_multiplied_once() -> None:
    layer = Layer(mixer=attention(), feed_forward=Dense(width=128))
    tied, untied = model(layer, tied=True).parameters(), model(layer).parameters()
    assert tied.total == untied.total - 1000 * HIDDEN
    assert tied.active_matmul == untied.active_matmul


def test_a_mixture_of_one_expert_weighs_as_much_as_a_dense_network_and_its_router() -> None:
    dense = model(Layer(mixer=attention(), feed_forward=Dense(width=128))).parameters()
    moe = model(Layer(mixer=attention(), feed_forward=MoE(experts=1, top_k=1, expert_width=128))).parameters()
    assert moe.total == dense.total + HIDDEN
    assert moe.active == moe.total


def test_the_window_bounds_the_cache() -> None:
    full = model(Layer(mixer=attention(), feed_forward=Dense(width=128)))
    windowed = model(Layer(mixer=attention(window=100), feed_forward=Dense(width=128)))
    assert full.kv_bytes(1000) == 1000 * 2 * 2 * 16 * 2
    assert windowed.kv_bytes(1000) == windowed.kv_bytes(100) == full.kv_bytes(100)
    assert full.kv_bytes(1000, "fp8") == full.kv_bytes(1000) // 2


def test_a_layer_that_shares_a_cache_stores_nothing_and_still_attends() -> None:
    mixer = attention(shares_kv=True)
    assert mixer.kv_elements(1000) == 0
    assert mixer.visible_keys(1000) == 1000


def test_latent_attention_keeps_one_latent_per_token() -> None:
    mixer = LatentAttention(heads=128, q_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128)
    assert mixer.kv_elements(1) == 576
    assert mixer.pair_flops == 278_528  # DeepSeek-V3, absorbed
    assert mixer.rebuilt_pair_flops == 81_920
    assert sum(matrix.elements for matrix in mixer.matrices(7168)) == 187_105_280


def test_contexts_of_every_kind_agree() -> None:
    shape = model(
        Layer(mixer=attention(), feed_forward=Dense(width=128)),
        Layer(mixer=attention(window=100), feed_forward=Dense(width=128)),
    )
    tokens = sympy.Symbol("n", positive=True)
    contexts = np.array([1, 50, 100, 101, 5000])
    for number_format in ("bf16", "fp8", "nvfp4"):
        on_array = shape.cache_bytes(contexts, number_format)
        symbolic = shape.cache_bytes(tokens, number_format)
        for context, value in zip(contexts, on_array, strict=True):
            assert shape.cache_bytes(int(context), number_format) == pytest.approx(value)
            assert float(symbolic.subs(tokens, int(context))) == pytest.approx(value)
    assert isinstance(shape.kv_bytes(7), int)
    assert shape.kv_bytes(7.5) == pytest.approx(7.5 / 7 * shape.kv_bytes(7))


def test_numpy_integers_do_not_wrap_around() -> None:
    shape = model(*[Layer(mixer=attention(kv_heads=8, key_dim=128, value_dim=128), feed_forward=Dense(width=128))] * 99)
    exact = shape.kv_bytes(10**6)
    assert shape.kv_bytes(np.int32(10**6)) == exact
    assert shape.kv_bytes(np.array([10**6], dtype=np.int32)).tolist() == [exact]


def test_stored_bytes_are_whole_where_they_can_be() -> None:
    assert stored_bytes(32, "mxfp4") == 17
    assert stored_bytes(1, "mxfp4") == pytest.approx(17 / 32)


def test_equal_layers_are_grouped_and_sliced() -> None:
    first = Layer(mixer=attention(), feed_forward=Dense(width=128))
    again = Layer(mixer=attention(), feed_forward=Dense(width=128))
    other = Layer(mixer=attention(window=10), feed_forward=Dense(width=128))
    shape = model(first, other, again, other)
    assert shape.groups() == ((first, 2), (other, 2))
    assert shape.groups(0, 1) == ((first, 1),)
    assert shape.groups(1) == ((other, 2), (first, 1))


def test_kernels_say_what_is_fused() -> None:
    layer = Layer(mixer=attention(), feed_forward=Dense(width=128))
    assert [matrix.kernel for matrix in layer.matrices(HIDDEN)] == ["qkv"] * 3 + ["o"] + ["gate_up"] * 2 + ["down"]


@pytest.mark.parametrize(
    "fields",
    [{"hidden": 0}, {"hidden": True}, {"vocab": -1}, {"layers": ()}, {"hidden": 10**12}, {"colour": "red"}],
)
def test_impossible_shapes_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        model(Layer(mixer=attention(), feed_forward=Dense(width=128)), **fields)


def test_a_bias_needs_its_matrix() -> None:
    with pytest.raises(ValueError, match="biased"):
        model(Layer(mixer=attention(biased=("z",)), feed_forward=Dense(width=128))).parameters()


def test_more_experts_cannot_be_chosen_than_there_are() -> None:
    with pytest.raises(ValidationError, match="top_k"):
        MoE(experts=4, top_k=5, expert_width=8)


def test_extra_vectors_are_counted_where_they_say() -> None:
    layer = Layer(mixer=attention(), feed_forward=Dense(width=128))
    plain = model(layer).parameters()
    more = model(layer, extra=(Vector(name="final_norm", elements=HIDDEN),)).parameters()
    assert more.norm_other == plain.norm_other + HIDDEN


def test_a_changed_copy_is_counted_anew_and_checked() -> None:
    """Half of the layers weigh half of what all do, though those had been counted before."""
    layer = Layer(mixer=attention(), feed_forward=Dense(width=128))
    whole = model(*[layer] * 4)
    assert (len(whole.pattern), whole.groups()) == (4, ((layer, 4),))
    half = whole.model_copy(update={"layers": whole.layers[:2]})
    assert 2 * half.parameters().dense_ffn == whole.parameters().dense_ffn
    assert (len(half.pattern), half.groups()) == (2, ((layer, 2),))
    with pytest.raises(ValidationError, match="layers"):
        whole.model_copy(update={"layers": ()})
