"""Virtual time: a job that would take half an hour completes within seconds, while its timestamps span half an hour."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

DEFAULT_JOB_SECONDS: Final = 1.5
"""Seconds that a fine-tuning job takes by default."""
_STUCK_AT: Final = 0.5


@dataclass(slots=True)
class JobClock:
    """The time of one job.

    Attributes:
        duration: Seconds that it takes.
        virtual_duration: Seconds that its timestamps span.
        stuck: Whether it stops halfway and never ends.
    """

    duration: float
    virtual_duration: float
    stuck: bool = False
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _start: float = field(default_factory=time.monotonic)
    _stop: float | None = None

    def progress(self) -> float:
        """Returns how much of the job is done, from 0 to 1."""
        age = (self._stop or time.monotonic()) - self._start
        progress = min(age / self.duration, 1.0) if self.duration > 0 else 1.0
        return min(progress, _STUCK_AT) if self.stuck else progress

    def stop(self) -> None:
        """Stops the progress."""
        self._stop = self._stop or time.monotonic()

    def since_stop(self) -> float:
        """Returns the seconds since `stop`; 0 before."""
        return time.monotonic() - self._stop if self._stop else 0.0

    def at(self, progress: float) -> str:
        """Returns the virtual time at which that much is done."""
        return timestamp(self.started_at + timedelta(seconds=self.virtual_duration * progress))


def timestamp(moment: datetime | None = None) -> str:
    """Formats a time, by default the present, in the format of the service."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
