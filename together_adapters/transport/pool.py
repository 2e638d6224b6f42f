"""Connection pools for many concurrent calls: httpx transports that spread requests over small pools.

httpcore searches all connections of a pool on every request and every close, and once more for each idle one: a large pool gets
slower the busier it is, and httpx's default pool reopens most connections when responses are slow. Small pools do neither.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache, partial
from threading import Lock
from typing import Any, Generic, TypeVar

import httpx

MAX_SHARDS = 32
IDLE_CONNECTIONS = 8
"""Idle connections of one shard."""
KEEPALIVE_SECONDS = 30.0

T = TypeVar("T")


def ssl_context() -> ssl.SSLContext:
    """Returns the TLS context of this process: loading the certificates takes 27 ms, so it is done once.

    `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured, as httpx does.
    """
    return _ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache
def _ssl_context(file: str | None, directory: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()


def limits(idle_connections: int) -> httpx.Limits:
    """Returns limits for a pool: as many connections as needed, of which some are kept when idle."""
    return httpx.Limits(max_connections=None, max_keepalive_connections=idle_connections, keepalive_expiry=KEEPALIVE_SECONDS)


class Shard(Generic[T]):
    """A small pool, with the number of its connections and of those in use."""

    def __init__(self, transport: T) -> None:
        self.transport = transport
        self.in_use = 0
        self.opened = 0


class Shards(Generic[T]):
    """The small pools. The first with an idle connection serves a request, so that successive calls share one; then a new one."""

    def __init__(self, transport: Callable[..., T]) -> None:
        self._transport = partial(transport, verify=ssl_context(), limits=limits(IDLE_CONNECTIONS))
        self._lock = Lock()
        self.all: list[Shard[T]] = []

    def acquire(self) -> Shard[T]:
        """Returns the shard for a request, until it is released."""
        with self._lock:
            shard = next((shard for shard in self.all if shard.in_use < shard.opened), None)
            if shard is None and len(self.all) < MAX_SHARDS:
                shard = Shard(self._transport())
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
            self._stream.close()
        finally:
            self._release()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._release()

    def _release(self) -> None:
        shard, self._shard = self._shard, None
        if shard is not None:
            self._shards.release(shard)
