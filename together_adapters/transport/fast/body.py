"""Responses of either flavour, with as much of a response of httpx as the drivers use; and their bodies, also for httpx."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from together_adapters.errors import APIConnectionError
from together_adapters.transport.fast.thread_loop import run
from together_adapters.transport.network import seconds_of

if TYPE_CHECKING:
    from together_adapters.transport.fast.client import _Client

CLOSED_IN_FLIGHT = "the client was closed while this call was in flight"


class Headers(Mapping[str, str]):
    """The headers of a response, decoded when they are asked for: most responses are asked for few."""

    __slots__ = ("_all",)

    def __init__(self, headers: Any) -> None:
        self._all = headers

    def __getitem__(self, name: str) -> str:
        values = self._all.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(_decode(bytes(value)) for value in values)

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter({bytes(name).decode("ascii"): None for name, _ in self._all})

    def __len__(self) -> int:
        return self._all.keys_len()  # type: ignore[no-any-return]


def _decode(value: bytes) -> str:
    """Returns the text of a header, which is UTF-8 or, by an older custom, ISO 8859-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("iso-8859-1")


class Response:
    """A response whose body has no content encoding."""

    __slots__ = ("extensions", "headers", "is_closed", "request", "status_code", "stream")
    is_stream_consumed = False

    def __init__(self, status: int, headers: Headers, stream: Body, request: Any) -> None:
        self.status_code = status
        self.headers = headers
        self.stream = stream
        self.request = request
        self.extensions: dict[str, Any] = {}
        self.is_closed = False

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def num_bytes_downloaded(self) -> int:
        return self.stream.size

    def iter_raw(self) -> Iterator[bytes]:
        return iter(self.stream)

    def aiter_raw(self) -> AsyncIterator[bytes]:
        return aiter(self.stream)

    iter_bytes, aiter_bytes = iter_raw, aiter_raw

    def close(self) -> None:
        self.is_closed = True
        self.stream.close()

    async def aclose(self) -> None:
        self.close()


class Body:
    """The reads of a body. Iterating over it again goes on where it is, with the time limit as it is then."""

    def __init__(self, client: _Client, response: Any, limits: dict[str, float | None]) -> None:
        self._client = client
        self._reads = response.stream()
        self._limits = limits
        self._left: int | None = response.content_length  # bytes, if the response tells
        self.size = 0
        client.bodies.add(self)

    def __iter__(self) -> Iterator[bytes]:
        while self._left != 0:
            try:
                data = run(self._reads.__anext__(), seconds_of(self._limits["read"]))
            except StopAsyncIteration:
                break
            except Exception as error:
                raise self._client.failure(error) from None
            if type(data) is memoryview:  # not the headers after a body
                yield self._count(data)
        self._check_end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._left != 0:
            try:
                data = await self._reads.__anext__()
            except StopAsyncIteration:
                break
            except Exception as error:
                raise self._client.failure(error) from None
            if type(data) is memoryview:
                yield self._count(data)
        self._check_end()

    def _count(self, data: memoryview) -> bytes:
        self.size += len(data)
        if self._left is not None:
            self._left -= len(data)
        return bytes(data)

    def _check_end(self) -> None:
        """A read ends like the body when another thread or task closes it."""
        if self._client.is_closed:
            raise APIConnectionError(CLOSED_IN_FLIGHT)

    def close(self) -> None:
        """Ends the reads, also the one that another thread or task waits for."""
        self._client.bodies.discard(self)
        self._reads.__exit__(None, None, None)

    async def aclose(self) -> None:
        self.close()
