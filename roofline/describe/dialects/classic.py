"""Families before gated networks and RMS norms became usual: biases, layer norms, learned positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline.describe.dialects.decoder import attention, decoder_layers
from roofline.describe.dialects.dialect import Dialect, Reading
from roofline.describe.dialects.keys import LARGEST_CONTEXT
from roofline.describe.dialects.patterns import everywhere
from roofline.describe.mixer import Mixer
from roofline.describe.model import Layer
from roofline.describe.parts import Projection, Vector

_GPT_KEYS = {
    "layers": ("n_layer", "num_hidden_layers"),
    "hidden": ("n_embd", "hidden_size"),
    "heads": ("n_head", "num_attention_heads"),
    "width": ("n_inner", "intermediate_size"),
    "context": ("n_positions", "max_position_embeddings"),
}


def four_times(reading: Reading) -> int:
    """The given width, or four times the model's."""
    return reading.size("width", 4 * reading.hidden)


def learned_positions(reading: Reading) -> Mapping[str, Any]:
    """A table with a row per position."""
    return {"positions": reading.keys.size(*reading.names("context"), most=LARGEST_CONTEXT)}


def _opt_outside(reading: Reading) -> Mapping[str, Any]:
    """Two more rows of positions; an embedding narrower than the model is projected in and out."""
    hidden = reading.hidden
    narrow = reading.keys.size("word_embed_proj_dim", default=hidden)
    found: dict[str, Any] = {"positions": reading.keys.size(*reading.names("context"), most=LARGEST_CONTEXT) + 2}
    if narrow != hidden:
        found["embedding_width"] = narrow
        found["projections"] = (
            Projection(name="embedding_in", inner=narrow, columns=hidden),
            Projection(name="embedding_out", inner=hidden, columns=narrow),
        )
    before = reading.keys.flag("do_layer_norm_before", True)
    weightless = not reading.keys.flag("layer_norm_elementwise_affine", True)
    if weightless or not before or reading.keys.flag("_remove_final_layer_norm", False):
        found["final_norm"] = False
    return found


def _bloom_outside(reading: Reading) -> Mapping[str, Any]:
    return {"extra": (Vector(name="embedding_norm", elements=2 * reading.hidden, part="embedding"),)}


def _multi_query(reading: Reading) -> list[Mixer | None]:
    """One key-value head, unless `multi_query` is off."""
    kv_heads = 1 if reading.keys.flag("multi_query", True) else reading.heads
    return [attention(reading, kv_heads=kv_heads)] * reading.count


def _falcon_mixers(reading: Reading) -> list[Mixer | None]:
    """The new architecture counts its key-value heads; the old one has one of them, or one per head.

    `multi_query` is written in both and ignored in the new one.
    """
    multi_query = reading.keys.flag("multi_query", True)
    if reading.keys.flag("new_decoder_architecture", False):
        kv_heads = reading.keys.size("num_kv_heads", "n_head_kv", default=reading.heads)
        if reading.heads % kv_heads:
            raise reading.keys.error("num_kv_heads", kv_heads, f"a divisor of the {reading.heads} heads")
    else:
        kv_heads = 1 if multi_query else reading.heads
    return [attention(reading, kv_heads=kv_heads)] * reading.count


def _falcon_parallel(reading: Reading) -> bool:
    """In the new architecture always, in the old one unless `parallel_attn` is off."""
    return reading.keys.flag("parallel_attn", True) or reading.keys.flag("new_decoder_architecture", False)


def _falcon_norms(reading: Reading) -> int:
    """Two norms where attention and network follow each other; side by side, one, or in the new architecture two."""
    keys = reading.keys
    if not keys.flag("parallel_attn", True):
        return 2
    return keys.size(
        "num_ln_in_parallel_attn", default=2 if keys.flag("new_decoder_architecture", False) else 1, most=2
    )


def _one_norm_if_parallel(reading: Reading) -> int:
    return 1 if reading.keys.flag("use_parallel_residual", False) else 2


def _phi_mixers(reading: Reading) -> list[Mixer | None]:
    norm = "head" if reading.keys.flag("qk_layernorm", False) else "none"
    return [attention(reading, qk_norm=norm, qk_norm_bias=True)] * reading.count


def _mpt_layers(reading: Reading) -> Sequence[Layer]:
    if reading.keys.given("attn_config"):
        inner = reading.keys.part("attn_config")
        if inner.flag("qk_ln", False) or inner.flag("qk_gn", False):
            raise inner.error("qk_ln", True, "false: norms of queries and keys are not known in this family")
    return decoder_layers(reading)


