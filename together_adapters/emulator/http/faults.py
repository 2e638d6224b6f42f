"""Everything that can go wrong on the way to a client, each under a name, to be injected or asked for per request.

A fault is described here and knows how it looks on the wire. Two kinds exist: those that answer *instead* of the route, and
those that change what the route *sends* (they wrap ASGI's `send`; each event of a stream is one body message).
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.types import Message, Receive, Scope, Send

from together_adapters.emulator.http.behaviour import as_bool, settings
from together_adapters.emulator.http.errors import BAD_GATEWAY_PAGE, TYPICAL, ApiError
from together_adapters.emulator.http.sse import DONE, SSE_TYPE, sse

JSON_TYPE: Final = "application/json; charset=utf-8"
STATUSES: Final = ("400", "401", "402", "403", "404", "408", "409", "413", "422", "429", "500", "503", "504")


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail, for the next `times` requests whose path contains `path`.

    The details count only for the kinds that name them in `KINDS`; the others ignore them.

    Attributes:
        kind: A key of `KINDS`.
        times: How many matching requests fail so. None means all of them.
        path: Part of the path of the requests to fail; None matches every path.
        message: Error text, for the statuses and in-stream errors.
        code: Error code, likewise.
        type: Error type, likewise.
        retry_after: Seconds in a `retry-after` header.
        retry_after_ms: Milliseconds in a `retry-after-ms` header.
        headers: Further response headers.
        body: A body to send in place of the error object.
        content_type: Its type.
        seconds: How long to wait.
        after: How many events of the stream pass before the fault strikes.
        size: Bytes per piece, for `trickle`; bytes that arrive before `drop-upload` strikes.
        finished: Whether the finish reason is sent, for `no-done`.
        reset: End the connection by a reset instead of an orderly close.
        status: Status code, for `redirect` and `x-should-retry`.
        location: Where a redirect points.
        value: The value of `x-should-retry`.
        limit: Inputs that one request may hold, for `too-large`.
        id: A name under which a fault given by header is counted.
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
        """Read a fault written as `429; times=2; retry-after=0; id=abc`.

        Raises:
            ValueError: The kind, a detail or a value makes no sense.
        """
        details = settings(header)
        kind = next(iter(details), "")
        details.pop(kind, None)
        unknown = set(details) - set(_READERS)
        if unknown:
            raise ValueError(f"unknown detail {sorted(unknown)[0]!r} of fault {kind!r}")
        read: dict[str, Any] = {name: _READERS[name](text) for name, text in details.items()}
        return cls(kind=kind.replace("_", "-"), **read)

    def matches(self, path: str, inputs: int, streams: bool) -> bool:
        """Whether a request to `path` that holds `inputs` texts, or asks for a stream, is to fail so."""
        return (
            (self.path is None or self.path in path)
            and self.kind != DURING_UPLOAD
            and (self.kind != "too-large" or inputs > self.limit)
            and (streams or self.kind not in STREAM_ONLY)
        )


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    **dict.fromkeys(("message", "code", "type", "retry_after", "body", "content_type", "location", "value", "id"), str),
    **dict.fromkeys(("path",), str),
    **dict.fromkeys(("times", "after", "size", "status", "limit"), int),
    **dict.fromkeys(("seconds", "retry_after_ms"), float),
    **dict.fromkeys(("finished", "reset"), as_bool),
}


class FaultQueue:
    """Faults that wait for a request, oldest first, and the counts of those given by header."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._waiting = list(faults)
        self._spent: dict[str, int] = {}

    def add(self, fault: Fault) -> None:
        """Put a fault behind those that wait."""
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        """Forget faults and counts."""
        with self._lock:
            self._waiting.clear()
            self._spent.clear()

    @property
    def waiting(self) -> list[Fault]:
        """A copy of the faults not yet spent."""
        with self._lock:
            return list(self._waiting)

    def take(self, path: str, inputs: int, streams: bool, header: str | None) -> Fault | None:
        """Return the fault for this request, if any, and count it; one given by header comes before those injected.

        Raises:
            ValueError: The header makes no sense.
        """
        with self._lock:
            if header is not None and (fault := self._from_header(header, path, inputs, streams)) is not None:
                return fault
            return self._next(path, inputs, streams) if self._waiting else None

    def interrupts(self, path: str, received: int) -> bool:
        """Whether an upload of which so much has arrived is to be cut off now; it then counts as spent."""
        with self._lock:
            for fault in self._waiting:
                if fault.kind == DURING_UPLOAD and (fault.path or "") in path and received >= fault.size:
                    self._spend(fault)
                    return True
        return False

    def _from_header(self, header: str, path: str, inputs: int, streams: bool) -> Fault | None:
        fault = Fault.from_header(header)
        if not fault.matches(path, inputs, streams):
            return None
        name = fault.id or header
        spent = self._spent.get(name, 0)
        if fault.kind != "too-large" and fault.times is not None and spent >= fault.times:
            return None
        self._spent[name] = spent + 1
        return fault

    def _next(self, path: str, inputs: int, streams: bool) -> Fault | None:
        for fault in self._waiting:
            if not fault.matches(path, inputs, streams):
                continue
            self._spend(fault)
            return fault
        return None

    def _spend(self, fault: Fault) -> None:
        if fault.kind == "too-large" or fault.times is None:
            return
        position = next(at for at, waiting in enumerate(self._waiting) if waiting is fault)
        if fault.times > 1:
            self._waiting[position] = replace(fault, times=fault.times - 1)
        else:
            del self._waiting[position]


