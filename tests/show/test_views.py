"""Hardware, models and explanations: everything in the catalogue prints, fits and agrees with the library."""

import json

import pytest

import roofline as rl
from roofline.describe.catalog import source_of
from roofline.show.hardware_view import part_row
from roofline.show.layers import layer_name, mixers, pattern
from roofline.show.model_view import model_details, model_list, model_row, model_rows
from roofline.show.part_view import number_rows, part_details, side_by_side
from roofline.show.rows import KEYS
from tests.show.support import Terminal


def test_the_list_of_parts_cites_what_it_prints(terminal: Terminal) -> None:
    rows = json.loads(terminal.run("hardware", "--format", "json").out)
    assert sorted(row["accelerator"] for row in rows) == rl.accelerators()
    for row in rows:
        part = rl.accelerator(row["accelerator"])
        assert (row["name"], row["kind"], row["year"]) == (part.name, part.kind, part.year)
        for path in ("memory.capacity", "memory.bandwidth", "peak.fp8", "link.bandwidth", "power"):
            if row[path] is not None:
                assert row[path] == part.cite(path).value
        assert (row["price"] is None) == (part.price is None)
    assert rows == sorted(rows, key=lambda row: (row["vendor"].lower(), row["year"], row["accelerator"]))


@pytest.mark.parametrize("width", [80, 140])
def test_the_list_of_parts_fits(terminal: Terminal, width: int) -> None:
    run = terminal.run("hardware", width=width)
    assert run.status == 0
    assert max(map(len, run.lines)) <= width
    assert {line.split("  ")[0] for line in run.lines} >= set(rl.accelerators())


@pytest.mark.parametrize("name", rl.accelerators())
def test_every_part_shows_every_number_with_its_source(name: str) -> None:
    part, rows = rl.accelerator(name), number_rows(name)
    cited = [row for row in rows if row["kind"] != "derived" or row["confidence"] is not None]
    assert [row["field"] for row in cited] == part.cited_fields()
    for row in cited:
        number = part.cite(row["field"])
        source = source_of(number)
        assert source is not None
        assert (row["value"], row["as_printed"], row["reading"]) == (number.value, number.as_printed, number.reading)
        assert (row["source"], row["confidence"]) == (source.title, number.confidence)
    computed = {row["field"]: row["value"] for row in rows if row not in cited}
    bandwidth = part.cite("memory.bandwidth").value
    assert computed.pop("sweep_time") == part.cite("memory.capacity").value / bandwidth
    assert computed == {f"ridge_point.{name}": peak.value / bandwidth for name, peak in part.peak.items()}
    for width in (80, 140):
        lines = [line.plain for line in part_details(name, rows, width)]
        assert max(map(len, lines)) <= max(width, *(len(line) for line in lines if "://" in line))


def test_parts_side_by_side_match_their_tiers() -> None:
    names = ("h100-sxm", "groq-lpu-v1", "mi300x")
    rows = [row for name in names for row in number_rows(name)]
    lines = [line.plain for line in side_by_side(names, rows, 80)]
    assert lines[0].split() == list(names)
    assert max(map(len, lines)) <= 80
    bandwidth = next(line for line in lines if line.startswith("bandwidth"))
    assert all(rl.accelerator(name).cite("memory.bandwidth").text in bandwidth for name in names)


def test_the_list_of_models_counts_as_the_library_does(terminal: Terminal) -> None:
    rows = model_rows()
    assert sorted(row["name"] for row in rows) == rl.models()
    for row in rows:
        counts = rl.model(row["name"]).parameters()
        assert (row["total"], row["active"], row["attention"]) == (counts.total, counts.active, counts.attention)
    for width in (80, 140):
        assert max(len(line.plain) for line in model_list(rows, width)) <= width
    assert json.loads(terminal.run("model", "--format", "json").out) == rows


@pytest.mark.parametrize("name", rl.models())
def test_every_model_prints(name: str) -> None:
    model, row = rl.model(name), model_row(name)
    assert row["cache_bytes_8192"] == model.cache_bytes(8192)
    assert max(len(line.plain) for line in model_details([row], 80)) <= 80
    assert max(len(line.plain) for line in model_details([row, model_row("llama-3.1-8b")], 120)) <= 120


