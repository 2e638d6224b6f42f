"""`files`: data files, checked, uploaded, listed and downloaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from together_adapters.cli.command import Group, Session
from together_adapters.cli.exit_codes import INVALID_DATA
from together_adapters.cli.options import EXISTING_FILE, overwrite_option, purpose_option, wait_option, wait_timeout_option
from together_adapters.cli.output import Column, Result, Table, format_size, format_time, shorten
from together_adapters.cli.terminal import note, with_bar, write
from together_adapters.errors import APIStatusError, InternalServerError, JobFailedError, RemoteValidationError

_MAX_ISSUES: Final = 20


@click.group("files", cls=Group)
def files() -> None:
    """Check, upload, list and download data files."""


@files.command("upload")
@click.argument("file", type=EXISTING_FILE)
@purpose_option
@click.option("--check/--no-check", default=True, help="Check the file before the upload.")
@wait_option("processed by the service")
def upload(session: Session, file: Path, purpose: str, check: bool, wait: bool) -> Any:
    """Upload a data file: .jsonl, .parquet or .csv."""
    response = with_bar("bytes", session.client.files.upload, file, purpose=purpose, check=check)
    return with_bar("job", session.client.files.wait, response.id) if wait and response.id else response


@contextmanager
def upload_for_job(session: Session, path: Path, purpose: str) -> Iterator[str]:
    """Uploads a file for a job that a `with` block creates, and says that it stays; if there is no job, it is deleted."""
    from together_adapters.resources.files import discard

    client = session.client
    file = with_bar("bytes", client.files.upload, path, purpose=purpose)
    has_no_job = False
    try:
        yield str(client.files.wait(str(file.id)).id)
    except (APIStatusError, RemoteValidationError, JobFailedError) as error:
        has_no_job = not isinstance(error, InternalServerError)  # after which the job may exist
        raise
    finally:
        if has_no_job:
            client.perform(discard(file))
        else:
            note(
                f"{path} stays in the account for the job: `together-adapters files delete {file.id}` deletes it when it has ended"
            )


@files.command("retrieve-content")
@click.argument("id")
@click.option("--output", type=click.Path(path_type=Path), metavar="PATH", help="Output file or folder; - for stdout.")
@overwrite_option
def retrieve_content(session: Session, id: str, output: Path | None, overwrite: bool) -> Any:
    """Download the content of a file. An interrupted download is resumed."""
    if output == Path("-"):
        if session.as_json:
            raise click.UsageError("--output - cannot be combined with --json: stdout has the content of the file")
        sys.stdout.buffer.write(session.client.files.content(id))
        return None
    return with_bar("bytes", session.client.files.retrieve_content, id, output, overwrite=overwrite)


@files.command("check")
@click.argument("file", type=EXISTING_FILE)
@purpose_option
@click.option("--max-issues", type=click.IntRange(0), default=1000, metavar="N", help="Issues in the report.")
def check(session: Session, file: Path, purpose: str, max_issues: int) -> Result:
    """Check a data file. No data is sent, and no key is needed. Exit code 1 if the file is invalid."""
    from together_adapters.cli.ft.tables import in_flags
    from together_adapters.finetune.recognition import check_jsonl

    report = in_flags(with_bar("bytes", check_jsonl, file, purpose=purpose, max_issues=max_issues))

    def show(_: Any) -> None:
        from together_adapters.cli.ft.tables import print_facts, print_issues, verdict

        write(f"{verdict(report, file.name, any_method=True)}\n")
        print_facts(report)
        print_issues(report, _MAX_ISSUES)

    return Result(report, show, 0 if report.ok else INVALID_DATA)


def _line_count(file: Any) -> object:
    report = file.validation_report
    return (report and report.nlines) or file.line_count or None


def _status(file: Any) -> str:
    report = file.validation_report
    reason = f": {shorten(report.error)}" if report and report.error else ""
    return f"{(file.processing_status or '').lower()}{reason}"


_FILES: Final = Table(
    Column("File name", "filename"),
    Column("File ID", "id", no_wrap=True),
    Column("Size", "bytes", format_size, right=True),
    Column("Created at", "created_at", format_time, drop=1),
    Column("Purpose", "purpose", drop=2),
    Column("Lines", _line_count, right=True),
    Column("Status", _status),
    empty="No files.",
)
_WAIT: Final = "Wait until the service has processed a file. Exit code 1 if the file is invalid."
_id = click.argument("id")
files.add_call("retrieve", "Show the details of a file.", _id)
files.add_call("delete", "Delete a file of the account.", _id)
files.add_call("wait", _WAIT, _id, wait_timeout_option, bar="job")
files.add_call("list", "List the files of the account.", part="data", view=_FILES)
