"""Tables of docs/when-the-split-pays.md are what its code prints. `python -m tests.serving.test_page` renews them."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "when-the-split-pays.md"
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?P<between>\n```text\n)?(?(between)(?P<shown>.*?)```\n)", re.DOTALL)


def renewed(page: str) -> str:
    """The page with every table printed afresh."""
    names: dict[str, object] = {}

    def run(match: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(match["code"], str(PAGE), "exec"), names)
        shown = f"\n```text\n{printed.getvalue()}```\n" if match["between"] else ""
        return f"```python\n{match['code']}```\n{shown}"

    return BLOCK.sub(run, page)


def test_tables_are_what_the_code_prints() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page) == page


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
