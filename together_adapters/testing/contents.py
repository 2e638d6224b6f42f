"""Bodies as a person reads them: JSON unfolded, events one by one, text as text, other bytes as base64. And back, byte for byte."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import groupby, pairwise
from typing import Any, Final

from together_adapters.testing.exact_json import COMPACT, dumps, exact

MAX_TEXT: Final = 1 << 16  # characters of a request's text that are kept; of a longer one, the hash
MIN_ENCODED: Final = 1000  # characters from which base64 in a request is kept as its hash
_PRECISION: Final = 3  # digits of seconds

_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_EVENT: Final = re.compile(r"(?:event: ([^\r\n]*)\n)?data: ([^\r\n]*)\n\n")
_ENCODED: Final = re.compile(rf"(data:[\w/+.\-;=]{{0,80}},|)([A-Za-z0-9+/=_\-]{{{MIN_ENCODED},}})")


def text_or_base64(data: bytes) -> dict[str, Any]:
    """Returns bytes as `text` if they are UTF-8 that a file can show, else as `base64`; nothing for none."""
    if not data:
        return {}
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}
    return {"base64": b64encode(data).decode()} if "\x00" in text else {"text": text}


def digest(parts: Iterable[bytes]) -> dict[str, Any]:
    """Returns what is kept of bytes that nobody reads: hash and size."""
    total, size = sha256(), 0
    for part in parts:
        total.update(part)
        size += len(part)
    return {"sha256": total.hexdigest(), "size": size}


def sent_content(data: bytes) -> dict[str, Any]:
    """Returns what is kept of bytes that were sent: short text, else their hash."""
    content = text_or_base64(data)
    return digest([data]) if "base64" in content or len(content.get("text", "")) > MAX_TEXT else content


def without_encoded(value: Any) -> Any:
    """Returns a value of a request without base64, such as that of pictures: a hash is in its place."""
    if isinstance(value, dict):
        return {name: without_encoded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_encoded(item) for item in value]
    if isinstance(value, str) and len(value) >= MIN_ENCODED and (match := _ENCODED.fullmatch(value)):
        return f"{match[1]}[{len(match[2])} characters, sha256 {sha256(match[2].encode()).hexdigest()}]"
    return value


def whole_content(data: bytes) -> dict[str, Any]:
    """Returns the body of a response: `json` if that gives the bytes again, with a `style` unless it is the usual one."""
    content = text_or_base64(data)
    if "text" in content and (source := exact(content["text"])):
        value, style = source
        return {"json": value} if style == COMPACT else {"style": style, "json": value}
    return content


def content_bytes(content: Mapping[str, Any]) -> bytes:
    """Returns the bytes of a body."""
    if "json" in content:
        return dumps(content["json"], content.get("style", COMPACT)).encode()
    return b64decode(content["base64"]) if "base64" in content else str(content.get("text", "")).encode()


def events_content(reads: list[tuple[float, bytes]]) -> dict[str, Any]:
    """Returns the body of a stream from its reads, each with its time: `events`, each with the seconds since the one before.

    `data` is the JSON of an event, or its text; an event that is written in another way is there as it is, `raw`.
    """
    blocks = [(after if first else 0, block) for after, data in _timed_blocks(reads) for first, block in _split_events(data)]
    style = next(filter(None, (_style_of(block) for _, block in blocks)), COMPACT)
    events = [_after(after) | _event(block, style) for after, block in blocks]
    return {"events": events} if style == COMPACT else {"style": style, "events": events}


def chunks_content(reads: list[tuple[float, bytes]]) -> dict[str, Any]:
    """Returns a body that arrived over time, such as speech: `chunks`, each with the seconds since the one before."""
    return {"chunks": [_after(after) | text_or_base64(data) for after, data in _with_delays(reads)]}


def timed_bytes(content: Mapping[str, Any]) -> Iterator[tuple[float, bytes]]:
    """Yields the parts of a body, each with the seconds since the one before."""
    for chunk in content.get("chunks", ()):
        yield chunk.get("after", 0.0), content_bytes(chunk)
    for event in content.get("events", ()):
        yield event.get("after", 0.0), _event_bytes(event, content.get("style", COMPACT))


def _timed_blocks(reads: list[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Yields complete events, several together if they arrived together, with the seconds since those before."""
    buffer = b""
    complete: list[tuple[float, bytes]] = []
    for seconds, data in reads:
        buffer += data
        end = max((match.end() for match in _END.finditer(buffer)), default=0)
        if end:
            complete.append((seconds, buffer[:end]))
            buffer = buffer[end:]
    if buffer:
        complete.append((reads[-1][0], buffer))
    return _with_delays(complete)


def _with_delays(reads: list[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Yields reads with the seconds since the one before, those of one moment joined. Rounding does not add up."""
    past = 0.0
    for moment, group in groupby(reads, key=lambda read: round(read[0], _PRECISION)):
        yield round(moment - past, _PRECISION), b"".join(data for _, data in group)
        past = moment


def _split_events(data: bytes) -> Iterator[tuple[bool, bytes]]:
    """Yields the events of what arrived at one moment, and whether each is the first."""
    ends = [match.end() for match in _END.finditer(data)]
    for start, end in pairwise(sorted({0, *ends, len(data)})):
        yield start == 0, data[start:end]


def _after(seconds: float) -> dict[str, Any]:
    return {"after": seconds} if seconds > 0 else {}


def _style_of(block: bytes) -> str | None:
    match = _EVENT.fullmatch(block.decode("utf-8", "replace"))
    source = exact(match[2]) if match else None
    return source[1] if source else None


def _event(block: bytes, style: str) -> dict[str, Any]:
    content = text_or_base64(block)
    match = _EVENT.fullmatch(content.get("text", ""))
    if match is None:
        return content if "base64" in content else {"raw": content["text"]}
    source = exact(match[2])
    event: dict[str, Any] = {} if match[1] is None else {"event": match[1]}
    if not source:
        return {**event, "data": match[2]}
    return {**event, "data": source[0]} if source[1] == style or dumps(source[0], style) == match[2] else {"raw": content["text"]}


def _event_bytes(event: Mapping[str, Any], style: str) -> bytes:
    if "data" not in event:
        return content_bytes({**event, "text": event.get("raw", "")})
    data = event["data"]
    name = f"event: {event['event']}\n" if "event" in event else ""
    return f"{name}data: {data if isinstance(data, str) else dumps(data, style)}\n\n".encode()
