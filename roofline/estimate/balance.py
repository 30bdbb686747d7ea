"""How many devices of each pool: whole replicas around the ratio at which prefill and decode keep pace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from roofline.describe.workload import Traffic
from roofline.equations.disaggregation import prefill_per_decode
from roofline.errors import DoesNotFit, InvalidInput
from roofline.estimate.attention_ffn import AttentionFfn
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import PrefillDecode
from roofline.estimate.door import checked
from roofline.estimate.passes import PASS_TOKENS
from roofline.estimate.servers import Whole
from roofline.estimate.service import Service
from roofline.estimate.serving import prompting, serve, servers_of, settings
from roofline.estimate.speculative import Speculative

_TRIED = 12


@dataclass(frozen=True)
class Balance:
    """Pool sizes in devices, and the service they give.

    `ratio` is the number of prefill devices per decode device at which both would be busy all the time, not rounded to
    replicas [1]; `idle` devices that make no further replica.
    """

    prefill: int
    decode: int
    idle: int
    ratio: float
    system: PrefillDecode
    service: Service


def balance(
    system: PrefillDecode,
    traffic: Traffic,
    devices: int,
    *,
    chunk: float | None = None,
    max_batch: float | None = None,
) -> Balance:
    """The split of `devices` devices into whole replicas that serves most requests, then with the least latency.

    The sizes that the pools came with do not matter but for their replicas, none of which is larger: where a layout is
    left open, both pools are tried in the fastest ones of replicas of all sizes. `chunk` and `max_batch` are those of
    `serve`. Raises `DoesNotFit` where not one replica of each goes on the devices.
    """
    if not isinstance(system, PrefillDecode):
        raise InvalidInput("system", given=type(system).__name__, expected="a PrefillDecode")
    if traffic.shape:
        raise InvalidInput("traffic", given="arrays", expected="plain numbers: one split for one traffic")
    total, (chunk, max_batch) = int(checked("devices", devices)), settings(chunk, max_batch)
    workers = prompting(system.prefill, traffic)
    units = _units(system.decode, traffic, total, max_batch)
    found = [
        _balanced(system, traffic, total, prompts, unit, chunk, max_batch)
        for prompts, unit in product(workers, units)
        if prompts.settled.layout.devices + unit.devices <= total
    ]
    if not found:
        worker = min(prompts.settled.layout.devices for prompts in workers)
        replica = min(unit.devices for unit in units)
        need = worker + replica
        raise DoesNotFit(
            f"{total:,} devices hold no split: one replica of each pool takes {worker:,} + {replica:,} = {need:,}",
            shortfall_bytes=0.0,
            min_devices=need,
        )
    return max(found, key=lambda each: _merit(each.service))


@dataclass(frozen=True)
class Unit:
    """The least decode pool, of so many `devices`, and that pool several `times` over."""

    devices: int
    times: Callable[[int], Decode]


def _balanced(
    system: PrefillDecode,
    traffic: Traffic,
    total: int,
    prompts: Whole,
    unit: Unit,
    chunk: float | None,
    max_batch: float | None,
) -> Balance:
    """The best split of all devices into workers for prompts and units for decode."""
    worker = prompts.deployment.layout.devices

    @cache
    def tried(replicas: int) -> tuple[PrefillDecode, Service]:
        workers = (total - replicas * unit.devices) // worker
        prefill = prompts.deployment.resized(workers * worker)
        candidate = PrefillDecode(prefill, unit.times(replicas), system.link)
        return candidate, serve(candidate, traffic, chunk=chunk, max_batch=max_batch)

    best = _best(lambda replicas: _merit(tried(replicas)[1]), (total - worker) // unit.devices)
    candidate, service = tried(best)
    ratio = float("inf")
    if traffic.generated:
        decoding = next(pool for name, pool in service.pools.items() if name != "prefill")
        batch = decoding.batch * decoding.replicas / best  # of one unit
        busy = prompts.passes(traffic, PASS_TOKENS if chunk is None else chunk).share
        workers = float(prefill_per_decode(busy, batch, traffic.generated, service.tpot))  # type: ignore[arg-type]
        ratio = workers * worker / unit.devices
    decode = best * unit.devices
    prefill_devices = (total - decode) // worker * worker
    return Balance(prefill_devices, decode, total - prefill_devices - decode, ratio, candidate, service)


def _merit(service: Service) -> tuple[float, float]:
    """Most requests, then the least latency."""
    return (round(service.requests_per_second, 9), -float(service.e2e_latency))


Decode = Deployment | AttentionFfn | Speculative


def _units(decode: Decode, traffic: Traffic, total: int, max_batch: float | None) -> list[Unit]:
    """Replicas of a deployment, of its share of the traffic on all devices; a system as it was given."""
    if isinstance(decode, Deployment):
        share = traffic
        if traffic.concurrency is not None:
            share = replace(traffic, concurrency=max(1.0, traffic.concurrency * decode.devices / total))
        return [_replica(server.holder) for server in servers_of(decode, share, max_batch, "decode")]
    if isinstance(decode, AttentionFfn):
        return [Unit(decode.attention.devices + decode.ffn.devices, decode.scaled)]
    return [Unit(decode.target.devices + (0 if decode.shared else decode.draft.devices), decode.scaled)]


def _replica(decode: Deployment) -> Unit:
    devices = decode.layout.devices
    return Unit(devices, lambda times: decode.resized(times * devices))


def _best(merit: Callable[[int], tuple[float, float]], most: int) -> int:
    """The best of 1 … most, on a grid that narrows around it: more replicas help until prefill becomes the narrower."""
    low, high = 1, most
    while True:
        stride = max(1, (high - low) // _TRIED)
        best = max(range(low, high + 1, stride), key=merit)
        if stride == 1:
            return best
        low, high = max(1, best - stride), min(most, best + stride)
