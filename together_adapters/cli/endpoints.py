"""`endpoints`: dedicated endpoints. Commands that change one print only its ID on stdout, for the next command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.cli.command import Group, Session
from together_adapters.cli.options import COUNT, check_changes, drop_unset, wait_option, wait_timeout_option
from together_adapters.cli.output import Column, Result, Table, format_time
from together_adapters.cli.terminal import note, progress_bar, write
from together_adapters.errors import InvalidRequestError, JobFailedError

if TYPE_CHECKING:
    from together_adapters.types.endpoints import Endpoint, Hardware

_GPUS: Final = {
    "b200": "nvidia_b200_180gb_sxm",
    "h200": "nvidia_h200_140gb_sxm",
    "h100": "nvidia_h100_80gb_sxm",
    "a100": "nvidia_a100_80gb_sxm",
    "l40": "nvidia_l40",
    "l40s": "nvidia_l40s",
    "rtx-6000": "nvidia_rtx_6000_ada",
}
_FAILED: Final = ("ERROR", "FAILED")
_ENDPOINTS: Final = Table(
    Column("ID", "id", no_wrap=True),
    Column("Name", "name", drop=2),
    Column("Model", "model", drop=1),
    Column("Type", "type", drop=3),
    Column("State", "state"),
    Column("Created at", "created_at", format_time, drop=4),
    empty="No endpoints.",
)
_HARDWARE: Final = Table(
    Column("ID", "id", no_wrap=True),
    Column("GPUs", "specs.gpu_count", right=True),
    Column("Memory", "specs.gpu_memory", "{:g} GB".format, right=True),
    Column("Price per hour", "pricing.cents_per_minute", lambda cents: f"${cents * 60 / 100:,.2f}", right=True),
    Column("Availability", "availability.status"),
    empty="No hardware.",
)


@click.group("endpoints", cls=Group)
def endpoints() -> None:
    """Create and manage dedicated endpoints, billed by the minute while they run."""


_id = click.argument("endpoint-id")
_inactive_timeout_option = click.option(
    "--inactive-timeout", type=click.IntRange(0), metavar="MINUTES", help="Stop after this time without requests; 0: never."
)
endpoints.add_call("get", "Show the details of an endpoint.", _id)
endpoints.add_call(
    "list",
    "List endpoints: those of this account, and public ones.",
    click.option("--type", type=click.Choice(["dedicated", "serverless"]), help="Only endpoints of this type."),
    click.option("--mine", type=bool, metavar="BOOL", help="true: only endpoints of this account."),
    click.option("--usage-type", type=click.Choice(["on-demand", "reserved"]), help="Only endpoints with this usage type."),
    view=_ENDPOINTS,
)


@endpoints.command("create")
@click.option("--model", required=True, metavar="NAME", help="Model to deploy.")
@click.option("--gpu", type=click.Choice(list(_GPUS)), required=True, help="GPU type.")
@click.option("--gpu-count", type=COUNT, default=1, metavar="N", help="GPUs per replica.")
@click.option("--min-replicas", type=click.IntRange(0), default=1, metavar="N", help="Minimum number of replicas.")
@click.option("--max-replicas", type=COUNT, default=1, metavar="N", help="Maximum number of replicas.")
@click.option("--display-name", metavar="TEXT", help="Display name.")
@click.option("--no-prompt-cache", "disable_prompt_cache", is_flag=True, help="Disable the prompt cache.")
@click.option("--no-speculative-decoding", "disable_speculative_decoding", is_flag=True, help="Disable speculative decoding.")
@click.option("--no-auto-start", is_flag=True, help="Create the endpoint without starting it.")
@_inactive_timeout_option
@click.option("--availability-zone", metavar="NAME", help="Availability zone; see availability-zones.")
@wait_option("ready", default=True)
@wait_timeout_option
def create(
    session: Session, /, gpu: str, gpu_count: int, no_auto_start: bool, wait: bool, timeout: float | None, **options: Any
) -> Result:
    """Create and start an endpoint. It costs money while it runs."""
    try:
        endpoint = session.client.endpoints.create(
            state="STOPPED" if no_auto_start else "STARTED", hardware=hardware_id(gpu, gpu_count), **options
        )
    except InvalidRequestError as error:
        if "hardware" in error.message.lower():
            note(f"hint: together-adapters endpoints hardware --available --model {options['model']}")
        raise
    note(f"Created endpoint {endpoint.id} on {endpoint.hardware}.")
    return _wait_for_state(session, endpoint, "STARTED" if wait and not no_auto_start else None, timeout)


def hardware_id(gpu: str, count: int) -> str:
    """Returns the service's ID of hardware; a single A100 is a PCIe card."""
    name = "nvidia_a100_80gb_pcie" if (gpu, count) == ("a100", 1) else _GPUS[gpu]
    return f"{count}x_{name}"


