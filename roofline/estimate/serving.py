"""Serving: the one door for every way of laying a traffic on silicon."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from roofline.describe.workload import Traffic
from roofline.errors import DoesNotFit, InvalidInput
from roofline.estimate.attention_ffn import AttentionFfn, AttentionFfnServer
from roofline.estimate.colocated import colocated
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import PrefillDecode, split
from roofline.estimate.door import checked
from roofline.estimate.servers import Server, Whole
from roofline.estimate.service import Service, stacked
from roofline.estimate.speculative import Speculative, SpeculativeServer


def serve(system: Any, traffic: Traffic, *, chunk: float | None = None, max_batch: float | None = None) -> Service:
    """A traffic on a system in steady state: a `Deployment`, `PrefillDecode`, `AttentionFfn` or `Speculative`.

    A deployment serves both phases with continuous batching: between two tokens of a sequence the device also works on
    the prompts that are due. `chunk` is the most prompt tokens that a step takes [1]; None lets prompts enter whole.
    Where both phases share devices, chunks shorten the longest gap and postpone the first token, and prompts that are
    due in the same step share a pass. Where prefill has devices of its own, prompts are not cut, and those that wait
    share one. On each attention-data rank a pass takes as many prompts as have no more than `chunk` tokens together,
    8,192 if it is None. `max_batch` is the most sequences that a replica decodes at once, on all its ranks together
    [1]: engines have such a setting, and further requests wait; None lets it decode as many as fit. Scalars that do not
    fit raise `DoesNotFit`; with arrays in the traffic such points are nan.
    """
    if not isinstance(traffic, Traffic):
        raise InvalidInput("traffic", given=traffic, expected="a Traffic(isl, osl, concurrency=… or rate=…)")
    if chunk is not None:
        chunk = _one_number("chunk", chunk)
    if max_batch is not None:
        max_batch = _one_number("max_batch", max_batch)
        if max_batch % 1:
            raise InvalidInput("max_batch", given=max_batch, expected="a whole number of sequences")
    if not traffic.shape:
        return _served(system, traffic, chunk, max_batch)
    services: list[Service | None] = []
    for point in traffic.points():
        try:
            services.append(_served(system, point, chunk, max_batch))
        except DoesNotFit:
            services.append(None)
    return stacked(traffic, services)


def _one_number(name: str, given: Any) -> float:
    if np.ndim(given):
        raise InvalidInput(name, given=given, expected="one number, the same for all points")
    return float(checked(name, given))


def _served(system: Any, traffic: Traffic, chunk: float | None, max_batch: float | None) -> Service:
    crowd = decoded(traffic, max_batch)
    if not isinstance(system, PrefillDecode):
        return colocated(server_of(system, crowd), traffic, chunk, max_batch)
    return split(system, traffic, server_of(system.decoding, crowd, "decode"), chunk, max_batch)


def decoded(traffic: Traffic, max_batch: float | None) -> Traffic:
    """The requests of a traffic that one replica would decode at once, for which layouts are chosen."""
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
