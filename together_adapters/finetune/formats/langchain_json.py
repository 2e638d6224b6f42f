"""LangChain's messages as JSON: read by an own list of classes, since what builds any class from a file builds an attacker's too."""

from __future__ import annotations

from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.conversation import Talk, call
from together_adapters.finetune.formats.openai import read_message
from together_adapters.finetune.records import Row, Unconvertible

_CLASSES: Final = {
    "HumanMessage": "human", "HumanMessageChunk": "human", "AIMessage": "ai", "AIMessageChunk": "ai",
    "SystemMessage": "system", "SystemMessageChunk": "system", "ToolMessage": "tool", "ToolMessageChunk": "tool",
    "FunctionMessage": "function", "FunctionMessageChunk": "function", "ChatMessage": "chat", "ChatMessageChunk": "chat",
}  # fmt: skip
_KINDS: Final = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "function", "chat": ""}
_HOMES: Final = ("langchain", "langchain_core")
_NO_CONTENT: Final = frozenset({"tool_use", "tool_call", "tool_call_chunk", "function_call"})


def is_message(value: Any) -> bool:
    """Whether a value looks like a message in one of LangChain's three JSON forms, or in OpenAI's."""
    if not isinstance(value, dict):
        return False
    return value.get("lc") == 1 or value.get("type") in _CLASSES or value.get("type") in _KINDS or "role" in value


def read_lc(talk: Talk, message: Any) -> None:
    """Take a message into a conversation.

    Args:
        talk: The conversation.
        message: `{"lc": 1, "id": [...], "kwargs"}`, `{"type", "data"}`, `{"type", "content"}`, or OpenAI's form.

    Raises:
        Unconvertible: It is of no class that is known, or holds what cannot be trained on.
    """
    if not isinstance(message, dict):
        raise Unconvertible("message_not_object", f"a message must be an object, not {kind_of(message)}", talk.path, message)
    if "role" in message and "lc" not in message and message.get("type") not in _KINDS:
        read_message(talk, message)
        return
    kind, fields = _fields(talk, message)
    role = _KINDS[kind] or fields.get("role")
    extra = fields.get("additional_kwargs") or {}
    if role == "assistant":
        _read_answer(talk, fields, extra)
    elif role in ("tool", "function"):
        status = {"status": "error"} if fields.get("status") == "error" else {}
        talk.result(fields.get("content"), fields.get("tool_call_id"), fields.get("name"), **status)
    else:
        named = {"name": fields["name"]} if fields.get("name") else {}
        talk.add(extra.get("__openai_role__") or role, fields.get("content"), **named)


def _fields(talk: Talk, message: Row) -> tuple[str, Row]:
    """The kind of a message, and what it holds."""
    if "lc" in message:
        home = message.get("id") or [""]
        name = home[-1] if isinstance(home, list) and home[0] in _HOMES else None
        if message.get("type") != "constructor" or name not in _CLASSES:
            raise Unconvertible("foreign_class", "it is no message of LangChain", talk.path, message.get("id"))
        return _CLASSES[name], message.get("kwargs") or {}
    kind = message.get("type")
    kind = _CLASSES.get(str(kind), kind)
    if kind not in _KINDS:
        raise Unconvertible("foreign_class", f"there is no message of type {kind!r}", talk.path, kind)
    data = message.get("data")
    return str(kind), data if isinstance(data, dict) else message


def _read_answer(talk: Talk, fields: Row, extra: Row) -> None:
    if fields.get("invalid_tool_calls"):
        raise Unconvertible(
            "tool_call_invalid", "the answer has a tool call that could not be read", talk.path, fields["invalid_tool_calls"]
        )
    path = f"{talk.path}.tool_calls"
    made = [call(one.get("name"), one.get("args"), one.get("id"), talk.options, path) for one in fields.get("tool_calls") or ()]
    if not made:
        legacy = extra.get("function_call")
        given = extra.get("tool_calls") or ([{"function": legacy}] if isinstance(legacy, dict) else [])
        for one in given:
            function = one.get("function") or {}
            made.append(call(function.get("name"), function.get("arguments"), one.get("id"), talk.options, path))
    content = fields.get("content")
    if isinstance(content, list):
        content = [part for part in content if not (isinstance(part, dict) and part.get("type") in _NO_CONTENT)]
    reasoning = extra.get("reasoning_content") or extra.get("reasoning")
    talk.answer(content, made, reasoning if isinstance(reasoning, str) else None)
