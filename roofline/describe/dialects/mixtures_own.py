"""Families with experts and rules of their own for attention, for experts, or for which layers have which."""

from __future__ import annotations

from roofline.describe.dialects import patterns
from roofline.describe.dialects.decoder import attention, dense, mixture
from roofline.describe.dialects.dialect import Dialect, Reading
from roofline.describe.dialects.mixtures import LOCAL, ROUTED
from roofline.describe.feedforward import FeedForward
from roofline.describe.mixer import Indexer, Mixer
from roofline.describe.parts import Vector

HUNYUAN_HARMLESS = (
    "attention_head_dim",
    "dense_list",
    "norm_type",
    "num_media_embeds",
    "org_vocab_size",
    "pool_type",
    "use_rotary_pos_emb",
    "anyres_pooling_size",
    "anyres_vit_max_image_size",
    "class_num",
    "add_classification_head",
    "cla_share_factor",
    "capacity_factor",
    "enable_lm_head_fp32",
    "group_limited_greedy",
    "position_embedding_xdrope",
    "xdrope_section",
    "use_mixed_mlp_moe",
)


def _ernie_sparse(reading: Reading) -> list[bool]:
    """From `moe_layer_start_index` to `moe_layer_end_index`, every `moe_layer_interval`-th layer."""
    keys, count = reading.keys, reading.count
    first = keys.count("moe_layer_start_index", default=1)
    last = count - 1
    if keys.data.get("moe_layer_end_index") != -1:
        last = keys.count("moe_layer_end_index", default=count - 1)
    keys.read.add("moe_layer_end_index")
    interval = keys.size("moe_layer_interval", default=1)
    return [first <= index <= last and (index + 1) % interval == 0 for index in range(count)]


def _cohere_windows(reading: Reading) -> list[int | None]:
    """Layers with experts slide but for every fourth of them; the dense ones before them count by themselves."""
    keys = reading.keys
    keys.read.update(("prefix_dense_sliding_window_pattern", "sliding_window_pattern"))

    def two_patterns(reading: Reading) -> list[bool]:
        first = keys.count("first_k_dense_replace", default=0)
        before = keys.size("prefix_dense_sliding_window_pattern", default=1)
        after = keys.size("sliding_window_pattern", default=4)
        return [
            (index + 1) % before != 0 if index < first else (index - first + 1) % after != 0
            for index in range(reading.count)
        ]

    return patterns.by_type(reading, two_patterns)


def _cohere_width(reading: Reading) -> int:
    """Dense layers have a width of their own, or that of an expert."""
    return reading.keys.size("prefix_dense_intermediate_size", default=reading.size("width"))


def _hunyuan_mixers(reading: Reading) -> list[Mixer | None]:
    """With cross-layer attention, the first of every `cla_share_factor` layers keeps keys and values for the others."""
    own = attention(reading)
    if reading.keys.flag("use_mla", False):
        raise reading.keys.error("use_mla", True, "false: latent attention is not known in this family")
    factor = reading.keys.size("cla_share_factor", default=2)
    if not reading.keys.flag("use_cla", False):
        return [own] * reading.count
    shared = attention(reading, shares_kv=True)
    return [own if index % factor == 0 else shared for index in range(reading.count)]


def _hunyuan_networks(reading: Reading) -> list[FeedForward | None]:
    """Sizes are one number or one per layer."""
    keys, count = reading.keys, reading.count
    width = "moe_intermediate_size" if keys.given("moe_intermediate_size") else "intermediate_size"
    widths = keys.sizes(width, count)
    top_ks = keys.sizes("moe_topk", count)
    shared = (
        keys.sizes("num_shared_expert", count, least=0, most=10**4) if keys.given("num_shared_expert") else [1] * count
    )
    experts = keys.sizes("num_experts", count)
    if not keys.flag("use_mixed_mlp_moe", True):
        shared = [0] * count
    dense_layers = keys.count("moe_layer_num_skipped", default=0)
    kinds: dict[object, FeedForward] = {}
    found: list[FeedForward | None] = []
    for index, sizes in enumerate(zip(experts, top_ks, widths, shared, strict=True)):
        key: object = sizes if index >= dense_layers and sizes[0] > 1 else "dense"
        if key not in kinds:
            number, top_k, expert_width, copies = sizes
            # The shared expert is as wide as the model's dense networks would be.
            kinds[key] = (
                dense(reading)
                if key == "dense"
                else mixture(
                    reading,
                    experts=number,
                    top_k=top_k,
                    expert_width=expert_width,
                    shared_width=copies * keys.size("intermediate_size"),
                )
            )
        found.append(kinds[key])
    return found


