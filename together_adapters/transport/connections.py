"""The connections of a client, synchronous and asynchronous side by side: opened on first use, closed with it or its event loop.

Requests are spread over small pools: httpcore searches all connections of a pool on every request and every close, and once more
for each idle one, so a large pool gets slower the busier it is, and httpx's default pool reopens most connections when responses
are slow.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import suppress
from functools import partial
from socket import SHUT_RDWR
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.request import getproxies

import anyio

from together_adapters.errors import APIConnectionError, ConfigurationError
from together_adapters.transport.environment import proxy_for, ssl_context
from together_adapters.transport.http_library import HTTPLibrary, byte_stream
from together_adapters.transport.network import watch

if TYPE_CHECKING:
    from together_adapters.transport.http_library import URL, AsyncHTTPClient, HTTPClient, HTTPRequest, HTTPResponse, Proxy

T = TypeVar("T")

logger = logging.getLogger("together_adapters")

_MAX_SHARDS = 32
_SHARD_LIMITS: dict[str, Any] = {"max_connections": None, "max_keepalive_connections": 8, "keepalive_expiry": 30.0}
_CLOSED = "this client is closed: make a new one"
_CLOSED_IN_FLIGHT = "the client was closed while this call was in flight"
_CLOSE_SECONDS = 2.0  # that closing waits for requests whose connection is still being opened
_CLOSE_INTERVAL = 0.005


class Connections:
    """The connection pool of a client, opened on first use and shared by the copies that `with_options` makes."""

    def __init__(self, library: HTTPLibrary, client: HTTPClient | None = None) -> None:
        self.library = library
        self.external = client is not None  # the caller supplied it, and closes it
        self._client = client
        self.is_closed = False
        self._lock = Lock()
        self._finalizer: weakref.finalize[..., Any] | None = None
        _open_pools.add(self)

    @property
    def client(self) -> HTTPClient:
        """The HTTP client; a ConfigurationError once it is closed."""
        return self._client or self._open()

    def close(self) -> None:
        """Closes the pool, unless the caller supplied it."""
        with self._lock:
            self.is_closed = True
            finalizer, self._finalizer = self._finalizer, None
            if finalizer is not None:
                self._client = None
                finalizer()

    def forget(self) -> None:
        """Leaves the connections to the parent process, which still uses them."""
        if self._finalizer is not None:
            self._finalizer.detach()
            self._finalizer = self._client = None
        self._lock = Lock()

    def _open(self) -> HTTPClient:
        with self._lock:
            if self.is_closed:
                raise ConfigurationError(_CLOSED)
            if self._client is None:
                self._client, transport = _open_client(self.library, is_async=False)
                self._finalizer = weakref.finalize(self, transport.close)
            return self._client


_open_pools: weakref.WeakSet[Connections] = weakref.WeakSet()


def _forget_all() -> None:
    for pool in list(_open_pools):
        pool.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


class AsyncConnections:
    """The connection pools of a client: one for each running event loop, opened on first use.

    A pool is closed with its loop by an asynchronous generator, which a loop closes before it ends. So a client works across
    several `asyncio.run`, and leaves no open sockets.
    """

    def __init__(self, library: HTTPLibrary, client: AsyncHTTPClient | None = None) -> None:
        self.library = library
        self.external = client is not None
        self._client = client
        self._pools: MutableMapping[Any, tuple[AsyncHTTPClient, AsyncGenerator[None]]] = weakref.WeakKeyDictionary()
        self.is_closed = False
        self._lock = Lock()

    async def client(self) -> AsyncHTTPClient:
        """Returns the HTTP client of the running loop; a ConfigurationError once the pools are closed."""
        if self._client is not None:
            return self._client
        loop = _running_loop()
        if pool := self._pools.get(loop):
            return pool[0]
        if self.is_closed:
            raise ConfigurationError(_CLOSED)
        client: AsyncHTTPClient
        client, transport = _open_client(self.library, is_async=True, is_asyncio=isinstance(loop, asyncio.AbstractEventLoop))
        closer = _close_with_generator(transport)
        await anext(closer)
        _close_before_loop(loop, closer)
        with self._lock:
            for other_loop in list(self._pools):
                # Trio's tokens do not say whether their run has ended, and are released with it.
                if hasattr(other_loop, "is_closed") and other_loop.is_closed():
                    del self._pools[other_loop]
            self._pools[loop] = (client, closer)
        return client

    async def aclose(self) -> None:
        """Closes the pool of this loop; those of other loops close with them."""
        with self._lock:
            self.is_closed = True
            pool = self._pools.pop(_running_loop(), None)
        if pool:
            await pool[1].aclose()


def _open_client(library: HTTPLibrary, *, is_async: bool, is_asyncio: bool = True) -> tuple[Any, Any]:
    """Returns an HTTP client, and the transport that closes it."""
    if library.is_fast and is_asyncio:
        from together_adapters.transport.fast.client import AsyncFastClient, FastClient

        fast = (AsyncFastClient if is_async else FastClient)(library, partial(_open_sharded, library, is_async=is_async))
        return fast, fast
    if library.is_fast:
        logger.warning(
            "transport='fast': it knows asyncio alone, so that the requests of this event loop go over %s", library.name
        )
    return _open_sharded(library, is_async=is_async)


def _open_sharded(library: HTTPLibrary, *, is_async: bool) -> tuple[Any, Any]:
    transport = (AsyncShardedTransport if is_async else ShardedTransport)(library)
    return library.new_client(transport, is_async=is_async), transport


async def _close_with_generator(transport: AsyncShardedTransport) -> AsyncGenerator[None]:
    """Yields once, and closes a transport when the generator is closed."""
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            # A loop that ends cancels the task that runs this, and a task that is cancelled before its first step receives the
            # cancellation twice: let that happen before there is anything to lose.
            with suppress(asyncio.CancelledError, GeneratorExit):
                await anyio.sleep(0)
            await transport.aclose()


class _CloseWithPools:
    """The `close` of an event loop that has pools, which it closes first: some frameworks close a loop, but not its generators."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._close = loop.close
        self.closers: weakref.WeakSet[AsyncGenerator[None]] = weakref.WeakSet()

    def __call__(self) -> None:
        loop = self._loop
        if not (loop.is_closed() or loop.is_running() or asyncio._get_running_loop()):
            for closer in list(self.closers):
                with suppress(RuntimeError):  # a task that will never end is closing this one
                    loop.run_until_complete(closer.aclose())
        self._close()


