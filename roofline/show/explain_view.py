"""One estimate, term by term: rows for programs, and its explanation with a little colour for a terminal."""

from __future__ import annotations

from roofline.estimate.estimate import Estimate
from roofline.show.lines import Line
from roofline.show.records import Row

_RESOURCES = ("compute", "memory", "feed", "network", "overhead", "total")
_HEADINGS = ("Missing", "Assumed", "Sources")


def term_rows(estimate: Estimate) -> list[Row]:
    """The terms of an estimate in seconds, the longest first; their totals sum to its seconds."""
    terms = sorted(estimate.terms.items(), key=lambda item: -float(item[1].total))  # type: ignore[arg-type]
    return [
        {
            "term": name,
            **{resource: float(getattr(times, resource)) for resource in _RESOURCES},
            "bound": times.bound,
        }
        for name, times in terms
    ]


def explained(estimate: Estimate, _width: int) -> list[Line]:
    """The estimate's own explanation: title and headings bold, what is small print dim."""
    out = []
    heading = ""
    for number, text in enumerate(estimate.explain().splitlines()):
        if text in _HEADINGS:
            heading = text
        style = ""
        if number == 0 or text in _HEADINGS:
            style = "bold"
        elif heading == "Sources" or text.startswith(("term ", "in ")):
            style = "dim"
        out.append(Line((text, style)))
    return out
