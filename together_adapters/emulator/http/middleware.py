"""The ASGI middleware of the emulator: reads and records requests, plays faults, checks keys, adds headers, notices disconnects."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import socket
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from together_adapters.emulator.errors import ApiError, bad_request, typical
from together_adapters.emulator.http.behaviour import Behaviour
from together_adapters.emulator.http.charges import Charge
from together_adapters.emulator.http.faults import OF_WEBSOCKETS, Fault, FaultContext, play, play_on_websocket, send_response
from together_adapters.emulator.http.request_log import RecordedRequest, header_value
from together_adapters.emulator.http.responses import JSON_TYPE, compact, json_response
from together_adapters.emulator.http.routing import CONTEXT, PUBLIC, UPLOAD_CONTENT, UPLOADS, State
from together_adapters.emulator.store.disk import ContentWriter

TRANSPORT: Final = "together_adapters.emulator.transport"  # scope key of the TCP transport, for faults that close the connection
_CLOSED: Final = "together_adapters.emulator.closed"
_MAX_BODY: Final = 256 * 2**20
_HALF_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class _Sender:
    """Adds the headers of the service to a response, and knows how much of it has been sent."""

    def __init__(self, send: Send, scope: Scope, state: State) -> None:
        self.charge = state.charge(_id(state.count))
        self.is_started = False
        self.is_complete = False
        self.end_flight: Callable[[], None] = lambda: None
        self._send = send
        self._scope = scope
        self._rate = state.rate
        self._record = state.record
        self._headers = [(b"x-request-id", self.charge.request_id.encode()), (b"cf-ray", f"{_ray(state.count)}-LOC".encode())]
        self._debug_headers = _debug_headers(state.count) if _wants_debug(scope) else []

    async def __call__(self, message: Message) -> None:
        self.is_started = True
        if message["type"] == "http.response.start":
            self.charge.status = message["status"]
            if not self.charge.is_stream:
                self.charge.settle()
            message = {**message, "headers": [*message.get("headers", []), *self._headers_of(message["status"])]}
        elif not message.get("more_body", False) or message.get("body", b"")[-8:] == b"[DONE]\n\n":
            self.is_complete = True
            self.charge.end()  # before the client knows that it can send another request, or look at the bill
            self.end_flight()
        await self._send(message)
        if (transport := self._scope.get(TRANSPORT)) is not None and transport.is_closing() and not self.is_complete:
            await asyncio.sleep(3600)  # until `_respond_while_connected` sees the disconnect and cancels this

    def call_starts(self) -> None:
        """Notes that the request has arrived and its answer begins."""
        if self._debug_headers:
            self._debug_headers.append((b"x-api-call-start", _now()))

    def _headers_of(self, status: int) -> list[tuple[bytes, bytes]]:
        headers = self._headers
        if self.charge.refusal is not None:
            headers = headers + self._rate.headers(self.charge.refusal)
        elif status < 300:
            headers = headers + [header for header in self._rate.headers() if self._record.has_header(header[0].decode())]
            if CONTEXT in self._scope and (grants := self._scope[CONTEXT]["grants"]):
                headers.append((b"x-emulator-grants", "; ".join(dict.fromkeys(grants)).encode()))
        return headers + ([*self._debug_headers, (b"x-api-call-end", _now())] if self._debug_headers else [])


def _close(transport: Any, reset: bool) -> None:
    """Closes or resets a connection."""
    if reset:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort() if reset else transport.close()


def _without_length(send: Send) -> Send:
    """Returns a `send` of a websocket to which uvicorn adds the length of a refusal; before 0.53 it does not see one that is there."""

    async def send_without_length(message: Message) -> None:
        if message["type"] == "websocket.http.response.start":
            headers = [header for header in message["headers"] if header[0].lower() != b"content-length"]
            message = {**message, "headers": headers}
        await send(message)

    return send_without_length


class EmulatorMiddleware:
    """Wraps the routes of one emulator."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._converse({**scope, "method": "GET"}, receive, send)
        if scope["type"] != "http":
            return
        incoming = Request(scope, receive)
        self.state.count += 1
        sender = _Sender(send, scope, self.state)
        try:
            self.state.hosts.check(scope)
            body = await (self._receive_upload(incoming) if scope["path"].startswith(UPLOADS) else _receive(incoming))
        except ClientDisconnect:
            self.state.log.count_disconnect()
            return
        except ApiError as error:
            await json_response(error.body(), error.status)(scope, receive, sender)
            return
        request = _recorded_request(scope, body)
        sender.call_starts()
        with self.state.log.watch(request) as sender.end_flight:
            try:
                await self._respond_while_connected(request, scope, receive, sender)
            finally:
                sender.charge.end()

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a websocket; what is refused before it opens gets an error response."""
        self.state.count += 1
        send = _without_length(send)
        request = _recorded_request(scope, b"")
        with self.state.log.watch(request):
            try:
                self.state.hosts.check(scope)
                self._check_key(request.headers.get("authorization"))
                changes = request.headers.get("x-emulator-behaviour")
                self._add_context(scope, None, b"", self._behaviour(changes), self.state.charge(_id(self.state.count)))
                fault = self._take_fault(request, 1, True, OF_WEBSOCKETS)
            except ApiError as error:
                await WebSocket(scope, receive, send).send_denial_response(json_response(error.body(), error.status))
                return

            async def close_connection(reset: bool) -> None:
                _close(scope[TRANSPORT], reset)

            async def route(send: Send) -> None:
                await self.app(scope, receive, send)

            try:
                context = FaultContext(scope, None, send, close_connection, streams=True)
                await (route(send) if fault is None else play_on_websocket(fault, context, route))
            except WebSocketDisconnect:
                self.state.log.count_disconnect()
            except Exception as error:
                self.state.log.record_error(error)
                raise

    async def _receive_upload(self, incoming: Request) -> bytes:
        """Streams a body to disk; returns what to record instead."""
        with ContentWriter(self.state.folder) as writer:
            async for block in incoming.stream():
                writer.write(block)
                if self.state.faults.interrupts(incoming.scope["path"], writer.size):
                    incoming.scope[TRANSPORT].abort()
                    raise ClientDisconnect
            incoming.scope[UPLOAD_CONTENT] = writer.finish()
        return b""

    async def _respond_while_connected(self, request: RecordedRequest, scope: Scope, receive: Receive, send: _Sender) -> None:
        """Sends a response, and stops when the client disconnects."""
        response = asyncio.ensure_future(self._respond(request, scope, receive, send))
        disconnect = asyncio.ensure_future(_disconnect(receive))
        await asyncio.wait((response, disconnect), return_when=asyncio.FIRST_COMPLETED)
        if disconnect.done() and not response.done() and not send.is_complete and not scope.get(_CLOSED):
            self.state.log.count_disconnect()
        for task in (response, disconnect):
            task.cancel()
        await asyncio.gather(response, disconnect, return_exceptions=True)
        if not response.cancelled() and (error := response.exception()) is not None:
            raise error

    async def _respond(self, request: RecordedRequest, scope: Scope, receive: Receive, send: _Sender) -> None:
        async def close_connection(reset: bool) -> None:
            scope[_CLOSED] = True
            send.charge.end()
            transport = scope.get(TRANSPORT)
            if transport is None:
                raise ConnectionError("the emulator closed the connection")
            _close(transport, reset)
            await asyncio.sleep(3600)  # until `_respond_while_connected` sees the disconnect and cancels this

        parsed, problem = _parse(request)
        is_stream = isinstance(parsed, dict) and parsed.get("stream") is True
        context = FaultContext(scope, parsed, send, close_connection, is_stream)

        async def route(send: Send) -> None:
            if not scope["path"].startswith((PUBLIC, UPLOADS)):
                self._check_key(request.headers.get("authorization"))
            if problem is not None:
                raise problem
            await self.app(scope, receive, send)

        try:
            fault = self._prepare(request, context, send.charge)
            await (route(send) if fault is None else play(fault, context, route))
        except ConnectionError:
            raise
        except Exception as error:
            response = error if isinstance(error, ApiError) else bad_request("The request could not be understood.")
            if not isinstance(error, ApiError | RecursionError):
                self.state.log.record_error(error)
            if send.is_started:
                await close_connection(False)
            await send_response(context, response.status, compact(response.body()), JSON_TYPE)

    def _prepare(self, request: RecordedRequest, context: FaultContext, charge: Charge) -> Fault | None:
        """Stores in the scope what the `RequestContext` of the route needs; returns the fault of the request, if any."""
        scope = context.scope
        fault = self._take_fault(request, _input_count(context.body), context.streams)
        behaviour = self._behaviour(request.headers.get("x-emulator-behaviour"))
        self._add_context(scope, context.body, request.body, behaviour, charge)
        return fault

    def _take_fault(
        self, request: RecordedRequest, inputs: int, streams: bool, kinds: tuple[str, ...] | None = None
    ) -> Fault | None:
        try:
            return self.state.faults.take(request.path, inputs, streams, request.headers.get("x-emulator-fault"), kinds)
        except ValueError as error:
            raise bad_request(str(error)) from None

    def _behaviour(self, changes: str | None) -> Behaviour:
        """Returns the behaviour of the emulator, with the changes of a request."""
        try:
            return self.state.behaviour if changes is None else self.state.behaviour.changed_by(changes)
        except ValueError as error:
            raise bad_request(str(error)) from None

    def _add_context(self, scope: Scope, body: Any, content: bytes, behaviour: Behaviour, charge: Charge) -> None:
        """Adds to a scope what routes need besides the request."""
        scope["path"] = normalized_path(scope["path"])
        scope["raw_path"] = scope["path"].encode()
        scope[CONTEXT] = {
            "body": body, "content": content, "behaviour": behaviour, "state": self.state, "id": charge.request_id,
            "charge": charge, "grants": [],
        }  # fmt: skip

    def _check_key(self, authorization: str | None) -> None:
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        expected = self.state.api_key
        is_bad = not key or key == "invalid" or key.startswith("bad")
        is_wrong = is_bad if expected is None else not secrets.compare_digest(key.encode(), expected.encode())
        if scheme.lower() != "bearer" or is_wrong:
            error = typical(401)
            if expected is None:
                error.message += " This is the emulator, where any word will do: api_key='any'."
            raise error


def normalized_path(path: str) -> str:
    """Removes doubled slashes, a doubled `/v1`, and a slash at the end."""
    path = re.sub("/{2,}", "/", path)
    path = re.sub("^/v1(/v[123](?=/))+", lambda match: match.group(1), path)
    return path.rstrip("/") or "/"


async def _receive(incoming: Request) -> bytes:
    """Reads a body up to a limit; raises `ApiError` beyond it."""
    blocks, size = [], 0
    async for block in incoming.stream():
        size += len(block)
        if size > _MAX_BODY:
            raise ApiError(413, f"The body is larger than {_MAX_BODY >> 20} MiB.", code="request_too_large")
        blocks.append(block)
    return b"".join(blocks)


async def _disconnect(receive: Receive) -> None:
    """Waits until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _recorded_request(scope: Scope, body: bytes) -> RecordedRequest:
    client = scope.get("client") or ("", 0)
    headers = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    return RecordedRequest(
        method=scope["method"],
        path=scope["path"],
        query=scope.get("query_string", b"").decode("latin-1"),
        headers={name: header_value(name, value) for name, value in headers},
        body=body,
        connection=f"{client[0]}:{client[1]}",
        http_version=scope.get("http_version", "1.1"),
    )


