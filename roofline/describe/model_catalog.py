"""Models by name: the catalogue's own shapes, Hugging Face ids, config.json files and dicts.

The catalogue is one small TOML file per model in `models/`: the keys of its config that say what it is (those that hold
a null, which TOML cannot write, are listed as `null`), and where they were read. Nothing is read before a model is
asked for.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from roofline.describe.config_file import read_json
from roofline.describe.dialects.keys import printable
from roofline.describe.huggingface import read_config
from roofline.describe.model import ModelShape
from roofline.errors import ConfigError, UnknownName

_FOLDER = Path(__file__).parent / "models"


def model_names() -> list[str]:
    """The names of the catalogue, sorted."""
    return sorted(_files())


def load_model(model: str | os.PathLike[str] | Mapping[str, Any] | ModelShape, *, strict: bool = True) -> ModelShape:
    """The shape of a model.

    `model` is a name of the catalogue, a Hugging Face id, a path to a config.json, or the dict in one. With
    `strict=False` keys that the reader does not know are put aside, and a family that it does not know is read as the
    closest one; both are listed in `.assumptions`.
    """
    if isinstance(model, ModelShape):
        return model
    if isinstance(model, Mapping):
        return read_config(model, source="a config given as a dict", strict=strict)
    if isinstance(model, str):
        name = _known_name(model)
        if name is not None:
            return _catalogued(name)
        if not _is_path(model):
            known = (*_files(), *_names_by_id().values(), *model_ids())
            raise UnknownName(
                "model",
                given=printable(model),
                known=known,
                expected="a name of the catalogue, a Hugging Face id in it, or a path to a config.json",
            )
    elif not isinstance(model, os.PathLike):
        raise ConfigError("model", given=type(model).__name__, expected="a name, a path or a dict")
    path = _expanded(Path(model))
    name = path.resolve().parent.name if path.name == "config.json" else path.stem
    config = _with_separate_formats(read_json(path), path.with_name("hf_quant_config.json"))
    return read_config(config, name=printable(name) or "config", source=printable(str(path)), strict=strict)


def _with_separate_formats(config: dict[str, Any], beside: Path) -> dict[str, Any]:
    """The config with the quantization that NVIDIA ModelOpt writes into a file of its own beside it."""
    if "quantization_config" in config or not beside.is_file():
        return config
    stated = read_json(beside).get("quantization")
    return {**config, "quantization_config": stated} if isinstance(stated, dict) else config


def _known_name(text: str) -> str | None:
    folded = text.strip().lower()
    return folded if folded in _files() else _names_by_id().get(folded)


def _is_path(text: str) -> bool:
    """Whether a string that is no known name is meant as a path."""
    if not text or "\0" in text:
        return False
    try:
        return text.lower().endswith(".json") or text.startswith((".", "/", "~")) or Path(text).exists()
    except (OSError, ValueError):
        return False


def _expanded(path: Path) -> Path:
    """The path with a leading `~` replaced, where that user exists."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


@cache
def _files() -> dict[str, Path]:
    return {path.stem: path for path in _FOLDER.glob("*.toml")}


@cache
def _entry(name: str) -> dict[str, Any]:
    return tomllib.loads(_files()[name].read_text(encoding="utf-8"))


@cache
def model_ids() -> dict[str, str]:
    """Hugging Face ids as written, and the catalogue's name for each."""
    return {
        identifier: name
        for name in _files()
        for identifier in (_entry(name)["hf_id"], *_entry(name).get("same_shape", ()))
    }


@cache
def _names_by_id() -> dict[str, str]:
    return {identifier.lower(): name for identifier, name in model_ids().items()}


@cache
def _catalogued(name: str) -> ModelShape:
    entry = _entry(name)
    config = {**entry["config"], **dict.fromkeys(entry.get("null", ()))}
    return read_config(config, name=name, source=f"{entry['hf_id']}: {entry['source']}")
