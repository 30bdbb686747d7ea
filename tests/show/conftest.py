"""Fixtures of the tests of what people see."""

import os
from pathlib import Path

import pytest

from tests.show.support import Terminal


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal without colour."""
    return Terminal(capsys, monkeypatch)


class Snapshots:
    """Stored texts; with SNAPSHOTS=write in the environment they are stored anew."""

    folder = Path(__file__).parent / "snapshots"

    def check(self, name: str, text: str) -> None:
        """Compare with the stored text of that name."""
        path = self.folder / f"{name}.txt"
        if os.environ.get("SNAPSHOTS") == "write":
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")


@pytest.fixture
def snapshots() -> Snapshots:
    """The stored texts."""
    return Snapshots()
