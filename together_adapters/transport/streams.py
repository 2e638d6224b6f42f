"""The streams that users iterate over, synchronous and asynchronous side by side."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import anyio
import anyio.to_thread

from together_adapters.transport.call import AudioStreamCall
from together_adapters.transport.http_requests import check_deadline, failure_of, is_encoded
from together_adapters.transport.network import ReadTimeout, Until, begin_body, complete_chunks, until
from together_adapters.transport.retry import Failure
from together_adapters.transport.sse import EventParser

if TYPE_CHECKING:
    from together_adapters.transport.http_library import HTTPResponse
    from together_adapters.transport.observation import Observation

T = TypeVar("T")

DRAIN_SECONDS = 0.5
_EARLY = 0.01  # seconds by which a timer may be early


class _OpenStream(Generic[T]):
    """A stream of either flavour."""

    def __init__(self, http_response: HTTPResponse, reads: Any, parser: EventParser[T], connections: object) -> None:
        self.response = parser.response
        self._http_response = http_response
        self._reads = reads
        self._parser = parser
        self._connections = connections  # a stream may outlive the client that opened it
        self._pending: Iterator[T] = iter(())
        self._closed = False
        self._chunk_limit = _chunk_limit(http_response, parser.call.chunk_timeout)
        self.observations: list[Observation] = []

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            hint = "" if name.startswith("_") else ": iterate over the stream for its chunks, or leave out stream=True"
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}", name="")

    def _await_event(self, limit: Until) -> None:
        """Begins the wait for an event: what the caller did since the last one does not count."""
        limit.deadline = time.monotonic() + cast(float, self._parser.call.chunk_timeout)

    def _failure(self, error: Exception) -> Failure:
        failure = failure_of(error, str(self._http_response.request.url))
        if getattr(self._connections, "is_closed", False):
            return replace(failure, reason="the client was closed while the stream was open: read it before")
        limit = self._chunk_limit
        if limit is None or not failure.timeout or time.monotonic() < limit.deadline - _EARLY:
            return failure
        return replace(failure, reason=f"timed out (stream_chunk_timeout: no chunk for {self._parser.call.chunk_timeout:g} s)")

    def _end_observations(self, error: BaseException | None = None) -> None:
        for observation in self.observations:
            observation.end(error or self._parser.error)


class Stream(_OpenStream[T]):
    """The events of a streamed response. Iterate over it; use it as a context manager to leave early.

    Closing the stream, or losing the last reference to it, closes the HTTP response. `response` has its status and headers.
    """

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        for event in self._pending:
            return event
        if self._chunk_limit is not None:
            self._await_event(self._chunk_limit)
        while not self._parser.ended:
            self._pending = iter(self._read())
            for event in self._pending:
                return event
        self._finish()
        raise StopIteration

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the HTTP response, which ends the stream."""
        self._parser.ended = self._closed = True
        self._pending = iter(())
        self._end_observations()
        self._reads.close()

    def _read(self) -> Iterable[T]:
        try:
            if self._chunk_limit is not None:
                check_deadline(self._chunk_limit.deadline)
            data = next(self._reads)
        except StopIteration:
            return self._parser.end()
        except Exception as error:
            return self._parser.end(self._failure(error))
        except BaseException as error:  # the task is cancelled, or the user interrupts
            self._end_observations(error)
            raise
        return self._parser.feed(data)

    def _finish(self) -> None:
        if self._closed:
            return
        if self._parser.error is None:
            _drain(self._http_response)
        self.close()
        if self._parser.error is not None:
            raise self._parser.error


