"""One measured row of service: pools, formats, traffic, and what is assumed where nothing is said."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from roofline.describe.catalog import accelerator
from roofline.describe.formats import Quantization
from roofline.describe.model import ModelShape
from roofline.describe.model_catalog import load_model
from roofline.describe.runtimes import Runtime, generation, runtime, runtimes
from roofline.describe.workload import LENGTHS
from roofline.errors import InvalidInput, LayoutError, RooflineError, UnknownName, UnsupportedFormat
from roofline.estimate.deployment import Deployment
from roofline.trust.calibration import catalogue_name
from roofline.trust.launch_scripts import Launch, compressed_sums
from roofline.trust.model_variants import variant_of
from roofline.trust.row_formats import formats

Row = Mapping[str, str]
RANDOM_LENGTHS = 0.9
"""Mean length over the nominal one in InferenceX, which draws both lengths evenly from 80 to 100 % [1]."""
SHORTEST_LENGTHS = 0.8
"""The shortest lengths over the nominal ones there [1]."""
_SAME_SHAPE = {
    "Qwen/Qwen2-7B": "qwen2.5-7b",
    "Qwen/Qwen2-72B": "qwen2.5-72b",
    "huggyllama/llama-7b": "llama-2-7b",
    "Llama-13B": "llama-2-13b",
    "DeepSeek-R1-Distill-14B": "qwen2.5-14b",
    "MiniMaxAI/MiniMax-M2": "minimax-m2.5",
    "MiniMaxAI/MiniMax-M2.1": "minimax-m2.5",
    "amd/gpt-oss-120b-w-mxfp4-a-fp8": "gpt-oss-120b",
}
_TRTLLM = re.compile(r"\b(?:trt|tensorrt)[-_ ]?llm\b")
NO_DRAFTS = ("", "none", "no", "off", "n/a", "unknown")
_MTP = re.compile(r"mtp[-_ ]?([1-9])")
_MTP_BESIDE = re.compile(r"\bmtp(?:\(nextn)?[-_ x×]*([1-9])?", re.IGNORECASE)
_WITHOUT = re.compile(r"\b(?:no|without)\W+mtp|\bmtp\W+off\b", re.IGNORECASE)
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_PLAIN_VERSION = re.compile(r"v?\d+\.\d")
_MONTH = re.compile(r"\d{4}(?:-\d{2})?")
_OTHER_PARTS = (("LLM-Inference-Bench", "a100-sxm-80gb", "a100-sxm-40gb"),)
"""Parts that were other than a source's rows have it: source, part named and part measured on.

LLM-Inference-Bench (arXiv:2411.00136) does not say how much memory its A100s have. Llama-3-8B in 16 bits under vLLM
takes 66 s for 32 sequences of 2,048 tokens in and out, and 126 s for 64: twice, as where 40 GB hold 32 but not 64.
"""
_WIDE_CHECKPOINTS, _WIDE_CACHES = "aiconfigurator", ("tensorrt-llm", "fp8")
"""A source that names checkpoints in 16 bits, and of what stack and weights its caches then have as many.

