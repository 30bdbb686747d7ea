"""Closed forms: the numbers they stand for, by term and in total, and what may be asked of them."""

import subprocess
import sys
import time
from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import roofline as rl
from roofline.estimate.resolved import Point
from roofline.estimate.timing import step_seconds
from roofline.explore.crossovers import crossover
from roofline.explore.hardware import placed
from roofline.explore.symbolic import as_function, closed_form, crossing_formula, glossary, in_latex
from roofline.trust.strategies import model_shapes
from roofline.trust.testing import deployments, points
from tests.explore.cases import LAYOUTS, Case, cases, deployment


@cache
def compiled(name: str, efficiency: str, phase: str, hardware: str | None) -> Any:
    return as_function(getattr(deployment(name, efficiency), phase), hardware=hardware)


@given(cases(), st.sampled_from([None, "all"]), st.data())
@settings(max_examples=max(60, settings.default.max_examples // 20))
def test_closed_form_equals_the_numbers(case: Case, hardware: str | None, data: st.DataObject) -> None:
    if case.name == "dense on LPUs":  # a pipeline of 8 stages has the same shape, and less to compile
        hardware = None
    resolved = case.deployment.settled()
    point = {"cached_tokens": 0.0, **case.point} if case.phase == "prefill" else case.point
    meanings = [each for each in glossary(case.method, hardware=hardware) if each.value is not None]
    factors = {each.path: data.draw(st.floats(0.3, 1 if each.unit == "1" else 3)) for each in meanings}
    values = {each.path: each.value * factors[each.path] for each in meanings}
    named = {each.symbol.name: values[each.path] for each in meanings}

    at = case.method(**case.point).point
    changed = placed(resolved, values, resolved.step(at))
    numeric = step_seconds(changed.step(at), changed.machine, changed.rates)
    seconds = compiled(case.name, case.efficiency, case.phase, hardware)(**point, **named)
    assert float(seconds) == pytest.approx(float(numeric), rel=1e-12)


@given(deployments(model_shapes(most_layers=2)), points(), st.sampled_from([None, "all", ()]))
@settings(max_examples=max(8, settings.default.max_examples // 20))
def test_closed_forms_of_any_deployment_are_its_numbers(deployment: rl.Deployment, point: Point, hardware: Any) -> None:
    """Dense or not, whatever it remembers, on either kind of silicon: the whole, and every term of it."""
    if point.phase == "decode":
        method: Any = deployment.decode
        values = {"batch": point.batch, "context": point.context}
    else:
        method = deployment.prefill
        values = {"prompt": point.context, "batch": point.batch, "cached_tokens": point.cached}
    estimate = method(**values)
    settled = deployment.settled()
    if point.phase == "prefill" and settled.slice == "fastest" and settled.layout.pp > 1:
        with pytest.raises(rl.InvalidInput, match="slice: got 'the fastest'"):
            closed_form(method, hardware=hardware)
        return
    own = {each.symbol.name: each.value for each in glossary(method, hardware=hardware) if each.value is not None}
    forms = {"whole": closed_form(method, hardware=hardware), **closed_form(method, terms=True, hardware=hardware)}
    seconds = sympy.lambdify([*own, *values], list(forms.values()), modules="numpy")(*own.values(), *values.values())
    whole = float(estimate.seconds)
    expected = {"whole": whole, **{term: float(times.total) for term, times in estimate.terms.items()}}
    assert dict(zip(forms, map(float, seconds), strict=True)) == pytest.approx(expected, rel=1e-12, abs=1e-13 * whole)


@pytest.mark.parametrize("name", ["dense on GPUs", "mixture", "small model on LPUs"])
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_terms_are_those_of_the_estimate_and_add_up(name: str, phase: str) -> None:
    method = getattr(deployment(name), phase)
    point = {"batch": 3.0, "context": 700.0} if phase == "decode" else {"prompt": 700, "batch": 3, "cached_tokens": 9}
    estimate = method(**point)
    resolved = deployment(name).settled()
    assert estimate.layout == resolved.layout
    forms = closed_form(method, terms=True, hardware=())
    assert forms.keys() == estimate.terms.keys()
    seconds = {term: float(form.subs(point)) for term, form in forms.items()}
    assert seconds == pytest.approx({term: float(times.total) for term, times in estimate.terms.items()}, rel=1e-9)
    assert sum(seconds.values()) == pytest.approx(float(estimate.seconds), rel=1e-12)


def test_symbols_go_by_name() -> None:
    gpu = deployment("dense on GPUs")
    form = closed_form(gpu.decode)
    names = {symbol.name for symbol in form.free_symbols}
    assert {"batch", "context", "memory_bandwidth", "peak_bf16", "link_scale_up_bandwidth"} == names
    values = {each.symbol.name: each.value for each in glossary(gpu.decode) if each.value}
    numbers = {"batch": 32, "context": 4096, **values}
    assert float(form.subs(numbers)) == pytest.approx(gpu.decode(32, 4096).seconds, rel=1e-12)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_symbol_is_documented(name: str) -> None:
    for phase in ("decode", "prefill"):
        method = getattr(deployment(name), phase)
        documented = {each.symbol: each for each in glossary(method, hardware="all")}
        assert closed_form(method, hardware="all").free_symbols <= documented.keys()
        assert all(each.meaning and each.unit and each.latex for each in documented.values())
        assert len({each.latex for each in documented.values()}) == len(documented)
    accelerator = deployment(name).accelerator
    spec = [each for each in glossary(deployment(name).decode) if each.value is not None]
    assert all(accelerator.cite(each.path).value == each.value for each in spec)


def test_which_numbers_stay_symbols() -> None:
    gpu = deployment("dense on GPUs")

    def names(**options: Any) -> set[str]:
        return {symbol.name for symbol in closed_form(gpu.decode, **options).free_symbols}

    assert names(hardware=()) == {"batch", "context"}
    assert names(hardware="memory.hbm.bandwidth") == {"batch", "context", "memory_bandwidth"}
    assert names(hardware=["peak"], context=128) == {"batch", "peak_bf16"}
    assert "kernels_matmul_bf16_compute" in names(hardware="all")
    prefill = closed_form(gpu.prefill, hardware=(), batch=1, cached_tokens=0)
    assert float(prefill.subs({"prompt": 500})) == pytest.approx(gpu.prefill(500).seconds, rel=1e-12)


def test_a_readable_form() -> None:
    ideal = deployment("one GPU", "ideal")
    attention = closed_form(ideal.decode, terms=True)["attention"]
    batch, context, memory, peak = sympy.symbols("batch context memory_bandwidth peak_bf16")
    expected = 32 * sympy.Max(16384 * batch * context / peak, batch * (4096 * context + 20480) / memory)
    assert attention == expected
    assert str(attention) == "32*Max(16384*batch*context/peak_bf16, batch*(4096*context + 20480)/memory_bandwidth)"
    assert in_latex(attention, ideal.decode) == (
        r"32 \cdot \max\left(\frac{16384 \cdot B \cdot S}{F_{\mathrm{bf16}}}, "
        r"\frac{B \cdot \left(4096 \cdot S + 20480\right)}{M}\right)"
    )


def test_fast_enough_to_use() -> None:
    gpu = deployment("dense on GPUs")
    closed_form(gpu.decode)
    start = time.perf_counter()
    closed_form(gpu.decode)
    assert time.perf_counter() - start < 2


def test_crossing_in_closed_form_is_the_crossing_found() -> None:
    gpu = deployment("dense on GPUs")
    formula = crossing_formula(gpu.decode, "compute", "memory", of="batch")
    assert {symbol.name for symbol in formula.value.free_symbols} == {"context", "memory_bandwidth", "peak_bf16"}
    values = {each.symbol.name: each.value for each in glossary(gpu.decode) if each.value}
    for context in (16, 128, 300, 2000, 9000):
        found = crossover(gpu.decode, "compute", "memory", of="batch", context=context).value
        exists = bool(formula.exists.subs({**values, "context": context}))
        assert exists == (found is not None)
        if found is not None:
            assert float(formula.value.subs({**values, "context": context})) == pytest.approx(found, rel=1e-9)
    bandwidth = crossing_formula(gpu.decode, "compute", "memory", of="memory.bandwidth", hardware=["memory"])
    found = crossover(gpu.decode, "compute", "memory", of="memory.bandwidth", batch=64, context=512).value
    assert float(bandwidth.value.subs({"batch": 64, "context": 512})) == pytest.approx(found, rel=1e-9)


def test_compiled_forms_take_arrays() -> None:
    gpu = deployment("dense on GPUs")
    seconds = as_function(gpu.decode)
    batch, context = np.arange(1.0, 9.0), np.array([[64.0], [4096.0]])
    assert seconds(batch=batch, context=context) == pytest.approx(gpu.decode(batch, context).seconds, rel=1e-12)
    with pytest.raises(rl.UnknownName, match="nearest: memory_bandwidth"):
        seconds(batch=1, context=1, memory_bandwith=1)
    with pytest.raises(rl.InvalidInput, match="context: got 'nothing'"):
        seconds(batch=1)


def test_bad_questions_are_refused_in_one_line() -> None:
    gpu = deployment("dense on GPUs")
    with pytest.raises(rl.LayoutError, match=r"tp, pp, dp and ep, or \.laid_out"):
        closed_form(rl.Deployment("llama-3.1-8b", "h100-sxm", devices=4).decode)
    assert closed_form(rl.Deployment("llama-3.1-8b", "h100-sxm", devices=4).laid_out(1, 128).decode) is not None
    with pytest.raises(rl.UnknownName, match=r"nearest: memory\.bandwidth"):
        closed_form(gpu.decode, hardware=["memory.bandwith"])
    with pytest.raises(rl.InvalidInput, match="straight lines"):
        crossing_formula(gpu.decode, "dense_ffn", "attention", of="batch")
    with pytest.raises(rl.InvalidInput, match="phase"):
        closed_form(gpu)
    with pytest.raises(rl.UnknownName, match="argument of decode"):
        closed_form(gpu.decode, prompt=4)


def test_numbers_alone_load_no_sympy() -> None:
    code = (
        "import sys, roofline as rl\n"
        "from roofline.explore import crossovers, sensitivity\n"
        "gpu = rl.Deployment('llama-3.1-8b', 'h100-sxm', tp=1, pp=1)\n"
        "crossovers.crossover(gpu.decode, 'compute', 'memory', of='batch', context=128)\n"
        "sensitivity.sensitivity(gpu.decode, batch=1, context=128)\n"
        "assert 'sympy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
