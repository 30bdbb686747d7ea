"""`roofline serve`: rows are the library's services, ways of serving stand side by side, bad input is one line."""

import csv
import io
import json
import re
from typing import Any

import pytest

import roofline as rl
from roofline.show.serve_rows import ATTRIBUTES, KEYS
from roofline.show.serve_view import assumed, findings, services, time_grid
from roofline.show.tables import BEST
from tests.show.conftest import Snapshots
from tests.show.support import Terminal

MODEL, GPU, LPU, LINK = "llama-3.1-70b", "h100-sxm:8,tp=8", "groq-3-lpu:256,tp=8,pp=32", "400 Gbit/s,2us"
SPLIT = ("--prefill", GPU, "--decode", LPU, "--link", LINK)
HALVES = ("--attention", GPU, "--ffn", LPU, "--link", LINK)
LOAD = ("--isl", "4096", "--osl", "256", "--quantization", "fp8")


def rows_of(terminal: Terminal, *arguments: str, status: int = 0) -> list[dict[str, Any]]:
    run = terminal.run("serve", MODEL, *arguments, *LOAD, "--format", "json")
    assert (run.status, run.err) == (status, "")
    rows: list[dict[str, Any]] = json.loads(run.out)
    assert all(list(row) == list(KEYS) for row in rows)
    return rows


def deployments() -> tuple[rl.Deployment, rl.Deployment]:
    gpu = rl.Deployment(MODEL, "h100-sxm", 8, tp=8, quantization="fp8")
    return gpu, rl.Deployment(MODEL, "groq-3-lpu", 256, tp=8, pp=32, quantization="fp8")


def agrees(row: dict[str, Any], service: rl.Service) -> None:
    assert {name: row[name] for name in ATTRIBUTES} == {name: getattr(service, name) for name in ATTRIBUTES}
    assert (row["bound"], row["limit"], row["devices"]) == (service.bound, service.limit, service.devices)
    assert [(pool["name"], pool["part"], pool["layout"], pool["utilisation"]) for pool in row["pools"]] == [
        (pool.name, pool.part, pool.layout, pool.utilisation) for pool in service.pools.values()
    ]
    assert row["assumptions"] == list(service.assumptions)


def test_every_way_of_serving_is_the_librarys(terminal: Terminal) -> None:
    rows = rows_of(terminal, "--on", GPU, *SPLIT, *HALVES[:4], "--concurrency", "4,32")
    gpu, lpu = deployments()
    systems = {
        "colocated": gpu,
        "prefill/decode": rl.PrefillDecode(gpu, lpu, LINK),
        "attention/ffn": rl.AttentionFfn(gpu, lpu, LINK),
    }
    assert [(row["concurrency"], row["mode"]) for row in rows] == [(n, mode) for n in (4, 32) for mode in systems]
    for row in rows:
        agrees(row, rl.serve(systems[row["mode"]], rl.Traffic(4096, 256, concurrency=row["concurrency"])))


def test_pools_without_a_decode_pool_nest(terminal: Terminal) -> None:
    gpu, lpu = deployments()
    (row,) = rows_of(terminal, "--prefill", GPU, *HALVES)
    nested = rl.PrefillDecode(gpu, rl.AttentionFfn(gpu, lpu, LINK), LINK)
    assert row["mode"] == "prefill/attention/ffn"
    agrees(row, rl.serve(nested, rl.Traffic(4096, 256, concurrency=16)))


def test_a_draft_adds_each_system_once_more(terminal: Terminal) -> None:
    gpu, lpu = deployments()
    draft = ("--draft", "llama-3.2-1b", "--acceptance", "0.8")
    rows = rows_of(terminal, "--on", GPU, *draft, "--rate", "0.5", "--cached-share", "0.5")
    assert [row["mode"] for row in rows] == ["colocated", "colocated + draft"]
    own = rl.Deployment("llama-3.2-1b", "h100-sxm", 8, quantization="fp8")
    traffic = rl.Traffic(4096, 256, rate=0.5, cached_share=0.5)
    agrees(rows[0], rl.serve(gpu, traffic))
    agrees(rows[1], rl.serve(rl.Speculative(gpu, own, 4, 0.8, shared=True), traffic))
    rows = rows_of(terminal, *SPLIT, *draft, "--draft-length", "3", "--draft-on", "l4:1,quantization=fp8")
    apart = rl.Deployment("llama-3.2-1b", "l4", 1, quantization="fp8")
    drafting = rl.PrefillDecode(gpu, rl.Speculative(lpu, apart, 3, 0.8, link=LINK), LINK)
    assert [row["mode"] for row in rows] == ["prefill/decode", "prefill/decode + draft"]
    agrees(rows[1], rl.serve(drafting, rl.Traffic(4096, 256, concurrency=16)))
    rows = rows_of(terminal, "--on", GPU, "--draft", "mtp", "--acceptance", "0.8")
    agrees(rows[1], rl.serve(rl.Speculative.mtp(gpu, 0.8), rl.Traffic(4096, 256, concurrency=16)))


