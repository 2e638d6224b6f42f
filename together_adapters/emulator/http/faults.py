"""Faults: everything that can go wrong on the way to a client, to be injected, or requested by a header."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from starlette.types import Message, Scope, Send

from together_adapters.emulator.errors import BAD_GATEWAY_PAGE, ApiError, typical
from together_adapters.emulator.http.behaviour import parse_bool, parse_settings
from together_adapters.emulator.http.responses import DONE, JSON_TYPE, SSE_TYPE, sse
from together_adapters.suggestions import suggests_keywords

STATUSES: Final = ("400", "401", "402", "403", "404", "408", "409", "413", "422", "429", "500", "503", "504")


@suggests_keywords
@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail, for the next `times` requests whose path contains `path`.

    Attributes that a kind does not use are ignored. A websocket is refused by the statuses, `502-html`, `drop` and others that answer
    in place of a route, opens late by `slow`, and fails after some events by `cut`, `bad-json` or `stream-error`; other kinds are for
    other requests.

    What answers in place of a model bills nothing, and no limit counts it: statuses, `502-html`, `drop`, `redirect`, `echo-key`,
    `x-should-retry`, `too-large`, `empty-body`, `response`, `drop-upload`. With the others a model has worked: a whole response is billed in full,
    whatever happens to it (`cut`, `bad-json`, `late-error`, `not-sse`, `slow`, `trickle`, `hold-open`), and a stream for the prompt and for the
    events that were sent before it ended (`cut`, `no-done`, `stream-error`, `stream-error-event`, `bad-json`), which are all of them
    with the others (`cut-after-finish`, `crlf`, `keepalive`, ...).

    Attributes:
        kind: One of `KINDS`.
        times: How many matching requests fail; None for all of them.
        path: Part of the path of the requests to fail; None matches every path. `lines of a batch` are the next lines that a batch
            processes: a status is their error, and `drop` leaves them out of both files.
        message: Error message, for status codes and errors in a stream.
        code: Error code, likewise.
        type: Error type, likewise.
        retry_after: Seconds in a `retry-after` header.
        retry_after_ms: Milliseconds in a `retry-after-ms` header.
        headers: Further response headers.
        body: Body to send in place of the error object; all of a `response`, which is what a test wants to send as it is. A dict or list is sent as JSON.
        content_type: Its type.
        seconds: How long to wait.
        after: How many events of the stream are sent before the fault.
        size: Bytes per block, for `trickle`; bytes to receive before `drop-upload` closes the connection.
        finished: Whether the finish reason is sent, for `no-done`.
        reset: Reset the connection instead of closing it.
        status: Status code, for `redirect`, `response`, `x-should-retry` and `late-error`, an error that has the usage of the response it replaces.
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
    body: bytes | str | Mapping[str, Any] | Sequence[Any] | None = None
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
        try:
            self.content  # noqa: B018
        except (TypeError, ValueError) as error:
            raise TypeError(f"the body of a fault is bytes, a text, or JSON: {error}") from None

    @property
    def content(self) -> bytes | None:
        """The body as it is sent."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()

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
            (self.path in path if self.path is not None else path.startswith("/"))
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
        with self._lock:
            self._pending.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._pending.clear()
            self._header_counts.clear()

    @property
    def pending(self) -> list[Fault]:
        """A copy of the faults that have not happened yet."""
        with self._lock:
            return list(self._pending)

    def take(
        self, path: str, inputs: int, streams: bool, header: str | None, kinds: Container[str] | None = None
    ) -> Fault | None:
        """Returns and counts the fault for a request, if any; one of its header comes first, or raises `ValueError`.

        With `kinds`, a fault of another kind waits for another request.
        """

        def matches(fault: Fault) -> bool:
            return fault.matches(path, inputs, streams) and (kinds is None or fault.kind in kinds)

        with self._lock:
            if header is not None:
                fault = Fault.from_header(header)
                if matches(fault) and self._count(fault, header):
                    return fault
            for fault in self._pending:
                if matches(fault):
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
    """The request to which a fault happens, what the fault can do, and what has been sent so far."""

    scope: Scope
    body: Any
    send: Send
    close_connection: Callable[[bool], Awaitable[None]]
    streams: bool = False  # whether the request is for a stream; once the response has started, whether that is one
    start: Message = field(default_factory=dict)  # the first message of the response, once it has started
    events: int = 0  # how many messages of the body have been sent
    ended: bool = False

    async def end(self, body: bytes = b"") -> None:
        """Sends the last message of the body; what the route sends after it is discarded."""
        self.ended = True
        await self.send({"type": "http.response.body", "body": body, "more_body": False})


