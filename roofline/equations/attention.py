"""Attention: what the cache holds, how many pairs are scored, and the arithmetic of each kind.

A pair is one query meeting one key in one layer. Causal prefill scores about half of the square; a decode step scores
one row of it, so the factor of one half belongs to `full_pairs` and to nothing else. Layers are counted by the caller.
"""

from roofline.numeric import Num, ceil, maximum, minimum

__all__ = [
    "absorbed_latent_flops",
    "absorbed_latent_intensity",
    "attention_flops",
    "attention_intensity",
    "full_pairs",
    "indexer_flops",
    "kv_bytes_per_token",
    "kv_heads_per_rank",
    "kv_replication",
    "latent_bytes_per_token",
    "latent_expansion_flops",
    "materialisation_crossover",
    "materialised_latent_flops",
    "max_context",
    "packed_latent_bytes_per_token",
    "visible_keys",
    "windowed_pairs",
]


def kv_bytes_per_token(kv_heads: Num, key_dim: Num, value_dim: Num, width: Num) -> Num:
    """The cache that one context token adds in one layer of multi-head, multi-query or grouped-query attention.

    Arguments:
        kv_heads : key-value heads stored [1]
        key_dim : elements of a key [1]
        value_dim : elements of a value [1]
        width : bytes per cached element [B]

    Returns the size [B].

    Source: Ainslie et al. 2023, "GQA", arXiv:2305.13245, section 2.2; kipply 2022, "Transformer Inference Arithmetic",
    section "kv cache".

    >>> kv_bytes_per_token(8, 128, 128, 2)
    4096
    """
    return kv_heads * (key_dim + value_dim) * width


def latent_bytes_per_token(latent_dim: Num, rope_dim: Num, width: Num) -> Num:
    """The cache that one context token adds in one layer of multi-head latent attention.

    Arguments:
        latent_dim : elements of the compressed key-value vector [1]
        rope_dim : elements of the shared rotary key [1]
        width : bytes per cached element [B]

    Returns the size [B].

    Source: DeepSeek-AI 2024, "DeepSeek-V2", arXiv:2405.04434, section 2.1.4 and Table 1.

    One vector serves all heads and is both key and value, so there is no factor of two, and tensor parallelism cannot
    divide it: every rank holds all of it.

    >>> latent_bytes_per_token(512, 64, 2)
    1152
    """
    return (latent_dim + rope_dim) * width


def packed_latent_bytes_per_token(
    latent_dim: Num, rope_dim: Num, width: Num, rope_width: Num, scale_group: Num, scale_width: Num
) -> Num:
    """The cache of one token in one layer of latent attention, as quantised layouts store it.

    Arguments:
        latent_dim : elements of the compressed key-value vector [1]
        rope_dim : elements of the shared rotary key [1]
        width : bytes per element of the compressed vector [B]
        rope_width : bytes per element of the rotary key, which stays wide [B]
        scale_group : elements that share a scale [1]
        scale_width : bytes per scale [B]

    Returns the size [B].

    Source: DeepSeek-AI, FlashMLA README, fp8 sparse-decoding cache format.

    656 bytes for DeepSeek-V3 in fp8, where `latent_bytes_per_token` with one byte says 576: say which one is meant.

    >>> packed_latent_bytes_per_token(512, 64, 1, 2, 128, 4)
    656.0
    """
    return latent_dim * width + latent_dim / scale_group * scale_width + rope_dim * rope_width


def visible_keys(context: Num, window: Num) -> Num:
    """The keys a query may see under a sliding window or a top-k selection.

    Arguments:
        context : tokens in the cache [1]
        window : most keys one query sees, itself included [1]

    Returns the number of keys [1].

    Source: Beltagy, Peters, Cohan 2020, "Longformer", arXiv:2004.05150, section 3.1.

    >>> visible_keys(8192, 4096)
    4096
    """
    return minimum(context, window)


def full_pairs(new: Num, cached: Num) -> Num:
    """The query-key pairs of causal attention, each query seeing itself and everything before it.

    Arguments:
        new : query tokens, consecutive [1]
        cached : tokens before the first query [1]

    Returns the number of pairs [1].

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3 (the causal mask, counted).

    Prefill of S tokens scores S(S+1)/2 pairs, not S squared; a decode step (one new token) scores cached + 1, with no
    factor of one half.

    >>> full_pairs(3, 2)
    12.0
    """
    return new * (2 * cached + new + 1) / 2


