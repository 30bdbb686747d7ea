"""Commands about measurements.

Commands import what they need when they run, so that help and complaints come at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import click

from roofline.show.answer import Answer
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
@click.argument("rows")
@click.option("-o", "--output", required=True, metavar="FILE.toml", help="Where the calibration is written.")
@click.option("--accelerator", metavar="NAME", help="The part that was measured.")
@click.option("--model", metavar="MODEL", help="What was served: a name of `roofline model`.")
@click.option("--devices", metavar="N", help="Devices that served it.")
@click.option("--tp", metavar="N", help="Tensor ranks of a replica.  [all devices]")
@click.option("--quantization", metavar="PRESET", help="Formats of the weights.  [the checkpoint's]")
@click.option("--kv-cache", metavar="FORMAT", help="Format of the cache.")
@click.option("--runtime", metavar="NAME", help="The serving stack.")
@click.option("--concurrency", metavar="N", help="Requests in flight.")
def calibrate(rows: str, output: str, accelerator: str | None, **said: str | None) -> Answer:
    """Fit efficiencies to measured kernels or service.

    ROWS is a CSV file of kernels, or what vllm bench serve, SGLang's bench_serving, trtllm-bench, AIPerf, GenAI-Perf or
    llama-bench wrote; options say what such a file does not. The answer is a file that efficiency=… in a pool takes.
    """
    from roofline.show.progress import telling
    from roofline.trust.calibrating import calibrate_file

    with telling("fitting") as progress:
        calibration = calibrate_file(rows, output, accelerator, progress, **said)
    return Answer(f"{calibration.report}\n\nwritten: {output}; efficiency={output} in a pool takes it\n")


COMMANDS = (validate, calibrate)
"""In the order of the help."""
