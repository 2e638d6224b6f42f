"""What a command shows when the data is not right: the issues on stdout, one line on stderr, exit code 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from together_adapters.cli.command import Session
from together_adapters.cli.ft.tables import show_issues
from together_adapters.cli.output import document
from together_adapters.errors import DatasetError, InvalidDatasetError


@contextmanager
def issues_shown(session: Session, max_issues: int | None = None) -> Iterator[None]:
    """Show the issues of what a `with` block raises, and shorten its message to one line.

    Raises:
        DatasetError: The line.
    """
    from together_adapters.errors import RemoteValidationError
    from together_adapters.finetune.errors import ConversionError

    try:
        yield
    except (ConversionError, InvalidDatasetError) as problem:
        report = problem.report if problem.report is not None else _report_of(problem)
        if session.as_json:
            document(report)
        else:
            show_issues(report, max_issues, place="source" if _has_sources(report) else "line")
        raise DatasetError(_headline(str(problem))) from problem
    except RemoteValidationError as problem:
        if session.as_json:
            document({"remote": problem.remote, "local": problem.local_report})
        raise


def _headline(text: str) -> str:
    """Return what comes before the list of issues, in the command line's words."""
    first = text.partition("\n")[0]
    for marker in (" was not written. ", " was not uploaded. "):
        before, found, _ = first.partition(marker)
        if found:
            return f"{before}{found.rstrip(' .')}"
    return first.replace("allow_secrets=True", "--allow-secrets")


def _report_of(problem: Any) -> Any:
    """Make a report of an error that has none."""
    from together_adapters.finetune.reports.report import DataReport

    issues: Sequence[Any] = getattr(problem, "issues", ())
    counts = dict(getattr(problem, "issue_counts", {}))
    return DataReport(issues=list(issues), issue_counts=counts, errors=sum(counts.values()) or 1)


def _has_sources(report: Any) -> bool:
    """Whether issues name the record that they come from, as `chats.csv:17`."""
    return any(issue.source and ":" in issue.source for issue in report.issues)
