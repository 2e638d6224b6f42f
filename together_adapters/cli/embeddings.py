"""`embeddings`: embeddings of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.options import COUNT, read_texts
from together_adapters.cli.output import Column, Result, Table, note, shorten
from together_adapters.cli.progress import spinner


@click.command("embeddings", cls=Command)
@click.argument("texts", nargs=-1, required=True)
@click.option("--model", required=True, metavar="NAME", help="Embedding model.")
@click.option("--dimensions", type=COUNT, metavar="N", help="Length of the vectors, for models that support it.")
@click.option("--batch-size", type=COUNT, default=128, metavar="N", help="Texts per request.")
def embeddings(session: Session, texts: Sequence[str], **options: Any) -> Result:
    """Create embeddings of TEXTS; - reads a text from each line of stdin.

    Prints a table with the first numbers of each vector, and the complete vectors with --json.
    """
    inputs = read_texts(texts)
    with spinner("creating embeddings"):
        response = session.client.embeddings.create(input=inputs, **options)

    def show(response: Any) -> None:
        columns = (
            Column("#", "index", right=True),
            Column("Text", lambda item: shorten(inputs[item.index])),
            Column("Dimensions", lambda item: len(item.embedding), right=True),
            Column("Vector", "embedding", _first_numbers),
        )
        Table(*columns)(response.data)
        if response.usage and response.usage.prompt_tokens:
            note(f"{response.usage.prompt_tokens:,} tokens")

    return Result(response, show)


def _first_numbers(vector: Sequence[float]) -> str:
    return ", ".join(f"{number:.4f}" for number in vector[:4]) + (", …" if len(vector) > 4 else "")
