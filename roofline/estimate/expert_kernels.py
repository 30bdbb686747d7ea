"""What one device runs of a mixture's routed experts: their products, and what brings rows to them."""

from __future__ import annotations

from dataclasses import dataclass

from roofline.equations.exchanges import fullest_rank_reached
from roofline.equations.experts import (
    busiest_rank_experts,
    distinct_experts,
    expert_row_bytes,
    fullest_rank_rows,
    routed_row_bytes,
    skewed_experts,
)
from roofline.equations.matmul import matmul_flops
from roofline.estimate.work import HIDDEN_WIDTH, Load, Operation, activation_width, exact_width
from roofline.numeric import Num

_LEAST_SKEW = 1e-6
"""Below this skew the count of experts is that without one, to as many digits, and its equation loses them [1]."""


@dataclass(frozen=True, slots=True)
class ExpertRow:
    """A row of activations on its way through one expert: elements [1], of the whole expert.

    `hidden` go into the first matrices and come out of the last, `columns` out of the first and `inner` into the last.
    """

    hidden: int
    columns: int
    inner: int

    def product_bytes(self, computed: str, cut: float) -> Num:
        """What the matrices read and write of it where each is cut over `cut` devices [B]."""
        width = activation_width(computed)
        return expert_row_bytes(self.hidden, self.columns / cut, self.inner / cut, width, HIDDEN_WIDTH)

    def routing_bytes(self, computed: str, cut: float) -> Num:
        """What kernels of their own move of it there [B]."""
        width = activation_width(computed)
        return routed_row_bytes(self.hidden, self.columns / cut, self.inner / cut, width, HIDDEN_WIDTH)


def touched_experts(experts: Num, chosen: Num, tokens: Num, held: Num, deviate: Num, skew: float) -> Num:
    """Of the experts that the busiest rank has `held`, those that at least one token is routed to [1]."""
    if skew > _LEAST_SKEW:
        touched = skewed_experts(experts, chosen, tokens, skew)
    else:
        touched = distinct_experts(experts, chosen, tokens)
    return busiest_rank_experts(experts, touched, tokens, held, deviate)


@dataclass(frozen=True, slots=True)
class ExpertKernel:
    """The routed experts of one layer, as the busiest device of the expert group holds them.

    A device has `held` experts, each cut over `cut` devices; `deviate` says how many standard deviations the busiest
    rank lies above the mean. Of a token's `top_k` choices, those among the `empty` experts cost nothing. `skew`:
    squared coefficient of variation of how often experts are chosen, 0 where all are alike.
    """

    experts: int
    top_k: int
    expert_elements: int
    row: ExpertRow
    group: int
    held: int
    cut: int
    deviate: float
    stored: str
    computed: str
    empty: int = 0
    skew: float = 0.0

    def item(self, load: Load) -> Operation:
        """An expert's weights are read if at least one token is routed to it; all wait for the fullest rank."""
        tokens, width, chosen = load.group_tokens, exact_width(self.stored), self.chosen
        fewest = max(self.top_k - self.empty, 0)
        per_expert = self.expert_elements * width
        flops = tokens * (chosen * matmul_flops(1, self.expert_elements, 1) / self.group)
        return Operation(
            "routed_experts",
            "experts",
            self.stored,
            self.computed,
            flops * self.uneven,
            self.touched(tokens) * (per_expert / self.cut),
            0,
            self.rows(load) * self.row.product_bytes(self.computed, self.cut),
            flops if fewest == chosen else flops * (fewest / chosen),
            fewest * (per_expert / self.group),
            0,
        )

    def touched(self, tokens: Num) -> Num:
        """Experts of the busiest rank that tokens of the whole group are routed to [1]."""
        return touched_experts(self.experts, self.chosen, tokens, self.held, self.deviate, self._skew)

    @property
    def _skew(self) -> float:
        """Where all experts are chosen, all are alike [1]."""
        return self.skew if self.chosen < self.experts else 0.0

    @property
    def chosen(self) -> float:
        """Experts of a token that cost something, as many as are expected [1]."""
        return self.top_k * self.experts / (self.experts + self.empty) if self.empty else self.top_k

    @property
    def uneven(self) -> float:
        """Times the mean that the fullest rank works on: where ranks do not divide the experts, and by skew [1]."""
        return self.held * self.group / (self.experts * self.cut) * self.crowded

    @property
    def crowded(self) -> float:
        """Times the rows of an average rank that the fullest one has by skew [1]."""
        return float(fullest_rank_rows(self.experts, self.chosen, self.held, self.deviate, self._skew))  # type: ignore[arg-type]

    def reached(self, copies: int, expert_groups: int, chosen_groups: int) -> float:
        """Times the tokens of an average rank that the fullest one is sent, each once however many experts it has [1].

        Tokens have `copies`, and may be limited to `chosen_groups` of the `expert_groups`.
        """
        ranks = self.group / self.cut
        return float(fullest_rank_reached(ranks, copies, expert_groups, chosen_groups, self.uneven))  # type: ignore[arg-type]

    def rows(self, load: Load) -> Num:
        """Rows that are routed to the experts of one device; devices that cut an expert all see its rows whole [1]."""
        return load.group_tokens * (self.chosen * self.cut / self.group * self.uneven)


@dataclass(frozen=True, slots=True)
class RoutingKernel:
    """What brings rows to experts, gates them between matrices, and sums what comes back; launched with `experts`."""

    experts: ExpertKernel

    def item(self, load: Load) -> Operation:
        """Moves its bytes and computes next to nothing."""
        moved = self.experts.rows(load) * self.experts.row.routing_bytes(self.experts.computed, self.experts.cut)
        return Operation("routed_rows", "elementwise", "bf16", "bf16", 0, 0, 0, moved, 0, 0, 0, kernels=0)
