"""Dedicated endpoints that start within a second, the hardware they run on, and uploads of models."""

from __future__ import annotations

import secrets
import time
from typing import Any, Final, Literal, get_args

from pydantic import Field
from starlette.responses import Response

from together_adapters.emulator.errors import bad_request
from together_adapters.emulator.http.routing import Name, RequestContext, RequestModel, json_route
from together_adapters.emulator.routes.served_models import check_exists
from together_adapters.emulator.store.catalogue import ALL_KINDS, FACTS, OWNER, model_name, serverless_models
from together_adapters.emulator.store.records import DedicatedEndpoint, ModelUploadJob
from together_adapters.types.capabilities import capabilities

_Zone = Literal["us-central-4b", "us-east-1a", "eu-north-2c"]
ZONES: Final = get_args(_Zone)
HARDWARE: Final = {f"{count}x_{name}": (count, *facts) for name, facts in FACTS["gpus"].items() for count in (1, 2, 4, 8)}


class _EndpointSettings(RequestModel):
    display_name: Name | None = None
    state: Literal["STARTED", "STOPPED"] | None = None
    inactive_timeout: int | None = Field(None, ge=0, le=10_000_000)


class _Changes(_EndpointSettings):
    autoscaling: dict[str, Any] = {}


class _NewEndpoint(_EndpointSettings):
    hardware: Name
    autoscaling: dict[str, Any]
    disable_prompt_cache: bool | None = None
    disable_speculative_decoding: bool | None = None
    availability_zone: _Zone | None = None


class _ModelUpload(RequestModel):
    model_name: str = Field(min_length=1, max_length=200)
    model_source: str = Field(
        max_length=4_000, pattern=r"^((https?|s3)://\S+|[\w.-]+/[\w.-]+)$", description="a repository or an S3 address"
    )
    model_type: Literal["model", "adapter"] = "model"
    hf_token: Name | None = None
    description: str | None = Field(None, max_length=10_000)
    base_model: Name | None = None
    lora_model: Name | None = None


def _create(context: RequestContext) -> dict[str, Any]:
    model = model_name(context.body)
    check_exists(context, model, ALL_KINDS)
    model = capabilities(model).alias_of or model
    request = _NewEndpoint.read(context)
    if request.hardware not in HARDWARE:
        raise bad_request(f"There is no hardware {request.hardware}; GET /v1/hardware lists all.", param="hardware")
    is_stopped = request.state == "STOPPED"
    endpoint = DedicatedEndpoint(
        name=f"{OWNER}/{model}-{secrets.token_hex(4)}",
        display_name=request.display_name or model,
        model=model,
        hardware=request.hardware,
        autoscaling=_autoscaling(request.autoscaling),
        inactive_timeout=request.inactive_timeout,
        target_state="STOPPED" if is_stopped else "STARTED",
        changed_at=0.0 if is_stopped else time.monotonic(),
    )
    return context.stores.endpoints.add(endpoint.id, endpoint).details()


def _autoscaling(value: dict[str, Any]) -> dict[str, Any]:
    minimum, maximum = value.get("min_replicas"), value.get("max_replicas")
    if not all(isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= 1_000 for count in (minimum, maximum)):
        message = "autoscaling needs min_replicas and max_replicas as whole numbers up to 1000."
        raise bad_request(message, param="autoscaling")
    if not maximum or minimum > maximum:
        raise bad_request("autoscaling.max_replicas must be at least 1, and not below min_replicas.", param="autoscaling")
    return {"min_replicas": minimum, "max_replicas": maximum}


def _list_endpoints(context: RequestContext) -> dict[str, Any]:
    """Lists the dedicated endpoints of the account, and the serverless ones of the service."""
    query = context.request.query_params
    for name, values in (("type", ("dedicated", "serverless")), ("usage_type", ("on-demand", "reserved"))):
        if query.get(name) not in (None, "", *values):
            raise bad_request(f"{name} must be one of {', '.join(values)}.", param=name)
    is_mine = query.get("mine", "").lower() == "true"
    endpoints: list[dict[str, Any]] = []
    if query.get("type") != "serverless" and query.get("usage_type") != "reserved":
        endpoints += [endpoint.summary() for endpoint in context.stores.endpoints.values()]
    if query.get("type") != "dedicated" and not query.get("usage_type") and not is_mine:
        endpoints += [_serverless(model) for model in serverless_models(context.state.models)]
    return {"object": "list", "data": endpoints}


