"""Families that mix Kimi Delta Attention with latent attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline.describe.dialects import patterns
from roofline.describe.dialects.compression import connections
from roofline.describe.dialects.decoder import (
    dense,
    feed_forwards,
    indexer,
    latent_attention,
    mixture,
    norm_count,
    stacked,
)
from roofline.describe.dialects.dialect import Dialect, Reading
from roofline.describe.dialects.mixtures import ROUTED
from roofline.describe.feedforward import FeedForward
from roofline.describe.linear_attention import KimiDeltaAttention
from roofline.describe.mixer import Mixer
from roofline.describe.model import Layer
from roofline.describe.parts import Projection, Vector


def _kimi_state(reading: Reading) -> tuple[KimiDeltaAttention, list[bool]]:
    """The delta attention and which layers have it: `linear_attn_config` counts layers from one."""
    keys, count = reading.keys, reading.count
    if not keys.given("linear_attn_config"):
        dim = keys.size("linear_head_dim")
        state = KimiDeltaAttention(
            heads=keys.size("linear_num_heads"),
            head_dim=dim,
            filter_length=keys.size("linear_conv_kernel_dim"),
            decay_rank=dim,
            gate_rank=dim,
        )
        if not keys.given("layer_types"):
            raise keys.missing("layer_types", "linear_attn_config")
        return state, patterns.linear_by_type(reading, lambda reading: [True] * count)
    inner = keys.part("linear_attn_config")
    dim = inner.size("head_dim")
    state = KimiDeltaAttention(
        heads=inner.size("num_heads"),
        head_dim=dim,
        filter_length=inner.size("short_conv_kernel_size"),
        decay_rank=dim,
        gate_rank=None if inner.flag("use_full_rank_gate", False) else dim,
    )
    linear, full = set(inner.numbers("kda_layers")), set(inner.numbers("full_attn_layers"))
    if linear & full or linear | full != set(range(1, count + 1)):
        raise inner.error("kda_layers", sorted(linear), f"with full_attn_layers, each layer from 1 to {count} once")
    return state, [index + 1 in linear for index in range(count)]


def _kimi_layers(reading: Reading) -> Sequence[Layer]:
    """Delta attention, latent attention, and in Kimi-K3 residuals that attend to those of earlier blocks."""
    state, linear = _kimi_state(reading)
    gate = "full" if reading.keys.flag("mla_use_output_gate", False) else "none"
    cache = latent_attention(reading, gate=gate)
    mixers: list[Mixer | None] = [state if mark else cache for mark in linear]
    # Attention over residuals: a query and a norm of the keys before each half of a layer.
    extra = 4 if _attends_to_residuals(reading) else 0
    return stacked(mixers, _kimi_networks(reading), norm_count(reading) + extra)


def _attends_to_residuals(reading: Reading) -> bool:
    return reading.keys.optional_size("attn_res_block_size") is not None


def _kimi_networks(reading: Reading) -> list[FeedForward | None]:
    """Experts may work on a narrower latent, with a norm behind it."""
    keys = reading.keys
    latent = keys.optional_size("routed_expert_hidden_size")
    normed = keys.flag("latent_moe_use_norm", False)
    extra = (Vector(name="latent_norm", elements=latent),) if latent and normed else ()
    sparse = patterns.after_dense_prefix(reading)
    kinds: dict[bool, FeedForward] = {
        mark: mixture(reading, latent_width=latent, extra=extra) if mark else dense(reading)
        for mark in dict.fromkeys(sparse)
    }
    return [kinds[mark] for mark in sparse]


def _kimi_outside(reading: Reading) -> Mapping[str, Any]:
    if not _attends_to_residuals(reading):
        return {}
    return {"extra": (Vector(name="residual_attention", elements=2 * reading.hidden),)}


def _ling_mixers(reading: Reading) -> list[Mixer | None]:
    """Latent attention in every `layer_group_size`-th layer, delta attention with full-rank gates in the others."""
    keys = reading.keys
    keys.read.update(("layer_group_size", "short_conv_kernel_size", "q_lora_rank"))

    def by_group(reading: Reading) -> list[bool]:
        group = keys.size("layer_group_size")
        return [(index + 1) % group != 0 for index in range(reading.count)]

    linear = patterns.linear_by_type(reading, by_group)
    state = KimiDeltaAttention(
        heads=keys.size("linear_num_heads", default=reading.heads),
        head_dim=keys.size("linear_head_dim", default=128),
        filter_length=keys.size("linear_conv_kernel_dim", "short_conv_kernel_size"),
        decay_rank=None,
        gate_rank=None,
    )
    cache = latent_attention(reading, gate="head", q_rank=keys.optional_size("q_lora_rank"))
    return [state if mark else cache for mark in linear]


def _glm_next_layers(reading: Reading) -> Sequence[Layer]:
    """Delta attention, and latent attention whose indexer pools keys; hyper-connections in every layer."""
    keys, count, hidden = reading.keys, reading.count, reading.hidden
    words = keys.words("layer_types", count, (*patterns.LINEAR, "indexed_attention"))
    dim = keys.size("linear_head_dim")
    state = KimiDeltaAttention(
        heads=keys.size("linear_num_heads"),
        head_dim=dim,
        filter_length=keys.size("linear_conv_kernel_dim"),
        decay_rank=dim,
        gate_rank=dim,
    )
    index_dim, pool = keys.size("index_head_dim"), keys.size("index_kpool")
    own = indexer(
        reading,
        projections=(Projection(name="index_pool_gate", inner=hidden, columns=index_dim, part="attention"),),
        extra=(
            Vector(name="index_k_norm", elements=2 * index_dim),
            Vector(name="index_pool_positions", elements=pool * index_dim, part="attention"),
        ),
    )
    kinds: dict[str, Mixer] = {"full": latent_attention(reading, indexer=own)}
    kinds["shared"] = latent_attention(reading, indexer=indexer(reading, shares=True))
    choices = ["full"] * count
    if keys.given("indexer_types"):
        choices = keys.words("indexer_types", count, ("full", "shared"))
    mixers: list[Mixer | None] = [
        kinds[choice] if word == "indexed_attention" else state for word, choice in zip(words, choices, strict=True)
    ]
    return stacked(mixers, feed_forwards(reading), norm_count(reading), **connections(reading))


DIALECTS = (
    Dialect(
        family="Kimi-Linear",
        types=("kimi_linear", "kimi_k3"),
        keys={"top_k": ("num_experts_per_token", "num_experts_per_tok"), "shared_count": ("num_shared_experts",)},
        layers=_kimi_layers,
        outside=_kimi_outside,
        harmless=(
            "activation_situ_beta",
            "activation_situ_linear_beta",
            "mla_use_nope",
            "moe_renormalize",
            "moe_router_activation_func",
            "use_grouped_topk",
        ),
    ),
    Dialect(
        family="Ling-hybrid",
        types=("bailing_hybrid",),
        keys={"top_k": ("num_experts_per_token", "num_experts_per_tok"), "shared_count": ("num_shared_experts",)},
        mixers=_ling_mixers,
        sparse=patterns.after_dense_prefix,
        harmless=("kda_safe_gate", "kda_lower_bound", "moe_renormalize"),
    ),
    Dialect(
        family="GLM-5-Next",
        types=("glm5_next", "glm5_next_text"),
        keys=ROUTED,
        layers=_glm_next_layers,
        sparse=patterns.after_dense_prefix,
        harmless=("index_kpool_always_select_tail", "linear_lower_bound"),
    ),
)
