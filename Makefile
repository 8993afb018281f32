# Everything here works on a fresh checkout: each target makes what it needs.
#   make demo     train, reuse frozen layers, compare: the tour, on a stack of its own
#   make serve    run the whole service here until Ctrl-C
#   make test     format, lint, types, import arrows, tests
#   make test-slow  the tests that take minutes, and the longest ride of the nemesis
#   make check    the same without the tests
#   make install  only the virtual environment, .venv
#   make clean    remove the virtual environment and every cache; data/ stays

PYTHON ?= python3
BIN := .venv/bin
CODE := api catalog worker trainer frostline migrations tests scripts benchmarks

# $(call stage,name,command): run a command under its name and say how long it took.
define stage
@start=$$(date +%s); echo "==> $(1)"; $(2) && echo "    $(1): ok, $$(($$(date +%s) - start)) s"
endef

.PHONY: help install install-dev demo serve check test test-slow clean

help:
	@sed -n 's/^#   //p' Makefile

install:
	@$(PYTHON) scripts/install.py run

install-dev:
	@$(PYTHON) scripts/install.py dev

# DATA is the folder that keeps everything; UP_ARGUMENTS go to frostline up as they are.
demo: install
	@$(BIN)/frostline demo $(if $(DATA),--data $(DATA))

serve: install
	@exec $(BIN)/frostline up $(if $(DATA),--data $(DATA)) $(UP_ARGUMENTS)

check: install-dev
	$(call stage,format,$(BIN)/ruff format --check --quiet .)
	$(call stage,lint,$(BIN)/ruff check --quiet .)
	$(call stage,types,$(BIN)/mypy $(wildcard $(CODE)))
	$(call stage,import arrows,$(BIN)/lint-imports --no-logo)

# PYTEST_ARGUMENTS narrows it: make test PYTEST_ARGUMENTS="tests/catalog -x"
# PYTEST_PROCESSES is how many processes share the run (tests/lanes.py): 0 is one after
# the other, in sight of a debugger.
PYTEST_PROCESSES ?= logical
PYTEST := $(BIN)/python -m pytest
test: check
	$(call stage,tests,$(PYTEST) -n $(PYTEST_PROCESSES) --maxprocesses 4 $(PYTEST_ARGUMENTS))

test-slow: install-dev
	$(call stage,slow tests,$(PYTEST) -m slow $(PYTEST_ARGUMENTS))
	$(call stage,chaos,CHAOS=full $(PYTEST) tests/e2e/test_chaos.py)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
