"""Projects and their endpoints: names that requests use as `model`, which route to deployments.

So the `together` 3.x SDK describes them; not checked against the live service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

from together_adapters.resources.account.identity import project_path
from together_adapters.resources.account.pages import read_pages
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Flow, request, segment
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.account.deployments import EndpointPage, ProjectEndpoint, ProjectPage, to_wire
from together_adapters.types.requests import RequestOptions

Visibility = Literal["VISIBILITY_PRIVATE", "VISIBILITY_INTERNAL"] | str

_parse = ResponseParser(ProjectEndpoint)
_parse_page = ResponseParser(EndpointPage)
_parse_projects = ResponseParser(ProjectPage)


def endpoint_path(project: str, endpoint_id: str) -> str:
    """Returns the path of an endpoint under that of its project."""
    return f"{project}/endpoints/{segment(endpoint_id, 'endpoint_id')}"


def list_projects(*, limit: int | None = None, after: str | None = None, **options: Unpack[RequestOptions]) -> Flow[ProjectPage]:
    """Lists the projects that the key can use, in `data`. All pages are read.

    Args:
        limit: Maximum number of projects.
        after: The `next_cursor` of a list, after which this one begins.
    """
    return (yield from read_pages(request("GET", "/v1/projects", _parse_projects, options=options), limit, after))


def create(
    name: str, *, visibility: Visibility | None = None, project_id: str | None = None, **options: Unpack[RequestOptions]
) -> Flow[ProjectEndpoint]:
    """Creates an endpoint. It costs nothing until it has a deployment.

    Args:
        name: The name; requests use `<project>/<name>` as `model`.
        visibility: `VISIBILITY_PRIVATE` for the project, `VISIBILITY_INTERNAL` for the organization.
        project_id: The project; by default that of the client or of its key.

    Raises:
        ConflictError: The name exists.
    """
    project = yield from project_path(project_id)
    params = {"name": name, "visibility": visibility}
    billable = "projects.endpoints.list()"
    return (yield request("POST", f"{project}/endpoints", _parse, params, billable=billable, options=options))


def list_endpoints(
    *,
    filter: str | None = None,
    order_by: str | None = None,
    limit: int | None = None,
    after: str | None = None,
    project_id: str | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[EndpointPage]:
    """Lists the endpoints of a project, in `data`. All pages are read.

    Args:
        filter: An expression of the service over `name`, `created_at` and `updated_at`.
        order_by: `created_at` or `updated_at`, optionally followed by `asc` or `desc`.
        limit: Maximum number of endpoints.
        after: The `next_cursor` of a list, after which this one begins.
        project_id: The project; by default that of the client or of its key.
    """
    project = yield from project_path(project_id)
    query = {"filter": filter, "orderBy": order_by}
    call = request("GET", f"{project}/endpoints", _parse_page, query=query, options=options)
    return (yield from read_pages(call, limit, after))


def retrieve(endpoint_id: str, *, project_id: str | None = None, **options: Unpack[RequestOptions]) -> Flow[ProjectEndpoint]:
    """Retrieves an endpoint, with a summary of its deployments.

    Args:
        project_id: The project; by default that of the client or of its key.
    """
    project = yield from project_path(project_id)
    return (yield request("GET", endpoint_path(project, endpoint_id), _parse, options=options))


def update(
    endpoint_id: str,
    *,
    name: str | None = None,
    visibility: Visibility | None = None,
    traffic_split: Sequence[Mapping[str, Any]] | None = None,
    etag: str | None = None,
    update_mask: str | None = None,
    project_id: str | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[ProjectEndpoint]:
    """Updates an endpoint. What is not passed does not change.

    Args:
        name: The new name.
        visibility: `VISIBILITY_PRIVATE` or `VISIBILITY_INTERNAL`.
        traffic_split: `{"deployment_id": ..., "weight": ...}` for each deployment that gets requests; an empty list for none.
        etag: That of the endpoint as it was read: the update is refused if it has changed since.
        update_mask: The fields to update; by default those that are passed.
        project_id: The project; by default that of the client or of its key.

    Raises:
        ConflictError: The endpoint has changed since it was read.
    """
    project = yield from project_path(project_id)
    split = None if traffic_split is None else to_wire([dict(share) for share in traffic_split])
    params = {"name": name, "visibility": visibility, "trafficSplit": split, "etag": etag}
    path, query = endpoint_path(project, endpoint_id), {"updateMask": update_mask}
    billable = "projects.endpoints.retrieve()"
    return (yield request("PATCH", path, _parse, params, query=query, billable=billable, options=options))


def delete(
    endpoint_id: str, *, etag: str | None = None, project_id: str | None = None, **options: Unpack[RequestOptions]
) -> Flow[None]:
    """Deletes an endpoint.

    Args:
        etag: That of the endpoint as it was read: the request is refused if it has changed since.
        project_id: The project; by default that of the client or of its key.
    """
    project = yield from project_path(project_id)
    yield request("DELETE", endpoint_path(project, endpoint_id), lambda response: None, query={"etag": etag}, options=options)


class ProjectEndpoints(Resource[D, R]):
    """`client.projects.endpoints`."""

    with_raw_response: ProjectEndpoints[R, R]
    create = method(create)
    list = method(list_endpoints)
    retrieve = method(retrieve)
    get = retrieve
    update = method(update)
    delete = method(delete)


class Projects(Resource[D, R]):
    """`client.projects`."""

    with_raw_response: Projects[R, R]
    list = method(list_projects)

    @property
    def endpoints(self) -> ProjectEndpoints[D, R]:
        """Endpoints of a project."""
        return ProjectEndpoints(self._driver)
