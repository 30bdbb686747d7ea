"""`roofline` and `roofline compare`: rows agree with the library, tables fit, what does not fit says so."""

import csv
import io
import json
import re
import shlex
from typing import Any

import pytest

import roofline as rl
from roofline.describe.model_catalog import load_model
from roofline.show.comparison import DEMO_MODEL, DEMO_POOLS, DEMO_QUESTION
from roofline.show.pools import Pool
from roofline.show.rows import ATTRIBUTES, KEYS
from tests.show.support import Terminal

SMALL = ("compare", "llama-3.1-8b", "--on", "h100-sxm:2,quantization=fp8", "--on", "groq-lpu-v1:128,quantization=int8")


def recomputed(row: dict[str, Any]) -> rl.Estimate:
    """The estimate that a row says it is, from the library alone."""
    ranks = dict(re.findall(r"(tp|pp|dp|ep)(\d+)", row["layout"]))
    whole = {name: int(ranks.get(name, 1)) for name in ("tp", "pp", "dp", "ep")}
    name, devices = row["deployment"].split(",")[0].split(":")
    deployment = rl.Deployment(row["model"], name, int(devices), quantization=row["quantization"], **whole)
    if row["phase"] == "prefill":
        return deployment.prefill(row["context"], row["batch"])
    return deployment.decode(row["batch"], row["context"])


def test_pools_that_differ_at_their_end_can_be_told_apart(terminal: Terminal) -> None:
    pool = "groq-lpu-v1:576,tp=8,pp=72,quantization=int8"
    said = terminal.run("compare", "llama-3.1-70b", "--on", f"{pool},slice=16", "--on", f"{pool},slice=32", width=80)
    names = {line.split()[2] for line in said.lines if line.startswith("576")}
    assert len(names) == 2
    assert all(any(name.endswith(f"…ion=int8,slice={tokens}") for name in names) for tokens in (16, 32))


@pytest.mark.parametrize("width", [80, 140])
def test_the_demo_compares_five_pools_in_two_phases(terminal: Terminal, width: int) -> None:
    run = terminal.run(width=width)
    assert (run.status, run.err) == (0, "")
    assert max(map(len, run.lines)) <= width
    labels = [Pool.parse(text).label for text in DEMO_POOLS]
    for heading in (
        "Prefill  2,048 tokens, batch 1",
        "Decode  batch 1",
        f"Decode  batch {DEMO_QUESTION.batches[-1]:g}",
    ):
        start = next(index for index, line in enumerate(run.lines) if line.startswith(heading))
        group = run.lines[start + 1 : start + 1 + len(labels)]
        assert [line[: len(label)] for line, label in zip(group, labels, strict=True)] == labels
    assert {"In short", "Missing", "Assumed", "Next"} <= set(run.lines)
    assert ("A wider terminal" in run.out) == (width == 80)
    header = next(index for index, line in enumerate(run.lines) if "80 % range" in line)
    assert ("MFU" in run.lines[header - 1] + run.lines[header]) == (width == 140)


def test_columns_of_a_table_are_aligned(terminal: Terminal) -> None:
    lines = terminal.run().lines
    header = next(line for line in lines if "/user" in line)
    rows = [line for line in lines if re.match(r"\d+ × .* (memory|compute|network|overhead|feed)$", line)]
    assert len(rows) == 15
    for end in (header.index("/user") + 5, header.index("ms") + 2):
        assert all(line[end - 1].isdigit() and line[end] == " " for line in rows)


def test_prices_that_nobody_published_are_empty_and_said(terminal: Terminal) -> None:
    rows = json.loads(terminal.run("--format", "json").out)
    unpriced = {row["deployment"] for row in rows if row["usd_per_million_tokens"] is None}
    assert unpriced == {row["deployment"] for row in rows if row["price"] is None}
    assert re.search(r"no price of .* is published", " ".join(terminal.run(width=140).lines))


