"""Content blocks on their way out: LangChain's, OpenAI's and Anthropic's spellings become the parts that the service reads. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Part = dict[str, Any]

_AUDIO_FORMATS = {"mpeg": "mp3", "mp3": "mp3", "wav": "wav", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}


def parts(content: Iterable[Any], speaker: str) -> list[Part]:
    """Return the parts of a message.

    Args:
        content: Strings and blocks.
        speaker: Whose message it is, for errors.

    Raises:
        ValueError: A block cannot be expressed; the error names it.
    """
    return [part(block, speaker) for block in content]


def part(block: Any, speaker: str) -> Part:
    """Return one block as the service reads it.

    Raises:
        ValueError: It cannot be expressed; the error names it.
    """
    if isinstance(block, str):
        return {"type": "text", "text": block}
    kind = block.get("type") if isinstance(block, Mapping) else None
    convert = _CONVERTERS.get(kind) if isinstance(kind, str) else None
    if kind is None and isinstance(block, Mapping) and isinstance(block.get("text"), str):
        convert = _text
    if convert is None:
        raise _refused(block, speaker, "the service has no such part")
    return convert(block, speaker)


def text_of(content: str | Iterable[Any], speaker: str, separator: str) -> str:
    """Return content that must be text as one string.

    Raises:
        ValueError: There is a block that is not text.
    """
    if isinstance(content, str):
        return content
    written = parts(content, speaker)
    for block in written:
        if block["type"] != "text":
            raise _refused(block, speaker, "it can hold text alone")
    return separator.join(block["text"] for block in written)


def tool_content(content: str | Iterable[Any]) -> str | list[Part]:
    """Return what a tool answered: a string where it is text alone, which every model reads."""
    if isinstance(content, str):
        return content
    written = parts(content, "tool")
    if all(block["type"] == "text" for block in written):
        return "\n".join(block["text"] for block in written)
    return written


def _text(block: Mapping[str, Any], speaker: str) -> Part:
    return {"type": "text", "text": block.get("text") or ""}


def _refusal(block: Mapping[str, Any], speaker: str) -> Part:
    return {"type": "text", "text": block.get("refusal") or ""}


def _url_part(kind: str) -> Callable[[Mapping[str, Any], str], Part]:
    """Return a converter of parts that the service knows by `kind`, given as a string or as an object."""

    def convert(block: Mapping[str, Any], speaker: str) -> Part:
        value = block.get(kind)
        if isinstance(value, str):
            value = {"url": value}
        if not isinstance(value, Mapping) or not isinstance(value.get("url"), str):
            raise _refused(block, speaker, "it has no url")
        return {"type": kind, kind: dict(value)}

    return convert


def _media(kind: str, mime_type: str) -> Callable[[Mapping[str, Any], str], Part]:
    """Return a converter of LangChain's media blocks into parts of `kind`; `mime_type` stands in where none is given."""

    def convert(block: Mapping[str, Any], speaker: str) -> Part:
        url, data, mime = _source(block)
        if url is None and data is None:
            raise _refused(block, speaker, "it has neither a url nor base64 data")
        return {"type": kind, kind: {"url": url or f"data:{mime or mime_type};base64,{data}"}}

    return convert


def _audio(block: Mapping[str, Any], speaker: str) -> Part:
    _url, data, mime = _source(block)
    if data is None:
        return _media("audio_url", "audio/wav")(block, speaker)
    subtype = (mime or "audio/wav").partition("/")[2].partition(";")[0].lower()
    return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO_FORMATS.get(subtype, subtype)}}


def _input_audio(block: Mapping[str, Any], speaker: str) -> Part:
    value = block.get("input_audio")
    if not isinstance(value, Mapping):
        raise _refused(block, speaker, "it has no data")
    return {"type": "input_audio", "input_audio": dict(value)}


def _source(block: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Return url, base64 data and media type of a block, in whichever of the known spellings it has."""
    source = block.get("source")
    if isinstance(source, Mapping):
        url = source.get("url")
        return url, None if url else source.get("data"), source.get("media_type")
    data = block.get("base64")
    if data is None and block.get("source_type") == "base64":
        data = block.get("data")
    return block.get("url"), data, block.get("mime_type")


def _plain_text(block: Mapping[str, Any], speaker: str) -> Part:
    if not isinstance(block.get("text"), str):
        raise _refused(block, speaker, "it has no text")
    return {"type": "text", "text": block["text"]}


def _refused(block: Any, speaker: str, why: str) -> ValueError:
    kind = block.get("type") if isinstance(block, Mapping) else type(block).__name__
    mime = block.get("mime_type") if isinstance(block, Mapping) else None
    shown = f"{kind!r} ({mime})" if mime else repr(kind)
    return ValueError(f"a content block of type {shown} in a {speaker} message cannot be sent: {why}")


_CONVERTERS: dict[str, Callable[[Mapping[str, Any], str], Part]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
    "text-plain": _plain_text,
    "image_url": _url_part("image_url"),
    "video_url": _url_part("video_url"),
    "audio_url": _url_part("audio_url"),
    "input_audio": _input_audio,
    "image": _media("image_url", "image/jpeg"),
    "video": _media("video_url", "video/mp4"),
    "audio": _audio,
}
