"""The connections of a client, synchronous and asynchronous side by side: opened on first use, closed with it or its event loop.

Requests are spread over small pools: httpcore searches all connections of a pool on every request and every close, and once more
for each idle one, so a large pool gets slower the busier it is, and httpx's default pool reopens most connections when responses
are slow.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import suppress
from functools import lru_cache, partial
from threading import Lock
from typing import Any, Generic, TypeVar
from urllib.request import getproxies

import anyio
import httpx

from together_adapters.errors import ConfigurationError
from together_adapters.transport.network import watch

T = TypeVar("T")
H = TypeVar("H", httpx.Client, httpx.AsyncClient)

_MAX_SHARDS = 32
_SHARD_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=30.0)
_PROXY_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30.0)
_CLOSED = "this client is closed: make a new one"


class Connections:
    """The connection pool of a client, opened on first use and shared by the copies that `with_options` makes."""

    def __init__(self, client: httpx.Client | None = None) -> None:
        self.external = client is not None  # the caller supplied it, and closes it
        self._client = client
        self._closed = False
        self._lock = Lock()
        self._finalizer: weakref.finalize[..., Any] | None = None
        _open_pools.add(self)

    @property
    def client(self) -> httpx.Client:
        """The httpx client; a ConfigurationError once it is closed."""
        return self._client or self._open()

    def close(self) -> None:
        """Closes the pool, unless the caller supplied it."""
        with self._lock:
            self._closed = True
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

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._closed:
                raise ConfigurationError(_CLOSED)
            if self._client is None:
                self._client = _new_client(httpx.Client, ShardedTransport)
                self._finalizer = weakref.finalize(self, self._client.close)
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

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        self.external = client is not None
        self._client = client
        self._pools: MutableMapping[Any, tuple[httpx.AsyncClient, AsyncGenerator[None]]] = weakref.WeakKeyDictionary()
        self._closed = False
        self._lock = Lock()

    async def client(self) -> httpx.AsyncClient:
        """Returns the httpx client of the running loop; a ConfigurationError once the pools are closed."""
        if self._client is not None:
            return self._client
        loop = _running_loop()
        if pool := self._pools.get(loop):
            return pool[0]
        if self._closed:
            raise ConfigurationError(_CLOSED)
        client = _new_client(httpx.AsyncClient, AsyncShardedTransport)
        closer = _close_with_generator(client)
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
            self._closed = True
            pool = self._pools.pop(_running_loop(), None)
        if pool:
            await pool[1].aclose()


async def _close_with_generator(client: httpx.AsyncClient) -> AsyncGenerator[None]:
    """Yields once, and closes a client when the generator is closed."""
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            # A loop that ends cancels the task that runs this, and a task that is cancelled before its first step receives the
            # cancellation twice: let that happen before there is anything to lose.
            with suppress(asyncio.CancelledError, GeneratorExit):
                await anyio.sleep(0)
            await client.aclose()


def _close_before_loop(loop: Any, closer: AsyncGenerator[None]) -> None:
    """Closes a pool before its loop, also where code closes the loop but not its generators, as frameworks do."""
    close = getattr(loop, "close", None)
    if close is None:
        return
    reference = weakref.ref(closer)

    def close_pool_first() -> None:
        pool = reference()
        if pool is not None and not (loop.is_closed() or loop.is_running() or asyncio._get_running_loop()):
            loop.run_until_complete(pool.aclose())
        close()

    with suppress(AttributeError):
        # Loops that are written in C accept no attribute; their pools close with the generator alone.
        loop.close = close_pool_first


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        from trio.lowlevel import current_trio_token

        return current_trio_token()


def _new_client(kind: Callable[..., H], transport: Callable[[], Any]) -> H:
    """Returns an httpx client without cookies. If the environment names a proxy, httpx chooses the transports itself."""
    if getproxies():
        client: H = kind(verify=ssl_context(), limits=_PROXY_LIMITS)
        for used in filter(None, (client._transport, *client._mounts.values())):
            watch(used)
    else:
        client = kind(transport=transport())
    client._cookies = _NoCookies()  # its public setter copies the value into a jar of its own
    return client


class _NoCookies(httpx.Cookies):
    """The API has no cookies, and looking for them in every response takes a twentieth of a call."""

    def extract_cookies(self, response: httpx.Response) -> None: ...


def ssl_context() -> ssl.SSLContext:
    """Returns the TLS context for the certificates that the environment names: loading them takes 27 ms, so it is done once."""
    return _ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache
def _ssl_context(file: str | None, directory: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()


class Shard(Generic[T]):
    """A small pool, with the number of its connections and of those in use."""

    def __init__(self, transport: T) -> None:
        self.transport = transport
        self.in_use = 0
        self.opened = 0


class Shards(Generic[T]):
    """The small pools. The first with an idle connection serves a request, so that successive calls share one; then a new one."""

    def __init__(self, transport: Callable[..., T]) -> None:
        self._transport = partial(transport, verify=ssl_context(), limits=_SHARD_LIMITS)
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


class ShardedTransport(httpx.BaseTransport):
    """Spreads the requests of threads over shards."""

    def __init__(self) -> None:
        self._shards = Shards(httpx.HTTPTransport)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        shard = self._shards.acquire()
        try:
            response = shard.transport.handle_request(request)
        except BaseException:
            self._shards.release(shard)
            raise
        response.stream = _ShardStream(response.stream, self._shards, shard)
        return response

    def close(self) -> None:
        for shard in self._shards.all:
            shard.transport.close()


class AsyncShardedTransport(httpx.AsyncBaseTransport):
    """Spreads the requests of tasks over shards."""

    def __init__(self) -> None:
        self._shards = Shards(httpx.AsyncHTTPTransport)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        shard = self._shards.acquire()
        try:
            response = await shard.transport.handle_async_request(request)
        except BaseException:
            self._shards.release(shard)
            raise
        response.stream = _ShardStream(response.stream, self._shards, shard)
        return response

    async def aclose(self) -> None:
        for shard in self._shards.all:
            await shard.transport.aclose()


class _ShardStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response body of either flavour that releases its shard when it is closed."""

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
