"""What a long operation tells a progress callback. A plain value, so that any bar or log can show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far an operation has come.

    Attributes:
        done: What is finished, in the unit of `total`.
        total: The whole, or None where nobody knows it.
        stage: One word for what happens now, such as `upload` or the status of a job.
    """

    done: float
    total: float | None
    stage: str

    @property
    def fraction(self) -> float | None:
        """The finished part between 0 and 1, or None where the whole is unknown."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total else None
