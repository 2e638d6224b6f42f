"""Websockets of both flavours, which carry what `protocol` says. The only module that imports `websockets`."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple, Self

from websockets.asyncio import client as asynchronous
from websockets.exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
)
from websockets.sync import client as synchronous

from together_adapters.errors import ConfigurationError, TogetherError
from together_adapters.resources.realtime.protocol import Ending, Protocol, Texts, websocket_url
from together_adapters.transport import failures, observation
from together_adapters.transport.call import Response, Sleep
from together_adapters.transport.environment import ssl_context
from together_adapters.transport.exchange import Attempt, attempts
from together_adapters.transport.http_library import library_of
from together_adapters.transport.http_requests import is_refused
from together_adapters.transport.retry import Failure
from together_adapters.types.audio import RealtimeEvent

_LOGGER = logging.getLogger("together_adapters.websockets")
_LOGGER.setLevel(logging.WARNING)  # whatever the level of others: at DEBUG, websockets logs headers, and the key is one
_QUIET = 2.0  # seconds; the `together` 3.x SDK waits as long
_READ_TWICE = "another thread or task reads the events of this realtime connection: one at a time can"
_REOPEN = "a realtime connection is opened once, by `with` or `async with`: call realtime() again"


class _Refusal(Exception):
    """A response other than 101. Not of `websockets`, which follows redirects that it knows."""

    def __init__(self, problem: InvalidStatus) -> None:
        response = problem.response
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        self.response = Response(response.status_code, headers, bytes(response.body or b""))


class _Websocket(synchronous.ClientConnection):
    def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().handshake(*args, **kwargs)
        except InvalidStatus as problem:
            raise _Refusal(problem) from None


class _AsyncWebsocket(asynchronous.ClientConnection):
    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().handshake(*args, **kwargs)
        except InvalidStatus as problem:
            raise _Refusal(problem) from None


class _OpenReply(NamedTuple):
    """The reply to an attempt that opened a websocket."""

    status_code: int
    headers: dict[str, str]
    content: bytes
    websocket: Any


class _Connection:
    """What both flavours share: the attempts to open a websocket, and what its end means."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._steps = attempts(protocol.call, protocol.config)
        self._websocket: Any = None
        self._is_used = False
        self._is_closed = False

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open" if self._websocket else "not open yet"
        return f"<{type(self).__name__} to {self._protocol.config.base_url}: {state}>"

    def _begin_opening(self) -> None:
        """Raises if the connection was opened before, or could not be."""
        if self._is_used:
            raise ConfigurationError(_REOPEN)
        if observation.tape is not None:
            observation.tape.refuse("realtime transcription")
        self._is_used = True

    def _next_step(self, reply: Any) -> Attempt | Sleep | _OpenReply:
        """Returns what to do after a reply; at the end the open websocket. Raises the error of the last attempt."""
        try:
            step: Any = self._steps.send(reply)
            return step
        except StopIteration as end:
            open_reply: _OpenReply = end.value[0]
            return open_reply

    def _options(self, attempt: Attempt) -> dict[str, Any]:
        """Returns the options with which `websockets` opens one."""
        url = websocket_url(attempt)
        library = library_of(self._protocol.config.http_library)
        return {
            "uri": url,
            "ssl": ssl_context(library) if url.startswith("wss:") else None,
            "additional_headers": attempt.headers,
            "user_agent_header": None,  # it is among the others
            "open_timeout": _open_seconds(attempt),
            "logger": _LOGGER,
            "max_queue": None,  # else a caller who sends before reading is stopped by events that nobody reads
        }

    def _reply(self, outcome: Any, attempt: Attempt) -> Any:
        """Returns the reply to an attempt from an open websocket or from an exception; raises what no attempt can mend."""
        if isinstance(outcome, _Refusal):
            if 300 <= outcome.response.status_code < 400:
                raise failures.status_error(outcome.response, self._protocol.call, self._protocol.config.secrets) from None
            return outcome.response
        if not isinstance(outcome, Exception):
            headers = {name.lower(): value for name, value in outcome.response.headers.raw_items()}
            return _OpenReply(101, headers, b"", outcome)
        if isinstance(outcome, InvalidProxy):
            raise ConfigurationError("the proxy that the environment names cannot be used: it is no URL of a proxy") from None
        if isinstance(outcome, ImportError):
            raise ConfigurationError(f"the proxy that the environment names cannot be used: {outcome}") from None
        if isinstance(outcome, TimeoutError):
            is_late = attempt.deadline is not None and time.monotonic() >= attempt.deadline
            reason = f"timed out ({'max_elapsed' if is_late else 'connect'})"
            return Failure(reason, timeout=True, fatal=is_late, url=attempt.url)
        is_final = isinstance(outcome, ssl.SSLCertVerificationError) or (
            isinstance(outcome, InvalidHandshake) and not isinstance(outcome, InvalidMessage)
        )
        reason = f"{type(outcome).__name__}: {outcome}".rstrip(": ")
        return Failure(reason, fatal=is_final, refused=is_refused(outcome), url=attempt.url)

    def _begin(self, reply: _OpenReply) -> Iterator[str]:
        """Keeps an open websocket; returns the frames that it begins with."""
        self._websocket = reply.websocket
        return self._protocol.begin(Response(101, reply.headers))

    def _open_websocket(self) -> Any:
        if self._websocket is None:
            raise ConfigurationError("the realtime connection is not open: use it in `with` or `async with`")
        return self._websocket

    def _send_error(self, closed: ConnectionClosed) -> TogetherError:
        return self._protocol.send_error(_ending(closed), is_closed=self._is_closed)

    def _check_end(self, closed: ConnectionClosed) -> None:
        """Raises if a websocket was closed before all was said."""
        if error := self._protocol.end(_ending(closed), is_closed=self._is_closed):
            raise error from None


