"""A model on a layout, compiled once; a load then makes it a `Step`: what every stage does, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from roofline.describe.formats import Quantization
from roofline.describe.machine import Machine, Wire
from roofline.describe.model import ModelShape
from roofline.describe.runtimes import Fused
from roofline.equations.pipelines import micro_batch, micro_batches
from roofline.estimate.floors import Demand, Least
from roofline.estimate.kernels import HostKernel, Kernel, one_token
from roofline.estimate.layout import Layout, Stage, stages
from roofline.estimate.network import stage_hops
from roofline.estimate.sharding import embedding_kernels, head_kernels, layer_kernels
from roofline.estimate.timing import Step, Turns
from roofline.estimate.work import HIDDEN_WIDTH, Item, Load, Operation, Phase, exchanges
from roofline.numeric import Num, ceil, maximum, minimum

Counts = tuple[int, ...]
"""How often each of some kernels occurs."""
Hops = tuple[tuple[Wire, int], ...]
"""Wires that carry activations from stage to stage, with how many hand-overs each carries."""


@dataclass(frozen=True)
class Plan:
    """What one device of each stage runs, whatever the load.

    `kernels` are distinct; `path` and `stages` count them as `Step` does its items, and `inside` those of layers alone.
    `last` and `stages_last` count those of them in the last layers: of a prompt these owe nothing to anyone but for its
    last token, since no later layer keeps anything of the others. With `overlap`, halves of a batch take turns.
    """

    layout: Layout
    hidden: int
    kernels: tuple[Kernel, ...]
    path: tuple[int, ...]
    inside: tuple[int, ...]
    stages: tuple[tuple[int, ...], ...]
    last: tuple[int, ...]
    stages_last: tuple[tuple[int, ...], ...]
    hops: Hops
    overlap: bool = False

    @classmethod
    def of(
        cls,
        model: ModelShape,
        layout: Layout,
        quantization: Quantization,
        machine: Machine,
        *,
        vocabulary: bool = True,
        host: bool = False,
        fused: tuple[Fused, ...] = (),
        skew: float = 0.0,
        overlap: bool = False,
    ) -> Plan:
        """Compile a model for a layout; without `vocabulary`, its layers alone; `host` adds that of a serving stack,
        which may launch some kernels `fused` with others.

        `skew`: squared coefficient of variation of how often experts are chosen [1]. `overlap` has no effect where no
        rows cross to experts of other ranks, nor in a pipeline, whose stages are kept busy by other micro-batches.
        """
        counted = _counted(model, layout, quantization, vocabulary, host, fused, skew)
        hops = stage_hops(layout.expert_group, layout.pp, machine.wires, machine.name)
        turns = overlap and layout.pp == 1 and any(map(exchanges, counted[0]))
        return cls(layout, model.hidden, *counted, hops, turns)

    def decode(self, *, batch: Num, context: Num, new: Num = 1) -> Step:
        """A step of `batch` sequences with `new` tokens each, whose caches cover `context` tokens with the new ones."""
        share = self._micro_batch(batch)
        sequences = self._per_rank(share)
        # The common step is spared two passes over arrays.
        rows, tokens = (sequences, share) if one_token(new) else (sequences * new, share * new)
        load = Load("decode", sequences, new, context - new, context, rows, tokens)
        step = self._step(batch, share, load)
        if self.overlap:
            half = ceil(sequences / 2)
            part = replace(load, sequences=half, rows=half * new, group_tokens=tokens / 2)
            return replace(step, turns=self._turns(step, part, 1))
        if not step.hops:
            return step
        return replace(step, hops=_returning(step.hops))

    def prefill(self, *, batch: Num, prompt: Num, cached: Num, slice: Num | None = None) -> Step:
        """All tokens of `batch` prompts of `prompt` tokens, of which `cached` are in the cache already.

        A rank takes them in slices of `slice` tokens, or whole.
        """
        share, new = self._micro_batch(batch), prompt - cached
        sequences = self._per_rank(share)
        load = Load("prefill", sequences, new, cached, prompt, sequences * new, share * new)
        step = self._step(batch, share, load)
        slices: Num = 1
        if slice is not None:
            load, slices = _cut(load, slice)
            step = self._sliced(step, load, slices)
        if self.overlap:  # one prompt is cut in two where there are no others
            half = {name: getattr(load, name) / 2 for name in ("sequences", "rows", "group_tokens")}
            return replace(step, turns=self._turns(step, replace(load, **half), slices))
        return step

    def prompts_at_once(self, batch: Num) -> Num:
        """Prompts of a batch that the fullest rank has in one micro-batch [1]."""
        return self._per_rank(self._micro_batch(batch))

    def least(self, phase: Phase, *, batch: Num, context: Num, new: Num) -> Least:
        """What no engine can leave out of a phase that computes `new` tokens of each context of `context`."""
        hops = _returning(self.hops) if phase == "decode" and self.hops else self.hops
        together = self._demand(phase, batch, context, new)
        alone = together if not hops else self._demand(phase, 1, context, new)
        return Least(together, alone, phase == "decode", self.layout.pp, hops)

    def _demand(self, phase: Phase, batch: Num, context: Num, new: Num) -> Demand:
        """All of a batch at once; of a prompt, last layers take the last token alone, with all keys before it."""
        sequences = self._per_rank(batch)
        load = Load(phase, sequences, new, context - new, context, sequences * new, batch * new)
        items = tuple(kernel.item(load) for kernel in self.kernels)
        if phase == "decode":
            return Demand(items, self.path, self.stages)
        load = Load(phase, sequences, 1, context - 1, context, sequences, batch)
        final = tuple(_no_more(kernel.item(load), item) for kernel, item in zip(self.kernels, items, strict=True))
        return Demand(
            (*items, *final),
            _apart(self.path, self.last),
            tuple(map(_apart, self.stages, self.stages_last)),
        )

    def _sliced(self, whole: Step, part: Load, slices: Num) -> Step:
        """The step with prompts cut into slices, of which each is `part`; only the last one's last rows have logits."""
        once = [getattr(kernel, "last_row_only", False) for kernel in self.kernels]
        items = tuple(
            item if last else kernel.item(part)
            for kernel, item, last in zip(self.kernels, whole.items, once, strict=True)
        )

        def counted(counts: tuple[Num, ...], each: Num, last: Num) -> tuple[Num, ...]:
            return tuple(count * (last if final else each) for count, final in zip(counts, once, strict=True))

        if not whole.pipelined:
            path = counted(whole.path, slices, 1)
            return replace(whole, items=items, path=path, stages=(path,))
        return replace(
            whole,
            items=items,
            path=counted(whole.path, 1, 1 / slices),
            stages=tuple(counted(stage, 1, 1 / slices) for stage in whole.stages),
            micro_batches=whole.micro_batches * slices,
            hop_size=part.rows * (self.hidden * HIDDEN_WIDTH),
        )

    def _turns(self, step: Step, half: Load, slices: Num) -> Turns:
        """Layers twice with half of the rows, and what is outside of them once with all: `half` as one rank has it."""
        found: list[tuple[Item, Num, Num]] = []
        for kernel, item, count, whole, inside in zip(
            self.kernels, step.items, step.path, self.path, self.inside, strict=True
        ):
            found += [(kernel.item(half), 2 * inside * slices, 0)] if inside else []
            found += [(item, 0, count - inside * slices)] if whole > inside else []
        items, inner, outer = (tuple(each) for each in zip(*found, strict=True))
        return Turns(items, inner, outer)

    def _micro_batch(self, batch: Num) -> Num:
        return batch if self.layout.pp == 1 else micro_batch(batch, self.layout.pp)

    def _per_rank(self, share: Num) -> Num:
        return share if self.layout.dp == 1 else ceil(share / self.layout.dp)

    def _step(self, batch: Num, share: Num, load: Load) -> Step:
        return Step(
            load.phase,
            tuple(kernel.item(load) for kernel in self.kernels),
            self.path,
            self.stages,
            1 if self.layout.pp == 1 else micro_batches(batch, share),
            self.layout.pp,
            self.hops,
            load.rows * (self.hidden * HIDDEN_WIDTH),
        )


