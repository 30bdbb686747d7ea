"""Running the command line in this process, and made-up rows for the tests of what is printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from roofline.show.cli import main
from roofline.show.rows import KEYS

DATA = Path(__file__).parent / "data"
CHIP = str(DATA / "chip.toml")
CONFIG = str(DATA / "config.json")


@dataclass(frozen=True)
class Run:
    """What a command line ended with."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Lines of its output."""
        return self.out.splitlines()


class Terminal:
    """A terminal without colour, of any width, that runs `roofline`."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def run(self, *arguments: str, width: int = 80) -> Run:
        """`roofline` with some arguments."""
        self._monkeypatch.setenv("COLUMNS", str(width))
        self._capsys.readouterr()
        status = main(arguments)
        out, err = self._capsys.readouterr()
        return Run(status, out, err)


def structure(text: str) -> str:
    """A text with every digit as 0: what is stored of estimates and catalogue figures, which may be corrected."""
    return re.sub(r"\d", "0", text)


def made_up(deployment: str, phase: str, batch: float, **changes: Any) -> dict[str, Any]:
    """A row of an estimate with round numbers."""
    known: dict[str, Any] = {
        "deployment": deployment,
        "model": "example-70b",
        "accelerator": "Example Accelerator",
        "phase": phase,
        "batch": batch,
        "context": 2048 if phase == "prefill" else 2304,
        "quantization": "fp8",
        "seconds": 0.00625,
        "ideal": 0.0025,
        "floor": 0.002,
        "low": 0.005,
        "high": 0.0075,
        "bound": "memory",
        "tokens_per_second": 160.0 * batch,
        "tokens_per_second_per_user": 160.0,
        "tokens_per_second_per_device": 20.0 * batch,
        "mfu": 0.002,
        "mbu": 0.4,
        "joules": 35.0,
        "joules_per_token": 35.0 / batch,
        "usd_per_million_tokens": 18.06 / batch,
        "fits": True,
        "shortfall_bytes": 0.0,
        "min_devices": None,
        "max_batch": 1438,
        "layout": "tp8",
        "devices": 8,
        "replicas": 1,
        "idle_devices": 0,
        "price": 1.3,
        "power": 700.0,
        "assumptions": ["10% of usable memory is left to the runtime"],
        "sources": ["a data sheet"],
    }
    assert known.keys() == set(KEYS)
    return known | changes
