"""Predictions against measured service: errors by kind of row, bias beside spread, and every row accounted for."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.describe.runtimes import Runtime
from roofline.errors import InvalidInput
from roofline.trust.measured_rows import Row, part_of, row_stack
from roofline.trust.predictions import Prediction, floor_of, predict
from roofline.trust.row_remarks import BETWEEN
from roofline.trust.static_rows import is_time

Progress = Callable[[str], None]
COLUMNS = (
    "id",
    "predicted_ttft_ms",
    "predicted_tpot_ms",
    "predicted_output_tokens_per_s",
    "predicted_value",
    "floor_tpot_ms",
    "status",
    "message",
)
QUANTITIES = ("tpot", "ttft", "throughput", "value")
"""What may be compared."""
BANDS = ((4, "1 to 4"), (16, "5 to 16"), (64, "17 to 64"), (256, "65 to 256"), (float("inf"), "above 256"))
"""Requests in flight over all devices, up to each number [1]."""
COUNTED = ("A", "B", "")
"""Grades that count; others are reported apart."""
FEWEST = 20
"""Rows below which the error of a group is not quoted on its own [1]."""
_EVERY = 200


@dataclass(frozen=True)
class Figures:
    """How predictions of one quantity lie: `median` and `mean` of |predicted / measured - 1|, `worst` its 90 % point,
    `bias` the median of predicted / measured - 1, `low`, `high` the 10 % and 90 % points of measured / predicted [1].
    """

    rows: int
    median: float
    mean: float
    worst: float
    bias: float
    low: float
    high: float

    @classmethod
    def of(cls, predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> Figures | None:
        """None where there is nothing to compare."""
        if not len(measured):
            return None
        ratio = predicted / measured
        off = np.abs(ratio - 1)
        low, high = np.quantile(1 / ratio, [0.1, 0.9])
        numbers = (np.median(off), off.mean(), np.quantile(off, 0.9), np.median(ratio) - 1, low, high)
        return cls(len(measured), *(float(number) for number in numbers))


@dataclass(frozen=True)
class Compared:
    """One quantity of one row, predicted and measured, in the row's unit."""

    prediction: Prediction
    quantity: str
    predicted: float
    measured: float

    @property
    def off(self) -> float:
        """Predicted over measured, less one [1]."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True)
class Validation:
    """Every row with its prediction, and what they say together."""

    predictions: tuple[Prediction, ...]

    def compared(self, quantity: str = "tpot", *, kind: str | None = None, graded: bool = True) -> list[Compared]:
        """Rows with a prediction and a measurement of `"tpot"`, `"ttft"`, `"throughput"` or `"value"`.

        Those that do not fit by what they say have a prediction, but say something else than was measured.
        """
        found = []
        for each in self.predictions:
            row = each.row
            if each.status != "ok" or counts(row) != graded or (kind and str(row.get("kind") or "") != kind):
                continue
            predicted, measured = _pair(each, quantity)
            if predicted is not None and measured:
                found.append(Compared(each, quantity, predicted, measured))
        return found

    def figures(self, quantity: str = "tpot", *, kind: str | None = None, graded: bool = True) -> Figures | None:
        """Errors over all rows that count."""
        return figures(self.compared(quantity, kind=kind, graded=graded))

    def by(self, what: str, quantity: str = "tpot", *, kind: str | None = None) -> dict[str, Figures]:
        """Errors by a column of the rows, as it is understood, or by `"band"` of concurrency."""
        groups: dict[str, list[Compared]] = {}
        for each in self.compared(quantity, kind=kind):
            groups.setdefault(group(each.prediction.row, what), []).append(each)
        return {name: found for name in sorted(groups) if (found := figures(groups[name]))}

    def worst(self, count: int = 10, quantity: str = "tpot") -> list[Compared]:
        """The rows that are furthest off, by the ratio of the larger to the smaller."""
        return sorted(self.compared(quantity), key=lambda each: -abs(np.log(each.predicted / each.measured)))[:count]

    def counts(self) -> dict[str, int]:
        """Rows by status."""
        found = {"ok": 0, "does_not_fit": 0, "unsupported": 0}
        for each in self.predictions:
            found[each.status] += 1
        return found

    def messages(self, status: str) -> dict[str, list[str]]:
        """The ids of rows of a status by what is said of them, the most frequent first.

        Of a row that was predicted several things may be said: it is under each.
        """
        found: dict[str, list[str]] = {}
        for each in self.predictions:
            if each.status == status and each.message:
                for words in each.message.split(BETWEEN) if status == "ok" else [each.message]:
                    found.setdefault(words, []).append(str(each.row.get("id") or ""))
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))

    def covered(self, quantity: str = "tpot") -> float | None:
        """The share of rows inside the 80 % interval that their stack's spread gives [1]."""
        inside = []
        for each in self.compared(quantity):
            stack = each.prediction.stack
            spread = None if stack is None else getattr(stack, quantity, None)
            if spread is not None and spread.points:
                inside.append(spread.low <= each.measured / each.predicted <= spread.high)
        return float(np.mean(inside)) if inside else None

    def below_floor(self, *, graded: bool = True) -> list[Compared]:
        """Measurements that are better than any implementation could be: there should be none."""
        every = [each for quantity in QUANTITIES for each in self.compared(quantity, graded=graded)]
        return [each for each in every if _beaten(each)]

    def csv(self) -> str:
        """One line per row, in the order of the rows."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_line(each) for each in self.predictions)
        return out.getvalue()

    def __str__(self) -> str:
        said = ", ".join(f"{count:,} {status}" for status, count in self.counts().items() if count)
        lines = [f"{len(self.predictions):,} rows: {said}; {len(self.below_floor()):,} faster than their floor"]
        for quantity in QUANTITIES:
            each = self.figures(quantity)
            if each is not None:
                errors = f"median error {each.median:.1%}, mean {each.mean:.1%}, bias {each.bias:+.1%}"
                lines.append(f"{quantity}: {each.rows:,} rows, {errors}")
        return "\n".join(lines)


def _beaten(each: Compared) -> bool:
    """Whether a measurement is better than its floor: a higher rate, or a shorter time."""
    least = floor_of(each.prediction, each.quantity)
    if least is None:
        return False
    rate = each.quantity == "value" and not is_time(each.prediction.row)
    return each.measured > least if rate else each.measured < least


def counts(row: Row) -> bool:
    """Whether a row is measured, and of a grade that counts."""
    return str(row.get("grade") or "") in COUNTED and str(row.get("status") or "measured") == "measured"


def figures(rows: Sequence[Compared]) -> Figures | None:
    """Errors over rows; None where there are none."""
    return Figures.of(np.array([each.predicted for each in rows]), np.array([each.measured for each in rows]))


def validate(
    rows: str | Path | Iterable[Row],
    *,
    stacks: Mapping[str, Runtime | None] | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Predictions for measured rows: a CSV file, or rows as dicts; every row gets one.

    `stacks` replaces the shipped constants of serving stacks. Raises `InvalidInput` for a file that cannot be read.
    """
    listed = read_rows(rows) if isinstance(rows, str | Path) else list(rows)
    found = []
    for index, row in enumerate(listed):
        found.append(predict(row, stacks))
        if progress is not None and index % _EVERY == 0:
            progress(f"{index:,} of {len(listed):,} rows")
    return Validation(tuple(found))


