"""Calls of adapters as requests of a run of batch jobs, and what comes back for each."""

from __future__ import annotations

import copy
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from together_adapters.bulk.runs import MAX_CONCURRENCY, run_flow
from together_adapters.errors import ConfigurationError, TogetherError
from together_adapters.transport.call import Call, Flow, Local, Parallel, Settings, Sleep

if TYPE_CHECKING:
    from together_adapters.bulk.batch_api import BatchAPI
    from together_adapters.bulk.results import BulkItem, BulkResults
    from together_adapters.transport.config import Config

Outcome = Any
"""The JSON of a response, or the exception that came instead."""
_POLL: Final = 0.05  # seconds
_OPTIONS: Final = ("checkpoint", "poll_interval", "timeout", "max_jobs", "progress")
_turns: dict[str, Lock] = {}
"""Runs of this process with the same checkpoint take turns."""


class CallRun:
    """Sends calls of an adapter with the settings of its `BatchAPI`, any number of times; `max_price` counts all of them."""

    def __init__(self, settings: BatchAPI) -> None:
        self.settings = settings
        self._spent = 0.0
        self._turn = self._new_turn()

    def outcomes(self, calls: Sequence[Call[Any]]) -> Flow[list[Outcome]]:
        """Returns the outcome of each call, from a run of jobs, or one by one where they are too few for one.

        Raises:
            ConfigurationError: A call has headers or query parameters of its own, or the checkpoint cannot be used.
            BudgetExceededError: The run may cost too much.
            APIError: The service refuses the files or the jobs.
        """
        config = yield Settings()
        for call in calls:
            check_call(call, config)
        if len(calls) < self.settings.min_requests:
            return (yield Parallel([_outcome_of(call) for call in calls], MAX_CONCURRENCY))  # type: ignore[no-any-return]
        while self._turn is not None and not self._turn.acquire(blocking=False):
            yield Sleep(_POLL)  # a thread may have it that runs another event loop
        with self._releasing_turn():
            options = {name: getattr(self.settings, name) for name in _OPTIONS}
            bodies: Any = [call.body for call in calls]
            flow = run_flow(bodies, via="batch", endpoint=calls[0].path, max_price=self._max_price, is_part=True, **options)
            results: BulkResults[Any] = yield from flow
            self._spent += results.cost or 0.0
            return (yield Local(lambda: _read(results)))  # type: ignore[no-any-return]

    @property
    def _max_price(self) -> float | None:
        """What the next run may cost. A checkpoint knows itself what the runs before have cost."""
        max_price = self.settings.max_price
        return max_price if max_price is None or self.settings.checkpoint is not None else max(max_price - self._spent, 0.0)

    def _new_turn(self) -> Lock | None:
        if (path := self.settings.checkpoint) is not None:
            return _turns.setdefault(os.path.abspath(path), Lock())
        return None if self.settings.max_price is None else Lock()

    @contextmanager
    def _releasing_turn(self) -> Generator[None]:
        try:
            yield
        finally:
            if self._turn is not None:
                self._turn.release()


def check_call(call: Call[Any], config: Config) -> None:
    """Raises a ConfigurationError for a call that cannot travel in a job; gives its warning."""
    if call.headers or call.query:
        raise ConfigurationError(
            "a request of a batch job cannot have headers or query parameters of its own: set default_headers and default_query "
            "of the client, or pass batch_api=None with this call"
        )
    if call.warning is not None:
        config.warn(call.warning)


def copy_error(error: Exception) -> Exception:
    """Returns an error for one of several calls: a traceback grows whenever its error is raised."""
    duplicate = copy.copy(error).with_traceback(error.__traceback__)
    duplicate.__cause__ = error.__cause__
    return duplicate


def _read(results: BulkResults[Any]) -> list[Outcome]:
    try:
        return [_outcome(item) for item in results]
    finally:
        results.close()


def _outcome(item: BulkItem[Any]) -> Outcome:
    if item.error is not None:
        return item.error
    try:
        response: Any = item.response
    except TogetherError as error:
        return error
    document: Mapping[str, Any] = response.model_dump(exclude_unset=True, warnings=False)
    return document


def _outcome_of(call: Call[Any]) -> Flow[Outcome]:
    try:
        return (yield call)
    except TogetherError as error:
        return error
