"""What mixers of every kind keep, see and cost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sympy
from pydantic import ValidationError

from roofline.describe.compressed import CompressedAttention, whole
from roofline.describe.feedforward import MoE
from roofline.describe.huggingface import read_config
from roofline.describe.mixers import (
    Attention,
    GatedDeltaNet,
    Indexer,
    KimiDeltaAttention,
    LatentAttention,
    LightningAttention,
    Mamba,
    Mamba2,
    Mixer,
    ParallelMixers,
    ShortConvolution,
)
from roofline.describe.model import ModelShape

CONFIGS = Path(__file__).parent / "data" / "configs"
ATTENTION = {"heads": 8, "kv_heads": 2, "key_dim": 16, "value_dim": 16}
LATENT = {"heads": 8, "q_rank": 32, "kv_rank": 64, "nope_dim": 16, "rope_dim": 8, "value_dim": 16}
INDEXER = Indexer(heads=4, dim=8, top_k=100)
MAMBA2 = Mamba2(heads=8, head_dim=16, state=32, groups=2, filter_length=4)
MIXERS: list[Mixer] = [
    Attention(**ATTENTION),
    Attention(**ATTENTION, window=50, sinks=True, qk_norm="full", gate="full"),
    Attention(**ATTENTION, indexer=INDEXER.model_copy(update={"narrow_query": False})),
    LatentAttention(**LATENT),
    LatentAttention(**LATENT, indexer=INDEXER),
    CompressedAttention(
        heads=8, q_rank=32, head_dim=16, window=50, ratio=4, indexer=INDEXER, output_groups=2, output_rank=16
    ),
    Mamba(inner=64, state=16, step_rank=4, filter_length=4),
    MAMBA2,
    GatedDeltaNet(key_heads=2, value_heads=4, key_dim=16, value_dim=16, filter_length=4),
    KimiDeltaAttention(heads=4, head_dim=16, filter_length=4, decay_rank=16, gate_rank=None),
    LightningAttention(heads=4, head_dim=16),
    ShortConvolution(width=64, filter_length=3),
    ParallelMixers(attention=Attention(**ATTENTION), recurrent=MAMBA2),
]
KINDS = [f"{mixer.kind}-{number}" for number, mixer in enumerate(MIXERS)]  # type: ignore[attr-defined]


def stored(name: str) -> ModelShape:
    return read_config(json.loads((CONFIGS / f"{name}.json").read_text()), name=name)


@pytest.mark.parametrize("mixer", MIXERS, ids=KINDS)
def test_every_kind_answers_every_question(mixer: Mixer) -> None:
    tokens = sympy.Symbol("n", positive=True, integer=True)
    contexts = np.array([0, 1, 49, 50, 51, 200, 1000])
    for question in ("stored_keys", "visible_keys", "kv_elements", "indexed_keys", "index_elements"):
        ask = getattr(mixer, question)
        on_array = ask(contexts)
        symbolic = ask(tokens)
        for context, value in zip(contexts.tolist(), on_array.tolist(), strict=True):
            exact = ask(context)
            assert isinstance(exact, int)
            assert exact == value >= 0
            assert sympy.sympify(symbolic).subs(tokens, context) == exact
        assert ask(100.0) == ask(100)
    assert mixer.visible_keys(10**6) <= 10**6
    assert mixer.matrices(64)
    assert all(vector.elements > 0 for vector in mixer.vectors(64))
    assert min(mixer.recurrent_elements, mixer.convolution_elements, mixer.state_flops, mixer.pair_flops) >= 0
    assert (mixer.pair_flops > 0) == (mixer.key_elements > 0)
    assert mixer.heads >= 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("mixer", MIXERS, ids=KINDS)
def test_kernels_and_splits_are_named(mixer: Mixer) -> None:
    for matrix in mixer.matrices(64):
        assert matrix.kernel
        assert matrix.split in ("columns", "rows", "heads", "kv_heads", "replicated")
        assert matrix.part in ("attention", "linear_mixer")
    assert any(matrix.split == "rows" for matrix in mixer.matrices(64))


def test_sparse_attention_keeps_everything_and_sees_the_best() -> None:
    mixer = LatentAttention(**LATENT, indexer=INDEXER)
    assert mixer.stored_keys(10_000) == 10_000
    assert mixer.visible_keys(10_000) == 100
    assert mixer.index_elements(10_000) == 10_000 * 8
    shared = LatentAttention(**LATENT, indexer=INDEXER.model_copy(update={"shares": True}))
    assert shared.visible_keys(10_000) == 100
    assert shared.index_elements(10_000) == shared.index_flops == 0


def test_compressed_attention_keeps_whole_summaries() -> None:
    """DeepSeek-V4-Flash: a window of 128 and a key of 512 per 4 or 128 tokens."""
    mixers = {layer.mixer.ratio: layer.mixer for layer in stored("deepseek-v4-flash").layers}  # type: ignore[union-attr]
    assert set(mixers) == {None, 4, 128}
    assert mixers[4].stored_keys(1023) == 128 + 255
    assert mixers[128].stored_keys(1023) == 128 + 7
    assert mixers[None].stored_keys(1023) == 128
    assert mixers[4].visible_keys(10**6) == 128 + 512
    assert mixers[4].index_elements(1023) == 255 * 128


def test_whole_groups_round_down() -> None:
    assert [whole(tokens, 4) for tokens in (0, 3, 4, 7, 8)] == [0, 0, 1, 1, 2]
    assert whole(np.array([3, 4, 7.5]), 4).tolist() == [0, 1, 1]


def test_layers_of_a_hybrid_keep_what_they_should() -> None:
    """Qwen3.5-27B: three layers of four keep a state, one keeps keys."""
    layers = stored("qwen3.5-27b").layers
    assert [isinstance(layer.mixer, GatedDeltaNet) for layer in layers[:8]] == [True, True, True, False] * 2
    assert layers[0].mixer.kv_elements(10**6) == 0  # type: ignore[union-attr]
    assert layers[3].mixer.recurrent_elements == 0  # type: ignore[union-attr]


def test_gemma4_global_layers_are_wider_and_share() -> None:
    model = stored("gemma-4-31b")
    local, whole_context = model.layers[0].mixer, model.layers[5].mixer
    assert isinstance(local, Attention)
    assert isinstance(whole_context, Attention)
    assert (local.key_dim, local.kv_heads, local.window) == (256, 16, 1024)
    assert (whole_context.key_dim, whole_context.kv_heads, whole_context.window) == (512, 4, None)
    assert whole_context.key_is_value
    assert whole_context.key_elements == 2 * 4 * 512  # the rotated key and the value are both kept
    shared = stored("gemma-4-e2b").layers[-1].mixer
    assert isinstance(shared, Attention)
    assert shared.shares_kv


def test_zero_experts_cost_nothing() -> None:
    expert = MoE(experts=8, top_k=3, expert_width=16, zero_experts=4)
    assert expert.matrices(64)[0].columns == 12
    assert MoE(experts=2, top_k=3, expert_width=16, zero_experts=4).top_k == 3


@pytest.mark.parametrize(
    "fields",
    [{"heads": 0}, {"kv_heads": 3}, {"window": -1}, {"qk_norm": "some"}, {"heads": 8.0}, {"colour": "red"}],
)
def test_impossible_mixers_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Attention(**{**ATTENTION, **fields})
