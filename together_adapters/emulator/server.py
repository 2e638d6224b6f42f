"""Runs the emulator in a background thread."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from together_adapters.emulator.app import create_app
from together_adapters.emulator.http.behaviour import Behaviour
from together_adapters.emulator.http.faults import Fault, FaultQueue
from together_adapters.emulator.http.hosts import AllowedHosts, is_loopback
from together_adapters.emulator.http.middleware import TRANSPORT
from together_adapters.emulator.http.rate_limits import Limits, RateWindow
from together_adapters.emulator.http.recorded import ServiceRecord
from together_adapters.emulator.http.replies import Condition, Content, Logprobs, ScriptedReply
from together_adapters.emulator.http.request_log import DEFAULT_KEEP_BYTES, RecordedRequest, RequestLog
from together_adapters.emulator.http.routing import State
from together_adapters.emulator.remote.engines import EngineOption
from together_adapters.emulator.remote.models import RemoteModels
from together_adapters.emulator.store.bill import Bill
from together_adapters.emulator.store.catalogue import named_models
from together_adapters.emulator.store.disk import DEFAULT_MAX_STORED, Folder
from together_adapters.emulator.store.records import DEFAULT_JOB_SECONDS, BatchEnd
from together_adapters.types.capabilities import ModelType


class Emulator:
    """A running emulator: the requests it has received, and how it responds."""

    def __init__(self, state: State, host: str, port: int) -> None:
        self._state = state
        self.host = host
        self.port = port

    @property
    def base_url(self) -> str:
        """The base URL for clients, for example `http://127.0.0.1:54321/v1`."""
        return f"http://{self.host}:{self.port}/v1"

    @property
    def api_key(self) -> str:
        """A key that it accepts: the only one where `serve` was given one, or code execution is allowed."""
        return self._state.api_key or "emulator"

    @property
    def requests(self) -> list[RecordedRequest]:
        """A copy of the list of requests, oldest first. Old bodies, then old requests are dropped: see `keep` and `drop_count`."""
        return self._state.log.requests

    @property
    def drop_count(self) -> int:
        """The number of requests that are no longer in `requests`."""
        return self._state.log.drop_count

    @property
    def errors(self) -> list[str]:
        """Tracebacks of unexpected exceptions: bugs of the emulator, not of the client."""
        return self._state.log.errors

    @property
    def disconnects(self) -> int:
        """The number of clients that disconnected before their response was complete."""
        return self._state.log.disconnects

    @property
    def in_flight(self) -> int:
        """The number of requests in progress."""
        return self._state.log.in_flight

    @property
    def most_in_flight(self) -> int:
        """The highest number of requests that were in progress at one time."""
        return self._state.log.most_in_flight

    @property
    def behaviour(self) -> Behaviour:
        """How it responds."""
        return self._state.behaviour

    @property
    def limits(self) -> Limits | None:
        """What the account may send; assign other limits, or None, to change that from the next request on.

        Requests in progress stay counted. The first request begins a new window, and the schedule.
        """
        return self._state.rate.limits

    @limits.setter
    def limits(self, limits: Limits | None) -> None:
        self._state.rate.limits = limits

    @property
    def bill(self) -> Bill:
        """What requests cost by the prices of its catalogue, `GET /v1/models`: `bill.rows()` and `bill.total()`.

        A row is complete when the client has the last of the response; that of a stream left early when `in_flight` no longer
        counts it. Requests that no model has answered have no row, nor have evaluations and realtime transcription.
        A fine-tune is billed when it is created.
        """
        return self._state.bill

    @property
    def offer(self) -> str:
        """What it answers, in a sentence or two for whoever starts it."""
        engines = "; ".join(f"{' and '.join(kinds)}: {url}" for url, kinds in self._state.remote.kinds_by_url().items())
        return self._offer_of_mode + (f" A model answers: {engines}." if engines else "")

    @property
    def _offer_of_mode(self) -> str:
        models = self._state.models
        if models is not None:
            return f"It serves only {', '.join(models) or 'models of its own account'}, and models with a started endpoint."
        if self.behaviour.strict:
            return (
                "It answers as the service of today: no embedding or rerank model, nothing removed, unless an endpoint is made."
            )
        return (
            "Beyond the service of today it grants embedding, rerank, removed and unknown models, unknown parameters, and tools "
            "with a response format (--strict refuses them); the header x-emulator-grants names what was granted."
        )

    @property
    def pending_faults(self) -> list[Fault]:
        """Faults that have not happened yet."""
        return self._state.faults.pending

    def clear(self) -> None:
        """Removes recorded requests, the bill, pending faults, replies and ends of batches, and resets counters. Behaviour and limits stay."""
        self._state.log.clear()
        self._state.faults.clear()
        self._state.replies.clear()
        self._state.bill.clear()
        self._state.batch_ends.clear()

    def reset(self) -> None:
        """Also deletes what requests have created: files, jobs and their models, batches, evaluations, endpoints, sessions."""
        self.clear()
        self._state.reset_stores()

    def inject(self, *faults: Fault | str) -> None:
        """Lets the next matching requests fail. A string is a kind of fault with its defaults."""
        for fault in faults:
            self._state.faults.add(Fault(fault) if isinstance(fault, str) else fault)

    @property
    def unused(self) -> list[ScriptedReply]:
        """Replies that were not given as often as `reply` said."""
        return self._state.replies.unused

    def reply(
        self,
        content: Content | Callable[[dict[str, Any]], Content],
        *,
        times: int | None = None,
        when: Condition = None,
        logprobs: Logprobs = None,
    ) -> None:
        """Sets the answer to the next chat requests, whole or streamed. Replies are given in the order in which they were set.

        Args:
            content: The text; a message with `content`, `reasoning`, `refusal` and `tool_calls` as in a response; or a function of the
                request's body that returns either, and is called in the emulator's thread. `logprobs` in a message replaces the argument.
            times: How many requests it answers; None for one, and for all of them if `content` is a function.
            when: Which requests it answers: those to a model of this name, those whose messages contain this text, or those for
                which a function of the request's body is true; None for all.
            logprobs: Log-probabilities of the first token and its alternatives, such as `{"yes": -0.1, "no": -2.4}`, or a list of
                them for the first tokens. They are sent if the request asks for them; other tokens have invented ones.
        """
        times = 1 if times is None and not callable(content) else times
        self._state.replies.add(ScriptedReply(content, times, when, logprobs))

    def end_batch(
        self, status: Literal["EXPIRED", "FAILED", "CANCELLED"], *, after: int = 0, message: str | None = None, times: int = 1
    ) -> None:
        """Lets the next batches end without success.

        Args:
            status: Their status at the end.
            after: How many of their requests are processed; these stay in the output file.
            message: Their `error`.
            times: How many batches end so.
        """
        self._state.batch_ends.extend([BatchEnd(status, after, message)] * times)

    def behave(self, **changes: Any) -> _Restore:
        """Changes fields of the behaviour. As a context manager, restores the previous behaviour at the end of the block."""
        before = self._state.behaviour
        self._state.behaviour = replace(before, **changes)
        return _Restore(self._state, before)


class _Restore:
    """Restores the behaviour that `Emulator.behave` has changed."""

    def __init__(self, state: State, before: Behaviour) -> None:
        self._state = state
        self._before = before

    def __enter__(self) -> Behaviour:
        return self._state.behaviour

    def __exit__(self, *reason: object) -> None:
        self._state.behaviour = self._before


def _with_transport(app: Any, transport: asyncio.Transport) -> ASGIApp:
    """Returns an application that gets the TCP transport in the scope, for faults that close the connection."""

    async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
        scope[TRANSPORT] = transport
        await app(scope, receive, send)

    return with_transport


class _Protocol(H11Protocol):
    """Uvicorn's HTTP protocol, with the transport in the scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = _with_transport(self.app, transport)