def _mpt_mixers(reading: Reading) -> list[Mixer | None]:
    kv_heads = reading.heads
    if reading.keys.given("attn_config"):
        kv_heads = reading.keys.part("attn_config").size("kv_n_heads", default=reading.heads)
    return [attention(reading, kv_heads=kv_heads)] * reading.count


def _mpt_width(reading: Reading) -> int:
    width = reading.hidden * reading.keys.number("expansion_ratio", 4)
    if width != int(width):
        raise reading.keys.error("expansion_ratio", width / reading.hidden, "a whole multiple of the width")
    return int(width)


def _neo_mixers(reading: Reading) -> list[Mixer | None]:
    """`attention_types` lists patterns of global and local layers with how often each repeats."""
    keys, count = reading.keys, reading.count
    words: list[str] = []
    if keys.given("attention_layers"):
        words = keys.words("attention_layers", count, ("global", "local"))
    for item in [] if words else keys.items("attention_types"):
        match item:
            case [list(pattern), int(times)] if 0 < times <= count:
                words.extend(pattern * times)
            case _:
                raise keys.error("attention_types", item, "patterns of global and local layers, each with a count")
    if len(words) != count or any(word not in ("global", "local") for word in words):
        raise keys.error("attention_types", words, f"a pattern of {count} global and local layers")
    size = keys.size("window_size", default=256)
    kinds = {
        word: attention(reading, size if word == "local" else None, biased=("o",)) for word in dict.fromkeys(words)
    }
    return [kinds[word] for word in words]


def _chatglm_mixers(reading: Reading) -> list[Mixer | None]:
    grouped = reading.keys.flag("multi_query_attention", False)
    kv_heads = reading.keys.size("multi_query_group_num") if grouped else reading.heads
    reading.keys.given("multi_query_group_num")
    if reading.heads % kv_heads:
        raise reading.keys.error("multi_query_group_num", kv_heads, f"a divisor of the {reading.heads} heads")
    qkv = reading.keys.flag("add_qkv_bias", False) or reading.keys.flag("add_bias_linear", False)
    biased = (*(("q", "k", "v") if qkv else ()), *(("o",) if reading.on("add_bias_linear") else ()))
    return [attention(reading, kv_heads=kv_heads, biased=biased)] * reading.count


def _chatglm_outside(reading: Reading) -> Mapping[str, Any]:
    if not reading.keys.flag("rmsnorm", True):
        raise reading.keys.error("rmsnorm", False, "true: other norms are not known in this family")
    return {"final_norm": reading.keys.flag("post_layer_norm", True)}


def _half_width(reading: Reading) -> int:
    """Qwen-1 stores twice the width of its gated network."""
    return reading.size("width") // 2


