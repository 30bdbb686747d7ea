"""`python -m benchmarks`: how fast estimates are, as ratios within one run, for machines are noisy. Asserts nothing."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

import roofline as rl

POINTS = 1_000_000


def best(function: Callable[[], object], repeats: int) -> float:
    """The fewest seconds of several runs: the run that the machine disturbed least."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def peak_memory(function: Callable[[], object]) -> int:
    """The most bytes allocated at once while a function runs, results included."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def fresh_import(code: str) -> float:
    """Seconds of a fresh interpreter that runs some imports, beyond those of an empty one."""

    def run(text: str) -> float:
        return best(lambda: subprocess.run([sys.executable, "-c", text], check=True), 9)

    return run(code) - run("pass")


def main() -> None:
    """Measure and print."""
    deployment = rl.Deployment("llama-3.1-70b", "h100-sxm", devices=8, tp=8, quantization="fp8")
    stages = rl.Deployment("llama-3.1-70b", "groq-lpu-v1", devices=576, tp=8, pp=72, quantization="int8")
    cut = stages.with_slice(64)
    random = np.random.default_rng(0)
    floats = random.random(POINTS)
    batch = random.integers(1, 257, POINTS)
    context = random.integers(1, 8193, POINTS)
    side = round(POINTS**0.5)
    grid_batch, grid_context = np.arange(1, side + 1)[:, None], np.linspace(1, 8192, side)[None, :]

    deployment.decode(32, 4096).seconds  # noqa: B018  compiled plans and fitted figures are loaded once
    table = Table(title="roofline benchmarks", caption="best of several runs; ratios hold within one run")
    for heading in ("what", "measured", "ratio"):
        table.add_column(heading, justify="left" if heading == "what" else "right")

    exp = best(lambda: np.exp(floats), 20)
    table.add_row(f"numpy.exp of {POINTS:,} floats", f"{exp * 1e3:.2f} ms", "1 exp pass")
    scalar = best(lambda: [deployment.decode(32, 4096).seconds for _ in range(100)], 10) / 100
    table.add_row("one scalar decode estimate", f"{scalar * 1e6:.0f} µs", "")
    cases = (
        (f"decode, {POINTS:,} points", lambda: deployment.decode(batch, context).seconds),
        (f"decode, open grid {side:,} × {side:,}", lambda: deployment.decode(grid_batch, grid_context).seconds),
        (f"prefill, {POINTS:,} points", lambda: deployment.prefill(context, batch).seconds),
        ("prefill, 72 stages, slices of 64", lambda: cut.prefill(context, batch).seconds),
        ("prefill, 72 stages, fastest slices", lambda: stages.prefill(context, batch).seconds),
    )
    for name, case in cases:
        seconds = best(case, 3)
        table.add_row(name, f"{POINTS / seconds / 1e6:.1f} M points/s", f"{seconds / exp:.0f} exp passes")
        table.add_row("  peak memory", f"{peak_memory(case) / 1e6:.0f} MB", f"{peak_memory(case) / POINTS:.0f} B/point")
    base = fresh_import("import numpy, pydantic")
    table.add_row("import numpy, pydantic", f"{base * 1e3:.0f} ms", "1")
    light = fresh_import("import roofline")
    table.add_row("import roofline", f"{light * 1e3:.0f} ms", f"{light / base:.2f}")
    used = fresh_import("import roofline; roofline.Deployment")
    table.add_row("import roofline, and use it", f"{used * 1e3:.0f} ms", f"{used / base:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