def _websocket(**options: Any) -> asyncio.Protocol:
    """Returns uvicorn's protocol of websockets, likewise; it is imported for the first of them, which takes 50 ms."""
    # Not `auto`: before uvicorn 0.50 it is the protocol of `websockets.legacy`, whose import is a DeprecationWarning.
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    protocol: Any = WebSocketsSansIOProtocol(**options)
    connection_made = protocol.connection_made

    def connect(transport: asyncio.Transport) -> None:
        connection_made(transport)
        protocol.app = _with_transport(protocol.app, transport)

    protocol.connection_made = connect
    return protocol  # type: ignore[no-any-return]


def _may_be_logged(record: logging.LogRecord) -> bool:
    """Whether a record of uvicorn shows no header, as those of websockets at DEBUG do, and does not call a refusal a mistake."""
    return record.levelno > logging.DEBUG and record.getMessage() != "ASGI callable returned without completing handshake."


class _Server(uvicorn.Server):
    """Uvicorn that stops at once: not at its next tick, and not after the streams in progress."""

    def __init__(self, app: ASGIApp) -> None:
        websockets: Any = _websocket if find_spec("websockets") else "none"
        config = uvicorn.Config(
            app, http=_Protocol, ws=websockets, lifespan="off", loop="asyncio", log_config=None, access_log=False,
            server_header=False, timeout_keep_alive=120,
        )  # fmt: skip
        super().__init__(config)
        logging.getLogger("uvicorn.error").addFilter(_may_be_logged)
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    async def main_loop(self) -> None:
        """Serves until `stop`, and updates the date header every second."""
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
        """Closes all connections."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            if (transport := getattr(connection, "transport", None)) is not None:
                transport.abort()
        if tasks := list(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=1.0)
            for task in late:
                task.cancel()

    def stop(self) -> None:
        """Ends the main loop, from any thread."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)


