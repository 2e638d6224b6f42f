"""Video jobs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

_QUEUED_UNTIL: Final = 0.1
_DURATION: Final = 1.0


@dataclass(slots=True)
class VideoJob:
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
        if age < _QUEUED_UNTIL:
            return "queued"
        if age < _DURATION or "[slow]" in self.prompt:
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
            "completed_at": int(self.created_at + _DURATION) if status not in ("queued", "in_progress") else None,
            "size": f"{self.width}x{self.height}",
            "seconds": self.seconds,
            "outputs": {"cost": 1, "video_url": self.url} if self.url else None,
            "error": error if status in ("failed", "cancelled") else None,
        }
