"""Families with latent attention (MLA), and what they add to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline.describe.dialects import patterns
from roofline.describe.dialects.compression import connections, head_connection
from roofline.describe.dialects.decoder import (
    dense,
    feed_forwards,
    indexed_latents,
    indexer,
    latent_attention,
    latents,
    mixture,
    norm_count,
    stacked,
)
from roofline.describe.dialects.dialect import Dialect, Reading
from roofline.describe.dialects.mixtures import ROUTED
from roofline.describe.feedforward import FeedForward
from roofline.describe.mixer import Mixer
from roofline.describe.model import Layer
from roofline.describe.parts import Vector


def _longcat_layers(reading: Reading) -> Sequence[Layer]:
    """A block is two attentions and two dense networks; experts run beside the first pair."""
    keys = reading.keys
    mixer = latent_attention(reading)
    width = keys.size("ffn_hidden_size")
    first = mixture(reading, zero_experts=keys.count("zero_expert_num", default=0, most=10**6), dense_width=width)
    pair = stacked([mixer, mixer], [first, dense(reading, width=width)], norm_count(reading))
    return pair * reading.count


def _axk1_layers(reading: Reading) -> Sequence[Layer]:
    """One more norm behind the experts."""
    mixer, marks = latent_attention(reading), _sparse_with_default(1)(reading)
    kinds: dict[bool, list[Layer]] = {
        mark: stacked([mixer], [mixture(reading) if mark else dense(reading)], 3 if mark else 2)
        for mark in dict.fromkeys(marks)
    }
    return [kinds[mark][0] for mark in marks]


def _large4_mixers(reading: Reading) -> list[Mixer | None]:
    """Layers without rotary positions keep the latent alone; learned weights scale all queries."""
    keys, count = reading.keys, reading.count
    keys.read.update(("layer_types", "kv_source_layers", "indexer_types", "q_lora_rank"))
    marks = keys.sizes("no_rope_layers", count, least=0, most=1)
    if keys.given("kv_source_layers") and keys.numbers("kv_source_layers") != list(range(count)):
        raise keys.error("kv_source_layers", "layers that read another's cache", "each layer its own")
    rope, nope = keys.size("qk_rope_head_dim"), keys.size("qk_nope_head_dim")
    heads, index_heads = reading.heads, keys.size("index_n_heads")
    search = indexer(
        reading,
        narrow_query=False,
        extra=(
            Vector(name="index_k_norm", elements=2 * keys.size("index_head_dim")),
            Vector(name="index_q_input_norm", elements=2 * reading.hidden),
            Vector(name="index_scaling", elements=2 * index_heads, part="attention"),
        ),
    )
    rank = keys.optional_size("q_lora_rank")
    scaling = (Vector(name="softmax_scaling", elements=2 * heads, part="attention"),)
    common: dict[str, Any] = {"q_rank": rank, "indexer": search, "extra": scaling}
    rotated = latent_attention(reading, **common)
    plain = latent_attention(reading, rope_dim=0, nope_dim=rope + nope, **common)
    return [rotated if mark else plain for mark in marks]


def _sparse_with_default(first_dense: int) -> Any:
    def rule(reading: Reading) -> list[bool]:
        keys = reading.keys
        if keys.given("mlp_layer_types", "first_k_dense_replace"):
            return patterns.after_dense_prefix(reading)
        return [index >= first_dense for index in range(reading.count)]

    return rule


def _dense_everywhere(reading: Reading) -> list[FeedForward | None]:
    return [dense(reading)] * reading.count


def _hunyuan4_layers(reading: Reading) -> Sequence[Layer]:
    """Gated latent attention with an indexer, and hyper-connections that read and write but do not mix."""
    if not reading.keys.given("indexer_types"):
        raise reading.keys.missing("indexer_types")
    mixers, networks = indexed_latents(reading), feed_forwards(reading)
    return stacked(mixers, networks, norm_count(reading), **connections(reading, mixing=False))


def _longcat_outside(reading: Reading) -> Mapping[str, Any]:
    if reading.keys.text("zero_expert_type", "identity") != "identity":
        raise reading.keys.error("zero_expert_type", reading.keys.data["zero_expert_type"], "identity")
    return {}


_DSA_HARMLESS = (
    "layer_types",
    "index_topk_freq",
    "index_topk_pattern",
    "index_skip_topk_offset",
    "index_share_for_mtp_iteration",
    "indexer_rope_interleave",
)

DIALECTS = (
    Dialect(
        family="DeepSeek-V3",
        types=("deepseek_v3", "kimi_k2", "deepseek_ref"),
        keys=ROUTED,
        qkv_bias="attention_bias",
        mixers=latents,
        sparse=patterns.after_dense_prefix,
        harmless=("num_mtp_layers",),
    ),
    Dialect(
        family="DeepSeek-V2",
        types=("deepseek_v2", "deepseek_vl_v2"),
        keys=ROUTED,
        qkv_bias="attention_bias",
        ffn_bias="mlp_bias",
        mixers=latents,
        sparse=patterns.after_dense_prefix,
    ),
    Dialect(
        family="DeepSeek-V3.2",
        types=("deepseek_v32",),
        keys=ROUTED,
        qkv_bias="attention_bias",
        mixers=indexed_latents,
        sparse=patterns.after_dense_prefix,
        harmless=_DSA_HARMLESS,
    ),
    Dialect(
        family="GLM-5",
        types=("glm_moe_dsa",),
        keys=ROUTED,
        qkv_bias="attention_bias",
        mixers=indexed_latents,
        sparse=patterns.after_dense_prefix,
        harmless=_DSA_HARMLESS,
    ),
    Dialect(
        family="GLM-4.7-Flash",
        types=("glm4_moe_lite",),
        keys=ROUTED,
        qkv_bias="attention_bias",
        mixers=latents,
        sparse=_sparse_with_default(1),
    ),
    Dialect(
        family="A.X-K1",
        types=("axk1",),
        keys=ROUTED,
        qkv_bias="attention_bias",
        layers=_axk1_layers,
    ),
    Dialect(
        family="Mistral-4",
        types=("mistral4",),
        keys=ROUTED,
        qkv_bias="attention_bias",
        mixers=latents,
        sparse=patterns.after_dense_prefix,
    ),
    Dialect(
        family="Mistral-Large-4",
        types=("mistral_large4", "mistral_large4_text"),
        keys=ROUTED,
        qkv_bias="attention_bias",
        mixers=_large4_mixers,
        sparse=patterns.after_dense_prefix,
        harmless=("first_k_dense_replace",),
    ),
    Dialect(
        family="Hunyuan-4",
        types=("hy_v4",),
        keys=ROUTED,
        qkv_bias="attention_bias",
        sinks=True,
        gate="full",
        layers=_hunyuan4_layers,
        outside=head_connection,
        sparse=_sparse_with_default(1),
        harmless=(*_DSA_HARMLESS, "learnable_sink_init", "hc_sublayer_mixing"),
    ),
    Dialect(
        family="LongCat",
        types=("longcat_flash",),
        keys={
            "layers": ("num_layers",),
            "experts": ("n_routed_experts",),
            "top_k": ("moe_topk",),
            "expert_width": ("expert_ffn_hidden_size",),
        },
        qkv_bias="attention_bias",
        layers=_longcat_layers,
        outside=_longcat_outside,
        harmless=("attention_method", "mla_scale_q_lora", "mla_scale_kv_lora", "num_hidden_layers", "router_bias"),
    ),
    Dialect(
        family="MiniCPM-3",
        types=("minicpm3",),
        tied=True,
        qkv_bias="attention_bias",
        ffn_bias="mlp_bias",
        mixers=latents,
        feed_forwards=_dense_everywhere,
        harmless=("scale_emb", "scale_depth", "dim_model_base"),
    ),
    Dialect(
        family="Youtu",
        types=("youtu",),
        tied=True,
        qkv_bias="attention_bias",
        mixers=latents,
        feed_forwards=_dense_everywhere,
    ),
)
