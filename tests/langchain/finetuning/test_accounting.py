"""What `from_langchain` does not read is named with its rows, or refused if it carries meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_together_adapters.finetuning import from_langchain

from together_adapters.errors import DatasetError
from together_adapters.finetune import write_jsonl

CHAT = [HumanMessage("q"), AIMessage("a")]


@pytest.mark.parametrize("name", ["label", "system", "context", "reasoning", "rejected", "audio", "image"])
@pytest.mark.parametrize("record", [{"messages": CHAT}, {"input": "q", "output": "a"}])
def test_a_key_that_carries_meaning_is_refused_by_name(record: dict[str, Any], name: str, tmp_path: Path) -> None:
    data = from_langchain([record, {**record, name: "x"}])
    with pytest.raises(DatasetError, match=f"langchain record 2 {name}: '{name}' "):
        write_jsonl(data, tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"messages": CHAT, "zonk": 1}, "zonk"),
        ({"prompt": "q", "completion": "a", "zonk": 1}, "zonk"),
        ([HumanMessage("q", additional_kwargs={"zonk": 1}), AIMessage("a")], "messages[].additional_kwargs.zonk"),
        ([HumanMessage("q"), AIMessage("a", additional_kwargs={"zonk": 1})], "messages[].additional_kwargs.zonk"),
        ([{"type": "human", "content": "q", "zonk": 1}, {"type": "ai", "content": "a"}], "messages[].zonk"),
        ([HumanMessage([{"type": "text", "text": "q", "zonk": 1}]), AIMessage("a")], "messages[].content[].zonk"),
        (
            [
                HumanMessage("q"),
                AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
                ToolMessage("r", tool_call_id="1", additional_kwargs={"zonk": 1}),
                AIMessage("a"),
            ],
            "messages[].additional_kwargs.zonk",
        ),
    ],
)
def test_a_key_that_is_unknown_is_named(record: Any, name: str, tmp_path: Path) -> None:
    report = write_jsonl(
        from_langchain([record, record, CHAT if isinstance(record, list) else record]), tmp_path / "a.jsonl"
    ).report
    assert report.left_out == {name: 2 if isinstance(record, list) else 3}
    assert report.issue_counts["column_left_out"] == 1
