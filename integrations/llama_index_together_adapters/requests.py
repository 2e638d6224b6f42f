"""LlamaIndex's messages, tools and parameters to those of a request, and files that messages name. Messages are never changed."""

from __future__ import annotations

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

from llama_index_together_adapters.tool_calls import wire_tool_calls
from together_adapters.types.chat import ChatParams
from together_adapters.types.completions import CompletionParams
from together_adapters.types.requests import RequestOptions

CHAT_PARAMS = frozenset(ChatParams.__required_keys__ | ChatParams.__optional_keys__)
COMPLETION_PARAMS = frozenset(CompletionParams.__required_keys__ | CompletionParams.__optional_keys__)
_CALL_ONLY = {"messages", "tools", "tool_choice", "function_call", "stream_options"}
PARAM_FIELDS = ("extra_body", *sorted(CHAT_PARAMS - RequestOptions.__optional_keys__ - _CALL_ONLY))
"""Fields of the LLM that are request parameters of the same name."""
_ROLES = {"developer": "system", "chatbot": "assistant", "model": "assistant"}
_CHOICES = frozenset({"auto", "none", "required"})
Part = dict[str, Any]


def wire_messages(messages: Iterable[ChatMessage], *, replay_reasoning: bool = False) -> list[dict[str, Any]]:
    """Return the messages of a request; content that cannot be expressed raises a `ValueError` that names it."""
    return [_message(message, replay_reasoning) for message in messages]


def _message(message: ChatMessage, replay_reasoning: bool) -> dict[str, Any]:
    role = _ROLES.get(message.role.value, message.role.value)
    blocks = message.blocks
    if len(blocks) == 1 and type(blocks[0]) is TextBlock and role in ("user", "system") and not message.additional_kwargs:
        return {"role": role, "content": blocks[0].text}
    content = _content(blocks, role)
    wire: dict[str, Any] = {"role": role, "content": content}
    if name := message.additional_kwargs.get("name"):
        wire["name"] = name
    if role == "tool":
        wire["tool_call_id"] = message.additional_kwargs.get("tool_call_id") or ""
    if role == "assistant":
        if replay_reasoning and (reasoning := _reasoning(message)):
            wire["reasoning"] = reasoning
        if calls := wire_tool_calls(message):
            wire["tool_calls"] = calls
            wire["content"] = content or None
    return wire


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
        return [_text(f"{block.title}\n{text}" if block.title and block.title != "input_document" else text)]
    if kind.startswith("image/"):
        from base64 import b64encode

        data = b64encode(cast("Any", block.resolve_document()).read()).decode("ascii")
        return [_media("image_url", f"data:{kind};base64,{data}")]
    raise ValueError(f"Together's API cannot express a DocumentBlock of type {kind or 'unknown'}: send its text instead")


def _reasoning(message: ChatMessage) -> str:
    return "".join(block.content or "" for block in message.blocks if isinstance(block, ThinkingBlock))


def wire_tools(tools: Iterable[Any] | None) -> list[dict[str, Any]] | None:
    """Return the tools of a request, or None where there are none; dicts are not converted."""
    wire = [tool if isinstance(tool, dict) else tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools or ()]
    return wire or None


def wire_tool_choice(choice: str | Mapping[str, Any] | None, *, required: bool = False) -> str | Mapping[str, Any]:
    """Return the tool choice of a request; a name selects that function."""
    if choice is None:
        return "required" if required else "auto"
    if isinstance(choice, str) and choice not in _CHOICES:
        return {"type": "function", "function": {"name": choice}}
    return choice


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
        params["extra_body"] = extra
    return params
