# What a fresh machine with Python 3.11 or newer needs: `make demo` for the main job, `make test` for the tests.
PYTHON ?= python3
VENV ?= .venv
PROFILE ?= dev
BIN := $(VENV)/bin

.PHONY: demo test lint check bench mutants nightly calibration validation wheel clean

demo: $(VENV)/installed
	@$(BIN)/roofline

test: $(VENV)/installed-dev
	$(BIN)/pytest -q -n auto --dist worksteal --hypothesis-profile=$(PROFILE)

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks

calibration: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.measured.refit

validation: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.measured.refit_runtimes
	$(BIN)/roofline validate benchmarks/measured/serving.csv --plot docs/validation.png --worst 0

# For how many changes of the code a test fails; minutes for the equations, an hour or more for the estimates.
mutants: $(VENV)/installed-mutants
	$(BIN)/python -m tests.support.mutants equations
	$(BIN)/python -m tests.support.mutants estimate --sample 60
	$(BIN)/python -m tests.support.mutants page

nightly:
	$(MAKE) test PROFILE=nightly

wheel: $(VENV)/installed-dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis mutants

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("roofline needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(VENV)/installed-mutants: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mutants]'
	@touch $@
