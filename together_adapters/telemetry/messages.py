"""Messages and tools of a request in the JSON of OpenTelemetry's conventions: a role and parts.

Facts: `gen-ai-input-messages.json`, `gen-ai-output-messages.json` and `gen-ai-tool-definitions.json` of the conventions. System messages
stay where they are, because the service takes them within the history.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from together_adapters.adapters.response_fields import reasoning_of
from together_adapters.adapters.tool_call_deltas import AssembledToolCall, parse_arguments, whole_tool_calls
from together_adapters.transport.surrogates import whole_characters

Part = dict[str, Any]
_MODALITIES: Final = {"image_url": "image", "video_url": "video", "audio_url": "audio"}


def to_text(value: Any) -> str:
    """Returns JSON text, as attributes of spans hold structures. Half a surrogate pair, which exporters refuse, is replaced."""
    return whole_characters(json.dumps(value, ensure_ascii=False, default=str))


def message(fields: Any) -> Part:
    """Returns a message of a request."""
    fields = _fields(fields)
    role, content = str(fields.get("role")), fields.get("content")
    named = {"name": fields["name"]} if fields.get("name") else {}
    if role in ("tool", "function"):
        return {"role": role, **named, "parts": [tool_result(fields.get("tool_call_id"), content)]}
    calls = whole_tool_calls([*(fields.get("tool_calls") or ()), *filter(None, [fields.get("function_call")])])
    return {"role": role, **named, "parts": [*parts(reasoning_of(fields), content, calls, fields.get("refusal"))]}


def parts(reasoning: str | None, content: Any, calls: Iterable[AssembledToolCall], refusal: Any = None) -> Iterator[Part]:
    """Yields the parts of a message."""
    if reasoning:
        yield {"type": "reasoning", "content": reasoning}
    if isinstance(content, str):
        yield {"type": "text", "content": content}
    else:
        yield from map(_part, content or ())
    yield from map(_tool_call, calls)
    if refusal:
        yield {"type": "refusal", "content": refusal}


def tool_result(id: Any, content: Any) -> Part:
    """Returns the part of a message with the result of a tool call; parts that are all text are one text."""
    response = content
    if isinstance(content, list | tuple):
        response = [*map(_part, content)]
        if all(part["type"] == "text" for part in response):
            response = "".join(str(part["content"]) for part in response)
    return {"type": "tool_call_response", "id": id, "response": response}


def tool_definition(tool: Any) -> Part:
    """Returns a tool; the conventions have the fields of a function beside its type."""
    fields = _fields(tool)
    function = fields.get("function")
    return {"type": fields.get("type", "function"), **function} if isinstance(function, Mapping) else dict(fields)


def _tool_call(call: AssembledToolCall) -> Part:
    arguments = parse_arguments(call.arguments)
    value = call.arguments if arguments is None else arguments
    return {"type": "tool_call", "id": call.service_id, "name": call.name, "arguments": value}


def _part(part: Any) -> Part:
    """Returns a part of a content: text, a medium by its address or in base64, or what it is otherwise."""
    if isinstance(part, str):
        return {"type": "text", "content": part}
    fields = _fields(part)
    kind = str(fields.get("type"))
    value = fields.get(kind)
    if kind == "text":
        return {"type": "text", "content": value}
    if kind in _MODALITIES:
        return medium(_MODALITIES[kind], value.get("url") if isinstance(value, Mapping) else value)
    if kind == "input_audio" and isinstance(value, Mapping):
        return {"type": "blob", "modality": "audio", "mime_type": f"audio/{value.get('format')}", "content": value.get("data")}
    return {**fields, "type": kind}


def medium(modality: str, url: Any) -> Part:
    """Returns the part of a medium: its address, or the content of a data URL."""
    head, _, content = str(url).partition(",")
    if head.startswith("data:") and head.endswith(";base64"):
        return {"type": "blob", "modality": modality, "mime_type": head[5:-7].partition(";")[0], "content": content}
    return {"type": "uri", "modality": modality, "uri": url}


def _fields(value: Any) -> Mapping[str, Any]:
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_none=True)
    return value if isinstance(value, Mapping) else {}
