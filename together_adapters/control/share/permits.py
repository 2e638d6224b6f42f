"""Permits of the store for requests that are next in the queue: one thread asks for them, so that no event loop waits for a file.

The thread runs while something waits or is in flight, and a little longer. If the store fails, the process goes on with its part of the
limits, and tries the store again now and then.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from together_adapters.control.limits.admission_queue import Ticket
from together_adapters.control.share.state import MEMBER_SECONDS, Limits, SharedState
from together_adapters.control.share.stores import Store, transact

if TYPE_CHECKING:
    from together_adapters.control.limits.limiter import Limiter

_BEAT_SECONDS: Final = MEMBER_SECONDS / 4  # between two signs of life
_IDLE_SECONDS: Final = 5.0  # until the thread ends that has nothing to do
_RETRY_SECONDS: Final = 5.0  # until a store that failed is tried again
_CLOSE_SECONDS: Final = 1.0

_log = logging.getLogger("together_adapters")


@dataclass(frozen=True, slots=True)
class Permit:
    """One request that may be sent."""

    slot: int | None  # where the store has counted it; None: the store has failed, and knows nothing of it
    tokens: float


@dataclass(slots=True)
class _News:
    """What the store has to be told."""

    corrections: list[tuple[int, tuple[float, float]]] = field(default_factory=list)  # slots, with requests and tokens
    pause: float = 0.0


class Permits:
    """Asks the store for permits, one at a time, and gives them back.

    Args:
        store: What all processes share.
        limits: The limits of this process.
        limiter: Who has the queue.
    """

    def __init__(self, store: Store, limits: Limits, limiter: Limiter) -> None:
        self._store = store
        self._limits = limits
        self._limiter = limiter
        self._name = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._inbox: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._lock = threading.Lock()  # of the thread's start and end
        self._thread: threading.Thread | None = None
        # What follows belongs to the thread.
        self._closed: threading.Event | None = None  # to set when the store knows all
        self._ticket: Ticket | None = None
        self._in_flight = 0  # requests in flight
        self._news = _News()
        self._size = 1  # processes at work, as of the last visit
        self._retry_at: float | None = None  # not None: the store has failed

    def request(self, ticket: Ticket | None) -> None:
        """Asks for a permit for the first of the queue, if there is one, and no longer for the one before it."""
        self._put(partial(setattr, self, "_ticket", ticket))

    def end(self, permit: Permit, tokens: float | None) -> None:
        """Ends a request that had a permit, and says which tokens it has used, if that is known."""
        self._put(partial(self._note_end, permit, 0.0, 0.0 if tokens is None else tokens - permit.tokens))

    def give_back(self, permit: Permit) -> None:
        """Gives a permit back of a request that was not sent."""
        self._put(partial(self._note_end, permit, -1.0, -permit.tokens))

    def pause(self, seconds: float) -> None:
        """Lets all processes wait: the service asked for it."""
        self._put(partial(self._note_pause, seconds))

    def close(self) -> None:
        """Tells the store what it does not know yet, and closes the connection. The next use goes on."""
        if self._thread is not None:
            closed = threading.Event()
            self._put(partial(setattr, self, "_closed", closed))
            closed.wait(_CLOSE_SECONDS)

    def _put(self, message: Callable[[], object]) -> None:
        self._inbox.put(message)
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="together-share", daemon=True)
                with suppress(RuntimeError):  # the interpreter is exiting
                    thread.start()
                    self._thread = thread

    def _note_end(self, permit: Permit, requests: float, tokens: float) -> None:
        self._in_flight -= 1
        if permit.slot is not None and (requests or tokens):
            self._news.corrections.append((permit.slot, (requests, tokens)))

    def _note_pause(self, seconds: float) -> None:
        self._news.pause = max(self._news.pause, seconds)

    def _work(self) -> None:
        timeout = 0.0
        while self._read_inbox(timeout) or not self._has_ended():
            try:
                timeout = self._visit()
            except Exception as error:
                timeout = self._fail(error)

    def _read_inbox(self, timeout: float) -> bool:
        """Reads the messages, and waits for the first; returns False if none came."""
        count = 0
        with suppress(Empty):
            self._inbox.get(timeout=timeout)()
            count += 1
            while True:
                self._inbox.get_nowait()()
        return count > 0

    def _has_ended(self) -> bool:
        """Ends the work of the thread, if there is nothing to do."""
        is_busy = self._ticket is not None or self._in_flight > 0
        if not is_busy:
            with suppress(Exception):
                if self._retry_at is None:
                    transact(self._store, lambda state: state.leave(self._name))
            self._store.close()
        if self._closed is not None:
            self._closed.set()
            self._closed = None
        with self._lock:
            if is_busy or not self._inbox.empty():
                return False
            self._thread = None
            return True

    def _visit(self) -> float:
        """Tells the store what is new, and asks for the permit; returns the seconds after which to come again."""
        ticket = self._ticket
        if ticket is not None and (ticket.is_over or ticket.permit is not None):
            ticket = self._ticket = None
        if self._retry_at is not None and time.monotonic() < self._retry_at:
            return self._go_on(ticket, Permit(None, 0.0))

        def change(state: SharedState) -> tuple[float, int, int]:
            state.visit(self._name, self._in_flight)
            for slot, difference in self._news.corrections:
                state.settle(slot, difference, self._limits)
            state.pause(self._news.pause)
            if ticket is None:
                state.withdraw(self._name)
            wait = 0.0 if ticket is None else state.admit(self._name, ticket.tokens, self._limits)
            return wait, state.slot, state.size

        wait, slot, self._size = transact(self._store, change)
        self._news = _News()
        if self._retry_at is not None:
            self._recover()
        return wait or self._go_on(ticket, Permit(slot, 0.0 if ticket is None else ticket.tokens))

    def _go_on(self, ticket: Ticket | None, permit: Permit) -> float:
        """Hands the permit over, if one was wanted."""
        if ticket is not None:
            self._in_flight += 1
            self._ticket = None
            self._limiter.tell(self._limiter.queue.permit, ticket, permit)
        if self._closed is not None:
            return 0.0
        return _BEAT_SECONDS if self._in_flight else _IDLE_SECONDS

    def _fail(self, error: Exception) -> float:
        """Goes on without the store."""
        if self._retry_at is None:
            _log.warning(
                "the limits are not shared any more, until the store works again: this process keeps to one part in %d of them (%s)",
                self._size,
                error,
            )
            self._limiter.tell(self._limiter.queue.divide, self._size)
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        return self._visit()

    def _recover(self) -> None:
        _log.warning("the limits are shared again")
        self._retry_at = None
        self._limiter.tell(self._limiter.queue.divide, 1)
