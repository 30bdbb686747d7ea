"""What several commands have in common on the command line: their format, their pools, their formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from roofline.errors import InvalidInput, nearest_names
from roofline.show.records import FORMATS

Command = TypeVar("Command", bound=Callable[..., Any])

POOL_KEYS = (
    *("tp", "pp", "dp", "ep", "quantization", "kv_cache", "state", "all_reduce", "price", "power", "efficiency"),
    *("runtime", "spill", "overlap", "slice"),
)
"""What may be said of a pool."""
POOL = "NAME:N[,tp=8,…]"
POOL_HELP = (
    "Devices of one part: a name of `roofline hardware` or a .toml file, how many, then any of tp, pp, dp, ep, "
    "quantization, kv_cache, state, all_reduce, price (USD/h), power (W), efficiency, runtime, spill (a further "
    "memory), overlap (yes: halves of a batch take turns), slice (tokens of a prompt at a time)."
)
MODEL_HELP = "MODEL is a name of `roofline model`, a Hugging Face id among them, or a config.json."


def with_format(command: Command) -> Command:
    """The option `--format`, after a command or before it."""
    option = click.option("--format", "form", metavar="FORMAT", callback=_form, help=f"{', '.join(FORMATS)}.")
    return option(command)


def with_quantization(command: Command) -> Command:
    """The option `--quantization`."""
    words = "Formats of pools that do not say theirs."
    return click.option("--quantization", metavar="PRESET", help=words)(command)


def with_lengths(command: Command) -> Command:
    """The options `--isl` and `--osl`."""
    isl = click.option("--isl", default="2048", metavar="TOKENS", help="Input tokens of a request.  [2048]")
    osl = click.option("--osl", default="512", metavar="TOKENS", help="Output tokens of a request.  [512]")
    return isl(osl(command))


def chosen(what: str, value: str, known: tuple[str, ...]) -> str:
    """One of a few words; `InvalidInput` with the nearest otherwise.

    >>> chosen("--kind", "hbm", ("sram", "hbm"))
    'hbm'
    """
    if value not in known:
        near = next(iter(nearest_names(value, known)), None)
        raise InvalidInput(what, given=value, expected=f"one of {', '.join(known)}", nearest=near)
    return value


def _form(context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    """The format asked for, after the command or before it."""
    if value is None:
        return str(context.parent.params.get("form") or "table") if context.parent else "table"
    return chosen("--format", value, FORMATS)