def validate_file(
    path: str | Path, predictions: str | Path | None = None, *, progress: Progress | None = None
) -> Validation:
    """Predictions for the rows of a CSV file, written to `predictions` one line per row if that is given."""
    result = validate(path, progress=progress)
    if predictions is not None:
        try:
            Path(predictions).write_text(result.csv(), encoding="utf-8")
        except OSError as error:
            expected = f"a file to write ({error.strerror})"
            raise InvalidInput("predictions", given=str(predictions), expected=expected) from None
    return result


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """Rows of a CSV file with a header that names `id` and `model`."""
    path = Path(path)
    if not path.is_file():
        given = "a directory" if path.is_dir() else "no such file"
        raise InvalidInput(str(path), given=given, expected="a CSV file of measured rows")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in ("id", "model", "accelerator") if name not in (reader.fieldnames or ())]
            if missing:
                given = f"no {', '.join(missing)}" if reader.fieldnames else "an empty file"
                raise InvalidInput(f"{path.name}, columns", given=given, expected="id, model, accelerator and more")
            return [{key: value or "" for key, value in row.items() if isinstance(key, str)} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(str(path), given=str(error), expected="a CSV file in UTF-8") from None


def _line(each: Prediction) -> list[Any]:
    times = (each.ttft, each.tpot)
    cells = [None if time is None else time * 1e3 for time in times]
    floor = None if each.floor is None else each.floor * 1e3
    numbers = [_cell(number) for number in (*cells, each.tokens_per_second, each.value, floor)]
    return [str(each.row.get("id") or ""), *numbers, each.status, each.message]


def _cell(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.6g}"


def _pair(each: Prediction, quantity: str) -> tuple[float | None, float]:
    milli = {"ttft": ("ttft_ms", each.ttft), "tpot": ("tpot_ms", each.tpot)}
    if quantity in milli:
        name, seconds = milli[quantity]
        return None if seconds is None else seconds * 1e3, _measured(each.row, name)
    if quantity == "throughput":
        return each.tokens_per_second, _measured(each.row, "output_tokens_per_s")
    return each.value, _measured(each.row, "value")


def _measured(row: Row, name: str) -> float:
    try:
        value = float(row.get(name) or 0)
    except ValueError:
        return 0.0
    return value if np.isfinite(value) and value > 0 else 0.0


def group(row: Row, what: str) -> str:
    """The group of a row by a column, spelled as it is understood, or by `"band"` of concurrency.

    >>> group({"accelerator": "H100-SXM"}, "accelerator"), group({"runtime": "vLLM 0.12"}, "runtime"), group({}, "kind")
    ('h100-sxm', 'vllm-0.16', 'not stated')
    """
    if what == "accelerator":
        return part_of(row) or "not stated"
    if what == "runtime":
        named = str(row.get(what) or "").strip()
        return row_stack(row) or named or "not stated"
    if what != "band":
        text = str(row.get(what) or "").strip()
        return (text.lower() if what in ("quantization", "speculation") else text) or "not stated"
    flying = _measured(row, "concurrency")
    return next(f"{index}|{name}" for index, (most, name) in enumerate(BANDS) if flying <= most)
