"""Families close to Llama: RMS norms, a gated network, dense in every layer."""

from __future__ import annotations

from roofline.describe.dialects import patterns
from roofline.describe.dialects.decoder import attention, dense
from roofline.describe.dialects.dialect import Dialect, Reading
from roofline.describe.dialects.mixtures_own import HUNYUAN_HARMLESS
from roofline.describe.feedforward import FeedForward
from roofline.describe.mixer import Mixer
from roofline.describe.parts import Vector


def _smollm3_windows(reading: Reading) -> list[int | None]:
    """With `use_sliding_window`, the layers without rotary positions slide."""
    keys = reading.keys
    keys.read.update(("no_rope_layers", "no_rope_layer_interval", "layer_types", *reading.names("window")))
    if not keys.flag("use_sliding_window", False):
        return [None] * reading.count

    def without_rope(reading: Reading) -> list[bool]:
        if keys.given("no_rope_layers"):
            return [mark == 0 for mark in keys.sizes("no_rope_layers", reading.count, least=0, most=1)]
        interval = keys.size("no_rope_layer_interval", default=4)
        return [(index + 1) % interval == 0 for index in range(reading.count)]

    return patterns.by_type(reading, without_rope)


def _bitnet_mixers(reading: Reading) -> list[Mixer | None]:
    norm = Vector(name="attention_sub_norm", elements=reading.hidden)
    return [attention(reading, extra=(norm,))] * reading.count


def _bitnet_networks(reading: Reading) -> list[FeedForward | None]:
    norm = Vector(name="ffn_sub_norm", elements=reading.size("width"))
    return [dense(reading, extra=(norm,))] * reading.count


def _differential_mixers(reading: Reading) -> list[Mixer | None]:
    mixing = Vector(name="lambda", elements=4 * reading.head_dim, part="attention")
    return [attention(reading, extra=(mixing,))] * reading.count


def _apertus_networks(reading: Reading) -> list[FeedForward | None]:
    activation = Vector(name="activation", elements=2, part="dense_ffn")
    return [dense(reading, extra=(activation,))] * reading.count


def _four_norms_if_post(reading: Reading) -> int:
    return 4 if reading.keys.flag("use_post_norm", False) else 2