def test_json_rows_are_the_estimates(terminal: Terminal) -> None:
    rows = json.loads(terminal.run("--format", "json").out)
    assert len(rows) == len(DEMO_POOLS) * (1 + len(DEMO_QUESTION.batches))
    assert {row["model"] for row in rows} == {DEMO_MODEL}
    for row in rows:
        assert list(row) == list(KEYS)
        estimate = recomputed(row)
        assert {key: row[key] for key in ATTRIBUTES} == {key: getattr(estimate, key) for key in ATTRIBUTES}
        assert row["layout"] == str(estimate.layout)
        assert row["floor"] <= row["ideal"] <= row["low"] <= row["seconds"] <= row["high"]
        assert row["fits"] is True
        assert row["devices"] == row["replicas"] * estimate.layout.devices + row["idle_devices"]


def test_what_is_open_of_a_layout_is_the_fastest_for_each_row(terminal: Terminal) -> None:
    """As the library alone would answer each; a layout that is given stays."""
    rows = json.loads(terminal.run("--format", "json").out)
    for row in rows:
        pool = Pool.parse(row["deployment"]).deployment(load_model(row["model"]))
        asked = pool.prefill(row["context"]) if row["phase"] == "prefill" else pool.decode(row["batch"], row["context"])
        assert (row["layout"], row["seconds"]) == (str(asked.layout), asked.seconds)
    layouts = {name: {row["layout"] for row in rows if row["deployment"] == name} for name in DEMO_POOLS}
    assert [len(layouts[name]) > 1 for name in DEMO_POOLS] == ["tp=" not in name for name in DEMO_POOLS]
    text = terminal.run().out
    assert re.search(r"8 × b200-sxm +pp8 +prefill ", text)
    assert re.search(r"\n +tp8 +batch 1, 8 ", text)
    alone = terminal.run("compare", "llama-3.1-8b", "--on", "h100-sxm:1", "--on", "h100-sxm:2,tp=2").out
    assert "taken" not in alone


