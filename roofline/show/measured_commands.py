"""Commands about measurements.

Commands import what they need when they run, so that help and complaints come at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import click

from roofline.show.answer import Answer


@click.command()
@click.argument("rows")
@click.option("-o", "--output", required=True, metavar="FILE.toml", help="Where the calibration is written.")
@click.option("--accelerator", metavar="NAME", help="The part the rows were measured on, where they name several.")
def calibrate(rows: str, output: str, accelerator: str | None) -> Answer:
    """Fit efficiencies to measured kernels.

    ROWS is a CSV file; the answer is a file that efficiency=… in a pool takes.
    """
    from roofline.show.progress import telling
    from roofline.trust.calibration import calibrate_file

    with telling("fitting") as progress:
        calibration = calibrate_file(rows, output, accelerator=accelerator, progress=progress)
    return Answer(f"{calibration.report}\n\nwritten: {output}; efficiency={output} in a pool takes it\n")


COMMANDS = (calibrate,)
"""In the order of the help."""
