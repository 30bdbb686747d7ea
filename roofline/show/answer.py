"""What a command answers, and the one place that writes it out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from roofline.show.failures import OK
from roofline.show.lines import Line
from roofline.show.records import Row, written

View = Callable[[int], list[Line]]
"""Lines for a terminal of so many columns."""


@dataclass(frozen=True)
class Answer:
    """Text that is ready, or a view to be drawn as wide as the terminal is; and the exit status."""

    text: str = ""
    view: View | None = None
    status: int = OK

    def write(self) -> int:
        """Write to stdout; the exit status."""
        if self.view is None:
            click.echo(self.text, nl=False)
            return self.status
        # rich is loaded only where something is drawn.
        from rich.console import Console  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        console = Console(highlight=False)
        for line in self.view(console.width):
            console.print(Text.assemble(*line.pieces), soft_wrap=True)
        return self.status


def answered(
    rows: Sequence[Row], form: str, view: View, status: int = OK, *, document: Sequence[str] | None = None
) -> Answer:
    """Rows in the format asked for: drawn, or written for programs.

    `document`: the keys that a table has at its widest, which is all that Markdown takes of rows with long texts.
    """
    if form == "table":
        return Answer(view=view, status=status)
    if form == "markdown" and document is not None:
        rows = [{key: row[key] for key in document} for row in rows]
    return Answer(written(rows, form), status=status)


def tolerate_any_encoding() -> None:
    """Print a question mark where the terminal's encoding lacks a character, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
