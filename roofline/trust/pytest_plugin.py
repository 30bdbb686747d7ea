"""`pytest --roofline-specs PATH`: one test for every law and cross-check on every spec file below PATH.

Without the option nothing is collected, and nothing of the library is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from roofline.trust.law import Law
    from roofline.trust.law_cases import Case, Part
    from roofline.trust.laws import LawResult

_OPTION = "--roofline-specs"
_NAME = "roofline_specs"


class LawsBroken(Exception):
    """What a spec file breaks, in words; shown without a traceback."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("roofline")
    group.addoption(
        _OPTION,
        action="append",
        default=[],
        dest=_NAME,
        metavar="PATH",
        help="check every .toml hardware spec below PATH, or one such file, against physical laws and its own facts",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect the paths of the option: alone where the command names no others, and not where it names files below."""
    paths = _paths(config)
    if paths and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args.clear()
    for path in paths:
        if not path.exists():
            raise pytest.UsageError(f"{_OPTION} {path}: no such file or directory")
        if not any(_named(config, argument).is_relative_to(path) for argument in config.args):
            config.args.append(str(path))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take the spec files below the paths of the option."""
    if file_path.suffix == ".toml" and any(file_path.is_relative_to(path) for path in _paths(parent.config)):
        return SpecFileTests.from_parent(parent, path=file_path)
    return None


class SpecFileTests(pytest.File):
    """A spec file: whether it reads, then every law and every cross-check."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test per law and per cross-check."""
        from roofline.trust.cross_checks import CROSS_CHECKS  # noqa: PLC0415  imported only where the option is given
        from roofline.trust.laws import LAWS  # noqa: PLC0415

        yield ReadTest.from_parent(self, name="reads")
        for law in LAWS:
            yield LawTest.from_parent(self, name=law.name, law=law)
        for check in CROSS_CHECKS:
            yield FactsTest.from_parent(self, name=check.name)

    @cached_property
    def part(self) -> Part | None:
        """The part that the file describes; None where it does not read."""
        from roofline.describe.catalog import accelerator  # noqa: PLC0415
        from roofline.errors import RooflineError  # noqa: PLC0415

        try:
            return accelerator(self.path)
        except RooflineError:
            return None

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """What all laws are tried on, each of which leaves its answers there for the next."""
        from roofline.trust.laws import law_cases  # noqa: PLC0415

        return () if self.part is None else law_cases(self.part)

    @cached_property
    def facts(self) -> tuple[LawResult, ...]:
        """What the cross-checks find."""
        from roofline.trust.cross_checks import cross_check  # noqa: PLC0415
        from roofline.trust.laws import of_facts  # noqa: PLC0415

        return () if self.part is None else tuple(map(of_facts, cross_check(self.part)))


class _SpecTest(pytest.Item):
    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What was found in words, without a traceback through the library."""
        if isinstance(excinfo.value, LawsBroken):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the test comes from: the spec file."""
        return self.path, None, f"{self.path.name}: {self.name}"


class ReadTest(_SpecTest):
    """Whether the file is a valid spec."""

    def runtest(self) -> None:
        """Read it."""
        from roofline.describe.catalog import accelerator  # noqa: PLC0415
        from roofline.errors import RooflineError  # noqa: PLC0415

        try:
            accelerator(self.path)
        except RooflineError as error:
            raise LawsBroken(str(error)) from None


class _ResultTest(_SpecTest):
    @property
    def results(self) -> list[LawResult]:
        raise NotImplementedError

    @property
    def file(self) -> SpecFileTests:
        assert isinstance(self.parent, SpecFileTests)
        return self.parent

    def runtest(self) -> None:
        """Fail with the counterexample; skip what does not apply."""
        if self.file.part is None:
            pytest.skip("the file does not read")
        results = self.results
        failed = [result for result in results if result.fails]
        if failed:
            said = "\n".join(result.counterexample for result in failed)
            first = failed[0]
            raise LawsBroken(f"{self.path.name} breaks {self.name} ({first.group}): {first.statement}\n{said}")
        if all(result.verdict == "not applicable" for result in results):
            pytest.skip("not applicable to this part")


class LawTest(_ResultTest):
    """One law on one file."""

    def __init__(self, *, law: Law, **rest: Any) -> None:
        super().__init__(**rest)
        self.law = law

    @property
    def results(self) -> list[LawResult]:
        """What the law finds."""
        from roofline.trust.laws import on_cases  # noqa: PLC0415

        return [on_cases(self.law, self.file.cases)]


class FactsTest(_ResultTest):
    """One cross-check of facts on one file."""

    @property
    def results(self) -> list[LawResult]:
        """What the check finds, comparison by comparison."""
        return [result for result in self.file.facts if result.name == self.name]


def _paths(config: pytest.Config) -> list[Path]:
    given: list[str] = config.getoption(_NAME)
    return [(config.invocation_params.dir / path).resolve() for path in given]


def _named(config: pytest.Config, argument: str) -> Path:
    return (config.invocation_params.dir / argument.partition("::")[0]).resolve()
