"""Content in an answer, whole or in part: `Range`, `If-Range`, and the headers by which a client knows what it got."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from together_adapters.emulator.http.routing import RequestContext
from together_adapters.emulator.store.disk import Stored

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_PIECE: Final = 1 << 20


class Content(Response):
    """A stretch of stored content, sent in pieces."""

    def __init__(self, stored: Stored, begin: int, size: int, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(None, status, dict(headers))
        self.headers["content-length"] = str(size)
        self._stored = stored
        self._begin = begin
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for done in range(0, self._size, _PIECE):
            size = min(_PIECE, self._size - done)
            body = self._stored.read(self._begin + done, size)
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def content(context: RequestContext, stored: Stored, media_type: str) -> Response:
    """Answer with stored content, or with the part of it that was asked for."""
    etag = f'"{stored.md5}"'
    headers = {"content-type": media_type, "etag": etag, "accept-ranges": "bytes"}
    if stored.sha256:
        headers["repr-digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(stored.sha256)).decode()}:"
    asked = context.request.headers
    found = _RANGE.fullmatch(asked.get("range", "").strip())
    if not found or found[0] == "bytes=-" or asked.get("if-range", etag) != etag:
        return Content(stored, 0, stored.size, 200, headers)
    if found[1]:
        begin, end = int(found[1]), min(int(found[2] or stored.size - 1), stored.size - 1)
    else:
        begin, end = max(0, stored.size - int(found[2])), stored.size - 1
    if begin > end:
        return Response(b"", 416, {"content-range": f"bytes */{stored.size}", "etag": etag})
    headers["content-range"] = f"bytes {begin}-{end}/{stored.size}"
    return Content(stored, begin, end - begin + 1, 206, headers)
