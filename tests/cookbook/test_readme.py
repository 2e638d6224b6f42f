"""The names in README.md and in the pages that it stands on exist, and the comparison is true; `docs/test_pages.py` runs the examples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import together_adapters
from together_adapters.emulator import Emulator, Fault

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_extras_exist() -> None:
    table = (ROOT / "docs" / "configuration.md").read_text("utf-8").partition("| extra | brings |")[2].partition("\n\n")[0]
    extras = set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE))
    extras_table = (
        (ROOT / "pyproject.toml").read_text("utf-8").partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    )
    assert extras
    assert extras <= set(re.findall(r"^([\w-]+) = ", extras_table, re.MULTILINE))


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    pages = README + (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    names = set(re.findall(r"(?:^|`)make (\w+)", pages, re.MULTILINE))
    assert {"demo", "test"} <= names <= targets


def test_comparison_with_other_packages(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The column of this package; the other one was measured with the versions that the page names."""
    from langchain_together_adapters import ChatTogether, TogetherEmbeddings
    from llama_index_together_adapters import TogetherEmbedding, TogetherLLM

    monkeypatch.setenv("TOGETHER_BASE_URL", emulator.base_url)
    for adapter in (ChatTogether, TogetherEmbeddings, TogetherLLM, TogetherEmbedding):
        with pytest.raises(together_adapters.ConfigurationError, match="TOGETHER_API_KEY"):
            adapter()  # though OPENAI_API_KEY is set
    assert emulator.requests == []

    monkeypatch.setenv("TOGETHER_API_KEY", "sk-of-a-reader")
    texts = [f"text {number}" for number in range(200)]
    TogetherEmbeddings().embed_documents(texts)
    assert len(emulator.requests) == 2
    TogetherEmbedding().get_text_embedding_batch(texts)
    assert len(emulator.requests) == 4

    ChatTogether(top_k=5).invoke("hello")
    TogetherLLM().complete("hello", top_k=5)
    assert [json.loads(request.body)["top_k"] for request in emulator.requests[-2:]] == [5, 5]
    assert ChatTogether(model="openai/gpt-oss-120b").invoke("Why?").additional_kwargs["reasoning_content"]

    llama = TogetherLLM(model="openai/gpt-oss-120b", api_key="sk-of-a-reader")
    assert llama.metadata.context_window == 131_072
    assert llama.metadata.is_function_calling_model
    assert "sk-of-a-reader" not in repr(llama) + str(llama.to_dict()) + llama.to_json()


@pytest.mark.parametrize("framework", ["langchain", "llama-index"])
def test_requests_on_a_permanent_failure(framework: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters.transport.retry.INITIAL_DELAY", 0.01)
    settings: dict[str, Any] = {"api_key": "sk-of-a-reader", "base_url": emulator.base_url, "max_retries": 2}
    emulator.inject(Fault("500", times=9))
    with pytest.raises(together_adapters.InternalServerError):
        if framework == "langchain":
            from langchain_together_adapters import ChatTogether

            ChatTogether(**settings).invoke("hello")
        else:
            from llama_index_together_adapters import TogetherLLM

            TogetherLLM(**settings).complete("hello")
    assert len(emulator.requests) == 3
