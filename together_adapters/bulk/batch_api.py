"""`BatchAPI`: the settings with which adapters send their requests as batch jobs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from together_adapters.suggestions import suggests_keywords

if TYPE_CHECKING:
    from together_adapters.bulk.results import BulkProgress


@suggests_keywords
@dataclass(frozen=True)
class BatchAPI:
    """How requests of an adapter become batch jobs, which cost less with some models and take minutes to a day.

    Attributes:
        checkpoint: The file that keeps the state of a run; the same inputs with the same file continue it. None keeps none.
        max_price: Dollars that a run may cost by its estimate, which is made before anything is uploaded; None for no limit.
        poll_interval: The most seconds between two looks at a job: they come after 1, 1.5, 2.3 and so on.
        timeout: Seconds until waiting ends with an `APITimeoutError`; None waits without limit. Jobs continue.
        window: Seconds in which requests that are made at the same time are collected into one job.
        min_requests: Requests from which a job is worth its wait; fewer are sent one by one.
        max_jobs: Jobs that run at the same time.
        progress: Called with a `BulkProgress`.
    """

    checkpoint: str | os.PathLike[str] | None = None
    max_price: float | None = None
    poll_interval: float = 30.0
    timeout: float | None = None
    window: float = 2.0
    min_requests: int = 1
    max_jobs: int = 4
    progress: Callable[[BulkProgress], object] | None = None

    def __post_init__(self) -> None:
        for name in ("poll_interval", "window"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be a number of seconds above 0, not {getattr(self, name)!r}")
        for name in ("min_requests", "max_jobs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        for name in ("max_price", "timeout"):
            if (value := getattr(self, name)) is not None and not value >= 0:
                raise ValueError(f"{name} must be None or at least 0, not {value!r}")
