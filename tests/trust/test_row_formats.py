"""The formats of measured rows: what the checkpoint stores, and the cache that stacks are launched with."""

import pytest

from roofline.errors import UnsupportedFormat
from roofline.trust.measured_rows import deployment, described, pool, served
from roofline.trust.predictions import predict
from roofline.trust.row_formats import formats


def found(model: str, part: str, stack: str, quantization: str, cache: str = "") -> tuple[str, str, str]:
    """Formats of linear layers, experts and cache."""
    chosen = formats(described(model), part, stack, quantization, cache)
    return chosen.weights, chosen.experts or chosen.weights, chosen.kv_cache


@pytest.mark.parametrize(
    ("model", "part", "stack", "quantization", "expected"),
    [
        ("deepseek-ai/DeepSeek-R1", "b200-sxm", "sglang", "fp8", ("fp8_block", "fp8_block", "fp8")),
        ("deepseek-ai/DeepSeek-R1", "h200-sxm", "sglang", "fp8", ("fp8_block", "fp8_block", "bf16")),
        ("deepseek-ai/DeepSeek-R1", "h200-sxm", "tensorrt-llm", "fp8", ("fp8_block", "fp8_block", "fp8")),
        ("deepseek-ai/DeepSeek-R1", "b200-sxm", "sglang", "nvfp4", ("nvfp4", "nvfp4", "fp8")),
        ("deepseek-ai/DeepSeek-R1", "mi355x", "atom", "mxfp4", ("bf16", "mxfp4", "fp8")),
        ("MiniMaxAI/MiniMax-M2.5", "b200-sxm", "vllm", "nvfp4", ("fp8", "nvfp4", "fp8")),
        ("MiniMaxAI/MiniMax-M2.5", "mi355x", "vllm", "mxfp4", ("bf16", "mxfp4", "fp8")),
        ("moonshotai/Kimi-K2.5", "b200-sxm", "vllm", "nvfp4", ("bf16", "nvfp4", "fp8")),
        ("MiniMaxAI/MiniMax-M2.5", "h200-sxm", "vllm", "fp8", ("fp8_block", "fp8_block", "bf16")),
        ("Qwen/Qwen3-32B", "h100-sxm", "vllm", "fp8", ("fp8_block", "fp8_block", "bf16")),
        ("Qwen/Qwen3-32B", "h100-sxm", "tensorrt-llm", "fp8", ("fp8", "fp8", "fp8")),
        ("Qwen/Qwen3.5-397B-A17B", "b200-sxm", "sglang", "fp8", ("fp8_block", "fp8_block", "fp8")),
        ("Qwen/Qwen3.5-397B-A17B", "b200-sxm", "sglang", "bf16", ("bf16", "bf16", "bf16")),
        ("meta-llama/Llama-3.1-70B", "h100-sxm", "vllm", "fp8", ("fp8", "fp8", "fp8")),
        ("meta-llama/Llama-3.1-70B", "b200-sxm", "vllm", "nvfp4", ("nvfp4", "nvfp4", "fp8")),
        ("openai/gpt-oss-120b", "h200-sxm", "tensorrt-llm", "mxfp4", ("bf16", "mxfp4", "bf16")),
        ("openai/gpt-oss-120b", "b200-sxm", "tensorrt-llm", "mxfp4", ("bf16", "mxfp4", "fp8")),
        ("openai/gpt-oss-120b", "b200-sxm", "vllm", "fp4", ("bf16", "mxfp4", "fp8")),
        ("openai/gpt-oss-120b", "h200-sxm", "vllm", "fp8", ("bf16", "mxfp4", "bf16")),
        ("deepseek-ai/DeepSeek-V4-Pro", "b200-sxm", "vllm", "fp8", ("fp8_block", "mxfp4", "fp8")),
        ("moonshotai/Kimi-K2.5", "h200-sxm", "vllm", "int4", ("bf16", "int4", "bf16")),
        ("zai-org/GLM-5", "mi355x", "sglang", "fp4", ("bf16", "mxfp4", "fp8")),
        ("zai-org/GLM-5", "b300-sxm", "sglang", "fp4", ("fp8", "nvfp4", "fp8")),
        ("meta-llama/Llama-3.1-8B", "h100-sxm", "vllm", "int4", ("int4", "int4", "bf16")),
        ("meta-llama/Llama-3.1-8B", "b200-sxm", "vllm", "int4", ("int4", "int4", "bf16")),
    ],
)
def test_a_row_means_the_checkpoint_that_is_published(
    model: str, part: str, stack: str, quantization: str, expected: tuple[str, str, str]
) -> None:
    assert found(model, part, stack, quantization) == expected


