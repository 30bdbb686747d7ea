"""Weights counted, not weighed: the parameters of attention, feed-forward and whole transformers.

Norms, biases and routers are left out; they are below a thousandth.
"""

from roofline.numeric import Num

__all__ = [
    "attention_parameters",
    "feed_forward_parameters",
    "latent_attention_parameters",
    "token_flops",
    "transformer_parameters",
]


def attention_parameters(hidden: Num, heads: Num, kv_heads: Num, head_dim: Num) -> Num:
    """The weights of one layer of multi-head, multi-query or grouped-query attention.

    Arguments:
        hidden : elements of the residual stream [1]
        heads : query heads [1]
        kv_heads : key-value heads [1]
        head_dim : elements of a key and of a value [1]

    Returns the number of parameters [1].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "All the Transformer Math You Need to Know".

    head_dim is stated, never hidden/heads: the two differ in many models.

    >>> attention_parameters(4096, 32, 8, 128)
    41943040
    """
    return 2 * hidden * head_dim * (heads + kv_heads)


def latent_attention_parameters(
    hidden: Num, heads: Num, query_rank: Num, latent_dim: Num, nope_dim: Num, rope_dim: Num, value_dim: Num
) -> Num:
    """The weights of one layer of multi-head latent attention.

    Arguments:
        hidden : elements of the residual stream [1]
        heads : query heads [1]
        query_rank : elements of the compressed query [1]
        latent_dim : elements of the compressed key-value vector [1]
        nope_dim : elements of a key without rotary position [1]
        rope_dim : elements of the shared rotary key [1]
        value_dim : elements of a value [1]

    Returns the number of parameters [1].

    Source: DeepSeek-AI 2024, "DeepSeek-V2", arXiv:2405.04434, sections 2.1.2 and 2.1.3, Eqs. 9-19.

    >>> latent_attention_parameters(7168, 128, 1536, 512, 128, 64, 128)
    187105280
    """
    queries = hidden * query_rank + query_rank * heads * (nope_dim + rope_dim)
    latents = hidden * (latent_dim + rope_dim) + latent_dim * heads * (nope_dim + value_dim)
    return queries + latents + heads * value_dim * hidden


def feed_forward_parameters(hidden: Num, ffn: Num, matrices: Num) -> Num:
    """The weights of one feed-forward or of one expert.

    Arguments:
        hidden : elements of the residual stream [1]
        ffn : inner elements of the feed-forward [1]
        matrices : weight matrices, three where it is gated [1]

    Returns the number of parameters [1].

    Source: Shazeer 2020, "GLU Variants Improve Transformer", arXiv:2002.05202, section 2.

    >>> feed_forward_parameters(4096, 14336, 3)
    176160768
    """
    return matrices * hidden * ffn


def transformer_parameters(
    layers: Num, hidden: Num, ffn: Num, heads: Num, kv_heads: Num, head_dim: Num, vocab: Num, embeddings: Num
) -> Num:
    """The weights of a dense transformer with gated feed-forwards.

    Arguments:
        layers : transformer layers [1]
        hidden : elements of the residual stream [1]
        ffn : inner elements of the feed-forward [1]
        heads : query heads [1]
        kv_heads : key-value heads [1]
        head_dim : elements of a key and of a value [1]
        vocab : tokens of the vocabulary [1]
        embeddings : vocabulary matrices, one where input and output share theirs, else two [1]

    Returns the number of parameters [1].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "All About Transformer Inference", first problem.

    >>> transformer_parameters(88, 12288, 28672, 96, 8, 128, 32768, 2)
    122607894528
    """
    layer = attention_parameters(hidden, heads, kv_heads, head_dim) + feed_forward_parameters(hidden, ffn, 3)
    return layers * layer + embeddings * vocab * hidden


def token_flops(parameters: Num) -> Num:
    """The arithmetic of one token in the linear layers.

    Arguments:
        parameters : weights that the token is multiplied with: the active ones, without the input embedding [1]

    Returns the floating-point operations [FLOP].

    Source: kipply 2022, "Transformer Inference Arithmetic", section "flops counting"; Kaplan et al. 2020,
    arXiv:2001.08361, section 2.1.

    Attention over the cache is not in here.

    >>> token_flops(70)
    140
    """
    return 2 * parameters