def _serverless(model: str) -> dict[str, Any]:
    names = {"object": "endpoint", "id": f"endpoint-{model.lower().replace('/', '-')}", "name": model, "model": model}
    return {**names, "type": "serverless", "owner": "together", "state": "STARTED", "created_at": "2024-02-28T21:34:35.444Z"}


def _update(context: RequestContext) -> dict[str, Any]:
    endpoint = context.stores.endpoints.find(context.path_id)
    request = _Changes.read(context)
    endpoint.autoscaling = _autoscaling({**endpoint.autoscaling, **request.autoscaling})
    endpoint.display_name = request.display_name or endpoint.display_name
    if request.inactive_timeout is not None:
        endpoint.inactive_timeout = request.inactive_timeout
    if request.state and request.state != endpoint.target_state:
        endpoint.target_state, endpoint.changed_at = request.state, time.monotonic()
    return endpoint.details()


def _delete(context: RequestContext) -> Response:
    endpoints = context.stores.endpoints
    del endpoints[endpoints.find(context.path_id).id]
    return Response(status_code=204)


def _list_hardware(context: RequestContext) -> dict[str, Any]:
    """Lists hardware; for a model, with its availability."""
    model = context.request.query_params.get("model")
    if model:
        check_exists(context, model, ALL_KINDS)
    return {"object": "list", "data": [_hardware(name, facts, bool(model)) for name, facts in HARDWARE.items()]}


def _hardware(name: str, facts: tuple[int, str, str, int, float], with_availability: bool) -> dict[str, Any]:
    count, gpu, link, memory, cents = facts
    hardware = {
        "object": "hardware",
        "id": name,
        "pricing": {"cents_per_minute": round(count * cents, 2)},
        "specs": {"gpu_type": gpu, "gpu_link": link, "gpu_memory": memory, "gpu_count": count},
        "updated_at": "2025-01-01T00:00:00Z",
    }
    status = "insufficient" if count == 1 and gpu == "l40s" else "unavailable" if count == 8 and gpu == "h200" else "available"
    return {**hardware, "availability": {"status": status}} if with_availability else hardware


def _upload_model(context: RequestContext) -> dict[str, Any]:
    request = _ModelUpload.read(context)
    if request.model_type == "model" and (request.base_model or request.lora_model):
        raise bad_request("base_model and lora_model are for adapters only.", param="model_type")
    if request.base_model:
        check_exists(context, request.base_model)
    job = ModelUploadJob(request.model_name, request.model_source, request.description)
    context.stores.model_uploads.add(job.id, job)
    return {
        "message": "Processing model weights. Job created.",
        "data": {
            "job_id": job.id,
            "model_name": f"{OWNER}/{job.name}",
            "model_id": f"model-{secrets.token_hex(8)}",
            "model_source": "remote" if "://" in job.source else "huggingface",
        },
    }


def _list_uploads(context: RequestContext) -> dict[str, Any]:
    return {"data": [job.to_dict() for job in context.stores.model_uploads.values()]}


ROUTES: Any = [
    json_route("/v1/endpoints", _list_endpoints, method="GET"),
    json_route("/v1/endpoints", _create),
    json_route("/v1/endpoints/{id}", lambda context: context.stores.endpoints.find(context.path_id).details(), "GET"),
    json_route("/v1/endpoints/{id}", _update, method="PATCH"),
    json_route("/v1/endpoints/{id}", _delete, method="DELETE"),
    json_route("/v1/hardware", _list_hardware, method="GET"),
    json_route("/v1/clusters/availability-zones", lambda _: {"avzones": list(ZONES)}, "GET"),
    json_route("/v1/models", _upload_model),
    json_route("/v1/jobs", _list_uploads, method="GET"),
    json_route("/v1/jobs/{id}", lambda context: context.stores.model_uploads.find(context.path_id).to_dict(), "GET"),
]
