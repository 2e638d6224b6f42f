"""The output of a command for invalid data: issues on stdout, one line on stderr, exit code 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from together_adapters.cli.command import Session
from together_adapters.cli.ft.tables import print_issues
from together_adapters.cli.output import Result
from together_adapters.errors import DatasetError, InvalidDatasetError, RemoteValidationError


@contextmanager
def issues_on_error(session: Session, max_issues: int | None = None) -> Iterator[None]:
    """Prints the issues of an exception, and raises a DatasetError with a message of one line in its place."""
    from together_adapters.finetune.errors import ConversionError

    try:
        yield
    except (ConversionError, InvalidDatasetError) as error:
        report = error.report if error.report is not None else _report(error)
        # Issues of a source file name its record, as `chats.csv:17`.
        location = "source" if any(issue.source and ":" in issue.source for issue in report.issues) else "line"
        session.show(Result(report, partial(print_issues, max_issues=max_issues, location=location)))
        raise DatasetError(_headline(str(error))) from error
    except RemoteValidationError as error:
        if session.as_json:
            session.show({"remote": error.remote, "local": error.local_report})
        raise


def _headline(text: str) -> str:
    """Returns the text before the list of issues."""
    line = text.partition("\n")[0]
    for marker in (" was not written. ", " was not uploaded. "):
        start, match, _ = line.partition(marker)
        if match:
            return f"{start}{match.rstrip(' .')}"
    return line


def _report(error: Any) -> Any:
    """Returns a report with the issues of an error that has none."""
    from together_adapters.finetune.reports.report import DataReport

    counts = dict(getattr(error, "issue_counts", {}))
    return DataReport(issues=list(getattr(error, "issues", ())), issue_counts=counts, errors=sum(counts.values()) or 1)
