"""A model cut over ranks: which kernels one rank runs for a layer, the embedding and the head, and in which shapes."""

from __future__ import annotations

from dataclasses import replace

from roofline.describe.feedforward import FeedForward, MoE
from roofline.describe.formats import Quantization
from roofline.describe.mixers import Mixer
from roofline.describe.model import Layer, ModelShape
from roofline.describe.parts import Matrix, Projection
from roofline.describe.runtimes import Fused
from roofline.equations.attention import kv_heads_per_rank
from roofline.equations.exchanges import nodes_reached
from roofline.equations.experts import dispatch_bytes, largest_deviate
from roofline.estimate.expert_kernels import ExpertKernel, ExpertRow, RoutingKernel
from roofline.estimate.kernels import (
    AttentionKernel,
    IndexKernel,
    Kernel,
    MatmulKernel,
    StateKernel,
    StreamKernel,
    TransferKernel,
)
from roofline.estimate.layout import Layout
from roofline.estimate.work import HIDDEN_WIDTH, activation_width, exact_width

NARROW = 4096
"""Width of hidden states up to which norms are launched by themselves behind a sum [1].

NVIDIA/TensorRT-LLM#6205: "Disable fusion for small models with a hidden size no greater than 4096".
"""


def layer_kernels(
    layer: Layer,
    hidden: int,
    layout: Layout,
    quantization: Quantization,
    skew: float = 0.0,
    fused: tuple[Fused, ...] = (),
) -> tuple[Kernel, ...]:
    """What one rank runs for one layer, in order; `skew` is that of the routing to experts [1].

    What is `fused` is launched with another kernel.
    """
    compiled: list[Kernel] = []
    mixer, feed_forward = layer.mixer, layer.feed_forward
    # Where data ranks share experts, each tensor rank has a share of the rows from the mixer on until behind them.
    parted = isinstance(feed_forward, MoE) and layout.dp > 1
    parallel = layer.parallel and feed_forward is not None
    reduce = _all_reduce(hidden, layout.tp, quantization)
    summed = layout.tp > 1 and not parted and "norms" in fused and (hidden > NARROW or "narrow_norms" in fused)
    norm = StreamKernel("elementwise", 4 * hidden * HIDDEN_WIDTH, 0 if summed else 1)
    compiled.extend(_projections(layer.projections, layout.tp, quantization))
    if mixer is not None:
        compiled.append(norm)
        matrices = mixer.matrices(hidden)
        kv_heads = getattr(mixer, "kv_heads", 1)
        projections = _matmuls("attention_projections", matrices, layout.tp, kv_heads, quantization)
        compiled.extend(projections[:-1])
        compiled.extend(_head_norm(mixer, layout.tp))
        compiled.extend(_mixer_kernels(mixer, layout, quantization))
        compiled.extend(projections[-1:])
        if layout.tp > 1 and parted:
            compiled.append(_parting(hidden, layout.tp, quantization))
        elif layout.tp > 1:
            # Where both are added to the residual stream at once, one sum behind the feed-forward would do.
            compiled.append(replace(reduce, fewest_row_bytes=0) if parallel else reduce)
    if feed_forward is not None:
        compiled.append(replace(norm, row_bytes=norm.row_bytes / layout.tp) if parted else norm)
        compiled.extend(_feed_forward_kernels(layer, hidden, layout, quantization, fused))
        if isinstance(feed_forward, MoE):
            compiled.extend(_expert_kernels(feed_forward, hidden, layout, quantization, skew))
            if parted and layout.tp > 1:
                compiled.append(_joining(hidden, layout.tp))
        elif layout.tp > 1:
            compiled.append(reduce)
    return tuple(compiled)


def _head_norm(mixer: Mixer, tp: int) -> list[StreamKernel | TransferKernel]:
    """A norm of queries and keys, a kernel before that of attention, in which rotary positions are measured.

    One over all heads at once is summed over tensor ranks: the squares that each has of a row's queries and keys, two
    numbers in 32 bits (MiniMax-M2 in vllm-project/vllm, whose norms sum their variance over the ranks).
    """
    norm = getattr(mixer, "qk_norm", "none")
    if norm == "none":
        return []
    keys = float(kv_heads_per_rank(mixer.kv_heads, tp))  # type: ignore[attr-defined, arg-type]
    elements = (mixer.heads / tp + keys) * mixer.key_dim  # type: ignore[attr-defined]
    normed = StreamKernel("elementwise", 2 * elements * HIDDEN_WIDTH, 1)
    if norm != "full" or tp == 1:
        return [normed]
    squares = 2 * exact_width("fp32")
    summed = TransferKernel("all_reduce", "all_reduce", squares, squares, tp)
    return [StreamKernel("elementwise", elements * HIDDEN_WIDTH, 1), summed, normed]


