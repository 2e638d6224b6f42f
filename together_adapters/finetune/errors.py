"""Errors of training data, all below `DatasetError`, which is a `ValueError`.

DatasetError
|-- SchemaDetectionError     no schema fits the source, or several do
|-- ConversionError          records of a source cannot be converted to rows
|-- InvalidDatasetError      rows are invalid (in `together_adapters.errors`; also a `FileTypeError`)
|-- FileTooLargeError        the file is larger than the service accepts
|-- MethodMismatchError      the data does not train with the method
`-- RemoteValidationError    the service found an error in an uploaded file (in `together_adapters.errors`)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from together_adapters.errors import DatasetError, InvalidDatasetError
from together_adapters.finetune.issues import Issue, excerpt, issue_with_source, new_issue, sorted_counts
from together_adapters.finetune.records import IndexedSource, LineSource, Record, Refusal
from together_adapters.finetune.rules import FORMATS, method_mismatch

MAX_ISSUES_SHOWN = 5


class SchemaDetectionError(DatasetError):
    """The schema of a source cannot be detected.

    Attributes:
        candidates: The schemas that fit; none, or more than one.
    """

    candidates: Sequence[str] = ()


class ConversionError(DatasetError):
    """Records of a source cannot be converted to rows. Nothing was written.

    Attributes:
        issues: The issues of records, up to a limit.
        issue_counts: The number of issues by code.
        report: The report on all rows, if the source was read to its end.
    """

    issues: Sequence[Issue] = ()
    issue_counts: Mapping[str, int] = {}
    report: Any = None


class FileTooLargeError(DatasetError):
    """A file is too large.

    Attributes:
        size: Its size in bytes, or the size at which writing stopped.
        limit: The maximum size.
    """

    size: int = 0
    limit: int = 0


class MethodMismatchError(InvalidDatasetError):
    """The data does not train with the method: preferences need `dpo`, all other formats `sft`."""


def refuse_method(report: Any, begin: str = "") -> None:
    """Raises MethodMismatchError if the rows of a report are of one format and do not train with its method."""
    if not report.method_ok and report.format in FORMATS:
        reason = method_mismatch(report.format, report.method)
        raise MethodMismatchError(f"{begin}data of format {report.format} {reason}", report=report)


def way_on(report: Any) -> str:
    """Returns how to go on with data of which some rows are valid; empty for other data."""
    return "; fixes=Fixes(on_error='drop') leaves such rows out" if report.valid and report.invalid else ""


def issue_summary(issues: Iterable[Issue], counts: Mapping[str, int]) -> str:
    """Returns issues as text for a message: the number of each code, then the first issues of each code."""
    shown_issues = first_of_each(issues)[:MAX_ISSUES_SHOWN]
    lines = [", ".join(f"{code} {count:,}" for code, count in sorted_counts(counts))]
    lines += [f"{issue.code}: {issue_with_source(issue)}" for issue in shown_issues]
    rest = sum(counts.values()) - len(shown_issues)
    return "\n  ".join(lines + ([f"and {rest:,} more"] if rest > 0 else []))


def first_of_each(issues: Iterable[Issue]) -> list[Issue]:
    """Returns issues in an order in which one of every code comes before the second of any code."""
    counts: Counter[str] = Counter()
    ranks = []
    for issue in issues:
        ranks.append((counts[issue.code], issue))
        counts[issue.code] += 1
    return [issue for _, issue in sorted(ranks, key=lambda pair: pair[0])]


def issue_of(refusal: Refusal, line: int | None = None) -> Issue:
    """Returns a refusal as an issue: a warning if it was expected, else an error."""
    severity: Literal["error", "warning"] = "warning" if refusal.skipped else "error"
    return new_issue(refusal.code, severity, refusal.message, refusal.value, refusal.path, line, location_of(refusal), refusal.id)


def location_of(record: Record) -> str:
    """Returns where a record is, for messages."""
    return location(record.number, record.source)


def location_with_id(record: Record) -> str:
    """Returns the same, with the id that the record has: `chats.csv:17 (id a-1)`."""
    return location(record.number, record.source, record.id)


def location(number: int, source: str | None, id: str | None = None) -> str:
    """Returns a location as text: `chats.csv:17` for a line of a file, `chats.json record 17` elsewhere."""
    text = f"{source}:{number}" if isinstance(source, LineSource) else f"{source or ''} record {number}".lstrip()
    if isinstance(source, IndexedSource):
        text += f" (index {excerpt(str(source.index))})"
    return f"{text} (id {excerpt(id)})" if id else text