async def send_response(
    context: FaultContext, status: int, body: bytes, content_type: str, headers: Iterable[tuple[str, str]] = ()
) -> None:
    """Sends a complete response."""
    pairs = [("content-type", content_type), ("content-length", str(len(body))), *headers]
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    await context.send({"type": "http.response.start", "status": status, "headers": encoded})
    await context.send({"type": "http.response.body", "body": body})


def _error(fault: Fault, status: int) -> dict[str, Any]:
    default = typical(status)
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
    content = fault.content
    if content is None:
        content = json.dumps(_error(replace(fault, message=fault.message or message), status)).encode()
    await send_response(context, status, content, fault.content_type or JSON_TYPE, [*_headers(fault), *headers])


async def _refuse_late(fault: Fault, context: FaultContext, answer: bytes) -> None:
    """Sends an error in place of an answer, with the usage that this one has."""
    status = fault.status or 500
    try:
        usage = json.loads(answer).get("usage")
    except (ValueError, AttributeError):  # such as a recording
        usage = None
    error = _error(fault, status) | ({} if usage is None else {"usage": usage})
    await _refuse(replace(fault, body=fault.body or json.dumps(error)), context, status)


async def _respond(fault: Fault, context: FaultContext) -> None:
    """Sends a response of the kinds `RESPONDERS`, in place of the route."""
    match fault.kind:
        case "502-html":
            html = replace(
                fault, body=fault.body or BAD_GATEWAY_PAGE, content_type=fault.content_type or "text/html; charset=UTF-8"
            )
            await _refuse(html, context, 502)
        case "drop":
            await context.close_connection(fault.reset)
        case "redirect":
            headers = [("location", fault.location or str(context.scope["path"])), *_headers(fault)]
            await send_response(context, fault.status or 307, b"", JSON_TYPE, headers)
        case "echo-key":
            authorization = str(dict(context.scope["headers"]).get(b"authorization", b"").decode("latin-1"))
            key = authorization.partition(" ")[2] or "(none)"
            message = f"The key {key} may not do this (header was: {authorization})."
            await _refuse(fault, context, fault.status or 400, message)
        case "x-should-retry":
            await _refuse(fault, context, fault.status or 503, headers=[("x-should-retry", fault.value)])
        case "too-large":
            await _refuse(fault, context, fault.status or 413, f"A batch may contain {fault.limit} inputs at most.")
        case "empty-body":
            media_type = SSE_TYPE if context.streams else JSON_TYPE
            await send_response(context, fault.status or 200, b"", media_type, _headers(fault))
        case "response":
            await send_response(
                context, fault.status or 200, fault.content or b"", fault.content_type or JSON_TYPE, _headers(fault)
            )
        case status:
            await _refuse(fault, context, int(status))


