"""`ft check`: every fault of data files, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from together_adapters.cli.arguments import given, new_file, overwrite_option
from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import BAD_DATA
from together_adapters.cli.ft.atomic_output import readable, write_whole
from together_adapters.cli.ft.options import (
    data_file,
    issues_option,
    kept_issues,
    limits_of,
    method_option,
    model_option,
    new_path,
    severities_of,
    severity_option,
    tokenizer_of,
    tokenizer_option,
    workers_option,
)
from together_adapters.cli.ft.tables import count, show_issues, verdict
from together_adapters.cli.output import document, plain_data, to_json, write
from together_adapters.cli.progress import byte_bar

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport


@click.command(
    "check",
    cls=Command,
    epilog="""\b
Examples:
  together-adapters ft check train.jsonl
  together-adapters ft check train.jsonl --method dpo --fail-on warning
  together-adapters ft check train.jsonl --validation validation.jsonl
  together-adapters ft check *.jsonl --secrets --duplicates --json > report.json
  zcat chats.jsonl.gz | together-adapters ft check -
""",
)
@click.argument("files", nargs=-1, required=True, type=data_file, metavar="FILE...")
@method_option
@click.option(
    "--purpose", default="fine-tune", show_default=True, metavar="NAME", help="fine-tune, eval, batch-api or calibration."
)
@model_option
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    default="error",
    show_default=True,
    help="What makes the exit code 1.",
)
@issues_option
@severity_option
@click.option(
    "--validation", type=data_file, metavar="FILE", help="The rows to measure with: check them too, and find those that leak."
)
@click.option("--strict", is_flag=True, help="A key that stands twice in an object is an error.")
@click.option("--secrets", is_flag=True, help="Look for keys, tokens and personal data.")
@click.option("--duplicates", is_flag=True, help="Count rows that repeat an earlier one.")
@tokenizer_option
@workers_option
@click.option("--report", "report_file", type=new_path, metavar="OUT.json", help="Write the report to a file as well.")
@overwrite_option
@click.pass_context
def check(
    ctx: click.Context,
    files: Sequence[Path],
    method: str | None,
    purpose: str,
    model: str | None,
    fail_on: str,
    max_issues: int | None,
    severities: Sequence[str],
    validation: Path | None,
    strict: bool,
    secrets: bool,
    duplicates: bool,
    tokenizer: str | None,
    workers: int,
    report_file: Path | None,
    overwrite: bool,
) -> None:
    """Find every fault in data files, each with line, path and what helps. Nothing is sent, and no key is needed.

    With --validation the rows of that file that training gives away, whole or by their prompt, are warnings of it.

    - reads JSON lines from stdin. Exit code 1 where a file cannot be used. With --json one file gives its report, and several
    give the report of all of them, with those of each in `files`.
    """
    from together_adapters.finetune.validation.check_jsonl import check_jsonl
    from together_adapters.types.files import parse_purpose

    session: Session = ctx.obj
    if report_file is not None:
        new_file(report_file, overwrite)
    if validation is not None:
        if len(files) > 1:
            raise click.UsageError("--validation goes with one file to train on")
        files = (*files, validation)
    if files.count(Path("-")) > 1:
        raise click.UsageError("- stands for stdin, which can be read only once")
    options = given({"method": method, "strict": strict, "secrets": secrets, "duplicates": duplicates})
    options |= {"purpose": parse_purpose(purpose), "severities": severities_of(severities), "limits": limits_of(session, model)}
    reports: list[tuple[str, DataReport]] = []
    train: Path | None = None
    options |= {"tokenizer": tokenizer_of(tokenizer), "workers": workers, "max_issues": kept_issues(session, max_issues)}
    with ExitStack() as open_files, byte_bar() as bar:
        for file in files:
            path = open_files.enter_context(readable(file))
            found = check_jsonl(path, train=train, progress=bar, **options)
            train = path if validation is not None else None
            reports.append(("stdin" if str(file) == "-" else str(file), found))
    bad = [name for name, report in reports if not _passes(report, fail_on)]
    told = _told(reports)
    if report_file is not None:
        write_whole(report_file, f"{to_json(told)}\n".encode(), overwrite=overwrite)
    if session.as_json:
        document(told)
    else:
        _show(reports, bad, max_issues)
    ctx.exit(BAD_DATA if bad else 0)


def _passes(report: DataReport, fail_on: str) -> bool:
    return report.ok and report.method_ok and not (fail_on == "warning" and report.warnings)


def _told(reports: Sequence[tuple[str, DataReport]]) -> Any:
    """Return what --json prints: the report, and where there are several, those of each file within that of all."""
    if len(reports) == 1:
        return plain_data(reports[0][1])
    from together_adapters.finetune.reports.report import sum_reports

    whole = plain_data(sum_reports([report for _, report in reports]))
    each = {name: plain_data(report) for name, report in reports}
    return whole | {
        "ok": all(report.ok for _, report in reports),
        "method_ok": all(report.method_ok for _, report in reports),
        "files": each,
    }


def _show(reports: Sequence[tuple[str, DataReport]], bad: Sequence[str], most: int | None) -> None:
    for place, (name, report) in enumerate(reports):
        if place and (report.issue_counts or reports[place - 1][1].issue_counts):
            write("\n")
        leaked = report.leaked()
        write(f"{verdict(report, name)}{leaked and '; '}{leaked}\n")
        show_issues(report, most)
    if len(reports) > 1:
        write(f"\n{count(len(reports), 'file')}, {len(bad):,} not right\n")
