"""A number of a released edition does not change under it, and words may."""

from __future__ import annotations

import pytest

from roofline.describe import editions
from roofline.describe.catalog import accelerator
from roofline.describe.editions import Release, checksum, checksums_text, released, unreleased
from roofline.describe.hardware import parse_accelerator
from roofline.describe.systems import system
from roofline.errors import SpecError
from tests.specs.rewrite import CHECKSUMS


def test_no_number_changed_without_a_new_edition() -> None:
    assert unreleased() == [], "give the file today's date as its edition, then run python -m tests.specs.rewrite"


def test_the_recorded_table_is_what_would_be_written() -> None:
    assert CHECKSUMS.read_text(encoding="utf-8") == checksums_text()


def test_a_changed_number_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = accelerator("h100-sxm").with_(**{"memory.bandwidth": "3.36 TB/s"})
    monkeypatch.setattr(editions, "described_files", lambda: {"h100-sxm": changed})
    monkeypatch.setattr(editions, "released", lambda: {"h100-sxm": released()["h100-sxm"], "gone": _release()})
    first, second = unreleased()
    assert first.startswith("gone is recorded but gone")
    assert second == (
        f"h100-sxm: a number changed, but the edition is still {changed.edition}: set it to today's date, then rewrite"
    )
    with pytest.raises(SpecError, match="expected a new edition: a number changed"):
        checksums_text()


def test_a_new_edition_and_a_new_file_ask_to_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    corrected = accelerator("h100-sxm").with_(edition="2031-01", **{"memory.bandwidth": "3.36 TB/s"})
    monkeypatch.setattr(editions, "described_files", lambda: {"h100-sxm": corrected, "new": system("dgx-h100")})
    monkeypatch.setattr(editions, "released", lambda: {"h100-sxm": _release()})
    assert [line.partition(":")[0] for line in unreleased()] == [
        "h100-sxm has a new edition, 2031-01",
        "new is not recorded yet",
    ]
    assert 'edition = "2031-01"' in checksums_text()


def test_words_and_spelling_do_not_matter() -> None:
    part = accelerator("h100-sxm")
    data = part.model_dump(exclude_none=True)
    data["note"] = "words"
    data["memory"]["hbm"]["bandwidth"] = {"value": "3350 GB/s", "source": "elsewhere", "note": "spelt otherwise"}
    assert checksum(parse_accelerator(data, where="mine")) == checksum(part)
    data["link"]["scale_up"]["topology"] = "ring"
    assert checksum(parse_accelerator(data, where="mine")) != checksum(part)


def _release() -> Release:
    return Release(edition="2026-01", sha256="0")
