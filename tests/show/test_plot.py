"""`roofline plot`: pictures are written, hold what the library says, and need an extra that is named where it lacks."""

import re
import sys
from pathlib import Path

import pytest

import roofline as rl
from roofline.show.plot_questions import KINDS
from roofline.show.plots import RESOURCES, Bar, Roof, picture
from tests.show.support import Terminal

MODEL, GPU, LPU = "llama-3.1-8b", "h100-sxm:1", "groq-lpu-v1:128,quantization=int8"
PLOT = (MODEL, "--on", GPU, "--on", LPU, "--batch", "1,8")


def needs_matplotlib() -> None:
    pytest.importorskip("matplotlib")


def words_of(path: Path) -> list[str]:
    """The texts of an SVG."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_a_picture_names_its_pools_and_its_axes(terminal: Terminal, tmp_path: Path, kind: str, phase: str) -> None:
    needs_matplotlib()
    path = tmp_path / "picture.svg"
    run = terminal.run("plot", kind, *PLOT, "--phase", phase, "-o", str(path))
    assert (run.status, run.err, run.out) == (0, "", f"written: {path}\n")
    words = words_of(path)
    # The LPUs' layout is open: each bar has its own, and in decode a line of steps goes through two.
    lpus = {"breakdown": ", tp", "roofline": ", 2 layouts" if phase == "decode" else ", tp", "pareto": ""}[kind]
    pools = ("1 × h100-sxm" if kind == "pareto" else "1 × h100-sxm, tp1", f"128 × groq-lpu-v1{lpus}")
    assert all(any(word.startswith(pool) for word in words) for pool in pools)
    where = "context 4,096" if phase == "decode" else "prompts of 4,096 tokens"
    assert f"{MODEL}, {phase}, batch 1 or 8, {where}" in words
    units = {"roofline": ("FLOP/B",), "pareto": ("per user [1/s]", "per device [1/s]"), "breakdown": ("s]",)}[kind]
    assert all(any(unit in word for word in words) for unit in units)
    again = tmp_path / "again.svg"
    terminal.run("plot", kind, *PLOT, "--phase", phase, "-o", str(again))
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_suffix_says_the_kind_of_file(terminal: Terminal, tmp_path: Path, suffix: str, start: bytes) -> None:
    needs_matplotlib()
    path = tmp_path / f"picture{suffix}"
    assert terminal.run("plot", "breakdown", *PLOT, "-o", str(path)).status == 0
    assert path.read_bytes().startswith(start)


def test_a_breakdown_says_the_seconds_of_each_step(terminal: Terminal, tmp_path: Path) -> None:
    needs_matplotlib()
    path = tmp_path / "picture.svg"
    terminal.run("plot", "breakdown", MODEL, "--on", GPU, "--batch", "1,8,100000", "-o", str(path))
    words = words_of(path)
    deployment = rl.Deployment(MODEL, "h100-sxm", 1)
    assert "1 × h100-sxm, tp1" in words
    for batch in (1, 8):
        assert f"batch {batch}" in words
        assert any(word == f"{deployment.decode(batch, 4096).seconds * 1e3:.2f} ms" for word in words)
    assert "does not fit" in words
    assert {"memory", "overhead", "floor"} <= set(words)


@pytest.mark.parametrize(
    ("batch", "context", "numbers", "legend", "title"),
    [
        ("64", "4096", [], "marks: steps", "batch 64, context 4,096"),
        ("64", "1024,4096", ["1,024", "4,096"], "numbers: tokens", "batch 64, context 1,024 or 4,096"),
        ("2:32:x4", "4096", ["2", "32"], "numbers: batch", "batch 2, 8 or 32, context 4,096"),
        ("2:64:x2", "4096", ["2", "64"], "numbers: batch", "batch 2 to 64, context 4,096"),
        (
            "1,64",
            "1024,4096",
            ["64 at 1,024", "64 at 4,096"],
            "numbers: largest batch at context",
            "batch 1 or 64, context",
        ),
    ],
)
def test_marks_of_a_roofline_are_called_by_what_varies(
    terminal: Terminal, tmp_path: Path, batch: str, context: str, numbers: list[str], legend: str, title: str
) -> None:
    needs_matplotlib()
    path = tmp_path / "picture.svg"
    terminal.run("plot", "roofline", MODEL, "--on", GPU, "--batch", batch, "--context", context, "-o", str(path))
    words = words_of(path)
    assert any(title in word for word in words)
    assert any(word.endswith(legend) for word in words)
    beside = [word for word in words if re.fullmatch(r"[\d,]+( at [\d,]+)?", word)]
    assert [word for word in beside if " at " in word or word in numbers] == numbers
    assert "4,096" in numbers or "4,096" not in beside


def test_a_part_on_which_nothing_fits_says_so_beneath_its_roof(terminal: Terminal, tmp_path: Path) -> None:
    needs_matplotlib()
    path = tmp_path / "picture.svg"
    terminal.run("plot", "roofline", "llama-3.1-70b", "--on", "h100-sxm:8", "--on", "l4:1", "-o", str(path))
    assert "1 × l4, does not fit" in words_of(path)


def test_steps_stay_beneath_their_roof(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    drawn: list[Roof] = []
    monkeypatch.setattr("roofline.show.plot_questions.picture", lambda _path, _title, roofs, _unit: drawn.extend(roofs))
    for phase, context in (("decode", "4096"), ("prefill", "128:8192:x4")):
        assert (
            terminal.run("plot", "roofline", *PLOT, "--phase", phase, "--context", context, "-o", "x.svg").status == 0
        )
    assert len(drawn) == 4
    for roof in drawn:
        assert roof.series
        for _, intensity, rate in (point for points in roof.series for point in points):
            assert 0 < rate <= min(roof.peak, roof.bandwidth * intensity)


def test_every_resource_has_a_fill() -> None:
    assert set(RESOURCES) == set(rl.Deployment(MODEL, "h100-sxm", 1).decode(1, 128).attributed)


def test_nothing_to_draw_is_a_no(terminal: Terminal, tmp_path: Path) -> None:
    for kind in KINDS:
        path = tmp_path / f"{kind}.svg"
        run = terminal.run("plot", kind, "llama-3.1-405b", "--on", "l4:1", "-o", str(path))
        assert (run.status, run.err) == (1, "")
        assert "no point fits" in run.out
        assert not path.exists()


def test_without_matplotlib_the_extra_is_named(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run = terminal.run("plot", "breakdown", *PLOT, "-o", str(tmp_path / "picture.svg"))
    assert (run.status, run.out) == (2, "")
    assert run.err == "roofline: plot needs matplotlib, which is not installed: pip install matplotlib\n"
    assert not list(tmp_path.iterdir())


def test_one_short_bar_is_a_picture_too(tmp_path: Path) -> None:
    needs_matplotlib()
    bar = Bar("batch 1", "1 × chip", dict.fromkeys(RESOURCES, 1e-5), 1e-6)
    picture(str(tmp_path / "bar.svg"), "title", [bar], "time")
    assert "time [µs]" in words_of(tmp_path / "bar.svg")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pie", *PLOT, "-o", "x.svg"), "KIND: got 'pie', expected one of roofline, pareto, breakdown"),
        (("parto", *PLOT, "-o", "x.svg"), "nearest: pareto"),
        (("pareto", *PLOT), "plot: got nothing, expected -o FILE"),
        (("pareto", *PLOT, "-o", "x.gif"), "nearest: x.gif.svg"),
        (("pareto", *PLOT, "-o", ""), "-o"),
        (("pareto", *PLOT, "-o", "/nowhere/x.svg"), "/nowhere/x.svg"),
        (("pareto", *PLOT, "-o", "x.svg", "--batch", "8:1:x2"), "START at most STOP; nearest: 1:8:x2"),
        (("pareto", *PLOT, "-o", "x.svg", "--phase", "decod"), "nearest: decode"),
        (("pareto", "lama", "--on", GPU, "-o", "x.svg"), "nearest"),
        (("pareto", MODEL, "--on", "h100:1", "-o", "x.svg"), "nearest"),
        (("breakdown", MODEL, "--on", "h100-sxm:8,tp=7", "-o", "x.svg"), "nearest: 8"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    terminal: Terminal, arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needs_matplotlib()
    monkeypatch.chdir(tmp_path)
    run = terminal.run("plot", *arguments)
    assert (run.status, run.out) == (2, "")
    assert run.err.count("\n") == 1
    assert "mistake of ours" not in run.err
    assert words in run.err
    assert not list(tmp_path.iterdir())
