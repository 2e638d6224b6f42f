"""Merges consecutive messages of the same role, where nothing is lost by it."""

from __future__ import annotations

from typing import Any, Final

from together_adapters.finetune.records import Row

_SEPARATOR: Final = "\n\n"
_ROLES: Final = ("system", "user", "assistant")
_MERGEABLE_KEYS: Final = frozenset({"content", "reasoning", "tool_calls"})


def merge_consecutive(row: Row) -> bool:
    """Merges consecutive messages of the same role, with a blank line between their texts; returns whether there were any."""
    prompt = row.get("input")
    conversations = [row.get("messages"), prompt.get("messages") if isinstance(prompt, dict) else None]
    return sum(_merge_all(messages) for messages in conversations if isinstance(messages, list)) > 0


def _merge_all(messages: list[Any]) -> bool:
    result: list[Any] = []
    for message in messages:
        if result and _can_merge(result[-1], message):
            result[-1] = _merge(result[-1], message)
        else:
            result.append(message)
    has_changed = len(result) < len(messages)
    messages[:] = result
    return has_changed


def _can_merge(one: Any, other: Any) -> bool:
    """Whether two messages have the same role, name and weight, and no tool call between them waits for its result."""
    if not isinstance(one, dict) or not isinstance(other, dict) or one.get("role") not in _ROLES or one.get("tool_calls"):
        return False
    if any(one.get(key) != other.get(key) for key in (one.keys() | other.keys()) - _MERGEABLE_KEYS):
        return False
    has_text = all(isinstance(message.get("reasoning", ""), str) for message in (one, other))
    return has_text and all(isinstance(message.get("content") or "", str | list) for message in (one, other))


def _merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    message = {**one, **other}
    content = _merge_contents(one.get("content"), other.get("content"))
    if content is not None:
        message["content"] = content
    reasoning = [part["reasoning"] for part in (one, other) if part.get("reasoning")]
    if reasoning:
        message["reasoning"] = _SEPARATOR.join(reasoning)
    return message


def _merge_contents(one: Any, other: Any) -> Any:
    if not one or not other:
        return one or other or (one if one is not None else other)
    if isinstance(one, str) and isinstance(other, str):
        return one + _SEPARATOR + other
    return [*_parts_of(one), *_parts_of(other)]


def _parts_of(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]
