"""Mixtures of experts: how many experts a batch touches, what that reads, and what crosses the network.

Tokens are routed independently: to all experts alike, or to some more often than to others, which touches fewer
distinct experts and gives the fullest rank more rows. That tokens of one sequence resemble each other is left out.
"""

from roofline.equations.logarithms import natural_logarithm
from roofline.equations.matmul import matmul_flops, weight_bytes
from roofline.equations.rooflines import critical_batch
from roofline.numeric import Num, log2, maximum, minimum, sqrt

__all__ = [
    "busiest_rank_experts",
    "dispatch_bytes",
    "distinct_experts",
    "expert_critical_tokens",
    "expert_flops",
    "expert_row_bytes",
    "expert_weight_bytes",
    "fullest_rank_rows",
    "largest_deviate",
    "rank_imbalance",
    "routed_row_bytes",
    "skewed_experts",
    "tokens_for_coverage",
    "tokens_per_expert",
]


def distinct_experts(experts: Num, top_k: Num, tokens: Num) -> Num:
    """The routed experts that a batch is expected to touch in one layer.

    Arguments:
        experts : routed experts of the layer [1]
        top_k : routed experts that each token uses [1]
        tokens : tokens routed together [1]

    Returns the expected number of experts [1].

    Source: Erdil 2025, "Inference economics of language models", arXiv:2506.04645, weight traffic of sparse models.

    One token touches exactly top_k, and the count saturates at all of them: weight traffic lies between the active
    and the total parameters. An upper bound where routing is correlated.

    >>> distinct_experts(8, 2, 4)
    5.46875
    """
    return experts * (1 - (1 - top_k / experts) ** tokens)


def skewed_experts(experts: Num, top_k: Num, tokens: Num, skew: Num) -> Num:
    """The routed experts that a batch is expected to touch in one layer where some are chosen more often than others.

    Arguments:
        experts : routed experts of the layer [1]
        top_k : routed experts that each token uses, fewer than all [1]
        tokens : tokens routed together [1]
        skew : squared coefficient of variation of how often experts are chosen, above zero [1]

    Returns the expected number of experts [1].

    Source: derivation from Greenwood, Yule 1920, "An Inquiry into the Nature of Frequency Distributions", J. R. Stat.
    Soc. 83: where events come at random to members whose rates vary by a gamma law of that skew, a share of
    (1 + skew · m)^(-1 / skew) sees none while m are expected.

    The first token touches top_k and leaves each expert with probability 1 - k / E; the others come at random, with
    m = -ln(1 - k / E) each, so that without skew it is `distinct_experts`. With skew it is fewer for two tokens or
    more, and saturates later.

    >>> skewed_experts(256, 8, 64, 0.8)
    180.888
    """
    spared = 1 - top_k / experts
    met = 1 - skew * natural_logarithm(spared) * (tokens - 1)
    return experts * (1 - spared * met ** (0 - 1 / skew))


def largest_deviate(ranks: Num) -> Num:
    """The standard deviations by which the largest of the ranks' loads is expected to lie above their mean.

    Arguments:
        ranks : ranks whose loads vary independently and normally, at least two [1]

    Returns the number of standard deviations [1].

    Source: Cramér 1946, "Mathematical Methods of Statistics", section 28.6: the largest of n normal deviates is about
    b + G / b, with b² = 2 ln n - ln(4 π ln n) and G by Gumbel's law, whose mean is Euler's constant. The square of its
    expectation is thus about b² plus twice that constant.

    One percent too large from three ranks on, and nine percent for two, where it is 1 / √π.

    >>> largest_deviate(8)
    1.43185
    """
    logarithm = natural_logarithm(ranks)
    correction = natural_logarithm(logarithm * 4 / 10**17 * 314159265358979324)
    return sqrt(((2 * logarithm - correction) * 10**17 + 115443132980306573) / 10**17)


def busiest_rank_experts(experts: Num, touched: Num, tokens: Num, held: Num, deviate: Num) -> Num:
    """The experts that the rank which touches the most of its own is expected to touch in one layer.

    Arguments:
        experts : routed experts of the layer [1]
        touched : routed experts that the tokens are expected to touch in one layer [1]
        tokens : tokens routed together [1]
        held : experts on one rank [1]
        deviate : standard deviations of the busiest rank above the mean, none where there is one [1]

    Returns the expected number of experts [1].

    Source: derivation, with the normal law for the binomial one (Feller 1968, "An Introduction to Probability Theory
    and Its Applications", chapter VII). Each expert is touched with probability p = touched / experts, so that of n on
    a rank about n p are, with a variance of n p (1 - p); all ranks wait for the one with the most.

    As many as on any rank where all experts are touched, never more than the rank has, and at least one. Against drawn
    routings it is within 7 % where ranks touch two experts or more on average, and up to a third too low below.

    >>> busiest_rank_experts(256, 15.75, 2, 32, 1.4)
    3.87173
    """
    share = touched / experts
    mean = held * share
    return minimum(held, maximum(mean + deviate * sqrt(mean * (1 - share)), minimum(1, tokens)))


