"""One estimate, term by term: rows for programs, and its explanation with a little colour for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from roofline.estimate.deployment import Deployment
from roofline.estimate.estimate import Estimate
from roofline.estimate.explanation import bound_of
from roofline.estimate.times import RESOURCES
from roofline.explore.sensitivity import Sensitivity
from roofline.show.lines import Line, paragraph
from roofline.show.records import Row
from roofline.show.rows import estimate_row

_FELT = 0.02
"""Elasticity below which a better number buys nothing worth a line."""
_MOST = 4
"""Numbers of the hardware that are shown."""
_UNIT = " more tokens per second"
_HEADINGS = ("Missing", "Assumed", "Sources")


def whole_row(name: str, deployment: Deployment, estimate: Estimate) -> Row:
    """The estimate as comparisons have it, what each resource is owed of its seconds [s], and its terms in a list.

    `name` is how the pool was typed; `deployment` has the layout of the estimate.
    """
    room = deployment.capacity(float(estimate.context)).max_batch
    row = estimate_row(name, deployment, estimate, max_batch=room)
    owed = {resource: float(seconds) for resource, seconds in estimate.attributed.items()}
    return {**row, "attributed": owed, "terms": term_rows(estimate)}


def term_rows(estimate: Estimate) -> list[Row]:
    """The terms that take time in seconds, the longest first; their totals sum to the estimate's seconds.

    A term's resources overlap and need not sum to its total.
    """
    taken = [(name, times) for name, times in estimate.terms.items() if float(times.total)]  # type: ignore[arg-type]
    terms = sorted(taken, key=lambda item: -float(item[1].total))  # type: ignore[arg-type]
    return [
        {
            "term": name,
            **{resource: float(getattr(times, resource)) for resource in RESOURCES},
            "total": float(times.total),  # type: ignore[arg-type]
            "bound": bound_of(times),
        }
        for name, times in terms
    ]


def explained(estimate: Estimate, bought: Sequence[str], width: int) -> list[Line]:
    """The estimate's own explanation, title and headings bold and small print dim, with what better hardware buys."""
    out: list[Line] = []
    heading = ""
    for number, text in enumerate(estimate.explain().splitlines()):
        if text in _HEADINGS:
            if not heading and bought:
                out += [*_bought(bought, width), Line()]
            heading = text
        style = ""
        if number == 0 or text in _HEADINGS:
            style = "bold"
        elif heading == "Sources" or text.startswith(("term ", "in ")):
            style = "dim"
        out.append(Line((text, style)))
    return out


def buying(found: Sensitivity) -> list[str]:
    """What a tenth better buys in tokens per second: numbers of the part first, then of kernels; those that matter."""
    order = sorted(found.numbers, key=lambda path: -abs(found[path]))
    felt = [path for path in order if abs(found[path]) >= _FELT]
    software = [path for path in felt if path.startswith(("kernels.", "collectives."))]
    hardware = [path for path in felt if path not in software]
    return [found.buys(path).removesuffix(_UNIT) for path in (*hardware[:_MOST], *software[: _MOST - 1])]


def _bought(sentences: Sequence[str], width: int) -> list[Line]:
    out = [Line(("To buy", "bold"), ("  in tokens per second, all else as it is", "dim"))]
    for sentence in sentences:
        out += paragraph(sentence, width, bullet="· ")
    return out
