"""LoRA adapters on a deployment: one base model serves several fine-tuned ones.

So the `together` 3.x SDK describes them; not checked against the live service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

from together_adapters.resources.account.deployments import deployment_path
from together_adapters.resources.account.identity import project_path
from together_adapters.resources.account.pages import read_pages
from together_adapters.resources.waiting import wait_for_state
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Flow, request, segment
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.account.deployments import LoraAdapter, LoraAdapterPage
from together_adapters.types.progress import Progress
from together_adapters.types.requests import RequestOptions

_parse = ResponseParser(LoraAdapter)
_parse_page = ResponseParser(LoraAdapterPage)


def _path(project_id: str | None, endpoint_id: str, deployment_id: str, id: str | None = None) -> Flow[str]:
    project = yield from project_path(project_id)
    path = f"{deployment_path(project, endpoint_id, deployment_id, 'deployment_id')}/adapters"
    return path if id is None else f"{path}/{segment(id, 'id')}"


def create(
    *,
    endpoint_id: str,
    deployment_id: str,
    adapter_model_id: str,
    adapter_revision_id: str | None = None,
    force: bool | None = None,
    project_id: str | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[LoraAdapter]:
    """Loads an adapter on a deployment.

    Args:
        endpoint_id: The endpoint of the deployment.
        deployment_id: The deployment, which serves the adapter's base model.
        adapter_model_id: The model that is the adapter.
        adapter_revision_id: Its revision; by default the latest.
        force: Whether the oldest adapter makes room if the deployment is full.
        project_id: The project; by default that of the client or of its key.

    Returns:
        The adapter, which is still loaded: `wait` waits until it is ready.
    """
    path = yield from _path(project_id, endpoint_id, deployment_id)
    params = {"adapterModelId": adapter_model_id, "adapterRevisionId": adapter_revision_id, "force": force}
    return (yield request("POST", path, _parse, params, billable="endpoints.adapters.list()", options=options))


def list_adapters(
    endpoint_id: str,
    deployment_id: str,
    *,
    limit: int | None = None,
    after: str | None = None,
    project_id: str | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[LoraAdapterPage]:
    """Lists the adapters of a deployment, in `data`. All pages are read.

    Args:
        endpoint_id: The endpoint of the deployment.
        deployment_id: The deployment.
        limit: Maximum number of adapters.
        after: The `next_cursor` of a list, after which this one begins.
        project_id: The project; by default that of the client or of its key.
    """
    path = yield from _path(project_id, endpoint_id, deployment_id)
    return (yield from read_pages(request("GET", path, _parse_page, options=options), limit, after))


def retrieve(
    id: str, *, endpoint_id: str, deployment_id: str, project_id: str | None = None, **options: Unpack[RequestOptions]
) -> Flow[LoraAdapter]:
    """Retrieves an adapter with how far it is loaded in each cluster.

    Args:
        endpoint_id: The endpoint of the deployment.
        deployment_id: The deployment.
        project_id: The project; by default that of the client or of its key.
    """
    path = yield from _path(project_id, endpoint_id, deployment_id, id)
    return (yield request("GET", path, _parse, options=options))


def update(
    id: str,
    *,
    endpoint_id: str,
    deployment_id: str,
    adapter_revision_id: str,
    etag: str,
    project_id: str | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[LoraAdapter]:
    """Replaces an adapter by another revision of it.

    Args:
        endpoint_id: The endpoint of the deployment.
        deployment_id: The deployment.
        adapter_revision_id: The new revision.
        etag: That of the adapter as it was read: the update is refused if it has changed since.
        project_id: The project; by default that of the client or of its key.

    Raises:
        ConflictError: The adapter has changed since it was read.
    """
    path = yield from _path(project_id, endpoint_id, deployment_id, id)
    params = {"adapterRevisionId": adapter_revision_id, "etag": etag}
    return (yield request("PATCH", path, _parse, params, billable="endpoints.adapters.retrieve()", options=options))


def delete(
    id: str, *, endpoint_id: str, deployment_id: str, etag: str, project_id: str | None = None, **options: Unpack[RequestOptions]
) -> Flow[None]:
    """Removes an adapter from a deployment; the model stays.

    Args:
        endpoint_id: The endpoint of the deployment.
        deployment_id: The deployment.
        etag: That of the adapter as it was read: the request is refused if it has changed since.
        project_id: The project; by default that of the client or of its key.
    """
    path = yield from _path(project_id, endpoint_id, deployment_id, id)
    yield request("DELETE", path, lambda response: None, query={"etag": etag}, options=options)


def wait(
    id: str,
    *,
    endpoint_id: str,
    deployment_id: str,
    project_id: str | None = None,
    poll_interval: float = 2.0,
    timeout: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_query: Mapping[str, Any] | None = None,
) -> Flow[LoraAdapter]:
    """Waits until an adapter is loaded in every cluster.

    Args:
        endpoint_id: The endpoint of the deployment.
        deployment_id: The deployment.
        project_id: The project; by default that of the client or of its key.

    Raises:
        JobFailedError: It could not be loaded in a cluster; `completed` is the adapter.
    """
    path = yield from _path(project_id, endpoint_id, deployment_id, id)
    options: RequestOptions = {"extra_headers": extra_headers, "extra_query": extra_query}
    call = request("GET", path, _parse, options=options)
    return (yield from wait_for_state(call, "READY", f"adapter {id}", _failure, poll_interval, timeout, progress))


def _failure(adapter: LoraAdapter) -> str | None:
    return next((load.message or load.reason for load in adapter.per_cluster if load.message or load.reason), None)


class LoraAdapters(Resource[D, R]):
    """`client.endpoints.adapters`."""

    with_raw_response: LoraAdapters[R, R]
    create = method(create)
    list = method(list_adapters)
    retrieve = method(retrieve)
    get = retrieve
    update = method(update)
    delete = method(delete)
    wait = method(wait)
