"""The formats of checkpoints, as five tools write them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from roofline.describe.formats import PRESETS, Quantization
from roofline.describe.huggingface import read_config
from roofline.describe.model_catalog import load_model
from roofline.errors import ConfigError, UnknownName

CONFIGS = Path(__file__).parent / "data" / "configs"


def config(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text())
    return data


@pytest.mark.parametrize(
    ("name", "weights", "experts", "activations", "kv_cache"),
    [
        ("llama-3.1-8b", "bf16", None, "bf16", "bf16"),
        ("deepseek-v3", "fp8_block", None, "fp8", "bf16"),
        ("devstral-2-123b", "fp8", None, "fp8", "bf16"),
        ("gpt-oss-120b", "bf16", "mxfp4", "mxfp4", "bf16"),
        ("kimi-k2.5", "bf16", "int4", "bf16", "bf16"),
        ("kimi-k2.6-nvfp4", "bf16", "nvfp4", "nvfp4", "fp8"),
        ("kimi-k3", "bf16", "mxfp4", "mxfp4", "bf16"),
        ("deepseek-v4-pro", "fp8_block", "mxfp4", "fp8", "bf16"),
        ("gemma-4-31b-it-nvfp4", "nvfp4", None, "nvfp4", "fp8"),
        ("minimax-m3-nvfp4", "mxfp8", "nvfp4", "nvfp4", "bf16"),
        ("qwen3.6-27b-nvfp4", "nvfp4", None, "bf16", "fp8"),
        ("qwen3.6-35b-a3b-nvfp4", "fp8", "nvfp4", "bf16", "bf16"),
    ],
)
def test_published_checkpoints(name: str, weights: str, experts: str | None, activations: str, kv_cache: str) -> None:
    found = read_config(config(name)).checkpoint
    assert (found.weights, found.experts, found.activations, found.kv_cache) == (
        weights,
        experts,
        activations,
        kv_cache,
    )
    assert found.lm_head == "bf16"


def test_parts_that_disagree_are_said() -> None:
    shape = read_config(config("qwen3.6-27b-nvfp4"))
    assert any("attention in fp8" in note and "dense in nvfp4" in note for note in shape.assumptions)
    assert any("head in nvfp4" in note for note in shape.assumptions)
    assert not read_config(config("deepseek-v3")).assumptions


@pytest.mark.parametrize(
    ("stated", "label"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "w4a16"),
        ({"quant_method": "gptq", "bits": 4}, "w4a16"),
        ({"quant_method": "gptq", "bits": 8}, "w8a16"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "w8a16"),
        ({"bits": 4, "group_size": 64}, "w4a16"),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}, "fp8"),
        ({"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}, "nvfp4"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "group_0": {
                        "targets": ["Linear"],
                        "weights": {"num_bits": 8, "type": "int"},
                        "input_activations": {"num_bits": 8, "type": "int"},
                    }
                },
                "kv_cache_scheme": {"num_bits": 8, "type": "int"},
            },
            "int8",
        ),
    ],
)
def test_tools_meet_the_presets(stated: dict[str, Any], label: str) -> None:
    assert read_config({**config("llama-3.1-8b"), "quantization_config": stated}).checkpoint.label == label


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"quant_method": "awq", "bits": 3},
        {"quant_method": "modelopt", "quant_algo": "INT1"},
        {"quant_method": "compressed-tensors"},
        {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 5, "type": "int"}}}},
        {"quant_method": "modelopt", "quantized_layers": {"layers.0.mlp.up_proj": {"quant_algo": 7}}},
        {"quant_method": "fp8", "modules_to_not_convert": "lm_head"},
        {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP2"},
    ],
)
def test_formats_that_nobody_knows_are_refused(stated: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        read_config({**config("llama-3.1-8b"), "quantization_config": stated})


def test_a_list_of_every_module_is_read_quickly(tmp_path: Path) -> None:
    """NVIDIA's checkpoints name each projection of each expert: a config.json of megabytes."""
    data = config("qwen3-235b-a22b")
    modules = {
        f"model.layers.{layer}.mlp.experts.{expert}.{matrix}_proj": {"quant_algo": "NVFP4", "group_size": 16}
        for layer in range(94)
        for expert in range(128)
        for matrix in ("gate", "up", "down")
    }
    data["quantization_config"] = {
        "quant_method": "modelopt",
        "quant_algo": "MIXED_PRECISION",
        "quantized_layers": modules,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(data))
    assert 2e6 < path.stat().st_size < 16e6
    start = time.perf_counter()
    shape = load_model(path)
    assert time.perf_counter() - start < 5
    assert (shape.checkpoint.weights, shape.checkpoint.experts) == ("bf16", "nvfp4")


def test_a_label_says_in_which_format_sums_cross() -> None:
    less = {"all_reduce": "int4"}
    assert PRESETS["fp8"].with_(**less).label == "fp8, all-reduce int4"
    assert PRESETS["fp8"].with_(kv_cache="bf16", **less).label == "fp8, kv bf16, all-reduce int4"
    assert PRESETS["fp8"].with_(state="bf16", **less).label == "fp8, state bf16, all-reduce int4"
    assert Quantization(weights="fp8", **less).label == "fp8, matmul bf16, kv bf16, all-reduce int4"
    assert Quantization(weights="fp8", all_reduce="bf16").label == Quantization(weights="fp8").label
    with pytest.raises(UnknownName, match="int5"):
        Quantization(weights="fp8", all_reduce="int5")