def windowed_pairs(new: Num, cached: Num, window: Num) -> Num:
    """The query-key pairs of causal attention in which a query sees at most the last `window` keys.

    Arguments:
        new : query tokens, consecutive [1]
        cached : tokens before the first query [1]
        window : most keys one query sees, itself included [1]

    Returns the number of pairs [1].

    Source: Beltagy, Peters, Cohan 2020, "Longformer", arXiv:2004.05150, section 3.1 (the banded mask, counted).

    Exact for whole numbers. Queries split into those that still see everything and those whose window is full; nothing
    is subtracted from a large square, so nothing is lost to rounding at long context.

    >>> windowed_pairs(3, 2, 4)
    11.0
    """
    growing = minimum(new, maximum(window - cached, 0))
    return full_pairs(growing, cached) + (new - growing) * window


def attention_flops(heads: Num, key_dim: Num, value_dim: Num, pairs: Num) -> Num:
    """The arithmetic of scores and weighted values, softmax left out.

    Arguments:
        heads : query heads [1]
        key_dim : elements of a key [1]
        value_dim : elements of a value [1]
        pairs : query-key pairs scored [1]

    Returns the floating-point operations [FLOP].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "All the Transformer Math You Need to Know",
    dot-product attention.

    Query heads, not key-value heads: grouping saves bytes, never arithmetic.

    >>> attention_flops(64, 128, 128, 10)
    327680
    """
    return 2 * heads * (key_dim + value_dim) * pairs


def indexer_flops(index_heads: Num, index_dim: Num, pairs: Num) -> Num:
    """The arithmetic of the indexer that picks the keys of sparse attention.

    Arguments:
        index_heads : heads of the indexer [1]
        index_dim : elements of an index key [1]
        pairs : query-key pairs scored, every visible key of the context [1]

    Returns the floating-point operations [FLOP].

    Source: DeepSeek-AI 2025, "DeepSeek-V3.2", arXiv:2512.02556, section 2.1, the index score.

    The indexer looks at the whole context, so it stays linear in it while the attention behind it stops at its top-k.

    >>> indexer_flops(64, 128, 1)
    16384
    """
    return 2 * index_heads * index_dim * pairs


def absorbed_latent_flops(heads: Num, latent_dim: Num, rope_dim: Num, pairs: Num) -> Num:
    """The arithmetic of latent attention run on the compressed cache, its up-projections folded into the weights.

    Arguments:
        heads : query heads [1]
        latent_dim : elements of the compressed key-value vector [1]
        rope_dim : elements of the shared rotary key [1]
        pairs : query-key pairs scored [1]

    Returns the floating-point operations [FLOP].

    Source: DeepSeek-AI 2024, "DeepSeek-V2", arXiv:2405.04434, section 2.1.2 (absorption of the up-projections).

    Scores run over latent and rotary elements, values over the latent alone: 576 + 512 for DeepSeek-V3. Counting
    576 twice, as Step-3's Table 2 does, is 5.9 % too much.

    >>> absorbed_latent_flops(128, 512, 64, 1)
    278528
    """
    return attention_flops(heads, latent_dim + rope_dim, latent_dim, pairs)


def materialised_latent_flops(heads: Num, nope_dim: Num, rope_dim: Num, value_dim: Num, pairs: Num) -> Num:
    """The arithmetic of latent attention run on keys and values expanded per head.

    Arguments:
        heads : query heads [1]
        nope_dim : elements of a key without rotary position [1]
        rope_dim : elements of the shared rotary key [1]
        value_dim : elements of a value [1]
        pairs : query-key pairs scored [1]

    Returns the floating-point operations [FLOP].

    Source: DeepSeek-AI 2024, "DeepSeek-V2", arXiv:2405.04434, section 2.1.2, Eqs. 10-11 and section 2.1.3.

    The expansion itself is `latent_expansion_flops`, and is not in here.

    >>> materialised_latent_flops(128, 128, 64, 128, 1)
    81920
    """
    return attention_flops(heads, nope_dim + rope_dim, value_dim, pairs)


def latent_expansion_flops(heads: Num, latent_dim: Num, nope_dim: Num, value_dim: Num, keys: Num) -> Num:
    """The arithmetic of expanding the compressed cache into keys and values for every head.

    Arguments:
        heads : query heads [1]
        latent_dim : elements of the compressed key-value vector [1]
        nope_dim : elements of a key without rotary position [1]
        value_dim : elements of a value [1]
        keys : context tokens expanded [1]

    Returns the floating-point operations [FLOP].

    Source: DeepSeek-AI 2024, "DeepSeek-V2", arXiv:2405.04434, section 2.1.2, Eqs. 10-11.

    >>> latent_expansion_flops(128, 512, 128, 128, 1)
    33554432
    """
    return 2 * latent_dim * heads * (nope_dim + value_dim) * keys


