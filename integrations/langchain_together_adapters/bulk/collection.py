"""The inputs of one batch on their way through a model: they go as far as their request, and on once a job has answered it.

Each input is a task that does what langchain-core does for one input (callbacks, cache, errors), so that nothing differs from a batch
without jobs. Tasks take a hundredth of the memory of threads; a batch of synchronous code runs them on an event loop of its own, which
stands still while the job is sent and waited for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from langchain_together_adapters.bulk.jobs import Jobs, Outcome, aresult
from together_adapters.transport.call import Call, Flow

current: ContextVar[Collection | None] = ContextVar("collection", default=None)
"""That of the batch to which the running task belongs."""


class Collection:
    """The inputs of a batch.

    Args:
        jobs: What sends their requests.
        inputs: Functions that start the inputs; each may call `answer`.
    """

    def __init__(self, jobs: Jobs, inputs: Sequence[Callable[[], Awaitable[Any]]]) -> None:
        self.jobs = jobs
        self._inputs = inputs
        self._running = len(inputs)
        self._waiting: list[tuple[Call[Any], asyncio.Future[Outcome]]] = []
        self._finished: deque[tuple[int, Any]] = deque()
        self._is_still = asyncio.Event()
        if not inputs:
            self._is_still.set()

    @property
    def is_open(self) -> bool:
        """Whether inputs are still on their way."""
        return self._running > 0 or bool(self._waiting)

    async def answer(self, flow: Flow[Any]) -> Any:
        """Return the result of a flow whose calls travel in the jobs of the batch."""
        return await aresult(flow, self._wait)

    def results(self) -> Iterator[tuple[int, Any]]:
        """Yield index and result, or exception, of every input as it is known. There must be no running event loop."""
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(self._start())
            while calls := runner.run(self._next_calls()):
                yield from self._take_finished()
                runner.run(self._resolve(self.jobs.send(calls)))
            yield from self._take_finished()

    async def aresults(self) -> AsyncGenerator[tuple[int, Any]]:
        """Yield index and result of every input; see `results`."""
        tasks = await self._start()
        try:
            while calls := await self._next_calls():
                for item in self._take_finished():
                    yield item
                await self._resolve(await self.jobs.asend(calls))
            for item in self._take_finished():
                yield item
        finally:
            for task in tasks:
                task.cancel()

    async def _start(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._perform(index)) for index in range(len(self._inputs))]

    async def _perform(self, index: int) -> None:
        current.set(self)
        result: Any
        try:
            result = await self._inputs[index]()
        except Exception as error:
            result = error
        self._finished.append((index, result))
        self._pause()

    async def _wait(self, call: Call[Any]) -> Outcome:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, future))
        self._pause()
        return await future

    def _pause(self) -> None:
        self._running -= 1
        if self._running <= 0:
            self._is_still.set()

    async def _next_calls(self) -> list[Call[Any]]:
        """Return the calls of the next job, once every input waits for one or has its result; none at the end."""
        await self._is_still.wait()
        return [call for call, _ in self._waiting]

    async def _resolve(self, outcomes: Sequence[Outcome]) -> None:
        waiting, self._waiting = self._waiting, []
        self._running += len(waiting)
        self._is_still.clear()
        for (_, future), outcome in zip(waiting, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)

    def _take_finished(self) -> Iterator[tuple[int, Any]]:
        while self._finished:
            yield self._finished.popleft()