DIALECTS = (
    Dialect(
        family="Llama",
        types=("llama", "yi", "iquestcoder", "code_llama", "xverse", "aquila"),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        ffn_bias="mlp_bias",
    ),
    Dialect(family="Mistral", types=("mistral", "ministral3"), windows=patterns.everywhere),
    Dialect(
        family="Ministral",
        types=("ministral",),
        windows=lambda reading: patterns.by_type(
            reading, lambda reading: [patterns.declared_window(reading) is not None] * reading.count
        ),
    ),
    Dialect(
        family="Qwen2",
        types=("qwen2", "mimo", "qwen2_vl", "qwen2_5_vl", "qwen2_vl_text", "qwen2_5_vl_text"),
        qkv_bias=True,
        windows=patterns.above,
        harmless=("attention_bias", "use_mrope"),
    ),
    Dialect(
        family="Qwen3",
        types=("qwen3", "qwen3_vl", "qwen3_vl_text"),
        head_dim=128,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm="head",
        windows=patterns.above,
        harmless=("deepstack_visual_indexes",),
    ),
    Dialect(family="Baichuan", types=("baichuan",), harmless=("z_loss_weight",)),
    Dialect(family="InternLM", types=("internlm",), qkv_bias=("bias", True), output_bias=("bias", True)),
    Dialect(
        family="InternLM2",
        types=("internlm2",),
        qkv_bias=("bias", True),
        output_bias=("bias", True),
    ),
    Dialect(
        family="InternLM3",
        types=("internlm3",),
        head_dim=None,
        qkv_bias="qkv_bias",
        output_bias="bias",
        ffn_bias="bias",
    ),
    Dialect(family="Orion", types=("orion",), norm_bias=True),
    Dialect(
        family="SmolLM3",
        types=("smollm3",),
        tied=True,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        ffn_bias="mlp_bias",
        windows=_smollm3_windows,
    ),
    Dialect(
        family="Granite",
        types=("granite",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        ffn_bias="mlp_bias",
    ),
    Dialect(
        family="Granite-SWA",
        types=("granite_swa",),
        tied=True,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        ffn_bias="mlp_bias",
        sinks=True,
        windows=patterns.listed,
        harmless=("layer_rope_theta",),
    ),
    Dialect(
        family="HyperCLOVA X",
        types=("hyperclovax",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        ffn_bias="mlp_bias",
        norms=_four_norms_if_post,
    ),
    Dialect(
        family="Arcee",
        types=("arcee",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        ffn_bias="mlp_bias",
        gated=False,
    ),
    Dialect(
        family="Helium",
        types=("helium",),
        head_dim=128,
        qkv_bias="attention_bias",
        ffn_bias="mlp_bias",
    ),
    Dialect(
        family="Seed-OSS",
        types=("seed_oss",),
        head_dim=128,
        qkv_bias=("attention_bias", True),
        output_bias="attention_out_bias",
        ffn_bias="mlp_bias",
    ),
    Dialect(
        family="EXAONE",
        types=("exaone",),
        keys={"layers": ("num_layers", "num_hidden_layers")},
    ),
    Dialect(
        family="EXAONE-4",
        types=("exaone4",),
        qk_norm="head",
        windows=patterns.every(4, "sliding_window_pattern"),
    ),
    Dialect(
        family="ERNIE-4.5",
        types=("ernie4_5",),
        tied=True,
        head_dim=128,
        qkv_bias="use_bias",
        output_bias="use_bias",
        ffn_bias="use_bias",
    ),
    Dialect(
        family="Hunyuan",
        types=("hunyuan_v1_dense",),
        keys={"head_dim": ("head_dim", "attention_head_dim")},
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm=(("use_qk_norm", True), "head"),
        harmless=HUNYUAN_HARMLESS,
    ),
    Dialect(
        family="GLM",
        types=("glm",),
        head_dim=128,
        qkv_bias=("attention_bias", True),
    ),
    Dialect(
        family="GLM-4",
        types=("glm4", "glm4v", "glm4v_text"),
        qkv_bias=("attention_bias", True),
        norms=4,
    ),
    Dialect(
        family="Phi-3",
        types=("phi3", "phi4_multimodal", "phi4mm"),
        windows=patterns.everywhere,
        harmless=(
            "full_attn_mod",
            "interpolate_factor",
            "blocksparse_params",
        ),
    ),
    Dialect(
        family="OLMo",
        types=("olmo",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        norms=0,
        final_norm=False,
    ),
    Dialect(
        family="OLMo-2",
        types=("olmo2",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm="full",
    ),
    Dialect(
        family="OLMo-3",
        types=("olmo3",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm="full",
        windows=patterns.every(4),
    ),
    Dialect(
        family="Cohere",
        types=("cohere",),
        tied=True,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm=("use_qk_norm", "each"),
        norms=1,
        parallel=True,
    ),
    Dialect(
        family="Cohere-2",
        types=("cohere2",),
        tied=True,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        norms=1,
        parallel=True,
        windows=patterns.every(4, "sliding_window_pattern", "_sliding_window_pattern"),
        harmless=(
            "head_dim",
            "layer_switch",
            "order_of_interleaved_layers",
            "use_gated_activation",
            "use_parallel_block",
            "use_parallel_embedding",
            "use_embedding_sharing",
        ),
    ),
    Dialect(
        family="MiniCPM",
        types=("minicpm",),
        tied=True,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        harmless=("scale_emb", "scale_depth", "dim_model_base", "mup_denominator"),
    ),
    Dialect(
        family="BitNet",
        types=("bitnet",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        mixers=_bitnet_mixers,
        feed_forwards=_bitnet_networks,
    ),
    Dialect(
        family="DiffLlama",
        types=("diffllama",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        mixers=_differential_mixers,
    ),
    Dialect(
        family="Apertus",
        types=("apertus",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        gated=False,
        qk_norm="head",
        feed_forwards=_apertus_networks,
    ),
    Dialect(
        family="Nemotron",
        types=("nemotron",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        ffn_bias="mlp_bias",
        gated=False,
        norm_bias=True,
    ),
    Dialect(
        family="Jais-2",
        types=("jais2",),
        head_dim=128,
        qkv_bias=("attention_bias", True),
        output_bias=("attention_bias", True),
        ffn_bias=("mlp_bias", True),
        gated=False,
        norm_bias=True,
    ),
    Dialect(
        family="NanoChat",
        types=("nanochat",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        gated=False,
        norms=0,
        final_norm=False,
    ),
)
