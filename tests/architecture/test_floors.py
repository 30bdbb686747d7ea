"""Modules import from their own floor or a lower one, and each heavy library has one family of importers."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "roofline"
FLOORS = {"numeric": 0, "errors": 0, "units": 0, "equations": 1, "describe": 2, "estimate": 3, "explore": 4, "trust": 4}
FLOORS |= {"laws": 4, "testing": 4}
"""The last two are front pages of `trust`."""
TOP = 5
"""`show`, and the package's own front page, may use everything."""
HEAVY = {"rich": ("show",), "click": ("show",), "matplotlib": ("show",), "sympy": ("explore",), "xarray": ("explore",)}
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def floor_of(parts: tuple[str, ...]) -> int:
    return FLOORS.get(parts[0].removesuffix(".py"), TOP)


def imported(path: Path) -> Iterator[str]:
    """Every module imported anywhere in a file, functions and type checking included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name}: relative import"
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_come_from_the_own_floor_or_a_lower_one(path: Path) -> None:
    own = floor_of(path.relative_to(PACKAGE).parts)
    higher = [
        module
        for module in imported(path)
        if module.startswith("roofline.") and floor_of(tuple(module.split(".")[1:])) > own
    ]
    assert higher == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_equations_know_numbers_and_nothing_else(path: Path) -> None:
    if path.parent.name == "equations":
        foreign = [
            module for module in imported(path) if not module.startswith(("roofline.numeric", "roofline.equations"))
        ]
        assert foreign in ([], ["__future__"])


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_heavy_libraries_have_one_family_of_importers(path: Path) -> None:
    family = path.relative_to(PACKAGE).parts[0]
    stray = [
        module
        for module in imported(path)
        if module.split(".")[0] in HEAVY and family not in HEAVY[module.split(".")[0]]
    ]
    assert stray == []
    if "hypothesis" in {module.split(".")[0] for module in imported(path)}:
        assert name_of(path) in ("trust/testing.py", "trust/strategies.py")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_library_code_does_not_print(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_things_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if tree.body:
        assert ast.get_docstring(tree), "the module has none"
    bare = [
        node.name
        for holder in ast.walk(tree)
        if isinstance(holder, ast.Module | ast.ClassDef) and not getattr(holder, "name", "").startswith("_")
        for node in holder.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        if not node.name.startswith("_") and ast.get_docstring(node) is None
    ]
    assert bare == []


def loaded(path: Path) -> set[str]:
    """Modules of the library that loading a file loads: imports inside functions and for type checkers are not."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module}
    return {module for module in found if module.startswith("roofline.")}


def test_loading_never_goes_in_circles() -> None:
    graph = {
        "roofline." + name_of(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__"): loaded(path)
        for path in MODULES
    }
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_listed_names_are_sorted_and_complete(path: Path) -> None:
    """Where a module lists what it offers, the list has every public function and class in it, constants first."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lists = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    ]
    for listed in lists:
        names = ast.literal_eval(listed)
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert names == sorted(set(names), key=lambda name: (not name.isupper(), name[0].islower(), name))
        assert {name for name in defined if not name.startswith("_")} <= set(names)


ABSOLUTE = re.compile(r"(?<![\w.~:/}>])/(?:home|root|work|tmp|Users|opt|mnt|var|usr|private)/")
TEXTS = sorted(
    path
    for folder in ("roofline", "tests", "docs", "benchmarks", "hardware_specs")
    for path in (PACKAGE.parent / folder).rglob("*")
    if path.suffix in (".py", ".md", ".toml", ".csv")  # not .json: configs are kept as their authors published them
) + [PACKAGE.parent / name for name in ("README.md", "Makefile", "pyproject.toml")]


def test_no_file_knows_where_it_lies() -> None:
    """A path of somebody's machine in a file is a file that works on that machine."""
    assert len(TEXTS) > 300
    guilty = [
        f"{path.name}:{number}"
        for path in TEXTS
        if path.is_file()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ABSOLUTE.search(line)
    ]
    assert guilty == []


@pytest.mark.parametrize(
    ("line", "guilty"),
    [
        ("see " + "/ho" + "me/someone/x.py", True),
        ("open('" + "/tm" + "p/x')", True),
        ("https://host/home/page", False),
        ("https://host.example/a/home/b", False),
        ("rates and/or work/time", False),
    ],
)
def test_paths_of_a_machine_are_told_from_addresses(line: str, guilty: bool) -> None:
    assert bool(ABSOLUTE.search(line)) == guilty
