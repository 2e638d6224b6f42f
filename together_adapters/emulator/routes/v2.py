"""`/v2`: models, endpoints and hardware as the newest SDKs ask for them, by project and in camel case.

There is as much of it as those SDKs need to list, create, look at, change and delete. An endpoint's name goes into `model=` of a
chat; deployments, rollouts and experiments are not emulated.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from together_adapters.emulator.http.errors import ApiError, bad_request
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.http.validation import check, one_of, text
from together_adapters.emulator.routes.endpoints import HARDWARE, ZONES
from together_adapters.emulator.routes.models import price_of
from together_adapters.emulator.store.clock import stamp
from together_adapters.emulator.store.fine_tune_job import FineTune, jobs_of
from together_adapters.types.capabilities import MODELS, Capabilities

_PRIVATE: Final = "VISIBILITY_PRIVATE"
_MOST: Final = 1_000
_ENDPOINT: Final = {"name": text(200), "visibility": one_of(_PRIVATE, "VISIBILITY_INTERNAL")}
_MODEL: Final = {
    "name": text(200, required=True),
    "baseModelId": text(500, required=True),
    "type": one_of("model", "models", "adapter", "adapters", required=True),
    "description": text(10_000),
}
_CATALOGUED: Final = "2025-01-01T00:00:00Z"


def supported(context: RequestContext) -> dict[str, Any]:
    """List the catalogue, of one kind of product or by a word."""
    query = context.request.query_params
    word, product = query.get("search", "").lower(), query.get("product")
    entries = [_catalogued(name, facts) for name, facts in MODELS.items() if word in name.lower()]
    return _page(context, [entry for entry in entries if not product or product in entry["products"]])


def one_supported(context: RequestContext) -> dict[str, Any]:
    """Show one entry of the catalogue."""
    return _one([_catalogued(name, facts) for name, facts in MODELS.items()], context, "model")


def _catalogued(name: str, facts: Capabilities) -> dict[str, Any]:
    price, publisher = price_of(facts), name.partition("/")[0]
    trains = facts.type in ("chat", "language")
    inputs = ["MODALITY_TEXT"] + (["MODALITY_IMAGE"] if facts.vision else [])
    abilities = {
        "FEATURE_TOOL_CALLING": facts.tools,
        "FEATURE_STRUCTURED_OUTPUT": facts.json_schema,
        "FEATURE_REASONING": facts.reasoning is not None,
    }
    capability = {"embedding": "CAPABILITY_EMBEDDING", "rerank": "CAPABILITY_RERANKING"}.get(facts.type, "CAPABILITY_CHAT")
    return {
        "id": _slug(name),
        "name": name,
        "displayName": name.rpartition("/")[2].replace("-", " "),
        "displayType": facts.type,
        "publisher": publisher,
        "status": "SUPPORTED_MODEL_STATUS_SUPPORTED",
        "capabilities": [capability],
        "features": [feature for feature, there in abilities.items() if there],
        "inputModalities": inputs,
        "outputModalities": ["MODALITY_TEXT"],
        "products": ["PRODUCT_SERVERLESS", "PRODUCT_DEDICATED"] + (["PRODUCT_FINE_TUNING"] if trains else []),
        "contextLength": str(facts.context_length),
        "pricing": {"input": price, "output": price, "cachedInput": price / 4},
        "serverlessEndpoint": name,
        "baseModel": "",
        "baseModelId": "",
        "deploymentProfiles": [],
        "createdAt": _CATALOGUED,
        "updatedAt": _CATALOGUED,
    }


def _slug(name: str) -> str:
    return name.lower().replace("/", "--")


def instance_types(context: RequestContext) -> dict[str, Any]:
    """List hardware."""
    return {"object": "list", "data": _instances(), "next_cursor": None}


def instance_type(context: RequestContext) -> dict[str, Any]:
    """Show one kind of hardware."""
    return _one(_instances(), context, "instance type")


def _instances() -> list[dict[str, Any]]:
    return [
        {
            "id": id,
            "name": id,
            "description": f"{count} x {gpu.upper()} with {memory} GB each",
            "gpuCount": count,
            "gpuMemoryGib": memory,
            "gpuType": gpu.upper(),
            "priceCentsPerHour": round(cents * 60 * count),
            "regions": [{"name": zone, "headroom": {"relation": "RELATION_GTE", "value": 1}} for zone in ZONES],
        }
        for id, (count, gpu, _, memory, cents) in HARDWARE.items()
    ]


def models(context: RequestContext) -> dict[str, Any]:
    """List a project's own models: those that were tuned, and those that were registered."""
    return _page(context, _models(context))


def model(context: RequestContext) -> dict[str, Any]:
    """Show one of them."""
    return _one(_models(context), context, "model")


def register(context: RequestContext) -> dict[str, Any]:
    """Register a model."""
    body = check(context, context.body, _MODEL)
    kind = "WEIGHTS_TYPE_ADAPTER" if body["type"].startswith("adapter") else "WEIGHTS_TYPE_DEFAULT"
    made = _model(context, f"model-{secrets.token_hex(8)}", body["name"], body["baseModelId"], kind, body.get("description", ""))
    return _add(context, "registered", made)


def unregister(context: RequestContext) -> dict[str, Any]:
    """Forget a registered model."""
    return _remove(context, "registered")


def _models(context: RequestContext) -> list[dict[str, Any]]:
    tuned = [_tuned(context, job) for job in jobs_of(context).values() if job.status() == "completed"]
    return tuned + _project(context, "registered")


def _tuned(context: RequestContext, job: FineTune) -> dict[str, Any]:
    kind = "WEIGHTS_TYPE_ADAPTER" if job.is_lora else "WEIGHTS_TYPE_DEFAULT"
    return _model(context, job.id.replace("ft-", "model-"), job.output, _slug(job.base), kind, "")


