"""Families with state-space layers: Mamba alone, beside attention, or in the same layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from roofline.describe.dialects import patterns
from roofline.describe.dialects.decoder import (
    attention,
    dense,
    mixture,
    stacked,
)
from roofline.describe.dialects.dialect import Dialect, Reading
from roofline.describe.dialects.mixtures import LOCAL
from roofline.describe.feedforward import FeedForward
from roofline.describe.mixer import Mixer
from roofline.describe.model import Layer
from roofline.describe.state_space import Mamba, Mamba2, ParallelMixers

_IN_OUT = ("gate", "in", "select", "step", "out")


def expanded(reading: Reading, key: str, default: int = 2) -> int:
    """The model's width times a factor, which must come out whole."""
    inner = reading.hidden * reading.keys.number(key, default)
    if inner != int(inner) or not 1 <= inner <= 10**7:
        raise reading.keys.error(key, inner / reading.hidden, "a whole multiple of the width")
    return int(inner)


def step_rank(reading: Reading, key: str) -> int:
    """A rank, or `auto` for a sixteenth of the width."""
    if reading.keys.data.get(key, "auto") == "auto":
        reading.keys.read.add(key)
        return math.ceil(reading.hidden / 16)
    return reading.keys.size(key)


def _biased(reading: Reading, key: str, *names: str) -> tuple[str, ...]:
    return names if reading.keys.flag(key, False) else ()


def _mamba_mixers(reading: Reading) -> list[Mixer | None]:
    keys = reading.keys
    inner = expanded(reading, "expand")
    if keys.given("intermediate_size"):
        inner = keys.size("intermediate_size")
    mixer = Mamba(
        inner=inner,
        state=keys.size("state_size"),
        step_rank=step_rank(reading, "time_step_rank"),
        filter_length=keys.size("conv_kernel"),
        filter_bias=keys.flag("use_conv_bias", True),
        biased=_biased(reading, "use_bias", "in", "out"),
    )
    return [mixer] * reading.count


def _mamba2_mixers(reading: Reading) -> list[Mixer | None]:
    keys = reading.keys
    heads, dim = keys.size("num_heads"), keys.size("head_dim")
    if heads * dim != expanded(reading, "expand"):
        raise keys.error("num_heads", heads, f"{expanded(reading, 'expand')} channels in heads of {dim}")
    mixer = Mamba2(
        heads=heads,
        head_dim=dim,
        state=keys.size("state_size"),
        groups=keys.size("n_groups"),
        filter_length=keys.size("conv_kernel"),
        filter_bias=keys.flag("use_conv_bias", True),
        biased=_biased(reading, "use_bias", "gate", "in", "select", "step", "out"),
    )
    return [mixer] * reading.count


def _no_networks(reading: Reading) -> list[FeedForward | None]:
    return [None] * reading.count


def _jamba_mixers(reading: Reading) -> list[Mixer | None]:
    """Attention in every `attn_layer_period`-th layer from `attn_layer_offset` on, Mamba in the others."""
    keys = reading.keys
    state = Mamba(
        inner=expanded(reading, "mamba_expand"),
        state=keys.size("mamba_d_state"),
        step_rank=step_rank(reading, "mamba_dt_rank"),
        filter_length=keys.size("mamba_d_conv"),
        filter_bias=keys.flag("mamba_conv_bias", True),
        inner_norms=True,
        biased=_biased(reading, "mamba_proj_bias", "in", "out"),
    )
    cache = attention(reading)
    period, offset = keys.size("attn_layer_period"), keys.count("attn_layer_offset")
    return [cache if index % period == offset else state for index in range(reading.count)]


def _jamba_sparse(reading: Reading) -> list[bool]:
    keys = reading.keys
    period, offset = keys.size("expert_layer_period"), keys.count("expert_layer_offset")
    several = reading.size("experts") > 1
    return [several and index % period == offset for index in range(reading.count)]


