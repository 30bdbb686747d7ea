"""The same question put to several pools: prefill of the prompt, decode at each batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from roofline.describe.model import ModelShape
from roofline.errors import DoesNotFit, RooflineError
from roofline.estimate.deployment import CHOSEN, Deployment
from roofline.estimate.estimate import Estimate
from roofline.estimate.work import Phase
from roofline.show.pools import InPool, Pool
from roofline.show.records import Row
from roofline.show.rows import estimate_row, unfit_row

DEMO_MODEL = "llama-3.1-70b"
DEMO_POOLS = (
    "h100-sxm:8,quantization=fp8",
    "h200-sxm:8,quantization=fp8",
    "b200-sxm:8,quantization=fp8",
    "groq-lpu-v1:576,tp=8,pp=72,quantization=int8",
    "groq-3-lpu:256,quantization=fp8",
)


@dataclass(frozen=True)
class Question:
    """What is asked of every pool: prefill of `isl` tokens alone, then decode at each of `batches`.

    Decode is asked at the mean context of an answer of `osl` tokens.
    """

    isl: float
    osl: float
    batches: tuple[float, ...]

    @property
    def context(self) -> float:
        """Tokens in the cache half way through the answer, rounded [1]."""
        return float(round(self.isl + self.osl / 2))


DEMO_QUESTION = Question(isl=2048, osl=512, batches=(1, 8))


def compared(
    model: ModelShape,
    pools: Sequence[Pool],
    question: Question,
    *,
    quantization: str | None = None,
    tracked: Callable[[Iterable[Pool]], Iterable[Pool]] = iter,
) -> list[Row]:
    """Rows of every pool, by phase and batch; what does not fit keeps its row.

    What a pool leaves open of its layout is chosen for each row, the fastest that fits: rows say what silicon can do,
    and `serve` what a server does that keeps one layout.
    """
    by_pool = [_answers(pool, model, question, quantization) for pool in tracked(pools)]
    return [row for rows in zip(*by_pool, strict=True) for row in rows]


def _answers(pool: Pool, model: ModelShape, question: Question, quantization: str | None) -> list[Row]:
    asked = pool.deployment(model, quantization)
    points: list[tuple[Phase, float, float]] = [("prefill", 1, question.isl)]
    points += [("decode", batch, question.context) for batch in question.batches]
    try:
        return [_answer(pool, asked, *point) for point in points]
    except RooflineError as error:
        raise InPool(pool.text, error) from None


def _answer(pool: Pool, asked: Deployment, phase: Phase, batch: float, context: float) -> Row:
    try:
        estimate = estimated(asked, phase, batch, context)
    except DoesNotFit as error:
        room, layout = _room(asked, context, batch)
        return unfit_row(pool.text, asked, phase, batch, context, error, max_batch=room, layout=layout)
    deployment = asked.with_layout(estimate.layout)
    room = estimate.resolved.memory.largest_batch(context)
    row = estimate_row(pool.text, deployment, estimate, max_batch=room)
    chosen = CHOSEN.format(layout=estimate.layout)
    return {**row, "assumptions": [_EACH_ROW if said == chosen else said for said in row["assumptions"]]}


_EACH_ROW = "what is left open of a layout is chosen for each row: the fastest that fits"


def estimated(deployment: Deployment, phase: str, batch: float, context: float) -> Estimate:
    """Prefill of prompts of `context` tokens, or a decode step at that context."""
    return deployment.prefill(context, batch) if phase == "prefill" else deployment.decode(batch, context)


def _room(deployment: Deployment, context: float, batch: float) -> tuple[float | None, str | None]:
    """Sequences that one replica holds in the layout that lacks the least for a batch, and that layout; None where none
    holds even one.
    """
    try:
        room = deployment.capacity(context, batch)
    except DoesNotFit:
        return None, None
    return room.max_batch, str(room.layout)
