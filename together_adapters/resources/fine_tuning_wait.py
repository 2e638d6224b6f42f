"""Waiting for a fine-tuning job, and telling why it failed in the words of its own diary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from together_adapters.errors import JobFailedError, TogetherError
from together_adapters.resources.waiting import wait_for
from together_adapters.transport.call import Call, Flow
from together_adapters.types.fine_tuning import (
    ENDED,
    FAILED,
    FinetuneEvent,
    FinetuneListEvents,
    FinetuneProgress,
    FinetuneResponse,
)
from together_adapters.types.progress import Progress

_TOLD: Final = 5
"""Events that a failure tells."""


def wait_for_job(
    id: str,
    look: Call[FinetuneResponse],
    events: Call[FinetuneListEvents],
    *,
    poll_interval: float,
    timeout: float | None,
    progress: Callable[[Progress], None] | None,
) -> Flow[FinetuneResponse]:
    """Look at a job until it has ended.

    Raises:
        JobFailedError: It ended without a model.
    """
    job: FinetuneResponse = yield from wait_for(
        look,
        done=lambda job: _status(job) in ENDED,
        poll_interval=poll_interval,
        timeout=timeout,
        progress=progress,
        describe=_progress,
        name=f"fine-tuning job {id}",
    )
    if _status(job) in FAILED:
        raise _failed(id, job, (yield from _last_events(job, events)))
    return job


def _status(job: FinetuneResponse) -> str:
    return (job.status or "").lower()


def _progress(job: FinetuneResponse) -> Progress:
    last = job.events[-1].message if job.events else None
    return FinetuneProgress(job.steps_completed or 0, job.total_steps or None, job.status or "unknown", last or "")


def _last_events(job: FinetuneResponse, events: Call[FinetuneListEvents]) -> Flow[list[FinetuneEvent]]:
    """The end of the diary. That it cannot be read must not hide the failure that it is read for."""
    try:
        listed: FinetuneListEvents = yield events
    except TogetherError:
        return (job.events or [])[-_TOLD:]
    return listed.data[-_TOLD:]


def _failed(id: str, job: FinetuneResponse, events: Sequence[FinetuneEvent]) -> JobFailedError:
    lines = [f"  {event.created_at or ''} {event.kind}: {event.message or ''}" for event in events]
    told = "its last events:\n" + "\n".join(lines) if lines else "it tells no events"
    return JobFailedError(
        f"fine-tuning job {id} ended as {job.status}; {told}", completed=job, body=job.model_dump(), events=list(events)
    )
