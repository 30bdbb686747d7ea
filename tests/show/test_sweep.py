"""`roofline sweep`, and what `explain` says to buy: points are the library's, bad input is one line."""

import csv
import io
import json
import math
from typing import Any

import pytest

import roofline as rl
from roofline.explore.grid import COLUMNS
from roofline.show.axes import Varied, axis
from roofline.show.pools import Pool
from roofline.show.sweep_view import OBJECTIVES, Wanted, table
from tests.show.conftest import Snapshots
from tests.show.support import Terminal

MODEL, GPU = "llama-3.1-8b", "h100-sxm:2,tp=2"
SWEEP = ("sweep", MODEL, "--on", GPU)


def rows_of(terminal: Terminal, *arguments: str, status: int = 0) -> list[dict[str, Any]]:
    run = terminal.run(*SWEEP, *arguments, "--format", "json")
    assert (run.status, run.err) == (status, "")
    rows: list[dict[str, Any]] = json.loads(run.out)
    return rows


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,8,64", [1, 8, 64]),
        ("1:256:x2", [1, 2, 4, 8, 16, 32, 64, 128, 256]),
        ("1:10:x3", [1, 3, 9]),
        ("1000:1300:+100", [1000, 1100, 1200, 1300]),
        ("8,1:8:x2,8", [8, 1, 2, 4]),
        ("1e3:4e3:×2", [1000, 2000, 4000]),
        ("5:5:+1", [5]),
        ("1:2:x1.4142135623730951", [1, 1.4142135623730951, 2.0000000000000004]),
    ],
)
def test_an_axis_is_what_it_says(text: str, values: list[float]) -> None:
    assert axis("batch", text) == values


@pytest.mark.parametrize(
    "text", ["", ",", "1:", "1:2", "1:2:3", "2:1:x2", "1:2:x1", "1:2:+0", "1:9:x-2", "1:1e9:+1", "a:b:xc", "0:8:x2"]
)
def test_an_axis_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(rl.InvalidInput):
        axis("batch", text)


def test_hardware_numbers_have_units_and_ranks_are_whole() -> None:
    assert Varied.parse("memory.bandwidth=3TB/s, 4 TB/s").values == [3e12, 4e12]
    assert Varied.parse("tp=1,2").values == [1, 2]
    assert Varied.parse("price=1.5,2.5 ").values == [1.5, 2.5]
    assert Varied.parse("price=2 USD/h").values == [2]
    assert Varied.parse("power=1 kW").values == [1000]
    assert Varied.parse("kernels.matmul.bf16.memory=0.5:0.9:+0.1").values[0] == 0.5


def test_rows_are_the_points_of_the_grid(terminal: Terminal) -> None:
    rows = rows_of(terminal, "--batch", "1,64", "--context", "1024,8192", "--vary", "memory.bandwidth=3TB/s,4TB/s")
    method = rl.Deployment(MODEL, "h100-sxm", 2, tp=2).decode
    grid = rl.sweep(method, batch=[1, 64], context=[1024, 8192], **{"memory.bandwidth": [3e12, 4e12]})
    expected = grid.to_dicts()
    assert len(rows) == 8
    for row, point in zip(rows, expected, strict=True):
        assert {key: row[key] for key in point} == point
        assert (row["deployment"], row["model"], row["quantization"]) == (GPU, MODEL, "bf16")
    one = rl.Deployment(MODEL, rl.accelerator("h100-sxm").with_(**{"memory.bandwidth": 4e12}), 2, tp=2)
    assert rows[-1]["seconds"] == pytest.approx(one.decode(64, 8192).seconds, rel=1e-12)


def test_prefill_sweeps_prompts(terminal: Terminal) -> None:
    rows = rows_of(terminal, "--phase", "prefill", "--context", "1024,8192")
    assert [(row["prompt"], row["batch"]) for row in rows] == [(1024, 1), (8192, 1)]
    seconds = rl.Deployment(MODEL, "h100-sxm", 2, tp=2).prefill(8192).seconds
    assert rows[1]["seconds"] == pytest.approx(seconds, rel=1e-12)


def test_decode_is_swept_to_256_unless_said(terminal: Terminal) -> None:
    rows = rows_of(terminal)
    assert [row["batch"] for row in rows] == [2**power for power in range(9)]
    assert {row["context"] for row in rows} == {4096}


def test_pareto_keeps_what_none_beats_over_all_pools(terminal: Terminal) -> None:
    pools = ("--on", "h200-sxm:1", "--context", "2048")
    every = rows_of(terminal, *pools)
    kept = rows_of(terminal, *pools, "--pareto")
    assert kept == rl.pareto(every, maximize=OBJECTIVES).to_dicts()
    assert 0 < len(kept) < len(every)
    cheapest = rows_of(terminal, *pools, "--minimize", "usd_per_million_tokens")
    assert [row["usd_per_million_tokens"] for row in cheapest] == [min(row["usd_per_million_tokens"] for row in every)]
    out = " ".join(terminal.run(*SWEEP, *pools, "--pareto").out.split())
    assert f"{len(kept)} of {len(every)} points, which none beats" in out


def test_points_that_do_not_fit_keep_their_rows(terminal: Terminal) -> None:
    rows = rows_of(terminal, "--batch", "1,100000")
    assert [row["fits"] for row in rows] == [True, False]
    assert rows[1]["seconds"] is None
    run = terminal.run(*SWEEP, "--batch", "1,100000")
    assert run.status == 0
    assert "no fit" in run.out
    nothing = rows_of(terminal, "--batch", "100000", status=1)
    assert [row["fits"] for row in nothing] == [False]
    assert rows_of(terminal, "--batch", "100000", "--pareto", status=1) == []


