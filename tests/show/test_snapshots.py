"""What is printed, character by character: made-up rows, so that no recalibration touches the stored texts."""

from typing import Any

import pytest

from roofline.show import commands
from roofline.show.findings import Names
from roofline.show.rows import ATTRIBUTES
from roofline.show.tables import BEST, comparison, time_grid
from tests.show.conftest import Snapshots
from tests.show.support import CHIP, DATA, Terminal, made_up

GPU, BIG, LPU = "gpu-sxm:8", "big-sxm:4,tp=4", "lpu-v1:576,tp=8,pp=72"
NAMES = Names(
    {GPU: "8 × gpu-sxm", BIG: "4 × big-sxm", LPU: "576 × lpu-v1"}, {GPU: "gpu-sxm", BIG: "big-sxm", LPU: "lpu-v1"}
)
_LPU = {
    "accelerator": "Example LPU",
    "quantization": "int8, kv bf16",
    "layout": "tp8 pp72 vocab3",
    "devices": 576,
    "max_batch": 14,
    "price": None,
    "usd_per_million_tokens": None,
    "assumptions": ["Example LPU has no bf16 peak: fp16, of the same width, is taken"],
}
_NOT = dict.fromkeys(ATTRIBUTES)
_BIG = {"seconds": 0.0045, "low": 0.004, "high": 0.0055, "layout": "tp4", "devices": 4, "idle_devices": 0}
ROWS = [
    made_up(GPU, "prefill", 1, seconds=0.0884, low=0.0758, high=0.1062, tokens_per_second_per_user=23158.04),
    made_up(
        BIG, "prefill", 1, seconds=0.0439, low=0.0377, high=0.0525, tokens_per_second_per_user=46621.0, bound="network"
    ),
    made_up(
        LPU,
        "prefill",
        1,
        **_LPU
        | {
            "seconds": 0.21,
            "ideal": 0.2,
            "floor": 0.0616,
            "low": 0.2,
            "high": 0.23,
            "bound": "network",
            "joules_per_token": 17.7,
        },
    ),
    made_up(GPU, "decode", 1),
    made_up(BIG, "decode", 1, **_BIG, tokens_per_second_per_user=222.2, tokens_per_second_per_device=55.6),
    made_up(
        LPU,
        "decode",
        1,
        **_LPU | {"seconds": 0.0034, "ideal": 0.000138, "floor": 0.0000751, "low": 0.003, "high": 0.0039},
    ),
    made_up(GPU, "decode", 64),
    made_up(BIG, "decode", 64, **_BIG, tokens_per_second_per_device=3555.6, bound="overhead"),
    made_up(LPU, "decode", 64, **_LPU | _NOT | {"fits": False, "shortfall_bytes": 3.77e9, "min_devices": 640}),
]


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_comparison_reads_as_stored(snapshots: Snapshots, width: int) -> None:
    lines = comparison(
        ROWS, NAMES, title="example-70b: 2,048 tokens in, 512 out", next_commands=["roofline hardware"], width=width
    )
    assert max(len(line.plain) for line in lines) <= width
    snapshots.check(f"comparison_{width}", "".join(f"{line.plain}\n" for line in lines))


@pytest.mark.parametrize("width", [80, 140])
def test_a_part_reads_as_stored(terminal: Terminal, snapshots: Snapshots, width: int) -> None:
    run = terminal.run("hardware", CHIP, width=width)
    assert run.status == 0
    snapshots.check(f"part_{width}", run.out)


def test_parts_side_by_side_read_as_stored(
    terminal: Terminal, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(DATA)
    snapshots.check("parts", terminal.run("hardware", "chip.toml", "sram.toml").out)


def test_a_model_reads_as_stored(terminal: Terminal, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA)
    snapshots.check("model", terminal.run("model", "config.json").out)


def test_rows_for_programs_read_as_stored(
    terminal: Terminal, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(DATA)
    for form in ("json", "csv", "markdown"):
        snapshots.check(f"part_{form}", terminal.run("hardware", "chip.toml", "--format", form).out)


@pytest.mark.parametrize("command", ["", *commands.roofline.commands])
def test_help_names_every_option(terminal: Terminal, command: str) -> None:
    run = terminal.run(*command.split(), "--help")
    known = commands.roofline.commands[command] if command else commands.roofline
    assert (run.status, run.err) == (0, "")
    assert max(map(len, run.lines)) <= 80
    options = [parameter.opts[0] for parameter in known.params if parameter.opts[0].startswith("-")]
    assert all(option in run.out for option in options)


LEADS = {
    "seconds": (3, -1),
    "tokens_per_second": (5, 1),
    "tokens_per_second_per_user": (6, 1),
    "tokens_per_second_per_device": (7, 1),
    "usd_per_million_tokens": (8, -1),
    "joules_per_token": (9, -1),
}
"""Where times and rates of an estimate stand in their table, and whether more or less is better."""


def green(line: Any) -> set[int]:
    """Columns that a line shows as the best."""
    return {place for place, cell in enumerate(line) if isinstance(cell, tuple) and cell[1] == BEST}


@pytest.mark.parametrize("key", LEADS)
def test_the_best_of_each_column_is_green_where_there_is_a_choice(key: str) -> None:
    every, (place, more) = {place for place, _ in LEADS.values()}, LEADS[key]
    one, other = made_up(GPU, "decode", 1), made_up(BIG, "decode", 1)
    (_, first, second) = time_grid([one, other | {key: one[key] * (1 - more * 0.5)}], NAMES).lines
    assert (green(first), green(second)) == (every, every - {place})
    (_, alone) = time_grid([one], NAMES).lines
    assert green(alone) == set()
