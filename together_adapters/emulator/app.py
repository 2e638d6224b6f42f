"""The emulator as an ASGI application: an edge that every request passes, and routes collected from modules.

A route is a pure function: it takes an `Ask`, returns a JSON value or a `Response`, and raises `ApiError`. All that is the
same for every route happens in `Edge`: recording, paths with doubled slashes, faults, keys, parsing, headers, disconnects.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from together_adapters.emulator.http.behaviour import Behaviour
from together_adapters.emulator.http.errors import TYPICAL, ApiError, bad_request
from together_adapters.emulator.http.faults import JSON_TYPE, FaultQueue, Scene, answer, play
from together_adapters.emulator.http.request_log import RecordedRequest, Records
from together_adapters.emulator.http.sse import compact

TRANSPORT: Final = "together_adapters.emulator.transport"
"""Key in the scope under which the server leaves the TCP transport, for faults that hang up."""
PUBLIC: Final = "/storage/"
"""Where the files lie that answers give addresses of: as with real storage, the address itself is the permission."""
UPLOADS: Final = "/uploads/"
"""Where files are put, likewise without a key. Their bodies go to disk as they come, whatever their size."""
SPOOLED: Final = "together_adapters.emulator.spooled"
"""Key in the scope of such a request, under which the file lies that holds its body."""
_HUNG_UP: Final = "together_adapters.emulator.hung_up"

_ON_SUCCESS: Final = [
    # The live service sends these on answers that went well: a client that obeys them there waits for nothing.
    (b"retry-after", b"2"),
    (b"x-ratelimit", b"false"),
    (b"x-ratelimit-limit", b"30"),
    (b"x-ratelimit-remaining", b"59"),
    (b"x-ratelimit-reset", b"2"),
]


@dataclass(slots=True)
class State:
    """What one running emulator knows. Routes that keep things (files, jobs) hang them under `shelf`, by module."""

    behaviour: Behaviour
    faults: FaultQueue
    records: Records
    api_key: str | None
    shelf: dict[str, Any]
    count: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as routes see it."""

    body: Any
    behaviour: Behaviour
    state: State
    id: str
    request: Request


Handler = Callable[[Ask], Any]


def json_route(path: str, handler: Handler, method: str = "POST") -> Route:
    """Make a route of a pure function.

    Args:
        path: Where it answers, `/v1/...`.
        handler: Takes an `Ask`; returns a JSON value or a `Response`; raises `ApiError`.
        method: The HTTP method.
    """

    async def endpoint(request: Request) -> Response:
        ask: Ask = Ask(request=request, **request.scope["ask"])
        if method == "POST" and not isinstance(ask.body, dict):
            raise bad_request("Invalid JSON data: the body must be an object.")
        return await respond(handler, ask)

    return Route(path, endpoint, methods=[method], name=path)


async def respond(handler: Handler, ask: Ask) -> Response:
    """Run a route and make an answer of what it returns."""
    found = _handled(handler, ask)
    if ask.behaviour.delay and not hasattr(found, "events"):
        await asyncio.sleep(ask.behaviour.delay)
    return found if isinstance(found, Response) else Response(compact(found), media_type=JSON_TYPE)


def _handled(handler: Handler, ask: Ask) -> Any:
    """Run a route; what it did not expect is a request that it did not understand, never a failure of the service."""
    try:
        return handler(ask)
    except ApiError:
        raise
    except RecursionError:
        raise bad_request("Invalid JSON data: too deeply nested.") from None
    except Exception as error:
        ask.state.records.note_error(error)
        raise bad_request("The request could not be understood.") from None


class _Routes(Starlette):
    """Starlette without its last resort, which answers with a 500 before anyone may say otherwise."""

    def build_middleware_stack(self) -> ASGIApp:
        return ExceptionMiddleware(self.router, handlers=self.exception_handlers)


