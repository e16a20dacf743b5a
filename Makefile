# What a user needs: `make lab`. Each target sets up first; done again, that takes a second.

PYTHON ?= $(shell command -v python3 || command -v python)
BIN := .venv/bin

.PHONY: help setup lab test check bench notebooks toolsmith clean

help:
	@echo "make lab        JupyterLab on a copy of the starter notebooks (DIR=folder: where the copy lies)"
	@echo "make setup      .venv with everything, llama.cpp built once, the demo model"
	@echo "make test       all tests, a browser's included (ARGS='-k header': some of them)"
	@echo "make check      ruff, its formatter and mypy"
	@echo "make bench      the benchmarks; writes benchmarks/RESULTS.md"
	@echo "make notebooks  runs the notebooks as they are shipped, into artifacts/notebooks"
	@echo "make toolsmith  trains the small model anew and measures it, 108 minutes (ARGS='--seed 2')"
	@echo "make clean      removes .venv and what was built here; the cache with model and wheels stays"

setup:
	@test -n "$(PYTHON)" || { echo "setup: no Python found; install Python 3.11 or newer" >&2; exit 2; }
	@PYTHON="$(PYTHON)" "$(PYTHON)" tools/bootstrap.py

lab: setup
	@$(BIN)/workbench lab $(DIR)

test: setup
	@browser=$$($(BIN)/python tools/browser.py) && WORKBENCH_CHROMIUM="$$browser" $(BIN)/python -m pytest $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python benchmarks/run.py $(ARGS)

notebooks: setup
	$(BIN)/jupyter nbconvert --to html --execute --output-dir artifacts/notebooks notebooks/*.ipynb

toolsmith: setup
	$(BIN)/python tools/toolsmith.py $(ARGS)

clean:
	rm -rf .venv build dist artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
