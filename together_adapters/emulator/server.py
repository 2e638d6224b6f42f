"""Run the emulator in a background thread, ready as soon as it listens and gone as soon as it is told to go."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from together_adapters.emulator.app import create_app
from together_adapters.emulator.http.behaviour import Behaviour
from together_adapters.emulator.http.faults import Fault, FaultQueue
from together_adapters.emulator.http.middleware import TRANSPORT
from together_adapters.emulator.http.request_log import RecordedRequest, RequestLog
from together_adapters.emulator.http.routing import State
from together_adapters.emulator.routes.code_interpreter import is_loopback
from together_adapters.emulator.store.clock import DEFAULT_JOB_SECONDS


class Emulator:
    """A handle on a running emulator: what it saw, and how it is to behave from now on."""

    def __init__(self, state: State, host: str, port: int) -> None:
        self._state = state
        self.host = host
        self.port = port

    @property
    def base_url(self) -> str:
        """The address to give to a client, for example `http://127.0.0.1:54321/v1`."""
        return f"http://{self.host}:{self.port}/v1"

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests seen so far, oldest first: a copy."""
        return self._state.log.requests

    @property
    def errors(self) -> list[str]:
        """Tracebacks of exceptions inside the emulator: bugs of ours, never of the client."""
        return self._state.log.errors

    @property
    def disconnects(self) -> int:
        """How many clients went away before their answer was complete."""
        return self._state.log.disconnects

    @property
    def in_flight(self) -> int:
        """How many requests are being answered now."""
        return self._state.log.in_flight

    @property
    def most_in_flight(self) -> int:
        """The highest number of requests that were being answered at one time."""
        return self._state.log.most_in_flight

    @property
    def behaviour(self) -> Behaviour:
        """How it answers now."""
        return self._state.behaviour

    @property
    def pending_faults(self) -> list[Fault]:
        """Faults that no request has met yet."""
        return self._state.faults.waiting

    def clear(self) -> None:
        """Forget requests, counters and pending faults. The behaviour stays."""
        self._state.log.clear()
        self._state.faults.clear()

    def reset(self) -> None:
        """Forget what was done as well: files, jobs and their models, batches, evaluations, endpoints, sessions."""
        self.clear()
        self._state.reset_stores()

    def inject(self, *faults: Fault | str) -> None:
        """Let the next matching requests fail. A string is a kind with its defaults."""
        for fault in faults:
            self._state.faults.add(Fault(fault) if isinstance(fault, str) else fault)

    def behave(self, **changes: Any) -> _Restore:
        """Change fields of the behaviour at once; as a context manager, put the old behaviour back at the end of the block."""
        before = self._state.behaviour
        self._state.behaviour = replace(before, **changes)
        return _Restore(self._state, before)


class _Restore:
    """The way back from `Emulator.behave`."""

    def __init__(self, state: State, before: Behaviour) -> None:
        self._state = state
        self._before = before

    def __enter__(self) -> Behaviour:
        return self._state.behaviour

    def __exit__(self, *reason: object) -> None:
        self._state.behaviour = self._before


class _Protocol(H11Protocol):
    """Uvicorn's HTTP protocol, leaving the TCP transport in the scope for faults that hang up."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope[TRANSPORT] = transport
            await app(scope, receive, send)

        self.app = with_transport


class _Server(uvicorn.Server):
    """Uvicorn without its waits: it stops when told, not at the next tick, and streams in flight do not hold it up."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app, http=_Protocol, ws="none", lifespan="off", loop="asyncio", log_config=None, access_log=False,
            server_header=False, timeout_keep_alive=120,
        )  # fmt: skip
        super().__init__(config)
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    async def main_loop(self) -> None:
        """Listen until `stop`, keeping the date header fresh."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await self.on_tick(0)
        self.ready.set()
        while not self._stop.is_set():
            try:
                await asyncio.wait_for(self._stop.wait(), timeout=1.0)
            except TimeoutError:
                await self.on_tick(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything now: clients of an emulator that stops are meant to notice."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        tasks = list(self.server_state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=1.0)
            for task in late:
                task.cancel()

    def stop(self) -> None:
        """End the main loop, from any thread."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)


def listen(host: str, port: int) -> socket.socket:
    """Bind a listening socket.

    The protocol number is given because asyncio turns off Nagle's algorithm only for sockets that carry it; without it
    each request on a kept-alive connection waits 40 ms for a delayed acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def serve(
    port: int = 0,
    host: str = "127.0.0.1",
    api_key: str | None = None,
    behaviour: Behaviour | None = None,
    faults: Iterable[Fault] = (),
    keep: int = 20_000,
    allow_code_execution: bool = False,
    job_seconds: float = DEFAULT_JOB_SECONDS,
) -> Iterator[Emulator]:
    """Run an emulator for the time of a `with` block.

    Args:
        port: Port to listen on; 0 takes a free one.
        host: Address to listen on.
        api_key: The only key it accepts. None accepts any but `invalid` and those that begin with `bad`.
        behaviour: How it answers; see `Behaviour`.
        faults: What is to go wrong first.
        keep: How many requests it remembers.
        allow_code_execution: Whether the code interpreter runs code on this machine; on loopback alone.
        job_seconds: How many seconds a fine-tune takes from its start to its end; evaluations take half of that, batches a
            fifth and what their lines need. Their diaries tell of half an hour all the same.

    Yields:
        The handle on it; `base_url` is what clients need.

    Raises:
        OSError: The port is taken.
        ValueError: Code execution was to be allowed for other machines, or jobs were to take less than no time.
    """
    if allow_code_execution and not is_loopback(host):
        raise ValueError(f"code execution is allowed on loopback alone, and {host} is not")
    if not job_seconds >= 0:
        raise ValueError(f"job_seconds={job_seconds!r} must be 0 or more")
    listener = listen(host, port)
    state = State(behaviour or Behaviour(), FaultQueue(faults), RequestLog(keep), api_key, allow_code_execution, job_seconds)
    server = _Server(create_app(state))
    thread = threading.Thread(target=server.run, args=([listener],), name="together-emulator", daemon=True)
    thread.start()
    try:
        if not server.ready.wait(10):
            raise RuntimeError("the emulator did not start")
        yield Emulator(state, host, listener.getsockname()[1])
    finally:
        server.stop()
        thread.join(5)
        listener.close()
        state.close()
