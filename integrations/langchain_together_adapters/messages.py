"""LangChain's messages to the messages of a request. Pure; content that cannot be expressed raises an error that names it."""

from __future__ import annotations

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
from langchain_together_adapters.tool_calls import wire_tool_calls

Wire = dict[str, Any]

_TOOL_CALL_BLOCKS = frozenset({"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call"})
_REASONING_BLOCKS = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})


def wire_messages(messages: Sequence[BaseMessage], *, replay_reasoning: bool = False) -> list[Wire]:
    """Return the messages of a request, with the assistant's reasoning where `replay_reasoning` is set.

    Content blocks that cannot be expressed raise a `ValueError`, messages without a role a `TypeError`.
    """
    wire: list[Wire] = []
    for message in messages:
        if isinstance(message, AIMessage):
            wire.append(_assistant(message, replay_reasoning))
        elif isinstance(message, HumanMessage):
            wire.extend(_user(message))
        else:
            wire.append(_other(message))
    return wire


def _other(message: BaseMessage) -> Wire:
    if isinstance(message, SystemMessage):
        return _with_name({"role": "system", "content": text_of(message.content, "system", "\n")}, message)
    if isinstance(message, ToolMessage):
        wire = {"role": "tool", "content": tool_content(message.content), "tool_call_id": message.tool_call_id}
        return _with_name(wire, message)
    if isinstance(message, FunctionMessage):
        return {"role": "function", "name": message.name, "content": text_of(message.content, "function", "\n")}
    if isinstance(message, ChatMessage):
        content = message.content if isinstance(message.content, str) else parts(message.content, message.role)
        return _with_name({"role": message.role, "content": content}, message)
    raise TypeError(f"a {type(message).__name__} cannot be sent: it has no role")


def _with_name(wire: Wire, message: BaseMessage) -> Wire:
    return {**wire, "name": message.name} if message.name else wire


def _user(message: HumanMessage) -> Iterable[Wire]:
    """Return a user's message; tool results inside it, which is Anthropic's way, become messages of their own."""
    if isinstance(message.content, str):
        return [_with_name({"role": "user", "content": message.content}, message)]
    results = [block for block in message.content if _kind(block) == "tool_result"]
    blocks = [block for block in message.content if _kind(block) != "tool_result"]
    wire = [_tool_result(block) for block in results]
    if blocks or not results:
        wire.append(_with_name({"role": "user", "content": parts(blocks, "user")}, message))
    return wire


def _tool_result(block: Any) -> Wire:
    return {"role": "tool", "content": tool_content(block.get("content") or ""), "tool_call_id": block.get("tool_use_id") or ""}


def _assistant(message: AIMessage, replay_reasoning: bool) -> Wire:
    content: Any = message.content
    if not isinstance(content, str):
        content = [block for block in content if _kind(block) not in _TOOL_CALL_BLOCKS | _REASONING_BLOCKS]
    calls = wire_tool_calls(message)
    wire = _with_name({"role": "assistant", "content": text_of(content, "assistant", "") or (None if calls else "")}, message)
    if calls:
        wire["tool_calls"] = calls
    elif function_call := message.additional_kwargs.get("function_call"):
        wire["function_call"] = function_call
    if replay_reasoning and (reasoning := reasoning_of(message)):
        wire["reasoning"] = reasoning
    return wire


def reasoning_of(message: AIMessage) -> str:
    """Return a message's reasoning, which LangChain keeps in `additional_kwargs` or in content blocks."""
    reasoning = message.additional_kwargs.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        return reasoning
    if isinstance(message.content, str):
        return ""
    blocks = [block for block in message.content if isinstance(block, Mapping) and _kind(block) in _REASONING_BLOCKS]
    return "".join(str(block.get("reasoning") or block.get("thinking") or "") for block in blocks)


def _kind(block: Any) -> str | None:
    return block.get("type") if isinstance(block, Mapping) else None
