"""What the pictures show: estimates of one model on pools of silicon, as plain numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from roofline.describe.model import ModelShape
from roofline.describe.model_catalog import load_model
from roofline.errors import DoesNotFit, RooflineError
from roofline.estimate.estimate import Estimate
from roofline.explore.pareto import pareto
from roofline.show.answer import Answer
from roofline.show.axes import axis
from roofline.show.comparison import estimated
from roofline.show.failures import NO, OK
from roofline.show.findings import Names
from roofline.show.options import chosen
from roofline.show.plots import Bar, Curve, Roof, picture, writable
from roofline.show.pools import InPool, Pool
from roofline.show.progress import tracked
from roofline.show.sweep_view import OBJECTIVES, Wanted, grid_rows

KINDS = ("roofline", "pareto", "breakdown")
_FEW = 4
"""Values that a title lists one by one; of more it says the ends."""
_BATCHES = {"roofline": "1:256:x2", "pareto": "1:256:x2", "breakdown": "1,8,64"}


def drawn(
    kind: str,
    model: str,
    texts: Sequence[str],
    *,
    phase: str,
    batch: str | None,
    context: str,
    quantization: str | None,
    output: str,
) -> Answer:
    """A picture in a file; status 1 where nothing of it fits."""
    chosen("KIND", kind, KINDS)
    chosen("--phase", phase, ("decode", "prefill"))
    writable(output)
    shape = load_model(model)
    pools = [Pool.parse(text) for text in dict.fromkeys(texts)]
    given = batch if batch is not None else "1" if phase == "prefill" else _BATCHES[kind]
    batches, contexts = axis("batch", given), axis("context", context)
    names = Names.of(pools).pool
    title = f"{shape.name}, {phase}, {_batch_words(batches)}, {_context_words(phase, contexts)}"
    unit = "time per token" if phase == "decode" else "time to the first token"
    subject: Sequence[Roof] | Sequence[Curve] | Sequence[Bar]
    if kind == "pareto":
        wanted = Wanted(phase, {"batch": batches, "context" if phase == "decode" else "prompt": contexts}, (), (), ())
        subject = [_curve(pool, names, shape, wanted, quantization) for pool in tracked(pools, "sweeping")]
        empty = not any(curve.front for curve in subject)
    elif kind == "roofline":
        subject = [
            _roof(pool, names, shape, phase, batches, contexts, quantization) for pool in tracked(pools, "estimating")
        ]
        empty = not any(point for roof in subject for point in roof.series)
        unit = _called(batches, contexts)
    else:
        groups = [
            _bars(pool, names, shape, phase, batches, contexts, quantization) for pool in tracked(pools, "estimating")
        ]
        subject = [bar for bars in zip(*groups, strict=True) for bar in bars]
        empty = not any(bar.seconds for bar in subject)
    if empty:
        return Answer("nothing drawn: no point fits\n", status=NO)
    picture(output, title, subject, unit)
    return Answer(f"written: {output}\n", status=OK)


def _batch_words(batches: Sequence[float]) -> str:
    few = len(batches) <= _FEW
    return f"batch {_or(batches) if few else f'{min(batches):,g} to {max(batches):,g}'}"


def _context_words(phase: str, contexts: Sequence[float]) -> str:
    words = _or(contexts) if len(contexts) <= _FEW else f"{min(contexts):,g} to {max(contexts):,g}"
    return f"context {words}" if phase == "decode" else f"prompts of {words} tokens"


def _or(values: Sequence[float]) -> str:
    texts = [f"{value:,g}" for value in values]
    return f"{', '.join(texts[:-1])} or {texts[-1]}" if len(texts) > 1 else texts[0]


def _called(batches: Sequence[float], contexts: Sequence[float]) -> str:
    """What the numbers beside marks are: of what varies; nothing where one step is drawn."""
    if len(batches) > 1:
        return "batch" if len(contexts) == 1 else "largest batch at context"
    return "tokens" if len(contexts) > 1 else ""


def _estimates(
    pool: Pool, model: ModelShape, phase: str, points: Sequence[tuple[float, float]], quantization: str | None
) -> Iterator[Estimate | None]:
    """The estimate at each batch and context, None where a point does not fit; an open layout is chosen for each."""
    try:
        deployment = pool.deployment(model, quantization)
        for batch, context in points:
            try:
                yield estimated(deployment, phase, batch, context)
            except DoesNotFit:
                yield None
    except InPool:
        raise
    except RooflineError as error:
        raise InPool(pool.text, error) from None


def _roof(
    pool: Pool,
    names: Mapping[str, str],
    model: ModelShape,
    phase: str,
    batches: Sequence[float],
    contexts: Sequence[float],
    quantization: str | None,
) -> Roof:
    """The part's roofs in the format that multiplies the weights, and where the steps of the model are."""
    machine = pool.accelerator.numbers()
    peak = float(max(machine.peak.values()))  # type: ignore[arg-type, type-var]
    points = list(product(contexts, batches))
    swapped = [(batch, context) for context, batch in points]
    reached: dict[float, list[tuple[str, float, float]]] = {}
    estimates = list(_estimates(pool, model, phase, swapped, quantization))
    called = _called(batches, contexts)
    for (context, batch), estimate in zip(points, estimates, strict=True):
        if estimate is None:
            continue
        devices = estimate.layout.devices * estimate.seconds
        flops = float(estimate.resolved.model_flops(estimate.point)) / devices
        moved = float(estimate.resolved.model_traffic(estimate.point)) / devices
        peak = flops / float(estimate.mfu)
        words = {"": "", "batch": f"{batch:,g}", "tokens": f"{context:,g}"}
        series = reached.setdefault(context if len(batches) > 1 else 0, [])
        series.append((words.get(called, f"{batch:,g} at {context:,g}"), flops / moved, flops))
    bandwidth, feed = float(machine.memory.bandwidth), None if machine.feed is None else float(machine.feed)  # type: ignore[arg-type]
    label = _laid(names[pool.text], estimates) if reached else f"{names[pool.text]}, does not fit"
    return Roof(label, peak, bandwidth, feed, list(reached.values()))


