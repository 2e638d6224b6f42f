"""`ft diff`: two opinions on the same data, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import BAD_DATA
from together_adapters.cli.ft.atomic_output import readable
from together_adapters.cli.ft.options import data_file, method_option
from together_adapters.cli.output import Column, document, note, table
from together_adapters.cli.progress import byte_bar, spinner
from together_adapters.errors import DatasetError

if TYPE_CHECKING:
    from together_adapters.finetune.reports.diff import Difference
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.types.files import ValidationReport


@click.command(
    "diff",
    cls=Command,
    epilog="""\b
Examples:
  together-adapters ft diff train.jsonl file-0a1b2c
  together-adapters ft diff train.jsonl last-week.report.json
  together-adapters ft diff old.report.json new.report.json
""",
)
@click.argument("file", type=data_file)
@click.argument("other", metavar="FILE-ID|REPORT.json")
@method_option
@click.pass_context
def diff(ctx: click.Context, file: Path, other: str, method: str | None) -> None:
    """Compare the check of FILE with what the service says of an uploaded file, or with a report that was saved.

    FILE is a data file, or a report of one. Exit code 1 where the two differ.
    """
    from together_adapters.finetune.reports.diff import differences, report_differences
    from together_adapters.finetune.reports.report import DataReport

    session: Session = ctx.obj
    theirs = _saved(Path(other)) if Path(other).exists() else _at_service(session, other)
    ours = _ours(file, method)
    found = report_differences(ours, theirs) if isinstance(theirs, DataReport) else differences(ours, theirs)
    if session.as_json:
        document([difference._asdict() for difference in found])
    elif found:
        _show(found, file.name, Path(other).name)
    else:
        note("no difference")
    ctx.exit(BAD_DATA if found else 0)


def _ours(file: Path, method: str | None) -> DataReport:
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.finetune.validation.check_jsonl import check_jsonl

    if file.suffix == ".json":
        found = _saved(file)
        if not isinstance(found, DataReport):
            raise DatasetError(f"{file} is no report of ours: name the data file, or a report of `ft check --report`")
        return found
    options: dict[str, Any] = {"method": method} if method else {}
    with readable(file) as path, byte_bar() as bar:
        return check_jsonl(path, progress=bar, **options)


def _at_service(session: Session, id: str) -> ValidationReport:
    with spinner("asking the service"):
        found = session.client.files.retrieve(id)
    if found.validation_report is None:
        state = (found.processing_status or "unknown").lower()
        raise DatasetError(f"the service has no report on {id} (its state is {state}); `together-adapters files wait {id}` waits")
    return found.validation_report


def _saved(path: Path) -> DataReport | ValidationReport:
    """Read a report of ours, or one of the service's, as it is or within the file's details.

    Raises:
        DatasetError: It is neither.
    """
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.types.files import ValidationReport

    try:
        data = json.loads(path.read_bytes())
        if isinstance(data, Mapping) and {"rows", "rules_version"} <= data.keys():
            return DataReport.model_validate(data)
        if isinstance(data, Mapping) and isinstance(inner := data.get("validation_report", data), Mapping) and "valid" in inner:
            return ValidationReport.model_validate(inner)
    except ValueError as problem:
        raise DatasetError(f"{path} is no report: {str(problem).splitlines()[0]}") from None
    raise DatasetError(f"{path} is no report: neither one of `ft check --report`, nor the service's validation_report")


def _show(found: Sequence[Difference], left: str, right: str) -> None:
    columns = (Column("What"), Column(left), Column(right))
    table(columns, [(name, _cell(local), _cell(remote)) for name, local, remote in found])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
