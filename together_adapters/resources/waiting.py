"""Waiting for a job, described once for fine-tunes, batches, evaluations, videos and the validation of files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from numbers import Real
from threading import TIMEOUT_MAX
from typing import Any, Final, TypeVar

from together_adapters.errors import APITimeoutError, JobFailedError
from together_adapters.transport.call import Call, Flow, Sleep
from together_adapters.types.progress import HasState, HasStatus, Progress, is_final

T = TypeVar("T")

_GROWTH: Final = 1.5
_MIN_REQUEST: Final = 2.0  # seconds that a request may take, however little time is left
_NOT_ENDED: Final = (
    "{} had not ended after {:g} seconds ({}). It continues and is not cancelled: wait again, with a longer timeout if necessary"
)

_FAILED: Final = "FAILED"

J = TypeVar("J", bound=HasStatus)
S = TypeVar("S", bound=HasState)


def growing_intervals(longest: float, first: float = 1.0) -> Iterator[float]:
    """Yields the seconds between looks at a job, each half as many again as the one before, so that short jobs are not waited for long."""
    seconds = min(first, longest)
    while True:
        yield seconds
        seconds = min(seconds * _GROWTH, longest)


def wait_for(
    retrieve: Call[T],
    *,
    done: Callable[[T], bool],
    poll_interval: float | None,
    timeout: float | None,
    progress: Callable[[Progress], None] | None,
    describe: Callable[[T], Progress],
    name: str = "the job",
    clock: Callable[[], float] = time.monotonic,
) -> Flow[T]:
    """Retrieves a job repeatedly until it has ended, with or without success; the caller decides what its end means.

    Args:
        retrieve: The call that returns the job.
        done: Whether a job has ended.
        poll_interval: The most seconds between two requests: it grows from 1; None: from 0.5 to 5.
        timeout: Seconds until waiting ends; None waits without limit. The job is retrieved at least once, and again at the end, where
            a request may take two seconds more.
        progress: Called whenever the result of `describe` has changed, and at the end.
        describe: Returns the progress of a job.
        name: The job's name in the message of a timeout, which has the job as last retrieved in `completed`.
        clock: Counts seconds.
    """
    if poll_interval is not None and not (_is_seconds(poll_interval) and 0 < poll_interval <= TIMEOUT_MAX):
        raise ValueError(f"poll_interval must be a number of seconds above 0, not {poll_interval!r}"[:200])
    if timeout is not None and not _is_seconds(timeout):
        raise ValueError(f"timeout must be a number of seconds from 0, or None to wait without limit, not {timeout!r}"[:200])
    intervals = growing_intervals(5.0, 0.5) if poll_interval is None else growing_intervals(poll_interval)
    seconds = math.inf if timeout is None else timeout
    end = clock() + seconds
    job: Any = None
    previous: Progress | None = None
    while True:
        remaining = end - clock()
        try:
            job = yield retrieve if remaining > TIMEOUT_MAX else replace(retrieve, max_elapsed=max(remaining, _MIN_REQUEST))
        except APITimeoutError as error:
            if clock() < end:
                raise
            status = f"its status was last {describe(job).stage!r}" if job else "its status is not known"
            raise APITimeoutError(_NOT_ENDED.format(name, seconds, f"{status}: {error}"), completed=job) from None
        current = describe(job)
        if progress and current != previous:
            progress(current)
        previous = current
        if done(job):
            return job
        remaining = end - clock()
        if remaining <= 0:
            raise APITimeoutError(_NOT_ENDED.format(name, seconds, f"its status is {current.stage!r}"), completed=job)
        yield Sleep(min(next(intervals), remaining))


def wait_for_job(
    retrieve: Call[J],
    name: str,
    poll_interval: float | None,
    timeout: float | None,
    progress: Callable[[Progress], None] | None,
    *,
    describe: Callable[[J], Progress] | None = None,
) -> Flow[J]:
    """Waits until the status of a job is final. By default, its progress is 0 or 1."""

    def describe_status(job: J) -> Progress:
        return Progress(float(is_final(job.status)), 1.0, job.status or "unknown")

    return wait_for(
        retrieve,
        done=lambda job: is_final(job.status),
        poll_interval=poll_interval,
        timeout=timeout,
        progress=progress,
        describe=describe or describe_status,
        name=name,
    )


def wait_for_state(
    retrieve: Call[S],
    state: str,
    name: str,
    reason: Callable[[S], str | None],
    poll_interval: float | None,
    timeout: float | None,
    progress: Callable[[Progress], None] | None,
) -> Flow[S]:
    """Waits until something has a state.

    Raises:
        JobFailedError: Its state is `FAILED` instead. The message has the `reason`.
    """
    result: S = yield from wait_for(
        retrieve,
        done=lambda current: current.state in (state, _FAILED),
        poll_interval=poll_interval,
        timeout=timeout,
        progress=progress,
        describe=lambda current: Progress(float(current.state == state), 1.0, current.state.lower()),
        name=name,
    )
    if result.state == _FAILED:
        text = f"{name} failed: {reason(result) or 'the service gave no reason'}"
        raise JobFailedError(text, body=result.model_dump(), completed=result)
    return result


def _is_seconds(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and float(value) >= 0