def _parse(request: RecordedRequest) -> tuple[Any, ApiError | None]:
    """Parses a JSON body strictly; returns None for a form or an empty body, without an error."""
    encoding = request.headers.get("content-encoding", "identity")
    if request.body and encoding.lower() != "identity":
        return None, bad_request(f"The body is compressed ({encoding[:20]}), which is not supported: send it as it is.")
    content_type = request.headers.get("content-type", "application/json")
    if not request.body or "json" not in content_type:
        return None, None
    try:
        value = json.loads(request.body.decode("utf-8"), parse_constant=_refuse_constant)
        if _HALF_PAIR.search(request.body):
            json.dumps(value, ensure_ascii=False).encode()
        return value, None
    except UnicodeEncodeError:
        return None, bad_request("Invalid JSON data: a string contains half of a surrogate pair.")
    except UnicodeDecodeError:
        return None, bad_request("Invalid JSON data: the body is not UTF-8.")
    except RecursionError:
        return None, bad_request("Invalid JSON data: too deeply nested.")
    except ValueError as error:
        return None, bad_request(f"Invalid JSON data: {str(error)[:200]}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _input_count(body: Any) -> int:
    """Returns how many texts a request contains, for the fault `too-large`."""
    if not isinstance(body, dict):
        return 0
    texts = body.get("input", body.get("documents"))
    return len(texts) if isinstance(texts, list) else 1


def _id(count: int) -> str:
    """Returns an id in the format of the service."""
    return f"o{count:06X}e-Em1Lat-{_ray(count)}"


def _wants_debug(scope: Scope) -> bool:
    return any(name.lower() == b"x-together-debug" and value not in (b"", b"0", b"false") for name, value in scope["headers"])


def _debug_headers(count: int) -> list[tuple[bytes, bytes]]:
    """Returns the headers that `x-together-debug: 1` asks for and that are known when a request arrives."""
    return [
        (b"x-together-traceid", f"{_ray(count)}{_ray(count + 1)}".encode()),
        (b"x-cluster", b"emulator"),
        (b"x-engine-pod", b"emulator-0"),
        (b"x-inference-version", b"v2"),
        (b"x-api-received", _now()),
    ]


def _now() -> bytes:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3].encode() + b"Z"


def _ray(count: int) -> str:
    return f"{(count * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF:016x}"
