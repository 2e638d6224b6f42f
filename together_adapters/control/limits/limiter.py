"""The limiter of a control, for any number of threads and event loops: it hands what happens to the queue, and lets turns wait.

What happens is put into an inbox, which whoever is there first empties: no thread waits for another, and garbage collection may end a
stream in the middle of it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf
from threading import Event, Lock
from typing import Any, Final

import anyio

from together_adapters.control.limits.admission_queue import AdmissionQueue, Permits, Ticket
from together_adapters.control.limits.rates import MINUTE
from together_adapters.errors import ConfigurationError

_STATE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class LimiterState:
    """What a limiter knows and does. A limit is the one that was set or the one that was learned, whichever is lower.

    Attributes:
        in_flight: Requests that are under way.
        waiting: Requests that wait for their turn.
        requests_per_minute: Requests that may be sent in a minute; None while neither the user nor the service limits them.
        tokens_per_minute: Tokens that may be sent and received in a minute; None while nobody limits them.
        max_concurrency: Requests that may be under way at the same time; None while nobody limits them.
        cooling_down_until: When requests are sent again after the service refused one; None if they are.
    """

    in_flight: int
    waiting: int
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_concurrency: int | None = None
    cooling_down_until: datetime | None = None


class Limiter:
    """Grants turns in the order of arrival."""

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        max_concurrency: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        limits = {
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "max_concurrency": max_concurrency,
        }
        for name, limit in limits.items():
            if limit is not None and not 0 < limit < inf:
                raise ConfigurationError(f"{name}={limit!r} must be more than 0; None for what the service allows")
        if max_concurrency is not None and max_concurrency < 1:
            raise ConfigurationError(f"max_concurrency={max_concurrency!r} must be at least 1")
        self.queue = AdmissionQueue(requests_per_minute, tokens_per_minute, max_concurrency)
        self.clock = clock
        self._inbox: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._lock = Lock()

    def share(self, permits: Permits) -> None:
        """Shares the limits with other processes."""
        self.queue.permits = permits

    def close(self) -> None:
        """Closes the connection to what is shared; the next request opens it again."""
        if self.queue.permits is not None:
            self.queue.permits.close()

    def turn(self, tokens: float) -> LimiterTurn:
        """Returns the turn of a request of so many tokens, which has yet to join the queue."""
        return LimiterTurn(self, tokens)

    def tell(self, event: Callable[..., object], *details: Any) -> None:
        """Hands an event to the queue, with its details and the time; here, or in the thread that is at it."""
        inbox, lock = self._inbox, self._lock
        inbox.append((event, details))
        while inbox and lock.acquire(blocking=False):
            try:
                while inbox:
                    event, details = inbox.popleft()
                    event(*details, self.clock())
            finally:
                lock.release()

    def state(self) -> LimiterState:
        """Returns what is known of the limits, and what is under way."""
        states: list[LimiterState] = []
        end = time.monotonic() + _STATE_SECONDS
        while not states:
            self.tell(lambda now: states.append(self._state(now)))
            if not states and time.monotonic() > end:  # a signal's handler asks, in the middle of an event of its own thread
                return self._state(self.clock())
            time.sleep(0)  # another thread may be at it
        return states[0]

    def _state(self, now: float) -> LimiterState:
        queue = self.queue
        pause = queue.pause_until - now
        return LimiterState(
            queue.in_flight,
            queue.waiting,
            _per_minute(queue.requests.value),
            _per_minute(queue.tokens.value),
            queue.concurrency.limit,
            datetime.now(UTC) + timedelta(seconds=pause) if pause > 0 else None,
        )


def _per_minute(rate: float) -> float | None:
    return None if rate == inf else rate * MINUTE


class LimiterTurn(Ticket):
    """The turn of one request: join the queue, wait if that does not grant it, then end it by `release` or `cancel`.

    Args:
        limiter: Who grants it.
        tokens: An estimate of what it uses; None for the average of late, which is as good while nothing limits tokens.
        number: The number of the call's last request, which the next one takes over.
    """

    waited = 0.0  # seconds
    _has_asked = False
    _wake: Callable[[], object] | None = None

    def __init__(self, limiter: Limiter, tokens: float | None, number: int | None = None) -> None:
        queue = limiter.queue
        self.tokens = queue.tokens.average if tokens is None else tokens
        self.number = next(queue.numbers) if number is None else number
        self._limiter = limiter

    def join(self) -> bool:
        """Joins the queue, unless it has; returns whether the request may be sent already."""
        if not (self._has_asked or self.is_over):
            self._has_asked = True
            self._limiter.tell(self._limiter.queue.join, self)
        return self.granted

    def wait(self, deadline: float | None) -> bool:
        """Blocks until the request may be sent. Returns False if the deadline passed, or if the turn was cancelled."""
        start = self._limiter.clock()
        try:
            if self.join():
                return True
            event = Event()
            self._wake = event.set
            while self._has_to_wait(deadline):
                event.wait(self._seconds(deadline))
                event.clear()
                self._retry()
        except BaseException:
            self.cancel()
            raise
        return self._end_wait(start)

    async def wait_async(self, deadline: float | None) -> bool:
        """Waits until the request may be sent. Returns False if the deadline passed, or if the turn was cancelled."""
        start = self._limiter.clock()
        try:
            if self.join():
                return True
            run_in_loop = _loop_runner()
            while True:
                event = anyio.Event()
                self._wake = partial(run_in_loop, event.set)
                if not self._has_to_wait(deadline):
                    break
                with anyio.move_on_after(self._seconds(deadline)):
                    await event.wait()
                self._retry()
        except BaseException:
            self.cancel()
            raise
        return self._end_wait(start)

    def headers(self, status: int, headers: Mapping[str, str]) -> None:
        """Tells the head of a response whose body follows."""
        self._limiter.tell(self._limiter.queue.answer, self, status, headers, None)

    def release(
        self,
        status: int | None,
        headers: Mapping[str, str] = {},
        tokens: int | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """Ends the request.

        Args:
            status: The status of the response; None if none came.
            headers: Its headers.
            tokens: The tokens that it used; None if nobody knows.
            error: The body of a refusal.
        """
        self._limiter.tell(self._limiter.queue.finish, self, status, headers, error, tokens)

    def cancel(self) -> None:
        """Gives the place back, whether it waits or is in flight."""
        if not self.is_over:
            self._limiter.tell(self._limiter.queue.leave, self)

    def wake(self) -> None:
        """Wakes whoever waits. The loop of one that never ran on may be closed."""
        if self._wake is not None:
            try:
                self._wake()
            except RuntimeError:
                self._limiter.tell(self._limiter.queue.leave, self)

    def _retry(self) -> None:
        """Asks again, after an alarm or a call."""
        if not self.granted:
            self._limiter.tell(self._limiter.queue.advance)

    def _has_to_wait(self, deadline: float | None) -> bool:
        return not (self.granted or self.is_over or (deadline is not None and self._limiter.clock() >= deadline))

    def _seconds(self, deadline: float | None) -> float | None:
        """Returns how long to wait at most, None without a limit."""
        times = [at for at in (self.alarm, deadline) if at is not None]
        return max(min(times) - self._limiter.clock(), 0.0) if times else None

    def _end_wait(self, start: float) -> bool:
        self.waited = self._limiter.clock() - start
        self._wake = None
        if self.granted and not self.is_over:
            return True
        self.cancel()
        return False


def _loop_runner() -> Callable[[Callable[[], object]], object]:
    """Returns what runs a function soon in the event loop that runs here, from any thread."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        from trio.lowlevel import current_trio_token

        return current_trio_token().run_sync_soon
