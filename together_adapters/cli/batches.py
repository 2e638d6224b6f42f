"""`batches`: many requests in one file, answered within a day."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import click

from together_adapters.cli.arguments import new_file, overwrite_option
from together_adapters.cli.command import Group, Session
from together_adapters.cli.output import Column, details, document, moment, note, table, to_json, write
from together_adapters.cli.progress import byte_bar, job_bar

_ENDPOINTS: Final = {
    "chat.completions": "/v1/chat/completions",
    "completions": "/v1/completions",
    "audio.transcriptions": "/v1/audio/transcriptions",
    "audio.translations": "/v1/audio/translations",
}


@click.group("batches", cls=Group)
def batches() -> None:
    """Have many requests answered within a day, at a lower price."""


@batches.command("create")
@click.argument("file")
@click.option(
    "--endpoint",
    default="chat.completions",
    show_default=True,
    metavar="NAME",
    help=f"Where the requests go: {', '.join(_ENDPOINTS)}, or a path.",
)
@click.option("--model", "model_id", metavar="NAME", help="The model, where the requests name none.")
@click.option("--completion-window", default="24h", show_default=True, metavar="TIME", help="When it must be done.")
@click.option("--priority", type=int, metavar="N", help="Its rank among the account's batches.")
@click.option("--wait/--no-wait", default=False, show_default=True, help="Wait until it is done.")
@click.pass_obj
def create(session: Session, /, file: str, endpoint: str, wait: bool, **options: Any) -> None:
    """Start a batch from FILE: a .jsonl file of requests, which is checked and sent, or the id of one that was sent."""
    if Path(file).is_file():
        with byte_bar() as show:
            file = session.client.files.upload(file, purpose="batch-api", progress=show).id or ""
    started = session.client.batches.create(file, _ENDPOINTS.get(endpoint, endpoint), **options)
    if started.warning:
        note(f"warning: {started.warning}")
    found: Any = _waited(session, started.id, 30.0, None) if wait and started.id else started
    document(found) if session.as_json else details(found)


@batches.command("list")
@click.pass_obj
def list_batches(session: Session) -> None:
    """List the batches of the account."""
    found = session.client.batches.list()
    if session.as_json:
        document(found)
        return
    columns = (
        Column("Batch ID", whole=True),
        Column("Status"),
        Column("Done", right=True),
        Column("Endpoint", extra=2),
        Column("Created at", extra=1),
        Column("Output file", extra=3),
    )
    rows = [
        (
            batch.id,
            (batch.status or "").lower(),
            _percent(batch.progress),
            batch.endpoint,
            moment(batch.created_at),
            batch.output_file_id,
        )
        for batch in found
    ]
    table(columns, rows, nothing="No batches.")


@batches.command("retrieve")
@click.argument("id")
@click.pass_obj
def retrieve(session: Session, id: str) -> None:
    """Look at a batch."""
    found = session.client.batches.retrieve(id)
    document(found) if session.as_json else details(found)


@batches.command("cancel")
@click.argument("id")
@click.pass_obj
def cancel(session: Session, id: str) -> None:
    """Cancel a batch. What was answered by then stays in its output file."""
    found = session.client.batches.cancel(id)
    document(found) if session.as_json else details(found)


@batches.command("wait")
@click.argument("id")
@click.option(
    "--poll-interval",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks.",
)
@click.option("--wait-timeout", type=float, metavar="SECONDS", help="When to give up; never by default.")
@click.pass_obj
def wait(session: Session, id: str, poll_interval: float, wait_timeout: float | None) -> None:
    """Wait until a batch is done; exit code 3 where it failed."""
    found = _waited(session, id, poll_interval, wait_timeout)
    document(found) if session.as_json else details(found)


@batches.command("results")
@click.argument("id")
@click.option(
    "--input",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The input file; fetched without it.",
)
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Where to; stdout by default."
)
@overwrite_option
@click.pass_obj
def results(session: Session, id: str, source: Path | None, output: Path | None, overwrite: bool) -> None:
    """Bring the answers and errors of a batch in the order of its requests, a line of JSON for each."""
    if output is not None:
        new_file(output, overwrite)
    found = session.client.batches.results(id, input=source)
    lines = "".join(to_json(result, indent=None) + "\n" for result in found)
    failed = sum(not result.ok for result in found)
    if output is not None:
        _save(output, lines)
        told = {"filename": str(output.absolute()), "results": len(found), "failed": failed}
        document(told) if session.as_json else details(told)
    elif session.as_json:
        document(found)
    else:
        write(lines)
    if failed:
        note(f"{failed:,} of {len(found):,} requests have no answer")


def _save(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("x", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _waited(session: Session, id: str, poll_interval: float, timeout: float | None) -> Any:
    with job_bar() as show:
        return session.client.batches.wait(id, poll_interval=poll_interval, timeout=timeout, progress=show)


def _percent(progress: float | None) -> str:
    return "" if progress is None else f"{progress:.0f} %"