def _mamba2_of(reading: Reading, inner: int, **changes: Any) -> Mamba2:
    """Mamba-2 in the keys that Bamba, Granite and Falcon-H1 share."""
    keys = reading.keys
    heads = keys.size("mamba_n_heads")
    dim = inner // heads if keys.data.get("mamba_d_head", "auto") == "auto" else keys.size("mamba_d_head")
    keys.read.update(("mamba_d_head", "mamba_expand"))
    if heads * dim != inner:
        raise keys.error("mamba_n_heads", heads, f"{inner} channels in heads of {dim}")
    fields: dict[str, Any] = {
        "heads": heads,
        "head_dim": dim,
        "state": keys.size("mamba_d_state"),
        "groups": keys.size("mamba_n_groups"),
        "filter_length": keys.size("mamba_d_conv"),
        "filter_bias": keys.flag("mamba_conv_bias", True),
        **changes,
    }
    return Mamba2(**fields)


def _bamba_mixers(reading: Reading) -> list[Mixer | None]:
    biased = _biased(reading, "mamba_proj_bias", *_IN_OUT)
    state = _mamba2_of(reading, expanded(reading, "mamba_expand"), biased=biased)
    cache = attention(reading)
    marked = reading.keys.numbers("attn_layer_indices")
    return [cache if index in marked else state for index in range(reading.count)]


def _granite_mixers(reading: Reading) -> list[Mixer | None]:
    biased = _biased(reading, "mamba_proj_bias", *_IN_OUT)
    linear = patterns.linear_by_type(reading, lambda reading: [True] * reading.count)
    if not any(linear):
        return [attention(reading)] * reading.count
    state = _mamba2_of(reading, expanded(reading, "mamba_expand"), biased=biased)
    cache = attention(reading)
    return [state if mark else cache for mark in linear]


def _granite_networks(reading: Reading) -> list[FeedForward | None]:
    """Without experts, the shared network is a dense one."""
    if reading.keys.count("num_local_experts", default=0) == 0:
        reading.keys.read.update(("intermediate_size", "num_experts_per_tok"))
        return [dense(reading, width=reading.keys.size("shared_intermediate_size"))] * reading.count
    return [mixture(reading)] * reading.count


def _falcon_h1_mixers(reading: Reading) -> list[Mixer | None]:
    keys = reading.keys
    inner = keys.size("mamba_d_ssm") if keys.given("mamba_d_ssm") else expanded(reading, "mamba_expand")
    in_bias = _biased(reading, "mamba_proj_bias", "gate", "in", "select", "step")
    biased = (*in_bias, *_biased(reading, "projectors_bias", "out"))
    state = _mamba2_of(reading, inner, gated_norm=keys.flag("mamba_rms_norm", False), biased=biased)
    return [ParallelMixers(attention=attention(reading), recurrent=state)] * reading.count


def _nemotron_layers(reading: Reading) -> Sequence[Layer]:
    """One block per layer: `M` Mamba-2, `*` attention, `-` dense network, `E` experts, as a string or a list."""
    keys = reading.keys
    if keys.given("hybrid_override_pattern"):
        pattern = keys.text("hybrid_override_pattern")
        letters = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
        if not pattern or set(pattern) - set(letters) or len(pattern) > 4096:
            raise keys.error("hybrid_override_pattern", pattern, "a string of M, *, - and E")
        words = [letters[letter] for letter in pattern]
    else:
        listed = keys.given("layers_block_type", "layer_types")
        if listed is None:
            raise keys.missing("hybrid_override_pattern", "layers_block_type")
        known = ("mamba", "linear_attention", "attention", "full_attention", "mlp", "moe")
        words = keys.words(listed, len(keys.items(listed)), known)
    if keys.given("num_hidden_layers") and reading.count != len(words):
        raise keys.error("num_hidden_layers", reading.count, f"the {len(words)} blocks of the pattern")
    kinds: dict[str, tuple[Mixer | None, FeedForward | None]] = {}
    for word in dict.fromkeys(words):
        kinds[word] = _nemotron_block(reading, word)
    return stacked([kinds[word][0] for word in words], [kinds[word][1] for word in words], 1)


