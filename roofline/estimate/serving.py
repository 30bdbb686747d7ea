"""Serving: the one door for every way of laying a traffic on silicon."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import chain, product
from typing import Any

import numpy as np

from roofline.describe.workload import Traffic
from roofline.errors import DoesNotFit, InvalidInput, LayoutError
from roofline.estimate.attention_ffn import AttentionFfn, AttentionFfnServer
from roofline.estimate.colocated import colocated
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import PrefillDecode, split
from roofline.estimate.door import checked
from roofline.estimate.layout import Layout
from roofline.estimate.servers import Server, Whole, settled_on
from roofline.estimate.service import Service, stacked
from roofline.estimate.speculative import Speculative, SpeculativeServer

FEW_AND_MANY = (1.0, 32.0, 512.0)
"""Sequences on a replica for which layouts are tried where it is not known how many it has: experts over all devices
pay with many only [1]."""
_SHARES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Times fewer requests than a replica's share for which they are tried where those in flight are known: what holds few
may finish more than what holds all [1]."""
_FASTEST = 3
"""Layouts that are tried for each of these: the fastest in decode need not be it with prompts between [1]."""


def serve(system: Any, traffic: Traffic, *, chunk: float | None = None, max_batch: float | None = None) -> Service:
    """A traffic on a system in steady state: a `Deployment`, `PrefillDecode`, `AttentionFfn` or `Speculative`.

    A deployment serves both phases with continuous batching: between two tokens of a sequence the device also works on
    the prompts that are due. `chunk` is the most prompt tokens that a step takes [1]; None lets prompts enter whole.
    Where both phases share devices, chunks shorten the longest gap and postpone the first token, and prompts that are
    due in the same step share a pass. Where prefill has devices of its own, `chunk` cuts no prompts, and those that
    wait share one. On each attention-data rank a pass takes as many prompts as have no more than `chunk` tokens
    together, 8,192 if it is None. How devices then take a prompt is another matter: `Deployment(slice=…)`. `max_batch`
    is the most sequences that a replica decodes at once, on all its ranks together [1]: engines have such a setting,
    and further requests wait; None lets it decode as many as fit. Scalars that do not fit raise `DoesNotFit`; with
    arrays in the traffic such points are nan.
    """
    if not isinstance(traffic, Traffic):
        raise InvalidInput("traffic", given=traffic, expected="a Traffic(isl, osl, concurrency=… or rate=…)")
    chunk, max_batch = settings(chunk, max_batch)
    if not traffic.shape:
        return _served(system, traffic, chunk, max_batch)
    services: list[Service | None] = []
    for point in traffic.points():
        try:
            services.append(_served(system, point, chunk, max_batch))
        except DoesNotFit:
            services.append(None)
    return stacked(traffic, services)


def settings(chunk: float | None, max_batch: float | None) -> tuple[float | None, float | None]:
    """What an engine is told, checked: one number each, or nothing."""
    if chunk is not None:
        chunk = _one_number("chunk", chunk)
    if max_batch is not None:
        max_batch = _one_number("max_batch", max_batch)
        if max_batch % 1:
            raise InvalidInput("max_batch", given=max_batch, expected="a whole number of sequences")
    return chunk, max_batch


def _one_number(name: str, given: Any) -> float:
    if np.ndim(given):
        raise InvalidInput(name, given=given, expected="one number, the same for all points")
    return float(checked(name, given))


def _served(system: Any, traffic: Traffic, chunk: float | None, max_batch: float | None) -> Service:
    """In the layout that answers soonest of those tried where it is left open, of replicas of all sizes."""
    if isinstance(system, PrefillDecode):
        pools = product(prompting(system.prefill, traffic), servers_of(system.decoding, traffic, max_batch, "decode"))
        return min((split(system, traffic, *pair, chunk, max_batch) for pair in pools), key=_lateness)
    return soonest(system, traffic, chunk, max_batch)[1]


