"""Calls that are made at about the same time, by tasks that know nothing of each other, as requests of one run of batch jobs."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from together_adapters.bulk.jobs import SHARD_LINES as MAX_CALLS
from together_adapters.bulk.runs import MAX_CONCURRENCY, run_flow
from together_adapters.errors import ConfigurationError, TogetherError
from together_adapters.transport.call import Call, Flow, Parallel

if TYPE_CHECKING:
    from together_adapters.bulk.batch_api import BatchAPI
    from together_adapters.bulk.results import BulkItem
    from together_adapters.client import AsyncTogether

Outcome = Any
"""The JSON of a response, or the exception that came instead."""
_MAX_WINDOWS: Final = 30  # how many times its length a window stays open for calls that keep coming
_POLL: Final = 0.05  # seconds
_OPTIONS: Final = ("checkpoint", "poll_interval", "timeout", "max_jobs", "progress")
_turns: dict[str, Lock] = {}
"""Runs of this process with the same checkpoint take turns."""


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
        self._settings = settings
        self._groups: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, _Group]] = WeakKeyDictionary()
        self._spent = 0.0
        self._turn = self._new_turn()

    async def outcome(self, client: AsyncTogether, call: Call[Any]) -> Outcome:
        """Returns the response to a call as JSON, or raises what came instead."""
        _check(call, client)
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
            outcomes = await self._send(group.client, [*waiting.values()])
        except Exception as error:
            outcomes = [_copy(error) for _ in waiting]
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
        seconds, clock = self._settings.window, asyncio.get_running_loop().time
        end = group.opened + _MAX_WINDOWS * seconds
        while (remaining := min(group.changed + seconds, end) - clock()) > 0 and not group.is_full.is_set():
            try:
                await asyncio.wait_for(group.is_full.wait(), remaining)
            except TimeoutError:
                pass

    async def _send(self, client: AsyncTogether, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Returns the outcome of each call, from a run of jobs, or one by one where they are too few for one."""
        if len(calls) < self._settings.min_requests:
            outcomes: list[Outcome] = await client.perform(Parallel([_captured(call) for call in calls], MAX_CONCURRENCY))
            return outcomes
        async with self._turn_taken():
            options = {name: getattr(self._settings, name) for name in _OPTIONS}
            if (max_price := self._settings.max_price) is not None and self._settings.checkpoint is None:
                max_price = max(max_price - self._spent, 0.0)
            bodies: Any = [call.body for call in calls]
            results = await client.perform(
                run_flow(bodies, via="batch", endpoint=calls[0].path, max_price=max_price, is_part=True, **options)
            )
            try:
                self._spent += results.cost or 0.0
                return [_outcome(item) async for item in results]
            finally:
                results.close()

    def _new_turn(self) -> Lock | None:
        if (path := self._settings.checkpoint) is not None:
            return _turns.setdefault(os.path.abspath(path), Lock())
        return None if self._settings.max_price is None else Lock()

    @asynccontextmanager
    async def _turn_taken(self) -> AsyncIterator[None]:
        turn = self._turn  # of threads, because there may be several event loops
        while turn is not None and not turn.acquire(blocking=False):
            await asyncio.sleep(_POLL)
        try:
            yield
        finally:
            if turn is not None:
                turn.release()


_windows: WeakKeyDictionary[AsyncTogether, dict[BatchAPI, Window]] = WeakKeyDictionary()


def _check(call: Call[Any], client: AsyncTogether) -> None:
    if call.headers or call.query:
        raise ConfigurationError(
            "a request of a batch job cannot have headers or query parameters of its own: set default_headers and default_query "
            "of the client, or pass batch_api=None with this call"
        )
    if call.warning is not None:
        client.config.warn(call.warning)


def _tags(client: AsyncTogether) -> list[tuple[str, str]]:
    control: Any = client.config.control
    return sorted(control.current_tags().items()) if control is not None else []


def _outcome(item: BulkItem) -> Outcome:
    if item.error is not None:
        return item.error
    document: Mapping[str, Any] = item.response.model_dump(exclude_unset=True, warnings=False)
    return document


def _captured(call: Call[Any]) -> Flow[Outcome]:
    try:
        return (yield call)
    except TogetherError as error:
        return error


def _copy(error: Exception) -> Exception:
    """Returns an error for one of several tasks: a traceback grows whenever its error is raised."""
    duplicate = copy.copy(error).with_traceback(error.__traceback__)
    duplicate.__cause__ = error.__cause__
    return duplicate
