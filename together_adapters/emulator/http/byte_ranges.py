"""Responses with stored content, complete or in part: `Range`, `If-Range`, and the headers that identify the content."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from together_adapters.emulator.store.disk import StoredContent

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_BLOCK: Final = 1 << 20


class ContentResponse(Response):
    """A range of stored content, sent in blocks."""

    def __init__(self, content: StoredContent, start: int, size: int, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(None, status, dict(headers))
        self.headers["content-length"] = str(size)
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
    if match[1]:
        start, end = int(match[1]), min(int(match[2] or last), last)
    else:
        start, end = max(0, content.size - int(match[2])), last
    if start > end:
        return Response(b"", 416, {"content-range": f"bytes */{content.size}", "etag": etag})
    headers["content-range"] = f"bytes {start}-{end}/{content.size}"
    return ContentResponse(content, start, end - start + 1, 206, headers)
