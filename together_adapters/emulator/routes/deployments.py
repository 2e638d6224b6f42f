"""Deployments of endpoints of projects, and LoRA adapters on them. Rollouts, experiments and traffic are not emulated."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from pydantic import Field

from together_adapters.emulator.errors import ApiError, bad_request
from together_adapters.emulator.http.routing import Name, RequestContext, RequestModel, json_route
from together_adapters.emulator.routes.pages import page
from together_adapters.emulator.store.deployments import MAX_ADAPTERS, EmulatedAdapter, EmulatedDeployment

T = TypeVar("T")

_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_MODEL: Final = r"^projects/[^/]+/models/[^/]+(/revisions/[^/]+)?$"
_MAX_REPLICAS: Final = 1_000
_TIMEOUTS: Final = range(30, 1_441)  # minutes, besides 0


class _Limits(RequestModel):
    inactive_timeout: int | None = Field(None, alias="inactiveTimeout")
    max_requests: str | None = Field(None, alias="maxConcurrentRequestsPerReplica", pattern=r"^\d{1,9}$")


class _Changes(_Limits):
    name: str | None = Field(None, max_length=100, pattern=_NAME)
    autoscaling: dict[str, Any] | None = None
    etag: Name | None = None


class _NewDeployment(_Limits):
    name: str = Field(max_length=100, pattern=_NAME)
    autoscaling: dict[str, Any]
    model: str | None = Field(None, pattern=_MODEL, description="projects/{project}/models/{model}[/revisions/{revision}]")
    model_id: Name | None = Field(None, alias="modelId")
    config: str | None = Field(None, pattern=r"^projects/[^/]+/configs/[^/]+$", description="projects/{project}/configs/{config}")
    placement: dict[str, Any] | None = None


class _NewAdapter(RequestModel):
    model_id: Name = Field(alias="adapterModelId")
    revision_id: Name = Field("revision-1", alias="adapterRevisionId")
    force: bool = False


class _AdapterChanges(RequestModel):
    revision_id: Name = Field(alias="adapterRevisionId")
    etag: Name


def _create(context: RequestContext) -> dict[str, Any]:
    endpoint, new = _endpoint(context), _NewDeployment.read(context)
    project = endpoint["projectId"]
    model = new.model or (f"projects/{project}/models/{new.model_id}" if new.model_id else None)
    if model is None:
        raise bad_request("model is required.", param="model")
    _check_name(context, new.name)
    deployment = EmulatedDeployment(
        project,
        endpoint["id"],
        new.name,
        model if "/revisions/" in model else f"{model}/revisions/revision-1",
        new.config or f"projects/{project}/configs/config-1",
        _autoscaling({}, new.autoscaling),
        new.placement,
        _inactive_timeout(new.inactive_timeout),
        new.max_requests,
    )
    if context.request.query_params.get("validateOnly") != "true":
        context.stores.deployments.add(deployment.id, deployment)
    return deployment.to_dict(endpoint["name"])


def _autoscaling(current: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Returns the rules after a change. Without a maximum it is the minimum, as the service says."""
    rules = {**current, **changes}
    if "maxReplicas" not in changes and "minReplicas" in changes:
        rules["maxReplicas"] = max(
            rules.get("maxReplicas") or 0, changes["minReplicas"] if _is_count(changes["minReplicas"]) else 0
        )
    minimum, maximum = rules.setdefault("minReplicas", 0), rules.get("maxReplicas")
    if not (_is_count(minimum) and _is_count(maximum) and minimum <= maximum):
        text = f"autoscaling: minReplicas and maxReplicas must be whole numbers up to {_MAX_REPLICAS}, the first not above the second."
        raise bad_request(text, param="autoscaling")
    return rules


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_REPLICAS


def _inactive_timeout(minutes: int | None) -> int | None:
    if minutes and minutes not in _TIMEOUTS:
        raise bad_request("inactiveTimeout must be 0, or from 30 to 1440 minutes.", param="inactiveTimeout")
    return minutes


def _update(context: RequestContext) -> dict[str, Any]:
    endpoint, deployment = _endpoint(context), _deployment(context)
    changes = _Changes.read(context)
    _check_etag(deployment.etag, changes.etag)
    if changes.name and changes.name != deployment.name:
        _check_name(context, changes.name)
    autoscaling = None if changes.autoscaling is None else _autoscaling(deployment.autoscaling, changes.autoscaling)
    timeout = _inactive_timeout(changes.inactive_timeout)
    deployment.name = changes.name or deployment.name
    deployment.inactive_timeout = deployment.inactive_timeout if timeout is None else timeout
    deployment.max_requests = changes.max_requests or deployment.max_requests
    if autoscaling is not None:
        deployment.scale(autoscaling)
    deployment.touch()
    return deployment.to_dict(endpoint["name"])