@dataclass(frozen=True, slots=True)
class FaultContext:
    """Where a fault plays: the request that meets it, and the hands that it may use.

    `streams` says whether a stream was asked for, or, once the answer has begun, whether it is one.
    """

    scope: Scope
    body: Any
    send: Send
    close_connection: Callable[[bool], Awaitable[None]]
    streams: bool = False

    @property
    def authorization(self) -> str:
        """The Authorization header, as it came."""
        return str(dict(self.scope["headers"]).get(b"authorization", b"").decode("latin-1"))


Instead = Callable[[Fault, FaultContext], Awaitable[None]]
Around = Callable[[Fault, FaultContext], Send]


async def send_response(
    context: FaultContext, status: int, body: bytes, content_type: str, headers: Iterable[tuple[str, str]] = ()
) -> None:
    """Send a whole answer."""
    pairs = [("content-type", content_type), ("content-length", str(len(body))), *headers]
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    await context.send({"type": "http.response.start", "status": status, "headers": encoded})
    await context.send({"type": "http.response.body", "body": body})


def _error_of(fault: Fault, status: int) -> ApiError:
    typical = TYPICAL.get(status, TYPICAL[400])
    return ApiError(
        status, fault.message or typical.message, fault.type or typical.type, None,
        fault.code if fault.code is not None else typical.code,
    )  # fmt: skip


def _headers_of(fault: Fault) -> list[tuple[str, str]]:
    headers = list(fault.headers.items() if isinstance(fault.headers, dict) else fault.headers)
    if fault.retry_after is not None:
        headers.append(("retry-after", str(fault.retry_after)))
    if fault.retry_after_ms is not None:
        headers.append(("retry-after-ms", str(fault.retry_after_ms)))
    return headers


async def _refuse(fault: Fault, context: FaultContext, status: int, headers: Iterable[tuple[str, str]] = ()) -> None:
    body: bytes | str | None = fault.body
    if body is None:
        body = json.dumps(_error_of(fault, status).body())
    await send_response(
        context, status, body.encode() if isinstance(body, str) else body, fault.content_type or JSON_TYPE,
        [*_headers_of(fault), *headers],
    )  # fmt: skip


async def _status(fault: Fault, context: FaultContext) -> None:
    await _refuse(fault, context, int(fault.kind))


