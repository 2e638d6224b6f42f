"""The progress of a long operation, and the statuses with which jobs end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

FAILED: Final = frozenset({"error", "user_error", "failed", "expired", "cancelled", "canceled"})


@dataclass(frozen=True)
class Progress:
    """The progress of an operation: a plain value that any progress bar or log can show.

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


class HasStatus(Protocol):
    """A job of any kind."""

    status: str | None


class HasState(Protocol):
    """What runs until it is deleted."""

    @property
    def state(self) -> str: ...

    def model_dump(self) -> dict[str, Any]: ...


def is_failed(status: str | None) -> bool:
    """Whether a job with this status has ended without success."""
    return (status or "").lower() in FAILED


def is_final(status: str | None) -> bool:
    """Whether a job with this status has ended."""
    return is_failed(status) or (status or "").lower() == "completed"
