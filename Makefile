# Needs Python 3.11 or newer, and nothing else: everything is installed into .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CHECKED := .

.DEFAULT_GOAL := help
.PHONY: help install migrate run worker doctor connect key account webhook notify export import backup restore backfill test prove check format bench examples provider-errors clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/run.stamp ## Install the requirements into .venv

migrate: install ## Create the store, or bring it to the version this code needs
	@$(BIN)/python -m commands.migrate

run: install ## Run the gateway and a worker (and, without a token, the simulator) until Ctrl-C
	@$(BIN)/python -m commands.run

worker: install ## Run one more worker for background jobs
	@$(BIN)/python -m worker

doctor: install ## Check settings, store, token, accounts, version and Modash key: make doctor ARGS=--json
	@$(BIN)/python -m commands.doctor $(ARGS)

connect: install ## Connect accounts from a short-lived token on standard input: make connect ARGS="--write-env"
	@$(BIN)/python -m commands.connect $(ARGS)

key: install ## Create, list, rotate or revoke API keys: make key ARGS="create dashboard"
	@$(BIN)/python -m commands.key $(ARGS)

account: install ## Add, list, check or remove an account: make account ARGS="add --login instagram"
	@$(BIN)/python -m commands.account $(ARGS)

webhook: install ## Subscribe accounts to webhooks, or check the callback URL: make webhook ARGS="check https://HOST"
	@$(BIN)/python -m commands.webhook $(ARGS)

notify: install ## Try the outgoing webhook, list or resend its events: make notify ARGS=test
	@$(BIN)/python -m commands.notify $(ARGS)

export: install ## Write the kept history as lines: make export ARGS="--out history.ndjson.gz"
	@$(BIN)/python -m commands.export $(ARGS)

import: install ## Read what `make export` wrote: make import ARGS=history.ndjson.gz
	@$(BIN)/python -m commands.import_history $(ARGS)

backup: install ## Copy the database while it is in use: make backup ARGS="--out /mnt/backups --keep 14"
	@$(BIN)/python -m commands.backup $(ARGS)

restore: install ## Put a backup in the place of the database: make restore ARGS=FILE
	@$(BIN)/python -m commands.restore $(ARGS)

backfill: install ## Read the past of accounts now: make backfill ARGS="--account corner.bakery --since 2026-01-01"
	@$(BIN)/python -m commands.backfill $(ARGS)

test: $(VENV)/dev.stamp ## Run the whole suite, offline
	@$(BIN)/python -m pytest -n auto --dist worksteal

prove: $(VENV)/prove.stamp ## Run what takes too long for `make test`: make prove ARGS="openapi"
	@$(BIN)/python -m commands.prove $(ARGS)

check: $(VENV)/dev.stamp ## Check format, style, types and imports
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo

format: $(VENV)/dev.stamp ## Format the code
	@$(BIN)/ruff check --fix-only --quiet $(CHECKED)
	@$(BIN)/ruff format --quiet $(CHECKED)

bench: $(VENV)/run.stamp ## Run the benchmarks: make bench -- --quick, make bench -- cold warm
	@$(BIN)/python -m benchmarks $(ARGS) $(BENCH_ARGS)

# make takes the words after `--` for goals. Those of `make bench -- --quick cold` are arguments of the benchmarks, and
# each gets a rule that does nothing.
ifeq ($(firstword $(MAKECMDGOALS)),bench)
BENCH_ARGS := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
ifneq ($(BENCH_ARGS),)
.PHONY: $(BENCH_ARGS)
$(BENCH_ARGS): ; @:
endif
endif

examples: $(VENV)/dev.stamp ## Record the examples of the OpenAPI document
	@$(BIN)/python -m commands.examples

provider-errors: $(VENV)/run.stamp ## Write the tables of docs/provider-errors.md from the error rules
	@$(BIN)/python -m commands.provider_errors

clean: ## Remove the virtual environment and the caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(VENV)/bin/python
	@echo "Installing the requirements ..."
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/run.stamp
	@echo "Installing the requirements of tests and checks ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@

$(VENV)/prove.stamp: requirements-prove.txt $(VENV)/dev.stamp
	@echo "Installing the requirements of the long runs ..."
	@$(PIP) -r requirements-prove.txt
	@touch $@