async def _change(fault: Fault, context: FaultContext, message: Message) -> None:
    """Sends an ASGI message of the route, changed by one of the kinds `CHANGERS`; each event of a stream is one message."""
    is_body = message["type"] == "http.response.body"
    body = message.get("body", b"") if is_body else b""
    is_last = is_body and not message.get("more_body", False)
    is_done, is_finish = body.startswith(DONE), b'"finish_reason":"' in body.replace(b": ", b":")
    # A fault in a stream happens after some events, at the latest before a finish reason.
    is_due = is_body and context.streams and (context.events >= fault.after or is_finish or is_done)
    match fault.kind:
        case "slow" if not is_body:
            await asyncio.sleep(fault.seconds)
        case "cut" if is_due:
            return await context.close_connection(fault.reset)
        case "cut" if is_body and not context.streams:
            await context.send({**message, "body": body[: len(body) // 2], "more_body": True})
            return await context.close_connection(fault.reset)
        case "cut-after-finish" if is_done:
            return await context.close_connection(fault.reset)
        case "no-done" if is_done or (is_finish and not fault.finished):
            return await context.end()
        case "stream-error" | "stream-error-event" if is_due:
            error = sse(_error(replace(fault, code=fault.code or "internal_error"), 500))
            return await context.end(error + DONE if fault.kind == "stream-error" else b"event: error\n" + error)
        case "late-error" if not context.streams:
            if is_body:
                context.ended = True
                await _refuse_late(fault, context, body)
            return None
        case "bad-json" if is_due:
            return await context.end(b'data: {"id": "x", "choices": [{"index": 0, "delta"\n\n' + DONE)
        case "bad-json" if not context.streams:
            if is_body:
                headers = [pair for pair in context.start["headers"] if pair[0] != b"content-length"]
                length = (b"content-length", str(len(body[:-9])).encode())
                await context.send({**context.start, "headers": [*headers, length]})
                await context.send({**message, "body": body[:-9]})
            return None
        case "trickle" if body:
            for start in range(0, len(body), fault.size):
                await context.send({"type": message["type"], "body": body[start : start + fault.size], "more_body": True})
                await asyncio.sleep(fault.seconds)
            message = {**message, "body": b""}
        case "hold-open" if is_last:
            await context.send({**message, "more_body": True})
            await asyncio.sleep(fault.seconds)
            return await context.end()
        case "crlf" if body:
            message = {**message, "body": body.replace(b"\n", b"\r\n")}
        case "keepalive" if body:
            message = {**message, "body": b": keepalive\n\n" + body}
    await context.send(message)


RESPONDERS: Final = (
    *STATUSES,
    "502-html",
    "drop",
    "redirect",
    "echo-key",
    "x-should-retry",
    "too-large",
    "empty-body",
    "response",
)
CHANGERS: Final = (
    "cut", "cut-after-finish", "no-done", "stream-error", "stream-error-event", "bad-json", "late-error", "not-sse", "slow",
    "trickle", "hold-open", "crlf", "keepalive",
)  # fmt: skip
DURING_UPLOAD: Final = "drop-upload"  # happens before the request is complete, so it cannot be requested by a header
KINDS: Final = (*RESPONDERS, *CHANGERS, DURING_UPLOAD)
OF_WEBSOCKETS: Final = (
    *STATUSES,
    "502-html",
    "drop",
    "redirect",
    "echo-key",
    "x-should-retry",
    "cut",
    "bad-json",
    "stream-error",
    "slow",
)
STREAM_ONLY: Final = frozenset("cut-after-finish no-done stream-error stream-error-event not-sse crlf keepalive".split())


async def play(fault: Fault, context: FaultContext, route: Callable[[Send], Awaitable[None]]) -> None:
    """Lets a request fail: sends a response in place of `route`, or changes what it sends."""
    if fault.kind in RESPONDERS:
        return await _respond(fault, context)
    if fault.kind == "not-sse":
        context.body["stream"] = False
    is_changed = True

    async def send(message: Message) -> None:
        nonlocal is_changed
        if context.ended:
            return
        if message["type"] == "http.response.start":
            context.start = message
            context.streams = dict(message["headers"]).get(b"content-type", b"").startswith(b"text/event-stream")
            is_changed = context.streams or fault.kind not in STREAM_ONLY
        await (_change(fault, context, message) if is_changed else context.send(message))
        context.events += message["type"] == "http.response.body"

    await route(send)


async def play_on_websocket(fault: Fault, context: FaultContext, route: Callable[[Send], Awaitable[None]]) -> None:
    """Lets a websocket fail: sends a response in place of opening it, or changes the event that follows `after` others."""
    if fault.kind in RESPONDERS:

        async def refuse(message: Message) -> None:
            await context.send({**message, "type": f"websocket.{message['type']}"})

        return await _respond(fault, replace(context, send=refuse))

    async def send(message: Message) -> None:
        is_event = message["type"] == "websocket.send"
        is_due = is_event and context.events == fault.after
        context.events += is_event
        match fault.kind:
            case "slow" if message["type"] == "websocket.accept":
                await asyncio.sleep(fault.seconds)
            case "cut" if is_due:
                return await context.close_connection(fault.reset)
            case "bad-json" if is_due:
                message = {**message, "text": message["text"][:-9]}
            case "stream-error" if is_due:
                error = _error(replace(fault, code=fault.code or "internal_error"), 500)
                message = {**message, "text": json.dumps({"type": "error", **error})}
        await context.send(message)

    await route(send)
