"""Spans of OpenTelemetry's conventions for generative AI (messages as JSON, events or flat attributes), and of OpenInference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from together_adapters.finetune.accounting import TRACE, unread
from together_adapters.finetune.formats.conversation import ConversationBuilder, call, json_text, parsed
from together_adapters.finetune.formats.openai import read_message
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.traces import (
    Result,
    all_of,
    answer_rows,
    attributes_of,
    decoded,
    failed,
    selected,
    trace_of,
    tree,
    unread_attributes,
)
from together_adapters.finetune.readers.fields import field, nested, require, text_or_none
from together_adapters.finetune.records import Row, Unconvertible

COLUMNS: Final = frozenset(
    """attributes events name kind status status_code context traceId trace_id spanId span_id parentSpanId parent_id resource scope
    instrumentationScope links flags traceState trace_state""".split()
)
PREFIXES: Final = ("gen_ai.", "error.type", "llm.request.functions.")
_INPUT: Final = "gen_ai.input.messages"
_OUTPUT: Final = "gen_ai.output.messages"
_INSTRUCTIONS: Final = "gen_ai.system_instructions"
_TOOLS: Final = "gen_ai.tool.definitions"
_READ: Final = ("error.type", "gen_ai.conversation.id", _TOOLS)
_READ_JSON: Final = (*_READ, _INPUT, _OUTPUT, _INSTRUCTIONS)
_READ_INDEXED: Final = (
    *_READ,
    "gen_ai.prompt.",
    "gen_ai.completion.",
    "gen_ai.response.finish_reasons",
    "llm.request.functions.",
)
_READ_EVENTS: Final = (*_READ, "events", "event.name", "gen_ai.event.content", "content", "role", "message", "finish_reason")
_READ_OPENINFERENCE: Final = (
    "llm.input_messages",
    "llm.output_messages",
    "llm.tools",
    "llm.finish_reason",
    "openinference.",
    "session.",
)
_MESSAGE_KEYS: Final = frozenset({"role", "parts", "name", "finish_reason"})
_EVENT_ROLES: Final = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
_CHOICE: Final = "gen_ai.choice"
_CONTENT: Final = "gen_ai.event.content"
_EVENT_KEYS: Final = ("role", "content", "name", "tool_calls", "reasoning")
_INDEXED_KEYS: Final = ("role", "content", "tool_calls", "tool_call_id", "reasoning")


def conversation(span: Any, options: Options) -> Iterator[Result]:
    """Converts a span: a row for each of its answers."""
    attributes = attributes_of(span, PREFIXES)
    is_indexed = any(key.startswith(("gen_ai.prompt.", "gen_ai.completion.")) for key in attributes)
    is_json = not is_indexed and (_INPUT in attributes or _OUTPUT in attributes)
    question, answers = ([], []) if is_indexed or is_json else _event_messages(span)
    if not (is_indexed or is_json or question or answers):
        raise Unconvertible("run_not_of_model", "the span has no messages", skipped=True)
    if failed(span) or attributes.get("error.type"):
        raise Unconvertible("run_failed", "the call failed", skipped=True)
    selected(span, options)
    read, tools = _read_event, attributes.get(_TOOLS)
    if is_indexed:
        nested = tree(attributes)
        read, tools = _read_indexed, nested.get("llm", {}).get("request", {}).get("functions")
        question, answers = _indexed_messages(nested["gen_ai"])
    elif is_json:
        read, answers = _read_parts, _json_answers(attributes)
    if not answers:
        raise Unconvertible("run_pending", "the span has no answer", skipped=True)
    group = text_or_none(attributes.get("gen_ai.conversation.id")) or trace_of(span)
    messages = (lambda: _json_question(attributes)) if is_json else (lambda: question)
    left_out = unread_attributes(span, _READ_INDEXED if is_indexed else _READ_JSON if is_json else _READ_EVENTS)
    yield from answer_rows(messages, answers, read, options, lambda: decoded(tools, _TOOLS), group, left_out)


def _json_question(attributes: Row) -> list[Any]:
    instructions = decoded(attributes.get(_INSTRUCTIONS), _INSTRUCTIONS)
    messages = decoded(attributes.get(_INPUT), _INPUT) or []
    if not instructions:
        return list(messages)
    return [{"role": "system", "parts": instructions if isinstance(instructions, list) else [instructions]}, *messages]


def _json_answers(attributes: Row) -> list[tuple[Any, Any]]:
    answers = decoded(attributes.get(_OUTPUT), _OUTPUT) or []
    require(answers, list, "messages_not_list", f"{_OUTPUT} must be a list", _OUTPUT)
    return [
        ({"role": "assistant", **answer}, answer.get("finish_reason")) if isinstance(answer, dict) else (answer, None)
        for answer in answers
    ]


def _read_parts(builder: ConversationBuilder, message: Any) -> None:
    """Adds a message that is made of parts."""
    if not isinstance(message, dict):
        require(message, dict, "message_not_object", "a message must be an object", builder.path)
    parts = message.get("parts")
    if parts is None:
        read_message(builder, {key: value for key, value in message.items() if key != "finish_reason"})
        return
    content: list[Any] = []
    calls: list[Row] = []
    results: list[Row] = []
    reasoning: list[str] = []
    for index, part in enumerate(parts):
        path = f"{builder.path}.parts[{index}]"
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            content.append({"type": "text", "text": part.get("content", part.get("text"))})
        elif kind == "tool_call":
            calls.append(call(part.get("name"), part.get("arguments"), part.get("id"), builder.options, path))
        elif kind == "tool_call_response":
            results.append(part)
        elif kind == "reasoning":
            reasoning.append(str(part.get("content") or ""))
        elif kind == "refusal" and not content and not calls:
            content.append({"type": "text", "text": part.get("content")})
            builder.change("refusal_is_content")
        elif kind in ("blob", "uri") and _is_image(part):
            content.append(_image(part))
        else:
            raise Unconvertible("content_part_unsupported", f"a part of type {kind!r} cannot be trained on", path, part)
    builder.account(message, _MESSAGE_KEYS, "messages[]")
    author = text_or_none(message.get("name"))
    fields = {"name": author} if author else {}
    for part in results:
        value = next((part[key] for key in ("response", "result", "content") if part.get(key) is not None), "")
        builder.result(value if isinstance(value, str) else json_text(value), part.get("id"), part.get("name") or author)
    if message.get("role") == "assistant":
        builder.answer(_join_texts(builder, content), calls, "\n".join(reasoning) or None, **fields)
    elif content or not results:
        builder.add(str(message.get("role")), _join_texts(builder, content), **fields)


def _join_texts(builder: ConversationBuilder, content: list[Any]) -> Any:
    """Joins parts if all of them are text."""
    if any(part["type"] != "text" for part in content):
        return content
    if len(content) > 1:
        builder.change("text_parts_joined")
    return "".join([str(part["text"]) for part in content])


def _is_image(part: Row) -> bool:
    return part.get("modality") == "image" or str(part.get("mime_type", "")).startswith("image/")


def _image(part: Row) -> Row:
    if part["type"] == "uri":
        return {"type": "image", "image": part.get("uri")}
    return {"type": "image", "base64": part.get("content") or part.get("data"), "mime_type": part.get("mime_type")}


def _event_messages(span: Any) -> tuple[list[Row], list[tuple[Any, Any]]]:
    """Returns the messages and the answers among the events of a span."""
    question: list[Row] = []
    answers: list[tuple[Any, Any]] = []
    for name, body in _events(span):
        if name == _CHOICE:
            answers.append((_event_answer(body), body.get("finish_reason")))
            continue
        message = _event_message(body, _EVENT_ROLES[name])
        if message["role"] == "tool" and (id := body.get("id") or body.get("tool_call_id")):
            message["tool_call_id"] = id
        question.append(message)
    return question, answers


def _events(span: Any) -> Iterator[tuple[Any, Row]]:
    """Yields the name and body of each message among the events of a span, as exporters before version 1.37 write them.

    The body is the event's `body`, the JSON text of an attribute, or its other attributes; some write all events to one attribute.
    """
    in_attribute = decoded(all_of(span).get("events"), "attributes.events")
    for event in [*(field(span, "events") or ()), *(in_attribute if isinstance(in_attribute, list) else ())]:
        attributes = all_of(event)
        name = field(event, "name", "event_name", "event.name") or attributes.get("event.name")
        if name == _CHOICE or name in _EVENT_ROLES:
            body = decoded(attributes.get(_CONTENT, field(event, "body")), _CONTENT)
            yield name, dict(body) if isinstance(body, Mapping) else attributes


def _event_answer(body: Row) -> Row:
    message = decoded(body.get("message"), "gen_ai.choice.message")
    fields = dict(message) if isinstance(message, Mapping) else {**body, "content": message or body.get("content")}
    if not fields.get("tool_calls") and body.get("tool_calls"):
        fields["tool_calls"] = body["tool_calls"]
    return _event_message(fields, "assistant")


def _event_message(body: Row, role: str) -> Row:
    message = _message(body, _EVENT_KEYS, "content")
    require(message.get("content", ""), (str, list), "content_wrong_type", "a content must be text", "content")
    return {**message, "role": message.get("role") or role}


def _read_event(builder: ConversationBuilder, message: Row) -> None:
    if message.get("content") is None and not message.get("tool_calls"):
        hint = "exporters write contents when OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is true"
        raise Unconvertible("content_missing", f"the content was not recorded: {hint}", builder.path)
    read_message(builder, message)


def _indexed_messages(attributes: Row) -> tuple[list[Row], list[tuple[Any, Any]]]:
    """Returns the messages and the answers in flat attributes such as `gen_ai.prompt.0.content`."""
    answers = attributes.get("completion") or []
    response = attributes.get("response")
    reasons = decoded(response.get("finish_reasons"), "gen_ai.response.finish_reasons") if isinstance(response, dict) else None
    reasons = [*(reasons if isinstance(reasons, list) else ()), *[None] * len(answers)]
    return attributes.get("prompt") or [], [
        ({"role": "assistant", **answer}, answer.get("finish_reason") or reason)
        for answer, reason in zip(answers, reasons, strict=False)
    ]


def _read_indexed(builder: ConversationBuilder, message: Row) -> None:
    read_message(builder, _message(message, _INDEXED_KEYS, f"{builder.path}.content"))


def _message(fields: Row, keys: tuple[str, ...], path: str) -> Row:
    """Returns some fields of a message; a content that is the JSON of parts is decoded."""
    message = {key: fields[key] for key in keys if fields.get(key) is not None}
    content = message.get("content")
    if isinstance(content, str) and content.startswith("[{") and '"type"' in content:
        message["content"] = decoded(content, path)
    return message


_OPENINFERENCE_KEYS: Final = frozenset(
    {"role", "content", "contents", "name", "tool_calls", "tool_call_id", "reasoning", "finish_reason"}
)
_OPENINFERENCE_PREFIXES: Final = ("llm.", "openinference.", "session.")


def openinference(span: Any, options: Options) -> Iterator[Result]:
    """Converts a span of OpenInference, as Phoenix and Arize export it: flat dotted keys, or a table of them."""
    attributes = tree(attributes_of(span, _OPENINFERENCE_PREFIXES))
    kind = (attributes.get("openinference") or {}).get("span", {}).get("kind") or field(span, "span_kind")
    llm = attributes.get("llm") or {}
    if (kind is not None and str(kind).upper() != "LLM") or not llm:
        raise Unconvertible("run_not_of_model", f"the span is of kind {kind}", skipped=True)
    if failed(span):
        raise Unconvertible("run_failed", "the call failed", skipped=True)
    selected(span, options)
    question, messages = (_openinference_messages(llm.get(name), name) for name in ("input_messages", "output_messages"))
    if not messages:
        raise Unconvertible("run_pending", "the span has no answer", skipped=True)
    answers = [({"role": "assistant", **answer}, answer.get("finish_reason") or llm.get("finish_reason")) for answer in messages]
    group = text_or_none((attributes.get("session") or {}).get("id")) or trace_of(span)
    tools = [_tool(tool) for tool in decoded(llm.get("tools"), "llm.tools") or ()]
    left_out = unread_attributes(span, _READ_OPENINFERENCE)
    for name in ("input_messages", "output_messages"):
        items = decoded(llm.get(name), f"llm.{name}")
        for item in items if isinstance(items, list) else ():
            left_out |= unread(item, frozenset({"message"}), f"{TRACE}llm.{name}[]") if nested(item, "message") else {}
    yield from answer_rows(lambda: question, answers, _read_openinference, options, lambda: tools, group, left_out)


def _openinference_messages(value: Any, name: str) -> list[Row]:
    value = decoded(value, f"llm.{name}") or []
    items = [tree(item) if isinstance(item, dict) else item for item in value] if isinstance(value, list) else [value]
    messages = [item.get("message", item) if isinstance(item, dict) else item for item in items]
    if not all(isinstance(message, dict) for message in messages):
        raise Unconvertible("message_not_object", "a message must be an object", f"llm.{name}", value)
    return messages


def _read_openinference(builder: ConversationBuilder, message: Row) -> None:
    fields = {key: message[key] for key in ("role", "content", "tool_call_id", "reasoning") if message.get(key) is not None}
    builder.account(message, _OPENINFERENCE_KEYS, "messages[]")
    contents = message.get("contents")
    if contents and "content" not in fields:
        fields["content"] = [_openinference_part(part.get("message_content", part)) for part in contents]
    if name := message.get("name"):
        fields["name"] = name
        if fields.get("role") == "tool":
            del fields["name"]
    if calls := message.get("tool_calls"):
        fields["tool_calls"] = [one.get("tool_call", one) if isinstance(one, dict) else one for one in calls]
    read_message(builder, fields)


def _openinference_part(part: Row) -> Row:
    if part.get("type") == "image":
        image = part.get("image") or {}
        inner = image.get("image", image) if isinstance(image, dict) else image
        return {"type": "image", "image": inner.get("url") if isinstance(inner, dict) else inner}
    return part


def _tool(tool: Any) -> Any:
    """Returns the declaration of a tool, which is JSON text in `tool.json_schema`."""
    inner = tool.get("tool", tool) if isinstance(tool, dict) else tool
    schema = inner.get("json_schema", inner) if isinstance(inner, dict) else inner
    return parsed(schema, "llm.tools", "trace_json_truncated")
