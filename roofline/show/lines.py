"""Styled lines of text, as plain data: what is drawn, before anything knows of a terminal."""

from __future__ import annotations

import textwrap
import unicodedata
from collections import Counter

from roofline.units import significant

KEPT_BLANK = "\N{NO-BREAK SPACE}"
"""A blank at which a cell that folds is not broken; it is printed as any other."""
KEPT = f"{KEPT_BLANK}×{KEPT_BLANK}"
"""A product that is not broken over two lines."""


class Line:
    """Pieces of text, each with a style: "" for none, else words that rich knows, such as "bold" or "dim"."""

    def __init__(self, *pieces: tuple[str, str]) -> None:
        self.pieces: list[tuple[str, str]] = [piece for piece in pieces if piece[0]]

    def append(self, text: str, style: str = "") -> None:
        """Add a piece."""
        if text:
            self.pieces.append((text, style))

    @property
    def plain(self) -> str:
        """The text without its styles, and without blanks at its end."""
        return "".join(text for text, _ in self.pieces).rstrip()

    def cut(self, width: int) -> Line:
        """The line without blanks at its end, and with an ellipsis where it exceeds a width."""
        text = self.plain
        wanted = len(text) if cells(text) <= width else len(shorten(text, width)) - 1
        out = Line()
        for piece, style in self.pieces:
            taken = piece[:wanted]
            out.append(taken, style)
            wanted -= len(taken)
        if cells(text) > width:
            out.append("…")
        return out


def cells(text: str) -> int:
    """Columns of a terminal that a text takes.

    >>> cells("8 × h100"), cells("模型")
    (8, 4)
    """
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, width: int) -> str:
    """The text, or as much of it as leaves room for an ellipsis.

    >>> shorten("tenstorrent", 6)
    'tenst…'
    """
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return text + "…"


def apart(texts: list[str], width: int) -> dict[str, str]:
    """Each text as `shorten` cuts it, but with its end in place of its middle where it would look like another's.

    >>> apart(["groq:576,tp=8,slice=16", "groq:576,tp=8,slice=32", "h100:8"], 14)
    {'groq:576,tp=8,slice=16': 'groq:…slice=16', 'groq:576,tp=8,slice=32': 'groq:…slice=32', 'h100:8': 'h100:8'}
    """
    cut = {text: shorten(text, width) for text in texts}
    seen = Counter(cut.values())
    return {text: short if seen[short] == 1 else _without_middle(text, width) for text, short in cut.items()}


def _without_middle(text: str, width: int) -> str:
    end = ""
    while len(end) < len(text) and cells(end) < (2 * width) // 3 - 1:
        end = text[len(text) - len(end) - 1 :]
    return shorten(text, width - cells(end)) + end


def paragraph(text: str, width: int, *, bullet: str = "", style: str = "") -> list[Line]:
    """A sentence wrapped to a width, after a bullet where there is one."""
    return [Line((line, style)) for line in wrapped(text, width, bullet)]


def wrapped(text: str, width: int, bullet: str = "") -> list[str]:
    """A sentence in lines; words are broken, at hyphens where there are any, only where one exceeds a line.

    >>> wrapped("on 8 × h100-sxm", 12)
    ['on', '8 × h100-sxm']
    """
    room = max(width, 8)
    kept = text.replace(" × ", KEPT)
    long = any(cells(word) > room - len(bullet) for word in kept.split(" "))
    lines = textwrap.wrap(kept, room, initial_indent=bullet, subsequent_indent=" " * len(bullet), break_on_hyphens=long)
    return [line.replace(KEPT_BLANK, " ") for line in lines]


def command(text: str, width: int) -> list[Line]:
    """A command to type, continued on further lines where it exceeds the width.

    >>> [line.plain for line in command("roofline explain m --on p:8 --batch 1", 34)]
    ['  roofline explain m --on p:8 \\\\', '      --batch 1']
    """
    if cells(text) + 2 <= width:
        return [Line(("  " + text, ""))]
    first, *options = text.split(" --")
    lines = ["  " + first]
    for option in options:
        if cells(lines[-1]) + cells(option) + 5 <= width:
            lines[-1] += f" --{option}"
        else:
            lines.append(f"      --{option}")
    return [Line((line + (" \\" if line is not lines[-1] else ""), "")) for line in lines]


def figure(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, zeros at its end included.

    >>> figure(0.12), figure(23158.04), figure(19.1), figure(0)
    ('0.120', '23,158', '19.1', '0')
    """
    if value == 0:
        return "0"
    return f"{value:#.{digits}g}" if abs(value) < 1 else significant(value, digits)


def listed(names: list[str]) -> str:
    """Names as a sentence lists them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
