"""The page on published rates of parts with large on-chip memories, row by row: `docs/sram-rates.md`.

python -m benchmarks.measured.sram_page
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from benchmarks.measured.refit import PHASES, RATES, ROOT
from roofline.describe.catalog import calibration
from roofline.describe.efficiency import Efficiency
from roofline.estimate.deployment import Deployment
from roofline.trust.fitting import Evidence
from roofline.trust.measured_rows import described
from roofline.trust.published_rates import CONTEXT, Rate, flat, linked, read_rates
from roofline.trust.stations import ACCEPTANCE

PAGE = Path("docs/sram-rates.md")
SOCKETS = "sambanova-sn40l"
ONE = 1e-6
"""A fixed time per operation, to count operations by [s]."""
EFFICIENCIES = ("ideal", "calibrated")


@dataclass(frozen=True, slots=True)
class Compared:
    """A published rate beside the library's, all in tokens per second of one user [1/s]."""

    rate: Rate
    floor: float
    ideal: float
    estimate: float
    layout: str

    @property
    def published(self) -> float:
        """What was published [1/s]."""
        return self.rate.tokens_per_second

    @property
    def explained(self) -> bool:
        """Whether one token per step can explain the rate: the floor is not slower."""
        return self.published <= self.floor

    @property
    def plain(self) -> bool:
        """Whether no token is drafted."""
        return self.rate.speculation == "none"


@dataclass(frozen=True, slots=True)
class Batch:
    """A measured static batch, from prompt to last token, beside the library's [s]."""

    id: str
    model: str
    batch: float
    isl: float
    osl: float
    grade: str
    measured: float
    ideal: float
    estimate: float
    overhead: float
    """The fixed time per operation that alone explains what is measured beyond the ideal [s]."""


@cache
def rates() -> tuple[Compared, ...]:
    """Every published rate."""
    return tuple(_compared(rate) for rate in read_rates(ROOT / RATES, ROOT / PHASES))


def _compared(rate: Rate) -> Compared:
    ideal, calibrated = (rate.estimate(efficiency) for efficiency in EFFICIENCIES)
    per_second = [1 / float(seconds) for seconds in (ideal.floor, ideal.seconds, calibrated.seconds)]
    return Compared(rate, *per_second, layout=str(calibrated.layout))


@cache
def batches() -> tuple[Batch, ...]:
    """Every measured static batch of SN40L sockets."""
    with (ROOT / PHASES).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["accelerator"] == SOCKETS and row["kind"] == "static"]
    return tuple(_batch(row) for row in rows)


def _batch(row: Mapping[str, str]) -> Batch:
    batch, isl, osl = (float(row[name]) for name in ("batch", "isl", "osl"))
    ideal, estimate = (_whole(row, batch, isl, osl, efficiency) for efficiency in EFFICIENCIES)
    measured, model = float(row["value"]) / 1e3, described(row["model"]).name
    assumed = flat("assumed", ONE, Evidence(0, 0, 1, 1), "assumed")
    overhead = ONE * (measured - ideal) / (_whole(row, batch, isl, osl, assumed) - ideal)
    return Batch(row["id"], model, batch, isl, osl, row["grade"], measured, ideal, estimate, overhead)


def _whole(row: Mapping[str, str], batch: float, isl: float, osl: float, efficiency: Efficiency | str) -> float:
    """Seconds from prompt to last token; the middle of the answer stands for all its steps."""
    model, tp = described(row["model"]), int(row["tp"])
    where = Deployment(model, linked(SOCKETS), tp, tp=tp, quantization=row["quantization"], efficiency=efficiency)
    step = where.decode(batch=batch, context=isl + osl / 2).seconds
    return float(where.prefill(isl, batch=batch).seconds) + (osl - 1) * float(step)


def page() -> str:
    """The whole page."""
    compared, static = rates(), batches()
    fast = [each for each in compared if not each.explained]
    return _TEXT.format(
        context=f"{CONTEXT:,}",
        count=len(compared),
        fast_count=len(fast),
        plain=sum(each.plain for each in compared),
        rates=_rates(compared),
        fast=_fast(fast),
        parts=_parts(compared),
        batches=_batches(static),
        lpx=", ".join(f"{each.published / each.estimate:.1f}" for each in compared if each.rate.id.startswith("lpx")),
        acceptance=ACCEPTANCE,
        longest=1 / (1 - ACCEPTANCE),
        least=f"{min(each.measured / each.ideal for each in static):.2f}",
        low=f"{min(each.measured / each.estimate for each in static):.2f}",
        high=f"{max(each.measured / each.estimate for each in static):.2f}",
        single=_microseconds(each.overhead for each in static if each.batch == 1),
        sixteen=_microseconds(each.overhead for each in static if each.batch > 1),
        lpu=_shipped("groq-lpu-v1"),
        wafer=_shipped("cerebras-wse3"),
        sources=_sources(compared),
    )


def _microseconds(overheads: Iterable[float]) -> str:
    return f"{median(overheads) * 1e6:.1f} us"


def _shipped(part: str) -> str:
    figures = calibration(part)
    assert figures is not None
    return _microseconds([figures.kernels["matmul"]["any"].overhead])


