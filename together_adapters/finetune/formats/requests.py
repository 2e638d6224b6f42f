"""Requests with their responses in any provider's layout, as clients and proxies log them, and Gemini's, Cohere's and OpenAI's items.

Request and response are two columns, or beside each other in one record; a request that ends with an answer needs no response.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.accounting import TRACE, has_value, leaving, unread
from together_adapters.finetune.formats.conversation import ConversationBuilder, parsed
from together_adapters.finetune.formats.layouts.provider_messages import messages_of_items, role_of
from together_adapters.finetune.formats.openai import CHAT_COLUMNS, declared_tools, read_message, with_columns
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.traces import Result, answer_rows
from together_adapters.finetune.readers.fields import require_record
from together_adapters.finetune.records import Converted, Row, Unconvertible

_REQUESTS: Final = ("request", "request_body", "requestBody", "body")
_RESPONSES: Final = ("response", "response_body", "responseBody")
_INSTRUCTIONS: Final = ("systemInstruction", "system_instruction", "instructions", "preamble")
_QUESTIONS: Final = ("messages", "contents", "input", "chat_history", "message", "prompt")
_ANSWERS: Final = ("choices", "candidates", "output", "content", "message", "text", "response", "completion")
_WRAPPERS: Final = ("body", "json", "data")
_SIDES: Final = frozenset({"contents", "chat_history", "input", "output", "choices", "candidates", *_REQUESTS, *_RESPONSES})
"""A record without these is no request with its response."""
_SETTINGS: Final = ("reasoning", "thinking", "text", "tool_config", "toolConfig")
"""Parameters that are objects, and have the names of data."""
COLUMNS: Final = CHAT_COLUMNS.union(_REQUESTS, _RESPONSES, _INSTRUCTIONS, _QUESTIONS, _ANSWERS, _SETTINGS)
_KEYS_OF_ANSWERS: Final = {
    "choices": frozenset({"message", "text", "finish_reason", "index"}),
    "candidates": frozenset({"content", "finishReason", "index"}),
}
_REASONS: Final = ("finish_reason", "stop_reason", "stopReason", "done_reason")


def requests(record: Any, options: Options) -> Iterator[Result]:
    """Converts a record: a row for each answer of the response, or one for a request that ends with an answer."""
    record = require_record(record)
    request, response = _sides(record)
    used = {key for key in request if key in CHAT_COLUMNS or (key in _SETTINGS and isinstance(request[key], dict))}
    left_out = {f"{TRACE}{key}": request[key] for key in _SETTINGS if isinstance(request.get(key), dict)}
    messages = with_columns(_messages_of(request, used), request)
    if response is record and not _ends_with_question(messages):
        response = None
    used_of_response = used if response is record else {"role", "type", "tool_calls", *_REASONS}
    answers = _answers_of(response, used_of_response, of=request)
    tools = declared_tools(request)
    rows = (
        answer_rows(lambda: messages, answers, read_message, options, lambda: tools, None)
        if answers
        else _row(messages, tools, options)
    )
    if request is record:
        used |= {key for key in _RESPONSES if key in record and response is not record}
    else:
        left_out |= unread(request, frozenset(used), "request")
        used = {*_REQUESTS, *_RESPONSES}
    if isinstance(response, dict) and response is not record:
        left_out |= unread(response, frozenset(used_of_response), "response")
    for key, read in _KEYS_OF_ANSWERS.items():
        values = response.get(key) if isinstance(response, dict) else None
        for value in values if isinstance(values, list) else ():
            left_out |= unread(value, read, f"{TRACE}{key}[]")
    for row in rows:
        yield _accounted(row, record, frozenset(COLUMNS - used), left_out) if isinstance(row, Converted) else row


def _accounted(row: Converted, record: Row, columns: frozenset[str], left_out: Row) -> Converted:
    row = leaving(row, record, columns)
    return row._replace(left_out={**row.left_out, **left_out}) if left_out else row


def _row(messages: list[Any], tools: Any, options: Options) -> Iterator[Converted]:
    builder = ConversationBuilder(options)
    builder.tools, builder.upcoming = tools, messages
    for message in messages:
        read_message(builder, message)
    yield builder.converted(tools)


def is_exchange(record: Row) -> bool:
    """Whether a record is a request with its response, or one in a layout of its own."""
    if _SIDES.isdisjoint(record):
        return False
    contents, history, items = record.get("contents"), record.get("chat_history"), record.get("output")
    if isinstance(contents, list) and contents and isinstance(contents[0], dict) and "parts" in contents[0]:
        return True
    if isinstance(history, list) and isinstance(record.get("message"), str):
        return True
    if "input" in record and isinstance(items, list) and items and isinstance(items[0], dict) and _is_item(items[0]):
        return True
    if isinstance(record.get("contents"), str) and has_value(record.get("response")):
        return True
    inputs = record.get("input")
    if isinstance(inputs, list) and any(
        isinstance(one, dict) and one.get("type") in ("function_call", "reasoning") for one in inputs
    ):
        return "output" not in record
    try:
        request, response = _sides(record)
    except Unconvertible:
        return False
    if request is not record:
        return isinstance(request, dict) and any(key in request for key in _QUESTIONS) and response is not None
    return isinstance(record.get("messages"), list) and response is not None and _ends_with_question(record["messages"])


def _is_item(item: Row) -> bool:
    return item.get("type") in ("message", "function_call", "reasoning", "custom_tool_call") or str(item.get("type")).endswith(
        "_call"
    )


def _ends_with_question(messages: list[Any]) -> bool:
    last = messages[-1] if messages else None
    return isinstance(last, dict) and role_of(last.get("role")) in ("user", "tool")


def _sides(record: Row) -> tuple[Row, Any]:
    """Returns the request and the response of a record; the record itself where it is the request, None without a response."""
    request = next((record[key] for key in _REQUESTS if has_value(record.get(key))), None)
    response = next((record[key] for key in _RESPONSES if has_value(record.get(key))), None)
    if isinstance(request, str) and request.lstrip().startswith("{"):
        request = parsed(request, "request")
    if isinstance(response, str) and response.lstrip().startswith("{"):
        response = parsed(response, "response")
    response = None if response == "null" else response
    request, response = _unwrap(request), _unwrap(response)
    if isinstance(request, dict):
        return request, response
    if response is None and any(has_value(record.get(key)) for key in _answer_keys(record)):
        response = record
    return record, response


def _answer_keys(record: Row) -> tuple[str, ...]:
    """Returns the keys of a response that may stand beside the request."""
    return ("choices", "candidates", "output", "text") if "chat_history" in record else ("choices", "candidates", "output")


def _unwrap(value: Any) -> Any:
    """Returns the body of a request or a response that has a status or headers beside it."""
    inner = next((value[key] for key in _WRAPPERS if has_value(value.get(key))), None) if isinstance(value, dict) else None
    if isinstance(inner, str) and inner.lstrip().startswith("{"):
        inner = parsed(inner, "body")
    return inner if isinstance(inner, dict) else value


def _messages_of(request: Row, used: set[str]) -> list[Any]:
    """Returns the messages of a request."""
    key = next((key for key in _QUESTIONS if has_value(request.get(key))), None)
    if key is None:
        raise Unconvertible("messages_empty", "the request has no messages", "request")
    value = request[key]
    if key in ("messages", "contents") and isinstance(value, str) and value.lstrip().startswith("["):
        value = parsed(value, key)
    used.add(key)
    if key == "chat_history":
        used.add("message")
        value = [
            *map(_cohere_message, value),
            *([{"role": "user", "content": request["message"]}] if request.get("message") else []),
        ]
    elif key == "input":
        value = messages_of_items(value)
    elif key == "contents":
        value = [{"role": "user", **one} if isinstance(one, dict) else {"role": "user", "content": one} for one in _listed(value)]
    elif isinstance(value, str):
        value = [{"role": "user", "content": value}]
    for column in _INSTRUCTIONS:
        if has_value(request.get(column)):
            used.add(column)
            value = [_system(request[column]), *value]
    return [*value]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _system(value: Any) -> Row:
    if isinstance(value, dict) and "parts" in value:
        return {"role": "system", "parts": _listed(value["parts"])}
    return {"role": "system", "content": value.get("text", value) if isinstance(value, dict) else value}


def _cohere_message(message: Any) -> Any:
    """Returns a message of Cohere's history, whose results of tools stand beside its text."""
    results = message.get("tool_results") if isinstance(message, dict) else None
    if not results:
        return message
    blocks = [
        {"type": "tool_result", "name": (one.get("call") or {}).get("name"), "content": {"outputs": one.get("outputs")}}
        for one in results
    ]
    return {"role": "tool", "content": blocks}


