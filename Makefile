# What a user needs: `make lab`. Each target sets up first; done again, that takes a second.

PYTHON ?= $(shell command -v python3 || command -v python)
BIN := .venv/bin
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --max-worker-restart 3
BROWSER = browser=$$($(BIN)/python tools/browser.py) && WORKBENCH_CHROMIUM="$$browser"

.PHONY: help setup lab quick test thorough check bench notebooks toolsmith clean

help:
	@echo "make lab        JupyterLab on a copy of the starter notebooks (DIR=folder: where the copy lies)"
	@echo "make setup      .venv with everything, llama.cpp built once, the demo model"
	@echo "make quick      the tests that need no weights and no browser, a minute"
	@echo "make test       all tests (ARGS='-k header': some of them; WORKERS=4: that many beside each other)"
	@echo "make thorough   all tests, ten times as many examples and every pair of template and request: hours"
	@echo "make check      ruff, its formatter and mypy, over the tests too"
	@echo "make bench      the benchmarks; writes benchmarks/RESULTS.md"
	@echo "make notebooks  runs the notebooks as they are shipped, into artifacts/notebooks"
	@echo "make toolsmith  trains the small model anew and measures it, 108 minutes (ARGS='--seed 2')"
	@echo "make clean      removes .venv and what was built here; the cache with model and wheels stays"

setup:
	@test -n "$(PYTHON)" || { echo "setup: no Python found; install Python 3.11 or newer" >&2; exit 2; }
	@PYTHON="$(PYTHON)" "$(PYTHON)" tools/bootstrap.py

lab: setup
	@$(BIN)/workbench lab $(DIR)

quick: setup
	@WORKBENCH_TESTS=quick $(PYTEST) --timeout 60 -m "not model and not browser and not slow and not waits" $(ARGS)

test: setup
	-@$(BIN)/python tools/llama_perplexity.py > /dev/null
	@$(BROWSER) $(PYTEST) --timeout 300 $(ARGS)

thorough: setup
	@$(BROWSER) WORKBENCH_TESTS=thorough $(PYTEST) --timeout 3600 -o faulthandler_timeout=4000 $(ARGS)

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
