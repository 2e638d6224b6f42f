"""`ft check`, `ft stats` and `ft diff`: reports on data files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import INVALID_DATA
from together_adapters.cli.ft import tables
from together_adapters.cli.ft.atomic_output import local_file, write_atomically
from together_adapters.cli.ft.options import (
    DATA_FILE,
    fail_on_option,
    method_option,
    model_option,
    passes,
    tokenizer_option,
    validation_keywords,
    validation_options,
)
from together_adapters.cli.options import COUNT, NEW_FILE, check_new, overwrite_option, purpose_option
from together_adapters.cli.output import Column, Result, Table, to_json, to_jsonable
from together_adapters.cli.terminal import note, progress_bar, spinner, with_bar, write
from together_adapters.errors import DatasetError
from together_adapters.finetune.issues import count_of

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.types.files import ValidationReport


@click.command("check", cls=Command)
@click.argument("files", nargs=-1, required=True, type=DATA_FILE, metavar="FILE...")
@purpose_option
@fail_on_option
@click.option("--validation", type=DATA_FILE, metavar="FILE", help="Validation file to check too, also for leakage.")
@click.option("--strict", is_flag=True, help="Report duplicate keys of an object as errors.")
@click.option("--secrets", is_flag=True, help="Scan for keys, tokens and personal data.")
@click.option("--duplicates", is_flag=True, help="Count duplicate rows.")
@validation_options
@click.option("--report", "report_file", type=NEW_FILE, metavar="OUT.json", help="Also write the report to a file.")
@overwrite_option
def check(
    session: Session, /, files: Sequence[Path], validation: Path | None, report_file: Path | None, overwrite: bool, **options: Any
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
    from together_adapters.finetune.recognition import with_form
    from together_adapters.finetune.validation.check_jsonl import check_jsonl

    if report_file is not None:
        check_new(report_file, overwrite)
    if validation is not None:
        if len(files) > 1:
            raise click.UsageError("--validation needs exactly one file of training data")
        files = (*files, validation)
    if files.count(Path("-")) > 1:
        raise click.UsageError("stdin (-) can be read only once")
    fail_on, max_issues = options.pop("fail_on"), options["max_issues"]
    options = validation_keywords(session, **options)
    reports: list[tuple[str, DataReport]] = []
    train: Path | None = None
    with ExitStack() as stack, progress_bar("bytes") as bar:
        for file in files:
            path = stack.enter_context(local_file(file))
            report = check_jsonl(path, train=train, progress=bar, **options)
            if not report.ok:
                report = with_form(report, path)
            report = tables.in_flags(report, path, file)
            reports.append((tables.file_name(file), report))
            train = path if validation is not None else None
    failures = sum(not passes(report, fail_on) for _, report in reports)
    data = _data(reports)
    if report_file is not None:
        write_atomically(report_file, f"{to_json(data)}\n".encode(), overwrite=overwrite)

    def show(_: Any) -> None:
        _print_reports(reports, max_issues)
        if len(reports) > 1:
            write(f"\n{count_of(len(reports), 'file')}, {failures:,} failed\n")

    return Result(data, show, INVALID_DATA if failures else 0)


def _data(reports: Sequence[tuple[str, DataReport]]) -> Any:
    """Returns the JSON document: one report, or the sum of several with each of them in `files`."""
    if len(reports) == 1:
        return to_jsonable(reports[0][1])
    from together_adapters.finetune.reports.report import sum_reports

    total = to_jsonable(sum_reports([report for _, report in reports]))
    return total | {
        "ok": all(report.ok for _, report in reports),
        "method_ok": all(report.method_ok for _, report in reports),
        "files": {name: to_jsonable(report) for name, report in reports},
    }


def _print_reports(reports: Sequence[tuple[str, DataReport]], max_issues: int | None) -> None:
    for index, (name, report) in enumerate(reports):
        if index and (report.issue_counts or reports[index - 1][1].issue_counts):
            write("\n")
        leakage = report.leakage_summary()
        write(f"{tables.verdict(report, name)}{leakage and '; '}{leakage}\n")
        tables.print_issues(report, max_issues)
        tables.note_way_on(report)


@click.command("stats", cls=Command)
@click.argument("file", type=DATA_FILE)
@click.option("--picture", type=NEW_FILE, metavar="OUT.png", help="Plot lengths and issues to a .png, .svg or .pdf file.")
@click.option("--validation", type=DATA_FILE, metavar="FILE", help="Validation file to check for leakage.")
@method_option
@model_option
@tokenizer_option
@click.option("--price", type=click.FloatRange(0), metavar="X", help="Price per million tokens, for an estimate of the cost.")
@click.option("--epochs", type=COUNT, default=1, metavar="N", help="Number of epochs, for that estimate.")
@overwrite_option
def stats(
    session: Session, /, file: Path, picture: Path | None, validation: Path | None, overwrite: bool, **options: Any
) -> Result:
    """Show statistics of FILE: rows, lengths, tools, duplicates, secrets, issues. - reads JSON lines from stdin.

    Exit code 1 if the file is invalid; the statistics are shown nevertheless.

    Examples:
      together-adapters ft stats train.jsonl --picture lengths.png
      together-adapters ft stats train.jsonl --validation validation.jsonl --model NAME
    """
    from together_adapters.finetune.reports.plot import save_picture
    from together_adapters.finetune.validation.check_jsonl import check_jsonl
    from together_adapters.plots import check_picture

    if picture is not None:
        check_picture(check_new(picture, overwrite))
    price, epochs = options.pop("price"), options.pop("epochs")
    options = validation_keywords(session, **options)
    with local_file(file) as path:
        report = tables.in_flags(with_bar("bytes", check_jsonl, path, duplicates=True, secrets=True, **options), path, file)
        if validation is not None:
            report.leakage = _leakage(path, validation)
    if price is not None:
        report.estimated_cost = report.cost(price, epochs)
    name = tables.file_name(file)
    if picture is not None:
        save_picture(report, picture, title=Path(name).name, overwrite=overwrite)
        note(f"saved the plot to {picture}")

    def show(report: DataReport) -> None:
        write(f"{tables.verdict(report, name)}\n")
        tables.print_facts(report)
        tables.print_lengths(report)
        tables.print_counts("Role", report.roles, "Messages")
        tables.print_counts("Tool", report.tools, "Calls")
        (tables.print_issue_counts if report.rows else tables.print_issues)(report)

    return Result(report, show, 0 if report.ok and report.method_ok else INVALID_DATA)


def _leakage(train: Path, validation: Path) -> dict[str, int]:
    """Counts the validation rows that the training file contains too."""
    from together_adapters.finetune.validation.leakage import leaked_rows

    with local_file(validation) as path:
        exact = [row.exact for row in leaked_rows(train, path)]
    return {"exact": sum(exact), "prompt": len(exact)}


@click.command("diff", cls=Command)
@click.argument("file", type=DATA_FILE)
@click.argument("other", metavar="FILE-ID|REPORT.json")
@method_option
def diff(session: Session, file: Path, other: str, method: str | None) -> Result:
    """Compare the check of FILE with the validation of an uploaded file by the service, or with a saved report.

    FILE is a data file, or the report of one. Exit code 1 if there is a difference.

    Examples:
      together-adapters ft diff train.jsonl file-0a1b2c
      together-adapters ft diff train.jsonl last-week.report.json
      together-adapters ft diff old.report.json new.report.json
    """
    from together_adapters.finetune.reports.diff import differences, report_differences
    from together_adapters.finetune.reports.report import DataReport

    right = _read_report(Path(other)) if Path(other).exists() else _remote_report(session, other)
    left = _local_report(file, method)
    items = report_differences(left, right) if isinstance(right, DataReport) else differences(left, right)

    def show(_: Any) -> None:
        if not items:
            note("no differences")
            return
        columns = (Column(file.name, lambda item: _cell(item.local)), Column(Path(other).name, lambda item: _cell(item.remote)))
        Table(Column("Field", "name"), *columns)(items)

    return Result([difference._asdict() for difference in items], show, INVALID_DATA if items else 0)


def _local_report(file: Path, method: str | None) -> DataReport:
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.finetune.validation.check_jsonl import check_jsonl

    if file.suffix == ".json":
        report = _read_report(file)
        if not isinstance(report, DataReport):
            raise DatasetError(f"{file} is not a report of `ft check --report`: pass such a report, or the data file")
        return report
    options: dict[str, Any] = {"method": method} if method else {}
    with local_file(file) as path:
        return with_bar("bytes", check_jsonl, path, **options)


def _remote_report(session: Session, id: str) -> ValidationReport:
    with spinner("requesting the report"):
        file = session.client.files.retrieve(id)
    if file.validation_report is None:
        status = (file.processing_status or "unknown").lower()
        raise DatasetError(
            f"the service has no validation report for {id}, whose status is {status}; see `together-adapters files wait {id}`"
        )
    return file.validation_report


def _read_report(path: Path) -> DataReport | ValidationReport:
    """Reads a report of `ft check --report`, or one of the service, alone or in the details of a file."""
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.types.files import ValidationReport

    try:
        data = json.loads(path.read_bytes())
        if isinstance(data, Mapping) and {"rows", "rules_version"} <= data.keys():
            return DataReport.model_validate(data)
        if isinstance(data, Mapping) and isinstance(inner := data.get("validation_report", data), Mapping) and "valid" in inner:
            return ValidationReport.model_validate(inner)
    except ValueError as error:
        raise DatasetError(f"{path} is not a report: {str(error).splitlines()[0]}") from None
    raise DatasetError(f"{path} is not a report: neither of `ft check --report`, nor a validation_report of the service")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