DIALECTS = (
    Dialect(
        family="GPT-2",
        types=("gpt2", "gpt-sw3"),
        harmless=("n_ctx", "n_special", "predict_special_tokens"),
        keys=_GPT_KEYS,
        tied=True,
        qkv_bias=True,
        output_bias=True,
        ffn_bias=True,
        gated=False,
        norm_bias=True,
        width=four_times,
        outside=learned_positions,
    ),
    Dialect(
        family="GPT-BigCode",
        types=("gpt_bigcode",),
        keys=_GPT_KEYS,
        tied=True,
        qkv_bias=True,
        output_bias=True,
        ffn_bias=True,
        gated=False,
        norm_bias=True,
        width=four_times,
        mixers=_multi_query,
        outside=learned_positions,
    ),
    Dialect(
        family="GPT-J",
        types=("gptj", "codegen"),
        keys=_GPT_KEYS,
        ffn_bias=True,
        head_bias=True,
        gated=False,
        norms=1,
        parallel=True,
        norm_bias=True,
        width=four_times,
        harmless=("n_ctx",),
    ),
    Dialect(
        family="GPT-Neo",
        types=("gpt_neo",),
        keys={"layers": ("num_layers",), "heads": ("num_heads",)},
        tied=True,
        ffn_bias=True,
        gated=False,
        norm_bias=True,
        width=four_times,
        mixers=_neo_mixers,
        outside=learned_positions,
        harmless=("attention_types",),
    ),
    Dialect(
        family="GPT-NeoX",
        types=("gpt_neox",),
        qkv_bias=("attention_bias", True),
        output_bias=("attention_bias", True),
        ffn_bias=True,
        gated=False,
        norm_bias=True,
        parallel=("use_parallel_residual", True),
        harmless=("rotary_pct", "rotary_emb_base"),
    ),
    Dialect(
        family="OPT",
        types=("opt",),
        keys={"width": ("ffn_dim",)},
        tied=True,
        qkv_bias=("enable_bias", True),
        output_bias=("enable_bias", True),
        ffn_bias=("enable_bias", True),
        gated=False,
        norms=lambda reading: 2 if reading.keys.flag("layer_norm_elementwise_affine", True) else 0,
        norm_bias=True,
        outside=_opt_outside,
        harmless=("layerdrop",),
    ),
    Dialect(
        family="BLOOM",
        types=("bloom",),
        keys={
            "layers": ("n_layer", "num_hidden_layers"),
            "hidden": ("hidden_size", "n_embed"),
            "heads": ("n_head", "num_attention_heads"),
            "context": ("seq_length",),
        },
        tied=True,
        qkv_bias=True,
        output_bias=True,
        ffn_bias=True,
        gated=False,
        norm_bias=True,
        width=lambda reading: 4 * reading.hidden,
        outside=_bloom_outside,
        harmless=("n_embed", "num_attention_heads", "apply_residual_connection_post_layernorm", "offset_alibi"),
    ),
    Dialect(
        family="MPT",
        types=("mpt",),
        keys={"layers": ("n_layers",), "hidden": ("d_model",), "heads": ("n_heads",), "context": ("max_seq_len",)},
        tied=True,
        gated=False,
        width=_mpt_width,
        mixers=_mpt_mixers,
        layers=_mpt_layers,
        harmless=(
            "no_bias",
            "attn_config",
            "learned_pos_emb",
            "embedding_fraction",
            "tokenizer_name",
            "verbose",
            "norm_type",
        ),
    ),
    Dialect(
        family="Falcon",
        types=("falcon", "RefinedWeb", "RefinedWebModel"),
        keys={
            "layers": ("num_hidden_layers", "n_layer"),
            "heads": ("num_attention_heads", "n_head"),
            "width": ("ffn_hidden_size",),
        },
        tied=True,
        qkv_bias="bias",
        output_bias="bias",
        ffn_bias="bias",
        gated=False,
        norm_bias=True,
        norms=_falcon_norms,
        parallel=_falcon_parallel,
        width=four_times,
        mixers=_falcon_mixers,
        harmless=(
            "apply_residual_connection_post_layernorm",
            "n_layer",
            "n_head",
            "num_kv_heads",
            "activation",
            "ff_factor",
        ),
    ),
    Dialect(
        family="Phi",
        types=("phi", "phi-msft"),
        keys={
            "layers": ("num_hidden_layers", "n_layer"),
            "hidden": ("hidden_size", "n_embd"),
            "heads": ("num_attention_heads", "n_head"),
            "kv_heads": ("num_key_value_heads", "n_head_kv"),
            "width": ("intermediate_size", "n_inner"),
            "context": ("max_position_embeddings", "n_positions"),
        },
        qkv_bias=True,
        output_bias=True,
        ffn_bias=True,
        head_bias=True,
        gated=False,
        norms=1,
        parallel=True,
        norm_bias=True,
        width=four_times,
        mixers=_phi_mixers,
        harmless=("img_processor", "fused_dense"),
    ),
    Dialect(
        family="Persimmon",
        types=("persimmon",),
        qkv_bias=True,
        output_bias=True,
        ffn_bias=True,
        gated=False,
        norm_bias=True,
        mixers=_phi_mixers,
    ),
    Dialect(
        family="StableLM",
        types=("stablelm", "stablelm_epoch"),
        qkv_bias="use_qkv_bias",
        qk_norm=("qk_layernorm", "each"),
        norms=_one_norm_if_parallel,
        parallel="use_parallel_residual",
        norm_bias=True,
    ),
    Dialect(
        family="StarCoder2",
        types=("starcoder2",),
        tied=True,
        qkv_bias=("use_bias", True),
        output_bias=("use_bias", True),
        ffn_bias=("use_bias", True),
        gated=False,
        norm_bias=True,
        windows=everywhere,
        harmless=("mlp_type", "norm_type"),
    ),
    Dialect(
        family="Qwen",
        types=("qwen",),
        keys={"head_dim": ("kv_channels",), "context": ("max_position_embeddings", "seq_length")},
        qkv_bias=True,
        width=_half_width,
        harmless=("no_bias", "use_dynamic_ntk", "use_logn_attn", "rotary_pct", "rotary_emb_base"),
    ),
    Dialect(
        family="ChatGLM",
        types=("chatglm",),
        keys={
            "layers": ("num_layers",),
            "vocab": ("padded_vocab_size", "vocab_size"),
            "head_dim": ("kv_channels",),
            "width": ("ffn_hidden_size",),
            "context": ("seq_length",),
        },
        ffn_bias="add_bias_linear",
        mixers=_chatglm_mixers,
        outside=_chatglm_outside,
        harmless=(
            "apply_query_key_layer_scaling",
            "apply_residual_connection_post_layernorm",
            "bias_dropout_fusion",
            "original_rope",
            "vocab_size",
        ),
    ),
)
