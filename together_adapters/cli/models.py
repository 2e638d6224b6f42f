"""`models`: the catalogue, and models of one's own."""

from __future__ import annotations

from typing import Any

import click

from together_adapters.cli.command import Group, Session
from together_adapters.cli.output import Column, details, document, table
from together_adapters.cli.progress import spinner


@click.group("models", cls=Group)
def models() -> None:
    """The catalogue of models."""


@models.command("list")
@click.option("--type", "kind", type=click.Choice(["dedicated"]), help="Only those that can run on an endpoint of your own.")
@click.pass_obj
def list_models(session: Session, kind: str | None) -> None:
    """List the models that can be called. Prices are dollars per million tokens."""
    with spinner("asking"):
        found = session.client.models.list(dedicated=kind == "dedicated")
    if session.as_json:
        document(found)
        return
    columns = (
        Column("ID", whole=True),
        Column("Name", extra=5),
        Column("Organization", extra=3),
        Column("Type", extra=1),
        Column("Context", right=True, extra=2),
        Column("License", extra=4),
        Column("Input", right=True),
        Column("Output", right=True),
    )
    table(columns, map(_row, found))


def _row(model: Any) -> tuple[object, ...]:
    pricing = getattr(model, "pricing", None)
    prices = (getattr(pricing, "input", None), getattr(pricing, "output", None))
    names = ("id", "display_name", "organization", "type", "context_length", "license")
    return (*(getattr(model, name, None) for name in names), *prices)


@models.command("upload")
@click.option("--model-name", required=True, metavar="NAME", help="The name that it is to have.")
@click.option("--model-source", required=True, metavar="WHERE", help="A Hugging Face repository, or an S3 path or address.")
@click.option("--model-type", type=click.Choice(["model", "adapter"]), default="model", show_default=True, help="What it is.")
@click.option("--hf-token", metavar="TOKEN", help="A Hugging Face token, for a repository that is not public.")
@click.option("--description", metavar="TEXT", help="For people.")
@click.option("--base-model", metavar="NAME", help="For an adapter: the serverless model that it goes with.")
@click.option("--lora-model", metavar="NAME", help="For an adapter: the dedicated model that it goes with.")
@click.pass_obj
def upload(session: Session, /, hf_token: str | None, **options: Any) -> None:
    """Have the service fetch a model or an adapter of yours."""
    session.hide(hf_token)
    started = session.client.models.upload(hf_token=hf_token, **options)
    document(started) if session.as_json else details(started)
