"""Spans of OpenTelemetry's conventions for generative AI: messages as JSON; in older forms as events, or value by value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.conversation import Talk, call, json_text
from together_adapters.finetune.formats.openai import read_message
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.otel_events import Told, read_told, told_by_events
from together_adapters.finetune.formats.span_attributes import attributes_of, decoded, failed, trace_of, tree
from together_adapters.finetune.formats.trace_selection import finished, selected
from together_adapters.finetune.readers.fields import text_or_none
from together_adapters.finetune.records import Converted, Row, Unconvertible

PREFIXES: Final = ("gen_ai.", "error.type", "llm.request.functions.")
_OUTPUT: Final = "gen_ai.output.messages"
Result = Converted | Unconvertible


def conversation(span: Any, options: Options) -> Iterator[Result]:
    """Convert a span: a row for each of its answers."""
    found = attributes_of(span, PREFIXES)
    legacy = any(key.startswith(("gen_ai.prompt.", "gen_ai.completion.")) for key in found)
    whole = "gen_ai.input.messages" in found or _OUTPUT in found
    told = told_by_events(span) if not legacy and not whole else Told([], [])
    if not legacy and not whole and not any(told):
        raise Unconvertible("run_not_of_model", "the span has no messages", skipped=True)
    if failed(span) or found.get("error.type"):
        raise Unconvertible("run_failed", "the call failed", skipped=True)
    selected(span, options)
    group = text_or_none(found.get("gen_ai.conversation.id")) or trace_of(span)
    if legacy:
        yield from _indexed(tree(found), group, options)
        return
    if any(told):
        yield from _of_events(told, found, group, options)
        return
    answers = decoded(found.get(_OUTPUT), _OUTPUT)
    if not answers:
        raise Unconvertible("run_pending", "the span has no answer", skipped=True)
    if not isinstance(answers, list):
        raise Unconvertible("messages_not_list", f"{_OUTPUT} must be a list, not {kind_of(answers)}", _OUTPUT, answers)
    for answer in answers:
        yield _row(found, answer, group, options, len(answers) > 1)


def _row(found: Row, answer: Any, group: str | None, options: Options, several: bool) -> Result:
    try:
        finished(answer.get("finish_reason") if isinstance(answer, dict) else None)
        talk = Talk(options)
        system = decoded(found.get("gen_ai.system_instructions"), "gen_ai.system_instructions")
        if system:
            _read(talk, {"role": "system", "parts": system if isinstance(system, list) else [system]})
        for message in decoded(found.get("gen_ai.input.messages"), "gen_ai.input.messages") or ():
            _read(talk, message)
        _read(talk, {"role": "assistant", **answer} if isinstance(answer, dict) else answer)
        if several:
            talk.change("one_of_several_answers")
        return talk.converted(decoded(found.get("gen_ai.tool.definitions"), "gen_ai.tool.definitions"), group)
    except Unconvertible as refused:
        return refused


def _of_events(told: Told, found: Row, group: str | None, options: Options) -> Iterator[Result]:
    """Convert a span whose messages are its events."""
    if not told.answers:
        raise Unconvertible("run_pending", "the span has no answer", skipped=True)
    for answer in told.answers:
        try:
            finished(answer.pop("finish_reason"))
            talk = Talk(options)
            read_told(talk, [*told.messages, answer])
            if len(told.answers) > 1:
                talk.change("one_of_several_answers")
            yield talk.converted(decoded(found.get("gen_ai.tool.definitions"), "gen_ai.tool.definitions"), group)
        except Unconvertible as refused:
            yield refused


def _read(talk: Talk, message: Any) -> None:
    """Take a message of parts into a conversation."""
    if not isinstance(message, dict):
        raise Unconvertible("message_not_object", f"a message must be an object, not {kind_of(message)}", talk.path, message)
    parts = message.get("parts")
    if parts is None:
        read_message(talk, {key: value for key, value in message.items() if key != "finish_reason"})
        return
    content: list[Any] = []
    made: list[Row] = []
    results: list[Row] = []
    thought: list[str] = []
    for place, part in enumerate(parts):
        path = f"{talk.path}.parts[{place}]"
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            content.append({"type": "text", "text": part.get("content", part.get("text"))})
        elif kind == "tool_call":
            made.append(call(part.get("name"), part.get("arguments"), part.get("id"), talk.options, path))
        elif kind == "tool_call_response":
            results.append(part)
        elif kind == "reasoning":
            thought.append(str(part.get("content") or ""))
        elif kind in ("blob", "uri") and _is_image(part):
            content.append(_image(part))
        else:
            raise Unconvertible("content_part_unsupported", f"a part of type {kind!r} cannot be trained on", path, part)
    _put(talk, message, content, made, results, thought)


def _put(talk: Talk, message: Row, content: list[Any], made: list[Row], results: list[Row], thought: list[str]) -> None:
    role = message.get("role")
    for part in results:
        said = next((part[key] for key in ("response", "result", "content") if part.get(key) is not None), "")
        talk.result(said if isinstance(said, str) else json_text(said), part.get("id"), part.get("name"))
    texts = [part["text"] for part in content if part["type"] == "text"]
    whole: Any = content if len(texts) < len(content) else "".join(map(str, texts))
    if len(texts) > 1 and len(texts) == len(content):
        talk.change("text_parts_joined")
    if role == "assistant":
        talk.answer(whole, made, "\n".join(thought) or None)
    elif content or not results:
        talk.add(str(role), whole)


def _is_image(part: Row) -> bool:
    return part.get("modality") == "image" or str(part.get("mime_type", "")).startswith("image/")


def _image(part: Row) -> Row:
    data = part.get("content") or part.get("data")
    if part["type"] == "uri":
        return {"type": "image", "image": part.get("uri")}
    return {"type": "image", "base64": data, "mime_type": part.get("mime_type")}


def _indexed(found: Row, group: str | None, options: Options) -> Iterator[Result]:
    """Convert the older form: `gen_ai.prompt.0.content`, `gen_ai.completion.0.content`."""
    told = found["gen_ai"]
    answers = told.get("completion") or []
    if not answers:
        raise Unconvertible("run_pending", "the span has no answer", skipped=True)
    reasons = told.get("response", {}).get("finish_reasons") if isinstance(told.get("response"), dict) else None
    reasons = decoded(reasons, "gen_ai.response.finish_reasons")
    tools = found.get("llm", {}).get("request", {}).get("functions")
    for place, answer in enumerate(answers):
        try:
            given = reasons[place] if isinstance(reasons, list) and place < len(reasons) else None
            finished(answer.get("finish_reason") or given)
            talk = Talk(options)
            for message in told.get("prompt") or ():
                _read_indexed(talk, message)
            _read_indexed(talk, {"role": "assistant", **answer})
            if len(answers) > 1:
                talk.change("one_of_several_answers")
            yield talk.converted(tools, group)
        except Unconvertible as refused:
            yield refused


def _read_indexed(talk: Talk, message: Row) -> None:
    kept = {
        key: message[key]
        for key in ("role", "content", "tool_calls", "tool_call_id", "reasoning")
        if message.get(key) is not None
    }
    content = kept.get("content")
    if isinstance(content, str) and content.startswith("[{") and '"type"' in content:
        kept["content"] = decoded(content, f"{talk.path}.content")
    read_message(talk, kept)
