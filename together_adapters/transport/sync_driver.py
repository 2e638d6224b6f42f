"""The synchronous driver: moves bytes, sleeps, fans out over threads. What to do next is decided elsewhere."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import replace
from threading import Lock
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import httpx

from together_adapters.errors import ConfigurationError
from together_adapters.transport import failures
from together_adapters.transport.binding import Sync, SyncRaw
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
from together_adapters.transport.pool import ShardedTransport
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

_MANY = 2
"""Rounds of parallel steps beyond which one more is no matter."""
_COMPUTING = 0.5
"""Share of its time in which a step computes rather than waits, from which threads are of no use."""


class Connections:
    """The connection pool of a client, opened on first use and shared by the copies that `with_options` makes."""

    def __init__(self, given: httpx.Client | None = None) -> None:
        self._client = given
        self._given = given is not None
        self._closed = False
        self._lock = Lock()
        self._finalizer: weakref.finalize[..., Any] | None = None
        _open_pools.add(self)

    @property
    def client(self) -> httpx.Client:
        """The httpx client.

        Raises:
            ConfigurationError: The pool was closed.
        """
        return self._client or self._open()

    @property
    def given(self) -> bool:
        """Whether the caller brought the httpx client, and keeps it."""
        return self._given

    def close(self) -> None:
        """Close the pool, unless the caller brought it."""
        with self._lock:
            self._closed = True
            finalizer, self._finalizer = self._finalizer, None
            if finalizer is not None:
                self._client = None
                finalizer()

    def forget(self) -> None:
        """Leave the connections to the parent process, which still uses them."""
        if self._finalizer is not None:
            self._finalizer.detach()
            self._finalizer = self._client = None
        self._lock = Lock()

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._closed:
                raise ConfigurationError("this client is closed: make a new one")
            if self._client is None:
                self._client = _new_client()
                self._finalizer = weakref.finalize(self, self._client.close)
            return self._client


def _new_client() -> httpx.Client:
    if has_proxy():
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=KEEPALIVE_SECONDS)
        return without_cookies(httpx.Client(verify=ssl_context(), limits=limits))
    return without_cookies(httpx.Client(transport=ShardedTransport()))


_open_pools: weakref.WeakSet[Connections] = weakref.WeakSet()


def _forget_all() -> None:
    """Leave every pool to the parent process."""
    for pool in list(_open_pools):
        pool.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


class SyncDriver(Sync):
    """Performs steps one after the other, and the parts of a `Parallel` in threads."""

    def __init__(self, config: Config, connections: Connections) -> None:
        self.config = config
        self.connections = connections

    def __repr__(self) -> str:
        return f"Together at {self.config.base_url}"

    @property
    def raw(self) -> RawSyncDriver:
        return RawSyncDriver(self)

    def perform(self, step: Any) -> Any:
        if isinstance(step, Call):
            return self.answer(step)[0]
        if isinstance(step, StreamCall):
            return self.open(step)[0]
        if isinstance(step, Download):
            return self.download(step)
        if isinstance(step, Local):
            return step.work()
        if isinstance(step, Sleep):
            return time.sleep(step.seconds)
        if isinstance(step, Parallel):
            return self._fan_out(step)
        return self._drive(step)

    def answer(self, call: Call[T]) -> tuple[T, Response]:
        """Perform one exchange and read its answer."""
        reply, sent = self._settle(attempts(call, self.config), keep_open=False)
        response = Response(reply.status_code, reply.headers, reply.content, sent)
        try:
            return call.parse(response), response
        except ValueError as problem:
            raise failures.invalid_answer(problem, snapshot(response, sent), call) from None

    def open(self, streamed: StreamCall[T]) -> tuple[Stream[T], Response]:
        """Perform one exchange up to the headers of its answer."""
        steps = attempts(streamed.call, self.config, accept="text/event-stream")
        reply, sent = self._settle(steps, keep_open=True)
        if not is_event_stream(reply):
            reply.read()
            raise failures.not_a_stream(snapshot(reply, sent), streamed.call, self.config.secrets)
        response = snapshot(reply, sent, b"")
        if isinstance(streamed, AudioStreamCall):
            events = sound_stream(streamed, response, self.config.secrets)
            return AudioStream(reply, events, response, self.connections).of(streamed), response
        return Stream(reply, EventStream(streamed, response, self.config.secrets), response, self.connections), response

    def download(self, download: Download) -> Response:
        """Perform one exchange and write its body as it comes."""
        reply, sent = self._settle(attempts(download.call, self.config, accept="*/*"), keep_open=True)
        try:
            if download.begin:
                download.begin(snapshot(reply, sent, b""))
            for piece in reply.iter_raw():
                download.write(piece)
        except TRANSPORT_FAILURES as problem:
            raise failures.connection_error(failure_of(problem), download.call, sent) from None
        finally:
            reply.close()
        return snapshot(reply, sent, b"")

    def _settle(self, steps: Attempts, *, keep_open: bool) -> tuple[Any, int]:
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as settled:
                result: tuple[Any, int] = settled.value
                return result
            if isinstance(step, Sleep):
                reply = None
                time.sleep(step.seconds)
            else:
                reply = self._transmit(step, keep_open)

    def _transmit(self, transmit: Transmit, keep_open: bool) -> httpx.Response | Response | Failure:
        client = self.connections.client
        deadline = None if transmit.seconds is None else time.monotonic() + transmit.seconds
        with ExitStack() as opened:
            try:
                request = prepare(client, transmit, iter, opened)
                response = client.send(
                    request, stream=keep_open or deadline is not None, follow_redirects=False, auth=auth_of(transmit)
                )
                return response if response.is_closed or (keep_open and response.is_success) else _read_by(response, deadline)
            except TRANSPORT_FAILURES as problem:
                return failure_of(problem)

    def _drive(self, flow: Generator[Any, Any, T]) -> T:
        reply: Any = None
        problem: BaseException | None = None
        try:
            while True:
                step = flow.send(reply) if problem is None else flow.throw(problem)
                reply = problem = None
                try:
                    reply = self.perform(step)
                except BaseException as raised:  # Ctrl-C as well: a flow may have something to take back
                    problem = raised
        except StopIteration as finished:
            return finished.value  # type: ignore[no-any-return]
        finally:
            flow.close()

    def _fan_out(self, parallel: Parallel) -> list[Any]:
        steps = parallel.steps
        if len(steps) < 2 or parallel.limit < 2:
            return [self.perform(step) for step in steps]
        done: list[Any] = []
        while len(steps) - len(done) > _MANY * parallel.limit:
            # Threads take turns at computing: where steps do not wait for the service, they only cost.
            began, computed = time.monotonic(), time.thread_time()
            done.append(self.perform(steps[len(done)]))
            if time.thread_time() - computed < _COMPUTING * (time.monotonic() - began):
                break
        return done + self._in_threads(replace(parallel, steps=steps[len(done) :]))

    def _in_threads(self, parallel: Parallel) -> list[Any]:
        with ThreadPoolExecutor(min(parallel.limit, len(parallel.steps)), "together") as threads:
            parts = [threads.submit(copy_context().run, self.perform, step) for step in parallel.steps]
            failed: Any = None
            finished = False
            try:
                done, _ = wait(parts, return_when=FIRST_EXCEPTION)
                failed = next((part for part in parts if part in done and part.exception()), None)
                finished = failed is None
            finally:
                if not finished:
                    if parallel.stop:
                        parallel.stop()
                    threads.shutdown(wait=True, cancel_futures=True)
            return [part.result() for part in ([failed] if failed else parts)]


class RawSyncDriver(SyncRaw):
    """Answers with the HTTP side as well; of a call that takes several requests, with that of the last."""

    def __init__(self, driver: SyncDriver) -> None:
        self._driver = driver

    def __repr__(self) -> str:
        return repr(self._driver)

    @property
    def raw(self) -> RawSyncDriver:
        return self

    def perform(self, step: Any) -> RawResponse[Any]:
        if isinstance(step, Call):
            value, response = self._driver.answer(step)
        elif isinstance(step, StreamCall):
            value, response = self._driver.open(step)
        else:
            watched = _Watched(self._driver.config, self._driver.connections)
            value, response = watched.perform(step), watched.last
        return RawResponse(snapshot(response, response.attempts), value)


class _Watched(SyncDriver):
    """Remembers the last answer."""

    last = Response(0, {})

    def answer(self, call: Call[T]) -> tuple[T, Response]:
        value, self.last = super().answer(call)
        return value, self.last


class Stream(Generic[T]):
    """The events of a streamed answer. Iterate it, or use it as a context manager to leave early.

    Leaving early, or forgetting the stream, closes the HTTP response.

    Attributes:
        response: Status and headers of the answer.
    """

    def __init__(self, reply: httpx.Response, events: EventStream[T], response: Response, connections: Connections) -> None:
        self.response = response
        # A stream may outlive the client that opened it.
        self._connections = connections
        self._reply = reply
        self._events = events
        self._reads = _reads(reply)
        next(self._reads)
        self._ready: Iterator[T] = iter(())
        self._closed = False

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        for event in self._ready:
            return event
        while not self._events.over:
            self._ready = iter(self._more())
            for event in self._ready:
                return event
        self._finish()
        raise StopIteration

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the HTTP response. The stream then ends."""
        self._events.over = self._closed = True
        self._ready = iter(())
        self._reads.close()

    def _more(self) -> list[T]:
        try:
            return self._events.feed(next(self._reads))
        except StopIteration:
            return self._events.end()
        except TRANSPORT_FAILURES as problem:
            return self._events.end(failure_of(problem))

    def _finish(self) -> None:
        if self._closed:
            return
        if self._events.error is None:
            _drain(self._reply)
        self.close()
        if self._events.error is not None:
            raise self._events.error


