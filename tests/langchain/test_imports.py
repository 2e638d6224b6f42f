"""The names of the package, the cost of importing it, and the error without langchain-core."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import langchain_together_adapters
import pytest
from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings, TogetherRerank, init_together_model

HAS_DECISIONS = find_spec("langchain_core.decisions") is not None
NAMES = [
    "ChatTogether",
    "Together",
    *["TogetherDecisions"] * HAS_DECISIONS,
    "TogetherEmbeddings",
    "TogetherRerank",
    "init_together_model",
    "load",
]
HEAVY = ("openai", "tiktoken", "transformers", "numpy", "langchain_openai", "langchain", "llama_index")


def python(code: str) -> subprocess.CompletedProcess[str]:
    path = f"import sys; sys.path[:0] = {sys.path!r}\n"
    return subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True, timeout=120, check=False)


def test_names() -> None:
    assert sorted(langchain_together_adapters.__all__) == sorted(NAMES)
    assert dir(langchain_together_adapters) == sorted(NAMES)
    for name in NAMES:
        assert getattr(langchain_together_adapters, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'ChatOpenAI'"):
        langchain_together_adapters.ChatOpenAI  # noqa: B018


@pytest.mark.skipif(HAS_DECISIONS, reason="this langchain-core has decisions")
def test_decisions_need_a_newer_core() -> None:
    with pytest.raises(ImportError, match=r"langchain-core 1\.8"):
        langchain_together_adapters.TogetherDecisions  # noqa: B018
    exec("from langchain_together_adapters import *", {})


def test_importing_is_lazy_and_light() -> None:
    code = f"""
import langchain_together_adapters
assert "langchain_core" not in sys.modules
from langchain_together_adapters import TogetherRerank
assert "langchain_together_adapters.chat_models" not in sys.modules
from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings
assert not {{"langchain_together_adapters.structured_output", "langchain_core.tools.base", "together_adapters.client"}} & sys.modules.keys()
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "statement", ["import langchain_together_adapters", "from langchain_together_adapters.llms import Together"]
)
def test_without_langchain_core(statement: str) -> None:
    done = python(f"sys.modules['langchain_core'] = None\n{statement}")
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError")
    assert 'pip install "together-adapters[langchain]"' in last


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("deepseek-ai/DeepSeek-V4.1-Flash", ChatTogether),
        ("together:openai/gpt-oss-120b", ChatTogether),
        ("someone/anything", ChatTogether),
        ("mistralai/Mixtral-8x7B-v0.1", Together),
        ("BAAI/bge-base-en-v1.5", TogetherEmbeddings),
        ("Salesforce/Llama-Rank-V1", TogetherRerank),  # models-check: ignore: the table has no rerank model that is served
    ],
)
def test_one_function_for_every_model(model: str, kind: Any) -> None:
    adapter = init_together_model(model, api_key="k", max_retries=1)
    assert type(adapter) is kind
    assert adapter.model == model.removeprefix("together:")
    assert adapter.max_retries == 1
