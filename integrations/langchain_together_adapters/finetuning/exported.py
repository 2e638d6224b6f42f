"""Messages that were written as JSON: by `dumpd`, by `messages_to_dict`, by LangSmith. Only messages are made of them, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)

from together_adapters.finetune.records import Unconvertible

_CLASSES: Final[dict[str, type[BaseMessage]]] = {
    kind.__name__: kind
    for kind in (
        AIMessage, AIMessageChunk, ChatMessage, ChatMessageChunk, FunctionMessage, HumanMessage, HumanMessageChunk, RemoveMessage,
        SystemMessage, SystemMessageChunk, ToolMessage, ToolMessageChunk,
    )
}  # fmt: skip
_TYPES: Final[dict[str, type[BaseMessage]]] = {
    "human": HumanMessage, "ai": AIMessage, "system": SystemMessage, "tool": ToolMessage, "function": FunctionMessage,
    "chat": ChatMessage, "remove": RemoveMessage, **_CLASSES,
}  # fmt: skip


def is_exported(value: Mapping[str, Any]) -> bool:
    """Whether a dict is a message that was written as JSON."""
    if value.get("lc") == 1:
        return value.get("type") == "constructor"
    return value.get("type") in _TYPES and ("content" in value or isinstance(value.get("data"), Mapping))


def message_of(value: Mapping[str, Any]) -> BaseMessage:
    """Return the message; classes are chosen from a fixed list, and none is imported by name.

    Raises:
        Unconvertible: It is no message, or an incomplete one.
    """
    if value.get("lc") == 1:
        kind = str((value.get("id") or ["?"])[-1])
        fields = value.get("kwargs")
    else:
        kind = str(value.get("type"))
        fields = value["data"] if isinstance(value.get("data"), Mapping) else value
    made = _TYPES.get(kind)
    if made is None or not isinstance(fields, Mapping):
        raise Unconvertible("message_kind_unknown", f"a {kind} is no message", value=kind)
    try:
        return made(**{key: held for key, held in fields.items() if key != "type" and held is not None})
    except ValueError as problem:
        text = f"this {kind} is not complete: {str(problem).splitlines()[0]}"
        raise Unconvertible("message_kind_unknown", text, value=kind) from None