def _llama4_mixers(reading: Reading) -> list[Mixer | None]:
    """Layers with rotary positions attend within chunks, every fourth one has none and attends to everything."""
    keys, count = reading.keys, reading.count
    keys.read.update(("no_rope_layers", "no_rope_layer_interval", "use_qk_norm"))
    chunk = keys.optional_size("attention_chunk_size", most=10**9)
    if keys.given("layer_types"):
        words = keys.words("layer_types", count, ("chunked_attention", "full_attention"))
        chunked = [word == "chunked_attention" for word in words]
    elif keys.data.get("no_rope_layers"):
        chunked = [mark == 1 for mark in keys.sizes("no_rope_layers", count, least=0, most=1)]
    else:
        interval = keys.size("no_rope_layer_interval", default=4)
        chunked = [(index + 1) % interval != 0 for index in range(count)]
    full = attention(reading)
    near = attention(reading, chunk, chunked=True) if chunk else full
    return [near if mark else full for mark in chunked]


def _llama4_networks(reading: Reading) -> list[FeedForward | None]:
    """Every `interleave_moe_layer_step`-th layer has experts, always with one shared expert of their width."""
    keys, count = reading.keys, reading.count
    if keys.data.get("moe_layers"):
        marked = set(keys.numbers("moe_layers"))
    else:
        step = keys.size("interleave_moe_layer_step", default=1)
        marked = set(range(step - 1, count, step))
    keys.read.update(("moe_layers", "interleave_moe_layer_step"))
    width = keys.size("intermediate_size")
    keys.read.add("intermediate_size_mlp")
    sparse = mixture(reading, shared_width=width)
    plain = dense(reading, width=keys.size("intermediate_size_mlp")) if len(marked) < count else sparse
    return [sparse if index in marked else plain for index in range(count)]


def _dbrx_mixers(reading: Reading) -> list[Mixer | None]:
    inner = reading.keys.part("attn_config")
    kv_heads = inner.size("kv_n_heads")
    if reading.heads % kv_heads:
        raise inner.error("kv_n_heads", kv_heads, f"a divisor of the {reading.heads} heads")
    return [attention(reading, kv_heads=kv_heads)] * reading.count


def _dbrx_networks(reading: Reading) -> list[FeedForward | None]:
    inner = reading.keys.part("ffn_config")
    sizes = {
        "experts": inner.size("moe_num_experts"),
        "top_k": inner.size("moe_top_k"),
        "expert_width": inner.size("ffn_hidden_size"),
    }
    if sizes["top_k"] > sizes["experts"]:
        raise inner.error("moe_top_k", sizes["top_k"], f"at most the {sizes['experts']} experts")
    return [mixture(reading, **sizes)] * reading.count


def _mimo_windows(reading: Reading) -> list[bool]:
    """`hybrid_layer_pattern` has a one for every sliding layer."""
    keys, count = reading.keys, reading.count
    if keys.given("hybrid_layer_pattern"):
        return [mark == 1 for mark in keys.sizes("hybrid_layer_pattern", count, least=0, most=1)]
    words = keys.words("layer_types", count, (*patterns.WINDOWED, *patterns.FULL))
    return [word in patterns.WINDOWED for word in words]


