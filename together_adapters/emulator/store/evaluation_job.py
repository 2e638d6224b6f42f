"""Evaluation jobs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from together_adapters.emulator.store.catalogue import OWNER
from together_adapters.emulator.store.clock import JobClock
from together_adapters.emulator.store.dataset import DatasetFile

_STAGES: Final = ((0.0, "pending"), (0.1, "queued"), (0.25, "running"))


@dataclass(slots=True)
class EvaluationJob:
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
        return next(name for start, name in reversed(_STAGES) if start <= progress), None

    def to_dict(self) -> dict[str, Any]:
        """Returns it as the API shows it."""
        status, results = self.state()
        progress = self.clock.progress()
        updates = [(start, name) for start, name in _STAGES if start <= progress] + ([(1.0, status)] if self.outcome else [])
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