@pytest.mark.parametrize("command", ["serve", "plan"])
def test_answers_of_one_token_have_no_time_per_further_token(terminal: Terminal, command: str) -> None:
    asked = ("serve", MODEL, "--on", GPU) if command == "serve" else ("plan", MODEL, "--on", "h100-sxm", "--ttft", "9s")
    limit = () if command == "serve" else ("--most-devices", "8")
    load = ("--isl", "2048", "--osl", "1", "--quantization", "fp8", *limit)
    row = json.loads(terminal.run(*asked, *load, "--format", "json").out)[0]
    for key in ("tpot", "tokens_per_second_per_user", "usd_per_million_output_tokens"):
        assert row[key] is None
    assert row["e2e_latency"] == row["ttft"] > 0
    assert row["usd_per_request"] > 0
    run = terminal.run(*asked, *load, width=140)
    assert (run.status, run.err) == (0, "")
    assert "nan" not in run.out


def test_chunks_reach_the_pools_of_both_phases(terminal: Terminal) -> None:
    rows = rows_of(terminal, "--on", GPU, *SPLIT, "--chunk", "512")
    agrees(rows[0], rl.serve(deployments()[0], rl.Traffic(4096, 256, concurrency=16), chunk=512))


def test_a_cap_of_the_batch_reaches_the_pools_that_decode(terminal: Terminal) -> None:
    rows = rows_of(terminal, "--on", GPU, *SPLIT, "--max-batch", "4")
    assert [row["limit"] for row in rows] == ["the batch cap", "the batch cap of the decode pool"]
    agrees(rows[0], rl.serve(deployments()[0], rl.Traffic(4096, 256, concurrency=16), max_batch=4))


def test_each_prefill_pool_meets_each_decode_pool(terminal: Terminal) -> None:
    rows = rows_of(terminal, *SPLIT, "--decode", "h100-sxm:8", "--prefill", "h200-sxm:8", "--on", GPU, "--on", GPU)
    assert [row["mode"] for row in rows] == ["colocated", *["prefill/decode"] * 4]
    assert len({row["deployment"] for row in rows if row["mode"] == "prefill/decode"}) == 4
    out = terminal.run("serve", MODEL, *SPLIT, "--decode", "h100-sxm:8", *LOAD, width=140).out
    assert re.search(r"^256 × groq-3-lpu  ", out, re.MULTILINE)
    assert re.search(r"^8 × h100-sxm  ", out, re.MULTILINE)
    assert "h100-sxm tp=8" not in out  # the pool that all share tells none of them apart


def test_formats_for_programs_say_what_json_says(terminal: Terminal) -> None:
    rows = rows_of(terminal, "--on", GPU)
    run = terminal.run("serve", MODEL, "--on", GPU, *LOAD, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(run.out))
    assert float(row["ttft"]) == rows[0]["ttft"]
    assert terminal.run("serve", MODEL, "--on", GPU, *LOAD, "--format", "markdown").out.count("\n") == 3


def test_what_does_not_fit_and_what_cannot_keep_up_is_a_no(terminal: Terminal) -> None:
    rows = rows_of(terminal, "--on", "l4:1", "--on", GPU, status=1)
    assert [row["fits"] for row in rows] == [False, True]
    assert rows[0]["shortfall_bytes"] > 0
    assert rows[0]["min_devices"] > 1
    assert rows[0]["ttft"] is None
    run = terminal.run("serve", MODEL, "--on", "l4:1", *LOAD)
    assert (run.status, run.err) == (1, "")
    assert "does not fit" in " ".join(run.out.split())
    (row,) = rows_of(terminal, "--on", GPU, "--rate", "1000", status=1)
    assert (row["fits"], row["ttft"]) == (True, None)
    run = terminal.run("serve", MODEL, "--on", GPU, *LOAD, "--rate", "1000")
    assert run.status == 1
    assert "∞" in run.out
    assert "the queue grows without end; colocated keeps up with" in " ".join(run.out.split())


