"""Spec files as tests: one per law and file, and nothing at all without the option."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from roofline.describe.catalog import specs_directory
from roofline.laws import LAWS
from roofline.trust.cross_checks import CROSS_CHECKS

H100 = (specs_directory() / "nvidia" / "h100-sxm.toml").read_text(encoding="utf-8")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    installed = any(entry.value == "roofline.trust.pytest_plugin" for entry in entry_points(group="pytest11"))
    plugin = () if installed else ("-p", "roofline.trust.pytest_plugin")
    command = [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", "-q", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n", encoding="utf-8")
    return tmp_path


def test_one_test_per_file_and_law(folder: Path) -> None:
    (folder / "specs" / "h100.toml").write_text(H100, encoding="utf-8")
    collected = run(folder, "--roofline-specs", "specs", "--collect-only").stdout.splitlines()
    expected = {"reads", *(law.name for law in LAWS), *(check.name for check in CROSS_CHECKS)}
    assert {line.partition("::")[2] for line in collected if "::" in line} == expected
    assert {line.partition("::")[0] for line in collected if "::" in line} == {"specs/h100.toml"}


def test_wrong_files_fail_in_words(folder: Path) -> None:
    twice = H100.replace('bf16 = { value = "989.5 TFLOP/s"', 'bf16 = { value = "1979 TFLOP/s"')
    assert twice != H100, "the spec's text changed"
    (folder / "specs" / "sparse.toml").write_text(twice, encoding="utf-8")
    (folder / "specs" / "unreadable.toml").write_text(H100.replace('kind = "hbm"', 'kind = "gpu"'), encoding="utf-8")
    result = run(folder, "--roofline-specs", "specs", "-k", "sparse_is_twice_dense or reads or terms_sum")
    assert result.returncode == 1
    assert "unreadable.toml" in result.stdout
    assert "expected 'hbm' or 'sram'" in result.stdout
    assert "sparse.toml breaks sparse_is_twice_dense (facts)" in result.stdout
    assert "Traceback" not in result.stdout
    assert "2 failed, 2 passed, 2 skipped" in result.stdout


def test_a_single_law_can_be_named(folder: Path) -> None:
    (folder / "specs" / "h100.toml").write_text(H100, encoding="utf-8")
    result = run(folder, "--roofline-specs", "specs", "specs/h100.toml::the_terms_sum_to_the_time")
    assert "1 passed" in result.stdout


def test_own_tests_run_beside_the_specs_where_they_are_named(folder: Path) -> None:
    (folder / "specs" / "h100.toml").write_text(H100, encoding="utf-8")
    result = run(folder, "--roofline-specs", "specs", "test_own.py", "--collect-only")
    assert "test_own.py::test_own" in result.stdout
    assert "specs/h100.toml::reads" in result.stdout


def test_nothing_happens_without_the_option(folder: Path) -> None:
    (folder / "specs" / "h100.toml").write_text(H100, encoding="utf-8")
    assert "1 passed" in run(folder).stdout
    asked = "import sys, roofline.trust.pytest_plugin; print([m for m in sys.modules if m in ('numpy', 'pydantic')])"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.strip() == "[]"


def test_a_path_that_is_not_there_is_a_usage_error(folder: Path) -> None:
    result = run(folder, "--roofline-specs", "nowhere")
    assert result.returncode == 4
    assert "no such file or directory" in result.stderr
