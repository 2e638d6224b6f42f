"""`deployments` under endpoints of projects, and `adapters`: LoRA adapters on them."""

from __future__ import annotations

from typing import Any, Final

import click

from together_adapters.cli.account import etag_option, project_option
from together_adapters.cli.command import Group, Session
from together_adapters.cli.options import check_changes, json_object, options, wait_option, wait_options, wait_timeout_option
from together_adapters.cli.output import Column, Result, Table, format_time
from together_adapters.cli.terminal import note, progress_bar, write

_DEPLOYMENTS: Final = Table(
    Column("ID", "id", no_wrap=True),
    Column("Name", "name", drop=1),
    Column("State", "state"),
    Column("Replicas", "status.ready_replicas", right=True),
    Column("Model", "model", drop=3),
    Column("Hardware", "hardware", drop=2),
    Column("Created at", "created_at", format_time, drop=4),
    empty="No deployments.",
)
_ADAPTERS: Final = Table(
    Column("ID", "id", no_wrap=True),
    Column("Model", "adapter_model_id"),
    Column("Revision", "desired_revision_id", drop=1),
    Column("State", "state"),
    empty="No adapters.",
)


@click.group("deployments", cls=Group, resource="endpoints.deployments")
def deployments() -> None:
    """Deployments: models on hardware under an endpoint of a project. They cost money while they have replicas."""


_id = click.argument("id")
_endpoint_option = click.option("--endpoint", "endpoint_id", required=True, metavar="ID", help="Endpoint of the project.")
_place = options(_endpoint_option, project_option)
_settings = options(
    click.option("--min-replicas", type=click.IntRange(0), metavar="N", help="Minimum number of replicas."),
    click.option("--max-replicas", type=click.IntRange(0), metavar="N", help="Maximum number of replicas; 0 stops it."),
    click.option("--autoscaling", type=json_object, metavar="JSON", help="Further rules: JSON, @FILE, or -."),
    click.option("--inactive-timeout", type=int, metavar="MINUTES", help="Stop after this time without requests; 0: never."),
)
deployments.add_call("list", "List the deployments of an endpoint.", _place, part="data", view=_DEPLOYMENTS)
deployments.add_call("get", "Show a deployment.", _id, _place)
deployments.add_call(
    "wait",
    "Wait until a deployment is ready. Exit code 3 if it failed.",
    _id,
    _place,
    click.option("--state", type=click.Choice(["READY", "STOPPED"]), default="READY", help="State to wait for."),
    wait_options(2.0),
    bar="job",
)


def _autoscaling(options: dict[str, Any]) -> dict[str, Any] | None:
    """Takes the options on replicas out, and returns the rules of scaling; None without any."""
    rules = dict(options.pop("autoscaling") or {})
    for name in ("min_replicas", "max_replicas"):
        if (count := options.pop(name)) is not None:
            rules[name] = count
    return rules or None


@deployments.command("create")
@click.argument("name")
@_place
@click.option("--model", required=True, metavar="NAME", help="projects/PROJECT/models/MODEL[/revisions/REVISION]")
@click.option("--config", metavar="NAME", help="projects/PROJECT/configs/CONFIG")
@click.option("--placement", type=json_object, metavar="JSON", help="Where it runs: JSON, @FILE, or -.")
@_settings
@wait_option("ready")
@wait_timeout_option
def create(
    session: Session, /, wait: bool, timeout: float | None, endpoint_id: str, project_id: str | None, **values: Any
) -> Any:
    """Create the deployment NAME. It costs money while it has replicas."""
    autoscaling = _autoscaling(values) or {"min_replicas": 1, "max_replicas": 1}
    scope: dict[str, Any] = {"endpoint_id": endpoint_id, "project_id": project_id}
    resource = session.client.endpoints.deployments
    deployment = resource.create(autoscaling=autoscaling, **scope, **values)
    note(f"Created deployment {deployment.id}.")
    if wait and deployment.id:
        with progress_bar("job") as show:
            deployment = resource.wait(deployment.id, timeout=timeout, progress=show, **scope)
    return Result(deployment, lambda deployment: write(f"{deployment.id}\n"))


@deployments.command("update")
@_id
@_place
@click.option("--name", metavar="TEXT", help="New name.")
@_settings
@etag_option
def update(session: Session, /, id: str, endpoint_id: str, project_id: str | None, etag: str | None, **values: Any) -> Any:
    """Update a deployment. Settings that are not passed do not change."""
    changes = {"autoscaling": _autoscaling(values), **values}
    check_changes(changes)
    deployment = session.client.endpoints.deployments.update(
        id, endpoint_id=endpoint_id, project_id=project_id, etag=etag, **changes
    )
    note(f"Updated deployment {id}.")
    return Result(deployment, lambda _: write(f"{id}\n"))


deployments.add_delete("deployment", "Stop and delete a deployment.", _id, _place, etag_option)


@click.group("adapters", cls=Group, resource="endpoints.adapters")
def adapters() -> None:
    """LoRA adapters on a deployment."""


_deployment = options(
    _endpoint_option,
    click.option("--deployment", "deployment_id", required=True, metavar="ID", help="Deployment of the endpoint."),
    project_option,
)
_etag_option = click.option("--etag", required=True, metavar="TEXT", help="As it was read: refused if it has changed since.")
adapters.add_call("list", "List the adapters of a deployment.", _deployment, part="data", view=_ADAPTERS)
adapters.add_call("get", "Show an adapter.", _id, _deployment)
adapters.add_call(
    "wait", "Wait until an adapter is loaded. Exit code 3 if it failed.", _id, _deployment, wait_options(2.0), bar="job"
)
adapters.add_call(
    "create",
    "Load an adapter on a deployment.",
    _deployment,
    click.option("--model", "adapter_model_id", required=True, metavar="ID", help="Model that is the adapter."),
    click.option("--revision", "adapter_revision_id", metavar="ID", help="Its revision. Default: the latest."),
    click.option("--force", is_flag=True, default=None, help="Remove the oldest adapter if the deployment is full."),
)
adapters.add_call(
    "update",
    "Replace an adapter by another revision of it.",
    _id,
    _deployment,
    click.option("--revision", "adapter_revision_id", required=True, metavar="ID", help="New revision."),
    _etag_option,
)

adapters.add_delete("adapter", "Remove an adapter from a deployment; the model stays.", _id, _deployment, _etag_option)
