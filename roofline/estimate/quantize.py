"""Which formats a part runs a model in: as asked where it can, refused where it cannot, and what nearest it could."""

from __future__ import annotations

from dataclasses import dataclass

from roofline.describe.formats import INDEX_SCORES, PRESETS, Quantization, number_format
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.errors import UnsupportedFormat


@dataclass(frozen=True)
class Runnable:
    """A quantization as a part computes it: `peaks` says which of its peaks bounds each compute format."""

    quantization: Quantization
    peaks: dict[str, str]
    notes: tuple[str, ...]


def runnable(quantization: Quantization, accelerator: HbmAccelerator | SramAccelerator) -> Runnable:
    """How a part runs a quantization, with what had to be substituted; `UnsupportedFormat` where it cannot.

    Linear layers and experts run in the format asked for or not at all, with two exceptions that every stack makes: a
    part without MXFP4 products multiplies such weights in bf16, and a 16-bit format that a part lacks is computed in
    the other one. Attention and head, small beside them, run at the widest published rate where no 16-bit rate is.
    Index scores of sparse attention run as attention does where a part has no peak for them.
    """
    name, notes = accelerator.name, list[str]()
    if quantization.activations == "mxfp4" and accelerator.runs("mxfp4") is None:
        quantization = quantization.with_(activations="bf16")
        notes.append(f"{name} has no MXFP4 peak: such weights are multiplied in bf16")
    peaks: dict[str, str] = {}
    for computed in sorted({quantization.computation(part) for part in ("linear", "experts")}):
        peaks[computed] = accelerator.peak_for(computed)
    for computed in sorted({quantization.computation("lm_head"), quantization.attention}):
        peak = accelerator.runs(computed)
        if peak is None:
            peak = min(accelerator.peak, key=lambda known: (-_bits(known), accelerator.peak[known].value))
            notes.append(
                f"no {computed} peak of {name} is published: attention and head are taken to run at its {peak} rate"
            )
        peaks[computed] = peak
    peaks.setdefault(INDEX_SCORES, accelerator.runs(INDEX_SCORES) or peaks[quantization.attention])
    for computed, peak in peaks.items():
        if computed != peak and _bits(computed) == _bits(peak) == 16:
            notes.append(f"{name} has no {computed} peak: {peak}, of the same width, is taken")
    return Runnable(quantization, peaks, tuple(dict.fromkeys(notes)))


def native_quantization(wanted: Quantization, accelerator: HbmAccelerator | SramAccelerator) -> Quantization:
    """The formats wanted where the part runs them, else the part's nearest preset, by the width of the weights."""
    for candidate in (wanted, *_nearest_first(wanted)):
        try:
            runnable(candidate, accelerator)
        except UnsupportedFormat:
            continue
        return candidate
    own = accelerator.supported_formats()
    expected = f"a Quantization in formats it computes in: {', '.join(own)}"
    raise UnsupportedFormat(f"format on {accelerator.name}", given=wanted.label, expected=expected, nearest=own[0])


def substitution(wanted: Quantization, taken: Quantization, accelerator: HbmAccelerator | SramAccelerator) -> str:
    """What to say of formats that are taken because a part does not run those wanted; nothing where it does."""
    if taken.weights == wanted.weights and taken.experts == wanted.experts:
        return ""
    return f"{accelerator.name} does not run the model's own {wanted.label}: {taken.label}, its nearest, is taken"


def _nearest_first(wanted: Quantization) -> list[Quantization]:
    bits = float(number_format(wanted.weights).bits)
    presets = [PRESETS[name] for name in ("fp8", "int8", "bf16", "nvfp4", "mxfp4", "w8a16", "w4a16")]
    return sorted(presets, key=lambda preset: abs(float(number_format(preset.weights).bits) - bits))


def _bits(name: str) -> int:
    return 4 if name == "fp4" else number_format(name).element_bits
