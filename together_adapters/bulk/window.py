"""Calls that are made at about the same time, by tasks that know nothing of each other, as requests of one run of batch jobs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from together_adapters.bulk.calls import CallRun, Outcome, check_call, copy_error
from together_adapters.bulk.jobs import SHARD_LINES as MAX_CALLS
from together_adapters.errors import TogetherError
from together_adapters.transport.call import Call, Flow

if TYPE_CHECKING:
    from together_adapters.bulk.batch_api import BatchAPI
    from together_adapters.client import AsyncTogether

MAX_WINDOWS: Final = 30  # how many times its length a window stays open for calls that keep coming


async def perform(client: AsyncTogether, settings: BatchAPI, flow: Flow[Any]) -> Any:
    """Returns the result of a flow whose calls travel in batch jobs, each with the calls that other tasks make at the same time.

    Tasks of one event loop travel together if they have the same client, settings, endpoint and tags. A task that is cancelled leaves
    the others their job; when the last of them leaves, nobody waits for it any more, but what was started continues at the service.
    """
    windows = _windows.setdefault(client, {})
    window = windows.get(settings) or windows.setdefault(settings, Window(settings))
    outcome: Outcome = None
    try:
        while True:
            call: Any = flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)
            try:
                outcome = await window.outcome(client, call)
            except TogetherError as error:
                outcome = error
    except StopIteration as stop:
        return stop.value
    finally:
        flow.close()


@dataclass(eq=False)
class _Group:
    """Calls of one client that travel together."""

    client: AsyncTogether
    calls: dict[asyncio.Future[Outcome], Call[Any]] = field(default_factory=dict)
    opened: float = 0.0
    changed: float = 0.0
    is_full: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    count: int = 0  # of the tasks that wait

    def add(self, call: Call[Any], now: float) -> asyncio.Future[Outcome]:
        future = asyncio.get_running_loop().create_future()
        self.calls[future] = call
        self.count += 1
        self.changed = now
        return future

    def leave(self) -> None:
        """Notes that a task waits no more; after the last of them, nothing is sent or waited for."""
        self.count -= 1
        if self.count == 0 and self.task is not None:
            self.task.cancel()

    def waiting(self) -> dict[asyncio.Future[Outcome], Call[Any]]:
        """Returns the calls that were not cancelled."""
        return {future: call for future, call in self.calls.items() if not future.done()}


class Window:
    """Collects calls, and sends them once no other has come for a while."""

    def __init__(self, settings: BatchAPI) -> None:
        self._calls = CallRun(settings)
        self._seconds = settings.window
        self._groups: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, _Group]] = WeakKeyDictionary()

    async def outcome(self, client: AsyncTogether, call: Call[Any]) -> Outcome:
        """Returns the response to a call as JSON, or raises what came instead."""
        check_call(call, client.config)
        loop = asyncio.get_running_loop()
        groups = self._groups.setdefault(loop, {})
        key = (call.path, *_tags(client))
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group(client, opened=loop.time())
            group.task = loop.create_task(self._run(groups, key, group))
        future = group.add(call, loop.time())
        if len(group.calls) >= MAX_CALLS:
            del groups[key]
            group.is_full.set()
        try:
            return await future
        except asyncio.CancelledError:
            group.leave()
            raise

    async def _run(self, groups: dict[Any, _Group], key: Any, group: _Group) -> None:
        """Sends a group when its window closes. This is a task of its own: that of the first call may be cancelled."""
        try:
            await self._closed(group)
        finally:
            if groups.get(key) is group:
                del groups[key]
        waiting = group.waiting()
        if not waiting:
            return
        try:
            outcomes = await group.client.perform(self._calls.outcomes([*waiting.values()]))
        except Exception as error:
            outcomes = [copy_error(error) for _ in waiting]
        except BaseException:  # the event loop ends
            for future in waiting:
                future.cancel()
            raise
        for future, outcome in zip(waiting, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    async def _closed(self, group: _Group) -> None:
        """Returns once no call has come for a window's length, calls have come for too long, or there are enough for a job."""
        seconds, clock = self._seconds, asyncio.get_running_loop().time
        end = group.opened + MAX_WINDOWS * seconds
        while (remaining := min(group.changed + seconds, end) - clock()) > 0 and not group.is_full.is_set():
            try:
                await asyncio.wait_for(group.is_full.wait(), remaining)
            except TimeoutError:
                pass


_windows: WeakKeyDictionary[AsyncTogether, dict[BatchAPI, Window]] = WeakKeyDictionary()


def _tags(client: AsyncTogether) -> list[tuple[str, str]]:
    control: Any = client.config.control
    return sorted(control.current_tags().items()) if control is not None else []
