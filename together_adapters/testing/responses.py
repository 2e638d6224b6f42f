"""From what arrived to a response as recordings have it, without content encoding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from together_adapters.testing.contents import chunks_content, events_content, text_or_base64, whole_content
from together_adapters.transport.http_library import HTTPLibrary

GAVE_UP: Final = "GaveUp"
"""The failure of a request that its caller gave up: a limit of the call, or of its task, passed without a response."""

_NOT_KEPT: Final = frozenset({"set-cookie", "connection", "keep-alive"})
_MAX_UNPACKED: Final = 64 << 20  # bytes; what unpacks to more stays packed
_EVENT_STARTS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
_DONE: Final = "[DONE]"
_PRECISION: Final = 3


@dataclass
class Arrival:
    """A response as it arrived: its head, and the reads of its body with their times since the head."""

    status: int
    headers: list[tuple[str, str]]
    seconds: float  # until the head
    is_unpacked: bool = False
    reads: list[tuple[float, bytes]] = field(default_factory=list)
    is_complete: bool = False
    failure: dict[str, Any] | None = None

    def response(self, library: HTTPLibrary, *, is_stream: bool) -> dict[str, Any]:
        """Returns the response for the file, secrets included."""
        headers = _merged(self.headers)
        reads = self.reads
        encoding = None if self.is_unpacked else headers.get("content-encoding")
        if encoding and (decoded := _decoded(library, encoding, reads)) is not None:
            reads = decoded
            encoding = None
        if encoding is None:
            headers = {name: value for name, value in headers.items() if name != "content-encoding"}
        content = _content(reads, headers, is_stream=is_stream, is_packed=bool(encoding))
        end: dict[str, Any] = {}
        if self.failure:
            end = {"failure": self.failure}
        elif not self.is_complete and not _is_done(content):
            end = {"incomplete": True}
        after = {"after": round(self.seconds, _PRECISION)} if content.keys() & {"events", "chunks"} else {}
        return {"status": self.status, "headers": headers, **after, **content, **end}


def _merged(headers: list[tuple[str, str]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for name, value in headers:
        if name.lower() not in _NOT_KEPT:
            merged[name.lower()] = f"{merged[name.lower()]}, {value}" if name.lower() in merged else value
    return merged


def _content(reads: list[tuple[float, bytes]], headers: dict[str, str], *, is_stream: bool, is_packed: bool) -> dict[str, Any]:
    body = b"".join(data for _, data in reads)
    if is_packed:
        return text_or_base64(body)
    content_type = headers.get("content-type", "").lower()
    if "event-stream" in content_type or (is_stream and body.lstrip().startswith(_EVENT_STARTS)):
        return events_content(reads)
    if is_stream and len(reads) > 1 and not any(kind in content_type for kind in ("json", "html", "xml")):
        return chunks_content(reads)
    return whole_content(body)


def _decoded(library: HTTPLibrary, encoding: str, reads: list[tuple[float, bytes]]) -> list[tuple[float, bytes]] | None:
    """Returns the reads without their content encoding, each with its time; None if that is impossible, or far too much."""
    decoded_reads: list[tuple[float, bytes]] = []
    moment = size = 0.0

    def raw() -> Iterator[bytes]:
        nonlocal moment
        for seconds, data in reads:
            moment = seconds
            yield data

    try:
        for data in library.module.Response(200, headers={"content-encoding": encoding}, content=raw()).iter_bytes():
            decoded_reads.append((moment, data))
            size += len(data)
            if size > _MAX_UNPACKED:
                return None
    except library.module.DecodingError:
        return None
    return decoded_reads


def _is_done(content: dict[str, Any]) -> bool:
    """Whether a stream has its end marker, after which clients close it."""
    return any(event.get("data") == _DONE for event in content.get("events", ())[-2:])
