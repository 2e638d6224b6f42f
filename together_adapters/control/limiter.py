"""How many requests run at the same time: first come, first served, for threads and event loops alike."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio


@dataclass(frozen=True, slots=True)
class LimiterState:
    """What a limiter knows.

    Attributes:
        in_flight: Requests that are under way.
        waiting: Requests that wait for their turn.
    """

    in_flight: int
    waiting: int


class Limiter:
    """Lets a limited number of requests run at the same time."""

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        max_concurrency: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_concurrency = max_concurrency
        self.clock = clock
        self.lock = threading.Lock()
        self.queue: deque[LimiterTurn] = deque()
        self.in_flight = 0

    def turn(self, tokens: int, *, place: object | None = None) -> LimiterTurn:
        """Joins the queue."""
        return LimiterTurn(self)

    def state(self) -> LimiterState:
        """Returns what is under way."""
        with self.lock:
            return LimiterState(self.in_flight, len(self.queue))

    def is_free(self) -> bool:
        return self.max_concurrency is None or self.in_flight < self.max_concurrency

    def admit(self) -> None:
        """Grants the first turns of the queue, as far as they are free. The lock is held."""
        while self.queue and self.is_free():
            self.in_flight += 1
            self.queue.popleft().grant()


class LimiterTurn:
    """The place of one request."""

    place: object = None

    def __init__(self, limiter: Limiter) -> None:
        self.granted = False
        self.waited = 0.0
        self._limiter = limiter
        self._is_over = False
        self._wake: Callable[[], object] = lambda: None

    def grant(self) -> None:
        self.granted = True
        self._wake()

    def _join(self, wake: Callable[[], object]) -> bool:
        """Joins the queue; whether it is the turn of the request at once."""
        limiter = self._limiter
        with limiter.lock:
            if self._is_over:
                return False
            if not limiter.queue and limiter.is_free():
                limiter.in_flight += 1
                self.granted = True
            else:
                self._wake = wake
                limiter.queue.append(self)
            return self.granted

    def wait(self, deadline: float | None) -> bool:
        event = threading.Event()
        if self._join(event.set):
            return True
        start = self._limiter.clock()
        try:
            event.wait(None if deadline is None else max(deadline - start, 0))
        except BaseException:
            self.cancel()
            raise
        return self._end_wait(start)

    async def wait_async(self, deadline: float | None) -> bool:
        loop: Any = None
        event = anyio.Event()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if self._join(lambda: _set_in(loop, event)):
            return True
        start = self._limiter.clock()
        try:
            with anyio.move_on_after(None if deadline is None else max(deadline - start, 0)):
                await event.wait()
        except BaseException:
            self.cancel()
            raise
        return self._end_wait(start)

    def _end_wait(self, start: float) -> bool:
        self.waited = self._limiter.clock() - start
        with self._limiter.lock:
            is_admitted = self.granted and not self._is_over
        if not is_admitted:
            self.cancel()
        return is_admitted

    def headers(self, status: int | None, headers: Mapping[str, str]) -> None:
        """Gets the head of a response whose body follows."""

    def release(
        self,
        *,
        status: int | None,
        headers: Mapping[str, str] = {},
        tokens: int | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """Ends the request."""
        self.cancel()

    def cancel(self) -> None:
        """Gives the place back."""
        limiter = self._limiter
        with limiter.lock:
            if self._is_over:
                return
            self._is_over = True
            if self.granted:
                limiter.in_flight -= 1
            elif self in limiter.queue:
                limiter.queue.remove(self)
            limiter.admit()
        if not self.granted:
            self._wake()


def _set_in(loop: Any, event: anyio.Event) -> None:
    """Sets an event of a loop from any thread."""
    if loop is not None and not loop.is_closed():
        loop.call_soon_threadsafe(event.set)
