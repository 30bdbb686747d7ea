"""Commands that estimate: one model on pools of silicon.

Commands import what they need when they run, so that help and complaints come at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import click

from roofline.show.answer import Answer
from roofline.show.options import MODEL_HELP, POOL, POOL_HELP, with_format, with_quantization


@click.command(epilog=MODEL_HELP)
@click.argument("model")
@click.option("--on", "pools", multiple=True, required=True, metavar=POOL, help=f"{POOL_HELP} Repeat it.")
@click.option("--isl", default="2048", metavar="TOKENS", help="Input tokens of a request.  [2048]")
@click.option("--osl", default="512", metavar="TOKENS", help="Output tokens of a request.  [512]")
@click.option("--batch", default="1,8,64", metavar="B,…", help="Sequences decoded together.  [1,8,64]")
@with_quantization
@with_format
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


@click.command(epilog=MODEL_HELP)
@click.argument("model")
@click.option("--on", "pools", multiple=True, required=True, metavar=POOL, help=POOL_HELP)
@click.option("--batch", default="1", metavar="B", help="Sequences in flight.  [1]")
@click.option("--context", default="4096", metavar="TOKENS", help="Tokens in the cache; in prefill the prompt.  [4096]")
@click.option("--phase", default="decode", metavar="PHASE", help="decode or prefill.  [decode]")
@with_quantization
@with_format
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


COMMANDS = (compare, explain)
"""In the order of the help."""
