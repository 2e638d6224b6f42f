"""The kinds of responses: JSON, server-sent events as the service sends them, and stored content, complete or a range of it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

if TYPE_CHECKING:
    from together_adapters.emulator.store.disk import StoredContent

JSON_TYPE: Final = "application/json; charset=utf-8"
SSE_TYPE: Final = "text/event-stream;charset=utf-8"
DONE: Final = b"data: [DONE]\n\n"
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_BLOCK: Final = 1 << 20
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def compact(value: Any) -> bytes:
    """Encodes a value as JSON in UTF-8; lone surrogates become question marks."""
    return _encode(value).encode("utf-8", "replace")


def json_response(value: Any, status: int = 200) -> Response:
    """Returns a response with a value as JSON."""
    return Response(compact(value), status, media_type=JSON_TYPE)


def sse(value: Any) -> bytes:
    """Encodes a value as one event."""
    return b"data: " + compact(value) + b"\n\n"


class EventStream(Response):
    """A stream of events, each sent by itself. `[DONE]` and the end of the body are one message, so no client sees one without the other."""

    media_type = SSE_TYPE

    def __init__(self, events: Iterable[Any], delay: float = 0.0) -> None:
        super().__init__(None, 200, {"content-type": SSE_TYPE, "cache-control": "no-cache, no-transform"})
        del self.headers["content-length"]
        self.events = events
        self.delay = delay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for position, event in enumerate(self.events):
            if self.delay and position:
                await asyncio.sleep(self.delay)
            await send({"type": "http.response.body", "body": sse(event), "more_body": True})
        await send({"type": "http.response.body", "body": DONE, "more_body": False})


class ContentResponse(Response):
    """A range of stored content, sent in blocks."""

    def __init__(self, content: StoredContent, start: int, size: int, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(None, status, {**headers, "content-length": str(size)})
        self._content = content
        self._start = start
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for offset in range(0, self._size, _BLOCK):
            body = self._content.read(self._start + offset, min(_BLOCK, self._size - offset))
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def content_response(request: Request, content: StoredContent, media_type: str) -> Response:
    """Returns content, or the range of it that the request asks for."""
    etag = f'"{content.md5}"'
    headers = {"content-type": media_type, "etag": etag, "accept-ranges": "bytes"}
    if content.sha256:
        headers["repr-digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(content.sha256)).decode()}:"
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if not match or match[0] == "bytes=-" or request.headers.get("if-range", etag) != etag:
        return ContentResponse(content, 0, content.size, 200, headers)
    last = content.size - 1
    start = int(match[1]) if match[1] else max(0, content.size - int(match[2]))
    end = min(int(match[2] or last), last) if match[1] else last
    if start > end:
        return Response(b"", 416, {"content-range": f"bytes */{content.size}", "etag": etag})
    headers["content-range"] = f"bytes {start}-{end}/{content.size}"
    return ContentResponse(content, start, end - start + 1, 206, headers)