def _rates(compared: tuple[Compared, ...]) -> str:
    lines = [
        "| row | part | model | devices | layout | weights | batch × context | drafted | published | floor | ideal "
        "| estimate | error | fitted |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in compared:
        rate = each.rate
        devices = f"{rate.devices:,}" if rate.devices else f"({rate.device_count:,})"
        batch = f"{rate.batch:g}" if rate.batch else "(1)"
        context = f"{rate.context:,g}" if rate.context else f"({CONTEXT:,})"
        columns = [
            *(rate.id, rate.accelerator, rate.model, devices, each.layout),
            *(rate.quantization or "checkpoint's", f"{batch} × {context}", rate.speculation),
            *(f"{number:,.0f}" for number in (each.published, each.floor, each.ideal, each.estimate)),
            *(f"{each.estimate / each.published - 1:+.0%}", "yes" if rate.fitted else ""),
        ]
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def _fast(fast: list[Compared]) -> str:
    lines = ["| row | published / floor | drafted | likely reason |", "|---|---|---|---|"]
    for each in fast:
        ratio = f"{each.published / each.floor:.2f}"
        lines.append(f"| {each.rate.id} | {ratio} | {each.rate.speculation} | {each.rate.notes} |")
    return "\n".join(lines)


def _parts(compared: tuple[Compared, ...]) -> str:
    lines = ["| part | drafted | rows | published / estimate | median |", "|---|---|---|---|---|"]
    groups: dict[tuple[str, str], list[float]] = {}
    for each in compared:
        groups.setdefault((each.rate.accelerator, each.rate.speculation), []).append(each.published / each.estimate)
    for (part, drafted), ratios in groups.items():
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        lines.append(f"| {part} | {drafted} | {len(ratios)} | {spread} | {median(ratios):.2f} |")
    return "\n".join(lines)


def _batches(static: tuple[Batch, ...]) -> str:
    lines = [
        "| row | grade | model | batch | in + out | measured | ideal | estimate "
        "| measured / ideal | overhead | error |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in static:
        columns = [
            *(each.id, each.grade, each.model, f"{each.batch:g}", f"{each.isl:,g} + {each.osl:,g}"),
            *(f"{seconds:.3g} s" for seconds in (each.measured, each.ideal, each.estimate)),
            *(f"{each.measured / each.ideal:.2f}", f"{each.overhead * 1e6:.1f} us"),
            f"{each.estimate / each.measured - 1:+.0%}",
        ]
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def _sources(compared: tuple[Compared, ...]) -> str:
    lines = ["| row | date | source | note |", "|---|---|---|---|"]
    for each in compared:
        lines.append(f"| {each.rate.id} | {each.rate.date} | `{each.rate.source}` | {each.rate.notes} |")
    return "\n".join(lines)


_TEXT = """# Published rates of SRAM-class parts, row by row

Every published rate of parts that decode from on-chip memory, or have much of it, beside what the library says of
the same step. The page is made by `python -m benchmarks.measured.sram_page` from
[benchmarks/measured](../benchmarks/measured/README.md); a test keeps it current.

## One user's tokens per second

`floor`, `ideal` and `estimate` (calibrated) are the library's, in tokens per second of one user, one token per
step. What nobody published is in brackets and assumed: the fewest devices that hold the model, one sequence,
{context} tokens. The layout is the fastest of those devices. `drafted` says whether the operator drafts tokens:
*none* where it says so, or where it had not begun to; *stated*; *likely*; *unknown*. `error` is the estimate's
against the published rate; where tokens are drafted it is no error of the estimate, which counts steps. `fitted`
rows are those that calibrations rest on.

{rates}

## Faster than the floor

{fast_count} of the {count} rates are above what one token per step allows. None of them is among the {plain}
rates without
drafted tokens. They are contradictions as plain decoding; the ratio is the least number of tokens that a step
must yield.

{fast}

## What the estimates miss

Published over estimated, by part and by whether tokens are drafted. With drafted tokens it is the tokens a step
yields times the estimate's own error: the two cannot be told apart by a rate.

{parts}

* `groq-lpu-v1` and `cerebras-wse3` have figures of their own, fitted to their own plain rates; a part without any
  takes the median of the two. One overhead per operation serves dense models: the mixtures of experts, which are
  not fitted, are estimated too fast on the LPU.
* `groq-3-lpu` has no plain rate at all. Its estimate takes the overhead of chips of 2020 and 2024, and its three
  rates would then need {lpx} tokens a step. Where a drafted token is accepted with probability {acceptance:g}, no
  draft, however long, yields more than 1 / (1 - {acceptance:g}) = {longest:.1f}: the two larger ones need a smaller
  overhead. How much smaller cannot be said without the accepted lengths, so nothing is fitted to these rows.
* `dmatrix-corsair` has projections only.
* `sambanova-sn40l` publishes no link between sockets: a free one is assumed, which makes the ideal rates upper
  bounds.

## Static batches on eight SN40L sockets

The only rows of this class with every condition stated: eight sockets, tensor parallel, bf16 weights, seconds from
prompt to last token. HBM is the memory that decoding reads here; no row beats it (measured / ideal is {least} at
least). The estimate takes the medians of measured GPUs; measured over estimated is {low} to {high}. Single sequences
are slower in the estimate: the vendor says that a whole layer runs as one kernel. Most batches of sixteen are faster.

`overhead` is the fixed time per operation that would explain a row alone. For single sequences its median is
{single}, below the {lpu} of the first LPU and the {wafer} of the wafer; for batches of sixteen it is {sixteen}.
One overhead does not serve both, so no figures ship for this part.

{batches}

## Sources

`source` names are explained in [benchmarks/measured](../benchmarks/measured/README.md).

{sources}

"""


def main() -> None:
    """Write the page."""
    (ROOT / PAGE).write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {len(rates())} rates, {len(batches())} batches")


if __name__ == "__main__":
    main()
