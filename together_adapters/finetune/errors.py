"""The errors of training data, below `DatasetError`; catching `ValueError` catches them all.

    DatasetError
    |-- SchemaDetectionError     no schema fits the source, or several do
    |-- ConversionError          records of a source cannot become rows
    |-- InvalidDatasetError      rows have faults (in `together_adapters.errors`; also a `FileTypeError`)
    |-- FileTooLargeError        the file is larger than the service takes
    |-- MethodMismatchError      the data does not train with the method
    `-- RemoteValidationError    the service found an error in an uploaded file (in `together_adapters.errors`)

Their texts show the first faults with row and path, and how often each kind was found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from together_adapters.errors import DatasetError, InvalidDatasetError
from together_adapters.finetune.issues import RULES, Issue, issue_with_source
from together_adapters.finetune.records import Record, Refusal
from together_adapters.finetune.redaction import excerpt

MAX_ISSUES_SHOWN = 5


class SchemaDetectionError(DatasetError):
    """It cannot be told which schema a source has.

    Attributes:
        candidates: The schemas that fit; none, or more than one.
    """

    candidates: Sequence[str] = ()


class ConversionError(DatasetError):
    """Records of a source cannot become rows. Nothing was written.

    Attributes:
        issues: What is wrong, record by record, up to a limit.
        issue_counts: How often each code was found.
        report: What was found in all rows, where the source was read to its end.
    """

    issues: Sequence[Issue] = ()
    issue_counts: Mapping[str, int] = {}
    report: Any = None


class FileTooLargeError(DatasetError):
    """A file is larger than is allowed.

    Attributes:
        size: Bytes that it has, or had when writing was given up.
        limit: Bytes that are allowed.
    """

    size: int = 0
    limit: int = 0


class MethodMismatchError(InvalidDatasetError):
    """The data does not train with the method: preferences need `dpo`, everything else `sft`."""


def issue_summary(issues: Iterable[Issue], counts: Mapping[str, int]) -> str:
    """Return faults as an error's text lists them: how many of each kind, then the first ones of all kinds.

    Args:
        issues: The faults that are known in full, in their order.
        counts: How often each code was found.
    """
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    firsts = first_of_each(issues)
    listed = "".join(f"\n  {issue.code}: {issue_with_source(issue)}" for issue in firsts[:MAX_ISSUES_SHOWN])
    more = sum(counts.values()) - min(len(firsts), MAX_ISSUES_SHOWN)
    return ", ".join(f"{code} {count:,}" for code, count in ranked) + listed + (f"\n  and {more:,} more" if more > 0 else "")


def first_of_each(issues: Iterable[Issue]) -> list[Issue]:
    """Return issues in such an order that one of every kind comes before the second of any kind."""
    seen: Counter[str] = Counter()
    ranked = []
    for issue in issues:
        ranked.append((seen[issue.code], issue))
        seen[issue.code] += 1
    return [issue for _, issue in sorted(ranked, key=lambda pair: pair[0])]


def issue_of(refusal: Refusal, line: int | None = None) -> Issue:
    """Return a refusal as an issue. One that is expected is no error."""
    rule = RULES.get(refusal.code)
    return Issue(
        code=refusal.code,
        severity="warning" if refusal.skipped else "error",
        line=line,
        source=location_of(refusal),
        path=refusal.path,
        message=refusal.message,
        hint=rule.hint if rule else "",
        excerpt="" if isinstance(refusal.value, str) and not refusal.value else excerpt(refusal.value),
    )


def location_of(record: Record) -> str:
    """Return where a record comes from, in one word."""
    return f"{record.source}:{record.number}" if record.source else f"row {record.number}"
