"""`files`: data files, checked, uploaded, listed and downloaded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.cli.command import Group, Session
from together_adapters.cli.exit_codes import INVALID_DATA
from together_adapters.cli.options import EXISTING_FILE, overwrite_option, purpose_option, wait_option, wait_timeout_option
from together_adapters.cli.output import Column, Result, Table, format_size, format_time, note, print_fields, shorten, write
from together_adapters.cli.progress import with_bar

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport

_MAX_ISSUES: Final = 20


@click.group("files", cls=Group)
def files() -> None:
    """Check, upload, list and download data files."""


files.add_call("retrieve", "id", "files.retrieve", "Show the details of a file.")
files.add_call("delete", "id", "files.delete", "Delete a file of the account.")


@files.command("upload")
@click.argument("file", type=EXISTING_FILE)
@purpose_option
@click.option("--check/--no-check", default=True, help="Check the file before the upload.")
@wait_option("processed by the service")
def upload(session: Session, file: Path, purpose: str, check: bool, wait: bool) -> Any:
    """Upload a data file: .jsonl, .parquet or .csv."""
    uploaded = with_bar("bytes", session.client.files.upload, file, purpose=purpose, check=check)
    return with_bar("job", session.client.files.wait, uploaded.id) if wait and uploaded.id else uploaded


@files.command("list")
def list_files(session: Session) -> Result:
    """List the files of the account."""
    return Result(session.client.files.list().data, _FILES)


@files.command("wait")
@click.argument("id")
@wait_timeout_option
def wait(session: Session, id: str, wait_timeout: float | None) -> Any:
    """Wait until the service has processed a file. Exit code 1 if the file is invalid."""
    return with_bar("job", session.client.files.wait, id, timeout=wait_timeout)


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
    from together_adapters.finetune.validation.check_jsonl import check_jsonl
    from together_adapters.types.files import parse_purpose

    report = with_bar("bytes", check_jsonl, file, purpose=parse_purpose(purpose), max_issues=max_issues)
    return Result(report, lambda report: _print_report(report, file.name), 0 if report.ok else INVALID_DATA)


def _print_report(report: DataReport, name: str) -> None:
    verdict = "can be used" if report.ok else "cannot be used"
    write(f"{name} {verdict}: {report.errors:,} errors, {report.warnings:,} warnings\n\n")
    print_fields({"rows": f"{report.rows:,}", "format": report.format, "size": format_size(report.bytes)})
    if not report.issues:
        return
    write("\n")
    _ISSUES(report.issues[:_MAX_ISSUES])
    if (more := sum(report.issue_counts.values()) - _MAX_ISSUES) > 0:
        note(f"and {more:,} more; --json lists them")


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
_ISSUES: Final = Table(
    Column("Line", "line", right=True),
    Column("Severity", "severity"),
    Column("Code", "code"),
    Column("Path", "path"),
    Column("Message", lambda issue: issue.message + (f" ({issue.hint})" if issue.hint else "")),
)
