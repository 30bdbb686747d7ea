"""Speculation: a draft proposes tokens, the target checks them all in one step, and keeps those before the first miss.

`length` tokens are drafted per step, each accepted with probability `acceptance` independently of the others.
"""

from roofline.numeric import Num, geometric_sum

__all__ = [
    "accepted_tokens",
    "arithmetic_factor",
    "largest_free_batch",
    "speculative_interval",
    "speculative_speedup",
]


def accepted_tokens(acceptance: Num, length: Num) -> Num:
    """The tokens that one verification is expected to yield.

    Arguments:
        acceptance : probability that a drafted token is accepted [1]
        length : drafted tokens per verification [1]

    Returns the number of tokens, the target's own one included [1].

    Source: Leviathan, Kalman, Matias 2023, "Fast Inference from Transformers via Speculative Decoding",
    arXiv:2211.17192, Eq. 1.

    A finite sum, so that certain acceptance gives length + 1 and no division by zero.

    >>> accepted_tokens(0.5, 3)
    1.875
    """
    return geometric_sum(acceptance, length + 1)


def speculative_speedup(acceptance: Num, length: Num, draft_ratio: Num) -> Num:
    """The gain in tokens per second where verifying takes as long as one step of the target.

    Arguments:
        acceptance : probability that a drafted token is accepted [1]
        length : drafted tokens per verification [1]
        draft_ratio : time of a step of the draft over that of the target [1]

    Returns the factor [1].

    Source: Leviathan, Kalman, Matias 2023, arXiv:2211.17192, Theorem 3.8.

    Holds while the target is bound by memory; bound by arithmetic, verification costs length + 1 steps.

    >>> speculative_speedup(0.8, 4, 0.05)
    2.80133
    """
    return accepted_tokens(acceptance, length) / (length * draft_ratio + 1)


def arithmetic_factor(acceptance: Num, length: Num, draft_ratio: Num) -> Num:
    """The arithmetic per token over that without speculation.

    Arguments:
        acceptance : probability that a drafted token is accepted [1]
        length : drafted tokens per verification [1]
        draft_ratio : arithmetic per token of the draft over that of the target [1]

    Returns the factor, at least one [1].

    Source: Leviathan, Kalman, Matias 2023, arXiv:2211.17192, Theorem 3.11.

    >>> arithmetic_factor(0.6, 2, 0)
    1.53061
    """
    return (length * draft_ratio + length + 1) / accepted_tokens(acceptance, length)


def speculative_interval(verify: Num, draft: Num, exchange: Num, acceptance: Num, length: Num) -> Num:
    """The time per token of a sequence with speculation.

    Arguments:
        verify : a step of the target on length + 1 tokens of every sequence [s]
        draft : a step of the draft on one token of every sequence [s]
        exchange : messages between draft and target, both ways, zero on the same devices [s]
        acceptance : probability that a drafted token is accepted [1]
        length : drafted tokens per verification [1]

    Returns the time [s].

    Source: Leviathan, Kalman, Matias 2023, arXiv:2211.17192, Theorem 3.8, with the verification's own time.

    Verification multiplies with batch · (length + 1) tokens, but reads the cache of each sequence once; a mixture of
    experts touches more experts for more tokens, so verifying costs more than a step even where memory binds.

    >>> speculative_interval(10, 1, 2, 0, 4)
    16.0
    """
    return (verify + length * draft + exchange) / accepted_tokens(acceptance, length)


def largest_free_batch(critical_batch: Num, length: Num) -> Num:
    """The batch up to which verification takes no longer than a step of a dense target.

    Arguments:
        critical_batch : tokens at which the linear layers become bound by arithmetic [1]
        length : drafted tokens per verification [1]

    Returns the number of sequences, not rounded [1].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "All About Transformer Inference" (B_crit counts
    tokens).

    >>> largest_free_batch(295, 4)
    59.0
    """
    return critical_batch / (length + 1)
