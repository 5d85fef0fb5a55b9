# `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install dev demo train evaluate bench test unit faults check scan format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## make the environment that runs Ouzel
dev: $(VENV)/.developed ## make it with the tools for tests and checks

$(VENV)/.installed: pyproject.toml constraints.txt deploy/carried.txt
	@echo "Installing Ouzel into $(VENV) (PyTorch included; a minute or more the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[demo]"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r deploy/carried.txt
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: install ## replay real film ratings through the whole path, live (ARGS="--seconds 90 --json FILE")
	@$(BIN)/ouzel demo $(ARGS)

train: install ## train the adapter that comes along again (ARGS="--out FOLDER")
	@$(BIN)/ouzel train --finish $(ARGS)

evaluate: install ## measure the lists offline, beside the baselines (ARGS="--json FILE")
	@$(BIN)/ouzel evaluate $(ARGS)

bench: install ## fold the same events in Ouzel, Faust, Quix Streams and Bytewax (ARGS="--json FILE --rounds 3")
	@$(BIN)/python -m tests.benchmarks.fold $(ARGS)

test: dev ## run every test (real brokers and a real tritonserver where found)
	@$(BIN)/ouzel triton build
	@$(BIN)/pytest $(ARGS)

unit: dev ## run the tests that need no service
	@$(BIN)/pytest -n auto -m "not kafka and not triton and not browser and not slow" $(ARGS)

faults: dev ## break the pipeline on a schedule and compare (ARGS="--faults 100 --json FILE")
	@$(BIN)/python -m tests.faults $(ARGS)

check: dev ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

scan: dev ## look for secrets in the code and known holes in the packages
	@.ci/scan

format: dev ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## remove environments, models and caches
	rm -rf $(VENV) .ouzel .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
