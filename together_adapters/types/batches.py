"""Batches: many requests in one file, answered within a day at a lower price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from together_adapters.types.response import ResponseList, ResponseModel


class BatchJob(ResponseModel):
    """A batch.

    Attributes:
        status: `VALIDATING, IN_PROGRESS, COMPLETED, FAILED, EXPIRED, CANCELLED`, or a newer word.
        progress: Percent that are done.
    """

    id: str | None = None
    user_id: str | None = None
    input_file_id: str | None = None
    file_size_bytes: int | None = None
    status: str | None = None
    job_deadline: str | None = None
    created_at: str | None = None
    endpoint: str | None = None
    progress: float | None = None
    model_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    error: str | None = None
    completed_at: str | None = None


class BatchCreateResponse(BatchJob):
    """A batch that was started, which also answers to `.job`, as the service wraps it.

    Attributes:
        warning: What the service had to say about it.
    """

    warning: str | None = None

    @property
    def job(self) -> BatchJob:
        """The batch itself."""
        return self


class BatchList(ResponseList[BatchJob]):
    """The batches of an account."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one request of a batch.

    Attributes:
        custom_id: Its name.
        body: The answer, as the endpoint would have given it; None when it failed or is missing.
        status_code: The HTTP status of the answer.
        error: Why it failed: `message` and `code`; None when it went well.
        request: The request's body, where the input was given.
    """

    custom_id: str
    body: Mapping[str, Any] | None = None
    status_code: int | None = None
    error: Mapping[str, Any] | None = None
    request: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether it was answered."""
        return self.error is None and self.body is not None