def test_csv_and_markdown_say_what_json_says(terminal: Terminal) -> None:
    expected = json.loads(terminal.run(*SMALL, "--batch", "1,4", "--format", "json").out)
    table = list(csv.DictReader(io.StringIO(terminal.run(*SMALL, "--batch", "1,4", "--format", "csv").out)))
    lines = terminal.run(*SMALL, "--batch", "1,4", "--format", "markdown").lines
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    marked = [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
    assert all(set(cell) <= set("-:") for cell in cells[1])
    assert len({len(row) for row in cells}) == 1
    assert list(table[0]) == list(expected[0])
    for found in (table, marked):
        assert [{key: as_text(row[key]) for key in found[0]} for row in expected] == found
        for row, original in zip(found, expected, strict=True):
            assert float(row["seconds"]) == original["seconds"]


@pytest.mark.parametrize("command", ["", "compare", "serve", "plan"])
def test_markdown_has_what_the_widest_table_has(terminal: Terminal, command: str) -> None:
    """What answers rest on is for JSON and CSV: a document has no room for it in every row."""
    asked = {
        "compare": SMALL,
        "serve": ("serve", "llama-3.1-8b", "--on", "h100-sxm:2"),
        "plan": ("plan", "llama-3.1-8b", "--on", "h100-sxm", "--most-devices", "2", "--tpot", "1s"),
    }.get(command, ())
    header = [cell.strip() for cell in terminal.run(*asked, "--format", "markdown").lines[0].strip("|").split("|")]
    every = json.loads(terminal.run(*asked, "--format", "json").out)[0]
    assert set(header) <= set(every)
    assert not {"assumptions", "sources", "pools", "message"} & set(header)
    kept = {
        "compare": {"floor", "seconds", "mfu", "mbu", "layout", "price", "power", "idle_devices", "max_batch", "fits"},
        "serve": {"mode", "deployment", "ttft", "tpot", "limit", "usd_per_million_input_tokens", "concurrency"},
        "plan": set(every) - {"assumptions"},
    }
    assert kept[command or "compare"] <= set(header)


def as_text(value: Any) -> str:
    """A value of JSON as a cell has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return "; ".join(value) if isinstance(value, list) else str(value)


def test_decode_is_asked_at_the_mean_context(terminal: Terminal) -> None:
    rows = json.loads(terminal.run(*SMALL, "--isl", "1000", "--osl", "301", "--format", "json").out)
    assert {row["context"] for row in rows if row["phase"] == "decode"} == {1150}
    assert {row["context"] for row in rows if row["phase"] == "prefill"} == {1000}
    assert [row["batch"] for row in rows if row["deployment"].startswith("h100")] == [1, 1, 8, 64]


def test_batches_may_be_ranges_and_means_as_everywhere(terminal: Terminal) -> None:
    asked = ("compare", "llama-3.1-8b", "--on", "h100-sxm:1", "--format", "json", "--batch")
    rows = json.loads(terminal.run(*asked, "1:4:x2,1.5").out)
    assert [row["batch"] for row in rows if row["phase"] == "decode"] == [1, 2, 4, 1.5]
    mean = rl.Deployment("llama-3.1-8b", "h100-sxm", 1).decode(1.5, 2304)
    assert rows[-1]["seconds"] == mean.seconds
    served = ("serve", "llama-3.1-8b", "--on", "h100-sxm:1", "--format", "json")
    loads = json.loads(terminal.run(*served, "--concurrency", "1:4:x2").out)
    assert [row["concurrency"] for row in loads] == [1, 2, 4]


def test_what_does_not_fit_keeps_its_row(terminal: Terminal) -> None:
    command = ("compare", "llama-3.1-70b", "--on", "h100-sxm:1", "--on", "h100-sxm:4", "--batch", "1,4096")
    run = terminal.run(*command, "--format", "json")
    assert (run.status, run.err) == (1, "")
    rows = json.loads(run.out)
    unfit = [row for row in rows if not row["fits"]]
    assert [(row["deployment"], row["phase"], row["batch"]) for row in unfit] == [
        ("h100-sxm:1", "prefill", 1),
        ("h100-sxm:1", "decode", 1),
        ("h100-sxm:1", "decode", 4096),
        ("h100-sxm:4", "decode", 4096),
    ]
    for row in unfit:
        assert row["seconds"] is None
        assert row["shortfall_bytes"] > 0
        assert row["min_devices"] > row["devices"]
    table = terminal.run(*command)
    assert table.status == 1
    assert table.out.count("does not fit: ") == 4
    assert f"{unfit[-1]['min_devices']:,} devices would do" in table.out
    assert terminal.run(*command, "--format", "csv").status == 1


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("--on", "h100-sxm:1", "--batch", "1,8"), ["compare", "h100-sxm:2"]),
        (("--on", "h100-sxm:1,tp=1,price=2", "--on", "h100-sxm:1,price=2"), ["compare", "h100-sxm:3,price=2"]),
        (("--on", "h100-sxm:1", "--on", "h100-sxm:4", "--batch", "1,4096"), ["explain", "h100-sxm:4", "--batch 1"]),
        (("--on", "h100-sxm:2", "--batch", "9999"), ["explain", "h100-sxm:2", "--phase prefill"]),
        (("--on", "h100-sxm:1", "--quantization", "fp8", "--batch", "1"), ["explain", "--quantization fp8"]),
    ],
)
def test_the_command_that_comes_next_has_an_answer(
    terminal: Terminal, asked: tuple[str, ...], expected: list[str]
) -> None:
    run = terminal.run("compare", "llama-3.1-70b", *asked, width=400)
    (words,) = run.lines[run.lines.index("Next") + 1 :]
    program, *arguments = shlex.split(words)
    assert program == "roofline"
    assert all(part in words for part in expected)
    assert words.count("--on") == 1
    assert terminal.run(*arguments).status == 0


def test_no_command_comes_next_where_no_number_of_devices_would_do(terminal: Terminal) -> None:
    run = terminal.run("compare", "llama-3.1-405b", "--on", "l4:1", width=400)
    assert run.status == 1
    assert "no number of devices would do" in run.out
    assert "Next" not in run.lines


def test_formats_are_said_or_the_default_or_native(terminal: Terminal) -> None:
    pools = ("--on", "h100-sxm:1", "--on", "a100-sxm-80gb:1,quantization=int8", "--on", "h100-sxm:1,kv_cache=fp8")
    rows = json.loads(terminal.run("compare", "llama-3.1-8b", *pools, "--format", "json").out)
    assert [row["quantization"] for row in rows[:3]] == ["bf16", "int8", "bf16, kv fp8"]
    command = ("compare", "llama-3.1-8b", *pools, "--quantization", "fp8", "--format", "json")
    assert [row["quantization"] for row in json.loads(terminal.run(*command).out)[:3]] == ["fp8", "int8", "fp8"]
    native = ("compare", "deepseek-r1", "--on", "a100-sxm-80gb:16", "--batch", "1", "--format", "json")
    assert json.loads(terminal.run(*native).out)[0]["quantization"] == "int8"


def test_price_power_and_efficiency_are_the_pools_own(terminal: Terminal) -> None:
    def asked(options: str) -> dict[str, Any]:
        run = terminal.run(
            "compare", "llama-3.1-8b", "--on", f"groq-lpu-v1:128{options}", "--batch", "1", "--format", "json"
        )
        return json.loads(run.out)[1]

    plain, priced, ideal = asked(""), asked(",price=2.5,power=100"), asked(",efficiency=ideal")
    assert plain["usd_per_million_tokens"] is None
    assert priced["usd_per_million_tokens"] == pytest.approx(128 * 2.5 / 3600 / priced["tokens_per_second"] * 1e6)
    assert priced["joules_per_token"] == pytest.approx(128 * 100 / priced["tokens_per_second"])
    assert asked(",price=2.5 USD/h,power=0.1 kW")["usd_per_million_tokens"] == pytest.approx(
        priced["usd_per_million_tokens"]
    )
    assert ideal["seconds"] == ideal["ideal"] == plain["ideal"]


def test_tables_and_rows_say_price_and_power_of_one_device(terminal: Terminal) -> None:
    pool = ("llama-3.1-8b", "--on", "h100-sxm:8,price=2.5,power=650,tp=8")
    for command, pools in (("compare", lambda row: [row]), ("serve", lambda row: row["pools"])):
        run = terminal.run(command, *pool, width=140)
        header = next(line for line in run.lines if "USD/h" in line)
        under = run.lines[run.lines.index(header) + 2]
        (found,) = pools(json.loads(terminal.run(command, *pool, "--format", "json").out)[-1])
        assert (found["price"], found["power"]) == (2.5, 650)
        assert under.split()[-2:] == ["2.50", "650"]
        assert run.lines[run.lines.index(header) + 1].split()[-2:] == ["/dev", "/dev"]


def test_a_layout_that_was_given_is_not_said_to_be_chosen(terminal: Terminal) -> None:
    asked = ("compare", "llama-3.1-8b", "--format", "json", "--batch", "1", "--on")
    given, left = (json.loads(terminal.run(*asked, pool).out)[-1] for pool in ("h100-sxm:8,tp=8", "h100-sxm:8"))
    assert (given["layout"], given["seconds"]) == (left["layout"], left["seconds"])
    assert [note for note in left["assumptions"] if note.endswith("chosen for each row: the fastest that fits")]
    assert not [note for note in given["assumptions"] if "fastest" in note]


def test_the_same_part_twice_is_told_apart(terminal: Terminal) -> None:
    out = terminal.run("compare", "llama-3.1-8b", "--on", "h100-sxm:2,tp=2", "--on", "h100-sxm:2,tp=1", width=140).out
    assert "2 × h100-sxm tp=2" in out
    assert "2 × h100-sxm tp=1" in out


@pytest.mark.parametrize("width", [1, 20, 40, 79, 81, 200, 1000])
def test_any_width_does(terminal: Terminal, width: int) -> None:
    run = terminal.run(*SMALL, width=width)
    assert run.status == 0
    tables = run.lines[: run.lines.index("In short")]
    assert width < 20 or max(map(len, tables)) <= width
