"""The check of a file, which names the form of one that fails as a whole, since `load` has to make a training file of it first."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec

from pydantic_core import from_json

from together_adapters.errors import DatasetError
from together_adapters.finetune.arguments import path_of
from together_adapters.finetune.issues import new_issue
from together_adapters.finetune.records import Example
from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.validation.check_jsonl import check_jsonl as check_rows
from together_adapters.finetune.validation.check_jsonl import conversion_of
from together_adapters.finetune.validation.check_row import check_row

_CODE: Final = "form_not_trained"
_SAMPLE: Final = 20
_NEARLY_ALL: Final = 0.9

if TYPE_CHECKING:
    from together_adapters.finetune.formats.column_names import Reading

P = ParamSpec("P")


def _with_recognition(check: Callable[P, DataReport]) -> Callable[P, DataReport]:
    @wraps(check)
    def check_jsonl(*args: P.args, **kwargs: P.kwargs) -> DataReport:
        report = check(*args, **kwargs)
        return report if report.ok else _recognize(report, path_of(args[0] if args else kwargs["path"]))

    check_jsonl.__module__ = __name__  # by which processes find it
    return check_jsonl


check_jsonl = _with_recognition(check_rows)


def with_form(report: DataReport, path: Path) -> DataReport:
    """Returns a report with one issue in place of those of nearly all rows if `load` makes valid rows of the first ones."""
    report = _recognize(report, path)
    if report.form is None:
        return report
    issue = new_issue(_CODE, "error", f"{path.name} is of the form {report.form}{conversion_of(path)}", "", "", 1, path.name)
    return report.model_copy(update={"issues": [issue], "issue_counts": {_CODE: 1}, "errors": 1, "warnings": 0})


def _recognize(report: DataReport, path: Path) -> DataReport:
    """Returns a report that names the form of a file whose rows are nearly all invalid, if `load` makes valid rows of the first ones."""
    if report.purpose != "fine-tune" or path.suffix != ".jsonl" or not report.rows or report.invalid < _NEARLY_ALL * report.rows:
        return report
    return report.model_copy(update={"form": _form_of(path)})


def _form_of(path: Path) -> str | None:
    """Returns the format of the first records, unless it is that of the service, or they stay invalid."""
    from together_adapters.finetune.formats.detection import detect  # and all formats
    from together_adapters.finetune.loading import load

    try:
        with path.open("rb") as file:
            records = [from_json(line) for line in islice(file, _SAMPLE) if line.strip()]
        readings = detect(records)
        rows = list(islice(load(records).records(), _SAMPLE))
    except (DatasetError, OSError, ValueError):
        return None
    if (
        any(reading.schema == "messages" for reading in readings)
        or not rows
        or sum(map(_is_valid, rows)) < _NEARLY_ALL * len(rows)
    ):
        return None
    return " and ".join(map(_name_of, readings))


def _name_of(reading: Reading) -> str:
    columns = ", ".join(column for _, column in reading.columns)
    return f"{reading.schema} with the columns {columns}" if columns else reading.schema


def _is_valid(record: Any) -> bool:
    return isinstance(record, Example) and all(issue.severity != "error" for issue in check_row(record.row))
