"""The grammar of an equation, checked on the syntax tree of every module of `roofline.equations`.

An equation that keeps to it runs unchanged on floats, arrays, exact fractions and symbols, because there is nothing in
it that could ask which of them it got.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from tests.support.dimensions import dimension
from tests.support.registry import Equation, equations, modules, read

HELPERS = {"ceil", "geometric_sum", "log2", "maximum", "minimum", "sqrt"}
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
FLOAT_EXPONENTS = {"optimal_width_sqrt"}
"""Where a quotient of two literals, a float in disguise, is a power that no helper offers."""
NOMENCLATURE = Path(__file__).parents[2] / "docs" / "nomenclature.md"

EQUATIONS = equations()
MODULES = modules()
every_equation = pytest.mark.parametrize("equation", EQUATIONS.values(), ids=str)
every_module = pytest.mark.parametrize("name", MODULES)


def tree(name: str) -> ast.Module:
    return ast.parse(inspect.getsource(MODULES[name]))


def complaints(source: str, known: set[str]) -> list[str]:
    """What in a module's text breaks the grammar; `known` are the equations that may be imported."""
    module = ast.parse(source)
    found: list[str] = []
    callable_names: set[str] = set()
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    for node in module.body[1:]:
        match node:
            case ast.ImportFrom(module="roofline.numeric", names=names):
                callable_names |= {alias.name for alias in names} & HELPERS
                found += [f"imports {a.name}" for a in names if a.name not in HELPERS | {"Num"} or a.asname]
            case ast.ImportFrom(module=str(origin), names=names) if origin.startswith("roofline.equations."):
                callable_names |= {alias.name for alias in names}
                prefix = origin.removeprefix("roofline.equations.")
                found += [f"imports {a.name}" for a in names if f"{prefix}.{a.name}" not in known or a.asname]
            case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.FunctionDef():
                pass
            case _:
                found.append(f"{type(node).__name__} at module level, line {node.lineno}")
    if not (module.body and _is_docstring(module.body[0])):
        found.append("module without a docstring")
    for function in functions:
        found += _function_complaints(function, callable_names | {f.name for f in functions})
    return found


def _function_complaints(function: ast.FunctionDef, callables: set[str]) -> list[str]:
    found, arguments = [], function.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs or arguments.defaults:
        found.append("arguments must be plain and without defaults")
    annotations = [arg.annotation for arg in arguments.args] + [function.returns]
    if not all(isinstance(a, ast.Name) and a.id == "Num" for a in annotations):
        found.append("every argument and the result must be Num")
    if function.decorator_list:
        found.append("decorated")
    if not _is_docstring(function.body[0]):
        found.append("no docstring")
    if not isinstance(function.body[-1], ast.Return):
        found.append("does not end in return")
    known = {arg.arg for arg in arguments.args}
    used: set[str] = set()
    for statement in function.body[1:]:
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=value):
                if target in known:
                    found.append(f"assigns {target} twice")
                found += _expression_complaints(value, known, callables, function.name, used)
                known.add(target)
            case ast.Return(value=value) if statement is function.body[-1] and value:
                found += _expression_complaints(value, known, callables, function.name, used)
            case _:
                found.append(f"{type(statement).__name__} at line {statement.lineno}")
    found += [f"never uses {name}" for name in sorted(known - used)]
    return [f"{function.name}: {text}" for text in found]


def _expression_complaints(
    expression: ast.expr, known: set[str], callables: set[str], function: str, used: set[str]
) -> list[str]:
    def walk(node: ast.expr) -> list[str]:
        match node:
            case ast.BinOp(left=ast.Constant(), op=ast.Div(), right=ast.Constant()):
                return [] if function in FLOAT_EXPONENTS else ["a quotient of literals is a float"]
            case ast.BinOp(left=left, op=op, right=right):
                wrong = [] if isinstance(op, OPERATORS) else [f"operator {type(op).__name__}"]
                return wrong + walk(left) + walk(right)
            case ast.Constant(value=value):
                return [] if type(value) is int else [f"literal {value!r}"]
            case ast.Name(id=name):
                used.add(name)
                return [] if name in known else [f"name {name}"]
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                wrong = [] if name in callables else [f"call of {name}"]
                return wrong + [text for argument in arguments for text in walk(argument)]
            case _:
                return [f"{type(node).__name__} in an expression"]

    return walk(expression)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@every_module
def test_a_module_keeps_to_the_grammar(name: str) -> None:
    assert complaints(inspect.getsource(MODULES[name]), set(EQUATIONS)) == []


