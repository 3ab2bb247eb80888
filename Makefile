# `make` without a target lists the targets. Everything runs in .venv, which requirements/install.py creates from hash locks.

.DEFAULT_GOAL := help
.PHONY: help bench resume image test test-all test-smoke test-keras test-programs test-exports test-cluster test-browser test-image test-long lint lock report site verify verify-figures first-call bench-self shell clean setup setup-dev setup-keras setup-programs setup-exports setup-cluster
MAKEFLAGS += --no-print-directory

# The Python that creates .venv: the one in .venv, else the first supported one that runs (a shim may fail to).
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in .venv/bin/python python3.11 python3.12 python3.13 python3; do \
	$$python -c '$(SUPPORTED)' >/dev/null 2>&1 && echo $$python && break; done)

# `python -m container` needs only Python 3.8.
HOST_PYTHON = $(or $(PYTHON),python3)
# Read by `python -m container`: where to run, what to build, and where the build gets its inputs.
export CONTAINER TARGET BASE_IMAGE PIP_CONF CA_BUNDLE WHEELS_IMAGE BUILD_NETWORK

MATRIX ?= quick
ARGS ?=
# The latest study: folder names start with the time, so it sorts last.
STUDY ?= $(patsubst %/,%,$(lastword $(sort $(filter-out results/published/,$(wildcard results/*/)))))
UPGRADE ?=

VENV_PYTHON := .venv/bin/python
PYTEST := $(VENV_PYTHON) -m pytest
# Two files of tests at a time; idle threads of one must not spin on the core that the other uses.
PYTEST_PAIR := OMP_WAIT_POLICY=PASSIVE $(PYTEST) -n 2 --dist loadfile

help: ## List the targets and their options
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

bench: ## Run a study (MATRIX=quick|smoke|publish, CONTAINER=auto|docker|none, ARGS="device=cpu ...")
	@$(HOST_PYTHON) -m container bench matrix=$(MATRIX) $(ARGS)

resume: ## Resume a study (STUDY=results/..., default: the latest; use the same CONTAINER as before)
	@test -n "$(STUDY)" || { echo "no study in results/ yet; run 'make bench' first" >&2; exit 1; }
	@$(HOST_PYTHON) -m container bench resume $(STUDY)

image: ## Build the container image (TARGET=cuda|cpu|cuda-compiler|cpu-compiler, BASE_IMAGE, PIP_CONF)
	@$(HOST_PYTHON) -m container image

test: setup-dev ## Run the tests, two at a time, except for the slow ones (ARGS="-k digest ...")
	@$(PYTEST_PAIR) $(ARGS)

test-all: setup-dev ## Run the slow tests, two at a time, and those of the Keras scenarios
	@$(PYTEST_PAIR) -m slow --slow --durations=30 $(ARGS)
	@$(MAKE) test-keras

test-smoke: setup-dev ## Run a smoke study, check its positive control, and rebuild its report
	@tests/smoke_study.sh

test-keras: setup-dev setup-keras ## Install Keras and test the Keras scenarios
	@$(PYTEST_PAIR) -m keras $(ARGS)

test-programs: setup-dev setup-programs ## Install Lightning, Accelerate and Transformers and test programs that use them
	@$(PYTEST) -m programs $(ARGS)

test-exports: setup-dev setup-exports ## Install MLflow and pyarrow, and test what is written for them
	@$(PYTEST) -m exports $(ARGS)

test-cluster: setup-dev setup-cluster ## Start a real Slurm and a real Ray of two nodes each, and run studies there (needs root on Debian)
	@tests/cluster/install_slurm.sh
	@$(PYTEST_PAIR) tests/cluster --cluster $(ARGS)

test-browser: setup-dev ## Test reports in Chromium (which needs root on Debian to be installed)
	@tests/browser/install_browser.sh
	@$(PYTEST) tests/browser --browser $(ARGS)

test-image: setup-dev ## Build and test the CPU image on a private Docker engine (needs Debian, root, Python 3.11)
	@tests/container/install_engine.sh
	@$(PYTEST) tests/container --image $(ARGS)

test-long: setup-dev ## Inject every kind of fault and diagnose every cell of MATRIX=quick, and more (hours on two cores)
	@$(PYTEST) -m long --long $(ARGS)

lint: setup-dev ## Check style and types (ruff, mypy --strict, hadolint)
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/hadolint Dockerfile

report: setup ## Rebuild the report of a study (STUDY=results/..., default: the latest)
	@test -n "$(STUDY)" || { echo "no study in results/ yet; run 'make bench' first" >&2; exit 1; }
	@$(VENV_PYTHON) -m harness report $(STUDY)

site: setup ## Make a static site of all published studies in results/site
	@$(VENV_PYTHON) -m harness site

verify: setup ## Make every published table, figure and page again from the records, and compare
	@$(VENV_PYTHON) -m harness verify

verify-figures: setup ## Recompute every number of the README and of docs/findings/ from published records
	@$(VENV_PYTHON) -m docs.figures

first-call: setup ## Run the reproducer of docs/findings/mkl-first-call.md (PROCESSES=1500 for each case)
	@$(VENV_PYTHON) docs/findings/mkl_first_call.py $(or $(PROCESSES),1500)

bench-self: setup ## Benchmark the harness itself: its overhead and digest speed
	@$(VENV_PYTHON) -m benchmarks

shell: setup ## Open a shell with .venv activated
	@bash -c 'exec bash --rcfile <(echo "[ -r ~/.bashrc ] && . ~/.bashrc; . .venv/bin/activate") -i'

LOCK = .venv/bin/uv pip compile --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --quiet $(UPGRADE)
# Dependencies of torch other than the CUDA libraries; base.txt and build.txt lock them.
NOT_CUDA := filelock fsspec jinja2 markupsafe mpmath networkx setuptools sympy typing-extensions

lock: setup-dev ## Regenerate the hash locks from requirements/*.in (UPGRADE=--upgrade for newer versions)
	@cd requirements && \
	lock() { ../$(LOCK) "$$@"; } && \
	lock build.in -o build.txt && \
	lock base.in -o base.txt && \
	lock dev.in -c base.txt -o dev.txt && \
	lock keras.in -c base.txt -c build.txt -c dev.txt -o keras.txt && \
	echo torch | lock programs.in -c base.txt -c build.txt -c dev.txt --excludes /dev/stdin -o programs.txt && \
	lock exports.in -c base.txt -c build.txt -c dev.txt -c keras.txt -c programs.txt -o exports.txt && \
	lock cluster.in -c base.txt -c build.txt -c dev.txt -c keras.txt -c programs.txt -c exports.txt -o cluster.txt && \
	lock torch-cuda.in -c base.txt -c build.txt $(NOT_CUDA:%=--no-emit-package %) -o torch-cuda.txt
	@echo "torch-cpu.txt is maintained by hand: one wheel with its hash, of the version in torch-cuda.in"

clean: ## Remove .venv and all caches, but no results
	rm -rf .venv .venv.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -not -path './results/*' -prune -exec rm -rf {} +

setup:
	@$(if $(PYTHON),$(PYTHON) requirements/install.py,$(NO_PYTHON))

setup-dev:
	@$(if $(PYTHON),$(PYTHON) requirements/install.py --dev,$(NO_PYTHON))

setup-keras: ## Also install Keras and TensorFlow (the `keras` extra)
	@$(if $(PYTHON),$(PYTHON) requirements/install.py --keras,$(NO_PYTHON))

setup-exports: ## Also install MLflow and pyarrow (the `mlflow` and `parquet` extras)
	@$(if $(PYTHON),$(PYTHON) requirements/install.py --exports,$(NO_PYTHON))

setup-cluster: ## Also install Ray (the `ray` extra)
	@$(if $(PYTHON),$(PYTHON) requirements/install.py --cluster,$(NO_PYTHON))

setup-programs: ## Also install Accelerate, Lightning and Transformers, for tests/programs/
	@$(if $(PYTHON),$(PYTHON) requirements/install.py --programs,$(NO_PYTHON))

NO_PYTHON = echo "set-up: no Python 3.11, 3.12 or 3.13 found; choose one with: make PYTHON=/path/to/python3.11 ..." >&2; exit 1
