"""Generations of Langfuse: observations with `input` and `output`, alone or within their trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.conversation import Talk
from together_adapters.finetune.formats.openai import read_message
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.span_attributes import decoded
from together_adapters.finetune.formats.trace_selection import finished, selected
from together_adapters.finetune.readers.fields import field, text_or_none
from together_adapters.finetune.records import Converted, Row, Unconvertible

Result = Converted | Unconvertible


def observations(document: Any) -> Iterator[Any]:
    """Give the observations of a trace, each with the trace's session and scores, or what is an observation already."""
    listed = document.get("observations") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        yield document
        return
    told = {"traceId": document.get("id"), "sessionId": document.get("sessionId"), "scores": document.get("scores")}
    for one in listed:
        yield {**{key: value for key, value in told.items() if value is not None}, **one} if isinstance(one, dict) else one


def conversation(observation: Any, options: Options) -> Iterator[Result]:
    """Convert a generation."""
    kind = field(observation, "type") or "GENERATION"
    if str(getattr(kind, "value", kind)).upper() != "GENERATION":
        raise Unconvertible("run_not_of_model", f"the observation is a {kind}", skipped=True)
    if str(field(observation, "level")).upper() == "ERROR":
        raise Unconvertible("run_failed", "the call failed", skipped=True)
    output = decoded_output(field(observation, "output"))
    if output is None or output == "":
        raise Unconvertible("run_pending", "the generation has no output", skipped=True)
    selected(observation, options)
    asked, tools = _asked(decoded(field(observation, "input"), "input"))
    group = text_or_none(field(observation, "sessionId", "session_id", "traceId", "trace_id"))
    answers = _answers(output)
    for answer, reason in answers:
        try:
            finished(reason)
            talk = Talk(options)
            for message in [*asked, {"role": "assistant", **answer}]:
                if not isinstance(message, dict):
                    raise Unconvertible("message_not_object", f"a message is {kind_of(message)}", talk.path, message)
                read_message(talk, {"role": "user", **message})
            if len(answers) > 1:
                talk.change("one_of_several_answers")
            yield talk.converted(tools, group)
        except Unconvertible as refused:
            yield refused


def decoded_output(output: Any) -> Any:
    """Return an output; a text that is the JSON of a message or of calls is taken as such, any other is what was said."""
    if isinstance(output, str) and output.lstrip().startswith("{") and ('"tool_calls"' in output or '"role"' in output):
        return decoded(output, "output")
    return output


def _asked(given: Any) -> tuple[list[Any], Any]:
    """The messages of an input, and the tools beside them."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}], None
    if isinstance(given, list):
        return given, None
    if isinstance(given, dict):
        if isinstance(messages := given.get("messages"), list):
            return messages, given.get("tools") or given.get("functions")
        if "role" in given:
            return [given], None
        if isinstance(prompt := given.get("prompt"), str):
            return [{"role": "user", "content": prompt}], None
    raise Unconvertible("messages_empty", f"the input holds no messages: it is {kind_of(given)}", "input", given)


def _answers(output: Any) -> list[tuple[Row, Any]]:
    """The answers of an output, each with the reason for which it ended."""
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
