"""What a balancer of experts is worth, against what was reported of one: nothing is fitted to it."""

from pathlib import Path

import pytest

from roofline import Deployment

DOCS = Path(__file__).resolve().parents[2] / "docs"

PUBLISHED = {"prefill": 1.49, "decode": 2.54}
"""Times as much with EPLB as without, SGLang with DeepSeek-V3 on 32 H100 that take prompts and 72 that decode.

LMSYS 2025, "Deploying DeepSeek with PD Disaggregation and Large-Scale Expert Parallelism on 96 H100 GPUs", ablation.
"""


def gained(phase: str, devices: int) -> float:
    """Times as much without skew: 16,384 prompt tokens and 256 sequences on every device [1]."""

    def seconds(skew: float | None) -> float:
        ranks = {"tp": 1, "pp": 1, "dp": devices, "ep": devices}
        options = {"quantization": "fp8", "runtime": "sglang", "overlap": True, "skew": skew}
        pool = Deployment("deepseek-v3", "h100-sxm", devices, **ranks, **options)  # type: ignore[arg-type]
        estimate = pool.prefill(4096, batch=4 * devices) if phase == "prefill" else pool.decode(256 * devices, 2050)
        return float(estimate.seconds)

    return seconds(None) / seconds(0.0)


@pytest.mark.parametrize(("phase", "devices"), [("prefill", 32), ("decode", 72)])
def test_balanced_experts_gain_much_of_what_was_reported(phase: str, devices: int) -> None:
    """By a tenth to less than a third too little."""
    assert 0.7 * PUBLISHED[phase] < gained(phase, devices) < 0.9 * PUBLISHED[phase]


def test_the_documents_say_what_is_predicted() -> None:
    prompts, tokens = (f"{gained(phase, devices):.2f}" for phase, devices in (("prefill", 32), ("decode", 72)))
    explained, judged = (
        " ".join((DOCS / name).read_text(encoding="utf-8").split()) for name in ("how-it-estimates.md", "validation.md")
    )
    assert f"{prompts} times the prompts on 32 H100 and {tokens} times the tokens on 72" in explained
    assert f"gives {prompts} and {tokens}" in judged