def materialisation_crossover(latent_dim: Num, nope_dim: Num, value_dim: Num) -> Num:
    """The query tokens per expanded key below which absorbed latent attention does less arithmetic.

    Arguments:
        latent_dim : elements of the compressed key-value vector [1]
        nope_dim : elements of a key without rotary position [1]
        value_dim : elements of a value [1]

    Returns the number of query tokens [1].

    Source: DeepSeek-AI 2024, "DeepSeek-V2", arXiv:2405.04434, section 2.1.2; the two counts set equal.

    Heads and rotary elements appear on both sides and cancel. Decode lies below, prefill above. Every query is taken to
    see every key: a prompt into an empty cache scores half of those pairs and crosses at twice as many tokens. Needs
    2 * latent_dim > nope_dim + value_dim; otherwise absorbing is always the cheaper one.

    >>> materialisation_crossover(512, 128, 128)
    170.667
    """
    return latent_dim * (nope_dim + value_dim) / (2 * latent_dim - nope_dim - value_dim)


def kv_heads_per_rank(kv_heads: Num, ranks: Num) -> Num:
    """The key-value heads that the fullest tensor-parallel rank holds.

    Arguments:
        kv_heads : key-value heads of the layer [1]
        ranks : tensor-parallel ranks [1]

    Returns the number of heads [1].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.3 and Table 1.

    Heads are whole: 48 heads on 64 ranks are one each on 48 of them, and 16 idle; 48/64 of a head does not exist.

    >>> kv_heads_per_rank(48, 64)
    1
    """
    return ceil(kv_heads / ranks)


def kv_replication(kv_heads: Num, ranks: Num) -> Num:
    """How many times tensor parallelism stores the cache, counting the padding of uneven splits.

    Arguments:
        kv_heads : key-value heads of the layer [1]
        ranks : tensor-parallel ranks [1]

    Returns the factor, at least one [1].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.3.

    Latent attention behaves as one head: its factor is the number of ranks.

    >>> kv_replication(8, 16)
    2.0
    """
    return kv_heads_per_rank(kv_heads, ranks) * ranks / kv_heads


def attention_intensity(heads: Num, kv_heads: Num, key_dim: Num, value_dim: Num, width: Num) -> Num:
    """The arithmetic per cache byte of one query token in grouped-query attention.

    Arguments:
        heads : query heads [1]
        kv_heads : key-value heads stored [1]
        key_dim : elements of a key [1]
        value_dim : elements of a value [1]
        width : bytes per cached element [B]

    Returns the arithmetic intensity [FLOP/B].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "All About Transformer Inference", attention
    intensity; StepFun 2025, "Step-3", arXiv:2507.19427, section 4 (8-bit cache).

    Independent of batch and of context: each sequence reads its own cache.

    >>> attention_intensity(64, 4, 128, 128, 1)
    32.0
    """
    return attention_flops(heads, key_dim, value_dim, 1) / kv_bytes_per_token(kv_heads, key_dim, value_dim, width)


def absorbed_latent_intensity(heads: Num, latent_dim: Num, rope_dim: Num, width: Num) -> Num:
    """The arithmetic per cache byte of one query token in absorbed latent attention.

    Arguments:
        heads : query heads [1]
        latent_dim : elements of the compressed key-value vector [1]
        rope_dim : elements of the shared rotary key [1]
        width : bytes per cached element [B]

    Returns the arithmetic intensity [FLOP/B].

    Source: DeepSeek-AI 2024, "DeepSeek-V2", arXiv:2405.04434, section 2.1.2; StepFun 2025, "Step-3",
    arXiv:2507.19427, section 4, which prints 512 because it counts the rotary elements twice.

    >>> absorbed_latent_intensity(128, 512, 64, 1)
    483.556
    """
    return absorbed_latent_flops(heads, latent_dim, rope_dim, 1) / latent_bytes_per_token(latent_dim, rope_dim, width)


def max_context(
    fraction: Num, capacity: Num, batch: Num, heads_per_rank: Num, head_dim: Num, width: Num, layers: Num
) -> Num:
    """The context at which the cache of a batch fills its share of a device's memory.

    Arguments:
        fraction : share of the memory that the cache may take [1]
        capacity : memory of one device [B]
        batch : sequences whose cache the device holds [1]
        heads_per_rank : key-value heads the device holds of each sequence [1]
        head_dim : elements of a key and of a value [1]
        width : bytes per cached element [B]
        layers : layers that keep a cache [1]

    Returns the number of context tokens, not rounded down [1].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.3, Table 1.

    Multi-query attention sharded over the batch holds batch/ranks sequences; sharded over heads it holds all of
    them, because its one head is on every device.

    >>> max_context(0.5, 1024, 2, 1, 4, 2, 2)
    8.0
    """
    return fraction * capacity / (batch * layers * kv_bytes_per_token(heads_per_rank, head_dim, head_dim, width))