@lru_cache(maxsize=1024)  # replicas of any number, and parts with other figures, run the same
def _counted(
    model: ModelShape,
    layout: Layout,
    quantization: Quantization,
    vocabulary: bool,
    host: bool,
    fused: tuple[Fused, ...],
    skew: float,
) -> tuple[tuple[Kernel, ...], Counts, Counts, tuple[Counts, ...], Counts, tuple[Counts, ...]]:
    """Distinct kernels, and how often each occurs: the fields of `Plan` from `kernels` to `stages_last`."""
    layers = [
        Counter(layer_kernels(layer, model.hidden, layout, quantization, skew, fused)) for layer, _ in model.groups()
    ]
    embedding = Counter[Kernel](embedding_kernels(model, layout, quantization) if vocabulary else ())
    head = Counter[Kernel](head_kernels(model, layout, quantization) if vocabulary else ())
    head.update([HostKernel("pass"), HostKernel("sequence"), HostKernel("verified")] if host else [])
    units = [*layers, embedding, head]
    kernels = tuple(dict.fromkeys(kernel for unit in units for kernel in unit))

    def counts(occurrences: Sequence[int]) -> Counts:
        pairs = list(zip(units, occurrences, strict=True))
        return tuple(sum(unit[kernel] * number for unit, number in pairs) for kernel in kernels)

    last, cut = _last_layers(model), [stage for stage, _ in stages(model, layout)]
    return (
        kernels,
        counts([*(number for _, number in model.groups()), 1, 1]),
        counts([*(number for _, number in model.groups()), 0, 0]),
        tuple(counts([*stage.layers, stage.embedding, stage.head]) for stage in cut),
        counts([*last, 0, 0]),
        tuple(counts([*_in_stage(last, stage), 0, 0]) for stage in cut),
    )


