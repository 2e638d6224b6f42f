"""Functions as they were called before there were tools: `functions`, `function_call`, and results of the role function."""

from __future__ import annotations

from itertools import count
from typing import Any

from together_adapters.finetune.records import Row


def functions_to_tools(row: Row) -> bool:
    """Turn functions into tools, and their calls and results into those of tools.

    Calls are numbered within the row. A result belongs to the last call of its name that has none yet; one without a call stays
    as it is. The row must be a copy; its messages are replaced, not altered.
    """
    changed = False
    functions = row.get("functions")
    if "functions" in row and not row.get("tools"):
        del row["functions"]
        if isinstance(functions, list):
            row["tools"] = [{"type": "function", "function": function} for function in functions]
        changed = True
    talk = row.get("messages")
    if isinstance(talk, list) and any(_is_legacy(message) for message in talk):
        row["messages"] = _converted(talk)
        changed = changed or row["messages"] != talk
    return changed


def _is_legacy(message: Any) -> bool:
    return isinstance(message, dict) and ("function_call" in message or message.get("role") == "function")


def _converted(talk: list[Any]) -> list[Any]:
    taken = {call.get("id") for message in talk if isinstance(message, dict) for call in _calls(message)}
    waiting: dict[Any, str] = {}
    return [_message(message, taken, waiting) if _is_legacy(message) else message for message in talk]


def _message(message: dict[str, Any], taken: set[Any], waiting: dict[Any, str]) -> dict[str, Any]:
    """Convert a call or a result.

    Args:
        message: It.
        taken: Ids that are used in the row.
        waiting: The ids of the calls that wait for their result, by name.
    """
    called = message.get("function_call")
    if isinstance(called, dict) and not _calls(message):
        name = next(name for number in count() if (name := f"call_{number}") not in taken)
        taken.add(name)
        waiting[str(called.get("name"))] = name
        kept = {key: value for key, value in message.items() if key not in ("function_call", "tool_calls")}
        return {**kept, "tool_calls": [{"id": name, "type": "function", "function": called}]}
    if called is None and "function_call" in message:
        return {key: value for key, value in message.items() if key != "function_call"}
    if message.get("role") == "function" and (found := waiting.pop(str(message.get("name")), "")):
        return {**message, "role": "tool", "tool_call_id": found}
    return message


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
