"""Evaluations: a judge model classifies, scores or compares responses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import Field

from together_adapters.types import old_type
from together_adapters.types.response import MaskedResponse, ResponseList, ResponseModel

if not TYPE_CHECKING:
    __getattr__ = old_type


class EvaluationCreateResponse(ResponseModel):
    """A new evaluation."""

    workflow_id: str | None = None
    status: str | None = None


class EvaluationStatusUpdate(ResponseModel):
    """A change of an evaluation's status."""

    status: str | None = None
    message: str | None = None
    timestamp: str | None = None


class EvaluationStatusResponse(MaskedResponse):
    """The status of an evaluation.

    Attributes:
        status: `pending, queued, running, completed, error, user_error`, or a newer value.
        results: For `classify` label_counts and pass_percentage, for `score` aggregated_scores, for `compare` A_wins, B_wins
            and Ties; each with `result_file_id`, the file of all judgements. `{"error": ...}` after a failure.
    """

    status: str | None = None
    results: dict[str, Any] | None = None

    @property
    def label_counts(self) -> dict[str, int]:
        """The number of rows with each label. The service sends them as an object or as JSON in a string."""
        counts = (self.results or {}).get("label_counts")
        if isinstance(counts, str):
            try:
                counts = json.loads(counts)
            except ValueError:
                return {}
        return dict(counts) if isinstance(counts, dict) else {}


class EvaluationJob(EvaluationStatusResponse):
    """An evaluation. Tokens for external models are masked in `parameters`."""

    workflow_id: str | None = None
    type: str | None = None
    parameters: dict[str, Any] | None = None
    created_at: str | None = None
    updated_at: str | None = None
    owner_id: str | None = None
    status_updates: list[EvaluationStatusUpdate] = Field(default_factory=list)


class EvaluationList(ResponseList[EvaluationJob]):
    """The evaluations of an account."""


class EvaluationModels(ResponseModel):
    """The models that can judge or be evaluated."""

    model_list: list[str] = Field(default_factory=list)
