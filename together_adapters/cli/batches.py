"""`batches`: many requests in one file, processed within a day."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from together_adapters.body_parameters import ParameterCheck
from together_adapters.cli.command import Group, Session
from together_adapters.cli.files import upload_for_job
from together_adapters.cli.ft.atomic_output import write_atomically
from together_adapters.cli.options import (
    EXISTING_FILE,
    NEW_FILE,
    check_new,
    file_or_id,
    overwrite_option,
    wait_option,
    wait_options,
)
from together_adapters.cli.output import Column, Result, Table, format_time, to_json
from together_adapters.cli.terminal import note, with_bar, write
from together_adapters.errors import DatasetError

_ENDPOINTS: Final = {
    "chat.completions": "/v1/chat/completions",
    "completions": "/v1/completions",
    "audio.transcriptions": "/v1/audio/transcriptions",
    "audio.translations": "/v1/audio/translations",
}
_POLL_INTERVAL: Final = 30.0


@click.group("batches", cls=Group)
def batches() -> None:
    """Create and manage batch jobs: many requests, processed within a day at a lower price."""


@batches.command("create")
@click.argument("file", callback=file_or_id)
@click.option("--endpoint", default="chat.completions", metavar="NAME", help=f"{', '.join(_ENDPOINTS)}, or a path.")
@click.option("--model", "model_id", metavar="NAME", help="Model for requests that name none.")
@click.option("--completion-window", default="24h", metavar="TIME", help="Time limit of the batch.")
@click.option("--priority", type=int, metavar="N", help="Priority among the batches of the account.")
@wait_option("completed")
def create(session: Session, /, file: str, endpoint: str, wait: bool, **options: Any) -> Any:
    """Create a batch of requests.

    FILE is a .jsonl file, which is checked and uploaded first, or the ID of an uploaded file. It stays in the account, where `batches
    results` reads it, until `files delete`.
    """
    path, endpoint = Path(file), _ENDPOINTS.get(endpoint, endpoint)
    if path.is_file():
        _check_bodies(session, path, endpoint)
    with upload_for_job(session, path, "batch-api") if path.is_file() else nullcontext(file) as id:
        batch = session.client.batches.create(id, endpoint, **options)
    if batch.warning:
        note(f"warning: {batch.warning}")
    if wait and batch.id:
        return with_bar("job", session.client.batches.wait, batch.id, poll_interval=_POLL_INTERVAL)
    return batch


def _check_bodies(session: Session, path: Path, endpoint: str) -> None:
    """Raises a DatasetError for a request without what its endpoint wants, or with a mistyped parameter.

    It warns of models that are gone, and of parameters that nobody knows. Lines that are not valid are left to the upload.
    """
    from pydantic_core import from_json

    from together_adapters.bulk.inputs import open_lines
    from together_adapters.resources.batch_files import check_content
    from together_adapters.resources.batches import warn_of_removed

    parameters = ParameterCheck(endpoint, may_be_together=session.client.config.may_be_together)
    models: dict[Any, None] = {}
    with open_lines(path) as file:
        for number, line in enumerate(file, 1):
            try:
                body = from_json(line)["body"]
            except (ValueError, TypeError, KeyError):
                continue
            if not isinstance(body, dict):
                continue
            try:
                check_content(body, endpoint)
            except ValueError as error:
                raise DatasetError(f"line {number} of {path}{error}. Nothing was sent") from None
            parameters.check([body], number, lambda number: f"line {number} of {path}")
            models[str(body.get("model"))] = None
    session.client.perform(warn_of_removed(models))
    if warning := parameters.warning:
        note(f"warning: {warning}")


@batches.command("results")
@click.argument("id")
@click.option("--input", "source", type=EXISTING_FILE, metavar="FILE", help="Input file. Default: it is downloaded.")
@click.option("--output", "-o", type=NEW_FILE, metavar="FILE", help="Output file. Default: stdout.")
@overwrite_option
def results(session: Session, id: str, source: Path | None, output: Path | None, overwrite: bool) -> Any:
    """Print the results of a batch. Each response or error is a line of JSON, in the order of the requests."""
    if output is not None:
        check_new(output, overwrite)
    items = session.client.batches.results(id, input=source)
    rows = [{name: value for name, value in asdict(item).items() if value is not None} for item in items]
    lines = "".join(to_json(row, indent=None) + "\n" for row in rows)
    if errors := sum(not item.ok for item in items):
        note(f"{errors:,} of {len(items):,} requests have no response")
    if output is None:
        return Result(rows, lambda _: write(lines))
    write_atomically(output, lines.encode(), overwrite=overwrite)
    return {"filename": str(output.absolute()), "results": len(items), "failed": errors}


_BATCHES: Final = Table(
    Column("Batch ID", "id", no_wrap=True),
    Column("Status", lambda batch: (batch.status or "").lower()),
    Column("Done", "progress", "{:.0f} %".format, right=True),
    Column("Endpoint", "endpoint", drop=2),
    Column("Created at", "created_at", format_time, drop=1),
    Column("Output file", "output_file_id", drop=3),
    empty="No batches.",
)
_id = click.argument("id")
batches.add_call("retrieve", "Show the details of a batch.", _id)
batches.add_call("cancel", "Cancel a batch. Completed requests remain in its output file.", _id)
batches.add_call("wait", "Wait until a batch has ended. Exit code 3 if it failed.", _id, wait_options(_POLL_INTERVAL), bar="job")
batches.add_call("list", "List the batches of the account.", view=_BATCHES)
