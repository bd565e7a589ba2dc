# Everything a developer does, by name. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.9
# What the benchmark compares with has dependencies that Wattline must not have.
BENCH_VENV := .venv-bench
# Which tests, and pytest's other arguments: make test TESTS="tests/unit -k window"
TESTS ?=
# How they are shared among workers; none: make test WORKERS=
WORKERS ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status logs clean test lint format bench requirements

help: ## list these commands
	@grep -E '^[a-z ]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 34

setup: $(VENV)/ready ## install what is missing: system packages, virtual environment

$(VENV)/ready: requirements.txt requirements-dev.txt pyproject.toml scripts/bootstrap.sh Makefile
	PYTHON=$(PYTHON) scripts/bootstrap.sh
	test -x $(UV) || ($(PYTHON) -m venv $(VENV) && $(BIN)/pip install -q uv==$(UV_VERSION))
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install -q -r requirements.txt -r requirements-dev.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install -q --no-deps -e .
	touch $@

demo: setup ## start everything, run two simulated days through the pipelines, show what came of it
	@$(BIN)/python -m local demo

up down status logs clean: setup ## the local stack
	@$(BIN)/python -m local $@

test: setup lint ## lint, types, and every test
	$(BIN)/python -m pytest $(WORKERS) $(TESTS)

lint: setup ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: setup ## put the code into the house's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

$(BENCH_VENV)/ready: requirements-bench.txt Makefile | $(VENV)/ready
	$(UV) venv -q --clear --python $(BIN)/python $(BENCH_VENV)
	VIRTUAL_ENV=$(CURDIR)/$(BENCH_VENV) $(UV) pip install -q -r requirements-bench.txt
	touch $@

bench: setup $(BENCH_VENV)/ready ## seconds, rows/s and memory of one tick, for growing fleets
	$(BIN)/python -m tests.bench

requirements: setup ## pin requirements*.txt anew from requirements*.in
	$(UV) pip compile -q --universal --python-version 3.11 --no-header requirements.in -o requirements.txt
	$(UV) pip compile -q --universal --python-version 3.11 --no-header requirements-dev.in -o requirements-dev.txt
	$(UV) pip compile -q --universal --python-version 3.11 --no-header requirements-bench.in -o requirements-bench.txt