def _model(context: RequestContext, id: str, name: str, base: str, kind: str, description: str) -> dict[str, Any]:
    project = context.request.path_params["project"]
    return {
        "id": id,
        "name": _qualified(context, name),
        "organizationId": "org-emulator",
        "projectId": project,
        "visibility": _PRIVATE,
        "weights": {"type": kind},
        "baseModelId": base,
        "description": description,
    }


def _qualified(context: RequestContext, name: str) -> str:
    return name if "/" in name else f"{context.request.path_params['project']}/{name}"


def endpoints(context: RequestContext) -> dict[str, Any]:
    """List a project's endpoints."""
    return _page(context, _project(context, "routes"))


def endpoint(context: RequestContext) -> dict[str, Any]:
    """Show one of them."""
    return _one(_project(context, "routes"), context, "endpoint")


def create_endpoint(context: RequestContext) -> dict[str, Any]:
    """Create an endpoint, which answers at once under its name."""
    body = check(context, context.body, _ENDPOINT)
    if "name" not in body:
        raise bad_request("name is required.", param="name")
    project, now = context.request.path_params["project"], _now()
    made = {
        "id": f"ep_{secrets.token_hex(8)}",
        "name": _qualified(context, body["name"]),
        "projectId": project,
        "visibility": body.get("visibility", _PRIVATE),
        "endpointType": "ENDPOINT_TYPE_DEDICATED",
        "deployments": [],
        "trafficSplit": [],
        "etag": secrets.token_hex(4),
        "createdAt": now,
        "updatedAt": now,
    }
    return _add(context, "routes", made)


def change_endpoint(context: RequestContext) -> dict[str, Any]:
    """Change an endpoint, if it is still the one that the request's `etag` speaks of."""
    found = endpoint(context)
    body = check(context, context.body, {**_ENDPOINT, "etag": text(100)})
    if body.get("etag", found["etag"]) != found["etag"]:
        raise ApiError(409, f"The endpoint {found['id']} has changed meanwhile.", param="etag", code="conflict")
    if "name" in body:
        body["name"] = _qualified(context, body["name"])
    found |= {name: body[name] for name in _ENDPOINT if name in body} | {"etag": secrets.token_hex(4), "updatedAt": _now()}
    return found


def delete_endpoint(context: RequestContext) -> dict[str, Any]:
    """Remove an endpoint."""
    return _remove(context, "routes")


def _now() -> str:
    return stamp(datetime.now(UTC))


def _kept(context: RequestContext, kind: str) -> dict[str, dict[str, Any]]:
    kept: dict[str, dict[str, Any]] = context.state.shelf.setdefault(f"project {kind}", {})
    return kept


def _project(context: RequestContext, kind: str) -> list[dict[str, Any]]:
    project = context.request.path_params["project"]
    return [entry for entry in _kept(context, kind).values() if entry["projectId"] == project]


def _add(context: RequestContext, kind: str, entry: dict[str, Any]) -> dict[str, Any]:
    kept = _kept(context, kind)
    if any(entry["name"] == other["name"] for other in kept.values()):
        raise ApiError(409, f"The name {entry['name']} is taken.", param="name", code="conflict")
    if len(kept) >= _MOST:
        del kept[next(iter(kept))]
    kept[entry["id"]] = entry
    return entry


def _remove(context: RequestContext, kind: str) -> dict[str, Any]:
    del _kept(context, kind)[_one(_project(context, kind), context, "model or endpoint")["id"]]
    return {}


def _one(entries: Sequence[dict[str, Any]], context: RequestContext, what: str) -> dict[str, Any]:
    id = context.request.path_params["id"]
    found = next((entry for entry in entries if entry["id"] == id), None)
    if found is None:
        raise ApiError(404, f"There is no {what} {id[:100]}.", param="id", code="not_found")
    return found


def _page(context: RequestContext, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A page of a list: `after` is the id that the page before ended with."""
    query = context.request.query_params
    limit = query.get("limit") or "100"
    if not limit.isdecimal() or not 1 <= int(limit[:9]) <= 1_000:
        raise bad_request("limit must be a whole number from 1 to 1000.", param="limit")
    ids = [entry["id"] for entry in entries]
    after = query.get("after")
    if after and after not in ids:
        raise bad_request("after is no cursor of this list.", param="after")
    start = ids.index(after) + 1 if after else 0
    shown = entries[start : start + int(limit)]
    more = start + len(shown) < len(entries)
    return {"object": "list", "data": list(shown), "next_cursor": shown[-1]["id"] if shown and more else None}


_PROJECT: Final = "/v2/projects/{project}"
ROUTES: Any = [
    json_route("/v2/supported-models", supported, "GET"),
    json_route("/v2/supported-models/{id}", one_supported, "GET"),
    json_route("/v2/public/inference-instance-types", instance_types, "GET"),
    json_route("/v2/public/inference-instance-types/{id}", instance_type, "GET"),
    json_route(f"{_PROJECT}/models", models, "GET"),
    json_route(f"{_PROJECT}/models", register),
    json_route(f"{_PROJECT}/models/{{id}}", model, "GET"),
    json_route(f"{_PROJECT}/models/{{id}}", unregister, "DELETE"),
    json_route(f"{_PROJECT}/endpoints", endpoints, "GET"),
    json_route(f"{_PROJECT}/endpoints", create_endpoint),
    json_route(f"{_PROJECT}/endpoints/{{id}}", endpoint, "GET"),
    json_route(f"{_PROJECT}/endpoints/{{id}}", change_endpoint, "PATCH"),
    json_route(f"{_PROJECT}/endpoints/{{id}}", delete_endpoint, "DELETE"),
]
