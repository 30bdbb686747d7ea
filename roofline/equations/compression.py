"""Caches that keep one summary for every whole group of tokens."""

from roofline.numeric import Num, ceil

__all__ = ["summaries", "summary_pairs"]


def summaries(tokens: Num, group: Num) -> Num:
    """The summaries of a sequence: one for every whole group of its tokens.

    Arguments:
        tokens : tokens of the sequence [1]
        group : tokens that one summary stands for [1]

    Returns the number of summaries [1].

    Source: Yuan et al. 2025, "Native Sparse Attention", arXiv:2502.11089, section 3.3 (token compression).

    >>> summaries(11, 4)
    2
    """
    return 0 - ceil(0 - tokens / group)


def summary_pairs(tokens: Num, group: Num) -> Num:
    """The query-summary pairs of a sequence, each query seeing the whole groups that end with it or before it.

    Arguments:
        tokens : tokens of the sequence [1]
        group : tokens that one summary stands for [1]

    Returns the number of pairs [1].

    Source: Yuan et al. 2025, "Native Sparse Attention", arXiv:2502.11089, section 3.3 (token compression), causal mask
    counted: with q whole groups, floor(i / group) adds up to group q (q - 1) / 2 + q (tokens - group q + 1).

    Exact for whole numbers.

    >>> summary_pairs(11, 4)
    12.0
    """
    whole = summaries(tokens, group)
    return group * whole * (whole - 1) / 2 + whole * (tokens - group * whole + 1)
