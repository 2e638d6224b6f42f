"""`endpoints`: models on hardware of one's own. Where it is enough, stdout has the id alone, for the next command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.cli.arguments import given
from together_adapters.cli.command import Group, Session
from together_adapters.cli.output import Column, details, document, moment, note, table, write
from together_adapters.cli.progress import job_bar
from together_adapters.errors import InvalidRequestError

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
_BROKEN: Final = ("ERROR", "FAILED")
_wait_timeout = click.option("--wait-timeout", type=float, metavar="SECONDS", help="When to give up waiting; never by default.")


@click.group("endpoints", cls=Group)
def endpoints() -> None:
    """Models on hardware of your own, paid by the minute while they run."""


@endpoints.command("create")
@click.option("--model", required=True, metavar="NAME", help="The model to run.")
@click.option("--gpu", type=click.Choice(list(_GPUS)), required=True, help="What to run it on.")
@click.option("--gpu-count", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="GPUs of each replica.")
@click.option(
    "--min-replicas", type=click.IntRange(0), default=1, show_default=True, metavar="N", help="Replicas that always run."
)
@click.option(
    "--max-replicas", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Replicas under full load."
)
@click.option("--display-name", metavar="TEXT", help="A name for people.")
@click.option("--no-prompt-cache", is_flag=True, help="Do without the prompt cache.")
@click.option("--no-speculative-decoding", is_flag=True, help="Do without speculative decoding.")
@click.option("--no-auto-start", is_flag=True, help="Leave it stopped for now.")
@click.option(
    "--inactive-timeout", type=click.IntRange(0), metavar="MINUTES", help="Without requests it stops then; 0 for never."
)
@click.option("--availability-zone", metavar="NAME", help="Where to run it; see availability-zones.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it is ready.")
@_wait_timeout
@click.pass_obj
def create(
    session: Session,
    /,
    gpu: str,
    gpu_count: int,
    no_prompt_cache: bool,
    no_speculative_decoding: bool,
    no_auto_start: bool,
    wait: bool,
    wait_timeout: float | None,
    **options: Any,
) -> None:
    """Create an endpoint, and start it. It costs money while it runs."""
    wanted = hardware_id(gpu, gpu_count)
    try:
        made = session.client.endpoints.create(
            hardware=wanted,
            disable_prompt_cache=no_prompt_cache,
            disable_speculative_decoding=no_speculative_decoding,
            state="STOPPED" if no_auto_start else "STARTED",
            **options,
        )
    except InvalidRequestError as problem:
        if "hardware" in problem.message.lower():
            note(f"hint: together-adapters endpoints hardware --available --model {options['model']}")
        raise
    note(f"Created endpoint {made.id} on {made.hardware}.")
    _finish(session, made, "STARTED" if wait and not no_auto_start else None, wait_timeout)


def hardware_id(gpu: str, count: int) -> str:
    """Return the service's name for hardware; a single A100 is of another kind than several."""
    name = "nvidia_a100_80gb_pcie" if (gpu, count) == ("a100", 1) else _GPUS[gpu]
    return f"{count}x_{name}"


@endpoints.command("get")
@click.argument("endpoint-id")
@click.pass_obj
def get(session: Session, endpoint_id: str) -> None:
    """Look at an endpoint."""
    found = session.client.endpoints.get(endpoint_id)
    document(found) if session.as_json else details(found)


@endpoints.command("list")
@click.option("--type", "type", type=click.Choice(["dedicated", "serverless"]), help="Only those of this type.")
@click.option("--mine", type=bool, metavar="BOOL", help="true shows those of this account alone.")
@click.option("--usage-type", type=click.Choice(["on-demand", "reserved"]), help="Only those used so.")
@click.pass_obj
def list_endpoints(session: Session, type: str | None, mine: bool | None, usage_type: str | None) -> None:
    """List endpoints, of this account and of all."""
    found = session.client.endpoints.list(type=type, usage_type=usage_type, mine=mine)
    if session.as_json:
        document(found)
        return
    columns = (
        Column("ID", whole=True),
        Column("Name", extra=2),
        Column("Model", extra=1),
        Column("Type", extra=3),
        Column("State"),
        Column("Created at", extra=4),
    )
    names = ("id", "name", "model", "type", "state")
    rows = [(*(getattr(item, name, None) for name in names), moment(getattr(item, "created_at", None))) for item in found]
    table(columns, rows, nothing="No endpoints.")


@endpoints.command("hardware")
@click.option("--model", metavar="NAME", help="Only what this model runs on, and whether it is free now.")
@click.option("--available", is_flag=True, help="Only what is free now; needs --model.")
@click.pass_obj
def hardware(session: Session, model: str | None, available: bool) -> None:
    """List the hardware there is."""
    if available and not model:
        raise click.UsageError("--available needs --model: without it nobody knows what is free")
    found: Sequence[Hardware] = session.client.endpoints.list_hardware(model)
    if available:
        found = [item for item in found if item.availability and item.availability.status == "available"]
    if session.as_json:
        document(list(found))
        return
    columns = (
        Column("ID", whole=True),
        Column("GPUs", right=True),
        Column("Memory", right=True),
        Column("Price per hour", right=True),
        Column("Availability"),
    )
    table(columns, map(_hardware_row, found), nothing="No hardware.")


