"""The asynchronous driver: moves bytes, sleeps, fans out over tasks. What to do next is decided elsewhere."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import ExitStack, suppress
from os import PathLike
from threading import Lock
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import anyio
import anyio.to_thread
import httpx

from together_adapters.errors import ConfigurationError
from together_adapters.transport import failures
from together_adapters.transport.binding import Async, AsyncRaw
from together_adapters.transport.bodies import READ_SIZE, FileRange
from together_adapters.transport.call import (
    AudioStreamCall,
    Call,
    Download,
    Local,
    Parallel,
    RawResponse,
    Response,
    Sleep,
    StreamCall,
)
from together_adapters.transport.config import Config
from together_adapters.transport.event_stream import EventStream, sound_stream
from together_adapters.transport.exchange import Attempts, Transmit, attempts, snapshot
from together_adapters.transport.pool import AsyncShardedTransport
from together_adapters.transport.retry import Failure
from together_adapters.transport.wire import (
    DRAIN_SECONDS,
    KEEPALIVE_SECONDS,
    TRANSPORT_FAILURES,
    auth_of,
    failure_of,
    has_proxy,
    is_event_stream,
    prepare,
    ssl_context,
    without_cookies,
)

T = TypeVar("T")

CLEAN_UP_SECONDS = 10.0


class AsyncConnections:
    """The connection pools of a client: one for each running event loop, opened on first use.

    A pool is closed with its loop: it hangs on an asynchronous generator, which a loop closes before it ends. So a client
    that is kept across several `asyncio.run` works, and leaves no open sockets.
    """

    def __init__(self, given: httpx.AsyncClient | None = None) -> None:
        self._given = given
        self._pools: weakref.WeakKeyDictionary[Any, tuple[httpx.AsyncClient, AsyncGenerator[None]]]
        self._pools = weakref.WeakKeyDictionary()
        self._closed = False
        self._lock = Lock()

    @property
    def given(self) -> bool:
        """Whether the caller brought the httpx client, and keeps it."""
        return self._given is not None

    async def client(self) -> httpx.AsyncClient:
        """Return the httpx client of the running loop.

        Raises:
            ConfigurationError: The pools were closed.
        """
        if self._given is not None:
            return self._given
        loop = _running_loop()
        if kept := self._pools.get(loop):
            return kept[0]
        if self._closed:
            raise ConfigurationError("this client is closed: make a new one")
        client = _new_client()
        keeper = _closed_with_its_loop(client)
        await anext(keeper)
        _close_with(loop, keeper)
        with self._lock:
            for other in [other for other in self._pools if _is_closed(other)]:
                del self._pools[other]
            self._pools[loop] = (client, keeper)
        return client

    async def aclose(self) -> None:
        """Close the pool of this loop; those of other loops close with them."""
        with self._lock:
            self._closed = True
            kept = self._pools.pop(_running_loop(), None)
        if kept:
            await kept[1].aclose()


async def _closed_with_its_loop(client: httpx.AsyncClient) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            # A loop that ends cancels the task that runs this, and a task that is cancelled before it began is told twice:
            # let that strike before there is anything to lose.
            with suppress(asyncio.CancelledError, GeneratorExit):
                await anyio.sleep(0)
            await client.aclose()


def _close_with(loop: Any, keeper: AsyncGenerator[None]) -> None:
    """Close a pool before its loop, also where the loop is closed by hand and generators are not, as frameworks do."""
    close = getattr(loop, "close", None)
    if close is None:
        return
    kept = weakref.ref(keeper)

    def close_pool_first() -> None:
        pool = kept()
        if pool is not None and not (loop.is_closed() or loop.is_running() or asyncio._get_running_loop()):
            loop.run_until_complete(pool.aclose())
        close()

    with suppress(AttributeError):
        # Loops that are written in C take no attribute; they end as they always did.
        loop.close = close_pool_first


def _new_client() -> httpx.AsyncClient:
    if has_proxy():
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=KEEPALIVE_SECONDS)
        return without_cookies(httpx.AsyncClient(verify=ssl_context(), limits=limits))
    return without_cookies(httpx.AsyncClient(transport=AsyncShardedTransport()))


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        from trio.lowlevel import current_trio_token

        return current_trio_token()


def _is_closed(loop: Any) -> bool:
    """Whether a loop has ended; trio's tokens cannot tell, and are let go with their run."""
    return hasattr(loop, "is_closed") and bool(loop.is_closed())


