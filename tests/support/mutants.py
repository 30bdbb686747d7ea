"""Which changes of the code the tests notice: every mutant of a package, against the tests that run what it changed.

`python -m tests.support.mutants equations` writes the mutants (mutmut makes them) into `mutants/`, beside copies of all
that the tests need, and starts pytest there with this module as a plugin. That collects once, runs the tests once to
learn which of them enter which function, and then forks for each mutant: quick tests first, the first failure kills.
A fork starts before any test has run, so nothing computed without the mutant is compared with what it computes.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TREES = ROOT / "mutants"
PAGE = ROOT / "docs" / "mutants.md"
REASONS = Path(__file__).with_name("survivors.toml")
COPIED = ("roofline", "tests", "hardware_specs", "benchmarks", "docs", "pyproject.toml", "README.md", "Makefile")
TESTS = {
    "equations": ("roofline/equations", "tests/equations", "tests/properties/test_equation_laws.py", "tests/golden"),
    "estimate": (
        "roofline/estimate",
        "tests/estimate",
        "tests/serving/test_splits.py",
        "tests/serving/test_laws.py",
        "tests/serving/test_colocated.py",
        "tests/properties/test_estimate_laws.py",
        "tests/golden",
        "tests/trust/test_laws.py",
    ),
}
"""What each package is tested with, beside its own doctests: pages and printed views would notice anything."""

MUTANT = "__mutmut_"
"""In the name of every function that mutmut writes."""
UNEXPLAINED = "Not yet explained"
WORDS = "What an error or an assumption says in words, which tests hold to its figures"
MOST = 8
"""Seconds of tests, the quickest first, that a mutant of a much used function has to get past to survive."""
SECONDS = 20
"""Of processor time that a mutant has beside ten times what its tests took: more is an endless loop."""


def write_mutants(tree: Path, package: str, modules: Iterable[str]) -> dict[str, str]:
    """Fill a directory; return every mutant's name with what it changes, in the order of the modules."""
    from mutmut.mutation.file_mutation import mutate_file_contents

    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tree / name)
    changes = {}
    home = ROOT / "roofline" / package
    for path in [home / f"{module}.py" for module in modules] or sorted(home.glob("*.py")):
        mutated = mutate_file_contents(str(path), path.read_text(encoding="utf-8"))
        (tree / path.relative_to(ROOT)).write_text(mutated.code, encoding="utf-8")
        lines = mutated.code.splitlines()
        source = {
            name: [line.replace(name, "") for line in lines[at.start - 1 : at.end]]
            for name, at in mutated.line_span_by_function_name.items()
        }
        for name in mutated.mutant_names:
            original = source[f"{function_of(name)}{MUTANT}orig"]
            changes[f"roofline.{package}.{path.stem}.{name}"] = change(original, source[name])
    return changes


def change(original: list[str], mutant: list[str]) -> str:
    """The lines that differ, as `old → new`.

    >>> change(["def one():", "    return 1 + 0"], ["def one():", "    return 1 - 0"])
    'return 1 + 0 → return 1 - 0'
    """
    diff = list(difflib.unified_diff(original, mutant, n=0))[2:]
    old, new = (" ".join(line[1:].strip() for line in diff if line[0] == sign) for sign in "-+")
    return f"{old} → {new}"


def function_of(mutant: str) -> str:
    """The name under which a trace has what a mutant changes.

    >>> function_of("roofline.equations.cost.x_token_cost__mutmut_3")
    'roofline.equations.cost.x_token_cost'
    """
    return mutant.partition(MUTANT)[0]


def readable(mutant: str) -> str:
    """What a mutant changes, as a reader would call it.

    >>> readable("roofline.equations.cost.x_token_cost__mutmut_3")
    'equations.cost.token_cost'
    >>> readable("roofline.estimate.timing.xǁTimesǁplus__mutmut_3")
    'estimate.timing.Times.plus'
    """
    module, _, name = function_of(mutant).removeprefix("roofline.").rpartition(".")
    return f"{module}.{name[1:].strip('ǁ_').replace('ǁ', '.') if 'ǁ' in name else name[2:]}"


