# `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ARGS ?=
LOCKED = $(wildcard locked/*.txt) deploy/carried.txt
PIP = $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --require-hashes
OURS = $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
PYTORCH = PIP="$(PIP)" PYTHON=$(BIN)/python sh deploy/pytorch.sh
# Tests that need no service and are quick.
UNMARKED = not kafka and not triton and not browser and not slow
MARKED = (kafka or triton or browser or slow)
# Whether PYTHON was named by whoever called make: then an environment of another Python is made again.
NAMED := $(filter-out default file undefined,$(origin PYTHON))

.DEFAULT_GOAL := help
.PHONY: help install dev interpreter demo loop train evaluate bench test unit unit-without-torch coverage faults check scan format docs lock build clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

install: interpreter ## make the environment that runs Ouzel (PYTHON=python3.12)
	@$(MAKE) --no-print-directory $(VENV)/.installed

dev: interpreter ## make it with the tools for tests and checks
	@$(MAKE) --no-print-directory $(VENV)/.developed

interpreter:
	@if [ -z "$(NAMED)" ] && [ -x $(BIN)/python ]; then $(BIN)/python deploy/interpreter.py; \
	elif command -v $(PYTHON) >/dev/null; then $(PYTHON) deploy/interpreter.py $(VENV); \
	else echo "There is no $(PYTHON) here; Ouzel needs Python 3.11 to 3.14, as in: make demo PYTHON=python3.12" >&2; exit 1; fi

$(BIN)/pip:
	@$(PYTHON) -m venv $(VENV)

# Every package is installed by the hashes of its files in locked/ and deploy/carried.txt, and nothing else is fetched: not
# what packages ask for, nor what builds them. CONTRIBUTING.md says how the hashes are renewed.
$(VENV)/.installed: pyproject.toml $(LOCKED) | $(BIN)/pip
	@echo "Installing Ouzel into $(VENV) (with PyTorch: minutes, and up to some GB, the first time)"
	@$(PIP) -r locked/build.txt
	@$(PIP) -r locked/worker.txt -r locked/model.txt
	@$(PYTORCH)
	@$(PIP) --only-binary :all: -r deploy/carried.txt
	@$(OURS)
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	@$(PIP) -r locked/tests.txt -r locked/tools.txt
	@touch $@

$(VENV)/.without-torch: pyproject.toml $(LOCKED) | $(BIN)/pip
	@echo "Installing the worker and the tools for tests into $(VENV), without PyTorch"
	@$(PIP) -r locked/build.txt
	@$(PIP) -r locked/worker.txt -r locked/tests.txt
	@$(PIP) --only-binary :all: -r deploy/carried.txt
	@$(OURS)
	@touch $@

demo: install ## replay real film ratings through the whole path, live (ARGS="--seconds 90 --json FILE")
	@$(BIN)/ouzel demo $(ARGS)

loop: install ## measure what the model is worth on the whole stream, live (ARGS="--json FILE --limit 3000")
	@$(BIN)/ouzel loop $(ARGS)

train: install ## train the adapter that comes along again (ARGS="--out FOLDER")
	@$(BIN)/ouzel train --finish $(ARGS)

evaluate: install ## measure the lists offline, beside the baselines (ARGS="--json FILE")
	@$(BIN)/ouzel evaluate $(ARGS)

bench: install ## fold the same events in Ouzel, Faust, Quix Streams and Bytewax (ARGS="--json FILE --rounds 3")
	@$(BIN)/python -m tests.benchmarks.fold $(ARGS)

test: dev ## run every test (real brokers and a real tritonserver where found)
	@$(BIN)/ouzel triton build
	@$(BIN)/pytest -n auto -m "$(UNMARKED)" $(ARGS) || [ $$? = 5 ] # 5: there is none among those that ARGS names
	@$(BIN)/pytest -n 2 --dist loadgroup -m "$(MARKED) and not alone" $(ARGS) || [ $$? = 5 ]
	@$(BIN)/pytest -m "$(MARKED) and alone" $(ARGS) || [ $$? = 5 ]

unit: dev ## run the tests that need no service
	@$(BIN)/pytest -n auto -m "$(UNMARKED)" $(ARGS)

unit-without-torch: VENV = .venv-without-torch
unit-without-torch: interpreter ## run those that need no PyTorch, in an environment without it (PYTHON=python3.13)
	@$(MAKE) --no-print-directory $(VENV)/.without-torch VENV=$(VENV)
	@OUZEL_WITHOUT_TORCH=1 $(BIN)/pytest -n auto -m "$(UNMARKED)" $(ARGS)

coverage: dev ## measure the coverage of the tests that need no service, and check its floor
	@$(BIN)/pytest -n auto -m "$(UNMARKED)" --cov=schemas --cov=streams --cov=inference --cov=deploy --cov-report=term:skip-covered $(ARGS)

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

docs: dev ## generate docs/reference and the index of docs/adr from the code
	@$(BIN)/python -m deploy.reference

lock: dev ## pin packages and their hashes in locked/ again (ARGS=--upgrade for newer ones)
	@$(BIN)/python .ci/lock.py $(ARGS)

build: dev ## build the wheel into dist/
	@$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

clean: ## remove environments, models and caches
	rm -rf $(VENV) .venv-without-torch .ouzel .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
