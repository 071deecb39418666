# Needs Python 3.11 or newer, and nothing else: everything is installed into .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CHECKED := .

.DEFAULT_GOAL := help
.PHONY: help install migrate run worker doctor account test check format bench examples outcomes clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/run.stamp ## Install what runs into .venv

migrate: install ## Bring the store to the version this code needs
	@$(BIN)/python -m commands.migrate

run: install ## Run the gateway and a worker (and, without a token, the simulator) until Ctrl-C
	@$(BIN)/python -m commands.run

worker: install ## Run one more worker for what is done in the background
	@$(BIN)/python -m worker

doctor: install ## Check settings, token, account, version and Modash key
	@$(BIN)/python -m commands.doctor

account: install ## Add, list, check or remove an account: make account ARGS="add --login instagram"
	@$(BIN)/python -m commands.account $(ARGS)

test: $(VENV)/dev.stamp ## Run the whole suite, offline
	@$(BIN)/python -m pytest -n auto --dist worksteal

check: $(VENV)/dev.stamp ## Check format, style and types
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/mypy

format: $(VENV)/dev.stamp ## Put the code into the house's format
	@$(BIN)/ruff check --fix-only --quiet $(CHECKED)
	@$(BIN)/ruff format --quiet $(CHECKED)

bench: $(VENV)/run.stamp ## Measure everything that is fast or frugal, as ratios within one run
	@$(BIN)/python -m benchmarks

examples: $(VENV)/dev.stamp ## Record the examples of the OpenAPI document anew
	@$(BIN)/python -m commands.examples

outcomes: $(VENV)/run.stamp ## Print the table of outcomes into the README
	@$(BIN)/python -m commands.outcomes

clean: ## Remove what was installed and cached
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(VENV)/bin/python
	@echo "Installing what runs ..."
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/run.stamp
	@echo "Installing what tests and checks need ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@
