"""What the public launch scripts of InferenceX set and its rows do not record, by serving stack.

Read in SemiAnalysisAI/InferenceX: `benchmarks/*.sh`, `benchmarks/single_node/**` and `benchmarks/multi_node/**` at
8eec0d4e and before, `.github/configs/nvidia-master.yaml` at 0004cf5f and `amd-master.yaml` at 008b53a8. Scripts change
from month to month and rows do not say which one they ran under: this is what most of them agree on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SMALL, MIDDLE = 48, 96
"""Requests in flight to an attention-data rank up to which TensorRT-LLM's decode pools draft three tokens, and two."""
ASKED = 1.45
"""Requests in flight over those that there is room for, up to which recipes ask for more than there is [1]."""
_OFTEN_POLLED, _SELDOM_POLLED, _CROWD = 10.0, 30.0, 16
"""`--scheduler-recv-interval` of SGLang below so many requests in flight, and from there on [1]."""
_SELDOM_SINCE = "2026-04"
"""Month from which on AMD's scripts for Qwen3.5 set it."""
_CONTINUOUS = 4.0
"""`--num-continuous-decode-steps` of SGLang for DeepSeek-R1 on AMD parts [1]."""
_BATCH_WAIT = 20.0
"""`batch_wait_timeout_iters` of TensorRT-LLM for Llama with 70 B parameters [1]."""


def compressed_sums(stack: str, model: str, part: str) -> str:
    """The format in which sums cross between tensor ranks: int4 where QUICK_REDUCE_QUANTIZATION says so, else bf16.

    It does on AMD parts, in vLLM for Llama with 70 B parameters and for gpt-oss on MI300X, and in SGLang for
    DeepSeek-R1 on MI355X. `model` and `part` by their names in the catalogue.
    """
    set_for = {
        ("vllm", "mi300x"): ("llama-3.1-70b", "llama-3.3-70b", "gpt-oss-120b"),
        ("vllm", "mi355x"): ("llama-3.1-70b", "llama-3.3-70b"),
        ("sglang", "mi355x"): ("deepseek-r1",),
    }
    return "int4" if model in set_for.get((stack, part), ()) else "bf16"


@dataclass(frozen=True)
class Launch:
    """What a script knows of a run: month, stack, model and part, ranks of the pool that decodes, lengths and requests.

    `model` by its name in the catalogue; `ranks` share the attention's data, `tensor_ranks` its heads [1]; `isl` and
    `osl` as they were asked for [token]; `each_rank`: requests in flight for each of `ranks` [1]; `four_bits`: weights
    of so many; `block_scales`: the part's products take the scales of blocks.
    """

    month: str
    stack: str
    model: str
    vendor: str
    ranks: int
    tensor_ranks: int
    isl: float
    osl: float
    concurrency: float
    each_rank: float
    two_pools: bool
    four_bits: bool
    block_scales: bool

    @property
    def draft_length(self) -> int:
        """Tokens drafted per step by a run that drafts [1]: `num_nextn_predict_layers`, `--speculative-num-steps`.

        One pool: 3 in TensorRT-LLM, 1 on attention-data ranks; 2 for DeepSeek-R1 and 3 for others in SGLang, which
        drafts 3 for all on AMD parts; 2 in vLLM; 3 in ATOM, and 1 for DeepSeek-R1 in 4 bits. Two pools: the fewer the
        more a rank holds in TensorRT-LLM; 2 in SGLang, and 1 on AMD's attention-data ranks.
        """
        if self.stack == "tensorrt-llm":
            return self._by_crowd if self.two_pools else 1 if self.ranks > 1 else 3
        if self.stack == "sglang":
            amd = self.vendor == "AMD"
            if self.two_pools:
                return 1 if amd and self.ranks > 1 else 2
            return 2 if self.model == "deepseek-r1" and not amd else 3
        if self.stack == "atom":
            return 1 if self.four_bits and self.model == "deepseek-r1" else 3
        return 2 if self.stack == "vllm" else 1

    @property
    def _by_crowd(self) -> int:
        if self.ranks == 1 or self.each_rank <= SMALL:
            return 3
        return 2 if self.each_rank <= MIDDLE else 1

    @property
    def max_batch(self) -> float:
        """Sequences that one replica decodes at most [1]: `batch` in the names of TensorRT-LLM's recipes for two pools.

        An attention-data rank decodes a power of two of them, mostly, and 5 to 40 % more are kept in flight, which then
        wait for room. Tensor ranks share a recipe over many loads, so only one that decodes a single sequence is told.
        """
        if self.stack != "tensorrt-llm" or not self.two_pools:
            return math.inf
        room = 2.0 ** math.floor(math.log2(max(1.0, self.each_rank)))
        if self.each_rank > ASKED * room or (self.ranks == 1 and room > 1):
            return math.inf
        return room * self.ranks

    @property
    def waiting(self) -> float:
        """Decode steps that a new request of one pool waits on average before its prompt is begun [1].

        In SGLang half of those between two looks for requests: `--scheduler-recv-interval` for DeepSeek-R1 and Qwen3.5
        on Blackwell and, since April 2026, for Qwen3.5 in more than 4 bits on AMD parts (pull request 986 there),
        `--num-continuous-decode-steps` for DeepSeek-R1 on AMD parts. In TensorRT-LLM, for Llama with 70 B parameters at
        1,024 tokens in and out on fewer than eight ranks, all of those that it waits for further prompts,
        `batch_wait_timeout_iters`.
        """
        if self.two_pools:
            return 0.0
        if self.stack == "tensorrt-llm":
            short = (self.isl, self.osl) == (1024, 1024) and self.tensor_ranks < 8
            return _BATCH_WAIT if short and self.model.endswith("-70b") else 0.0
        return (self._between_looks - 1) / 2 if self.stack == "sglang" else 0.0

    @property
    def _between_looks(self) -> float:
        qwen, deepseek = self.model.startswith("qwen3.5"), self.model == "deepseek-r1"
        if self.vendor == "AMD":
            seldom = qwen and not self.four_bits and self.month >= _SELDOM_SINCE
            return _SELDOM_POLLED if seldom else _CONTINUOUS if deepseek else 1.0
        if not (self.block_scales and (qwen or deepseek)):
            return 1.0
        return _OFTEN_POLLED if self.concurrency < _CROWD else _SELDOM_POLLED
