"""The two fixes that replace messages: functions become tools, their successor, and consecutive messages of a role become one."""

from __future__ import annotations

from itertools import count
from typing import Any, Final

from together_adapters.finetune.records import Row

_SEPARATOR: Final = "\n\n"
_ROLES: Final = ("system", "user", "assistant")
_MERGEABLE_KEYS: Final = frozenset({"content", "reasoning", "tool_calls"})


def functions_to_tools(row: Row) -> bool:
    """Converts functions, their calls and results, in new messages; a result belongs to the last call of its name without one."""
    has_changed = False
    functions = row.get("functions")
    if "functions" in row and not row.get("tools"):
        del row["functions"]
        if isinstance(functions, list):
            row["tools"] = [{"type": "function", "function": function} for function in functions]
        has_changed = True
    messages = row.get("messages")
    if isinstance(messages, list) and any(_is_legacy(message) for message in messages):
        row["messages"] = _convert(messages)
        has_changed = has_changed or row["messages"] != messages
    return has_changed


def _is_legacy(message: Any) -> bool:
    return isinstance(message, dict) and ("function_call" in message or message.get("role") == "function")


def _convert(messages: list[Any]) -> list[Any]:
    ids = {call.get("id") for message in messages if isinstance(message, dict) for call in _calls_of(message)}
    open_calls: dict[Any, str] = {}
    return [_convert_message(message, ids, open_calls) if _is_legacy(message) else message for message in messages]


def _convert_message(message: dict[str, Any], ids: set[Any], open_calls: dict[Any, str]) -> dict[str, Any]:
    """Converts a call or a result, given the ids used in the row, and those of calls without a result by name."""
    function_call = message.get("function_call")
    if isinstance(function_call, dict) and not _calls_of(message):
        call_id = next(name for number in count() if (name := f"call_{number}") not in ids)
        ids.add(call_id)
        open_calls[str(function_call.get("name"))] = call_id
        others = {key: value for key, value in message.items() if key not in ("function_call", "tool_calls")}
        return {**others, "tool_calls": [{"id": call_id, "type": "function", "function": function_call}]}
    if function_call is None and "function_call" in message:
        return {key: value for key, value in message.items() if key != "function_call"}
    if message.get("role") == "function" and (call_id := open_calls.pop(str(message.get("name")), "")):
        return {**message, "role": "tool", "tool_call_id": call_id}
    return message


def _calls_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


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
