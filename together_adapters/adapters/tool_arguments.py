"""Tool calls of earlier messages, whatever provider's model made them, as tool calls of a request. Pure."""

from __future__ import annotations

import json
import re
from ast import literal_eval
from collections.abc import Mapping
from math import isfinite
from typing import Any

from together_adapters.adapters.content_blocks import kind_of, plain_block, unwrap
from together_adapters.adapters.foreign_blocks import TOOL_CALL_KINDS
from together_adapters.transport.surrogates import whole_characters

UNREADABLE = "raw_arguments"
"""The key of arguments that are no JSON object, and are kept as text."""
_RESULT_KINDS = frozenset({"tool_result", "function_response", "function_call_output", "custom_tool_call_output"})
_IDS = ("call_id", "callId", "tool_use_id", "toolUseId", "tool_call_id", "toolCallId", "id")
_NAMES = ("name", "tool_name", "toolName")
_ARGUMENTS = ("arguments", "args", "input", "tool_kwargs", "partial_json")
_CONTENTS = ("content", "output", "response", "result")
_MAX_LITERAL = 100_000
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_UNKNOWN_ESCAPE = re.compile(r"\\[^\\'\"abfnrtvxuUN0-7\n]")

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

CallFields = tuple[str, str, Any]
"""Id, name and arguments of a tool call."""


def request_call(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    """Return a tool call of a message in a request: id and name are text, and arguments always a JSON object."""
    call_id, name = call_id or "", name or "unknown_tool"
    function = {"name": name if type(name) is str else str(name), "arguments": json_arguments(arguments)}
    return {"id": call_id if type(call_id) is str else str(call_id), "type": "function", "function": function}


def json_arguments(value: Any) -> str:
    """Return arguments as the text of a JSON object; those that are none are kept as text in an object."""
    try:
        if type(value) is dict:
            text = _encode(value)
            return whole_characters(text)
        if isinstance(value, bytes | bytearray):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str):
            return _json_object(value)
        if value is None:
            return "{}"
        if hasattr(value, "model_dump"):
            value = value.model_dump()
        return _dump(value if isinstance(value, Mapping) else {UNREADABLE: json.dumps(_json_value(value), ensure_ascii=False)})
    except (TypeError, ValueError, RecursionError):
        return _dump(value if isinstance(value, Mapping) else {UNREADABLE: _representation(value)})


def _json_object(text: str) -> str:
    """Return text that is a JSON object as it is, and one that is written in another way as JSON."""
    value: Any = text
    for _ in range(3):  # some engines encode twice
        try:
            value = json.loads(value)
        except ValueError:
            value = _lenient(value)
        if not isinstance(value, str):
            break
    if isinstance(value, dict):
        is_json = text.lstrip()[:1] == "{" and not _SURROGATE.search(text) and _is_strict(text)
        return whole_characters(text) if is_json else _dump(value)
    return "{}" if value is None or not text.strip() else _dump({UNREADABLE: text})


def _is_strict(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _lenient(text: str) -> Any:
    """Return an object with raw line breaks in its strings, or one as Python writes it; else False."""
    try:
        return json.loads(text, strict=False)
    except ValueError:
        pass
    if text.lstrip()[:1] != "{" or len(text) > _MAX_LITERAL or _UNKNOWN_ESCAPE.search(text):
        return False
    try:
        value = literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return value if isinstance(value, dict) else False


def _dump(value: Any) -> str:
    try:
        return whole_characters(_encode(_json_value(value)))
    except (TypeError, ValueError, RecursionError):
        return json.dumps({UNREADABLE: _representation(value)})


def _representation(value: Any) -> str:
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception:  # of an object of somebody else
        return f"a {type(value).__name__}"


def _json_value(value: Any) -> Any:
    """Return a value as JSON can express it: what is no number and foreign objects become text."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(inner) for inner in value]
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if hasattr(value, "model_dump"):
        return _json_value(value.model_dump())
    return value if value is None or isinstance(value, str | int) else str(value)


def call_fields(block: Any) -> CallFields | None:
    """Return what a block of a tool call says, in any provider's layout; None where it is no tool call."""
    block = unwrap(block)
    if not isinstance(block, Mapping):
        return None
    fields = plain_block(block)
    function = fields.get("function")
    if isinstance(function, Mapping):
        fields |= function
    elif fields["type"] not in TOOL_CALL_KINDS or fields["type"] == "input_json_delta":
        return None
    arguments = next((fields[key] for key in _ARGUMENTS if fields.get(key)), None)
    return _first(fields, _IDS), _first(fields, _NAMES), arguments


def legacy_call_fields(call: Any) -> CallFields | None:
    """Return what an older tool call says, which is an object of an SDK, or a dict that may have no type."""
    if not isinstance(call, Mapping) and hasattr(call, "model_dump"):
        call = call.model_dump()
    if not isinstance(call, Mapping):
        return None
    return call_fields(call) or call_fields({"type": "tool_call", **{key: call[key] for key in call if key != "type"}})


def result_fields(block: Any) -> tuple[str, Any] | None:
    """Return id and content of a tool's result that stands in a user's message; None for other blocks."""
    block = unwrap(block)
    if kind_of(block) not in _RESULT_KINDS:
        return None
    fields = plain_block(block)
    content = next((fields[key] for key in _CONTENTS if fields.get(key) is not None), "")
    return _first(fields, _IDS), [{"type": "json", "json": content}] if isinstance(content, dict) else content


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((str(fields[name]) for name in names if fields.get(name)), "")
