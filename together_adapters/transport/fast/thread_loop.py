"""Awaits in a thread without an event loop: wreq's own synchronous calls wait where neither Ctrl-C nor `close` reaches them."""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from together_adapters.transport.network import ReadTimeout

T = TypeVar("T")

_SLICE = 1.0  # seconds: a signal that comes just before a wait does not end it


class ThreadLoop(asyncio.AbstractEventLoop):
    """As much of an event loop as an await of wreq needs: it waits for the file descriptor with which wreq wakes its loops.

    It works inside of a running event loop as well, which waits meanwhile.
    """

    def __init__(self) -> None:
        self._poll: Any = select.poll() if hasattr(select, "poll") else None  # cheaper than `selectors`; Windows has none
        self._readers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        self._ready: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def run(self, awaitable: Coroutine[Any, Any, T], seconds: float | None) -> T:
        """Returns the result. An exception while it waits, as of Ctrl-C, ends what is awaited.

        Raises:
            ReadTimeout: It takes longer than so many seconds.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while True:
                future = awaitable.send(None)
                while future is not None and not future.done():
                    self._wait(seconds)
                    if deadline is not None and not future.done():
                        seconds = max(deadline - time.monotonic(), 0)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except BaseException:
            awaitable.close()
            raise
        finally:
            asyncio._set_running_loop(outer)

    def _wait(self, seconds: float | None) -> None:
        wait = _SLICE if seconds is None else min(seconds, _SLICE)
        if self._poll:
            ready = [number for number, _ in self._poll.poll(wait * 1000)]
        else:
            ready = select.select(self._readers, [], [], wait)[0]
        if not ready and seconds == 0:
            raise ReadTimeout("no time is left")
        for number in ready:
            callback, arguments = self._readers[number]
            callback(*arguments)
        while self._ready:
            callback, arguments = self._ready.popleft()
            callback(*arguments)

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        self._ready.append((callback, args))

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        self._readers[_number(fd)] = (callback, args)
        if self._poll:
            self._poll.register(fd, select.POLLIN)

    def call_later(self, *args: Any, **options: Any) -> Any:  # type: ignore[override]
        """Wreq comes here only after `add_reader` failed, which Ctrl-C alone makes it do, and forgets why."""
        raise KeyboardInterrupt

    def remove_reader(self, fd: Any) -> bool:
        if self._poll:
            self._poll.unregister(fd)
        return self._readers.pop(_number(fd), None) is not None

    def close(self) -> None:
        self._readers.clear()


def _number(fd: Any) -> int:
    return fd if isinstance(fd, int) else fd.fileno()


class _Owner:
    """What closes a loop when its thread ends; wreq and the loop refer to each other, and would never be freed."""

    def __init__(self) -> None:
        self.loop = ThreadLoop()  # type: ignore[abstract]

    def __del__(self) -> None:
        self.loop.close()


class _Threads(threading.local):
    """What each thread has."""

    def __init__(self) -> None:
        self.owner = _Owner()


_thread = _Threads()


def run(awaitable: Coroutine[Any, Any, T], seconds: float | None) -> T:
    """Awaits in this thread, for so many seconds at most."""
    return _thread.owner.loop.run(awaitable, seconds)


def _forget_loops() -> None:
    """Gives a child loops of its own: those of its parent would wake both."""
    global _thread  # noqa: PLW0603
    _thread = _Threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_loops)
