"""What a phase must do: operations with their FLOP and bytes, and transfers with theirs. Knows no hardware.

A model is compiled once per layout into units (one per distinct layer, one for the embedding, one for the head); a unit
then says what one device of a stage does for a given load. All numbers are per device and per pass of one micro-batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from roofline.describe.attention import LatentAttention
from roofline.describe.efficiency import KernelClass
from roofline.describe.feedforward import MoE
from roofline.describe.formats import Quantization, number_format
from roofline.describe.mixers import Mixer
from roofline.describe.model import Layer, ModelShape
from roofline.describe.parts import Matrix
from roofline.equations.attention import full_pairs, kv_heads_per_rank, windowed_pairs
from roofline.equations.experts import dispatch_bytes, distinct_experts
from roofline.equations.matmul import matmul_flops, weight_bytes
from roofline.estimate.layout import Layout
from roofline.numeric import Num, minimum

Phase = Literal["prefill", "decode"]
Collective = Literal["all_reduce", "all_gather", "all_to_all"]
HIDDEN_WIDTH = 2
"""Bytes per element of the residual stream and of what crosses between devices: 16-bit in every serving stack [B]."""


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


@dataclass(frozen=True, slots=True)
class Operation:
    """One kernel, or a run of them, on one device.

    `flops` [FLOP] in format `computed`; `weights` read [B], stored as `stored`; `cache` read and written [B];
    `activations` moved [B], which a fused implementation could keep on the chip; `kernels` launched. `fewest_flops` and
    `fewest_weights` are those of the most favourable routing of tokens to experts.
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
    kernels: int = 1


@dataclass(frozen=True, slots=True)
class Transfer:
    """One collective over `ranks` devices: `size` [B] of the full buffer per rank, `fewest` [B] that must cross."""

    term: str
    collective: Collective
    size: Num
    fewest: Num
    ranks: int


Item = Operation | Transfer
HAND_OVER = Transfer("pipeline", "all_reduce", 0, 0, 2)
"""Stands for the hand-over between two stages where its rate on the wires is looked up."""