def sample(mutants: Iterable[str], most: int) -> list[str]:
    """All mutants, or of each module `most` that are drawn the same way every time.

    >>> many = [f"a.x_f__mutmut_{number}" for number in range(99)]
    >>> len(sample([*many, "b.x_g__mutmut_1"], 60)), sample(many, 60) == sample(many, 60)
    (61, True)
    """
    by_module = defaultdict(list)
    for mutant in mutants:
        by_module[mutant.rpartition(".")[0]].append(mutant)
    drawn = [
        random.Random(module).sample(names, most) if most and len(names) > most else names
        for module, names in by_module.items()
    ]
    return [name for names in drawn for name in names]


# The plugin: what follows runs in `mutants/`, inside pytest.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every mutant has the docstring of its function: those doctests are the function's own, over and over."""
    items[:] = [item for item in items if MUTANT not in item.nodeid]


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Instead of running the tests: run them once to time and trace them, and then for each mutant in a fork."""
    order = json.loads(Path("order.json").read_text(encoding="utf-8"))
    traced = json.loads(in_fork(lambda: trace(session.items))[1] or "{}")
    assert traced, "the tests fail without a mutant"
    seconds, tests = traced["seconds"], traced["tests"]
    by_id = {item.nodeid: item for item in session.items}
    control = [by_id[name] for name in quickest(seconds, seconds)]
    assert in_fork(lambda: survives("none", control))[0] == 0, "the tests fail in another order"
    with Path("results.jsonl").open("w", encoding="utf-8") as results:
        for mutant in order:
            names = quickest(tests.get(function_of(mutant), ()), seconds)
            items = [by_id[name] for name in names]
            limit = SECONDS + 10 * sum(seconds[name] for name in names)
            status = in_fork(lambda: survives(mutant, items), limit)[0] if items else 3  # noqa: B023
            outcome = {0: "survived", 1: "killed", 3: "untested"}.get(status, "stopped")
            print(json.dumps({"mutant": mutant, "outcome": outcome, "tests": len(items)}), file=results, flush=True)
    return True


def quickest(tests: Iterable[str], seconds: dict[str, float]) -> list[str]:
    """The quickest tests first, as many as fit into `MOST`; always one.

    >>> quickest(["slow", "quick", "longest"], {"slow": 3.0, "quick": 1.0, "longest": 1000.0})
    ['quick', 'slow']
    """
    ordered = sorted(tests, key=seconds.__getitem__)
    return [
        name
        for name, sofar in zip(ordered, accumulate(map(seconds.__getitem__, ordered)), strict=True)
        if sofar <= MOST or name == ordered[0]
    ]


def in_fork(work: Callable[[], tuple[int, str]], limit: float | None = None) -> tuple[int, str]:
    """What `work` returns, done in a fork that is silent and may use `limit` seconds of processor time."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 2
        try:
            os.close(reader)
            if limit is not None:
                most = int(limit + time.process_time()) + 1
                resource.setrlimit(resource.RLIMIT_CPU, (most, most))
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            status, text = work()
            with os.fdopen(writer, "w") as answer:
                answer.write(text)
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def run(items: list[pytest.Item], after: Callable[[pytest.Item], bool]) -> None:
    """Run tests with all their fixtures until `after` says to stop."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if after(item):
            return


def activate(mutant: str) -> None:
    """From now on, calls go to this mutant; mutmut would ask the environment at every call."""
    from mutmut.mutation import trampoline

    trampoline.get_mutant_under_test = lambda: mutant


def trace(items: list[pytest.Item]) -> tuple[int, str]:
    """The seconds of every test and the tests of every function; nothing at all if one fails."""
    from mutmut.state import state

    seconds: dict[str, float] = {}
    tests = defaultdict(list)
    begin = time.process_time()

    def after(item: pytest.Item) -> bool:
        nonlocal begin
        seconds[item.nodeid] = time.process_time() - begin
        for function in state()._stats:
            tests[function].append(item.nodeid)
        state()._stats.clear()
        begin = time.process_time()
        return bool(item.session.testsfailed)

    activate("stats")
    run(items, after)
    failed = items[0].session.testsfailed
    return failed, "" if failed else json.dumps({"seconds": seconds, "tests": tests})


def survives(mutant: str, items: list[pytest.Item]) -> tuple[int, str]:
    """0 where all tests pass on a mutant, 1 where one fails."""
    activate(mutant)
    run(items, lambda item: bool(item.session.testsfailed))
    return min(1, items[0].session.testsfailed), ""


def table(package: str) -> Iterable[str]:
    """How many mutants of each module were made, tried, and noticed."""
    made = Counter(module_of(mutant) for mutant in saved(package, "changes.json"))
    tried = defaultdict(Counter)
    for result in outcomes(package):
        tried[module_of(result["mutant"])][result["outcome"]] += 1
    yield "| module | mutants | tried | killed | survived |"
    yield "|---|---:|---:|---:|---:|"
    for module, counts in [*sorted(tried.items()), ("all", sum(tried.values(), Counter()))]:
        killed, every = counts["killed"] + counts["stopped"], counts.total()
        number = made.total() if module == "all" else made[module]
        yield f"| {module} | {number:,} | {every:,} | {killed / every:.1%} | {every - killed} |"


def survivors(package: str) -> Iterable[str]:
    """What was not noticed, under the reason that is known for it."""
    reasons = {row["mutant"]: row["reason"] for row in tomllib.loads(REASONS.read_text(encoding="utf-8"))["survivor"]}
    changes = saved(package, "changes.json")
    groups = defaultdict(list)
    for result in outcomes(package):
        if result["outcome"] in ("survived", "untested"):
            change = changes[result["mutant"]]
            name = f"{readable(result['mutant'])}: {change}"
            groups[reasons.get(name, WORDS if worded(change) else UNEXPLAINED)].append(name)
    for reason, names in sorted(groups.items(), key=lambda group: (group[0] == UNEXPLAINED, group[0])):
        yield f"\n{reason} ({len(names)}):\n"
        yield from (f"* `{name.replace('](', '] (')}`" for name in names)  # code that would read as a link


def worded(change: str) -> bool:
    """Whether a change is of what an error or an assumption says, which tests hold to its figures alone.

    >>> worded('expected="a number" → expected="XXa numberXX"'), worded("a + b → a - b")
    (True, False)
    """
    before, after = change.split(" → ", maxsplit=1)[0], change.rsplit(" → ", maxsplit=1)[-1]
    shouted = '"' in before and after == re.sub(r'"[^"]*"', lambda text: text[0].upper(), before)
    return '"XX' in after or shouted or "raise InvalidInput(" in before


def module_of(mutant: str) -> str:
    return mutant.split(".")[2]


def saved(package: str, name: str) -> Any:
    return json.loads((TREES / package / name).read_text(encoding="utf-8"))


def outcomes(package: str) -> list[dict[str, Any]]:
    lines = (TREES / package / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def write_page() -> None:
    """Put the figures of the packages that were tried into the page, after its introduction."""
    text = [PAGE.read_text(encoding="utf-8").partition("\n## ")[0].rstrip()]
    for package in TESTS:
        if (TREES / package / "results.jsonl").exists():
            text += [f"\n## {package}\n", *table(package), *survivors(package)]
    PAGE.write_text("\n".join(text) + "\n", encoding="utf-8")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("package", choices=[*TESTS, "page"], help="what to mutate, or `page` to renew docs/mutants.md")
    options.add_argument("modules", nargs="*", help="only these, in this order")
    options.add_argument("--sample", type=int, default=0, help="mutants a module at most, drawn the same every time")
    options.add_argument("--tests", nargs="+", help="instead of all tests that the package is tested with")
    given = options.parse_args()
    if given.package == "page":
        return write_page()
    tree = TREES / given.package
    changes = write_mutants(tree, given.package, given.modules)
    (tree / "changes.json").write_text(json.dumps(changes), encoding="utf-8")
    (tree / "order.json").write_text(json.dumps(sample(changes, given.sample)), encoding="utf-8")
    plugin = ["-s", "-p", "tests.support.mutants", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        f"--rootdir={tree}",
        *plugin,
        *(given.tests or TESTS[given.package]),
    ]
    subprocess.run(command, cwd=tree, check=True)
    return None


if __name__ == "__main__":
    main()
