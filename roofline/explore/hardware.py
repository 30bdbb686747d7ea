"""The hardware numbers that a phase depends on, by name, and a deployment with some of them replaced.

A spec's number goes by its dotted path (`"memory.bandwidth"`, `"peak.fp8"`, `"link.scale_up.latency"`), a fitted one by
the class and format of kernel, as a calibration file is laid out (`"kernels.matmul.fp8.memory"`,
`"collectives.all_reduce.overhead"`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from roofline.describe.efficiency import Efficiency
from roofline.describe.machine import Machine, Wire
from roofline.errors import UnknownName
from roofline.estimate.network import measured_crossing, route, summed_overhead
from roofline.estimate.resolved import Resolved
from roofline.estimate.timing import Step, launches
from roofline.estimate.work import HAND_OVER, LAUNCH, Operation, Transfer

Role = Literal["rate", "latency", "efficiency"]
"""Seconds fall with a rate or an efficiency, and rise with a latency: of a wire, or the overhead of a kernel."""


@dataclass(frozen=True, slots=True)
class HardwareNumber:
    """A number of a part that seconds depend on: `value` in SI `unit`, and what it means."""

    path: str
    value: float
    unit: str
    role: Role
    meaning: str


def numbers_used(resolved: Resolved, step: Step) -> dict[str, HardwareNumber]:
    """Every hardware number that a step's seconds depend on, by path; latencies only where they are published."""
    found: dict[str, HardwareNumber] = {}

    def add(path: str, value: Any, unit: str, role: Role, meaning: str) -> None:
        found.setdefault(path, HardwareNumber(path, float(value), unit, role, meaning))

    machine = resolved.machine
    for item in step.items:
        if isinstance(item, Operation) and _computes(item):
            peak = resolved.rates.of_operation(item)[0]
            add(f"peak.{peak}", machine.peak[peak], "FLOP/s", "rate", f"dense {peak} peak of one device")
    add("memory.bandwidth", machine.memory.bandwidth, "B/s", "rate", f"{machine.memory.name} bandwidth of one device")
    for tier in machine.tiers[1:]:
        path = f"memory.{tier.name}.bandwidth"
        add(path, tier.bandwidth, "B/s", "rate", f"{tier.name} bandwidth of one device")
    if machine.feed is not None:
        add("feed", machine.feed, "B/s", "rate", "rate at which stationary operands enter the matrix unit")
    for wire in wires_used(resolved, step):
        add(f"link.{wire.name}.bandwidth", wire.bandwidth, "B/s", "rate", f"{wire.name} link, one direction per device")
        if getattr(resolved.accelerator.link[wire.name], "latency", None) is not None:
            add(
                f"link.{wire.name}.latency", wire.latency, "s", "latency", f"latency of one hop on the {wire.name} link"
            )
    for item in _launching(resolved, step):
        for path, (value, unit) in _fit_numbers(resolved, item).items():
            role: Role = "latency" if unit == "s" else "efficiency"
            add(path, value, unit, role, _meaning(path))
    if step.pipelined:
        for path, (value, unit) in _between_stages(resolved, step).items():
            add(path, value, unit, "latency" if unit == "s" else "efficiency", _meaning(path))
    return found


def _launching(resolved: Resolved, step: Step) -> tuple[Operation | Transfer, ...]:
    """Items of a step, and what stands for their launch where it counts."""
    return (*step.items, LAUNCH) if launches(step.phase, resolved.rates) else step.items


def _computes(item: Operation) -> bool:
    """Whether the operation does any arithmetic: that of elementwise work is not counted."""
    return not _nothing(item.flops)


def _moves(item: Operation) -> bool:
    """Whether the operation moves any bytes: what a host does moves none."""
    return not all(_nothing(moved) for moved in (item.weights, item.cache, item.activations))


def _nothing(amount: Any) -> bool:
    return isinstance(amount, int) and amount == 0


def wires_used(resolved: Resolved, step: Step) -> tuple[Wire, ...]:
    """Wires that the collectives and the hand-overs of a step cross."""
    wires = dict.fromkeys(wire for wire, _ in step.hops)
    for item in step.items:
        if isinstance(item, Transfer) and item.ranks > 1:
            taken = route(item.ranks, resolved.machine.wires, resolved.machine.name)
            wires.update(dict.fromkeys(wire for wire in (taken.inside, taken.across) if wire is not None))
    return tuple(wires)


_WIRES = ("bandwidth", "overhead", "staged_overhead", "summed_overhead", "crossing")


def _fit_numbers(resolved: Resolved, item: Operation | Transfer) -> dict[str, tuple[float, str]]:
    """Path, value and unit of the fitted numbers of one operation or collective."""
    if isinstance(item, Operation):
        fit = resolved.rates.of_operation(item)[1]
        base = f"kernels.{item.kernel_class}.{_format(item)}"
        computes = {f"{base}.compute": (fit.compute, "1")} if _computes(item) else {}
        moves = {f"{base}.memory": (fit.memory, "1")} if _moves(item) else {}
        return {**computes, **moves, f"{base}.overhead": (fit.overhead, "s")}
    if item.ranks == 1:
        return {}
    wires, base = resolved.rates.of_transfer(item), f"collectives.{_collective(item)}"
    numbers = {
        f"{base}.bandwidth": (wires.bandwidth, "1"),
        f"{base}.overhead": (wires.overhead, "s"),
        f"{base}.staged_overhead": (wires.staged_overhead, "s"),
    }
    taken = route(item.ranks, resolved.machine.wires, resolved.machine.name)
    summed = summed_overhead(taken.inside, wires)
    if summed is not None and taken.across is None and item.collective == "all_reduce":
        numbers[f"{base}.summed_overhead"] = (summed, "s")
    crossing = measured_crossing(taken.across, wires)
    if crossing is not None:
        numbers[f"{base}.crossing"] = (crossing, "s")
    return numbers


