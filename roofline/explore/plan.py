"""Which silicon to rent: parts, device counts and layouts that keep to an objective, the cheapest first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from roofline.describe.catalog import accelerator as described_part
from roofline.describe.formats import Quantization
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.describe.link import Link
from roofline.describe.model import ModelShape
from roofline.describe.model_catalog import load_model
from roofline.describe.runtimes import Runtime
from roofline.describe.runtimes import runtime as serving_stack
from roofline.describe.workload import Slo, Traffic
from roofline.errors import DoesNotFit, InvalidInput, RooflineError, UnknownName
from roofline.estimate.balance import balance
from roofline.estimate.deployment import Deployment
from roofline.estimate.disaggregation import PrefillDecode
from roofline.estimate.door import checked
from roofline.estimate.layout import Layout
from roofline.estimate.pools import same_model
from roofline.estimate.quantize import native_quantization, substitution
from roofline.estimate.service import Service
from roofline.estimate.serving import FEW_AND_MANY, serve, settings, soonest
from roofline.explore.grid import Progress
from roofline.explore.planned import MINIMIZE, OF_FURTHER_TOKENS, Plan, order
from roofline.explore.trials import Kind, Trials, Way

Part = HbmAccelerator | SramAccelerator
Offer = Part | Deployment | str | Path
"""A part that may be rented."""
_DECODE_SIZES = 5
"""Replica sizes that decode is tried in where prefill has a pool of its own [1]."""


def plan(
    model: ModelShape | str | Path | dict[str, Any],
    traffic: Traffic,
    *,
    accelerators: Sequence[Offer] | Mapping[str, Offer],
    slo: Slo,
    minimize: str = "usd_per_request",
    quantization: Quantization | str | None = None,
    link: Link | str | None = None,
    runtime: Runtime | str | None = None,
    chunk: float | None = None,
    max_batch: float | None = None,
    most_devices: int = 1024,
    progress: Progress | None = None,
) -> Plan:
    """The ways to serve a traffic within an objective, the least of `minimize` first.

    Each part is tried with replicas on the fewest devices that hold the model and the longest sequence, on
    doublings and on powers of two, in the layouts that are fastest for one sequence and for more, and with one,
    two, three, four, six, eight replicas and so on, up to `most_devices`; and on no more than the fewest that were
    found to do, in the layout that `serve` takes there. With a `link`, every pair of parts is also tried with
    prefill on one pool and decode on the other, in the split that serves most. Between numbers of devices of which
    the larger keeps to the objective and the smaller does not, the fewest that do are looked for, where that may be
    the least. Parts run the model's own format or their nearest native one, unless `quantization` names one, under
    the host costs of a serving stack if `runtime` names one; a `Deployment` stands for its part with formats,
    stack, price, power and efficiency of its own. `chunk` and `max_batch` are those of `serve`. A mapping says what
    parts are called.
    """
    shape = model if isinstance(model, ModelShape) else load_model(model)
    if minimize not in MINIMIZE:
        raise UnknownName("minimize", given=minimize, known=MINIMIZE, expected=f"one of {', '.join(MINIMIZE)}")
    if not isinstance(slo, Slo):
        raise InvalidInput("slo", given=slo, expected='an Slo, such as Slo(ttft="1 s", tpot="20 ms")')
    if not isinstance(traffic, Traffic) or traffic.shape:
        raise InvalidInput("traffic", given=traffic, expected="a Traffic of plain numbers")
    if traffic.generated == 0 and minimize in OF_FURTHER_TOKENS:
        expected = "what answers of one token have, such as usd_per_request or ttft"
        raise InvalidInput("minimize", given=minimize, expected=expected)
    if isinstance(accelerators, str | Path) or not accelerators:
        raise InvalidInput("accelerators", given=accelerators, expected="a list of names, parts or deployments")
    if quantization is not None:
        quantization = Quantization.of(quantization)
    stack = None if runtime is None else serving_stack(runtime)
    chunk, max_batch = settings(chunk, max_batch)
    most = int(checked("most_devices", most_devices))
    left_out: list[str] = []
    smallest: dict[str, Deployment] = {}
    for name, part in _named(accelerators, shape).items():
        try:
            one = part if isinstance(part, Deployment) else _one(shape, part, quantization, stack)
            smallest[name] = _smallest(one, traffic, most)
        except RooflineError as error:
            left_out.append(f"{name}: {error}")
    batches = _batches(traffic, max_batch)
    layouts = {name: _layouts(one, traffic, batches, _counts(one.devices, most)) for name, one in smallest.items()}
    kinds = list(_alone(smallest, layouts, traffic, most))
    if link is not None:
        kinds += _split(smallest, layouts, traffic, link, most)
    trials = Trials(slo, minimize, {"chunk": chunk, "max_batch": max_batch}, progress)
    trials.of_kinds(kinds)
    enough = {name: trials.enough(name, most) for name in smallest}
    trials.of_ways(list(_served(smallest, traffic, enough)))
    return Plan(minimize, tuple(sorted(trials.tried.values(), key=order)), tuple(left_out))


def _named(accelerators: Sequence[Offer] | Mapping[str, Offer], model: ModelShape) -> dict[str, Part | Deployment]:
    """Parts by what they are called; the same name twice is the same part, and two parts of one name are refused."""
    if isinstance(accelerators, Mapping):
        return {name: _described(offer, model) for name, offer in accelerators.items()}
    named: dict[str, Offer] = {}
    for offer in accelerators:
        name = _called(offer)
        if named.setdefault(name, offer) != offer:
            expected = "parts of different names, or a mapping that says what each is called"
            raise InvalidInput("accelerators", given=f"{name} twice", expected=expected)
    return _named(named, model)


def _described(offer: Offer, model: ModelShape) -> Part | Deployment:
    """A part; a deployment of another model is refused, and one whose layout is not looked for."""
    if not isinstance(offer, Deployment):
        return described_part(offer)
    same_model(f"{offer.accelerator.name}", offer.model, model)
    if offer.is_laid_out and offer.devices > 1:
        expected = "a Deployment without ranks: the layout is what is looked for"
        raise InvalidInput("accelerators", given=repr(offer), expected=expected)
    return offer


def _called(offer: Offer) -> str:
    """A part as it was asked for: by a name of the catalogue, by a file, or by itself."""
    if isinstance(offer, Deployment):
        return offer.accelerator.name
    return offer.name if isinstance(offer, Part) else str(offer)


def _one(model: ModelShape, part: Part, quantization: Quantization | None, stack: Runtime | None) -> Deployment:
    """The model on one device of a part."""
    formats = native_quantization(model.checkpoint, part) if quantization is None else quantization
    one = Deployment(model, part, quantization=formats, runtime=stack)
    return one.assuming("" if quantization else substitution(model.checkpoint, formats, part))


def _smallest(one: Deployment, traffic: Traffic, most: int) -> Deployment:
    """A part on the fewest devices that hold the model and one sequence at its longest."""
    fewest = one.capacity(context=float(traffic.longest)).min_devices
    if fewest is None or fewest > most:
        needs = (
            "no number of devices holds it" if fewest is None else f"it takes {fewest:,} devices, of {most:,} at most"
        )
        raise DoesNotFit(needs, shortfall_bytes=0.0, min_devices=fewest)
    return one.resized(fewest)


def _alone(
    smallest: dict[str, Deployment], layouts: dict[str, dict[int, list[Layout]]], traffic: Traffic, most: int
) -> Iterator[Kind]:
    """Each part on each number of devices, in replicas of every size."""

    def served(name: str, deployment: Deployment, **limits: Any) -> tuple[tuple[str], Deployment, Service]:
        return (name,), deployment, serve(deployment, traffic, **limits)

    def way(name: str, deployment: Deployment, layout: Layout, count: int) -> Way:
        return partial(served, name, deployment.resized(count).with_layout(layout))

    for name, deployment in smallest.items():
        for layout in dict.fromkeys(chain.from_iterable(layouts[name].values())):
            counts = tuple(replicas * layout.devices for replicas in _replicas(most // layout.devices))
            yield Kind((name,), counts, layout.devices, partial(way, name, deployment, layout))


def _served(smallest: dict[str, Deployment], traffic: Traffic, most: Mapping[str, int]) -> Iterator[Way]:
    """Each part on numbers of devices up to so many, in the layout that `serve` takes there, which answers soonest."""

    def served(name: str, pool: Deployment, **limits: Any) -> tuple[tuple[str], Deployment, Service]:
        server, service = soonest(pool, traffic, **limits)
        return (name,), server.holder, service

    for name, pool in smallest.items():
        counts = _counts(pool.devices, most[name])
        for devices in sorted({times * count for count in counts for times in (1, 3) if times * count <= most[name]}):
            yield partial(served, name, pool.resized(devices))


def _split(
    smallest: dict[str, Deployment],
    layouts: dict[str, dict[int, list[Layout]]],
    traffic: Traffic,
    link: Link | str,
    most: int,
) -> Iterator[Kind]:
    """Every pair of parts, decode in replicas of the smallest size and of a few larger ones."""

    def balanced(
        names: tuple[str, str], system: PrefillDecode, count: int, **limits: Any
    ) -> tuple[tuple[str, str], PrefillDecode, Service]:
        found = balance(system, traffic, count, **limits)
        return names, found.system, found.service

    def way(names: tuple[str, str], system: PrefillDecode, count: int) -> Way:
        return partial(balanced, names, system, count)

    for decoding, decode in smallest.items():
        sizes = list(layouts[decoding].values())[:_DECODE_SIZES]
        for layout in dict.fromkeys(of_size[-1] for of_size in sizes if of_size):  # for the most sequences
            for prompting, prefill in smallest.items():
                system = PrefillDecode(prefill, decode.resized(layout.devices).with_layout(layout), link)
                least = prefill.devices + layout.devices
                counts = tuple(least * 2**power for power in range((most // least).bit_length()))
                unit = math.gcd(prefill.devices, layout.devices)
                names = prompting, decoding
                yield Kind(names, counts, unit, partial(way, names, system))


def _batches(traffic: Traffic, max_batch: float | None) -> list[float]:
    """Sequences in a replica for which layouts are tried: one and more, up to those in flight."""
    limits = (traffic.concurrency, max_batch)
    most = min((float(limit) for limit in limits if limit is not None), default=math.inf)
    return sorted({min(batch, most) for batch in FEW_AND_MANY})


def _layouts(
    deployment: Deployment, traffic: Traffic, batches: list[float], counts: list[int]
) -> dict[int, list[Layout]]:
    """The fastest layouts of one replica by the devices that it has."""
    found: dict[int, list[Layout]] = {}
    for count in counts:
        size = deployment.resized(count)
        fastest = size.fastest_layouts(batches, float(traffic.longest), 1)
        found[count] = list(dict.fromkeys(chain.from_iterable(fastest)))
    return found


def _counts(fewest: int, most: int) -> list[int]:
    """Devices of one replica: the fewest and its doublings, and powers of two, as nodes have them."""
    doublings = {fewest * 2**power for power in range(most.bit_length())}
    powers = {2**power for power in range(most.bit_length())}
    return sorted(count for count in doublings | powers if fewest <= count <= most)


def _replicas(most: int) -> list[int]:
    """One, two, three, four, six, eight, twelve and so on."""
    counts = {times * 2**power for times in (1, 3) for power in range(most.bit_length())}
    return sorted(count for count in counts if count <= most)
