"""The statuses with which jobs end: fine-tuning, evaluations, videos and batches, each in its own letter case."""

from __future__ import annotations

from typing import Final, Protocol

FAILED: Final = frozenset({"error", "user_error", "failed", "expired", "cancelled", "canceled"})


class HasStatus(Protocol):
    """A job of any kind."""

    status: str | None


def is_failed(status: str | None) -> bool:
    """Whether a job with this status has ended without success."""
    return (status or "").lower() in FAILED


def is_final(status: str | None) -> bool:
    """Whether a job with this status has ended."""
    return is_failed(status) or (status or "").lower() == "completed"
