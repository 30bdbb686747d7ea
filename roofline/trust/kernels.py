"""Measured kernels: a CSV of what ran, on what, and how long it took, read into the same operations that estimates time.

One row is one kernel. `dtype` is a number format, `"stored-computed"` (`"int8-bf16"`), or for attention
`"q:bf16 kv:fp8"`; `shape` is a JSON object whose keys depend on `op`:

| op | keys of `shape` |
|---|---|
| gemm | m, n, k |
| attention_prefill | batch, seq_len, num_heads and num_kv_heads, head_dim; for latent attention mla, kv_lora_rank, rope_dim |
| attention_decode | batch, kv_len, and heads as above |
| moe | num_tokens over the group, hidden, inter, topk, num_experts, moe_tp, moe_ep, distribution; or the local form |
| layernorm | m, n |
| allreduce | bytes |
| alltoall | bytes; or phase (dispatch or combine), tokens_per_gpu, hidden, topk |
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from roofline.describe.attention import Attention, LatentAttention
from roofline.describe.efficiency import CollectiveClass, KernelClass
from roofline.describe.formats import FORMATS, number_format
from roofline.equations.experts import dispatch_bytes, expert_weight_bytes
from roofline.errors import InvalidInput, RooflineError, UnknownName
from roofline.estimate.work import (
    HIDDEN_WIDTH,
    AttentionKernel,
    ExpertKernel,
    Item,
    Load,
    MatmulKernel,
    Operation,
    Phase,
    StreamKernel,
    Transfer,
    exact_width,
)

COLUMNS = ("id", "hardware", "op", "dtype", "shape", "num_devices", "latency_us", "source", "notes")
LATENT_HEAD = 128
"""Elements of a key without its rotated part, and of a value, in every published model with latent attention [1]."""
DISPATCH_SCALES = 4 / 128
"""Bytes of scale per element that an fp8 dispatch sends along: one fp32 per 128 elements [B]."""
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
class Kernel:
    """One measured kernel: `work` on one of `devices` devices of `accelerator` took `seconds` [s]."""

    id: str
    accelerator: str
    work: Item
    seconds: float
    source: str
    notes: str

    @property
    def fitted_as(self) -> tuple[KernelClass | CollectiveClass, str]:
        """Class and format key of the fit this kernel belongs to; collectives are fitted for all formats together."""
        if isinstance(self.work, Transfer):
            return ("all_to_all" if self.work.collective == "all_to_all" else "all_reduce"), "any"
        return self.work.kernel_class, format_key(self.work.stored, self.work.computed)


@dataclass(frozen=True, slots=True)
class Measured:
    """Every kernel of a file, and how many rows were left out, by reason."""

    kernels: tuple[Kernel, ...]
    left_out: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Rows of the file [1]."""
        return len(self.kernels) + sum(self.left_out.values())


def format_key(stored: str, computed: str) -> str:
    """The name of a pair of formats: one word where the stored format computes as itself.

    >>> format_key("fp8_block", "fp8"), format_key("int4", "bf16")
    ('fp8_block', 'int4-bf16')
    """
    same = computed == stored or computed in number_format(stored).runs_as
    return stored if same else f"{stored}-{computed}"


def read_kernels(path: str | Path) -> Measured:
    """The measured kernels of a CSV file; `InvalidInput` naming the line where a row cannot be read."""
    path = Path(path)
    if not path.is_file():
        given = "a directory" if path.is_dir() else "no such file"
        raise InvalidInput(str(path), given=given, expected="a CSV file of measured kernels")
    kernels: list[Kernel] = []
    left_out: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                header = ", ".join(reader.fieldnames or ()) or "an empty file"
                expected = f"the columns {', '.join(COLUMNS)}"
                raise InvalidInput(f"{path.name}, columns", given=f"{header} (no {', '.join(missing)})", expected=expected)
            for row in reader:
                where = f"{path.name}, line {reader.line_num}"
                if None in row or None in row.values():
                    raise InvalidInput(where, given="a row of another length", expected=f"{len(COLUMNS)} columns")
                reason = _unusable(row)
                if reason:
                    left_out[reason] = left_out.get(reason, 0) + 1
                else:
                    kernels.append(kernel_of(row, where))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(str(path), given=str(error), expected="a CSV file in UTF-8") from None
    return Measured(tuple(kernels), left_out)


def _unusable(row: Mapping[str, str]) -> str | None:
    if row["op"] == "memcpy":
        return "memcpy: no class of operation is made of it"
    if row["op"] == "moe" and '"distribution"' in row["shape"] and '"balanced"' not in row["shape"]:
        return "moe with skewed routing: the load of the measured rank is not recorded"
    return None


def kernel_of(row: Mapping[str, str], where: str) -> Kernel:
    """One row as a kernel; `where` names it in errors."""
    op = row["op"].strip()
    if op not in _READERS:
        raise UnknownName(f"{where}, op", given=op, known=_READERS, expected=f"one of {', '.join(_READERS)}")
    seconds = _number(row["latency_us"], f"{where}, latency_us") / 1e6
    devices = int(_number(row["num_devices"] or "1", f"{where}, num_devices"))
    try:
        shape = json.loads(row["shape"])
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{where}, shape", given=row["shape"], expected=f"a JSON object ({error.msg})") from None
    if not isinstance(shape, dict):
        raise InvalidInput(f"{where}, shape", given=row["shape"], expected="a JSON object")
    read = _Shape(shape, where)
    try:
        work = _READERS[op](read, row["dtype"].strip(), devices)
    except RooflineError:
        raise
    except (ValueError, OverflowError, ArithmeticError) as error:
        given = str(error).splitlines()[0]
        raise InvalidInput(f"{where}, shape", given=row["shape"], expected=f"a possible {op} ({given})") from None
    return Kernel(row["id"], row["hardware"].strip(), work, seconds, row["source"], row["notes"])


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InvalidInput(what, given=text, expected="a positive number")
    return value


