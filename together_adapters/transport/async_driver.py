"""Performs calls and flows asynchronously: it transfers bytes, sleeps and runs steps. What to do next is decided elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from together_adapters.errors import TogetherError, hides_frames
from together_adapters.transport import failures, observation
from together_adapters.transport.binding import Async, AsyncRaw
from together_adapters.transport.bodies import READ_SIZE
from together_adapters.transport.call import (
    AudioStreamCall,
    Call,
    Download,
    Local,
    Operation,
    Parallel,
    RawResponse,
    Remember,
    Response,
    Settings,
    Sleep,
    StreamCall,
)
from together_adapters.transport.exchange import Attempt, Attempts, attempts, snapshot
from together_adapters.transport.http_driver import HTTPDriver
from together_adapters.transport.http_requests import (
    AsyncTrace,
    BodyBuffer,
    always,
    build_request,
    failure_of,
    is_encoded,
    is_event_stream,
    late,
    never,
    open_body,
    usual_request,
)
from together_adapters.transport.observation import Meter, Outgoing
from together_adapters.transport.retry import Failure
from together_adapters.transport.streams import AsyncAudioStream, AsyncStream, read_body_async

if TYPE_CHECKING:
    from together_adapters.transport.http_library import HTTPResponse

T = TypeVar("T")

__tracebackhide__ = hides_frames

_CLEANUP_SECONDS = 10.0


class AsyncDriver(HTTPDriver, Async):
    """Performs steps one after the other, and those of a `Parallel` in tasks."""

    client_name = "AsyncTogether"

    @property
    def raw(self) -> AsyncRaw:
        return AsyncRaw(self)

    async def perform_raw(self, step: Any) -> RawResponse[Any]:
        responses = deque([Response(0, {})], maxlen=1)
        value = await AsyncDriver(self.config, self.connections, responses.append).perform(step)
        return RawResponse(snapshot(responses[0], responses[0].attempts), value)

    async def perform(self, step: Any) -> Any:
        observer = observation.observer
        if observer is not None and (scope := observer.observe(step, self.config)):
            with scope:
                scope.result(result := await self.perform(scope.step))
            return result
        control = self.config.control
        if control is not None and (metering := control.observe(step, self.config)):
            with metering as (inner, meter):
                metering.result(result := await self._dispatch(inner, meter))
            return result
        return await self._dispatch(step)

    async def _dispatch(self, step: Any, meter: Meter | None = None) -> Any:
        """Performs a step; a meter is that of the call which the step is."""
        if isinstance(step, Call):
            return self._parse(step, *(await self._exchange(attempts(step, self.config, meter=meter))))
        if isinstance(step, StreamCall):
            return await self._stream(step, meter)
        if isinstance(step, Download):
            return await self._download(step)
        if isinstance(step, Local):
            return await anyio.to_thread.run_sync(step.work)
        if isinstance(step, Sleep):
            return await anyio.sleep(step.seconds)
        if isinstance(step, Remember):
            return self.config.memory
        if isinstance(step, Settings):
            return self.config
        if isinstance(step, Parallel):
            return await self._parallel(step)
        if isinstance(step, Operation):
            return await self.perform(step.step)
        return await self._flow(step)

    async def _stream(self, call: StreamCall[T], meter: Meter | None) -> AsyncStream[T]:
        steps = attempts(call.call, self.config, accept="text/event-stream", meter=meter)
        http_response, count = await self._exchange(steps, keep_open=is_event_stream)
        if isinstance(http_response, Response):
            raise failures.not_a_stream(snapshot(http_response, count), call.call, self.config.secrets)
        parser = self._parser(call, http_response, count)
        reads = read_body_async(http_response)
        await anext(reads)
        kind = AsyncAudioStream if isinstance(call, AudioStreamCall) else AsyncStream
        return kind(http_response, reads, parser, self.connections)

    async def _download(self, download: Download) -> Response:
        http_response, count = await self._exchange(attempts(download.call, self.config, accept="*/*"), keep_open=always)
        try:
            if download.begin:
                download.begin(snapshot(http_response, count, b""))
            async for block in self._blocks(http_response, download.call, count):
                await anyio.to_thread.run_sync(download.write, block)
        finally:
            with anyio.CancelScope(shield=True):
                await http_response.aclose()
        return snapshot(http_response, count, b"")

    async def _blocks(self, http_response: HTTPResponse, call: Call[Any], count: int) -> AsyncIterator[bytes]:
        """Yields the reads of a body joined to blocks: a thread for each small read would cost more than the writing."""
        block = bytearray()
        failure: Failure | None = None
        try:
            async for data in http_response.aiter_raw():
                block += data
                if len(block) >= READ_SIZE:
                    yield bytes(block)
                    block.clear()
        except Exception as error:
            failure = failure_of(error, str(http_response.request.url))
        if block:
            yield bytes(block)
        if failure:
            raise failures.connection_error(failure, call, count, secrets=self.config.secrets)

    async def _exchange(self, steps: Attempts, *, keep_open: Callable[[HTTPResponse], bool] = never) -> tuple[Any, int]:
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if isinstance(step, Attempt):
                reply = await self._send(step, keep_open)
            elif isinstance(step, Sleep):
                reply = None
                await anyio.sleep(step.seconds)
            else:
                reply = await step.turn.wait_async(step.deadline)

    async def _send(self, attempt: Attempt, keep_open: Callable[[HTTPResponse], bool]) -> HTTPResponse | Response | Failure:
        if attempt.deadline is None:
            return await self._transfer(attempt, keep_open)
        with anyio.move_on_after(attempt.deadline - time.monotonic()):
            return await self._transfer(attempt, keep_open)
        return late(attempt.url)

    async def _transfer(self, attempt: Attempt, keep_open: Callable[[HTTPResponse], bool]) -> HTTPResponse | Response | Failure:
        trace = AsyncTrace() if self.connections.external else None
        response: Any = None
        with ExitStack() as files:
            try:
                response = await self._open(attempt, files, trace)
                keep = response.is_success and keep_open(response)
                open_body(self.connections.library, response, attempt, keep=keep)
                return response if keep else await _read(response)
            except Exception as error:
                return failure_of(trace.stale(error) if trace else error, attempt.url, attempt.deadline, response)

    async def _open(self, attempt: Attempt, files: ExitStack, trace: AsyncTrace | None) -> Any:
        """Sends an attempt, and returns the response when its head has come."""
        library = self.connections.library
        client: Any = await self.connections.client()
        if (tape := observation.tape) is None and (usual := usual_request(library, client, attempt)) is not None:
            response = await client.own_transport.handle_async_request(usual)
            response.request = usual
            return response
        request = build_request(library, client, attempt, _read_in_thread, files, trace)
        # That of a supplied client; none for another host.
        auth = None if attempt.anonymous else library.module.USE_CLIENT_DEFAULT
        send = partial(client.send, request, stream=True, follow_redirects=False, auth=auth)
        if tape is None:
            return await send()
        return await tape.send_async(Outgoing(attempt, request, client, library, self.config), send)

    async def _flow(self, flow: Generator[Any, Any, T]) -> T:
        result: Any = None
        error: BaseException | None = None
        cancelled = False
        try:
            while True:
                step = flow.send(result) if error is None else flow.throw(error)
                result = error = None
                try:
                    result = await (self._clean_up(step) if cancelled else self.perform(step))
                except GeneratorExit:
                    raise
                except BaseException as raised:
                    error = raised
                    cancelled = cancelled or not isinstance(raised, Exception)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except TogetherError as failure:
            failures.redact_error(failure, self.config.secrets)
            raise
        finally:
            flow.close()

    async def _clean_up(self, step: Any) -> Any:
        """Performs a step with which a flow cleans up after its task was cancelled: shielded, and for a limited time."""
        with anyio.move_on_after(_CLEANUP_SECONDS, shield=True):
            return await self.perform(step)

    async def _parallel(self, parallel: Parallel) -> list[Any]:
        results: list[Any] = [None] * len(parallel.steps)
        remaining = iter(enumerate(parallel.steps))
        errors: list[Exception] = []

        async def work() -> None:
            for index, step in remaining:
                try:
                    results[index] = await self.perform(step)
                except Exception as error:
                    errors.append(error)
                    if parallel.stop:
                        parallel.stop()
                    tasks.cancel_scope.cancel()
                    return

        async with anyio.create_task_group() as tasks:
            for _ in range(min(parallel.limit, len(parallel.steps))):
                tasks.start_soon(work)
        if errors:
            raise errors[0]
        return results


async def _read_in_thread(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yields the blocks of a file, each read in a thread, so that the event loop is not blocked."""
    while block := await anyio.to_thread.run_sync(next, blocks, b""):
        yield block


async def _read(response: HTTPResponse) -> Response:
    """Reads a body."""
    body = BodyBuffer(response)
    try:
        async for data in response.aiter_bytes() if is_encoded(response) else response.stream:  # type: ignore[union-attr]
            if body.is_full(data):
                break
    finally:
        if not response.is_closed:
            with anyio.CancelScope(shield=True):
                await response.aclose()
    return body.response()
