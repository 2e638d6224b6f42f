"""Generations of Langfuse: observations with `input` and `output`, alone or within their trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.conversation import ConversationBuilder
from together_adapters.finetune.formats.openai import read_message
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.traces import Result, answer_rows, decoded, selected
from together_adapters.finetune.readers.fields import field, text_or_none
from together_adapters.finetune.records import Row, Unconvertible

COLUMNS: Final = frozenset({"type", "level", "input", "output", "traceId", "trace_id", "sessionId", "session_id", "scores"})


def observations(document: Any) -> Iterator[Any]:
    """Yields the observations of a trace, each with the trace's session and scores, or the document itself if it is one."""
    items = document.get("observations") if isinstance(document, dict) else None
    if not isinstance(items, list):
        yield document
        return
    context = {"traceId": document.get("id"), "sessionId": document.get("sessionId"), "scores": document.get("scores")}
    for item in items:
        yield {**{key: value for key, value in context.items() if value is not None}, **item} if isinstance(item, dict) else item


def conversation(observation: Any, options: Options) -> Iterator[Result]:
    """Converts a generation."""
    kind = field(observation, "type") or "GENERATION"
    if str(getattr(kind, "value", kind)).upper() != "GENERATION":
        raise Unconvertible("run_not_of_model", f"the observation is a {kind}", skipped=True)
    if str(field(observation, "level")).upper() == "ERROR":
        raise Unconvertible("run_failed", "the call failed", skipped=True)
    output = decoded_output(field(observation, "output"))
    if output is None or output == "":
        raise Unconvertible("run_pending", "the generation has no output", skipped=True)
    selected(observation, options)
    question, tools = _question(decoded(field(observation, "input"), "input"))
    group = text_or_none(field(observation, "sessionId", "session_id", "traceId", "trace_id"))
    answers = [({"role": "assistant", **answer}, reason) for answer, reason in _output_messages(output)]
    yield from answer_rows(lambda: question, answers, _read, options, lambda: tools, group)


def _read(builder: ConversationBuilder, message: Any) -> None:
    if not isinstance(message, dict):
        raise Unconvertible("message_not_object", f"a message is {kind_of(message)}", builder.path, message)
    read_message(builder, {"role": "user", **message})


def decoded_output(output: Any) -> Any:
    """Returns an output; the JSON text of a message or of calls is decoded, other text is the answer."""
    if isinstance(output, str) and output.lstrip().startswith(("{", "[{")) and ('"tool_calls"' in output or '"role"' in output):
        return decoded(output, "output")
    return output


def _question(value: Any) -> tuple[list[Any], Any]:
    """Returns the messages and the tools of an input."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}], None
    if isinstance(value, list):
        return value, None
    if isinstance(value, dict):
        if isinstance(messages := value.get("messages"), list):
            return messages, value.get("tools") or value.get("functions")
        if "role" in value:
            return [value], None
        if isinstance(prompt := value.get("prompt"), str):
            return [{"role": "user", "content": prompt}], None
    raise Unconvertible("messages_empty", f"the input holds no messages: it is {kind_of(value)}", "input", value)


def _output_messages(output: Any) -> list[tuple[Row, Any]]:
    """Returns the messages of an output, each with its finish reason."""
    if isinstance(output, str):
        return [({"content": output}, None)]
    if isinstance(output, list) and output and isinstance(output[-1], dict):
        return [(output[-1], None)]
    if isinstance(output, dict):
        if isinstance(choices := output.get("choices"), list) and choices:
            return [(choice.get("message") or {"content": choice.get("text")}, choice.get("finish_reason")) for choice in choices]
        if isinstance(message := output.get("message"), dict):
            return [(message, output.get("finish_reason"))]
        if "content" in output or "tool_calls" in output:
            return [({key: value for key, value in output.items() if key != "finish_reason"}, output.get("finish_reason"))]
        for key in ("completion", "text", "output"):
            if isinstance(output.get(key), str):
                return [({"content": output[key]}, None)]
    raise Unconvertible("answer_missing", "the output holds no answer", "output", output)