def _between_stages(resolved: Resolved, step: Step) -> dict[str, tuple[float, str]]:
    """Path, value and unit of the fitted numbers of a pipeline's hand-overs."""
    fit, base = resolved.rates.of_transfer(HAND_OVER), f"collectives.{_collective(HAND_OVER)}"
    numbers = {f"{base}.bandwidth": (fit.bandwidth, "1"), f"{base}.overhead": (fit.overhead, "s")}
    across = (wire for wire, _ in step.hops if wire.name != resolved.machine.wires[0].name)
    if any(measured_crossing(wire, fit) is not None for wire in across):
        numbers[f"{base}.crossing"] = (fit.crossing or 0.0, "s")
    return numbers


def _format(item: Operation) -> str:
    return item.stored if item.stored == item.computed else f"{item.stored}-{item.computed}"


def _collective(item: Transfer) -> str:
    return "all_to_all" if item.collective == "all_to_all" else "all_reduce"


def _meaning(path: str) -> str:
    group, *what, field = path.split(".")
    subject = " ".join(what).replace("_", " ") + (" kernels" if group == "kernels" else "")
    return {
        "compute": f"share of the peak that {subject} reach",
        "memory": f"share of the memory bandwidth that {subject} reach",
        "bandwidth": f"share of the link bandwidth that {subject} reaches",
        "overhead": f"fixed time of {subject}, each",
        "staged_overhead": f"fixed time of a two-shot {subject}, each",
        "summed_overhead": f"fixed time of {subject} in the switch, each",
        "crossing": f"time of a message of {subject} between domains, each",
    }[field]


def canonical(path: str, resolved: Resolved, known: Iterable[str]) -> str:
    """The path as it is listed, whether or not it names the first memory or link; `UnknownName` otherwise."""
    names = list(known)
    first_link = next(iter(resolved.accelerator.link), "")
    first_memory = resolved.machine.memory.name
    head, *rest = path.split(".")
    candidates = [path]
    if head == "memory" and rest[:1] == [first_memory]:
        candidates.append(".".join(["memory", *rest[1:]]))
    if head == "link" and len(rest) == 1:
        candidates.append(f"link.{first_link}.{rest[0]}")
    for candidate in candidates:
        if candidate in names:
            return candidate
    raise UnknownName("hardware number", given=path, known=names)


def placed(resolved: Resolved, values: Mapping[str, Any], step: Step) -> Resolved:
    """The deployment with some hardware numbers replaced, by numbers of any type: arrays, symbols, intervals.

    `step` is one of the phase asked about: it says which fits there are to replace.
    """
    machine = _machine(resolved.machine, values)
    fits = {path: value for path, value in values.items() if path.startswith(("kernels.", "collectives."))}
    rates = resolved.rates
    if fits:
        # What kernels reach under a serving stack has its factors in it: they must not come in again.
        rates = replace(rates.under(None), sources=(_efficiency(resolved, step, fits), *rates.sources))
    wires = {wire.name: wire for wire in machine.wires}
    hops = tuple((replace(wires[wire.name], hops=wire.hops), count) for wire, count in resolved.plan.hops)
    plan = replace(resolved.plan, hops=hops)  # what is compiled does not depend on the numbers
    changed = replace(resolved, machine=machine, rates=rates)
    changed.__dict__["plan"] = plan
    changed.__dict__["ideal"] = replace(resolved.ideal, machine=machine)
    changed.ideal.__dict__["plan"] = plan
    return changed


def _machine(machine: Machine, values: Mapping[str, Any]) -> Machine:
    first, *others = machine.tiers
    bandwidth = values.get("memory.bandwidth", first.bandwidth)
    further = [replace(tier, bandwidth=values.get(f"memory.{tier.name}.bandwidth", tier.bandwidth)) for tier in others]
    return replace(
        machine,
        peak={name: values.get(f"peak.{name}", value) for name, value in machine.peak.items()},
        tiers=(replace(first, bandwidth=bandwidth), *further),
        feed=values.get("feed", machine.feed),
        wires=tuple(
            replace(
                wire,
                bandwidth=values.get(f"link.{wire.name}.bandwidth", wire.bandwidth),
                latency=values.get(f"link.{wire.name}.latency", wire.latency),
            )
            for wire in machine.wires
        ),
    )


def _efficiency(resolved: Resolved, step: Step, values: Mapping[str, Any]) -> Efficiency:
    """Fits of the step's kernels and collectives with some numbers replaced; unchecked, so that symbols may enter."""
    kernels: dict[str, dict[str, Any]] = {}
    collectives: dict[str, Any] = {}
    for item in (*_launching(resolved, step), HAND_OVER):
        if isinstance(item, Operation):
            base, kernel = f"kernels.{item.kernel_class}.{_format(item)}", resolved.rates.of_operation(item)[1]
            changed = _changed(base, ("compute", "memory", "overhead"), values)
            key = f"{item.stored}-{item.computed}"
            kernels.setdefault(item.kernel_class, {})[key] = kernel.model_copy(update=changed)
        elif item.ranks > 1 and (item is not HAND_OVER or step.pipelined):
            base, wires = f"collectives.{_collective(item)}", resolved.rates.of_transfer(item)
            changed = _changed(base, _WIRES, values)
            collectives[_collective(item)] = wires.model_copy(update=changed)
    fields: dict[str, Any] = {"kernels": kernels, "collectives": collectives}
    return Efficiency.model_construct(name="replaced", source="the caller's", note="", **fields)


def _changed(base: str, fields: Iterable[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {field: values[f"{base}.{field}"] for field in fields if f"{base}.{field}" in values}
