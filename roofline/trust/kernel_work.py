"""What one measured kernel did: its shape and formats as the operation that estimates time.

`dtype` is a number format, `"stored-computed"` (`"int8-bf16"`), or for attention
`"q:bf16 kv:fp8"`; `shape` is a JSON object whose keys depend on `op`:

| op | keys of `shape` |
|---|---|
| gemm | m, n, k |
| attention_prefill | batch, seq_len, num_heads, num_kv_heads, head_dim; with mla: kv_lora_rank, rope_dim |
| attention_decode | batch, kv_len, and heads as above |
| moe | hidden, inter, topk, num_experts; num_tokens of the group, moe_tp, moe_ep, distribution; |
| | (balanced: dealt out in turn; random: each token's drawn alike); or local_experts, tokens_per_expert |
| layernorm | m, n |
| allreduce | bytes |
| alltoall | bytes; or phase (dispatch or combine), tokens_per_gpu, hidden, topk |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from roofline.describe.attention import Attention, LatentAttention
from roofline.describe.efficiency import CollectiveClass
from roofline.describe.formats import FORMATS
from roofline.equations.experts import dispatch_bytes, distinct_experts, expert_weight_bytes
from roofline.errors import InvalidInput, UnknownName
from roofline.estimate.expert_kernels import ExpertKernel, ExpertRow
from roofline.estimate.kernels import AttentionKernel, MatmulKernel, StreamKernel
from roofline.estimate.work import HIDDEN_WIDTH, Item, Load, Phase, Transfer, exact_width

LATENT_HEAD = 128
"""Elements of a key without its rotated part, and of a value, in every published model with latent attention [1]."""
DISPATCH_SCALES = 4 / 128
"""Bytes of scale per element that an fp8 dispatch sends along: one fp32 per 128 elements [B]."""
QUANTISATION = "activation quantisation"
"""What the notes say of rows whose time includes a kernel of its own that quantises activations."""
PRODUCTS_ALONE = "products alone"
"""What the notes say of experts whose time has no kernels that bring rows to them and sum what comes back."""
_QUANTISED_WIDTHS = {"fp8": 2 * HIDDEN_WIDTH + 1, "nvfp4": HIDDEN_WIDTH + exact_width("nvfp4")}
"""Bytes moved to quantise one activation, by the format of a matmul: read and written, and for fp8 read twice, as one
scale of the whole tensor follows from its largest element [B].

So it is measured in https://github.com/ai-dynamo/aiconfigurator, collector/trtllm/collect_gemm.py at 00095909: linear
layers in fp8 are given no scale of their input, those in nvfp4 are.
"""
_SPELLINGS = {
    "bfloat16": "bf16",
    "fp16": "bf16",
    "half": "bf16",
    "fp8(block)": "fp8_block",
    "int8_wo": "int8-bf16",
    "int4_wo": "int4-bf16",
    "w4a16_mxfp4": "mxfp4-bf16",
    "w4a8_mxfp4_mxfp8": "mxfp4-mxfp8",
}
"""Other spellings of formats. fp16 counts as bf16: every part runs both at the same rate."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of one row, with errors that say where it stands."""

    values: Mapping[str, object]
    where: str

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def __call__(self, key: str, default: float | None = None) -> float:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value < 1e15):
            given = "nothing" if value is None else value
            raise InvalidInput(f"{self.where}, shape", given=f"{key} {given}", expected=f"a positive number as {key}")
        return value

    def whole(self, key: str, default: int | None = None) -> int:
        """As a call, for sizes."""
        return round(self(key, default))

    def formats(self, dtype: str) -> tuple[str, str]:
        """Stored and computed format of a dtype."""
        name = _SPELLINGS.get(dtype, dtype)
        stored, _, computed = name.partition("-")
        stored = _SPELLINGS.get(stored, stored)
        computed = _SPELLINGS.get(computed, computed) or _runs_as(stored)
        for part in (stored, computed):
            if part not in FORMATS:
                known = [*FORMATS, *_SPELLINGS]
                raise UnknownName(f"{self.where}, dtype", given=dtype, known=known, expected="a number format")
        return stored, computed


def _runs_as(stored: str) -> str:
    """The format in which products of a stored format run: itself, or that of its elements."""
    return "fp8" if stored == "fp8_block" else stored


def bytes_beside(shape: Shape, work: Item, notes: str) -> float:
    """Bytes that other kernels within a row's time move: to quantise a matmul's activations, or to route rows [B].

    No bytes where a matmul is quantised block by block: serving stacks launch that kernel too, so there it belongs to
    it. None either where the matrices of experts alone were timed: as notes say, or where experts are given as those of
    one rank, as https://github.com/alibaba/InferSim does at f2293da,
    kernel_benchmark/deepgemm_grouped_gemm_contiguous.py.
    """
    if isinstance(work, Transfer):
        return 0.0
    if work.kernel_class == "matmul" and QUANTISATION in notes and work.stored == work.computed:
        return float(shape("m") * shape("k") * _QUANTISED_WIDTHS.get(work.stored, 0.0))
    if work.kernel_class == "experts" and "local_experts" not in shape and PRODUCTS_ALONE not in notes:
        rows, row, _ = _routed(shape)
        return float(rows * row.routing_bytes(work.computed, 1))  # type: ignore[arg-type]
    return 0.0


def _load(phase: Phase, sequences: float, new: float, cached: float) -> Load:
    """`sequences` of `new` tokens each after `cached` tokens each, on one rank."""
    rows = sequences * new
    return Load(phase, sequences, new, cached, new + cached, rows, rows)