@dataclass(frozen=True, slots=True)
class _Shape:
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
        computed = _SPELLINGS.get(computed, computed) or number_format_of(stored)
        for part in (stored, computed):
            if part not in FORMATS:
                known = [*FORMATS, *_SPELLINGS]
                raise UnknownName(f"{self.where}, dtype", given=dtype, known=known, expected="a number format")
        return stored, computed


def number_format_of(stored: str) -> str:
    """The format in which products of a stored format run: itself, or for a layout of scales the elements' own."""
    return "fp8" if stored == "fp8_block" else stored


def _gemm(shape: _Shape, dtype: str, devices: int) -> Item:
    stored, computed = shape.formats(dtype)
    kernel = MatmulKernel("gemm", stored, computed, shape.whole("k"), shape.whole("n"))
    return kernel.item(Load("prefill", shape("m"), 1, 0, shape("m")))


def _attention(phase: Phase) -> Callable[[_Shape, str, int], Item]:
    def read(shape: _Shape, dtype: str, devices: int) -> Item:
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
            size = shape.whole("head_dim")
            mixer = Attention(heads=heads, kv_heads=shape.whole("num_kv_heads"), key_dim=size, value_dim=size)
        kernel = AttentionKernel(mixer, 1.0, mixer.key_elements, computed, cache)
        batch = shape("batch")
        if phase == "decode":
            return kernel.item(Load("decode", batch, 1, shape("kv_len") - 1, batch))
        tokens = shape("seq_len")
        return kernel.item(Load("prefill", batch, tokens, 0, batch * tokens))

    return read


def _attention_formats(shape: _Shape, dtype: str) -> tuple[str, str]:
    """Format of the cache and of the products: `"q:bf16 kv:fp8"`, or one word for both."""
    named = dict(part.partition(":")[::2] for part in dtype.split())
    if len(named) == 1 and "" in named.values():
        return shape.formats(dtype)
    query, cache = named.get("q") or named.get("qk"), named.get("kv")
    if not query or not cache:
        raise InvalidInput(f"{shape.where}, dtype", given=dtype, expected='a number format or "q:FORMAT kv:FORMAT"')
    return shape.formats(cache)[0], shape.formats(query)[0]


def _experts(shape: _Shape, dtype: str, devices: int) -> Item:
    """The experts of one rank, tokens dealt out evenly: as many distinct experts as there are rows, at most all."""
    stored, computed = shape.formats(dtype)
    hidden, experts, top_k = shape("hidden"), shape("num_experts"), shape("topk")
    if "local_experts" in shape:
        local, width = shape("local_experts"), shape("inter")
        rows = shape("tokens_per_expert") * local
        group = experts / local
    else:
        group, width = shape("moe_ep"), shape("inter") / shape("moe_tp")
        local = experts / group
        # The rank that was measured holds at least one row, or it would not have been measured.
        rows = max(shape("num_tokens") * top_k / group, 1.0)
    elements, row_elements = round(3 * hidden * width), round(3 * (hidden + width))
    kernel = ExpertKernel(
        round(experts), round(top_k), elements, row_elements, group, 1.0, stored, computed  # type: ignore[arg-type]
    )
    work = kernel.item(Load("prefill", rows, 1, 0, rows * group / top_k))
    return replace(work, weights=expert_weight_bytes(hidden, width, 3, exact_width(stored), min(rows, local)))


def _layernorm(shape: _Shape, dtype: str, devices: int) -> Item:
    """Reads its input and writes its result."""
    kernel = StreamKernel("layernorm", 2 * shape("n") * HIDDEN_WIDTH, 1)
    return kernel.item(Load("prefill", shape("m"), 1, 0, shape("m")))


def _all_reduce(shape: _Shape, dtype: str, devices: int) -> Item:
    return _transfer(shape, "all_reduce", shape("bytes"), devices)


def _all_to_all(shape: _Shape, dtype: str, devices: int) -> Item:
    """A plain exchange of `bytes`, or what experts are sent (in fp8, with its scales) or send back (in 16 bits)."""
    if "bytes" in shape:
        return _transfer(shape, "all_to_all", shape("bytes"), devices)
    out, back = (1 + DISPATCH_SCALES, 0.0) if shape.values.get("phase") == "dispatch" else (0.0, float(HIDDEN_WIDTH))
    sent = dispatch_bytes(shape("tokens_per_gpu"), shape("topk"), shape("hidden"), out, back)
    return _transfer(shape, "all_to_all", float(sent), devices)  # type: ignore[arg-type]


def _transfer(shape: _Shape, collective: CollectiveClass, size: float, devices: int) -> Transfer:
    if devices < 2:
        raise InvalidInput(f"{shape.where}, num_devices", given=devices, expected="at least 2 for a collective")
    return Transfer(collective, collective, size, 0, devices)


_READERS: dict[str, Callable[[_Shape, str, int], Item]] = {
    "gemm": _gemm,
    "attention_prefill": _attention("prefill"),
    "attention_decode": _attention("decode"),
    "moe": _experts,
    "layernorm": _layernorm,
    "allreduce": _all_reduce,
    "alltoall": _all_to_all,
}