async def _bad_gateway(fault: Fault, context: FaultContext) -> None:
    page = replace(fault, body=fault.body or BAD_GATEWAY_PAGE, content_type=fault.content_type or "text/html; charset=UTF-8")
    await _refuse(page, context, 502)


async def _drop(fault: Fault, context: FaultContext) -> None:
    await context.close_connection(fault.reset)


async def _redirect(fault: Fault, context: FaultContext) -> None:
    where = fault.location or str(context.scope["path"])
    await send_response(context, fault.status or 307, b"", JSON_TYPE, [("location", where), *_headers_of(fault)])


async def _echo_key(fault: Fault, context: FaultContext) -> None:
    key = context.authorization.partition(" ")[2] or "(none)"
    told = replace(fault, message=fault.message or f"The key {key} may not do this (header was: {context.authorization}).")
    await _refuse(told, context, fault.status or 400)


async def _should_retry(fault: Fault, context: FaultContext) -> None:
    await _refuse(fault, context, fault.status or 503, [("x-should-retry", fault.value)])


async def _too_large(fault: Fault, context: FaultContext) -> None:
    status = fault.status or 413
    told = replace(fault, message=fault.message or f"A batch may hold {fault.limit} inputs at most.")
    await _refuse(told, context, status)


async def _empty_body(fault: Fault, context: FaultContext) -> None:
    await send_response(context, fault.status or 200, b"", SSE_TYPE if context.streams else JSON_TYPE, _headers_of(fault))


def _is_body(message: Message) -> bool:
    return bool(message["type"] == "http.response.body")


def _finishes(event: bytes) -> bool:
    """Whether an event carries a finish reason."""
    return b'"finish_reason":"' in event.replace(b": ", b":")


