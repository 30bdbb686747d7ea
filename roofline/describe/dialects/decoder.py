"""Parts of the usual decoder: attention or latent attention, then a dense network or experts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline.describe.attention import Attention, LatentAttention
from roofline.describe.dialects.dialect import COMMON_KEYS, Norm, Reading
from roofline.describe.feedforward import Dense, FeedForward, MoE
from roofline.describe.mixer import Indexer, Mixer
from roofline.describe.model import Layer
from roofline.describe.parts import Vector

_NETWORK = ("gate", "up", "down")


def attention(reading: Reading, window: int | None = None, **changes: Any) -> Attention:
    """The family's usual attention; `changes` replace single fields."""
    dialect = reading.dialect
    fields: dict[str, Any] = {
        "window": window,
        "sinks": reading.on(dialect.sinks),
        "gate": dialect.gate,
        "qk_norm": qk_norm(reading),
        **changes,
    }
    if "biased" not in fields:
        fields["biased"] = _attention_biases(reading, fields)
    for name in ("heads", "kv_heads"):
        if name not in fields:
            fields[name] = getattr(reading, name)
    for name in ("key_dim", "value_dim"):
        if name not in fields:
            fields[name] = reading.head_dim
    return Attention(**fields)


def _attention_biases(reading: Reading, fields: dict[str, Any]) -> tuple[str, ...]:
    """The projections that carry a bias, of those that there are."""
    dialect = reading.dialect
    biased: list[str] = []
    if reading.on(dialect.qkv_bias):
        biased.append("q")
        if not fields.get("shares_kv"):
            biased.extend(("k",) if fields.get("key_is_value") else ("k", "v"))
        if dialect.gate_in_query and fields["gate"] != "none":
            biased.append("attention_gate")
    if reading.on(dialect.output_bias):
        biased.append("o")
    return tuple(biased)


def qk_norm(reading: Reading) -> Norm:
    """The family's norm of queries and keys, or none where its key turns it off."""
    norm = reading.dialect.qk_norm
    if isinstance(norm, str):
        return norm
    return norm[1] if reading.on(norm[0]) else "none"


def latent_attention(reading: Reading, **changes: Any) -> LatentAttention:
    """Latent attention in DeepSeek's keys; a null q_lora_rank means full-rank queries.

    `head_dim`, `qk_head_dim` and `num_key_value_heads` are written in such configs and mean nothing.
    """
    keys, dialect = reading.keys, reading.dialect
    keys.read.update(("head_dim", "qk_head_dim", "num_key_value_heads"))
    if "q_rank" not in changes:
        if not keys.has("q_lora_rank"):
            raise keys.missing("q_lora_rank")
        changes["q_rank"] = keys.optional_size("q_lora_rank")
    fields: dict[str, Any] = {
        "heads": reading.heads,
        "kv_rank": keys.size("kv_lora_rank"),
        "nope_dim": keys.size("qk_nope_head_dim"),
        "rope_dim": keys.count("qk_rope_head_dim", most=10**7),
        "value_dim": keys.size("v_head_dim"),
        "sinks": reading.on(dialect.sinks),
        "gate": dialect.gate,
        **changes,
    }
    if reading.on(dialect.qkv_bias):
        fields["biased"] = ("q_down", "kv_down", "o") if fields["q_rank"] else ("kv_down", "o")
    return LatentAttention(**fields)


def indexer(reading: Reading, **changes: Any) -> Indexer:
    """The indexer of DeepSeek's sparse attention, with a layer norm on its keys."""
    keys = reading.keys
    dim = keys.size("index_head_dim")
    fields: dict[str, Any] = {
        "heads": keys.size("index_n_heads"),
        "dim": dim,
        "top_k": keys.size("index_topk"),
        "extra": (Vector(name="index_k_norm", elements=2 * dim),),
        **changes,
    }
    return Indexer(**fields)


def dense(reading: Reading, **changes: Any) -> Dense:
    """The family's usual dense network."""
    dialect = reading.dialect
    gated = reading.on(dialect.gated)
    fields: dict[str, Any] = {"gated": gated, **changes}
    if "biased" not in fields:
        names = _NETWORK if gated else _NETWORK[1:]
        fields["biased"] = names if reading.on(dialect.ffn_bias) else ()
    if "width" not in fields:
        fields["width"] = dialect.width(reading) if dialect.width else reading.size("width")
    return Dense(**fields)


def mixture(reading: Reading, **changes: Any) -> MoE:
    """The family's usual mixture of experts."""
    dialect = reading.dialect
    gated = reading.on(dialect.gated)
    biased = ("router",) if reading.on(dialect.router_bias) else ()
    if reading.on(dialect.expert_bias):
        biased = (*biased, *(f"expert_{name}" for name in (_NETWORK if gated else _NETWORK[1:])))
    fields: dict[str, Any] = {"gated": gated, "biased": biased, **changes}
    for concept in ("experts", "top_k", "expert_width"):
        if concept not in fields:
            fields[concept] = reading.size(concept)
    if "shared_width" not in fields:
        fields["shared_width"] = shared_width(reading, fields["expert_width"])
    if "shared_gate" not in fields:
        fields["shared_gate"] = dialect.shared_gate and fields["shared_width"] > 0
    if fields["shared_width"] and reading.on(dialect.ffn_bias):
        names = _NETWORK if gated else _NETWORK[1:]
        fields["biased"] = (*fields["biased"], *(f"shared_{name}" for name in names))
    if dialect.correction:
        fields["extra"] = (Vector(name="correction", elements=fields["experts"], part="router"),)
    if fields["top_k"] > fields["experts"] + fields.get("zero_experts", 0):
        raise reading.fault("top_k", fields["top_k"], f"at most the {fields['experts']} experts")
    return MoE(**fields, **routed_groups(reading, fields))


