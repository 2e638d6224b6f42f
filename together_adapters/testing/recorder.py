"""Records the exchanges of all clients while they take place. Nothing is written before the end."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from threading import Lock
from typing import Any, Final

import anyio.to_thread

from together_adapters.errors import ConfigurationError
from together_adapters.testing.exchange import Exchange
from together_adapters.testing.folders import Folders
from together_adapters.testing.redaction import Redaction, known_secrets, secrets_of_environment
from together_adapters.testing.requests import describe, reads_files, server_of
from together_adapters.testing.responses import GAVE_UP, Arrival
from together_adapters.transport.http_library import byte_stream, error_names
from together_adapters.transport.http_requests import failure_of
from together_adapters.transport.network import StaleConnection, TransferError
from together_adapters.transport.observation import Outgoing

_FORK: Final = "this process was forked while exchanges were recorded, and its own cannot be: use record(...) within it"
_PRECISION: Final = 3


class Recorder:
    """A tape that lets requests pass, and keeps what comes back."""

    def __init__(self, redact: Iterable[str] = (), folders: Folders | None = None) -> None:
        self._patterns = list(redact)
        self._folders = folders or Folders()
        self._recordings: list[_Recording] = []
        self._lock = Lock()
        self._process = os.getpid()

    def send(self, outgoing: Outgoing, perform: Callable[[], Any]) -> Any:
        recording = self._begin(outgoing)
        recording.request = describe(outgoing)
        try:
            response = perform()
        except Exception as error:
            recording.fail(error)
            raise
        return recording.watch(response)

    async def send_async(self, outgoing: Outgoing, perform: Callable[[], Awaitable[Any]]) -> Any:
        recording = self._begin(outgoing)
        recording.request = await anyio.to_thread.run_sync(describe, outgoing) if reads_files(outgoing) else describe(outgoing)
        try:
            response = await perform()
        except Exception as error:
            recording.fail(error)
            raise
        except BaseException:  # the task is cancelled, perhaps by the limit of the call
            recording.give_up()
            raise
        return recording.watch(response)

    def refuse(self, feature: str) -> None:
        raise ConfigurationError(f"{feature} cannot be recorded: leave it out of `record`, or test it with the emulator")

    def exchanges(self) -> list[Exchange]:
        """Returns all exchanges so far, in the order of their requests, without secrets."""
        with self._lock:
            recordings = [recording for recording in self._recordings if recording.request]
        secrets = {*secrets_of_environment()}.union(*(recording.secrets() for recording in recordings))
        redaction = Redaction(secrets, self._patterns, self._folders)
        exchanges = (recording.exchange(redaction) for recording in recordings)
        return [exchange for exchange in exchanges if exchange is not None]

    def servers(self) -> list[str]:
        """Returns the hosts of the service that were asked."""
        return sorted({server_of(recording.outgoing) for recording in self._recordings})

    def _begin(self, outgoing: Outgoing) -> _Recording:
        if os.getpid() != self._process:
            raise ConfigurationError(_FORK)
        recording = _Recording(outgoing)
        with self._lock:
            self._recordings.append(recording)
        return recording


class _Recording:
    """One exchange that takes place."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.outgoing = outgoing
        self.request: dict[str, Any] = {}
        self._start = time.monotonic()
        self._arrival: Arrival | None = None
        self._failure: dict[str, Any] | None = None
        self._sent_headers: Any = outgoing.request.headers

    def watch(self, response: Any) -> Any:
        """Returns a response whose body is recorded as it is read."""
        self._sent_headers = response.request.headers
        self._arrival = Arrival(response.status_code, response.headers.multi_items(), time.monotonic() - self._start)
        self._start = time.monotonic()
        if response.is_stream_consumed:  # by the transport of a supplied client
            self._arrival.reads.append((0.0, response.content))
            self._arrival.is_unpacked = self._arrival.is_complete = True
        else:
            response.stream = byte_stream(self.outgoing.http_library, _WatchedStream)(response.stream, self)
        return response

    def add(self, data: bytes) -> None:
        assert self._arrival is not None
        self._arrival.reads.append((time.monotonic() - self._start, data))

    def complete(self) -> None:
        assert self._arrival is not None
        self._arrival.is_complete = True

    def fail(self, error: Exception) -> None:
        """Keeps a failure of the connection; what the program raises itself is none."""
        failure = _failure(error, self.outgoing.attempt.deadline)
        if failure is None:
            return
        failure["after"] = self._seconds()
        if self._arrival is None:
            self._failure = failure
        else:
            self._arrival.failure = failure

    def give_up(self) -> None:
        """Keeps that no response came before the task was cancelled."""
        self._failure = {"error": GAVE_UP, "after": self._seconds()}

    def secrets(self) -> set[str]:
        """Returns the secrets of the request."""
        config = self.outgoing.config
        return {config.api_key, *known_secrets(self._sent_headers, {**config.query, **dict(self.outgoing.request.url.params)})}

    def exchange(self, redaction: Redaction) -> Exchange | None:
        """Returns the exchange as far as it has come; None if nothing came of it that is the service's."""
        request = redaction.request(self.request)
        if self._failure:
            return Exchange(request, failure=redaction.value(self._failure))
        if self._arrival is None:
            return None
        body = self.request.get("json")
        is_stream = isinstance(body, dict) and body.get("stream") is True
        response = self._arrival.response(self.outgoing.http_library, is_stream=is_stream)
        return Exchange(request, redaction.response(response))

    def _seconds(self) -> float:
        return round(time.monotonic() - self._start, _PRECISION)


class _WatchedStream:
    """A response body of either flavour that is recorded as it is read. It may be read in several goes."""

    def __init__(self, stream: Any, recording: _Recording) -> None:
        self._stream = stream
        self._recording = recording

    def __iter__(self) -> Iterator[bytes]:
        try:
            for data in self._stream:
                self._recording.add(data)
                yield data
        except Exception as error:
            self._recording.fail(error)
            raise
        self._recording.complete()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._stream:
                self._recording.add(data)
                yield data
        except Exception as error:
            self._recording.fail(error)
            raise
        self._recording.complete()

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _failure(error: Exception, deadline: float | None) -> dict[str, Any] | None:
    """Returns a failure of the connection as a player can repeat it; None for what is no such failure."""
    try:
        failure = failure_of(error, "", deadline)
    except Exception:
        return None
    if failure.timeout and failure.fatal:
        return {"error": GAVE_UP}
    name, message = type(error).__name__, str(error)
    if not isinstance(error, TransferError) and name not in error_names(error):
        name, message = "NetworkError", f"{name}: {message}"
    unsent = {"unsent": True} if isinstance(error, StaleConnection) and error.unsent else {}
    return {"error": name, "message": message, **unsent}