def _all_reduce(elements: float, ranks: int, quantization: Quantization) -> TransferKernel:
    """The sum of the ranks' parts of each row; what compressing it takes is not counted."""
    row, wide = _summed_row(elements, quantization)
    return TransferKernel("all_reduce", "all_reduce", row, row, ranks, wide_row_bytes=wide)


def _parting(elements: float, ranks: int, quantization: Quantization) -> TransferKernel:
    """The sum of the ranks' parts of each row, of which each rank gets its share of the rows: all that it must be sent
    where a switch sums.
    """
    row, wide = _summed_row(elements, quantization)
    return TransferKernel("reduce_scatter", "all_gather", row, row / ranks, ranks, wide_row_bytes=wide)


def _summed_row(elements: float, quantization: Quantization) -> tuple[float, float]:
    """Bytes of a row that is summed [B], and of the wider one that crosses while few do; 0 if no wider."""
    row, wide = (elements * width for width in (exact_width(quantization.all_reduce), HIDDEN_WIDTH))
    return row, wide if row < wide else 0


def _joining(elements: float, ranks: int) -> TransferKernel:
    """What makes the ranks' shares of the rows one again, on every rank."""
    row = elements * HIDDEN_WIDTH
    return TransferKernel("all_gather", "all_gather", row, row * (ranks - 1) / ranks, ranks)


def _projections(projections: tuple[Projection, ...], tp: int, quantization: Quantization) -> list[MatmulKernel]:
    """What every token passes outside mixers and feed-forwards."""
    return _matmuls("projections", tuple(each.matrix() for each in projections), tp, 1, quantization)


def _mixer_kernels(
    mixer: Mixer, layout: Layout, quantization: Quantization
) -> list[IndexKernel | AttentionKernel | StateKernel]:
    """The core of a mixer; rotary positions and the cache write run inside the attention kernel."""
    compiled: list[IndexKernel | AttentionKernel | StateKernel] = []
    kv_heads = getattr(mixer, "kv_heads", 1)
    if mixer.index_flops:
        compiled.append(IndexKernel(mixer, 1 / layout.tp, quantization.kv_cache))
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
    state = state_bytes(mixer, quantization) / layout.tp
    if state:
        flops = mixer.state_flops / layout.tp
        compiled.append(StateKernel(state, flops, quantization.state, quantization.attention))
    return compiled


def state_bytes(mixer: Mixer, quantization: Quantization) -> float:
    """Bytes of the recurrent state of one sequence, and of the last inputs of its filters in 16 bits [B]."""
    recurrent = mixer.recurrent_elements * exact_width(quantization.state)
    return recurrent + mixer.convolution_elements * HIDDEN_WIDTH


