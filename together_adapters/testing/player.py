"""Answers the requests of all clients from a recording; the network is not needed."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple, Protocol

import anyio
import anyio.to_thread

from together_adapters.errors import ConfigurationError, hides_frames
from together_adapters.testing.contents import content_bytes, timed_bytes
from together_adapters.testing.exchange import Exchange
from together_adapters.testing.folders import Folders
from together_adapters.testing.matching import Index, RecordingMissError, describe_folder, describe_miss, nearest_exchange
from together_adapters.testing.redaction import Redaction, known_secrets, secrets_of_environment
from together_adapters.testing.requests import describe, reads_files
from together_adapters.testing.responses import GAVE_UP
from together_adapters.transport import network
from together_adapters.transport.http_library import byte_stream
from together_adapters.transport.observation import ORIGIN, Outgoing

__tracebackhide__ = hides_frames

logger = logging.getLogger("together_adapters")

_GRACE: Final = 5.0  # seconds beyond those after which a caller gave up when it was recorded


class Substitute(Protocol):
    """Answers what a recording does not have."""

    def send(self, outgoing: Outgoing) -> Any: ...
    async def send_async(self, outgoing: Outgoing) -> Any: ...
    def can_answer(self, outgoing: Outgoing) -> bool: ...


class Player:
    """A tape that answers from a recording. The n-th of equal requests gets the n-th response, further ones get the last."""

    def __init__(
        self,
        path: Path,
        exchanges: Sequence[Exchange] | None,
        *,
        pace: float,
        advice: str,
        substitute: Substitute | None,
        folders: Folders | None = None,
    ) -> None:
        self.misses: list[str] = []
        self._folders = folders or Folders()
        self.exchanges = [replace(exchange, response=self._folders.restore(exchange.response)) for exchange in exchanges or ()]
        self._index = Index(self.exchanges)
        self._exists = exchanges is not None
        self._path = path
        self._pace = pace
        self._advice = advice
        self._substitute = substitute
        self._lock = Lock()

    def send(self, outgoing: Outgoing, perform: Callable[[], Any]) -> Any:
        if outgoing.client.is_closed:
            return perform()
        request = describe(outgoing)
        if (exchange := self._next(request)) is None:
            return self._miss(outgoing, request).send(outgoing)
        for hook in _hooks(outgoing, "request"):
            hook(outgoing.request)
        answer = self._answer(exchange, outgoing)
        for pause in answer.pauses:
            time.sleep(pause)
        if answer.error is not None:
            raise answer.error
        for hook in _hooks(outgoing, "response"):
            hook(answer.response)
        return answer.response

    async def send_async(self, outgoing: Outgoing, perform: Callable[[], Awaitable[Any]]) -> Any:
        if outgoing.client.is_closed:
            return await perform()
        request = await anyio.to_thread.run_sync(describe, outgoing) if reads_files(outgoing) else describe(outgoing)
        if (exchange := self._next(request)) is None:
            return await self._miss(outgoing, request).send_async(outgoing)
        for hook in _hooks(outgoing, "request"):
            await hook(outgoing.request)
        answer = self._answer(exchange, outgoing)
        for pause in answer.pauses:
            await anyio.sleep(pause)
        if answer.error is not None:
            raise answer.error
        for hook in _hooks(outgoing, "response"):
            await hook(answer.response)
        return answer.response

    def refuse(self, feature: str) -> None:
        raise ConfigurationError(f"{feature} cannot be replayed: leave it out of `replay`, or test it with the emulator")

    def _next(self, request: Mapping[str, Any]) -> Exchange | None:
        """Returns the exchange for a request: the first that was not used, else the last."""
        with self._lock:
            matches = self._index.find(self._folders.hide(request)) or self._index.find(request)
            exchange = next((exchange for exchange in matches if not exchange.is_used), matches[-1] if matches else None)
            if exchange is not None:
                exchange.is_used = True
            return exchange

    def _miss(self, outgoing: Outgoing, request: Mapping[str, Any]) -> Substitute:
        """Notes a miss; returns what answers it, or raises."""
        secrets = [outgoing.config.api_key, *known_secrets(outgoing.request.headers, {}), *secrets_of_environment()]
        current = Redaction(secrets, folders=self._folders).request(request)
        target = current.get("path") or current.get("url")
        advice = self._advice
        message = f"there is no recording {self._path}, which would answer {current['method']} {target}"
        if self._exists:
            nearest = nearest_exchange(self.exchanges, current)
            message = f"{self._path} has no answer to {current['method']} {target}: {describe_miss(nearest, current)}"
            advice = (nearest and describe_folder(nearest, current)) or advice
        self.misses.append(message)
        logger.warning("%s", message)
        if self._substitute is None or not self._substitute.can_answer(outgoing):
            raise RecordingMissError(f"{message}\n{advice}")
        return self._substitute

    def _answer(self, exchange: Exchange, outgoing: Outgoing) -> _Answer:
        if exchange.failure is not None:
            return _failure(exchange.failure, outgoing, self._pace, _source(self._path, exchange))
        response = exchange.response or {}
        limit = _read_limit(outgoing)
        pause = self._pace * response.get("after", 0.0)
        if limit is not None and pause > limit:
            return _Answer([limit], network.ReadTimeout("no response in time"))
        module = outgoing.http_library.module
        stream = byte_stream(outgoing.http_library, _PlayedStream)(exchange, outgoing, self._pace, self._path)
        headers = _headers(response)
        played_response = module.Response(
            response["status"],
            headers=headers,
            stream=stream,
            request=outgoing.request,
            extensions={ORIGIN: _source(self._path, exchange)},
        )
        return _Answer([pause] if pause else [], response=played_response)


class _Answer(NamedTuple):
    """What a request gets, after some pauses."""

    pauses: list[float]
    error: Exception | None = None
    response: Any = None


class _PlayedStream:
    """A recorded response body of either flavour, at its pace."""

    def __init__(self, exchange: Exchange, outgoing: Outgoing, pace: float, path: Path) -> None:
        self._response = exchange.response or {}
        self._exchange = exchange
        self._outgoing = outgoing
        self._pace = pace
        self._path = path
        self._steps = self._play()
        self._failure: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        for pause, data in self._steps:
            if pause:
                time.sleep(pause)
            if data:
                yield data
        if self._failure is not None:
            raise self._failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for pause, data in self._steps:
            if pause:
                await anyio.sleep(pause)
            if data:
                yield data
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        self._steps.close()

    async def aclose(self) -> None:
        self._steps.close()

    def _play(self) -> Generator[tuple[float, bytes], None, None]:
        """Yields each part of the body with the seconds to wait before it. A reader who is slow waits less, as on a network."""
        start, due = time.monotonic(), 0.0
        for after, data in _parts(self._response):
            due += self._pace * after
            pause = max(start + due - time.monotonic(), 0.0)
            limit = _read_limit(self._outgoing)
            if limit is not None and pause > limit:
                self._failure = network.ReadTimeout("no data in time")
                yield limit, b""
                return
            yield pause, data
        if failure := self._response.get("failure"):
            answer = _failure(failure, self._outgoing, self._pace, _source(self._path, self._exchange))
            self._failure = answer.error
            yield from ((pause, b"") for pause in answer.pauses)
        elif self._response.get("incomplete"):
            self._failure = RecordingMissError(
                f"{self._path} has no more of {self._exchange}: the client left it there when it was recorded"
            )


def _parts(response: Mapping[str, Any]) -> Iterator[tuple[float, bytes]]:
    if response.keys() & {"events", "chunks"}:
        yield from timed_bytes(response)
    else:
        yield 0.0, content_bytes(response)


def _headers(response: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the headers of a response, with the length that its body has now: a person may have edited it."""
    headers = {name.lower(): str(value) for name, value in (response.get("headers") or {}).items()}
    if "content-length" in headers and not response.keys() & {"failure", "incomplete"}:
        headers["content-length"] = str(sum(len(data) for _, data in _parts(response)))
    return list(headers.items())


