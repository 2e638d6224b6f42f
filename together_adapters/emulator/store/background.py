"""Threads that work for the account after a response: checks of files, batches, evaluations. None outlives its emulator."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

_END_SECONDS: Final = 5.0


class BackgroundThreads:
    """The threads of one account. Their loops stop where `closed` is set."""

    def __init__(self) -> None:
        self.closed = False
        self._threads: set[threading.Thread] = set()

    def start(self, target: Callable[..., None], *args: Any) -> None:
        self._threads = {thread for thread in self._threads if thread.is_alive()}
        thread = threading.Thread(target=target, args=args, name="together-emulator-job", daemon=True)
        thread.start()
        self._threads.add(thread)

    def close(self) -> None:
        self.closed = True
        for thread in self._threads:
            thread.join(_END_SECONDS)
