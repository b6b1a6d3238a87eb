# Everything lives in .venv of this checkout; `make clean` leaves nothing behind.

PYTHON ?= python3
export QUESTION ?=
BENCH ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO_STAMP := $(VENV)/.weft-demo
DEV_STAMP := $(VENV)/.weft-dev

.DELETE_ON_ERROR:
.PHONY: help demo test check format bench peers mini clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(DEMO_STAMP) ## install what is needed and answer a question with a team of agents
	$(BIN)/weft run examples/shop_analyst.py --trace trace.html \
		$(if $(QUESTION),--set "question=$$QUESTION")

test: $(DEV_STAMP) ## install what is needed and run every test
	$(BIN)/python -m pytest

check: $(DEV_STAMP) ## format, lint, layers and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	PYTHONPATH=src $(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy
	$(BIN)/pyright

format: $(DEV_STAMP) ## rewrite the sources in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV_STAMP) ## list the benches, or run one: make bench BENCH=engine
	$(BIN)/weft bench $(BENCH)

peers: $(DEV_STAMP) ## install the engines and frameworks that the benches compare with
	$(BIN)/python -m examples.bench.peers

mini: $(DEV_STAMP) ## train the bundled model again, from nothing
	$(BIN)/python -m examples.mini.heldout
	OMP_NUM_THREADS=1 $(BIN)/python -m torch.distributed.run --standalone --nproc-per-node 2 \
		-m examples.mini.train --steps 20000 --minutes 60 --compile
	OMP_NUM_THREADS=1 $(BIN)/python -m examples.mini.train --stage parallel \
		--steps 20000 --minutes 80 --work build/mini-parallel
	$(BIN)/python -c 'from weft.runtime.model import MINI, write_checksums; write_checksums(MINI)'
	$(BIN)/weft model eval mini --skill countdown --n 64
	$(BIN)/weft model eval mini --n 8
	$(BIN)/python -m examples.mini.evaluate

clean: ## remove every environment, cache and artefact
	rm -rf $(VENV) .peers dist build trace.html weft.db weft.db-wal weft.db-shm .work
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "weft needs Python 3.11 or newer, but '$(PYTHON)' is" \
			"$$($(PYTHON) --version 2>/dev/null || echo missing)." \
			"Name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "No environment could be made: install your system's python3-venv package." >&2; \
		exit 1; }

$(DEMO_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing weft with its engine into $(VENV) (a few minutes the first time) ..."
	@$(PIP) install --quiet -c constraints.txt -e '.[engine]'
	@touch $@

$(DEV_STAMP): $(DEMO_STAMP)
	@echo "Installing the development tools into $(VENV) ..."
	@$(PIP) install --quiet -c constraints.txt -e '.[engine,dev]'
	@touch $@
