"""Answers that take longer than the event loop may wait: they are made in threads of their own."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from typing import Any

from together_adapters.emulator.errors import ApiError


class Pending(ABC):
    """What a handler returns in place of a response that somebody else makes."""

    @abstractmethod
    def result(self) -> Any:
        """Makes the response, in the thread of its caller; raises `ApiError`."""

    @abstractmethod
    def cancel(self) -> None:
        """Ends `result` early, from any thread: nobody wants the response."""

    async def wait(self) -> Any:
        """Returns the response. A client that leaves ends it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def settle(set: Callable[[Any], None], value: Any) -> None:
            if not done.done():
                set(value)

        def work() -> None:
            outcome: tuple[Callable[[Any], None], Any]
            try:
                outcome = done.set_result, self.result()
            except Exception as error:
                outcome = done.set_exception, error
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, *outcome)

        threading.Thread(target=work, name="together-emulator-engine", daemon=True).start()
        try:
            return await done
        except asyncio.CancelledError:
            self.cancel()
            raise


async def read_in_thread(lines: Iterator[bytes], cancel: Callable[[], None]) -> AsyncGenerator[bytes, None]:
    """Yields what a blocking iterator yields in a thread. Leaving early calls `cancel`, which must end the iterator."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | ApiError | None] = asyncio.Queue()

    def put(item: bytes | ApiError | None) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def work() -> None:
        try:
            for line in lines:
                put(line)
            put(None)
        except ApiError as error:
            put(error)

    threading.Thread(target=work, name="together-emulator-engine", daemon=True).start()
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, ApiError):
                raise item
            yield item
    finally:
        cancel()
