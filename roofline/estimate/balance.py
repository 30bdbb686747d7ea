"""How many devices of each pool: whole replicas around the ratio at which prefill and decode keep pace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

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
from roofline.estimate.serving import decoded, serve
from roofline.estimate.speculative import Speculative

_TRIED = 24


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

    Each pool keeps the layout of its replicas; the sizes it came with do not matter. `chunk` and `max_batch` are those
    of `serve`. Raises `DoesNotFit` where not one replica of each goes on the devices.
    """
    if not isinstance(system, PrefillDecode):
        raise InvalidInput("system", given=type(system).__name__, expected="a PrefillDecode")
    if traffic.shape:
        raise InvalidInput("traffic", given="arrays", expected="plain numbers: one split for one traffic")
    total = int(checked("devices", devices))
    prompts = Whole.for_prompts(system.prefill, traffic, "prefill")
    worker = prompts.deployment.layout.devices
    replica, multiple = _unit(system.decode, decoded(traffic, max_batch))
    most = (total - worker) // replica
    if most < 1:
        need = worker + replica
        raise DoesNotFit(
            f"{total:,} devices hold no split: one replica of each pool takes {worker:,} + {replica:,} = {need:,}",
            shortfall_bytes=0.0,
            min_devices=need,
        )

    @cache
    def tried(replicas: int) -> tuple[PrefillDecode, Service]:
        workers = (total - replicas * replica) // worker
        prefill = prompts.deployment.resized(workers * worker)
        candidate = PrefillDecode(prefill, multiple(replicas), system.link)
        return candidate, serve(candidate, traffic, chunk=chunk, max_batch=max_batch)

    def merit(replicas: int) -> tuple[float, float]:
        service = tried(replicas)[1]
        return (round(service.requests_per_second, 9), -float(service.e2e_latency))

    best = _best(merit, most)
    candidate, service = tried(best)
    ratio = float("inf")
    if traffic.generated:
        decoding = next(pool for name, pool in service.pools.items() if name != "prefill")
        batch = decoding.batch * decoding.replicas / best  # of one unit
        busy = prompts.passes(traffic, PASS_TOKENS if chunk is None else chunk).share
        workers = float(prefill_per_decode(busy, batch, traffic.generated, service.tpot))  # type: ignore[arg-type]
        ratio = workers * worker / replica
    prefill_devices = (total - best * replica) // worker * worker
    idle = total - prefill_devices - best * replica
    return Balance(prefill_devices, best * replica, idle, ratio, candidate, service)


Decode = Deployment | AttentionFfn | Speculative


def _unit(decode: Decode, traffic: Traffic) -> tuple[int, Callable[[int], Decode]]:
    """Devices of the least decode pool, and that pool several times over: a replica, or a system as it was given."""
    if isinstance(decode, Deployment):
        fixed = Whole.of(decode, traffic, "decode").deployment
        devices = fixed.layout.devices
        return devices, lambda times: fixed.resized(times * devices)
    if isinstance(decode, AttentionFfn):
        return decode.attention.devices + decode.ffn.devices, decode.scaled
    return decode.target.devices + (0 if decode.shared else decode.draft.devices), decode.scaled


def _best(merit: Callable[[int], tuple[float, float]], most: int) -> int:
    """The best of 1 … most, on a grid that narrows around it: more replicas help until prefill becomes the narrower."""
    low, high = 1, most
    while True:
        stride = max(1, (high - low) // _TRIED)
        best = max(range(low, high + 1, stride), key=merit)
        if stride == 1:
            return best
        low, high = max(1, best - stride), min(most, best + stride)