def test_patterns_fold_what_repeats() -> None:
    assert mixers(rl.model("llama-3.1-70b")) == "GQA 64/8"
    assert pattern(rl.model("llama-3.1-70b")) == "80 × (GQA 64/8 + dense 28,672)"
    deepseek = pattern(rl.model("deepseek-v3"))
    assert deepseek.startswith("3 × (MLA 128 + dense 18,432), 58 × (MLA 128 + 8 of 256 experts 2,048 + shared 2,048)")
    assert mixers(rl.model("gpt-oss-120b")) == "18 × GQA 64/8 window 128, 18 × GQA 64/8"
    assert pattern(rl.model("gpt-oss-120b")).startswith("18 × (GQA 64/8 window 128 + 4 of 128 experts 2,880, ")
    assert layer_name(rl.model("llama-2-7b").layers[0]) == "MHA 32 + dense 11,008"


@pytest.mark.parametrize("phase", ["decode", "prefill"])
@pytest.mark.parametrize(
    ("model", "pool"),
    [
        ("llama-3.1-70b", "h100-sxm:8"),
        ("llama-3.1-70b", "groq-lpu-v1:576,tp=8,pp=72,quantization=int8"),
        ("llama-3.1-8b", "l4:1"),
        ("deepseek-r1", "b200-sxm:18"),
        ("gpt-oss-120b", "mi300x:7"),
    ],
)
def test_an_explanation_adds_up_and_fits(terminal: Terminal, model: str, pool: str, phase: str) -> None:
    command = ("explain", model, "--on", pool, "--batch", "4", "--context", "2048", "--phase", phase)
    run = terminal.run(*command)
    assert (run.status, run.err) == (0, "")
    assert max(map(len, run.lines)) <= 80
    assert {"Assumed", "Sources"} <= set(run.lines)
    (whole,) = json.loads(terminal.run(*command, "--format", "json").out)
    rows, owed = whole["terms"], whole["attributed"]
    seconds = whole["seconds"]
    assert sum(row["total"] for row in rows) == pytest.approx(seconds, rel=1e-9)
    assert sum(owed.values()) == pytest.approx(seconds, rel=1e-9)
    assert whole["bound"] == max(owed, key=lambda name: owed[name])
    table = [line for line in run.lines if line.split(" ")[0] in {row["term"] for row in rows}]
    assert [line.split()[0] for line in table] == [row["term"] for row in rows]
    assert [row["total"] for row in rows] == sorted((row["total"] for row in rows), reverse=True)
    header = next(line for line in run.lines if line.startswith("term "))
    last = next(line for line in run.lines if line.startswith("owed to"))
    unit = 1e3 if "in ms" in run.out else 1e6
    assert float(last[: header.index("total") + 5].split()[-1].replace(",", "")) == pytest.approx(
        seconds * unit, rel=1e-2
    )


def test_explain_agrees_with_the_library(terminal: Terminal) -> None:
    command = ("explain", "llama-3.1-8b", "--on", "h100-sxm:2,tp=2,pp=1,dp=1,ep=1,quantization=fp8", "--batch", "8")
    (whole,) = json.loads(terminal.run(*command, "--format", "json").out)
    deployment = rl.Deployment("llama-3.1-8b", "h100-sxm", 2, tp=2, pp=1, dp=1, ep=1, quantization="fp8")
    step = deployment.decode(8, 4096)
    assert {row["term"]: (row["total"], row["bound"]) for row in whole["terms"]} == {
        name: (times.total, times.bound) for name, times in step.terms.items()
    }
    assert whole["attributed"] == step.attributed
    compared = ("compare", *command[1:4], "--batch", "8", "--isl", "4096", "--osl", "1", "--format", "json")
    row = json.loads(terminal.run(*compared).out)[1]
    assert {key: whole[key] for key in KEYS} == row
    assert list(whole) == [*KEYS, "attributed", "terms"]


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_an_explanation_for_programs_has_the_layout_that_was_chosen(terminal: Terminal, phase: str) -> None:
    """On these devices the fastest for one prompt is another than for one token."""
    asked = ("explain", "llama-3.1-70b", "--on", "groq-3-lpu:256", "--quantization", "fp8", "--phase", phase)
    (whole,) = json.loads(terminal.run(*asked, "--format", "json").out)
    deployment = rl.Deployment("llama-3.1-70b", "groq-3-lpu", 256, quantization="fp8")
    step = deployment.decode(1, 4096) if phase == "decode" else deployment.prefill(4096)
    assert (whole["layout"], whole["seconds"]) == (str(step.layout), step.seconds)
    assert whole["idle_devices"] == 256 - whole["replicas"] * step.layout.devices
    assert set(whole["assumptions"]) >= set(step.assumptions)