def _close_before_loop(loop: Any, closer: AsyncGenerator[None]) -> None:
    """Closes a pool before its loop. A loop has one hook, however many pools it sees."""
    hook = getattr(loop, "close", None)
    if hook is None:
        return
    if not isinstance(hook, _CloseWithPools):
        hook = _CloseWithPools(loop)
        with suppress(AttributeError):
            # Loops that are written in C accept no attribute; their pools close with the generator alone.
            loop.close = hook
    hook.closers.add(closer)


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        from trio.lowlevel import current_trio_token

        return current_trio_token()


class Shard(Generic[T]):
    """A small pool, with the number of its connections and of those in use."""

    def __init__(self, transport: T) -> None:
        self.transport = transport
        self.in_use = 0
        self.opened = 0


class Shards(Generic[T]):
    """The small pools. The first with an idle connection serves a request, so that successive calls share one; then a new one."""

    def __init__(self, library: HTTPLibrary, transport: Callable[..., T], proxy: Proxy | None = None) -> None:
        limits = library.module.Limits(**_SHARD_LIMITS)
        self._transport = partial(transport, verify=ssl_context(library), limits=limits, proxy=proxy)
        self._lock = Lock()
        self.all: list[Shard[T]] = []

    def acquire(self) -> Shard[T]:
        """Returns the shard for a request, until it is released."""
        with self._lock:
            shard = next((shard for shard in self.all if shard.in_use < shard.opened), None)
            if shard is None and len(self.all) < _MAX_SHARDS:
                shard = Shard(watch(self._transport()))
                self.all.append(shard)
            shard = shard or min(self.all, key=lambda shard: shard.in_use)
            shard.in_use += 1
            shard.opened = max(shard.opened, shard.in_use)
            return shard

    def release(self, shard: Shard[T]) -> None:
        """Records the end of a request."""
        with self._lock:
            shard.in_use -= 1


class _Routes(Generic[T]):
    """The shards of both transports: those of direct connections, and those of each origin that a proxy of the environment serves."""

    def __init__(self, library: HTTPLibrary, transport: Callable[..., T]) -> None:
        self._library = library
        self._new_shards = partial(Shards, library, transport)
        self._has_proxies = bool(getproxies())
        self._direct: Shards[T] = self._new_shards()
        self._by_origin: dict[tuple[str, str, int | None], Shards[T]] = {}
        self.closed = False
        self.pending: set[HTTPRequest] = set()  # without a response so far

    def shards(self, url: URL) -> Shards[T]:
        """Returns the shards for a request; a ConfigurationError once they are closed."""
        if self.closed:
            raise ConfigurationError(_CLOSED)
        return self._shards_by_proxy(url) if self._has_proxies else self._direct

    def _shards_by_proxy(self, url: URL) -> Shards[T]:
        origin = url.scheme, url.host, url.port
        if origin not in self._by_origin:
            proxy = proxy_for(self._library, url)
            self._by_origin[origin] = self._new_shards(proxy) if proxy else self._direct
        return self._by_origin[origin]

    def transports(self) -> list[T]:
        """Returns the transports of all shards."""
        return [shard.transport for shards in {self._direct, *self._by_origin.values()} for shard in shards.all]

    def open_connections(self) -> Iterator[list[Any]]:
        """Takes no more requests, and yields all open connections, until no request waits for a response.

        httpcore forgets its connections when it is closed. Those that are being opened would then stay open, and a request that
        meets a closed one opens another.
        """
        self.closed = True
        deadline = time.monotonic() + _CLOSE_SECONDS
        connections: dict[int, Any] = {}
        while True:
            connections |= {
                id(connection): connection for transport in self.transports() for connection in _connections_of(transport)
            }
            yield [connection for connection in connections.values() if not connection.is_closed()]
            if not self.pending or time.monotonic() > deadline:
                return

    def check_failure(self, error: BaseException) -> None:
        """Raises the error of a request that failed because the client was closed meanwhile."""
        if self.closed and isinstance(error, Exception):
            raise APIConnectionError(_CLOSED_IN_FLIGHT) from None


