"""Serving stacks: what hosts add to a step, a sequence, drafts and a prompt, as constants fitted to measured service.

`hardware_specs/runtimes/NAME.toml` holds one stack each. Its constants are shared by all models and parts; every figure
says how many measured rows it was fitted to, by which command, and how far the rows lie from it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from roofline.describe.catalog import read_toml, specs_directory
from roofline.describe.efficiency import Efficiency, KernelFit
from roofline.describe.hardware import validated
from roofline.errors import UnknownName

CONSTANTS = (
    "step",
    "alone",
    "sequence",
    "verified",
    "prompt",
    "launch",
    "request",
    "first",
    "aligned",
    "bunch",
    "in_step",
    "apart",
    "acceptance",
    "scaled_experts",
    "unscaled",
    "skew",
)
"""Names of a stack's numbers, in the order of its file."""

HOST_COSTS = CONSTANTS[: CONSTANTS.index("acceptance")]
"""Those of a host: seconds that it adds, and how long it lets requests wait."""
Fused = Literal["norms", "narrow_norms", "shared_experts"]
_VERSION = r"^(\d+(\.\d+)*)?$"
_MONTH = r"^(\d{4}-\d{2})?$"


class Spread(BaseModel):
    """How far measured rows lie from what a stack's constants predict, each row predicted once without the rows of its
    own model and once without those of its part.

    `points` rows; `error` their median absolute relative error [1]; `low`, `high` the 10 % and 90 % points of measured
    over predicted [1].
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    points: int = Field(ge=0)
    error: float = Field(ge=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)


class Runtime(BaseModel):
    """A serving stack's measured constants.

    `step` [s] once per decode step, `alone` [s] in its place in a pool that only decodes, `sequence` [s] for each
    sequence in it on any rank, `verified` [s] for each on one rank whose drafts it verifies, `prompt` [s] of the
    devices' time for each pass of prompts beside its kernels, `launch` [s] of the host for each of these kernels, which
    devices wait for where it takes longer than they do, and `request` [s] that each request waits in the host
    before its first token. `first` decode steps pass before that token is seen (requests are looked for and tokens sent
    every few steps), and `aligned` more in which prompts of all attention-data ranks are gathered, so that they share
    passes; a lone request waits for nobody [1]. Requests come in bunches: before one's own prompt, `bunch` · √(others
    in flight) are computed, and `in_step` in place of `bunch` in measured runs whose requests are all equally long, so
    that those which once began together stay together [1]. Where a number of requests is in flight, a prompt in a pool
    that only takes prompts waits for `apart` · √(others in flight to the replica) passes [1]. `acceptance`: the
    probability that a drafted token was accepted in the measured rows that draft, which do not record it; whoever
    drafts gives an acceptance of their own [1].
    `slower`: times as long as their class that kernels take on the parts of a vendor of whom none are fitted, wires
    apart [1]. `scaled_experts`: times as long as measured that experts in MXFP4 take on parts whose products take the
    scales of blocks; `unscaled`: the same of all products in block-wise fp8 on parts whose products do not, so that
    kernels scale what they sum [1]. `skew`: squared coefficient of variation of how often experts are chosen in
    service, which says more of models and their tokens than of stacks, and is the same for all [1]. `kernels`: figures
    of kernels that the stack runs in place of the measured ones, on parts of the vendor `kernels_on`, or on all.
    `wide_caches_on`: parts, by a word of their name, on which decode reads a cache in fp8 no faster than one in 16
    bits, latents apart. `fuses`: what it launches with another kernel: `norms` of hidden states wider than 4,096 behind
    a sum over tensor ranks with that sum, `narrow_norms` those of others too, and ungated `shared_experts` as wide as
    the routed ones with these, where no other rank has whole ones. `reduces_as`: the stack whose all-reduces in
    one stage, the fastest of small sizes, it launches on parts `reduces_as_on`, by a word of their name, norms of any
    width with them; larger ones and elsewhere its own.
    `tpot`, `ttft`: how far measured rows lie.

    `stages`: whether it deals out layers, so that devices are stages and no tensor ranks unless a layout says so.
    `slice`: tokens of prompts that a rank takes at a time, if prompts are cut [token].
    `sums`: the format in which kernels sum products of 16 bits; some parts are faster at sums in 16 bits, as
    `facts.fp16_accumulate_fp16` says.

    `of`: the stack of which this is an earlier generation, versions below `below`, or where no version is stated of
    months up to `until`. `told_by`: what its constants were fitted to, service, in which a front end streams tokens to
    clients, or batches that an engine was given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str = Field(min_length=3)
    note: str = ""
    of: str = ""
    below: str = Field(default="", pattern=_VERSION)
    until: str = Field(default="", pattern=_MONTH)
    told_by: Literal["service", "batches"] = "service"
    step: float = Field(ge=0, lt=1)
    alone: float = Field(ge=0, lt=1)
    sequence: float = Field(ge=0, lt=1)
    verified: float = Field(ge=0, lt=1)
    prompt: float = Field(ge=0, lt=1)
    launch: float = Field(ge=0, lt=1)
    request: float = Field(ge=0, lt=10)
    first: float = Field(ge=0, lt=1000)
    aligned: float = Field(ge=0, lt=1000)
    bunch: float = Field(ge=0, lt=100)
    in_step: float = Field(ge=0, lt=100)
    apart: float = Field(ge=0, lt=100)
    acceptance: float = Field(ge=0, le=1)
    scaled_experts: float = Field(gt=0, lt=10)
    unscaled: float = Field(gt=0, lt=10)
    skew: float = Field(ge=0, lt=100)
    slower: dict[str, float] = {}
    stages: bool = False
    kernels_on: str = ""
    wide_caches_on: tuple[str, ...] = ()
    fuses: tuple[Fused, ...] = ()
    slice: int | None = Field(default=None, ge=1)
    sums: Literal["fp32", "fp16"] = "fp32"
    reduces_as: str = ""
    reduces_as_on: tuple[str, ...] = ()
    tpot: Spread
    ttft: Spread
    kernels: Efficiency | None = None

    def __hash__(self) -> int:
        """Of the constants, so that deployments can be told apart by their stack."""
        return hash((self.name, *(getattr(self, name) for name in CONSTANTS), *sorted(self.slower.items())))

    @property
    def today(self) -> str:
        """The name of the stack's latest generation.

        >>> runtime("vllm-0.16").today, runtime("sglang").today
        ('vllm', 'sglang')
        """
        return self.of or self.name

    def decoding_alone(self) -> Runtime:
        """The stack of a pool that only decodes."""
        return self.model_copy(update={"step": self.alone})

    def without_host(self) -> Runtime:
        """The stack's kernels alone, for what runs within a step or a pass whose host is counted already."""
        return self.model_copy(update=dict.fromkeys(HOST_COSTS, 0.0))

    def on(self, vendor: str) -> Runtime:
        """The stack on parts of a vendor: without kernels that are another's."""
        return self if self.kernels_on in ("", vendor) else self.model_copy(update={"kernels": None})

    def reads_wide_caches(self, part: str) -> bool:
        """Whether a cache in fp8 is read no faster than one in 16 bits on a part, by the part's name.

        >>> [runtime(name).reads_wide_caches("NVIDIA H200 SXM 141GB") for name in ("vllm-2025", "vllm")]
        [True, False]
        """
        return _has_a_word(part, self.wide_caches_on)

    def borrows_sums(self, part: str) -> bool:
        """Whether it launches small all-reduces of another stack on a part, by the part's name.

        >>> [runtime("vllm").borrows_sums(name) for name in ("NVIDIA H200 SXM 141GB", "AMD Instinct MI300X")]
        [True, False]
        """
        return _has_a_word(part, self.reduces_as_on)

    def fused_on(self, part: str) -> tuple[Fused, ...]:
        """What it launches with another kernel on a part, by the part's name."""
        return (*self.fuses, "norms", "narrow_norms") if self.borrows_sums(part) else self.fuses

    @property
    def has_own_products(self) -> bool:
        """Whether it multiplies with kernels of its own, and not with those measured."""
        return self.kernels is not None and "matmul" in self.kernels.kernels

    @property
    def sentence(self) -> str:
        """What its figures rest on, in words."""
        what = "the kernels" if self.has_own_products else "the host"
        if self.told_by == "service":
            return f"{what} of {self.name} as {self.tpot.points:,} rows of service tell"
        told = f"{what} of {self.name} as batches and steps tell{f' ({self.note})' if self.note else ''}"
        return f"{told}; requests wait as under other stacks"

    @property
    def spread(self) -> tuple[str, ...]:
        """How far measured service lies from what is predicted, in a sentence; none where no service was measured."""
        if self.told_by != "service" or not self.tpot.points:
            return ()
        tpot, ttft = (f"{each.low:.2f} to {each.high:.2f} times" for each in (self.tpot, self.ttft))
        return (f"80 % of measured runs of {self.name} took {tpot} as long per token, and {ttft} to the first one",)

    def without_front_end(self) -> Runtime:
        """The stack as its engine alone is measured: what a sequence costs in service is to stream its tokens."""
        return self.model_copy(update={"sequence": 0.0}) if self.told_by == "service" else self

    def bunching(self, lengths: str) -> float:
        """Prompts of others that are computed before one's own, over √(others in flight) [1]."""
        return self.in_step if lengths == "equal" else self.bunch

    def gathering(self, ranks: int) -> float:
        """Decode steps for which prompts of so many attention-data ranks are gathered [1]."""
        return self.aligned if ranks > 1 else 0.0

    @property
    def efficiency(self) -> Efficiency:
        """The stack's figures in the form in which estimates look them up."""
        own = {} if self.kernels is None else dict(self.kernels.kernels)
        fits = {
            "step": self.step,
            "sequence": self.sequence,
            "prompt": self.prompt,
            "launch": self.launch,
            "request": self.request,
            "verify": self.verified,
        }
        host = {f"host_{name}": {"any": self._host(seconds)} for name, seconds in fits.items()}
        return Efficiency(name=self.name, source=self.source, kernels={**own, **host})

    def _host(self, seconds: float) -> KernelFit:
        return KernelFit.fixed(seconds, self.source, **self.tpot.model_dump())


