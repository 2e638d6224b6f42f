"""Waiting for a job, described once for everything that takes its time: videos, validation, fine-tunes, batches, evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from together_adapters.errors import APITimeoutError
from together_adapters.transport.call import Call, Flow, Sleep
from together_adapters.types.progress import Progress

T = TypeVar("T")

_FIRST: Final = 0.5
_GROWTH: Final = 1.5
_LONGEST: Final = 5.0


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
    """Ask for a job again and again until it has ended, well or badly.

    It tells `progress` whenever what `describe` says has changed, and once at the end. What a job's end means is the caller's.

    Args:
        retrieve: The call that shows the job as it is.
        done: Whether a job has ended.
        poll_interval: Seconds between two looks; None for 0.5 at first, growing to 5.
        timeout: Seconds until it gives up, or None for never. The job is looked at once at least, and once more at the end.
        progress: Called with every change.
        describe: Says in a `Progress` how far a job has come.
        name: What is waited for, in the message of a timeout.
        clock: Counts seconds.

    Returns:
        The job as it ended.

    Raises:
        APITimeoutError: The time is up; the job itself goes on. `completed` is the job as last seen.
        ValueError: The interval is not positive.
    """
    if poll_interval is not None and poll_interval <= 0:
        raise ValueError("poll_interval must be more than 0 seconds")
    pause, growth, longest = (_FIRST, _GROWTH, _LONGEST) if poll_interval is None else (poll_interval, 1.0, poll_interval)
    began = clock()
    told: Progress | None = None
    while True:
        job: T = yield retrieve
        now = describe(job)
        if progress and now != told:
            progress(now)
        told = now
        if done(job):
            return job
        left = pause if timeout is None else timeout - (clock() - began)
        if left <= 0:
            raise APITimeoutError(
                f"{name} had not ended after {timeout:g} seconds (it is at {now.stage!r}). It goes on and is not cancelled: "
                "wait again, with a longer timeout if need be",
                completed=job,
            )
        yield Sleep(min(pause, left))
        pause = min(pause * growth, longest)