@endpoints.command("hardware")
@click.option("--model", metavar="NAME", help="Only hardware for this model, with its availability.")
@click.option("--available", is_flag=True, help="Only available hardware; needs --model.")
def hardware(session: Session, model: str | None, available: bool) -> Result:
    """List hardware for endpoints."""
    if available and not model:
        raise click.UsageError("--available needs --model")
    items: Sequence[Hardware] = session.client.endpoints.list_hardware(model)
    if available:
        items = [item for item in items if item.availability and item.availability.status == "available"]
    return Result(list(items), _HARDWARE)


@endpoints.command("update")
@_id
@click.option("--display-name", metavar="TEXT", help="Display name.")
@click.option("--min-replicas", type=click.IntRange(0), metavar="N", help="Minimum number of replicas.")
@click.option("--max-replicas", type=COUNT, metavar="N", help="Maximum number of replicas.")
@_inactive_timeout_option
def update(session: Session, /, endpoint_id: str, **options: Any) -> Result:
    """Update an endpoint. Settings that are not passed do not change."""
    changes = {name: value for name, value in options.items() if value is not None}
    check_changes(changes)
    endpoint = session.client.endpoints.update(endpoint_id, **changes)
    settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in drop_unset(changes).items())
    note(f"Updated endpoint {endpoint_id}: {settings}.")
    return Result(endpoint, lambda _: write(f"{endpoint_id}\n"))


endpoints.add_delete("endpoint", "Stop and delete an endpoint.", _id)


@endpoints.command("availability-zones")
def availability_zones(session: Session) -> Result:
    """List the availability zones for endpoints."""
    zones = list(session.client.endpoints.list_avzones())
    if not zones:
        note("No availability zones.")
    return Result({"avzones": zones}, lambda _: write("".join(f"{zone}\n" for zone in sorted(zones))))


def _add_state_command(name: str, state: str, wait_state: str, help: str) -> None:
    """Adds a command that sets the state of an endpoint."""

    @endpoints.command(name, help=help)
    @_id
    @wait_option(wait_state, default=True)
    @wait_timeout_option
    def set_state(session: Session, endpoint_id: str, wait: bool, timeout: float | None) -> Result:
        endpoint = session.client.endpoints.update(endpoint_id, state=state)
        note(f"Endpoint {endpoint_id} is {(endpoint.state or state).lower()}.")
        endpoint.id = endpoint.id or endpoint_id
        return _wait_for_state(session, endpoint, state if wait else None, timeout)


_add_state_command("start", "STARTED", "ready", "Start an endpoint. It costs money while it runs.")
_add_state_command("stop", "STOPPED", "stopped", "Stop an endpoint.")


def _wait_for_state(session: Session, endpoint: Endpoint, state: str | None, timeout: float | None) -> Result:
    """Waits for a state unless it is None; raises JobFailedError if the endpoint fails."""
    from together_adapters.resources import endpoints as resource
    from together_adapters.resources.waiting import wait_for
    from together_adapters.types.progress import Progress

    id = endpoint.id
    if state is not None and id:
        with progress_bar("job") as show:
            wait = wait_for(
                resource.get(id),
                done=lambda endpoint: endpoint.state in (state, *_FAILED),
                poll_interval=1.0,
                timeout=timeout,
                progress=show,
                describe=lambda endpoint: Progress(float(endpoint.state == state), None, (endpoint.state or "unknown").lower()),
                name=f"endpoint {id}",
            )
            endpoint = session.client.perform(wait)
        if endpoint.state != state:
            raise JobFailedError(f"endpoint {id} is {endpoint.state}, not {state}", completed=endpoint)
        note(f"Endpoint {id} is {state.lower()}.")
    return Result(endpoint, lambda endpoint: write(f"{endpoint.id}\n"))
