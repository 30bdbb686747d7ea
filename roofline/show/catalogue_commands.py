"""Commands about what is described: parts, systems and models.

Commands import what they need when they run, so that help and complaints come at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from typing import Any

import click

from roofline.show.answer import Answer, answered
from roofline.show.options import with_format


@click.command(epilog="A file of your own: roofline hardware new my-chip --like h100-sxm")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--systems", is_flag=True, help="Boxes, racks and pods instead of parts.")
@click.option("--kind", metavar="KIND", help="Only sram, or only hbm: any DRAM.")
@click.option("--vendor", metavar="VENDOR", help="Only of one vendor.")
@click.option("--status", metavar="STATUS", help="Only shipping, announced or historical.")
@click.option("--min-memory", metavar="BYTES", help="At least so much, such as 100GB.")
@click.option("--min-bandwidth", metavar="RATE", help="Memory at least so fast, such as 10TB/s.")
@click.option("--format-runs", metavar="FORMAT", help="Only what computes in a format, such as fp8.")
@click.option("--sort", metavar="KEY", help="By a key of the rows, such as memory.bandwidth, the most first.")
@click.option("--reverse", is_flag=True, help="The least first.")
@with_format
def hardware(names: tuple[str, ...], systems: bool, sort: str | None, reverse: bool, form: str, **given: Any) -> Answer:
    """Parts and systems, and where their numbers are from.

    All parts; with one NAME every number of it and its source; with several, side by side. NAME is a part or a system
    of the catalogue, or a part's .toml file. The exit status is 1 where nothing is left to list.
    """
    from roofline.show.hardware_choice import Choice
    from roofline.show.hardware_questions import described, listed

    choice = Choice.of(sort=sort, reverse=reverse, **given)
    if names:
        return described(tuple(dict.fromkeys(names)), choice, systems=systems, form=form)
    return listed(choice, systems=systems, form=form)


@click.command("hardware new")
@click.argument("name")
@click.option("--like", required=True, metavar="PART", help="The part whose figures are there to be replaced.")
@click.option("-o", "--output", metavar="FILE.toml", help="Where it is written.  [NAME.toml]; - is the terminal.")
@click.option("--force", is_flag=True, help="Overwrite the file where there is one.")
def hardware_new(name: str, like: str, output: str | None, force: bool) -> Answer:
    """Write a spec file to fill in.

    NAME is what the new part is called. Every key is explained, and has the figure of a catalogue part to replace.
    """
    from roofline.show.hardware_questions import begun

    return begun(name, like, output, force=force)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-v", "--verbose", is_flag=True, help="Every check, those too that lack a fact, and every law.")
@click.option("--facts", is_flag=True, help="Only facts against each other, no laws: much faster.")
@click.option("--examples", metavar="N", help="Estimates on which each law is tried.  [14]")
@with_format
def check(names: tuple[str, ...], verbose: bool, facts: bool, examples: str | None, form: str) -> Answer:
    """Whether the numbers of parts fit together, and obey the laws.

    A spec says many things twice: links times the rate of one link is the link's bandwidth. And whatever its numbers,
    twice the bandwidth must not take longer. NAME is a .toml file or a part of the catalogue. The exit status is 1
    where two facts contradict each other or a law is broken.
    """
    from roofline.errors import InvalidInput
    from roofline.show.check_view import checked
    from roofline.show.numbers import number

    tried = number("examples", examples if examples is not None else "14", most=10_000)
    if tried != int(tried) or (facts and examples is not None):
        raise InvalidInput("--examples", given=examples, expected="a whole number, and no --facts")
    return checked(names, form, verbose=verbose, examples=None if facts else int(tried))


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@with_format
def model(names: tuple[str, ...], form: str) -> Answer:
    """Models, and what they weigh and keep.

    All models; with one NAME its layers and parameters; with several, side by side. NAME is a model of the catalogue,
    its Hugging Face id, or a config.json.
    """
    from roofline.show import model_view

    if not names:
        rows = model_view.model_rows()
        return answered(rows, form, lambda width: model_view.model_list(rows, width))
    rows = [model_view.model_row(name) for name in dict.fromkeys(names)]
    return answered(rows, form, lambda width: model_view.model_details(rows, width))


COMMANDS = (hardware, hardware_new, check, model)
"""In the order of the help."""
