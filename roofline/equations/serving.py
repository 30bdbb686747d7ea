"""Serving: batches that form by themselves, prefill between decode steps, and what waits.

Little's law turns requests in flight into a decode batch. A request's first token comes from prefill, so decode
generates one token fewer than the answer has.
"""

from roofline.equations.logarithms import natural_power
from roofline.numeric import Num, maximum

__all__ = [
    "batch_within",
    "colocated_interval",
    "gated_spread",
    "linear_step",
    "mean_decode_context",
    "mean_random_context",
    "passes_per_prompt",
    "poisson_wait",
    "prefill_tokens_per_step",
    "requests_in_flight",
    "shared_pass",
    "steady_batch",
]


def mean_decode_context(isl: Num, osl: Num) -> Num:
    """The tokens in a sequence's cache, averaged over the steps that decode it.

    Arguments:
        isl : tokens of the prompt [1]
        osl : tokens of the answer, the same for every request [1]

    Returns the number of tokens [1].

    Source: Song et al. 2026, "Theoretically Optimal Attention/FFN Ratios", arXiv:2601.21351, stationary load.

    For answers of random length `mean_random_context` is larger: long answers are in more steps.

    >>> mean_decode_context(1024, 1024)
    1535.5
    """
    return isl + (osl - 1) / 2


def mean_random_context(isl: Num, osl: Num, variation: Num) -> Num:
    """The tokens in a sequence's cache, averaged over steps, where answers have random lengths.

    Arguments:
        isl : mean tokens of the prompt, independent of the answer [1]
        osl : mean tokens of the answer [1]
        variation : variance of the answer's length over its squared mean [1]

    Returns the number of tokens [1].

    Source: Song et al. 2026, "Theoretically Optimal Attention/FFN Ratios", arXiv:2601.21351, stationary load.

    Length-biased: a geometric length, whose variation is 1 - 1 / osl, adds twice what a fixed one does.

    >>> mean_random_context(1024, 1024, 1023 / 1024)
    2047.0
    """
    return isl + (osl * (1 + variation) - 1) / 2


def linear_step(base: Num, growth: Num, batch: Num) -> Num:
    """The time of a decode step that grows evenly with its batch.

    Arguments:
        base : time that does not grow, such as reading the weights [s]
        growth : time that each further sequence takes, such as reading its cache [s]
        batch : sequences decoded together on one replica [1]

    Returns the time [s].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "All About Transformer Inference", step-time formula.

    >>> linear_step(8, 2, 3)
    14
    """
    return base + growth * batch


def colocated_interval(step: Num, batch: Num, prefill: Num, generated: Num) -> Num:
    """The time between two tokens of a sequence where prefill and decode share the devices.

    Arguments:
        step : time of a decode step by itself [s]
        batch : sequences decoded together on one replica [1]
        prefill : device time that the prompt of one request takes [s]
        generated : tokens of an answer that decode generates: one fewer than it has, for prefill yields the first [1]

    Returns the time [s].

    Source: Agrawal et al. 2024, "Sarathi-Serve", arXiv:2403.02310, section 4 (prefill rides along in decode steps), in
    steady state: while one request generates a token, its fellows finish and as many prompts are due.

    Whether prompts come in chunks or whole changes the largest gap, not the mean. A step that shares the reading of the
    weights with a chunk is shorter than this.

    >>> colocated_interval(10, 64, 32, 1024)
    12.0
    """
    return step + batch * prefill / generated


def prefill_tokens_per_step(batch: Num, isl: Num, osl: Num) -> Num:
    """The prompt tokens that each decode step must carry in steady state.

    Arguments:
        batch : sequences decoded together on one replica [1]
        isl : tokens of the prompt that are not cached [1]
        osl : tokens of the answer [1]

    Returns the number of tokens [1].

    Source: Agrawal et al. 2024, "Sarathi-Serve", arXiv:2403.02310, section 4.

    >>> prefill_tokens_per_step(64, 8192, 1024)
    512.0
    """
    return batch * isl / osl


def requests_in_flight(rate: Num, time: Num) -> Num:
    """The requests inside a system, or inside one part of it.

    Arguments:
        rate : requests, or tokens, that enter and leave per second [1/s]
        time : that each of them stays [s]

    Returns the number of requests [1].

    Source: Little 1961, "A Proof for the Queuing Formula: L = lambda W", doi:10.1287/opre.9.3.383.

    Of output tokens per second and time per token it is the decode batch, which is less than the client's concurrency:
    some requests are in prefill or wait.

    >>> requests_in_flight(2653.2, 0.045849)
    121.647
    """
    return rate * time


