"""What parts without DRAM lose per operation, from published single-user rates: all that is public about their speed.

No kernels of these parts were published. A rate says how long a token takes; what the ideal estimate leaves
unexplained is shared out over the operations of a step, as a fixed time each. Batch, context and most device counts of
these rates are unpublished: where they are, one user, `CONTEXT` tokens and the fewest devices that hold the model are
assumed. A part whose links nobody published gets links that cost nothing, so that its estimate stays a bound.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np

from roofline.describe.catalog import accelerator as described
from roofline.describe.efficiency import (
    COLLECTIVE_CLASSES,
    KERNEL_CLASSES,
    CollectiveFit,
    Efficiency,
    KernelFit,
)
from roofline.describe.formats import PRESETS, Quantization
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.tiers import LinkTier
from roofline.errors import DoesNotFit, InvalidInput
from roofline.estimate.deployment import Deployment
from roofline.estimate.estimate import Estimate
from roofline.trust.fitting import Evidence, evidence, rounded

CONTEXT = 1024
"""Tokens in the cache of the one user, assumed [token]."""
FIRST_GUESS = 3e-6
"""Overhead from which the search starts [s]."""
MOST_LINES, CLOSE_ENOUGH = 8, 1e-6
"""Steps of that search at most, and the relative distance at which it ends [1]."""
SOURCE = "published single-user rates"
NOTE = (
    "a fixed time per operation that explains published single-user rates; their batch, context and most device counts "
    "are unpublished, so this is an order of magnitude: one user, 1,024 tokens and the fewest devices are assumed"
)


FREE_LINK = LinkTier.model_validate(
    {"bandwidth": {"value": "1e18 B/s", "source": "assumed", "kind": "estimate"}, "topology": "switch"}
)
"""What joins the devices of a part without a published link: it costs nothing."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A published rate: `tokens_per_second` of one user [1/s] on `devices` devices, None where unpublished.

    `batch` sequences [1] and `context` tokens [token] likewise; `quantization` is empty for the checkpoint's own.
    `speculation` is none, stated, likely or unknown; `fitted` rates are those that calibrations rest on.
    """

    id: str
    model: str
    accelerator: str
    devices: int | None
    quantization: str
    batch: float | None
    context: float | None
    speculation: str
    fitted: bool
    tokens_per_second: float
    date: str
    source: str
    notes: str

    @property
    def seconds(self) -> float:
        """Between two tokens [s]."""
        return 1 / self.tokens_per_second

    @property
    def device_count(self) -> int:
        """The devices published, or the fewest that hold the model and its sequences."""
        return self.devices or _fewest(self)

    def estimate(self, efficiency: Efficiency | str) -> Estimate:
        """The decode step of the rate."""
        return _step(self, self.device_count, efficiency)

    def estimated(self, overhead: float) -> float:
        """Seconds between two tokens, each operation with a fixed overhead [s]."""
        return float(self.estimate(flat("assumed", overhead, Evidence(0, 0, 1, 1), "assumed")).seconds)

    def overhead(self) -> float:
        """The fixed time per operation that makes the estimate meet the rate [s].

        The estimate grows with it along straight lines, one for each layout that is the fastest for a while.
        """
        ideal, guess = self.estimated(0.0), FIRST_GUESS
        if ideal >= self.seconds:
            given = f"{self.tokens_per_second:g} tokens/s, faster than the ideal estimate"
            raise InvalidInput(f"rate {self.id}", given=given, expected="a rate without speculation")
        for _ in range(MOST_LINES):
            estimated = self.estimated(guess)
            if abs(estimated / self.seconds - 1) < CLOSE_ENOUGH:
                break
            guess *= (self.seconds - ideal) / (estimated - ideal)
        return guess


@cache
def _fewest(rate: Rate) -> int:
    """The fewest devices that hold the model and the caches of its sequences."""
    devices = 1
    while True:
        try:
            _step(rate, devices, "ideal")
        except DoesNotFit as error:
            if error.min_devices is None or error.min_devices <= devices:
                raise
            devices = error.min_devices
        else:
            return devices


def linked(name: str) -> HbmAccelerator | SramAccelerator:
    """A part of the catalogue, with a free link where it has none."""
    part = described(name)
    return part if part.link else part.model_copy(update={"link": {"assumed": FREE_LINK}})


def _step(rate: Rate, devices: int, efficiency: Efficiency | str) -> Estimate:
    name = rate.quantization
    formats: Quantization | str | None = name or None
    if name and name not in PRESETS:  # a format of the vendor's own, for all that is multiplied
        formats = Quantization(weights=name, activations=name, lm_head=name, attention=name, kv_cache=name)
    deployment = Deployment(rate.model, linked(rate.accelerator), devices, quantization=formats, efficiency=efficiency)
    return deployment.decode(batch=rate.batch or 1, context=rate.context or CONTEXT)


def read_rates(readings: str | Path, rows: str | Path) -> tuple[Rate, ...]:
    """Published rates: how each is read, from one CSV file, and what was measured, from another unless stated there."""
    measured = {row["id"]: row for row in _rows(rows)}
    return tuple(_rate(row, measured) for row in _rows(readings))


def fitted(rates: Iterable[Rate]) -> tuple[Rate, ...]:
    """Those that calibrations rest on."""
    return tuple(rate for rate in rates if rate.fitted)


def _rows(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _rate(row: Mapping[str, str], measured: Mapping[str, Mapping[str, str]]) -> Rate:
    batch = float(row["batch"]) if row["batch"] else None
    home = None if row["tokens_per_s"] else measured[row["id"]]
    return Rate(
        id=row["id"],
        model=row["model"],
        accelerator=row["accelerator"],
        devices=int(row["devices"]) if row["devices"] else None,
        quantization=row["quantization"],
        batch=batch,
        context=float(row["context"]) if row["context"] else None,
        speculation=row["speculation"],
        fitted=row["fitted"] == "yes",
        tokens_per_second=float(row["tokens_per_s"]) if home is None else _per_user(home, batch or 1),
        date=row["date"] if home is None else home["date"],
        source=row["source"],
        notes=row["notes"],
    )


def _per_user(row: Mapping[str, str], batch: float) -> float:
    """Tokens per second of one sequence, from whichever metric was published [1/s]."""
    value, metric = float(row["value"]), row["metric"]
    found = {"tokens_per_s_per_user": value, "tokens_per_s_total": value / batch, "ms_per_step": 1e3 / value}
    if metric not in found:
        raise InvalidInput(f"metric of {row['id']}", given=metric, expected=f"one of {', '.join(found)}")
    return found[metric]


def flat(name: str, overhead: float, shown: Evidence, source: str) -> Efficiency:
    """Figures with the same overhead for every operation and format, nothing else lost.

    Collectives have no overhead of their own: rates cannot tell theirs from that of the operations around them.
    """
    kernel = KernelFit.fixed(overhead, source, **asdict(shown))
    collective = CollectiveFit(
        overhead=0,
        staged_overhead=0,
        bandwidth=1,
        points=0,
        error=shown.error,
        low=shown.low,
        high=shown.high,
        source="no rates of collectives: their fixed time is in the overhead of the operations",
    )
    return Efficiency(
        name=name,
        source=SOURCE,
        note=NOTE,
        kernels={kernel_class: {"any": kernel} for kernel_class in KERNEL_CLASSES},
        collectives=dict.fromkeys(COLLECTIVE_CLASSES, collective),
    )


def rates_fit(rates: Sequence[Rate]) -> Efficiency:
    """The figures of the one part that all rates are of: the median overhead, and what it misses."""
    name = _the_one(rate.accelerator for rate in rates)
    overhead = rounded(median(rate.overhead() for rate in rates))
    return flat(name, overhead, _shown([(rate, overhead) for rate in rates]), _cited(rates))


def rates_default(name: str, rates: Sequence[Rate]) -> Efficiency:
    """Figures for parts without published rates: the median over parts, judged on each by the median of the others."""
    parts = sorted({rate.accelerator for rate in rates})
    if len(parts) < 2:
        raise InvalidInput("published rates", given=", ".join(parts), expected="those of at least two parts")
    by_part = {part: median(r.overhead() for r in rates if r.accelerator == part) for part in parts}
    shown = _shown(
        [(rate, median(each for part, each in by_part.items() if part != rate.accelerator)) for rate in rates]
    )
    source = f"median of {', '.join(parts)}, each judged by the others"
    return flat(name, rounded(median(by_part.values())), shown, source)


def _shown(guesses: Iterable[tuple[Rate, float]]) -> Evidence:
    pairs = [(rate.estimated(overhead), rate.seconds) for rate, overhead in guesses]
    predicted, measured = (np.array(column) for column in zip(*pairs, strict=True))
    return evidence(predicted, measured)


def _cited(rates: Iterable[Rate]) -> str:
    return ", ".join(sorted({rate.source for rate in rates}))


def _the_one(names: Iterable[str]) -> str:
    found = sorted(set(names))
    if len(found) != 1:
        raise InvalidInput("published rates", given=", ".join(found) or "none", expected="those of one part")
    return found[0]
