"""Signs of life on a terminal while something takes long; nothing where stderr is not a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

PATIENCE = 0.4
"""Seconds after which one wonders whether anything happens."""

Item = TypeVar("Item")


def tracked(items: Sequence[Item], what: str) -> Iterator[Item]:
    """The items in turn; a bar on a terminal once they take longer than patience lasts."""
    if not sys.stderr.isatty() or len(items) < 2:
        yield from items
        return
    started = time.monotonic()
    remaining = iter(items)
    done = 0
    for item in remaining:
        yield item
        done += 1
        if time.monotonic() - started > PATIENCE and done < len(items):
            break
    if done < len(items):
        yield from _with_bar(remaining, what, done, len(items))


def _with_bar(items: Iterable[Item], what: str, done: int, total: int) -> Iterator[Item]:
    from rich.console import Console  # noqa: PLC0415  only where something is drawn
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, completed=done, total=total)
        for item in items:
            yield item
            bar.advance(task)


@contextmanager
def telling(what: str) -> Iterator[Callable[[str], None]]:
    """A function that is told what happens, beside a spinner on a terminal."""
    if not sys.stderr.isatty():
        yield lambda message: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415

    with Console(stderr=True).status(escape(what)) as status:
        yield lambda message: status.update(escape(message))