TensorRT-LLM's cache follows the checkpoint where nothing else is asked for (NVIDIA/TensorRT-LLM#16240, of
`KvCacheConfig.dtype`), as NVIDIA's generator of launches leaves it (ai-dynamo/aiconfigurator,
`extra_engine_args.1.0.0rc3.yaml.j2`, whose `kv_cache_dtype` is `auto`).
"""
_ENDLESS = "1000 TB"
"""More than any model needs."""
_GPT = re.compile(r"d(\d+), (\d+)L, (\d+)h")
_FORMATS = {"fp16": "bf16", "f16": "bf16", "fp16/bf16": "bf16", "bf16/fp8": "bf16"}


@dataclass(frozen=True)
class PoolRow:
    """The devices of one pool and the ranks of one worker; `replicas` whole workers fit on them."""

    devices: int
    tp: int
    pp: int
    dp: int
    ep: int


@dataclass(frozen=True)
class Served:
    """What a row says was served, in plain values that can be compared and cached.

    `runtime`: the serving stack, and `stack` its generation. `scripted`: by a launch script of InferenceX, which sets
    what the row does not record. `overlap`: halves of a batch take turns, and `skew`: how unevenly experts are chosen
    [1], as own columns of the row say; None where nothing is said. `holds_all`: whether the part is taken to hold
    whatever it was measured with.
    """

    model: str
    accelerator: str
    quantization: str
    kv_cache: str
    runtime: str
    stack: str
    scripted: bool = False
    overlap: bool = False
    skew: float | None = None
    holds_all: bool = False


@dataclass(frozen=True)
class Load:
    """The traffic of a row: mean and least lengths [token], requests in flight, tokens drafted per step [1].

    `lengths`: varied or equal, as a traffic's are. `undeclared`: whether tokens are drafted is not known. `waiting`:
    decode steps that a new request waits before its prompt is begun [1]. `max_batch`: sequences that a replica decodes
    at most [1].
    """

    isl: float
    osl: float
    least_isl: float
    least_osl: float
    concurrency: float
    draft_length: int
    undeclared: bool
    lengths: str
    waiting: float
    max_batch: float


def number(row: Row, name: str, default: float | None = None) -> float:
    """A number of a row; `InvalidInput` where there is none and no default, and for one below zero."""
    given = row.get(name)
    text = "" if given is None else str(given).strip()
    if not text and default is not None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise InvalidInput(name, given=text or "nothing", expected="a number of at least 0")
    return value


def ranks(row: Row, name: str) -> int:
    """A count of a row; one where it is empty."""
    return max(1, int(number(row, name, 1)))


def has_two_pools(row: Row) -> bool:
    """Whether prompts and decode have devices of their own."""
    return str(row.get("kind") or "") == "disaggregated"


def overlap(row: Row) -> str:
    """What a row says of halves of a batch that take turns, `yes` where they do."""
    return str(row.get("overlap") or "").strip().lower()


def lengths(row: Row) -> str:
    """How a row's requests lie around their lengths: as it says, else as its source has them, else all are equal."""
    said = str(row.get("lengths") or "").strip().lower()
    return said if said in LENGTHS else "varied" if _scripted(row) else "equal"


def served(row: Row) -> Served:
    """Model, part, formats and serving stack of a row."""
    stack = row_stack(row)
    return Served(
        str(row.get("model") or "").strip(),
        part_of(row),
        str(row.get("quantization") or "").strip().lower(),
        _cache(row, stack),
        runtime(stack).today if stack else "",
        stack,
        _scripted(row),
        overlap(row) == "yes",
        None if row.get("skew") in (None, "") else number(row, "skew"),
    )


def _cache(row: Row, stack: str) -> str:
    """The format of the cache as a row says, or as its stack keeps it beside the checkpoint that the source names."""
    said = str(row.get("kv_cache") or "").strip().lower()
    weights = str(row.get("quantization") or "").strip().lower()
    if not said and (stack, weights) == _WIDE_CACHES and _from(row, _WIDE_CHECKPOINTS):
        return "bf16"
    return _FORMATS.get(said, said)


def part_of(row: Row) -> str:
    """The part of the catalogue that a row was measured on: the one named, but where runs show that it was another."""
    named = catalogue_name(str(row.get("accelerator") or "").strip())
    return next((part for source, said, part in _OTHER_PARTS if _from(row, source) and said == named), named)


def _from(row: Row, source: str) -> bool:
    return str(row.get("source") or "").startswith(source)


def _scripted(row: Row) -> bool:
    return _from(row, "InferenceX") or str(row.get("id") or "").startswith("ix-")


