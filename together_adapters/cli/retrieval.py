"""`embeddings` of texts, and `rerank`: documents in the order of their relevance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import IO, Any, get_args

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.options import COUNT, drop_unset, read_texts
from together_adapters.cli.output import Column, Result, Table, shorten, to_json
from together_adapters.cli.terminal import note, spinner
from together_adapters.errors import DatasetError
from together_adapters.types.rerank import RerankMethod


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


@click.command("rerank", cls=Command)
@click.argument("query")
@click.argument("documents", nargs=-1)
@click.option("--model", required=True, metavar="NAME", help="Rerank model, or chat model.")
@click.option(
    "--method",
    type=click.Choice(get_args(RerankMethod)),
    help="How to rank; auto is listwise for chat models. Listwise scores are ranks, pointwise scores probabilities.",
)
@click.option(
    "--documents-file",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="File with a document on each line: text, or text and objects as JSON in a .jsonl file.",
)
@click.option("--top-n", type=COUNT, metavar="N", help="Number of results.")
@click.option("--rank-field", "rank_fields", multiple=True, metavar="NAME", help="Field of objects to rank by. Repeatable.")
@click.option("--return-documents", is_flag=True, help="Include the documents in the response; printed with --json.")
def rerank(session: Session, documents: Sequence[str], documents_file: IO[str] | None, **options: Any) -> Result:
    """Rank DOCUMENTS by their relevance to QUERY; - reads a document from each line of stdin."""
    items: list[Any] = [*read_texts(documents), *(_read_file(documents_file) if documents_file else ())]
    if not items:
        raise click.UsageError("no documents: pass them as arguments, or pass - or --documents-file")
    with spinner("ranking"):
        response = session.client.rerank.create(documents=items, **drop_unset(options))
    table = Table(
        Column("Score", "relevance_score", "{:.4f}".format, right=True),
        Column("#", "index", right=True),
        Column("Document", lambda result: _document(items[result.index])),
    )

    def show(response: Any) -> None:
        table(response.results)
        if response.usage and response.usage.total_tokens:
            note(f"{response.usage.total_tokens:,} tokens")

    return Result(response, show)


def _document(item: Any) -> str:
    return shorten(item if isinstance(item, str) else to_json(item, indent=None), 200)


def _read_file(file: IO[str]) -> Iterator[Any]:
    """Yields the documents of a file: its lines as text, or as JSON from a .jsonl file."""
    for number, line in enumerate(file, 1):
        try:
            if line.strip():
                yield json.loads(line) if file.name.endswith(".jsonl") else line.rstrip("\n")
        except ValueError as error:
            raise DatasetError(f"line {number} of {file.name} is not JSON: {error}") from None
