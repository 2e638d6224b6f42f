"""Deployments: models on hardware under an endpoint of a project.

So the `together` 3.x SDK describes them; not checked against the live service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Unpack

from together_adapters.resources.account.identity import project_path
from together_adapters.resources.account.pages import read_pages
from together_adapters.resources.account.projects import endpoint_path
from together_adapters.resources.waiting import wait_for_state
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Flow, request, segment
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.account.deployments import Deployment, DeploymentPage, to_wire
from together_adapters.types.progress import Progress
from together_adapters.types.requests import RequestOptions

_parse = ResponseParser(Deployment)
_parse_page = ResponseParser(DeploymentPage)


def deployment_path(project: str, endpoint_id: str, id: str, name: str = "id") -> str:
    """Returns the path of a deployment under that of its project."""
    return f"{endpoint_path(project, endpoint_id)}/deployments/{segment(id, name)}"


def create(
    endpoint_id: str,
    *,
    name: str,
    autoscaling: Mapping[str, Any],
    model: str | None = None,
    config: str | None = None,
    placement: Mapping[str, Any] | None = None,
    inactive_timeout: int | None = None,
    max_concurrent_requests_per_replica: int | str | None = None,
    validate_only: bool | None = None,
    project_id: str | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[Deployment]:
    """Creates a deployment. It costs money while it has replicas, so the request is not retried where it may have been accepted.

    Args:
        endpoint_id: The endpoint that it belongs to.
        name: The name of the deployment within its endpoint.
        autoscaling: `{"min_replicas": 1, "max_replicas": 2}` and further rules, with names in either case.
        model: `projects/{project}/models/{model}`, optionally with `/revisions/{revision}`.
        config: `projects/{project}/configs/{revision}`.
        placement: `{"inline": {"regions": [...]}}` or `{"profile": ...}`.
        inactive_timeout: Minutes without a request after which it stops, 30 to 1440; 0 for never.
        max_concurrent_requests_per_replica: Requests at the same time on one replica.
        validate_only: Whether to validate the request only.
        project_id: The project; by default that of the client or of its key.

    Returns:
        The deployment, which is still provisioned: `wait` waits until it is ready.
    """
    project = yield from project_path(project_id)
    params = {
        "name": name,
        "autoscaling": to_wire(dict(autoscaling)),
        "model": model,
        "config": config,
        "placement": None if placement is None else to_wire(dict(placement)),
        **_limits(inactive_timeout, max_concurrent_requests_per_replica),
    }
    path, query = f"{endpoint_path(project, endpoint_id)}/deployments", {"validateOnly": validate_only}
    billable = "endpoints.deployments.list()"
    return (yield request("POST", path, _parse, params, query=query, billable=billable, options=options))


def list_deployments(
    endpoint_id: str,
    *,
    filter: str | None = None,
    order_by: str | None = None,
    limit: int | None = None,
    after: str | None = None,
    project_id: str | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[DeploymentPage]:
    """Lists the deployments of an endpoint, in `data`. All pages are read.

    Args:
        filter: An expression of the service over `name`, `state`, `model`, `created_at` and `updated_at`.
        order_by: `created_at` or `updated_at`, optionally followed by `asc` or `desc`.
        limit: Maximum number of deployments.
        after: The `next_cursor` of a list, after which this one begins.
        project_id: The project; by default that of the client or of its key.
    """
    project = yield from project_path(project_id)
    query = {"filter": filter, "orderBy": order_by}
    call = request("GET", f"{endpoint_path(project, endpoint_id)}/deployments", _parse_page, query=query, options=options)
    return (yield from read_pages(call, limit, after))


def retrieve(id: str, *, endpoint_id: str, project_id: str | None = None, **options: Unpack[RequestOptions]) -> Flow[Deployment]:
    """Retrieves a deployment with its status.

    Args:
        endpoint_id: The endpoint that it belongs to.
        project_id: The project; by default that of the client or of its key.
    """
    project = yield from project_path(project_id)
    return (yield request("GET", deployment_path(project, endpoint_id, id), _parse, options=options))


def update(
    id: str,
    *,
    endpoint_id: str,
    autoscaling: Mapping[str, Any] | None = None,
    name: str | None = None,
    inactive_timeout: int | None = None,
    max_concurrent_requests_per_replica: int | str | None = None,
    etag: str | None = None,
    update_mask: str | None = None,
    project_id: str | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[Deployment]:
    """Updates a deployment. What is not passed does not change; a minimum and maximum of 0 replicas stops it.

    Args:
        endpoint_id: The endpoint that it belongs to.
        autoscaling: The rules to change, with names in either case.
        name: The new name.
        inactive_timeout: Minutes without a request after which it stops, 30 to 1440; 0 for never.
        max_concurrent_requests_per_replica: Requests at the same time on one replica.
        etag: That of the deployment as it was read: the update is refused if it has changed since.
        update_mask: The fields to update; by default those that are passed.
        project_id: The project; by default that of the client or of its key.

    Raises:
        ConflictError: The deployment has changed since it was read.
    """
    project = yield from project_path(project_id)
    params = {
        "autoscaling": None if autoscaling is None else to_wire(dict(autoscaling)),
        "name": name,
        "etag": etag,
        **_limits(inactive_timeout, max_concurrent_requests_per_replica),
    }
    path, query = deployment_path(project, endpoint_id, id), {"updateMask": update_mask}
    billable = "endpoints.deployments.retrieve()"  # a repeated update would be refused for its etag
    return (yield request("PATCH", path, _parse, params, query=query, billable=billable, options=options))


def delete(
    id: str, *, endpoint_id: str, etag: str | None = None, project_id: str | None = None, **options: Unpack[RequestOptions]
) -> Flow[None]:
    """Stops and deletes a deployment.

    Args:
        endpoint_id: The endpoint that it belongs to.
        etag: That of the deployment as it was read: the request is refused if it has changed since.
        project_id: The project; by default that of the client or of its key.
    """
    project = yield from project_path(project_id)
    path = deployment_path(project, endpoint_id, id)
    yield request("DELETE", path, lambda response: None, query={"etag": etag}, options=options)


def wait(
    id: str,
    *,
    endpoint_id: str,
    state: Literal["READY", "STOPPED"] = "READY",
    project_id: str | None = None,
    poll_interval: float = 2.0,
    timeout: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_query: Mapping[str, Any] | None = None,
) -> Flow[Deployment]:
    """Waits until a deployment is ready, or stopped.

    Args:
        endpoint_id: The endpoint that it belongs to.
        state: The state to wait for.
        project_id: The project; by default that of the client or of its key.

    Raises:
        JobFailedError: The deployment failed; `completed` is the deployment.
        ValueError: The state is neither of the two.
    """
    if state not in ("READY", "STOPPED"):
        raise ValueError(f"state={state!r} must be 'READY' or 'STOPPED'")
    project = yield from project_path(project_id)
    options: RequestOptions = {"extra_headers": extra_headers, "extra_query": extra_query}
    call = request("GET", deployment_path(project, endpoint_id, id), _parse, options=options)
    return (yield from wait_for_state(call, state, f"deployment {id}", _failure, poll_interval, timeout, progress))


def _failure(deployment: Deployment) -> str | None:
    return deployment.status.message if deployment.status else None


def _limits(inactive_timeout: int | None, max_requests: int | str | None) -> dict[str, Any]:
    """Returns limits as they are on the wire, where large integers are texts."""
    text = None if max_requests is None else str(max_requests)
    return {"inactiveTimeout": inactive_timeout, "maxConcurrentRequestsPerReplica": text}


class Deployments(Resource[D, R]):
    """`client.endpoints.deployments`."""

    with_raw_response: Deployments[R, R]
    create = method(create)
    list = method(list_deployments)
    retrieve = method(retrieve)
    get = retrieve
    update = method(update)
    delete = method(delete)
    wait = method(wait)
