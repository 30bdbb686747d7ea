"""Which formats a part runs a model in: as asked where it can, refused where it cannot, and what nearest it could."""

from __future__ import annotations

from roofline.describe.formats import PRESETS, Quantization, number_format
from roofline.describe.hardware import HbmAccelerator, SramAccelerator
from roofline.errors import UnsupportedFormat


def runnable(
    quantization: Quantization, accelerator: HbmAccelerator | SramAccelerator
) -> tuple[Quantization, tuple[str, ...]]:
    """The quantization as the part computes it, with what was substituted; `UnsupportedFormat` where it cannot.

    A part without MXFP4 products multiplies such weights in bf16, as every serving stack does. A 16-bit format that a
    part lacks is computed in the other one.
    """
    notes: list[str] = []
    if quantization.activations == "mxfp4" and accelerator.runs("mxfp4") is None:
        quantization = quantization.with_(activations="bf16")
        notes.append(f"{accelerator.name} has no MXFP4 peak: such weights are multiplied in bf16")
    used = {quantization.computation(part) for part in ("linear", "experts", "lm_head")} | {quantization.attention}
    for name in sorted(used):
        runs_as = accelerator.peak_for(name)
        if number_format(name).element_bits == 16 and runs_as != name:
            notes.append(f"{accelerator.name} has no {name} peak: {runs_as}, of the same width, is taken")
    return quantization, tuple(notes)


def native_quantization(model_formats: Quantization, accelerator: HbmAccelerator | SramAccelerator) -> Quantization:
    """The model's own formats where the part runs them, else the part's nearest preset, by the width of the weights."""
    for candidate in (model_formats, *_nearest_first(model_formats)):
        try:
            runnable(candidate, accelerator)
        except UnsupportedFormat:
            continue
        return candidate
    raise UnsupportedFormat(
        f"format on {accelerator.name}",
        given=model_formats.label,
        expected=f"a preset it runs: {', '.join(PRESETS)}",
    )


def _nearest_first(wanted: Quantization) -> list[Quantization]:
    bits = float(number_format(wanted.weights).bits)
    presets = [PRESETS[name] for name in ("fp8", "int8", "bf16", "nvfp4", "mxfp4", "w8a16", "w4a16")]
    return sorted(presets, key=lambda preset: abs(float(number_format(preset.weights).bits) - bits))
