"""`files`: check data files, send them, look at them, bring them back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from together_adapters.cli.arguments import overwrite_option
from together_adapters.cli.command import Group, Session
from together_adapters.cli.exit_codes import BAD_DATA
from together_adapters.cli.output import Column, details, document, excerpt, fields, moment, note, size, table, write
from together_adapters.cli.progress import byte_bar, job_bar

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport

_LISTED = 20

existing_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.group("files", cls=Group)
def files() -> None:
    """Send data files, look at them, bring them back."""


@files.command("upload")
@click.argument("file", type=existing_file)
@click.option(
    "--purpose", default="fine-tune", show_default=True, metavar="NAME", help="fine-tune, eval, batch-api or calibration."
)
@click.option("--check/--no-check", default=True, show_default=True, help="Look for faults before anything is sent.")
@click.option("--wait/--no-wait", default=False, show_default=True, help="Wait until the service has looked into it, too.")
@click.pass_obj
def upload(session: Session, file: Path, purpose: str, check: bool, wait: bool) -> None:
    """Send a data file: .jsonl, .parquet or .csv."""
    with byte_bar() as show:
        sent = session.client.files.upload(file, purpose=purpose, check=check, progress=show)
    if wait and sent.id:
        sent = _waited(session, sent.id, None)
    document(sent) if session.as_json else details(sent)


@files.command("list")
@click.pass_obj
def list_files(session: Session) -> None:
    """List the files of the account."""
    found = session.client.files.list().data
    if session.as_json:
        document(found)
        return
    columns = (
        Column("File name"),
        Column("File ID", whole=True),
        Column("Size", right=True),
        Column("Created at", extra=1),
        Column("Purpose", extra=2),
        Column("Lines", right=True),
        Column("Status"),
    )
    rows = [
        (file.filename, file.id, size(file.bytes), moment(file.created_at), file.purpose, _lines(file), _status(file))
        for file in found
    ]
    table(columns, rows, nothing="No files.")


@files.command("retrieve")
@click.argument("id")
@click.pass_obj
def retrieve(session: Session, id: str) -> None:
    """Look at a file."""
    found = session.client.files.retrieve(id)
    document(found) if session.as_json else details(found)


@files.command("wait")
@click.argument("id")
@click.option("--wait-timeout", type=float, metavar="SECONDS", help="When to give up; never by default.")
@click.pass_obj
def wait(session: Session, id: str, wait_timeout: float | None) -> None:
    """Wait until the service has looked into a file; exit code 1 where it found a fault."""
    found = _waited(session, id, wait_timeout)
    document(found) if session.as_json else details(found)


@files.command("retrieve-content")
@click.argument("id")
@click.option("--output", type=click.Path(path_type=Path), metavar="PATH", help="A file or a folder; - for stdout.")
@overwrite_option
@click.pass_obj
def retrieve_content(session: Session, id: str, output: Path | None, overwrite: bool) -> None:
    """Bring the content of a file back. A download that was broken off goes on where it was."""
    if output == Path("-"):
        if session.as_json:
            raise click.UsageError("--output - prints the content itself, which --json cannot")
        _print_content(session, id)
        return
    with byte_bar() as show:
        fetched = session.client.files.retrieve_content(id, output, overwrite=overwrite, progress=show)
    document(fetched) if session.as_json else details(fetched)


@files.command("delete")
@click.argument("id")
@click.pass_obj
def delete(session: Session, id: str) -> None:
    """Delete a file at the service."""
    gone = session.client.files.delete(id)
    document(gone) if session.as_json else details(gone)


@files.command("check")
@click.argument("file", type=existing_file)
@click.option(
    "--purpose", default="fine-tune", show_default=True, metavar="NAME", help="fine-tune, eval, batch-api or calibration."
)
@click.option("--max-issues", type=click.IntRange(0), default=1000, show_default=True, metavar="N", help="How many to list.")
@click.pass_context
def check(ctx: click.Context, file: Path, purpose: str, max_issues: int) -> None:
    """Look for faults in a data file. Nothing is sent, and no key is needed. Exit code 1 where there is one."""
    from together_adapters.finetune.validation.check_jsonl import check_jsonl
    from together_adapters.types.files import parse_purpose

    session: Session = ctx.obj
    with byte_bar() as bar:
        report = check_jsonl(file, purpose=parse_purpose(purpose), max_issues=max_issues, progress=bar)
    if session.as_json:
        document(report)
    else:
        show_report(report, file.name)
    ctx.exit(0 if report.ok else BAD_DATA)


def show_report(report: DataReport, name: str) -> None:
    """Print what a check found, for people."""
    verdict = "can be used" if report.ok else "cannot be used"
    write(f"{name} {verdict}: {report.errors:,} errors, {report.warnings:,} warnings\n\n")
    facts: dict[str, Any] = {"rows": f"{report.rows:,}", "format": report.format, "size": size(report.bytes)}
    fields(facts)
    if not report.issues:
        return
    write("\n")
    columns = (Column("Line", right=True), Column("Severity"), Column("Code"), Column("Where"), Column("What"))
    rows = [
        (issue.line, issue.severity, issue.code, issue.path, issue.message + (f" ({issue.hint})" if issue.hint else ""))
        for issue in report.issues[:_LISTED]
    ]
    table(columns, rows)
    if (more := sum(report.issue_counts.values()) - _LISTED) > 0:
        note(f"and {more:,} more; --json lists them")


def _print_content(session: Session, id: str) -> None:
    import sys

    sys.stdout.buffer.write(session.client.files.content(id))
    sys.stdout.buffer.flush()


def _waited(session: Session, id: str, timeout: float | None) -> Any:
    with job_bar() as show:
        return session.client.files.wait(id, timeout=timeout, progress=show)


def _lines(file: Any) -> object:
    report = file.validation_report
    return (report and report.nlines) or file.line_count or None


def _status(file: Any) -> str:
    report = file.validation_report
    why = f": {excerpt(report.error)}" if report and report.error else ""
    return f"{(file.processing_status or '').lower()}{why}"
