"""Calls of threads that are made at about the same time and travel as one job; `together_adapters.bulk.window` has those of tasks.

Many steps of a chain have no batch of their own: langchain-core invokes them in threads, one for each input.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from langchain_together_adapters.bulk.jobs import Jobs, Outcome, result
from together_adapters.transport.call import Call, Flow

if TYPE_CHECKING:
    from together_adapters.bulk import BatchAPI
    from together_adapters.client import ClientPair

_MAX_WINDOWS: Final = 30  # how many times its length a window stays open for calls that keep coming


class ThreadWindow:
    """Collects the calls of threads, and sends them once no other has come for a while."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: list[tuple[Call[Any], Future[Outcome]]] = []
        self._last_time = 0.0

    def answer(self, flow: Flow[Any], jobs: Jobs) -> Any:
        """Return the result of a flow whose calls travel in jobs."""
        return result(flow, lambda call: self._outcome(call, jobs))

    def _outcome(self, call: Call[Any], jobs: Jobs) -> Outcome:
        future: Future[Outcome] = Future()
        with self._lock:
            self._waiting.append((call, future))
            self._last_time = time.monotonic()
            is_first = len(self._waiting) == 1
        if is_first:
            self._send(jobs)
        return future.result()

    def _send(self, jobs: Jobs) -> None:
        """The thread of the first call does this for all."""
        try:
            self._wait(jobs.settings.window)
        finally:  # the user may interrupt
            with self._lock:
                waiting, self._waiting = self._waiting, []
        try:
            outcomes = jobs.send([call for call, _ in waiting])
        except BaseException:
            for _, future in waiting:
                future.cancel()
            raise
        for (_, future), outcome in zip(waiting, outcomes, strict=True):
            future.set_result(outcome)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + _MAX_WINDOWS * seconds
        while (remaining := min(self._last_time + seconds, end) - time.monotonic()) > 0:
            time.sleep(remaining)


_windows: WeakKeyDictionary[ClientPair, dict[BatchAPI, ThreadWindow]] = WeakKeyDictionary()


def window_of(clients: ClientPair, settings: BatchAPI) -> ThreadWindow:
    """Return the window of all calls with the same clients and settings."""
    return _windows.setdefault(clients, {}).setdefault(settings, ThreadWindow())