def row_stack(row: Row) -> str:
    """The described serving stack of a row, of the version it states beside its runtime or plainly in its own column.

    The version of an image may be that of something else in it.
    """
    named, version, date = (str(row.get(name) or "").strip() for name in ("runtime", "runtime_version", "date"))
    plain = f" {version}" if named and _PLAIN_VERSION.match(version) else ""
    return stack_name(f"{named}{plain}", date)


@cache  # thousands of rows say the same few names, which are looked up in folders
def stack_name(text: str, date: str = "") -> str:
    """The described serving stack that a row's runtime is a version of, or was at a date; empty where there is none.

    >>> stack_name("TensorRT-LLM v0.5"), stack_name("dynamo-trtllm"), stack_name("Ollama"), stack_name("lmdeploy")
    ('tensorrt-llm-2024', 'tensorrt-llm', 'llama.cpp', '')
    >>> stack_name("vLLM"), stack_name("vLLM", "2024-10"), stack_name("vLLM 0.12.0 / ROCm 6.4.1", "2024-10")
    ('vllm', 'vllm-2024', 'vllm-0.16')
    """
    lowered = _TRTLLM.sub("tensorrt-llm", text.strip().lower()).replace("ollama", "llama.cpp")  # which it serves with
    found = next((name for name in sorted(runtimes(), key=len, reverse=True) if name in lowered), "")
    version = _VERSION.search(lowered.partition(found)[2]) if found else None
    month = _MONTH.match(date)
    return generation(found, version[0] if version else "", month[0] if month else "")


def load(row: Row) -> Load:
    """The traffic of a row; of what InferenceX does not record, its launch scripts speak."""
    scripted = _scripted(row)
    mean, least = (RANDOM_LENGTHS, SHORTEST_LENGTHS) if scripted else (1.0, 1.0)
    isl, osl = number(row, "isl"), number(row, "osl")
    concurrency = max(1.0, number(row, "concurrency"))
    said = drafting(row)
    launch = _launch(row, concurrency) if scripted else None
    return Load(
        max(1.0, isl * mean),
        max(1.0, osl * mean),
        max(1.0, isl * least),
        max(1.0, osl * least),
        concurrency,
        draft_length(said, launch),
        said == "unknown",
        lengths(row),
        0.0 if launch is None else launch.waiting,
        math.inf if launch is None else launch.max_batch,
    )


def drafting(row: Row) -> str:
    """What a row says of drafted tokens, in its own column or beside its runtime: `TensorRT-LLM MTP3`."""
    said, beside = (str(row.get(name) or "").strip() for name in ("speculation", "runtime"))
    found = _MTP_BESIDE.search(beside)
    if said or found is None or _WITHOUT.search(beside):
        return said.lower()
    return f"mtp{found[1] or ''}"


def draft_length(said: str, launch: Launch | None = None) -> int:
    """Tokens drafted per step: as said, `mtp3`, else as the launch script has it, else one; 0 where none are."""
    if said in NO_DRAFTS:
        return 0
    stated = _MTP.fullmatch(said)
    if stated:
        return int(stated[1])
    return 1 if launch is None else launch.draft_length


