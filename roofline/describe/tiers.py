"""Memories of a device and its ways to other devices: cited numbers of each, the nearest first."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from roofline.describe.provenance import Bytes, BytesPerSecond, Cited, Count, Seconds

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class MemoryTier(BaseModel):
    """One memory of a device, the nearest to the compute units first.

    `capacity` as printed; `usable` what the driver reports where that is known; `bandwidth` of reading it.
    """

    model_config = _FROZEN

    capacity: Bytes
    bandwidth: BytesPerSecond
    usable: Bytes | None = None

    @field_validator("usable")
    @classmethod
    def _within_capacity(cls, usable: Cited | None, known: ValidationInfo) -> Cited | None:
        capacity = known.data.get("capacity")
        if usable is not None and capacity is not None and usable.value > capacity.value * (1 + 1e-9):
            raise ValueError(f"at most the capacity, {capacity.text}")
        return usable


class LinkTier(BaseModel):
    """One way to other devices: `bandwidth` per device and direction, `latency` per hop, `hops` across the domain.

    `domain` is how many devices it joins, absent where it joins any number. `latency` is a propagation latency that no
    software can shorten; what launching a collective costs on top is calibration. Where `latency` is that of the whole
    domain, `within` says what reaching fewer devices takes, by their number. A `summing_switch` adds up what its
    devices send and gives the sum back to all of them.
    """

    model_config = _FROZEN

    bandwidth: BytesPerSecond
    latency: Seconds | None = None
    hops: Count | None = None
    domain: Count | None = None
    within: dict[str, Seconds] = {}
    topology: Literal[
        "all_to_all", "switch", "summing_switch", "torus", "ring", "dragonfly", "fat_tree", "point_to_point"
    ]

    @field_validator("within")
    @classmethod
    def _nearer_is_sooner(cls, within: dict[str, Cited], known: ValidationInfo) -> dict[str, Cited]:
        latency, domain = known.data.get("latency"), known.data.get("domain")
        if not all(size.isdecimal() for size in within):
            raise ValueError("numbers of devices, with a latency for each")
        if within and (latency is None or domain is None or known.data.get("hops") is not None):
            raise ValueError("a latency and a domain beside it, and no hops: each of its latencies is end to end")
        sizes = [float(size) for size in within] + ([domain.value] if domain else [])
        seconds = [each.value for each in within.values()] + ([latency.value] if latency else [])
        if sizes != sorted(set(sizes)) or seconds != sorted(seconds):
            raise ValueError("latencies that grow with the number of devices, up to those of the domain")
        return within