def made_up(mode: str, load: float, **changes: Any) -> dict[str, Any]:
    """A row of a service with round numbers."""
    pool = {"devices": 8, "replicas": 1, "layout": "tp8", "batch": load, "utilisation": 0.99, "input_share": 0.3}
    pool["deployment"] = "gpu-sxm:8"
    money = {"price": 1.3, "power": 700.0, "quantization": "fp8"}
    known = {
        "mode": mode,
        "deployment": f"{mode} pools",
        "model": "example-70b",
        "isl": 8192,
        "osl": 1024,
        "concurrency": load,
        "rate": None,
        "cached_share": 0.25,
        "lengths": "varied",
        "quantization": "fp8",
        "ttft": 0.378,
        "ttft_low": 0.27,
        "ttft_high": 0.63,
        "tpot_low": 0.0088,
        "tpot_high": 0.0121,
        "tpot": 0.0102,
        "e2e_latency": 10.8,
        "tokens_per_second": 1516.0,
        "tokens_per_second_per_user": 98.1,
        "tokens_per_second_per_device": 94.7,
        "requests_per_second": 1.48,
        "queued": 0.0,
        "usd_per_million_output_tokens": 2.83,
        "usd_per_million_input_tokens": 0.122,
        "usd_per_request": 0.0039,
        "joules_per_output_token": 7.39,
        "tokens_per_second_per_megawatt": 135000.0,
        "bound": "memory",
        "limit": "the requests in flight",
        "fits": True,
        "shortfall_bytes": 0.0,
        "min_devices": None,
        "message": None,
        "devices": 8,
        "pools": [{"name": "devices", "part": "Example GPU", **pool, **money}],
        "assumptions": ["caches are paged"],
    }
    assert known.keys() == set(KEYS)
    return known | changes


@pytest.mark.parametrize("width", [60, 80, 140])
def test_services_read_as_stored(snapshots: Snapshots, width: int) -> None:
    nothing = dict.fromkeys(ATTRIBUTES) | {"bound": None, "limit": None, "pools": [], "assumptions": []}
    pool = made_up("", 1)["pools"][0]
    other = {"part": "Example LPU", "deployment": "specs/lpu-v1.toml:8,tp=8", "price": None}
    pools = [pool | {"name": "prefill"}, pool | {"name": "decode"} | other]
    unpriced = {"pools": pools, "usd_per_million_output_tokens": None, "usd_per_million_input_tokens": None}
    rows = [
        made_up("colocated", 16),
        made_up("prefill/decode", 16, **unpriced, tpot=0.00243, assumptions=["caches are paged", "a link"]),
        made_up("colocated", 64, ttft=float("inf"), e2e_latency=float("inf")),
        made_up("prefill/decode", 64, **nothing | {"fits": False, "message": "example-70b does not fit: 64 GB short"}),
    ]
    lines = services(rows, {(row["mode"], row["deployment"]): row["mode"] for row in rows}, width)
    assert max(len(line.plain) for line in lines) <= width
    snapshots.check(f"services_{width}", "".join(f"{line.plain}\n" for line in lines))


def named(terminal: Terminal, *arguments: str) -> list[str]:
    """What systems are called at 80 columns, in their order."""
    run = terminal.run("serve", MODEL, *arguments, *LOAD)
    start = next(place for place, line in enumerate(run.lines) if "in flight" in line)
    return [line[:28].rstrip() for line in run.lines[start + 1 : run.lines.index("", start)]]


def test_systems_are_called_by_what_tells_them_apart(terminal: Terminal) -> None:
    draft = ("--draft", "llama-3.2-1b", "--acceptance", "0.8")
    assert named(terminal, "--on", GPU)[0].startswith("colocated ")
    assert [name[:22].rstrip() for name in named(terminal, "--on", GPU, *draft, "--on", "h200-sxm:8")] == [
        "8 × h100-sxm",
        "8 × h100-sxm + draft",
        "8 × h200-sxm",
        "8 × h200-sxm + draft",
    ]
    pool = "h100-sxm:8,tp=8,pp=1,dp=1,price=2.5"
    assert named(terminal, "--on", f"{pool},slice=16", "--on", f"{pool},slice=32", "--on", LPU) == [
        "8 × h100-s…rice=2.5,slice=16",
        "8 × h100-s…rice=2.5,slice=32",
        "256 × groq-3-lpu",
    ]


