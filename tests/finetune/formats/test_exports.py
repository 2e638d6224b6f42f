"""Files of chat applications, frameworks and other trainers, from Python and from the command line alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.finetune.formats.reading import says, user
from together_adapters.errors import DatasetError
from together_adapters.finetune import load, write_jsonl

SYSTEM = {"role": "system", "content": "Be brief."}
TALK = [user("Is it open?"), says("Until six.")]
LONGER = [*TALK, user("And today?"), says("Closed.")]
HUMAN = {"type": "human", "content": "Is it open?"}
AI = {"type": "ai", "content": "Until six.", "tool_calls": [], "usage_metadata": None, "id": "run-1"}


def stored(message: dict[str, Any]) -> dict[str, Any]:
    return {"type": message["type"], "data": message}


def constructor(name: str, **fields: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": fields}


DUMPED = [constructor("HumanMessage", content="Is it open?"), constructor("AIMessage", content="Until six.")]
MESSAGES = [HUMAN, AI]
BLOCKS = [
    {"role": message["role"], "additional_kwargs": {}, "blocks": [{"block_type": "text", "text": message["content"]}]}
    for message in TALK
]
STORE = {"store": {"ann": BLOCKS}, "class_name": "SimpleChatStore"}
THREAD = {"values": {"messages": MESSAGES}, "next": [], "config": {"configurable": {"thread_id": "t"}}}
TOOL_TALK = [
    user("Is it open?"),
    {"role": "assistant", "tool_calls": [{"id": "step_0", "type": "function", "function": {"name": "hours", "arguments": '{"day": 1}'}}]},
    {"role": "tool", "tool_call_id": "step_0", "content": "6 pm"}, says("Until six."),
]  # fmt: skip


def node(parent: str | None, children: list[str], role: str | None, text: str = "", **fields: Any) -> dict[str, Any]:
    content = {"content_type": "text", "parts": [text]}
    message = {"author": {"role": role}, "content": content, "recipient": "all", **fields} if role else None
    return {"parent": parent, "children": children, "message": message}


MAPPING = {
    "root": node(None, ["s"], None), "s": node("root", ["q"], "system"), "q": node("s", ["old", "new"], "user", "Is it open?"),
    "old": node("q", [], "assistant", "No idea."), "new": node("q", [], "assistant", "Until six."),
}  # fmt: skip
TREE = {
    "message_id": "1", "text": "Is it open?", "role": "prompter",
    "replies": [
        {"message_id": "2", "text": "No.", "role": "assistant", "rank": 1, "replies": []},
        {"message_id": "3", "text": "Until six.", "role": "assistant", "rank": 0, "labels": {"spam": 0}, "replies": [
            {"message_id": "4", "text": "Thanks.", "role": "prompter", "replies": []}]},
    ],
}  # fmt: skip
TABLE = [
    {"message_id": "1", "parent_id": None, "role": "prompter", "text": "Is it open?", "lang": "en"},
    {"message_id": "2", "parent_id": "1", "role": "assistant", "text": "Until six.", "lang": "en"},
]

FILES: dict[str, tuple[str, Any, list[Any]]] = {
    "file history": ("json", [stored(HUMAN), stored(AI)], [TALK]),
    "file histories": ("json", [[stored(HUMAN), stored(AI)], [stored(HUMAN), stored(AI)]], [TALK, TALK]),
    "sessions": ("json", {"a": [stored(HUMAN), stored(AI)], "b": DUMPED}, [TALK, TALK]),
    "dumpd": ("json", DUMPED, [TALK]),
    "dumps twice": ("json", json.dumps(DUMPED), [TALK]),
    "prompt value": ("json", {"lc": 1, "type": "constructor", "id": ["x", "ChatPromptValue"], "kwargs": {"messages": DUMPED}}, [TALK]),
    "state": ("jsonl", [{"messages": MESSAGES}], [TALK]),
    "thread": ("json", THREAD, [TALK]),
    "state history": ("json", [THREAD, {**THREAD, "values": {"messages": [HUMAN]}}], [TALK]),
    "checkpoint": ("json", {"checkpoint": {"v": 1, "channel_values": {"messages": MESSAGES}}, "metadata": {"step": 1}}, [TALK]),
    "state of openai's messages": ("json", {"values": {"messages": TALK}}, [TALK]),
    "state with a system prompt": ("json", {"values": {"messages": MESSAGES, "system_prompt": "Be brief."}}, [[SYSTEM, *TALK]]),
    "memory of langchain": ("json", {"chat_memory": {"messages": MESSAGES}, "memory_key": "history"}, [TALK]),
    "executor": ("json", [{
        "input": "Is it open?", "output": "Until six.",
        "intermediate_steps": [[{"tool": "hours", "tool_input": {"day": 1}, "log": "", "type": "AgentAction"}, "6 pm"]],
    }], [TOOL_TALK]),
    "chat store": ("json", STORE, [TALK]),
    "persisted chat store": ("json", json.dumps(STORE), [TALK]),
    "memory of llama-index": ("json", {"chat_store": STORE, "chat_store_key": "ann", "token_limit": 9}, [TALK]),
    "memory with its store as text": ("json", {"chat_store": json.dumps(STORE), "chat_store_key": "ann"}, [TALK]),
    "chatgpt": ("json", [{"title": "Hours", "mapping": MAPPING, "current_node": "new", "voice": None, "is_archived": False}], [TALK]),
    "claude": ("json", [{"uuid": "u", "name": "Hours", "chat_messages": [
        {"sender": "human", "text": "Is it open?", "content": [{"type": "text", "text": "Is it open?", "start_timestamp": "x"}]},
        {"sender": "assistant", "text": "Until six.", "attachments": [], "files": []},
    ]}], [TALK]),
    "claude with an attachment": ("json", [{"uuid": "u", "chat_messages": [
        {"sender": "human", "text": "Is it open?", "attachments": [{"file_name": "a.txt", "extracted_content": "Hours: 9-6"}]},
        {"sender": "assistant", "text": "Until six."},
    ]}], [[user("Hours: 9-6\n\nIs it open?"), says("Until six.")]]),
    "tree": ("jsonl", [{"message_tree_id": "1", "tree_state": "ready", "prompt": TREE}], [TALK]),
    "table of messages": ("jsonl", [*reversed(TABLE)], [TALK]),
    "turns of input and output": ("json", [{"conversation": [
        {"system": "Be brief.", "input": "Is it open?", "output": "Until six."}, {"input": "And today?", "output": "Closed."}
    ]}], [[SYSTEM, *LONGER]]),
    "turns of user and assistant": ("jsonl", [{"turns": [
        {"user": "Is it open?", "assistant": "Until six."}, {"user": "And today?"}, {"assistant": "Closed."}
    ]}], [LONGER]),
    "pairs": ("jsonl", [{"conversations": [["Is it open?", "Until six."], ["And today?", "Closed."]]}], [LONGER]),
    "pairs with roles": ("jsonl", [{"dialog": [["user", "Is it open?"], ["assistant", "Until six."]]}], [TALK]),
    "speakers": ("jsonl", [{"dialogue": [{"speaker": "User", "text": "Is it open?"}, {"speaker": "Bot", "text": "Until six."}]}], [TALK]),
    "roles with texts": ("jsonl", [{"conversation": [{"role": "user", "text": "Is it open?"}, {"role": "bot", "text": "Until six."}]}], [TALK]),
    "another name of a system prompt": ("jsonl", [{"systemPrompt": "Be brief.", "messages": TALK}], [[SYSTEM, *TALK]]),
    "turns in messages": ("jsonl", [{"system": "Be brief.", "messages": [
        {"from": "human", "value": "Is it open?"}, {"from": "gpt", "value": "Until six."}
    ]}], [[SYSTEM, *TALK]]),
    "json text": ("jsonl", [{"conversation": json.dumps(TALK)}], [TALK]),
}  # fmt: skip


def write(folder: Path, suffix: str, document: Any) -> Path:
    path = folder / f"in.{suffix}"
    path.write_text("\n".join(map(json.dumps, document)) if suffix == "jsonl" else json.dumps(document), "utf-8")
    return path


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read(name: str, tmp_path: Path):
    suffix, document, conversations = FILES[name]
    report = write_jsonl(load(write(tmp_path, suffix, document)), tmp_path / "out.jsonl").report
    lines = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"messages": messages} for messages in conversations]
    names = {"chatgpt": "mapping.branches", "tree": "replies[].others"}
    assert list(report.left_out) == (
        [names[name]] if name in names else ["memory_key"] if name == "memory of langchain" else []
    ), name


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([{"dialog": ["Is it open?", "Until six."]}], "does not say who speaks"),
        ({"docstore/data": {"x": {"__data__": "{}"}}}, "document store"),
        ([{"uuid": "u", "chat_messages": [{"sender": "human", "text": "Look.", "files": [{"file_name": "a.png"}]}]}], r"files\b"),
        ([{"mapping": {"q": node(None, [], "user", "x = 1", recipient="python")}, "current_node": "q"}], "'python'"),
        ([{"messages": MESSAGES, "label": False}], "label"),
        ([TABLE[0], {**TABLE[1], "parent_id": "9"}], "its parent, is not there"),
    ],
)
def test_what_a_row_cannot_hold_is_refused_by_name(document: Any, text: str, tmp_path: Path):
    with pytest.raises(DatasetError, match=text):
        write_jsonl(load(write(tmp_path, "json", document)), tmp_path / "out.jsonl")


def test_lines_of_single_messages_are_no_conversations(tmp_path: Path):
    with pytest.raises(DatasetError, match="each record is a single message"):
        load(write(tmp_path, "jsonl", [stored(HUMAN), stored(AI)]))


def test_the_reasoning_of_chatgpt_belongs_to_the_next_answer(tmp_path: Path):
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "It is Monday."}]}
    mapping = {
        "q": node(None, ["t"], "user", "Is it open?"), "t": node("q", ["a"], "assistant", content=thoughts),
        "a": node("t", [], "assistant", "Until six."),
    }  # fmt: skip
    (row,) = load([{"mapping": mapping, "current_node": "a"}])
    assert row == {"messages": [user("Is it open?"), says("Until six.", reasoning="It is Monday.")]}
