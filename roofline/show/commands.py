"""The commands of `roofline`: what is asked on a command line, handed to the library, and shown.

Commands import what they need when they run, so that help and complaints come at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from roofline.errors import InvalidInput, nearest_names
from roofline.show.answer import Answer, answered, tolerate_any_encoding
from roofline.show.failures import OK, Commands, concluded
from roofline.show.records import FORMATS

Command = TypeVar("Command", bound=Callable[..., Any])

_POOL = "NAME:N[,tp=8,…]"
_POOL_HELP = (
    "Devices of one part: a name of `roofline hardware` or a .toml file, how many, then any of tp, pp, dp, ep, "
    "quantization, kv_cache, price (USD/h), power (W), efficiency."
)
_MODEL_HELP = "MODEL is a name of `roofline model`, a Hugging Face id among them, or a config.json."


def run(arguments: Sequence[str] | None) -> int:
    """Answer a command line, by default that of the process; the exit status."""
    tolerate_any_encoding()

    def command() -> int:
        given = None if arguments is None else list(arguments)
        answer = roofline.main(args=given, prog_name="roofline", standalone_mode=False)
        return answer.write() if isinstance(answer, Answer) else OK

    return concluded(command)


def _form(context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    """The format asked for, after the command or before it."""
    if value is None:
        return str(context.parent.params.get("form") or "table") if context.parent else "table"
    if value not in FORMATS:
        near = next(iter(nearest_names(value, FORMATS)), None)
        raise InvalidInput("--format", given=value, expected=f"one of {', '.join(FORMATS)}", nearest=near)
    return value


def _with_format(command: Command) -> Command:
    option = click.option("--format", "form", metavar="FORMAT", callback=_form, help=f"{', '.join(FORMATS)}.")
    return option(command)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="For example: roofline compare llama-3.1-8b --on h100-sxm:1 --on mi300x:1 --batch 1,64",
)
@click.version_option(package_name="roofline", message="%(prog)s %(version)s")
@_with_format
@click.pass_context
def roofline(context: click.Context, form: str) -> Answer | None:
    """Which silicon should run this language model, and what will a token cost?

    Without a command: a worked comparison of one model on five pools of silicon.
    """
    if context.invoked_subcommand is not None:
        return None
    from roofline.show import questions

    return questions.demonstrated(form)


@roofline.command(epilog=_MODEL_HELP)
@click.argument("model")
@click.option("--on", "pools", multiple=True, required=True, metavar=_POOL, help=f"{_POOL_HELP} Repeat it.")
@click.option("--isl", default="2048", metavar="TOKENS", help="Input tokens of a request.  [2048]")
@click.option("--osl", default="512", metavar="TOKENS", help="Output tokens of a request.  [512]")
@click.option("--batch", default="1,8,64", metavar="B,…", help="Sequences decoded together.  [1,8,64]")
@click.option("--quantization", metavar="PRESET", help="Formats of pools that do not say theirs.")
@_with_format
def compare(
    model: str, pools: tuple[str, ...], isl: str, osl: str, batch: str, quantization: str | None, form: str
) -> Answer:
    """Prefill and decode of MODEL on pools of silicon.

    Prefill is of one prompt of --isl tokens. Decode is at each batch, at the mean context isl + osl/2. The exit status
    is 1 where something does not fit.
    """
    from roofline.show import questions
    from roofline.show.comparison import Question
    from roofline.show.numbers import number, numbers

    question = Question(number("isl", isl), number("osl", osl), numbers("batch", batch))
    return questions.asked(model, pools, question, quantization, form)


@roofline.command(epilog=_MODEL_HELP)
@click.argument("model")
@click.option("--on", "pools", multiple=True, required=True, metavar=_POOL, help=_POOL_HELP)
@click.option("--batch", default="1", metavar="B", help="Sequences in flight.  [1]")
@click.option("--context", default="4096", metavar="TOKENS", help="Tokens in the cache; in prefill the prompt.  [4096]")
@click.option("--phase", default="decode", metavar="PHASE", help="decode or prefill.  [decode]")
@click.option("--quantization", metavar="PRESET", help="Formats, where the pool does not say.")
@_with_format
def explain(
    model: str, pools: tuple[str, ...], batch: str, context: str, phase: str, quantization: str | None, form: str
) -> Answer:
    """Where the time of MODEL goes, term by term.

    One prefill or decode step on one pool, with what the numbers rest on.
    """
    from roofline.show import questions
    from roofline.show.numbers import number

    point = number("batch", batch), number("context", context)
    return questions.explanation(model, pools, *point, phase, quantization, form)


@roofline.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_with_format
def hardware(names: tuple[str, ...], form: str) -> Answer:
    """Parts of silicon, and where their numbers are from.

    All parts; with one NAME every number of it and its source; with several, side by side. NAME is a part of the
    catalogue or a .toml file.
    """
    from roofline.show import hardware_view, part_view

    if not names:
        rows = hardware_view.part_rows()
        return answered(rows, form, lambda width: hardware_view.part_list(rows, width))
    chosen = tuple(dict.fromkeys(names))
    rows = [row for name in chosen for row in part_view.number_rows(name)]
    if len(chosen) == 1:
        return answered(rows, form, lambda width: part_view.part_details(chosen[0], rows, width))
    return answered(rows, form, lambda width: part_view.side_by_side(chosen, rows, width))


@roofline.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_with_format
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


@roofline.command()
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
