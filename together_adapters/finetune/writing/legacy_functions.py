"""Converts functions, the predecessor of tools: `functions`, `function_call`, and messages of the role function."""

from __future__ import annotations

from itertools import count
from typing import Any

from together_adapters.finetune.records import Row


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
