"""Content blocks in LangChain's, OpenAI's and Anthropic's spellings to the content parts of a request. Pure.

Each function takes the role of the message, which its errors name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Part = dict[str, Any]

_AUDIO_FORMATS = {"mpeg": "mp3", "mp3": "mp3", "wav": "wav", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}


def parts(content: Iterable[Any], role: str) -> list[Part]:
    """Return the content parts of strings and blocks; `ValueError` where one cannot be expressed."""
    return [part(block, role) for block in content]


def part(block: Any, role: str) -> Part:
    """Return the content part of a string or a block; `ValueError` where it cannot be expressed."""
    if isinstance(block, str):
        return {"type": "text", "text": block}
    kind = block.get("type") if isinstance(block, Mapping) else None
    convert = _CONVERTERS.get(kind) if isinstance(kind, str) else None
    if kind is None and isinstance(block, Mapping) and isinstance(block.get("text"), str):
        convert = _CONVERTERS["text"]
    if convert is None:
        raise _block_error(block, role, "the service has no such part")
    return convert(block, role)


def text_of(content: str | Iterable[Any], role: str, separator: str) -> str:
    """Return content that must be text as one string; `ValueError` where a block is not text."""
    if isinstance(content, str):
        return content
    wire = parts(content, role)
    for item in wire:
        if item["type"] != "text":
            raise _block_error(item, role, "it can hold text alone")
    return separator.join(item["text"] for item in wire)


def tool_content(content: str | Iterable[Any]) -> str | list[Part]:
    """Return the result of a tool: a string where it is text alone, which every model reads."""
    if isinstance(content, str):
        return content
    wire = parts(content, "tool")
    return "\n".join(item["text"] for item in wire) if all(item["type"] == "text" for item in wire) else wire


def _text_field(field: str) -> Callable[[Mapping[str, Any], str], Part]:
    return lambda block, role: {"type": "text", "text": block.get(field) or ""}


def _url_part(kind: str) -> Callable[[Mapping[str, Any], str], Part]:
    """Return a converter of blocks that hold `kind` as a URL or as an object with a URL."""

    def convert(block: Mapping[str, Any], role: str) -> Part:
        value = block.get(kind)
        if isinstance(value, str):
            value = {"url": value}
        if not isinstance(value, Mapping) or not isinstance(value.get("url"), str):
            raise _block_error(block, role, "it has no url")
        return {"type": kind, kind: dict(value)}

    return convert


def _media(kind: str, mime_type: str) -> Callable[[Mapping[str, Any], str], Part]:
    """Return a converter of LangChain's media blocks into parts of `kind`, with a default media type."""

    def convert(block: Mapping[str, Any], role: str) -> Part:
        url, data, mime = _source(block)
        if url is None and data is None:
            raise _block_error(block, role, "it has neither a url nor base64 data")
        return {"type": kind, kind: {"url": url or f"data:{mime or mime_type};base64,{data}"}}

    return convert


def _audio(block: Mapping[str, Any], role: str) -> Part:
    _url, data, mime = _source(block)
    if data is None:
        return _media("audio_url", "audio/wav")(block, role)
    subtype = (mime or "audio/wav").partition("/")[2].partition(";")[0].lower()
    return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO_FORMATS.get(subtype, subtype)}}


def _input_audio(block: Mapping[str, Any], role: str) -> Part:
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


def _plain_text(block: Mapping[str, Any], role: str) -> Part:
    if not isinstance(block.get("text"), str):
        raise _block_error(block, role, "it has no text")
    return {"type": "text", "text": block["text"]}


def _block_error(block: Any, role: str, reason: str) -> ValueError:
    kind = block.get("type") if isinstance(block, Mapping) else type(block).__name__
    mime = block.get("mime_type") if isinstance(block, Mapping) else None
    label = f"{kind!r} ({mime})" if mime else repr(kind)
    return ValueError(f"a content block of type {label} in a {role} message cannot be sent: {reason}")


_CONVERTERS: dict[str, Callable[[Mapping[str, Any], str], Part]] = {
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
