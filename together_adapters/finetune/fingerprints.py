"""What two rows have in common when they teach the same: their trained content in one form, their prompt, and digests of both."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any, Final
from unicodedata import normalize

from pydantic_core import to_json

from together_adapters.finetune.records import Row

_COLUMNS: Final = (
    "messages",
    "tools",
    "text",
    "prompt",
    "completion",
    "input",
    "preferred_output",
    "non_preferred_output",
    "weight",
)
_TALKS: Final = frozenset({"messages", "preferred_output", "non_preferred_output"})


def canonical(row: Row) -> bytes:
    """Return what a row trains, so that two rows that train the same give the same bytes.

    Ids of tool calls are numbered anew; nulls, columns that are not trained on, and the order of keys make no difference.
    Blanks within texts do.

    Args:
        row: A row in one of the service's formats.
    """
    try:
        return _encoded(_parts(row))
    except RecursionError:  # such a row cannot be written either
        return b"too deep"


def _parts(row: Row) -> Any:
    ids: dict[Any, int] = {}
    parts: list[Any] = []
    for column in _COLUMNS:
        value = row.get(column)
        if value is None:
            continue
        if column in _TALKS:
            value = _talk(value, ids)
        elif column == "input" and isinstance(value, dict):
            value = [_talk(value.get("messages"), ids), _sorted(value.get("tools"))]
        elif column == "tools":
            value = _sorted(value)
        else:
            value = _content(value)
        parts.append((column, value))
    return parts if parts else _sorted(row)


def prompt_of(row: Row) -> str:
    """Return what a row asks: its system message and first question; small differences of blanks, case and Unicode form are lost.

    Args:
        row: A row in one of the service's formats. What is of none of them is all prompt.
    """
    given = row.get("input")
    talk = row.get("messages") if "messages" in row else given.get("messages") if isinstance(given, dict) else None
    if isinstance(talk, list):
        asked = _asked(talk)
    else:
        value = row.get("prompt", row.get("text"))
        asked = [_text(value)] if value is not None else [canonical(row).decode("utf-8", "replace")]
    return " ".join(normalize("NFC", " ".join(asked)).casefold().split())


def digest(data: bytes | str, size: int = 16) -> bytes:
    """Return a checksum that is the same on every machine and in every process."""
    return blake2b(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data, digest_size=size).digest()


class Digests:
    """A table of digests that needs little more memory than they have bytes, for rows by the hundred million.

    Digests with the same two first bytes lie behind each other in one array, which is short enough to be searched.

    Args:
        extra: Bytes to be kept with each.
    """

    def __init__(self, extra: int = 0) -> None:
        self._shelves: dict[bytes, bytearray] = {}
        self._extra = extra

    def put(self, key: bytes, value: bytes = b"") -> bytes | None:
        """Keep a digest unless it is there already; return None, or what is kept with the one that is there."""
        shelf = self._shelves.setdefault(key[:2], bytearray())
        place = self._find(shelf, key[2:])
        if place is None:
            shelf += key[2:] + value
            return None
        return bytes(shelf[place + len(key) - 2 :][: self._extra])

    def set(self, key: bytes, value: bytes) -> None:
        """Keep a digest with this value, whatever was kept with it."""
        if self.put(key, value) is not None:
            shelf = self._shelves[key[:2]]
            place = (self._find(shelf, key[2:]) or 0) + len(key) - 2
            shelf[place : place + self._extra] = value

    def __contains__(self, key: bytes) -> bool:
        return key[:2] in self._shelves and self._find(self._shelves[key[:2]], key[2:]) is not None

    def _find(self, shelf: bytearray, key: bytes) -> int | None:
        step = len(key) + self._extra
        place = shelf.find(key)
        while place > 0 and place % step:
            place = shelf.find(key, place + 1)
        return None if place < 0 else place


def _talk(messages: Any, ids: dict[Any, int]) -> Any:
    return [_message(message, ids) for message in messages] if isinstance(messages, list) else _sorted(messages)


def _message(message: Any, ids: dict[Any, int]) -> Any:
    if not isinstance(message, dict):
        return message
    role, content = message.get("role"), message.get("content")
    if message.keys() == {"role", "content"} and type(content) is str:
        return (role if role != "developer" else "system", content)
    kept: dict[str, Any] = {"role": role if role != "developer" else "system", "content": _content(content)}
    for key in sorted(message.keys() - {"role", "content", "tool_call_id", "tool_calls", "id"}):
        if message[key] is not None:
            kept["reasoning" if key == "reasoning_content" else key] = _sorted(message[key])
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        kept["tool_calls"] = [_call(call, ids) for call in calls]
    if isinstance(name := message.get("tool_call_id"), str):
        kept["tool_call_id"] = ids.setdefault(name, len(ids))
    return (kept["role"], kept["content"]) if len(kept) == 2 else kept


def _call(call: Any, ids: dict[Any, int]) -> Any:
    if not isinstance(call, dict):
        return call
    name, function = call.get("id"), call.get("function")
    number = ids.setdefault(name, len(ids)) if isinstance(name, str) else None
    if isinstance(function, dict):
        return number, function.get("name"), function.get("arguments")
    return number, function


def _content(content: Any) -> Any:
    """A content of one text part is the same as that text."""
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict) and content[0].get("type") == "text":
        return content[0].get("text")
    return content if isinstance(content, str) else _sorted(content)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=str) if value[key] is not None}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value


def _encoded(value: Any) -> bytes:
    try:
        return to_json(value, inf_nan_mode="constants", serialize_unknown=True)
    except ValueError:  # half of a surrogate pair, or what is no JSON at all
        return json.dumps(value, default=repr).encode()


def _asked(talk: list[Any]) -> list[str]:
    """The texts of all messages up to the answer to the first question, however they are divided."""
    texts: list[str] = []
    asked = False
    for message in talk:
        role = message.get("role") if isinstance(message, dict) else None
        if role == "assistant" and asked:
            break
        asked = asked or role == "user"
        if role in ("system", "developer", "user"):
            texts.append(_text(message.get("content")))
    return texts


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return "" if content is None else str(content)
    return " ".join(
        part if isinstance(part, str)
        else str(part.get("text") if part.get("type") == "text" else _url(part)) if isinstance(part, dict) else ""
        for part in content
    )  # fmt: skip


def _url(part: dict[str, Any]) -> Any:
    image = part.get("image_url")
    return image.get("url") if isinstance(image, dict) else image
