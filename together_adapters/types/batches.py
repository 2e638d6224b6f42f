"""Batches: many requests in one file, processed within a day at a lower price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from together_adapters.types.response import ResponseList, ResponseModel


class BatchJob(ResponseModel):
    """A batch. `status` is VALIDATING, IN_PROGRESS, COMPLETED, FAILED, EXPIRED, CANCELLED or newer; `progress` in percent."""

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
    """A new batch; `.job` is the batch, too, as in the service's response. `warning` is one of the service."""

    warning: str | None = None

    @property
    def job(self) -> BatchJob:
        """The batch itself."""
        return self


class BatchList(ResponseList[BatchJob]):
    """The batches of an account."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of one request of a batch.

    Attributes:
        custom_id: Its id.
        body: The response, as from the endpoint; None if the request failed or has no response.
        status_code: HTTP status of the response.
        error: `message` and `code` of the error; None for success.
        request: The request's body, if the input file is known.
    """

    custom_id: str
    body: Mapping[str, Any] | None = None
    status_code: int | None = None
    error: Mapping[str, Any] | None = None
    request: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return self.error is None and self.body is not None