def _mimo_mixers(reading: Reading) -> list[Mixer | None]:
    """Sliding layers have heads, sinks and dimensions of their own, under keys that begin with `swa_`."""
    keys = reading.keys
    sliding = _mimo_windows(reading)
    keys.read.update(("attention_chunk_size", "sliding_window_size", "hybrid_block_size"))
    values = keys.size("v_head_dim", default=reading.head_dim)
    full = attention(reading, value_dim=values, sinks=keys.flag("add_full_attention_sink_bias", False))
    heads = keys.size("swa_num_attention_heads", default=full.heads)
    kv_heads = keys.size("swa_num_key_value_heads", default=2 * full.kv_heads)  # the family's rule where it is unsaid
    if heads % kv_heads:
        raise keys.error("swa_num_key_value_heads", kv_heads, f"a divisor of the {heads} heads")
    near = attention(
        reading,
        keys.size("sliding_window", "sliding_window_size") if any(sliding) else None,
        heads=heads,
        kv_heads=kv_heads,
        key_dim=keys.size("swa_head_dim", default=full.key_dim),
        value_dim=keys.size("swa_v_head_dim", default=full.value_dim),
        sinks=keys.flag("add_swa_attention_sink_bias", True),
    )
    return [near if mark else full for mark in sliding]


def _minimax_m3_mixers(reading: Reading) -> list[Mixer | None]:
    """Later layers choose blocks of tokens by a few index heads of their own, as `sparse_attention_config` says."""
    keys, count = reading.keys, reading.count
    full = attention(reading)
    if keys.flag("attention_output_gate", False):
        raise keys.error("attention_output_gate", True, "false: a gate is not known in this family")
    if keys.given("sparse_attention_config"):
        inner, names = keys.part("sparse_attention_config"), ("sparse_num_index_heads", "sparse_index_dim")
        blocks = inner.size("sparse_topk_blocks") * inner.size("sparse_block_size")
        marks = inner.sizes("sparse_attention_freq", count, least=0, most=1)
        if not inner.flag("use_sparse_attention", True):
            marks = [0] * count
    elif keys.given("index_n_heads") and keys.given("layer_types"):
        inner, names = keys, ("index_n_heads", "index_head_dim")
        blocks = inner.size("index_topk_blocks") * inner.size("index_block_size")
        marks = [int(word not in patterns.FULL) for word in _m3_words(reading)]
    else:
        return [full] * count
    dim = inner.size(names[1])
    norms = Vector(name="index_qk_norm", elements=2 * dim)
    search = Indexer(
        heads=inner.size(names[0]), dim=dim, top_k=blocks, weighted=False, narrow_query=False, extra=(norms,)
    )
    sparse = attention(reading, indexer=search)
    return [sparse if mark else full for mark in marks]


def _m3_words(reading: Reading) -> list[str]:
    return reading.keys.words("layer_types", reading.count, ("minimax_m3_sparse", "indexed_attention", *patterns.FULL))


def _minimax_m3_networks(reading: Reading) -> list[FeedForward | None]:
    keys = reading.keys
    width = keys.size("moe_intermediate_size", "intermediate_size")
    keys.read.add("dense_intermediate_size")
    shared = keys.count("n_shared_experts", default=1, most=10**4) * keys.size(
        "shared_intermediate_size", default=width
    )
    marks = patterns.after_dense_prefix(reading)
    kinds: dict[bool, FeedForward] = {
        mark: mixture(reading, expert_width=width, shared_width=shared)
        if mark
        else dense(reading, width=keys.size("dense_intermediate_size"))
        for mark in dict.fromkeys(marks)
    }
    return [kinds[mark] for mark in marks]