def _gemm(shape: Shape, dtype: str, devices: int) -> Item:
    stored, computed = shape.formats(dtype)
    kernel = MatmulKernel("gemm", stored, computed, shape.whole("k"), shape.whole("n"))
    return kernel.item(_load("prefill", shape("m"), 1, 0))


def _attention(phase: Phase) -> Callable[[Shape, str, int], Item]:
    def read(shape: Shape, dtype: str, devices: int) -> Item:
        cache, computed = _attention_formats(shape, dtype)
        heads = shape.whole("num_heads")
        mixer: Attention | LatentAttention
        if "mla" in shape:
            mixer = LatentAttention(
                heads=heads,
                q_rank=None,
                kv_rank=shape.whole("kv_lora_rank", 512),
                rope_dim=shape.whole("rope_dim", 64),
                nope_dim=LATENT_HEAD,
                value_dim=LATENT_HEAD,
            )
        else:
            size, kv_heads = shape.whole("head_dim"), shape.whole("num_kv_heads")
            if heads % kv_heads:
                given = f"{heads} heads over {kv_heads}"
                raise InvalidInput(f"{shape.where}, shape", given=given, expected="heads that share evenly")
            mixer = Attention(heads=heads, kv_heads=kv_heads, key_dim=size, value_dim=size)
        kernel = AttentionKernel(mixer, 1.0, mixer.key_elements, computed, cache)
        batch = shape("batch")
        if phase == "decode":
            return kernel.item(_load("decode", batch, 1, shape("kv_len") - 1))
        return kernel.item(_load("prefill", batch, shape("seq_len"), 0))

    return read


def _attention_formats(shape: Shape, dtype: str) -> tuple[str, str]:
    """Format of the cache and of the products: `"q:bf16 kv:fp8"`, or one word for both."""
    named = dict(part.partition(":")[::2] for part in dtype.split())
    if len(named) == 1 and "" in named.values():
        return shape.formats(dtype)
    query, cache = named.get("q") or named.get("qk"), named.get("kv")
    if not query or not cache:
        raise InvalidInput(f"{shape.where}, dtype", given=dtype, expected='a number format or "q:FORMAT kv:FORMAT"')
    return shape.formats(cache)[0], shape.formats(query)[0]


def _experts(shape: Shape, dtype: str, devices: int) -> Item:
    """The experts of one rank: as many distinct ones as there are rows, at most all, or as are expected to be drawn."""
    stored, computed = shape.formats(dtype)
    count, top_k = round(shape("num_experts")), round(shape("topk"))
    rows, row, local = _routed(shape)
    kernel = ExpertKernel(count, top_k, 3 * row.hidden * row.inner, row, 1, count, 1, 0.0, stored, computed)
    work = kernel.item(_load("prefill", rows / top_k, 1, 0))
    if shape.values.get("distribution") == "random":
        touched = float(distinct_experts(count, top_k, shape("num_tokens"))) * local / count  # type: ignore[arg-type]
    else:
        touched = min(rows, local)
    return work._replace(weights=expert_weight_bytes(row.hidden, row.inner, 3, exact_width(stored), touched))


def _routed(shape: Shape) -> tuple[float, ExpertRow, float]:
    """Rows that are routed to one rank, one of them as the rank's experts have it, and how many experts those are."""
    if "local_experts" in shape:
        local, width = shape("local_experts"), shape("inter")
        rows = shape("tokens_per_expert") * local
    else:
        group, width = shape("moe_ep"), shape("inter") / shape("moe_tp")
        local = shape("num_experts") / group
        # The rank that was measured holds at least one row, or it would not have been measured.
        rows = max(shape("num_tokens") * shape("topk") / group, 1.0)
    return rows, ExpertRow(shape.whole("hidden"), 2 * round(width), round(width)), local


def _layernorm(shape: Shape, dtype: str, devices: int) -> Item:
    """Reads its input and writes its result."""
    kernel = StreamKernel("layernorm", 2 * shape("n") * HIDDEN_WIDTH, 1)
    return kernel.item(_load("prefill", shape("m"), 1, 0))


def _all_reduce(shape: Shape, dtype: str, devices: int) -> Item:
    return _transfer(shape, "all_reduce", shape("bytes"), devices)


def _all_to_all(shape: Shape, dtype: str, devices: int) -> Item:
    """A plain exchange of `bytes`, or what experts are sent (in fp8, with its scales) or send back (in 16 bits)."""
    if "bytes" in shape:
        return _transfer(shape, "all_to_all", shape("bytes"), devices)
    out, back = (1 + DISPATCH_SCALES, 0.0) if shape.values.get("phase") == "dispatch" else (0.0, float(HIDDEN_WIDTH))
    sent = dispatch_bytes(shape("tokens_per_gpu"), shape("topk"), shape("hidden"), out, back)
    return _transfer(shape, "all_to_all", float(sent), devices)  # type: ignore[arg-type]


def _transfer(shape: Shape, collective: CollectiveClass, size: float, devices: int) -> Transfer:
    if devices < 2:
        raise InvalidInput(f"{shape.where}, num_devices", given=devices, expected="at least 2 for a collective")
    return Transfer(collective, collective, size, 0, devices)


READERS: dict[str, Callable[[Shape, str, int], Item]] = {
    "gemm": _gemm,
    "attention_prefill": _attention("prefill"),
    "attention_decode": _attention("decode"),
    "moe": _experts,
    "layernorm": _layernorm,
    "allreduce": _all_reduce,
    "alltoall": _all_to_all,
}
