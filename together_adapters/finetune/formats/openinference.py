"""Spans of OpenInference, as Phoenix and Arize export them: flat dotted keys, or a table of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.formats.conversation import Talk, parsed
from together_adapters.finetune.formats.openai import read_message
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.span_attributes import attributes_of, decoded, failed, trace_of, tree
from together_adapters.finetune.formats.trace_selection import finished, selected
from together_adapters.finetune.readers.fields import field, text_or_none
from together_adapters.finetune.records import Converted, Row, Unconvertible

PREFIXES: Final = ("llm.", "openinference.", "session.")
Result = Converted | Unconvertible


def conversation(span: Any, options: Options) -> Iterator[Result]:
    """Convert a span of a model's call."""
    found = tree(attributes_of(span, PREFIXES))
    kind = (found.get("openinference") or {}).get("span", {}).get("kind") or field(span, "span_kind")
    told = found.get("llm") or {}
    if (kind is not None and str(kind).upper() != "LLM") or not told:
        raise Unconvertible("run_not_of_model", f"the span is of kind {kind}", skipped=True)
    if failed(span):
        raise Unconvertible("run_failed", "the call failed", skipped=True)
    selected(span, options)
    asked, answers = (_messages(told.get(name), name) for name in ("input_messages", "output_messages"))
    if not answers:
        raise Unconvertible("run_pending", "the span has no answer", skipped=True)
    reason = told.get("finish_reason")
    group = text_or_none((found.get("session") or {}).get("id")) or trace_of(span)
    tools = [_schema(tool) for tool in decoded(told.get("tools"), "llm.tools") or ()]
    for answer in answers:
        try:
            finished(answer.get("finish_reason") or reason)
            talk = Talk(options)
            for message in [*asked, {"role": "assistant", **answer}]:
                _read(talk, message)
            if len(answers) > 1:
                talk.change("one_of_several_answers")
            yield talk.converted(tools, group)
        except Unconvertible as refused:
            yield refused


def _messages(value: Any, name: str) -> list[Row]:
    value = decoded(value, f"llm.{name}") or []
    items = [tree(item) if isinstance(item, dict) else item for item in value] if isinstance(value, list) else [value]
    messages = [item.get("message", item) if isinstance(item, dict) else item for item in items]
    if not all(isinstance(message, dict) for message in messages):
        raise Unconvertible("message_not_object", "a message must be an object", f"llm.{name}", value)
    return messages


def _read(talk: Talk, message: Row) -> None:
    kept = {key: message[key] for key in ("role", "content", "tool_call_id", "reasoning") if message.get(key) is not None}
    contents = message.get("contents")
    if contents and "content" not in kept:
        kept["content"] = [_part(part.get("message_content", part)) for part in contents]
    if name := message.get("name"):
        kept["name"] = name
        if kept.get("role") == "tool":
            del kept["name"]
    if calls := message.get("tool_calls"):
        kept["tool_calls"] = [one.get("tool_call", one) if isinstance(one, dict) else one for one in calls]
    read_message(talk, kept)


def _part(part: Row) -> Row:
    if part.get("type") == "image":
        image = part.get("image") or {}
        inner = image.get("image", image) if isinstance(image, dict) else image
        return {"type": "image", "image": inner.get("url") if isinstance(inner, dict) else inner}
    return part


def _schema(tool: Any) -> Any:
    """The declaration of a tool, which is JSON text below `tool.json_schema`."""
    inner = tool.get("tool", tool) if isinstance(tool, dict) else tool
    schema = inner.get("json_schema", inner) if isinstance(inner, dict) else inner
    return parsed(schema, "llm.tools", "trace_json_truncated")
