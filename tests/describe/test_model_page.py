"""Following docs/add-a-model.md to the letter puts a model into the catalogue."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from roofline.describe import model_catalog
from roofline.describe.model_catalog import load_model, model_names

PAGE = (Path(__file__).parents[2] / "docs" / "add-a-model.md").read_text(encoding="utf-8")
CACHES = (model_catalog._files, model_catalog._entry, model_catalog.model_ids, model_catalog._names_by_id)


def example(name: str) -> str:
    found = re.search(rf"^<!-- example: {re.escape(name)} -->\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty catalogue in place of the real one."""
    monkeypatch.setattr(model_catalog, "_FOLDER", tmp_path)
    for cached in (*CACHES, model_catalog._catalogued):
        monkeypatch.setattr(model_catalog, cached.__name__, cache(cached.__wrapped__))
    return tmp_path


def test_a_file_in_the_folder_is_a_model_by_name(catalogue: Path) -> None:
    (catalogue / "my-model.toml").write_text(example("my-model.toml"), encoding="utf-8")
    assert model_names() == ["my-model"]
    model = load_model("my-model")
    assert model.parameters().total == 14_768_307_200  # the published count of a model of this shape
    assert load_model("my-lab/My-Model-14B-Instruct") == model
    assert "revision 1a2b3c" in model.source


def test_the_file_says_what_the_config_says(catalogue: Path) -> None:
    (catalogue / "my-model.toml").write_text(example("my-model.toml"), encoding="utf-8")
    path = catalogue / "config.json"
    path.write_text(example("my-model.json"), encoding="utf-8")
    assert load_model(path).layers == load_model("my-model").layers
