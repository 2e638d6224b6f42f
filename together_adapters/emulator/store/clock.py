"""Virtual time: a job that would take half an hour is done within seconds, and its diary still tells of half an hour."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

JOB_SECONDS: Final = "job seconds"
"""Key in a state's shelf: how many seconds jobs really take there."""
USUAL: Final = 1.5
"""How many it is where nobody says anything else."""
_NEVER: Final = 0.5
"""Where a job stays that is meant never to end: in the middle."""


@dataclass(slots=True)
class Clock:
    """The time of one job.

    Attributes:
        takes: Seconds that it really takes.
        lasts: Seconds that it seems to take.
        stuck: Whether it never gets beyond its middle.
    """

    takes: float
    lasts: float
    stuck: bool = False
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    _since: float = field(default_factory=time.monotonic)
    _stopped: float | None = None

    def part(self) -> float:
        """How much of the job is done, from 0 to 1."""
        age = (self._stopped or time.monotonic()) - self._since
        done = min(age / self.takes, 1.0) if self.takes > 0 else 1.0
        return min(done, _NEVER) if self.stuck else done

    def stop(self) -> None:
        """Let time stand still."""
        self._stopped = self._stopped or time.monotonic()

    def since_stop(self) -> float:
        """Real seconds since it stands still."""
        return time.monotonic() - self._stopped if self._stopped else 0.0

    def at(self, part: float) -> str:
        """The virtual moment at which that part is done."""
        return stamp(self.began + timedelta(seconds=self.lasts * part))


def stamp(moment: datetime) -> str:
    """A moment as the service writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def real_seconds(shelf: dict[str, Any]) -> float:
    """How many seconds jobs really take on a server."""
    return float(shelf.get(JOB_SECONDS, USUAL))
