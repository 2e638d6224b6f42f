"""Messages on their way out: LangChain's become the service's. Pure; what cannot be said raises and is named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_together_adapters.content_blocks import parts, text_of, tool_content

Wire = dict[str, Any]

_CALL_BLOCKS = frozenset({"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call"})
_THOUGHTS = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})


def wire_messages(messages: Sequence[BaseMessage], *, replay_reasoning: bool = False) -> list[Wire]:
    """Return a conversation as the service reads it.

    Args:
        messages: The conversation.
        replay_reasoning: Whether the assistant's earlier reasoning is sent back.

    Raises:
        ValueError: A content block cannot be expressed.
        TypeError: A message is of a kind that has no role.
    """
    written: list[Wire] = []
    for message in messages:
        if isinstance(message, AIMessage):
            written.append(_assistant(message, replay_reasoning))
        elif isinstance(message, HumanMessage):
            written.extend(_user(message))
        else:
            written.append(_other(message))
    return written


def _other(message: BaseMessage) -> Wire:
    if isinstance(message, SystemMessage):
        return _named({"role": "system", "content": text_of(message.content, "system", "\n")}, message)
    if isinstance(message, ToolMessage):
        answer = {"role": "tool", "content": tool_content(message.content), "tool_call_id": message.tool_call_id}
        return _named(answer, message)
    if isinstance(message, FunctionMessage):
        return {"role": "function", "name": message.name, "content": text_of(message.content, "function", "\n")}
    if isinstance(message, ChatMessage):
        content = message.content if isinstance(message.content, str) else parts(message.content, message.role)
        return _named({"role": message.role, "content": content}, message)
    raise TypeError(f"a {type(message).__name__} cannot be sent: it has no role")


def _named(message: Wire, source: BaseMessage) -> Wire:
    return {**message, "name": source.name} if source.name else message


def _user(message: HumanMessage) -> Iterable[Wire]:
    """A user's message; tool results inside it, as Anthropic's users write them, become messages of their own."""
    if isinstance(message.content, str):
        return [_named({"role": "user", "content": message.content}, message)]
    results = [block for block in message.content if _kind(block) == "tool_result"]
    rest = [block for block in message.content if _kind(block) != "tool_result"]
    written = [_tool_result(block) for block in results]
    if rest or not results:
        written.append(_named({"role": "user", "content": parts(rest, "user")}, message))
    return written


def _tool_result(block: Any) -> Wire:
    return {"role": "tool", "content": tool_content(block.get("content") or ""), "tool_call_id": block.get("tool_use_id") or ""}


def _assistant(message: AIMessage, replay_reasoning: bool) -> Wire:
    content = message.content
    spoken = content if isinstance(content, str) else [b for b in content if _kind(b) not in _CALL_BLOCKS | _THOUGHTS]
    calls = _calls(message)
    text = text_of(spoken, "assistant", "")
    written = _named({"role": "assistant", "content": text or (None if calls else "")}, message)
    if calls:
        written["tool_calls"] = calls
    elif function_call := message.additional_kwargs.get("function_call"):
        written["function_call"] = function_call
    if replay_reasoning and (reasoning := reasoning_of(message)):
        written["reasoning"] = reasoning
    return written


def _calls(message: AIMessage) -> list[Wire]:
    """The tool calls of a message: parsed ones, those that could not be parsed, and those that only its content tells."""
    calls = [_call(call["id"], call["name"], call["args"]) for call in message.tool_calls]
    calls += [_call(call["id"], call["name"] or "", call["args"] or "") for call in message.invalid_tool_calls]
    known = {call["id"] for call in calls}
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, dict) and _kind(block) in ("tool_use", "tool_call") and block.get("id") not in known:
            calls.append(_call(block.get("id"), block.get("name") or "", block.get("input") or block.get("args") or {}))
    return calls


def _call(identity: str | None, name: str, arguments: Any) -> Wire:
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"id": identity or "", "type": "function", "function": {"name": name, "arguments": written}}


def reasoning_of(message: AIMessage) -> str:
    """Return a message's reasoning, from wherever LangChain keeps it."""
    kept = message.additional_kwargs.get("reasoning_content")
    if isinstance(kept, str) and kept:
        return kept
    if isinstance(message.content, str):
        return ""
    blocks = [block for block in message.content if isinstance(block, Mapping) and _kind(block) in _THOUGHTS]
    return "".join(str(block.get("reasoning") or block.get("thinking") or "") for block in blocks)


def _kind(block: Any) -> str | None:
    return block.get("type") if isinstance(block, Mapping) else None
