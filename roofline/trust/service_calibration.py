"""A calibration out of the results of a serving benchmark: the part's figures scaled, the host's costs beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from roofline.describe.catalog import accelerator as described
from roofline.describe.efficiency import Efficiency, KernelClass, KernelFit
from roofline.errors import InvalidInput
from roofline.estimate.rates import Rates
from roofline.trust.fitting import Evidence, evidence
from roofline.trust.measured_rows import Row, served
from roofline.trust.service_fit import ADVICE, CONFIDENCE, Figure, Fitted, fitted, observations, scaled, scattering

HOST: dict[str, KernelClass] = {
    "step": "host_step",
    "sequence": "host_sequence",
    "prompt": "host_prompt",
    "request": "host_request",
}
USUAL = "what is not identified is in the file as well: the likeliest beside the others, from what is usual"


@dataclass(frozen=True)
class ServiceCalibration:
    """Figures fitted to service, each with its interval, and what became of every time of the `rows`.

    `scattering`: how far the times lie from the fit, in words.
    """

    efficiency: Efficiency
    figures: Mapping[str, Figure]
    quality: Evidence
    rows: int
    fitted: int
    left_out: Mapping[str, int]
    scattering: str

    @property
    def report(self) -> str:
        """The figures with their intervals, and what the rows did not identify."""
        lines = [
            f"{self.efficiency.name}: {self.fitted} times of {self.rows} measured rows fitted, "
            f"median error {self.quality.error:.1%}"
        ]
        lines += [f"{name:10s} {described_figure(figure)}" for name, figure in self.figures.items()]
        unknown = [figure for figure in self.figures.values() if not figure.identified]
        if any(figure.scattered for figure in unknown):
            lines.append(self.scattering)
        if unknown:
            lines.append(USUAL)
        lines += [f"left out: {count} times, {reason}" for reason, count in self.left_out.items()]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.report


def described_figure(figure: Figure) -> str:
    """A figure with its interval in words, or what to measure for it."""
    if figure.name in HOST:
        value, low, high = (f"{each * 1e3:.3g}" for each in (figure.value, figure.low, figure.high))
        value += " ms"
    else:
        value, low, high = (f"{each:.3f}" for each in (figure.value, figure.low, figure.high))
        value = f"× {value}"
    if not figure.identified:
        kept = "about the usual kept" if figure.usual else "it may make up for what the form does not know"
        wanted = "times that scatter less would tell it" if figure.scattered else f"measure {ADVICE[figure.name]}"
        return f"not identified, {kept}: {value}; {wanted}"
    return f"{value} ({CONFIDENCE:.0%} interval {low} to {high})"


def calibrate_service(rows: Sequence[Row], unread: Mapping[str, int] | None = None) -> ServiceCalibration:
    """Fitted figures from rows of measured service, all of one part; `unread` counts results without a row by reason.

    `InvalidInput` where nothing can be told, and where no figures bring the times near what was measured.
    """
    parts = sorted({served(row).accelerator for row in rows})
    if len(parts) != 1:
        raise InvalidInput("accelerator", given=", ".join(parts) or None, expected="rows of one part")
    seen, left_out = observations(rows)
    left_out = {**(unread or {}), **left_out}
    if len(seen) < 2 and left_out:
        given = f"{len(seen)} usable times"
        raise InvalidInput("measured service", given=given, expected=f"at least two; left out: {'; '.join(left_out)}")
    fit = fitted(seen)
    shown = evidence(fit.predicted, fit.measured)
    efficiency, said = _efficiency(parts[0], rows, fit, shown), scattering(fit.predicted, fit.measured, fit.scatter)
    count = len(rows) + sum((unread or {}).values())
    return ServiceCalibration(efficiency, fit.figures, shown, count, len(seen), left_out, f"the times: {said}")


def _efficiency(name: str, rows: Sequence[Row], fit: Fitted, shown: Evidence) -> Efficiency:
    """The part's own figures and its class's under the factors, with the host's costs."""
    part = described(name)
    *own, base = Rates.of(part, "calibrated", {}).sources
    for source in reversed(own):
        base = _over(source, base)
    figures = fit.figures
    known = scaled(base, figures["memory"].value, figures["compute"].value)
    words = "; ".join(f"{each.name}: {described_figure(each)}" for each in figures.values())
    host = {HOST[each.name]: {"any": _host(each, shown)} for each in figures.values() if each.name in HOST}
    return Efficiency(
        name=part.name,
        source=f"{len(fit.measured)} measured times of service ({_served(rows)}), over {base.source}",
        note=words,
        kernels={**known.kernels, **host},
        collectives=known.collectives,
    )


def _served(rows: Sequence[Row]) -> str:
    """The models and serving stacks of the rows."""
    named = (row.get(column) for column in ("model", "runtime") for row in rows)
    return ", ".join(dict.fromkeys(name for name in named if name))


def _over(own: Efficiency, default: Efficiency) -> Efficiency:
    """One source before another, as estimates look them up."""
    kernels = dict(default.kernels)
    for name, formats in own.kernels.items():
        kernels[name] = formats if "any" in formats else {**default.kernels.get(name, {}), **formats}
    return own.model_copy(update={"kernels": kernels, "collectives": {**default.collectives, **own.collectives}})


def _host(figure: Figure, shown: Evidence) -> KernelFit:
    return KernelFit.fixed(figure.value, f"{figure.name}: {described_figure(figure)}", **asdict(shown))
