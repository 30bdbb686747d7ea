"""Families whose layers keep a matrix of memories or a few past tokens instead of a cache, most of them."""

from __future__ import annotations

from roofline.describe.dialects import patterns
from roofline.describe.dialects.decoder import (
    attention,
)
from roofline.describe.dialects.dialect import Dialect, Reading
from roofline.describe.dialects.mixtures import LOCAL
from roofline.describe.linear_attention import GatedDeltaNet, LightningAttention, ShortConvolution
from roofline.describe.mixer import Mixer


def delta_net(reading: Reading) -> GatedDeltaNet:
    """Gated DeltaNet in Qwen's keys."""
    keys = reading.keys
    key_heads, value_heads = keys.size("linear_num_key_heads"), keys.size("linear_num_value_heads")
    if value_heads % key_heads:
        raise keys.error("linear_num_value_heads", value_heads, f"a multiple of the {key_heads} key heads")
    return GatedDeltaNet(
        key_heads=key_heads,
        value_heads=value_heads,
        key_dim=keys.size("linear_key_head_dim"),
        value_dim=keys.size("linear_value_head_dim"),
        filter_length=keys.size("linear_conv_kernel_dim"),
    )


def _qwen_mixers(reading: Reading) -> list[Mixer | None]:
    """Softmax attention with a gate in every `full_attention_interval`-th layer, DeltaNet in the others."""
    keys = reading.keys
    keys.read.update(("full_attention_interval", "layer_types"))

    def by_interval(reading: Reading) -> list[bool]:
        interval = keys.size("full_attention_interval", default=4)
        return [(index + 1) % interval != 0 for index in range(reading.count)]

    gated = keys.flag("attn_output_gate", True)
    state, cache = delta_net(reading), attention(reading, gate="full" if gated else "none")
    return [state if linear else cache for linear in patterns.linear_by_type(reading, by_interval)]


def _olmo_hybrid_mixers(reading: Reading) -> list[Mixer | None]:
    def three_of_four(reading: Reading) -> list[bool]:
        return [(index + 1) % 4 != 0 for index in range(reading.count)]

    state, cache = delta_net(reading), attention(reading)
    return [state if linear else cache for linear in patterns.linear_by_type(reading, three_of_four)]


def _minimax_mixers(reading: Reading) -> list[Mixer | None]:
    """`attn_type_list` has a zero for every lightning layer."""
    keys, count = reading.keys, reading.count
    if keys.given("attn_type_list"):
        linear = [mark == 0 for mark in keys.sizes("attn_type_list", count, least=0, most=1)]
    else:
        linear = patterns.linear_by_type(reading, lambda reading: [index % 2 == 1 for index in range(count)])
    state = LightningAttention(heads=reading.heads, head_dim=reading.head_dim)
    cache = attention(reading)
    return [state if mark else cache for mark in linear]


