"""A table for a terminal of any width: columns aligned over all its groups, the least needed left out first.

Beside rows of cells a grid takes headings and rows that end in a sentence. It is rendered to lines of styled text, none
wider than asked for.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from roofline.show.lines import KEPT_BLANK, Line, apart, cells, listed, paragraph, shorten

Cell = str | tuple[str, str]
"""Text, or text and its style."""


TIGHT = 5
"""Columns of this need or less are kept by narrowing the gaps to one blank before they are left out."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `header` lines, the last of them its unit; `need` 0 is always shown, the largest `need` goes first.

    `name` is what it is called where it was left out; `gap` blanks precede it; a column that `folds` takes the width
    that is left and wraps; one with `most` is cut to so many cells.
    """

    name: str
    header: tuple[str, ...]
    left: bool = False
    need: int = 0
    gap: int = 2
    folds: bool = False
    most: int = 1000
    style: str = ""


@dataclass(frozen=True, slots=True)
class Heading:
    """A line above the rows of a group."""

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A row that has a first cell and then words instead of numbers."""

    first: Cell
    text: str
    style: str = "yellow"


@dataclass
class Grid:
    """Columns, and lines of cells, headings and sentences."""

    columns: Sequence[Column]
    lines: list[Sequence[Cell] | Heading | Sentence] = field(default_factory=list)

    def kept(self, width: int) -> list[int]:
        """Columns that a width has room for: first the spare ones go, then the gaps, then the rest that may."""
        return self._fitted(width)[0]

    def _fitted(self, width: int) -> tuple[list[int], bool]:
        """The columns kept, and whether their gaps are tight."""
        kept = list(range(len(self.columns)))
        while self._needed(kept, tight=False) > width:
            # The first column says whose row it is: it stays.
            spare = max(kept[1:], key=lambda index: (self.columns[index].need, index), default=0)
            need = self.columns[spare].need if spare else 0
            if need == 0 or (need <= TIGHT and self._needed(kept, tight=True) <= width):
                return kept, True
            kept.remove(spare)
        return kept, False

    def left_out(self, width: int) -> list[str]:
        """Names of the columns that a width has no room for."""
        kept = self.kept(width)
        return [column.name for index, column in enumerate(self.columns) if index not in kept]

    def left_out_line(self, width: int) -> list[Line]:
        """One sentence on the columns that a width has no room for, or nothing."""
        return left_out_line(self.left_out(width), width)

    def render(self, width: int) -> list[Line]:
        """The grid as lines of at most `width` cells."""
        kept, tight = self._fitted(width)
        columns = [self._shown(index, position, tight) for position, index in enumerate(kept)]
        widths = self._widths(kept, width, tight)
        names = self._names(widths[0])
        out = _header(columns, widths)
        for line in self.lines:
            if isinstance(line, Heading):
                if line is not self.lines[0]:
                    out.append(Line())
                out.append(Line((line.text, "bold"), (f"  {line.note}" if line.note else "", "dim")))
            elif isinstance(line, Sentence):
                named = replace(line, first=(names[_text(line.first)], _style(line.first)))
                out.extend(_sentence(named, columns[0], widths[0], width))
            else:
                first, *rest = (line[index] for index in kept)
                out.extend(_row([(names[_text(first)], _style(first)), *rest], columns, widths))
        return [line.cut(width) for line in out]

    def _names(self, room: int) -> dict[str, str]:
        """What stands in the first column, cut to its room; it is left to fold where it may."""
        firsts = [
            line.first if isinstance(line, Sentence) else line[0]
            for line in self.lines
            if not isinstance(line, Heading)
        ]
        texts = [_text(cell) for cell in firsts]
        return {text: text for text in texts} if self.columns[0].folds else apart(texts, room)

    def _shown(self, index: int, position: int, tight: bool) -> Column:
        gap = 0 if position == 0 else 1 if tight else self.columns[index].gap
        return replace(self.columns[index], gap=gap)

    def _needed(self, kept: Sequence[int], *, tight: bool) -> int:
        gaps = [self._shown(index, position, tight).gap for position, index in enumerate(kept)]
        return sum(gaps) + sum(self._narrowest(index) for index in kept)

    def _narrowest(self, index: int) -> int:
        return min(self._natural(index), 24) if self.columns[index].folds else self._natural(index)

    def _natural(self, index: int) -> int:
        texts = [*self.columns[index].header]
        texts += [_text(line[index]) for line in self.lines if not isinstance(line, Heading | Sentence)]
        if index == 0:
            texts += [_text(line.first) for line in self.lines if isinstance(line, Sentence)]
        return min(max((cells(text) for text in texts), default=0), self.columns[index].most)

    def _widths(self, kept: Sequence[int], width: int, tight: bool) -> list[int]:
        widths = [self._narrowest(index) for index in kept]
        spare = width - self._needed(kept, tight=tight)
        for position, index in enumerate(kept):
            if self.columns[index].folds and spare > 0:
                extra = min(spare, self._natural(index) - widths[position])
                widths[position] += extra
                spare -= extra
        if spare < 0:  # nothing more can go: names are cut
            widths[0] = max(widths[0] + spare, 8)
        return widths


def left_out_line(names: list[str], width: int) -> list[Line]:
    """One sentence on columns that were left out, or nothing."""
    if not names:
        return []
    return paragraph(f"A wider terminal or --format json adds {listed(names)}.", width, style="dim")


def _header(columns: Sequence[Column], widths: Sequence[int]) -> list[Line]:
    height = max(len(column.header) for column in columns)
    padded = [("",) * (height - len(column.header)) + column.header for column in columns]
    out = []
    for level in range(height):
        line = Line()
        for column, room, lines in zip(columns, widths, padded, strict=True):
            _put(line, (lines[level], "dim"), column, room)
        out.append(line)
    return [line for line in out if line.plain.strip()]


def _row(row: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int]) -> list[Line]:
    folded = []
    for cell, column, room in zip(row, columns, widths, strict=True):
        folds = column.folds and cells(_text(cell)) > room
        folded.append(textwrap.wrap(_text(cell), max(room, 1)) if folds else [_text(cell)])
    out = []
    for level in range(max(map(len, folded))):
        line = Line()
        for cell, column, room, texts in zip(row, columns, widths, folded, strict=True):
            text = texts[level].replace(KEPT_BLANK, " ") if level < len(texts) else ""
            _put(line, (text, _style(cell) or column.style), column, room)
        out.append(line)
    return out


def _sentence(sentence: Sentence, column: Column, room: int, width: int) -> list[Line]:
    out = []
    for level, text in enumerate(textwrap.wrap(sentence.text, max(width - room - 2, 20)) or [""]):
        line = Line()
        _put(line, sentence.first if level == 0 else "", column, room)
        line.append("  ")
        line.append(text, sentence.style)
        out.append(line)
    return out


def _put(line: Line, cell: Cell, column: Column, room: int) -> None:
    """A cell, padded to its room after the column's gap."""
    text = _text(cell)
    text = shorten(text, room)
    pad = " " * (room - cells(text))
    line.append(" " * column.gap)
    line.append(pad if not column.left else "")
    line.append(text, _style(cell))
    line.append(pad if column.left else "")


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def _style(cell: Cell) -> str:
    return "" if isinstance(cell, str) else cell[1]