def _answers_of(response: Any, used: set[str], of: Row) -> list[tuple[Any, Any]]:
    """Returns the answers of a response, each with its finish reason."""
    if response is None:
        return []
    if isinstance(response, str):
        return [({"role": "assistant", "content": response}, None)]
    keys = _answer_keys(of) if response is of else _ANSWERS
    key = next((key for key in keys if isinstance(response, dict) and has_value(response.get(key))), None)
    if key is None and isinstance(response, list):
        return [(response[-1], None)] if response and isinstance(response[-1], dict) else []
    if key is None:
        if isinstance(response, dict) and response.get("tool_calls"):
            return [({"role": "assistant", "content": None, "tool_calls": response["tool_calls"]}, None)]
        raise Unconvertible("answer_missing", "the response holds no answer", "response", response)
    used.add(key)
    value = response[key]
    reason = next((response[name] for name in _REASONS if response.get(name)), None)
    if key == "choices":
        return [_choice(one) for one in value]
    if key == "candidates":
        return [({"role": "model", **(one.get("content") or {})}, one.get("finishReason")) for one in value]
    if key == "output" and isinstance(value, list):
        messages = messages_of_items(value)
        return [(message, response.get("status") if response.get("status") == "incomplete" else None) for message in messages]
    if key == "output" and isinstance(value, dict):
        value = value.get("message", value)
    if isinstance(value, dict) and ("role" in value or "content" in value or "tool_calls" in value):
        return [({"role": "assistant", **value}, reason)]
    calls = {"tool_calls": response["tool_calls"]} if response.get("tool_calls") else {}
    return [({"role": "assistant", "content": value, **calls}, reason)]


def _choice(choice: Row) -> tuple[Row, Any]:
    message = choice.get("message") or {"content": choice.get("text")}
    return {"role": "assistant", **message}, choice.get("finish_reason")