def listen(host: str, port: int) -> socket.socket:
    """Opens a listening socket."""
    # asyncio disables Nagle's algorithm only for sockets with an explicit protocol number. Without that, each request on a
    # kept-alive connection waits 40 ms for a delayed acknowledgement.
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
    allowed_hosts: Sequence[str] = (),
    keep_bytes: int = DEFAULT_KEEP_BYTES,
    max_stored_bytes: int = DEFAULT_MAX_STORED,
    models: Iterable[str] | Mapping[str, ModelType | None] | None = None,
    limits: Limits | None = None,
    engine: EngineOption | None = None,
    as_recorded: str | Path | None = None,
) -> Iterator[Emulator]:
    """Runs an emulator during a `with` block.

    By default it grants more than the service of today, which answers with an error where it is asked for embedding and rerank
    models (it serves none), removed models, models that need a dedicated endpoint or consent to data sharing, unknown models and
    parameters, moderation models, or tools together with a response format. A response that was granted says so in the header
    `x-emulator-grants`. `Behaviour(strict=True)` answers as the service of today, by the dates in the library's table of models.

    Args:
        port: Port to listen on; 0 for a free one.
        host: Address to listen on.
        api_key: The only key it accepts. None accepts any but `invalid` and those that begin with `bad`; with
            `allow_code_execution`, it is a random key, `Emulator.api_key`.
        behaviour: How it responds; see `Behaviour`.
        faults: Faults to inject at the start.
        keep: How many requests it records; `Emulator.drop_count` counts those before them.
        allow_code_execution: Let the code interpreter run code on this machine; only on loopback.
        job_seconds: Seconds that a fine-tuning job takes. Evaluations take half of that, batches a fifth and the time of
            their requests. Timestamps of jobs span half an hour all the same.
        allowed_hosts: Names by which requests, and web pages, may address it besides loopback and `host`, such as `emulator` or
            `*.example.com`. Others get a 403.
        keep_bytes: Bytes of recorded requests that it keeps. The oldest bodies are dropped first; reading them is a LookupError.
        max_stored_bytes: Bytes of all files that it stores, uploads and results of batches among them; more is refused with a 413.
        models: The only models that it serves, besides those that are trained or have a started endpoint here, in either mode.
            `"name=embedding"`, or a mapping of names, gives a type; without, it is that of the library's table, or chat. None
            serves the models of the mode.
        limits: What the account may send before it gets a 429; see `Limits`. None refuses nothing.
        engine: The OpenAI-compatible server that answers chats, completions and embeddings, in place of rules: its URL, an `Engine`,
            or several for different kinds. It is not sent the keys of clients.
        as_recorded: A folder that `together-adapters doctor --record` has written: it answers as the service did then, in strict
            mode and with the behaviour that was seen, unless `behaviour` is given.

    Yields:
        The running emulator; clients need its `base_url`.

    Raises:
        OSError: The port is in use.
        ValueError: Code execution is allowed on loopback only, `job_seconds` is negative, an allowed host is not a host, the type
            of a model is unknown, an engine is not valid, or the folder has no record.
    """
    if allow_code_execution and not is_loopback(host):
        raise ValueError(f"code execution is only allowed on loopback, and {host} is not a loopback address")
    if not job_seconds >= 0:
        raise ValueError(f"job_seconds={job_seconds!r} must be 0 or more")
    named = None if models is None else named_models(models)
    remote = RemoteModels(engine)
    record = ServiceRecord() if as_recorded is None else ServiceRecord.read(as_recorded)
    behaviour = behaviour or (Behaviour() if as_recorded is None else record.behaviour())
    hosts = AllowedHosts([host, *([allowed_hosts] if isinstance(allowed_hosts, str) else allowed_hosts)])
    if allow_code_execution and api_key is None:
        api_key = secrets.token_urlsafe(24)
    log = RequestLog(keep, keep_bytes)
    folder = Folder(max_stored_bytes)
    listener = listen(host, port)
    state = State(
        behaviour,
        FaultQueue(faults),
        log,
        api_key,
        allow_code_execution,
        job_seconds,
        hosts,
        folder,
        named,
        RateWindow(limits),
        remote=remote,
        record=record,
    )
    server = _Server(create_app(state))
    thread = threading.Thread(target=server.run, args=([listener],), name="together-emulator", daemon=True)
    thread.start()
    try:
        if not server.ready.wait(10):
            raise RuntimeError("the emulator did not start")
        yield Emulator(state, host, listener.getsockname()[1])
    finally:
        server.stop()
        state.stores.close()  # requests that wait for code end now
        thread.join(5)
        listener.close()
        state.close()
