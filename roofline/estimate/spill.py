"""Weights and caches beyond the nearest memory tier: which bytes of each operation come from the further ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from roofline.estimate.timing import Step
from roofline.estimate.work import Item, Operation
from roofline.numeric import Num

Shares = Sequence[tuple[Num, Num]]
"""Share of the weights and share of the caches in each further tier, the nearest first [1]."""


def spilled(step: Step, shares: Shares) -> Step:
    """The step with every operation's weights and cache spread over the tiers as the whole replica's are."""

    def placed(items: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(_spread(each, shares) if isinstance(each, Operation) else each for each in items)

    return replace(
        step,
        items=placed(step.items),
        turns=None if step.turns is None else replace(step.turns, items=placed(step.turns.items)),
    )


def _spread(operation: Operation, shares: Shares) -> Operation:
    far = tuple(operation.weights * weights + operation.cache * caches for weights, caches in shares)
    return operation._replace(far=far)


def sentence(names: Sequence[str], shares: Sequence[tuple[Any, Any]]) -> str:
    """What lies in further tiers, in words."""
    parts = [
        f"{float(weights):.0%} of the weights and {float(caches):.0%} of the caches in {name}"
        for name, (weights, caches) in zip(names, shares, strict=True)
    ]
    return f"weights are placed first, then caches, the nearest memory first: {'; '.join(parts)}"