def _lfm_width(reading: Reading) -> int:
    """Two thirds of the given width, times a factor, rounded up to a multiple: the first LFM-2 configs say it so."""
    keys = reading.keys
    width = keys.size("block_ff_dim", "intermediate_size")
    keys.read.update(("block_ff_dim", "intermediate_size", "block_multiple_of", "block_ffn_dim_multiplier"))
    if not keys.flag("block_auto_adjust_ff_dim", True):
        return width
    width = int(2 * width / 3)
    multiple = keys.size("block_multiple_of", default=256)
    scaled = int(keys.number("block_ffn_dim_multiplier", 1.0) * width)
    return multiple * -(-scaled // multiple)


def _lfm_mixers(reading: Reading) -> list[Mixer | None]:
    """`layer_types` or `full_attn_idxs` say which layers attend; the others convolve."""
    keys, count = reading.keys, reading.count
    if keys.given("layer_types"):
        words = keys.words("layer_types", count, (*patterns.CONVOLUTION, *patterns.FULL, *patterns.WINDOWED))
    else:
        marked = keys.numbers("full_attn_idxs")
        if not marked:
            raise keys.missing("layer_types", "full_attn_idxs")
        words = ["full_attention" if index in marked else "conv" for index in range(count)]
    keys.read.update(("full_attn_idxs", "conv_L_cache", *reading.names("window")))
    gate = "head" if keys.flag("use_attention_gate", False) else "none"
    kinds: dict[str, Mixer] = {}
    for word in dict.fromkeys(words):
        if word in patterns.CONVOLUTION:
            kinds[word] = ShortConvolution(
                width=reading.hidden,
                filter_length=keys.size("conv_L_cache"),
                filter_bias=keys.flag("conv_bias", False),
                biased=("in", "out") if keys.flag("conv_bias", False) else (),
            )
        else:
            size = reading.size("window") if word in patterns.WINDOWED else None
            kinds[word] = attention(reading, size, gate=gate)
    return [kinds[word] for word in words]


def _four_norms_if_sandwiched(reading: Reading) -> int:
    return 4 if reading.keys.flag("use_sandwich_norm", False) else 2


DIALECTS = (
    Dialect(
        family="Qwen3-Next",
        types=("qwen3_next",),
        keys={"shared_width": ("shared_expert_intermediate_size",)},
        head_dim=256,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm="head",
        gate_in_query=True,
        shared_gate=True,
        mixers=_qwen_mixers,
        sparse=patterns.by_step,
    ),
    Dialect(
        family="Qwen3.5",
        types=("qwen3_5", "qwen3_5_text"),
        head_dim=256,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm="head",
        gate_in_query=True,
        mixers=_qwen_mixers,
        harmless=("mlp_only_layers", "mamba_ssm_dtype", "output_gate_type"),
    ),
    Dialect(
        family="Qwen3.5-MoE",
        types=("qwen3_5_moe", "qwen3_5_moe_text"),
        keys={"shared_width": ("shared_expert_intermediate_size",)},
        head_dim=256,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm="head",
        gate_in_query=True,
        shared_gate=True,
        mixers=_qwen_mixers,
        sparse=patterns.by_step,
        harmless=("mamba_ssm_dtype", "output_gate_type"),
    ),
    Dialect(
        family="OLMo-Hybrid",
        types=("olmo_hybrid",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm="full",
        mixers=_olmo_hybrid_mixers,
        harmless=("linear_allow_neg_eigval", "linear_use_gate", "linear_a_log_min", "linear_a_log_max"),
    ),
    Dialect(
        family="MiniMax-01",
        types=("minimax", "minimax_m1", "minimax_text_01"),
        keys=LOCAL,
        mixers=_minimax_mixers,
        sparse=patterns.all_sparse,
        harmless=("postnorm", "shared_moe_mode", "block_size"),
    ),
    Dialect(
        family="LFM-2",
        types=("lfm2",),
        keys={"tied": ("tie_embedding", "tie_word_embeddings"), "heads": ("num_attention_heads", "num_heads")},
        tied=True,
        qk_norm="head",
        width=_lfm_width,
        mixers=_lfm_mixers,
        harmless=(
            "block_dim",
            "block_mlp_init_scale",
            "block_norm_eps",
            "block_out_init_scale",
            "block_use_swiglu",
            "block_use_xavier_init",
            "conv_dim",
            "conv_dim_out",
            "conv_use_xavier_init",
            "num_heads",
            "theta",
            "use_pos_enc",
        ),
    ),
    Dialect(
        family="LFM-2-MoE",
        types=("lfm2_moe",),
        keys={"tied": ("tie_embedding", "tie_word_embeddings")},
        tied=True,
        qk_norm="head",
        mixers=_lfm_mixers,
        sparse=patterns.after("num_dense_layers", 0),
        harmless=("use_expert_bias",),
    ),
    Dialect(
        family="LFM-3",
        types=("lfm3",),
        tied=True,
        qk_norm="head",
        norms=_four_norms_if_sandwiched,
        mixers=_lfm_mixers,
    ),
)
