# Each target makes its own virtual environment and installs what it needs, so that it works as the first command typed.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
READY_FUZZ := $(VENV)/.ready-fuzz

.PHONY: demo test check docs reference bench fuzz soak hil clean mosquitto node umockdev chromium shells prometheus node-red readers

demo: $(READY)
	@$(BIN)/picobridge demo

test: $(READY_DEV) mosquitto node umockdev chromium shells prometheus node-red readers
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(PYTEST_ARGS)

check: $(READY_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# the site into build/docs: a link that leads nowhere is an error
docs: $(READY_DEV)
	@$(BIN)/python -m sphinx -b html -W --keep-going -q docs build/docs
	@echo "build/docs/index.html"

# the pages of docs/reference that are made out of the code
reference: $(READY_DEV)
	@$(BIN)/python -m tools.reference

bench: $(READY_DEV) mosquitto
	$(BIN)/python -m benchmarks

# RIG=lab.toml: the conformance suite against the real instruments of a configuration
hil: $(READY_DEV)
	@test -n "$(RIG)" || { echo "make hil RIG=lab.toml: name the configuration of your instruments"; exit 2; }
	@$(BIN)/python -m tests.hil "$(RIG)"

# TARGETS="block request" SECONDS=300: every parser of bytes from outside, or some; docs/fuzzing.md
SECONDS = 60
fuzz: $(READY_FUZZ)
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(TARGETS:%=--target %)

# DAYS=30 SEED=1: a simulated month of cycling with faults, a day a minute; docs/reliability.md
DAYS = 30
SEED = 1
soak: $(READY_DEV) mosquitto
	@$(BIN)/python -m tests.soak --days $(DAYS) --seed $(SEED)

$(READY): pyproject.toml
	@PYTHON="$(PYTHON)" ./tools/make-venv $(VENV) .
	@touch $@

$(READY_DEV): pyproject.toml
	@PYTHON="$(PYTHON)" ./tools/make-venv $(VENV) '.[dev]'
	@touch $(READY) $@

$(READY_FUZZ): $(READY_DEV)
	@PYTHON="$(PYTHON)" ./tools/make-venv $(VENV) '.[dev,fuzz]' || \
		echo "atheris cannot be installed here: fuzzing goes on without coverage" >&2
	@touch $@

mosquitto:
	@./tools/have-mosquitto

node:
	@./tools/have-node

umockdev:
	@./tools/have-umockdev

chromium:
	@./tools/have-chromium

shells:
	@./tools/have-shells

prometheus:
	@./tools/have-prometheus

node-red:
	@./tools/have-node-red

readers:
	@PYTHON="$(PYTHON)" ./tools/have-readers

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
