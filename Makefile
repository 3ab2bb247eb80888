# `make` alone lists the targets. Everything runs in .venv, which requirements/install.py makes from hash locks.

.DEFAULT_GOAL := help
.PHONY: help bench resume image test test-keras test-programs test-image test-long lint lock report bench-self shell clean setup setup-dev setup-keras setup-programs
MAKEFLAGS += --no-print-directory

# The Python that makes .venv: the one that made it last, else the first served one that really runs (a shim may not).
SERVED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in .venv/bin/python python3.11 python3.12 python3.13 python3; do \
	$$python -c '$(SERVED)' >/dev/null 2>&1 && echo $$python && break; done)

# What starts the container needs no more than some Python 3.8.
HOST_PYTHON = $(or $(PYTHON),python3)
# Read by `python -m container`: where to run, what to build, and where the build finds its parts.
export CONTAINER TARGET BASE_IMAGE PIP_CONF CA_BUNDLE WHEELS_IMAGE BUILD_NETWORK

MATRIX ?= quick
ARGS ?=
# The latest study: their names start with the time.
STUDY ?= $(patsubst %/,%,$(lastword $(sort $(filter-out results/published/,$(wildcard results/*/)))))
UPGRADE ?=

VENV_PYTHON := .venv/bin/python

help: ## List the targets and their variables
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

bench: ## Run a study (MATRIX=quick|smoke|publish, CONTAINER=auto|docker|none, ARGS="device=cpu ...")
	@$(HOST_PYTHON) -m container bench matrix=$(MATRIX) $(ARGS)

resume: ## Go on with a study (STUDY=results/..., the latest if not given; CONTAINER as it was begun)
	@test -n "$(STUDY)" || { echo "there is no study in results/ yet: run 'make bench'" >&2; exit 1; }
	@$(HOST_PYTHON) -m container bench resume $(STUDY)

image: ## Build the container's image (TARGET=cuda|cpu|cuda-compiler|cpu-compiler, BASE_IMAGE, PIP_CONF)
	@$(HOST_PYTHON) -m container image

test: setup-dev ## Run the tests (ARGS="-k digest ...")
	@$(VENV_PYTHON) -m pytest $(ARGS)

test-keras: setup-dev setup-keras ## Run the tests of the Keras scenarios, with Keras installed
	@$(VENV_PYTHON) -m pytest -m keras $(ARGS)

test-programs: setup-dev setup-programs ## Run programs in the idiom of Lightning, Accelerate and Transformers, with these installed
	@$(VENV_PYTHON) -m pytest -m programs $(ARGS)

test-image: setup-dev ## Build the CPU image on a private Docker engine and run it (Debian, root, Python 3.11)
	@tests/container/install_engine.sh
	@$(VENV_PYTHON) -m pytest tests/container --image $(ARGS)

test-long: setup-dev ## Plant every kind of fault, and diagnose every cell of MATRIX=quick (an hour on two cores)
	@$(VENV_PYTHON) -m pytest -m long --long $(ARGS)

lint: setup-dev ## Check style and types: ruff, mypy strict, hadolint
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/hadolint Dockerfile

report: setup ## Make the report of a study again (STUDY=results/..., the latest if not given)
	@test -n "$(STUDY)" || { echo "there is no study in results/ yet: run 'make bench'" >&2; exit 1; }
	@$(VENV_PYTHON) -m harness report $(STUDY)

bench-self: setup ## Measure the harness itself: its overheads and its digest's speed
	@$(VENV_PYTHON) -m benchmarks

shell: setup ## Open a shell inside .venv
	@bash -c 'exec bash --rcfile <(echo "[ -r ~/.bashrc ] && . ~/.bashrc; . .venv/bin/activate") -i'

LOCK = .venv/bin/uv pip compile --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --quiet $(UPGRADE)
# Every requirement of torch that is not a CUDA library is in base.txt or build.txt.
NOT_CUDA := filelock fsspec jinja2 markupsafe mpmath networkx setuptools sympy typing-extensions

lock: setup-dev ## Make the hash locks again from requirements/*.in (UPGRADE=--upgrade for newer versions)
	@cd requirements && \
	lock() { ../$(LOCK) "$$@"; } && \
	lock build.in -o build.txt && \
	lock base.in -o base.txt && \
	lock dev.in -c base.txt -o dev.txt && \
	lock keras.in -c base.txt -c build.txt -c dev.txt -o keras.txt && \
	echo torch | lock programs.in -c base.txt -c build.txt -c dev.txt --excludes /dev/stdin -o programs.txt && \
	lock torch-cuda.in -c base.txt -c build.txt $(NOT_CUDA:%=--no-emit-package %) -o torch-cuda.txt
	@echo "torch-cpu.txt is kept by hand: one wheel and its hash, of torch-cuda.in's version"

clean: ## Remove .venv and all caches, never results
	rm -rf .venv .venv.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -not -path './results/*' -prune -exec rm -rf {} +

setup:
	@$(if $(PYTHON),$(PYTHON) requirements/install.py,$(NO_PYTHON))

setup-dev:
	@$(if $(PYTHON),$(PYTHON) requirements/install.py --dev,$(NO_PYTHON))

setup-keras: ## Install the extra `keras` too: Keras and TensorFlow
	@$(if $(PYTHON),$(PYTHON) requirements/install.py --keras,$(NO_PYTHON))

setup-programs: ## Install Accelerate, Lightning and Transformers too, which tests/programs/ imports
	@$(if $(PYTHON),$(PYTHON) requirements/install.py --programs,$(NO_PYTHON))

NO_PYTHON = echo "set-up: no Python 3.11, 3.12 or 3.13 was found; name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1
