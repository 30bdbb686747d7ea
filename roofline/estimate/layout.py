"""How a model is laid on devices: tensor, pipeline, data and expert parallel ranks, and which of them are possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from roofline.describe.feedforward import MoE
from roofline.describe.model import Layer, ModelShape
from roofline.errors import LayoutError


@dataclass(frozen=True, slots=True)
class Layout:
    """Ranks of one replica of `tp · pp · dp` devices; experts lie on `ep` groups of `tp · dp / ep` devices each.

    `vocab` is the number of stages over which the embedding is cut at the front of the pipeline, and the head at its
    end: one, unless the tables of the vocabulary do not fit beside the layers of one stage.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    vocab: int = 1

    @property
    def devices(self) -> int:
        """Devices of one replica."""
        return self.tp * self.pp * self.dp

    @property
    def expert_group(self) -> int:
        """Devices that share the experts of a stage."""
        return self.tp * self.dp

    @property
    def expert_tp(self) -> int:
        """Devices over which one expert is cut."""
        return self.expert_group // self.ep

    @property
    def sharing(self) -> int:
        """Tensor ranks that share out the rows of all that surrounds experts, its matrices whole on each of them.

        Where tokens of several data ranks are exchanged, engines do not send them from every tensor rank: a sum after
        attention leaves each rank some of the rows, and they are joined behind the experts. So in vllm-project/vllm,
        `use_sequence_parallel_moe` (config/parallel.py, model_executor/models/deepseek_v2.py), and in
        sgl-project/sglang, `ScatterMode.SCATTERED` (srt/layers/communicator.py).
        """
        return self.tp if self.dp > 1 and self.ep > 1 else 1

    def __str__(self) -> str:
        named = [("tp", self.tp), ("pp", self.pp), ("dp", self.dp), ("ep", self.ep), ("vocab", self.vocab)]
        return " ".join(f"{name}{ranks}" for name, ranks in named if ranks > 1) or "tp1"


@dataclass(frozen=True, slots=True)
class Stage:
    """A pipeline stage: how often each distinct layer occurs, and whether it holds a share of embedding or head."""

    layers: tuple[int, ...]
    embedding: bool
    head: bool


def stages(model: ModelShape, layout: Layout) -> tuple[tuple[Stage, int], ...]:
    """Distinct stages with how many there are of each; layers are spread as evenly as they go.

    Where layers do not divide, stages in the middle take one more: the first and the last hold the vocabulary's tables.
    """
    pp, pattern, kinds = layout.pp, model.pattern, len(model.groups())
    base, extra = divmod(len(pattern), pp)
    first_longer = (pp - extra) // 2
    found: Counter[tuple[tuple[int, ...], bool, bool]] = Counter()
    start = 0
    for index in range(pp):
        stop = start + base + (1 if first_longer <= index < first_longer + extra else 0)
        own = pattern[start:stop]
        found[tuple(map(own.count, range(kinds))), index < layout.vocab, index >= pp - layout.vocab] += 1
        start = stop
    return tuple((Stage(*stage), count) for stage, count in found.items())


def vocabulary_cuts(pp: int) -> tuple[int, ...]:
    """Numbers of stages over which the vocabulary's tables may be cut, the fewest first."""
    return tuple(sorted({*(cut for cut in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64) if cut < pp), pp}))


@lru_cache(maxsize=1024)
def _head_divisors(layer: Layer) -> frozenset[int]:
    """Widths that cut a mixer's heads into equal shares; key-value heads may be replicated evenly."""
    heads = getattr(layer.mixer, "heads", None) or 1
    kv_heads = getattr(layer.mixer, "kv_heads", None) or 1
    if layer.mixer is None:
        return frozenset(range(1, 4097))
    return frozenset(tp for tp in range(1, heads + 1) if heads % tp == 0 and (kv_heads % tp == 0 or tp % kv_heads == 0))


