"""Checkpoints are read as the model whose shape they have, and as no other."""

import pytest

from roofline.describe.model_catalog import model_ids
from roofline.errors import UnknownName
from roofline.trust.measured_rows import described
from roofline.trust.model_variants import variant_of


@pytest.mark.parametrize(
    ("checkpoint", "model"),
    [
        ("zai-org/GLM-5-FP8", "glm-5"),
        ("moonshotai/Kimi-K2-Thinking", "kimi-k2"),
        ("deepseek-ai/DeepSeek-V3.2-Exp", "deepseek-v3.2"),
        ("nvidia/DeepSeek-R1-0528-NVFP4-v2", "deepseek-r1"),
        ("amd/DeepSeek-R1-0528-MXFP4", "deepseek-r1"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "qwen3-235b-a22b"),
        ("google/gemma-4-31B-FP8", "gemma-4-31b"),
        ("mistralai/Mixtral-8x22B-Instruct-v0.1", "mixtral-8x22b"),
    ],
)
def test_a_checkpoint_is_a_variant_of_its_model(checkpoint: str, model: str) -> None:
    assert described(checkpoint).name == model


@pytest.mark.parametrize("name", ["nobody/nothing", "deepseek-ai/DeepSeek-V9", "Qwen/Qwen3-33B", "llama", ""])
def test_another_model_is_not_taken_for_a_variant(name: str) -> None:
    assert variant_of(name) is None
    with pytest.raises(UnknownName):
        described(name)


def test_a_known_id_is_itself_before_it_is_a_variant() -> None:
    for identifier, name in model_ids().items():
        assert described(identifier).name == name
