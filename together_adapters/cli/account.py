"""`whoami` and `projects`; `request` for any path of the service."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from together_adapters.cli.command import Command, Group, Session
from together_adapters.cli.ft.atomic_output import write_atomically
from together_adapters.cli.options import NEW_FILE, check_changes, json_value, overwrite_option
from together_adapters.cli.output import Column, Result, Table, format_time, print_json, to_json
from together_adapters.cli.terminal import is_terminal, note, write

_PROJECTS: Final = Table(
    Column("ID", "id", no_wrap=True), Column("Name", "name"), Column("Slug", "slug", drop=1), empty="No projects."
)
_ENDPOINTS: Final = Table(
    Column("ID", "id", no_wrap=True),
    Column("Name", "name"),
    Column("Deployments", lambda endpoint: len(endpoint.deployments), right=True),
    Column("Visibility", "visibility", drop=1),
    Column("Created at", "created_at", format_time, drop=2),
    empty="No endpoints.",
)
project_option = click.option(
    "--project", "project_id", metavar="ID", help="Project. Default: TOGETHER_PROJECT_ID, or the key's."
)


@click.command("whoami", cls=Command)
def whoami(session: Session) -> Any:
    """Show whom the API key belongs to."""
    return session.client.whoami()


@click.group("projects", cls=Group)
def projects() -> None:
    """Projects, and their endpoints, which have deployments."""


projects.add_call("list", "List the projects that the key can use.", part="data", view=_PROJECTS)


project_endpoints: Final = Group(
    "endpoints",
    resource="projects.endpoints",
    help="Endpoints of a project: names for requests, which route to deployments.",
)
projects.add_command(project_endpoints)

_id = click.argument("endpoint-id")
_visibility_option = click.option(
    "--visibility", type=click.Choice(["VISIBILITY_PRIVATE", "VISIBILITY_INTERNAL"]), help="For the project, or the organization."
)
etag_option = click.option("--etag", metavar="TEXT", help="As it was read: refused if it has changed since.")
project_endpoints.add_call("list", "List endpoints of a project.", project_option, part="data", view=_ENDPOINTS)
project_endpoints.add_call("get", "Show an endpoint with its deployments.", _id, project_option)
project_endpoints.add_call("create", "Create an endpoint.", click.argument("name"), _visibility_option, project_option)
project_endpoints.add_delete("endpoint", "Delete an endpoint.", _id, etag_option, project_option)


@project_endpoints.command("update")
@_id
@click.option("--name", metavar="TEXT", help="New name.")
@click.option("--traffic-split", type=json_value, metavar="JSON", help='[{"deployment_id": ..., "weight": ...}]')
@_visibility_option
@etag_option
@project_option
def update_endpoint(session: Session, /, endpoint_id: str, project_id: str | None, etag: str | None, **changes: Any) -> Any:
    """Update an endpoint. Settings that are not passed do not change."""
    check_changes(changes)
    return session.client.projects.endpoints.update(endpoint_id, project_id=project_id, etag=etag, **changes)


def _parse_query(ctx: click.Context, parameter: click.Parameter, pairs: Sequence[str]) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", ctx, parameter)
        query.setdefault(name, []).append(value)
    return query


@click.command("request", cls=Command)
@click.argument("method")
@click.argument("path")
@click.option("--body", type=json_value, metavar="JSON", help="Body of the request: JSON, @FILE, or -.")
@click.option("--query", multiple=True, metavar="NAME=VALUE", callback=_parse_query, help="Query parameter. Repeatable.")
@click.option("--stream", is_flag=True, help="Print the events of a stream, each as a line of JSON.")
@click.option("--idempotent", is_flag=True, help="Send it again, too, where it may have been accepted.")
@click.option("--output", type=NEW_FILE, metavar="FILE", help="Write the response to a file.")
@overwrite_option
def request(
    session: Session,
    /,
    method: str,
    path: str,
    query: Mapping[str, Any],
    stream: bool,
    idempotent: bool,
    output: Path | None,
    overwrite: bool,
    body: Any,
) -> Any:
    """Send a request to any path of the service, such as GET /v1/models, and print the response.

    Key, retries and errors are those of every other command.
    """
    if output is not None and output.exists() and not overwrite:
        raise FileExistsError(f"{output} already exists: choose another --output, or pass --overwrite")
    result = session.client.request(method, path, body=body, query=query, stream=stream, idempotent=idempotent or None)
    if stream and not session.as_json and output is None:
        for event in result:
            write(to_json(event, indent=None) + "\n")
        return None
    result = list(result) if stream else result
    if output is not None:
        content = result if isinstance(result, bytes) else f"{to_json(result)}\n".encode()
        write_atomically(output, content, overwrite=overwrite)
        return Result({"path": str(output), "bytes": len(content)}, lambda _: write(f"{output}\n"))
    if isinstance(result, bytes):
        return Result(_printable(result), lambda _: _write_bytes(result))
    if result is None:
        note("The response has no content.")
    return Result(result, print_json)


def _printable(content: bytes) -> Any:
    """Returns content as JSON: text, or an object with base64."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(content).decode()}


def _write_bytes(content: bytes) -> None:
    if is_terminal(sys.stdout) and isinstance(_printable(content), dict):
        raise click.UsageError(f"{len(content)} bytes that are no text: pass --output FILE")
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