def steady_batch(rate: Num, generated: Num, base: Num, growth: Num) -> Num:
    """The decode batch that forms by itself at a rate of requests, where the step is `linear_step`.

    Arguments:
        rate : requests per second on one replica [1/s]
        generated : tokens of an answer that decode generates [1]
        base : time of a step that does not grow [s]
        growth : time that each further sequence takes [s]

    Returns the number of sequences [1].

    Source: Little 1961, doi:10.1287/opre.9.3.383, with the time in the system linear in the number there.

    Exists only below a rate of 1 / (generated · growth); above it the queue grows without bound.

    >>> steady_batch(2, 500, 0.005, 0.00005)
    5.26316
    """
    load = rate * generated
    return load * base / (1 - load * growth)


def batch_within(tpot: Num, base: Num, growth: Num) -> Num:
    """The largest batch whose step, a `linear_step`, keeps to a time per token.

    Arguments:
        tpot : time per output token allowed [s]
        base : time of a step that does not grow [s]
        growth : time that each further sequence takes [s]

    Returns the number of sequences, not rounded [1].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "All About Transformer Inference", solved for the
    batch.

    >>> batch_within(20, 5, 0.05)
    300.0
    """
    return (tpot - base) / growth


def poisson_wait(rate: Num, service: Num, variation: Num) -> Num:
    """The mean wait before one server when requests come at random.

    Arguments:
        rate : requests per second [1/s]
        service : mean time that a request keeps the server busy [s]
        variation : variance of that time over its squared mean: zero for equal prompts [1]

    Returns the time [s].

    Source: Kleinrock 1975, "Queueing Systems", volume 1, Eq. 5.65 (Pollaczek-Khinchine); with zero variation the form
    of Zhong et al. 2024, "DistServe", arXiv:2401.09670, section 3.1.

    Exists only while rate · service is below one.

    >>> poisson_wait(1.5, 0.4, 1)
    0.6
    """
    return rate * service**2 * (1 + variation) / (2 * (1 - rate * service))


def shared_pass(one: Num, further: Num, rate: Num) -> Num:
    """The time of a pass over the model that takes all prompts which came during the pass before.

    Arguments:
        one : time of a pass with one prompt [s]
        further : time that each further prompt adds to it [s]
        rate : prompts per second on one replica [1/s]

    Returns the time [s].

    Source: Bailey 1954, "On Queueing Processes with Bulk Service", J. R. Stat. Soc. B 16: all who wait are served
    together. In the mean a pass of t seconds takes rate · t prompts: t = one + (rate · t - 1) · further, solved for t.

    Exists only while rate · further is below one. What all prompts share, such as reading the weights, is paid once.

    >>> shared_pass(0.5, 0.25, 3)
    1.0
    """
    return maximum(one, (one - further) / (1 - rate * further))


def passes_per_prompt(due: Num, most: Num) -> Num:
    """The passes over the model that a prompt costs where all that are due in the same decode step share one.

    Arguments:
        due : prompts that are due in a decode step on average, above none [1]
        most : prompts that a pass takes [1]

    Returns the number of passes, one at most [1].

    Source: Feller 1968, "An Introduction to Probability Theory and Its Applications", section VI.5: of prompts that
    come at random, a step sees none with probability exp(-due), and in the others one pass takes all.

    Where more are due than a pass takes, all passes are full.

    >>> passes_per_prompt(2, 8)
    0.432332
    """
    return maximum((1 - natural_power(0 - due)) / due, 1 / most)


def gated_spread(due: Num, prefill: Num, interval: Num) -> Num:
    """How unevenly long steps are that compute the prompts which came at random during the step before.

    Arguments:
        due : prompts that are due in a step on average [1]
        prefill : device time that the prompt of one request takes [s]
        interval : mean time of a step, prompts included [s]

    Returns the variance of the step's time over its squared mean [1].

    Source: Takagi 1986, "Analysis of Polling Systems", MIT Press, gated service of one queue: of
    I' = base + prefill · Poisson(due · I / interval), the variances of both I are equal in steady state.

    Exists only while prompts take less than all time. A request at random finds a step that is longer than the mean by
    this share, and so do the prompts that come with it.

    >>> gated_spread(0.5, 0.4, 1)
    0.0833333
    """
    return due * (prefill / interval) ** 2 / (1 - (due * prefill / interval) ** 2)
