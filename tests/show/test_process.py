"""`roofline` as a process of its own: from another directory, into a pipe that closes, in a poor encoding."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "roofline.show.cli"]
SHELL_COMMAND = Path(sys.executable).with_name("roofline")


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`roofline` in a fresh process."""
    given = {**os.environ, **environment}
    return subprocess.run([*COMMAND, *arguments], cwd=cwd, env=given, capture_output=True, timeout=60, check=False)


def test_the_demo_runs_anywhere_without_colour_in_a_pipe(tmp_path: Path) -> None:
    done = run(cwd=tmp_path)
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert not list(tmp_path.iterdir())


def test_the_installed_command_tells_its_version(tmp_path: Path) -> None:
    done = subprocess.run([SHELL_COMMAND, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("roofline ")


def test_a_poor_encoding_is_tolerated(tmp_path: Path) -> None:
    done = run("compare", "llama-3.1-8b", "--on", "h100-sxm:1", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"1 ? h100-sxm" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["hardware"], ["hardware", "--format", "json"]])
def test_a_closed_pipe_is_quiet(tmp_path: Path, arguments: list[str]) -> None:
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_an_interruption_leaves_no_traceback(tmp_path: Path) -> None:
    """Also where it is ignored, as jobs in the background inherit it."""
    program = (
        "import os, signal, sys, threading, time\n"
        "from roofline.show import cli, questions\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def slow(form):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(10)\n"
        "questions.demonstrated = slow\n"
        "raise SystemExit(cli.main([]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode == 128 + signal.SIGINT
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_help_and_complaints_load_little() -> None:
    program = (
        "import sys\n"
        "from roofline.show.cli import main\n"
        "assert main(['--help']) == 0\n"
        "assert main(['nope']) == 2\n"
        "heavy = {'rich', 'numpy', 'sympy', 'hypothesis', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rows_for_programs_load_no_rich() -> None:
    program = (
        "import sys\n"
        "from roofline.show.cli import main\n"
        "assert main(['compare', 'llama-3.1-8b', '--on', 'h100-sxm:1', '--format', 'csv']) == 0\n"
        "assert not {'rich', 'sympy', 'hypothesis'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
