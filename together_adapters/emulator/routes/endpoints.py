"""Dedicated endpoints that start within a second, the hardware they run on, and uploads of models."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from together_adapters.emulator.http.errors import ApiError, bad_request
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.http.validation import Rule, check, flag, one_of, table, text, whole
from together_adapters.emulator.routes.models import served
from together_adapters.types.capabilities import MODELS

_OWNER: Final = "emulated-user"
_MOST: Final = 1_000
ZONES: Final = ("us-central-4b", "us-east-1a", "eu-north-2c")
_GPUS: Final = {
    "nvidia_h100_80gb_sxm": ("h100", "sxm", 80, 5.6),
    "nvidia_h200_140gb_sxm": ("h200", "sxm", 140, 8.0),
    "nvidia_a100_80gb_sxm": ("a100", "sxm", 80, 4.2),
    "nvidia_l40s": ("l40s", "pcie", 48, 2.1),
}
HARDWARE: Final = {f"{count}x_{name}": (count, *facts) for name, facts in _GPUS.items() for count in (1, 2, 4, 8)}
_RULES: Final = {
    "hardware": text(200, required=True),
    "autoscaling": table(required=True),
    "display_name": text(500),
    "disable_prompt_cache": flag(),
    "disable_speculative_decoding": flag(),
    "state": one_of("STARTED", "STOPPED"),
    "inactive_timeout": whole(0, 10_000_000),
    "availability_zone": one_of(*ZONES),
}
_CHANGES: Final = {
    **{name: _RULES[name] for name in ("display_name", "state", "inactive_timeout")},
    "autoscaling": table(),
}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class _Endpoint:
    id: str
    name: str
    display_name: str
    model: str
    hardware: str
    autoscaling: dict[str, int]
    inactive_timeout: int | None
    wanted: str
    since: float
    created_at: str = field(default_factory=_now)

    def state(self) -> str:
        """How far it has come on the way to what was wanted."""
        age = time.monotonic() - self.since
        if self.wanted == "STOPPED":
            return "STOPPING" if age < 0.3 else "STOPPED"
        return "PENDING" if age < 0.2 else "STARTING" if age < 0.8 else "STARTED"

    def entry(self) -> dict[str, Any]:
        """As lists show it."""
        facts = {"object": "endpoint", "id": self.id, "name": self.name, "model": self.model, "type": "dedicated"}
        return {**facts, "owner": _OWNER, "state": self.state(), "created_at": self.created_at}

    def whole(self) -> dict[str, Any]:
        """As it is shown by itself."""
        own = {"display_name": self.display_name, "hardware": self.hardware, "autoscaling": self.autoscaling}
        return {**self.entry(), **own, "inactive_timeout": self.inactive_timeout}


def create(context: RequestContext) -> dict[str, Any]:
    """Create an endpoint, starting unless told otherwise."""
    model, _ = served(context.body)
    body = check(context, context.body, _RULES)
    if body["hardware"] not in HARDWARE:
        raise bad_request(f"There is no hardware {body['hardware']}; GET /v1/hardware lists what there is.", param="hardware")
    stopped = body.get("state") == "STOPPED"
    made = _Endpoint(
        id=f"endpoint-{secrets.token_hex(8)}",
        name=f"{_OWNER}/{model}-{secrets.token_hex(4)}",
        display_name=body.get("display_name", model),
        model=model,
        hardware=body["hardware"],
        autoscaling=_replicas(body["autoscaling"], {}),
        inactive_timeout=body.get("inactive_timeout"),
        wanted="STOPPED" if stopped else "STARTED",
        since=0.0 if stopped else time.monotonic(),
    )
    kept = _kept(context)
    if len(kept) >= _MOST:
        del kept[next(iter(kept))]
    kept[made.id] = made
    return made.whole()


def _replicas(given: dict[str, Any], now: dict[str, int]) -> dict[str, int]:
    """Return what autoscaling becomes.

    Raises:
        ApiError: A number is missing, is none, or the least is above the most.
    """
    limits = {**now, **given}
    least, most = limits.get("min_replicas"), limits.get("max_replicas")
    for value, lowest in ((least, 0), (most, 1)):
        if not whole(lowest, 1_000).holds(value):
            message = "autoscaling needs min_replicas and max_replicas as whole numbers, the latter above 0."
            raise bad_request(message, param="autoscaling")
    assert isinstance(least, int)
    assert isinstance(most, int)
    if least > most:
        raise bad_request("min_replicas must not be above max_replicas.", param="autoscaling")
    return {"min_replicas": least, "max_replicas": most}


def listed(context: RequestContext) -> dict[str, Any]:
    """List dedicated endpoints of one's own, and serverless ones of the service."""
    query = context.request.query_params
    for name, allowed in (("type", ("dedicated", "serverless")), ("usage_type", ("on-demand", "reserved"))):
        if query.get(name) not in (None, "", *allowed):
            raise bad_request(f"{name} must be one of {', '.join(allowed)}.", param=name)
    mine = query.get("mine", "").lower() == "true"
    found: list[dict[str, Any]] = []
    if query.get("type") != "serverless" and query.get("usage_type") != "reserved":
        found += [endpoint.entry() for endpoint in _kept(context).values()]
    if query.get("type") != "dedicated" and not query.get("usage_type") and not mine:
        found += [_serverless(model) for model in MODELS]
    return {"object": "list", "data": found}


def _serverless(model: str) -> dict[str, Any]:
    facts = {"object": "endpoint", "id": f"endpoint-{model.lower().replace('/', '-')}", "name": model, "model": model}
    return {**facts, "type": "serverless", "owner": "together", "state": "STARTED", "created_at": "2024-02-28T21:34:35.444Z"}