def fullest_rank_rows(experts: Num, top_k: Num, held: Num, deviate: Num, skew: Num) -> Num:
    """The rows that the fullest rank works on where some experts are chosen more often, over those of an average rank.

    Arguments:
        experts : routed experts of the layer [1]
        top_k : routed experts that each token uses [1]
        held : experts on one rank [1]
        deviate : standard deviations of the fullest rank above the mean, none where there is one [1]
        skew : squared coefficient of variation of how often experts are chosen [1]

    Returns the factor, at least one [1].

    Source: derivation. Where experts are chosen as often as a gamma law of that skew has it (`skewed_experts`), so are
    the n of a rank together, by one of skew / n. What lies so many deviations above its mean is the cube of Wilson,
    Hilferty 1931, "The distribution of chi-square", doi:10.1073/pnas.17.12.684.

    For so many tokens that chance does not matter beside skew: within 2 % of ranks drawn by that law, from 64 experts
    on. No token has more rows on a rank than it chooses or the rank has experts. Of a law so wide that the cube would
    fall again, it is its highest. Experts that are placed or copied so that ranks are loaded alike have no skew.

    >>> fullest_rank_rows(256, 8, 32, 1.4, 0.92)
    1.24553
    """
    spread = minimum(sqrt(skew / held), deviate * 3 / 2)
    crowded = (1 - spread**2 / 9 + deviate * spread / 3) ** 3
    return minimum(crowded, minimum(top_k, held) * experts / (top_k * held))


def tokens_per_expert(experts: Num, top_k: Num, tokens: Num) -> Num:
    """The tokens that each routed expert is expected to work on.

    Arguments:
        experts : routed experts of the layer [1]
        top_k : routed experts that each token uses [1]
        tokens : tokens routed together [1]

    Returns the expected number of tokens [1].

    Source: Zhu et al. 2025, "MegaScale-Infer", arXiv:2504.02263, section 2.

    >>> tokens_per_expert(8, 2, 156)
    39.0
    """
    return tokens * top_k / experts


def tokens_for_coverage(experts: Num, top_k: Num, fraction: Num) -> Num:
    """The tokens after which a given share of the routed experts is expected to be touched.

    Arguments:
        experts : routed experts of the layer [1]
        top_k : routed experts that each token uses, fewer than all [1]
        fraction : share of the experts, below one [1]

    Returns the number of tokens [1].

    Source: Erdil 2025, arXiv:2506.04645, weight traffic of sparse models; the inverse of `distinct_experts`.

    >>> tokens_for_coverage(256, 8, 0.9)
    72.5253
    """
    return log2(1 - fraction) / log2(1 - top_k / experts)


def expert_weight_bytes(hidden: Num, expert_width: Num, matrices: Num, weight_width: Num, experts: Num) -> Num:
    """The weights of a number of experts.

    Arguments:
        hidden : elements of the residual stream [1]
        expert_width : inner elements of one expert [1]
        matrices : weight matrices per expert, three where the feed-forward is gated [1]
        weight_width : bytes per stored weight, scales included [B]
        experts : experts counted, for instance the distinct ones that a step reads [1]

    Returns the size [B].

    Source: DeepSeek-AI 2024, "DeepSeek-V3", arXiv:2412.19437, section 2.1.2 and section 4.2 (dimensions).

    >>> expert_weight_bytes(7168, 2048, 3, 1, 1)
    44040192
    """
    return matrices * experts * weight_bytes(hidden, expert_width, weight_width)


def expert_flops(tokens: Num, top_k: Num, hidden: Num, expert_width: Num, matrices: Num) -> Num:
    """The arithmetic of the experts that a batch of tokens uses.

    Arguments:
        tokens : tokens routed together [1]
        top_k : experts that each token uses; add the shared ones to count them too [1]
        hidden : elements of the residual stream [1]
        expert_width : inner elements of one expert [1]
        matrices : weight matrices per expert, three where the feed-forward is gated [1]

    Returns the floating-point operations [FLOP].

    Source: StepFun 2025, "Step-3", arXiv:2507.19427, Table 2 (FFN column).

    >>> expert_flops(1, 9, 7168, 2048, 3)
    792723456
    """
    return matrices * matmul_flops(tokens * top_k, hidden, expert_width)


