"""What crosses the network when the weights of a feed-forward are cut over ranks.

Volumes are bytes per rank and feed-forward; divide by one direction's bandwidth for the time of large messages.
"""

from roofline.numeric import Num, sqrt

__all__ = [
    "optimal_gather_ranks",
    "optimal_hidden_ranks",
    "weight_gathered_volume",
    "weight_stationary_volume_1d",
    "weight_stationary_volume_2d",
]


def weight_stationary_volume_1d(tokens: Num, hidden: Num, width: Num, ranks: Num) -> Num:
    """The bytes each rank sends per feed-forward whose weights are cut along the inner dimension.

    Arguments:
        tokens : tokens of the step [1]
        hidden : elements of the residual stream [1]
        width : bytes per activation [B]
        ranks : ranks that hold the weights [1]

    Returns the bytes sent and received by one rank, one all-gather and one reduce-scatter [B].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.1.

    Does not shrink as ranks are added, which is what limits one-dimensional tensor parallelism.

    >>> weight_stationary_volume_1d(1, 8, 1, 16)
    15.0
    """
    return 2 * tokens * hidden * width * (ranks - 1) / ranks


def weight_stationary_volume_2d(
    tokens: Num, hidden: Num, ffn: Num, width: Num, hidden_ranks: Num, ffn_ranks: Num
) -> Num:
    """The bytes each rank sends per feed-forward whose weights are cut along both dimensions.

    Arguments:
        tokens : tokens of the step [1]
        hidden : elements of the residual stream [1]
        ffn : inner elements of the feed-forward [1]
        width : bytes per activation [B]
        hidden_ranks : ranks along the residual stream [1]
        ffn_ranks : ranks along the inner dimension [1]

    Returns the bytes sent and received by one rank, two all-gathers and two reduce-scatters [B].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.2, with the factor (K-1)/K of each collective kept.

    The paper's 8/sqrt(n) drops that factor and overstates the volume by 45 % on 16 ranks. Feed-forwards of two
    matrices; a gated one sends its inner activations twice on the way in.

    >>> weight_stationary_volume_2d(1, 8, 32, 1, 2, 8)
    11.0
    """
    along_hidden = hidden / hidden_ranks * (ffn_ranks - 1) / ffn_ranks
    along_ffn = ffn / ffn_ranks * (hidden_ranks - 1) / hidden_ranks
    return 2 * tokens * width * (along_hidden + along_ffn)


def weight_gathered_volume(tokens: Num, hidden: Num, ffn: Num, width: Num, ranks: Num, gather_ranks: Num) -> Num:
    """The bytes each rank receives per feed-forward whose weights are gathered and whose tokens stay.

    Arguments:
        tokens : tokens of the step, over all ranks [1]
        hidden : elements of the residual stream [1]
        ffn : inner elements of the feed-forward [1]
        width : bytes per weight and per activation [B]
        ranks : ranks that hold the weights [1]
        gather_ranks : ranks over which the weights are gathered [1]

    Returns the bytes, weights and activations together [B].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.3 and appendix A.2.

    Asymptotic: the factor (K-1)/K of each collective is left out, as in the paper. Grows as the square root of the
    tokens at the best width, so it wins in prefill and large batches.

    >>> weight_gathered_volume(4, 8, 16, 1, 4, 2)
    160.0
    """
    weights = 2 * hidden * ffn * width * gather_ranks / ranks
    activations = 2 * tokens * hidden * width / gather_ranks
    return weights + activations


def optimal_hidden_ranks(hidden: Num, ffn: Num, ranks: Num) -> Num:
    """The ranks along the residual stream that make two-dimensional weight-stationary traffic least.

    Arguments:
        hidden : elements of the residual stream [1]
        ffn : inner elements of the feed-forward [1]
        ranks : ranks that hold the weights [1]

    Returns the number of ranks, not rounded [1].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.2 (half the root of n, for ffn four times hidden).

    Minimises the form without the factors (K-1)/K.

    >>> optimal_hidden_ranks(1, 4, 64)
    4.0
    """
    return sqrt(ranks * hidden / ffn)


def optimal_gather_ranks(tokens: Num, ffn: Num, ranks: Num) -> Num:
    """The ranks to gather weights over that make weight-gathered traffic least.

    Arguments:
        tokens : tokens of the step, over all ranks [1]
        ffn : inner elements of the feed-forward [1]
        ranks : ranks that hold the weights [1]

    Returns the number of ranks, not rounded [1].

    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.3 and appendix A.2.

    Real layouts gather over one, two or all three axes of a torus.

    >>> optimal_gather_ranks(4, 16, 4)
    1.0
    """
    return sqrt(tokens * ranks / ffn)
