"""Bad input ends in one line on stderr and status 2, whatever it is; what does not fit in status 1."""

import re
from pathlib import Path

import pytest

from roofline.show import commands
from tests.show.support import CHIP, CONFIG, DATA, Terminal

MODEL = "llama-3.1-8b"
FITTED = Path(__file__).resolve().parents[2] / "hardware_specs/calibration/h100-sxm.toml"
POOLS = (
    *("h100:8", "h100-sxm", "h100-sxm:", "h100-sxm:0", ":8", "", "h100-sxm:-1", "h100-sxm:abc", "h100-sxm:1e99"),
    *("h100-sxm:1.5", "h100-sxm:nan", "h100-sxm:99999999999", "h100-sxm:8,", "h100-sxm:8,,tp=8", "h100-sxm:8,tp"),
    *("h100-sxm:8,tp=7", "h100-sxm:8,tp=0", "h100-sxm:8,tp=x", "h100-sxm:8,tp=", "h100-sxm:8,tp=8,tp=8"),
    *("h100-sxm:8,foo=1", "h100-sxm:8,ep=2", "h100-sxm:8,tp=8,pp=8", "h100-sxm:8,pp=99", "h100-sxm:8 tp=8"),
    *("h100-sxm:8,quantization=fp9", "h100-sxm:8,kv_cache=fp9", "a100-sxm-80gb:8,quantization=fp8"),
    *("h100-sxm:8,price=-1", "h100-sxm:8,price=nan", "h100-sxm:8,price=two", "h100-sxm:8,price=2 W"),
    *("h100-sxm:8,power=inf", "h100-sxm:8,efficiency=", "h100-sxm:8,efficiency=best"),
    *("h100-sxm:8,efficiency=none.toml", f"h100-sxm:8,efficiency={DATA}/", "none.toml:8", f"{DATA}:8", f"{CONFIG}:8"),
    *("h100\nsxm:8", "\x1b[31mh100:8", "x" * 5000 + ":8", "h100-sxm:8,tp=" + "9" * 5000, f"{CHIP}:8,tp=3"),
)
NUMBERS = ("0", "-1", "nan", "inf", "1e99", "abc", "", "1e", "0x10", "1_000", "½")
COMPARE = ("compare", MODEL, "--on", "h100-sxm:8")
EXPLAIN = ("explain", MODEL, "--on", "h100-sxm:8")
PLANNED = ("--isl", "1000", "--osl", "100", "--rate", "2", "--ttft", "1s")
COMMANDS = (
    *(("compare", MODEL, "--on", pool) for pool in POOLS),
    *((*COMPARE, option, number) for option in ("--batch", "--isl", "--osl") for number in NUMBERS),
    *((*EXPLAIN, option, number) for option in ("--batch", "--context") for number in NUMBERS),
    *((*COMPARE, "--batch", batches) for batches in ("1,,8", "1,0", "1;8", ",", "1,8,")),
    *(("compare", model, "--on", "h100-sxm:8") for model in ("lama", "", str(DATA), "none.json", CHIP, "x" * 5000)),
    *(("hardware", name) for name in ("h100", "nvidia", "", str(DATA), "none.toml", CONFIG)),
    *(("model", name) for name in ("lama", "", str(DATA), "none.json", CHIP)),
    *(("compare",), ("compare", MODEL), ("compare", MODEL, "--on"), (*COMPARE, "extra"), (*COMPARE, "--batch")),
    *((*COMPARE, "--quantization", "fp9"), (*COMPARE, "--format", "xml"), (*COMPARE, "--formt", "json")),
    *((*EXPLAIN, "--phase", "training"), (*EXPLAIN, "--on", "h200-sxm:8"), (*EXPLAIN, "--quantization", "fp9")),
    *(("explain",), ("compar",), ("Compare",), ("",), ("--nope",), ("-x",), ("--format", "xml"), ("--format",)),
    *(
        ("--format", "xml", *COMPARE),
        ("calibrate",),
        ("calibrate", "none.csv"),
        ("calibrate", "none.csv", "-o", "x.toml"),
    ),
    *(
        ("calibrate", str(DATA), "-o", "x.toml"),
        ("calibrate", CONFIG, "-o", "x.toml"),
        ("hardware", "h100-sxm", "h100"),
    ),
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: " ".join(arguments)[:60] or "none")
def test_bad_input_is_one_line(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    run = terminal.run(*arguments)
    assert (run.status, run.out) == (2, "")
    assert re.fullmatch(r"roofline: [^\n]+\n", run.err)
    assert run.err.rstrip("\n").isprintable()
    assert len(run.err) < 500
    assert "mistake of ours" not in run.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("compar",), "nearest: compare"),
        (("hardwear", "h100-sxm"), "nearest: hardware"),
        ((*COMPARE, "--formt", "json"), "nearest: --format"),
        ((*EXPLAIN, "--overlap", "yes"), "expected it with the pool: --on NAME:N,overlap=…"),
        (("plan", MODEL, "--on", "h100-sxm", "--overlap", "yes", *PLANNED), "with the pool: --on PART,overlap=…"),
        (("plan", MODEL, "--on", "h100-sxm:8,overlap=yes", *PLANNED), "nearest: h100-sxm,overlap=yes"),
        (("plan", MODEL, "--on", "h100-sxm:8", *PLANNED), "expected a part without a count"),
        ((*COMPARE, "--format", "jsn"), "nearest: json"),
        ((*EXPLAIN, "--phase", "decod"), "nearest: decode"),
        (("compare", "llama-3.1-8", "--on", "h100-sxm:8"), "nearest: llama-3.1-8b"),
        (("compare", MODEL, "--on", "h100:8"), "nearest: h100-nvl or h100-pcie or h100-sxm"),
        (("compare", MODEL, "--on", "h100-sx"), "nearest: h100-sxm:1"),
        (
            ("compare", MODEL, "--on", "hgx-h100:1"),
            "expected a part, and this is a system; nearest: h100-sxm, of which",
        ),
        (
            ("compare", MODEL, "--on", "h100-sxm:100000000"),
            "devices: got '100000000', expected a whole number from 1 to",
        ),
        (("compare", MODEL, "--on", f"{FITTED}:8"), "got 'a calibration file', expected a part"),
        (("compare", MODEL, "--on", f"h100-sxm:8,efficiency={CHIP}"), "got 'a part', expected a calibration file"),
        (
            ("plan", MODEL, "--on", "h100-sxm", "--isl", "9", "--osl", "9", "--rate", "2", "--ttft", "0s"),
            "more than 0 s",
        ),
        (("compare", MODEL, "--on", "h100-sxm:8,tp8"), "nearest: tp=8"),
        (("compare", MODEL, "--on", "h100-sxm:8,quantisation=fp8"), "nearest: quantization"),
        (("compare", MODEL, "--on", "h100-sxm:8,quantization=fp9"), "nearest: fp8"),
        (("compare", MODEL, "--on", "h200-sxm:8", "--on", "h100-sxm:8,tp=7"), "h100-sxm:8,tp=7: tp: got 7, expected"),
        (("compare", MODEL, "--on", "h100-sxm:8,tp=7"), "nearest: 8"),
        ((*EXPLAIN, "--context", "4,096"), "nearest: 4096"),
        (("compare", MODEL), "compare: got nothing, expected --on NAME:N"),
        (("compare",), "compare: got nothing, expected MODEL"),
    ],
)
def test_messages_name_what_is_near(terminal: Terminal, arguments: tuple[str, ...], words: str) -> None:
    assert words in terminal.run(*arguments).err


