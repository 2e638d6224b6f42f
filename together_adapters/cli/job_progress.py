"""How far a fine-tuning job has come, as a line of text. Pure but for the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from together_adapters.types.fine_tuning import FAILED, FinetuneResponse

_WIDTH: Final = 10
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def progress_text(job: FinetuneResponse, now: datetime | None = None) -> str:
    """Return a bar with its percentage, or a word where there is none.

    Args:
        job: The job. Its steps tell how far it is, or its own estimate of the time that it still takes.
        now: The time; that of this machine when None.
    """
    status = (job.status or "").lower()
    if status == "completed":
        return "completed"
    if status in FAILED:
        return ""
    left = _seconds_left(job)
    done = _done(job, left, now or datetime.now(UTC))
    if done is None:
        return "unavailable" if left is None else f"{duration(left)} left"
    filled = round(done * _WIDTH)
    bar = "█" * filled + "░" * (_WIDTH - filled)
    return f"{bar} {done:4.0%}" + (f" {duration(left)} left" if left else "")


def duration(seconds: float) -> str:
    """Return a length of time for people: `1h 23min 45s`."""
    rest, parts = int(seconds), []
    for length, name in _UNITS:
        if rest >= length:
            parts.append(f"{rest // length}{name}")
            rest %= length
    return " ".join(parts) or "0s"


def _seconds_left(job: FinetuneResponse) -> float | None:
    estimate = job.progress
    if estimate is None or not estimate.estimate_available:
        return None
    return estimate.seconds_remaining if (estimate.seconds_remaining or 0) > 0 else None


def _done(job: FinetuneResponse, left: float | None, now: datetime) -> float | None:
    """Return the part that is done, from 0 to 1."""
    if job.total_steps:
        return min((job.steps_completed or 0) / job.total_steps, 1.0)
    if left is None or not job.started_at:
        return None
    try:
        spent = (now - datetime.fromisoformat(job.started_at).astimezone(UTC)).total_seconds()
    except ValueError:
        return None
    return spent / (spent + left) if spent >= 0 else None
