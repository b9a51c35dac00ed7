# What people and CI call. Everything is installed into .venv, from lock files with hashes.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := .tools
DATA ?=
# What one process compiled, the hundred that the tests start needn't compile again.
unexport PYTHONDONTWRITEBYTECODE
# Tests wait for processes and clocks more than they compute: more of them than processors.
TEST_PROCESSES ?= -n 4 --dist loadfile
DEMO_DATA ?= .demo

.DEFAULT_GOAL := help

.PHONY: help
help: ## List these words
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(STAMP) ## Install everything that the other words need

$(STAMP): requirements-dev.lock gen/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	  || { echo "MiniRAG needs Python 3.11 to 3.13; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  -e gen/python -e .
	@touch $(STAMP)

.PHONY: demo
demo: setup ## Upload this project's documents, and stream a cited answer from them
	$(BIN)/minirag demo --data-dir $(DEMO_DATA)

.PHONY: up
up: setup ## Run a node on this machine until Ctrl-C; DATA=dir chooses where it keeps its data
	$(BIN)/minirag up $(if $(DATA),--data-dir $(DATA))

.PHONY: test
test: setup ## Run the tests; ARGS="-n 0 tests/unit" runs some, in one process
	$(BIN)/python -m pytest $(TEST_PROCESSES) -m "not long" $(ARGS)

.PHONY: long
long: setup ## Run the long tests: crashes, the short fuzz and benchmark runs, and the like
	$(BIN)/python -m pytest $(TEST_PROCESSES) -m long $(ARGS)

.PHONY: lint
lint: setup ## Check style, types, import floors, the contract, and that generated code is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	scripts/breaking.sh
	scripts/gen.sh --check

.PHONY: format
format: setup ## Format code and contract
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format --write

.PHONY: gen
gen: setup ## Generate gen/ from protos/
	scripts/gen.sh

.PHONY: lock
lock: setup ## Resolve the lock files anew
	scripts/lock.sh

.PHONY: isolation
isolation: setup ## Play every RPC, id and caller against another tenant's, and every mutant
	$(BIN)/python -m tests.isolation $(ARGS)

.PHONY: bench
bench: setup ## Measure against baselines in the same run; ROUNDS=5 SECONDS=2 ARGS=--quick change it
	$(BIN)/python -m benchmarks $(if $(ROUNDS),--rounds $(ROUNDS)) \
	  $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

.PHONY: noisy
noisy: setup ## Measure what a tenant at ten times its limit costs another; ROUNDS=10 SECONDS=5
	$(BIN)/python -m benchmarks.noisy $(if $(ROUNDS),--rounds $(ROUNDS)) \
	  $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

.PHONY: fairness
fairness: setup ## Measure what a tenant's bulk load costs another's single document; DOCUMENTS=5000
	$(BIN)/python -m benchmarks.fairness $(if $(DOCUMENTS),--documents $(DOCUMENTS)) $(ARGS)

.PHONY: fuzz
fuzz: setup ## Call a node of its own with requests that nobody would write; CALLS=100000 SEED=1
	$(BIN)/python -m tests.fuzz $(if $(CALLS),--calls $(CALLS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: chaos
chaos: setup ## Kill, stop and flush a deployment at random, and count what was lost; DEATHS=1000 SEED=1
	$(BIN)/python -m tests.chaos $(if $(DEATHS),--deaths $(DEATHS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: large
large: setup ## Send one text through a server and a worker, and measure their memory; MEBIBYTES=1024
	$(BIN)/python -m tests.large $(if $(MEBIBYTES),--mebibytes $(MEBIBYTES)) $(ARGS)

.PHONY: hostile
hostile: setup ## Have a node of its own read 200 hostile files; SEED=1 repeats a run
	$(BIN)/python -m tests.hostile $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: clean
clean: ## Remove what the other words made, the demo's data included
	rm -rf $(VENV) $(TOOLS) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
