"""LlamaIndex's messages, tools and parameters to those of a request, and files that messages name. Messages are never changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from io import IOBase
from typing import Any, cast

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.tools.types import ToolMetadata
from pydantic import BaseModel

from llama_index_together_adapters.tool_calls import wire_tool_calls
from together_adapters.adapters.foreign_blocks import History
from together_adapters.adapters.response_fields import REASONING_FIELD, REASONING_FIELDS, replay_field
from together_adapters.adapters.tool_definitions import read_tools, tool_params
from together_adapters.types.capabilities import ReasoningStyle
from together_adapters.types.chat import ChatParams
from together_adapters.types.completions import CompletionParams
from together_adapters.types.requests import RequestOptions

CHAT_PARAMS = frozenset(ChatParams.__required_keys__ | ChatParams.__optional_keys__)
COMPLETION_PARAMS = frozenset(CompletionParams.__required_keys__ | CompletionParams.__optional_keys__)
_CALL_ONLY = {"messages", "tools", "tool_choice", "function_call", "stream_options"}
PARAM_FIELDS = ("extra_body", *sorted(CHAT_PARAMS - RequestOptions.__optional_keys__ - _CALL_ONLY))
"""Fields of the LLM that are request parameters of the same name."""
_ROLES = {"developer": "system", "chatbot": "assistant", "model": "assistant"}
_INVALID_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_NO_TITLE = "input_document"  # LlamaIndex's default
_ROLES_OF_HISTORY = frozenset({"assistant", "tool", "function"})
Part = dict[str, Any]


def message_list(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Return the messages of any iterable; another thing than a message is a `TypeError`."""
    items = list(messages)
    for message in items:
        if not isinstance(message, ChatMessage):
            raise TypeError(
                f"a message must be a ChatMessage, not {type(message).__name__}: pass [ChatMessage(role=..., content=...)]"
            )
    return items


def wire_messages(
    messages: Iterable[ChatMessage],
    *,
    replay_reasoning: bool = False,
    reasoning_style: ReasoningStyle | None = None,
    takes_images: bool = False,
) -> list[dict[str, Any]]:
    """Return the messages of a request; a block of a user or system message that cannot be expressed is a `ValueError`.

    `reasoning_style` is where the model has its reasoning, `takes_images` whether it takes them. What the other messages may hold
    is told: see `adapters.foreign_blocks`.
    """
    wire: list[dict[str, Any]] = []
    history = History(takes_images=takes_images)
    for message in messages:
        converted = _message(message, history)
        if replay_reasoning and converted["role"] == "assistant":
            converted |= _reasoning(message, reasoning_style)
        if history.images and converted["role"] != "tool":
            wire += history.moved_images()
        wire.append(converted)
    if history.untold:
        history.warn()
    return wire + history.moved_images() if history.images else wire


def _message(message: ChatMessage, history: History) -> dict[str, Any]:
    role = message.role.value
    role = _ROLES.get(role, role)
    blocks, extra = message.blocks, message.additional_kwargs
    if len(blocks) == 1 and type(blocks[0]) is TextBlock and role in ("user", "system") and not extra:
        return {"role": role, "content": blocks[0].text}
    content = _history_text(blocks, role, history) if role in _ROLES_OF_HISTORY else _content(blocks, role)
    wire: dict[str, Any] = {"role": role, "content": content}
    if name := extra.get("name"):
        wire["name"] = name
    elif role == "function":
        wire["name"] = "unknown_tool"
    if role == "tool":
        wire["tool_call_id"] = str(extra.get("tool_call_id") or "")
    if role == "assistant":
        if extra:
            wire["content"] = content = _with_outputs(str(content), extra, history)
        if calls := wire_tool_calls(message):
            wire["tool_calls"] = calls
            wire["content"] = content or None
    return wire


def _with_outputs(text: str, extra: Mapping[str, Any], history: History) -> str:
    """Return a text with what LlamaIndex's class for the Responses API keeps beside the blocks."""
    outputs = extra.get("built_in_tool_calls")
    dicts = [item.model_dump() if hasattr(item, "model_dump") else item for item in outputs] if isinstance(outputs, list) else []
    refusal = extra.get("refusal")
    texts = [history.text(dicts, "assistant"), text, refusal if isinstance(refusal, str) and refusal not in text else ""]
    return "\n".join(filter(None, texts))


