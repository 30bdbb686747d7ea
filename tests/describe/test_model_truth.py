"""Configs of published models against exact counts: every part, every cache, to the integer.

`data/truth.csv` says for each row how it was counted and where its config was read.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from roofline.describe.huggingface import read_config
from roofline.describe.model import ModelShape
from roofline.describe.parts import PARTS

DATA = Path(__file__).parent / "data"
with (DATA / "truth.csv").open(newline="") as file:
    ROWS = {row["name"]: row for row in csv.DictReader(file)}
FAMILIES: list[dict[str, Any]] = json.loads((DATA / "families.json").read_text())


@cache
def shape(name: str) -> ModelShape:
    return read_config(json.loads((DATA / "configs" / f"{name}.json").read_text()), name=name)


def test_every_config_has_its_row_and_every_row_its_source() -> None:
    assert {path.stem for path in (DATA / "configs").glob("*.json")} == set(ROWS)
    assert all(row["counted_by"] and row["config_source"] for row in ROWS.values())


@pytest.mark.parametrize("name", ROWS)
def test_parameters_are_exact_by_part(name: str) -> None:
    counts = shape(name).parameters()
    expected = {column: int(ROWS[name][column]) for column in (*PARTS, "total", "active")}
    expected |= {column: int(ROWS[name][column]) for column in ("active_nonembedding", "active_matmul")}
    assert {column: getattr(counts, column) for column in expected} == expected


@pytest.mark.parametrize("name", ROWS)
def test_caches_are_exact(name: str) -> None:
    model, row = shape(name), ROWS[name]
    found = {
        "kv_bytes_8192": model.kv_bytes(8192),
        "kv_bytes_131072": model.kv_bytes(131072),
        "state_bytes": model.state_bytes(),
        "index_bytes_per_token": model.index_bytes(2**20) // 2**20,
    }
    assert found == {column: int(row[column]) for column in found}


@pytest.mark.parametrize("name", ROWS)
def test_embedding_and_context_are_read(name: str) -> None:
    assert str(shape(name).tied) == ROWS[name]["tied"]
    assert (shape(name).max_context or 0) == int(ROWS[name]["max_context"] or 0)


@pytest.mark.parametrize("entry", FAMILIES, ids=[entry["name"] for entry in FAMILIES])
def test_families_are_read_by_rule(entry: dict[str, Any]) -> None:
    assert entry["source"]
    assert read_config(entry["config"], name=entry["name"]).parameters().total == entry["total"]