def routed_groups(reading: Reading, fields: Mapping[str, Any]) -> dict[str, int]:
    """The groups that a router has its experts in, and to how many it limits a token; without the keys, no limit."""
    groups = reading.size("expert_groups", default=1)
    chosen = reading.size("chosen_groups", default=groups)
    experts, top_k = fields["experts"] + fields.get("zero_experts", 0), fields["top_k"]
    among_all = reading.keys.data.get("topk_method") == "greedy"  # in DeepSeek-V2's words
    if groups == 1 or among_all:
        return {}
    if experts % groups:
        raise reading.fault("expert_groups", groups, f"a divisor of the {experts} experts")
    if chosen > groups:
        raise reading.fault("chosen_groups", chosen, f"at most the {groups} groups")
    if top_k * groups > experts * chosen:
        raise reading.fault("chosen_groups", chosen, f"enough of the {groups} groups to hold {top_k} experts")
    return {"expert_groups": groups, "chosen_groups": chosen}


def shared_width(reading: Reading, expert_width: int) -> int:
    """Width of all shared experts together: a width of its own, or a count of experts as wide as the routed ones."""
    keys, dialect = reading.keys, reading.dialect
    if widths := dialect.keys.get("shared_width"):
        return keys.count(*widths, default=0)
    if counts := dialect.keys.get("shared_count"):
        each = keys.size(*dialect.keys.get("shared_each", ()), default=expert_width)
        return keys.count(*counts, default=0, most=10**4) * each
    return 0


def norm_count(reading: Reading) -> int:
    """Norm weights of a layer in units of the width."""
    norms = reading.dialect.norms
    each = 2 if reading.on(reading.dialect.norm_bias) else 1
    return (norms if isinstance(norms, int) else norms(reading)) * each


def attentions(reading: Reading) -> list[Mixer | None]:
    """The family's attention in every layer, with its window where it has one."""
    windows = reading.dialect.windows(reading) if reading.dialect.windows else [None] * reading.count
    kinds = {size: attention(reading, size) for size in dict.fromkeys(windows)}
    return [kinds[size] for size in windows]


def feed_forwards(reading: Reading) -> list[FeedForward | None]:
    """Experts where the family has them, dense networks elsewhere."""
    if reading.dialect.sparse:  # sizes of experts may be written where no layer happens to have them
        concepts = ["width", "experts", "top_k", "expert_width", "shared_width", "shared_count", "shared_each"]
        concepts += ["expert_groups", "chosen_groups"]
        known = {**COMMON_KEYS, **reading.dialect.keys}
        reading.keys.read.update(name for concept in concepts for name in known.get(concept, ()))
    sparse = reading.dialect.sparse(reading) if reading.dialect.sparse else [False] * reading.count
    kinds: dict[bool, FeedForward] = {
        marked: mixture(reading) if marked else dense(reading) for marked in dict.fromkeys(sparse)
    }
    return [kinds[marked] for marked in sparse]


def stacked(
    mixers: Sequence[Mixer | None], networks: Sequence[FeedForward | None], norms: int, **changes: Any
) -> list[Layer]:
    """Layers of mixers and feed-forwards side by side; equal pairs become one and the same layer."""
    made: dict[tuple[int, int], Layer] = {}
    pairs = list(zip(mixers, networks, strict=True))
    for mixer, network in pairs:
        key = id(mixer), id(network)
        if key not in made:
            made[key] = Layer.model_validate({"mixer": mixer, "feed_forward": network, "norms": norms, **changes})
    return [made[id(mixer), id(network)] for mixer, network in pairs]


def decoder_layers(reading: Reading) -> Sequence[Layer]:
    """The layers of a usual decoder, from the family's mixers and feed-forwards."""
    dialect = reading.dialect
    mixers = (dialect.mixers or attentions)(reading)
    networks = (dialect.feed_forwards or feed_forwards)(reading)
    parallel = dialect.parallel(reading) if callable(dialect.parallel) else reading.on(dialect.parallel)
    return stacked(mixers, networks, norm_count(reading), parallel=parallel)


def latents(reading: Reading) -> list[Mixer | None]:
    """Latent attention in every layer."""
    return [latent_attention(reading)] * reading.count


def indexed_latents(reading: Reading) -> list[Mixer | None]:
    """Latent attention with an indexer; `indexer_types` marks the layers that share the choice of an earlier one."""
    own = latent_attention(reading, indexer=indexer(reading))
    if not reading.keys.given("indexer_types"):
        return [own] * reading.count
    shared = latent_attention(reading, indexer=indexer(reading, shares=True))
    words = reading.keys.words("indexer_types", reading.count, ("full", "shared"))
    return [own if word == "full" else shared for word in words]
