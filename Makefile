# The stages of the showdown, short names for what scripts/setup installs. GNU make 3.81, which macOS has, is enough.
#
#   make export MODEL=or_gate ARGS="--seed 7"   options for showdown go into ARGS
#   make setup TORCH_BACKEND=cpu                 torch without CUDA; kept until another TORCH_BACKEND is asked for

# The stamp's name tells which torch is installed. No shell is started here: make does nothing when nothing has to be done.
installed := $(patsubst .venv/setup.%,%,$(firstword $(wildcard .venv/setup.*)))
backend := $(or $(TORCH_BACKEND),$(installed),locked)
stamp := .venv/setup.$(backend)

# export is also a directive of make: with a blank before the colon this would not be a rule.
.PHONY: help setup export serve verify test test-fast test-all lint format docs benchmark benchmark-serving lock clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' Makefile

setup: $(stamp) ## install what requirements.lock names into .venv/
$(stamp): requirements.lock pyproject.toml scripts/setup
	@TORCH_BACKEND=$(backend) scripts/setup

export: setup ## run the chain: train, convert, verify, publish (MODEL=name, ARGS=...)
	.venv/bin/showdown export $(MODEL) $(ARGS)

serve: setup ## serve what is published by gRPC (8500) and REST (8501) (ARGS=...)
	@.venv/bin/showdown serve $(ARGS)

verify: setup ## prove the parity of every hop anew (MODEL=name, ARGS=...)
	.venv/bin/showdown verify $(MODEL) $(ARGS)

test: setup ## run the tests, those that take minutes left out
	.venv/bin/python -m pytest $(ARGS)

test-fast: setup ## run the tests that need no framework
	.venv/bin/python -m pytest -m "not slow and not long" $(ARGS)

test-all: setup ## run every test
	.venv/bin/python -m pytest -m "" $(ARGS)

lint: setup ## check style, types, layers and files
	@test -e .git || { echo "make lint needs a git clone: it checks the tracked files" >&2; exit 1; }
	.venv/bin/pre-commit run --all-files

format: setup ## format the code and repair what ruff can repair
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

docs: setup ## build the documentation into build/docs/
	.venv/bin/python -m scripts.cli_reference
	.venv/bin/python -m scripts.operators_reference
	.venv/bin/python -m scripts.conformance_reference
	.venv/bin/mkdocs build

benchmark: setup ## measure the chain (ARGS=...)
	.venv/bin/python benchmarks/export.py $(ARGS)

benchmark-serving: setup ## measure the server beside others (ARGS=...)
	.venv/bin/python -m benchmarks.serving $(ARGS)

lock: ## resolve pyproject.toml anew into requirements.lock
	scripts/lock

clean: ## remove what the chain has built
	@test ! -e .venv || .venv/bin/showdown clean

distclean: ## remove everything that git does not track: build/, .venv/, caches
	rm -rf build .venv .uv *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
