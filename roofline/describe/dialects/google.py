"""Google's families: Gemma, and RecurrentGemma."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline.describe.dialects import patterns
from roofline.describe.dialects.decoder import attention, dense, mixture, stacked
from roofline.describe.dialects.dialect import Dialect, Reading
from roofline.describe.dialects.keys import Keys
from roofline.describe.feedforward import Dense, FeedForward
from roofline.describe.mixer import Mixer
from roofline.describe.model import Layer
from roofline.describe.parts import Projection, Vector
from roofline.describe.state_space import GatedRecurrence


def _sharing(reading: Reading) -> list[bool]:
    """The last `num_kv_shared_layers` layers read the cache of an earlier one."""
    shared = reading.keys.count("num_kv_shared_layers", default=0)
    if shared >= reading.count:
        raise reading.keys.error("num_kv_shared_layers", shared, f"fewer than the {reading.count} layers")
    return [index >= reading.count - shared for index in range(reading.count)]


def _per_layer_inputs(reading: Reading) -> tuple[int, dict[str, Any]]:
    """Width of per-layer embeddings (0: none), and what they add outside the layers: the table, one projection."""
    keys = reading.keys
    width = keys.count("hidden_size_per_layer_input", default=0)
    rows = keys.size("vocab_size_per_layer_input", default=reading.size("vocab"))
    if not width:
        return 0, {}
    every = width * reading.count
    return width, {
        "lookup": rows * every,
        "projections": (Projection(name="per_layer_model", inner=reading.hidden, columns=every),),
        "extra": (Vector(name="per_layer_norm", elements=width),),
    }


def _per_layer_projections(hidden: int, width: int) -> tuple[Projection, ...]:
    """A gate down to the per-layer width and a projection back, in each layer."""
    return (
        Projection(name="per_layer_gate", inner=hidden, columns=width),
        Projection(name="per_layer_out", inner=width, columns=hidden),
    )


def _gemma3n_layers(reading: Reading) -> Sequence[Layer]:
    """Alternating updates of `altup_num_inputs` streams, a low-rank residual (LAuReL), per-layer embeddings."""
    keys, hidden = reading.keys, reading.hidden
    streams, rank = keys.size("altup_num_inputs"), keys.size("laurel_rank")
    width, _ = _per_layer_inputs(reading)
    windows = patterns.every(5)(reading)
    widths = keys.sizes("intermediate_size", reading.count)
    projections = (
        Projection(name="altup_router", inner=hidden, columns=streams),
        Projection(name="altup_correction", inner=streams, columns=streams),
        Projection(name="altup_prediction", inner=streams, columns=streams * streams),
        Projection(name="laurel_down", inner=hidden, columns=rank),
        Projection(name="laurel_up", inner=rank, columns=hidden),
        *(_per_layer_projections(hidden, width) if width else ()),
    )
    # Four norms around attention and network, one each for LAuReL, the router, the scale and the per-layer input.
    norms = 4 + 3 + (1 if width else 0)
    mixers: dict[tuple[int | None, bool], Mixer] = {}
    networks: dict[int, Dense] = {}
    for key in zip(windows, _sharing(reading), strict=True):
        if key not in mixers:
            mixers[key] = attention(reading, key[0], shares_kv=key[1])
    for ffn in widths:
        networks.setdefault(ffn, dense(reading, width=ffn))
    return stacked(
        [mixers[key] for key in zip(windows, _sharing(reading), strict=True)],
        [networks[ffn] for ffn in widths],
        norms,
        projections=projections,
    )


def _gemma3n_outside(reading: Reading) -> Mapping[str, Any]:
    """Projections between the first stream and the others, before and after the layers."""
    _, found = _per_layer_inputs(reading)
    others = reading.keys.size("altup_num_inputs") - 1
    hidden = reading.hidden
    between = tuple(
        Projection(name=f"altup_{side}", inner=hidden, columns=hidden) for side in ("in", "out") for _ in range(others)
    )
    return {**found, "projections": (*found.get("projections", ()), *between)}


def _gemma4_layers(reading: Reading) -> Sequence[Layer]:
    """Global layers have wider heads, fewer of them for keys, and in larger models no value projection of their own."""
    keys, hidden = reading.keys, reading.hidden
    windows = patterns.every(6)(reading)
    if windows[-1] is not None:
        windows = [*windows[:-1], None]  # the last layer is always global
    shared = _sharing(reading)
    key_is_value = keys.flag("attention_k_eq_v", False)
    global_dim, global_heads = _gemma4_global(reading, key_is_value)
    if global_heads and reading.heads % global_heads:
        raise keys.error("num_global_key_value_heads", global_heads, f"a divisor of the {reading.heads} heads")
    width, _ = _per_layer_inputs(reading)
    with_experts = keys.flag("enable_moe_block", False)
    doubled = keys.flag("use_double_wide_mlp", False)
    mixers: dict[tuple[int | None, bool], Mixer] = {}
    networks: dict[bool, FeedForward] = {}
    for size, shares in zip(windows, shared, strict=True):
        if (size, shares) not in mixers:
            wide: dict[str, Any] = {}
            if size is None:
                wide = {"key_dim": global_dim, "value_dim": global_dim, "key_is_value": key_is_value and not shares}
                wide["kv_heads"] = global_heads or reading.kv_heads
            mixers[size, shares] = attention(reading, size, shares_kv=shares, **wide)
        if shares not in networks:
            ffn = reading.size("width") * (2 if doubled and shares else 1)
            networks[shares] = _gemma4_mixture(reading, ffn) if with_experts else dense(reading, width=ffn)
    return stacked(
        [mixers[key] for key in zip(windows, shared, strict=True)],
        [networks[shares] for shares in shared],
        4 + (3 if with_experts else 0) + (1 if width else 0),
        projections=_per_layer_projections(hidden, width) if width else (),
    )


def _gemma4_global(reading: Reading, key_is_value: bool) -> tuple[int, int | None]:
    """Head dimension and key-value heads (None: as elsewhere) of global layers.

    Newer configs spell them out layer by layer in `per_layer_config`.
    """
    keys = reading.keys
    keys.read.update(("num_global_key_value_heads", "global_head_dim", "per_layer_config"))
    if not keys.given("per_layer_config"):
        heads = keys.optional_size("num_global_key_value_heads") if key_is_value else None
        return keys.size("global_head_dim", default=512), heads
    layers = list(keys.part("per_layer_config").data.values())
    if not layers or any(layer != layers[0] for layer in layers) or not isinstance(layers[0], Mapping):
        raise keys.error("per_layer_config", layers, "the same sizes for every global layer")
    inner = Keys(layers[0], f"{keys.where}, per_layer_config")
    if unknown := set(inner.data) - {"head_dim", "num_key_value_heads"}:
        raise inner.error(min(unknown), inner.data[min(unknown)], "head_dim or num_key_value_heads")
    return inner.size("head_dim"), inner.optional_size("num_key_value_heads")


def _gemma4_mixture(reading: Reading, width: int) -> FeedForward:
    """Experts beside the dense network; the router scales its input, and each expert has a scale."""
    experts = reading.size("experts")
    scales = (
        Vector(name="router_scale", elements=reading.hidden, part="router"),
        Vector(name="expert_scale", elements=experts, part="router"),
    )
    return mixture(reading, experts=experts, dense_width=width, extra=scales)


def _gemma4_outside(reading: Reading) -> Mapping[str, Any]:
    return _per_layer_inputs(reading)[1]


def _recurrent_layers(reading: Reading) -> Sequence[Layer]:
    """`block_types` repeats: recurrent layers, and attention within a window."""
    keys, count = reading.keys, reading.count
    pattern = keys.words("block_types", len(keys.items("block_types")), ("recurrent", "attention"))
    width = keys.size("lru_width", default=reading.hidden)
    if width % reading.heads:
        raise keys.error("lru_width", width, f"a multiple of the {reading.heads} heads")
    recurrence = GatedRecurrence(
        width=width,
        heads=reading.heads,
        filter_length=keys.size("conv1d_width", default=4),
        biased=("gate", "in", "input_gate", "recurrent_gate", "out"),
    )
    local = attention(reading, keys.size("attention_window_size"), biased=("o",))
    mixers = [recurrence if pattern[index % len(pattern)] == "recurrent" else local for index in range(count)]
    return stacked(mixers, [dense(reading, width=reading.size("width") // 2)] * count, 2)


DIALECTS = (
    Dialect(
        family="Gemma",
        types=("gemma",),
        tied=True,
        head_dim=256,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
    ),
    Dialect(
        family="Gemma-2",
        types=("gemma2",),
        tied=True,
        head_dim=256,
        norms=4,
        windows=patterns.alternating,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
    ),
    Dialect(
        family="VaultGemma",
        types=("vaultgemma",),
        tied=True,
        head_dim=256,
        windows=patterns.alternating,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
    ),
    Dialect(
        family="Gemma-3",
        types=("gemma3", "gemma3_text"),
        defaults={"heads": 8, "kv_heads": 4, "vocab": 262_208},
        tied=True,
        head_dim=256,
        qk_norm="head",
        norms=4,
        windows=patterns.every(6, "sliding_window_pattern", "_sliding_window_pattern"),
        harmless=("attn_logit_softcapping", "final_logit_softcapping"),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
    ),
    Dialect(
        family="Gemma-3n",
        types=("gemma3n", "gemma3n_text"),
        tied=True,
        head_dim=256,
        qk_norm="head",
        layers=_gemma3n_layers,
        outside=_gemma3n_outside,
        harmless=("activation_sparsity_pattern", "altup_active_idx", "altup_coef_clip", "altup_correct_scale"),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
    ),
    Dialect(
        family="Gemma-4",
        types=("gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text"),
        keys={"top_k": ("top_k_experts",), "expert_width": ("moe_intermediate_size", "expert_intermediate_size")},
        tied=True,
        head_dim=256,
        qk_norm="head",
        layers=_gemma4_layers,
        outside=_gemma4_outside,
        harmless=("use_bidirectional_attention", "moe_intermediate_size"),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
    ),
    Dialect(
        family="RecurrentGemma",
        types=("recurrent_gemma",),
        tied=True,
        ffn_bias=True,
        layers=_recurrent_layers,
        harmless=(
            "logits_soft_cap",
            "w_init_variance_scale",
            "final_w_init_variance_scale",
            "embeddings_scale_by_sqrt_dim",
        ),
    ),
)
