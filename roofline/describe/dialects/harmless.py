"""Keys of a config that do not change what a model weighs, keeps or multiplies.

Every other key must be one that the family's reading asked for: a key nobody knows could mean anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from roofline.describe.dialects.keys import Keys
from roofline.errors import nearest_names

_PATTERNS = re.compile(
    r"""
      _ .* | .*\.js_config                                             # private to the writer
    | .* _(token|tokens|token_index|token_list|id|ids) | id2label | label2id | ignore_index
    | .* _(drop|dropout|pdrop|dropout_prob|drop_rate|dropped_token|drop_tokens)
    | .* _(eps|epsilon|std|momentum|weight_decay|loss|loss_coef|loss_weight|coef|coeff|noise) | .* _eps_.*
    | .* _(act|act_fn|activation|activation_function|activation_func|activation_type|dtype|version|path|fmt)
    | .* (rope|yarn|rotary|theta|alibi|mup) .* | .* (init|initializer) (_.*)? | .*initializer_range
    | .* _(alpha|beta|scale|scaling|softcapping|softcap|soft_cap|limit|temperature|clip|cap|penalty|threshold)
    | .* (scaling|scale|rotary|alpha|beta|interpolate|initializer)_factor
    | (embedding|logits|residual|attention|attention_in|attention_out|key|output|lm_head|ssm_in|ssm_out) _multiplier
    | .* (logits|losses) | output_.* | return_.* | use_(cache|bfloat16|cache_.*) | use_?flash.* | flash_.*
    | is_(decoder|encoder_decoder|causal|composition|llama_config|quantized)
    | hc_(eps|sinkhorn_iters|magnitude) | time_step_.* | linear_dt_.* | linear_a_log_.* | rescale_.* | .*_in_fp32
    | router_(aux_.*|jitter_.*|bias_update.*|scaling.*|dtype|z_loss.*|logit.*) | aux_.* | .*_aux_.* | seq_aux
    | (moe|expert)_router_.* | enable_moe_fp32.*
    | resid_.* | attn_pdrop | embd_pdrop | attention_softmax.* | scale_(attn|attention)_.* | pretraining_.*
    | (vision|audio|speech|image|video|img|vit|mm|projector|multimodal|multi_modal|mrope|speaker)(_.*)?
    | (task_specific|summary|forced|suppress|begin_suppress|bad_words|generation)_.*
    | (num_beam|num_return|no_repeat|max_length|min_length|early_stopping|do_sample|remove_invalid|encoder_no) .*
    | (mtp|num_mtp|num_nextn|eagle|unsloth|onnx)_.* | lambda_std_dev
    """,
    re.VERBOSE,
)
_NAMES = frozenset(
    {
        "act_fn",
        "activation_function",
        "add_cross_attention",
        "alibi",
        "architectures",
        "att_impl_type",
        "attention_dropout",
        "attention_sink_size",
        "attn_implementation",
        "auto_map",
        "bf16",
        "bias_dropout_fusion",
        "cache_implementation",
        "calc_logits_for_entire_prompt",
        "chunk_size_feed_forward",
        "clip_qkv",
        "compression_ratio",
        "context_window_size",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "diversity_penalty",
        "dropout",
        "dtype",
        "embed_dropout",
        "embedding_dropout",
        "ep_size",
        "finetuning_task",
        "fp16",
        "fp32",
        "head_dim",
        "hidden_act",
        "hidden_activation",
        "hidden_dropout",
        "hidden_dropout_prob",
        "inference_runner",
        "intermediate_size",
        "language_config",
        "layer_norm_epsilon",
        "length_penalty",
        "license",
        "llm_config",
        "logits_to_keep",
        "masked_softmax_fusion",
        "max_batch_size",
        "max_position_embedding",
        "max_position_embeddings",
        "max_seq_len",
        "max_sequence_length",
        "max_window_layers",
        "mlp_hidden_act",
        "model_max_length",
        "model_type",
        "moe_renormalize",
        "n_ctx",
        "n_positions",
        "name_or_path",
        "norm_eps",
        "norm_topk_prob",
        "num_attention_heads",
        "num_key_value_heads",
        "num_labels",
        "num_logits_to_keep",
        "original_max_position_embeddings",
        "output_router_logits",
        "partial_rotary_factor",
        "pipeline_parallel_stages",
        "position_embedding_base",
        "position_embedding_type",
        "pre_allocate_kv_cache",
        "prefill_chunk_size",
        "prefix",
        "pretraining_tp",
        "problem_type",
        "pruned_heads",
        "quantization_bit",
        "quantization_config",
        "query_pre_attn_scalar",
        "repetition_penalty",
        "residual_dropout",
        "rope",
        "route_norm",
        "route_scale",
        "routed_scaling_factor",
        "runner_max_sequence_length",
        "scoring_func",
        "sep_token_id",
        "seq_aux",
        "seq_length",
        "skip_bias_add",
        "skip_bias_add_qkv",
        "slow_but_exact",
        "temperature",
        "tensor_parallel_shards",
        "text_config",
        "tf_legacy_loss",
        "tie_encoder_decoder",
        "tokenizer_class",
        "tokenizer_name",
        "top_k",
        "top_p",
        "topk_method",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "typical_p",
        "use_bfloat16",
        "use_cache",
        "use_qk_clip",
        "validate_runner_input",
        "verbose",
        "zero_centered",
    }
)


def harmless(name: str) -> bool:
    """Whether a key has nothing to do with a model's shape in any family."""
    return name in _NAMES or _PATTERNS.fullmatch(name) is not None


def unknown_keys(keys: Keys, also_harmless: tuple[str, ...]) -> list[str]:
    """Keys that say something which the reading did not use and which may matter."""
    return [
        name for name, value in keys.data.items() if name not in keys.read and not _passes(name, value, also_harmless)
    ]


def _passes(name: str, value: Any, also_harmless: tuple[str, ...]) -> bool:
    if name in also_harmless or harmless(name):
        return True
    if isinstance(value, list | Mapping):
        return not value
    return value is None or value is False or value in ("", 0)


def nearest_known(name: str, keys: Keys) -> str | None:
    """The key that the reading does use and that `name` may have been meant for."""
    near = nearest_names(name, sorted(keys.read))
    return near[0] if near else None