def _cut(fault: Fault, context: FaultContext) -> Send:
    """Close the connection after some events, at the latest where a finish reason would come, or amid a whole body."""
    passed = 0

    async def send(message: Message) -> None:
        nonlocal passed
        if not _is_body(message):
            return await context.send(message)
        if not context.streams:
            half = message.get("body", b"")[: len(message.get("body", b"")) // 2]
            await context.send({**message, "body": half, "more_body": True})
            return await context.close_connection(fault.reset)
        if passed >= fault.after or _finishes(message["body"]) or message["body"].startswith(DONE):
            return await context.close_connection(fault.reset)
        passed += 1
        await context.send(message)

    return send


def _cut_after_finish(fault: Fault, context: FaultContext) -> Send:
    async def send(message: Message) -> None:
        if _is_body(message) and message.get("body", b"").startswith(DONE):
            return await context.close_connection(fault.reset)
        await context.send(message)

    return send


def _no_done(fault: Fault, context: FaultContext) -> Send:
    ended = False

    async def send(message: Message) -> None:
        nonlocal ended
        if ended or not _is_body(message):
            return None if ended else await context.send(message)
        ended = message["body"].startswith(DONE) or (not fault.finished and _finishes(message["body"]))
        await context.send({**message, "body": b"", "more_body": False} if ended else message)

    return send


def _strike(fault: Fault, context: FaultContext, last: bytes) -> Send:
    """Let some events pass, then send `last` and end the body."""
    passed = 0

    async def send(message: Message) -> None:
        nonlocal passed
        if passed < 0 or not _is_body(message):
            return None if passed < 0 else await context.send(message)
        if passed >= fault.after or _finishes(message["body"]) or message["body"].startswith(DONE):
            passed = -1
            return await context.send({**message, "body": last, "more_body": False})
        passed += 1
        await context.send(message)

    return send


def _stream_error(fault: Fault, context: FaultContext) -> Send:
    error = _error_of(replace(fault, code=fault.code or "internal_error"), 500).body()
    return _strike(fault, context, sse(error) + DONE)


def _stream_error_event(fault: Fault, context: FaultContext) -> Send:
    error = _error_of(replace(fault, code=fault.code or "internal_error"), 500).body()
    return _strike(fault, context, b"event: error\n" + sse(error))


def _bad_json(fault: Fault, context: FaultContext) -> Send:
    if context.streams:
        return _strike(fault, context, b'data: {"id": "x", "choices": [{"index": 0, "delta"\n\n' + DONE)
    start: Message = {}

    async def send(message: Message) -> None:
        nonlocal start
        if not _is_body(message):
            start = message
            return
        half = message.get("body", b"")[:-9]
        kept = [pair for pair in start["headers"] if pair[0] != b"content-length"]
        await context.send({**start, "headers": [*kept, (b"content-length", str(len(half)).encode())]})
        await context.send({**message, "body": half})

    return send


def _slow(fault: Fault, context: FaultContext) -> Send:
    async def send(message: Message) -> None:
        if not _is_body(message):
            await asyncio.sleep(fault.seconds)
        await context.send(message)

    return send


def _trickle(fault: Fault, context: FaultContext) -> Send:
    async def send(message: Message) -> None:
        body = message.get("body", b"") if _is_body(message) else b""
        for start in range(0, len(body), fault.size):
            await context.send({"type": "http.response.body", "body": body[start : start + fault.size], "more_body": True})
            await asyncio.sleep(fault.seconds)
        if not _is_body(message) or not message.get("more_body", False):
            await context.send({**message, "body": b""} if body else message)

    return send


def _hold_open(fault: Fault, context: FaultContext) -> Send:
    async def send(message: Message) -> None:
        if not _is_body(message) or message.get("more_body", False):
            return await context.send(message)
        await context.send({**message, "more_body": True})
        await asyncio.sleep(fault.seconds)
        await context.send({"type": "http.response.body", "body": b""})

    return send


def _rewritten(change: Callable[[bytes], bytes]) -> Around:
    def around(fault: Fault, context: FaultContext) -> Send:
        async def send(message: Message) -> None:
            if _is_body(message) and context.streams and message.get("body"):
                message = {**message, "body": change(message["body"])}
            await context.send(message)

        return send

    return around


def _not_sse(fault: Fault, context: FaultContext) -> Send:
    return context.send  # `play` has already turned the request into one for a whole answer


INSTEAD: Final[dict[str, Instead]] = {
    **dict.fromkeys(STATUSES, _status),
    "502-html": _bad_gateway,
    "drop": _drop,
    "redirect": _redirect,
    "echo-key": _echo_key,
    "x-should-retry": _should_retry,
    "too-large": _too_large,
    "empty-body": _empty_body,
}
AROUND: Final[dict[str, Around]] = {
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
    "crlf": _rewritten(lambda events: events.replace(b"\n", b"\r\n")),
    "keepalive": _rewritten(lambda events: b": keepalive\n\n" + events),
}
DURING_UPLOAD: Final = "drop-upload"
"""Strikes while a file is put into storage, before its request is complete; so it cannot be asked for by header."""
KINDS: Final = (*INSTEAD, *AROUND, DURING_UPLOAD)
STREAM_ONLY: Final = frozenset(
    ("cut-after-finish", "no-done", "stream-error", "stream-error-event", "not-sse", "crlf", "keepalive")
)


async def play(
    fault: Fault, context: FaultContext, route: Callable[[Scope, Receive, Send], Awaitable[None]], receive: Receive
) -> None:
    """Let a request fail: answer in place of `route`, or change what it sends."""
    if fault.kind in INSTEAD:
        return await INSTEAD[fault.kind](fault, context)
    if fault.kind == "not-sse":
        context.body["stream"] = False
    changed = context.send

    async def send(message: Message) -> None:
        nonlocal changed
        if message["type"] == "http.response.start":
            streams = dict(message["headers"]).get(b"content-type", b"").startswith(b"text/event-stream")
            if streams or fault.kind not in STREAM_ONLY:
                changed = AROUND[fault.kind](fault, replace(context, streams=streams))
        await changed(message)

    await route(context.scope, receive, send)
