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

# The SDKs that drive the emulator in tests/foreign. Two versions of one package cannot live together, so each has a Python of its own.
SDK_3 := $(abspath $(VENV)/foreign/together-3/bin/python)
SDK_1 := $(abspath $(VENV)/foreign/together-1/bin/python)
export TOGETHER_SDK_PYTHON_3 ?= $(SDK_3)
export TOGETHER_SDK_PYTHON_1 ?= $(SDK_1)
export OPENAI_SDK_PYTHON ?= $(TOGETHER_SDK_PYTHON_3)
SDKS := $(patsubst %/bin/python,%/.made,$(sort $(filter $(SDK_3) $(SDK_1),$(TOGETHER_SDK_PYTHON_3) $(TOGETHER_SDK_PYTHON_1) $(OPENAI_SDK_PYTHON))))

export QUESTION

.PHONY: demo test test-large check bench fix clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    answer a question with citations, through LangChain and through LlamaIndex"
	@echo "             QUESTION='...' asks another one; live when TOGETHER_API_KEY is set, else on the emulator"
	@echo "make test    run the tests          make check   format, lint, types, import rules"
	@echo "make bench   measure the speed      make fix     format, and mend what can be mended"
	@echo "make test-large   an upload of 6 GB within 200 MB of memory, and a download that is killed twice; takes minutes"

demo: $(VENV)/.cookbook
	@$(BIN)/python cookbook/rag_langchain.py $${QUESTION:+--question "$$QUESTION"}
	@echo
	@$(BIN)/python cookbook/rag_llama_index.py $${QUESTION:+--question "$$QUESTION"}

test: $(VENV)/.dev $(SDKS)
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

test-large: $(VENV)/.dev
	$(BIN)/python -m tests.large

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

$(abspath $(VENV))/foreign/%/.made: tests/foreign/%.txt | $(BIN)/python
	rm -rf $(@D)
	$(if $(UV),uv venv --quiet --python $(PYTHON),$(PYTHON) -m venv) $(@D)
	$(if $(UV),uv pip install --quiet --python $(@D)/bin/python,$(@D)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check) -r $<
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=..." >&2; exit 1; }
	$(if $(UV),uv venv --quiet --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV))