def _launch(row: Row, concurrency: float) -> Launch:
    what, two_pools = served(row), has_two_pools(row)
    part, decoding = accelerator(what.accelerator), pool(row, "decode_" if two_pools else "")
    ranks = decoding.dp * max(1, decoding.devices // (decoding.tp * decoding.pp * decoding.dp))
    each_rank = concurrency / ranks
    four_bits = what.quantization.endswith("fp4")
    return Launch(
        str(row.get("date") or "")[:7],
        what.runtime,
        described(what.model).name,
        part.vendor,
        decoding.dp,
        decoding.tp,
        number(row, "isl"),
        number(row, "osl"),
        concurrency,
        each_rank,
        two_pools,
        four_bits,
        part.scales_blocks,
    )


def pool(row: Row, prefix: str = "") -> PoolRow:
    """The layout of one worker of a pool.

    Devices that the ranks leave over make more workers. Where a worker is said to be larger than its tensor and data
    ranks, the rest are attention-data ranks, over which its experts are spread.
    """
    devices = int(number(row, f"{prefix}devices"))
    tp, dp, ep = (ranks(row, f"{prefix}{name}") for name in ("tp", "dp", "ep"))
    pp = 1 if prefix else ranks(row, "pp")
    workers = ranks(row, f"{prefix}workers") if prefix else 1
    each = devices // workers if prefix else devices
    if each < 1:
        raise InvalidInput(f"{prefix}devices", given=devices, expected=f"at least one for each of {workers} workers")
    if tp * pp * dp < each and (prefix or ep > tp * dp) and each % (tp * pp) == 0:
        dp = each // (tp * pp)
        ep = each if ep == 1 and prefix else ep
    if tp * pp * dp > each:
        tp, pp, dp = each, 1, 1
    if (tp * dp) % ep:
        ep = max(n for n in range(1, tp * dp + 1) if (tp * dp) % n == 0 and n <= ep)
    return PoolRow(devices, tp, pp, dp, ep)


@cache
def described(name: str) -> ModelShape:
    """A model by the name of a row; `RooflineError` where it is not described.

    Predecessors of the same shape stand in for each other, and a model for its quantized and tuned checkpoints; GPT
    models are described by the numbers in their name.
    """
    shape = _GPT.search(name)
    if shape and name.startswith(("GPT", "Megatron")):
        width, depth, heads = (int(number) for number in shape.groups())
        sizes = {"n_embd": width, "n_layer": depth, "n_head": heads, "vocab_size": 51_200, "n_positions": 2048}
        return load_model({"model_type": "gpt2", **sizes})
    name = _SAME_SHAPE.get(name, name)
    try:
        return load_model(name)
    except UnknownName:
        variant = variant_of(name)
        if variant is None:
            raise
        return load_model(variant)


@cache
def deployment(what: Served, where: PoolRow, stack: Runtime | None) -> Deployment:
    """The deployment of a row; formats that the part cannot multiply are taken as storage for 16-bit products."""
    shape = described(what.model)
    sums = compressed_sums(what.runtime, shape.name, what.accelerator) if what.scripted else "bf16"
    chosen = formats(shape, what.accelerator, what.runtime, what.quantization, what.kv_cache, sums)
    try:
        return _laid_out(what, where, chosen, stack)
    except UnsupportedFormat:
        return _laid_out(what, where, chosen.with_(activations="bf16"), stack)


def _laid_out(what: Served, where: PoolRow, chosen: Quantization, stack: Runtime | None) -> Deployment:
    """Ranks that do not divide the heads are data ranks of the attention, as stacks then have to have it."""
    model, part = described(what.model), accelerator(what.accelerator)
    if what.holds_all:
        sizes = (f"memory.{tier}.{size}" for tier in part.memory for size in ("capacity", "usable"))
        part = part.with_(**dict.fromkeys(sizes, _ENDLESS))
    ep = where.ep if model.parameters().experts else 1

    def made(tp: int, dp: int, ep: int) -> Deployment:
        options: dict[str, Any] = {"tp": tp, "pp": where.pp, "dp": dp, "ep": ep}
        options |= {"overlap": what.overlap, "skew": what.skew}
        return Deployment(model, part, where.devices, **options, quantization=chosen, runtime=stack)

    try:
        return made(where.tp, where.dp, ep)
    except LayoutError:
        each = where.tp * where.dp
        return made(1, each, each if model.parameters().experts else 1)


def stack_of(what: Served) -> Runtime | None:
    """The serving stack of a row, or None where it is not described."""
    return runtime(what.stack) if what.stack else None


def message(error: RooflineError) -> str:
    """An error in one short line."""
    return " ".join(str(error).split())[:240]
