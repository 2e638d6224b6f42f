"""`rerank`: documents in the order of their relevance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, Any

import click

from together_adapters.cli.arguments import texts_of
from together_adapters.cli.command import Command, Session
from together_adapters.cli.output import Column, document, excerpt, table, to_json
from together_adapters.cli.progress import spinner
from together_adapters.errors import DatasetError


@click.command("rerank", cls=Command)
@click.argument("query")
@click.argument("documents", nargs=-1)
@click.option("--model", required=True, metavar="NAME", help="A rerank model.")
@click.option(
    "--documents-file",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="A file with a document on each line; in a .jsonl file texts or objects.",
)
@click.option("--top-n", type=click.IntRange(1), metavar="N", help="Number of results.")
@click.option("--rank-field", "rank_fields", multiple=True, metavar="NAME", help="A field to rank objects by. Repeatable.")
@click.option("--return-documents", is_flag=True, help="Have the service send the documents back; seen with --json.")
@click.pass_obj
def rerank(
    session: Session,
    query: str,
    documents: Sequence[str],
    model: str,
    documents_file: IO[str] | None,
    top_n: int | None,
    rank_fields: Sequence[str],
    return_documents: bool,
) -> None:
    """Order DOCUMENTS by their relevance to QUERY; - takes every line of stdin as a document."""
    found: list[Any] = [*texts_of(documents), *(_read(documents_file) if documents_file else ())]
    if not found:
        raise click.UsageError("documents are missing: name them, or pass - or --documents-file")
    with spinner("ranking"):
        answered = session.client.rerank.create(
            model=model,
            query=query,
            documents=found,
            top_n=top_n,
            return_documents=return_documents or None,
            rank_fields=list(rank_fields) or None,
        )
    if session.as_json:
        document(answered)
        return
    columns = (Column("Score", right=True), Column("#", right=True), Column("Document"))
    rows = [(f"{result.relevance_score:.4f}", result.index, _shown(found[result.index])) for result in answered.results]
    table(columns, rows)


def _shown(given: Any) -> str:
    return excerpt(given if isinstance(given, str) else to_json(given, indent=None), 200)


def _read(file: IO[str]) -> list[Any]:
    lines = [(number, line.rstrip("\n")) for number, line in enumerate(file, 1) if line.strip()]
    return [_parsed(line, number, file.name) if file.name.endswith(".jsonl") else line for number, line in lines]


def _parsed(line: str, number: int, name: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as problem:
        raise DatasetError(f"line {number} of {name} is not JSON: {problem}") from None
