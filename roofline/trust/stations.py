"""Pools of measured rows as servers whose step times are tabulated once, so that thousands of rows take seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.describe.runtimes import Runtime
from roofline.describe.workload import Traffic
from roofline.equations.serving import mean_decode_context
from roofline.equations.speculation import accepted_tokens, speculative_interval
from roofline.errors import DoesNotFit
from roofline.estimate.deployment import Deployment
from roofline.estimate.resolved import Point, Resolved
from roofline.estimate.servers import Prompt, Whole
from roofline.estimate.speculative import Speculative
from roofline.estimate.timing import step_seconds
from roofline.trust.measured_rows import Load, PoolRow, Served, deployment

Array = NDArray[np.float64]
BATCHES: Array = np.unique(np.rint(np.geomspace(1, 16_384, 57))).astype(np.float64)
"""Batches at which steps are computed; between them they are interpolated, as they are nearly straight there [1]."""
MOST_DRAFTED = 3
"""Tokens that a floor lets be drafted and all be accepted [1]."""
ACCEPTANCE = 0.85
"""Probability that a drafted token is accepted where no stack says what its rows tell [1].

The lower end of what DeepSeek-AI reports for one more token, DeepSeek-V3 Technical Report, arXiv:2412.19437, 5.4.3.
"""


@dataclass
class Station:
    """One deployment of measured rows, with what was computed of it so far."""

    deployment: Deployment
    _steps: dict[tuple[float, int], Array] = field(default_factory=dict)
    _prompts: dict[float, Prompt] = field(default_factory=dict)
    _limits: dict[float, float] = field(default_factory=dict)
    _spared: dict[tuple[float, float, int], Array] = field(default_factory=dict)
    _prompt_floors: dict[float, float] = field(default_factory=dict)

    @cached_property
    def settled(self) -> Resolved:
        """The layout of the row, which leaves nothing open."""
        return self.deployment.settled()

    @cached_property
    def whole(self) -> Whole:
        """The deployment as a server."""
        return Whole(self.deployment, self.settled)

    @property
    def replicas(self) -> int:
        """Workers alike."""
        return self.settled.replicas

    @cached_property
    def draft(self) -> Resolved:
        """One more layer, drafting within the step whose host costs are counted already."""
        return Speculative.mtp(self.deployment, self.acceptance).draft.without_host().settled()

    @property
    def acceptance(self) -> float:
        """Probability that a drafted token is accepted [1]."""
        stack = self.deployment.runtime
        return ACCEPTANCE if stack is None else stack.acceptance

    def tokens_per_step(self, load: Load) -> float:
        """Tokens that a step is expected to yield of each sequence [1]."""
        return float(accepted_tokens(self.acceptance, load.draft_length))  # type: ignore[arg-type]

    def steps_before(self, load: Load) -> float:
        """Decode steps that pass before a first token is seen [1]: those of the stack, and of the run."""
        return self.whole.steps_before + load.waiting

    def late(self, load: Load) -> float:
        """Tokens of a sequence whose time the serving stack lets pass before its first one is seen [1]."""
        return self.steps_before(load) * self.tokens_per_step(load)

    def limit(self, load: Load) -> float:
        """Sequences that one replica decodes at once [1]."""
        return min(self.held(load), load.max_batch)

    def held(self, load: Load) -> float:
        """Sequences whose caches one replica holds; `DoesNotFit` where not even one [1]."""
        context = mean_context(load)
        if context not in self._limits:
            room = float(self.settled.memory.largest_batch(context))
            if room < 1:
                self.deployment.decode(1.0, context)
                raise DoesNotFit("no sequence fits", shortfall_bytes=0, min_devices=None)
            self._limits[context] = room
        return self._limits[context]

    def steps(self, load: Load) -> Array:
        """Seconds between two tokens of a sequence at `BATCHES`, prompts apart [s]."""
        context = mean_context(load)
        key = (context, load.draft_length)
        if key not in self._steps:
            self._steps[key] = self.seconds(BATCHES, context, load.draft_length)
        return self._steps[key]

    def seconds(self, batch: Array, context: float, draft_length: int) -> Array:
        """Seconds between two tokens of a sequence at any batches [s]."""
        if not draft_length:
            return _evaluated(self.settled, batch, context, 1)
        verify, drafting = self.drafting(batch, context, draft_length)
        interval: Any = speculative_interval(verify, drafting, 0.0, self.acceptance, draft_length)
        return np.asarray(interval, dtype=np.float64)

    def drafting(self, batch: Array, context: float, draft_length: int) -> tuple[Array, Array]:
        """Seconds of a step that verifies drafts, and of one that drafts, at any batches [s]."""
        verify = _evaluated(self.settled, batch, max(context, draft_length + 1.0), draft_length + 1)
        return verify, _evaluated(self.draft, batch, context, 1)

    def prompt(self, load: Load) -> Prompt:
        """One prompt of the load on one replica."""
        if load.isl not in self._prompts:
            self._prompts[load.isl] = self.whole.prompt(Traffic(load.isl, load.osl, concurrency=1.0))
        return self._prompts[load.isl]

    def spared(self, load: Load) -> Array:
        """Seconds that a prompt takes less in the same pass as a decode step, at `BATCHES` [s]."""
        key = (load.isl, load.osl, load.draft_length)
        if key not in self._spared:
            traffic, tokens = Traffic(load.isl, load.osl, concurrency=1.0), load.draft_length + 1
            context = max(mean_context(load), float(tokens))
            self._spared[key] = np.asarray(self.whole.spared(BATCHES, context, traffic, tokens))
        return self._spared[key]

    def floor(self, load: Load, batch: float) -> float:
        """A decode step that no implementation can beat, the shortest lengths and the narrowest cache taken [s]."""
        context = load.least_isl + load.least_osl / 2
        point = Point("decode", max(1.0, float(np.floor(batch))), context, 0)
        return float(self.narrowest.floor(point)) / most_yielded(load.draft_length, load.undeclared)

    def prompt_floor(self, load: Load) -> float:
        """A prompt of the shortest length that no implementation can beat, nothing of it cached [s]."""
        length = load.least_isl
        if length not in self._prompt_floors:
            self._prompt_floors[length] = float(self.narrowest.floor(Point("prefill", 1.0, length, 0)))
        return self._prompt_floors[length]

    @cached_property
    def narrowest(self) -> Resolved:
        """The same with an fp8 cache and states of 16 bits, and nothing lost."""
        formats = self.settled.quantization
        return Resolved(**{**_fields(self.settled), "quantization": formats.with_(kv_cache="fp8", state="bf16")}).ideal


def most_yielded(draft_length: int, undeclared: bool) -> int:
    """Tokens of a sequence that a floor lets a step yield: all drafts are accepted, and there may be some [1]."""
    return max(MOST_DRAFTED, draft_length) + 1 if draft_length or undeclared else 1


def mean_context(load: Load) -> float:
    """Tokens in a cache, averaged over the steps [token]."""
    return float(mean_decode_context(load.isl, load.osl))  # type: ignore[arg-type]


def _evaluated(settled: Resolved, batch: Array, context: float, tokens: int) -> Array:
    return np.asarray(settled.evaluate(Point("decode", batch, context, 0, tokens), step_seconds), dtype=np.float64)


def _fields(settled: Resolved) -> dict[str, Any]:
    return {name: getattr(settled, name) for name in Resolved.__dataclass_fields__}


@cache
def station(what: Served, where: PoolRow, stack: Runtime | None) -> Station:
    """The station of a row's pool, made once."""
    return Station(deployment(what, where, stack))
