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
from roofline.show.comparison import estimated, settled
from roofline.show.failures import NO, OK
from roofline.show.findings import Names
from roofline.show.options import chosen
from roofline.show.plots import Bar, Curve, Roof, picture, writable
from roofline.show.pools import InPool, Pool
from roofline.show.progress import tracked
from roofline.show.sweep_view import OBJECTIVES, Wanted, grid_rows

KINDS = ("roofline", "pareto", "breakdown")
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
    where = f"{' or '.join(f'{each:,g}' for each in contexts)} tokens"
    what = f"{phase} at {where}" if phase == "decode" else f"prefill of {where}"
    title = f"{shape.name}, {what}"
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
        unit = "tokens" if len(batches) == 1 else "batch"
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


def _estimates(
    pool: Pool, model: ModelShape, phase: str, points: Sequence[tuple[float, float]], quantization: str | None
) -> Iterator[Estimate | None]:
    """The estimate at each batch and context in one layout, None where a point does not fit."""
    try:
        longest = max(context for _, context in points)
        deployment, _ = settled(pool.deployment(model, quantization), [batch for batch, _ in points], longest)
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
    reached: dict[float, list[tuple[float, float, float]]] = {}
    estimates = _estimates(pool, model, phase, swapped, quantization)
    for (context, batch), estimate in zip(points, estimates, strict=True):
        if estimate is None:
            continue
        devices = estimate.layout.devices * estimate.seconds
        flops = float(estimate.resolved.model_flops(estimate.point)) / devices
        moved = float(estimate.resolved.model_traffic(estimate.point)) / devices
        peak = flops / float(estimate.mfu)
        alone = len(batches) == 1
        series = reached.setdefault(0 if alone else context, [])
        series.append((context if alone else batch, flops / moved, flops))
    bandwidth, feed = float(machine.memory.bandwidth), None if machine.feed is None else float(machine.feed)  # type: ignore[arg-type]
    label = names[pool.text]
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
    bars = []
    for (batch, context), estimate in zip(points, _estimates(pool, model, phase, points, quantization), strict=True):
        group = f"batch {batch:,g}" + (f", {context:,g} tokens" if len(contexts) > 1 else "")
        seconds = {str(name): float(each) for name, each in estimate.attributed.items()} if estimate else None
        floor = float(estimate.floor) if estimate else None
        bars.append(Bar(group, names[pool.text], seconds, floor, "does not fit"))
    return bars
