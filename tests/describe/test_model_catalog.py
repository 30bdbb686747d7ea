"""Models by name, id, path and dict, and what is said when there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from roofline.describe.mixers import LatentAttention
from roofline.describe.model_catalog import load_model, model_names
from roofline.errors import ConfigError, RooflineError, UnknownName

LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "config.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("name", model_names())
def test_every_model_of_the_catalogue_loads_and_says_its_source(name: str) -> None:
    shape = load_model(name)
    assert shape.name == name
    assert shape.source
    assert shape.parameters().total > 10**7


def test_names_are_sorted_and_many() -> None:
    assert model_names() == sorted(model_names())
    assert len(model_names()) >= 100


def test_the_catalogue_is_read_only_when_it_is_asked() -> None:
    code = (
        "import pathlib, tomllib, roofline.describe.model_catalog as catalog\n"
        "def refuse(*_, **__): raise AssertionError('read at import')\n"
        "pathlib.Path.read_text = tomllib.loads = refuse\n"
        "catalog.model_names()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("name", ["deepseek-v2-lite", "kimi-linear-48b-a3b"])
def test_a_null_in_a_config_survives_the_catalogue(name: str) -> None:
    assert all(
        layer.mixer.q_rank is None for layer in load_model(name).layers if isinstance(layer.mixer, LatentAttention)
    )


def test_formats_in_a_file_beside_the_config_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(LLAMA))
    stated = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(stated))
    assert load_model(path).checkpoint.label == "nvfp4"


@pytest.mark.parametrize("identifier", ["meta-llama/Llama-3.1-70B", "meta-llama/llama-3.1-70b-instruct"])
def test_a_hugging_face_id_is_a_name(identifier: str) -> None:
    assert load_model(identifier) == load_model("llama-3.1-70b")


def test_a_dict_a_path_and_a_name_agree(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(LLAMA))
    expected = load_model("llama-3.1-8b").layers
    assert load_model(LLAMA).layers == expected
    assert load_model(path).layers == expected
    assert load_model(str(path)).layers == expected


def test_a_shape_is_itself() -> None:
    shape = load_model("llama-3.1-8b")
    assert load_model(shape) is shape


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("lama-3.1-8b", ["llama-3.1-8b"]),
        ("meta-llama/Llama-3.1-71B", ["meta-llama/Llama-3.1-70B"]),
        ("", ["a name of the catalogue"]),
        ("a\0b", ["a name of the catalogue"]),
    ],
)
def test_an_unknown_name_offers_the_nearest(given: str, words: list[str]) -> None:
    with pytest.raises(UnknownName) as caught:
        load_model(given)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"model_type": "llama", "hidden', "invalid JSON"),
        ("", "empty file"),
        ("[1, 2]", "a JSON object"),
        ("[" * 100_000, "JSON"),
        ('{"model_type": "llama", "model_type": "llama"}', "twice"),
        (b"\xff\xfe\x00", "UTF-8"),
        ('{"a": ' * 50_000 + "1" + "}" * 50_000, "JSON"),
        ('{"hidden_size": ' + "9" * 10_000 + "}", "JSON"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_model(written(tmp_path, text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(50 * 2**20)
    with pytest.raises(ConfigError, match="50 MiB"):
        load_model(path)


def test_a_folder_points_at_the_file_in_it(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(LLAMA))
    with pytest.raises(ConfigError, match="a directory") as caught:
        load_model(tmp_path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_model(tmp_path / "config.json")


@pytest.mark.parametrize("given", [5, None, ["llama-3.1-8b"], 1.5])
def test_other_types_are_refused(given: object) -> None:
    with pytest.raises(RooflineError):
        load_model(given)  # type: ignore[arg-type]