def _read_limit(outgoing: Outgoing) -> float | None:
    """Returns the seconds that the next read may take; the driver changes them while it reads."""
    limit = outgoing.request.extensions.get("timeout", {}).get("read")
    return limit.left() if isinstance(limit, network.Until) else limit


def _source(path: Path, exchange: Exchange) -> str:
    return f"replayed from {path}, exchange {exchange.number}"


def _failure(failure: Mapping[str, Any], outgoing: Outgoing, pace: float, source: str) -> _Answer:
    """Returns a recorded failure. One of time takes time, but not longer than the limits of the call as they are now."""
    name, message = failure["error"], failure.get("message", "")
    deadline = outgoing.attempt.deadline
    if name == GAVE_UP:
        seconds = failure.get("after", 0.0) + _GRACE if deadline is None else max(deadline - time.monotonic(), 0.0)
        error: Exception = network.ReadTimeout(message)
        if deadline is None:
            error = RecordingMissError(f"no response is recorded: the caller gave up after {failure.get('after', 0.0):g} s")
        error.add_note(source)
        return _Answer([seconds], error)
    error = _error(name, message, outgoing)
    error.add_note(source)
    if isinstance(error, network.StaleConnection):
        error.unsent = failure.get("unsent", False)
    return _Answer([pace * failure.get("after", 0.0)] if "Timeout" in name else [], error)


def _error(name: str, message: str, outgoing: Outgoing) -> Exception:
    """Returns an exception of the transport layer or of the HTTP library by its name."""
    for module, options in ((network, {}), (outgoing.http_library.module, {"request": outgoing.request})):
        kind = getattr(module, name, None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind(message, **options)
    raise ConfigurationError(f"the recording has the failure {name!r}, which {outgoing.http_library.name} does not know")


def _hooks(outgoing: Outgoing, kind: str) -> list[Any]:
    """Returns the event hooks of a client that the user supplied, which httpx calls around its transport."""
    return list(outgoing.client.event_hooks[kind])
