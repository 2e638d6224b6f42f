"""The requests that the emulator has received, so that tests can check what a client sends."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it was received. `connection` identifies its TCP connection (`host:port` of the client)."""

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


class RequestLog:
    """The last `keep` requests, counters, and unexpected exceptions of the emulator itself. Thread-safe."""

    def __init__(self, keep: int = 20_000) -> None:
        self._lock = threading.Lock()
        self._requests: deque[RecordedRequest] = deque(maxlen=keep)
        self._errors: list[str] = []
        self.disconnects = 0
        self.in_flight = 0
        self.most_in_flight = 0

    @property
    def requests(self) -> list[RecordedRequest]:
        """A copy of the list of requests, oldest first."""
        with self._lock:
            return list(self._requests)

    @property
    def errors(self) -> list[str]:
        """Tracebacks of unexpected exceptions."""
        with self._lock:
            return list(self._errors)

    def clear(self) -> None:
        """Removes requests and errors, and resets counters; requests in flight stay counted."""
        with self._lock:
            self._requests.clear()
            self._errors.clear()
            self.disconnects = 0
            self.most_in_flight = self.in_flight

    @contextmanager
    def watch(self, request: RecordedRequest) -> Iterator[None]:
        """Records a request, and counts it as in flight during the block."""
        with self._lock:
            self._requests.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            yield
        finally:
            with self._lock:
                self.in_flight -= 1

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