def _laguna_mixers(reading: Reading) -> list[Mixer | None]:
    """Heads may differ from layer to layer; one gate per head where `gating` is on."""
    keys, count = reading.keys, reading.count
    heads = [reading.heads] * count
    if keys.given("num_attention_heads_per_layer"):
        heads = keys.sizes("num_attention_heads_per_layer", count)
    windows = patterns.listed(reading)
    keys.read.update(("gating", "gating_types"))
    gating = keys.data.get("gating", True)
    if keys.given("gating_types"):
        keys.words("gating_types", count, ("per_head",))
    if gating is not True and gating != "per-head":
        raise keys.error("gating", gating, "true or per-head")
    kinds: dict[tuple[int, int | None], Mixer] = {}
    for number, size in zip(heads, windows, strict=True):
        if (number, size) not in kinds:
            if number % reading.kv_heads:
                raise keys.error("num_attention_heads_per_layer", number, f"a multiple of {reading.kv_heads}")
            kinds[number, size] = attention(reading, size, heads=number, gate="head")
    return [kinds[key] for key in zip(heads, windows, strict=True)]


DIALECTS = (
    Dialect(
        family="ERNIE-4.5-MoE",
        types=("ernie4_5_moe",),
        keys={
            "experts": ("moe_num_experts",),
            "top_k": ("moe_k",),
            "shared_count": ("moe_num_shared_experts",),
        },
        tied=True,
        qkv_bias="use_bias",
        output_bias="use_bias",
        ffn_bias="use_bias",
        head_bias="use_bias",
        correction=True,
        sparse=_ernie_sparse,
        harmless=("moe_norm_min", "moe_use_aux_free", "moe_gate", "moe_capacity"),
    ),
    Dialect(
        family="Hunyuan-MoE",
        types=("hunyuan_v1_moe", "hunyuan"),
        keys={"head_dim": ("head_dim", "attention_head_dim")},
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm=(("use_qk_norm", True), "head"),
        mixers=_hunyuan_mixers,
        feed_forwards=_hunyuan_networks,
        harmless=HUNYUAN_HARMLESS,
    ),
    Dialect(
        family="Llama-4",
        types=("llama4", "llama4_text"),
        keys=LOCAL,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        mixers=_llama4_mixers,
        feed_forwards=_llama4_networks,
        harmless=("for_llm_compressor", "floor_scale", "attn_scale", "attn_temperature_tuning"),
    ),
    Dialect(
        family="DBRX",
        types=("dbrx",),
        keys={"layers": ("n_layers",), "hidden": ("d_model",), "heads": ("n_heads",), "context": ("max_seq_len",)},
        mixers=_dbrx_mixers,
        feed_forwards=_dbrx_networks,
        harmless=("attn_config", "ffn_config"),
    ),
    Dialect(
        family="MiniMax-M3",
        types=("minimax_m3", "minimax_m3_vl", "minimax_m3_vl_text"),
        keys={"experts": ("num_local_experts",)},
        qk_norm=(("use_qk_norm", True), "head"),
        mixers=_minimax_m3_mixers,
        feed_forwards=_minimax_m3_networks,
        harmless=("qk_norm_type", "use_routing_bias", "use_gemma_norm", "num_reward_heads", "index_local_blocks"),
    ),
    Dialect(
        family="MiMo-V2",
        types=("mimo_v2_flash", "mimo_v2"),
        keys=ROUTED,
        qkv_bias="attention_bias",
        mixers=_mimo_mixers,
        sparse=patterns.after_dense_prefix,
        harmless=("attention_value_scale", "layernorm_epsilon"),
    ),
    Dialect(
        family="Laguna",
        types=("laguna",),
        keys={"shared_width": ("shared_expert_intermediate_size",)},
        head_dim=128,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm="head",
        correction=True,
        mixers=_laguna_mixers,
        sparse=patterns.after("", 1),
        harmless=("moe_apply_router_weight_on_input", "decoder_sparse_step", "mlp_only_layers"),
    ),
    Dialect(
        family="Cohere-2-MoE",
        types=("cohere2_moe",),
        keys={"expert_width": ("intermediate_size",), "shared_count": ("num_shared_experts",)},
        tied=True,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        norms=1,
        parallel=True,
        width=_cohere_width,
        windows=_cohere_windows,
        sparse=patterns.after_dense_prefix,
        harmless=(
            "prefix_dense_intermediate_size",
            "shared_expert_combination_strategy",
            "expert_selection_fn",
        ),
    ),
)
