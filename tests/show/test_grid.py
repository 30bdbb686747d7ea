"""Tables of any content fit any width, and programs on a terminal show that they live."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.show.grid import Column, Grid, Heading, Sentence
from roofline.show.lines import Line, cells, command, wrapped
from roofline.show.progress import PATIENCE, telling, tracked

TEXT = st.text(st.characters(exclude_categories=("C", "Z", "M")) | st.sampled_from(" ×模"), max_size=30)
COLUMNS = st.lists(
    st.builds(
        Column,
        name=TEXT,
        header=st.tuples(TEXT, TEXT),
        left=st.booleans(),
        need=st.integers(0, 9),
        gap=st.integers(1, 3),
        folds=st.booleans(),
        most=st.integers(8, 40),
    ),
    min_size=1,
    max_size=8,
)


@given(data=st.data(), columns=COLUMNS, width=st.integers(10, 200))
def test_no_line_exceeds_the_width(data: st.DataObject, columns: list[Column], width: int) -> None:
    row = st.lists(TEXT, min_size=len(columns), max_size=len(columns))
    rows = st.lists(row | st.builds(Heading, TEXT, TEXT) | st.builds(Sentence, TEXT, TEXT), max_size=6)
    grid = Grid(columns, data.draw(rows))
    for line in grid.render(width):
        assert cells(line.plain) <= width
    assert len(grid.kept(width)) + len(grid.left_out(width)) == len(columns)


@given(text=TEXT, width=st.integers(2, 40))
def test_lines_are_cut_with_an_ellipsis(text: str, width: int) -> None:
    cut = Line((text, "bold"), (text, "")).cut(width).plain
    assert cells(cut) <= width
    assert cut.endswith("…") or cut == (text + text).rstrip()


def test_columns_leave_in_order_of_need() -> None:
    grid = Grid([Column("a", ("aaaa",)), Column("b", ("bbbb",), need=6), Column("c", ("cccc",), need=9)])
    assert [grid.left_out(width) for width in (16, 15, 9)] == [[], ["c"], ["b", "c"]]


def test_gaps_narrow_before_needed_columns_leave() -> None:
    grid = Grid([Column("a", ("aaaa",)), Column("b", ("bbbb",), need=1)])
    assert [line.plain for line in grid.render(10)] == ["aaaa  bbbb"]
    assert [line.plain for line in grid.render(9)] == ["aaaa bbbb"]
    assert grid.left_out(8) == ["b"]


def test_products_and_hyphens_hold_together() -> None:
    assert wrapped("at batch 8 × 2,304 on h100-sxm", 16) == ["at batch", "8 × 2,304 on", "h100-sxm"]


def test_commands_continue_so_that_they_can_be_copied() -> None:
    lines = [line.plain for line in command("roofline explain model --on h100-sxm:8 --batch 8 --context 2304", 40)]
    assert lines == ["  roofline explain model \\", "      --on h100-sxm:8 --batch 8 \\", "      --context 2304"]


class Screen(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_progress_shows_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("roofline.show.progress.time.monotonic", lambda: next(clock) * PATIENCE)
    silent = io.StringIO()
    monkeypatch.setattr(sys, "stderr", silent)
    assert list(tracked([1, 2, 3, 4], "working")) == [1, 2, 3, 4]
    with telling("working") as say:
        say("half way")
    assert silent.getvalue() == ""
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    assert list(tracked([1, 2, 3, 4], "working")) == [1, 2, 3, 4]
    assert "working" in screen.getvalue()


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    assert list(tracked([1, 2, 3], "working")) == [1, 2, 3]
    assert screen.getvalue() == ""
