"""The README shows what its commands print today."""

import contextlib
import io
import re
from pathlib import Path

from benchmarks.measured.validation_page import stored

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def block(kind: str) -> str:
    found = re.search(rf"^```{kind}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_output_of_the_python_lines_is_shown() -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(block("python"), {})
    assert printed.getvalue() == block("text")


def test_errors_are_those_of_the_validation_the_worse_of_rows_left_out_by_model_and_by_part() -> None:
    figures = stored()
    words = " ".join(README.split())
    found = re.search(
        r"Of ([\d,]+) measured serving runs none .* off by (\d+) % in the median on one pool and by (\d+) % on two, "
        r"and the time to the first token of one pool by (\d+) %, .* Another ([\d,]+) batches, .* are off by (\d+) %",
        words,
    )
    assert found is not None
    left_out = [figures["overall"][run] for run in ("model", "part")]
    one, two = (left_out[0][kind]["tpot"]["rows"] for kind in ("serving", "disaggregated"))
    batches = figures["all_batches"]["model"]
    errors = [
        max(each[kind][name]["median"] for each in left_out)
        for kind, name in (("serving", "tpot"), ("disaggregated", "tpot"), ("serving", "ttft"))
    ]
    shown = [f"{each:.0%}".rstrip("%") for each in (*errors, batches["median"])]
    assert found.groups() == (f"{one + two:,}", *shown[:3], f"{batches['rows']:,}", shown[3])
    assert not figures["faster"]["service"][0]