class AsyncDriver(Async):
    """Performs steps one after the other, and the parts of a `Parallel` in tasks."""

    def __init__(self, config: Config, connections: AsyncConnections) -> None:
        self.config = config
        self.connections = connections

    def __repr__(self) -> str:
        return f"AsyncTogether at {self.config.base_url}"

    @property
    def raw(self) -> RawAsyncDriver:
        return RawAsyncDriver(self)

    async def perform(self, step: Any) -> Any:
        if isinstance(step, Call):
            return (await self.answer(step))[0]
        if isinstance(step, StreamCall):
            return (await self.open(step))[0]
        if isinstance(step, Download):
            return await self.download(step)
        if isinstance(step, Local):
            return await anyio.to_thread.run_sync(step.work)
        if isinstance(step, Sleep):
            return await anyio.sleep(step.seconds)
        if isinstance(step, Parallel):
            return await self._fan_out(step)
        return await self._drive(step)

    async def answer(self, call: Call[T]) -> tuple[T, Response]:
        """Perform one exchange and read its answer."""
        reply, sent = await self._settle(attempts(call, self.config), keep_open=False)
        response = Response(reply.status_code, reply.headers, reply.content, sent)
        try:
            return call.parse(response), response
        except ValueError as problem:
            raise failures.invalid_answer(problem, snapshot(response, sent), call) from None

    async def open(self, streamed: StreamCall[T]) -> tuple[AsyncStream[T], Response]:
        """Perform one exchange up to the headers of its answer."""
        steps = attempts(streamed.call, self.config, accept="text/event-stream")
        reply, sent = await self._settle(steps, keep_open=True)
        if not is_event_stream(reply):
            await reply.aread()
            raise failures.not_a_stream(snapshot(reply, sent), streamed.call, self.config.secrets)
        response = snapshot(reply, sent, b"")
        reads = _reads(reply)
        await anext(reads)
        if isinstance(streamed, AudioStreamCall):
            events = sound_stream(streamed, response, self.config.secrets)
            return AsyncAudioStream(reads, events, response, self.connections).of(streamed), response
        return AsyncStream(reads, EventStream(streamed, response, self.config.secrets), response, self.connections), response

    async def download(self, download: Download) -> Response:
        """Perform one exchange and write its body as it comes."""
        reply, sent = await self._settle(attempts(download.call, self.config, accept="*/*"), keep_open=True)
        gathered = bytearray()
        try:
            if download.begin:
                download.begin(snapshot(reply, sent, b""))
            async for piece in reply.aiter_raw():
                gathered += piece  # a thread for each small read would cost more than the writing
                if len(gathered) >= READ_SIZE:
                    await anyio.to_thread.run_sync(download.write, bytes(gathered))
                    gathered.clear()
            if gathered:
                await anyio.to_thread.run_sync(download.write, bytes(gathered))
        except TRANSPORT_FAILURES as problem:
            if gathered:
                await anyio.to_thread.run_sync(download.write, bytes(gathered))
            raise failures.connection_error(failure_of(problem), download.call, sent) from None
        finally:
            with anyio.CancelScope(shield=True):
                await reply.aclose()
        return snapshot(reply, sent, b"")

    async def _settle(self, steps: Attempts, *, keep_open: bool) -> tuple[Any, int]:
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as settled:
                result: tuple[Any, int] = settled.value
                return result
            if isinstance(step, Sleep):
                reply = None
                await anyio.sleep(step.seconds)
            else:
                reply = await self._transmit(step, keep_open)

    async def _transmit(self, transmit: Transmit, keep_open: bool) -> httpx.Response | Response | Failure:
        client = await self.connections.client()
        deadline = None if transmit.seconds is None else time.monotonic() + transmit.seconds
        with ExitStack() as opened:
            try:
                request = prepare(client, transmit, _pieces, opened)
                response = await client.send(
                    request, stream=keep_open or deadline is not None, follow_redirects=False, auth=auth_of(transmit)
                )
                if response.is_closed or (keep_open and response.is_success):
                    return response
                return await _read_by(response, deadline)
            except TRANSPORT_FAILURES as problem:
                return failure_of(problem)

    async def _drive(self, flow: Generator[Any, Any, T]) -> T:
        reply: Any = None
        problem: BaseException | None = None
        cancelled = False
        try:
            while True:
                step = flow.send(reply) if problem is None else flow.throw(problem)
                reply = problem = None
                try:
                    reply = await (self._take_back(step) if cancelled else self.perform(step))
                except GeneratorExit:
                    raise
                except BaseException as raised:
                    problem = raised
                    cancelled = cancelled or not isinstance(raised, Exception)
        except StopIteration as finished:
            return finished.value  # type: ignore[no-any-return]
        finally:
            flow.close()

    async def _take_back(self, step: Any) -> Any:
        """Perform a step of a cancelled task, which takes back what it began: shielded, and for a bounded time."""
        with anyio.move_on_after(CLEAN_UP_SECONDS, shield=True):
            return await self.perform(step)

    async def _fan_out(self, parallel: Parallel) -> list[Any]:
        results: list[Any] = [None] * len(parallel.steps)
        waiting = iter(enumerate(parallel.steps))
        first: list[Exception] = []

        async def work() -> None:
            for place, step in waiting:
                try:
                    results[place] = await self.perform(step)
                except Exception as problem:
                    first.append(problem)
                    if parallel.stop:
                        parallel.stop()
                    tasks.cancel_scope.cancel()
                    return

        async with anyio.create_task_group() as tasks:
            for _ in range(min(parallel.limit, len(parallel.steps))):
                tasks.start_soon(work)
        if first:
            raise first[0]
        return results


