"""Connections for many concurrent calls.

httpcore looks through all connections of a pool on every request and every close, so one large pool costs more the
busier it is, and httpx's default pool reopens most connections when answers take time. Many small pools do neither.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from together_adapters.transport.wire import KEEPALIVE_SECONDS, ssl_context

SHARDS = 32
CONNECTIONS = 8


@dataclass(slots=True)
class _Shard:
    transport: httpx.AsyncHTTPTransport
    busy: int = 0
    opened: int = 0


class ShardedTransport(httpx.AsyncBaseTransport):
    """Spreads requests over small pools: the lowest one with an idle connection first, so that calls in a row share one."""

    def __init__(self, shards: int = SHARDS, connections: int = CONNECTIONS) -> None:
        self._shards: list[_Shard] = []
        self._most = shards
        self._connections = connections

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        shard = self._choose()
        shard.busy += 1
        shard.opened = max(shard.opened, shard.busy)
        try:
            response = await shard.transport.handle_async_request(request)
        except BaseException:
            shard.busy -= 1
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Counted(response.stream, shard)
        return response

    async def aclose(self) -> None:
        for shard in self._shards:
            await shard.transport.aclose()

    def _choose(self) -> _Shard:
        free = None
        for shard in self._shards:
            if shard.busy < shard.opened:
                return shard
            if free is None and shard.busy < self._connections:
                free = shard
        if free is not None:
            return free
        if len(self._shards) < self._most:
            self._shards.append(_Shard(self._pool()))
            return self._shards[-1]
        return min(self._shards, key=lambda shard: shard.busy)

    def _pool(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=self._connections, keepalive_expiry=KEEPALIVE_SECONDS
        )
        return httpx.AsyncHTTPTransport(verify=ssl_context(), limits=limits)


class _Counted(httpx.AsyncByteStream):
    """A body that gives its connection back to the count when it is closed."""

    def __init__(self, stream: httpx.AsyncByteStream, shard: _Shard) -> None:
        self._stream = stream
        self._shard: _Shard | None = shard

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        shard, self._shard = self._shard, None
        try:
            await self._stream.aclose()
        finally:
            if shard is not None:
                shard.busy -= 1
