"""Faults: everything that can go wrong on the way to a client, to be injected, or requested by a header.

There are two kinds: those that send a response instead of the route, and those that change what the route sends. The latter
get each ASGI message; each event of a stream is one message.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from starlette.types import Message, Receive, Scope, Send

from together_adapters.emulator.errors import BAD_GATEWAY_PAGE, TYPICAL, ApiError
from together_adapters.emulator.http.behaviour import parse_bool, parse_settings
from together_adapters.emulator.http.sse import DONE, SSE_TYPE, sse

JSON_TYPE: Final = "application/json; charset=utf-8"
STATUSES: Final = ("400", "401", "402", "403", "404", "408", "409", "413", "422", "429", "500", "503", "504")


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail, for the next `times` requests whose path contains `path`.

    Attributes that a kind does not use are ignored.

    Attributes:
        kind: One of `KINDS`.
        times: How many matching requests fail; None for all of them.
        path: Part of the path of the requests to fail; None matches every path.
        message: Error message, for status codes and errors in a stream.
        code: Error code, likewise.
        type: Error type, likewise.
        retry_after: Seconds in a `retry-after` header.
        retry_after_ms: Milliseconds in a `retry-after-ms` header.
        headers: Further response headers.
        body: Body to send in place of the error object.
        content_type: Its type.
        seconds: How long to wait.
        after: How many events of the stream are sent before the fault.
        size: Bytes per block, for `trickle`; bytes to receive before `drop-upload` closes the connection.
        finished: Whether the finish reason is sent, for `no-done`.
        reset: Reset the connection instead of closing it.
        status: Status code, for `redirect` and `x-should-retry`.
        location: Target of a redirect.
        value: Value of `x-should-retry`.
        limit: Inputs that one request may contain, for `too-large`.
        id: A name under which a fault of a header is counted.
    """

    kind: str
    times: int | None = 1
    path: str | None = None
    message: str | None = None
    code: str | int | None = None
    type: str | None = None
    retry_after: float | str | None = None
    retry_after_ms: float | None = None
    headers: dict[str, str] | tuple[tuple[str, str], ...] = ()
    body: bytes | str | None = None
    content_type: str | None = None
    seconds: float = 1.0
    after: int = 2
    size: int = 3
    finished: bool = False
    reset: bool = False
    status: int | None = None
    location: str | None = None
    value: str = "true"
    limit: int = 1
    id: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; known are {', '.join(KINDS)}")

    @classmethod
    def from_header(cls, header: str) -> Fault:
        """Parses a fault such as `429; times=2; retry-after=0; id=abc`.

        Raises:
            ValueError: The kind, an attribute or a value is not valid.
        """
        settings = parse_settings(header)
        kind = next(iter(settings), "")
        settings.pop(kind, None)
        if unknown := sorted(set(settings) - set(_PARSERS)):
            raise ValueError(f"unknown attribute {unknown[0]!r} of fault {kind!r}")
        return cls(kind.replace("_", "-"), **{name: _PARSERS[name](text) for name, text in settings.items()})

    def matches(self, path: str, inputs: int, streams: bool) -> bool:
        """Returns whether a request to `path` with this number of inputs fails; `streams` says whether it requests a stream."""
        return (
            (self.path is None or self.path in path)
            and self.kind != DURING_UPLOAD
            and (self.kind != "too-large" or inputs > self.limit)
            and (streams or self.kind not in STREAM_ONLY)
        )


_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    **dict.fromkeys(("message", "code", "type", "retry_after", "body", "content_type", "location", "value", "id", "path"), str),
    **dict.fromkeys(("times", "after", "size", "status", "limit"), int),
    **dict.fromkeys(("seconds", "retry_after_ms"), float),
    **dict.fromkeys(("finished", "reset"), parse_bool),
}


