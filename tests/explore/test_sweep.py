"""Grids: each point is that of the deployment asked there alone, whatever the axes are."""

import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roofline as rl
from roofline.estimate import door
from roofline.explore.grid import COLUMNS, NUMBERS, Grid
from roofline.explore.sweep import sweep
from tests.explore.cases import LAYOUTS, deployment

OPEN = rl.Deployment("llama-3.1-8b", "h100-sxm", devices=4)


def assert_row_is_the_estimate(row: dict[str, Any], estimate_of: Any) -> None:
    try:
        estimate = estimate_of()
    except (rl.DoesNotFit, rl.LayoutError):
        assert row["fits"] is False
        assert all(row[name] is None or math.isnan(row[name]) for name in NUMBERS)
        return
    for name in NUMBERS:
        expected = getattr(estimate, name)
        assert row[name] == (expected if expected is None else pytest.approx(expected, rel=1e-12)), name
    assert row["fits"] is True
    assert row["layout"] == str(estimate.layout)
    assert row["bound"] == estimate.bound


@given(
    st.sampled_from(sorted(LAYOUTS)),
    st.lists(st.integers(1, 600), min_size=1, max_size=3),
    st.lists(st.integers(2, 20_000), min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from(["fastest", "whole", 100]),
)
@settings(max_examples=60)
def test_sweep_equals_loop(name: str, batches: list[int], tokens: list[int], decode: bool, slice: Any) -> None:
    pool = deployment(name).with_slice(slice)
    method = pool.decode if decode else pool.prefill
    tokens_name = "context" if decode else "prompt"
    rows = sweep(method, **{tokens_name: tokens, "batch": batches}).to_dicts()
    assert len(rows) == len(batches) * len(tokens)
    for row, (count, batch) in zip(rows, ((t, b) for t in tokens for b in batches), strict=True):
        assert (row[tokens_name], row["batch"]) == (count, batch)
        assert_row_is_the_estimate(row, lambda: method(**{tokens_name: count, "batch": batch}))  # noqa: B023


def test_open_layouts_are_chosen_at_each_point() -> None:
    grid = sweep(OPEN.decode, batch=[1, 300], context=[500, 60_000])
    for row in grid:
        assert_row_is_the_estimate(row, lambda: OPEN.decode(row["batch"], row["context"]))  # noqa: B023


def test_hardware_numbers_enter_as_arrays() -> None:
    bandwidths, overheads = [2e12, 3.35e12], [1e-6, 5e-6]
    axes = {"memory.bandwidth": bandwidths, "kernels.matmul.bf16.overhead": overheads}
    grid = sweep(deployment("one GPU").decode, batch=[1, 64], context=512, **axes)
    assert grid.shape == (2, 2, 2)
    assert grid.fixed == {"context": 512}
    assert {row["context"] for row in grid} == {512}
    own = deployment("one GPU").accelerator
    for row in grid:
        chip = own.with_(**{"memory.bandwidth": row["memory.bandwidth"]})
        gpu = rl.Deployment("llama-3.1-8b", chip)
        fits = gpu.rates.sources[0]
        matmul = fits.kernels["matmul"]
        changed = {**matmul, "bf16": matmul["bf16"].model_copy(update={"overhead": row[list(axes)[1]]})}
        efficiency = fits.model_copy(update={"kernels": {**fits.kernels, "matmul": changed}})
        gpu = rl.Deployment("llama-3.1-8b", chip, efficiency=efficiency)
        assert row["seconds"] == pytest.approx(gpu.decode(row["batch"], 512).seconds, rel=1e-12)


@pytest.mark.parametrize("name", ["dense on GPUs", "pipeline of GPUs", "small model on LPUs"])
def test_every_hardware_number_may_be_an_axis(name: str) -> None:
    owner = deployment(name)
    for path in ["memory.bandwidth", "memory.capacity", "price", "power", "peak.bf16", "peak.int8"]:
        try:
            value = owner.accelerator.cite(path).value
        except rl.RooflineError:
            continue
        given = value * 3600 if path == "price" else value
        rows = sweep(owner.decode, batch=2, context=300, **{path: [given, given * 1.25]}).to_dicts()
        for row in rows:
            changed = owner.varied(owner.accelerator.with_(**{path: row[path]}))
            assert_row_is_the_estimate(row, lambda: changed.decode(2, 300))  # noqa: B023


def test_ranks_may_be_axes_and_impossible_ones_keep_their_place() -> None:
    gpu = rl.Deployment("llama-3.1-8b", "h100-sxm", devices=8)
    grid = sweep(gpu.decode, batch=[1, 16], context=1024, tp=[1, 2, 3, 8], pp=[1, 2])
    for row in grid:
        assert_row_is_the_estimate(
            row,
            lambda: rl.Deployment("llama-3.1-8b", "h100-sxm", 8, tp=row["tp"], pp=row["pp"]).decode(row["batch"], 1024),  # noqa: B023
        )
    assert not grid["fits"][:, 2].any()
    with pytest.raises(rl.LayoutError, match="tp: got 3"):
        sweep(gpu.decode, batch=1, context=1024, tp=[3, 5])


def test_blocks_cover_every_point_and_progress_reaches_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = {"batch": np.arange(1, 5), "context": np.arange(100, 105), "memory.bandwidth": np.geomspace(1e12, 9e12, 3)}
    whole = sweep(deployment("one GPU").decode, **axes).to_numpy()
    for size in (1, 2, 7, 40):
        monkeypatch.setattr(door, "BLOCK", size)
        calls: list[tuple[int, int]] = []
        grid = sweep(deployment("one GPU").decode, progress=lambda *done: calls.append(done), **axes)  # noqa: B023
        assert calls[-1] == (60, 60)
        assert calls == sorted(calls)
        for name, column in grid.to_numpy().items():
            assert np.array_equal(column, whole[name]), name


def test_views_agree() -> None:
    grid = sweep(deployment("dense on GPUs").decode, batch=[1, 8, 10**6], context=[128.5, 4096])
    assert grid.shape == (3, 2)
    assert len(grid) == 6
    arrays, rows = grid.to_numpy(), grid.to_dicts()
    assert arrays["batch"].tolist() == [[1, 1], [8, 8], [10**6, 10**6]]
    assert rows[3]["batch"] == 8
    assert isinstance(rows[3]["batch"], int)
    assert rows[2]["context"] == 128.5
    assert list(rows[0]) == ["phase", "batch", "context", *COLUMNS]
    assert arrays["fits"].tolist() == [[True, True], [True, True], [False, False]]
    for name in COLUMNS:
        assert [row[name] for row in rows[:4]] == arrays[name].ravel().tolist()[:4]
    assert list(grid.to_dicts(["seconds"])[0]) == ["phase", "batch", "context", "seconds"]
    with pytest.raises(ValueError, match="read-only"):
        grid["seconds"][0, 0] = 1


def test_money_that_is_not_known_is_absent() -> None:
    free = rl.Deployment("llama-3.1-8b", rl.accelerator("h100-sxm").with_(price=None), tp=1, pp=1)
    grid = sweep(free.decode, batch=[1, 10**6], context=128)
    assert next(iter(grid))["usd_per_million_tokens"] is None
    assert np.isnan(grid["usd_per_million_tokens"]).all()
    assert grid.to_dicts()[0]["joules"] is not None
    assert math.isnan(grid.to_dicts()[1]["usd_per_million_tokens"])  # what does not fit has no cost to know
    dark = rl.Deployment("llama-3.1-8b", rl.accelerator("h100-sxm").with_(power=None), tp=1, pp=1)
    row = sweep(dark.decode, batch=1, context=128).to_dicts()[0]
    assert (row["joules"], row["joules_per_token"]) == (None, None)
    assert row["usd_per_million_tokens"] > 0


def test_texts_with_units_are_hardware_numbers() -> None:
    gpu = deployment("one GPU")
    one = sweep(gpu.decode, batch=1, context=128, **{"memory.bandwidth": ["2 TB/s", "4.8 TB/s"]})
    other = sweep(gpu.decode, batch=1, context=128, **{"memory.hbm.bandwidth": [2e12, 4.8e12]})
    assert np.array_equal(one["seconds"], other["seconds"])
    words = {"price": ["2.5 USD/h", "3 USD/h"], "power": "0.7 kW", "memory.capacity": "200 GB"}
    numbers = {"price": [2.5, 3], "power": 700, "memory.capacity": 200e9}
    texts, bare = (sweep(gpu.decode, batch=1, context=128, **axes) for axes in (words, numbers))
    assert np.array_equal(texts["usd_per_million_tokens"], bare["usd_per_million_tokens"])
    assert np.array_equal(texts["joules"], bare["joules"])


def test_xarray_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = sweep(deployment("one GPU").decode, batch=[1, 2], context=[128, 256, 512])
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(rl.RooflineError, match=r"pip install xarray"):
        grid.to_xarray()


def test_xarray_has_the_axes_as_dimensions() -> None:
    pytest.importorskip("xarray")
    grid = sweep(deployment("one GPU").decode, batch=[1, 2], context=[128, 256, 512])
    data = grid.to_xarray()
    assert dict(data.sizes) == {"batch": 2, "context": 3}
    assert float(data["seconds"].sel(batch=2, context=256)) == grid["seconds"][1, 1]


def test_bad_axes_are_refused_in_one_line() -> None:
    gpu = deployment("dense on GPUs")
    with pytest.raises(rl.InvalidInput, match=r"batch: got \['1', '2'\], expected a number, or a list of numbers"):
        sweep(gpu.decode, batch=["1", "2"], context=128)
    with pytest.raises(rl.InvalidInput, match="context: got 'nothing', expected a number: decode needs it"):
        sweep(gpu.decode, batch=[1, 2])
    with pytest.raises(rl.UnknownName, match=r"axis: got 'btch'.*nearest: batch"):
        sweep(gpu.decode, btch=[1, 2], context=128)
    with pytest.raises(rl.UnknownName, match=r"memory\.bandwith.*nearest: memory\.hbm\.bandwidth"):
        sweep(gpu.decode, batch=1, context=128, **{"memory.bandwith": [1e12]})
    with pytest.raises(rl.UnknownName, match=r"kernels\.matmul\.bf16\.speed"):
        sweep(gpu.decode, batch=1, context=128, **{"kernels.matmul.bf16.speed": [1e12]})
    with pytest.raises(rl.InvalidInput, match="batch: got 0"):
        sweep(gpu.decode, batch=[0, 1], context=128)
    with pytest.raises(rl.InvalidInput, match=r"batch: got \[\], expected"):
        sweep(gpu.decode, batch=[], context=128)
    with pytest.raises(rl.InvalidInput, match="expected finite numbers"):
        sweep(gpu.decode, batch=[math.nan], context=128)
    with pytest.raises(rl.InvalidInput, match=r"tp: got 1\.5"):
        sweep(gpu.decode, batch=1, context=128, tp=1.5)
    with pytest.raises(rl.InvalidInput, match="a quantity in B/s"):
        sweep(gpu.decode, batch=1, context=128, **{"memory.bandwidth": ["3 TB"]})
    with pytest.raises(rl.InvalidInput, match="got '4e12', expected a quantity in B/s, with its unit"):
        sweep(gpu.decode, batch=1, context=128, **{"memory.bandwidth": ["3 TB/s", "4e12"]})
    with pytest.raises(rl.InvalidInput, match="fewer than the prompt"):
        sweep(gpu.prefill, prompt=[10, 20], cached_tokens=[0, 10])
    grid = sweep(gpu.decode, batch=1, context=128)
    assert isinstance(grid, Grid)
    with pytest.raises(rl.UnknownName, match=r"column: got 'second'.*nearest: seconds"):
        grid["second"]
