"""What the reader of configs accepts, what it refuses, and what it says."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

import roofline.describe
from roofline.describe.attention import Attention, LatentAttention
from roofline.describe.dialects.table import BY_TYPE, DIALECTS
from roofline.describe.feedforward import MoE
from roofline.describe.huggingface import read_config
from roofline.errors import ConfigError

DATA = Path(__file__).parent / "data"
MODELS = Path(roofline.describe.__file__).parent / "models"
ABSENT = object()


def config(name: str, **changes: Any) -> dict[str, Any]:
    """A stored config with some keys replaced, or taken out."""
    data = json.loads((DATA / "configs" / f"{name}.json").read_text())
    merged = {**data, **changes}
    return {key: value for key, value in merged.items() if value is not ABSENT}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": ABSENT}, ["hidden_size", "required"]),
        ({"num_hidden_layers": ABSENT}, ["num_hidden_layers", "required"]),
        ({"vocab_size": None}, ["vocab_size", "null"]),
        (
            {"intermediate_size": ABSENT, "intermediate_sizes": 14336},
            ["intermediate_size", "nearest: intermediate_sizes"],
        ),
        ({"num_hidden_layers": "eighty"}, ["num_hidden_layers", "eighty", "whole number"]),
        ({"num_hidden_layers": "80"}, ["num_hidden_layers", "whole number"]),
        ({"num_hidden_layers": True}, ["num_hidden_layers", "True", "whole number"]),
        ({"num_hidden_layers": 0}, ["num_hidden_layers", "from 1"]),
        ({"num_hidden_layers": -32}, ["num_hidden_layers", "-32"]),
        ({"num_hidden_layers": 10**6}, ["num_hidden_layers", "4,096"]),
        ({"hidden_size": 4096.5}, ["hidden_size", "4096.5"]),
        ({"hidden_size": float("nan")}, ["hidden_size", "nan"]),
        ({"hidden_size": float("inf")}, ["hidden_size", "inf"]),
        ({"hidden_size": 10**40}, ["hidden_size", "more than 30 digits"]),
        ({"hidden_size": [4096]}, ["hidden_size", "a list of 1"]),
        ({"num_key_value_heads": 5}, ["num_key_value_heads", "divisor of the 32 heads"]),
        ({"num_attention_heads": 33, "num_key_value_heads": 33}, ["num_attention_heads", "divisor of the width"]),
        ({"tie_word_embeddings": "no"}, ["tie_word_embeddings", "true or false"]),
        ({"attention_bias": 1}, ["attention_bias", "true or false"]),
        ({"num_experts": 8}, ["num_experts", "Llama", "not known"]),
        ({"frobnicate": 3}, ["frobnicate", "not known"]),
        ({"hidden_dim": 4096}, ["hidden_dim", "nearest: hidden_size"]),
        ({"model_type": "lama"}, ["model_type", "lama", "nearest: llama (Llama)"]),
        ({"model_type": "mamba3"}, ["model_type", "nearest: mamba"]),
        ({"model_type": ABSENT}, ["model_type", "required"]),
        ({"model_type": ["llama"]}, ["model_type", "a list of 1"]),
        ({"quantization_config": {"quant_method": "magic"}}, ["quant_method", "magic", "awq"]),
        ({"quantization_config": "fp8"}, ["quantization_config", "an object"]),
    ],
)
def test_a_bad_key_is_named(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(config("llama-3.1-8b", **changes))
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("deepseek-v3", {"n_group": 7}, ["n_group", "7", "divisor of the 256 experts"]),
        ("deepseek-v3", {"topk_group": 9}, ["topk_group", "9", "at most the 8 groups"]),
        ("deepseek-v3", {"num_experts_per_tok": 40, "topk_group": 1}, ["topk_group", "hold 40 experts"]),
        ("deepseek-v3", {"q_lora_rank": ABSENT}, ["q_lora_rank"]),
        ("deepseek-v3", {"num_experts_per_tok": 300}, ["num_experts_per_tok", "256 experts"]),
        ("gpt-oss-20b", {"layer_types": ["full_attention"] * 23}, ["layer_types", "24 layers"]),
        ("gpt-oss-20b", {"layer_types": ["full_attention", "wavy"] * 12}, ["layer_types", "wavy"]),
        ("gpt-oss-20b", {"sliding_window": None}, ["sliding_window"]),
        ("nemotron-3-nano-30b-a3b", {"hybrid_override_pattern": "MXM"}, ["hybrid_override_pattern"]),
        ("nemotron-3-nano-30b-a3b", {"num_hidden_layers": 51}, ["num_hidden_layers", "52 blocks"]),
        ("kimi-k3", {"text_config": {}}, ["required"]),
        ("step-3.7-flash", {"text_config": None, "model_type": "step3p7"}, ["required"]),
        ("mamba-codestral-7b", {"num_heads": 64}, ["num_heads", "8192 channels"]),
        ("mpt-7b", {"expansion_ratio": 2.3}, ["expansion_ratio"]),
        ("deepseek-v4-flash", {"compress_ratios": [0, 4]}, ["compress_ratios", "43 layers"]),
        ("minimax-m1-80k", {"attn_type_list": [2] * 80}, ["attn_type_list"]),
    ],
)
def test_a_bad_key_of_a_family_is_named(name: str, changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(config(name, **changes))
    for word in words:
        assert word in str(caught.value)


def test_what_is_not_a_config_is_refused() -> None:
    for given in ([1], "llama", None, {1: 2}):
        with pytest.raises(ConfigError):
            read_config(given)  # type: ignore[arg-type]


def test_without_strictness_an_unknown_key_is_a_doubt() -> None:
    plain = read_config(config("llama-3.1-8b"))
    doubtful = read_config(config("llama-3.1-8b", frobnicate=3), strict=False)
    assert doubtful.layers == plain.layers
    assert "frobnicate = 3" in doubtful.assumptions[0]
    assert not plain.assumptions


def test_without_strictness_an_unknown_family_is_read_as_the_closest() -> None:
    plain = read_config(config("llama-3.1-8b"))
    doubtful = read_config(config("llama-3.1-8b", model_type="lamma"), strict=False)
    assert doubtful.layers == plain.layers
    assert "lamma is not known and was read as Llama" in doubtful.assumptions[0]


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("llama-3.1-8b", "Llama"),
        ("deepseek-v3", "DeepSeek-V3"),
        ("mixtral-8x7b", "Mixtral"),
        ("qwen3-30b-a3b", "Qwen3-MoE"),
        ("qwen3-next-80b-a3b", "Qwen3-Next"),
        ("nemotron-h-56b", "Nemotron-H"),
        ("gpt2", "GPT-2"),
    ],
)
def test_a_family_with_a_new_name_is_known_by_its_keys(name: str, family: str) -> None:
    with pytest.raises(ConfigError, match=rf"zzyzx.*nearest: \w+ \({family}\)"):
        read_config(config(name, model_type="zzyzx"))


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}])
def test_an_unknown_key_that_is_off_says_nothing(value: object) -> None:
    assert read_config(config("llama-3.1-8b", frobnicate=value)).layers == read_config(config("llama-3.1-8b")).layers


def test_keys_that_cannot_change_the_shape_pass() -> None:
    harmless = {
        "rope_scaling": {"factor": 8.0},
        "pad_token_id": 7,
        "rms_norm_eps": 1e-6,
        "_name_or_path": "x",
        "top_k": 50,
    }
    assert read_config(config("llama-3.1-8b", **harmless)).layers == read_config(config("llama-3.1-8b")).layers


def test_a_router_is_limited_to_groups_where_its_choice_is() -> None:
    def limits(name: str, **changes: Any) -> set[tuple[int, int]]:
        networks = [layer.feed_forward for layer in read_config(config(name, **changes)).layers]
        return {(each.expert_groups, each.chosen_groups) for each in networks if isinstance(each, MoE)}

    assert limits("deepseek-v3") == {(8, 4)}
    assert limits("deepseek-v3", topk_group=None) == {(8, 8)}
    assert limits("deepseek-v3", topk_method="greedy") == {(1, 1)}
    assert limits("ling-3.0-flash") == {(8, 4)}
    assert limits("mixtral-8x7b") == {(1, 1)}


def test_experts_that_weigh_nothing_are_chosen_among_too() -> None:
    """Ten of eight experts and eight empty ones."""
    stored = tomllib.loads((MODELS / "longcat-flash-560b.toml").read_text())["config"]
    few = {**stored, "n_routed_experts": 8, "zero_expert_num": 8, "moe_topk": 10}
    (mixture,) = {layer.feed_forward for layer in read_config(few).layers if isinstance(layer.feed_forward, MoE)}
    assert (mixture.experts, mixture.zero_experts, mixture.top_k, mixture.expert_groups) == (8, 8, 10, 1)


def test_a_window_needs_to_be_switched_on_in_qwen() -> None:
    def windows(**changes: Any) -> set[int | None]:
        shape = read_config(config("qwen2.5-7b", **changes))
        return {layer.mixer.window for layer in shape.layers if isinstance(layer.mixer, Attention)}

    assert windows() == {None}
    switched = {"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 14}
    assert windows(**switched) == {None, 4096}


def test_a_window_as_long_as_the_context_is_none() -> None:
    for name, window in (("phi-3.5-mini", None), ("phi-mini-moe", 2047), ("mistral-7b-v0.1", 4096)):
        assert {layer.mixer.window for layer in read_config(config(name)).layers} == {window}  # type: ignore[union-attr]


def test_heads_are_not_what_an_mla_config_says() -> None:
    mixer = read_config(config("deepseek-v3", num_key_value_heads=128, head_dim=64)).layers[0].mixer
    assert isinstance(mixer, LatentAttention)
    assert mixer.kv_heads == 1
    assert mixer.key_elements == 576


def test_a_null_rank_means_full_rank() -> None:
    mixer = read_config(config("deepseek-v2-lite")).layers[0].mixer
    assert isinstance(mixer, LatentAttention)
    assert mixer.q_rank is None


def test_dense_layers_come_first_in_deepseek() -> None:
    layers = read_config(config("deepseek-v3")).layers
    assert [isinstance(layer.feed_forward, MoE) for layer in layers] == [False] * 3 + [True] * 58


def test_the_outer_type_decides_before_the_inner_one() -> None:
    inner = config("kimi-k3")["text_config"]
    assert inner["model_type"] == "kimi_linear"
    assert read_config(config("kimi-k3")).layers == read_config(inner).layers


def test_a_tie_may_be_written_on_either_level() -> None:
    data = config("qwen3.5-27b")
    assert not read_config(data).tied
    assert read_config({**data, "tie_word_embeddings": True}).tied
    inner = {**data["text_config"], "tie_word_embeddings": False}
    assert not read_config({**data, "tie_word_embeddings": True, "text_config": inner}).tied


def test_sizes_of_global_layers_may_be_written_layer_by_layer() -> None:
    data = config("gemma-4-31b")["text_config"]
    spelled_out = {key: value for key, value in data.items() if "global" not in key}
    sizes = {"head_dim": 512, "num_key_value_heads": 4}
    spelled_out["per_layer_config"] = {f"{layer:02}": sizes for layer in range(5, 60, 6)}
    assert read_config(spelled_out).layers == read_config(data).layers


def test_a_config_names_its_shape_only_in_printable_text() -> None:
    shape = read_config(config("llama-3.1-8b", _name_or_path="evil\nname"))
    assert shape.name.isprintable()


def test_the_table_has_no_type_twice() -> None:
    types = [name for dialect in DIALECTS for name in dialect.types]
    assert len(types) == len(set(types)) == len(BY_TYPE)
    assert len({dialect.family for dialect in DIALECTS}) == len(DIALECTS)


@pytest.mark.parametrize(
    ("name", "changes", "parallel"),
    [
        ("falcon-40b", {}, True),
        ("falcon-7b", {"parallel_attn": False}, False),
        ("falcon-7b", {"parallel_attn": False, "new_decoder_architecture": True}, True),
        ("gpt-j-6b", {}, True),
        ("gpt-neox-20b", {}, True),
        ("pythia-12b", {"use_parallel_residual": False}, False),
        ("phi-2", {}, True),
        ("stablelm-3b-4e1t", {}, False),
        ("stablelm-3b-4e1t", {"use_parallel_residual": True}, True),
        ("command-r-plus", {}, True),
        ("command-a", {}, True),
        ("llama-3.1-8b", {}, False),
    ],
)
def test_which_families_have_attention_and_network_side_by_side(
    name: str, changes: dict[str, Any], parallel: bool
) -> None:
    stated = tomllib.loads((MODELS / f"{name}.toml").read_text(encoding="utf-8"))["config"]
    layers = read_config({**stated, **changes}).layers
    assert {layer.parallel for layer in layers} == {parallel}
