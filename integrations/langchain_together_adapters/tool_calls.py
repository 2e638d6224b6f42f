"""LangChain's tool calls from and to the wire, streamed ones as `adapters.tool_call_deltas` assembles them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall, ToolCallChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.utils.json import parse_partial_json

from together_adapters.adapters.tool_arguments import call_fields, request_call
from together_adapters.adapters.tool_call_deltas import AssembledToolCall, ToolCallUpdate, parse_arguments, whole_tool_calls


def wire_tool_calls(message: AIMessage) -> list[dict[str, Any]]:
    """Return the tool calls of a message: parsed ones, invalid ones, and those that only stand in its content blocks."""
    parsed = [*message.tool_calls, *message.invalid_tool_calls]
    calls = [request_call(call.get("id"), call.get("name"), call.get("args")) for call in parsed]
    ids = {call["id"] for call in calls}
    for block in message.content if isinstance(message.content, list) else ():
        fields = call_fields(block)
        if fields is not None and (not parsed or (fields[0] and fields[0] not in ids)):
            calls.append(request_call(*fields))
    return calls


def parse_tool_calls(tool_calls: Sequence[Any] | None) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Return the tool calls of a response, and those whose arguments are not a JSON object."""
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in whole_tool_calls(tool_calls):
        parsed = parse_tool_call(call.id, call.name, call.arguments)
        if parsed["type"] == "tool_call":  # pyright: ignore[reportTypedDictNotRequiredAccess]
            calls.append(parsed)
        else:
            invalid.append(parsed)
    return calls, invalid


def parse_tool_call(call_id: str, name: str, arguments: str) -> ToolCall | InvalidToolCall:
    """Return one tool call: an invalid one, instead of an exception, where its arguments are not a JSON object."""
    value = parse_arguments(arguments)
    if value is not None:
        return tool_call(name=name, args=value, id=call_id)
    try:
        json.loads(arguments, strict=False)
        problem = "the arguments are JSON, but not an object"
    except (ValueError, RecursionError) as error:
        problem = f"the arguments are not JSON: {error}"
    return invalid_tool_call(name=name, args=arguments, id=call_id, error=problem)


def tool_call_chunks(updates: Sequence[ToolCallUpdate]) -> list[ToolCallChunk]:
    """Return what the deltas of a chunk add to the tool calls of a streamed message."""
    chunks = [
        tool_call_chunk(name=name, args=arguments, id=call_id, index=call.position) for call, call_id, name, arguments in updates
    ]
    return chunks if len(chunks) < 2 else _merge(chunks)


def _merge(chunks: list[ToolCallChunk]) -> list[ToolCallChunk]:
    """Merge the chunks of each call: LangChain merges those of different messages only."""
    merged: dict[int | None, ToolCallChunk] = {}
    for chunk in chunks:
        if (first := merged.setdefault(chunk["index"], chunk)) is not chunk:
            first["id"] = first["id"] or chunk["id"]
            first["name"] = (first["name"] or "") + (chunk["name"] or "") or None
            first["args"] = (first["args"] or "") + (chunk["args"] or "")
    return list(merged.values())


def final_chunks(calls: Iterable[AssembledToolCall]) -> list[ToolCallChunk]:
    """Return the chunks that end calls: an id that never came, arguments that were quoted, and a break for broken ones."""
    return [
        tool_call_chunk(name=None, args=rest, id=call.id if call.service_id is None else None, index=call.position)
        for call in calls
        for rest in (_unquoted(call.arguments) if call.is_quoted else _break(call.arguments),)
        if rest or call.service_id is None
    ]


def _unquoted(arguments: str) -> str:
    value = parse_arguments(arguments)
    return arguments if value is None else json.dumps(value, ensure_ascii=False)


def _break(arguments: str) -> str:
    """Return what makes arguments that are not JSON invalid for LangChain too, which completes an object that was cut off.

    The tool would be called with other arguments than the model's. It is a closing bracket that fits nothing.
    """
    if parse_arguments(arguments) is not None or not _is_completed(arguments):
        return ""
    brackets, is_inside_string, is_escaped = [""], False, False
    for character in arguments:
        if character == '"' and not is_escaped:
            is_inside_string = not is_inside_string
        elif not is_inside_string and character in "{[":
            brackets.append(character)
        elif not is_inside_string and character in "}]":
            brackets[1:] = brackets[1:-1]
        is_escaped = is_inside_string and character == "\\" and not is_escaped
    return "\\" * is_escaped + '"' * is_inside_string + ("]" if brackets[-1] == "{" else "}")


def _is_completed(arguments: str) -> bool:
    """Whether LangChain reads arguments as an object."""
    try:
        return isinstance(parse_partial_json(arguments), dict)
    except (ValueError, RecursionError):
        return False