class AudioStream(Stream[T]):
    """The pieces of spoken text."""

    _spoken: AudioStreamCall[T]

    def of(self, spoken: AudioStreamCall[T]) -> Self:
        """Take note of what was asked, which says how to save it."""
        self._spoken = spoken
        return self

    def stream_to_file(self, file: str | os.PathLike[str], response_format: str | None = None) -> None:
        """Save what is still to come as an audio file; nothing is written unless all of it comes.

        Args:
            file: Where to; a file that is there is replaced. Its ending says the format: `.wav`, `.mp3`, `.raw`, else `wav`.
            response_format: `wav`, `mp3` or `raw`, whatever the ending. Bare samples get the header of a WAV file.

        Raises:
            ValueError: No sound came, or it is not of that format.
        """
        self._spoken.save(list(self), file, response_format)


def _reads(reply: httpx.Response) -> Generator[bytes, None, None]:
    """The reads of a body, after one empty read that starts the generator, so that forgetting it closes the body."""
    try:
        yield b""
        # A body in plain bytes is read beneath httpx's own readers, which a stream pays for at every event. One that a
        # transport has read already (a test's, a cache's) is only to be had through them.
        plain = "content-encoding" not in reply.headers and not reply.is_stream_consumed
        yield from cast(httpx.SyncByteStream, reply.stream) if plain else reply.iter_bytes()
    finally:
        reply.close()


def _drain(reply: httpx.Response) -> None:
    """Read what follows the end marker, so that the connection can serve again; a server that holds it open is cut off.

    Going over httpcore's stream anew reads on where it stands, with the time limit as it is now.
    """
    if reply.is_closed or "network_stream" not in reply.extensions:
        return
    reply.request.extensions["timeout"]["read"] = DRAIN_SECONDS
    deadline = time.monotonic() + DRAIN_SECONDS
    try:
        for _ in reply.stream:  # type: ignore[union-attr]
            if time.monotonic() > deadline:
                return
    except TRANSPORT_FAILURES:
        return


def _read_by(response: httpx.Response, deadline: float | None) -> Response | Failure:
    """Read a whole body, giving up at the deadline even when it trickles in."""
    body = bytearray()
    try:
        for data in response.iter_bytes():
            body += data
            if deadline is not None and time.monotonic() > deadline:
                return Failure("timed out (max_elapsed)", timeout=True, fatal=True)
    finally:
        response.close()
    return Response(response.status_code, response.headers, bytes(body))
