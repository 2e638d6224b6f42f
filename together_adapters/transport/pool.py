"""Connections for many concurrent calls.

httpcore looks through all connections of a pool on every request and every close, and through all of them again for each idle
one; so a large pool costs more the busier it is, and httpx's default pool reopens most connections when answers take time. Many
small pools do neither.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from threading import Lock
from typing import Generic, TypeVar

import httpx

from together_adapters.transport.wire import KEEPALIVE_SECONDS, ssl_context

SHARDS = 32
KEPT = 8
"""Idle connections of one small pool."""

T = TypeVar("T")


class Shard(Generic[T]):
    """A small pool, and how many of its connections are busy of those that it has opened."""

    def __init__(self, transport: T) -> None:
        self.transport = transport
        self.busy = 0
        self.opened = 0


class Shards(Generic[T]):
    """Small pools: the lowest one with an idle connection is taken, so that calls in a row share one; then a new one."""

    def __init__(self, make: Callable[[], T]) -> None:
        self.all: list[Shard[T]] = []
        self._make = make
        self._lock = Lock()

    def take(self) -> Shard[T]:
        """Return the pool for a request; it is busy until given back."""
        with self._lock:
            shard = next((shard for shard in self.all if shard.busy < shard.opened), None)
            if shard is None and len(self.all) < SHARDS:
                shard = Shard(self._make())
                self.all.append(shard)
            shard = shard or min(self.all, key=lambda shard: shard.busy)
            shard.busy += 1
            shard.opened = max(shard.opened, shard.busy)
            return shard

    def give_back(self, shard: Shard[T]) -> None:
        """Take note that a request is over."""
        with self._lock:
            shard.busy -= 1


def _limits() -> httpx.Limits:
    return httpx.Limits(max_connections=None, max_keepalive_connections=KEPT, keepalive_expiry=KEEPALIVE_SECONDS)


class ShardedTransport(httpx.BaseTransport):
    """Spreads the requests of threads over small pools."""

    def __init__(self) -> None:
        self._shards = Shards(lambda: httpx.HTTPTransport(verify=ssl_context(), limits=_limits()))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        shard = self._shards.take()
        try:
            response = shard.transport.handle_request(request)
        except BaseException:
            self._shards.give_back(shard)
            raise
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _Counted(response.stream, self._shards, shard)
        return response

    def close(self) -> None:
        for shard in self._shards.all:
            shard.transport.close()


class AsyncShardedTransport(httpx.AsyncBaseTransport):
    """Spreads the requests of tasks over small pools."""

    def __init__(self) -> None:
        self._shards = Shards(lambda: httpx.AsyncHTTPTransport(verify=ssl_context(), limits=_limits()))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        shard = self._shards.take()
        try:
            response = await shard.transport.handle_async_request(request)
        except BaseException:
            self._shards.give_back(shard)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _AsyncCounted(response.stream, self._shards, shard)
        return response

    async def aclose(self) -> None:
        for shard in self._shards.all:
            await shard.transport.aclose()


class _Counted(httpx.SyncByteStream):
    """A body that gives its connection back to the count when it is closed."""

    def __init__(
        self, stream: httpx.SyncByteStream, shards: Shards[httpx.HTTPTransport], shard: Shard[httpx.HTTPTransport]
    ) -> None:
        self._stream = stream
        self._shards = shards
        self._shard: Shard[httpx.HTTPTransport] | None = shard

    def __iter__(self) -> Iterator[bytes]:
        return self._stream.__iter__()

    def close(self) -> None:
        shard, self._shard = self._shard, None
        try:
            self._stream.close()
        finally:
            if shard is not None:
                self._shards.give_back(shard)


class _AsyncCounted(httpx.AsyncByteStream):
    """The same for a body that is read by a task."""

    def __init__(
        self, stream: httpx.AsyncByteStream, shards: Shards[httpx.AsyncHTTPTransport], shard: Shard[httpx.AsyncHTTPTransport]
    ) -> None:
        self._stream = stream
        self._shards = shards
        self._shard: Shard[httpx.AsyncHTTPTransport] | None = shard

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        shard, self._shard = self._shard, None
        try:
            await self._stream.aclose()
        finally:
            if shard is not None:
                self._shards.give_back(shard)
