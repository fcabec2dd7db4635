# The only spellings: make quickstart, make test, make lint, make types. VENV and STORE may be given. `make faults`
# takes FAULT_KILLS, FAULT_SEED and FAULT_SECONDS from the environment or the command line.
VENV ?= .venv
STORE ?= runs
PYTHON ?= python3
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# As many tests at once; 0: all in one process. Those on SLURM are one after the other, and so are those on Ray.
PYTEST_WORKERS ?= 2

.PHONY: quickstart test lint types bench faults schema clean

quickstart: $(BIN)/.installed
	$(BIN)/tausweep run quickstart --store $(STORE)
	$(BIN)/tausweep resolve quickstart --store $(STORE)
	@echo
	@echo "Figures of the quickstart sweep:"
	@$(BIN)/tausweep figures quickstart --store $(STORE)
	@echo
	@echo "The report, to be opened in a browser:"
	@$(BIN)/tausweep report quickstart --store $(STORE) --out $(STORE)/figures/quickstart/report.html

test: $(BIN)/.installed-dev
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) $(PYTEST_ARGS)

lint: $(BIN)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(BIN)/.installed-dev
	$(BIN)/mypy

bench: $(BIN)/.installed-bench
	for script in tests/benchmarks/bench_*.py; do $(BIN)/python -m tests.benchmarks.$$(basename $$script .py) || exit 1; done

faults: $(BIN)/.installed-dev
	$(BIN)/python -m tests.faults

schema: $(BIN)/.installed-dev
	$(BIN)/python -c 'import json; from tausweep import FitResult; print(json.dumps(FitResult.model_json_schema(), indent=1, ensure_ascii=False))' > docs/fit-result.schema.json

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(BIN)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(BIN)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(BIN)/.installed

$(BIN)/.installed-bench: $(BIN)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@
