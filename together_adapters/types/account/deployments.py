"""Endpoints of projects, their deployments, and the LoRA adapters on them. Fields are in camelCase on the wire.

So the `together` 3.x SDK describes them; not checked against the live service.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import AliasGenerator, ConfigDict, Field

from together_adapters.types.response import ResponseModel


def camel_case(name: str) -> str:
    """Returns a name as it is on the wire: `min_replicas` is `minReplicas`."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def to_wire(value: Any) -> Any:
    """Returns a JSON value with the names of all fields as they are on the wire."""
    if isinstance(value, dict):
        return {camel_case(str(name)): to_wire(item) for name, item in value.items()}
    return [to_wire(item) for item in value] if isinstance(value, list | tuple) else value


class CamelResponse(ResponseModel):
    """A response whose fields are in camelCase on the wire. Fields that this library does not know keep their names."""

    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=camel_case), populate_by_name=True)


class Autoscaling(CamelResponse):
    """How many replicas a deployment has. Durations are texts such as `5m`; all other rules are extra fields."""

    min_replicas: int | None = None
    max_replicas: int | None = None
    scale_up_window: str | None = None
    scale_down_window: str | None = None
    scale_to_zero_window: str | None = None


class DeploymentStatus(CamelResponse):
    """The state of a deployment, such as `DEPLOYMENT_STATE_READY`, and why."""

    state: str | None = None
    message: str | None = None
    ready_replicas: int | None = None
    scheduled_replicas: int | None = None


class Deployment(CamelResponse):
    """A model on hardware, under an endpoint. Requests name it as `model`: `<project>/<endpoint>/<deployment>`, its `name`."""

    id: str | None = None
    name: str | None = None
    project_id: str | None = None
    endpoint_id: str | None = None
    model: str | None = None
    config: str | None = None
    hardware: str | None = None
    autoscaling: Autoscaling | None = None
    placement: dict[str, Any] | None = None
    inactive_timeout: int | None = None
    max_concurrent_requests_per_replica: str | None = None
    desired_replicas: int | None = None
    traffic_mode: str | None = None
    estimated_effective_traffic_share: float | None = None
    status: DeploymentStatus | None = None
    etag: str | None = None
    created_at: str | None = None
    updated_at: str | None = None

    @property
    def state(self) -> str:
        """The state in short: `READY`, `PROVISIONING`, `STOPPED`, ...; `UNKNOWN` if there is none."""
        # In the summary of an endpoint it stands outside of the status.
        state = self.status.state if self.status else (self.model_extra or {}).get("state")
        return str(state or "UNKNOWN").removeprefix("DEPLOYMENT_STATE_")


class AdapterLoad(CamelResponse):
    """How far an adapter is loaded in one cluster."""

    cluster_id: str | None = None
    state: str | None = None
    message: str | None = None
    reason: str | None = None
    ready_pod_count: int | None = None
    failed_pod_count: int | None = None
    total_pod_count: int | None = None


class LoraAdapter(CamelResponse):
    """A LoRA adapter on a deployment."""

    id: str | None = None
    adapter_model_id: str | None = None
    adapter_model: str | None = None
    desired_revision_id: str | None = None
    desired_revision: str | None = None
    per_cluster: list[AdapterLoad] = Field(default_factory=list)
    etag: str | None = None

    @property
    def state(self) -> str:
        """The state in short: `FAILED` if it failed anywhere, `READY` if it is loaded everywhere, otherwise that of one cluster."""
        states = [(load.state or "UNKNOWN").removeprefix("ADAPTER_LOAD_STATE_") for load in self.per_cluster] or ["PENDING"]
        return next((state for state in states if state == "FAILED"), next((s for s in states if s != "READY"), "READY"))


class TrafficShare(CamelResponse):
    """The weight of one deployment in the traffic of its endpoint."""

    deployment_id: str | None = None
    weight: float | None = None


class ProjectEndpoint(CamelResponse):
    """An endpoint of a project, which routes requests to its deployments. Requests name it as `model`: its `name`."""

    id: str | None = None
    name: str | None = None
    project_id: str | None = None
    visibility: str | None = None
    endpoint_type: str | None = None
    deployments: list[Deployment] = Field(default_factory=list)
    traffic_split: list[TrafficShare] = Field(default_factory=list)
    etag: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


class Project(ResponseModel):
    """A project that the key can use."""

    id: str | None = None
    name: str | None = None
    slug: str | None = None
    organization_id: str | None = None
    organization_name: str | None = None


class ProjectPage(ResponseModel):
    """Projects."""

    data: list[Project] = Field(default_factory=list)
    next_cursor: str | None = None


class EndpointPage(ResponseModel):
    """Endpoints of a project."""

    data: list[ProjectEndpoint] = Field(default_factory=list)
    next_cursor: str | None = None


class DeploymentPage(ResponseModel):
    """Deployments of an endpoint."""

    data: list[Deployment] = Field(default_factory=list)
    next_cursor: str | None = None


class LoraAdapterPage(ResponseModel):
    """Adapters of a deployment."""

    data: list[LoraAdapter] = Field(default_factory=list)
    next_cursor: str | None = None
