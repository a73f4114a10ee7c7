# Needs Python 3.11, git and a package index; PYTHON=/path/to/python3.11 names another interpreter.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export DVC_NO_ANALYTICS := 1
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup repro test check docs ui

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## a virtual environment in .venv with the pinned dependencies and this package

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
	  echo "setup: '$(PYTHON)' is not a Python 3.11 with venv. Install it (Debian: apt-get install python3.11-venv)," >&2; \
	  echo "       or name one: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --progress-bar off -c constraints.txt -e '.[dev]'
	@pwd > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tatsnet-clone.pth"  # pipeline, infra
	@touch $@

repro: setup ## the whole pipeline: search, train, extract, measure; then what was found
	PATH="$(abspath $(BIN)):$$PATH" dvc repro
	@$(BIN)/python -m pipeline summary

test: setup ## the fast tests
	$(BIN)/python -m pytest

check: setup ## lint, format, types, import contracts
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html; with search: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

ui: setup ## MLflow, with one link to the Pareto view
	@$(BIN)/python -m pipeline ui
