"""OpenTelemetry's conventions before 1.37: every message is an event of the span, and so is every answer.

What an event says is its body, the attribute `gen_ai.event.content` as JSON text, or its other attributes, depending on the exporter;
some write all events into one attribute of the span.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.conversation import Talk
from together_adapters.finetune.formats.openai import read_message
from together_adapters.finetune.formats.span_attributes import all_of, decoded
from together_adapters.finetune.readers.fields import field
from together_adapters.finetune.records import Row, Unconvertible

_ROLES: Final = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
_CHOICE: Final = "gen_ai.choice"
_CONTENT: Final = "gen_ai.event.content"
_KEPT: Final = ("role", "content", "name", "tool_calls", "reasoning")


class Told(NamedTuple):
    """What the events of a span tell.

    Attributes:
        messages: What the model was given, in its order.
        answers: What it answered, each with its `finish_reason`.
    """

    messages: list[Row]
    answers: list[Row]


def told_by_events(span: Any) -> Told:
    """Return the messages and answers that are events of a span; both are empty where there are no such events."""
    told = Told([], [])
    for name, body in _events(span):
        if name == _CHOICE:
            told.answers.append(_answer(body))
        elif name in _ROLES:
            message = _message(body, _ROLES[name])
            if message["role"] == "tool" and (id := body.get("id") or body.get("tool_call_id")):
                message["tool_call_id"] = id
            told.messages.append(message)
    return told


def read_told(talk: Talk, messages: list[Row]) -> None:
    """Take messages into a conversation.

    Raises:
        Unconvertible: One has nothing in it, because its exporter was not told to write contents.
    """
    for message in messages:
        if message.get("content") is None and not message.get("tool_calls"):
            hint = "exporters write contents when OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is true"
            raise Unconvertible("content_missing", f"the content was not recorded: {hint}", talk.path)
        read_message(talk, message)


def _events(span: Any) -> Iterator[tuple[Any, Row]]:
    """Give the events of a span by name, each with what it says."""
    gathered = decoded(all_of(span).get("events"), "attributes.events")
    events = [*(field(span, "events") or ()), *(gathered if isinstance(gathered, list) else ())]
    for event in events:
        inner = all_of(event)
        name = field(event, "name", "event_name", "event.name") or inner.get("event.name")
        if name != _CHOICE and name not in _ROLES:
            continue
        body = decoded(inner.get(_CONTENT, field(event, "body")), _CONTENT)
        yield name, dict(body) if isinstance(body, Mapping) else inner


def _answer(body: Row) -> Row:
    message = decoded(body.get("message"), "gen_ai.choice.message")
    whole = dict(message) if isinstance(message, Mapping) else {**body, "content": message or body.get("content")}
    if not whole.get("tool_calls") and body.get("tool_calls"):
        whole["tool_calls"] = body["tool_calls"]
    return {**_message(whole, "assistant"), "finish_reason": body.get("finish_reason")}


def _message(body: Row, role: str) -> Row:
    kept = {key: body[key] for key in _KEPT if body.get(key) is not None}
    content = kept.get("content")
    if isinstance(content, str) and content.startswith("[{") and '"type"' in content:
        kept["content"] = decoded(content, "content")
    elif content is not None and not isinstance(content, str | list):
        raise Unconvertible("content_wrong_type", f"a content must be text, not {kind_of(content)}", "content", content)
    return {**kept, "role": kept.get("role") or role}
