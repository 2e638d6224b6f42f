"""What LlamaIndex writes: chat stores, handler files, labelled RAG files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from tests.finetune.formats.reading import examples, only_refusal, only_row, refusals, says, user
from together_adapters.errors import DatasetError
from together_adapters.finetune import RagPrompt, load

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 40


def store_of(*messages: ChatMessage) -> dict[str, Any]:
    return {"store": {"user1": [message.model_dump(mode="json") for message in messages]}, "class_name": "SimpleChatStore"}


def test_a_chat_store_from_its_file(tmp_path: Path):
    conversations = {
        "user1": [ChatMessage(role="user", content="q"), ChatMessage(role="assistant", content="a")],
        "user2": [
            ChatMessage(role=role, content=answer_text)
            for role, answer_text in (("developer", "s"), ("user", "q"), ("model", "a"))
        ],
    }
    store = {key: [message.model_dump(mode="json") for message in conversation] for key, conversation in conversations.items()}
    file = tmp_path / "store.json"
    file.write_text(json.dumps({"store": store, "class_name": "SimpleChatStore"}))
    results = examples(load(file))
    assert [(example.group, example.number) for example in results] == [("user1", 1), ("user2", 2)]
    assert results[0].row == {"messages": [user(), says()]}
    assert [message["role"] for message in results[1].row["messages"]] == ["system", "user", "assistant"]


def test_blocks_are_read_one_by_one():
    row = only_row(load(store_of(
        ChatMessage(role="user", blocks=[TextBlock(text="q"), ImageBlock(image=PNG, image_mimetype="image/png")]),
        ChatMessage(role="assistant", blocks=[
            ThinkingBlock(content="hm"), ToolCallBlock(tool_name="f", tool_kwargs={"a": 1}, tool_call_id="c1")]),
        ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": "c1"}),
        ChatMessage(role="assistant", blocks=[TextBlock(text="a"), CachePoint(cache_control=CacheControl(type="ephemeral"))]),
    )))  # fmt: skip
    user_message, call_message, tool_message, answer_text = row["messages"]
    assert user_message["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert call_message["reasoning"] == "hm" and call_message["tool_calls"][0]["function"] == {
        "name": "f",
        "arguments": '{"a": 1}',
    }
    assert tool_message["tool_call_id"] == "c1" and answer_text["content"] == [{"type": "text", "text": "a"}]


def test_what_a_store_cannot_give():
    audio = store_of(
        ChatMessage(role="user", blocks=[AudioBlock(audio=b"x", format="wav")]), ChatMessage(role="assistant", content="a")
    )
    assert only_refusal(load(audio)).code == "content_part_unsupported"
    assert only_refusal(load({"store": {"k": 3}})).code == "messages_not_list"
    assert only_refusal(load({"store": {"k": []}})).code == "messages_empty"
    assert only_refusal(load({"x": 1}, "chat_store")).code == "store_invalid"
    memory = {
        "token_limit": 100,
        "chat_store": store_of(ChatMessage(role="user", content="q"), ChatMessage(role="assistant", content="a")),
    }
    assert only_row(load(memory)) == {"messages": [user(), says()]}


def test_handler_files():
    line = {"messages": [user(), says()], "functions": [{"name": "f", "parameters": {}}]}
    assert only_row(load([line], "handler"))["tools"][0]["function"]["name"] == "f"
    assert only_refusal(load([{"messages": [user()]}], "handler")).code == "answer_missing"
    events = {"e1": {"messages": [user()], "response": says()}, "e2": {"messages": [user()], "response": None}}
    data = load(events, "handler")
    assert examples(data)[0].row == {"messages": [user(), says()]}
    assert [refusal.code for refusal in refusals(data)] == ["answer_missing"]
    blocks = {
        "e1": {
            "messages": [ChatMessage(role="user", content="q").model_dump(mode="json")],
            "response": ChatMessage(role="assistant", content="a").model_dump(mode="json"),
        }
    }
    assert only_row(load(blocks)) == {"messages": [user(), says()]}


def rag(number: int) -> dict[str, Any]:
    return {"query": f"q{number}", "reference_contexts": [f"fact {number}"], "reference_answer": f"a{number}", "query_by": None}


def test_labelled_rag(tmp_path: Path):
    file = tmp_path / "rag.json"
    file.write_text(
        json.dumps({"examples": [rag(1), rag(2), {**rag(3), "reference_answer": ""}, {**rag(4), "reference_contexts": None}]})
    )
    data = load(file)
    results = examples(data)
    assert "fact 1" in results[0].row["messages"][0]["content"] and results[0].row["messages"][1] == says("a1")
    assert results[2].row["messages"][0] == user("q4")
    assert [(refusal.code, refusal.number) for refusal in refusals(data)] == [("answer_missing", 3)]
    assert only_row(load([rag(1)], template=lambda record: record["query"] + "!", form="instruction")) == {
        "prompt": "q1!",
        "completion": "a1",
    }


def test_distractors_are_other_examples_contexts_and_the_same_each_time():
    records = [rag(number) for number in range(6)]
    prompts = [
        [example.row["messages"][0]["content"] for example in examples(load(source, template=RagPrompt(distractors=2, seed=1)))]
        for source in (records, records[::-1])
    ]
    assert prompts[0] == prompts[1][::-1]
    assert all(f"fact {number}" in prompt and prompt.count("fact") == 3 for number, prompt in enumerate(prompts[0]))
    assert prompts[0] != [
        example.row["messages"][0]["content"] for example in examples(load(records, template=RagPrompt(distractors=2, seed=2)))
    ]
    without = [
        example.row["messages"][0]["content"] for example in examples(load(records, template=RagPrompt(distractors=2, golden=0)))
    ]
    assert all(f"fact {number}" not in prompt for number, prompt in enumerate(without))
    assert only_refusal(load([rag(1)], template=RagPrompt(distractors=1))).code == "distractors_missing"
    with pytest.raises(DatasetError, match="once"):
        load(iter(records), template=RagPrompt(distractors=1))
    with pytest.raises(ValueError):
        RagPrompt(golden=2)


def test_queries_with_responses():
    data = load({"queries": {"1": "q", "2": "x"}, "responses": {"1": "a", "3": "y"}})
    assert [example.row for example in examples(data)] == [{"messages": [user(), says()]}]
    assert [refusal.code for refusal in refusals(data)] == ["answer_missing", "cell_missing"]
