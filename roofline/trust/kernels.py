"""Measured kernels: a CSV of what ran, on what, and how long it took, read into the operations that estimates time.

One row is one kernel. What `op`, `dtype` and `shape` may say is in `roofline.trust.kernel_work`.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from roofline.describe.efficiency import CollectiveClass, KernelClass
from roofline.describe.formats import number_format
from roofline.errors import InvalidInput, RooflineError, UnknownName
from roofline.estimate.work import Item, Transfer
from roofline.trust.kernel_work import READERS, Shape, bytes_beside

_STACKS = {"trtllm": "tensorrt-llm", "vllm": "vllm", "sglang": "sglang"}
"""Serving stacks by the word with which the last part of a source names them, before a version or a number."""
_LIBRARIES = ("nccl", "rccl")
"""Libraries of collectives that stacks call, by the same word."""
COLUMNS = ("id", "hardware", "op", "dtype", "shape", "num_devices", "latency_us", "source", "notes")


@dataclass(frozen=True, slots=True)
class Kernel:
    """One measured kernel: `work` on one device of `accelerator` took `seconds` [s].

    `beside`: bytes that kernels of their own moved within that time, before and after what `work` is [B].
    """

    id: str
    accelerator: str
    work: Item
    seconds: float
    source: str
    notes: str
    beside: float = 0.0

    @property
    def collection(self) -> str:
        """Who measured: the source until its first slash, of an address its host; empty where nothing is said.

        Different collections run different kernels and read other clocks.
        """
        place = urlsplit(self.source.strip())
        return place.netloc or place.path.split("/")[0].strip()

    @property
    def stack(self) -> str:
        """The serving stack that brings the kernel, by the last part of the source; empty where that names none."""
        return _STACKS.get(self._measured_in, "")

    @property
    def library(self) -> bool:
        """Whether a library brings the kernel that serving stacks call."""
        return self._measured_in in _LIBRARIES

    @property
    def _measured_in(self) -> str:
        return re.split("[-#]", self.source.split("/")[-1])[0].strip().lower()

    @property
    def quantises(self) -> bool:
        """Whether a kernel of its own quantised the activations within the time."""
        return self.fitted_as[0] == "matmul" and self.beside > 0

    @property
    def fitted_as(self) -> tuple[KernelClass | CollectiveClass, str]:
        """Class and format key of the fit this kernel belongs to; collectives are fitted for all formats together."""
        if isinstance(self.work, Transfer):
            return ("all_to_all" if self.work.collective == "all_to_all" else "all_reduce"), "any"
        return self.work.kernel_class, format_key(self.work.stored, self.work.computed)


@dataclass(frozen=True, slots=True)
class Measured:
    """Every kernel of a file, and how many rows were left out, by part and reason."""

    kernels: tuple[Kernel, ...]
    left_out: Mapping[tuple[str, str], int]

    @property
    def rows(self) -> int:
        """Rows of the file [1]."""
        return len(self.kernels) + sum(self.left_out.values())


def format_key(stored: str, computed: str) -> str:
    """The name of a pair of formats: one word where the stored format computes as itself.

    >>> format_key("fp8_block", "fp8"), format_key("int4", "bf16")
    ('fp8_block', 'int4-bf16')
    """
    same = computed == stored or computed in number_format(stored).runs_as
    return stored if same else f"{stored}-{computed}"


def read_kernels(path: str | Path) -> Measured:
    """The measured kernels of a CSV file; `InvalidInput` naming the line where a row cannot be read."""
    path = Path(path)
    if not path.is_file():
        given = "a directory" if path.is_dir() else "no such file"
        raise InvalidInput(str(path), given=given, expected="a CSV file of measured kernels")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                given = f"no {', '.join(missing)}" if reader.fieldnames else "an empty file"
                raise InvalidInput(f"{path.name}, columns", given=given, expected=", ".join(COLUMNS))
            return measured_of((f"{path.name}, line {reader.line_num}", row) for row in reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(str(path), given=str(error), expected="a CSV file in UTF-8") from None


def measured_of(rows: Iterable[tuple[str, Mapping[str, str]]]) -> Measured:
    """Kernels from rows with the columns of the CSV, each after the place that errors name."""
    kernels: list[Kernel] = []
    left_out: dict[tuple[str, str], int] = {}
    for where, row in rows:
        if any(row.get(name) is None for name in COLUMNS) or None in row:
            raise InvalidInput(where, given="a row of another length", expected=f"the columns {', '.join(COLUMNS)}")
        reason = _unusable(row)
        if reason is None:
            kernels.append(kernel_of(row, where))
        else:
            key = (row["hardware"].strip(), reason)
            left_out[key] = left_out.get(key, 0) + 1
    return Measured(tuple(kernels), left_out)


def _unusable(row: Mapping[str, str]) -> str | None:
    if row["op"] == "memcpy":
        return "memcpy: no class of operation is made of it"
    drawn = '"balanced"' in row["shape"] or '"random"' in row["shape"]
    if row["op"] == "moe" and '"distribution"' in row["shape"] and not drawn:
        return "moe with skewed routing: the load of the measured rank is not recorded"
    return None


def kernel_of(row: Mapping[str, str], where: str) -> Kernel:
    """One row as a kernel; `where` names it in errors."""
    op = row["op"].strip()
    if op not in READERS:
        raise UnknownName(f"{where}, op", given=op, known=READERS, expected=f"one of {', '.join(READERS)}")
    seconds = _number(row["latency_us"], f"{where}, latency_us") / 1e6
    devices = _number(row["num_devices"] or "1", f"{where}, num_devices")
    if not devices.is_integer():
        raise InvalidInput(f"{where}, num_devices", given=row["num_devices"], expected="a whole number")
    try:
        shape = json.loads(row["shape"])
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{where}, shape", given=row["shape"], expected=f"a JSON object ({error.msg})") from None
    if not isinstance(shape, dict):
        raise InvalidInput(f"{where}, shape", given=row["shape"], expected="a JSON object")
    read = Shape(shape, where)
    try:
        work = READERS[op](read, row["dtype"].strip(), int(devices))
    except RooflineError:
        raise
    except (ValueError, OverflowError, ArithmeticError) as error:
        given = str(error).splitlines()[0]
        raise InvalidInput(f"{where}, shape", given=row["shape"], expected=f"a possible {op} ({given})") from None
    beside = bytes_beside(read, work, row["notes"])
    return Kernel(row["id"], row["hardware"].strip(), work, seconds, row["source"], row["notes"], beside)


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InvalidInput(what, given=text, expected="a positive number")
    return value


def by_format(kernels: Iterable[Kernel], kernel_class: KernelClass | CollectiveClass) -> dict[str, list[Kernel]]:
    """The kernels of a class by the format key of their fit, sorted."""
    found: dict[str, list[Kernel]] = {}
    for kernel in kernels:
        own_class, formats = kernel.fitted_as
        if own_class == kernel_class:
            found.setdefault(formats, []).append(kernel)
    return dict(sorted(found.items()))


def cited(kernels: Iterable[Kernel], most: int = 3) -> str:
    """The sources of kernels, the first few by name."""
    names = list(dict.fromkeys(kernel.source.strip() or "no source given" for kernel in kernels))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def collected_with(group: Iterable[Kernel], kernels: Iterable[Kernel]) -> list[Kernel]:
    """The kernels of the collections that a group is of; of one without a name there are none."""
    collections = {kernel.collection for kernel in group} - {""}
    return [kernel for kernel in kernels if kernel.collection in collections]
