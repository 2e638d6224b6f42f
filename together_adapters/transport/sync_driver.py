"""Performs calls and flows synchronously: it transfers bytes, sleeps and runs steps. What to do next is decided elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from together_adapters.errors import TogetherError, hides_frames
from together_adapters.transport import failures, observation
from together_adapters.transport.binding import Sync, SyncRaw
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
    BodyBuffer,
    Trace,
    always,
    build_request,
    check_deadline,
    failure_of,
    is_encoded,
    is_event_stream,
    never,
    open_body,
    usual_request,
)
from together_adapters.transport.observation import Admission, Meter, Outgoing, Turn
from together_adapters.transport.retry import Failure
from together_adapters.transport.streams import AudioStream, Stream, read_body

if TYPE_CHECKING:
    from together_adapters.transport.http_library import HTTPResponse

T = TypeVar("T")

__tracebackhide__ = hides_frames

_MIN_ROUNDS = 2  # rounds of parallel steps from which it is worth measuring a step before starting threads
_CPU_BOUND = 0.5  # share of its time that a step computes rather than waits, from which threads do not help


class SyncDriver(HTTPDriver, Sync):
    """Performs steps one after the other, and those of a `Parallel` in threads."""

    client_name = "Together"

    @property
    def raw(self) -> SyncRaw:
        return SyncRaw(self)

    def perform_raw(self, step: Any) -> RawResponse[Any]:
        responses = deque([Response(0, {})], maxlen=1)
        value = SyncDriver(self.config, self.connections, responses.append).perform(step)
        return RawResponse(snapshot(responses[0], responses[0].attempts), value)

    def perform(self, step: Any) -> Any:
        observer = observation.observer
        if observer is not None and (scope := observer.observe(step, self.config)):
            with scope:
                scope.result(result := self.perform(scope.step))
            return result
        control = self.config.control
        if control is not None and (metering := control.observe(step, self.config)):
            with metering as (inner, meter):
                metering.result(result := self._dispatch(inner, meter))
            return result
        return self._dispatch(step)

    def _dispatch(self, step: Any, meter: Meter | None = None) -> Any:
        """Performs a step; a meter is that of the call which the step is."""
        if isinstance(step, Call):
            return self._parse(step, *self._exchange(attempts(step, self.config, meter=meter)))
        if isinstance(step, StreamCall):
            return self._stream(step, meter)
        if isinstance(step, Download):
            return self._download(step)
        if isinstance(step, Local):
            return step.work()
        if isinstance(step, Sleep):
            return self._sleep(step.seconds)
        if isinstance(step, Remember):
            return self.config.memory
        if isinstance(step, Settings):
            return self.config
        if isinstance(step, Parallel):
            return self._parallel(step)
        if isinstance(step, Operation):
            return self.perform(step.step)
        return self._flow(step)

    def _stream(self, call: StreamCall[T], meter: Meter | None) -> Stream[T]:
        steps = attempts(call.call, self.config, accept="text/event-stream", meter=meter)
        http_response, count = self._exchange(steps, keep_open=is_event_stream)
        if isinstance(http_response, Response):
            raise failures.not_a_stream(snapshot(http_response, count), call.call, self.config.secrets)
        parser = self._parser(call, http_response, count)
        reads = read_body(http_response)
        next(reads)
        kind = AudioStream if isinstance(call, AudioStreamCall) else Stream
        return kind(http_response, reads, parser, self.connections)

    def _download(self, download: Download) -> Response:
        http_response, count = self._exchange(attempts(download.call, self.config, accept="*/*"), keep_open=always)
        try:
            if download.begin:
                download.begin(snapshot(http_response, count, b""))
            for data in self._reads(http_response, download.call, count):
                download.write(data)
        finally:
            http_response.close()
        return snapshot(http_response, count, b"")

    def _reads(self, http_response: HTTPResponse, call: Call[Any], count: int) -> Iterator[bytes]:
        """Yields the reads of a body. Apart from what is done with them, whose exceptions are no failures of the connection."""
        try:
            yield from http_response.iter_raw()
        except Exception as error:
            raise failures.connection_error(
                failure_of(error, str(http_response.request.url)), call, count, secrets=self.config.secrets
            ) from None

    def _exchange(self, steps: Attempts, *, keep_open: Callable[[HTTPResponse], bool] = never) -> tuple[Any, int]:
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if isinstance(step, Attempt):
                reply = self._send(step, keep_open)
            elif isinstance(step, Sleep):
                reply = None
                self._sleep(step.seconds)
            else:
                reply = self._wait(step)

    def _wait(self, admission: Admission) -> bool:
        return admission.turn.wait(admission.deadline)

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _send(self, attempt: Attempt, keep_open: Callable[[HTTPResponse], bool]) -> HTTPResponse | Response | Failure:
        trace = Trace() if self.connections.external else None
        response: Any = None
        with ExitStack() as files:
            try:
                response = self._open(attempt, files, trace)
                keep = response.is_success and keep_open(response)
                open_body(self.connections.library, response, attempt, keep=keep)
                return response if keep else _read(response, attempt.deadline)
            except Exception as error:
                return failure_of(trace.stale(error) if trace else error, attempt.url, attempt.deadline, response)

    def _open(self, attempt: Attempt, files: ExitStack, trace: Trace | None) -> Any:
        """Sends an attempt, and returns the response when its head has come."""
        library = self.connections.library
        client: Any = self.connections.client
        if (tape := observation.tape) is None and (usual := usual_request(library, client, attempt)) is not None:
            response = client.own_transport.handle_request(usual)
            response.request = usual
            return response
        request = build_request(library, client, attempt, iter, files, trace)
        # That of a supplied client; none for another host.
        auth = None if attempt.anonymous else library.module.USE_CLIENT_DEFAULT
        send = partial(client.send, request, stream=True, follow_redirects=False, auth=auth)
        return send() if tape is None else tape.send(Outgoing(attempt, request, client, library, self.config), send)

    def _flow(self, flow: Generator[Any, Any, T]) -> T:
        result: Any = None
        error: BaseException | None = None
        try:
            while True:
                step = flow.send(result) if error is None else flow.throw(error)
                result = error = None
                try:
                    result = self.perform(step)
                except BaseException as raised:  # KeyboardInterrupt as well: a flow may have something to clean up
                    error = raised
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except TogetherError as failure:
            failures.redact_error(failure, self.config.secrets)
            raise
        finally:
            flow.close()

    def _parallel(self, parallel: Parallel) -> list[Any]:
        steps = parallel.steps
        if len(steps) < 2 or parallel.limit < 2:
            return [self.perform(step) for step in steps]
        results: list[Any] = []
        while len(steps) - len(results) > _MIN_ROUNDS * parallel.limit:
            # Threads share one interpreter: where steps compute instead of waiting for the service, threads only cost time.
            start, cpu_start = time.monotonic(), time.thread_time()
            results.append(self.perform(steps[len(results)]))
            if time.thread_time() - cpu_start < _CPU_BOUND * (time.monotonic() - start):
                break
        return results + self._in_threads(replace(parallel, steps=steps[len(results) :]))

    def _in_threads(self, parallel: Parallel) -> list[Any]:
        """Performs steps in threads. Nobody waits for those that are on the way when one fails or the user interrupts."""
        worker = _Worker(self.config, self.connections, self._on_response)
        futures: list[Future[Any]] = [Future() for _ in parallel.steps]
        remaining = iter([(future, copy_context(), step) for future, step in zip(futures, parallel.steps, strict=True)])

        def work() -> None:
            for future, context, step in remaining:
                try:
                    future.set_result(context.run(worker.perform, step))
                except BaseException as error:
                    future.set_exception(error)
                    return

        # Threads of an executor would be waited for when the interpreter exits.
        for _ in range(min(parallel.limit, len(futures))):
            Thread(target=work, name="together", daemon=True).start()
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            return [future.result() for future in futures if future in done]  # raises the exception of one that failed
        except BaseException:
            worker.stop()
            if parallel.stop:
                parallel.stop()
            raise


class _Halt(Exception):
    """Another step has failed, so that nobody waits for this one."""


class _Worker(SyncDriver):
    """The driver of parallel steps, which sends nothing once it is stopped."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.halt = Event()
        self._turns: set[Turn] = set()  # for which threads wait

    def stop(self) -> None:
        """Ends the waits of all threads; nothing more is sent."""
        self.halt.set()
        for turn in [*self._turns]:
            turn.cancel()

    def _wait(self, admission: Admission) -> bool:
        self._turns.add(admission.turn)
        try:
            is_admitted = not self.halt.is_set() and super()._wait(admission)
        finally:
            self._turns.discard(admission.turn)
        if self.halt.is_set():
            raise _Halt
        return is_admitted

    def _send(self, attempt: Attempt, keep_open: Callable[[HTTPResponse], bool]) -> HTTPResponse | Response | Failure:
        if self.halt.is_set():
            raise _Halt
        return super()._send(attempt, keep_open)

    def _sleep(self, seconds: float) -> None:
        if self.halt.wait(seconds):
            raise _Halt


def _read(response: HTTPResponse, deadline: float | None) -> Response:
    """Reads a body. The deadline is checked here as well, for connections that do not keep it themselves."""
    body = BodyBuffer(response)
    try:
        for data in response.iter_bytes() if is_encoded(response) else response.stream:  # type: ignore[union-attr]
            if body.is_full(data):
                break
            check_deadline(deadline)
    finally:
        if not response.is_closed:
            response.close()
    return body.response()
