"""Three layouts of one pool: for one user, for many, and on the fewest devices."""

from __future__ import annotations

from collections.abc import Sequence

from roofline.estimate.deployment import Deployment
from roofline.explore.layouts import LaidOut, layouts
from roofline.show.answer import Answer, answered
from roofline.show.grid import Cell, Column, Grid
from roofline.show.lines import Line, figure, paragraph
from roofline.show.records import Row

_WORDS = {"latency": "least latency", "throughput": "most tokens", "capacity": "fewest devices"}
_COLUMNS = (
    Column("aim", ("",), left=True),
    Column("stages", ("stages",)),
    Column("width", ("width",), gap=1),
    Column("layout", ("layout",), left=True, need=8, most=30),
    Column("replicas", ("replicas",), need=5),
    Column("devices", ("devices",), gap=1),
    Column("time per token of one sequence", ("alone", "ms")),
    Column("tokens/s of one sequence", ("", "tok/s"), need=6, gap=1),
    Column("batch of the most tokens/s", ("at most", "batch")),
    Column("time per token there", ("", "ms"), need=4, gap=1),
    Column("tokens/s there", ("", "tok/s"), gap=1),
    Column("tokens/s per device there", ("", "/dev"), need=3, gap=1),
    Column("sequences that fit", ("fit", ""), need=7),
)


def answer(deployment: Deployment, context: float, form: str) -> Answer:
    """The three layouts of a deployment; `DoesNotFit` where there is none."""
    found = layouts(deployment, context)
    return answered([row(each) for each in found], form, lambda width: drawn(deployment, context, found, width))


def row(found: LaidOut) -> Row:
    """A layout and its figures in SI units."""
    return {
        "aim": found.aim,
        "layout": str(found.layout),
        "stages": found.layout.pp,
        "width": found.layout.expert_group,
        "replicas": found.replicas,
        "devices": found.devices,
        "seconds": found.seconds,
        "batch": found.batch,
        "batch_seconds": found.batch_seconds,
        "tokens_per_second": found.tokens_per_second,
        "tokens_per_second_per_device": found.tokens_per_second_per_device,
        "max_batch": found.most,
    }


def drawn(deployment: Deployment, context: float, found: Sequence[LaidOut], width: int) -> list[Line]:
    """The three layouts in a table."""
    title = f"{deployment.model.name} on {deployment.devices:,} × {deployment.accelerator.name}"
    title += f": layouts for decode at context {context:,g}; {deployment.quantization.label}"
    grid = Grid(_COLUMNS, [_cells(each) for each in found])
    note = "width: devices of a stage; alone: one sequence on a replica; at most: the batch per replica with the most"
    note += " tokens per second of all replicas"
    out = [*paragraph(title, width, style="bold"), Line(), *grid.render(width), Line()]
    return [*out, *paragraph(note, width, style="dim"), *grid.left_out_line(width)]


def _cells(found: LaidOut) -> list[Cell]:
    return [
        _WORDS[found.aim],
        f"{found.layout.pp:,}",
        f"{found.layout.expert_group:,}",
        str(found.layout),
        f"{found.replicas:,}",
        f"{found.devices:,}",
        figure(found.seconds * 1e3),
        figure(1 / found.seconds),
        f"{found.batch:,.0f}",
        figure(found.batch_seconds * 1e3),
        figure(found.tokens_per_second),
        figure(found.tokens_per_second_per_device),
        f"{found.most:,.0f}",
    ]
