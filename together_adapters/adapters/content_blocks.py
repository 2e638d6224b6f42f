"""Content blocks of any provider's messages to the parts of a request. Pure, on mappings.

Blocks are those of LangChain (both versions), OpenAI (chat and Responses), Anthropic, Gemini, Bedrock Converse, Mistral and MCP.
What they say is the same, under other names: so a block is first brought to one layout, and its fields are read under all names.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any

Part = dict[str, Any]
Block = dict[str, Any]

_UPPER = re.compile(r"(?<=[a-z])[A-Z]")
_KEYS_WITHOUT_TYPE = tuple(
    "inline_data file_data function_call function_response executable_code code_execution_result tool_use tool_result image video "
    "audio document reasoning_content guard_content cache_point citations_content search_result json text".split()
)
"""What blocks without a `type`, which are Gemini's and Bedrock's, have instead."""
_TEXT_FIELDS = {
    "text": "text", "input_text": "text", "output_text": "text", "summary_text": "text", "text_plain": "text", "refusal": "refusal",
    "guard_content": "text",
}  # fmt: skip
_EMPTY_KINDS = frozenset({
    "cache_point", "cache", "cache_control", "redacted_thinking", "signature", "function_call_signature", "item_reference", "reference",
})  # fmt: skip
"""Hints, signatures and references: they carry nothing that another model could read."""
UNTOLD_FIELDS = frozenset(
    "type id index call_id callId item_id tool_use_id toolUseId tool_call_id container_id caller phase signature thought_signature "
    "thoughtSignature encrypted_content encryptedContent encrypted_index cache_control cacheControl fingerprint".split()
)
"""Fields of a block that say nothing: ids, signatures, and what only their provider can decrypt."""
_REMARKS = UNTOLD_FIELDS | {"annotations", "citations", "extras", "logprobs", "status", "thought"}
_URLS = ("url", "image_url", "video_url", "audio_url", "file_url", "file_uri", "fileUri", "uri")
_DATA = ("base64", "data", "bytes", "blob", "file_data", "b64_json", "result")
_MEDIA_TYPES = ("mime_type", "mimeType", "media_type", "mediaType")
_URLS_OR_DATA = ("image", "video", "audio")
_NAMES = ("filename", "name", "title")
_TEXT_SUBTYPES = frozenset({"json", "xml", "yaml", "x-yaml", "toml", "javascript", "x-python", "x-sh", "sql"})
_TEXT_FORMATS = frozenset({"txt", "md", "csv", "html"})
_DEFAULT_TYPES = {"image": "image/jpeg", "video": "video/mp4", "audio": "audio/wav"}
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}


def kind_of(block: Any) -> str | None:
    """Return the kind of a block in snake case; None for what is no block."""
    if not isinstance(block, Mapping):
        return None
    kind = block.get("type")
    if not isinstance(kind, str):
        names = {_snake(key): key for key in block if isinstance(key, str)}
        return next((name for name in _KEYS_WITHOUT_TYPE if name in names), None)
    return _snake(kind)


def _snake(name: str) -> str:
    return _UPPER.sub(lambda match: f"_{match[0].lower()}", name).replace("-", "_")


def unwrap(block: Any) -> Any:
    """Return the block that LangChain wraps because it does not know it."""
    while isinstance(block, Mapping) and block.get("type") == "non_standard" and isinstance(block.get("value"), Mapping | str):
        block = block["value"]
    return block


def has_one_field(block: Mapping[str, Any]) -> bool:
    """Whether a block without a `type` has one field that gives its kind, and nothing else to say."""
    return len(block.keys() - _REMARKS) == 1


def plain_block(block: Mapping[str, Any]) -> Block:
    """Return a block with its kind as `type`, and with the fields of the objects that it wraps beside it."""
    kind = kind_of(block) or ""
    fields: Block = {key: value for key, value in block.items() if key != "type"}
    for key in block:
        if isinstance(key, str) and _snake(key) == kind and isinstance(block[key], Mapping):
            del fields[key]
            fields |= {name: value for name, value in block[key].items() if name != "type"}
    if kind == "text" and block.get("thought") is True:
        kind = "thinking"
    return {"type": kind, **fields}


def content_parts(block: Any) -> list[Part]:
    """Return the parts of a request that express a block; a `ValueError` gives the reason where none can."""
    block = unwrap(block)
    if isinstance(block, str):
        return [{"type": "text", "text": block}]
    if not isinstance(block, Mapping):
        raise ValueError("the service has no such part")
    if block.get("type") == "text" and isinstance(block.get("text"), str) and "thought" not in block:
        return [{"type": "text", "text": block["text"]}]
    fields = plain_block(block)
    kind = fields["type"]
    if kind in _EMPTY_KINDS:
        return []
    convert = _CONVERTERS.get(kind)
    if convert is None:
        raise ValueError("the service has no such part")
    return convert(fields)


def is_empty(block: Any) -> bool:
    """Whether a block carries nothing for another model."""
    return block is None or kind_of(block) in _EMPTY_KINDS


def _text(block: Block) -> list[Part]:
    text = block.get(_TEXT_FIELDS[block["type"]])
    if isinstance(text, Mapping):  # Bedrock's guarded text
        text = text.get("text")
    if text is None and (block.get("url") or block.get("base64") or block.get("file_id")):
        return _media(block)
    if text is None and block["type"] != "text_plain" and not block.keys() - _REMARKS - {_TEXT_FIELDS[block["type"]]}:
        text = ""
    if not isinstance(text, str):
        raise ValueError("it has no text")
    return [{"type": "text", "text": text}]


def _search_result(block: Block) -> list[Part]:
    head = [str(block[key]) for key in ("title", "source") if block.get(key)]
    return [*({"type": "text", "text": line} for line in head), *_nested(block.get("content"))]


def _nested(content: Any) -> list[Part]:
    blocks = content if isinstance(content, list | tuple) else [] if content is None else [content]
    return [part for inner in blocks for part in content_parts(inner)]


def _media(block: Block) -> list[Part]:
    """Return the part of an image, a sound, a video, or a file that is one of them or a text."""
    source = block.get("source")
    if isinstance(source, Mapping) and source.get("type") == "content":
        return _nested(source.get("content"))
    media = Media(block)
    if media.text is not None:
        return [{"type": "text", "text": media.text}]
    if media.url is None and media.data is None:
        raise ValueError("the service keeps no files of others" if media.file_id else media.missing)
    if media.family not in _DEFAULT_TYPES:
        raise ValueError("the service takes text, images, audio and video")
    if media.url is not None and media.url.startswith(("gs://", "s3://")):
        raise ValueError("the service cannot fetch it from there")
    return [media.part()]


class Media:
    """What a block holds of an image, a sound, a video or a file, whatever the names of its fields."""

    def __init__(self, block: Mapping[str, Any]) -> None:
        kind = block["type"]
        self._mappings: list[Mapping[str, Any]] = [block, *(value for value in block.values() if isinstance(value, Mapping))]
        named = next((family for family in _DEFAULT_TYPES if family in kind), "")
        self.media_type = self._media_type(named)
        self.url, self.data = _string(self._first(_URLS)), _string(self._first(_DATA))
        if self.url is None and self.data is None:
            value = _string(self._first(_URLS_OR_DATA))
            is_url = value is not None and ("://" in value or value.startswith("data:"))
            self.url, self.data = (value, None) if is_url else (None, value)
        if not kind.endswith("_url"):
            self._unpack_data_url()
        self.family = named or self.media_type.partition("/")[0]
        self.file_id = self._first(("file_id", "fileId")) or (block.get("source_type") == "id" and block.get("id"))
        self.name = _string(self._first(_NAMES))
        self.text = self._text(block)
        self.missing = "it has no url" if kind.endswith("_url") else "it has neither a url nor base64 data"

    @property
    def kind(self) -> str:
        """What it is in one word."""
        return self.family if self.family in _DEFAULT_TYPES else "file"

    def _media_type(self, family: str) -> str:
        if media_type := self._first(_MEDIA_TYPES):
            return str(media_type).lower()
        name = str(self._first(("format", "output_format")) or "").lower()
        if not name:
            return ""
        return f"text/{name}" if name in _TEXT_FORMATS else f"{family or 'application'}/{name}"

    def _unpack_data_url(self) -> None:
        value = self.data or self.url or ""
        if value.startswith("data:") and ";base64," in value[:200]:
            head, _, self.data = value.partition(";base64,")
            self.media_type, self.url = self.media_type or head[5:].partition(";")[0].lower(), None

    def _text(self, block: Mapping[str, Any]) -> str | None:
        """Return the text of a file that holds text, as it is or in base64."""
        source = block.get("source")
        if isinstance(source, Mapping) and isinstance(source.get("text"), str):
            return str(source["text"])
        if block.get("source_type") == "text" or (isinstance(source, Mapping) and source.get("type") == "text"):
            return self.data or _string(block.get("text")) or self.url
        if block["type"] == "resource" and isinstance(block.get("text"), str):
            return str(block["text"])
        return _decode(self.data) if self.data and self._is_text else None

    @property
    def _is_text(self) -> bool:
        subtype = self.media_type.partition("/")[2].partition(";")[0]
        return self.family == "text" or subtype in _TEXT_SUBTYPES

    def _first(self, names: tuple[str, ...]) -> Any:
        values = (mapping.get(name) for mapping in self._mappings for name in names)
        return next((value for value in values if value and not isinstance(value, Mapping)), None)

    def part(self) -> Part:
        """Return the part of a request."""
        if self.family == "audio" and self.data is not None:
            subtype = (self.media_type or "audio/wav").partition("/")[2].partition(";")[0]
            return {"type": "input_audio", "input_audio": {"data": self.data, "format": _AUDIO_FORMATS.get(subtype, subtype)}}
        kind = f"{self.family}_url"
        url = self.url or f"data:{self.media_type or _DEFAULT_TYPES[self.family]};base64,{self.data}"
        detail = self._first(("detail",)) if self.family == "image" else None
        return {"type": kind, kind: {"url": url, "detail": detail} if detail else {"url": url}}


def _string(value: Any) -> str | None:
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode("ascii")
    return value if isinstance(value, str) else None


def _decode(data: str) -> str | None:
    try:
        return b64decode(data, validate=True).decode("utf-8")
    except ValueError:
        return None


_CONVERTERS: dict[str, Callable[[Block], list[Part]]] = {
    **dict.fromkeys(_TEXT_FIELDS, _text),
    **dict.fromkeys(("image", "image_url", "input_image", "video", "video_url", "input_video", "audio", "audio_url"), _media),
    **dict.fromkeys(("input_audio", "file", "input_file", "document", "media", "inline_data", "file_data", "resource"), _media),
    "search_result": _search_result,
}
