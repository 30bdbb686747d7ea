"""Golden values: figures that somebody published, or that were worked out apart from this library.

A row of a `.toml` file in this folder has

* `id`, unique over all files;
* `equation`, `"module.function"` of `roofline.equations`, or of `compositions` here;
* `inputs`, the arguments by name, and `expected`, in the unit `unit`;
* `tolerance`, relative, as the printed digits deserve;
* `source`;
* `kind`: `published` (the equation reproduces a printed figure), `recalled` (a printed figure whose page was not seen
  again), `fitted` (a printed figure, reached with an input that had to be inferred: not independent evidence),
  `derived` (worked out from the inputs, no authority behind it), `bound` (a measurement that the ideal value must not
  exceed).

`[defaults]` of a file fill in what its rows leave out.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.golden import compositions
from tests.support.dimensions import dimension
from tests.support.registry import equations

FILES = sorted(Path(__file__).parent.glob("*.toml"))
FIELDS = {"id", "equation", "inputs", "expected", "tolerance", "unit", "kind", "source"}
KINDS = {"published", "recalled", "fitted", "derived", "bound"}
EQUATIONS = equations()


def rows() -> list[dict[str, Any]]:
    found = []
    for path in FILES:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        found += [content.get("defaults", {}) | row for row in content["row"]]
    return found


ROWS = rows()
every_row = pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])


def value(row: dict[str, Any]) -> float:
    module, name = row["equation"].split(".")
    function = getattr(compositions, name) if module == "compositions" else EQUATIONS[row["equation"]].function
    return float(function(**row["inputs"]))


@every_row
def test_a_row_is_complete(row: dict[str, Any]) -> None:
    assert set(row) == FIELDS
    assert row["kind"] in KINDS
    assert row["source"]
    assert 0 <= row["tolerance"] < 0.1
    dimension(row["unit"])
    if row["equation"] in EQUATIONS:
        assert row["unit"] == EQUATIONS[row["equation"]].returns


def test_ids_are_unique() -> None:
    ids = [row["id"] for row in ROWS]
    assert len(ids) == len(set(ids))


@every_row
def test_the_figure_is_reproduced(row: dict[str, Any]) -> None:
    if row["kind"] == "bound":
        assert 0 < value(row) <= row["expected"]
    else:
        assert value(row) == pytest.approx(row["expected"], rel=row["tolerance"], abs=0)


def test_every_composition_is_used() -> None:
    defined = {
        name
        for name, item in vars(compositions).items()
        if callable(item) and getattr(item, "__module__", "") == compositions.__name__
    }
    inside = {"routed_parameters", "kv_cache", "latent_cache"}  # used by others as well
    assert defined - inside <= {row["equation"].removeprefix("compositions.") for row in ROWS}
