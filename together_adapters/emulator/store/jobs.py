"""Jobs other than fine-tuning: batches, evaluations, videos, uploads of models."""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from together_adapters.emulator.store.catalogue import OWNER
from together_adapters.emulator.store.clock import JobClock, timestamp
from together_adapters.emulator.store.dataset import DatasetFile
from together_adapters.emulator.store.file_store import StoredFile

_EVALUATION_STAGES: Final = ((0.0, "pending"), (0.1, "queued"), (0.25, "running"))
_VIDEO_QUEUED: Final = 0.1
_VIDEO_SECONDS: Final = 1.0


@dataclass
class EmulatedBatch:
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


@dataclass(slots=True)
class EmulatedEvaluation:
    """One evaluation. `outcome` is its final status with its results, once the judge is done."""

    type: str
    parameters: dict[str, Any]
    clock: JobClock
    data: DatasetFile
    outcome: tuple[str, dict[str, Any]] | None = None
    id: str = field(default_factory=lambda: f"eval-{uuid.uuid4()}")

    def state(self) -> tuple[str, dict[str, Any] | None]:
        """Returns its status and results: it ends when its time is over and the judge is done."""
        progress = self.clock.progress()
        if progress >= 1.0 and self.outcome:
            return self.outcome
        return next(name for start, name in reversed(_EVALUATION_STAGES) if start <= progress), None

    def to_dict(self) -> dict[str, Any]:
        """Returns it as the API shows it."""
        status, results = self.state()
        progress = self.clock.progress()
        updates = [(start, name) for start, name in _EVALUATION_STAGES if start <= progress] + (
            [(1.0, status)] if self.outcome else []
        )
        return {
            "workflow_id": self.id,
            "type": self.type,
            "owner_id": OWNER,
            "status": status,
            "parameters": self.parameters,
            "results": results,
            "created_at": self.clock.at(0.0),
            "updated_at": self.clock.at(progress),
            "status_updates": [
                {"status": name, "message": f"The evaluation is {name}.", "timestamp": self.clock.at(at)} for at, name in updates
            ],
        }


@dataclass(slots=True)
class EmulatedVideo:
    """One job. A prompt with `[fail]` or `[cancel]` ends it that way; with `[slow]` it never ends."""

    id: str
    model: str
    prompt: str
    width: int
    height: int
    seconds: str
    created_at: float = field(default_factory=time.time)
    url: str | None = None

    def status(self) -> str:
        """Returns its state."""
        age = time.time() - self.created_at
        if age < _VIDEO_QUEUED:
            return "queued"
        if age < _VIDEO_SECONDS or "[slow]" in self.prompt:
            return "in_progress"
        return "failed" if "[fail]" in self.prompt else "cancelled" if "[cancel]" in self.prompt else "completed"

    def to_dict(self) -> dict[str, Any]:
        """Returns it as the API shows it."""
        status = self.status()
        error = {"code": f"video_{status}", "message": f"The prompt asked for a video that is {status}."}
        return {
            "id": self.id,
            "object": "video",
            "model": self.model,
            "status": status,
            "created_at": int(self.created_at),
            "completed_at": int(self.created_at + _VIDEO_SECONDS) if status not in ("queued", "in_progress") else None,
            "size": f"{self.width}x{self.height}",
            "seconds": self.seconds,
            "outputs": {"cost": 1, "video_url": self.url} if self.url else None,
            "error": error if status in ("failed", "cancelled") else None,
        }


@dataclass(slots=True)
class ModelUploadJob:
    """One upload of a model."""

    name: str
    source: str
    description: str | None
    id: str = field(default_factory=lambda: f"job-{secrets.token_hex(8)}")
    created_at: str = field(default_factory=timestamp)
    started: float = field(default_factory=time.monotonic)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as the API shows it."""
        age = time.monotonic() - self.started
        status = "Queued" if age < 0.2 else "Running" if age < 1 else "Complete"
        return {
            "type": "model_upload",
            "job_id": self.id,
            "status": status,
            "status_updates": [{"status": status, "message": f"The upload is {status.lower()}.", "timestamp": self.created_at}],
            "args": {"description": self.description, "modelName": self.name, "modelSource": self.source},
            "created_at": self.created_at,
            "updated_at": self.created_at,
        }
