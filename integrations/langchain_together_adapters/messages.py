"""LangChain's messages to the messages of a request. Pure; content that cannot be expressed raises an error that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, FunctionMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_together_adapters.tool_calls import wire_tool_calls

Wire = dict[str, Any]

_AUDIO_FORMATS = {"mpeg": "mp3", "mp3": "mp3", "wav": "wav", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}
_TOOL_CALL_BLOCKS = frozenset({"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call"})
_REASONING_BLOCKS = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})


def wire_messages(messages: Sequence[BaseMessage], *, replay_reasoning: bool = False) -> list[Wire]:
    """Return the messages of a request. Unknown content blocks raise a `ValueError`, messages without a role a `TypeError`."""
    wire: list[Wire] = []
    for message in messages:
        if isinstance(message, AIMessage):
            wire.append(_assistant(message, replay_reasoning))
        elif isinstance(message, HumanMessage):
            wire.extend(_user(message))
        else:
            wire.append(_other(message))
    return wire


def _other(message: BaseMessage) -> Wire:
    if isinstance(message, SystemMessage):
        return _with_name({"role": "system", "content": _text(message.content, "system")}, message)
    if isinstance(message, ToolMessage):
        wire = {"role": "tool", "content": _tool_content(message.content), "tool_call_id": message.tool_call_id}
        return _with_name(wire, message)
    if isinstance(message, FunctionMessage):
        return {"role": "function", "name": message.name, "content": _text(message.content, "function")}
    if isinstance(message, ChatMessage):
        content = message.content if isinstance(message.content, str) else _parts(message.content, message.role)
        return _with_name({"role": message.role, "content": content}, message)
    raise TypeError(f"a {type(message).__name__} cannot be sent: it has no role")


def _with_name(wire: Wire, message: BaseMessage) -> Wire:
    return {**wire, "name": message.name} if message.name else wire


def _user(message: HumanMessage) -> Iterable[Wire]:
    """Return a user's message; tool results inside it, which is Anthropic's way, become messages of their own."""
    if isinstance(message.content, str):
        return [_with_name({"role": "user", "content": message.content}, message)]
    results = [block for block in message.content if _kind(block) == "tool_result"]
    blocks = [block for block in message.content if _kind(block) != "tool_result"]
    wire = [_tool_result(block) for block in results]
    if blocks or not results:
        wire.append(_with_name({"role": "user", "content": _parts(blocks, "user")}, message))
    return wire


def _tool_result(block: Any) -> Wire:
    return {"role": "tool", "content": _tool_content(block.get("content") or ""), "tool_call_id": block.get("tool_use_id") or ""}


def _assistant(message: AIMessage, replay_reasoning: bool) -> Wire:
    content: Any = message.content
    if not isinstance(content, str):
        content = [block for block in content if _kind(block) not in _TOOL_CALL_BLOCKS | _REASONING_BLOCKS]
    calls = wire_tool_calls(message)
    wire = _with_name({"role": "assistant", "content": _text(content, "assistant", "") or (None if calls else "")}, message)
    if calls:
        wire["tool_calls"] = calls
    elif function_call := message.additional_kwargs.get("function_call"):
        wire["function_call"] = function_call
    if replay_reasoning and (reasoning := reasoning_of(message)):
        wire["reasoning"] = reasoning
    return wire


def reasoning_of(message: AIMessage) -> str:
    """Return a message's reasoning, which LangChain keeps in `additional_kwargs` or in content blocks."""
    reasoning = message.additional_kwargs.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        return reasoning
    if isinstance(message.content, str):
        return ""
    blocks = [block for block in message.content if isinstance(block, Mapping) and _kind(block) in _REASONING_BLOCKS]
    return "".join(str(block.get("reasoning") or block.get("thinking") or "") for block in blocks)


def _kind(block: Any) -> str | None:
    return block.get("type") if isinstance(block, Mapping) else None


def _parts(content: Iterable[Any], role: str) -> list[Wire]:
    return [_part(block, role) for block in content]


def _part(block: Any, role: str) -> Wire:
    """Return the content part of a string or a block."""
    if isinstance(block, str):
        return {"type": "text", "text": block}
    kind = block.get("type") if isinstance(block, Mapping) else None
    convert = _CONVERTERS.get(kind) if isinstance(kind, str) else None
    if kind is None and isinstance(block, Mapping) and isinstance(block.get("text"), str):
        convert = _CONVERTERS["text"]
    if convert is None:
        raise _block_error(block, role, "the service has no such part")
    return convert(block, role)


