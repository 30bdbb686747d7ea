"""The table of dialects: one record per family."""

from __future__ import annotations

from roofline.describe.dialects import decoder, patterns
from roofline.describe.dialects.dialect import Dialect

_DEEPSEEK_EXPERTS = {"experts": ("n_routed_experts",), "shared_count": ("n_shared_experts",)}
_LOCAL_EXPERTS = {"experts": ("num_local_experts",), "expert_width": ("intermediate_size",)}

DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        family="Llama",
        types=("llama",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        ffn_bias="mlp_bias",
    ),
    Dialect(family="Mistral", types=("mistral",), windows=patterns.everywhere),
    Dialect(
        family="Mixtral",
        types=("mixtral",),
        keys=_LOCAL_EXPERTS,
        windows=patterns.everywhere,
        sparse=patterns.all_sparse,
    ),
    Dialect(family="Qwen2", types=("qwen2",), qkv_bias=True, windows=patterns.above),
    Dialect(
        family="Qwen2-MoE",
        types=("qwen2_moe",),
        keys={"shared_width": ("shared_expert_intermediate_size",)},
        qkv_bias=("qkv_bias", True),
        shared_gate=True,
        windows=patterns.above,
        sparse=patterns.by_step,
    ),
    Dialect(
        family="Qwen3",
        types=("qwen3",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        head_dim=128,
        qk_norm="head",
        windows=patterns.above,
    ),
    Dialect(
        family="Qwen3-MoE",
        types=("qwen3_moe",),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm="head",
        windows=patterns.above,
        sparse=patterns.by_step,
        harmless=("use_qk_norm", "qkv_bias", "shared_expert_intermediate_size"),
    ),
    Dialect(
        family="DeepSeek-V3",
        types=("deepseek_v3", "kimi_k2"),
        keys=_DEEPSEEK_EXPERTS,
        qkv_bias="attention_bias",
        sparse=patterns.after_dense_prefix,
        layers=decoder.latent_layers,
    ),
    Dialect(
        family="gpt-oss",
        types=("gpt_oss",),
        keys=_LOCAL_EXPERTS,
        qkv_bias=("attention_bias", True),
        output_bias=("attention_bias", True),
        router_bias=True,
        expert_bias=True,
        sinks=True,
        windows=patterns.alternating,
        sparse=patterns.all_sparse,
        harmless=("experts_per_token", "initial_context_length"),
    ),
)

BY_TYPE: dict[str, Dialect] = {name: dialect for dialect in DIALECTS for name in dialect.types}
