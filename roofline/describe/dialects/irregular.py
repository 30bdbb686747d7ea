"""Families whose layers differ from one another, or whose attention has parts of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline.describe.dialects import patterns
from roofline.describe.dialects.decoder import attention, dense, mixture, stacked
from roofline.describe.dialects.dialect import Dialect, Reading
from roofline.describe.dialects.keys import Keys
from roofline.describe.dialects.mixtures import ROUTED
from roofline.describe.feedforward import FeedForward
from roofline.describe.mixer import Mixer
from roofline.describe.model import Layer
from roofline.describe.parts import Projection, Vector


def _step_sparse(reading: Reading) -> list[bool]:
    """`moe_layers_enum` is a string of layer numbers."""
    keys, count = reading.keys, reading.count
    if keys.given("mlp_layer_types"):
        words = _unpadded(reading, "mlp_layer_types", ("dense", "sparse"))
        return [word == "sparse" for word in words]
    if keys.given("first_k_dense_replace"):
        return patterns.after_dense_prefix(reading)
    value = keys.data.get("moe_layers_enum")
    keys.read.add("moe_layers_enum")
    if value is None:
        raise keys.missing("moe_layers_enum")
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    try:
        marked = {int(part) for part in parts if str(part)}
    except (TypeError, ValueError):
        raise keys.error("moe_layers_enum", value, "layer numbers with commas between them") from None
    return [index in marked for index in range(count)]


def _unpadded(reading: Reading, name: str, choices: Sequence[str]) -> list[str]:
    """A list per layer, without the entries that MTP layers add at its end."""
    count = reading.count
    spare = reading.keys.count("num_nextn_predict_layers", default=0)
    length = len(reading.keys.items(name))
    if length not in (count, count + spare):
        raise reading.keys.error(name, f"{length} entries", f"one for each of the {count} layers")
    return reading.keys.words(name, length, choices)[:count]


def _step_networks(reading: Reading) -> list[FeedForward | None]:
    sparse = _step_sparse(reading)
    kinds: dict[bool, FeedForward] = {
        mark: mixture(reading, shared_width=reading.keys.count("share_expert_dim", "share_expert_dims", default=0))
        if mark
        else dense(reading)
        for mark in dict.fromkeys(sparse)
    }
    return [kinds[mark] for mark in sparse]


def _step_mixers(reading: Reading) -> list[Mixer | None]:
    """Sliding layers have heads of their own, in `attention_other_setting`."""
    keys = reading.keys
    gate = "head" if keys.flag("use_head_wise_attn_gate", True) else "none"
    full = attention(reading, gate=gate)
    if not keys.given("layer_types"):
        return [full] * reading.count
    words = _unpadded(reading, "layer_types", (*patterns.WINDOWED, *patterns.FULL))
    keys.read.update(("attention_other_setting", "num_sliding_attention_heads"))
    near = full
    if any(word in patterns.WINDOWED for word in words):
        if not keys.given("attention_other_setting", "num_sliding_attention_heads"):
            raise keys.missing("attention_other_setting")
        other = keys.part("attention_other_setting") if keys.given("attention_other_setting") else Keys({}, keys.where)
        heads = keys.size("num_sliding_attention_heads", default=other.size("num_attention_heads", default=full.heads))
        kv_heads = other.size("num_attention_groups", "num_key_value_heads", default=full.kv_heads)
        if heads % kv_heads:
            raise other.error("num_attention_heads", heads, f"a multiple of the {kv_heads} groups")
        dim = other.size("head_dim", default=full.key_dim)
        sizes = {"heads": heads, "kv_heads": kv_heads, "key_dim": dim, "value_dim": dim}
        near = attention(reading, reading.size("window"), gate=gate, **sizes)
    return [near if word in patterns.WINDOWED else full for word in words]


def _step3_mixers(reading: Reading) -> list[Mixer | None]:
    """Multi-matrix factorisation attention: queries through a shared latent, one key-value head."""
    return [attention(reading, q_rank=reading.keys.size("share_q_dim"))] * reading.count


def _nas_layers(reading: Reading) -> Sequence[Layer]:
    """`block_configs` says for every layer how wide its network is and whether it attends at all."""
    keys = reading.keys
    made: dict[tuple[int | None, int | None], Layer] = {}
    found: list[Layer] = []
    for index, block in enumerate(keys.items("block_configs", reading.count)):
        if not isinstance(block, Mapping):
            raise keys.error("block_configs", block, "an object for every layer")
        group, width = _nas_block(reading, Keys(block, f"{keys.where}, block_configs[{index}]"))
        if (group, width) not in made:
            mixer = None if group is None else attention(reading, kv_heads=reading.heads // group)
            network = None if width is None else dense(reading, width=width)
            made[group, width] = Layer(
                mixer=mixer, feed_forward=network, norms=(mixer is not None) + (network is not None)
            )
        found.append(made[group, width])
    return found


def _nas_block(reading: Reading, block: Keys) -> tuple[int | None, int | None]:
    """Query heads per key-value head (None: no attention), and width of the network (None: none)."""
    mixer, network = block.part("attention"), block.part("ffn")
    for part in (mixer, network):
        if part.flag("replace_with_linear", False):
            raise part.error("replace_with_linear", True, "false: one matrix in place of a block is not known")
    group = None
    if not mixer.flag("no_op", False):
        if mixer.flag("window_length", False) if isinstance(mixer.data.get("window_length"), bool) else False:
            raise mixer.error("window_length", True, "a number")
        group = mixer.size("n_heads_in_group")
        if reading.heads % group:
            raise mixer.error("n_heads_in_group", group, f"a divisor of the {reading.heads} heads")
    width = None
    if not network.flag("no_op", False):
        wanted = int(2 * network.number("ffn_mult") * reading.hidden / 3)
        width = 256 * -(-wanted // 256)
        if not 0 < width < 10**7:
            raise network.error("ffn_mult", network.data["ffn_mult"], "a factor of the width")
    return group, width


def _inkling_mixers(reading: Reading) -> list[Mixer | None]:
    """Relative positions from a projection of their own; short filters on keys, values and both outputs of a layer."""
    keys, count, hidden = reading.keys, reading.count, reading.hidden
    words = keys.words("layer_types", count, ("hybrid_sliding", "hybrid", *patterns.WINDOWED, *patterns.FULL))
    rank, extent, length = keys.size("d_rel"), keys.size("rel_extent"), keys.size("conv_kernel_size")
    kinds: dict[bool, Mixer] = {}
    for sliding in dict.fromkeys(word in patterns.WINDOWED for word in words):
        sizes = {"heads": reading.heads, "kv_heads": reading.kv_heads, "key_dim": reading.head_dim}
        size = None
        if sliding:
            size = keys.size("sliding_window_size")
            sizes = {
                "heads": keys.size("swa_num_attention_heads", default=sizes["heads"]),
                "kv_heads": keys.size("swa_num_key_value_heads", default=sizes["kv_heads"]),
                "key_dim": keys.size("swa_head_dim", default=sizes["key_dim"]),
            }
            if sizes["heads"] % sizes["kv_heads"]:
                raise keys.error("swa_num_key_value_heads", sizes["kv_heads"], f"a divisor of {sizes['heads']} heads")
        reach = extent if size is None else min(size, extent)
        kinds[sliding] = attention(
            reading,
            size,
            value_dim=sizes["key_dim"],
            filter_channels=2 * sizes["kv_heads"] * sizes["key_dim"] + 2 * hidden,
            filter_length=length,
            projections=(
                Projection(
                    name="relative", inner=hidden, columns=sizes["heads"] * rank, split="heads", part="attention"
                ),
                Projection(name="relative_logits", inner=rank, columns=reach, part="attention"),
            ),
            **sizes,
        )
    return [kinds[word in patterns.WINDOWED] for word in words]


def _inkling_networks(reading: Reading) -> list[FeedForward | None]:
    """Shared experts take part in the routing: as many more rows of the router, and one scale."""
    keys = reading.keys
    shared = keys.count("n_shared_experts", default=0, most=10**4)
    keys.read.add("shared_expert_sink")
    sinks = (Projection(name="shared_router", inner=reading.hidden, columns=shared, part="router"),) if shared else ()
    scale = (Vector(name="router_scale", elements=1, part="router"),)
    sparse = patterns.after_dense_prefix(reading)
    kinds: dict[bool, FeedForward] = {
        mark: mixture(reading, projections=sinks, extra=scale) if mark else dense(reading)
        for mark in dict.fromkeys(sparse)
    }
    return [kinds[mark] for mark in sparse]


def _inkling_outside(reading: Reading) -> Mapping[str, Any]:
    return {"extra": (Vector(name="embedding_norm", elements=reading.hidden, part="embedding"),)}


def _muse_spark_layers(reading: Reading) -> Sequence[Layer]:
    """Experts on a latent with a norm on either side; a gate per channel on both residuals."""
    keys = reading.keys
    latent = keys.size("moe_hidden_size")
    norms = (Vector(name="latent_norms", elements=2 * latent),)
    words = keys.words("mlp_layer_types", reading.count, ("sparse", "dense"))
    kinds: dict[str, FeedForward] = {
        word: mixture(reading, latent_width=latent, extra=norms) if word == "sparse" else dense(reading)
        for word in dict.fromkeys(words)
    }
    windows = patterns.listed(reading)
    mixers = {size: attention(reading, size) for size in dict.fromkeys(windows)}
    # The gates are counted with the routers: they weigh what the layer adds to the stream.
    gates = (Vector(name="residual_gates", elements=2 * reading.hidden, part="router"),)
    return stacked([mixers[size] for size in windows], [kinds[word] for word in words], 3, extra=gates)


DIALECTS = (
    Dialect(
        family="Step-3.5",
        types=("step3p5", "step3p7"),
        keys={
            "kv_heads": ("num_attention_groups", "num_key_value_heads"),
            "experts": ("moe_num_experts", "n_routed_experts", "num_local_experts", "num_experts"),
            "top_k": ("moe_top_k", "num_experts_per_tok"),
        },
        qk_norm="head",
        mixers=_step_mixers,
        feed_forwards=_step_networks,
        harmless=(
            "n_shared_experts",
            "swiglu_limits",
            "swiglu_limits_shared",
            "use_moe_router_bias",
            "need_fp32_gate",
            "use_rope_layers",
        ),
    ),
    Dialect(
        family="Step-3",
        types=("step3_vl", "step3_text", "step3"),
        keys={
            "kv_heads": ("num_attention_groups",),
            "experts": ("moe_num_experts",),
            "top_k": ("moe_top_k",),
        },
        mixers=_step3_mixers,
        feed_forwards=_step_networks,
        harmless=(
            "use_moe",
            "moe_every_n_layer",
            "norm_expert_weight",
            "moe_dynamic_exp_p",
            "use_im_start_end",
            "share_expert_dim",
        ),
    ),
    Dialect(
        family="Nemotron-NAS",
        types=("nemotron-nas", "deci"),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        ffn_bias="mlp_bias",
        layers=_nas_layers,
    ),
    Dialect(
        family="Inkling",
        types=("inkling_text", "inkling", "inkling_mm_model"),
        keys=ROUTED,
        head_dim=128,
        qk_norm="head",
        mixers=_inkling_mixers,
        feed_forwards=_inkling_networks,
        outside=_inkling_outside,
        harmless=(
            "route_scale",
            "log_scaling_alpha",
            "number_of_conv_states",
            "mtp_hidden_states_first",
            "chain_hidden_post_norm",
            "unpadded_vocab_size",
            "local_layer_ids",
        ),
    ),
    Dialect(
        family="Muse-Glimmer",
        types=("muse_glimmer", "muse_glimmer_text"),
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        gate="full",
        norms=4,
        windows=patterns.listed,
        harmless=("layer_rope_theta",),
    ),
    Dialect(
        family="Muse-Spark",
        types=("muse_spark", "muse_spark_text"),
        keys={"experts": ("num_local_experts",)},
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        gate="full",
        layers=_muse_spark_layers,
        harmless=("layer_rope_theta",),
    ),
)
