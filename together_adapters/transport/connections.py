"""The connections of a client, synchronous and asynchronous side by side: opened on first use, closed with it or its event loop."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar
from urllib.request import getproxies

import anyio
import httpx

from together_adapters.errors import ConfigurationError
from together_adapters.transport.pool import AsyncShardedTransport, ShardedTransport, limits, ssl_context

H = TypeVar("H", httpx.Client, httpx.AsyncClient)


class Connections:
    """The connection pool of a client, opened on first use and shared by the copies that `with_options` makes.

    Attributes:
        external: Whether the caller supplied the httpx client, and closes it.
    """

    def __init__(self, client: httpx.Client | None = None) -> None:
        self.external = client is not None
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

    Attributes:
        external: Whether the caller supplied the httpx client, and closes it.
    """

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        self.external = client is not None
        self._client = client
        self._pools: weakref.WeakKeyDictionary[Any, tuple[httpx.AsyncClient, AsyncGenerator[None]]]
        self._pools = weakref.WeakKeyDictionary()
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
            for other_loop in [other for other in self._pools if _is_closed(other)]:
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


def _is_closed(loop: Any) -> bool:
    """Whether a loop has ended. Trio's tokens do not say, and are released with their run."""
    return hasattr(loop, "is_closed") and bool(loop.is_closed())


_CLOSED = "this client is closed: make a new one"


def _new_client(kind: Callable[..., H], transport: Callable[[], Any]) -> H:
    """Returns an httpx client without cookies. If the environment names a proxy, httpx chooses the transports itself."""
    if getproxies():
        client = kind(verify=ssl_context(), limits=limits(idle_connections=100))
    else:
        client = kind(transport=transport())
    client._cookies = _NoCookies()  # its public setter copies the value into a jar of its own
    return client


class _NoCookies(httpx.Cookies):
    """The API has no cookies, and looking for them in every response takes a twentieth of a call."""

    def extract_cookies(self, response: httpx.Response) -> None: ...
