"""Deployments under endpoints of projects, and the LoRA adapters on them, in virtual time: they are ready within a second."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Final

from together_adapters.emulator.store.records import timestamp

MAX_ADAPTERS: Final = 8  # on one deployment
_PROVISION_SECONDS: Final = 0.6
_SCALE_SECONDS: Final = 0.3
_LOAD_SECONDS: Final = 0.4


def new_etag() -> str:
    """Returns an etag."""
    return secrets.token_hex(4)


@dataclass(slots=True)
class EmulatedAdapter:
    """One adapter. A revision that has `fail` in its name fails to load."""

    project: str
    model_id: str
    revision_id: str
    id: str = field(default_factory=lambda: f"dad_{secrets.token_hex(8)}")
    etag: str = field(default_factory=new_etag)
    changed_at: float = field(default_factory=time.monotonic)

    def replace(self, revision_id: str) -> None:
        self.revision_id, self.etag, self.changed_at = revision_id, new_etag(), time.monotonic()

    def to_dict(self) -> dict[str, Any]:
        model = f"projects/{self.project}/models/{self.model_id}"
        is_loading = time.monotonic() - self.changed_at < _LOAD_SECONDS
        state = "LOADING" if is_loading else "FAILED" if "fail" in self.revision_id else "READY"
        load = {
            "clusterId": "cluster-emulator",
            "adapterModelId": self.model_id,
            "state": f"ADAPTER_LOAD_STATE_{state}",
            "readyPodCount": int(state == "READY"),
            "failedPodCount": int(state == "FAILED"),
            "totalPodCount": 1,
            "message": "The name of the revision asks for a failure." if state == "FAILED" else "",
        }
        return {
            "id": self.id,
            "adapterModelId": self.model_id,
            "adapterModel": model,
            "desiredRevisionId": self.revision_id,
            "desiredRevision": f"{model}/revisions/{self.revision_id}",
            "perCluster": [load],
            "etag": self.etag,
        }


@dataclass(slots=True)
class EmulatedDeployment:
    """One deployment. One that has `fail` in its name fails to start."""

    project: str
    endpoint_id: str
    name: str
    model: str
    config: str
    autoscaling: dict[str, Any]
    placement: dict[str, Any] | None = None
    inactive_timeout: int | None = None
    max_requests: str | None = None
    id: str = field(default_factory=lambda: f"dep_{secrets.token_hex(8)}")
    etag: str = field(default_factory=new_etag)
    created_at: str = field(default_factory=timestamp)
    updated_at: str = field(default_factory=timestamp)
    adapters: dict[str, EmulatedAdapter] = field(default_factory=dict)
    was_ready: bool = False  # before the last change
    changed_at: float = field(default_factory=time.monotonic)

    def state(self) -> str:
        age = time.monotonic() - self.changed_at
        if self.autoscaling["maxReplicas"] == 0:
            return "STOPPING" if age < _SCALE_SECONDS and self.was_ready else "STOPPED"
        if age < (_SCALE_SECONDS if self.was_ready else _PROVISION_SECONDS):
            return "SCALING" if self.was_ready else "PROVISIONING"
        return "FAILED" if "fail" in self.name else "READY"

    def scale(self, autoscaling: dict[str, Any]) -> None:
        self.was_ready = self.state() == "READY"
        self.autoscaling, self.changed_at = autoscaling, time.monotonic()

    def touch(self) -> None:
        """Notes that it was changed."""
        self.etag, self.updated_at = new_etag(), timestamp()

    def summary(self, endpoint_name: str) -> dict[str, Any]:
        """Returns it as an endpoint lists it."""
        details = self.to_dict(endpoint_name)
        names = ("id", "name", "model", "hardware", "autoscaling", "trafficMode", "desiredReplicas", "createdAt")
        return {
            **{name: details[name] for name in names},
            **{name: details["status"][name] for name in ("state", "readyReplicas")},
        }

    def to_dict(self, endpoint_name: str) -> dict[str, Any]:
        state, replicas = self.state(), self.autoscaling["minReplicas"]
        details = {
            "id": self.id,
            "name": f"{endpoint_name}/{self.name}",
            "projectId": self.project,
            "endpointId": self.endpoint_id,
            "model": self.model,
            "config": self.config,
            "hardware": "1x_nvidia_h100_80gb_sxm",
            "autoscaling": self.autoscaling,
            "placement": self.placement,
            "inactiveTimeout": self.inactive_timeout,
            "maxConcurrentRequestsPerReplica": self.max_requests,
            "desiredReplicas": replicas,
            "trafficMode": "TRAFFIC_MODE_LIVE",
            "status": {
                "state": f"DEPLOYMENT_STATE_{state}",
                "message": "The name asks for a failure." if state == "FAILED" else f"The deployment is {state.lower()}.",
                "readyReplicas": replicas if state == "READY" else 0,
                "scheduledReplicas": replicas,
            },
            "etag": self.etag,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
        }
        return {name: value for name, value in details.items() if value is not None}
