"""Which silicon to rent: parts, device counts and layouts that keep to an objective, the cheapest first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
from roofline.estimate.serving import FEW_AND_MANY, serve, settings
from roofline.explore.grid import Progress
from roofline.units import format_quantity, significant

MINIMIZE = (
    "usd_per_request",
    "usd_per_million_output_tokens",
    "usd_per_million_input_tokens",
    "joules_per_output_token",
    "devices",
    "ttft",
    "tpot",
    "e2e_latency",
)
"""Attributes of `Service` by which options are ranked.

A request pays for all devices; the price of its output tokens leaves out what prompts pay for, and falls where these
take longer.
"""
Part = HbmAccelerator | SramAccelerator
Offer = Part | Deployment | str | Path
"""A part that may be rented."""
_SHOWN = 8
_AS_NEAR = 1.05
"""How much further off an option may be than the nearest of its kind, and count as near [1]."""
_SAME = 6
"""Digits in which two values must differ for one to be less: at a given rate, equal pools cost the same [1]."""
_DECODE_SIZES = 3
"""Replica sizes that decode is tried in where prefill has a pool of its own [1]."""


@dataclass(frozen=True)
class Option:
    """One way to serve the traffic: its `system` and `service`, whether it `meets` the objective, the `value` asked.

    `reason` says why it is out of the question: it misses the objective, or nobody published a price; empty otherwise.
    `missed` is the largest of its times over their limits, where it misses one [1].
    """

    parts: tuple[str, ...]
    devices: int
    quantization: str
    system: Deployment | PrefillDecode
    service: Service
    meets: bool
    value: float | None
    reason: str
    missed: float

    @property
    def layout(self) -> str:
        """Replicas of each pool, and the ranks of one."""
        return " + ".join(f"{pool.replicas} × {pool.layout}" for pool in self.service.pools.values())

    def to_dict(self) -> dict[str, Any]:
        """The option as one row."""
        names = (
            "ttft",
            "tpot",
            "e2e_latency",
            "requests_per_second",
            "tokens_per_second",
            "tokens_per_second_per_user",
            "tokens_per_second_per_device",
            "usd_per_request",
            "usd_per_million_output_tokens",
            "usd_per_million_input_tokens",
            "joules_per_output_token",
        )
        return {
            "parts": " + ".join(self.parts),
            "devices": self.devices,
            "layout": self.layout,
            "quantization": self.quantization,
            "meets": self.meets,
            **{name: getattr(self.service, name) for name in names},
            "reason": self.reason,
            "assumptions": list(self.service.assumptions),
        }


@dataclass(frozen=True)
class Plan:
    """Every option tried, those that meet the objective first, by value; `best` is the first of them or None.

    `left_out` says of each part that has no option why.
    """

    minimize: str
    options: tuple[Option, ...]
    left_out: tuple[str, ...]

    @property
    def best(self) -> Option | None:
        """The option with the least value among those that meet the objective; None where none does."""
        return self.options[0] if self.options and not self.options[0].reason else None

    @property
    def nearest(self) -> list[Option]:
        """Of the options that miss the objective one for each kind of replica on the same parts, the nearest first.

        It is the one with the least value of those that are about as near as the nearest: past some number more
        replicas cost more and are no faster.
        """
        kinds: dict[tuple[Any, ...], list[Option]] = {}
        for option in self.options:
            if not option.meets:
                ranks = tuple(str(pool.layout) for pool in option.service.pools.values())
                kinds.setdefault((option.parts, ranks, option.quantization), []).append(option)
        found = []
        for of_kind in kinds.values():
            near = [option for option in of_kind if option.missed <= _AS_NEAR * of_kind[0].missed]
            found.append(min(near, key=lambda option: (option.value is None, option.value or 0.0, option.devices)))
        return sorted(found, key=lambda option: option.missed)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row per option."""
        return [option.to_dict() for option in self.options]

    def __str__(self) -> str:
        lines = [] if self.best else ["no option meets the objective"]
        for option in [*(option for option in self.options if option.meets), *self.nearest][:_SHOWN]:
            value = "–" if option.value is None else significant(float(option.value))
            times = f"TTFT {_seconds(option.service.ttft)}, TPOT {_seconds(option.service.tpot)}"
            what = f"{option.layout} {' + '.join(option.parts)}, {times}"
            lines.append(f"{value:>9}  {what}{'; ' if option.reason else ''}{option.reason}")
        return "\n".join([f"{self.minimize}:", *lines, *self.left_out])


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

    Each part is tried with replicas on the fewest devices that hold the model and the longest sequence, on doublings
    and on powers of two, in the layouts that are fastest for one sequence and for more, and with one, two, three, four,
    six, eight replicas and so on, up to `most_devices`. With a `link`, every pair of parts is also tried with prefill
    on one pool and decode on the other, in the split that serves most. Parts run the model's own format or their
    nearest native one, unless `quantization` names one, under the host costs of a serving stack if `runtime` names one;
    a `Deployment` stands for its part with formats, stack, price, power and efficiency of its own. `chunk` and
    `max_batch` are those of `serve`. A mapping says what parts are called.
    """
    shape = model if isinstance(model, ModelShape) else load_model(model)
    if minimize not in MINIMIZE:
        raise UnknownName("minimize", given=minimize, known=MINIMIZE, expected=f"one of {', '.join(MINIMIZE)}")
    if not isinstance(slo, Slo):
        raise InvalidInput("slo", given=slo, expected="an Slo(ttft=…, tpot=…) in seconds")
    if not isinstance(traffic, Traffic) or traffic.shape:
        raise InvalidInput("traffic", given=traffic, expected="a Traffic of plain numbers")
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
    ways = list(_alone(smallest, layouts, traffic, most))
    if link is not None:
        ways += _split(smallest, layouts, traffic, link, most)
    tried: list[Option] = []
    for done, way in enumerate(ways, 1):
        with suppress(DoesNotFit):  # what holds one sequence need not hold the traffic
            tried.append(_option(*way(chunk=chunk, max_batch=max_batch), slo, minimize))
        if progress is not None:
            progress(done, len(ways))
    return Plan(minimize, tuple(sorted(tried, key=_order)), tuple(left_out))


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


def _order(option: Option) -> tuple[Any, ...]:
    """Those that meet the objective by value; then those without a value; then the others, the nearest misses first."""
    if not option.meets:
        return (2, option.missed, option.devices)
    value = 0.0 if option.value is None else float(f"{option.value:.{_SAME}g}")
    return (int(option.value is None), value, option.service.tpot, option.devices)


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


Way = Callable[..., tuple[tuple[str, ...], Deployment | PrefillDecode, Service]]
"""Serves the traffic one way, under the limits of `serve`: what its parts are called, the system and the service."""


def _alone(
    smallest: dict[str, Deployment], layouts: dict[str, dict[int, list[Layout]]], traffic: Traffic, most: int
) -> Iterator[Way]:
    """Each part on each number of devices, in replicas of every size."""

    def served(name: str, deployment: Deployment, **limits: Any) -> tuple[tuple[str], Deployment, Service]:
        return (name,), deployment, serve(deployment, traffic, **limits)

    for name, deployment in smallest.items():
        for layout in dict.fromkeys(chain.from_iterable(layouts[name].values())):
            for replicas in _replicas(most // layout.devices):
                yield partial(served, name, deployment.resized(replicas * layout.devices).with_layout(layout))


def _split(
    smallest: dict[str, Deployment],
    layouts: dict[str, dict[int, list[Layout]]],
    traffic: Traffic,
    link: Link | str,
    most: int,
) -> Iterator[Way]:
    """Every pair of parts, decode in replicas of the smallest size and of a few larger ones."""

    def balanced(
        names: tuple[str, str], system: PrefillDecode, count: int, **limits: Any
    ) -> tuple[tuple[str, str], PrefillDecode, Service]:
        found = balance(system, traffic, count, **limits)
        return names, found.system, found.service

    for decoding, decode in smallest.items():
        sizes = list(layouts[decoding].values())[:_DECODE_SIZES]
        for layout in dict.fromkeys(of_size[-1] for of_size in sizes if of_size):  # for the most sequences
            for prompting, prefill in smallest.items():
                system = PrefillDecode(prefill, decode.resized(layout.devices).with_layout(layout), link)
                least = prefill.devices + layout.devices
                names = prompting, decoding
                yield from (
                    partial(balanced, names, system, least * 2**power) for power in range((most // least).bit_length())
                )


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
        fastest = (size.fastest_layouts(batch, float(traffic.longest), 1) for batch in batches)
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


def _option(
    parts: tuple[str, ...], system: Deployment | PrefillDecode, service: Service, slo: Slo, minimize: str
) -> Option:
    value = getattr(service, minimize)
    meets = bool(slo.met(service.ttft, service.tpot))
    limits = ((service.ttft, slo.ttft), (service.tpot, slo.tpot))
    return Option(
        parts,
        service.devices,
        " / ".join(dict.fromkeys(each.quantization.label for each in _deployments(system))),
        system,
        service,
        meets,
        None if value is None else float(value),
        "" if meets and value is not None else _reason(service, slo, minimize, meets),
        max(float(time) / limit for time, limit in limits if limit is not None),
    )


def _deployments(system: Deployment | PrefillDecode) -> list[Deployment]:
    if isinstance(system, Deployment):
        return [system]
    return [each for each in (system.prefill, system.decode) if isinstance(each, Deployment)]


def _reason(service: Service, slo: Slo, minimize: str, meets: bool) -> str:
    if meets:
        return f"no {'power' if minimize.startswith('joules') else 'price'} is published"
    missed = [
        f"{name.upper()} {_over(float(getattr(service, name)), limit)}"
        for name, limit in (("ttft", slo.ttft), ("tpot", slo.tpot))
        if limit is not None and not getattr(service, name) <= limit
    ]
    return "misses " + " and ".join(missed)


def _over(value: float, limit: float) -> str:
    """A time and the limit that it misses, in as many digits as tell them apart."""
    digits = next((each for each in range(3, 17) if _seconds(value, each) != _seconds(limit, each)), 17)
    return f"{_seconds(value, digits)} over {_seconds(limit, digits)}"


def _seconds(value: float, digits: int = 3) -> str:
    return "without end" if math.isinf(value) else format_quantity(float(value), "s", digits)
