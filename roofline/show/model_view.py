"""Models: all of them in a table, one in detail, several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from roofline.describe.model_catalog import load_model, model_names
from roofline.estimate.capacity import model_bytes
from roofline.show.grid import Cell, Column, Grid
from roofline.show.layers import mixers, pattern
from roofline.show.lines import Line, figure, paragraph
from roofline.show.records import Row
from roofline.units import format_quantity

SHORT, LONG = 8_192, 131_072
"""Contexts at which caches are shown [token]."""

_LIST = (
    Column("model", ("model",), left=True, most=32),
    Column("parameters", ("params", "1e9")),
    Column("active parameters", ("active", "1e9"), need=3),
    Column("layers", ("layers",), need=6),
    Column("KV per token", ("KV/token", "kB"), need=2),
    Column("cache at 128k", ("at 128k", "GB"), need=7),
    Column("context", ("context", "tokens"), need=4),
    Column("checkpoint", ("stored", "GB"), need=7),
    Column("mixers", ("mixers",), left=True, need=5, folds=True),
)
_PARTS = (
    "embedding",
    "lm_head",
    "attention",
    "linear_mixer",
    "dense_ffn",
    "experts",
    "shared_experts",
    "router",
    "norm_other",
)


def model_row(name: str) -> Row:
    """What a model is, in plain numbers; parameter counts under the names of `Parameters`."""
    model = load_model(name)
    return {
        "name": model.name,
        "mixers": mixers(model),
        "pattern": pattern(model),
        "layers": len(model.layers),
        "hidden": model.hidden,
        "vocab": model.vocab,
        "max_context": model.max_context,
        "tied": model.tied,
        **asdict(model.parameters()),
        "checkpoint": model.checkpoint.label,
        "weights_bytes": model_bytes(model, model.checkpoint),
        "kv_bytes_per_token": float(model.kv_bytes(SHORT)) / SHORT,  # type: ignore[arg-type]
        "state_bytes": model.state_bytes(),
        f"cache_bytes_{SHORT}": float(model.cache_bytes(SHORT)),  # type: ignore[arg-type]
        f"cache_bytes_{LONG}": float(model.cache_bytes(LONG)),  # type: ignore[arg-type]
        "source": model.source,
        "assumptions": list(model.assumptions),
    }


def model_rows() -> list[Row]:
    """Every model of the catalogue, by size."""
    rows = [model_row(name) for name in model_names()]
    return sorted(rows, key=lambda row: (row["total"], row["name"]))


def model_list(rows: Sequence[Row], width: int) -> list[Line]:
    """The catalogue as a table, the smallest model first."""
    grid = Grid(_LIST, [_list_line(row) for row in rows])
    out = grid.render(width)
    note = f"KV per token is the mean over {SHORT:,} tokens in bf16, windows honoured"
    out += [Line(), *paragraph(note, width, style="dim")]
    out += grid.left_out_line(width)
    out += [Line(), Line(("Next", "bold")), Line((f"  roofline model {rows[-1]['name']}", ""))]
    return [*out, Line(("  roofline model your/config.json", ""))]


def _list_line(row: Row) -> list[Cell]:
    return [
        row["name"],
        figure(row["total"] / 1e9),
        figure(row["active"] / 1e9),
        f"{row['layers']:,}",
        figure(row["kv_bytes_per_token"] / 1e3),
        figure(row[f"cache_bytes_{LONG}"] / 1e9),
        "" if row["max_context"] is None else f"{row['max_context']:,}",
        figure(row["weights_bytes"] / 1e9),
        row["mixers"],
    ]


def model_details(rows: Sequence[Row], width: int) -> list[Line]:
    """One model in detail, or several with a column each."""
    alone = len(rows) == 1
    columns = [Column("", (), left=True)]
    for index, row in enumerate(rows):
        header = () if alone else (row["name"],)
        columns.append(Column(row["name"], header, left=alone, need=0 if index < 2 else index))
    grid = Grid(columns, [[label, *cells] for label, cells in _facts(rows)])
    out = [Line((rows[0]["name"], "bold")), Line()] if alone else []
    out += grid.render(width)
    out += grid.left_out_line(width)
    out += [Line(), Line(("Layers", "bold"))]
    for row in rows:
        prefix = f"{row['name']}: " if len(rows) > 1 else ""
        out += paragraph(prefix + row["pattern"], width, bullet="· ")
    for heading, key in (("Assumed", "assumptions"), ("Sources", "source")):
        found = [text for row in rows for text in ([row[key]] if key == "source" else row[key]) if text]
        out += [Line(), Line((heading, "bold"))] if found else []
        for text in dict.fromkeys(found):
            out += paragraph(text, width, bullet="· ", style="dim" if key == "source" else "")
    return out


def _facts(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """Labels with a cell for each model; a part that none of them has is left out."""
    found = [
        ("layers", [f"{row['layers']:,}" for row in rows]),
        ("mixers", [row["mixers"] for row in rows]),
        ("width", [f"{row['hidden']:,}" for row in rows]),
        ("vocabulary", [f"{row['vocab']:,}{' tied' if row['tied'] else ''}" for row in rows]),
        ("context", [f"{row['max_context']:,}" if row["max_context"] else "not declared" for row in rows]),
        ("", [""] * len(rows)),
        ("parameters", [f"{row['total']:,}" for row in rows]),
        ("active", [f"{row['active']:,}".rjust(len(f"{row['total']:,}")) for row in rows]),
    ]
    digits = max(len(f"{row['total']:,}") for row in rows)
    for part in _PARTS:
        if any(row[part] for row in rows):
            cells = [f"{row[part]:>{digits},} {row[part] / row['total']:7.1%}" for row in rows]
            found.append((f"  {part.replace('_', ' ')}", cells))
    found += [
        ("", [""] * len(rows)),
        ("checkpoint", [row["checkpoint"] for row in rows]),
        ("stored", [format_quantity(row["weights_bytes"], "B") for row in rows]),
        (f"cache at {SHORT:,}", [format_quantity(row[f"cache_bytes_{SHORT}"], "B") for row in rows]),
        (f"cache at {LONG:,}", [format_quantity(row[f"cache_bytes_{LONG}"], "B") for row in rows]),
    ]
    if any(row["state_bytes"] for row in rows):
        found.append(("of it states", [format_quantity(row["state_bytes"], "B") for row in rows]))
    return found