def get(context: RequestContext) -> dict[str, Any]:
    """Show an endpoint."""
    return _find(context).whole()


def update(context: RequestContext) -> dict[str, Any]:
    """Change an endpoint."""
    found = _find(context)
    body = check(context, context.body, _CHANGES)
    replicas = _replicas(body.get("autoscaling", {}), found.autoscaling)
    found.autoscaling = replicas
    found.display_name = body.get("display_name", found.display_name)
    found.inactive_timeout = body.get("inactive_timeout", found.inactive_timeout)
    if (wanted := body.get("state", found.wanted)) != found.wanted:
        found.wanted, found.since = wanted, time.monotonic()
    return found.whole()


def delete(context: RequestContext) -> Response:
    """Remove an endpoint."""
    del _kept(context)[_find(context).id]
    return Response(status_code=204)


def _find(context: RequestContext) -> _Endpoint:
    id = context.request.path_params["id"]
    found = _kept(context).get(id)
    if found is None:
        raise ApiError(404, f"There is no endpoint {id[:100]}.", param="id", code="not_found")
    return found


def _kept(context: RequestContext) -> dict[str, _Endpoint]:
    kept: dict[str, _Endpoint] = context.state.shelf.setdefault("endpoints", {})
    return kept


def hardware(context: RequestContext) -> dict[str, Any]:
    """List hardware; with a model, whether it is free."""
    model = context.request.query_params.get("model")
    if model:
        served({"model": model})
    return {"object": "list", "data": [_hardware(name, facts, bool(model)) for name, facts in HARDWARE.items()]}


def _hardware(name: str, facts: tuple[int, str, str, int, float], asked: bool) -> dict[str, Any]:
    count, gpu, link, memory, cents = facts
    shown = {
        "object": "hardware",
        "id": name,
        "pricing": {"cents_per_minute": round(count * cents, 2)},
        "specs": {"gpu_type": gpu, "gpu_link": link, "gpu_memory": memory, "gpu_count": count},
        "updated_at": "2025-01-01T00:00:00Z",
    }
    status = "insufficient" if count == 1 and gpu == "l40s" else "unavailable" if count == 8 and gpu == "h200" else "available"
    return {**shown, "availability": {"status": status}} if asked else shown


def zones(context: RequestContext) -> dict[str, Any]:
    """List the zones."""
    return {"avzones": list(ZONES)}


_UPLOAD: Final = {
    "model_name": text(200, required=True),
    "model_source": text(4_000, required=True),
    "model_type": one_of("model", "adapter"),
    "hf_token": text(500),
    "description": text(10_000),
    "base_model": text(500),
    "lora_model": text(500),
}
_SOURCE: Final = Rule(
    lambda value: bool(re.match(r"(https?|s3)://\S+$|[\w.-]+/[\w.-]+$", value)), "a repository or an S3 address"
)


def upload(context: RequestContext) -> dict[str, Any]:
    """Start an upload of a model."""
    body = check(context, context.body, _UPLOAD)
    if not _SOURCE.holds(body["model_source"]):
        raise bad_request(f"model_source must be {_SOURCE.says}.", param="model_source")
    if body.get("model_type", "model") == "model" and (body.get("base_model") or body.get("lora_model")):
        raise bad_request("base_model and lora_model go with adapters alone.", param="model_type")
    job, name = f"job-{secrets.token_hex(8)}", body["model_name"]
    _jobs(context)[job] = (time.monotonic(), _now(), body)
    source = "remote" if "://" in body["model_source"] else "huggingface"
    data = {"job_id": job, "model_name": f"{_OWNER}/{name}", "model_id": f"model-{secrets.token_hex(8)}", "model_source": source}
    return {"message": "Processing model weights. Job created.", "data": data}


def get_job(context: RequestContext) -> dict[str, Any]:
    """Show a job."""
    id = context.request.path_params["id"]
    if id not in _jobs(context):
        raise ApiError(404, f"There is no job {id[:100]}.", param="id", code="not_found")
    return _job(id, *_jobs(context)[id])


def list_jobs(context: RequestContext) -> dict[str, Any]:
    """List jobs."""
    return {"data": [_job(id, *job) for id, job in _jobs(context).items()]}


def _job(id: str, since: float, created: str, body: dict[str, Any]) -> dict[str, Any]:
    age = time.monotonic() - since
    status = "Queued" if age < 0.2 else "Running" if age < 1 else "Complete"
    args = {"description": body.get("description"), "modelName": body["model_name"], "modelSource": body["model_source"]}
    updates = [{"status": status, "message": f"The upload is {status.lower()}.", "timestamp": created}]
    times = {"created_at": created, "updated_at": created}
    return {"type": "model_upload", "job_id": id, "status": status, "status_updates": updates, "args": args, **times}


def _jobs(context: RequestContext) -> dict[str, tuple[float, str, dict[str, Any]]]:
    jobs: dict[str, tuple[float, str, dict[str, Any]]] = context.state.shelf.setdefault("model uploads", {})
    if len(jobs) > _MOST:
        del jobs[next(iter(jobs))]
    return jobs


ROUTES: Any = [
    json_route("/v1/endpoints", listed, method="GET"),
    json_route("/v1/endpoints", create),
    json_route("/v1/endpoints/{id}", get, method="GET"),
    json_route("/v1/endpoints/{id}", update, method="PATCH"),
    json_route("/v1/endpoints/{id}", delete, method="DELETE"),
    json_route("/v1/hardware", hardware, method="GET"),
    json_route("/v1/clusters/availability-zones", zones, method="GET"),
    json_route("/v1/models", upload),
    json_route("/v1/jobs", list_jobs, method="GET"),
    json_route("/v1/jobs/{id}", get_job, method="GET"),
]
