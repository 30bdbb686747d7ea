"""What one device runs whatever the load: given a load, a kernel becomes an operation or a transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from roofline.describe.attention import LatentAttention
from roofline.describe.efficiency import KernelClass
from roofline.describe.formats import INDEX_SCORES
from roofline.describe.mixers import Mixer
from roofline.equations.matmul import matmul_flops, weight_bytes
from roofline.estimate.expert_kernels import ExpertKernel, RoutingKernel
from roofline.estimate.work import (
    HIDDEN_WIDTH,
    Collective,
    Load,
    Operation,
    Phase,
    Transfer,
    activation_width,
    exact_width,
)
from roofline.numeric import SCALAR, Num, kind, maximum, minimum

BLOCK_ROWS = 128
"""Queries of one head that a core works on at a time, all their keys in turn [1].

Shah et al. 2024, "FlashAttention-3", arXiv:2407.08608, blocks of 128 rows; 64 to 128 in FlashAttention-2.
"""
NARROWED = 2 * 2**20
"""Size from which on sums are compressed, of the buffer in 16 bits; a compressed one counts as no smaller [B].

vllm-project/vllm, distributed/device_communicators/quick_all_reduce.py at 02cdf876, `_QR_MIN_SIZE`: 2 MiB for 4 bits
over four and eight ranks in fp16, 1 MiB over two. Smaller ones are sooner there as they are.
"""


@dataclass(frozen=True, slots=True)
class MatmulKernel:
    """Matrices that share an input and run as one kernel, or as a part of another, as one rank holds them.

    Rows may be shared out over `sharing` ranks that each hold the matrices whole; they could hold a part of them each.
    """

    term: str
    stored: str
    computed: str
    inner: int
    columns: int
    last_row_only: bool = False
    sharing: int = 1
    kernels: int = 1

    def item(self, load: Load) -> Operation:
        """Each row is multiplied with every weight; weights are read once."""
        rows = load.outputs if self.last_row_only else load.rows if self.sharing == 1 else load.rows / self.sharing
        weights = weight_bytes(self.inner, self.columns, exact_width(self.stored))
        row_bytes = self.inner * activation_width(self.computed) + self.columns * HIDDEN_WIDTH
        flops = rows * matmul_flops(1, self.inner, self.columns)
        fewest = weights if self.sharing == 1 else weights / self.sharing
        return Operation(
            self.term,
            "matmul",
            self.stored,
            self.computed,
            flops,
            weights,
            0,
            rows * row_bytes,
            flops,
            fewest,
            0,
            kernels=self.kernels,
        )


@dataclass(frozen=True, slots=True)
class AttentionKernel:
    """Scores and values of one mixer over the cache, as one rank computes them."""

    mixer: Mixer
    head_share: float
    key_elements: int
    computed: str
    cache_format: str

    def item(self, load: Load) -> Operation:
        """Reads what each sequence can see and writes what it adds; latent keys are rebuilt where that costs less."""
        mixer, sequences, decoding = self.mixer, load.sequences, load.phase == "decode"
        # The first query sees itself and what it reaches of the cache; each further one brings its own key.
        reached = mixer.visible_keys(load.context if decoding else load.cached + 1)
        keys_read = reached if decoding else reached - 1 + load.new
        alone = decoding and one_token(load.new)  # the common step is spared passes over arrays
        pairs = keys_read if alone else mixer.attended_pairs(load.new, load.cached)
        flops = pairs * (mixer.pair_flops * self.head_share)
        if not decoding and isinstance(mixer, LatentAttention):
            rebuilt = pairs * mixer.rebuilt_pair_flops + load.cached * mixer.rebuild_flops
            flops = minimum(flops, rebuilt * self.head_share)
        width = exact_width(self.cache_format)
        key = self.key_elements * width
        written = 0 if getattr(mixer, "shares_kv", False) else load.new
        moved = (keys_read + written) * key
        fewest = (mixer.earlier_keys(load.cached) + mixer.kept_keys(load.new, load.cached)) * key
        flops = sequences * flops
        query = getattr(mixer, "heads", 0) * (getattr(mixer, "key_dim", 0) + getattr(mixer, "value_dim", 0))
        return Operation(
            "attention",
            self._class(load.phase),
            self.cache_format,
            self.computed,
            flops,
            0,
            sequences * moved,
            load.rows * (query * self.head_share * HIDDEN_WIDTH),
            flops,
            0,
            sequences * fewest,
            longest=self._last_block(load),
        )

    def _last_block(self, load: Load) -> Num:
        """Of a prompt: what the last of its queries ask of one head, with all keys that they see [FLOP]."""
        heads = getattr(self.mixer, "heads", 0)
        if load.phase == "decode" or not heads:
            return 0
        each = self.mixer.pair_flops
        if isinstance(self.mixer, LatentAttention):
            each = min(each, self.mixer.rebuilt_pair_flops)
        return minimum(load.new, BLOCK_ROWS) * self.mixer.visible_keys(load.context) * (each / heads)

    def _class(self, phase: Phase) -> KernelClass:
        if isinstance(self.mixer, LatentAttention):
            return "latent_decode" if phase == "decode" else "latent_prefill"
        return "attention_decode" if phase == "decode" else "attention_prefill"


@dataclass(frozen=True, slots=True)
class IndexKernel:
    """The search that sparse attention does first, as one rank does it: whole, since every rank needs every choice.

    vllm-project/vllm, model_executor/models/deepseek_v2.py, `Indexer`: its projections are replicated and all heads are
    scored on every rank, in a product of matrices like others. A rank could do with its `share` [1] and ask the others.
    Choosing among the scores takes nothing here.
    """

    mixer: Mixer
    share: float
    cache_format: str

    def item(self, load: Load) -> Operation:
        """Compares each query with every index key before it, and reads these once."""
        mixer = self.mixer
        alone = load.phase == "decode" and one_token(load.new)
        pairs = mixer.indexed_keys(load.context) if alone else mixer.indexed_pairs(load.new, load.cached)
        flops = load.sequences * (pairs * mixer.index_flops)
        keys = load.sequences * (mixer.index_elements(load.context) * exact_width(self.cache_format))
        queries = load.rows * (mixer.index_flops / 2 * activation_width(INDEX_SCORES))
        return Operation(
            "indexer",
            "matmul",
            self.cache_format,
            INDEX_SCORES,
            flops,
            0,
            keys,
            queries,
            flops * self.share,
            0,
            keys * self.share,
        )


@dataclass(frozen=True, slots=True)
class StateKernel:
    """A recurrent mixer's state, read and written once per pass, as one rank holds it."""

    state_bytes: float
    flops_per_token: float
    stored: str
    computed: str

    def item(self, load: Load) -> Operation:
        """The state does not grow with the context; there is one to read as soon as there is a token before."""
        moved = load.sequences * ((1 + minimum(load.cached, 1)) * self.state_bytes)
        flops = load.rows * self.flops_per_token
        return Operation("state", "elementwise", self.stored, self.computed, flops, 0, moved, 0, flops, 0, moved)