@lru_cache(maxsize=256)
def possible_tp(model: ModelShape, limit: int) -> tuple[int, ...]:
    """Every tensor-parallel width up to `limit` that the model's heads allow."""
    common = frozenset.intersection(*(_head_divisors(layer) for layer, _ in model.groups()))
    return tuple(sorted(tp for tp in common if tp <= limit))


def possible_ep(model: ModelShape, group: int) -> tuple[int, ...]:
    """Every expert-parallel degree that divides a group of `group` devices and leaves each rank an expert."""
    experts = _experts(model)
    if experts == 0:
        return (1,)
    return tuple(ep for ep in range(1, min(group, experts) + 1) if group % ep == 0)


def checked_layout(model: ModelShape, devices: int, *, tp: int, pp: int, dp: int, ep: int) -> Layout:
    """The layout, or `LayoutError` with the nearest possible value of the rank that is wrong."""
    layout = Layout(tp, pp, dp, ep)
    if layout.devices > devices:
        expected = f"at most the {devices} devices there are"
        raise LayoutError("tp · pp · dp", given=f"{tp} · {pp} · {dp} = {layout.devices}", expected=expected)
    widths = possible_tp(model, _heads(model) or devices)
    if tp not in widths:
        near = min(widths, key=lambda width: (abs(width - tp), width))
        expected = f"a divisor of the heads of {model.name} ({_heads(model)} over {_kv_heads(model)} key-value heads)"
        raise LayoutError("tp", given=tp, expected=expected, nearest=near)
    if pp > len(model.layers):
        expected = f"at most one stage for each of the {len(model.layers)} layers"
        raise LayoutError("pp", given=pp, expected=expected, nearest=len(model.layers))
    degrees = possible_ep(model, layout.expert_group)
    if ep not in degrees:
        near = min(degrees, key=lambda degree: (abs(degree - ep), degree))
        experts = _experts(model)
        expected = f"a divisor of tp · dp = {layout.expert_group} with at most {experts} experts"
        if not experts:
            expected = f"1: {model.name} has no experts"
        raise LayoutError("ep", given=ep, expected=expected, nearest=near)
    return layout


def candidate_layouts(
    model: ModelShape,
    devices: int,
    *,
    tp: int | None = None,
    pp: int | None = None,
    dp: int | None = None,
    ep: int | None = None,
) -> Iterator[Layout]:
    """Layouts of up to `devices` devices that agree with the ranks already chosen, each with its longest pipeline.

    Widths are those the heads allow, or powers of two where there are no mixers. Data parallel attention is offered to
    mixtures of experts only: for a dense model it is the same as more replicas.
    """
    has_mixers = any(layer.mixer is not None for layer, _ in model.groups())
    for width in (tp,) if tp else possible_tp(model, devices) if has_mixers else _powers(devices):
        for ranks in (dp,) if dp else _powers(devices // width) if _experts(model) else (1,):
            longest = min(devices // (width * ranks), len(model.layers))
            if longest < (pp or 1):
                continue
            for degree in _expert_degrees(model, width * ranks, ep):
                yield Layout(width, pp or longest, ranks, degree)


def _expert_degrees(model: ModelShape, group: int, given: int | None) -> tuple[int, ...]:
    """The degree given where the group allows it, else the two ends that are used in practice.

    Those are experts cut over the group and whole experts on each device.
    """
    if given is not None:
        return (given,) if given in possible_ep(model, group) else ()
    return (1,) if group == 1 or group > _experts(model) else (1, group)


def _powers(limit: int) -> tuple[int, ...]:
    return tuple(2**power for power in range(limit.bit_length()) if 2**power <= limit)


def _heads(model: ModelShape) -> int:
    return max((getattr(layer.mixer, "heads", 0) or 0 for layer, _ in model.groups()), default=0)


def _kv_heads(model: ModelShape) -> int:
    return max((getattr(layer.mixer, "kv_heads", 0) or 0 for layer, _ in model.groups()), default=0)


def _experts(model: ModelShape) -> int:
    mixtures = [layer.feed_forward for layer, _ in model.groups() if isinstance(layer.feed_forward, MoE)]
    return min((mixture.experts for mixture in mixtures), default=0)
