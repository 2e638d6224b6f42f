"""Spans of OpenInference, as Phoenix and Arize export them: flat dotted keys, or a table of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.formats.conversation import ConversationBuilder, parsed
from together_adapters.finetune.formats.openai import read_message
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.traces import (
    Result,
    answer_rows,
    attributes_of,
    decoded,
    failed,
    selected,
    trace_of,
    tree,
)
from together_adapters.finetune.readers.fields import field, text_or_none
from together_adapters.finetune.records import Row, Unconvertible

PREFIXES: Final = ("llm.", "openinference.", "session.")


def conversation(span: Any, options: Options) -> Iterator[Result]:
    """Converts a span of a model's call."""
    attributes = tree(attributes_of(span, PREFIXES))
    kind = (attributes.get("openinference") or {}).get("span", {}).get("kind") or field(span, "span_kind")
    llm = attributes.get("llm") or {}
    if (kind is not None and str(kind).upper() != "LLM") or not llm:
        raise Unconvertible("run_not_of_model", f"the span is of kind {kind}", skipped=True)
    if failed(span):
        raise Unconvertible("run_failed", "the call failed", skipped=True)
    selected(span, options)
    question, messages = (_messages(llm.get(name), name) for name in ("input_messages", "output_messages"))
    if not messages:
        raise Unconvertible("run_pending", "the span has no answer", skipped=True)
    answers = [({"role": "assistant", **answer}, answer.get("finish_reason") or llm.get("finish_reason")) for answer in messages]
    group = text_or_none((attributes.get("session") or {}).get("id")) or trace_of(span)
    tools = [_tool(tool) for tool in decoded(llm.get("tools"), "llm.tools") or ()]
    yield from answer_rows(lambda: question, answers, _read, options, lambda: tools, group)


def _messages(value: Any, name: str) -> list[Row]:
    value = decoded(value, f"llm.{name}") or []
    items = [tree(item) if isinstance(item, dict) else item for item in value] if isinstance(value, list) else [value]
    messages = [item.get("message", item) if isinstance(item, dict) else item for item in items]
    if not all(isinstance(message, dict) for message in messages):
        raise Unconvertible("message_not_object", "a message must be an object", f"llm.{name}", value)
    return messages


def _read(builder: ConversationBuilder, message: Row) -> None:
    fields = {key: message[key] for key in ("role", "content", "tool_call_id", "reasoning") if message.get(key) is not None}
    contents = message.get("contents")
    if contents and "content" not in fields:
        fields["content"] = [_part(part.get("message_content", part)) for part in contents]
    if name := message.get("name"):
        fields["name"] = name
        if fields.get("role") == "tool":
            del fields["name"]
    if calls := message.get("tool_calls"):
        fields["tool_calls"] = [one.get("tool_call", one) if isinstance(one, dict) else one for one in calls]
    read_message(builder, fields)


def _part(part: Row) -> Row:
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
