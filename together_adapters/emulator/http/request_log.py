"""What the emulator remembers of the requests it saw, so that tests can ask what a client really sent."""

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
    """One request as it arrived. `connection` names the TCP connection it came on (`host:port` of the client)."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    connection: str
    http_version: str = "1.1"

    @cached_property
    def json(self) -> Any:
        """The parsed body, or None when it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class RequestLog:
    """Requests seen, counters, and the unexpected exceptions of the emulator itself. Safe to read from any thread.

    Only the last `keep` requests stay, so that a server that runs for days does not grow for ever.
    """

    def __init__(self, keep: int = 20_000) -> None:
        self._lock = threading.Lock()
        self._requests: deque[RecordedRequest] = deque(maxlen=keep)
        self._errors: list[str] = []
        self.disconnects = 0
        self.in_flight = 0
        self.most_in_flight = 0

    @property
    def requests(self) -> list[RecordedRequest]:
        """A copy of the list of requests seen, oldest first."""
        with self._lock:
            return list(self._requests)

    @property
    def errors(self) -> list[str]:
        """Tracebacks of exceptions that the emulator did not expect."""
        with self._lock:
            return list(self._errors)

    def clear(self) -> None:
        """Forget requests and counters; requests still in flight stay counted as such."""
        with self._lock:
            self._requests.clear()
            self._errors.clear()
            self.disconnects = 0
            self.most_in_flight = self.in_flight

    @contextmanager
    def watch(self, request: RecordedRequest) -> Iterator[None]:
        """Record a request, and count it as in flight for the time of the block."""
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
        """Count a client that went away before its answer was complete."""
        with self._lock:
            self.disconnects += 1

    def record_error(self, error: BaseException) -> None:
        """Keep the traceback of a bug in the emulator, and show it on stderr."""
        text = "".join(traceback.format_exception(error))
        with self._lock:
            self._errors.append(text)
        sys.stderr.write(text)
