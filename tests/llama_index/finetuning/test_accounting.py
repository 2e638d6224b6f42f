"""What `from_llama_index` does not read is named with its rows, or refused if it carries meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index_together_adapters.finetuning import from_llama_index

from together_adapters.errors import DatasetError
from together_adapters.finetune import write_jsonl

CHAT = [ChatMessage(role="user", content="q"), ChatMessage(role="assistant", content="a")]
RAG = {"query": "q", "reference_answer": "a", "reference_contexts": []}


@pytest.mark.parametrize("name", ["label", "system", "reasoning", "rejected", "audio"])
@pytest.mark.parametrize("record", [{"messages": CHAT}, RAG])
def test_a_key_that_carries_meaning_is_refused_by_name(record: dict[str, Any], name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"llama_index record 2 {name}: '{name}' "):
        write_jsonl(from_llama_index([record, {**record, name: "x"}]), tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"messages": CHAT, "zonk": 1}, "zonk"),
        ({**RAG, "zonk": 1}, "zonk"),
        ([ChatMessage(role="user", content="q", additional_kwargs={"zonk": 1}), CHAT[1]], "messages[].additional_kwargs.zonk"),
        (
            [{"role": "user", "content": "q", "zonk": 1}, {"role": "assistant", "content": "a"}],
            "messages[].additional_kwargs.zonk",
        ),
    ],
)
def test_a_key_that_is_unknown_is_named(record: Any, name: str, tmp_path: Path) -> None:
    report = write_jsonl(from_llama_index([record, record]), tmp_path / "a.jsonl").report
    assert report.left_out == {name: 2}
    assert report.issue_counts == {"column_left_out": 1}
