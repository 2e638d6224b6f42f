"""The jobs of a model: their requests, and what comes back for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from together_adapters.transport.call import Call, Flow

if TYPE_CHECKING:
    from together_adapters.bulk import BatchAPI
    from together_adapters.client import ClientPair

Outcome = Any
"""The JSON of a response, or the exception that came instead."""


class Jobs:
    """Sends calls as jobs, with the clients of a model and the settings of its `BatchAPI`."""

    def __init__(self, clients: ClientPair, settings: BatchAPI) -> None:
        from together_adapters.bulk.calls import CallRun

        self.clients = clients
        self.settings = settings
        self._run = CallRun(settings)

    def send(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Return the outcome of each call. What ends the whole run is the outcome of all."""
        try:
            return [*self.clients.sync.perform(self._run.outcomes(calls))]
        except Exception as error:
            return _copies(error, len(calls))

    async def asend(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Return the outcome of each call; see `send`."""
        try:
            return [*await self.clients.asynchronous.perform(self._run.outcomes(calls))]
        except Exception as error:
            return _copies(error, len(calls))


def result(flow: Flow[Any], outcome_of: Callable[[Call[Any]], Outcome]) -> Any:
    """Return the result of a flow whose calls are answered by a function."""
    outcome: Outcome = None
    try:
        while True:
            call: Any = flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)
            outcome = outcome_of(call)
    except StopIteration as stop:
        return stop.value
    finally:
        flow.close()


async def aresult(flow: Flow[Any], outcome_of: Callable[[Call[Any]], Awaitable[Outcome]]) -> Any:
    """Return the result of a flow; see `result`."""
    outcome: Outcome = None
    try:
        while True:
            call: Any = flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)
            outcome = await outcome_of(call)
    except StopIteration as stop:
        return stop.value
    finally:
        flow.close()


def _copies(error: Exception, count: int) -> list[Exception]:
    from together_adapters.bulk.calls import copy_error

    return [copy_error(error) for _ in range(count)]