@dataclass(frozen=True, slots=True)
class StreamKernel:
    """Elementwise work: norms, activations, rotary positions, residual additions, lookups."""

    term: str
    row_bytes: float
    kernels: int
    last_row_only: bool = False

    def item(self, load: Load) -> Operation:
        """Moves its bytes for each row and computes next to nothing."""
        rows = load.outputs if self.last_row_only else load.rows
        return Operation(
            self.term, "elementwise", "bf16", "bf16", 0, 0, 0, rows * self.row_bytes, 0, 0, 0, kernels=self.kernels
        )


def one_token(new: Num) -> bool:
    """Whether each sequence has one new token, and it is known: the common step, in which no drafts are verified."""
    return kind(new) == SCALAR and new == 1


@dataclass(frozen=True, slots=True)
class HostKernel:
    """What a serving stack's host adds to a pass: once, for each sequence of a decode step, or for each `verified` one.

    A step's sequences are those of all ranks; drafts are verified rank by rank, side by side.
    """

    per: Literal["pass", "sequence", "verified"]

    def item(self, load: Load) -> Operation:
        """Overhead alone; a pass of prompts pays once, whatever it takes."""
        name, times = self._paid(load)
        return Operation("runtime", name, "host", "host", 0, 0, 0, 0, 0, 0, 0, kernels=times)

    def _paid(self, load: Load) -> tuple[KernelClass, Num]:
        """Which cost, and how often."""
        decoding = load.phase == "decode"
        if self.per == "pass":
            return ("host_step" if decoding else "host_prompt"), 1
        if self.per == "sequence":
            return "host_sequence", load.group_tokens / load.new if decoding else 0
        return "host_verify", load.sequences if decoding and not one_token(load.new) else 0


@dataclass(frozen=True, slots=True)
class TransferKernel:
    """A collective whose size grows with the rows of a rank, or with the tokens of the whole expert group.

    Rows have `copies`, one for each expert. In decode each copy is sent on its own, `row_bytes` in all. Those of a
    prompt are sent to a rank once, however many of their experts it has, and to a node once and on from there:
    `prompt_row_bytes` over all ranks that are expected to have some. These are the two modes of DeepEP
    (deepseek-ai/DeepEP, csrc/kernels: `is_token_in_rank` in intranode.cu, a send for each of `topk_idx` in
    internode_ll.cu). A router may limit a token to `chosen_groups` of the `expert_groups`.

    Sums in less than 16 bits cross in those, with `wide_row_bytes`, while they are small (`NARROWED`).
    """

    term: str
    collective: Collective
    row_bytes: float
    fewest_row_bytes: float
    ranks: int
    over_group: bool = False
    last_row_only: bool = False
    wide_row_bytes: float = 0
    copies: int = 1
    once_row_bytes: float = 0
    prompt_row_bytes: float | None = None
    expert_groups: int = 1
    chosen_groups: int = 1

    def item(self, load: Load) -> Transfer:
        """The buffer of one rank."""
        rows = load.group_tokens if self.over_group else load.outputs if self.last_row_only else load.rows
        decoding = load.phase == "decode" or self.prompt_row_bytes is None
        size = rows * (self.row_bytes if decoding else self.prompt_row_bytes)
        fewest: Num = 0  # without a pass over an array
        if self.fewest_row_bytes:
            fewest = size if self.fewest_row_bytes == self.row_bytes else rows * self.fewest_row_bytes
        if self.wide_row_bytes:
            widest = size * (self.wide_row_bytes / self.row_bytes)
            size = minimum(widest, maximum(size, NARROWED))
        if self.copies == 1 or load.phase == "decode":
            return Transfer(self.term, self.collective, size, fewest, self.ranks)
        once = rows * self.once_row_bytes
        among = self.expert_groups, self.chosen_groups
        return Transfer(self.term, self.collective, size, fewest, self.ranks, self.copies, once, *among)


Kernel = (
    MatmulKernel
    | AttentionKernel
    | IndexKernel
    | StateKernel
    | ExpertKernel
    | RoutingKernel
    | StreamKernel
    | HostKernel
    | TransferKernel
)
