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
from roofline.trust.service_advice import advice
from roofline.trust.service_fit import (
    CONFIDENCE,
    USUAL,
    Figure,
    Fitted,
    Observation,
    fitted,
    observations,
    scaled,
    scattering,
)

HOST: dict[str, KernelClass] = {
    "step": "host_step",
    "sequence": "host_sequence",
    "prompt": "host_prompt",
    "request": "host_request",
}
LIKELIEST = "what is not identified is in the file as well: the likeliest beside the others, from what is usual"


@dataclass(frozen=True)
class ServiceCalibration:
    """Figures fitted to service, each with its interval, and what became of every time of the `rows`.

    `scattering`: how far the times lie from the fit, in words. `advice`: of each figure that they do not tell, why not,
    and what to measure.
    """

    efficiency: Efficiency
    figures: Mapping[str, Figure]
    quality: Evidence
    rows: int
    fitted: int
    left_out: Mapping[str, int]
    scattering: str
    advice: Mapping[str, str]

    @property
    def report(self) -> str:
        """The figures with their intervals, and what the rows did not identify."""
        lines = [
            f"{self.efficiency.name}: {self.fitted} times of {self.rows} measured rows fitted, "
            f"median error {self.quality.error:.1%}"
        ]
        lines += [f"{name:10s} {described_figure(figure, self.advice)}" for name, figure in self.figures.items()]
        unknown = [figure for figure in self.figures.values() if not figure.identified]
        if any(figure.scattered for figure in unknown):
            lines.append(self.scattering)
        if unknown:
            lines.append(LIKELIEST)
        lines += [f"left out: {count} times, {reason}" for reason, count in self.left_out.items()]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.report


def described_figure(figure: Figure, advised: Mapping[str, str]) -> str:
    """A figure with its interval in words, or what became of it, why it is not told and what to measure."""
    usual, value = (_amount(figure.name, each) for each in (USUAL[figure.name][0], figure.value))
    if figure.identified:
        low, high = (_digits(figure.name, each) for each in (figure.low, figure.high))
        return f"{value} ({CONFIDENCE:.0%} interval {low} to {high})"
    taken = f"the usual {usual} kept" if figure.kept else f"moved from the usual {usual} to {value}"
    if not figure.usual:
        taken += ", which may make up for what the form does not know"
    return f"not identified, {taken}; {advised[figure.name]}"


def _amount(name: str, value: float) -> str:
    return f"{_digits(name, value)} ms" if name in HOST else f"× {_digits(name, value)}"


def _digits(name: str, value: float) -> str:
    return f"{value * 1e3:.3g}" if name in HOST else f"{value:.3f}"


def calibrate_service(rows: Sequence[Row], unread: Mapping[str, int] | None = None) -> ServiceCalibration:
    """Fitted figures from rows of measured service, all of one part; `unread` counts results without a row by reason.

    `InvalidInput` where nothing can be told, and where no figures bring the times near what was measured.
    """
    parts = sorted({served(row).accelerator for row in rows})
    if len(parts) != 1:
        raise InvalidInput("accelerator", given=", ".join(parts) or None, expected="rows of one part")
    seen, left_out = observations(rows)
    left_out = {**(unread or {}), **left_out}
    without = f"; left out: {'; '.join(left_out)}" if left_out else ""
    if len(seen) < 2:
        raise InvalidInput("measured service", given=f"{len(seen)} usable times", expected=f"at least two{without}")
    first = fitted(seen)
    # How many sequences were in a step depends on how long prompts take, which is known now.
    unsaid = dict.fromkeys(first.figures, "")
    known = _efficiency(parts[0], rows, first, evidence(first.predicted, first.measured), unsaid)
    seen, _ = observations(rows, known)
    fit = fitted(seen)
    said, advised = scattering(fit.predicted, fit.measured, fit.scatter), _advised(seen, fit)
    if not any(figure.identified for figure in fit.figures.values()):
        scattered = any(figure.scattered for figure in fit.figures.values())
        wanted = f"times nearer to one fit: {said}" if scattered else f"others; {_listed(advised)}"
        raise InvalidInput("measured service", given="times that identify no figure", expected=f"{wanted}{without}")
    shown = evidence(fit.predicted, fit.measured)
    return ServiceCalibration(
        _efficiency(parts[0], rows, fit, shown, advised),
        fit.figures,
        shown,
        len(rows) + sum((unread or {}).values()),
        len(seen),
        left_out,
        f"the times: {said}",
        advised,
    )


def _advised(seen: Sequence[Observation], fit: Fitted) -> dict[str, str]:
    """Of each figure that is not identified, why not and what to measure."""
    unknown = [figure for figure in fit.figures.values() if not figure.identified]
    silent = advice(seen, [figure.name for figure in unknown if not figure.scattered], fit.scatter)
    return {figure.name: silent.get(figure.name, "times that scatter less would tell it") for figure in unknown}


def _listed(advised: Mapping[str, str]) -> str:
    return ". ".join(f"{name}: {words}" for name, words in advised.items())


def _efficiency(name: str, rows: Sequence[Row], fit: Fitted, shown: Evidence, advised: Mapping[str, str]) -> Efficiency:
    """The part's own figures and its class's under the factors, with the host's costs."""
    part = described(name)
    *own, base = Rates.of(part, "calibrated", {}).sources
    for source in reversed(own):
        base = _over(source, base)
    figures = fit.figures
    known = scaled(base, figures["memory"].value, figures["compute"].value)
    words = "; ".join(f"{each.name}: {described_figure(each, advised)}" for each in figures.values())
    host = {HOST[each.name]: {"any": _host(each, shown, advised)} for each in figures.values() if each.name in HOST}
    return Efficiency(
        name=part.name,
        source=f"{len(fit.measured)} measured times of service ({_served(rows)}), over {base.source}",
        note=words,
        kernels={**known.kernels, **host},
        collectives=known.collectives,
        stacks=known.stacks,
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
    stacks = {
        stack: {name: fit for name, fit in fits.items() if name not in own.collectives} | own.stacks.get(stack, {})
        for stack, fits in {**own.stacks, **default.stacks}.items()
    }
    collectives = {**default.collectives, **own.collectives}
    return own.model_copy(update={"kernels": kernels, "collectives": collectives, "stacks": stacks})


def _host(figure: Figure, shown: Evidence, advised: Mapping[str, str]) -> KernelFit:
    return KernelFit.fixed(figure.value, f"{figure.name}: {described_figure(figure, advised)}", **asdict(shown))