def test_ranks_that_do_not_go_together_have_no_layout(terminal: Terminal) -> None:
    run = terminal.run("sweep", MODEL, "--on", "h100-sxm:4", "--batch", "1", "--vary", "tp=1,4", "--vary", "pp=1,4")
    assert run.status == 0
    assert "no layout" in run.out


def test_formats_for_programs_agree(terminal: Terminal) -> None:
    rows = rows_of(terminal, "--batch", "1,2")
    run = terminal.run(*SWEEP, "--batch", "1,2", "--format", "csv")
    read = list(csv.DictReader(io.StringIO(run.out)))
    assert [float(row["seconds"]) for row in read] == [row["seconds"] for row in rows]
    assert list(read[0]) == list(rows[0])


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_sweep_reads_as_stored(snapshots: Snapshots, width: int) -> None:
    wanted = Wanted.parse(
        "decode", "1,64", "4096", ["memory.bandwidth=3TB/s,4TB/s"], pareto=False, maximize=None, minimize=None
    )
    numbers = {"seconds": 0.00743, "ideal": 0.006, "floor": 0.00516, "low": 0.00701, "high": 0.00795, "mfu": 0.01}
    rates = {"tokens_per_second": 135.0, "tokens_per_second_per_user": 135.0, "tokens_per_second_per_device": 135.0}
    known = {**numbers, **rates, "mbu": 0.6, "joules": 5.2, "joules_per_token": 5.2, "usd_per_million_tokens": None}
    known |= {"bound": "memory", "layout": "tp1", "fits": True}
    assert known.keys() == set(COLUMNS)
    unfit = known | dict.fromkeys(known, math.nan) | {"bound": "", "layout": "tp1", "fits": False}
    rows = [
        {"deployment": "h100-sxm:1", "quantization": "bf16", "batch": batch, "context": 4096, "memory.bandwidth": rate}
        | (known if batch == 1 else unfit)
        for batch in (1, 64)
        for rate in (3e12, 4e12)
    ]
    lines = table(MODEL, rows, wanted, [Pool.parse("h100-sxm:1")], len(rows), width)
    assert max(len(line.plain) for line in lines) <= width
    snapshots.check(f"sweep_{width}", "".join(f"{line.plain}\n" for line in lines))


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_explain_says_what_to_buy(terminal: Terminal, phase: str) -> None:
    run = terminal.run("explain", MODEL, "--on", GPU, "--batch", "8", "--context", "2048", "--phase", phase)
    start = next(index for index, line in enumerate(run.lines) if line.startswith("To buy"))
    deployment = rl.Deployment(MODEL, "h100-sxm", 2, tp=2)
    found = (
        rl.sensitivity(deployment.decode, batch=8, context=2048)
        if phase == "decode"
        else rl.sensitivity(deployment.prefill, batch=8, prompt=2048)
    )
    first = "memory.bandwidth" if phase == "decode" else "peak.bf16"
    assert run.lines[start + 1] == f"· {found.buys(first).removesuffix(' more tokens per second')}"
    assert max(map(len, run.lines)) <= 80


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--phase", "decod"), "nearest: decode"),
        (("--batch", "1:8:y2"), "batch: got '1:8:y2'"),
        (("--batch", "8:1:x2"), "START:STOP:xFACTOR with START at most STOP; nearest: 1:8:x2"),
        (("--batch", "8:1:+2"), "START:STOP:+STEP with START at most STOP; nearest: 1:8:+2"),
        (("--batch", "1:8:x1"), "a factor above 1 in START:STOP:xFACTOR"),
        (("--batch", "1:8:+0"), "a step above 0 in START:STOP:+STEP"),
        (("--batch", "1:8"), "a range is START:STOP:xFACTOR, such as 1:256:x2, or START:STOP:+STEP"),
        (
            ("--vary", "memory.bandwidth=3TB"),
            "memory.bandwidth: got '3TB', expected quantities in B/s, such as 3.35 TB/s",
        ),
        (("--context", "1:1e9:+1"), "at most 1,000 values"),
        (("--batch", "1:999:+1", "--context", "1:999:+1", "--vary", "tp=1,2"), "at most 1,000,000"),
        (("--vary", "memory.bandwidth"), "PATH=VALUES"),
        (("--vary", "memory.bandwidth="), "PATH=VALUES"),
        (("--vary", "memory.bandwidth=3"), "quantities in B/s, such as 3.35 TB/s"),
        (("--vary", "memory.bandwidth=-3TB/s"), "above zero"),
        (("--vary", "memory.bandwidth=3W"), "quantities in B/s, such as 3.35 TB/s"),
        (("--vary", "memory.bandwidth=3TB/s,4W"), "all of one kind"),
        (("--vary", "memory.bandwidth=1e999TB/s"), "with their units"),
        (("--vary", "memory.bandwith=3TB/s"), "nearest"),
        (("--vary", "bandwidth=3TB/s"), "nearest"),
        (("--vary", "tp=1.5"), "whole numbers"),
        (("--vary", "tp=x"), "tp: got 'x'"),
        (("--vary", "tp=1", "--vary", "tp=2"), "each path once"),
        (("--vary", "batch=1"), "--batch for that"),
        (("--maximize", "speed"), "objective: got 'speed'"),
        (("--maximize", "bound"), "objective: got 'bound'"),
        (("--pareto", "--maximize", "seconds", "--minimize", "seconds"), "each name once"),
        (("--on", "h100:1"), "nearest"),
    ],
)
def test_what_cannot_be_meant_is_one_line(terminal: Terminal, arguments: tuple[str, ...], words: str) -> None:
    run = terminal.run(*SWEEP, *arguments)
    assert (run.status, run.out) == (2, "")
    assert run.err.count("\n") == 1
    assert "mistake of ours" not in run.err
    assert words in run.err