WRONG = {
    "if": "if a:\n        return a\n    return b",
    "loop": "for i in a:\n        b = i\n    return b",
    "float literal": "return 0.5 * a * b",
    "float in disguise": "return a * (1 / 2) * b",
    "string": "return a * b * 'x'",
    "attribute": "return a.real * b",
    "floor division": "return a // b",
    "unknown call": "return print(a) * b",
    "keyword": "return maximum(a, key=b)",
    "comprehension": "return maximum([x for x in a], b)",
    "comparison": "return (a > b) * a",
    "conditional": "return a if a else b",
    "reassigned argument": "a = a * b\n    return a",
    "unused argument": "return a",
    "unused step": "c = a * b\n    return a / b",
    "two returns": "return a\n    return b",
    "no return": "c = a * b",
    "augmented": "c = a\n    c += b\n    return c",
    "annotated step": "c: Num = a * b\n    return c",
    "starred": "return maximum(*a, b)",
    "unknown name": "return a * b * c",
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_the_grammar_rejects(body: str) -> None:
    head = '"""M."""\nfrom roofline.numeric import Num, maximum\n\ndef f(a: Num, b: Num) -> Num:\n    """F."""'
    source = f"{head}\n    {body}\n"
    assert complaints(source, set())


@pytest.mark.parametrize(
    "head",
    [
        "import math",
        "from roofline.numeric import Num, kind",
        "from roofline.describe import hardware",
        "X = 3",
        "from roofline.equations.rooflines import no_such_equation",
    ],
)
def test_the_grammar_rejects_at_module_level(head: str) -> None:
    source = f'"""M."""\n{head}\n\ndef f(a: Num) -> Num:\n    """F."""\n    return a\n'
    assert complaints(source, set(EQUATIONS))


def test_the_grammar_accepts_what_it_should() -> None:
    source = (
        '"""M."""\nfrom roofline.numeric import Num, maximum\n'
        "from roofline.equations.rooflines import ridge_point\n__all__ = []\n\n"
        'def f(a: Num, b: Num) -> Num:\n    """F."""\n    c = 2 * a ** b - 1\n'
        "    return maximum(c, ridge_point(a, b))\n"
    )
    assert complaints(source, set(EQUATIONS)) == []


def test_the_float_exponents_are_all_needed() -> None:
    functions = {f.name: f for name in MODULES for f in tree(name).body if isinstance(f, ast.FunctionDef)}
    for name in FLOAT_EXPONENTS:
        divisions = [n for n in ast.walk(functions[name]) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div)]
        assert any(isinstance(d.left, ast.Constant) and isinstance(d.right, ast.Constant) for d in divisions)


@every_module
def test_all_lists_every_equation_sorted(name: str) -> None:
    defined = sorted(node.name for node in tree(name).body if isinstance(node, ast.FunctionDef))
    assert MODULES[name].__all__ == defined


def test_names_are_unique_over_modules() -> None:
    names = [name.partition(".")[2] for name in EQUATIONS]
    assert len(names) == len(set(names))


@every_equation
def test_names_are_nouns_of_what_they_return(equation: Equation) -> None:
    assert not re.match(r"(get|calc|calculate|compute|make|do|is|to)_(?!time$)", equation.name.partition(".")[2])


@every_equation
def test_every_argument_is_documented_in_order(equation: Equation) -> None:
    block = next(p for p in equation.paragraphs if p.startswith("Arguments:\n"))
    assert tuple(equation.arguments) == equation.parameters
    assert len(block.splitlines()) - 1 == len(equation.parameters)


@every_equation
def test_every_unit_is_one_we_know(equation: Equation) -> None:
    for unit in [*equation.arguments.values(), equation.returns]:
        dimension(unit)


@every_equation
def test_the_docstring_has_its_parts_in_order(equation: Equation) -> None:
    first, second, third, fourth = equation.paragraphs[:4]
    assert re.fullmatch(r"[A-Z][^\n]*\.", first), "one sentence on one line"
    assert second.startswith("Arguments:\n")
    assert third.startswith("Returns ")
    assert equation.returns
    assert fourth.startswith("Source: ")
    assert fourth.endswith(".")
    assert equation.paragraphs[-1].startswith(f">>> {equation.name.partition('.')[2]}(")


@every_equation
def test_the_source_can_be_found(equation: Equation) -> None:
    source = equation.paragraphs[3]
    assert re.search(r'arXiv:\d{4}\.\d{5}|arXiv:\d{4}\.\d{4}|doi:10\.\d+/|"[^"]+"|README|documentation|Std', source)


def test_a_docstring_without_units_is_noticed() -> None:
    def bare(size: float) -> float:
        """A size.

        Arguments:
            size : some bytes

        Returns it.
        """
        return size

    assert read("x.bare", bare).arguments == {}
    assert read("x.bare", bare).returns == ""


def nomenclature() -> dict[str, tuple[str, str]]:
    """The table of arguments: name to unit and meaning."""
    rows = {}
    text = NOMENCLATURE.read_text(encoding="utf-8").partition("## Arguments of equations")[2].partition("\n## ")[0]
    for line in text.splitlines():
        if line.startswith("| `"):
            name, unit, meaning = (cell.strip() for cell in line.strip("|").split("|"))
            rows[name.strip("`")] = (unit, meaning)
    return rows


@every_equation
def test_every_argument_is_in_the_nomenclature(equation: Equation) -> None:
    table = nomenclature()
    for name, unit in equation.arguments.items():
        assert name in table, f"{name} is not in docs/nomenclature.md"
        assert table[name][0] == unit, f"{name} is [{table[name][0]}] in docs/nomenclature.md and [{unit}] here"


def test_the_nomenclature_has_no_stale_rows_and_is_sorted() -> None:
    used = {name for equation in EQUATIONS.values() for name in equation.arguments}
    assert list(nomenclature()) == sorted(used)
    assert all(meaning for _, meaning in nomenclature().values())
