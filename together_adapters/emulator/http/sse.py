"""Server-sent events as the service sends them: one `data:` line per event, and `[DONE]` at the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SSE_TYPE: Final = "text/event-stream;charset=utf-8"
DONE: Final = b"data: [DONE]\n\n"

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def compact(value: Any) -> bytes:
    """Encodes a value as JSON in UTF-8; lone surrogates become question marks."""
    return _encode(value).encode("utf-8", "replace")


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
