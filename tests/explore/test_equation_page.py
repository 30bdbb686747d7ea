"""The page of equations says what the equations say today."""

import re
from pathlib import Path

import sympy

from roofline.equations.rooflines import critical_batch
from roofline.explore.equation_page import equation_page, rendered
from tests.support.registry import equations

PAGE = Path(__file__).resolve().parents[2] / "docs" / "equations.md"
RENEW = "renew it: python -m roofline.explore.equation_page docs/equations.md"


def without_formulas(page: str) -> str:
    return re.sub(r"\$\$.*?\$\$|with sympy \S+;", "", page, flags=re.DOTALL)


def test_the_page_is_up_to_date() -> None:
    written, current = PAGE.read_text(encoding="utf-8"), equation_page()
    if f"with sympy {sympy.__version__};" not in written:  # another version may print the same formula otherwise
        written, current = without_formulas(written), without_formulas(current)
    assert written == current, RENEW


def test_every_equation_is_on_the_page_with_all_its_arguments() -> None:
    page = PAGE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", page, flags=re.MULTILINE | re.DOTALL))
    for equation in equations().values():
        section = sections[equation.function.__name__]
        assert section.count("$$") == 2
        assert "Source:" in section
        for name, unit in equation.arguments.items():
            assert f"| `{name}` | {unit} |" in section


def test_a_formula_is_what_the_code_does() -> None:
    assert rendered(critical_batch) == (
        r"\mathrm{critical\ batch} = \frac{\mathrm{peak} \cdot \mathrm{weight\ width}}{2 \cdot \mathrm{bandwidth}}"
    )