class RealtimeConnection(_Connection):
    """A realtime transcription, to be used in `with`. Iterating yields the events; another thread may send meanwhile."""

    def __enter__(self) -> Self:
        self._begin_opening()
        reply: Any = None
        while not isinstance(step := self._next_step(reply), _OpenReply):
            reply = self._perform(step)
        try:
            for frame in self._begin(step):
                self._send(frame)
        except BaseException:
            self.close()
            raise
        return self

    def _perform(self, step: Attempt | Sleep) -> Any:
        """Returns the reply to an attempt; None after a pause."""
        if isinstance(step, Sleep):
            time.sleep(step.seconds)
            return None
        try:
            self._stack = ExitStack()
            websocket = synchronous.connect(**self._options(step), create_connection=_Websocket)
            return self._reply(self._stack.enter_context(websocket), step)
        except (_Refusal, OSError, InvalidHandshake, InvalidProxy, EOFError, ImportError) as problem:
            return self._reply(problem, step)

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection, from any thread; iterating ends."""
        self._is_closed = True
        if self._websocket is not None:
            self._stack.close()

    def send(self, pcm: bytes) -> None:
        """Sends samples in the `input_audio_format`.

        Raises:
            TypeError: These are no bytes.
            ValueError: The last sample is cut off.
            APIConnectionError: The connection is closed.
        """
        for frame in self._protocol.append(pcm):
            self._send(frame)

    def commit(self) -> None:
        """Lets the service transcribe at once what it has."""
        self._send(self._protocol.commit())

    def clear(self) -> None:
        """Discards audio that is not transcribed yet."""
        self._send(self._protocol.clear())

    def _send(self, frame: str) -> None:
        try:
            self._open_websocket().send(frame)
        except ConnectionClosed as closed:
            raise self._send_error(closed) from None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RealtimeEvent:
        event = self._receive(None)
        if event is None:
            raise StopIteration
        return event

    def _receive(self, seconds: float | None) -> RealtimeEvent | None:
        """Returns the next event, or None at the end; a TimeoutError if none comes in time."""
        try:
            return self._protocol.read(self._open_websocket().recv(timeout=seconds))
        except ConcurrencyError:
            raise ConfigurationError(_READ_TWICE) from None
        except ConnectionClosed as closed:
            self._check_end(closed)
            return None

    def texts(self, quiet: float = _QUIET) -> Iterator[str]:
        """Yields the final text of each utterance.

        Args:
            quiet: It ends when so many seconds have passed without an event after `commit`: the service does not say that it has
                finished.

        Raises:
            ValueError: `quiet` is no number of seconds above 0.
            APIError: The service reports an error. The next call goes on, if the connection is still open.
            IncompleteStreamError: The connection was lost.
        """
        texts = Texts(self._protocol, quiet)
        while not texts.is_over:
            try:
                text = texts.read(self._receive(texts.begin_to_wait()))
            except TimeoutError:
                texts.nothing_came()
                continue
            if text:
                yield text


class AsyncRealtimeConnection(_Connection):
    """A realtime transcription, to be used in `async with`. Iterating yields the events; another task may send meanwhile."""

    async def __aenter__(self) -> Self:
        self._begin_opening()
        reply: Any = None
        while not isinstance(step := self._next_step(reply), _OpenReply):
            reply = await self._perform(step)
        try:
            for frame in self._begin(step):
                await self._send(frame)
        except BaseException:
            await self.close()
            raise
        return self

    async def _perform(self, step: Attempt | Sleep) -> Any:
        """Returns the reply to an attempt; None after a pause."""
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return self._reply(await asynchronous.connect(**self._options(step), create_connection=_AsyncWebsocket), step)
        except (_Refusal, OSError, InvalidHandshake, InvalidProxy, EOFError, ImportError) as problem:
            return self._reply(problem, step)

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; iterating ends."""
        self._is_closed = True
        if self._websocket is not None:
            await self._websocket.close()

    async def send(self, pcm: bytes) -> None:
        """Sends samples in the `input_audio_format`.

        Raises:
            TypeError: These are no bytes.
            ValueError: The last sample is cut off.
            APIConnectionError: The connection is closed.
        """
        for frame in self._protocol.append(pcm):
            await self._send(frame)

    async def commit(self) -> None:
        """Lets the service transcribe at once what it has."""
        await self._send(self._protocol.commit())

    async def clear(self) -> None:
        """Discards audio that is not transcribed yet."""
        await self._send(self._protocol.clear())

    async def _send(self, frame: str) -> None:
        try:
            await self._open_websocket().send(frame)
        except ConnectionClosed as closed:
            raise self._send_error(closed) from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RealtimeEvent:
        event = await self._receive(None)
        if event is None:
            raise StopAsyncIteration
        return event

    async def _receive(self, seconds: float | None) -> RealtimeEvent | None:
        """Returns the next event, or None at the end; a TimeoutError if none comes in time."""
        try:
            async with asyncio.timeout(seconds):
                message = await self._open_websocket().recv()
            return self._protocol.read(message)
        except ConcurrencyError:
            raise ConfigurationError(_READ_TWICE) from None
        except ConnectionClosed as closed:
            self._check_end(closed)
            return None

    async def texts(self, quiet: float = _QUIET) -> AsyncIterator[str]:
        """Yields the final text of each utterance.

        Args:
            quiet: It ends when so many seconds have passed without an event after `commit`: the service does not say that it has
                finished.

        Raises:
            ValueError: `quiet` is no number of seconds above 0.
            APIError: The service reports an error. The next call goes on, if the connection is still open.
            IncompleteStreamError: The connection was lost.
        """
        texts = Texts(self._protocol, quiet)
        while not texts.is_over:
            try:
                text = texts.read(await self._receive(texts.begin_to_wait()))
            except TimeoutError:
                texts.nothing_came()
                continue
            if text:
                yield text


def _open_seconds(attempt: Attempt) -> float | None:
    """Returns the seconds in which a websocket must open: those to connect, but not beyond the deadline."""
    timeout = attempt.timeout
    seconds: float | None = timeout.as_dict()["connect"] if hasattr(timeout, "as_dict") else timeout
    if attempt.deadline is None:
        return seconds
    left = max(attempt.deadline - time.monotonic(), 0.001)
    return left if seconds is None else min(seconds, left)


def _ending(closed: ConnectionClosed) -> Ending:
    """Returns who closed a websocket first, and why; code 1006, as browsers say, if nobody did."""
    if closed.sent and not (closed.rcvd and closed.rcvd_then_sent):
        return Ending(closed.sent.code, closed.sent.reason, by_server=False)
    return Ending(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else Ending(1006, "the connection was lost")
