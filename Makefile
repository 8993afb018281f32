# Everything here works on a fresh checkout: each target makes what it needs.
#   make demo     train, reuse frozen layers, compare: the tour, on a stack of its own
#   make serve    keep the same stack running until Ctrl-C
#   make test     format, lint, types, import arrows, tests
#   make check    the same without the tests
#   make install  only the virtual environment, .venv

PYTHON ?= python3
BIN := .venv/bin
CODE := api catalog worker trainer frostline migrations tests scripts benchmarks

# $(call stage,name,command): run a command under its name and say how long it took.
define stage
@start=$$(date +%s); echo "==> $(1)"; $(2) && echo "    $(1): ok, $$(($$(date +%s) - start)) s"
endef

.PHONY: install install-dev check test demo serve clean

install:
	@$(PYTHON) scripts/install.py run

install-dev:
	@$(PYTHON) scripts/install.py dev

check: install-dev
	$(call stage,format,$(BIN)/ruff format --check --quiet .)
	$(call stage,lint,$(BIN)/ruff check --quiet .)
	$(call stage,types,$(BIN)/mypy $(wildcard $(CODE)))
	$(call stage,import arrows,$(BIN)/lint-imports --no-logo)

# PYTEST_ARGUMENTS narrows it: make test PYTEST_ARGUMENTS="tests/catalog -x"
test: check
	$(call stage,tests,$(BIN)/python -m pytest $(PYTEST_ARGUMENTS))

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
