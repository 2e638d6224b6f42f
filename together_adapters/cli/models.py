"""`models`: the available models, and the upload of one's own."""

from __future__ import annotations

from typing import Final

import click

from together_adapters.cli.command import Group, Session
from together_adapters.cli.output import Column, Result, Table
from together_adapters.cli.terminal import spinner

_MODELS: Final = Table(
    Column("ID", "id", no_wrap=True),
    Column("Name", "display_name", drop=5),
    Column("Organization", "organization", drop=3),
    Column("Type", "type", drop=1),
    Column("Context", "context_length", right=True, drop=2),
    Column("License", "license", drop=4),
    Column("Input", "pricing.input", right=True),
    Column("Output", "pricing.output", right=True),
    empty="No models.",
)


@click.group("models", cls=Group)
def models() -> None:
    """List and upload models."""


@models.command("list")
@click.option("--type", "kind", type=click.Choice(["dedicated"]), help="Only models for dedicated endpoints.")
def list_models(session: Session, kind: str | None) -> Result:
    """List the available models. Prices are in dollars per million tokens."""
    with spinner("loading"):
        return Result(session.client.models.list(dedicated=kind == "dedicated"), _MODELS)


models.add_call(
    "upload",
    "Upload a model or an adapter. The service downloads it from its source.",
    click.option("--model-name", required=True, metavar="NAME", help="Name of the model on Together AI."),
    click.option("--model-source", required=True, metavar="SOURCE", help="Hugging Face repository, or S3 path or URL."),
    click.option("--model-type", type=click.Choice(["model", "adapter"]), default="model", help="Kind of model."),
    click.option("--hf-token", metavar="TOKEN", help="Hugging Face token, for a private repository."),
    click.option("--description", metavar="TEXT", help="Description of the model."),
    click.option("--base-model", metavar="NAME", help="Adapter: its serverless base model."),
    click.option("--lora-model", metavar="NAME", help="Adapter: its dedicated base model."),
)