class RawAsyncDriver(AsyncRaw):
    """Answers with the HTTP side as well; of a call that takes several requests, with that of the last."""

    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver

    def __repr__(self) -> str:
        return repr(self._driver)

    @property
    def raw(self) -> RawAsyncDriver:
        return self

    async def perform(self, step: Any) -> RawResponse[Any]:
        if isinstance(step, Call):
            value, response = await self._driver.answer(step)
        elif isinstance(step, StreamCall):
            value, response = await self._driver.open(step)
        else:
            watched = _Watched(self._driver.config, self._driver.connections)
            value, response = await watched.perform(step), watched.last
        return RawResponse(snapshot(response, response.attempts), value)


class _Watched(AsyncDriver):
    """Remembers the last answer."""

    last = Response(0, {})

    async def answer(self, call: Call[T]) -> tuple[T, Response]:
        value, self.last = await super().answer(call)
        return value, self.last


class AsyncStream(Generic[T]):
    """The events of a streamed answer. Iterate it, or use it as an asynchronous context manager to leave early.

    Leaving early, or forgetting the stream, closes the HTTP response.

    Attributes:
        response: Status and headers of the answer.
    """

    def __init__(
        self, reads: AsyncGenerator[bytes], events: EventStream[T], response: Response, connections: AsyncConnections
    ) -> None:
        self.response = response
        # A stream may outlive the client that opened it.
        self._connections = connections
        self._events = events
        self._reads = reads
        self._ready: Iterator[T] = iter(())
        self._closed = False

    def __aiter__(self) -> AsyncStream[T]:
        return self

    async def __anext__(self) -> T:
        for event in self._ready:
            return event
        while not self._events.over:
            self._ready = iter(await self._more())
            for event in self._ready:
                return event
        await self._finish()
        raise StopAsyncIteration

    async def __aenter__(self) -> AsyncStream[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the HTTP response. The stream then ends."""
        self._events.over = self._closed = True
        self._ready = iter(())
        await self._reads.aclose()

    close = aclose

    async def _more(self) -> list[T]:
        try:
            return self._events.feed(await anext(self._reads))
        except StopAsyncIteration:
            return self._events.end()
        except TRANSPORT_FAILURES as problem:
            return self._events.end(failure_of(problem))

    async def _finish(self) -> None:
        if self._closed:
            return
        if self._events.error is None:
            await _drain(self._reads)
        await self.aclose()
        if self._events.error is not None:
            raise self._events.error


class AsyncAudioStream(AsyncStream[T]):
    """The pieces of spoken text."""

    _spoken: AudioStreamCall[T]

    def of(self, spoken: AudioStreamCall[T]) -> Self:
        """Take note of what was asked, which says how to save it."""
        self._spoken = spoken
        return self

    async def stream_to_file(self, file: str | PathLike[str], response_format: str | None = None) -> None:
        """Save what is still to come as an audio file; nothing is written unless all of it comes.

        Args:
            file: Where to; a file that is there is replaced. Its ending says the format: `.wav`, `.mp3`, `.raw`, else `wav`.
            response_format: `wav`, `mp3` or `raw`, whatever the ending. Bare samples get the header of a WAV file.

        Raises:
            ValueError: No sound came, or it is not of that format.
        """
        chunks = [chunk async for chunk in self]
        await anyio.to_thread.run_sync(self._spoken.save, chunks, file, response_format)


async def _reads(reply: httpx.Response) -> AsyncGenerator[bytes]:
    """The reads of a body, after one empty read that starts the generator, so that forgetting it closes the body."""
    try:
        yield b""
        plain = "content-encoding" not in reply.headers and not reply.is_stream_consumed
        async for data in cast(httpx.AsyncByteStream, reply.stream) if plain else reply.aiter_bytes():
            yield data
    finally:
        with anyio.CancelScope(shield=True):
            await reply.aclose()


async def _drain(reads: AsyncGenerator[bytes]) -> None:
    """Read what follows the end marker, so that the connection can serve again; a server that holds it open is cut off."""
    with anyio.move_on_after(DRAIN_SECONDS):
        try:
            async for _ in reads:
                pass
        except TRANSPORT_FAILURES:
            pass


async def _pieces(stretch: FileRange) -> AsyncIterator[bytes]:
    """Read a stretch of a file in a thread, so that the loop goes on meanwhile."""
    pieces = iter(stretch)
    while piece := await anyio.to_thread.run_sync(next, pieces, b""):
        yield piece


async def _read_by(response: httpx.Response, deadline: float | None) -> Response | Failure:
    """Read a whole body, giving up at the deadline even when it trickles in."""
    body = bytearray()
    try:
        async for data in response.aiter_bytes():
            body += data
            if deadline is not None and time.monotonic() > deadline:
                return Failure("timed out (max_elapsed)", timeout=True, fatal=True)
    finally:
        await response.aclose()
    return Response(response.status_code, response.headers, bytes(body))
