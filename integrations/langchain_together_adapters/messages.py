"""LangChain's messages to the messages of a request. Pure; see `adapters.foreign_blocks` for what is refused and what is told."""

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
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_together_adapters.tool_calls import wire_tool_calls
from together_adapters.adapters.content_blocks import content_parts
from together_adapters.adapters.foreign_blocks import History, reasoning_text
from together_adapters.adapters.response_fields import REASONING_FIELD, replay_field
from together_adapters.adapters.tool_arguments import json_arguments, result_fields
from together_adapters.types.capabilities import ReasoningStyle

Wire = dict[str, Any]

_ROLES = {"developer": "system", "human": "user", "ai": "assistant", "model": "assistant", "chatbot": "assistant"}
_ROLES_OF_HISTORY = frozenset({"assistant", "tool", "function"})
_TOOL_OUTPUTS = ("tool_outputs", "executed_tools")
"""Where ChatOpenAI and ChatGroq put what the provider's own tools did."""


def wire_messages(
    messages: Iterable[BaseMessage],
    *,
    replay_reasoning: bool = False,
    reasoning_style: ReasoningStyle | None = None,
    takes_images: bool = False,
) -> list[Wire]:
    """Return the messages of a request; `reasoning_style` is where the model has its reasoning, `takes_images` whether it takes them.

    A block of a user or system message that cannot be expressed is a `ValueError`, a message without a role a `TypeError`.
    """
    wire: list[Wire] = []
    history = History(takes_images=takes_images)
    for message in messages:
        if history.images and not isinstance(message, ToolMessage):
            wire += history.moved_images()
        if isinstance(message, AIMessage):
            wire.append(_assistant(message, history))
            if replay_reasoning:
                wire[-1] |= _reasoning(message, reasoning_style)
        elif isinstance(message, HumanMessage):
            wire.extend(_user(message, history))
        elif isinstance(message, RemoveMessage):
            history.note("RemoveMessage", "history")
        else:
            wire.append(_other(message, history))
    if history.untold:
        history.warn()
    return wire + history.moved_images() if history.images else wire


def _other(message: BaseMessage, history: History) -> Wire:
    if isinstance(message, SystemMessage):
        return _with_name({"role": "system", "content": _text(message.content, "system")}, message)
    if isinstance(message, ToolMessage):
        content = history.text(message.content, "tool") or _structured_content(message.artifact)
        return _with_name({"role": "tool", "content": content, "tool_call_id": message.tool_call_id or ""}, message)
    if isinstance(message, FunctionMessage):
        return {"role": "function", "name": message.name, "content": history.text(message.content, "function")}
    if isinstance(message, ChatMessage):
        role = _ROLES.get(message.role, message.role)
        wire = _with_name({"role": role, "content": _chat_content(message.content, role, history)}, message)
        return {**wire, "tool_call_id": str(message.additional_kwargs.get("tool_call_id") or "")} if role == "tool" else wire
    raise TypeError(f"a {type(message).__name__} cannot be sent: it has no role")


def _chat_content(content: Any, role: str, history: History) -> str | list[Wire]:
    if role in _ROLES_OF_HISTORY:
        return history.text(content, role)
    if role == "system":
        return _text(content, role)
    return content if isinstance(content, str) else _parts(content, role)


def _structured_content(artifact: Any) -> str:
    """Return the result of an MCP tool that has no content but this."""
    content = artifact.get("structured_content") if isinstance(artifact, Mapping) else None
    return "" if content is None else json.dumps(content, ensure_ascii=False, default=str)


def _with_name(wire: Wire, message: BaseMessage) -> Wire:
    return {**wire, "name": message.name} if message.name else wire


def _user(message: HumanMessage, history: History) -> Iterable[Wire]:
    """Return a user's message; tool results inside it, which is Anthropic's way, become messages of their own."""
    if isinstance(message.content, str):
        return [_with_name({"role": "user", "content": message.content}, message)]
    results = [(block, result_fields(block)) for block in message.content]
    wire = [_tool_result(*result, history) for _, result in results if result is not None]
    blocks = [block for block, result in results if result is None]
    wire += history.moved_images()
    if blocks or not wire:
        wire.append(_with_name({"role": "user", "content": _parts(blocks, "user")}, message))
    return wire


def _tool_result(call_id: str, content: Any, history: History) -> Wire:
    return {"role": "tool", "content": history.text(content, "tool"), "tool_call_id": call_id}


def _assistant(message: AIMessage, history: History) -> Wire:
    calls, extra = wire_tool_calls(message), message.additional_kwargs
    text = history.text(message.content, "assistant", "")
    if extra:
        text = _with_outputs(text, extra, history)
    wire = _with_name({"role": "assistant", "content": text or (None if calls else "")}, message)
    if calls:
        wire["tool_calls"] = calls
    elif isinstance(function := extra.get("function_call"), Mapping):
        wire["function_call"] = {
            "name": str(function.get("name") or ""),
            "arguments": json_arguments(function.get("arguments")),
        }
    return wire


def _with_outputs(text: str, extra: Mapping[str, Any], history: History) -> str:
    """Return a text with what other integrations of LangChain keep beside the content of a message."""
    outputs = [output for name in _TOOL_OUTPUTS if isinstance(extra.get(name), list) for output in extra[name]]
    audio = extra.get("audio")
    refusal = extra.get("refusal") or (audio.get("transcript") if isinstance(audio, Mapping) else None)
    texts = [history.text(outputs, "assistant"), text, refusal if isinstance(refusal, str) and refusal not in text else ""]
    return "\n".join(filter(None, texts))


def _reasoning(message: AIMessage, style: ReasoningStyle | None) -> dict[str, str]:
    """Return the reasoning of a message in the field in which it came."""
    extra, field = message.additional_kwargs, message.response_metadata.get(REASONING_FIELD)
    if isinstance(text := extra.get("reasoning_content"), str) and text:
        return {replay_field(field, style): text}
    if isinstance(text := extra.get("reasoning"), str) and text:
        return {"reasoning": text}  # of other integrations
    text = _reasoning_of_blocks(message)
    return {replay_field(field, style): text} if text else {}


def _reasoning_of_blocks(message: AIMessage) -> str:
    summary = message.additional_kwargs.get("reasoning")
    if isinstance(summary, Mapping):  # of ChatOpenAI
        return reasoning_text([{"type": "reasoning", **summary}])
    return "" if isinstance(message.content, str) else reasoning_text(message.content or ())


def _parts(content: Any, role: str) -> list[Wire]:
    return [part for block in content or () for part in _parts_of(block, role)]


def _parts_of(block: Any, role: str) -> list[Wire]:
    """Return the content parts of a string or a block."""
    try:
        return content_parts(block)
    except ValueError as error:
        raise _block_error(block, role, str(error)) from None


def _text(content: str | Sequence[Any], role: str) -> str:
    """Return content that must be text as one string."""
    if isinstance(content, str):
        return content
    parts = _parts(content, role)
    for part in parts:
        if part["type"] != "text":
            raise _block_error(part, role, "it can hold text alone")
    return "\n".join(part["text"] for part in parts)


def _block_error(block: Any, role: str, reason: str) -> ValueError:
    kind = type(block).__name__
    if isinstance(block, Mapping):
        kind = block.get("type") or ", ".join(map(str, block))
    mime = block.get("mime_type") if isinstance(block, Mapping) else None
    label = f"{kind!r} ({mime})" if mime else repr(kind)
    return ValueError(f"a content block of type {label} in a {role} message cannot be sent: {reason}")