def _history_text(blocks: Sequence[Any], role: str, history: History) -> str:
    if len(blocks) == 1 and type(blocks[0]) is TextBlock:
        return history.text(blocks[0].text, role)
    return history.text([item for block in blocks for item in _readable(block, role, history)], role)


def _readable(block: Any, role: str, history: History) -> list[Any]:
    """Return a block of the history as items that `History` tells: texts, and what it reads itself. Nothing is fetched."""
    if isinstance(block, TextBlock):
        return [block.text]
    if isinstance(block, CitableBlock | CitationBlock):
        inner = block.content if isinstance(block, CitableBlock) else [block.cited_content]
        heads = [f"{block.title} ({block.source})"] if isinstance(block, CitableBlock) else []
        return [*heads, *(item for each in inner for item in _readable(each, role, history))]
    if isinstance(block, ImageBlock | VideoBlock | AudioBlock | DocumentBlock):
        return [_media_text(block, role, history)]
    if isinstance(block, BaseModel) and not isinstance(block, ToolCallBlock | ThinkingBlock | CachePoint):
        fields = block.model_dump()
        return [{"type": fields.pop("block_type", type(block).__name__), **fields}]
    return [] if isinstance(block, BaseModel) else [block]


def _media_text(block: Any, role: str, history: History) -> str:
    url = getattr(block, "url", None)
    try:
        if url is None or isinstance(block, ImageBlock):
            return "\n".join(history.tell_part(part, role) for part in _parts(block))
    except (OSError, ValueError):  # a file that is no longer there, or of a type that the service does not take
        pass
    kind = str(block.block_type)
    media_type = getattr(block, f"{kind}_mimetype", None) or getattr(block, "format", None)
    title = getattr(block, "title", None)
    location = url or getattr(block, "path", None) or (title if title != _NO_TITLE else None)
    return history.placeholder(kind, media_type, str(location) if location else None, role)


def _content(blocks: Sequence[Any], role: str) -> str | list[Part]:
    parts = [part for block in blocks for part in _parts(block)]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    if role != "user":
        other = next(part["type"] for part in parts if part["type"] != "text")
        raise ValueError(f"a message of role {role} can hold text only, not {other}: send it in a user message")
    return [part for part in parts if part["type"] != "text" or part["text"]]


def _parts(block: Any) -> list[Part]:
    """Return the content parts that express one block."""
    if isinstance(block, TextBlock):
        return [_text(block.text)]
    if isinstance(block, ToolCallBlock | ThinkingBlock | CachePoint):
        return []  # calls and reasoning have fields of their own; cache points are hints
    if isinstance(block, ImageBlock):
        url = _url(block.url) or _data_url(block, block.image, block.image_mimetype or "image/png")
        return [_media("image_url", url, **({"detail": block.detail} if block.detail else {}))]
    if isinstance(block, VideoBlock):
        url = _url(block.url) or _data_url(block, block.video, block.video_mimetype or "video/mp4")
        return [_media("video_url", url)]
    if isinstance(block, AudioBlock):
        if url := _url(block.url):
            return [_media("audio_url", url)]
        data = _base64(block, block.audio)
        return [{"type": "input_audio", "input_audio": {"data": data, "format": block.format or "wav"}}]
    if isinstance(block, DocumentBlock):
        return _document(block)
    if isinstance(block, CitableBlock):
        return [_text(f"{block.title} ({block.source})"), *(part for inner in block.content for part in _parts(inner))]
    if isinstance(block, CitationBlock):
        return _parts(block.cited_content)
    raise ValueError(f"Together's API cannot express a content block of type {type(block).__name__}")


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _media(kind: str, url: str, **fields: str) -> Part:
    return {"type": kind, kind: {"url": url, **fields}}


def _url(url: Any) -> str:
    return str(url) if url else ""


def _data_url(block: Any, data: Any, mimetype: str) -> str:
    return f"data:{mimetype};base64,{_base64(block, data)}"


