"""HTTP clients on wreq, which the drivers use like those of httpx; what wreq does not do as httpx does goes over httpx."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import anyio
import wreq

from together_adapters.errors import APIConnectionError, ConfigurationError
from together_adapters.transport import observation
from together_adapters.transport.fast.body import CLOSED_IN_FLIGHT, Body, Headers, Response
from together_adapters.transport.fast.engine import Engine, Unsupported
from together_adapters.transport.fast.failures import translate
from together_adapters.transport.fast.thread_loop import run
from together_adapters.transport.http_library import HTTPLibrary, byte_stream
from together_adapters.transport.network import TransferError, seconds_of

if TYPE_CHECKING:
    from together_adapters.transport.http_library import URL

logger = logging.getLogger("together_adapters")

_METHODS = {
    "GET": wreq.Method.GET,
    "POST": wreq.Method.POST,
    "PUT": wreq.Method.PUT,
    "PATCH": wreq.Method.PATCH,
    "DELETE": wreq.Method.DELETE,
    "HEAD": wreq.Method.HEAD,
    "OPTIONS": wreq.Method.OPTIONS,
}
_CLOSE_SECONDS = 2.0
_CLOSE_INTERVAL = 0.005
_CLOSED = "this client is closed: make a new one"


class Request:
    """A request for wreq, with what the drivers read of one."""

    __slots__ = ("client", "extensions", "method", "options", "url")

    def __init__(self, client: Any, method: str, url: str, options: dict[str, Any], extensions: dict[str, Any]) -> None:
        self.client = client
        self.method = method
        self.url = url
        self.options = options
        self.extensions = extensions

    def send(self, **options: Any) -> Any:
        """Returns the response of wreq, to be awaited."""
        return self.client.request(_METHODS[self.method], self.url, **self.options, **options)


def _of_attempt(limit: float | None) -> float | None:
    """Returns a time limit apart from the deadline of a call, which the drivers keep."""
    return getattr(limit, "seconds", limit)


class _Client:
    """What both flavours share."""

    def __init__(self, library: HTTPLibrary, open_ordinary: Callable[[], tuple[Any, Any]]) -> None:
        self.is_closed = False
        self.pending: set[Request] = set()  # without a response so far
        self.bodies: weakref.WeakSet[Body] = weakref.WeakSet()
        self._library = library
        self._engine = Engine(library)
        self._open_ordinary = open_ordinary
        self._ordinary: tuple[Any, Any] | None = None
        self._reasons: set[str] = set()
        self._lock = Lock()

    @property
    def ordinary(self) -> Any:
        """The client of the HTTP library, for what goes over it."""
        if self.is_closed:
            raise ConfigurationError(_CLOSED)
        with self._lock:
            self._ordinary = self._ordinary or self._open_ordinary()
        return self._ordinary[0]

    @property
    def event_hooks(self) -> dict[str, list[Any]]:
        """Those of supplied clients; here there are none."""
        return {"request": [], "response": []}

    def build_request(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        extensions: dict[str, Any],
        params: Mapping[str, Any] | None = None,
        content: Any = None,
        **form: Any,
    ) -> Any:
        """Returns the request as the one of both stacks takes it that will send it."""
        try:
            options = self._options(method, url, headers, content, form)
            client = self._engine.client(_of_attempt(extensions["timeout"]["connect"]))
        except Unsupported as reason:
            self._tell(reason)
            return self.ordinary.build_request(
                method, url, headers=headers, extensions=extensions, params=params, content=content, **form
            )
        target = str(url.copy_merge_params(params) if params else url)
        return Request(client, method, target, options, extensions)

    def _options(
        self, method: str, url: URL, headers: Mapping[str, str], content: Any, form: Mapping[str, Any]
    ) -> dict[str, Any]:
        if observation.tape is not None:
            raise Unsupported("an exchange that is recorded or replayed")
        if form or not (content is None or type(content) is bytes):
            raise Unsupported("an upload")
        if method not in _METHODS:
            raise Unsupported(f"the method {method[:20]!r}")
        values = "".join(headers.values())
        if not (values.isascii() and values.isprintable()):
            raise Unsupported("a header with characters that are not printable ASCII")
        options: dict[str, Any] = {"headers": {"accept-encoding": self._library.accept_encoding, **headers}}
        if content is not None:
            options["body"] = content
        elif method in ("POST", "PUT", "PATCH"):
            options["headers"].setdefault("content-length", "0")
        if self._engine.has_proxies and (proxy := self._engine.proxy(str(url))) is not None:
            options["proxy"] = proxy
        return options

    def _tell(self, reason: Unsupported) -> None:
        text = str(reason)
        if text not in self._reasons:
            self._reasons.add(text)
            logger.info("transport='fast': %s goes over %s", text, self._library.name)

    def _response(self, head: Any, request: Request) -> Any:
        self._engine.remember(str(head.local_addr))
        status, headers, limits = head.status.as_int(), head.headers, request.extensions["timeout"]
        if "content-encoding" not in headers:
            return Response(status, Headers(headers), Body(self, head, limits), request)
        pairs = [(bytes(name), bytes(value)) for name, value in headers]
        stream = byte_stream(self._library, Body)(self, head, limits)
        return self._library.module.Response(status, headers=pairs, stream=stream, request=request)

    def failure(self, error: BaseException) -> BaseException:
        """Returns the exception to raise for one that wreq or the wait for it has raised."""
        if self.is_closed and isinstance(error, asyncio.CancelledError | Exception):
            return APIConnectionError(CLOSED_IN_FLIGHT)
        if isinstance(error, TransferError) or type(error).__module__ != "exceptions":
            return error
        return translate(error, self._library, self._engine.has_served)  # type: ignore[arg-type]

    def _close(self) -> None:
        self.is_closed = True
        self._engine.close()
        for body in list(self.bodies):
            body.close()


class FastClient(_Client):
    """The client of threads."""

    def _options(
        self, method: str, url: URL, headers: Mapping[str, str], content: Any, form: Mapping[str, Any]
    ) -> dict[str, Any]:
        # The drivers accept anything else for what they keep open. Read by read, a wait that Ctrl-C ends costs what httpx costs.
        if headers.get("accept") in ("text/event-stream", "*/*"):
            raise Unsupported("a stream or a download of a synchronous client")
        return super()._options(method, url, headers, content, form)

    def send(self, request: Any, **options: Any) -> Any:
        if type(request) is not Request:
            return self.ordinary.send(request, **options)
        self.pending.add(request)
        try:
            head = run(request.send(), seconds_of(request.extensions["timeout"]["read"]))
        except (Exception, asyncio.CancelledError) as error:
            raise self.failure(error) from None
        finally:
            self.pending.discard(request)
        return self._response(head, request)

    def close(self) -> None:
        self._close()
        if self._ordinary:
            self._ordinary[1].close()


class AsyncFastClient(_Client):
    """The client of tasks."""

    async def send(self, request: Any, **options: Any) -> Any:
        if type(request) is not Request:
            return await self.ordinary.send(request, **options)
        self.pending.add(request)
        try:
            head = await request.send(**_read_timeout(request))
        except (Exception, asyncio.CancelledError) as error:
            raise self.failure(error) from None
        finally:
            self.pending.discard(request)
        return self._response(head, request)

    async def aclose(self) -> None:
        self._close()
        with anyio.move_on_after(_CLOSE_SECONDS):
            while self.pending:  # tasks learn of it in a later step of the loop, which may be about to end
                await anyio.sleep(_CLOSE_INTERVAL)
        if self._ordinary:
            await self._ordinary[1].aclose()


def _read_timeout(request: Request) -> Mapping[str, timedelta]:
    """Returns the limit of the wait for the head and of each read of the body, as wreq takes it."""
    return _read_timeout_of(_of_attempt(request.extensions["timeout"]["read"]))


@lru_cache(maxsize=64)
def _read_timeout_of(seconds: float | None) -> Mapping[str, timedelta]:
    return {} if seconds is None else {"read_timeout": timedelta(seconds=seconds)}
