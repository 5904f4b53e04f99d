# What a checkout can do. `make run` needs Python 3.11 or newer, make, and a package registry.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
CASES ?= 5000
BUILDS ?= 100
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PARITY := .venv-parity
READY := pyproject.toml constraints.txt recipes/set_up.py recipes/fetch_htmx.py

.PHONY: run test quick lint parity fuzz bench screenshots clean

run: $(VENV)/.ready  ## set up, index the demo, serve it
	@$(BIN)/featurescope demo --host $(HOST) --port $(PORT)

test: $(VENV)/.ready-tests  ## every test, by as many workers as there are processors, and no more than WORKERS=2
	@$(BIN)/python -m pytest -n logical --maxprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

quick: $(VENV)/.ready-tests  ## the tests of a minute, on SQLite alone
	@$(BIN)/python -m pytest -q -m "not slow and not browser" -k "not postgresql"

lint: $(VENV)/.ready-tests  ## style, types, and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml

parity: $(PARITY)/.ready  ## the same numbers as the libraries that SAEs come from, in an environment of their own
	@$(PARITY)/bin/python -m pytest -q --confcutdir tests/parity tests/parity

fuzz: $(VENV)/.ready-fuzz  ## random builds against plain loops (BUILDS=100); made-up calls of the API (CASES=5000)
	@BUILDS=$(BUILDS) $(BIN)/python -m pytest -q tests/index/test_random_builds.py
	@$(BIN)/python -m tests.fuzz --cases $(CASES)

bench: $(VENV)/.ready-tests  ## measurements, each a ratio within one run
	@$(BIN)/python -m bench.index
	@$(BIN)/python -m bench.pages

screenshots: $(VENV)/.ready-tests  ## the pages, in both widths and both schemes
	@$(BIN)/python recipes/screenshots.py $(ARGS)

clean:  ## what was installed and built; the database stays
	rm -rf $(VENV) $(PARITY) build dist static/vendor screenshots .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/.ready: $(READY)
	@$(PYTHON) recipes/set_up.py $(VENV)
	@touch $@

$(VENV)/.ready-tests: $(READY)
	@$(PYTHON) recipes/set_up.py $(VENV) --extras test,lint
	@touch $@ $(VENV)/.ready

$(PARITY)/.ready: constraints.txt recipes/set_up_parity.py $(wildcard tests/parity/*.txt)
	@$(PYTHON) recipes/set_up_parity.py $(PARITY)
	@touch $@

$(VENV)/.ready-fuzz: $(VENV)/.ready-tests
	@$(PYTHON) recipes/set_up.py $(VENV) --extras fuzz
	@touch $@
