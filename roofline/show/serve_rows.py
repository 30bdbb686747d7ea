"""Services as rows of plain values, under the names that a `Service` has for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from roofline.describe.model import ModelShape
from roofline.describe.workload import Traffic
from roofline.errors import DoesNotFit, RooflineError
from roofline.estimate.service import Service
from roofline.estimate.serving import serve
from roofline.show.pools import InPool
from roofline.show.records import Row
from roofline.show.rows import plain
from roofline.show.serve_systems import Typed

ATTRIBUTES = (
    "ttft",
    "ttft_low",
    "ttft_high",
    "tpot",
    "tpot_low",
    "tpot_high",
    "e2e_latency",
    "tokens_per_second",
    "tokens_per_second_per_user",
    "tokens_per_second_per_device",
    "requests_per_second",
    "queued",
    "usd_per_million_output_tokens",
    "usd_per_million_input_tokens",
    "usd_per_request",
    "joules_per_output_token",
    "tokens_per_second_per_megawatt",
)
"""What a row takes from its service under the same name; None where the model does not fit."""

KEYS = (
    "mode",
    "deployment",
    "model",
    "isl",
    "osl",
    "concurrency",
    "rate",
    "cached_share",
    "lengths",
    "quantization",
    *ATTRIBUTES,
    "bound",
    "limit",
    "fits",
    "shortfall_bytes",
    "min_devices",
    "message",
    "devices",
    "pools",
    "assumptions",
)
"""Every key of a row of services, in order."""


def served(
    systems: Sequence[Typed],
    model: ModelShape,
    loads: Sequence[Traffic],
    most: Mapping[str, float] = MappingProxyType({}),
    *,
    tracked: Callable[[Sequence[Typed]], Iterable[Typed]] = iter,
) -> list[Row]:
    """Rows of every load, by system, with `most` of what `serve` is told; what does not fit keeps its row."""
    by_system = [[_row(typed, model, load, most) for load in loads] for typed in tracked(systems)]
    return [row for rows in zip(*by_system, strict=True) for row in rows]


def _row(typed: Typed, model: ModelShape, load: Traffic, most: Mapping[str, float]) -> Row:
    row: Row = {
        "mode": typed.mode,
        "deployment": typed.text,
        "model": model.name,
        "isl": plain(load.isl),
        "osl": plain(load.osl),
        "concurrency": plain(load.concurrency),
        "rate": plain(load.rate),
        "cached_share": load.cached_share,
        "lengths": load.lengths,
        "quantization": "; ".join(dict.fromkeys(typed.formats)),
        **dict.fromkeys(ATTRIBUTES),
        "bound": None,
        "limit": None,
        "fits": False,
        "shortfall_bytes": 0.0,
        "min_devices": None,
        "message": None,
        "devices": None,
        "pools": [],
        "assumptions": [],
    }
    try:
        service = serve(typed.system, load, **most)
    except DoesNotFit as error:
        return row | {
            "shortfall_bytes": error.shortfall_bytes,
            "min_devices": error.min_devices,
            "message": str(error),
        }
    except RooflineError as error:
        raise InPool(typed.text, error) from None
    return row | _answer(service, typed)


def _answer(service: Service, typed: Typed) -> Row:
    return {
        **{name: _number(getattr(service, name)) for name in ATTRIBUTES},
        "bound": service.bound,
        "limit": service.limit,
        "fits": bool(service.fits),
        "devices": service.devices,
        "pools": [
            {key: plain(value) for key, value in asdict(pool).items()} | {"quantization": form, "deployment": text}
            for pool, form, text in zip(service.pools.values(), typed.formats, typed.pools, strict=True)
        ],
        "assumptions": list(service.assumptions),
    }


def _number(value: Any) -> float | None:
    """A number that there is: an answer of one token has no time per further token, which is nan."""
    return None if value is None or math.isnan(value) else float(value)


def overloaded(row: Row) -> bool:
    """Whether requests arrive faster than the system serves them: the queue grows without end."""
    return bool(row["fits"] and row["ttft"] == float("inf"))
