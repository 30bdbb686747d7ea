"""Commands that estimate: one model on pools of silicon.

Commands import what they need when they run, so that help and complaints come at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from typing import Any

import click

from roofline.show.answer import Answer
from roofline.show.options import MODEL_HELP, POOL, POOL_HELP, with_format, with_lengths, with_quantization


@click.command(epilog=MODEL_HELP)
@click.argument("model")
@click.option("--on", "pools", multiple=True, required=True, metavar=POOL, help=f"{POOL_HELP} Repeat it.")
@with_lengths
@click.option("--batch", default="1,8,64", metavar="B,…", help="Sequences on each replica, whole or a mean.  [1,8,64]")
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
    from roofline.show.axes import axis
    from roofline.show.comparison import Question
    from roofline.show.numbers import number

    question = Question(number("isl", isl), number("osl", osl), tuple(axis("batch", batch)))
    return questions.asked(model, pools, question, quantization, form)


@click.command(epilog=MODEL_HELP)
@click.argument("model")
@click.option("--on", "pools", multiple=True, required=True, metavar=POOL, help=f"{POOL_HELP} Repeat it.")
@click.option("--phase", default="decode", metavar="PHASE", help="decode or prefill.  [decode]")
@click.option("--batch", metavar="B,…", help="Sequences in flight: 1,8,64 or 1:256:x2.  [1:256:x2; prefill 1]")
@click.option(
    "--context", default="4096", metavar="TOKENS,…", help="Tokens in the cache; in prefill the prompt.  [4096]"
)
@click.option(
    "--vary", multiple=True, metavar="PATH=V,…", help="A hardware number or a rank: memory.bandwidth=3TB/s,4TB/s."
)
@click.option("--pareto", is_flag=True, help="Only points that none beats per user and per device.")
@click.option("--maximize", metavar="KEY,…", help="Only points that none beats in these …")
@click.option("--minimize", metavar="KEY,…", help="… and these keys of the rows.")
@with_quantization
@with_format
def sweep(
    model: str,
    pools: tuple[str, ...],
    phase: str,
    batch: str | None,
    context: str,
    vary: tuple[str, ...],
    pareto: bool,
    maximize: str | None,
    minimize: str | None,
    quantization: str | None,
    form: str,
) -> Answer:
    """Every combination of batches, contexts and hardware numbers.

    Every point is that of the pool asked there alone: a layout that the pool leaves open is chosen anew at each. The
    exit status is 1 where no point fits.
    """
    from roofline.show.sweep_view import Wanted, answer

    wanted = Wanted.parse(phase, batch, context, vary, pareto=pareto, maximize=maximize, minimize=minimize)
    return answer(model, pools, wanted, quantization, form)


@click.command(epilog=MODEL_HELP)
@click.argument("model")
@click.option("--on", "pools", multiple=True, required=True, metavar=POOL, help=POOL_HELP)
@click.option("--batch", default="1", metavar="B", help="Sequences in flight.  [1]")
@click.option("--context", default="4096", metavar="TOKENS", help="Tokens in the cache; in prefill the prompt.  [4096]")
@click.option("--phase", default="decode", metavar="PHASE", help="decode or prefill.  [decode]")
@click.option("--crossovers", is_flag=True, help="Where what overtakes what, from this point, in place of the terms.")
@click.option("--layouts", is_flag=True, help="Instead, the layouts for one user, for many, and on the fewest devices.")
@with_quantization
@with_format
def explain(
    model: str,
    pools: tuple[str, ...],
    batch: str,
    context: str,
    phase: str,
    crossovers: bool,
    layouts: bool,
    quantization: str | None,
    form: str,
) -> Answer:
    """Where the time of MODEL goes, term by term.

    One prefill or decode step on one pool, with what the numbers rest on; or, with --layouts, three ways to lay MODEL
    on the pool, of those that its ranks leave open.
    """
    from roofline.errors import InvalidInput
    from roofline.show import questions
    from roofline.show.numbers import one_number

    if crossovers and layouts:
        raise InvalidInput("--layouts and --crossovers", given="both", expected="one of them")
    point = (
        one_number("batch", batch, "explain is of one step, compare and sweep take several"),
        one_number("context", context, "explain is of one step, sweep takes several"),
    )
    if crossovers:
        return questions.overtaken(model, pools, *point, phase, quantization, form)
    if layouts:
        return questions.three_layouts(model, pools, point[1], quantization, form)
    return questions.explanation(model, pools, *point, phase, quantization, form)


@click.command(epilog=MODEL_HELP)
@click.argument("model")
@click.option("--on", multiple=True, metavar=POOL, help=f"Both phases on one pool. {POOL_HELP} Repeat it.")
@click.option("--prefill", multiple=True, metavar=POOL, help="Prompts on a pool of their own …")
@click.option("--decode", multiple=True, metavar=POOL, help="… and generation on another.")
@click.option("--attention", multiple=True, metavar=POOL, help="Attention and caches on one pool …")
@click.option("--ffn", multiple=True, metavar=POOL, help="… and feed-forwards on another.")
@click.option("--link", metavar="LINK", help='Between pools, per device: "400 Gbit/s,2us", or groq-lpu-v1.node.')
@click.option("--draft", metavar="MODEL", help="Each system once more, with drafts; mtp: a layer of MODEL itself.")
@click.option("--draft-on", metavar=POOL, help="Devices of the draft.  [those of MODEL]")
@click.option("--draft-length", metavar="TOKENS", help="Tokens drafted per step.  [4; mtp 1]")
@click.option("--acceptance", metavar="SHARE", help="Probability that a drafted token is accepted.")
@with_lengths
@click.option("--concurrency", metavar="N,…", help="Requests in flight.  [16]")
@click.option("--rate", metavar="R,…", help="Requests that arrive per second, instead.")
@click.option("--cached-share", default="0", metavar="SHARE", help="Share of each prompt that is cached.  [0]")
@click.option("--lengths", default="varied", metavar="HOW", help="Of requests: varied, or all equal.  [varied]")
@click.option("--chunk", metavar="TOKENS", help="Most prompt tokens in a step, or in a pass of a prefill pool.")
@click.option("--max-batch", metavar="N", help="Most sequences that a replica decodes at once.  [as many as fit]")
@with_quantization
@with_format
def serve(
    model: str,
    draft: str | None,
    draft_on: str | None,
    draft_length: str | None,
    acceptance: str | None,
    isl: str,
    osl: str,
    concurrency: str | None,
    rate: str | None,
    cached_share: str,
    lengths: str,
    chunk: str | None,
    max_batch: str | None,
    quantization: str | None,
    form: str,
    **pools: Any,
) -> Answer:
    """A traffic on MODEL in steady state, way by way of serving it.

    Each --on is a system of its own, and so is each --prefill with each --decode, and each --attention with each --ffn;
    --prefill with --attention and --ffn but no --decode splits three ways. The exit status is 1 where something does
    not fit or cannot keep up.
    """
    from roofline.show.numbers import given_numbers
    from roofline.show.serve_systems import Asked, Draft
    from roofline.show.serve_view import answer, loads

    most = given_numbers(chunk=chunk, max_batch=max_batch)
    offered = loads(isl, osl, concurrency, rate, cached_share, lengths)
    asked = Asked(**pools, draft=Draft.parse(draft, draft_length, acceptance, draft_on))
    return answer(model, asked, offered, most, quantization=quantization, form=form)


@click.command(epilog=MODEL_HELP)
@click.argument("kind", metavar="KIND")
@click.argument("model")
@click.option("--on", "pools", multiple=True, required=True, metavar=POOL, help=f"{POOL_HELP} Repeat it.")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where it is drawn: .svg, .png or .pdf.")
@click.option("--phase", default="decode", metavar="PHASE", help="decode or prefill.  [decode]")
@click.option("--batch", metavar="B,…", help="Sequences in flight.  [1:256:x2; breakdown 1,8,64]")
@click.option(
    "--context", default="4096", metavar="TOKENS,…", help="Tokens in the cache; in prefill the prompt.  [4096]"
)
@with_quantization
def plot(
    kind: str,
    model: str,
    pools: tuple[str, ...],
    output: str,
    phase: str,
    batch: str | None,
    context: str,
    quantization: str | None,
) -> Answer:
    """Draw a roofline, a pareto front or a breakdown.

    KIND roofline: what steps reach beneath the roofs of memory and arithmetic. pareto: speed of a user against tokens
    of a device. breakdown: what the time of a step is owed to. Needs matplotlib.
    """
    from roofline.show.plot_questions import drawn

    return drawn(
        kind, model, pools, phase=phase, batch=batch, context=context, quantization=quantization, output=output
    )


@click.command(epilog=MODEL_HELP)
@click.argument("model")
@click.option(
    "--on",
    "parts",
    multiple=True,
    required=True,
    metavar="PART[,KEY=…]",
    help="A part to rent, any number, with the price, efficiency or formats of a pool. Repeat it.",
)
@click.option("--ttft", metavar="TIME", help="Longest wait for the first token, such as 500ms.")
@click.option("--tpot", metavar="TIME", help="Longest mean gap between tokens, such as 20ms.")
@with_lengths
@click.option("--concurrency", metavar="N", help="Requests in flight.  [16]")
@click.option("--rate", metavar="R", help="Requests that arrive per second, instead.")
@click.option("--cached-share", default="0", metavar="SHARE", help="Share of each prompt that is cached.  [0]")
@click.option("--lengths", default="varied", metavar="HOW", help="Of requests: varied, or all equal.  [varied]")
@click.option("--link", metavar="LINK", help='Splits of prefill and decode too, over "400 Gbit/s,2us".')
@click.option(
    "--minimize",
    default="usd_per_request",
    metavar="KEY",
    help="What is to be least.  [usd_per_request]",
)
@click.option("--runtime", metavar="NAME", help="A serving stack, whose host costs are added.")
@click.option("--chunk", metavar="TOKENS", help="Most prompt tokens in a step, or in a pass of a prefill pool.")
@click.option("--max-batch", metavar="N", help="Most sequences that a replica decodes at once.  [as many as fit]")
@click.option("--most-devices", default="1024", metavar="N", help="Devices of all pools.  [1024]")
@with_quantization
@with_format
def plan(
    model: str,
    isl: str,
    osl: str,
    concurrency: str | None,
    rate: str | None,
    cached_share: str,
    lengths: str,
    quantization: str | None,
    form: str,
    **given: Any,
) -> Answer:
    """Which silicon serves a traffic of MODEL within an objective.

    Each PART is tried in counts from the fewest that hold the model, in replicas of several sizes, and with --link
    every pair of parts in split phases. The exit status is 1 where nothing keeps to the objective.
    """
    from roofline.errors import InvalidInput
    from roofline.show.plan_view import Asked, answer
    from roofline.show.serve_view import loads

    asked = Asked.parse(**given)
    offered = loads(isl, osl, concurrency, rate, cached_share, lengths)
    if len(offered) > 1:
        raise InvalidInput("plan", given=f"{len(offered)} loads", expected="one load; serve takes several")
    return answer(model, asked, offered[0], quantization, form)


COMMANDS = (compare, serve, plan, sweep, explain, plot)
"""In the order of the help."""
