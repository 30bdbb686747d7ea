"""Why measured service does not tell a figure, and which run beside it would.

How well times tell a figure follows from how each of them changes with every figure, where figures are usual: so does
how well they would with a run more, before it is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from roofline.describe.model import ModelShape
from roofline.describe.model_catalog import load_model
from roofline.estimate.layout import Layout, possible_tp
from roofline.estimate.resolved import Point, Resolved
from roofline.trust.service_fit import DOUBT, FIGURES, MEAN, REPEATED, TOLD, Form, Observation

Array = NDArray[np.float64]
ADVICE = {
    "step": "time per token at several numbers of requests in flight, from one to many",
    "sequence": "time per token at more than a hundred requests in flight as well as at few",
    "prompt": "time per token with many requests in flight, and to the first token with one, of the same prompts",
    "request": "time to the first token with one request in flight, and per token with many, of the same prompts",
    "memory": "time per token at several contexts or several numbers of requests in flight",
    "compute": "time to the first token of prompts of two lengths, one long, with one request in flight",
}
"""What to measure for a figure of which the times say nothing."""
PROMPTS = (128, 8192, 32_768)
"""Prompts of runs that are tried [token]."""
MODELS = ("llama-3.2-1b", "llama-3.1-8b", "llama-3.1-70b")
"""Models of runs that are tried, and their prompts are the shortest that were measured."""
SURELY = 0.9
"""Share of what a figure's doubt may be where a run is said to tell it [1]: a fit is not where figures are usual."""


def advice(seen: Sequence[Observation], names: Sequence[str], scatter: float) -> dict[str, str]:
    """Of figures that times do not tell, and would not if they scattered as little as repeated runs: why, in words.

    And what to measure. `names` are those of the figures, `scatter` that of the times [1].
    """
    slopes = Form(seen).slopes(MEAN)
    scatter = max(scatter, REPEATED)
    further = [(words, Form(times).slopes(MEAN)) for words, times in runs(seen)] if names else []
    return {name: _advised(name, seen, slopes, further, scatter) for name in names}


def _advised(
    name: str, seen: Sequence[Observation], slopes: Array, further: Sequence[tuple[str, Array]], scatter: float
) -> str:
    at = FIGURES.index(name)
    most = float(np.abs(slopes[:, at]).max(initial=0.0))
    beside = _beside(at, slopes, scatter)
    if most == 0:
        why = "no time depends on it"
    elif beside is None:
        moved = f"{100 * (2**most - 1):.2g} %"
        why = f"twice as much of it changes no time by more than {moved}, and times lie {scatter:.0%} apart"
    else:
        why = f"the times tell it only together with {_joined(beside)}"
    telling = [each for each, more in further if _doubt(at, np.concatenate([slopes, more]), scatter) <= SURELY * TOLD]
    wanted = telling[0] if telling else "" if _measured(name, seen) else ADVICE[name]
    return f"{why}; measure {wanted}" if wanted else why


def _joined(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _doubt(at: int, slopes: Array, scatter: float, known: Sequence[int] = ()) -> float:
    """Share of a figure's usual doubt that times leave where some others are known [1]."""
    kept = [index for index in range(len(FIGURES)) if index not in known]
    chosen = slopes[:, kept]
    covariance = np.linalg.inv(chosen.T @ chosen / scatter**2 + np.diag(DOUBT[kept] ** -2))
    place = kept.index(at)
    return float(np.sqrt(covariance[place, place]) / DOUBT[at])


def _beside(at: int, slopes: Array, scatter: float) -> list[str] | None:
    """The fewest figures that would have to be known for the times to tell one; None where all others do not do."""
    known: list[int] = []
    others = [index for index in range(len(FIGURES)) if index != at]
    if _doubt(at, slopes, scatter, others) > TOLD:
        return None
    while _doubt(at, slopes, scatter, known) > TOLD:
        left = [index for index in others if index not in known]
        known.append(min(left, key=lambda index: _doubt(at, slopes, scatter, [*known, index])))
    return [FIGURES[index] for index in known]


def runs(seen: Sequence[Observation]) -> Iterator[tuple[str, list[Observation]]]:
    """Runs of one request in flight that are not among those seen: other prompts, then another model."""
    first, lengths = seen[0], {each.isl for each in seen}
    for isl in PROMPTS:
        if all(max(isl, own) >= 2 * min(isl, own) for own in lengths):
            yield from _run(f"one request in flight, with a prompt of {isl:,} tokens", first.settled, first, isl)
    for name in MODELS:
        model = load_model(name)
        settled = _of_model(first.settled, model)
        if all(_unlike(model, each.settled.model) for each in seen) and settled is not None:
            yield from _run(f"one request in flight of another model, such as {name}", settled, first, min(lengths))


def _of_model(settled: Resolved, model: ModelShape) -> Resolved | None:
    """The same devices with another, dense model on their tensor ranks; None where it or they have no such layout."""
    plain = Layout(tp=settled.layout.tp)
    same = replace(settled.layout, ep=1) == plain and plain.tp in possible_tp(model, plain.tp)
    return replace(settled, model=model, layout=plain) if same else None


def _unlike(one: ModelShape, other: ModelShape) -> bool:
    sizes = sorted(float(each.parameters().total) for each in (one, other))
    return sizes[1] >= 2 * sizes[0]


def _run(words: str, settled: Resolved, like: Observation, isl: float) -> Iterator[tuple[str, list[Observation]]]:
    """A run's time to the first token and time per token, with answers of the length of another's; none of what does
    not fit or is longer than the model's context.
    """
    context = isl + max(0.0, like.context - like.isl)
    longest = settled.model.max_context
    if (longest and context > longest) or not settled.fits(Point("decode", 1.0, context, 0)):
        return
    nothing = {"riding": 0.0, "passes": 1.0, "most": 1.0, "seconds": 1.0, "together": 1.0, "part": 1.0}
    alone = replace(like, settled=settled, batch=1.0, context=context, isl=isl, **nothing)
    answer = replace(alone, decodes=1.0, prompts=0.0, requests=0.0)
    yield words, [answer, replace(alone, context=isl, decodes=0.0, prompts=1.0, requests=1.0)]


def _measured(name: str, seen: Sequence[Observation]) -> bool:
    """Whether what is advised where times say nothing was measured already."""
    batches = [each.batch for each in seen if each.decodes] or [1.0]
    prompts = [each.isl for each in seen if each.requests and each.batch == 1] or [1.0]
    if name in ("step", "memory"):
        return max(batches) >= 8 * min(batches)
    if name == "sequence":
        return max(batches) >= 100 and min(batches) <= 10
    if name == "compute":
        return max(prompts) >= 4 * min(prompts)
    return max(batches) >= 8 and prompts != [1.0]
