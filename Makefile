# Needs Python 3.11 or newer and make; everything else goes into $(VENV).
recent = import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(recent)' >/dev/null 2>&1 && { command -v $$p; break; }; done)
VENV ?= .venv
REPORT ?= reports/india
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help demo test test-slow lint format clean
.DELETE_ON_ERROR:

help:
	@echo "make demo       evaluate the Europe model in India on simulated days; prints where the report lies"
	@echo "make test       the tests"
	@echo "make test-slow  the tests that take long"
	@echo "make lint       ruff, and mypy on the built wheel (make format: let ruff format)"
	@echo "make clean      remove $(VENV), reports and build products"

demo: $(VENV)/.demo
	$(BIN)/cranpm region eval india --bundle europe-sample --out $(REPORT)
	@echo "The report: $(abspath $(REPORT))/report.html"

test: $(VENV)/.test
	$(BIN)/python -m pytest -q

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf .lint && $(PIP) --no-deps --target .lint . && rm -rf build
	cd .lint && $(abspath $(BIN))/mypy --config-file ../pyproject.toml -p cranpm

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .lint build dist reports cranpm.egg-info .pytest_cache .hypothesis .ruff_cache .mypy_cache

# A stamp per set of extras: a second run installs nothing until the requirements change.
$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/.made
	$(call install,verify$(comma)stations$(comma)terrain)

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/.made
	$(call install,test)

$(VENV)/.lint: pyproject.toml constraints.txt | $(VENV)/.made
	$(call install,test$(comma)lint)

define install
@echo "Installing cranpm with its requirements into $(VENV) (some minutes the first time) ..."
$(PIP) --editable ".[$(1)]"
@touch $@
endef
comma := ,

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found (python3 is $$(python3 --version 2>&1 | head -1))."; \
	  echo "       Install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c '$(recent)' || { echo "error: $(PYTHON) does not run or is older than 3.11"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@
