"""Joining messages of the same role that follow each other, where nothing gets lost by it."""

from __future__ import annotations

from typing import Any, Final

from together_adapters.finetune.records import Row

_BREAK: Final = "\n\n"
_ROLES: Final = ("system", "user", "assistant")
_JOINED: Final = frozenset({"content", "reasoning", "tool_calls"})


def merge_consecutive(row: Row) -> bool:
    """Join neighbours of one role, with a blank line between their texts."""
    given = row.get("input")
    found = [row.get("messages"), given.get("messages") if isinstance(given, dict) else None]
    return sum(_merge(talk) for talk in found if isinstance(talk, list)) > 0


def _merge(talk: list[Any]) -> bool:
    merged: list[Any] = []
    for message in talk:
        if merged and _fit(merged[-1], message):
            merged[-1] = _joined(merged[-1], message)
        else:
            merged.append(message)
    changed = len(merged) < len(talk)
    talk[:] = merged
    return changed


def _fit(one: Any, other: Any) -> bool:
    """Whether two messages can be joined: the same role, name and weight, and no call that waits for its result between them."""
    if not isinstance(one, dict) or not isinstance(other, dict) or one.get("role") not in _ROLES or one.get("tool_calls"):
        return False
    if any(one.get(key) != other.get(key) for key in (one.keys() | other.keys()) - _JOINED):
        return False
    texts = all(isinstance(message.get("reasoning", ""), str) for message in (one, other))
    return texts and all(isinstance(message.get("content") or "", str | list) for message in (one, other))


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    joined = {**one, **other}
    content = _content(one.get("content"), other.get("content"))
    if content is not None:
        joined["content"] = content
    reasoning = [message["reasoning"] for message in (one, other) if message.get("reasoning")]
    if reasoning:
        joined["reasoning"] = _BREAK.join(reasoning)
    return joined


def _content(one: Any, other: Any) -> Any:
    """Two contents as one; an empty one adds nothing."""
    if not one or not other:
        return one or other or (one if one is not None else other)
    if isinstance(one, str) and isinstance(other, str):
        return one + _BREAK + other
    return [*_parts(one), *_parts(other)]


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]
