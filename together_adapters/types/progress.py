"""The progress of a long operation, for callbacks: a plain value that any progress bar or log can show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """The progress of an operation.

    Attributes:
        done: The finished amount, in the unit of `total`.
        total: The total amount, or None if it is unknown.
        stage: The current stage, such as `upload` or the status of a job.
    """

    done: float
    total: float | None
    stage: str

    @property
    def fraction(self) -> float | None:
        """The finished fraction, 0 to 1, or None if the total is unknown."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total else None
