"""`ft check`: the validation of data files before an upload."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import INVALID_DATA
from together_adapters.cli.ft.atomic_output import local_file, write_atomically
from together_adapters.cli.ft.options import DATA_FILE, validation_keywords, validation_options
from together_adapters.cli.ft.tables import count, file_name, print_issues, verdict
from together_adapters.cli.options import NEW_FILE, check_new, overwrite_option, purpose_option
from together_adapters.cli.output import Result, to_json, to_plain_data, write
from together_adapters.cli.progress import progress_bar

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport


@click.command("check", cls=Command)
@click.argument("files", nargs=-1, required=True, type=DATA_FILE, metavar="FILE...")
@purpose_option
@click.option("--fail-on", type=click.Choice(["error", "warning"]), default="error", help="Severity for exit code 1.")
@click.option("--validation", type=DATA_FILE, metavar="FILE", help="Validation file to check too, also for leakage.")
@click.option("--strict", is_flag=True, help="Report duplicate keys of an object as errors.")
@click.option("--secrets", is_flag=True, help="Scan for keys, tokens and personal data.")
@click.option("--duplicates", is_flag=True, help="Count duplicate rows.")
@validation_options
@click.option("--report", "report_file", type=NEW_FILE, metavar="OUT.json", help="Also write the report to a file.")
@overwrite_option
def check(
    session: Session,
    /,
    files: Sequence[Path],
    purpose: str,
    fail_on: str,
    max_issues: int | None,
    validation: Path | None,
    report_file: Path | None,
    overwrite: bool,
    **options: Any,
) -> Result:
    """Validate data files: every issue with its line, its path and a hint. No data is sent.

    With --validation, rows of that file that are also in the training file, completely or with the same prompt, are warnings.

    - reads JSON lines from stdin. Exit code 1 if a file is invalid. With --json, one file prints its report; several files print
    the sum of their reports, with the report of each in `files`.

    Examples:
      together-adapters ft check train.jsonl
      together-adapters ft check train.jsonl --method dpo --fail-on warning
      together-adapters ft check train.jsonl --validation validation.jsonl
      together-adapters ft check *.jsonl --secrets --duplicates --json > report.json
      zcat chats.jsonl.gz | together-adapters ft check -
    """
    from together_adapters.finetune.validation.check_jsonl import check_jsonl
    from together_adapters.types.files import parse_purpose

    if report_file is not None:
        check_new(report_file, overwrite)
    if validation is not None:
        if len(files) > 1:
            raise click.UsageError("--validation needs exactly one file of training data")
        files = (*files, validation)
    if files.count(Path("-")) > 1:
        raise click.UsageError("stdin (-) can be read only once")
    options = validation_keywords(session, max_issues=max_issues, purpose=parse_purpose(purpose), **options)
    reports: list[tuple[str, DataReport]] = []
    train: Path | None = None
    with ExitStack() as stack, progress_bar("bytes") as bar:
        for file in files:
            path = stack.enter_context(local_file(file))
            reports.append((file_name(file), check_jsonl(path, train=train, progress=bar, **options)))
            train = path if validation is not None else None
    failures = sum(not _passes(report, fail_on) for _, report in reports)
    data = _data(reports)
    if report_file is not None:
        write_atomically(report_file, f"{to_json(data)}\n".encode(), overwrite=overwrite)

    def show(_: Any) -> None:
        _print_reports(reports, max_issues)
        if len(reports) > 1:
            write(f"\n{count(len(reports), 'file')}, {failures:,} failed\n")

    return Result(data, show, INVALID_DATA if failures else 0)


def _passes(report: DataReport, fail_on: str) -> bool:
    return report.ok and report.method_ok and not (fail_on == "warning" and report.warnings)


def _data(reports: Sequence[tuple[str, DataReport]]) -> Any:
    """Returns the JSON document: one report, or the sum of several with each of them in `files`."""
    if len(reports) == 1:
        return to_plain_data(reports[0][1])
    from together_adapters.finetune.reports.report import sum_reports

    total = to_plain_data(sum_reports([report for _, report in reports]))
    return total | {
        "ok": all(report.ok for _, report in reports),
        "method_ok": all(report.method_ok for _, report in reports),
        "files": {name: to_plain_data(report) for name, report in reports},
    }


def _print_reports(reports: Sequence[tuple[str, DataReport]], max_issues: int | None) -> None:
    for index, (name, report) in enumerate(reports):
        if index and (report.issue_counts or reports[index - 1][1].issue_counts):
            write("\n")
        leakage = report.leakage_summary()
        write(f"{verdict(report, name)}{leakage and '; '}{leakage}\n")
        print_issues(report, max_issues)