def create_app(state: State) -> ASGIApp:
    """Build the application: the routes of every module, behind the edge."""
    from together_adapters.emulator.routes import (
        audio,
        batches,
        chat,
        code_interpreter,
        completions,
        embeddings,
        endpoints,
        evaluation,
        files,
        fine_tuning,
        images,
        models,
        rerank,
        uploads,
        videos,
    )
    from together_adapters.emulator.routes import public_files as storage
    from together_adapters.emulator.routes import tuned_models as tuned_chat
    from together_adapters.emulator.routes import v2 as projects

    # What tuned models answer comes first: it hands on what is not for them.
    modules = (
        tuned_chat,
        audio,
        batches,
        chat,
        code_interpreter,
        completions,
        embeddings,
        endpoints,
        evaluation,
        files,
        fine_tuning,
        images,
        models,
        projects,
        rerank,
        storage,
        uploads,
        videos,
    )
    app = _Routes(
        routes=[route for module in modules for route in module.ROUTES],
        exception_handlers={404: _not_found, 405: _wrong_method, ApiError: _api_error},
    )
    return Edge(app, state)


async def _not_found(request: Request, error: Exception) -> Response:
    message = f"There is nothing at {request.method} {request.scope['path']}."
    return _error_response(ApiError(404, message, code="not_found"))


async def _wrong_method(request: Request, error: Exception) -> Response:
    return _error_response(ApiError(405, f"{request.scope['path']} does not answer {request.method}.", code="method_not_allowed"))


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _error_response(error)


def _error_response(error: ApiError) -> Response:
    return Response(compact(error.body()), error.status, media_type=JSON_TYPE)


def tidy_path(path: str) -> str:
    """Forgive doubled slashes, a doubled `/v1`, and a slash at the end."""
    tidy = re.sub("/{2,}", "/", path)
    tidy = re.sub("^/v1(/v[123](?=/))+", lambda match: match.group(1), tidy)
    return tidy.rstrip("/") or "/"


class Edge:
    """What surrounds every route. One instance per server."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and notice when its client goes away."""
        if scope["type"] != "http":
            return
        body = await (self._spool(scope, receive) if scope["path"].startswith(UPLOADS) else _read(receive))
        if body is None:
            self.state.records.count_disconnect()
            return
        request = _record(scope, body)
        with self.state.records.watch(request):
            await self._serve_until_gone(request, scope, receive, send)

    async def _spool(self, scope: Scope, receive: Receive) -> bytes | None:
        """Put a body aside on disk; what is recorded of the request is without it. None when the client left before."""
        from together_adapters.emulator.store.disk import Spool

        faults, path = self.state.faults, scope["path"]
        with Spool(self.state) as spool:
            while (message := await receive())["type"] != "http.disconnect":
                spool.write(message.get("body", b""))
                if faults.interrupts(path, spool.size):
                    scope[TRANSPORT].abort()
                    return None
                if not message.get("more_body", False):
                    scope[SPOOLED] = spool.kept()
                    return b""
        return None

    async def _serve_until_gone(self, request: RecordedRequest, scope: Scope, receive: Receive, send: Send) -> None:
        complete = False

        async def watched(message: Message) -> None:
            nonlocal complete
            body = message.get("body", b"")
            complete = complete or (
                message["type"] == "http.response.body" and (not message.get("more_body", False) or body[-8:] == b"[DONE]\n\n")
            )
            await send(message)

        work = asyncio.ensure_future(self._answer(request, scope, watched))
        gone = asyncio.ensure_future(_disconnected(receive))
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not work.done() and not complete and not scope.get(_HUNG_UP):
            self.state.records.count_disconnect()
        for task in (work, gone):
            task.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error

    async def _answer(self, request: RecordedRequest, scope: Scope, send: Send) -> None:
        self.state.count += 1
        started = False
        dressed = _with_headers(send, self.state.count)

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await dressed(message)

        async def hang_up(reset: bool) -> None:
            scope[_HUNG_UP] = True
            transport = scope.get(TRANSPORT)
            if transport is None:
                raise ConnectionError("the emulator hung up")
            if reset:
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort() if reset else transport.close()
            await asyncio.sleep(3600)  # until the watcher sees the connection go, and cancels this

        try:
            await self._route(request, scope, noted, hang_up)
        except ConnectionError:
            raise
        except Exception as error:
            known = error if isinstance(error, ApiError) else bad_request("The request could not be understood.")
            if not isinstance(error, ApiError | RecursionError):
                self.state.records.note_error(error)
            if started:
                await hang_up(False)
            await answer(Scene(scope, None, noted, hang_up), known.status, compact(known.body()), JSON_TYPE)

    async def _route(
        self, request: RecordedRequest, scope: Scope, send: Send, hang_up: Callable[[bool], Awaitable[None]]
    ) -> None:
        parsed, problem = _parse(request)
        scene = Scene(scope, parsed, send, hang_up, isinstance(parsed, dict) and parsed.get("stream") is True)
        try:
            header = request.headers.get("x-emulator-fault")
            fault = self.state.faults.take(request.path, _inputs(parsed), scene.streams, header)
            behaviour = self._behaviour(request.headers.get("x-emulator-behaviour"))
        except ValueError as error:
            raise bad_request(str(error)) from None
        scope["path"] = tidy_path(scope["path"])
        scope["raw_path"] = scope["path"].encode()
        scope["ask"] = {"body": parsed, "behaviour": behaviour, "state": self.state, "id": _id(self.state.count)}

        async def route(scope: Scope, receive: Receive, send: Send) -> None:
            if not scope["path"].startswith((PUBLIC, UPLOADS)):
                self._check_key(request.headers.get("authorization"))
            if problem is not None:
                raise problem
            await self.app(scope, receive, send)

        if fault is None:
            await route(scope, _replay(request.body), send)
        else:
            await play(fault, scene, route, _replay(request.body))

    def _behaviour(self, header: str | None) -> Behaviour:
        return self.state.behaviour if header is None else self.state.behaviour.changed_by(header)

    def _check_key(self, authorization: str | None) -> None:
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        wanted = self.state.api_key
        obviously_bad = not key or key == "invalid" or key.startswith("bad")
        if scheme.lower() != "bearer" or (obviously_bad if wanted is None else key != wanted):
            raise TYPICAL[401]