class FaultQueue:
    """Faults that wait for a request, oldest first, and the counts of those requested by headers."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._pending = list(faults)
        self._header_counts: dict[str, int] = {}

    def add(self, fault: Fault) -> None:
        """Appends a fault."""
        with self._lock:
            self._pending.append(fault)

    def clear(self) -> None:
        """Removes all faults and counts."""
        with self._lock:
            self._pending.clear()
            self._header_counts.clear()

    @property
    def pending(self) -> list[Fault]:
        """A copy of the faults that have not happened yet."""
        with self._lock:
            return list(self._pending)

    def take(self, path: str, inputs: int, streams: bool, header: str | None) -> Fault | None:
        """Returns and counts the fault for a request, if any; one of its header comes first, or raises `ValueError`."""
        with self._lock:
            if header is not None:
                fault = Fault.from_header(header)
                if fault.matches(path, inputs, streams) and self._count(fault, header):
                    return fault
            for fault in self._pending:
                if fault.matches(path, inputs, streams):
                    self._use(fault)
                    return fault
            return None

    def interrupts(self, path: str, received: int) -> bool:
        """Returns whether an upload fails now that so many bytes have arrived."""
        with self._lock:
            for fault in self._pending:
                if fault.kind == DURING_UPLOAD and (fault.path or "") in path and received >= fault.size:
                    self._use(fault)
                    return True
            return False

    def _count(self, fault: Fault, header: str) -> bool:
        """Counts a fault of a header; returns False where it has happened often enough."""
        name = fault.id or header
        count = self._header_counts.get(name, 0)
        if fault.kind != "too-large" and fault.times is not None and count >= fault.times:
            return False
        self._header_counts[name] = count + 1
        return True

    def _use(self, fault: Fault) -> None:
        """Counts an injected fault, and removes it the last time."""
        if fault.kind == "too-large" or fault.times is None:
            return
        index = next(index for index, pending in enumerate(self._pending) if pending is fault)
        if fault.times > 1:
            self._pending[index] = replace(fault, times=fault.times - 1)
        else:
            del self._pending[index]


@dataclass(slots=True)
class FaultContext:
    """The request to which a fault happens, what the fault can do, and what has been sent so far.

    Attributes:
        streams: Whether the request is for a stream; once the response has started, whether that is one.
        start: The first message of the response, once it has started.
        events: How many messages of the body have been sent.
        ended: Whether the fault has ended the body.
    """

    scope: Scope
    body: Any
    send: Send
    close_connection: Callable[[bool], Awaitable[None]]
    streams: bool = False
    start: Message = field(default_factory=dict)
    events: int = 0
    ended: bool = False

    @property
    def authorization(self) -> str:
        """The Authorization header."""
        return str(dict(self.scope["headers"]).get(b"authorization", b"").decode("latin-1"))

    async def end(self, body: bytes = b"") -> None:
        """Sends the last message of the body; what the route sends after it is discarded."""
        self.ended = True
        await self.send({"type": "http.response.body", "body": body, "more_body": False})


Responder = Callable[[Fault, FaultContext], Awaitable[None]]
"""Sends a response in place of the route."""
Changer = Callable[[Fault, FaultContext, Message], Awaitable[None]]
"""Sends a message of the route, changed or not."""


async def send_response(
    context: FaultContext, status: int, body: bytes, content_type: str, headers: Iterable[tuple[str, str]] = ()
) -> None:
    """Sends a complete response."""
    pairs = [("content-type", content_type), ("content-length", str(len(body))), *headers]
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    await context.send({"type": "http.response.start", "status": status, "headers": encoded})
    await context.send({"type": "http.response.body", "body": body})


def _error(fault: Fault, status: int) -> dict[str, Any]:
    """Returns the error object of a fault."""
    default = TYPICAL.get(status, TYPICAL[400])
    code = fault.code if fault.code is not None else default.code
    return ApiError(status, fault.message or default.message, fault.type or default.type, None, code).body()


def _headers(fault: Fault) -> list[tuple[str, str]]:
    headers = list(fault.headers.items() if isinstance(fault.headers, dict) else fault.headers)
    if fault.retry_after is not None:
        headers.append(("retry-after", str(fault.retry_after)))
    if fault.retry_after_ms is not None:
        headers.append(("retry-after-ms", str(fault.retry_after_ms)))
    return headers


async def _refuse(
    fault: Fault, context: FaultContext, status: int, message: str | None = None, headers: Iterable[tuple[str, str]] = ()
) -> None:
    """Sends an error response."""
    body = fault.body
    if body is None:
        body = json.dumps(_error(replace(fault, message=fault.message or message), status))
    content = body.encode() if isinstance(body, str) else body
    await send_response(context, status, content, fault.content_type or JSON_TYPE, [*_headers(fault), *headers])


async def _status(fault: Fault, context: FaultContext) -> None:
    await _refuse(fault, context, int(fault.kind))


async def _bad_gateway(fault: Fault, context: FaultContext) -> None:
    page = replace(fault, body=fault.body or BAD_GATEWAY_PAGE, content_type=fault.content_type or "text/html; charset=UTF-8")
    await _refuse(page, context, 502)


async def _drop(fault: Fault, context: FaultContext) -> None:
    await context.close_connection(fault.reset)


async def _redirect(fault: Fault, context: FaultContext) -> None:
    location = fault.location or str(context.scope["path"])
    await send_response(context, fault.status or 307, b"", JSON_TYPE, [("location", location), *_headers(fault)])


async def _echo_key(fault: Fault, context: FaultContext) -> None:
    key = context.authorization.partition(" ")[2] or "(none)"
    message = f"The key {key} may not do this (header was: {context.authorization})."
    await _refuse(fault, context, fault.status or 400, message)


async def _should_retry(fault: Fault, context: FaultContext) -> None:
    await _refuse(fault, context, fault.status or 503, headers=[("x-should-retry", fault.value)])


async def _too_large(fault: Fault, context: FaultContext) -> None:
    await _refuse(fault, context, fault.status or 413, f"A batch may contain {fault.limit} inputs at most.")


async def _empty_body(fault: Fault, context: FaultContext) -> None:
    await send_response(context, fault.status or 200, b"", SSE_TYPE if context.streams else JSON_TYPE, _headers(fault))


def _is_body(message: Message) -> bool:
    return bool(message["type"] == "http.response.body")


def _is_done(event: bytes) -> bool:
    return event.startswith(DONE)


def _has_finish_reason(event: bytes) -> bool:
    return b'"finish_reason":"' in event.replace(b": ", b":")


def _is_due(fault: Fault, context: FaultContext, event: bytes) -> bool:
    """Returns whether enough events have been sent; the fault happens at the latest before a finish reason."""
    return context.events >= fault.after or _has_finish_reason(event) or _is_done(event)


async def _cut(fault: Fault, context: FaultContext, message: Message) -> None:
    """Closes the connection after some events, or in the middle of a complete body."""
    body = message.get("body", b"")
    if _is_body(message) and not context.streams:
        await context.send({**message, "body": body[: len(body) // 2], "more_body": True})
    if _is_body(message) and (not context.streams or _is_due(fault, context, body)):
        await context.close_connection(fault.reset)
    else:
        await context.send(message)


async def _cut_after_finish(fault: Fault, context: FaultContext, message: Message) -> None:
    if _is_body(message) and _is_done(message.get("body", b"")):
        await context.close_connection(fault.reset)
    else:
        await context.send(message)


async def _no_done(fault: Fault, context: FaultContext, message: Message) -> None:
    body = message.get("body", b"")
    if _is_done(body) or (not fault.finished and _has_finish_reason(body)):
        await context.end()
    else:
        await context.send(message)


async def _end_with(fault: Fault, context: FaultContext, message: Message, last: bytes) -> None:
    """Ends a stream with `last` after some events."""
    if _is_body(message) and _is_due(fault, context, message["body"]):
        await context.end(last)
    else:
        await context.send(message)


async def _stream_error(fault: Fault, context: FaultContext, message: Message) -> None:
    error = _error(replace(fault, code=fault.code or "internal_error"), 500)
    await _end_with(fault, context, message, sse(error) + DONE)


async def _stream_error_event(fault: Fault, context: FaultContext, message: Message) -> None:
    error = _error(replace(fault, code=fault.code or "internal_error"), 500)
    await _end_with(fault, context, message, b"event: error\n" + sse(error))


async def _bad_json(fault: Fault, context: FaultContext, message: Message) -> None:
    if context.streams:
        await _end_with(fault, context, message, b'data: {"id": "x", "choices": [{"index": 0, "delta"\n\n' + DONE)
    elif _is_body(message):
        body = message.get("body", b"")[:-9]
        headers = [pair for pair in context.start["headers"] if pair[0] != b"content-length"]
        await context.send({**context.start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await context.send({**message, "body": body})


async def _slow(fault: Fault, context: FaultContext, message: Message) -> None:
    if not _is_body(message):
        await asyncio.sleep(fault.seconds)
    await context.send(message)


async def _trickle(fault: Fault, context: FaultContext, message: Message) -> None:
    body = message.get("body", b"") if _is_body(message) else b""
    for start in range(0, len(body), fault.size):
        await context.send({"type": "http.response.body", "body": body[start : start + fault.size], "more_body": True})
        await asyncio.sleep(fault.seconds)
    if not _is_body(message) or not message.get("more_body", False):
        await context.send({**message, "body": b""} if body else message)


async def _hold_open(fault: Fault, context: FaultContext, message: Message) -> None:
    is_last = _is_body(message) and not message.get("more_body", False)
    await context.send({**message, "more_body": True} if is_last else message)
    if is_last:
        await asyncio.sleep(fault.seconds)
        await context.end()


def _rewrite(change: Callable[[bytes], bytes]) -> Changer:
    """Returns a fault that changes each event."""

    async def send(fault: Fault, context: FaultContext, message: Message) -> None:
        if _is_body(message) and context.streams and message.get("body"):
            message = {**message, "body": change(message["body"])}
        await context.send(message)

    return send


async def _not_sse(fault: Fault, context: FaultContext, message: Message) -> None:
    await context.send(message)  # `play` has already removed `stream` from the request


RESPONDERS: Final[dict[str, Responder]] = {
    **dict.fromkeys(STATUSES, _status),
    "502-html": _bad_gateway,
    "drop": _drop,
    "redirect": _redirect,
    "echo-key": _echo_key,
    "x-should-retry": _should_retry,
    "too-large": _too_large,
    "empty-body": _empty_body,
}
CHANGERS: Final[dict[str, Changer]] = {
    "cut": _cut,
    "cut-after-finish": _cut_after_finish,
    "no-done": _no_done,
    "stream-error": _stream_error,
    "stream-error-event": _stream_error_event,
    "bad-json": _bad_json,
    "not-sse": _not_sse,
    "slow": _slow,
    "trickle": _trickle,
    "hold-open": _hold_open,
    "crlf": _rewrite(lambda events: events.replace(b"\n", b"\r\n")),
    "keepalive": _rewrite(lambda events: b": keepalive\n\n" + events),
}
DURING_UPLOAD: Final = "drop-upload"
"""Happens before the request is complete, so it cannot be requested by a header."""
KINDS: Final = (*RESPONDERS, *CHANGERS, DURING_UPLOAD)
STREAM_ONLY: Final = frozenset(
    ("cut-after-finish", "no-done", "stream-error", "stream-error-event", "not-sse", "crlf", "keepalive")
)


async def play(
    fault: Fault, context: FaultContext, route: Callable[[Scope, Receive, Send], Awaitable[None]], receive: Receive
) -> None:
    """Lets a request fail: sends a response in place of `route`, or changes what it sends."""
    if fault.kind in RESPONDERS:
        return await RESPONDERS[fault.kind](fault, context)
    if fault.kind == "not-sse":
        context.body["stream"] = False
    change, is_changed = CHANGERS[fault.kind], True

    async def send(message: Message) -> None:
        nonlocal is_changed
        if context.ended:
            return
        if message["type"] == "http.response.start":
            context.start = message
            context.streams = dict(message["headers"]).get(b"content-type", b"").startswith(b"text/event-stream")
            is_changed = context.streams or fault.kind not in STREAM_ONLY
        await (change(fault, context, message) if is_changed else context.send(message))
        context.events += _is_body(message)

    await route(context.scope, receive, send)