@pytest.mark.parametrize(
    ("model", "part", "linear", "experts"),
    [
        ("deepseek-ai/DeepSeek-V4-Pro", "b200-sxm", "mxfp8", "mxfp8"),
        ("deepseek-ai/DeepSeek-V4-Pro", "h200-sxm", "fp8", "fp8"),
        ("openai/gpt-oss-120b", "b200-sxm", "bf16", "mxfp8"),
        ("openai/gpt-oss-120b", "h200-sxm", "bf16", "bf16"),
    ],
)
def test_products_are_of_what_the_part_multiplies(model: str, part: str, linear: str, experts: str) -> None:
    chosen = formats(described(model), part, "vllm", "mxfp4", "")
    assert (chosen.computation("linear"), chosen.computation("experts")) == (linear, experts)


@pytest.mark.parametrize(
    ("model", "part", "stack", "source", "crossing"),
    [
        ("meta-llama/Llama-3.1-70B", "mi355x", "vllm", "InferenceX", "int4"),
        ("meta-llama/Llama-3.1-70B", "mi300x", "vllm", "InferenceX", "int4"),
        ("meta-llama/Llama-3.1-70B", "mi300x", "vllm", "someone else", "bf16"),
        ("meta-llama/Llama-3.1-70B", "mi325x", "vllm", "InferenceX", "bf16"),
        ("meta-llama/Llama-3.1-70B", "b200-sxm", "vllm", "InferenceX", "bf16"),
        ("openai/gpt-oss-120b", "mi300x", "vllm", "InferenceX", "int4"),
        ("openai/gpt-oss-120b", "mi355x", "vllm", "InferenceX", "bf16"),
        ("deepseek-ai/DeepSeek-R1", "mi355x", "sglang", "InferenceX", "int4"),
        ("deepseek-ai/DeepSeek-R1", "mi355x", "atom", "InferenceX", "bf16"),
        ("deepseek-ai/DeepSeek-R1", "mi300x", "sglang", "InferenceX", "bf16"),
    ],
)
def test_sums_cross_as_launch_scripts_have_them(model: str, part: str, stack: str, source: str, crossing: str) -> None:
    row = {"model": model, "accelerator": part, "runtime": stack, "source": source, "quantization": "fp8"}
    row |= {"devices": "8", "tp": "8", "isl": "1024", "osl": "1024", "concurrency": "8"}
    where = pool(row)
    assert deployment(served(row), where, None).quantization.all_reduce == crossing


def test_a_recorded_cache_is_taken_as_recorded() -> None:
    for cache in ("fp8", "bf16"):
        assert found("Qwen/Qwen3-32B", "h100-sxm", "vllm", "fp8", cache)[2] == cache


def test_an_unknown_format_is_one_clear_error() -> None:
    with pytest.raises(UnsupportedFormat, match="float3"):
        found("Qwen/Qwen3-32B", "h100-sxm", "vllm", "float3")


def test_a_model_is_not_served_in_more_bits_than_are_published() -> None:
    """1.6 T parameters in 8 bits would not fit on the devices that were measured to serve them."""
    row = {"kind": "serving", "model": "deepseek-ai/DeepSeek-V4-Pro", "accelerator": "b200-sxm", "devices": "8"}
    row |= {"tp": "8", "quantization": "fp8", "runtime": "vllm", "isl": "1024", "osl": "1024", "concurrency": "16"}
    assert predict(row).status == "ok"