def expert_row_bytes(hidden: Num, columns: Num, inner: Num, input_width: Num, output_width: Num) -> Num:
    """The bytes that the matrices of one expert take in and give out for a row of activations.

    Arguments:
        hidden : elements of a row before the first matrices and after the last [1]
        columns : elements out of the first matrices, of both where the feed-forward is gated [1]
        inner : elements into the last matrix [1]
        input_width : bytes per element into a matrix [B]
        output_width : bytes per element out of a matrix [B]

    Returns the bytes per row [B].

    Source: Gale et al. 2022, "MegaBlocks", arXiv:2211.15841, pseudo-code of a dMoE: each product reads its input and
    writes its result.

    >>> expert_row_bytes(7168, 4096, 2048, 1, 2)
    31744
    """
    return (hidden + inner) * input_width + (columns + hidden) * output_width


def routed_row_bytes(hidden: Num, columns: Num, inner: Num, input_width: Num, output_width: Num) -> Num:
    """The bytes that move between the matrices of one expert, and to and from them, for a row of activations.

    Arguments:
        hidden : elements of a row before the first matrices and after the last [1]
        columns : elements out of the first matrices, of both where the feed-forward is gated [1]
        inner : elements into the last matrix [1]
        input_width : bytes per element into a matrix [B]
        output_width : bytes per element out of a matrix [B]

    Returns the bytes per row [B].

    Source: Gale et al. 2022, "MegaBlocks", arXiv:2211.15841, pseudo-code of a dMoE: what surrounds its two products.

    Kernels of their own copy the row of a token to each of its experts, in the format that the matrices multiply; gate
    the result of the first matrices; and read what comes back to sum it. Left out is to write the sum, one row for all
    experts of a token.

    >>> routed_row_bytes(7168, 4096, 2048, 1, 2)
    46080
    """
    gathered = hidden * (output_width + input_width)
    gated = columns * output_width + inner * input_width
    return gathered + gated + hidden * output_width


def expert_critical_tokens(experts: Num, top_k: Num, peak: Num, bandwidth: Num, weight_width: Num) -> Num:
    """The tokens routed together at which the routed experts' arithmetic takes as long as reading them.

    Arguments:
        experts : routed experts of the layer [1]
        top_k : routed experts that each token uses [1]
        peak : dense arithmetic rate at the format the matrix units run in [FLOP/s]
        bandwidth : rate of the memory that holds the weights [B/s]
        weight_width : bytes per stored weight [B]

    Returns the number of tokens, over the whole group that shares the experts [1].

    Source: Zhu et al. 2025, "MegaScale-Infer", arXiv:2504.02263, section 2; StepFun 2025, arXiv:2507.19427, section 4.

    Every expert is assumed to be touched, which holds at this many tokens.

    >>> expert_critical_tokens(256, 8, 600, 1, 1)
    9600.0
    """
    return critical_batch(peak, bandwidth, weight_width) * experts / top_k


def dispatch_bytes(tokens: Num, copies: Num, hidden: Num, dispatch_width: Num, combine_width: Num) -> Num:
    """The bytes that one layer's dispatch and combine put on the network.

    Arguments:
        tokens : tokens of the sending rank [1]
        copies : copies of each token that cross the link [1]
        hidden : elements of the residual stream [1]
        dispatch_width : bytes per element on the way out [B]
        combine_width : bytes per element on the way back [B]

    Returns the bytes, both ways together [B].

    Source: DeepSeek-AI 2025, "Insights into DeepSeek-V3", arXiv:2505.09343, section 2.3.2.

    Copies are top_k where each expert is addressed on its own, at most the number of nodes where a token is sent once
    per node, one more where the shared expert is remote, and one where a pool fans out by itself. fp8 out and bf16
    back are three bytes per element.

    >>> dispatch_bytes(32, 9, 7000, 1, 2)
    6048000
    """
    return tokens * copies * hidden * (dispatch_width + combine_width)


def rank_imbalance(ranks: Num, tokens_per_rank: Num) -> Num:
    """The load of the busiest rank over the mean load: a heuristic, not a result.

    Arguments:
        ranks : expert-parallel ranks [1]
        tokens_per_rank : token copies that a rank receives on average [1]

    Returns the factor, at least one [1].

    Source: Raab, Steger 1998, "Balls into Bins", doi:10.1007/3-540-49543-6_13, Theorem 1, the heavily loaded case.

    Good to a few percent for many tokens per rank under uniform routing; meaningless for few, and blind to skewed
    routing, which is usually the larger effect. Prefer a measured factor.

    >>> rank_imbalance(64, 1000)
    1.0912
    """
    return 1 + sqrt(2 * natural_logarithm(ranks) / tokens_per_rank)