class AsyncStream(_OpenStream[T]):
    """The events of a streamed response. Iterate over it; use it as an asynchronous context manager to leave early.

    Closing the stream, or losing the last reference to it, closes the HTTP response. `response` has its status and headers.
    """

    def __aiter__(self) -> AsyncStream[T]:
        return self

    async def __anext__(self) -> T:
        for event in self._pending:
            return event
        if self._chunk_limit is not None:
            self._await_event(self._chunk_limit)
        while not self._parser.ended:
            self._pending = iter(await self._read())
            for event in self._pending:
                return event
        await self._finish()
        raise StopAsyncIteration

    async def __aenter__(self) -> AsyncStream[T]:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the HTTP response, which ends the stream."""
        self._parser.ended = self._closed = True
        self._pending = iter(())
        self._end_observations()
        await self._reads.aclose()

    close = aclose

    async def _read(self) -> Iterable[T]:
        try:
            data = await (anext(self._reads) if self._chunk_limit is None else self._read_within(self._chunk_limit))
        except StopAsyncIteration:
            return self._parser.end()
        except Exception as error:
            return self._parser.end(self._failure(error))
        except BaseException as error:  # the task is cancelled, or the user interrupts
            self._end_observations(error)
            raise
        return self._parser.feed(data)

    async def _read_within(self, limit: Until) -> bytes:
        """Reads within a limit. Connections of httpcore keep it themselves; those of aiohttp know one that cannot move."""
        check_deadline(limit.deadline)
        if "network_stream" in self._http_response.extensions:
            return cast(bytes, await anext(self._reads))
        with anyio.move_on_after(limit.deadline + _EARLY - time.monotonic()):
            return cast(bytes, await anext(self._reads))
        raise ReadTimeout("stream_chunk_timeout")

    async def _finish(self) -> None:
        if self._closed:
            return
        if self._parser.error is None:
            await _drain_async(self._reads)
        await self.aclose()
        if self._parser.error is not None:
            raise self._parser.error


class AudioStream(Stream[T]):
    """The chunks of streamed speech."""

    def stream_to_file(self, file: str | os.PathLike[str], response_format: str | None = None) -> None:
        """Saves the rest of the stream as an audio file. Nothing is written unless the stream is complete.

        Args:
            file: The path; an existing file is replaced. The suffix selects the format: `.wav`, `.mp3`, `.raw`, else `wav`.
            response_format: `wav`, `mp3` or `raw`, regardless of the suffix. Raw samples get the header of a WAV file.

        Raises:
            ValueError: No audio arrived, or it is not of that format.
        """
        cast(AudioStreamCall[T], self._parser.call).save(list(self), file, response_format)


class AsyncAudioStream(AsyncStream[T]):
    """The chunks of streamed speech."""

    async def stream_to_file(self, file: str | os.PathLike[str], response_format: str | None = None) -> None:
        """Saves the rest of the stream as an audio file, as `AudioStream.stream_to_file` does."""
        chunks = [chunk async for chunk in self]
        await anyio.to_thread.run_sync(cast(AudioStreamCall[T], self._parser.call).save, chunks, file, response_format)


def _chunk_limit(http_response: HTTPResponse, seconds: float | None) -> Until | None:
    """Returns the limit of the reads of a body, whose deadline is moved for each event; comments do not move it."""
    if not seconds:
        return None
    limit = until(seconds, time.monotonic() + seconds)
    begin_body(http_response, limit)
    return limit


def read_body(http_response: HTTPResponse) -> Generator[bytes, None, None]:
    """Yields an empty read, which starts the generator so that dropping it closes the response, and then those of the body."""
    try:
        yield b""
        chunks, limits = complete_chunks(http_response), http_response.request.extensions.get("timeout", {})
        for data in http_response.iter_bytes() if is_encoded(http_response) else cast(Iterable[bytes], http_response.stream):
            yield data
            while chunks is not None and chunks.is_between:
                yield chunks.read(limits["read"])
    finally:
        http_response.close()


async def read_body_async(http_response: HTTPResponse) -> AsyncGenerator[bytes]:
    """Yields an empty read, which starts the generator so that dropping it closes the response, and then those of the body."""
    try:
        yield b""
        stream = http_response.aiter_bytes() if is_encoded(http_response) else cast(AsyncIterable[bytes], http_response.stream)
        chunks, limits = complete_chunks(http_response), http_response.request.extensions.get("timeout", {})
        async for data in stream:
            yield data
            while chunks is not None and chunks.is_between:
                yield await chunks.read_async(limits["read"])
    finally:
        with anyio.CancelScope(shield=True):
            await http_response.aclose()


def _drain(http_response: HTTPResponse) -> None:
    """Reads what follows the end marker, so that the connection can be reused, unless the server keeps the response open.

    Iterating over httpcore's stream again continues where it is, with the time limit as it is now.
    """
    if http_response.is_closed or "network_stream" not in http_response.extensions:
        return
    deadline = time.monotonic() + DRAIN_SECONDS
    begin_body(http_response, until(None, deadline))
    with suppress(Exception):  # the stream is complete
        for _ in http_response.stream:  # type: ignore[union-attr]
            if time.monotonic() > deadline:
                return


async def _drain_async(reads: AsyncGenerator[bytes]) -> None:
    """Reads what follows the end marker, so that the connection can be reused, unless the server keeps the response open."""
    with anyio.move_on_after(DRAIN_SECONDS), suppress(Exception):  # the stream is complete
        async for _ in reads:
            pass