def _nemotron_block(reading: Reading, word: str) -> tuple[Mixer | None, FeedForward | None]:
    keys = reading.keys
    if word in ("mamba", "linear_attention"):
        mixer = Mamba2(
            heads=keys.size("mamba_num_heads"),
            head_dim=keys.size("mamba_head_dim"),
            state=keys.size("ssm_state_size"),
            groups=keys.size("n_groups", "mamba_n_groups"),
            filter_length=keys.size("conv_kernel", "mamba_d_conv"),
            filter_bias=keys.flag(keys.given("use_conv_bias", "mamba_conv_bias") or "use_conv_bias", True),
            biased=_biased(reading, "use_bias", *_IN_OUT),
        )
        return mixer, None
    if word in ("attention", "full_attention"):
        return attention(reading), None
    if word == "mlp":
        return None, dense(reading)
    shared = keys.size("moe_shared_expert_intermediate_size") if keys.count("n_shared_experts", default=1) else 0
    latent = keys.optional_size("moe_latent_size")
    return None, mixture(reading, shared_width=shared, latent_width=latent)


def _nemotron_outside(reading: Reading) -> Mapping[str, Any]:
    reading.keys.read.update(
        (
            "num_hidden_layers",
            "intermediate_size",
            "moe_intermediate_size",
            "moe_shared_expert_intermediate_size",
            "moe_latent_size",
            "n_routed_experts",
            "n_shared_experts",
            "num_experts_per_tok",
        )
    )
    return {}


DIALECTS = (
    Dialect(
        family="Mamba",
        types=("mamba", "falcon_mamba"),
        keys={"layers": ("num_hidden_layers", "n_layer"), "hidden": ("hidden_size", "d_model")},
        tied=True,
        norms=1,
        mixers=_mamba_mixers,
        feed_forwards=_no_networks,
        harmless=("use_mambapy", "use_associative_scan", "mixer_rms_eps", "rms_norm", "fused_add_norm", "d_inner"),
    ),
    Dialect(
        family="Mamba-2",
        types=("mamba2",),
        norms=1,
        mixers=_mamba2_mixers,
        feed_forwards=_no_networks,
        harmless=("time_step_rank", "chunk_size", "rms_norm", "norm_before_gate"),
    ),
    Dialect(
        family="Jamba",
        types=("jamba",),
        keys={"expert_width": ("intermediate_size",)},
        mixers=_jamba_mixers,
        sparse=_jamba_sparse,
        harmless=(
            "mamba_inner_layernorms",
            "use_mamba_kernels",
            "use_mambapy",
            "use_associative_scan",
            "sliding_window",
        ),
    ),
    Dialect(
        family="Bamba",
        types=("bamba",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        ffn_bias="mlp_bias",
        mixers=_bamba_mixers,
        harmless=("mamba_chunk_size", "attn_rotary_emb", "use_mamba_kernels"),
    ),
    Dialect(
        family="Granite-4",
        types=("granitemoehybrid",),
        keys={**LOCAL, "shared_width": ("shared_intermediate_size",)},
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        mixers=_granite_mixers,
        feed_forwards=_granite_networks,
        harmless=(
            "position_embedding_type",
            "normalization_function",
            "mamba_chunk_size",
            "mamba_d_state",
            "mamba_n_groups",
            "mamba_d_conv",
            "mamba_n_heads",
            "mamba_d_head",
            "mamba_expand",
            "mamba_conv_bias",
        ),
    ),
    Dialect(
        family="Falcon-H1",
        types=("falcon_h1",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        ffn_bias="mlp_bias",
        mixers=_falcon_h1_mixers,
        harmless=(
            "mamba_chunk_size",
            "mamba_norm_before_gate",
            "mamba_use_mlp",
            "mlp_expansion_factor",
            "attn_layer_indices",
            "mlp_multipliers",
            "ssm_multipliers",
            "projectors_bias",
        ),
    ),
    Dialect(
        family="Nemotron-H",
        types=("nemotron_h",),
        keys={"experts": ("n_routed_experts",), "head_dim": ("head_dim", "attention_head_dim")},
        ffn_bias="mlp_bias",
        gated=False,
        layers=_nemotron_layers,
        outside=_nemotron_outside,
        harmless=(
            "attention_head_dim",
            "chunk_size",
            "expand",
            "moe_shared_expert_overlap",
            "sliding_window",
            "time_step_rank",
            "use_mamba_kernels",
        ),
    ),
)