def test_what_decides_and_the_layout_chosen_are_there_in_80_columns(terminal: Terminal) -> None:
    pools = ("h100-sxm:8,price=2.5,power=650", "h100-sxm:8,price=2.5,power=700", "h200-sxm:16")
    run = terminal.run("serve", MODEL, *(word for pool in pools for word in ("--on", pool)), *SPLIT, *LOAD)
    header = " ".join(run.lines)
    assert all(words in header for words in ("layout", "req/s", "USD/Mtok", "token s", "token ms"))
    rows = rows_of(terminal, "--on", pools[0])
    layout = rows[0]["pools"][0]["layout"]
    assert re.search(rf"8 × h100-sxm +{layout}\b", run.out)
    assert [pool["deployment"] for pool in rows_of(terminal, *SPLIT)[0]["pools"]] == [GPU, LPU]


@pytest.mark.parametrize("width", [20, 80, 140])
def test_any_width_does(terminal: Terminal, width: int) -> None:
    run = terminal.run("serve", MODEL, "--on", GPU, *SPLIT, *LOAD, width=width)
    assert run.status == 0
    tables = run.lines[: run.lines.index("In short")]
    assert max(map(len, tables)) <= width


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--on POOL"),
        (("--prefill", GPU), "--decode: got 'nothing'"),
        (("--decode", GPU), "--prefill: got 'nothing'"),
        (("--attention", GPU), "--ffn: got 'nothing'"),
        (("--ffn", GPU), "--attention: got 'nothing'"),
        (("--prefill", GPU, "--decode", LPU), "--link: got 'nothing'"),
        ((*SPLIT[:4], "--link", "fast"), "link"),
        ((*SPLIT[:4], "--link", "400 Gbit,2us"), "link bandwidth"),
        ((*SPLIT[:4], "--link", "400Gbit/s,2"), "link latency: got '2', expected a quantity in s, with its unit"),
        ((*SPLIT[:4], "--link", "400,2us"), "link bandwidth: got '400', expected a quantity in B/s, with its unit"),
        ((*SPLIT[:4], "--link", "scale_out"), "no latency of that link is published"),
        (("--on", GPU, "--link", LINK), "--link: got '400 Gbit/s,2us', expected none"),
        (("--on", "h100:8"), "nearest: h100-nvl or h100-pcie or h100-sxm"),
        (("--on", GPU, "--rate", "1", "--concurrency", "1"), "one of them"),
        (("--on", GPU, "--rate", "0"), "rate: got 0.0"),
        (("--on", GPU, "--rate", "x"), "rate: got 'x'"),
        (("--on", GPU, "--concurrency", "0.5"), "concurrency"),
        (("--on", GPU, "--concurrency", ""), "concurrency"),
        (("--on", GPU, "--cached-share", "2"), "cached share"),
        (("--on", GPU, "--cached-share", "nan"), "cached share"),
        (("--on", GPU, "--chunk", "0"), "chunk"),
        (("--on", GPU, "--draft", "llama-3.2-1b"), "--acceptance: got 'nothing'"),
        (("--on", GPU, "--draft", "lama", "--acceptance", "0.8"), "nearest"),
        (("--on", GPU, "--draft", "llama-3.2-1b", "--acceptance", "1.5"), "acceptance"),
        (("--on", GPU, "--draft", "llama-3.2-1b", "--acceptance", "0.8", "--draft-length", "1.5"), "whole number"),
        (("--on", GPU, "--draft", "llama-3.2-1b", "--acceptance", "0.8", "--draft-length", "99"), "length"),
        (("--on", GPU, "--draft", "qwen3-32b", "--acceptance", "0.8"), "vocabulary of the draft"),
        (("--on", GPU, "--draft", "mtp", "--acceptance", "0.8", "--draft-on", "l4:1"), "--draft-on"),
        (("--on", GPU, "--acceptance", "0.8"), "--draft MODEL"),
        ((*HALVES, "--draft", "llama-3.2-1b", "--acceptance", "0.8"), "no pool to verify on"),
    ],
)
def test_what_cannot_be_meant_is_one_line(terminal: Terminal, arguments: tuple[str, ...], words: str) -> None:
    run = terminal.run("serve", MODEL, *arguments)
    assert (run.status, run.out) == (2, "")
    assert run.err.count("\n") == 1
    assert "mistake of ours" not in run.err
    assert words in run.err


