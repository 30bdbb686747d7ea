"""What the commands about estimates answer."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from roofline.describe.model_catalog import load_model
from roofline.errors import InvalidInput, nearest_names
from roofline.estimate.deployment import Deployment
from roofline.explore.every_crossover import crossovers
from roofline.explore.sensitivity import sensitivity
from roofline.show.answer import Answer, answered
from roofline.show.comparison import DEMO_MODEL, DEMO_POOLS, DEMO_QUESTION, Question, compared, estimated
from roofline.show.crossover_view import crossed, crossover_rows
from roofline.show.explain_view import buying, explained, term_rows, whole_row
from roofline.show.failures import NO, OK
from roofline.show.findings import Names
from roofline.show.layouts_view import answer as layouts_answer
from roofline.show.lines import Line
from roofline.show.pools import Pool
from roofline.show.progress import telling, tracked
from roofline.show.records import Row
from roofline.show.tables import DOCUMENT, comparison

PHASES = ("decode", "prefill")


def demonstrated(form: str) -> Answer:
    """The worked comparison: one model on five pools."""
    pools = [Pool.parse(text) for text in DEMO_POOLS]
    rows = compared(load_model(DEMO_MODEL), pools, DEMO_QUESTION)
    names = Names.of(pools)
    commands = [
        "roofline compare your/config.json --on h100-sxm:8 --on groq-3-lpu:256",
        *_further(DEMO_MODEL, pools, DEMO_QUESTION, rows),
        "roofline hardware        roofline model        roofline --help",
    ]
    title = f"{DEMO_MODEL}: which silicon, and what does a token cost?"

    def view(width: int) -> list[Line]:
        return comparison(rows, names, title=title, next_commands=commands, width=width)

    return answered(rows, form, view, document=DOCUMENT)


def asked(model: str, texts: Sequence[str], question: Question, quantization: str | None, form: str) -> Answer:
    """A comparison as asked for; status 1 where something does not fit."""
    shape = load_model(model)
    pools = [Pool.parse(text) for text in texts]
    rows = compared(
        shape, pools, question, quantization=quantization, tracked=lambda given: tracked(list(given), "estimating")
    )
    names = Names.of(pools)
    title = f"{shape.name}: {question.isl:,g} tokens in, {question.osl:,g} out"
    commands = _further(model, pools, question, rows, quantization)

    def view(width: int) -> list[Line]:
        return comparison(rows, names, title=title, next_commands=commands, width=width)

    return answered(rows, form, view, OK if all(row["fits"] for row in rows) else NO, document=DOCUMENT)


def explanation(
    model: str, texts: Sequence[str], batch: float, context: float, phase: str, quantization: str | None, form: str
) -> Answer:
    """Where the time of one step goes; `DoesNotFit` where there is none."""
    deployment = _one_pool(model, texts, phase, quantization)
    estimate = estimated(deployment, phase, batch, context)

    def view(width: int) -> list[Line]:
        if phase == "decode":
            answers = sensitivity(deployment.decode, batch=batch, context=context)
        else:
            answers = sensitivity(deployment.prefill, batch=batch, prompt=context)
        return explained(estimate, buying(answers), width)

    if form == "json":
        return answered([whole_row(texts[0].strip(), deployment.with_layout(estimate.layout), estimate)], form, view)
    return answered(term_rows(estimate), form, view)


def overtaken(
    model: str, texts: Sequence[str], batch: float, context: float, phase: str, quantization: str | None, form: str
) -> Answer:
    """Where each quantity of a step overtakes each other one; an open layout is that of the point."""
    deployment = _one_pool(model, texts, phase, quantization).laid_out(batch, context)
    point = {"batch": batch, "context" if phase == "decode" else "prompt": context}
    with telling("searching") as told:
        asked_of = deployment.decode if phase == "decode" else deployment.prefill
        found = crossovers(asked_of, None, lambda done, total: told(f"{done:,} of {total:,} pairs"), **point)
    title = f"{deployment.model.name} on {deployment.devices:,} × {deployment.accelerator.name}, {deployment.layout}"

    def view(width: int) -> list[Line]:
        return crossed(found, f"{title}: {phase}", point, width)

    return answered(crossover_rows(found), form, view)


def three_layouts(model: str, texts: Sequence[str], context: float, quantization: str | None, form: str) -> Answer:
    """The layouts of one pool for one user, for many, and on the fewest devices; `DoesNotFit` where there is none."""
    return layouts_answer(_one_pool(model, texts, PHASES[0], quantization), context, form)


def _one_pool(model: str, texts: Sequence[str], phase: str, quantization: str | None) -> Deployment:
    if phase not in PHASES:
        near = nearest_names(phase, PHASES)
        expected = " or ".join(PHASES)
        raise InvalidInput("--phase", given=phase, expected=expected, nearest=near[0] if near else None)
    if len(texts) != 1:
        raise InvalidInput("--on", given=f"{len(texts)} pools", expected="one pool to explain; compare takes several")
    return Pool.parse(texts[0]).deployment(load_model(model), quantization)


def _further(
    model: str, pools: Sequence[Pool], question: Question, rows: Sequence[Row], quantization: str | None = None
) -> list[str]:
    """A command that goes on from a comparison: one step explained of those that fit, else devices that are enough."""
    formats = ["--quantization", quantization] if quantization else []
    for pool in pools:
        fitting = [row for row in rows if row["fits"] and row["deployment"] == pool.text]
        if fitting:
            row = max(fitting, key=lambda row: (row["phase"] == "decode", row["batch"]))
            point = ["--batch", f"{row['batch']:.10g}", "--context", f"{row['context']:.10g}"]
            phase = [] if row["phase"] == "decode" else ["--phase", row["phase"]]
            return [shlex.join(["roofline", "explain", model, "--on", pool.text, *point, *phase, *formats])]
    counts = {pool.text: [row["min_devices"] for row in rows if row["deployment"] == pool.text] for pool in pools}
    able = [pool for pool in pools if all(counts[pool.text])]
    enough = dict.fromkeys(pool.typed_on(max(counts[pool.text])) for pool in able)
    on = [word for text in enough for word in ("--on", text)]
    lengths = ["--isl", f"{question.isl:.10g}", "--osl", f"{question.osl:.10g}"]
    batches = ["--batch", ",".join(f"{batch:.10g}" for batch in question.batches)]
    return [shlex.join(["roofline", "compare", model, *on, *lengths, *batches, *formats])] if on else []
