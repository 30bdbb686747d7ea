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
      _ .* | .*\.js_config                                 # private to the writer
    | .* (_token|_token_id|_token_ids|_token_index|_id|_ids|_index|_idx) | id2label | label2id
    | .* _eps_.* | hc_(eps|sinkhorn_iters|magnitude) | time_step_.* | rescale_.* | residual_(in_fp32|multiplier)
    | .* (_drop|_dropout|_pdrop|dropout_prob|_drop_rate|_eps|_epsilon|_std|_coef|_coeff|_momentum|_noise|_alpha|_beta)
    | .* (_act|_activation|_act_fn|_fn|activation_function|_activation_type|_dtype|_version|_path|_fmt|_scale|_scaling)
    | .* (_factor|_multiplier|_softcapping|_softcap|_limit|_temperature|_weight_decay|_loss|_clip|_cap|_penalty)
    | .* (logits|losses) | output_.* | use_cache | return_.* | is_.* | tie_.*
    | rope_.* | .*_rope.* | rotary_.* | .*_rotary.* | rope | rotary | alibi.* | .*theta.* | .*_freq_base | .*yarn.*
    | (init|initializer)_.* | .*_init | .*_init_.* | pretraining_.* | router_.* | aux_.* | .*_aux_.* | seq_aux
    | dropout | resid_.* | attn_pdrop | embd_pdrop | attention_softmax.* | scale_.* | .*_in_fp32 | use_flash.*
    | flash_.*
    | (vision|audio|speech|image|video|img|vit|mm|projector|multimodal|multi_modal|mrope|speaker)(_.*)?
    | (encoder|decoder|generation|summary|task|forced|suppress|begin|bad|repetition|length|diversity|top)_.*
    | (num_beam|num_return|no_repeat|max_length|min_length|early|do_sample|temperature|typical|remove).*
    | (mtp|num_mtp|num_nextn|eagle)_.* | nextn_.*
    """,
    re.VERBOSE,
)
_NAMES = frozenset(
    {
        "act_fn",
        "activation_function",
        "add_cross_attention",
        "architectures",
        "attention_dropout",
        "attn_implementation",
        "auto_map",
        "bf16",
        "cache_implementation",
        "chunk_size_feed_forward",
        "context_window_size",
        "cross_attention_hidden_size",
        "dtype",
        "ep_size",
        "finetuning_task",
        "fp16",
        "fp32",
        "head_dim",
        "hidden_act",
        "hidden_activation",
        "hidden_dropout",
        "intermediate_size",
        "language_config",
        "llm_config",
        "logits_to_keep",
        "max_position_embeddings",
        "max_seq_len",
        "max_sequence_length",
        "max_window_layers",
        "mlp_hidden_act",
        "model_max_length",
        "model_type",
        "n_ctx",
        "n_group",
        "n_positions",
        "name_or_path",
        "norm_topk_prob",
        "num_attention_heads",
        "num_expert_group",
        "num_key_value_heads",
        "num_labels",
        "num_logits_to_keep",
        "original_max_position_embeddings",
        "output_router_logits",
        "partial_rotary_factor",
        "prefix",
        "pretraining_tp",
        "problem_type",
        "pruned_heads",
        "quantization_config",
        "query_pre_attn_scalar",
        "routed_scaling_factor",
        "scoring_func",
        "sep_token_id",
        "seq_aux",
        "seq_length",
        "text_config",
        "tf_legacy_loss",
        "tokenizer_class",
        "topk_group",
        "topk_method",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "use_bfloat16",
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