def _base64(block: Any, data: Any) -> str:
    """Return the data of a media block, or of the file that it names, in base64."""
    kind = str(block.block_type)
    if isinstance(data, IOBase):
        data.seek(0)
        block = type(block)(**{kind: cast("Any", data).read()})
    resolved: IOBase = getattr(block, f"resolve_{kind}")(as_base64=True)
    return cast("bytes", cast("Any", resolved).read()).decode("ascii")


def _document(block: DocumentBlock) -> list[Part]:
    """Return a document as text or as an image; the API supports no other type."""
    kind = block.document_mimetype or ""
    if kind.startswith("image/") and block.url:
        return [_media("image_url", _url(block.url))]
    if kind.startswith("text/") or kind in ("application/json", "application/xml"):
        text = cast("bytes", cast("Any", block.resolve_document()).read()).decode("utf-8", "replace")
        return [_text(f"{block.title}\n{text}" if block.title and block.title != _NO_TITLE else text)]
    if kind.startswith("image/"):
        from base64 import b64encode

        data = b64encode(cast("Any", block.resolve_document()).read()).decode("ascii")
        return [_media("image_url", f"data:{kind};base64,{data}")]
    raise ValueError(f"Together's API cannot express a DocumentBlock of type {kind or 'unknown'}: send its text instead")


def _reasoning(message: ChatMessage, style: ReasoningStyle | None) -> dict[str, str]:
    """Return the reasoning of a message in the fields in which it came; other packages keep it beside the blocks."""
    fields: dict[str, str] = {}
    for block in message.blocks:
        if isinstance(block, ThinkingBlock) and block.content:
            name = replay_field((block.additional_information or {}).get(REASONING_FIELD), style)
            fields[name] = fields.get(name, "") + block.content
    extra = message.additional_kwargs
    return fields or {name: extra[name] for name in REASONING_FIELDS if extra.get(name) and isinstance(extra[name], str)}


def wire_tools(tools: Iterable[Any] | None) -> list[dict[str, Any]]:
    """Return the tools of a request; a built-in tool of another provider is a `ValueError` that names it."""
    return [wire for tool in tools or () for wire in _wire_tools(tool)]


def _wire_tools(tool: Any) -> list[dict[str, Any]]:
    metadata = getattr(tool, "metadata", None)
    if not isinstance(metadata, ToolMetadata):
        wire = read_tools(tool)
        if wire is None:
            hint = (
                f": FunctionTool.from_defaults({tool.__name__}) makes one of it"
                if hasattr(tool, "__name__")
                else f": {tool!r:.200}"
            )
            raise ValueError(f"a {type(tool).__name__} is no tool{hint}")
        return wire
    wire_tool = metadata.to_openai_tool(skip_length_check=True)
    if "properties" not in wire_tool["function"]["parameters"]:  # LlamaIndex omits the reference at the top of a schema
        wire_tool["function"]["parameters"] = metadata.fn_schema
    return read_tools(wire_tool) or []


def tool_arguments(tools: Iterable[Any] | None, choice: Any, *, required: bool = False) -> dict[str, Any]:
    """Return `tools` and `tool_choice` of a request, nothing where there are no tools; without a choice the model has it."""
    return tool_params(wire_tools(tools), choice or ("required" if required else "auto"))


def wire_response_format(value: Any) -> Any:
    """Return the response format of a request: one in the service's own form, or the `json_schema` of a pydantic class."""
    if not (isinstance(value, type) and issubclass(value, BaseModel)):
        return value
    name = _INVALID_IN_NAMES.sub("_", value.__name__)[:64]
    return {"type": "json_schema", "json_schema": {"name": name, "schema": value.model_json_schema()}}


def merge_params(fields: Mapping[str, Any], kwargs: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Return the parameters of one request; those that are not in `names` are sent in `extra_body`."""
    merged = {**fields, **kwargs}  # None removes the value of a field
    extra = {**(fields.get("extra_body") or {}), **(kwargs.get("extra_body") or {})}
    merged.pop("extra_body", None)
    merged.pop("stream", None)
    params: dict[str, Any] = {}
    for name, value in merged.items():
        if value is not None:
            (params if name in names else extra)[name] = value
    if extra:
        from together_adapters.adapters.keywords import warn_of_typos

        warn_of_typos(kwargs.keys() - names - {"extra_body", "stream"}, names)
        params["extra_body"] = extra
    return params
