# make help lists the targets. Both set-up commands make their own environment in .venv and pin what they install.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Wheel index for torch, for example https://download.pytorch.org/whl/cpu on a machine without a GPU.
TORCH_INDEX ?=
TORCH := $(shell grep '^torch==' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help demo test check env test-slurm

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: env ## Run the whole category ablation on the tiny model (no GPU, no weights, no account)
	$(BIN)/bioinstruct-train -m experiment=tiny sweep=category_ablation

test: env ## Run the tests (no network, GPU, weights or account)
	$(BIN)/python -m pytest -n 2

test-slurm: env ## Test the Slurm launcher on a one-node Slurm that the test starts (Debian, root)
	apt-get install -y --no-install-recommends slurm-wlm munge
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,slurm]'
	$(BIN)/python -m pytest tests/slurm -m slurm

check: env ## Lint and type-check
	$(BIN)/ruff check .
	$(BIN)/mypy bioinstruct tests

env: $(VENV)/.installed ## Make the environment

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bioinstruct needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
