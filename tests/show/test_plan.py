"""`roofline plan`: options are the library's, the best first; what misses says so; bad input is one line."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

import roofline as rl
from roofline.explore.plan import plan
from roofline.explore.planned import MINIMIZE
from roofline.show.lines import figure
from roofline.show.plan_view import LATE, NAMED, SHOWN, Asked, assumed, options
from roofline.show.tables import BEST, milliseconds
from tests.show.conftest import Snapshots
from tests.show.support import Terminal, structure

PLAN = ("plan", "llama-3.1-8b", "--on", "h100-sxm", "--on", "groq-lpu-v1", "--most-devices", "256")
LOAD = ("--isl", "2048", "--osl", "256", "--rate", "2")
FEW = (*PLAN[:4], "--most-devices", "8")
TIMES = ("--ttft", "500ms", "--tpot", "20 ms")
STACK = ("--runtime", "vllm")


def rows_of(
    terminal: Terminal, *arguments: str, status: int = 0, asked: tuple[str, ...] = PLAN
) -> list[dict[str, Any]]:
    run = terminal.run(*asked, *LOAD, *arguments, "--format", "json")
    assert (run.status, run.err) == (status, "")
    rows: list[dict[str, Any]] = json.loads(run.out)
    return rows


@pytest.mark.parametrize(
    ("minimize", "link", "settings"),
    [
        ("usd_per_request", None, {}),
        ("usd_per_million_output_tokens", None, {"runtime": "vllm", "chunk": 1024, "max_batch": 8}),
        ("devices", "400 Gbit/s,2us", {}),
    ],
)
def test_options_are_the_librarys(
    terminal: Terminal, minimize: str, link: str | None, settings: dict[str, Any]
) -> None:
    most = 256 if link is None else 128
    options = ["--most-devices", str(most), "--minimize", minimize, *(() if link is None else ("--link", link))]
    for name, value in settings.items():
        options += [f"--{name.replace('_', '-')}", str(value)]
    rows = rows_of(terminal, *TIMES, *options)
    found = plan(
        "llama-3.1-8b",
        rl.Traffic(2048, 256, rate=2),
        accelerators=["h100-sxm", "groq-lpu-v1"],
        slo=rl.Slo(ttft=0.5, tpot=0.02),
        minimize=minimize,
        link=link,
        most_devices=most,
        **settings,
    )
    expected = [
        {key: None if value in (float("inf"),) else value for key, value in row.items()} for row in found.to_dicts()
    ]
    assert rows == expected
    assert found.best is not None
    assert rows[0][minimize] == getattr(found.best.service, minimize)


def test_a_part_may_have_a_price_and_formats_of_its_own(terminal: Terminal) -> None:
    parts = ("--on", "h100-sxm,price=1.0", "--on", "h100-sxm,price=1.0,quantization=fp8", "--on", "h100-sxm")
    run = terminal.run("plan", "llama-3.1-8b", *parts, *LOAD, *TIMES, "--most-devices", "1", "--format", "json")
    assert run.status == 0
    cheap, fp8, plain = ({row["parts"]: row for row in json.loads(run.out)}[name] for name in parts[1::2])
    assert (cheap["quantization"], fp8["quantization"], plain["quantization"]) == ("bf16", "fp8", "bf16")
    assert cheap["usd_per_request"] == pytest.approx(fp8["usd_per_request"])
    assert cheap["usd_per_request"] < plain["usd_per_request"]
    assert fp8["tpot"] < cheap["tpot"] == plain["tpot"]


def test_the_serving_stack_is_that_of_parts_with_a_price_too(terminal: Terminal) -> None:
    parts = ("--on", "h100-sxm,price=1.0", "--on", "h100-sxm")
    asked = ("plan", "llama-3.1-8b", *parts, *LOAD, *TIMES, "--most-devices", "1", "--format", "json")
    bare, stacked = ({row["tpot"] for row in json.loads(terminal.run(*asked, *more).out)} for more in ((), STACK))
    assert len(bare) == len(stacked) == 1
    assert stacked != bare


@pytest.mark.parametrize("minimize", MINIMIZE)
def test_what_is_least_is_green_in_the_first_line(minimize: str) -> None:
    slo = rl.Slo(ttft=0.5, tpot=0.02)
    load = rl.Traffic(2048, 256, rate=2)
    asked = Asked(("h100-sxm",), slo, minimize, None, None, {}, 2)
    found = plan("llama-3.1-8b", load, accelerators=asked.parts, slo=slo, minimize=minimize, most_devices=2)
    lines = options("llama-3.1-8b", load, asked, found, 240)
    (told,) = [text.strip() for line in lines for text, style in line.pieces if style == BEST]
    assert found.best is not None
    value = float(found.best.value or 0)
    shown = {"devices": f"{value:g}", "tpot": milliseconds(value), "usd_per_request": figure(1e3 * value)}
    assert told == shown.get(minimize, figure(value))


def test_figures_of_an_option_stand_under_their_heads() -> None:
    """Times, rates, then what it costs."""
    slo, load = rl.Slo(ttft=0.5, tpot=0.02), rl.Traffic(2048, 256, rate=2)
    asked = Asked(("h100-sxm",), slo, "devices", None, None, {}, 2)
    found = plan("llama-3.1-8b", load, accelerators=asked.parts, slo=slo, minimize="devices", most_devices=2)
    lines = [line.plain for line in options("llama-3.1-8b", load, asked, found, 240)]
    (first, *_) = (line.split() for line in lines if line.strip().startswith("h100-sxm"))
    assert found.best is not None
    service = found.best.service
    times = (figure(service.ttft), milliseconds(service.tpot), figure(service.e2e_latency))
    rates = (service.requests_per_second, service.tokens_per_second_per_device)
    money = (1e3 * service.usd_per_request, service.usd_per_million_output_tokens, service.usd_per_million_input_tokens)
    costs = (*money, service.joules_per_output_token)
    assert first[-9:] == [*times, *map(figure, rates), *map(figure, costs)]


def test_parts_whose_formats_cannot_be_are_left_out_beside_those_that_can(terminal: Terminal) -> None:
    parts = ("--on", "h100-sxm", "--on", "a100-sxm-80gb,quantization=nvfp4")
    run = terminal.run("plan", "llama-3.1-8b", *parts, *LOAD, *TIMES, "--most-devices", "1")
    assert run.status == 0
    assert "Left out · a100-sxm-80gb:1,quantization=nvfp4: " in " ".join(run.out.split())


def test_no_option_is_a_no(terminal: Terminal) -> None:
    rows = rows_of(terminal, "--tpot", "1us", status=1, asked=FEW)
    assert rows
    assert not any(row["meets"] for row in rows)
    run = terminal.run(*FEW, *LOAD, "--tpot", "1us")
    assert (run.status, run.err) == (1, "")
    assert "no option tried keeps to the objective" in run.out
    assert "misses TPOT" in terminal.run(*FEW, *LOAD, "--tpot", "1us", width=140).out


def test_options_that_are_listed_say_what_they_rest_on(terminal: Terminal) -> None:
    rows = rows_of(terminal, *TIMES)
    printed = " ".join(terminal.run(*PLAN, *LOAD, *TIMES).out.split())
    assert "Assumed · " in printed
    assumed = printed.partition("Assumed · ")[2]
    for row in [row for row in rows if not row["reason"]][:SHOWN]:
        assert row["assumptions"]
        assert all(" ".join(sentence.split()) in assumed for sentence in row["assumptions"])
    nothing = " ".join(terminal.run(*FEW, *LOAD, "--tpot", "1us").out.split())
    assert "Assumed · " in nothing


def test_who_rests_on_an_assumption_is_said_unless_all_do() -> None:
    found = plan(
        "llama-3.1-8b",
        rl.Traffic(2048, 256, rate=2),
        accelerators=["h100-sxm", "mi300x"],
        slo=rl.Slo(ttft=0.5, tpot=0.02),
        most_devices=8,
    )
    listed = list(found.options)
    ours = [replace(option, service=replace(option.service, assumptions=("all",))) for option in listed]
    assert assumed(ours) == ["all"]

    def told(*those: int) -> str:
        some = [replace(ours[place], service=replace(ours[place].service, assumptions=("x",))) for place in those]
        options = [some[those.index(place)] if place in those else each for place, each in enumerate(ours)]
        return next(each for each in assumed(options) if each.endswith("x"))

    of_h100 = [place for place, option in enumerate(ours) if option.parts == ("h100-sxm",)]
    assert 4 < len(of_h100) < len(ours)
    assert told(*of_h100) == "h100-sxm: x"
    assert told(*of_h100[:4]) == f"4 of these {len(ours)}: x"
    first, second = (ours[place] for place in of_h100[:2])
    named = ", ".join(f"{ours[place].layout} of h100-sxm" for place in of_h100[:NAMED])
    assert told(*of_h100[:NAMED]) == f"{named}: x"
    assert told(*of_h100[:2]) == f"{first.layout} of h100-sxm, {second.layout} of h100-sxm: x"


def test_what_comes_too_late_is_listed_once_per_layout(terminal: Terminal) -> None:
    lines = terminal.run(*PLAN[:-1], "96", *LOAD, "--tpot", "1us").lines
    start = next(place for place, line in enumerate(lines) if line.startswith("Too late"))
    listed = lines[start + 1 : lines.index("", start)]
    kinds = {re.sub(r" +\d+  [\d,]+ × ", " ", re.sub(r" +[\d.]+ +[\d.]+ *[\d., ]*$", "", line)) for line in listed}
    assert len(kinds) == len(listed) == LATE
    assert "the nearest of each layout" in lines[start]


def test_a_part_without_an_option_says_why(terminal: Terminal) -> None:
    run = terminal.run("plan", "llama-3.1-405b", "--on", "l4", "--on", "mi300x", *TIMES, "--most-devices", "16")
    words = " ".join(run.out.split())
    assert "Left out · l4: " in words
    assert "no number of devices holds it" in words


@pytest.mark.parametrize("width", [80, 140])
def test_a_plan_reads_as_stored(terminal: Terminal, snapshots: Snapshots, width: int) -> None:
    run = terminal.run(*PLAN, *LOAD, *TIMES, width=width)
    assert run.status == 0
    assert max(map(len, run.lines)) <= width
    snapshots.check(f"plan_{width}", structure("".join(f"{line}\n" for line in run.lines[:5])))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--ttft and --tpot: got 'neither'"),
        (("--ttft", "500"), "a quantity in s, such as 500 ms"),
        (("--ttft", "0ms"), "more than 0 s, such as 500 ms"),
        (("--tpot", "20 W"), "a quantity in s"),
        ((*TIMES, "--on", "h100-sxm,tp=4"), "no tp=: the layout is what is looked for"),
        ((*TIMES, "--on", "h100-sxm,prise=4"), "price"),
        ((*TIMES, "--minimize", "usd"), "nearest: usd_per_request"),
        ((*TIMES, "--minimize", "speed"), MINIMIZE[0]),
        ((*TIMES, "--most-devices", "0"), "most devices"),
        ((*TIMES, "--most-devices", "1e9"), "most devices"),
        ((*TIMES, "--rate", "1,2"), "one load"),
        ((*TIMES, "--concurrency", "1"), "one of them"),
        ((*TIMES, "--link", "fast"), "link"),
        ((*TIMES, "--on", "h100"), "nearest: h100-nvl"),
        ((*TIMES, "--on", "h100-sxm:8"), "nearest: h100-sxm"),
        ((*TIMES, "--quantization", "fp9"), "nearest: fp8"),
    ],
)
def test_what_cannot_be_meant_is_one_line(terminal: Terminal, arguments: tuple[str, ...], words: str) -> None:
    run = terminal.run(*PLAN, *LOAD, *arguments)
    assert (run.status, run.out) == (2, "")
    assert run.err.count("\n") == 1
    assert "mistake of ours" not in run.err
    assert words in run.err
