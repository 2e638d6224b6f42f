"""Evaluations: a judge model looks at answers and sorts, marks or compares them."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from together_adapters.types.masking import MaskedResponse
from together_adapters.types.response import ResponseList, ResponseModel


class EvaluationCreateResponse(ResponseModel):
    """An evaluation that was started."""

    workflow_id: str | None = None
    status: str | None = None


class EvaluationStatusUpdate(ResponseModel):
    """A step on an evaluation's way."""

    status: str | None = None
    message: str | None = None
    timestamp: str | None = None


class EvaluationStatusResponse(MaskedResponse):
    """Where an evaluation is.

    Attributes:
        status: `pending, queued, running, completed, error, user_error`, or a newer word.
        results: For `classify` label_counts and pass_percentage, for `score` aggregated_scores, for `compare` A_wins, B_wins
            and Ties; each with `result_file_id`, the file of every judgement. `{"error": ...}` after a failure.
    """

    status: str | None = None
    results: dict[str, Any] | None = None

    @property
    def label_counts(self) -> dict[str, int]:
        """How often each label was given. The service has sent them as an object and as JSON in a string."""
        counts = (self.results or {}).get("label_counts")
        if isinstance(counts, str):
            try:
                counts = json.loads(counts)
            except ValueError:
                return {}
        return dict(counts) if isinstance(counts, dict) else {}


class EvaluationJob(EvaluationStatusResponse):
    """An evaluation. Tokens for models of others are masked in `parameters`."""

    workflow_id: str | None = None
    type: str | None = None
    parameters: dict[str, Any] | None = None
    created_at: str | None = None
    updated_at: str | None = None
    owner_id: str | None = None
    status_updates: list[EvaluationStatusUpdate] = Field(default_factory=list)


class EvaluationList(ResponseList[EvaluationJob]):
    """The evaluations of an account."""