def _curve(pool: Pool, names: Mapping[str, str], model: ModelShape, wanted: Wanted, quantization: str | None) -> Curve:
    rows = [row for row in grid_rows(pool, model, wanted, quantization) if row["fits"]]

    def points(rows: Sequence[dict[str, float]]) -> list[tuple[float, float, float]]:
        ordered = sorted(rows, key=lambda row: row["tokens_per_second_per_user"], reverse=True)
        return [(row["batch"], row[OBJECTIVES[0]], row[OBJECTIVES[1]]) for row in ordered]

    front = pareto(rows, maximize=OBJECTIVES).to_dicts() if rows else []
    return Curve(names[pool.text], points(rows), points(front))


def _bars(
    pool: Pool,
    names: Mapping[str, str],
    model: ModelShape,
    phase: str,
    batches: Sequence[float],
    contexts: Sequence[float],
    quantization: str | None,
) -> list[Bar]:
    points = list(product(batches, contexts))
    estimates = list(_estimates(pool, model, phase, points, quantization))
    bars = []
    for (batch, context), estimate in zip(points, estimates, strict=True):
        group = f"batch {batch:,g}" + (f", {context:,g} tokens" if len(contexts) > 1 else "")
        seconds = {str(name): float(each) for name, each in estimate.attributed.items()} if estimate else None
        floor = float(estimate.floor) if estimate else None
        bars.append(Bar(group, _laid(names[pool.text], [estimate]), seconds, floor, "does not fit"))
    return bars


def _laid(name: str, estimates: Sequence[Estimate | None]) -> str:
    """A pool with the layout of its steps, or with how many they have; alone where none fits."""
    layouts = {str(estimate.layout) for estimate in estimates if estimate is not None}
    if len(layouts) > 1:
        return f"{name}, {len(layouts)} layouts"
    return ", ".join([name, *layouts])
