"""Batch jobs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from together_adapters.emulator.store.file_store import StoredFile


@dataclass
class BatchJob:
    """One batch."""

    file: StoredFile
    endpoint: str
    model: str | None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "VALIDATING"
    progress: float = 0.0
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    completed_at: datetime | None = None
    output_file: str | None = None
    error_file: str | None = None
    error: str | None = None
    is_cancelled: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns it as the API shows it."""
        return {
            "id": self.id,
            "user_id": "user-emulator",
            "input_file_id": self.file.id,
            "file_size_bytes": self.file.content.size if self.file.content else 0,
            "status": self.status,
            "job_deadline": _timestamp(self.created_at + timedelta(hours=24)),
            "created_at": _timestamp(self.created_at),
            "endpoint": self.endpoint,
            "progress": self.progress,
            "model_id": self.model,
            "output_file_id": self.output_file,
            "error_file_id": self.error_file,
            "error": self.error,
            "completed_at": _timestamp(self.completed_at) if self.completed_at else None,
        }


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