def _text(content: str | Iterable[Any], role: str, separator: str = "\n") -> str:
    """Return content that must be text as one string."""
    if isinstance(content, str):
        return content
    wire = _parts(content, role)
    for item in wire:
        if item["type"] != "text":
            raise _block_error(item, role, "it can hold text alone")
    return separator.join(item["text"] for item in wire)


def _tool_content(content: str | Iterable[Any]) -> str | list[Wire]:
    """Return the result of a tool: a string where it is text alone, which every model reads."""
    if isinstance(content, str):
        return content
    wire = _parts(content, "tool")
    return "\n".join(item["text"] for item in wire) if all(item["type"] == "text" for item in wire) else wire


def _text_field(field: str) -> Callable[[Mapping[str, Any], str], Wire]:
    return lambda block, role: {"type": "text", "text": block.get(field) or ""}


def _url_part(kind: str) -> Callable[[Mapping[str, Any], str], Wire]:
    """Return a converter of blocks that hold `kind` as a URL or as an object with a URL."""

    def convert(block: Mapping[str, Any], role: str) -> Wire:
        value = block.get(kind)
        if isinstance(value, str):
            value = {"url": value}
        if not isinstance(value, Mapping) or not isinstance(value.get("url"), str):
            raise _block_error(block, role, "it has no url")
        return {"type": kind, kind: dict(value)}

    return convert


def _media(kind: str, mime_type: str) -> Callable[[Mapping[str, Any], str], Wire]:
    """Return a converter of LangChain's media blocks into parts of `kind`, with a default media type."""

    def convert(block: Mapping[str, Any], role: str) -> Wire:
        url, data, mime = _source(block)
        if url is None and data is None:
            raise _block_error(block, role, "it has neither a url nor base64 data")
        return {"type": kind, kind: {"url": url or f"data:{mime or mime_type};base64,{data}"}}

    return convert


def _audio(block: Mapping[str, Any], role: str) -> Wire:
    _url, data, mime = _source(block)
    if data is None:
        return _media("audio_url", "audio/wav")(block, role)
    subtype = (mime or "audio/wav").partition("/")[2].partition(";")[0].lower()
    return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO_FORMATS.get(subtype, subtype)}}


def _input_audio(block: Mapping[str, Any], role: str) -> Wire:
    value = block.get("input_audio")
    if not isinstance(value, Mapping):
        raise _block_error(block, role, "it has no data")
    return {"type": "input_audio", "input_audio": dict(value)}


def _source(block: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Return URL, base64 data and media type of a block, in LangChain's or Anthropic's spelling."""
    source = block.get("source")
    if isinstance(source, Mapping):
        url = source.get("url")
        return url, None if url else source.get("data"), source.get("media_type")
    data = block.get("base64")
    if data is None and block.get("source_type") == "base64":
        data = block.get("data")
    return block.get("url"), data, block.get("mime_type")


def _plain_text(block: Mapping[str, Any], role: str) -> Wire:
    if not isinstance(block.get("text"), str):
        raise _block_error(block, role, "it has no text")
    return {"type": "text", "text": block["text"]}


def _block_error(block: Any, role: str, reason: str) -> ValueError:
    kind = block.get("type") if isinstance(block, Mapping) else type(block).__name__
    mime = block.get("mime_type") if isinstance(block, Mapping) else None
    label = f"{kind!r} ({mime})" if mime else repr(kind)
    return ValueError(f"a content block of type {label} in a {role} message cannot be sent: {reason}")


_CONVERTERS: dict[str, Callable[[Mapping[str, Any], str], Wire]] = {
    "text": _text_field("text"),
    "input_text": _text_field("text"),
    "output_text": _text_field("text"),
    "refusal": _text_field("refusal"),
    "text-plain": _plain_text,
    "image_url": _url_part("image_url"),
    "video_url": _url_part("video_url"),
    "audio_url": _url_part("audio_url"),
    "input_audio": _input_audio,
    "image": _media("image_url", "image/jpeg"),
    "video": _media("video_url", "video/mp4"),
    "audio": _audio,
}
