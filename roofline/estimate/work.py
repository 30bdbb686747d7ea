"""What a phase must do: operations with their FLOP and bytes, and transfers with theirs. Knows no hardware.

All numbers are per device and per pass of one micro-batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from roofline.describe.efficiency import KernelClass
from roofline.describe.formats import number_format
from roofline.numeric import Num

Phase = Literal["prefill", "decode"]
Collective = Literal["all_reduce", "all_gather", "all_to_all"]
HIDDEN_WIDTH = 2
"""Bytes per element of the residual stream, and of what crosses between devices but for sums that are compressed [B].

16 bits in every serving stack.
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one micro-batch brings to one data-parallel rank.

    `sequences` of it with `new` tokens each, so that `rows` tokens pass the linear layers; each cache held `cached`
    tokens and covers `context` with the new ones. `group_tokens` counts the new tokens of all ranks that share experts.
    """

    phase: Phase
    sequences: Num
    new: Num
    cached: Num
    context: Num
    rows: Num
    group_tokens: Num

    @property
    def outputs(self) -> Num:
        """Tokens whose logits are needed: the last of each prompt, but every new one in decode."""
        return self.rows if self.phase == "decode" else self.sequences


class Operation(NamedTuple):
    """One kernel, or a run of them, on one device; a tuple, since estimates make them by the hundred thousand.

    `flops` [FLOP] in format `computed`; `weights` read [B], stored as `stored`; `cache` read and written [B];
    `activations` moved [B], which a fused implementation could keep on the chip; `kernels` launched. `fewest_flops` and
    `fewest_weights` are those of the most favourable routing of tokens to experts, `fewest_cache` is what no
    implementation can avoid: what was there before read once, what is new written once [B]. `longest` is the arithmetic
    of the longest block that one core works on, where blocks are unequal [FLOP]. Of weights and cache, `far` are those
    in each further memory tier [B], nearest first.
    """

    term: str
    kernel_class: KernelClass
    stored: str
    computed: str
    flops: Num
    weights: Num
    cache: Num
    activations: Num
    fewest_flops: Num
    fewest_weights: Num
    fewest_cache: Num
    kernels: Num = 1
    longest: Num = 0
    far: tuple[Num, ...] = ()


@dataclass(frozen=True, slots=True)
class Transfer:
    """One collective over `ranks` devices: `size` [B] of the full buffer per rank, `fewest` [B] that must cross.

    Where rows are sent to several experts, `copies`, a row may cross to a node once and be copied there: `once` [B] are
    the rows of one rank, each a single time. They may be limited to `chosen_groups` of the `expert_groups`.
    """

    term: str
    collective: Collective
    size: Num
    fewest: Num
    ranks: int
    copies: int = 1
    once: Num = 0
    expert_groups: int = 1
    chosen_groups: int = 1


Item = Operation | Transfer


def exchanges(what: object) -> bool:
    """Whether an item, or the kernel that becomes one, brings rows to the experts of other ranks, or back."""
    return getattr(what, "collective", "") == "all_to_all"


HAND_OVER = Transfer("pipeline", "all_reduce", 0, 0, 2)
"""Stands for the hand-over between two stages where its rate on the wires is looked up."""
LAUNCH = Operation("launches", "host_launch", "host", "host", 0, 0, 0, 0, 0, 0, 0)
"""Stands for the launch of a kernel in a pass of prompts where the host's time for it is looked up."""


@cache
def exact_width(name: str) -> int | float:
    """Bytes per stored element, as an int where it is whole [B]."""
    stored = number_format(name).width
    return int(stored) if stored.denominator == 1 else float(stored)


def activation_width(name: str) -> int | float:
    """Bytes per element of an input in a compute format [B]."""
    return exact_width(name)