@pytest.mark.parametrize("form", ["csv", "markdown"])
def test_rows_of_an_explanation_are_terms_alone(terminal: Terminal, form: str) -> None:
    """So that their totals sum to the seconds."""
    asked = ("explain", "llama-3.1-8b", "--on", "h100-sxm:2,quantization=fp8", "--batch", "8", "--format")
    (whole,) = json.loads(terminal.run(*asked, "json").out)
    lines = [line.strip("|").replace(" | ", ",") for line in terminal.run(*asked, form).lines]
    header, *rows = [[cell.strip() for cell in line.split(",")] for line in lines if "---" not in line]
    place = header.index("total")
    assert [row[0] for row in rows] == [term["term"] for term in whole["terms"]]
    assert sum(float(row[place]) for row in rows) == pytest.approx(whole["seconds"], rel=1e-12)


def test_crossovers_agree_with_the_library(terminal: Terminal) -> None:
    pool = "h100-sxm:2,tp=2,pp=1,dp=1,ep=1,quantization=fp8"
    command = ("explain", "llama-3.1-8b", "--on", pool, "--batch", "8", "--context", "2048", "--crossovers")
    rows = json.loads(terminal.run(*command, "--format", "json").out)
    deployment = rl.Deployment("llama-3.1-8b", "h100-sxm", 2, tp=2, pp=1, dp=1, ep=1, quantization="fp8")
    found = rl.crossovers(deployment.decode, batch=8, context=2048)
    said = [(row["of"], row["a"], row["b"], row["value"], row["longer"], row["holds_when"]) for row in rows]
    assert said == [(each.of, each.a, each.b, each.value, each.longer, each.holds_when) for each in found]
    table = terminal.run(*command).out
    assert "Over batch, at context 2,048" in table
    assert "always takes longer than" in table


def test_a_row_of_a_part_has_every_key() -> None:
    assert len({tuple(part_row(name)) for name in rl.accelerators()}) == 1


@pytest.mark.parametrize("width", [80, 140])
def test_three_layouts_are_shown_and_written(terminal: Terminal, width: int) -> None:
    asked = ("explain", "llama-3.1-8b", "--on", "groq-3-lpu:64,quantization=fp8", "--layouts", "--context", "1024")
    run = terminal.run(*asked, width=width)
    assert (run.status, run.err) == (0, "")
    assert max(map(len, run.lines)) <= width
    for words in ("least latency", "most tokens", "fewest devices"):
        assert any(line.startswith(words) for line in run.lines)
    rows = json.loads(terminal.run(*asked, "--format", "json").out)
    assert [row["aim"] for row in rows] == ["latency", "throughput", "capacity"]
    assert rows[2]["devices"] <= rows[0]["devices"]


def test_a_pool_may_spill(terminal: Terminal) -> None:
    asked = ("explain", "llama-3.1-70b", "--on")
    assert "bound by spill" in terminal.run(*asked, "sambanova-sn40l:1,spill=ddr").out
    assert terminal.run(*asked, "sambanova-sn40l:1").status == 1
    wrong = terminal.run(*asked, "sambanova-sn40l:1,spill=sram")
    assert (wrong.status, wrong.out) == (2, "")
    assert "hbm, ddr" in wrong.err
