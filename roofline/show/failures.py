"""How a command ends: one line on stderr and an exit status, whatever happened."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import click

from roofline.errors import DoesNotFit, InvalidInput, RooflineError, UnknownName
from roofline.show.options import POOL_KEYS

OK, NO, BAD_INPUT, BUG, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141
"""0 ok; 1 the answer is no; 2 bad input; 3 a mistake of ours; interrupted; nobody reads the output any more."""


def concluded(command: Callable[[], int]) -> int:
    """The exit status of a command, with one line on stderr where it failed."""
    try:
        status = command()
        sys.stdout.flush()
    except RooflineError as error:
        status = _said(error, NO if isinstance(error, DoesNotFit) else BAD_INPUT)
    except click.ClickException as error:
        status = _said(_usage(error), BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        status = INTERRUPTED
    except (BrokenPipeError, SystemExit):  # click ends itself where its own help meets a closed pipe
        # The interpreter flushes stdout once more on its way out: give it a place to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = BROKEN_PIPE
    except OSError as error:
        status = _said(f"{error.filename or 'output'}: {error.strerror or error}", BAD_INPUT)
    except Exception as error:  # whatever it is, a traceback helps nobody who types commands
        status = _said(f"a mistake of ours, please report it: {type(error).__name__}: {error}", BUG)
    return status


def _said(what: object, status: int) -> int:
    line = " ".join(str(what).split())
    printable = "".join(character if character.isprintable() else "?" for character in line)
    click.echo(f"roofline: {printable}", err=True)
    return status


def _usage(error: click.ClickException) -> object:
    """Click's complaint in the words of ours: what was given, what was expected, the nearest."""
    context = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption) and context is not None:
        known = [name for parameter in context.command.params for name in parameter.opts]
        key = error.option_name.lstrip("-")
        pool = next((parameter for parameter in context.command.params if "--on" in parameter.opts), None)
        if pool is not None and key in POOL_KEYS:
            name = str(pool.metavar).partition("[")[0]
            expected = f"it with the pool: --on {name},{key}=…"
            return InvalidInput("option", given=error.option_name, expected=expected)
        return UnknownName("option", given=error.option_name, known=[*known, "--help"], expected=_options(context))
    path = context.command_path if context is not None else "roofline"
    command = path.removeprefix("roofline ")
    if isinstance(error, click.MissingParameter) and error.param is not None:
        option = error.param.param_type_name == "option"
        what = f"{error.param.opts[0]} {error.param.metavar or ''}" if option else error.param.human_readable_name
        return f"{command}: got nothing, expected {what}; see {path} --help"
    message = error.format_message().rstrip(".")
    return f"{command}: {message[:1].lower()}{message[1:]}; see {path} --help"


def _options(context: click.Context) -> str:
    options = [parameter for parameter in context.command.params if isinstance(parameter, click.Option)]
    names = [max(option.opts, key=len) for option in options]
    return f"an option of {context.command_path}: {', '.join(names)}"


class Commands(click.Group):
    """A group in the order of its making, with commands of two words; unknown ones are answered with the nearest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they were added."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but two words may be one command, and an unknown name is an `UnknownName`."""
        both = self.get_command(ctx, " ".join(args[:2]))
        if both is not None and len(args) > 1:
            return both.name, both, args[2:]
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            raise UnknownName("command", given=name, known=known, expected=f"one of {', '.join(known)}")
        return super().resolve_command(ctx, args)
