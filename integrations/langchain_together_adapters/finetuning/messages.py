"""Converts LangChain's messages to the messages of a row. Objects are read as the JSON that LangChain would export.

Most conversations hold nothing but text, reasoning, tool calls and results: `plain_rows` is a fast path for these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from together_adapters.finetune.formats.conversation import FrameworkConversationBuilder, json_text
from together_adapters.finetune.formats.framework_source import other_framework
from together_adapters.finetune.formats.langchain_json import is_message, is_pair, read_fields, read_langchain_message
from together_adapters.finetune.formats.openai import is_plain
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.records import Converted, Row, Unconvertible

_KINDS: Final[dict[type, str]] = {
    AIMessage: "ai", HumanMessage: "human", ToolMessage: "tool", SystemMessage: "system", FunctionMessage: "function",
    ChatMessage: "chat",
}  # fmt: skip


def plain_rows(messages: Iterable[Any]) -> list[Row] | None:
    """Converts a conversation of texts, reasoning, calls and results, or returns None if it holds anything else."""
    rows: list[Row] = []
    for message in messages:
        kind = type(message)
        if kind is AIMessage:
            role = "assistant"
        elif kind is HumanMessage:
            role = "user"
        elif kind is ToolMessage:
            role = "tool"
        elif kind is SystemMessage:
            role = "system"
        else:
            return None
        fields = message.__dict__
        content, extras = fields["content"], fields["additional_kwargs"]
        if type(content) is not str:
            return None
        row = {"role": role, "content": content}
        if kind is AIMessage:
            if fields["invalid_tool_calls"] or (extras and not _plain_extras(row, extras)):
                return None
            if fields["tool_calls"] and not _plain_calls(row, fields["tool_calls"]):
                return None
        elif extras:
            return None
        elif kind is ToolMessage:
            row["tool_call_id"] = fields["tool_call_id"]
            if fields["status"] == "error" or not fields["tool_call_id"]:
                return None
        if fields["name"]:
            row["name"] = fields["name"]
        rows.append(row)
    return rows


def _plain_extras(row: Row, extras: Mapping[str, Any]) -> bool:
    """Copies the reasoning to a row's message; returns False if there is anything else."""
    for key, value in extras.items():
        if key == "reasoning_content" and type(value) is str:
            if value:
                row["reasoning"] = value
        elif value and key != "tool_calls":  # the same calls in the provider's format
            return False
    return True


def _plain_calls(row: Row, calls: Iterable[Any]) -> bool:
    """Copies the calls to a row's message; returns False if one lacks an id or a name."""
    row["tool_calls"] = tool_calls = []
    for one in calls:
        if not one["id"] or not one["name"]:
            return False
        function = {"name": one["name"], "arguments": json_text(one["args"])}
        tool_calls.append({"id": one["id"], "type": "function", "function": function})
    if not row["content"]:
        del row["content"]
    return True


def convert_messages(messages: Iterable[Any], options: Options, number: int) -> Converted:
    """Converts a conversation to a row with its messages. `number` is the record's."""
    messages = list(messages)
    changes: list[str] = []
    if all(type(message) is dict for message in messages) and is_plain(messages, changes):
        return Converted({"messages": [dict(message) for message in messages]}, None, tuple(changes))
    builder = FrameworkConversationBuilder(options, number)
    for message in _merge_chunks(messages):
        read_message(builder, message)
    return builder.converted()


def read_message(builder: FrameworkConversationBuilder, message: Any) -> None:
    """Adds a message (an object, a dict, a pair of role and content, or a user's text) to a conversation."""
    kind = _KINDS.get(type(message))  # `isinstance` is slow for the classes of messages
    if kind is None and not isinstance(message, BaseMessage):
        if not isinstance(message, str) and not is_pair(message) and not is_message(message):
            raise Unconvertible(
                "message_kind_unknown", f"a {type(message).__name__} is no message{other_framework(message)}", builder.path
            )
        read_langchain_message(builder, message)
        return
    kind = kind or next((kind for base, kind in _KINDS.items() if isinstance(message, base)), None)
    if kind is None:
        name = type(message).__name__
        raise Unconvertible("message_kind_unknown", f"a {name} is no part of a conversation", builder.path, name)
    read_fields(builder, kind, vars(message))


def _merge_chunks(messages: Iterable[Any]) -> Iterator[Any]:
    """Yields the messages; the chunks of one message are merged."""
    chunks: list[BaseMessageChunk] = []
    for message in messages:
        if chunks and not (type(message) is type(chunks[0]) and _is_same_message(chunks[0], message)):
            yield _merged(chunks)
            chunks = []
        if type(message) not in _KINDS and isinstance(message, BaseMessageChunk):
            chunks.append(message)
        else:
            yield message
    if chunks:
        yield _merged(chunks)


def _merged(chunks: list[BaseMessageChunk]) -> Any:
    first, *others = chunks
    if isinstance(first, AIMessageChunk):
        return first + others if others else first  # all at once: one by one, long answers would take long
    for other in others:
        first = first + other
    return first


def _is_same_message(first: BaseMessageChunk, second: BaseMessageChunk) -> bool:
    """Whether two chunks belong to one message. Without ids, consecutive chunks of the model do."""
    return first.id == second.id if first.id or second.id else isinstance(first, AIMessageChunk)
