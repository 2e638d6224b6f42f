"""`/v2`: models, endpoints and hardware by project, for the newest SDKs; `deployments` has what an endpoint runs."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import Field

from together_adapters.emulator.errors import ApiError
from together_adapters.emulator.http.routing import Name, RequestContext, RequestModel, json_route
from together_adapters.emulator.routes.account import ORGANIZATION
from together_adapters.emulator.routes.endpoints import HARDWARE, ZONES
from together_adapters.emulator.routes.pages import page
from together_adapters.emulator.store.catalogue import TUNABLE, prices_of
from together_adapters.emulator.store.records import RecordStore, timestamp
from together_adapters.types.capabilities import MODELS, Capabilities

_CATALOGUE_DATE: Final = "2025-01-01T00:00:00Z"
_Visibility = Literal["VISIBILITY_PRIVATE", "VISIBILITY_INTERNAL"]


class _NewProjectEndpoint(RequestModel):
    name: str = Field(min_length=1, max_length=200)
    visibility: _Visibility = "VISIBILITY_PRIVATE"


class _TrafficShare(RequestModel):
    deployment_id: Name = Field(alias="deploymentId")
    weight: float = Field(ge=0, le=1_000_000)


class _ProjectEndpointChanges(RequestModel):
    traffic_split: list[_TrafficShare] | None = Field(None, alias="trafficSplit")
    name: str | None = Field(None, min_length=1, max_length=200)
    visibility: _Visibility | None = None
    etag: str | None = Field(None, min_length=1, max_length=100)


class _NewModel(RequestModel):
    name: str = Field(min_length=1, max_length=200)
    base_model_id: Name = Field(alias="baseModelId")
    type: Literal["model", "models", "adapter", "adapters"]
    description: str = Field("", max_length=10_000)


def _list_supported_models(context: RequestContext) -> dict[str, Any]:
    query = context.request.query_params
    search, product = query.get("search", "").lower(), query.get("product")
    models = [_supported_model(name, facts) for name, facts in MODELS.items() if search in name.lower()]
    return page(context, [model for model in models if not product or product in model["products"]])


def _retrieve_supported_model(context: RequestContext) -> dict[str, Any]:
    return _find([_supported_model(name, facts) for name, facts in MODELS.items()], context, "model")


def _supported_model(name: str, facts: Capabilities) -> dict[str, Any]:
    prices, publisher = prices_of(facts), name.partition("/")[0]
    is_trainable = name in TUNABLE
    inputs = ["MODALITY_TEXT"] + (["MODALITY_IMAGE"] if facts.vision else [])
    features = {
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
        "features": [feature for feature, is_supported in features.items() if is_supported],
        "inputModalities": inputs,
        "outputModalities": ["MODALITY_TEXT"],
        "products": (["PRODUCT_SERVERLESS"] if facts.is_served else [])
        + ["PRODUCT_DEDICATED"]
        + (["PRODUCT_FINE_TUNING"] if is_trainable else []),
        "contextLength": str(facts.context_length),
        "pricing": {"input": prices["input"], "output": prices["output"], "cachedInput": prices["cached_input"]},
        "serverlessEndpoint": name,
        "baseModel": "",
        "baseModelId": "",
        "deploymentProfiles": [],
        "createdAt": _CATALOGUE_DATE,
        "updatedAt": _CATALOGUE_DATE,
    }


def _slug(name: str) -> str:
    return name.lower().replace("/", "--")


def _instance_types() -> list[dict[str, Any]]:
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


def _register_model(context: RequestContext) -> dict[str, Any]:
    new = _NewModel.read(context)
    id = f"model-{secrets.token_hex(8)}"
    model = _model(context, id, new.name, new.base_model_id, new.type.startswith("adapter"), new.description)
    return _add(context.stores.project_models, model)


def _models(context: RequestContext) -> list[dict[str, Any]]:
    tuned_models = [
        _model(context, job.id.replace("ft-", "model-"), job.output_name, _slug(job.base_model), job.is_lora, "")
        for job in context.stores.jobs.completed()
    ]
    return tuned_models + _of_project(context, context.stores.project_models)


def _model(context: RequestContext, id: str, name: str, base: str, is_adapter: bool, description: str) -> dict[str, Any]:
    return {
        "id": id,
        "name": _qualified_name(context, name),
        "organizationId": ORGANIZATION,
        "projectId": context.request.path_params["project"],
        "visibility": "VISIBILITY_PRIVATE",
        "weights": {"type": "WEIGHTS_TYPE_ADAPTER" if is_adapter else "WEIGHTS_TYPE_DEFAULT"},
        "baseModelId": base,
        "description": description,
    }


def _qualified_name(context: RequestContext, name: str) -> str:
    return name if "/" in name else f"{context.request.path_params['project']}/{name}"


def _endpoints(context: RequestContext) -> list[dict[str, Any]]:
    return [_with_deployments(context, endpoint) for endpoint in _of_project(context, context.stores.project_endpoints)]


def _with_deployments(context: RequestContext, endpoint: dict[str, Any]) -> dict[str, Any]:
    deployments = [item for item in context.stores.deployments.values() if item.endpoint_id == endpoint["id"]]
    return endpoint | {"deployments": [deployment.summary(endpoint["name"]) for deployment in deployments]}


def _create_endpoint(context: RequestContext) -> dict[str, Any]:
    new, now = _NewProjectEndpoint.read(context), timestamp()
    endpoint = {
        "id": f"ep_{secrets.token_hex(8)}",
        "name": _qualified_name(context, new.name),
        "projectId": context.request.path_params["project"],
        "visibility": new.visibility,
        "endpointType": "ENDPOINT_TYPE_DEDICATED",
        "deployments": [],
        "trafficSplit": [],
        "etag": secrets.token_hex(4),
        "createdAt": now,
        "updatedAt": now,
    }
    return _add(context.stores.project_endpoints, endpoint)


def _update_endpoint(context: RequestContext) -> dict[str, Any]:
    endpoint = _find(_of_project(context, context.stores.project_endpoints), context, "endpoint")
    changes = _ProjectEndpointChanges.read(context)
    _check_etag(endpoint, changes.etag)
    if changes.name:
        endpoint["name"] = _qualified_name(context, changes.name)
    if changes.traffic_split is not None:
        endpoint["trafficSplit"] = [share.model_dump(by_alias=True) for share in changes.traffic_split]
    visibility = changes.visibility or endpoint["visibility"]
    endpoint |= {"visibility": visibility, "etag": secrets.token_hex(4), "updatedAt": timestamp()}
    return _with_deployments(context, endpoint)


def _delete_endpoint(context: RequestContext) -> dict[str, Any]:
    """Deletes an endpoint; one with deployments is refused here, which nothing says of the service."""
    endpoint = _find(_endpoints(context), context, "endpoint")
    _check_etag(endpoint, context.request.query_params.get("etag"))
    if endpoint["deployments"]:
        raise ApiError(409, f"The endpoint {endpoint['id']} has deployments: delete them first.", code="conflict")
    return _delete(context, context.stores.project_endpoints, "endpoint")


def _check_etag(endpoint: dict[str, Any], etag: str | None) -> None:
    if etag not in (None, "", endpoint["etag"]):
        raise ApiError(409, f"The endpoint {endpoint['id']} has changed since.", param="etag", code="conflict")


def _of_project(context: RequestContext, store: RecordStore[dict[str, Any]]) -> list[dict[str, Any]]:
    project = context.request.path_params["project"]
    return [record for record in store.values() if record["projectId"] == project]


def _add(store: RecordStore[dict[str, Any]], record: dict[str, Any]) -> dict[str, Any]:
    if any(record["name"] == other["name"] for other in store.values()):
        raise ApiError(409, f"The name {record['name']} exists already.", param="name", code="conflict")
    return store.add(record["id"], record)


def _delete(context: RequestContext, store: RecordStore[dict[str, Any]], noun: str) -> dict[str, Any]:
    del store[_find(_of_project(context, store), context, noun)["id"]]
    return {}


def _find(records: Sequence[dict[str, Any]], context: RequestContext, noun: str) -> dict[str, Any]:
    record = next((record for record in records if record["id"] == context.path_id), None)
    if record is None:
        raise ApiError(404, f"There is no {noun} {context.path_id[:100]!r}.", param="id", code="not_found")
    return record


_PROJECT: Final = "/v2/projects/{project}"
ROUTES: Any = [
    json_route("/v2/supported-models", _list_supported_models, "GET"),
    json_route("/v2/supported-models/{id}", _retrieve_supported_model, "GET"),
    json_route(
        "/v2/public/inference-instance-types", lambda _: {"object": "list", "data": _instance_types(), "next_cursor": None}, "GET"
    ),
    json_route(
        "/v2/public/inference-instance-types/{id}", lambda context: _find(_instance_types(), context, "instance type"), "GET"
    ),
    json_route(f"{_PROJECT}/models", lambda context: page(context, _models(context)), "GET"),
    json_route(f"{_PROJECT}/models", _register_model),
    json_route(f"{_PROJECT}/models/{{id}}", lambda context: _find(_models(context), context, "model"), "GET"),
    json_route(f"{_PROJECT}/models/{{id}}", lambda context: _delete(context, context.stores.project_models, "model"), "DELETE"),
    json_route(f"{_PROJECT}/endpoints", lambda context: page(context, _endpoints(context)), "GET"),
    json_route(f"{_PROJECT}/endpoints", _create_endpoint),
    json_route(f"{_PROJECT}/endpoints/{{id}}", lambda context: _find(_endpoints(context), context, "endpoint"), "GET"),
    json_route(f"{_PROJECT}/endpoints/{{id}}", _update_endpoint, "PATCH"),
    json_route(f"{_PROJECT}/endpoints/{{id}}", _delete_endpoint, "DELETE"),
]
