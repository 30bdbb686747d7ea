"""Commands about measurements.

Commands import what they need when they run, so that help and complaints come at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import re
import textwrap

import click

from roofline.show.answer import Answer
from roofline.show.lines import KEPT_BLANK, Line, cells, wrapped
from roofline.show.options import with_format


@click.command()
@click.argument("rows")
@click.option("--predictions", metavar="OUT.csv", help="Where a line for every row is written.")
@click.option("--plot", metavar="FILE", help="Where predicted over measured is drawn: .svg, .png or .pdf.")
@click.option("--worst", default="5", metavar="N", help="Rows furthest off that are shown.  [5]")
@with_format
def validate(rows: str, predictions: str | None, plot: str | None, worst: str, form: str) -> Answer:
    """Predictions beside measured service.

    ROWS is a CSV file; every row of it gets a prediction, or the reason why not.
    """
    from roofline.errors import InvalidInput
    from roofline.show.numbers import number
    from roofline.show.validate_view import answer

    shown = number("worst", worst, least=0, most=1e6)
    if shown != int(shown):
        raise InvalidInput("worst", given=worst, expected="a whole number")
    return answer(rows, predictions, plot, int(shown), form)


@click.command()
@click.argument("rows", nargs=-1, required=True)
@click.option("-o", "--output", required=True, metavar="FILE.toml", help="Where the calibration is written.")
@click.option("--accelerator", metavar="NAME", help="The part that was measured.")
@click.option("--model", metavar="MODEL", help="What was served: a name of `roofline model`.")
@click.option("--devices", metavar="N", help="Devices that served it.")
@click.option("--tp", metavar="N", help="Tensor ranks of a replica.  [all devices]")
@click.option("--quantization", metavar="PRESET", help="Formats of the weights.  [the checkpoint's]")
@click.option("--kv-cache", metavar="FORMAT", help="Format of the cache.")
@click.option("--runtime", metavar="NAME", help="The serving stack.")
@click.option("--isl", metavar="TOKENS", help="Input tokens of a request.")
@click.option("--osl", metavar="TOKENS", help="Output tokens of a request.")
@click.option("--concurrency", metavar="N", help="Requests in flight, or in the batch.")
def calibrate(rows: tuple[str, ...], output: str, accelerator: str | None, **said: str | None) -> Answer:
    """Fit efficiencies to measured kernels or service.

    ROWS is a CSV file of kernels, or one file or several that vllm bench serve or latency, SGLang's bench_serving,
    trtllm-bench, AIPerf, GenAI-Perf or llama-bench wrote; options say what such files do not. The answer is a file that
    efficiency=… in a pool takes.
    """
    from roofline.show.progress import telling
    from roofline.trust.calibrating import calibrate_file

    with telling("fitting") as progress:
        calibration = calibrate_file(rows, output, accelerator, progress, **said)
    # A path that is broken cannot be copied.
    path = output.replace(" ", KEPT_BLANK)
    words = f"written: {path}; efficiency={path} in a pool takes it"

    def view(width: int) -> list[Line]:
        report = [line for text in calibration.report.splitlines() for line in _folded(text, width)]
        written = textwrap.wrap(words, max(width, 8), break_long_words=False, break_on_hyphens=False)
        return [Line((line.replace(KEPT_BLANK, " "), "")) for line in (*report, "", *written)]

    return Answer(view=view)


_LABEL = re.compile(r"left out: |\S+(?: \S+)* {2,}")
"""What a line of a report begins with: the name of a figure and the blanks up to its column, say."""
_PIECES = re.compile(r"(?<=\S) (?=\S)")
_FIGURES = re.compile(r"(?<=\d) (?=(?:ms|us|to)\b)|(?<=\d to) |(?<=×) ")
"""Blanks between a number and its unit, or the other end of its range."""


def _folded(text: str, width: int) -> list[str]:
    """A line of a report in lines of a terminal, those after the first below its figures; no figure is broken.

    >>> _folded("step       2.01 ms (90% interval 1.9 to 2.1)", 34)
    ['step       2.01 ms (90% interval', '           1.9 to 2.1)']
    """
    found = _LABEL.match(text)
    label = found[0] if found and cells(found[0]) <= width / 2 else ""
    rest = text[len(label) :]
    blanks = _PIECES if "  " in rest.strip() else _FIGURES
    kept = blanks.sub(KEPT_BLANK, rest)
    if label:
        return wrapped(kept, width, label)
    first, *further = wrapped(kept, width - 2) or [""]
    return [first, *(f"  {line}" for line in further)]


COMMANDS = (validate, calibrate)
"""In the order of the help."""