def _hardware_row(item: Hardware) -> tuple[object, ...]:
    specs, pricing, availability = (getattr(item, name, None) for name in ("specs", "pricing", "availability"))
    cents = getattr(pricing, "cents_per_minute", None)
    memory = getattr(specs, "gpu_memory", None)
    return (
        item.id,
        getattr(specs, "gpu_count", None),
        None if memory is None else f"{memory:g} GB",
        None if cents is None else f"${cents * 60 / 100:,.2f}",
        getattr(availability, "status", None),
    )


@endpoints.command("start")
@click.argument("endpoint-id")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it is ready.")
@_wait_timeout
@click.pass_obj
def start(session: Session, endpoint_id: str, wait: bool, wait_timeout: float | None) -> None:
    """Start an endpoint. It costs money while it runs."""
    _set_state(session, endpoint_id, "STARTED", wait, wait_timeout)


@endpoints.command("stop")
@click.argument("endpoint-id")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it has stopped.")
@_wait_timeout
@click.pass_obj
def stop(session: Session, endpoint_id: str, wait: bool, wait_timeout: float | None) -> None:
    """Stop an endpoint."""
    _set_state(session, endpoint_id, "STOPPED", wait, wait_timeout)


@endpoints.command("update")
@click.argument("endpoint-id")
@click.option("--display-name", metavar="TEXT", help="A name for people.")
@click.option("--min-replicas", type=click.IntRange(0), metavar="N", help="Replicas that always run.")
@click.option("--max-replicas", type=click.IntRange(1), metavar="N", help="Replicas under full load.")
@click.option(
    "--inactive-timeout", type=click.IntRange(0), metavar="MINUTES", help="Without requests it stops then; 0 for never."
)
@click.pass_obj
def update(session: Session, /, endpoint_id: str, **options: Any) -> None:
    """Change an endpoint. What is not given stays as it is."""
    changes = {name: value for name, value in options.items() if value is not None}
    if not changes:
        raise click.UsageError("nothing to change was given")
    changed = session.client.endpoints.update(endpoint_id, **changes)
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in given(changes).items())
    note(f"Updated endpoint {endpoint_id}: {told}.")
    document(changed) if session.as_json else write(f"{endpoint_id}\n")


@endpoints.command("delete")
@click.argument("endpoint-id")
@click.pass_obj
def delete(session: Session, endpoint_id: str) -> None:
    """Stop an endpoint and remove it."""
    session.client.endpoints.delete(endpoint_id)
    note(f"Deleted endpoint {endpoint_id}.")
    document({"id": endpoint_id, "deleted": True}) if session.as_json else write(f"{endpoint_id}\n")


@endpoints.command("availability-zones")
@click.pass_obj
def availability_zones(session: Session) -> None:
    """List the zones that an endpoint can run in."""
    found = session.client.endpoints.list_avzones()
    if session.as_json:
        document({"avzones": list(found)})
        return
    if not found:
        note("No zones.")
    write("".join(f"{zone}\n" for zone in sorted(found)))


def _set_state(session: Session, id: str, state: str, wait: bool, timeout: float | None) -> None:
    changed = session.client.endpoints.update(id, state=state)
    note(f"Endpoint {id} is {(changed.state or state).lower()}.")
    changed.id = changed.id or id
    _finish(session, changed, state if wait else None, timeout)


def _finish(session: Session, endpoint: Endpoint, state: str | None, timeout: float | None) -> None:
    """Wait for a state, if one is given, and print the id, or the endpoint as JSON."""
    if state is not None and endpoint.id:
        endpoint = _waited(session, endpoint.id, state, timeout)
        note(f"Endpoint {endpoint.id} is {state.lower()}.")
    document(endpoint) if session.as_json else write(f"{endpoint.id}\n")


def _waited(session: Session, id: str, state: str, timeout: float | None) -> Endpoint:
    """Look at an endpoint every second until it has a state.

    Raises:
        JobFailedError: It broke on the way.
    """
    from together_adapters.errors import JobFailedError
    from together_adapters.resources.endpoints import get as look
    from together_adapters.resources.waiting import wait_for
    from together_adapters.types.progress import Progress

    with job_bar() as show:
        found: Endpoint = session.client.perform(
            wait_for(
                look(id),
                done=lambda endpoint: endpoint.state in (state, *_BROKEN),
                poll_interval=1.0,
                timeout=timeout,
                progress=show,
                describe=lambda endpoint: Progress(float(endpoint.state == state), None, (endpoint.state or "unknown").lower()),
                name=f"endpoint {id}",
            )
        )
    if found.state != state:
        raise JobFailedError(f"endpoint {id} is {found.state}, not {state}", completed=found)
    return found
