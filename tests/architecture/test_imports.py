"""A fresh interpreter pays for what it uses: importing the package loads nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import roofline

FRONT = Path(roofline.__file__)


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after some code."""
    listing = f"{code}\nimport sys\nsys.stdout.write(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import roofline",
        "import roofline; roofline.Deployment('llama-3.1-8b', 'h100-sxm').decode(8, 4096).seconds",
        "import roofline; roofline.model('llama-3.1-8b').parameters(); roofline.accelerator('groq-lpu-v1')",
    ],
)
def test_nothing_heavy_is_loaded_until_used(code: str) -> None:
    assert loaded_after(code) & {"sympy", "rich", "click", "hypothesis", "pytest", "matplotlib", "pandas"} == set()


def test_importing_the_package_loads_neither_numpy_nor_pydantic() -> None:
    assert loaded_after("import roofline") & {"numpy", "pydantic"} == set()


def test_public_names_are_sorted_and_each_can_be_had() -> None:
    assert roofline.__all__ == sorted(roofline.__all__)
    for name in roofline.__all__:
        assert getattr(roofline, name) is not None
    assert set(roofline.__all__) <= set(dir(roofline))


def test_names_for_type_checkers_are_the_names_that_load() -> None:
    tree = ast.parse(FRONT.read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    homes = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in ast.walk(guarded)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(homes) == roofline.__all__
    for name, home in homes.items():
        module, _, own_name = home.partition(":")
        value = getattr(roofline, name)
        assert value is getattr(sys.modules[module], own_name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        roofline.nonsense  # noqa: B018
