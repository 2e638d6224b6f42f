"""`embeddings`: texts as vectors."""

from __future__ import annotations

from collections.abc import Sequence

import click

from together_adapters.cli.arguments import texts_of
from together_adapters.cli.command import Command, Session
from together_adapters.cli.output import Column, document, excerpt, note, table
from together_adapters.cli.progress import spinner


@click.command("embeddings", cls=Command)
@click.argument("texts", nargs=-1, required=True)
@click.option("--model", required=True, metavar="NAME", help="An embedding model.")
@click.option("--dimensions", type=click.IntRange(1), metavar="N", help="Length of the vectors, where the model can choose.")
@click.option("--batch-size", type=click.IntRange(1), default=128, show_default=True, metavar="N", help="Texts per request.")
@click.pass_obj
def embeddings(session: Session, texts: Sequence[str], model: str, dimensions: int | None, batch_size: int) -> None:
    """Embed TEXTS; - takes every line of stdin as a text.

    The vectors themselves come with --json; without it, a table shows how they begin.
    """
    inputs = texts_of(texts)
    with spinner("embedding"):
        answered = session.client.embeddings.create(model=model, input=inputs, dimensions=dimensions, batch_size=batch_size)
    if session.as_json:
        document(answered)
        return
    rows = [
        (item.index, excerpt(text), len(item.embedding), _beginning(item.embedding))
        for text, item in zip(inputs, answered.data, strict=True)
    ]
    table((Column("#", right=True), Column("Text"), Column("Dimensions", right=True), Column("Vector")), rows)
    if answered.usage and answered.usage.prompt_tokens:
        note(f"{answered.usage.prompt_tokens:,} tokens")


def _beginning(vector: Sequence[float]) -> str:
    return ", ".join(f"{number:.4f}" for number in vector[:4]) + (", …" if len(vector) > 4 else "")
