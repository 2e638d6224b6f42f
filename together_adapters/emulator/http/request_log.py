"""The requests that the emulator has received, so that tests can check what a client sends."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Self

DEFAULT_KEEP_BYTES: Final = 64 * 2**20
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})


class _Secret(str):
    """The value of a header that no failure of a test may show; it compares and prints like any text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{self.partition(' ')[0]} [hidden]'" if " " in self else "'[hidden]'"


def header_value(name: str, value: str) -> str:
    """Returns the value of a header, such that `repr` hides keys."""
    return _Secret(value) if name in _SECRET_HEADERS else value


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it was received. `connection` identifies its TCP connection (`host:port` of the client).

    `repr` shows neither keys nor the body. The bodies of old requests are dropped (see `keep_bytes` of `serve`); reading such a
    `body` or `json` is a `LookupError`.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    connection: str
    http_version: str = "1.1"

    @cached_property
    def json(self) -> Any:
        """The parsed body, or None when it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def has_body(self) -> bool:
        """False once its body is dropped."""
        return "body" in self.__dict__

    def without_body(self) -> Self:
        """Returns a copy whose body is dropped."""
        copy = object.__new__(type(self))
        copy.__dict__.update({name: value for name, value in self.__dict__.items() if name not in ("body", "json")})
        return copy

    def __getattr__(self, name: str) -> Any:
        if name == "body":
            raise LookupError(
                f"the body of this request to {self.path} was dropped, because newer requests needed its place: "
                "keep more with serve(keep_bytes=...), or look at it earlier"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class RequestLog:
    """The last `keep` requests with `keep_bytes` bytes, counters, and unexpected exceptions of the emulator itself. Thread-safe."""

    def __init__(self, keep: int = 20_000, keep_bytes: int = DEFAULT_KEEP_BYTES) -> None:
        self._lock = threading.Lock()
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._requests: dict[int, RecordedRequest] = {}
        self._with_body: deque[int] = deque()
        self._size = 0
        self._count = 0
        self._errors: deque[str] = deque(maxlen=100)
        self.drop_count = 0
        self.disconnects = 0
        self.in_flight = 0
        self.most_in_flight = 0

    @property
    def requests(self) -> list[RecordedRequest]:
        """A copy of the list of requests, oldest first."""
        with self._lock:
            return list(self._requests.values())

    @property
    def errors(self) -> list[str]:
        """Tracebacks of unexpected exceptions."""
        with self._lock:
            return list(self._errors)

    def clear(self) -> None:
        """Removes requests and errors, and resets counters; requests in flight stay counted."""
        with self._lock:
            self._requests.clear()
            self._with_body.clear()
            self._errors.clear()
            self._size = self.drop_count = self.disconnects = 0
            self.most_in_flight = self.in_flight

    @contextmanager
    def watch(self, request: RecordedRequest) -> Iterator[Callable[[], None]]:
        """Records a request, and counts it as in flight during the block, or until what it yields is called."""
        with self._lock:
            self._add(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        is_over = False

        def end() -> None:
            nonlocal is_over
            with self._lock:
                self.in_flight -= not is_over
                is_over = True

        try:
            yield end
        finally:
            end()

    def _add(self, request: RecordedRequest) -> None:
        """Adds a request; the oldest bodies, then the oldest requests make room."""
        self._requests[self._count] = request
        if request.body:
            self._with_body.append(self._count)
        self._count += 1
        self._size += _size(request)
        while self._size > self._keep_bytes and self._with_body:
            number = self._with_body.popleft()
            self._size -= len(self._requests[number].body)
            self._requests[number] = self._requests[number].without_body()
        while len(self._requests) > self._keep or self._size > self._keep_bytes:
            number = next(iter(self._requests))
            self._size -= _size(self._requests.pop(number))
            self.drop_count += 1
            if self._with_body and self._with_body[0] == number:
                self._with_body.popleft()

    def count_disconnect(self) -> None:
        """Counts a client that disconnected before its response was complete."""
        with self._lock:
            self.disconnects += 1

    def record_error(self, error: BaseException) -> None:
        """Stores the traceback of a bug in the emulator, and writes it to stderr."""
        text = "".join(traceback.format_exception(error))
        with self._lock:
            self._errors.append(text)
        sys.stderr.write(text)


def _size(request: RecordedRequest) -> int:
    headers = sum(len(name) + len(value) for name, value in request.headers.items())
    return len(request.path) + len(request.query) + headers + (len(request.body) if request.has_body else 0)