def _feed_forward_kernels(
    layer: Layer, hidden: int, layout: Layout, quantization: Quantization, fused: tuple[Fused, ...]
) -> list[MatmulKernel | StreamKernel]:
    assert layer.feed_forward is not None
    alike = "shared_experts" in fused and layout.ep == 1 and _shared_as_routed(layer.feed_forward)
    compiled: list[MatmulKernel | StreamKernel] = []
    sharing = layout.sharing if isinstance(layer.feed_forward, MoE) else 1
    by_part: dict[str, list[Matrix]] = {}
    for matrix in layer.feed_forward.matrices(hidden):
        by_part.setdefault(_TERMS.get(matrix.part, matrix.part), []).append(matrix)
    for term, matrices in by_part.items():
        launched = 0 if alike and term == "shared_experts" else 1
        products = _matmuls(term, tuple(matrices), layout.tp // sharing, 1, quantization, sharing)
        compiled.extend(replace(each, kernels=launched) for each in products)
        inner = [matrix.inner for matrix in matrices if matrix.split == "rows"]
        width_ups = sum(matrix.columns for matrix in matrices if matrix.split == "columns")
        if inner:
            row = (width_ups + sum(inner)) / layout.tp * HIDDEN_WIDTH
            compiled.append(StreamKernel("elementwise", row, launched))
    return compiled


def _shared_as_routed(feed_forward: FeedForward) -> bool:
    """Whether the shared experts could be some more of the routed ones: as wide, and chosen by every token."""
    if not isinstance(feed_forward, MoE) or feed_forward.shared_gate or feed_forward.latent_width is not None:
        return False
    return feed_forward.shared_width > 0 and feed_forward.shared_width % feed_forward.expert_width == 0


def _expert_kernels(
    mixture: MoE, hidden: int, layout: Layout, quantization: Quantization, skew: float
) -> list[ExpertKernel | RoutingKernel | TransferKernel]:
    matrices = mixture.expert_matrices(hidden)
    first, (last,) = ([matrix for matrix in matrices if matrix.split == split] for split in ("columns", "rows"))
    kernel = ExpertKernel(
        mixture.experts,
        mixture.top_k,
        sum(matrix.elements for matrix in matrices),
        ExpertRow(last.columns, sum(matrix.columns for matrix in first), last.inner),
        layout.expert_group,
        -(-mixture.experts // layout.ep),
        layout.expert_tp,
        float(largest_deviate(layout.ep)) if layout.ep > 1 else 0.0,  # type: ignore[arg-type]
        quantization.storage("experts"),
        quantization.computation("experts"),
        mixture.zero_experts,
        skew,
    )
    routing = RoutingKernel(kernel)
    elements = mixture.latent_width or hidden
    if layout.dp == 1:
        summed = [_all_reduce(elements, layout.tp, quantization)] if layout.tp > 1 else []
        return [kernel, routing, *summed]
    wide = elements * HIDDEN_WIDTH
    if layout.ep == 1:
        others = wide * (layout.expert_group - 1) / layout.expert_group
        gather = TransferKernel("all_gather", "all_gather", wide, others, layout.expert_group, over_group=True)
        scatter = TransferKernel("reduce_scatter", "all_gather", wide, others, layout.expert_group, over_group=True)
        return [gather, kernel, routing, scatter]
    among = mixture.expert_groups, mixture.chosen_groups
    copies, tensor = min(mixture.top_k, layout.ep), layout.expert_tp
    distinct = float(nodes_reached(layout.ep, mixture.top_k, *among))  # type: ignore[arg-type]
    uneven, reached = kernel.uneven, kernel.reached(mixture.top_k, *among)

    def exchange(term: str, dispatch_width: float, combine_width: float) -> TransferKernel:
        # Every device of an expert needs the token; one of them returns the sum. The fullest rank is waited for.
        def sent(times: float, width: float) -> float:
            return float(dispatch_bytes(1, times, elements, width, combine_width)) / layout.tp  # type: ignore[arg-type]

        return TransferKernel(
            term,
            "all_to_all",
            sent(copies * uneven, dispatch_width * tensor),
            0,
            layout.expert_group,
            copies=mixture.top_k,
            once_row_bytes=sent(1, dispatch_width),
            prompt_row_bytes=sent(distinct * reached, dispatch_width * tensor),
            expert_groups=among[0],
            chosen_groups=among[1],
        )

    joined: list[ExpertKernel | RoutingKernel | TransferKernel] = [
        exchange("dispatch", activation_width(kernel.computed), 0),
        kernel,
        routing,
        exchange("combine", 0, HIDDEN_WIDTH),
    ]
    if tensor > 1:
        # Of the copies of all tokens of the group, each of its experts' ranks has a share: dp / ep is tensor / tp. An
        # average rank's share is summed, for the fullest is waited for when rows come back.
        held = _all_reduce(elements * copies * tensor / layout.tp, tensor, quantization)
        prompt = held.row_bytes * distinct / copies
        joined.append(replace(held, fewest_row_bytes=0, prompt_row_bytes=prompt))
    return joined


def embedding_kernels(
    model: ModelShape, layout: Layout, quantization: Quantization
) -> tuple[MatmulKernel | StreamKernel | TransferKernel, ...]:
    """The lookup of each token's row, the reduction of a vocabulary cut over ranks, and projections outside layers."""
    beside = _projections(model.projections, layout.tp, quantization)
    elements, ranks = model.embedding_width or model.hidden, layout.tp * layout.vocab
    lookup = StreamKernel("embedding", 2 * elements * HIDDEN_WIDTH, 1)
    if ranks == 1:
        return (lookup, *beside)
    return (lookup, _all_reduce(elements, ranks, quantization), *beside)


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
    others = row * (ranks - 1) / ranks
    return (norm, logits, TransferKernel("all_gather", "all_gather", row, others, ranks, last_row_only=True))


_TERMS = {"router": "router", "dense_ffn": "dense_ffn", "shared_experts": "shared_experts", "norm_other": "latent"}


def _matmuls(
    term: str, matrices: tuple[Matrix, ...], tp: int, kv_heads: int, quantization: Quantization, sharing: int = 1
) -> list[MatmulKernel]:
    """One kernel per label; matrices of one label share their input, whose rows `sharing` ranks may share out."""
    kernels: dict[str, tuple[int, int, str]] = {}
    for matrix in matrices:
        inner, columns = rank_shape(matrix, tp, kv_heads)
        part = "lm_head" if matrix.part in ("router", "norm_other") else "linear"
        before = kernels.get(matrix.kernel)
        kernels[matrix.kernel] = (inner, columns + (before[1] if before else 0), part)
    return [
        MatmulKernel(term, quantization.storage(part), quantization.computation(part), inner, columns, sharing=sharing)
        for inner, columns, part in kernels.values()
    ]


def rank_shape(matrix: Matrix, tp: int, kv_heads: int) -> tuple[int, int]:
    """Rows and columns of a matrix that one of `tp` ranks holds."""
    if matrix.split == "replicated":
        return matrix.inner, matrix.columns
    if matrix.split == "rows":
        return -(-matrix.inner // tp), matrix.columns
    if matrix.split == "kv_heads":
        return matrix.inner, -(-matrix.columns * -(-kv_heads // tp) // kv_heads)
    return matrix.inner, -(-matrix.columns // tp)
