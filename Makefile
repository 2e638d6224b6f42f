# Each command sets up what it needs in .venv: with uv when it is there, with pip otherwise.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
UV := $(shell uv --version >/dev/null 2>&1 && echo uv)
SHARED := $(abspath ../shared)
export TOGETHER_RECORDINGS ?= $(wildcard $(SHARED)/recorded)
export TOGETHER_FINETUNE_CASES ?= $(wildcard $(SHARED)/finetune-cases)
export TOGETHER_OPENAPI ?= $(wildcard $(SHARED)/openapi.yaml)

export QUESTION

.PHONY: demo test check bench fix clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    answer a question with citations, through LangChain and through LlamaIndex"
	@echo "             QUESTION='...' asks another one; live when TOGETHER_API_KEY is set, else on the emulator"
	@echo "make test    run the tests          make check   format, lint, types, import rules"
	@echo "make bench   measure the speed      make fix     format, and mend what can be mended"

demo: $(VENV)/.cookbook
	@$(BIN)/python cookbook/rag_langchain.py $${QUESTION:+--question "$$QUESTION"}
	@echo
	@$(BIN)/python cookbook/rag_llama_index.py $${QUESTION:+--question "$$QUESTION"}

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadscope

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.%: pyproject.toml | $(BIN)/python
	$(if $(UV),uv pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check) -e ".[$*]"
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=..." >&2; exit 1; }
	$(if $(UV),uv venv --quiet --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV))
