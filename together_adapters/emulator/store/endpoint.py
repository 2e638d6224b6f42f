"""Dedicated endpoints, and uploads of models."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from together_adapters.emulator.store.catalogue import OWNER
from together_adapters.emulator.store.clock import timestamp


@dataclass(slots=True)
class DedicatedEndpoint:
    """One endpoint. `target_state` is the state that was requested last, at `changed_at`."""

    name: str
    display_name: str
    model: str
    hardware: str
    autoscaling: dict[str, int]
    inactive_timeout: int | None
    target_state: str
    changed_at: float
    id: str = field(default_factory=lambda: f"endpoint-{secrets.token_hex(8)}")
    created_at: str = field(default_factory=timestamp)

    def state(self) -> str:
        """Returns its state on the way to the target."""
        age = time.monotonic() - self.changed_at
        if self.target_state == "STOPPED":
            return "STOPPING" if age < 0.3 else "STOPPED"
        return "PENDING" if age < 0.2 else "STARTING" if age < 0.8 else "STARTED"

    def summary(self) -> dict[str, Any]:
        """Returns it as lists show it."""
        names = {"object": "endpoint", "id": self.id, "name": self.name, "model": self.model, "type": "dedicated"}
        return {**names, "owner": OWNER, "state": self.state(), "created_at": self.created_at}

    def details(self) -> dict[str, Any]:
        """Returns it with all its fields."""
        return {
            **self.summary(),
            "display_name": self.display_name,
            "hardware": self.hardware,
            "autoscaling": self.autoscaling,
            "inactive_timeout": self.inactive_timeout,
        }