def _list(context: RequestContext) -> dict[str, Any]:
    endpoint = _endpoint(context)
    return page(context, [deployment.to_dict(endpoint["name"]) for deployment in _deployments(context)])


def _delete(context: RequestContext) -> dict[str, Any]:
    deployment = _deployment(context)
    _check_etag(deployment.etag, context.request.query_params.get("etag"))
    del context.stores.deployments[deployment.id]
    return {}


def _add_adapter(context: RequestContext) -> dict[str, Any]:
    deployment, new = _deployment(context), _NewAdapter.read(context)
    adapters = deployment.adapters
    if any(adapter.model_id == new.model_id for adapter in adapters.values()):
        raise _conflict(f"The adapter {new.model_id} is on this deployment already.", "adapterModelId")
    if len(adapters) >= MAX_ADAPTERS:
        if not new.force:
            raise _conflict(f"The deployment has {MAX_ADAPTERS} adapters; force removes the oldest.", "force")
        del adapters[next(iter(adapters))]
    adapter = EmulatedAdapter(deployment.project, new.model_id, new.revision_id)
    adapters[adapter.id] = adapter
    return adapter.to_dict()


def _list_adapters(context: RequestContext) -> dict[str, Any]:
    return page(context, [adapter.to_dict() for adapter in _deployment(context).adapters.values()])


def _update_adapter(context: RequestContext) -> dict[str, Any]:
    adapter, changes = _adapter(context), _AdapterChanges.read(context)
    _check_etag(adapter.etag, changes.etag)
    adapter.replace(changes.revision_id)
    return adapter.to_dict()


def _remove_adapter(context: RequestContext) -> dict[str, Any]:
    adapter, etag = _adapter(context), context.request.query_params.get("etag")
    if not etag:
        raise bad_request("etag is required.", param="etag")
    _check_etag(adapter.etag, etag)
    del _deployment(context).adapters[adapter.id]
    return {}


def _endpoint(context: RequestContext) -> dict[str, Any]:
    parameters = context.request.path_params
    endpoint = context.stores.project_endpoints.find(parameters["endpoint"])
    if endpoint["projectId"] != parameters["project"]:
        raise ApiError(404, f"There is no endpoint {endpoint['id']!r} in this project.", param="id", code="not_found")
    return endpoint


def _deployments(context: RequestContext) -> list[EmulatedDeployment]:
    id = _endpoint(context)["id"]
    return [deployment for deployment in context.stores.deployments.values() if deployment.endpoint_id == id]


def _deployment(context: RequestContext) -> EmulatedDeployment:
    return _find({deployment.id: deployment for deployment in _deployments(context)}, context, "deployment")


def _adapter(context: RequestContext) -> EmulatedAdapter:
    return _find(_deployment(context).adapters, context, "adapter")


def _find(records: dict[str, T], context: RequestContext, noun: str) -> T:
    id = str(context.request.path_params[noun])
    if id not in records:
        raise ApiError(404, f"There is no {noun} {id[:100]!r}.", param="id", code="not_found")
    return records[id]


def _check_name(context: RequestContext, name: str) -> None:
    if any(deployment.name == name for deployment in _deployments(context)):
        raise _conflict(f"The name {name} exists already.", "name")


def _check_etag(current: str, etag: str | None) -> None:
    if etag not in (None, "", current):
        raise _conflict("It has changed since it was read.", "etag")


def _conflict(message: str, param: str) -> ApiError:
    return ApiError(409, message, param=param, code="conflict")


def _to_dict(context: RequestContext) -> dict[str, Any]:
    return _deployment(context).to_dict(_endpoint(context)["name"])


_DEPLOYMENTS: Final = "/v2/projects/{project}/endpoints/{endpoint}/deployments"
_DEPLOYMENT: Final = f"{_DEPLOYMENTS}/{{deployment}}"
_ADAPTER: Final = f"{_DEPLOYMENT}/adapters/{{adapter}}"
ROUTES: Any = [
    json_route(_DEPLOYMENTS, _list, "GET"),
    json_route(_DEPLOYMENTS, _create),
    json_route(_DEPLOYMENT, _to_dict, "GET"),
    json_route(_DEPLOYMENT, _update, "PATCH", needs_object=True),
    json_route(_DEPLOYMENT, _delete, "DELETE"),
    json_route(f"{_DEPLOYMENT}/adapters", _list_adapters, "GET"),
    json_route(f"{_DEPLOYMENT}/adapters", _add_adapter),
    json_route(_ADAPTER, lambda context: _adapter(context).to_dict(), "GET"),
    json_route(_ADAPTER, _update_adapter, "PATCH", needs_object=True),
    json_route(_ADAPTER, _remove_adapter, "DELETE"),
]
