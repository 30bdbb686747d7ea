"""Layers of the usual decoder: attention or latent attention, then a dense network or experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from roofline.describe.attention import Attention, LatentAttention
from roofline.describe.dialects.dialect import Reading
from roofline.describe.feedforward import Dense, MoE
from roofline.describe.mixer import Mixer
from roofline.describe.model import Layer

_ATTENTION_BIASES = ("q", "k", "v")
_NETWORK = ("gate", "up", "down")


def attention(reading: Reading, window: int | None = None, **changes: Any) -> Attention:
    """The family's usual attention; `changes` replace single fields."""
    dialect = reading.dialect
    biased = (
        *(_ATTENTION_BIASES if reading.on(dialect.qkv_bias) else ()),
        *(("o",) if reading.on(dialect.output_bias) else ()),
    )
    fields: dict[str, Any] = {"window": window, "biased": biased, "sinks": reading.on(dialect.sinks)}
    fields["qk_norm"] = qk_norm(reading)
    for name in ("heads", "kv_heads"):
        if name not in changes:
            fields[name] = getattr(reading, name)
    for name in ("key_dim", "value_dim"):
        if name not in changes:
            fields[name] = reading.head_dim
    return Attention(**{**fields, **changes})


def qk_norm(reading: Reading) -> Literal["none", "head", "full"]:
    """The family's norm of queries and keys, or none where its key turns it off."""
    norm = reading.dialect.qk_norm
    if isinstance(norm, str):
        return norm
    return norm[1] if reading.on(norm[0]) else "none"


def latent_attention(reading: Reading, **changes: Any) -> LatentAttention:
    """Latent attention in DeepSeek's keys; a null or absent q_lora_rank means full-rank queries.

    `head_dim` and `num_key_value_heads` are written in such configs and mean nothing.
    """
    keys = reading.keys
    keys.given("head_dim", "qk_head_dim", "num_key_value_heads")
    if not keys.has("q_lora_rank"):
        raise keys.missing("q_lora_rank")
    with_bias = reading.on(reading.dialect.qkv_bias)
    q_rank = keys.optional_size("q_lora_rank")
    down = ("q_down", "kv_down") if q_rank else ("kv_down",)
    fields: dict[str, Any] = {
        "heads": reading.heads,
        "q_rank": q_rank,
        "kv_rank": keys.size("kv_lora_rank"),
        "nope_dim": keys.size("qk_nope_head_dim"),
        "rope_dim": keys.count("qk_rope_head_dim", most=10**7),
        "value_dim": keys.size("v_head_dim"),
        "biased": (*down, "o") if with_bias else (),
    }
    return LatentAttention(**{**fields, **changes})


def dense(reading: Reading, **changes: Any) -> Dense:
    """The family's usual dense network."""
    gated = reading.on(reading.dialect.gated)
    names = _NETWORK if gated else _NETWORK[1:]
    fields: dict[str, Any] = {"gated": gated, "biased": names if reading.on(reading.dialect.ffn_bias) else ()}
    if "width" not in changes:
        fields["width"] = reading.size("width")
    return Dense(**{**fields, **changes})


def mixture(reading: Reading, **changes: Any) -> MoE:
    """The family's usual mixture of experts."""
    dialect = reading.dialect
    gated = reading.on(dialect.gated)
    biased = ("router",) if reading.on(dialect.router_bias) else ()
    if reading.on(dialect.expert_bias):
        biased = (*biased, *(f"expert_{name}" for name in (_NETWORK if gated else _NETWORK[1:])))
    fields: dict[str, Any] = {"gated": gated, "biased": biased}
    for concept in ("experts", "top_k", "expert_width"):
        if concept not in changes:
            fields[concept] = reading.size(concept)
    if "shared_width" not in changes:
        fields["shared_width"] = shared_width(reading, changes.get("expert_width") or fields["expert_width"])
    fields["shared_gate"] = dialect.shared_gate and bool(fields.get("shared_width", changes.get("shared_width")))
    found = {**fields, **changes}
    if found["top_k"] > found["experts"]:
        name = reading.keys.given(*reading.names("top_k")) or "top_k"
        raise reading.keys.error(name, found["top_k"], f"at most the {found['experts']} experts")
    return MoE(**found)


def shared_width(reading: Reading, expert_width: int) -> int:
    """Width of all shared experts together: a width of its own, or a count of experts as wide as the routed ones."""
    keys, dialect = reading.keys, reading.dialect
    if widths := dialect.keys.get("shared_width"):
        return keys.count(*widths, default=0, most=10**7)
    if counts := dialect.keys.get("shared_count"):
        return keys.count(*counts, default=0, most=10**4) * expert_width
    return 0


def norm_count(reading: Reading) -> int:
    """Norm weights of a layer in units of the width."""
    return reading.dialect.norms * (2 if reading.on(reading.dialect.norm_bias) else 1)


def decoder_layers(reading: Reading, mixer: Mixer | None = None, **changes: Any) -> Sequence[Layer]:
    """The layers of a usual decoder; with a `mixer`, that one in every layer."""
    dialect, count, norms = reading.dialect, reading.count, norm_count(reading)
    windows = dialect.windows(reading) if dialect.windows else [None] * count
    sparse = dialect.sparse(reading) if dialect.sparse else [False] * count
    made: dict[tuple[int | None, bool], Layer] = {}
    for key in zip(windows, sparse, strict=True):
        if key not in made:
            feed_forward = mixture(reading) if key[1] else dense(reading)
            made[key] = Layer(
                mixer=mixer or attention(reading, key[0]), feed_forward=feed_forward, norms=norms, **changes
            )
    return [made[key] for key in zip(windows, sparse, strict=True)]


def latent_layers(reading: Reading) -> Sequence[Layer]:
    """A usual decoder with latent attention."""
    return decoder_layers(reading, latent_attention(reading))
