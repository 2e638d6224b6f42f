"""What spans say of a request: its operation, its server and its parameters; with content, what it asks.

Facts: the registry of OpenTelemetry's conventions for generative AI. They have no names for images, audio and video, nor for rerank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from together_adapters.telemetry import messages
from together_adapters.transport.bodies import Form

OPERATIONS: Final = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/rerank": "rerank",
    "/v1/images/generations": "image_generation",
    "/v2/videos": "video_generation",
    "/v1/audio/speech": "speech",
    "/v1/audio/transcriptions": "transcription",
    "/v1/audio/translations": "translation",
}
"""Operations by the paths to which they are posted."""
_OUTPUT_TYPES: Final = {"image_generation": "image", "video_generation": "video", "speech": "speech"}


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> list[str] | None:
    items = [value] if isinstance(value, str) else value
    return [text for text in items if isinstance(text, str)] if isinstance(items, list | tuple) else None


def _several(value: Any) -> int | None:
    return None if value == 1 else _integer(value)


def _output_type(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, Mapping) else None
    return "json" if kind in ("json_object", "json_schema") else None


_PARAMETERS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "model": ("gen_ai.request.model", _text),
    "max_tokens": ("gen_ai.request.max_tokens", _integer),
    "temperature": ("gen_ai.request.temperature", _number),
    "top_p": ("gen_ai.request.top_p", _number),
    "top_k": ("gen_ai.request.top_k", _integer),
    "frequency_penalty": ("gen_ai.request.frequency_penalty", _number),
    "presence_penalty": ("gen_ai.request.presence_penalty", _number),
    "seed": ("gen_ai.request.seed", _integer),
    "n": ("gen_ai.request.choice.count", _several),
    "stop": ("gen_ai.request.stop_sequences", _texts),
    "reasoning_effort": ("gen_ai.request.reasoning.level", _text),
    "dimensions": ("gen_ai.embeddings.dimension.count", _integer),
    "encoding_format": ("gen_ai.request.encoding_formats", _texts),
    "response_format": ("gen_ai.output.type", _output_type),
}


def params_of(body: Any) -> Mapping[str, Any]:
    """Returns the parameters in a body."""
    return dict(body.fields) if isinstance(body, Form) else body if isinstance(body, Mapping) else {}


def request_attributes(operation: str, params: Mapping[str, Any], root: str) -> dict[str, Any]:
    """Returns the attributes of a request. Streamed requests have the same: `gen_ai.request.stream` is not among them."""
    attributes: dict[str, Any] = {"gen_ai.operation.name": operation, "gen_ai.provider.name": "together", **_server(root)}
    if operation in _OUTPUT_TYPES:
        attributes["gen_ai.output.type"] = _OUTPUT_TYPES[operation]
    for name, (attribute, convert) in _PARAMETERS.items():
        value = params.get(name)
        if value is not None and (value := convert(value)) is not None:
            attributes[attribute] = value
    return attributes


@cache
def _server(root: str) -> Mapping[str, Any]:
    url = urlsplit(root)
    return {"server.address": url.hostname or "", "server.port": url.port or (80 if url.scheme == "http" else 443)}


def request_content(operation: str, params: Mapping[str, Any]) -> dict[str, list[messages.Part]]:
    """Returns what a request asks, by attribute. Lists alone are read, because an iterator must be left to the request."""
    history: Any = params.get("messages")
    prompt = params.get("input" if operation == "speech" else "prompt")
    if operation != "chat":
        history = [{"role": "user", "content": prompt}] if isinstance(prompt, str) and operation != "embeddings" else None
    tools = params.get("tools")
    content = {}
    if isinstance(history, list | tuple):
        content["gen_ai.input.messages"] = [messages.message(fields) for fields in history]
    if isinstance(tools, list | tuple):
        content["gen_ai.tool.definitions"] = [messages.tool_definition(tool) for tool in tools]
    return content