def soonest(system: Any, traffic: Traffic, chunk: float | None, max_batch: float | None) -> tuple[Server, Service]:
    """A system of one pool as the server that answers a traffic of plain numbers soonest, of those tried.

    Pipelines of other lengths, which hold more or fewer, are tried of the best one's width.
    """
    servers = servers_of(system, traffic, max_batch, "devices")
    found = [(server, colocated(server, traffic, chunk, max_batch)) for server in servers]
    best = min(found, key=lambda pair: _lateness(pair[1]))
    if not isinstance(system, Deployment) or system.is_laid_out:
        return best
    layout = best[0].settled.layout  # type: ignore[attr-defined]
    others = (each for each in system.as_wide(layout, 1.0, float(traffic.longest)) if each.pp != layout.pp)
    more = [_laid_out(system, each, traffic, "devices") for each in others]
    found = [best, *((server, colocated(server, traffic, chunk, max_batch)) for server in more)]
    return min(found, key=lambda pair: _lateness(pair[1]))


def _laid_out(system: Deployment, layout: Layout, traffic: Traffic, name: str) -> Whole:
    return Whole(system.with_layout(layout), settled_on(system, layout, traffic.longest), name)


def prompting(pool: Deployment, traffic: Traffic) -> list[Whole]:
    """A pool that only takes prompts; where its layout is left open, in the fastest ones of replicas of all sizes."""
    wholes = [Whole.for_prompts(pool, pool, traffic)]
    for replicas in (2**power for power in range(1, pool.devices.bit_length())):
        if pool.is_laid_out:
            break
        try:
            wholes.append(Whole.for_prompts(pool, _part(pool, replicas), traffic))
        except (LayoutError, DoesNotFit):
            break
    return list({whole.settled.layout: whole for whole in wholes}.values())


def servers_of(system: Any, traffic: Traffic, max_batch: float | None, name: str) -> list[Server]:
    """A system as a server; where its layout is left open, in the fastest ones of replicas of all sizes."""
    if not isinstance(system, Deployment) or system.is_laid_out:
        return [server_of(system, decoded(traffic, max_batch), name)]
    servers: dict[Layout, Server] = {}
    for replicas in (2**power for power in range(system.devices.bit_length())):
        try:
            size = _part(system, replicas)
        except LayoutError:
            break
        batches = _batches(traffic, replicas, max_batch)
        layouts = list(chain.from_iterable(size.fastest_layouts(batches, float(traffic.longest), _FASTEST)))
        if not layouts:
            break
        # Tensor ranks are the fastest in decode; where prompts take most of the time, stages do more in all.
        stages = size.longest_pipeline(1.0, float(traffic.longest))
        for layout in (*layouts, *([] if stages is None else [stages])):
            if layout not in servers:
                servers[layout] = _laid_out(system, layout, traffic, name)
    # Where nothing fits, it is the whole that says by how much.
    return list(servers.values()) or [server_of(system, decoded(traffic, max_batch), name)]


@lru_cache(maxsize=256)
def _part(system: Deployment, replicas: int) -> Deployment:
    """A deployment on the devices of one of so many replicas, which remembers the layouts it has chosen."""
    return system.resized(system.devices // replicas)


def _batches(traffic: Traffic, replicas: int, max_batch: float | None) -> list[float]:
    """Sequences on one of so many replicas for which layouts are tried: its share of those in flight, or fewer that are
    decoded sooner while others wait; at a rate, few and many.
    """
    batches: Iterable[float] = FEW_AND_MANY
    if traffic.concurrency is not None:
        batches = (traffic.concurrency / replicas / fewer for fewer in _SHARES)
    most = math.inf if max_batch is None else max_batch
    return list(dict.fromkeys(max(1.0, math.floor(min(batch, most))) for batch in batches))


def _lateness(service: Service) -> tuple[float, float]:
    """What keeps up first, then what answers soonest [s]."""
    late = float(service.e2e_latency)
    return (-float(service.requests_per_second), 0.0) if math.isinf(late) else (-math.inf, late)


def decoded(traffic: Traffic, max_batch: float | None) -> Traffic:
    """The requests of a traffic that one replica decodes at once at most, for which layouts are chosen."""
    if max_batch is None or traffic.concurrency is None:
        return traffic
    return replace(traffic, concurrency=min(traffic.concurrency, max_batch))


def server_of(system: Any, traffic: Traffic, name: str = "devices") -> Server:
    """What decodes a traffic, its layouts settled."""
    if isinstance(system, Deployment):
        return Whole.of(system, traffic, name)
    if isinstance(system, AttentionFfn):
        return AttentionFfnServer.of(system, traffic)
    if isinstance(system, Speculative):
        return SpeculativeServer.of(system, traffic)
    expected = "a Deployment, PrefillDecode, AttentionFfn or Speculative"
    raise InvalidInput("system", given=type(system).__name__, expected=expected)
