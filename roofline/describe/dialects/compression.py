"""DeepSeek-V4: compressed attention, and hyper-connections between its residual streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline.describe.compressed import CompressedAttention
from roofline.describe.dialects.decoder import mixture, norm_count, stacked
from roofline.describe.dialects.dialect import Dialect, Reading
from roofline.describe.dialects.mixtures import ROUTED
from roofline.describe.mixer import Indexer, Mixer
from roofline.describe.model import Layer
from roofline.describe.parts import Projection, Vector

_RATIO_BY_TYPE = {
    "sliding_attention": None,
    "compressed_sparse_attention": "compressed_sparse_attention",
    "heavily_compressed_attention": "heavily_compressed_attention",
}


def connections(reading: Reading, *, mixing: bool = True) -> dict[str, Any]:
    """Hyper-connections around both halves of a layer (arXiv:2409.19606): `hc_mult` streams are read, written, mixed.

    Each half projects all streams to a weight per read, per write and per mixed pair, with a bias and a scale for
    each of these.
    """
    streams = reading.keys.size("hc_mult")
    weights = (2 + (streams if mixing else 0)) * streams
    scales = 3 if mixing else 2
    return {
        "projections": tuple(
            Projection(name=f"{half}_connections", inner=streams * reading.hidden, columns=weights)
            for half in ("mixer", "network")
        ),
        "extra": (Vector(name="connection_bias_scale", elements=2 * (weights + scales)),),
    }


def _ratios(reading: Reading) -> list[tuple[int | None, bool]]:
    """Per layer, how many tokens one summary stands for (None: window only), and whether summaries are searched.

    `compress_ratios` has one entry more than there are layers, for the MTP module; summaries of few tokens are
    searched, those of many are all attended to.
    """
    keys, count = reading.keys, reading.count
    if keys.given("compress_ratios"):
        listed = keys.items("compress_ratios")
        spare = keys.count("num_nextn_predict_layers", default=0)
        if len(listed) not in (count, count + spare):
            raise keys.error("compress_ratios", f"{len(listed)} entries", f"one for each of the {count} layers")
        ratios = keys.sizes("compress_ratios", len(listed), least=0, most=10**6)[:count]
        searched = min((ratio for ratio in ratios if ratio), default=0)
        several = len({ratio for ratio in ratios if ratio}) > 1
        if not several and searched:
            searched = 4  # the one ratio in use is the searched one only where it is DeepSeek's
        return [(ratio or None, ratio != 0 and ratio == searched) for ratio in ratios]
    words = keys.words("layer_types", count, _RATIO_BY_TYPE)
    rates = keys.part("compress_rates")
    return [
        (rates.size(word) if _RATIO_BY_TYPE[word] else None, word == "compressed_sparse_attention") for word in words
    ]


def _v4_mixers(reading: Reading) -> list[Mixer | None]:
    """One key-value head in all layers; whatever `num_key_value_heads` says, key and value are the same."""
    keys = reading.keys
    keys.read.update(("num_key_value_heads", "qk_rope_head_dim", "layer_types", "compress_rates"))
    search = Indexer(heads=keys.size("index_n_heads"), dim=keys.size("index_head_dim"), top_k=keys.size("index_topk"))
    dim, groups, heads = keys.size("head_dim"), keys.size("o_groups"), reading.heads
    if heads * dim % groups:
        raise keys.error("o_groups", groups, f"a divisor of {heads} heads of {dim}")
    kinds: dict[tuple[int | None, bool], Mixer] = {}
    ratios = _ratios(reading)
    for key in dict.fromkeys(ratios):
        kinds[key] = CompressedAttention(
            heads=heads,
            q_rank=keys.size("q_lora_rank"),
            head_dim=dim,
            window=keys.size("sliding_window"),
            ratio=key[0],
            indexer=search if key[1] else None,
            output_groups=groups,
            output_rank=keys.size("o_lora_rank"),
        )
    return [kinds[key] for key in ratios]


def _v4_layers(reading: Reading) -> Sequence[Layer]:
    networks = [mixture(reading)] * reading.count
    return stacked(_v4_mixers(reading), networks, norm_count(reading), **connections(reading))


def head_connection(reading: Reading) -> Mapping[str, Any]:
    """The streams are joined once more before the head."""
    streams = reading.keys.size("hc_mult")
    return {
        "projections": (Projection(name="head_connections", inner=streams * reading.hidden, columns=streams),),
        "extra": (Vector(name="head_connection_bias_scale", elements=streams + 1),),
    }


DIALECTS = (
    Dialect(
        family="DeepSeek-V4",
        types=("deepseek_v4",),
        keys=ROUTED,
        layers=_v4_layers,
        outside=head_connection,
        harmless=("expert_dtype", "num_hash_layers", "mlp_layer_types"),
    ),
)
