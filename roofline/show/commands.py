"""The command `roofline`: its commands, and what it answers without one."""

from __future__ import annotations

from collections.abc import Sequence

import click

from roofline.show import catalogue_commands, estimate_commands, measured_commands
from roofline.show.answer import Answer, tolerate_any_encoding
from roofline.show.failures import OK, Commands, concluded
from roofline.show.options import with_format


def run(arguments: Sequence[str] | None) -> int:
    """Answer a command line, by default that of the process; the exit status."""
    tolerate_any_encoding()

    def command() -> int:
        given = None if arguments is None else list(arguments)
        answer = roofline.main(args=given, prog_name="roofline", standalone_mode=False)
        return answer.write() if isinstance(answer, Answer) else OK

    return concluded(command)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="For example: roofline compare llama-3.1-8b --on h100-sxm:1 --on mi300x:1 --batch 1,64",
)
@click.version_option(package_name="roofline", message="%(prog)s %(version)s")
@with_format
@click.pass_context
def roofline(context: click.Context, form: str) -> Answer | None:
    """Which silicon should run this language model, and what will a token cost?

    Without a command: a worked comparison of one model on five pools of silicon.
    """
    if context.invoked_subcommand is not None:
        return None
    from roofline.show import questions  # noqa: PLC0415

    return questions.demonstrated(form)


for _home in (estimate_commands, catalogue_commands, measured_commands):
    for _command in _home.COMMANDS:
        roofline.add_command(_command)