def _connections_of(transport: Any) -> list[Any]:
    pool = getattr(transport, "_pool", None)
    return list(getattr(pool, "connections", ()))


def _end_transfers(connection: Any) -> None:
    """Ends what another thread reads or writes: closing the socket would not wake it."""
    while (inner := getattr(connection, "_connection", None)) is not None:
        connection = inner
    stream = getattr(connection, "_network_stream", None)
    with suppress(OSError, AttributeError):
        stream.get_extra_info("socket").shutdown(SHUT_RDWR)  # type: ignore[union-attr]


class ShardedTransport:
    """Spreads the requests of threads over shards."""

    def __init__(self, library: HTTPLibrary) -> None:
        self._routes = _Routes(library, library.module.HTTPTransport)
        self._stream_class = byte_stream(library, _ShardStream)

    def handle_request(self, request: HTTPRequest) -> HTTPResponse:
        routes = self._routes
        shards = routes.shards(request.url)
        shard = shards.acquire()
        routes.pending.add(request)
        try:
            response: HTTPResponse = shard.transport.handle_request(request)
        except BaseException as error:
            shards.release(shard)
            routes.check_failure(error)
            raise
        finally:
            routes.pending.discard(request)
        response.stream = self._stream_class(response.stream, shards, shard)
        if routes.closed:  # the connection was opened too late to be closed with the others
            response.close()
            response.extensions["network_stream"].close()
            raise APIConnectionError(_CLOSED_IN_FLIGHT)
        return response

    def close(self) -> None:
        for connections in self._routes.open_connections():
            for connection in connections:
                if not connection.is_idle():
                    _end_transfers(connection)
                connection.close()
            for transport in self._routes.transports():
                transport.close()
            if self._routes.pending:
                time.sleep(_CLOSE_INTERVAL)


class AsyncShardedTransport:
    """Spreads the requests of tasks over shards."""

    def __init__(self, library: HTTPLibrary) -> None:
        self._routes = _Routes(library, library.module.AsyncHTTPTransport)
        self._stream_class = byte_stream(library, _ShardStream)

    async def handle_async_request(self, request: HTTPRequest) -> HTTPResponse:
        routes = self._routes
        shards = routes.shards(request.url)
        shard = shards.acquire()
        routes.pending.add(request)
        try:
            response: HTTPResponse = await shard.transport.handle_async_request(request)
        except BaseException as error:
            shards.release(shard)
            routes.check_failure(error)
            raise
        finally:
            routes.pending.discard(request)
        response.stream = self._stream_class(response.stream, shards, shard)
        if routes.closed:  # the connection was opened too late to be closed with the others
            await response.aclose()
            await response.extensions["network_stream"].aclose()
            raise APIConnectionError(_CLOSED_IN_FLIGHT)
        return response

    async def aclose(self) -> None:
        for connections in self._routes.open_connections():
            for connection in connections:
                await connection.aclose()
            for transport in self._routes.transports():
                await transport.aclose()
            await anyio.sleep(_CLOSE_INTERVAL if self._routes.pending else 0)


class _ShardStream:
    """A response body of either flavour that releases its shard when it is closed."""

    is_direct = True  # for `network.complete_chunks`

    def __init__(self, stream: Any, shards: Shards[Any], shard: Shard[Any]) -> None:
        self._stream = stream
        self._shards = shards
        self._shard: Shard[Any] | None = shard

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    def close(self) -> None:
        try:
            if connection := _desynchronized(self._stream):
                connection.close()
            self._stream.close()
        finally:
            self._release()

    async def aclose(self) -> None:
        try:
            if connection := _desynchronized(self._stream):
                with anyio.CancelScope(shield=True):
                    await connection.aclose()
            await self._stream.aclose()
        finally:
            self._release()

    def _release(self) -> None:
        shard, self._shard = self._shard, None
        if shard is not None:
            self._shards.release(shard)


def _desynchronized(stream: Any) -> Any:
    """Returns the connection of a response if more bytes follow it, or None. httpcore would take them for the next response.

    There is no public way to know; a test fails if these names change.
    """
    try:
        connection = stream._httpcore_stream._stream._connection
        return connection if connection._h11_state.trailing_data[0] else None
    except AttributeError:
        return None