def test_layouts_that_differ_between_loads_are_all_shown_with_theirs(terminal: Terminal) -> None:
    arguments = ("serve", MODEL, "--on", "h100-sxm:8", "--isl", "4000", "--osl", "500", "--concurrency", "1,2,4096")
    rows = json.loads(terminal.run(*arguments, "--format", "json").out)
    layouts = [row["pools"][0]["layout"] for row in rows]
    assert layouts[0] == layouts[1] != layouts[2]
    shown = terminal.run(*arguments, width=120).out
    first, last = (next(line for line in shown.splitlines() if f" {layout} " in line) for layout in layouts[1:])
    assert (" 1 to 2 " in first, " 4,096 " in last) == (True, True)
    assert "under the last load of each layout" in shown
    assert "under 2 in flight" in terminal.run(*arguments[:-1], "1,2", width=120).out


NAMES = {(mode, f"{mode} pools"): mode for mode in "abc"}
LEADS = {
    "ttft": -1,
    "tpot": -1,
    "e2e_latency": -1,
    "requests_per_second": 1,
    "tokens_per_second": 1,
    "tokens_per_second_per_user": 1,
    "tokens_per_second_per_device": 1,
    "usd_per_million_output_tokens": -1,
    "usd_per_million_input_tokens": -1,
    "joules_per_output_token": -1,
}
"""Columns of times and rates, from left to right: whether more or less is better."""


def green(line: Any) -> list[bool]:
    """Which of these columns a line of the table shows as the best."""
    return [isinstance(cell, tuple) and cell[1] == BEST for cell in line[1 : 1 + len(LEADS)]]


@pytest.mark.parametrize("place", range(len(LEADS)))
def test_the_best_of_each_column_is_green_where_there_is_a_choice(place: int) -> None:
    key, more = list(LEADS.items())[place]
    one = made_up("a", 16)
    other = made_up("b", 16, **{key: one[key] * (1 - more * 0.5)})
    (_, first, second) = time_grid([one, other], NAMES).lines
    assert green(first) == [True] * len(LEADS)
    assert green(second) == [column != place for column in range(len(LEADS))]
    (_, alone) = time_grid([one], NAMES).lines
    assert not any(green(alone))


def test_who_leads_in_what_is_said_in_short() -> None:
    """Of those that keep up, and of money only where all prices are known."""
    one = made_up("a", 16, tokens_per_second_per_device=100, tokens_per_second=800)
    changes = {"ttft": 0.5, "tpot": 0.005, "tokens_per_second_per_device": 90, "tokens_per_second": 1440}
    other = made_up("b", 16, **changes, usd_per_request=0.003)
    leads = "16 in flight: the first token is soonest, a device makes the most with a; further tokens are fastest"
    assert findings([one, other], NAMES) == [f"{leads}, a request is cheapest with b"]
    assert findings([one, other | {"usd_per_request": None}], NAMES) == [f"{leads} with b"]
    better = {"tpot": 0.001, "tokens_per_second_per_device": 1e3, "usd_per_request": 0.001}
    swamped = made_up("c", 16, **better, ttft=float("inf"))
    (behind, able) = findings([one, other, swamped], NAMES)
    assert behind == "16 in flight: the queue grows without end; c keeps up with 1.48"
    assert able == f"{leads}, a request is cheapest with b"
    assert findings([one], NAMES) == []


def test_what_all_that_fit_rest_on_is_nobodys_own() -> None:
    nothing = {"fits": False, "pools": [], "assumptions": []}
    rows = [made_up("a", 16), made_up("b", 16, assumptions=["caches are paged", "a link"])]
    assert assumed(rows, NAMES) == ["caches are paged", "b: a link"]
    assert assumed([*rows, made_up("c", 16, **nothing)], NAMES) == ["caches are paged", "b: a link"]
