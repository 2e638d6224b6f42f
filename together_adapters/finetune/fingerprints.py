"""Digests of rows: rows that train the same have the same digest; so have prompts that ask the same."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any, Final
from unicodedata import normalize

from pydantic_core import to_json

from together_adapters.finetune.records import Row

_COLUMNS: Final = "messages tools text prompt completion input preferred_output non_preferred_output weight".split()
_MESSAGE_COLUMNS: Final = frozenset({"messages", "preferred_output", "non_preferred_output"})


def canonical(row: Row) -> bytes:
    """Returns the same bytes for rows that train the same, with other ids of calls, nulls, extra columns or order of keys."""
    try:
        return _encode(_canonical_columns(row))
    except RecursionError:  # such a row cannot be written either
        return b"too deep"


def _canonical_columns(row: Row) -> Any:
    ids: dict[Any, int] = {}
    columns: list[Any] = []
    for column in _COLUMNS:
        value = row.get(column)
        if value is None:
            continue
        if column in _MESSAGE_COLUMNS:
            value = _canonical_messages(value, ids)
        elif column == "input" and isinstance(value, dict):
            value = [_canonical_messages(value.get("messages"), ids), _sort_keys(value.get("tools"))]
        elif column == "tools":
            value = _sort_keys(value)
        else:
            value = _canonical_content(value)
        columns.append((column, value))
    return columns if columns else _sort_keys(row)


def prompt_of(row: Row) -> str:
    """Returns the system message and first question of a row, without differences of white space, case and Unicode form."""
    prompt = row.get("input")
    messages = row.get("messages") if "messages" in row else prompt.get("messages") if isinstance(prompt, dict) else None
    if isinstance(messages, list):
        texts = _prompt_texts(messages)
    else:
        value = row.get("prompt", row.get("text"))
        texts = [_text_of(value)] if value is not None else [canonical(row).decode("utf-8", "replace")]
    return " ".join(normalize("NFC", " ".join(texts)).casefold().split())


def digest(data: bytes | str, size: int = 16) -> bytes:
    """Returns the digest of bytes or of a text."""
    return blake2b(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data, digest_size=size).digest()


class Digests:
    """A set of digests, each with a value of `value_size` bytes, in a third of the memory of a set of bytes."""

    # Digests with the same first two bytes are in one array, which is short enough to be searched.
    def __init__(self, value_size: int = 0) -> None:
        self._buckets: dict[bytes, bytearray] = {}
        self._value_size = value_size

    def put(self, key: bytes, value: bytes = b"") -> bytes | None:
        """Adds a digest and returns None; if it is already there, returns its value."""
        bucket = self._buckets.setdefault(key[:2], bytearray())
        index = self._find(bucket, key[2:])
        if index is None:
            bucket += key[2:] + value
            return None
        return bytes(bucket[index + len(key) - 2 :][: self._value_size])

    def set(self, key: bytes, value: bytes) -> None:
        """Adds a digest or replaces its value."""
        if self.put(key, value) is not None:
            bucket = self._buckets[key[:2]]
            index = (self._find(bucket, key[2:]) or 0) + len(key) - 2
            bucket[index : index + self._value_size] = value

    def __contains__(self, key: bytes) -> bool:
        return key[:2] in self._buckets and self._find(self._buckets[key[:2]], key[2:]) is not None

    def _find(self, bucket: bytearray, key: bytes) -> int | None:
        step = len(key) + self._value_size
        index = bucket.find(key)
        while index > 0 and index % step:
            index = bucket.find(key, index + 1)
        return None if index < 0 else index


def _canonical_messages(messages: Any, ids: dict[Any, int]) -> Any:
    return [_canonical_message(message, ids) for message in messages] if isinstance(messages, list) else _sort_keys(messages)


def _canonical_message(message: Any, ids: dict[Any, int]) -> Any:
    if not isinstance(message, dict):
        return message
    role, content = message.get("role"), message.get("content")
    if message.keys() == {"role", "content"} and type(content) is str:
        return (role if role != "developer" else "system", content)
    result: dict[str, Any] = {"role": role if role != "developer" else "system", "content": _canonical_content(content)}
    for key in sorted(message.keys() - {"role", "content", "tool_call_id", "tool_calls", "id"}):
        if message[key] is not None:
            result["reasoning" if key == "reasoning_content" else key] = _sort_keys(message[key])
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        result["tool_calls"] = [_canonical_call(call, ids) for call in calls]
    if isinstance(call_id := message.get("tool_call_id"), str):
        result["tool_call_id"] = ids.setdefault(call_id, len(ids))
    return (result["role"], result["content"]) if len(result) == 2 else result


def _canonical_call(call: Any, ids: dict[Any, int]) -> Any:
    if not isinstance(call, dict):
        return call
    call_id, function = call.get("id"), call.get("function")
    number = ids.setdefault(call_id, len(ids)) if isinstance(call_id, str) else None
    if isinstance(function, dict):
        return number, function.get("name"), function.get("arguments")
    return number, function


def _canonical_content(content: Any) -> Any:
    """A content of one text part equals its text."""
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict) and content[0].get("type") == "text":
        return content[0].get("text")
    return content if isinstance(content, str) else _sort_keys(content)


def _sort_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sort_keys(value[key]) for key in sorted(value, key=str) if value[key] is not None}
    return [_sort_keys(item) for item in value] if isinstance(value, list | tuple) else value


def _encode(value: Any) -> bytes:
    try:
        return to_json(value, inf_nan_mode="constants", serialize_unknown=True)
    except ValueError:  # half of a surrogate pair, or not JSON
        return json.dumps(value, default=repr).encode()


def _prompt_texts(messages: list[Any]) -> list[str]:
    """Returns the texts of all system and user messages before the answer to the first question."""
    texts: list[str] = []
    has_question = False
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        if role == "assistant" and has_question:
            break
        has_question = has_question or role == "user"
        if role in ("system", "developer", "user"):
            texts.append(_text_of(message.get("content")))
    return texts


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return "" if content is None else str(content)
    return " ".join(
        part if isinstance(part, str)
        else str(part.get("text") if part.get("type") == "text" else _url_of(part)) if isinstance(part, dict) else ""
        for part in content
    )  # fmt: skip


def _url_of(part: dict[str, Any]) -> Any:
    image = part.get("image_url")
    return image.get("url") if isinstance(image, dict) else image