def _last_layers(model: ModelShape) -> list[int]:
    """How many of the last layers there are of each kind: the last one, and all that follow one which keeps no cache.

    Layers that read an earlier one's cache keep nothing of their own. No state or key of a token rests on what the last
    layer that keeps something makes of it, so engines may drop all but the last token of a prompt from there on.
    """
    found = [0] * len(model.groups())
    for layer, kind in zip(reversed(model.layers), reversed(model.pattern), strict=True):
        found[kind] += 1
        if not getattr(layer.mixer, "shares_kv", layer.mixer is None):
            break
    return found


def _in_stage(last: Sequence[int], stage: Stage) -> list[int]:
    """Last layers that lie in a stage: where there are several, as many of each kind as it may hold of them."""
    if sum(last) == 1 and not stage.head:
        return [0] * len(last)
    return list(map(min, last, stage.layers))


def _no_more(last: Item, every: Item) -> Item:
    """What is done for the last token of a prompt, which need not read what is made for the others in the same pass."""
    if not isinstance(last, Operation) or not isinstance(every, Operation):
        return last
    return last._replace(fewest_cache=minimum(last.fewest_cache, every.fewest_cache))


def _returning(hops: Hops) -> Hops:
    """Hand-overs of decode: the sampled token goes back to the first stage."""
    wire, number = hops[-1]
    return (*hops[:-1], (wire, number + 1))


def _apart(counts: Sequence[int], last: Sequence[int]) -> tuple[int, ...]:
    """Counts of what is done for all tokens of a prompt, then of what is done for the last one."""
    return (*(count - own for count, own in zip(counts, last, strict=True)), *last)


def _cut(load: Load, slice: Num) -> tuple[Load, Num]:
    """A slice of prompts, and how many there are: some whole prompts, or a part of one with the mean of earlier keys.

    Slices are full, and the last one counts as the part of a slice that it is.
    """
    slices, new = maximum(load.rows / slice, 1), minimum(load.new, slice)
    rows, cached = load.rows / slices, load.cached + (load.new - new) / 2
    return Load("prefill", rows / new, new, cached, cached + new, rows, load.group_tokens / slices), slices