def test_what_does_not_fit_is_a_no(terminal: Terminal) -> None:
    run = terminal.run("explain", "llama-3.1-405b", "--on", "h100-sxm:1")
    assert (run.status, run.out) == (1, "")
    assert re.fullmatch(r"roofline: llama-3.1-405b .* does not fit .* devices would do\n", run.err)


def test_an_interruption_is_quiet(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands.roofline, "invoke", interrupted)
    run = terminal.run()
    assert (run.status, run.out, run.err.strip()) == (130, "", "")


def test_a_mistake_of_ours_is_one_line_too(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError("float\ndivision")

    monkeypatch.setattr(commands.roofline, "invoke", broken)
    run = terminal.run()
    assert run.status == 3
    assert run.err == "roofline: a mistake of ours, please report it: ZeroDivisionError: float division\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--batch", "1,8"), "batch: got '1,8', expected one number; explain is of one step, compare and sweep take"),
        (("--batch", "1:8:x2"), "expected one number; explain is of one step"),
        (
            ("--context", "1024,2048"),
            "context: got '1024,2048', expected one number; explain is of one step, sweep takes",
        ),
        (("--context", "4,096"), "nearest: 4096"),
        (("--layouts", "--crossovers"), "--layouts and --crossovers: got 'both', expected one of them"),
    ],
)
def test_an_explanation_is_of_one_step(terminal: Terminal, arguments: tuple[str, ...], words: str) -> None:
    run = terminal.run(*EXPLAIN, *arguments)
    assert (run.status, run.out) == (2, "")
    assert words in run.err
    assert "nearest: 18" not in run.err