def _has_a_word(part: str, words: tuple[str, ...]) -> bool:
    """Whether one of the words occurs in a part's name."""
    return not set(words).isdisjoint(part.split())


def runtimes() -> list[str]:
    """Names of the described serving stacks, sorted."""
    return sorted(_paths())


@cache
def _paths() -> dict[str, Path]:
    return {path.stem: path for path in (specs_directory() / "runtimes").glob("*.toml")}


@cache
def slower_in_service(vendor: str) -> float:
    """Times as long as their class that kernels take on a vendor's parts: the median of what today's stacks tell [1].

    1 where none tells any.
    """
    stacks = (stack for stack in map(runtime, runtimes()) if stack.told_by == "service" and not stack.of)
    told = [stack.slower[vendor] for stack in stacks if vendor in stack.slower]
    return float(np.median(told)) if told else 1.0


def generation(name: str, version: str, month: str) -> str:
    """The name of a stack as it was in a version, or where none is stated in a month; its own name in later ones.

    >>> generation("vllm", "0.6.1", ""), generation("vllm", "", "2024-10"), generation("vllm", "0.12", "2024-10")
    ('vllm-2024', 'vllm-2024', 'vllm-0.16')
    """
    for earlier in generations(name):
        stated = bool(version and earlier.below)
        if _numbers(version) < _numbers(earlier.below) if stated else "" < month <= earlier.until:
            return earlier.name
    return name


@cache
def generations(name: str) -> tuple[Runtime, ...]:
    """The described earlier generations of a stack, the oldest first."""
    earlier = (stack for stack in map(runtime, runtimes()) if stack.of == name)
    return tuple(sorted(earlier, key=lambda stack: stack.until))


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def runtime(name: str | Runtime) -> Runtime:
    """A serving stack by its name; `UnknownName` with the nearest ones."""
    if isinstance(name, Runtime):
        return name
    if name not in runtimes():
        raise UnknownName("runtime", given=name, known=runtimes(), expected=f"one of {', '.join(runtimes())}")
    return described(_paths()[name])


@cache
def described(path: Path) -> Runtime:
    """The stack that a file describes."""
    return validated(Runtime, read_toml(path), where=path.name)
