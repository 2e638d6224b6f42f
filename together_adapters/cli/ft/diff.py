"""`ft diff`: two reports on the same data, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import INVALID_DATA
from together_adapters.cli.ft.atomic_output import local_file
from together_adapters.cli.ft.options import DATA_FILE, method_option
from together_adapters.cli.output import Column, Result, Table, note
from together_adapters.cli.progress import spinner, with_bar
from together_adapters.errors import DatasetError

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.types.files import ValidationReport


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