async def _read(receive: Receive) -> bytes | None:
    """Read a body to its end; None when the client left before."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _replay(body: bytes) -> Receive:
    """A `receive` that hands out a body already read, then stays silent."""
    told = False

    async def receive() -> Message:
        nonlocal told
        if told:
            await asyncio.sleep(3600)
            return {"type": "http.disconnect"}
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _record(scope: Scope, body: bytes) -> RecordedRequest:
    client = scope.get("client") or ("", 0)
    return RecordedRequest(
        method=scope["method"],
        path=scope["path"],
        query=scope.get("query_string", b"").decode("latin-1"),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
        connection=f"{client[0]}:{client[1]}",
        http_version=scope.get("http_version", "1.1"),
    )


def _parse(request: RecordedRequest) -> tuple[Any, ApiError | None]:
    """Parse a JSON body strictly; a form or an empty body is no problem, it is simply not JSON."""
    content_type = request.headers.get("content-type", "application/json")
    if not request.body or "json" not in content_type:
        return None, None
    try:
        return json.loads(request.body.decode("utf-8"), parse_constant=_no_constant), None
    except UnicodeDecodeError:
        return None, bad_request("Invalid JSON data: the body is not UTF-8.")
    except RecursionError:
        return None, bad_request("Invalid JSON data: too deeply nested.")
    except ValueError as error:
        return None, bad_request(f"Invalid JSON data: {str(error)[:200]}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _inputs(body: Any) -> int:
    """How many texts a request brings, for the fault `too-large`."""
    if not isinstance(body, dict):
        return 0
    texts = body.get("input", body.get("documents"))
    return len(texts) if isinstance(texts, list) else 1


def _id(count: int) -> str:
    """An id of the vendor's shape."""
    return f"o{count:06X}e-Em1Lat-{_ray(count)}"


def _ray(count: int) -> str:
    return f"{(count * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF:016x}"


def _with_headers(send: Send, count: int) -> Send:
    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [
                *message.get("headers", []),
                (b"x-request-id", _id(count).encode()),
                (b"cf-ray", f"{_ray(count)}-LOC".encode()),
            ]
            if message["status"] < 300:
                headers += _ON_SUCCESS
            message = {**message, "headers": headers}
        await send(message)

    return dressed