@dataclass(frozen=True, slots=True)
class MatmulKernel:
    """Matrices that share an input and run as one kernel, as one rank holds them."""

    term: str
    stored: str
    computed: str
    inner: int
    columns: int
    last_row_only: bool = False

    def item(self, load: Load) -> Operation:
        """Each row is multiplied with every weight; weights are read once."""
        rows = load.sequences if self.last_row_only else load.rows
        weights = weight_bytes(self.inner, self.columns, exact_width(self.stored))
        row_bytes = self.inner * activation_width(self.computed) + self.columns * HIDDEN_WIDTH
        flops = rows * matmul_flops(1, self.inner, self.columns)
        return Operation(
            self.term, "matmul", self.stored, self.computed, flops, weights, 0, rows * row_bytes, flops, weights
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
        mixer, sequences = self.mixer, load.sequences
        if load.phase == "decode":
            pairs = mixer.visible_keys(load.context)
            flops = pairs * mixer.pair_flops
            keys_read = pairs
        else:
            window = getattr(mixer, "window", None)
            pairs = full_pairs(load.new, load.cached)
            keys_read = mixer.visible_keys(load.cached) + load.new
            if window is not None:
                pairs = windowed_pairs(load.new, load.cached, window)
            flops = mixer.pair_flops * pairs
            if isinstance(mixer, LatentAttention):
                flops = minimum(flops, mixer.rebuilt_pair_flops * pairs + mixer.rebuild_flops * load.cached)
        width = exact_width(self.cache_format)
        moved = (keys_read + load.new) * (self.key_elements * width)
        if mixer.index_flops:
            flops = flops + load.new * mixer.indexed_keys(load.context) * mixer.index_flops
            moved = moved + mixer.index_elements(load.context) * width
        flops = sequences * flops * self.head_share
        cache = sequences * moved
        query = getattr(mixer, "heads", 0) * (getattr(mixer, "key_dim", 0) + getattr(mixer, "value_dim", 0))
        return Operation(
            "attention",
            self._class(load.phase),
            self.cache_format,
            self.computed,
            flops,
            0,
            cache,
            load.rows * (query * self.head_share * HIDDEN_WIDTH),
            flops,
            0,
        )

    def _class(self, phase: Phase) -> KernelClass:
        if isinstance(self.mixer, LatentAttention):
            return "latent_decode" if phase == "decode" else "latent_prefill"
        return "attention_decode" if phase == "decode" else "attention_prefill"


@dataclass(frozen=True, slots=True)
class StateKernel:
    """A recurrent mixer's state, read and written once per pass, as one rank holds it."""

    state_bytes: float
    flops_per_token: float
    computed: str

    def item(self, load: Load) -> Operation:
        """The state does not grow with the context."""
        moved = load.sequences * (2 * self.state_bytes)
        flops = load.rows * self.flops_per_token
        return Operation("state", "elementwise", "fp32", self.computed, flops, 0, moved, 0, flops, 0)


@dataclass(frozen=True, slots=True)
class ExpertKernel:
    """The routed experts of one layer, as one device of the expert group holds them."""

    experts: int
    top_k: int
    expert_elements: int
    row_elements: int
    group: int
    imbalance: float
    stored: str
    computed: str

    def item(self, load: Load) -> Operation:
        """Tokens are spread evenly over experts; an expert's weights are read if at least one token is routed to it."""
        tokens, width = load.group_tokens, exact_width(self.stored)
        touched = distinct_experts(self.experts, self.top_k, tokens)
        per_expert = self.expert_elements * width / self.group
        flops = tokens * (self.top_k * matmul_flops(1, self.expert_elements, 1) / self.group)
        return Operation(
            "routed_experts",
            "experts",
            self.stored,
            self.computed,
            flops * self.imbalance,
            touched * per_expert * self.imbalance,
            0,
            tokens * (self.top_k * self.row_elements * activation_width(self.computed) / self.group),
            flops,
            self.top_k * per_expert,
        )


@dataclass(frozen=True, slots=True)
class StreamKernel:
    """Elementwise work: norms, activations, rotary positions, residual additions, lookups."""

    term: str
    row_bytes: float
    kernels: int
    last_row_only: bool = False

    def item(self, load: Load) -> Operation:
        """Moves its bytes for each row and computes next to nothing."""
        rows = load.sequences if self.last_row_only else load.rows
        return Operation(
            self.term, "elementwise", "bf16", "bf16", 0, 0, 0, rows * self.row_bytes, 0, 0, kernels=self.kernels
        )


@dataclass(frozen=True, slots=True)
class TransferKernel:
    """A collective whose size grows with the rows of a rank, or with the tokens of the whole expert group."""

    term: str
    collective: Collective
    row_bytes: float
    fewest_row_bytes: float
    ranks: int
    over_group: bool = False
    last_row_only: bool = False

    def item(self, load: Load) -> Transfer:
        """The buffer of one rank."""
        rows = load.group_tokens if self.over_group else load.sequences if self.last_row_only else load.rows
        size = rows * self.row_bytes
        fewest = size if self.fewest_row_bytes == self.row_bytes else rows * self.fewest_row_bytes
        return Transfer(self.term, self.collective, size, fewest, self.ranks)


Kernel = MatmulKernel | AttentionKernel | StateKernel | ExpertKernel | StreamKernel | TransferKernel


@cache
def exact_width(name: str) -> int | float:
    """Bytes per stored element, as an int where it is whole [B]."""
    stored = number_format(name).width
    return int(stored) if stored.denominator == 1 else float(stored)


def activation_width(name: str) -> int | float:
    """Bytes per element of an input in a compute format [B]."""
    return exact_width(name)


def layer_kernels(layer: Layer, hidden: int, layout: Layout, quantization: Quantization) -> tuple[Kernel, ...]:
    """What one rank runs for one layer, in order."""
    compiled: list[Kernel] = []
    mixer, feed_forward = layer.mixer, layer.feed_forward
    reduce = TransferKernel("all_reduce", "all_reduce", hidden * HIDDEN_WIDTH, hidden * HIDDEN_WIDTH, layout.tp)
    norm = StreamKernel("elementwise", 4 * hidden * HIDDEN_WIDTH, 1)
    if mixer is not None:
        compiled.append(norm)
        matrices = mixer.matrices(hidden)
        kv_heads = getattr(mixer, "kv_heads", 1)
        projections = _matmuls("attention_projections", matrices, layout.tp, kv_heads, quantization)
        compiled.extend(projections[:-1])
        compiled.extend(_mixer_kernels(mixer, layout, quantization))
        compiled.extend(projections[-1:])
        if layout.tp > 1:
            compiled.append(reduce)
    if feed_forward is not None:
        compiled.append(norm)
        compiled.extend(_feed_forward_kernels(layer, hidden, layout, quantization))
        if isinstance(feed_forward, MoE):
            compiled.extend(_expert_kernels(feed_forward, hidden, layout, quantization))
        elif layout.tp > 1:
            compiled.append(reduce)
    return tuple(compiled)


def _mixer_kernels(mixer: Mixer, layout: Layout, quantization: Quantization) -> list[AttentionKernel | StateKernel]:
    """The core of a mixer; rotary positions and the cache write run inside the attention kernel."""
    compiled: list[AttentionKernel | StateKernel] = []
    kv_heads = getattr(mixer, "kv_heads", 1)
    if mixer.pair_flops:
        ranks_kv = int(kv_heads_per_rank(kv_heads, layout.tp))  # type: ignore[call-overload]
        compiled.append(
            AttentionKernel(
                mixer,
                1 / layout.tp,
                mixer.key_elements * ranks_kv // kv_heads,
                quantization.attention,
                quantization.kv_cache,
            )
        )
    if mixer.recurrent_elements:
        state = mixer.recurrent_elements * exact_width("fp32") + mixer.convolution_elements * exact_width("bf16")
        compiled.append(StateKernel(state / layout.tp, mixer.state_flops / layout.tp, quantization.attention))
    return compiled


def _feed_forward_kernels(
    layer: Layer, hidden: int, layout: Layout, quantization: Quantization
) -> list[MatmulKernel | StreamKernel]:
    assert layer.feed_forward is not None
    compiled: list[MatmulKernel | StreamKernel] = []
    by_part: dict[str, list[Matrix]] = {}
    for matrix in layer.feed_forward.matrices(hidden):
        by_part.setdefault(_TERMS.get(matrix.part, matrix.part), []).append(matrix)
    for term, matrices in by_part.items():
        compiled.extend(_matmuls(term, tuple(matrices), layout.tp, 1, quantization))
        inner = [matrix.inner for matrix in matrices if matrix.split == "rows"]
        width_ups = sum(matrix.columns for matrix in matrices if matrix.split == "columns")
        if inner:
            compiled.append(StreamKernel("elementwise", (width_ups + sum(inner)) / layout.tp * HIDDEN_WIDTH, 1))
    return compiled


def _expert_kernels(
    mixture: MoE, hidden: int, layout: Layout, quantization: Quantization
) -> list[ExpertKernel | TransferKernel]:
    matrices = mixture.expert_matrices(hidden)
    on_fullest = -(-mixture.experts // layout.ep)
    kernel = ExpertKernel(
        mixture.experts,
        mixture.top_k,
        sum(matrix.elements for matrix in matrices),
        sum(matrix.inner + matrix.columns for matrix in matrices),
        layout.expert_group,
        on_fullest * layout.ep / mixture.experts,
        quantization.storage("experts"),
        quantization.computation("experts"),
    )
    wide = (mixture.latent_width or hidden) * HIDDEN_WIDTH
    if layout.dp == 1:
        return [kernel] + ([TransferKernel("all_reduce", "all_reduce", wide, wide, layout.tp)] if layout.tp > 1 else [])
    if layout.ep == 1:
        gather = TransferKernel("all_gather", "all_gather", wide, wide, layout.expert_group, over_group=True)
        scatter = TransferKernel("reduce_scatter", "all_gather", wide, wide, layout.expert_group, over_group=True)
        return [gather, kernel, scatter]
    copies = min(mixture.top_k, layout.ep)
    sent = float(dispatch_bytes(1, copies, wide // HIDDEN_WIDTH, activation_width(kernel.computed), HIDDEN_WIDTH))  # type: ignore[arg-type]
    exchange = TransferKernel("all_to_all", "all_to_all", sent / layout.tp, 0, layout.expert_group)
    joined: list[ExpertKernel | TransferKernel] = [kernel, exchange]
    if layout.expert_tp > 1:
        joined.append(TransferKernel("all_reduce", "all_reduce", wide * copies, 0, layout.expert_tp))
    return joined


def embedding_kernels(model: ModelShape, layout: Layout) -> tuple[StreamKernel | TransferKernel, ...]:
    """The lookup of each token's row, and the reduction that a vocabulary cut over ranks needs."""
    row, ranks = (model.embedding_width or model.hidden) * HIDDEN_WIDTH, layout.tp * layout.vocab
    lookup = StreamKernel("embedding", 2 * row, 1)
    if ranks == 1:
        return (lookup,)
    return (lookup, TransferKernel("all_reduce", "all_reduce", row, row, ranks))


def head_kernels(
    model: ModelShape, layout: Layout, quantization: Quantization
) -> tuple[MatmulKernel | StreamKernel | TransferKernel, ...]:
    """The last norm and the logits of each sequence's last token, gathered over ranks."""
    norm = StreamKernel("elementwise", 2 * model.hidden * HIDDEN_WIDTH, 1, last_row_only=True)
    ranks = layout.tp * layout.vocab
    inner, columns = rank_shape(model.head, ranks, 1)
    stored, computed = quantization.storage("lm_head"), quantization.computation("lm_head")
    logits = MatmulKernel("lm_head", stored, computed, inner, columns, last_row_only=True)
    if ranks == 1:
        return (norm, logits)
    row = columns * ranks * HIDDEN_WIDTH
    return (norm, logits, TransferKernel("all_gather", "all_gather", row, row, ranks, last_row_only=True))


_TERMS = {"router": "router", "dense_ffn": "dense_ffn", "shared_experts": "shared_experts", "norm_other": "latent"}


def _matmuls(
    term: str, matrices: tuple[Matrix, ...], tp: int, kv_heads: int, quantization: Quantization
) -> list[MatmulKernel]:
    """One kernel per label; matrices of one label share their input."""
    kernels: dict[str, tuple[int, int, str]] = {}
    for matrix in matrices:
        inner, columns = rank_shape(matrix, tp, kv_heads)
        part = "lm_head" if matrix.part == "router" else "linear"
        before = kernels.get(matrix.kernel)
        kernels[matrix.kernel] = (inner, columns + (before[1] if before else 0), part)
    return [
        MatmulKernel(term, quantization.storage(part), quantization.computation(part), inner, columns)
        for inner, columns, part in kernels.values()
    ]


def rank_shape(matrix: Matrix, tp: int, kv_heads: int) -> tuple[int, int]:
    """Rows and columns of a matrix that one of `tp` ranks holds."""
    if matrix.split == "replicated":
        return matrix.inner, matrix.columns
    if matrix.split == "rows":
        return -(-matrix.inner // tp), matrix.columns
    if matrix.split == "kv_heads":
        return matrix.inner, matrix.columns // kv_heads * -(-kv_heads // tp)
    return matrix.inner, -(-matrix.columns // tp)
